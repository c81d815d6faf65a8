"""Render caches for tests: opened on a folder, filled with a line, and held against what they
should have.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imagepipe.storage.cache.cache import CachedFile, RenderCache
from imagepipe.storage.image_info import ImageFacts

FACTS = ImageFacts("webp", 500, 313)
BLOCK = 4096
PLENTY = 1000 * BLOCK


def always(_source: str) -> bool:
    """No source has gone."""
    return True


def hexed(name: str) -> str:
    """A key, or a source's digest, that stands for `name`."""
    return hashlib.sha256(name.encode()).hexdigest()


def open_cache(
    root: Path,
    bytes_max: int = PLENTY,
    *,
    is_there: Callable[[str], bool] = always,
    in_memory_max: int = 100,
) -> RenderCache:
    """A cache in `root`, beside a folder for staged files."""
    (root / "staging").mkdir(parents=True, exist_ok=True)
    return RenderCache.open(
        root / "cache", bytes_max, is_there=is_there, in_memory_max=in_memory_max
    )


@contextmanager
def opened(
    root: Path,
    bytes_max: int = PLENTY,
    *,
    is_there: Callable[[str], bool] = always,
    in_memory_max: int = 100,
) -> Iterator[RenderCache]:
    """The same, closed at the end."""
    cache = open_cache(root, bytes_max, is_there=is_there, in_memory_max=in_memory_max)
    try:
        yield cache
    finally:
        cache.close()


def stage(root: Path, content: bytes) -> Path:
    """A file that an engine has written."""
    descriptor, name = tempfile.mkstemp(dir=root / "staging")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return Path(name)


def put(
    cache: RenderCache, root: Path, name: str, content: bytes, source: str = "source"
) -> bytes | None:
    """Put `content` in as the rendition `name`, made of `source`; the bytes that came back."""
    return read(cache.put(hexed(name), hexed(source), stage(root, content), FACTS))


def get(cache: RenderCache, name: str) -> bytes | None:
    """The bytes of the rendition `name`; None if there is none."""
    return read(cache.get(hexed(name)))


def read(cached: CachedFile | None) -> bytes | None:
    """The bytes of an answer, which is closed, and in which all is true that it says of them."""
    if cached is None:
        return None
    with cached.file as file:
        content = file.read()
    assert (cached.digest, cached.size, cached.facts) == (
        hashlib.sha256(content).hexdigest(),
        len(content),
        FACTS,
    )
    return content


def files(root: Path) -> list[Path]:
    """The files of renditions that are on the disk."""
    return sorted((root / "cache").glob("*/*/*"))


def crashed(root: Path, into: Path) -> Path:
    """What a process that is killed now would leave: a copy, without its staging folder's files."""
    into.mkdir()
    subprocess.run(["/bin/cp", "-a", root / "cache", into], check=True)
    return into
