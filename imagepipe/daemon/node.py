"""An open node: all parts of a daemon but its ports, in the order in which they start and end, and
how one generation succeeds another.
"""

from collections.abc import Mapping

from twisted.internet.defer import Deferred, gatherResults, succeed

from imagepipe.config.settings import Settings
from imagepipe.core.replication.admission import Admission
from imagepipe.daemon.foundation import Foundation
from imagepipe.daemon.generations import Generation, Generations, build, read_secrets
from imagepipe.daemon.ports import HTTP, XML_RPC
from imagepipe.web.http.site import LoggingSite
from imagepipe.web.http.tls import TlsFactory


class Node:
    """A daemon.Node. `xml_rpc` and `http` answer for the ports of these names."""

    def __init__(
        self, foundation: Foundation, first: Generation, xml_rpc: LoggingSite, http: LoggingSite
    ) -> None:
        self.generations = Generations(first)
        self._foundation = foundation
        self._xml_rpc = xml_rpc
        self._http = http
        self._factories = {XML_RPC: TlsFactory(xml_rpc), HTTP: TlsFactory(http)}
        self._serve(first)

    @property
    def factories(self) -> Mapping[str, TlsFactory]:
        """See daemon.Node."""
        return self._factories

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to answer no more than what is under way."""
        return self._xml_rpc.draining

    def start(self) -> None:
        """See daemon.Node."""
        generation = self.generations.current
        self._foundation.replication.start()
        self._foundation.disk.start()
        self._foundation.sampler.start()
        if generation.graphite:
            generation.graphite.start()
        self._foundation.outputs.make_by(
            generation.image_server.renditions if generation.image_server else None
        )

    def prepare(self, settings: Settings) -> Generation:
        """See daemon.Node."""
        return build(self._foundation, settings, read_secrets(settings), self.generations.current)

    def replace(self, prepared: Generation) -> None:
        """See daemon.Node."""
        foundation, earlier, settings = (
            self._foundation,
            self.generations.current,
            prepared.settings,
        )
        foundation.replication.rename(settings.network.name)
        foundation.replication.reconfigure(settings.replication, prepared.secrets.keys)
        self.generations.succeed(prepared)
        foundation.store.admission = Admission(
            settings.images.bytes_max, settings.images.pixels_max
        )
        foundation.queue.resize(settings.images.io_threads, settings.images.queue)
        self._serve(prepared)
        foundation.outputs.make_by(
            prepared.image_server.renditions if prepared.image_server else None
        )
        if prepared.graphite is not earlier.graphite:
            told = earlier.graphite.leave() if earlier.graphite else None
            if prepared.graphite:
                prepared.graphite.start(told)
        if prepared.cache_bytes_max != earlier.cache_bytes_max:
            foundation.aside.submit(foundation.cache.resize, prepared.cache_bytes_max)
        if prepared.engine is not earlier.engine:
            foundation.aside.submit(earlier.engine.close)

    def discard(self, prepared: Generation) -> None:
        """See daemon.Node."""
        if prepared.engine is not self.generations.current.engine:
            prepared.engine.close()

    def drain(self) -> "Deferred[None]":
        """See daemon.Node."""
        return gatherResults([self._xml_rpc.drain(), self._http.drain()]).addCallback(
            lambda _: None
        )

    def abandon(self) -> None:
        """See daemon.Node."""
        self._foundation.queue.refuse_waiting()
        for generation in self.generations:
            generation.abandon()
        self._foundation.replication.abandon()

    def stop(self) -> "Deferred[None]":
        """See daemon.Node."""
        self._foundation.outputs.stop()
        self._foundation.verification.abandon()
        self._foundation.disk.stop()
        self._foundation.sampler.stop()
        graphite = self.generations.current.graphite
        # while replication can still be asked how it stands
        told: Deferred[None] = graphite.stop() if graphite else succeed(None)
        self._foundation.replication.stop()
        return told

    def close(self) -> None:
        """See daemon.Node."""
        foundation = self._foundation
        foundation.queue.stop()
        foundation.verification.close()
        self.generations.current.engine.close()
        foundation.threads.stop()
        foundation.store.close()
        # after the store, whose last housekeeping may still remove something
        foundation.aside.shutdown()
        foundation.cache.close()

    def _serve(self, generation: Generation) -> None:
        self._xml_rpc.serve(generation.methods)
        self._factories[XML_RPC].set_certificate(generation.secrets.tls)
        if generation.image_server:
            self._http.serve(generation.image_server.content)
        else:
            self._http.drain()
