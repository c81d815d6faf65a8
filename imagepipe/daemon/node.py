"""An open node: the order in which parts start and stop, and how a reload replaces a generation.

start                                                start the background work
prepare -> replace or discard                        a reload
drain -> abandon -> stop -> close                    a stop
"""

from collections.abc import Mapping

from twisted.internet.defer import Deferred, succeed

from imagepipe.config.settings import Settings
from imagepipe.daemon.generation.builder import GenerationBuilder
from imagepipe.daemon.generation.generation import Generation, Generations
from imagepipe.daemon.generation.secret_files import read_secrets
from imagepipe.daemon.monitoring_parts import MonitoringParts
from imagepipe.daemon.sites import Sites
from imagepipe.daemon.storage_parts import StorageParts
from imagepipe.replication.service import Replication
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.usecases.promised_outputs import PromisedOutputs
from imagepipe.usecases.verification import Verification
from imagepipe.web.http.tls import TlsFactory


class Node:
    """All parts of a daemon except its ports. On the reactor's thread, except what blocks."""

    def __init__(
        self,
        threads: Threads,
        storage: StorageParts,
        queue: RenderQueue,
        replication: Replication,
        verification: Verification,
        outputs: PromisedOutputs,
        sites: Sites,
        generations: Generations,
        monitoring: MonitoringParts,
        builder: GenerationBuilder,
    ) -> None:
        self._threads = threads
        self._storage = storage
        self._queue = queue
        self._replication = replication
        self._verification = verification
        self._outputs = outputs
        self._sites = sites
        self._generations = generations
        self._monitoring = monitoring
        self._builder = builder

    @property
    def factories(self) -> Mapping[str, TlsFactory]:
        """The factory for each listening port, by the name of the port."""
        return self._sites.factories

    def start(self) -> None:
        """Start the background work: replication and the rendering of promised outputs. Raises
        StartError.
        """
        current = self._generations.current
        self._sites.serve(current)
        self._replication.start()
        self._monitoring.start()
        if current.graphite:
            current.graphite.start()
        self._outputs.make_by(current.renditions)

    def prepare(self, settings: Settings) -> Generation:
        """Build a generation for `settings`, next to the current one; blocks. `replace` or
        `discard` must follow. Raises StartError.
        """
        return self._builder.build(settings, read_secrets(settings), self._generations.current)

    def replace(self, prepared: Generation) -> None:
        """Answer new requests with the prepared generation. Raises StartError, in which case
        nothing has changed.
        """
        earlier, settings = self._generations.current, prepared.settings
        self._replication.rename(settings.network.name)
        self._replication.reconfigure(settings.replication, prepared.secrets.keys)
        self._generations.succeed(prepared)
        self._storage.admit(settings)
        self._queue.resize(settings.images.io_threads, settings.images.queue)
        self._sites.serve(prepared)
        self._outputs.make_by(prepared.renditions)
        if prepared.graphite is not earlier.graphite:
            sent = earlier.graphite.leave() if earlier.graphite else None
            if prepared.graphite:
                prepared.graphite.start(sent)
        self._storage.resize_cache(earlier.settings, settings)
        if prepared.engine is not earlier.engine:
            self._storage.background.submit(earlier.engine.close)

    def discard(self, prepared: Generation) -> None:
        """Discard a prepared generation; blocks."""
        if prepared.engine is not self._generations.current.engine:
            prepared.engine.close()

    def drain(self) -> "Deferred[None]":
        """Finish the requests on open connections and close them; fires when none is left."""
        return self._sites.drain()

    def abandon(self) -> None:
        """Make waiting and running jobs fail soon, so that their clients get a response."""
        self._queue.refuse_waiting()
        for generation in self._generations:
            generation.abandon()
        self._replication.abandon()

    def stop(self) -> "Deferred[None]":
        """Stop the background work; fires once it has stopped, within moments."""
        self._outputs.stop()
        self._verification.abandon()
        self._monitoring.stop()
        graphite = self._generations.current.graphite
        # while replication can still report its status
        sent: Deferred[None] = graphite.stop() if graphite else succeed(None)
        self._replication.stop()
        return sent

    def close(self) -> None:
        """Finish every job, flush and close everything; blocks."""
        self._queue.stop()
        self._verification.close()
        self._generations.current.engine.close()
        self._threads.stop()
        self._storage.close()
