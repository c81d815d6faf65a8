"""Names, addresses, endpoints and lists: text of imagepipe.ini -> value.

    tcp://10.0.0.2:8086, north@tcp://10.0.0.3:8086 -> (Peer(None, "tcp://10.0.0.2:8086"),
    Peer("north", "tcp://10.0.0.3:8086"))

Each function raises ValidateError, whose text completes `[section] option = value: ` and says what
would be right. ConfigObj passes a string, or a list if there is a comma.
"""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from configobj.validate import ValidateError

from imagepipe.config.settings import EngineChoice, Peer
from imagepipe.core.node_names import NAME_LENGTH_MAX, clean_name
from imagepipe.core.paths import has_control
from imagepipe.core.rendering.formats import RENDERED_EXTENSIONS
from imagepipe.core.rendering.renditions import AUTO
from imagepipe.core.rendering.renditions import parse as parse_rendition
from imagepipe.core.requests.source_urls import is_fetchable

Value = str | list[str]

_ENDPOINT_KINDS = ("tcp", "tcp6", "ssl", "unix", "systemd", "haproxy")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_HOST = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?", re.ASCII
)
_ZEROMQ_TCP = re.compile(
    r"tcp://(?:\[[0-9A-Fa-f:.]+\]|\*|[A-Za-z0-9_.-]+):(0|[1-9][0-9]{0,4})", re.ASCII
)
# What sockaddr_un.sun_path holds (unix(7)), less what `sync` adds.
_IPC_PATH_BYTES_MAX = 107 - len(".sync")


def one(value: Value) -> str:
    """The text of an option with a single value."""
    if not isinstance(value, str):
        raise ValidateError("must be a single value, but the comma makes it a list: quote it")
    if not value.strip():
        raise ValidateError(
            "is empty: set a value (in quotes if it starts with `#`), or remove the line"
        )
    if has_control(value):
        raise ValidateError("must not contain control characters or line breaks")
    return value


def many(value: Value) -> tuple[str, ...]:
    """The texts of a list, without duplicates; a single one needs no comma."""
    texts = [value] if isinstance(value, str) else value
    if not texts:
        raise ValidateError("is an empty list: name at least one, or remove the line")
    return tuple(dict.fromkeys(one(text) for text in texts))


def address(value: Value) -> str:
    """An IP address of this machine to listen on."""
    text = one(value)
    try:
        ip_address(text)
    except ValueError:
        raise ValidateError(
            "is not an IP address: write one of this machine, such as 127.0.0.1, or 0.0.0.0 for"
            " all of them"
        ) from None
    return text


def endpoint(value: Value) -> str:
    """A server endpoint string of Twisted."""
    text = one(value)
    kind, colon, rest = text.partition(":")
    if kind not in _ENDPOINT_KINDS or not rest or rest.startswith("//"):
        raise ValidateError(
            "is not a server endpoint: write one such as unix:/run/imagepipe.sock or"
            " systemd:domain=INET:index=0"
        )
    return kind + colon + rest


def host(value: Value) -> str:
    """A host name or IP address, without a port."""
    text = one(value)
    try:
        ip_address(text)
    except ValueError:
        if len(text) > 253 or not _HOST.fullmatch(text):
            raise ValidateError(
                "is not a host: write only a name or an IP address; the port is a separate option"
            ) from None
    return text


def hosts(value: Value) -> tuple[str, ...]:
    """Names of this server, normalized: in lower case, without a trailing dot."""
    return tuple(dict.fromkeys(host(text).lower().removesuffix(".") for text in many(value)))


def name(value: Value) -> str:
    """A short name for use in messages and file names."""
    text = one(value)
    if not _NAME.fullmatch(text):
        raise ValidateError(
            "must be at most 64 letters, digits, dots, dashes and underscores, and start with a"
            " letter or a digit"
        )
    return text


