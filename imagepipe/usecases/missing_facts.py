"""Reads the facts of a stored image from its header if the catalogue has none.

They are missing if a peer sent the image with implausible facts (core/replication/admission.py).
The facts are then stored, so that each header is read only once.
"""

import contextlib
from dataclasses import replace

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rendering import formats
from imagepipe.core.rows.entries import Content, ImageFacts, Row
from imagepipe.engines.engine import Engine
from imagepipe.errors import NotStored
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.storage.disk import refusal
from imagepipe.storage.store import Store


class MissingFacts:
    """Reads headers as queued jobs. Runs on the reactor's thread."""

    def __init__(self, queue: RenderQueue, store: Store, engine: Engine) -> None:
        self._queue = queue
        self._store = store
        self._engine = engine

    async def complete(self, row: Row) -> Row:
        """The row of an image, with facts. Raises Overloaded, and NotStored if the header is
        unreadable.
        """
        content = row.entry.content
        if content is None or row.facts is not None:
            return row
        timed = await self._queue.run(lambda: self._read(content), JobKind.READ)
        return replace(row, facts=timed.result)

    def _read(self, content: Content) -> ImageFacts:
        try:
            facts = self._header(content)
        except OSError as error:
            raise refusal(error) from error
        with contextlib.suppress(NotStored):  # if the disk is full, it is read again next time
            self._store.note_facts(content.digest, facts)
        return facts

    def _header(self, content: Content) -> ImageFacts:
        file = self._store.open_object(content.digest)
        if file is None:
            raise NotStored("the image was replaced or deleted just now")
        with contextlib.closing(file):
            format = formats.sniff(file.head[: formats.SNIFF_BYTES])
            if format is None:
                raise NotStored("the stored file is not an image of a known format")
            with self._queue.engine_turn(), self._engine.open(file.content, format) as source:
                return ImageFacts(format.name, source.facts.size.width, source.facts.size.height)
