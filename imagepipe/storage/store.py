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
import hashlib
import itertools
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from twisted.logger import Logger

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.header_size import HEAD_BYTES
from imagepipe.core.replication.admission import Admission, facts_of_bytes
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.requests.history_query import HistoryPage
from imagepipe.core.rows import join
from imagepipe.core.rows.entries import Content, Entry, PathChange, Row, RowPage, net_moves
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.erasure import erasure_path
from imagepipe.core.rows.join import Cursor, JoinResult, Pending
from imagepipe.core.rows.stamp import milliseconds
from imagepipe.core.rows.versions import FutureStamps
from imagepipe.core.rows.visibility import Hidden
from imagepipe.errors import (
    BadRequest,
    DiskFull,
    FlushError,
    ImagepipeError,
    NotStored,
    Overloaded,
    StartError,
    StoreUnusable,
    quoted,
)
from imagepipe.runtime.events import Event
from imagepipe.runtime.profiling import measured
from imagepipe.storage import layout
from imagepipe.storage.catalogue import schema
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.catalogue.history import LostVersion
from imagepipe.storage.catalogue.orders import Order
from imagepipe.storage.disk import FULL, SPACE_BYTES_MIN, has_space, open_for_reading, refusal
from imagepipe.storage.health import Health
from imagepipe.storage.image_info import Commit, ImageFacts, ImageInfo, StagedImage
from imagepipe.storage.in_flight import InFlight
from imagepipe.storage.lock import FolderLock
from imagepipe.storage.memory import LruMemory
from imagepipe.storage.objects import Objects, Pins
from imagepipe.storage.readiness import Readiness
from imagepipe.storage.reserve import Reserve
from imagepipe.storage.shared_file import SharedFile
from imagepipe.storage.transfers import Transfers
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.verify.repair import Repairs
from imagepipe.storage.verify.verify import Verifier, VerifyObserver
from imagepipe.storage.writer.calls import WriteCall, WriterTask
from imagepipe.storage.writer.claims import Claim, Claims
from imagepipe.storage.writer.commit import Committer
from imagepipe.storage.writer.crash_sweep import sweep_objects, sweep_tree
from imagepipe.storage.writer.housekeeping import Housekeeping
from imagepipe.storage.writer.joiner import Joiner, JoinRequest
from imagepipe.storage.writer.writer import Writer

__all__ = ["Commit", "ImageFacts", "ImageInfo", "StagedImage", "Store"]

T = TypeVar("T")

CHECKPOINT_SECONDS = 5.0

IN_MEMORY_BYTES_MAX = 32 << 20
"""Of the small objects that are kept in memory, because they were asked for."""

IN_MEMORY_OVERHEAD_BYTES = 1 << 10
"""What each of them takes beside its bytes."""

