"""imagepipe.ini -> Settings, or every problem in it."""

import socket
from pathlib import Path
from types import MappingProxyType

from imagepipe.config import rules
from imagepipe.config.parsing import ParsedFile, parse
from imagepipe.config.settings import (
    GraphiteSettings,
    HttpSettings,
    ImageMagickSettings,
    ImagesSettings,
    NetworkSettings,
    ReplicationSettings,
    Settings,
)
from imagepipe.core.node_names import clean_name
from imagepipe.core.replication.endpoints import default_sync
from imagepipe.errors import ConfigError

_FILE_BYTES_MAX = 1 << 20


def load(path: Path) -> Settings:
    """The settings in the file `path`.

    Raises ConfigError with a sentence for each problem, not only the first.
    """
    file = path.absolute()
    parsed = parse(_read(file), file.parent)
    problems = [*parsed.problems, *rules.problems(parsed, file)]
    if problems:
        raise ConfigError(problems)
    return _settings(parsed, tuple(rules.warnings(parsed, file)))


def _read(file: Path) -> str:
    if file.is_dir():
        raise ConfigError([f"{file} is a folder, not a configuration file"])
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            [f"there is no file {file}; start with a copy of imagepipe.ini.dist"]
        ) from None
    except OSError as error:
        raise ConfigError([f"{file} cannot be read: {error.strerror}"]) from None
    if len(content) > _FILE_BYTES_MAX:
        raise ConfigError(
            [(f"{file} is larger than {_FILE_BYTES_MAX} bytes, too large for a configuration file")]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{file} is not UTF-8: see line {line}"]) from None


def _settings(parsed: ParsedFile, warnings: tuple[str, ...]) -> Settings:
    get = parsed.get
    publish: str | None = get("replication", "publish")
    return Settings(
        network=NetworkSettings(
            interface=get("network", "interface"),
            port=get("network", "port"),
            endpoint=get("network", "endpoint"),
            hosts=get("network", "hosts") or (),
            users=get("network", "users"),
            tls_certificate=get("network", "tls_certificate"),
            tls_key=get("network", "tls_key"),
            request_bytes_max=get("network", "max_request"),
            name=get("network", "name") or clean_name(socket.gethostname()),
        ),
        http=HttpSettings(
            interface=get("http", "interface"),
            port=get("http", "port"),
            endpoint=get("http", "endpoint"),
            hosts=get("http", "hosts") or (),
            extensions=get("http", "extensions"),
            width_max=get("http", "maximum_width"),
            quality_default=get("http", "default_quality"),
            source_base=get("http", "source_base"),
            sources=get("http", "sources") or (),
            allow_private_sources=get("http", "allow_private_sources"),
            outputs=get("http", "outputs") or (),
            secrets=get("http", "secrets") or get("http", "secrets_file") or (),
            cache_bytes_max=get("http", "cache_size"),
            status_users=get("http", "status_users"),
        ),
        replication=ReplicationSettings(
            publish=publish,
            sync=get("replication", "sync") or (publish and default_sync(publish)),
            subscribe=get("replication", "subscribe") or (),
            acks_min=get("replication", "min_acks"),
            ack_timeout_seconds=get("replication", "ack_timeout"),
            keys=get("replication", "keys"),
            cluster=get("replication", "cluster"),
        ),
        images=ImagesSettings(
            path=get("images", "path"),
            umask=get("images", "umask"),
            io_threads=get("images", "io_threads"),
            engine=get("images", "engine"),
            queue=get("images", "queue"),
            timeout_seconds=get("images", "timeout"),
            pixels_max=get("images", "max_pixels"),
            bytes_max=get("images", "max_bytes"),
            size_max=get("images", "max_size"),
            strip=get("images", "strip"),
            auto_orient=get("images", "auto_orient"),
            quality=get("images", "quality"),
        ),
        imagemagick=ImageMagickSettings(
            convert=get("imagemagick", "convert"), env=MappingProxyType(dict(parsed.env))
        ),
        graphite=GraphiteSettings(
            host=get("graphite", "host"),
            port=get("graphite", "port"),
            prefix=get("graphite", "prefix"),
        ),
        warnings=warnings,
    )
