"""After an unclean stop: find what the crash left behind, a slice a step, while the store is at
work.

    objects       that no row names (their call never committed, or they were replaced just before)
        become suspects, for the next collection
    the tree      temporary names of earlier runs, and folders made for a call that never committed
        removed

After a clean stop there is nothing to find, and no scan: a million images start as fast as ten.
"""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from twisted.logger import Logger

from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.objects import FOLDERS, Objects, Pins
from imagepipe.storage.tree.changed_folders import ChangedFolders
from imagepipe.storage.tree.names import PRIVATE, is_leftover

_SLICE = 1000
_KEPT = (PRIVATE, b"lost+found")

_log = Logger()


def sweep_objects(objects: Objects, catalogue: Catalogue, pins: Pins) -> Iterator[None]:
    """Suspect every object, and every image's facts, that no row names; one of 256 folders
    a step.
    """
    for folder in FOLDERS:
        pins.suspect(
            (set(objects.digests(folder)) | catalogue.fact_digests(folder))
            - catalogue.live_digests(folder)
        )
        yield


def sweep_tree(root: Path, run: str, changed_folders: ChangedFolders) -> Iterator[None]:
    """Remove the temporary names that are not of `run`, and empty folders."""
    top = os.fsencode(root)
    folders = [top]
    without_files = []
    seen = 0
    while folders:
        folder = folders.pop()
        has_files = False
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(folder) as entries,
        ):
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if folder != top or entry.name not in _KEPT:
                        folders.append(entry.path)
                elif is_leftover(entry.name, run):
                    _remove(entry.path)
                    changed_folders.add(folder)
                else:
                    has_files = True
                seen += 1
                if seen % _SLICE == 0:
                    yield
        if folder != top and not has_files:
            without_files.append(folder)
    for at, folder in enumerate(reversed(without_files)):
        with contextlib.suppress(OSError):  # there are folders in it, or by now an image
            os.rmdir(folder)
            changed_folders.removed(folder)
        if at % _SLICE == 0:
            yield


def _remove(leftover: bytes) -> None:
    try:
        os.unlink(leftover)
    except OSError as error:
        _log.error("a temporary name of an earlier run could not be removed: {error}", error=error)
