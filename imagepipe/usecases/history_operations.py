"""Listing the images that lost a conflict, and restoring one."""

from collections.abc import Sequence
from hashlib import sha256

from imagepipe.core.requests.call_arguments import StoreRequest
from imagepipe.core.requests.history_query import HistoryPage, version_text
from imagepipe.core.rows.entries import Content
from imagepipe.errors import BadRequest, NotFound, NotStored, quoted
from imagepipe.runtime.render_queue import TimedResult
from imagepipe.storage.catalogue.history import LostVersion
from imagepipe.storage.disk import refusal
from imagepipe.storage.store import Commit, Store
from imagepipe.usecases.peers import OnThread
from imagepipe.usecases.store_operation import StoreOperation


class HistoryOperations:
    """Called on the reactor's thread; `on_thread` runs a short blocking call on a thread of its own
    pool.
    """

    def __init__(self, on_thread: OnThread, store: Store, store_operation: StoreOperation) -> None:
        self._on_thread = on_thread
        self._store = store
        self._store_operation = store_operation

    async def history(self, page: HistoryPage) -> Sequence[LostVersion]:
        """The requested page of the images on this node that lost a conflict."""
        lost: Sequence[LostVersion] = await self._on_thread(lambda: self._store.lost_page(page))
        return lost

    async def restore(self, path: str, beginning: str, to: str) -> TimedResult[Commit]:
        """Store at `to` the image that lost a conflict at `path` and whose version starts with
        `beginning`. It becomes a new version, like any other.

        Raises NotFound if there is no such version, BadRequest if there are several, NotStored if
        its bytes are gone or corrupt, and what `store` raises.
        """
        found: Sequence[LostVersion] = await self._on_thread(
            lambda: self._store.lost_versions(path, beginning, 2)
        )
        if not found:
            raise NotFound(
                "version",
                f"this node has no version of {quoted(path, 200)} that begins with {beginning}",
            )
        if len(found) > 1:
            texts = " and ".join(version_text(lost.version) for lost in found)
            raise BadRequest(
                "version",
                f"several versions begin with {beginning}, such as {texts}: give more of it",
            )
        content = found[0].content
        return await self._store_operation.store(
            lambda: self._lost_bytes(content), StoreRequest(to, ())
        )

    def _lost_bytes(self, content: Content) -> bytes:
        """The bytes of an image that lost. They may have just been removed, or may be corrupt:
        no live image uses them.
        """
        try:
            file = self._store.open_object(content.digest)
            if file is None:
                raise NotStored("the bytes of this version are gone")
            try:
                image = file.read(0, content.size)
            finally:
                file.close()
        except OSError as error:
            raise refusal(error) from error
        if sha256(image).hexdigest() != content.digest:
            raise NotStored("the bytes of this version are corrupt on disk")
        return image
