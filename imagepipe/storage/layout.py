"""Opening a folder: what may be there, what is made on the first start, and when the daemon refuses
to start.

    images/                      `images.path`; what is served
      a/b.jpg                    a link to an object
      .imagepipe/          0700  never served
        lock                     flock; the pid of the daemon
        catalogue.sqlite         and its -wal and -shm
        objects/ab/abcd...       the bytes, by digest
        cache/                   renditions made on demand; see cache_files.py
        found/                   what `verify --repair` has moved aside
        reserve                  room for deletes on a full disk
        staging/RUN-N/           what engines are writing; emptied at a start

A tree with files in it and no catalogue is someone else's: nothing is touched until `imagepipe
adopt`.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagepipe.errors import StartError
from imagepipe.storage.catalogue import schema
from imagepipe.storage.disk import flush_folder, make_folder
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.names import PRIVATE


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are below `root`."""

    root: Path

    @property
    def private(self) -> Path:
        """All that is not served."""
        return self.root / os.fsdecode(PRIVATE)

    @property
    def lock(self) -> Path:
        """The lock's file."""
        return self.private / "lock"

    @property
    def catalogue(self) -> Path:
        """The catalogue's main file."""
        return self.private / "catalogue.sqlite"

    @property
    def objects(self) -> Path:
        """The objects' folder."""
        return self.private / "objects"

    @property
    def cache(self) -> Path:
        """The folder of the render cache."""
        return self.private / "cache"

    @property
    def reserve(self) -> Path:
        """The room that is set aside."""
        return self.private / "reserve"

    @property
    def found(self) -> Path:
        """What was moved aside."""
        return self.private / "found"

    @property
    def staging(self) -> Path:
        """The folder of staging folders."""
        return self.private / "staging"

    @property
    def lasting(self) -> Mapping[Path, str]:
        """What must stay where it is while the store is open, by the names that operators know."""
        log, index = (
            self.catalogue.with_name(self.catalogue.name + end) for end in ("-wal", "-shm")
        )
        inside = (self.lock, self.catalogue, log, index, self.objects)
        names = {path: str(path.relative_to(self.root)) for path in (self.private, *inside)}
        return {self.root: "the folder of [images] path", **names}


ADOPT = "imagepipe adopt -c FILE"
"""The command that takes files into the catalogue; FILE is the daemon's own configuration."""


def make_private(layout: Layout, folder_mode: int, *, adopting: bool = False) -> None:
    """Make `root` and `.imagepipe` if need be. Raises StartError for a tree that is not ours,
    without a trace in it, unless it is to be `adopting`.
    """
    if not layout.root.exists():
        make_folder(layout.root, folder_mode)
        flush_folder(layout.root.resolve().parent)
    if not layout.root.is_dir():
        raise StartError(f"{layout.root} is not a folder: [images] path must be one")
    if not layout.private.exists():
        if not adopting:
            _refuse_strangers(layout)
        make_folder(layout.private, 0o700)
        flush_folder(layout.root.resolve())
    if stat.S_IMODE(layout.private.stat().st_mode) != stat.S_IRWXU:
        layout.private.chmod(0o700)


def make_catalogue(
    layout: Layout, objects: Objects, node_id: str, *, adopting: bool = False
) -> None:
    """Under the lock: make the catalogue if there is none, and there should be none. Raises
    StartError where one is missing.
    """
    if not schema.has_catalogue(layout.catalogue):
        if objects.any():
            raise StartError(
                f"{layout.objects} has images but the catalogue {layout.catalogue} is gone: put"
                f" back a backup of it, or move {layout.private} away and run {ADOPT}"
            )
        if not adopting:
            _refuse_strangers(layout)
        schema.create(layout.catalogue, node_id)
    for folder in (layout.objects, layout.staging):
        if not folder.is_dir():
            make_folder(folder, 0o700)
    objects.create()
    flush_folder(layout.private)


def empty_staging(layout: Layout) -> None:
    """Remove what calls of an earlier run were writing."""
    for left in layout.staging.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def _refuse_strangers(layout: Layout) -> None:
    def unlistable(error: OSError) -> None:
        # which belongs to root on many a fresh file system
        if error.filename != str(layout.root / "lost+found"):
            raise error

    for folder, folders, files in os.walk(layout.root, onerror=unlistable):
        if Path(folder) == layout.root and layout.private.name in folders:
            folders.remove(layout.private.name)
        found = files + [name for name in folders if (Path(folder) / name).is_symlink()]
        if found:
            raise StartError(
                f"{layout.root} has files but no catalogue, for instance {Path(folder) / found[0]}:"
                f" run {ADOPT} to take them in, or choose a folder of its own"
            )
