"""The store: what is held, durably, and the calls that change it.

    store = Store.open(root, umask=0o022, now_ms=..., on_fatal=...)       locked, recovered
    store.removed.connect(...)                                            and other events
    store.start()                                                         ready

    with store.staging() as folder:
        ...                                                               an engine writes folder/0,
            folder/1
        store.put([StagedImage("a.jpg", folder / "0", facts), ...])       when it returns, they are
            on the disk and served
    store.delete(["a.jpg"]).add_done_callback(...)
    store.move([("a.jpg", "b.jpg")]).add_done_callback(...)

    store.close()                                                         what was accepted is done;
        the next start has nothing to recover

How a change becomes durable is in commit.py, how long replaced bytes stay in housekeeping.py.
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
from imagepipe.storage.verify.verify import VerifyObserver
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
        """Lock the folder `root`, make it a store on its first start, recover what a crash left;
        blocks. `start` it before the first call that changes anything.

        umask: of the served files and folders. now_ms: the wall clock, in milliseconds since 1970;
        any thread calls it. on_fatal: called once, on any thread, when a flush has failed; no write
        is taken from then on. checkpoint_seconds: how long after a change the tree is flushed
        and replaced bytes are removed. new_id: a random 128-bit number in hex. adopting: files that
        it did not put there are no reason to refuse. Raises StartError.
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
        """Fires with `last_seq` whenever that has moved, when the tree shows it. On the writer's
        thread: a listener must not block.
        """
        self.removed = removed
        """Fires with the digests whose bytes are off the disk, or have been repaired there: what
        was made of them must go. On the writer's thread: a listener must not block.
        """
        self.full: Event[[]] = Event("store.full")
        """Fires when the disk is nearly full: a listener may free what is not needed. On the thread
        that calls `free_space`, which then looks again.
        """
        self.ahead: FutureStamps | None = None
        self.claims = parts.claims
        self._parts = parts
        self._opened = opened
        self._catalogue = parts.catalogue
        self._access = Access(parts, self.full)
        self._reads = Reads(parts)
        self.removed.connect(self._reads.discard)
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
        """Let the writer's thread begin: from here on calls are answered and events fire."""
        self._parts.writer.start()

    @property
    def node_id(self) -> str:
        """Who this node is: 128 random bits in hex, the origin of its versions."""
        return self._catalogue.node_id

    @property
    def not_ready_reason(self) -> str | None:
        """Why no image can be stored now, in one line; None: images can be stored. Never blocks."""
        return self._readiness.not_ready_reason

    def probe(self) -> None:
        """Update `not_ready_reason` and `ahead`; blocks. To be called every few seconds."""
        with contextlib.suppress(Overloaded), self._access.in_flight.one():
            self._readiness.probe()
            # what is wrong with the catalogue, readiness reports
            with contextlib.suppress(ImagepipeError, sqlite3.Error):
                self.ahead = self._catalogue.future_stamps(self._parts.now_ms())

    def close(self) -> None:
        """Finish every call that was accepted, flush, and let go of the folder; blocks. No read
        follows.
        """
        self._access.in_flight.end()
        self._parts.writer.stop()
        self._parts.pins.unpin_all()
        with self._opened:
            if self._parts.housekeeping.finish():
                with contextlib.suppress(NotStored):  # the next start sweeps, then
                    self._catalogue.set_clean(True)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder of one's own on the store's file system, to write images in that `put` then
        takes; gone at the end.

        Raises NotStored where the disk refuses it.
        """
        try:
            with self._puts.staging() as folder:
                yield folder
        except (OSError, DiskFull, StoreUnusable) as error:
            self._readiness.refused(error)
            raise

    def free_space(self) -> bool:
        """Where the disk is nearly full, free what is not needed; whether there is room now that
        was not there before.
        """
        return self._access.free_space()

    def put(self, images: Sequence[StagedImage], *, only_new: bool = False) -> Commit:
        """Store images as one: when this returns, all are on the disk and served. Blocks; for I/O
        threads.

        Raises Conflict if one would lie below or above another image, or, with `only_new`, if at
        one of the paths anything was ever stored or deleted; NotStored if the disk is full or a
        file that is not imagepipe's lies at a path; Overloaded. Nothing is stored then.
        """
        try:
            with self._access.writing(images[0].path if images else None):
                commit = self._puts.put(images, only_new=only_new)
                self._readiness.succeeded()
                return commit
        finally:
            self._access.wake_for_suspects()

    def delete(self, paths: Sequence[str]) -> "Future[Commit]":
        """Delete images as one; never blocks. A path that does not exist is deleted too: its image
        may be on the way from a peer.
        """
        changes = tuple(PathChange(path, None) for path in dict.fromkeys(paths))
        return self._access.submit(
            WriteCall(tuple(change.path for change in changes), lambda _: changes)
        )

    def erase(self, path: str) -> "Future[Commit]":
        """Delete an image, and all that lost a conflict at its path, here and on every node that
        hears of it; never blocks.
        """
        return self.delete((path, erasure_path(path)))

    def move(self, pairs: Sequence[tuple[str, str]]) -> "Future[Commit]":
        """Move images in order, source to destination, all or none; never blocks. Fails with
        BadRequest if a source does not exist.
        """
        paths = tuple(dict.fromkeys(path for pair in pairs for path in pair))
        return self._access.submit(
            WriteCall(paths, lambda content_of: net_moves(pairs, content_of), argument="dst_path")
        )

    def look_up(self, path: str) -> Entry | None:
        """The row of a path, live or deleted; None if it was never heard of."""
        return self._catalogue.look_up(path)

    def info(self, path: str) -> ImageInfo | None:
        """What is known of the image at `path`; None if there is none."""
        return self._catalogue.info(path)

    def list(self, prefix: str = "", after: str = "", limit: int = 1000) -> Sequence[str]:
        """Stored paths in order of their UTF-8 bytes that begin with `prefix` and are greater than
        `after`, `limit` at most.
        """
        return self._catalogue.paths(prefix, after, limit)

    def rows(self, paths: Sequence[str]) -> Mapping[str, Row]:
        """The rows of those paths that were ever heard of, with what the headers of their bytes
        say.
        """
        return self._reads.rows(paths)

    def object_path(self, digest: str) -> Path:
        """Where the bytes with this digest are; the file may go once no image has it any more."""
        return self._parts.objects.path(digest)

    def open_object(self, digest: str) -> SharedFile | None:
        """The bytes with this digest, opened; None if they are gone. Raises Overloaded, or OSError
        where the disk fails.
        """
        return self._reads.open_object(digest)

    # What is at hand: on any thread, and it never blocks.

    def rows_in_memory(self, paths: Sequence[str]) -> Mapping[str, Row] | None:
        """What `rows` would find, at this moment; None if it would have to ask."""
        return self._reads.rows_in_memory(paths)

    def object_in_memory(self, digest: str) -> SharedFile | None:
        """What `open_object` would find, held for the caller; None if it would have to look."""
        return self._reads.object_in_memory(digest)

    def keep_in_memory(self, digest: str, file: SharedFile) -> None:
        """Have the bytes of an object that somebody asks for at hand, if they are few, and what
        they should be. Takes its time: they are read through.
        """
        self._reads.keep_in_memory(digest, file)

    # Renditions that were promised. They block.

    def orders(self) -> Sequence[Order]:
        """What is still to be done."""
        return self._catalogue.orders.all()

    def order(self, order: Order) -> None:
        """Promise renditions; it is on the disk when this returns. Raises NotStored on a full disk;
        FlushError; Overloaded.
        """
        with self._access.writing():
            self._access.run(lambda: self._catalogue.orders.add(order))

    def fulfil(self, order: Order) -> None:
        """A promise was kept, or cannot be. Raises what `order` does."""
        with self._access.writing():
            self._access.run(lambda: self._catalogue.orders.remove(order))

    # Files that are in the tree already. It blocks.

    def claim(self, claims: Sequence[Claim]) -> Sequence[str | None]:
        """Make images of what `claims.stage` has staged; when this returns they are on the disk.
        For each why it was not done, or None.

        Raises NotStored on a full disk; FlushError; Overloaded.
        """
        return self._maintenance.claim(claims)

    def verify(self, observer: VerifyObserver, *, repair: bool) -> None:
        """Verify every image, and put right what is wrong if so asked; blocks for as long as that
        takes, and `close` waits for it.

        Raises what `walk` raises, which ends it at any moment; NotStored; FlushError; Overloaded.
        """
        with self.staging() as folder:
            self._maintenance.verify(observer, folder, repair=repair)

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The starts of this node, oldest first; the last is this one."""
        return self._catalogue.upstreams.epochs

    @property
    def last_seq(self) -> int:
        """The newest number that is durable."""
        return self._catalogue.last_seq

    @property
    def conflicts(self) -> int:
        """How many images are kept that lost a conflict."""
        return self._catalogue.history.count

    def history(self, path: str | None = None) -> Sequence[LostVersion]:
        """The images that lost a conflict, at `path` or anywhere, the latest first; their bytes are
        kept for 30 days.
        """
        return self._catalogue.history.of(path)

    def lost_page(self, page: HistoryPage) -> Sequence[LostVersion]:
        """Some of them, by path, the newest version of a path first."""
        return self._catalogue.history.page(page)

    def lost_versions(self, path: str, beginning: str, limit: int) -> Sequence[LostVersion]:
        """Some of them, of a path, whose version as it is written begins so; `limit` at most."""
        return self._catalogue.history.versions(path, beginning, limit)

    def hidden(self) -> Sequence[Hidden]:
        """The live images that the tree does not show, because another node has stored one above or
        below them; looks at every image.
        """
        return self._catalogue.hidden()

    def note_facts(self, digest: str, facts: ImageFacts) -> None:
        """Write down what the header of an image says; blocks. Raises NotStored on a full disk;
        FlushError; Overloaded.
        """
        with self._access.writing():
            self._access.run(lambda: self._catalogue.note_facts({digest: facts}))

    def tidy(self) -> "Future[bool]":
        """Do all housekeeping now: the tree flushed, what is replaced or left over removed. Whether
        nothing is left to do.
        """
        return self._maintenance.tidy()
