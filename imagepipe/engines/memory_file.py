"""Passes an image to a child process as a file; bytes in memory become a file in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

Image = bytes | FileIO
"""Its bytes, or an open file that has them, and that nobody writes to."""


@contextmanager
def descriptor_of(image: Image) -> Iterator[int]:
    """A descriptor of the image, positioned at its start."""
    if isinstance(image, FileIO):
        image.seek(0)
        yield image.fileno()
        return
    with memory_file(image) as descriptor:
        yield descriptor


def bytes_of(image: Image) -> bytes:
    """All of it."""
    if isinstance(image, FileIO):
        image.seek(0)
        return image.readall()
    return image


@contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """The descriptor of an anonymous file that holds `content`, positioned at its start; closed in
    the end.
    """
    descriptor = os.memfd_create("imagepipe-image", os.MFD_CLOEXEC)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
