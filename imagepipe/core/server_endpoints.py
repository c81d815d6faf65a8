r"""What a server endpoint string of Twisted says about the port that it opens.

tcp:8085:interface=127.0.0.1                               plain, on 127.0.0.1
ssl:8443:privateKey=key.pem:certKey=cert.pem               TLS, on every IPv4 address
haproxy:tcp6:8085:interface=\:\:1                          plain, on ::1, behind a proxy
systemd:domain=INET:index=0                                on whatever address its socket unit names
"""

import re

_SEPARATOR = re.compile(r"(?<!\\):")
_EVERYWHERE = {"tcp": "0.0.0.0", "ssl": "0.0.0.0", "tcp6": "::"}  # noqa: S104 - what Twisted listens on without `interface`


def speaks_tls(endpoint: str) -> bool:
    """Whether the endpoint itself brings TLS and a certificate."""
    return _parts(endpoint)[0] == "ssl"


def interface_of(endpoint: str) -> str | None:
    """The address that it listens on; None for a Unix socket, and for a socket that somebody else opens."""
    kind, *arguments = _parts(endpoint)
    named = [argument.removeprefix("interface=").replace("\\:", ":") for argument in arguments if argument.startswith("interface=")]
    return (named[0] if named else None) or _EVERYWHERE.get(kind)


def _parts(endpoint: str) -> list[str]:
    return _SEPARATOR.split(endpoint.removeprefix("haproxy:"))
