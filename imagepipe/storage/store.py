"""The store: durable images, and the calls that read and change them.

    store = Store.open(root, umask=0o022, now_ms=..., on_fatal=...)
        the folder is locked and recovered
    store.removed.connect(...)
    store.start()
        ready

    with store.staging() as folder:
        ...                                     an engine writes folder/0, folder/1
        store.put([StagedImage("a.jpg", folder / "0", facts), ...])
            when it returns, the images are on disk and served
    store.delete(["a.jpg"]).add_done_callback(...)
    store.move([("a.jpg", "b.jpg")]).add_done_callback(...)

    store.close()
        every accepted call is finished; the next start has nothing to recover

writer/commit.py makes a change durable; writer/housekeeping.py removes replaced bytes.
"""

import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from imagepipe.core.requests.history_query import HistoryPage
from imagepipe.core.rows.entries import Entry, PathChange, Row, net_moves
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.erasure import erasure_path
from imagepipe.core.rows.versions import FutureStamps
from imagepipe.core.rows.visibility import Hidden
from imagepipe.errors import (
    DiskFull,
    FlushError,
    ImagepipeError,
    NotStored,
    Overloaded,
    StartError,
    StoreUnusable,
)
from imagepipe.runtime.events import Event
from imagepipe.storage.access import Access
from imagepipe.storage.catalogue import schema
from imagepipe.storage.catalogue.history import LostVersion
from imagepipe.storage.catalogue.orders import Order
from imagepipe.storage.image_info import Commit, ImageFacts, ImageInfo, StagedImage
from imagepipe.storage.layout import Layout
from imagepipe.storage.maintenance import Maintenance
from imagepipe.storage.parts import Parts
from imagepipe.storage.peer_rows import PeerRows
from imagepipe.storage.puts import Puts
from imagepipe.storage.readiness import Readiness
from imagepipe.storage.reads import Reads
from imagepipe.storage.shared_file import SharedFile
from imagepipe.storage.verify.findings import VerifyObserver
from imagepipe.storage.writer.calls import WriteCall
from imagepipe.storage.writer.claims import Claim

__all__ = ["Commit", "ImageFacts", "ImageInfo", "StagedImage", "Store"]


CHECKPOINT_SECONDS = 5.0


def _new_id() -> str:
    return secrets.token_hex(16)


