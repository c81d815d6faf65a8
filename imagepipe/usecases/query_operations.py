"""Looking up the facts of a stored image, and listing stored paths."""

from collections.abc import Sequence

from imagepipe.core.rows.entries import Row
from imagepipe.errors import NotFound, quoted
from imagepipe.storage.image_info import info_of
from imagepipe.storage.store import ImageInfo, Store
from imagepipe.usecases.missing_facts import MissingFacts
from imagepipe.usecases.peers import OnThread, Peers, catch_up_unless_known


class QueryOperations:
    """Called on the reactor's thread; `on_thread` runs a short blocking call on a thread of its own
    pool.
    """

    def __init__(
        self, on_thread: OnThread, store: Store, peers: Peers, missing_facts: MissingFacts
    ) -> None:
        self._on_thread = on_thread
        self._store = store
        self._peers = peers
        self._missing_facts = missing_facts

    async def info(self, path: str) -> ImageInfo:
        """The facts of the image at a clean path. Raises NotFound, and NotStored or Overloaded if
        its header has to be read and cannot be.
        """
        await catch_up_unless_known(self._peers, self._on_thread, self._store, [path])
        row: Row | None = (await self._on_thread(lambda: self._store.rows([path]))).get(path)
        if row is None or row.entry.content is None:
            raise NotFound("path", f"there is no image {quoted(path)}")
        return info_of(await self._missing_facts.complete(row))

    async def list(self, prefix: str, after: str, limit: int) -> Sequence[str]:
        """At most `limit` stored paths, in byte order, that start with `prefix` and are greater
        than `after`.
        """
        paths: Sequence[str] = await self._on_thread(lambda: self._store.list(prefix, after, limit))
        return paths