def node_name(value: Value) -> str:
    """What a node calls itself."""
    text = one(value)
    if not text or clean_name(text) != text:
        raise ValidateError(f"must be at most {NAME_LENGTH_MAX} printable characters")
    return text


def prefix(value: Value) -> str:
    """The first part of Graphite's metric names."""
    text = one(value)
    if not _PREFIX.fullmatch(text):
        raise ValidateError(
            "must consist of letters, digits, dashes and underscores, separated by dots, such as"
            " stats.image_server"
        )
    return text


def choice(value: Value, *names: str) -> EngineChoice:
    """One of the engines."""
    text = one(value)
    if text not in names:
        raise ValidateError(f"must be one of {', '.join(names)}")
    return EngineChoice(text)


def zeromq(value: Value) -> str:
    """A ZeroMQ endpoint: tcp://HOST:PORT or ipc:///path. Port 0 takes any free one."""
    text = one(value)
    found = _ZEROMQ_TCP.fullmatch(text)
    if found and int(found[1]) <= 65535:
        return text
    if text.startswith("ipc:///") and len(text) > len("ipc:///") and not text.endswith("/"):
        if len(text.removeprefix("ipc://").encode()) > _IPC_PATH_BYTES_MAX:
            raise ValidateError(
                f"is too long: a socket's path has at most {_IPC_PATH_BYTES_MAX} bytes"
            )
        return text
    raise ValidateError("is not an endpoint: write tcp://HOST:PORT or ipc:///path/to/socket")


def peers(value: Value) -> tuple[Peer, ...]:
    """Peers: endpoints, each optionally prefixed with NAME@."""
    found = []
    for text in many(value):
        label, at, rest = text.rpartition("@")
        found.append(Peer(name(label) if at else None, zeromq(rest)))
    names = [peer.name for peer in found if peer.name]
    if any(peer.endpoint.endswith(":0") for peer in found):
        raise ValidateError("a peer cannot have port 0")
    if len({peer.endpoint for peer in found}) < len(found) or len(set(names)) < len(names):
        raise ValidateError("names a peer twice")
    return tuple(found)


def url(value: Value) -> str:
    """An http or https URL that others start with."""
    text = one(value)
    _split(text)
    return text


def sources(value: Value) -> tuple[str, ...]:
    """URLs that the sources named by clients must lie below."""
    texts = many(value)
    for text in texts:
        parts = _split(text)
        if "?" in text or "%" in parts.path or ".." in parts.path.split("/"):
            raise ValidateError(
                "a source consists of a scheme, a host, optionally a port, and a plain path, such"
                " as https://example.org/photos/"
            )
    return texts


def extensions(value: Value) -> tuple[str, ...]:
    """Extensions that renditions may have."""
    texts = many(value)
    for text in texts:
        if text not in RENDERED_EXTENSIONS:
            raise ValidateError(f"{text!a} is not one of {', '.join(RENDERED_EXTENSIONS)}")
    return texts


def renditions(value: Value) -> tuple[str, ...]:
    """Names of renditions."""
    texts = many(value)
    for text in texts:
        rendition = parse_rendition(text)
        if rendition is None or rendition.extension not in (*RENDERED_EXTENSIONS, AUTO):
            raise ValidateError(
                f"{text!a} is not the name of a rendition: write names such as w500.jpg,"
                " x300.webp, 300x400-q60.jpg or full_size.auto"
            )
    return texts


def secrets(value: Value) -> tuple[str, ...]:
    """HMAC keys."""
    return many(value)


def variable(value: Value) -> str:
    """The value of an environment variable, which may be empty."""
    return one(value) if value else ""


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if (
        not valid
        or "#" in text
        or "@" in parts.netloc
        or not re.fullmatch(r"[!-~]+", text)
        or not is_fetchable(text)
    ):
        raise ValidateError(
            "is not a URL to fetch from: write http:// or https://, a host and a path, without"
            " a user, a password, spaces or `#`"
        )
    return parts
