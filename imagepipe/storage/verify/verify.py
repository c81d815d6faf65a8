"""`verify`: every live image against its digest, at a bounded rate, while the store is at work; and
what is wrong put right, where that is asked for.

    object     there, of its size, of its digest           each is read once: the walk is by digest,
                                                           so that the paths which share one follow
                                                           each other
    file       a link to the object; or a copy with its bytes
    all else   that lies in the tree is no image: a stranger's

    rotten or missing object    from a copy in the tree with the right bytes, or from peers; the bad
                                one stays until the good one is here
    file of the tree            repair.py: linked again; what lies in its place is moved aside, and
                                so is what is no image

All of it is on one thread of its own, but for what needs the writer's. A row or file that changes
while it is looked at is no problem: it is looked at again, on the writer's thread, before anything
is said of it. An image that another one hides has no file.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol, TypeVar

from imagepipe.core.rows.entries import Content, Entry
from imagepipe.errors import FlushError, ImagepipeError, Overloaded
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.disk import AnyPath, open_for_reading, refusal
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.changes import Occupant
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.tree.walk import SkippedFile, WalkedFile, walk
from imagepipe.storage.verify.findings import Extent, Finding, ImageProblem, VerifyObserver
from imagepipe.storage.verify.repair import Repairs, TreeState
from imagepipe.storage.writer.claims import Claims, is_same

T = TypeVar("T")

PAGE = 1000
"""How many rows are read from the catalogue at once."""

FETCHED_AT_ONCE = 64
FETCHED_BYTES_MAX = 64 << 20
"""How many objects are asked of peers together, and how many bytes."""

LOOKS_MAX = 5
"""How often what keeps changing is looked at."""

_PIECE_BYTES = 1 << 20

NOT_REPAIRED = "not repaired: its bytes are not to be had from any peer"


class OnWriter(Protocol):
    """Runs something on the writer's thread, and waits for it."""

    def __call__(self, work: Callable[[], T]) -> T:
        """What `work` returns."""
        ...


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of one object, and what is wrong with it."""

    content: Content
    entries: Sequence[Entry]
    problem: ImageProblem


class Verifier:
    """One verification. staging: a folder of its own on the store's disk."""

    def __init__(
        self,
        catalogue: Catalogue,
        tree: Tree,
        objects: Objects,
        claims: Claims,
        repairs: Repairs,
        on_writer: OnWriter,
        staging: Path,
        observer: VerifyObserver,
        *,
        repair: bool,
    ) -> None:
        self._catalogue = catalogue
        self._tree = tree
        self._objects = objects
        self._claims = claims
        self._repairs = repairs
        self._on_writer = on_writer
        self._staging = staging
        self._observer = observer
        self._repair = repair
        # of the last object: its digest, what was wrong with it, and still is
        self._known: tuple[str, ImageProblem | None, ImageProblem | None] | None = None
        self._bad: list[_Group] = []

    def run(self) -> None:
        """Verify everything. Raises what the walk raises, NotStored where the store cannot go on,
        FlushError.
        """
        self._observer.begin(Extent(*self._catalogue.extent()))
        for page in self._pages():
            for content, rows in groupby(page, lambda entry: entry.content):
                assert content
                self._verify(content, tuple(rows))
            self._mend()
        found = walk(self._tree.root)
        while batch := list(islice(found, PAGE)):
            self._look_for_unknown(batch)

    def _pages(self) -> Iterator[Sequence[Entry]]:
        after = ("", "")
        while page := self._catalogue.live_by_digest(after, PAGE):
            yield page
            last = page[-1]
            after = (last.content.digest if last.content else "", last.path)

    def _verify(self, content: Content, entries: Sequence[Entry]) -> None:
        if self._known and self._known[0] == content.digest:  # the page before ended among its rows
            _, was, still = self._known
            self._observer.checked(len(entries), 0)
            self._report(_Group(content, entries, was) if was else None, entries, content, still)
            return
        problem = self._look_at_object(content, entries)
        self._observer.checked(len(entries), content.size)
        if problem is not None and self._repair:
            self._bad.append(_Group(content, entries, problem))
            if (
                len(self._bad) >= FETCHED_AT_ONCE
                or sum(one.content.size for one in self._bad) >= FETCHED_BYTES_MAX
            ):
                self._mend()
            return
        self._known = content.digest, problem, problem
        self._report(
            _Group(content, entries, problem) if problem else None, entries, content, problem
        )

    def _report(
        self,
        bad: _Group | None,
        entries: Sequence[Entry],
        content: Content,
        still: ImageProblem | None,
    ) -> None:
        """Look at the files of an object that is good, or was bad; report what is bad."""
        for entry in entries:
            if still is not None and bad is not None:
                self._observer.found(
                    Finding(
                        entry.path,
                        bad.problem,
                        repaired=False,
                        outcome=NOT_REPAIRED if self._repair else "left as it is",
                    )
                )
            else:
                self._verify_file(entry, content, bad.problem if bad else None)

    # Objects.

    def _look_at_object(self, content: Content, entries: Sequence[Entry]) -> ImageProblem | None:
        """What is wrong with an object; None: nothing, or no row has it any more."""
        for _ in range(LOOKS_MAX):
            status = self._objects.status(content.digest)
            problem = self._problem_of(content, status)
            if problem is None or not self._on_writer(lambda: self._repairs.current(entries)):
                return None
            now = self._objects.status(content.digest)
            if status is now is None or (status and now and is_same(status, now)):
                return problem
        return None

    def _problem_of(self, content: Content, status: os.stat_result | None) -> ImageProblem | None:
        if status is None:
            return ImageProblem.MISSING
        if not stat.S_ISREG(status.st_mode) or status.st_size != content.size:
            return ImageProblem.CORRUPT
        return (
            None
            if self._digest_of(self._objects.place(content.digest)) == content.digest
            else ImageProblem.CORRUPT
        )

    def _mend(self) -> None:
        """Get the bytes of the objects that are bad, and say what came of it."""
        bad, self._bad = self._bad, []
        wanted = [group.content for group in bad if not self._take_from_tree(group)]
        if wanted:
            self._observer.fetch(wanted)
        for group in bad:
            content = group.content
            still = self._problem_of(content, self._objects.status(content.digest))
            if still is None:
                self._objects.flush([content.digest])
                self._on_writer(partial(self._repairs.repaired, [content.digest]))
            if self._known is None or self._known[0] < content.digest:
                self._known = content.digest, group.problem, still
            self._report(group, group.entries, content, still)

    def _take_from_tree(self, group: _Group) -> bool:
        """Make the object of a file in the tree that has its bytes; whether there is one."""
        content = group.content
        for entry in group.entries:
            occupant = self._tree.occupant_of(entry.path)
            is_copy = (
                occupant.is_file
                and occupant.status is not None
                and occupant.status.st_size == content.size
            )
            if not is_copy or (
                occupant.status and self._objects.is_link(occupant.status, content.digest)
            ):
                continue
            staged = self._staging / "object"
            try:
                with open_for_reading(occupant.place) as file:
                    data = file.readall()
                    self._observer.read(len(data))
                    if hashlib.sha256(data).hexdigest() == content.digest:
                        self._claims.stage(entry.path, file, data, content, staged)
                        self._objects.add(content.digest, staged, content.size)
                        return True
            except FlushError:
                raise
            # a full disk, a file that cannot be read: there may be another, or a peer
            except OSError:
                staged.unlink(missing_ok=True)
        return False

    # Files.

    def _verify_file(self, entry: Entry, content: Content, was: ImageProblem | None) -> None:
        """Look at the file of an image whose object is good; `was`: it was not, and what is wrong
        with the file came of that.
        """
        for _ in range(LOOKS_MAX):
            occupant = self._tree.occupant_of(entry.path)
            problem = self._problem_of_file(content, occupant)
            if problem is None:
                break
            state = self._on_writer(partial(self._repairs.inspect, entry, occupant))
            if state is TreeState.GONE:
                break
            if state is TreeState.SAME:
                self._observer.found(self._repair_file(entry, occupant, was or problem))
                return
        if was is not None:
            self._observer.found(Finding(entry.path, was, repaired=True, outcome="repaired"))

    def _problem_of_file(self, content: Content, occupant: Occupant) -> ImageProblem | None:
        if occupant.status is None:
            return ImageProblem.NOT_SHOWN
        if not occupant.is_file:
            return ImageProblem.FOREIGN
        if self._objects.is_link(occupant.status, content.digest):
            return None
        if (
            occupant.status.st_size == content.size
            and self._digest_of(occupant.place) == content.digest
        ):
            return None
        return ImageProblem.CHANGED

    def _repair_file(self, entry: Entry, occupant: Occupant, problem: ImageProblem) -> Finding:
        if not self._repair:
            return Finding(entry.path, problem, repaired=False, outcome="left as it is")
        try:
            aside = self._on_writer(lambda: self._repairs.repair(entry, occupant))
        except FlushError:
            raise
        except ImagepipeError as error:
            return Finding(entry.path, problem, repaired=False, outcome=str(error))
        except OSError as error:
            return Finding(entry.path, problem, repaired=False, outcome=str(refusal(error)))
        return Finding(
            entry.path,
            problem,
            repaired=True,
            outcome=f"repaired; what lay there is {aside}" if aside else "repaired",
        )

    # Files that are nobody's.

    def _look_for_unknown(self, batch: Sequence[WalkedFile | SkippedFile]) -> None:
        self._observer.read(0)
        files = [one.path for one in batch if isinstance(one, WalkedFile)]
        known = self._catalogue.rows(files)
        files = [path for path in files if path not in known or known[path].entry.content is None]
        names = [path.encode() for path in files] + [
            one.name for one in batch if isinstance(one, SkippedFile) and one.name
        ]
        for name in names:
            self._observer.read(0)
            try:
                aside = self._on_writer(
                    partial(self._repairs.move_to_found, name, move=self._repair)
                )
            except OSError as error:
                self._report_unknown(name, repaired=False, outcome=str(refusal(error)))
            else:
                if aside is not None:
                    self._report_unknown(
                        name,
                        repaired=self._repair,
                        outcome=f"it is {aside} now" if self._repair else "left as it is",
                    )

    def _report_unknown(self, name: bytes, *, repaired: bool, outcome: str) -> None:
        self._observer.found(
            Finding(
                name.decode("utf-8", "backslashreplace"),
                ImageProblem.UNKNOWN,
                repaired=repaired,
                outcome=outcome,
            )
        )

    def _digest_of(self, place: AnyPath) -> str | None:
        """The SHA-256 of a file's bytes, read at the rate that is allowed; None where it cannot be
        read.
        """
        while True:
            digest = hashlib.sha256()
            try:
                with open_for_reading(place) as file:
                    while piece := file.read(_PIECE_BYTES):
                        digest.update(piece)
                        self._observer.read(len(piece))
            except OSError as error:
                if not isinstance(refusal(error), Overloaded):
                    return None
                self._observer.pause()
            else:
                return digest.hexdigest()