_log = Logger()


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
                store = cls(
                    root,
                    opened,
                    umask,
                    now_ms,
                    on_fatal,
                    checkpoint_seconds,
                    seconds,
                    new_id,
                    adopting,
                )
                store._opened = opened.pop_all()
        except OSError as error:
            raise StartError(
                f"{error.filename or root}: {os.strerror(error.errno or 0)}"
            ) from error
        except NotStored as error:
            raise StartError(f"{root} cannot be written: {error}") from error
        except sqlite3.Error as error:
            raise schema.unreadable(layout.Layout(root).catalogue, error) from error
        return store

    def __init__(
        self,
        root: Path,
        opened: contextlib.ExitStack,
        umask: int,
        now_ms: Callable[[], int],
        on_fatal: Callable[[FlushError], None],
        checkpoint_seconds: float,
        seconds: Callable[[], float],
        new_id: Callable[[], str],
        adopting: bool,
    ) -> None:
        root = root.absolute()
        run = new_id()[:16]
        folder_mode = 0o777 & ~umask
        self.committed: Event[[int]] = Event("store.committed")
        """Fires with `last_seq` whenever that has moved, when the tree shows it. On the writer's
        thread: a listener must not block.
        """
        self.removed: Event[[Sequence[str]]] = Event("store.removed")
        """Fires with the digests whose bytes are off the disk, or have been repaired there: what
        was made of them must go. On the writer's thread: a listener must not block.
        """
        self.full: Event[[]] = Event("store.full")
        """Fires when the disk is nearly full: a listener may free what is not needed. On the thread
        that calls `free_space`, which then looks again.
        """
        self._layout = layout.Layout(root)
        self._run_id = run
        # which any thread may ask for the next: a generator would not stand two at once
        self._staged = itertools.count()
        self._objects = Objects(self._layout.objects, 0o666 & ~umask)
        self._small_objects: LruMemory[str, SharedFile] = LruMemory(IN_MEMORY_BYTES_MAX)
        self.removed.connect(self._small_objects.discard)
        self._pins = Pins()
        self._health = Health(on_fatal)
        self._in_flight = InFlight()

        layout.make_private(self._layout, folder_mode, adopting=adopting)
        opened.callback(FolderLock(self._layout.lock).release)
        layout.make_catalogue(self._layout, self._objects, new_id(), adopting=adopting)
        self._reserve = Reserve(self._layout.reserve)
        # a full disk is no reason not to start: starting is what makes room
        self._reserve.release()
        self._catalogue = Catalogue(self._layout.catalogue, self._health)
        opened.callback(self._catalogue.close)

        tree = Tree(root, self._objects, run, folder_mode)
        sweep = None
        if not self._catalogue.was_clean:
            sweep = itertools.chain(
                sweep_objects(self._objects, self._catalogue, self._pins),
                sweep_tree(root, run, tree.changed_folders),
            )
        self._housekeeping = Housekeeping(
            self._catalogue,
            tree,
            self._objects,
            self._pins,
            self._health,
            self._reserve,
            interval=checkpoint_seconds,
            seconds=seconds,
            now_ms=now_ms,
            sweep=sweep,
            on_removed=self.removed.fire,
        )
        layout.empty_staging(self._layout)
        self._catalogue.start(new_id())
        self._housekeeping.recover()
        self._reserve.allocate()
        self._health.watch(self._layout.root, self._layout.lasting, self._layout.catalogue)
        self._readiness = Readiness(
            self._layout.private,
            self._health,
            self._reserve,
            staging=self._staging,
            check_catalogue=self._catalogue.check,
            folders=self._objects.folders,
            free_space=self.free_space,
            seconds=seconds,
        )

        self._now_ms = now_ms
        self.ahead: FutureStamps | None = None
        self.admission: Admission | None = None
        self.room_bytes = 0
        self._transfers = Transfers(
            self._layout.staging, self._objects, self.space_for_peers, self._is_image
        )
        self.claims = Claims(self._catalogue, tree, self._objects, self._housekeeping, now_ms)
        self._repairs = Repairs(
            self._catalogue, tree, self._housekeeping, self._layout.found, now_ms
        )
        self._tree = tree
        self._joiner = Joiner(
            self._catalogue,
            tree,
            self._objects,
            self._housekeeping,
            self._health,
            now_ms,
            self.committed.fire,
        )
        committer = Committer(
            self._catalogue, tree, self._housekeeping, self._health, now_ms, self.committed.fire
        )
        self._writer = Writer(committer.commit, self._housekeeping)
        self._opened = contextlib.ExitStack()

    def start(self) -> None:
        """Let the writer's thread begin: from here on calls are answered and events fire."""
        self._writer.start()

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
        with contextlib.suppress(Overloaded), self._in_flight.one():
            self._readiness.probe()
            # what is wrong with the catalogue, readiness reports
            with contextlib.suppress(ImagepipeError, sqlite3.Error):
                self.ahead = self._catalogue.future_stamps(self._now_ms())

    def close(self) -> None:
        """Finish every call that was accepted, flush, and let go of the folder; blocks. No read
        follows.
        """
        self._in_flight.end()
        self._writer.stop()
        self._pins.unpin_all()
        with self._opened:
            if self._housekeeping.finish():
                with contextlib.suppress(NotStored):  # the next start sweeps, then
                    self._catalogue.set_clean(True)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder of one's own on the store's file system, to write images in that `put` then
        takes; gone at the end.

        Raises NotStored where the disk refuses it.
        """
        try:
            with self._staging() as folder:
                yield folder
        except (OSError, DiskFull, StoreUnusable) as error:
            self._readiness.refused(error)
            raise

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        folder = self._layout.staging / f"{self._run_id}-{next(self._staged)}"
        try:
            folder.mkdir(0o700)
        except OSError as error:
            self._health.check_places()  # which knows better what is wrong
            raise refusal(error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, onerror=_left_behind)

    def free_space(self) -> bool:
        """Where the disk is nearly full, free what is not needed; whether there is room now that
        was not there before.
        """
        try:
            if has_space(self._layout.private):
                return False
            self.full.fire()
            return has_space(self._layout.private)
        except OSError:  # the folder is not there
            return False

    def put(self, images: Sequence[StagedImage], *, only_new: bool = False) -> Commit:
        """Store images as one: when this returns, all are on the disk and served. Blocks; for I/O
        threads.

        Raises Conflict if one would lie below or above another image, or, with `only_new`, if at
        one of the paths anything was ever stored or deleted; NotStored if the disk is full or a
        file that is not imagepipe's lies at a path; Overloaded. Nothing is stored then.
        """
        try:
            with self._writing(images[0].path if images else None):
                commit = self._put(images, only_new=only_new)
                self._readiness.succeeded()
                return commit
        finally:
            if self._pins.has_suspects:
                self._writer.wake()

    def delete(self, paths: Sequence[str]) -> "Future[Commit]":
        """Delete images as one; never blocks. A path that does not exist is deleted too: its image
        may be on the way from a peer.
        """
        changes = tuple(PathChange(path, None) for path in dict.fromkeys(paths))
        return self._submitted(
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
        return self._submitted(
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
        remembered = self._catalogue.rows_in_memory(paths)
        return self._catalogue.rows(paths, remember=True) if remembered is None else remembered

    def object_path(self, digest: str) -> Path:
        """Where the bytes with this digest are; the file may go once no image has it any more."""
        return self._objects.path(digest)

    def open_object(self, digest: str) -> SharedFile | None:
        """The bytes with this digest, opened; None if they are gone. Raises Overloaded, or OSError
        where the disk fails.
        """
        try:
            return SharedFile(open_for_reading(self._objects.place(digest)))
        except FileNotFoundError:
            return None
        except OSError as error:
            refused = refusal(error)
            if isinstance(refused, Overloaded):
                raise refused from error
            raise

    # What is at hand: on any thread, and it never blocks.

    def rows_in_memory(self, paths: Sequence[str]) -> Mapping[str, Row] | None:
        """What `rows` would find, at this moment; None if it would have to ask."""
        return self._catalogue.rows_in_memory(paths)

    def object_in_memory(self, digest: str) -> SharedFile | None:
        """What `open_object` would find, held for the caller; None if it would have to look."""
        file = self._small_objects.get(digest)
        return file.hold() if file else None

    def keep_in_memory(self, digest: str, file: SharedFile) -> None:
        """Have the bytes of an object that somebody asks for at hand, if they are few, and what
        they should be. Takes its time: they are read through.
        """
        if file.is_in_memory and hashlib.sha256(file.head).hexdigest() == digest:
            self._small_objects.put(digest, file, file.size + IN_MEMORY_OVERHEAD_BYTES)

    # Renditions that were promised. They block.

    def orders(self) -> Sequence[Order]:
        """What is still to be done."""
        return self._catalogue.orders.all()

    def order(self, order: Order) -> None:
        """Promise renditions; it is on the disk when this returns. Raises NotStored on a full disk;
        FlushError; Overloaded.
        """
        with self._writing():
            self._run(lambda: self._catalogue.orders.add(order))

    def fulfil(self, order: Order) -> None:
        """A promise was kept, or cannot be. Raises what `order` does."""
        with self._writing():
            self._run(lambda: self._catalogue.orders.remove(order))

    # Files that are in the tree already. It blocks.

    def claim(self, claims: Sequence[Claim]) -> Sequence[str | None]:
        """Make images of what `claims.stage` has staged; when this returns they are on the disk.
        For each why it was not done, or None.

        Raises NotStored on a full disk; FlushError; Overloaded.
        """
        digests = [one.content.digest for one in claims]
        with self._writing(), self._pins.pinned(digests):
            for one in claims:
                self._objects.add(one.content.digest, one.staged, one.content.size)
            self._objects.flush(digests)
            refusals = self._run(lambda: self.claims.claim(claims))
        self._abandon([digest for digest, why in zip(digests, refusals, strict=True) if why])
        return refusals

    def verify(self, observer: VerifyObserver, *, repair: bool) -> None:
        """Verify every image, and put right what is wrong if so asked; blocks for as long as that
        takes, and `close` waits for it.

        Raises what `walk` raises, which ends it at any moment; NotStored; FlushError; Overloaded.
        """
        with self.staging() as folder, self._writing():
            parts = self._catalogue, self._tree, self._objects, self.claims, self._repairs
            Verifier(*parts, self._run, folder, observer, repair=repair).run()

    # For replication. What blocks is for threads other than the reactor's. admission: what is taken
    # over from peers; None: everything, as tests of the store alone want it. room_bytes: what
    # `space_for_peers` last was.

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

    def cursors(self) -> Mapping[str, Cursor]:
        """How far this node has pulled from its upstreams, by node id."""
        return self._catalogue.upstreams.cursors()

    def pending(self) -> Sequence[Pending]:
        """The rows of upstreams that wait for their bytes, an upstream's in its order."""
        return self._catalogue.upstreams.pending()

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

    def changes(self, after: int, limit: int) -> RowPage:
        """The rows with numbers above `after`, in order, `limit` at most."""
        return self._catalogue.changes(after, limit)

    def read_piece(self, digest: str, offset: int, length: int) -> bytes | None:
        """Some bytes of an object; None if it is missing or has fewer."""
        return self._objects.read(digest, offset, length)

    def pin_rows(self, rows: Sequence[Row]) -> Sequence[Content]:
        """Keep the bytes that `rows` name, here or on their way, until `unpin_rows`; returns those
        that must come before `join`.

        Where this raises nothing is held.
        """
        self._health.check()
        with self._in_flight.one():
            self.room_bytes = self.space_for_peers()
            digests = _digests(rows)
            self._pins.pin(digests)  # before it is looked whether they are here
            try:
                return tuple(
                    content
                    for content in join.missing_contents(rows, self._catalogue.look_up)
                    if not self._objects.has(content)
                )
            except BaseException:
                self._pins.unpin(digests)
                raise

    def unpin_rows(self, rows: Sequence[Row]) -> None:
        """Undo one `pin_rows`: bytes that nothing names and nobody else holds will be removed."""
        free = self._pins.unpin(_digests(rows))
        # closing lets go of everything itself
        with contextlib.suppress(Overloaded), self._in_flight.one():
            self._abandon(free)

    def receive(self, transfer: int, content: Content, offset: int, data: bytes) -> ReceiveResult:
        """Take bytes of an object from a peer: disjoint ranges in any order, of one transfer by
        several threads at once.

        `transfer` is the caller's number for one attempt to get all of it. COMPLETE: the bytes are
        those that the digest says, and are here; they are durable once a row that names them is
        joined. DAMAGED: they are not, or are too many. UNWANTED: they are no image. NO_ROOM: the
        disk has no room for them. In all these cases they are gone. Raises NotStored on a full
        disk, and what came of the transfer is gone; FlushError; Overloaded.
        """
        with self._freeing_space(), self._writing():
            if not self._reserve.is_allocated:
                self._transfers.discard(transfer)
                return ReceiveResult.NO_ROOM
            received = self._transfers.receive(transfer, content, offset, data)
            if received is ReceiveResult.COMPLETE:
                self._abandon([content.digest])  # if it was let go of meanwhile
            return received

    def discard(self, transfer: int) -> None:
        """Forget a transfer that did not end, if there is one."""
        self._transfers.discard(transfer)

    def join(
        self,
        rows: Sequence[Row],
        upstream: str | None,
        cursor: Cursor | None,
        *,
        from_start: bool = False,
    ) -> JoinResult:
        """Join rows of distinct paths with the map, whose bytes were held and received as far as
        they could be; `cursor` is where they end.

        When this returns it is durable, and the tree shows it. A row whose bytes are not here waits
        for them in `pending`. upstream None: rows of several upstreams, which were pending. afresh:
        the upstream sends its rows from the start again, so its pending rows are void. Raises
        NotStored on a full disk, and nothing is changed then; FlushError; Overloaded.
        """
        with self._freeing_space(), self._writing():
            here = frozenset(
                content
                for content in join.missing_contents(rows, self._catalogue.look_up)
                if self._objects.has(content)
            )
            self._objects.flush(content.digest for content in here)
            rows = [
                self._with_checked_facts(row) if row.entry.content in here else row for row in rows
            ]
            return self._run(
                lambda: self._joiner.join(JoinRequest(rows, upstream, cursor, from_start, here))
            )

    def forget_upstreams(self, upstreams: Sequence[str]) -> None:
        """Forget how far upstreams were pulled, by the names of their links, and what waits of
        them; blocks.

        Raises NotStored on a full disk; FlushError; Overloaded.
        """
        with self._writing():
            self._run(lambda: self._joiner.forget(upstreams))

    def space_for_peers(self) -> int:
        """How many bytes of peers the disk can take so that there is still room for an image that a
        client stores.
        """
        status = os.statvfs(self._layout.private)
        room, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        own = self.admission.bytes_max if self.admission else 0
        return room - min(SPACE_BYTES_MIN + own, total // 8)

    def note_facts(self, digest: str, facts: ImageFacts) -> None:
        """Write down what the header of an image says; blocks. Raises NotStored on a full disk;
        FlushError; Overloaded.
        """
        with self._writing():
            self._run(lambda: self._catalogue.note_facts({digest: facts}))

    def _is_image(self, head: bytes) -> bool:
        return self.admission is None or formats.sniff(head) is not None

    def _with_checked_facts(self, row: Row) -> Row:
        content = row.entry.content
        if self.admission is None or row.facts is None or content is None:
            return row
        head = self._objects.read(content.digest, 0, min(content.size, HEAD_BYTES))
        return replace(row, facts=facts_of_bytes(head or b"", row.facts))

    @contextlib.contextmanager
    def _writing(self, path: str | None = None) -> Iterator[None]:
        """A call that writes on its own thread; what the disk says to it becomes what the caller is
        told.
        """
        self._health.check()
        try:
            with self._in_flight.one():
                self._health.check_places()
                yield
        except FlushError as error:
            self._health.fail(error)
            raise
        except OSError as error:
            raise refusal(error, path) from error

    @contextlib.contextmanager
    def _freeing_space(self) -> Iterator[None]:
        """What does not fit now is tried again later; then there is room, if there can be."""
        try:
            yield
        except DiskFull:
            self.free_space()
            raise

    def _run(self, work: Callable[[], T]) -> T:
        """What `work` returns, on the writer's thread."""
        task = WriterTask(work)
        self._writer.submit(task)
        result = task.future.result()
        self._health.check_places()  # what was written may be lost if it is another folder by now
        return result

    def _abandon(self, digests: Sequence[str]) -> None:
        """Have those of `digests` removed that nothing names and nobody holds."""
        if unnamed := self._catalogue.unnamed(digests):
            self._pins.abandon(unnamed)
            if self._pins.has_suspects:
                self._writer.wake()

    def tidy(self) -> "Future[bool]":
        """Do all housekeeping now: the tree flushed, what is replaced or left over removed. Whether
        nothing is left to do.
        """
        task = WriterTask(self._housekeeping.finish)
        self._writer.submit(task)
        return task.future

    def _put(self, images: Sequence[StagedImage], *, only_new: bool) -> Commit:
        if not self._reserve.is_allocated:
            raise DiskFull(FULL)
        changes: dict[str, PathChange] = {}
        contents = []
        for image in images:
            if image.path in changes:
                raise BadRequest("path", f"two images for {quoted(image.path)}")
            contents.append(self._seal(image.file))
            changes[image.path] = PathChange(image.path, contents[-1])
        digests = [content.digest for content in contents]
        with self._pins.pinned(digests):
            with measured("flush"):
                for image, content in zip(images, contents, strict=True):
                    self._objects.add(content.digest, image.file, content.size)
                self._objects.flush(digests)
            facts = {digest: image.facts for image, digest in zip(images, digests, strict=True)}
            call = WriteCall(
                tuple(changes), lambda _: tuple(changes.values()), facts=facts, only_new=only_new
            )
            with measured("commit"):
                self._writer.submit(call)
                commit = call.future.result()
        if commit.version is None:
            return commit
        modified_ms = milliseconds(commit.version.stamp)
        return replace(
            commit,
            stored=tuple(
                _stored(image, content, modified_ms)
                for image, content in zip(images, contents, strict=True)
            ),
        )

    def _seal(self, file: Path) -> Content:
        """Hash a staged file and flush it."""
        with open_for_reading(file) as opened:
            with measured("hash"):
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            with measured("flush"):
                self._objects.seal(opened.fileno(), file)
            return Content(digest, os.fstat(opened.fileno()).st_size)

    def _submitted(self, call: WriteCall) -> "Future[Commit]":
        """Hand a call over for one who expects every answer in the future."""
        try:
            self._health.check()
            self._writer.submit(call)
        except ImagepipeError as error:
            call.future.set_exception(error)
        return call.future


def _stored(image: StagedImage, content: Content, modified_ms: int) -> ImageInfo:
    facts = image.facts
    return ImageInfo(
        image.path,
        content.size,
        content.digest,
        facts.width,
        facts.height,
        facts.format,
        modified_ms,
    )


def _digests(rows: Sequence[Row]) -> Sequence[str]:
    return [row.entry.content.digest for row in rows if row.entry.content]


def _left_behind(_function: object, path: str, error: object) -> None:
    _log.warn(
        "the staged file {path} is left until the next start: {error}", path=path, error=error
    )
