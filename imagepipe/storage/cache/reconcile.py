"""After an unclean stop: make the render cache's index, its files and the objects agree again, a
slice at a time, while the cache is at work.

    the index                            looked through by SQLite; one that is damaged is lost, and
                                         so is all it names
    a file that no row names             its row was to come, or had just gone: removed
    a row whose source has no object     the image was deleted without the cache hearing of it:
                                         removed with its file

A row whose file is missing or wrong is noticed when it is requested.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from twisted.logger import Logger

from imagepipe.storage.cache.files import CacheFiles
from imagepipe.storage.cache.index import CacheIndex, check
from imagepipe.storage.cache.shared_index import CacheRows

_log = Logger()


def sweep(
    rows: CacheRows,
    files: CacheFiles,
    run: int,
    is_there: Callable[[str], bool],
    is_enough: Callable[[], bool],
) -> bool:
    """Sweep until all is right, or that `is_enough`; whether all is. `run`: the upper digits of the
    numbers that are given now, which are left alone.
    """
    return (
        _is_sound(rows, files, is_enough)
        and _sweep_files(rows, files, run, is_enough)
        and _sweep_rows(rows, is_there, is_enough)
    )


def _is_sound(rows: CacheRows, files: CacheFiles, is_enough: Callable[[], bool]) -> bool:
    index = rows.ask(lambda index: index)
    if index is None:
        return False
    try:
        check(files.index, is_enough)
    except sqlite3.Error as error:
        if not is_enough():
            rows.lose(index, error)
        return False
    return True


def _sweep_files(
    rows: CacheRows, files: CacheFiles, run: int, is_enough: Callable[[], bool]
) -> bool:
    def strays(earlier: Sequence[int], index: CacheIndex) -> Sequence[int]:
        return [number for number in earlier if not index.has(number)]

    all_gone = True
    try:
        for numbers in files.numbers():
            if is_enough():
                return False
            earlier = [number for number in numbers if number >> 32 != run]
            all_gone = files.remove(rows.ask(partial(strays, earlier)) or ()) and all_gone
    except OSError as error:
        _log.error("the files of the render cache could not be scanned: {error}", error=error)
        return False
    return all_gone


def _sweep_rows(
    rows: CacheRows, is_there: Callable[[str], bool], is_enough: Callable[[], bool]
) -> bool:
    after = ""
    while sources := rows.ask(partial(CacheIndex.sources_after, source=after)):
        if is_enough():
            return False
        gone = [source for source in sources if not is_there(source)]
        rows.remove_of_source(gone)
        after = sources[-1]
    return True