class Store:
    """An open store; for any thread. Made by `open`."""

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        umask: int,
        now_ms: Callable[[], int],
        on_fatal: Callable[[FlushError], None],
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        seconds: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = _new_id,
        adopting: bool = False,
    ) -> "Store":
        """Lock the folder `root`, make it a store if it is new, and recover from a crash; blocks.
        Connect listeners, then call `start`, before the first change.

        umask: of the served files and folders. now_ms: the wall clock, in milliseconds since 1970;
        called on any thread. on_fatal: called once, on any thread, when a flush has failed; no
        further write is accepted. checkpoint_seconds: how long after a change the tree is flushed
        and replaced bytes are removed. new_id: returns a random 128-bit number in hex. adopting:
        accept a folder that already has other files in it. Raises StartError.
        """
        try:
            with contextlib.ExitStack() as opened:
                committed: Event[[int]] = Event("store.committed")
                removed: Event[[Sequence[str]]] = Event("store.removed")
                parts = Parts(
                    root,
                    opened,
                    umask=umask,
                    now_ms=now_ms,
                    on_fatal=on_fatal,
                    on_commit=committed.fire,
                    on_removed=removed.fire,
                    checkpoint_seconds=checkpoint_seconds,
                    seconds=seconds,
                    new_id=new_id,
                    adopting=adopting,
                )
                return cls(parts, opened.pop_all(), committed, removed, seconds)
        except OSError as error:
            raise StartError(
                f"{error.filename or root}: {os.strerror(error.errno or 0)}"
            ) from error
        except NotStored as error:
            raise StartError(f"{root} cannot be written: {error}") from error
        except sqlite3.Error as error:
            raise schema.unreadable(Layout(root).catalogue, error) from error

    def __init__(
        self,
        parts: Parts,
        opened: contextlib.ExitStack,
        committed: Event[[int]],
        removed: Event[[Sequence[str]]],
        seconds: Callable[[], float],
    ) -> None:
        self.committed = committed
        """Fires with the new `last_seq`, once the tree shows the change. On the writer's thread:
        listeners must not block.
        """
        self.removed = removed
        """Fires with the digests of objects that were removed or repaired: whatever was derived
        from them must go. On the writer's thread: listeners must not block.
        """
        self.full: Event[[]] = Event("store.full")
        """Fires when the disk is nearly full: listeners may free space. On the thread that called
        `free_space`, which checks again afterwards.
        """
        self.ahead: FutureStamps | None = None
        self.claims = parts.claims
        self._parts = parts
        self._opened = opened
        self._catalogue = parts.catalogue
        self._access = Access(parts, self.full)
        self._reads = Reads(parts)
        self.in_memory = self._reads.in_memory
        self.removed.connect(self.in_memory.discard)
        self._puts = Puts(parts)
        self._maintenance = Maintenance(parts, self._access)
        self.peers = PeerRows(parts, self._access)
        self._readiness = Readiness(
            parts.layout.private,
            parts.health,
            parts.reserve,
            staging=self._puts.staging,
            check_catalogue=parts.catalogue.check,
            folders=parts.objects.folders,
            free_space=self.free_space,
            seconds=seconds,
        )

    def start(self) -> None:
        """Start the writer's thread: from now on calls are answered and events fire."""
        self._parts.writer.start()

    @property
    def node_id(self) -> str:
        """The node's id: 128 random bits in hex, the origin of its versions."""
        return self._catalogue.node_id

    @property
    def not_ready_reason(self) -> str | None:
        """Why no image can be stored now, in one line; None if images can. Never blocks."""
        return self._readiness.not_ready_reason

    def probe(self) -> None:
        """Update `not_ready_reason` and `ahead`; blocks. Call it every few seconds."""
        with contextlib.suppress(Overloaded), self._access.in_flight.one():
            self._readiness.probe()
            # readiness reports what is wrong with the catalogue
            with contextlib.suppress(ImagepipeError, sqlite3.Error):
                self.ahead = self._catalogue.future_stamps(self._parts.now_ms())

    def close(self) -> None:
        """Finish every accepted call, flush, and unlock the folder; blocks. Nothing may be read
        afterwards.
        """
        self._access.in_flight.end()
        self._parts.writer.stop()
        self._parts.pins.unpin_all()
        with self._opened:
            if self._parts.housekeeping.finish():
                with contextlib.suppress(NotStored):  # then the next start sweeps
                    self._catalogue.set_clean(True)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A private folder on the store's file system, for images that `put` then takes over;
        removed at the end.

        Raises NotStored if the disk refuses it.
        """
        try:
            with self._puts.staging() as folder:
                yield folder
        except (OSError, DiskFull, StoreUnusable) as error:
            self._readiness.refused(error)
            raise

    def free_space(self) -> bool:
        """If the disk is nearly full, fire `full`. Returns whether that made enough space."""
        return self._access.free_space()

    def put(self, images: Sequence[StagedImage], *, only_new: bool = False) -> Commit:
        """Store images atomically: when this returns, all of them are on disk and served. Blocks;
        for I/O threads.

        Raises Conflict if one would lie below or above another image, or, with `only_new`, if
        anything was ever stored or deleted at one of the paths; NotStored if the disk is full or a
        path is occupied by a foreign file; Overloaded. In all these cases nothing is stored.
        """
        try:
            with self._access.writing(images[0].path if images else None):
                commit = self._puts.put(images, only_new=only_new)
                self._readiness.succeeded()
                return commit
        finally:
            self._access.wake_for_suspects()

    def delete(self, paths: Sequence[str]) -> "Future[Commit]":
        """Delete images atomically; never blocks. A path without an image is deleted too, because
        its image may be on the way from a peer.
        """
        changes = tuple(PathChange(path, None) for path in dict.fromkeys(paths))
        return self._access.submit(
            WriteCall(tuple(change.path for change in changes), lambda _: changes)
        )

    def erase(self, path: str) -> "Future[Commit]":
        """Delete an image and every version that lost a conflict at its path, here and on every
        node that receives the change; never blocks.
        """
        return self.delete((path, erasure_path(path)))

    def move(self, pairs: Sequence[tuple[str, str]]) -> "Future[Commit]":
        """Move images in order, from source to destination, all or none; never blocks. Fails with
        BadRequest if a source does not exist.
        """
        paths = tuple(dict.fromkeys(path for pair in pairs for path in pair))
        return self._access.submit(
            WriteCall(paths, lambda content_of: net_moves(pairs, content_of), argument="dst_path")
        )

    def look_up(self, path: str) -> Entry | None:
        """The row of a path, live or deleted; None if the path is unknown."""
        return self._catalogue.look_up(path)

    def info(self, path: str) -> ImageInfo | None:
        """The facts of the image at `path`; None if there is none."""
        return self._catalogue.info(path)

    def list(self, prefix: str = "", after: str = "", limit: int = 1000) -> Sequence[str]:
        """At most `limit` stored paths that begin with `prefix` and are greater than `after`, in
        the order of their UTF-8 bytes.
        """
        return self._catalogue.paths(prefix, after, limit)

    def rows(self, paths: Sequence[str]) -> Mapping[str, Row]:
        """The rows of those paths that are known, with the facts from their headers."""
        return self._reads.rows(paths)

    def object_path(self, digest: str) -> Path:
        """The file with these bytes; it may be removed once no image refers to it."""
        return self._parts.objects.path(digest)

    def open_object(self, digest: str) -> SharedFile | None:
        """The object with this digest, open; None if it is gone. Raises Overloaded, or OSError if
        the disk fails.
        """
        return self._reads.open_object(digest)

    def read_object(self, digest: str) -> SharedFile | None:
        """The same for a client: the object stays in memory if it is small."""
        return self._reads.read_object(digest)

    # Promised renditions. All of these block.

    def orders(self) -> Sequence[Order]:
        """The promises that are not kept yet."""
        return self._catalogue.orders.all()

    def order(self, order: Order) -> None:
        """Promise renditions; the promise is on disk when this returns. Raises NotStored on a full
        disk; FlushError; Overloaded.
        """
        with self._access.writing():
            self._access.run(lambda: self._catalogue.orders.add(order))

    def fulfil(self, order: Order) -> None:
        """A promise was kept, or cannot be. Raises what `order` does."""
        with self._access.writing():
            self._access.run(lambda: self._catalogue.orders.remove(order))

    # Maintenance. All but `tidy` block.

    def claim(self, claims: Sequence[Claim]) -> Sequence[str | None]:
        """Turn files that `claims.stage` has staged into images; they are on disk when this
        returns. Returns for each why it was refused, or None.

        Raises NotStored on a full disk; FlushError; Overloaded.
        """
        return self._maintenance.claim(claims)

    def verify(self, observer: VerifyObserver, *, repair: bool) -> None:
        """Verify every image, and with `repair` put right what is wrong. Blocks until it is done,
        and `close` waits for it.

        Raises whatever `observer` raises, which may end it at any moment; NotStored; FlushError;
        Overloaded.
        """
        with self.staging() as folder:
            self._maintenance.verify(observer, folder, repair=repair)

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The starts of this node, oldest first; the last is this one."""
        return self._catalogue.upstreams.epochs

    @property
    def last_seq(self) -> int:
        """The highest durable sequence number."""
        return self._catalogue.last_seq

    @property
    def conflicts(self) -> int:
        """The number of images that lost a conflict and are still kept."""
        return self._catalogue.history.count

    def history(self, path: str | None = None) -> Sequence[LostVersion]:
        """The images that lost a conflict, at `path` or anywhere, latest first. Their bytes are
        kept for 30 days.
        """
        return self._catalogue.history.of(path)

    def lost_page(self, page: HistoryPage) -> Sequence[LostVersion]:
        """One page of them, by path, the newest version of a path first."""
        return self._catalogue.history.page(page)

    def lost_versions(self, path: str, beginning: str, limit: int) -> Sequence[LostVersion]:
        """At most `limit` of those at a path whose written version starts with `beginning`."""
        return self._catalogue.history.versions(path, beginning, limit)

    def hidden(self) -> Sequence[Hidden]:
        """The live images that the tree does not show, because another node stored one above or
        below them. Looks at every image.
        """
        return self._catalogue.hidden()

    def note_facts(self, digest: str, facts: ImageFacts) -> None:
        """Record the facts from an image's header; blocks. Raises NotStored on a full disk;
        FlushError; Overloaded.
        """
        with self._access.writing():
            self._access.run(lambda: self._catalogue.note_facts({digest: facts}))

    def tidy(self) -> "Future[bool]":
        """Do all housekeeping now: flush the tree, remove what is replaced or left over. The
        result is whether nothing is left to do.
        """
        return self._maintenance.tidy()
