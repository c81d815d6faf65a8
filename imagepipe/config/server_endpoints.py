r"""Reads server endpoint strings of Twisted, as far as imagepipe needs to know what they open.

    tcp:8085:interface=127.0.0.1                   on 127.0.0.1
    ssl:8443:privateKey=key.pem:certKey=cert.pem   TLS, on every IPv4 address
    haproxy:tcp6:8085:interface=\:\:1              on ::1, behind a proxy
    systemd:domain=INET:index=0                    on the address that the socket unit names

A colon within an argument has a backslash before it.
"""

import re

_SEPARATOR = re.compile(r"(?<!\\):")
# What Twisted listens on without `interface`.
_EVERYWHERE = {"tcp": "0.0.0.0", "ssl": "0.0.0.0", "tcp6": "::"}


def speaks_tls(endpoint: str) -> bool:
    """Whether the endpoint has TLS and a certificate of its own."""
    return _parts(endpoint)[0] == "ssl"


def interface_of(endpoint: str) -> str | None:
    """The address it listens on; None for a Unix socket, or one that systemd opens."""
    kind, *arguments = _parts(endpoint)
    named = [
        argument.removeprefix("interface=").replace("\\:", ":")
        for argument in arguments
        if argument.startswith("interface=")
    ]
    return (named[0] if named else None) or _EVERYWHERE.get(kind)


def _parts(endpoint: str) -> list[str]:
    return _SEPARATOR.split(endpoint.removeprefix("haproxy:"))
