"""The two HTTP servers of a node: XML-RPC and images. Their ports stay open while a reload replaces
what they serve.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.web.resource import Resource

from imagepipe.daemon.generation.generation import Generation
from imagepipe.daemon.ports import HTTP, XML_RPC
from imagepipe.monitoring.counters import Counters
from imagepipe.web.http.connections import Connections
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.http.site import LoggingSite
from imagepipe.web.http.site_content import SiteContent
from imagepipe.web.http.tls import TlsFactory
from imagepipe.web.image_resource import JSON_REFUSAL


class Sites:
    """Answers requests with the generation last passed to `serve`. Runs on the reactor's thread.

    profile: log how long each stage of a call takes.
    """

    def __init__(self, connections: Connections, counters: Counters, *, profile: bool) -> None:
        nobody: Any = Resource()
        nothing = SiteContent(nobody, body_bytes_max=0)  # until a generation is served
        count = partial(_count, counters)
        self._xml_rpc = LoggingSite(
            nothing,
            time.monotonic,
            connections=connections,
            on_answered=count,
            shows_stages=profile,
        )
        self._http = LoggingSite(
            nothing,
            time.monotonic,
            connections=connections,
            refusal=JSON_REFUSAL,
            on_answered=count,
        )
        self._factories = {XML_RPC: TlsFactory(self._xml_rpc), HTTP: TlsFactory(self._http)}

    @property
    def factories(self) -> Mapping[str, TlsFactory]:
        """The factory for each listening port, by the name of the port."""
        return self._factories

    @property
    def is_draining(self) -> bool:
        """Whether only requests in progress are still answered."""
        return self._xml_rpc.draining

    def serve(self, generation: Generation) -> None:
        """Answer new requests with this generation."""
        self._xml_rpc.serve(generation.methods)
        self._factories[XML_RPC].set_certificate(generation.secrets.tls)
        if generation.image_server:
            self._http.serve(generation.image_server.content)
        else:
            self._http.drain()

    def drain(self) -> "Deferred[None]":
        """Finish the requests on open connections and close them; fires when none is left."""
        return gatherResults([self._xml_rpc.drain(), self._http.drain()]).addCallback(
            lambda _: None
        )


def _count(counters: Counters, request: BoundedRequest) -> None:
    counters.request(
        request.method.decode("ascii", "replace"),
        request.code,
        request.seconds,
        request.received_bytes,
        request.sentLength,
    )
