"""A link to an object, or where the file system cannot make one, a copy."""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import errno
import os
import shutil
import stat
from collections.abc import Callable

from imagepipe.storage.disk import flush, open_for_reading

LINKS_IMPOSSIBLE = frozenset({errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EXDEV})
"""What a file system says that makes no hard link, or not to this file."""


def link_or_copy(link: Callable[[bytes, bytes], None], source: bytes, target: bytes) -> None:
    """Give the file `source` a second name with `link`, or copy it; a copy is flushed."""
    try:
        link(source, target)
    except OSError as error:
        if error.errno not in LINKS_IMPOSSIBLE:
            raise
        _copy(source, target)


def _copy(source: bytes, target: bytes) -> None:
    with open_for_reading(source) as original:
        mode = stat.S_IMODE(os.fstat(original.fileno()).st_mode)
        with os.fdopen(
            os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
        ) as copy:
            shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            os.fchmod(copy.fileno(), mode)
            flush(copy.fileno(), target)
