"""The ports that the settings name, and listening on them."""

from dataclasses import dataclass

from imagepipe.config.settings import HttpSettings, NetworkSettings, Settings

XML_RPC = "XML-RPC"
HTTP = "HTTP"

BACKLOG = 1024
"""Connections that wait to be accepted. Where there is no more room, as with Twisted's 50, a client tries again only after a second, then three, then seven."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port to listen on: its name, a server endpoint string of Twisted, and the scheme of its URL."""

    name: str
    endpoint: str
    scheme: str


def listeners_of(settings: Settings) -> tuple[Listener, ...]:
    """What to listen on."""
    network = settings.network
    methods = Listener(XML_RPC, _endpoint(network), "https" if network.tls_certificate else "http")
    return (methods, Listener(HTTP, _endpoint(settings.http), "http")) if settings.http.is_on else (methods,)


def _endpoint(listener: NetworkSettings | HttpSettings) -> str:
    interface = listener.interface.replace(":", "\\:")
    return listener.endpoint or f"tcp:{listener.port}:interface={interface}:backlog={BACKLOG}"
