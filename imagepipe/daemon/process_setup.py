"""Settings of the operating system and the C library, made before a node is opened."""

import contextlib
import ctypes
import resource

DESCRIPTORS_MAX = 1 << 16

LARGE_BYTES = 4 << 20
"""Only image data needs blocks of this size."""

HEAP_TOP_BYTES = 1 << 20
"""Images are taken apart in pieces of 64 to 256 KiB, a few at a time."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""As in <malloc.h>."""


def allow_descriptors() -> int:
    """Raise the limit of open files as far as permitted and useful; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


def return_memory() -> None:
    """Have the C library return large blocks to the system when they are freed.

    glibc raises the threshold for this to the largest block ever freed, and keeps smaller blocks in
    one heap per thread: after a few PNGs of 20 MB the daemon would hold 300 MiB of unused memory.
    But it gives the top of a heap back as soon as 128 KiB are free there: each piece of an image
    would be returned and asked for again, at 3 microseconds for each of its pages.
    See mallopt(3), which other C libraries neither have nor need.
    """
    with contextlib.suppress(AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, HEAP_TOP_BYTES)
