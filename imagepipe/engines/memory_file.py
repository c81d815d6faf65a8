"""Bytes as a file in memory, to hand to a child process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """The descriptor of an anonymous file that holds `content`, positioned at its start; closed in the end."""
    descriptor = os.memfd_create("imagepipe-image", os.MFD_CLOEXEC)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
