"""The parts of an open store, made in the order of a start:

    folders, lock -> catalogue -> tree -> housekeeping, which recovers what a crash left -> writer

A later part may rely on everything before it.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from imagepipe.errors import FlushError
from imagepipe.storage import layout
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.health import Health
from imagepipe.storage.lock import FolderLock
from imagepipe.storage.objects import Objects, Pins
from imagepipe.storage.reserve import Reserve
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.claims import Claims
from imagepipe.storage.writer.commit import Committer
from imagepipe.storage.writer.crash_sweep import sweep_objects, sweep_tree
from imagepipe.storage.writer.housekeeping import Housekeeping
from imagepipe.storage.writer.joiner import Joiner
from imagepipe.storage.writer.writer import Writer


class Parts:
    """Everything that a store is made of. Recovered, but the writer is not started.

    Arguments are those of `Store.open`; what `opened` holds is undone when the store is closed.
    `run` marks what this run of the process leaves on the disk.
    """

    def __init__(
        self,
        root: Path,
        opened: contextlib.ExitStack,
        *,
        umask: int,
        now_ms: Callable[[], int],
        on_fatal: Callable[[FlushError], None],
        on_commit: Callable[[int], None],
        on_removed: Callable[[Sequence[str]], None],
        checkpoint_seconds: float,
        seconds: Callable[[], float],
        new_id: Callable[[], str],
        adopting: bool,
    ) -> None:
        root = root.absolute()
        folder_mode = 0o777 & ~umask
        self.run = new_id()[:16]
        self.now_ms = now_ms
        self.layout = layout.Layout(root)
        self.objects = Objects(self.layout.objects, 0o666 & ~umask)
        self.pins = Pins()
        self.health = Health(on_fatal)

        layout.make_private(self.layout, folder_mode, adopting=adopting)
        opened.callback(FolderLock(self.layout.lock).release)
        layout.make_catalogue(self.layout, self.objects, new_id(), adopting=adopting)
        self.reserve = Reserve(self.layout.reserve)
        # a full disk is no reason not to start: starting is what makes room
        self.reserve.release()
        self.catalogue = Catalogue(self.layout.catalogue, self.health)
        opened.callback(self.catalogue.close)

        self.tree = Tree(root, self.objects, self.run, folder_mode)
        sweep = None
        if not self.catalogue.was_clean:
            sweep = itertools.chain(
                sweep_objects(self.objects, self.catalogue, self.pins),
                sweep_tree(root, self.run, self.tree.changed_folders),
            )
        self.housekeeping = Housekeeping(
            self.catalogue,
            self.tree,
            self.objects,
            self.pins,
            self.health,
            self.reserve,
            interval=checkpoint_seconds,
            seconds=seconds,
            now_ms=now_ms,
            sweep=sweep,
            on_removed=on_removed,
        )
        layout.empty_staging(self.layout)
        self.catalogue.start(new_id())
        self.housekeeping.recover()
        self.reserve.allocate()
        self.health.watch(self.layout.root, self.layout.lasting, self.layout.catalogue)

        self.claims = Claims(self.catalogue, self.tree, self.objects, self.housekeeping, now_ms)
        self.joiner = Joiner(
            self.catalogue,
            self.tree,
            self.objects,
            self.housekeeping,
            self.health,
            now_ms,
            on_commit,
        )
        committer = Committer(
            self.catalogue, self.tree, self.housekeeping, self.health, now_ms, on_commit
        )
        self.writer = Writer(committer.commit, self.housekeeping)
