"""What the options of imagepipe.ini must be to each other and to the machine: problems, and
warnings.

Each rule is one small generator of sentences; an option that has a problem of its own reads as None
here, and is not complained of twice.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from imagepipe.config.parsing import ParsedFile
from imagepipe.config.server_endpoints import speaks_tls
from imagepipe.config.settings import EngineChoice

_SYSTEM_FOLDERS = frozenset(
    map(
        Path,
        "/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /opt /proc /root /run /sbin /sys /usr"
        " /usr/bin /usr/lib /usr/local /var /var/lib".split(),
    )
)


def problems(parsed: ParsedFile, file: Path) -> Iterator[str]:
    """A sentence for every rule that the options of `file` break."""
    yield from _images_path(parsed, file)
    yield from _served_files(parsed)
    yield from _listeners(parsed)
    yield from _tls(parsed)
    if parsed.has("http", "secrets") and parsed.has("http", "secrets_file"):
        yield "[http] secrets_file: secrets is given too; keep one of the two"
    yield from _replication(parsed)
    if parsed.get("images", "engine") is EngineChoice.IMAGEMAGICK:
        yield from _convert(parsed)


def warnings(parsed: ParsedFile, file: Path) -> Iterator[str]:
    """A sentence for each thing that works, but perhaps not as its author expects."""
    if parsed.get("images", "engine") is EngineChoice.AUTO:
        yield from (
            f"{sentence}; formats that libvips does not read will be refused"
            for sentence in _convert(parsed)
        )
    bytes_max, request_max = parsed.get("images", "max_bytes"), parsed.get("network", "max_request")
    if bytes_max and request_max and bytes_max * 4 // 3 > request_max:
        yield (
            f"[images] max_bytes: an image of {bytes_max} bytes is a third larger in base64:"
            f" [network] max_request lets no more than {request_max} in"
        )
    publish = parsed.get("replication", "publish")
    if (
        publish
        and parsed.lacks("replication", "keys")
        and not publish.startswith(("ipc:", "tcp://127.", "tcp://localhost:", "tcp://[::1]:"))
    ):
        yield (
            f"[replication] publish = {publish}: without keys anyone who can reach it can read"
            " every image, and the traffic is in clear"
        )
    path = parsed.get("images", "path")
    if path and path.resolve() in file.resolve().parents:
        yield (
            f"[images] path = {path}: {file} lies below it, so a server that serves the one serves"
            " the other"
        )


def _images_path(parsed: ParsedFile, file: Path) -> Iterator[str]:
    path: Path | None = parsed.get("images", "path")
    if path is None:
        if parsed.lacks("images", "path") and parsed.complete:
            yield "[images] path: is missing; name the folder for the images, one of its own"
        return
    real = path.resolve()
    if (
        real in _SYSTEM_FOLDERS
        or path in _SYSTEM_FOLDERS
        or Path("/proc") in real.parents
        or Path("/sys") in real.parents
    ):
        yield (
            f"[images] path = {path}: is a folder of the system; name a folder of its own, such as"
            " /srv/images"
        )
    elif real == file.resolve().parent:
        yield (
            f"[images] path = {path}: is the folder of {file.name} itself; name a folder of its"
            " own, such as images"
        )
    elif ".imagepipe" in real.parts:
        yield (
            f"[images] path = {path}: .imagepipe is where imagepipe keeps its own files; name a"
            " folder outside"
        )
    elif any(above.exists() and not above.is_dir() for above in (real, *real.parents)):
        yield f"[images] path = {path}: is, or is below, something that is not a folder"


def _served_files(parsed: ParsedFile) -> Iterator[str]:
    """Whoever serves the images would serve these too, or a stored image could take their place."""
    path: Path | None = parsed.get("images", "path")
    secret = [
        ("network", "users"),
        ("network", "tls_key"),
        ("network", "tls_certificate"),
        ("http", "status_users"),
        ("replication", "keys"),
    ]
    for section, option in secret:
        file: Path | None = parsed.get(section, option)
        if path and file and file.resolve().is_relative_to(path.resolve()):
            yield (
                f"[{section}] {option} = {file}: lies inside images.path, which is served; move"
                " it out"
            )


def _listeners(parsed: ParsedFile) -> Iterator[str]:
    for section in ("network", "http"):
        beside = [option for option in ("interface", "port") if (section, option) in parsed.given]
        if parsed.has(section, "endpoint") and beside:
            yield (
                f"[{section}] endpoint: stands in place of interface and port; remove"
                f" {' and '.join(beside)}, or endpoint"
            )
    ports = [
        parsed.get(section, "port")
        for section in ("network", "http")
        if not parsed.has(section, "endpoint")
    ]
    if len(ports) == 2 and ports[0] and ports[0] == ports[1] and _overlap(parsed):
        yield f"[http] port = {ports[1]}: is the port of [network] too; give them two"


def _overlap(parsed: ParsedFile) -> bool:
    interfaces = {parsed.get(section, "interface") for section in ("network", "http")}
    # compared, not listened on
    return len(interfaces) == 1 or bool(interfaces & {"0.0.0.0", "::"})  # noqa: S104


def _tls(parsed: ParsedFile) -> Iterator[str]:
    for option, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if parsed.has("network", option) and parsed.lacks("network", other):
            yield f"[network] {option}: needs {other} beside it"
    if parsed.has("network", "tls_certificate") and speaks_tls(
        parsed.get("network", "endpoint") or ""
    ):
        yield (
            "[network] endpoint: ssl: has a certificate of its own; remove tls_certificate and"
            " tls_key, or write tcp: in place of ssl:"
        )


def _replication(parsed: ParsedFile) -> Iterator[str]:
    publish, sync = parsed.get("replication", "publish"), parsed.get("replication", "sync")
    if sync and parsed.lacks("replication", "publish"):
        yield "[replication] sync: needs publish beside it"
    if sync and sync == publish:
        yield f"[replication] sync = {sync}: is publish too; give them two"
    if sync and publish and sync.partition(":")[0] != publish.partition(":")[0]:
        yield f"[replication] sync = {sync}: publish is {publish}; both must be tcp, or both ipc"
    if publish and not sync and publish.endswith(":65535"):
        yield (
            f"[replication] publish = {publish}: leaves no port after it for sync; name one as sync"
        )
    if publish in [peer.endpoint for peer in parsed.get("replication", "subscribe") or ()]:
        yield (
            f"[replication] subscribe: {publish} is this node's own publish; name the others alone"
        )
    if parsed.get("replication", "min_acks") and parsed.lacks("replication", "publish"):
        yield (
            "[replication] min_acks: needs publish beside it; without it no peer can have a copy to"
            " confirm"
        )
    if parsed.has("replication", "keys"):
        for peer in parsed.get("replication", "subscribe") or ():
            if peer.name is None:
                yield (
                    f"[replication] subscribe: {peer.endpoint} needs a name with keys,"
                    f" NAME@{peer.endpoint}; its key is then authorized/NAME.key"
                )


def _convert(parsed: ParsedFile) -> Iterator[str]:
    convert: Path | None = parsed.get("imagemagick", "convert")
    if convert and not convert.is_file():
        yield (
            f"[imagemagick] convert = {convert}: there is no such program; install ImageMagick, or"
            " say where it is"
        )
    elif convert and not os.access(convert, os.X_OK):
        yield f"[imagemagick] convert = {convert}: is not executable"
