"""How the options of imagepipe.ini must fit each other and the machine: problems and warnings.

Each rule is a small generator of sentences. An option with a problem of its own reads as None here,
so it is not reported twice.
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
        yield "[http] secrets_file: secrets is set too; keep one of the two"
    yield from _replication(parsed)
    if parsed.get("images", "engine") is EngineChoice.IMAGEMAGICK:
        yield from _convert(parsed)


def warnings(parsed: ParsedFile, file: Path) -> Iterator[str]:
    """A sentence for each setting that works, but perhaps not as expected."""
    if parsed.get("images", "engine") is EngineChoice.AUTO:
        yield from (
            f"{sentence}; until then, formats that libvips cannot read are refused"
            for sentence in _convert(parsed)
        )
    bytes_max, request_max = parsed.get("images", "max_bytes"), parsed.get("network", "max_request")
    if bytes_max and request_max and bytes_max * 4 // 3 > request_max:
        yield (
            f"[images] max_bytes: an image of {bytes_max} bytes is a third larger in base64, more"
            f" than the {request_max} bytes that [network] max_request allows"
        )
    publish = parsed.get("replication", "publish")
    if (
        publish
        and parsed.lacks("replication", "keys")
        and not publish.startswith(("ipc:", "tcp://127.", "tcp://localhost:", "tcp://[::1]:"))
    ):
        yield (
            f"[replication] publish = {publish}: without keys, anyone who can reach it can read"
            " every image, and the traffic is not encrypted"
        )
    path = parsed.get("images", "path")
    if path and path.resolve() in file.resolve().parents:
        yield (
            f"[images] path = {path}: contains {file}, so a web server that serves the images also"
            " serves that file"
        )


def _images_path(parsed: ParsedFile, file: Path) -> Iterator[str]:
    path: Path | None = parsed.get("images", "path")
    if path is None:
        if parsed.lacks("images", "path") and parsed.complete:
            yield "[images] path: is missing; name a folder that is used for the images alone"
        return
    real = path.resolve()
    if (
        real in _SYSTEM_FOLDERS
        or path in _SYSTEM_FOLDERS
        or Path("/proc") in real.parents
        or Path("/sys") in real.parents
    ):
        yield (
            f"[images] path = {path}: is a system folder; name a separate folder, such as"
            " /srv/images"
        )
    elif real == file.resolve().parent:
        yield (
            f"[images] path = {path}: is the folder that contains {file.name}; name a separate"
            " folder, such as images"
        )
    elif ".imagepipe" in real.parts:
        yield (
            f"[images] path = {path}: .imagepipe holds imagepipe's own files; name a folder"
            " outside it"
        )
    elif any(above.exists() and not above.is_dir() for above in (real, *real.parents)):
        yield f"[images] path = {path}: is not a folder, or lies below something that is not"


def _served_files(parsed: ParsedFile) -> Iterator[str]:
    """A web server for the images would serve these files too, and a stored image could replace
    them.
    """
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
                f"[{section}] {option} = {file}: lies inside [images] path, which is served; move"
                " it elsewhere"
            )


def _listeners(parsed: ParsedFile) -> Iterator[str]:
    for section in ("network", "http"):
        beside = [option for option in ("interface", "port") if (section, option) in parsed.given]
        if parsed.has(section, "endpoint") and beside:
            yield (
                f"[{section}] endpoint: replaces interface and port; remove"
                f" {' and '.join(beside)}, or endpoint"
            )
    ports = [
        parsed.get(section, "port")
        for section in ("network", "http")
        if not parsed.has(section, "endpoint")
    ]
    if len(ports) == 2 and ports[0] and ports[0] == ports[1] and _overlap(parsed):
        yield f"[http] port = {ports[1]}: is also the port of [network]; use two different ports"


def _overlap(parsed: ParsedFile) -> bool:
    interfaces = {parsed.get(section, "interface") for section in ("network", "http")}
    # compared, not listened on
    return len(interfaces) == 1 or bool(interfaces & {"0.0.0.0", "::"})


def _tls(parsed: ParsedFile) -> Iterator[str]:
    for option, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if parsed.has("network", option) and parsed.lacks("network", other):
            yield f"[network] {option}: needs {other} as well"
    if parsed.has("network", "tls_certificate") and speaks_tls(
        parsed.get("network", "endpoint") or ""
    ):
        yield (
            "[network] endpoint: an ssl: endpoint has its own certificate; remove tls_certificate"
            " and tls_key, or write tcp: instead of ssl:"
        )


def _replication(parsed: ParsedFile) -> Iterator[str]:
    publish, sync = parsed.get("replication", "publish"), parsed.get("replication", "sync")
    if sync and parsed.lacks("replication", "publish"):
        yield "[replication] sync: needs publish as well"
    if sync and sync == publish:
        yield f"[replication] sync = {sync}: is the same as publish; use two different endpoints"
    if sync and publish and sync.partition(":")[0] != publish.partition(":")[0]:
        yield f"[replication] sync = {sync}: publish is {publish}; both must be tcp, or both ipc"
    if publish and not sync and publish.endswith(":65535"):
        yield (f"[replication] publish = {publish}: there is no next port for sync; set sync")
    if publish in [peer.endpoint for peer in parsed.get("replication", "subscribe") or ()]:
        yield (
            f"[replication] subscribe: {publish} is this node's own publish; list only its peers"
        )
    if parsed.get("replication", "min_acks") and parsed.lacks("replication", "publish"):
        yield (
            "[replication] min_acks: needs publish as well; without it, no peer can have a copy to"
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
            " set convert to its path"
        )
    elif convert and not os.access(convert, os.X_OK):
        yield f"[imagemagick] convert = {convert}: is not executable"
