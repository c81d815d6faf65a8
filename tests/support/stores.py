"""Stores for tests: opened on a folder, filled with a line, and compared with what they should
hold.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imagepipe.errors import FlushError
from imagepipe.storage.store import Commit, ImageFacts, StagedImage, Store

FACTS = ImageFacts("jpeg", 40, 30)
PRIVATE = ".imagepipe"
NEVER = 1e9
"""A checkpoint interval, in seconds, for tests that call `tidy` themselves."""


def ignore(error: FlushError) -> None:
    """An on_fatal for tests in which no disk fails."""
    raise AssertionError(error)


def open_store(
    root: Path,
    *,
    umask: int = 0o022,
    now_ms: Callable[[], int] = lambda: 1_700_000_000_000,
    on_fatal: Callable[[FlushError], None] = ignore,
    checkpoint_seconds: float = NEVER,
) -> Store:
    """A store that does its housekeeping when told to."""
    store = Store.open(
        root,
        umask=umask,
        now_ms=now_ms,
        on_fatal=on_fatal,
        checkpoint_seconds=checkpoint_seconds,
    )
    store.start()
    return store


@contextmanager
def opened(root: Path, checkpoint_seconds: float = NEVER) -> Iterator[Store]:
    """The same, closed at the end."""
    store = open_store(root, checkpoint_seconds=checkpoint_seconds)
    try:
        yield store
    finally:
        store.close()


def put(store: Store, images: Mapping[str, bytes], *, only_new: bool = False) -> Commit:
    """Store images as one call."""
    with store.staging() as folder:
        staged = []
        for number, (path, content) in enumerate(images.items()):
            (folder / str(number)).write_bytes(content)
            staged.append(StagedImage(path, folder / str(number), FACTS))
        return store.put(staged, only_new=only_new)


def delete(store: Store, *paths: str) -> Commit:
    """Delete images as one call."""
    return store.delete(paths).result(60)


def move(store: Store, *pairs: tuple[str, str]) -> Commit:
    """Move images as one call."""
    return store.move(pairs).result(60)


def tree(root: Path) -> dict[str, bytes | None]:
    """All that is in the tree: {path: bytes}, folders with a slash and None."""
    found: dict[str, bytes | None] = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root and PRIVATE in folders:
            folders.remove(PRIVATE)
        for name in folders:
            found[f"{(Path(folder) / name).relative_to(root)}/"] = None
        for name in files:
            file = Path(folder) / name
            found[str(file.relative_to(root))] = (
                os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
            )
    return found


def expected_tree(images: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """The tree that holds exactly `images`."""
    folders = {
        f"{folder}/" for path in images for folder in list(map(str, Path(path).parents))[:-1]
    }
    return {**dict.fromkeys(folders), **images}


def objects(root: Path) -> dict[str, bytes]:
    """All objects: {digest: bytes}."""
    return {file.name: file.read_bytes() for file in (root / PRIVATE / "objects").glob("*/*")}


def digest(content: bytes) -> str:
    """The digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def held(store: Store) -> dict[str, str]:
    """What the catalogue says: {path: digest}."""
    infos = {path: store.info(path) for path in store.list("", "", 1_000_000)}
    return {path: info.digest for path, info in infos.items() if info}


def check_whole(store: Store, root: Path) -> None:
    """After all housekeeping: tree, objects and catalogue say the same, to the last folder."""
    assert store.tidy().result(60), "housekeeping is left to do"
    catalogue = held(store)
    shown = tree(root)
    assert {
        path: digest(content) for path, content in shown.items() if content is not None
    } == catalogue
    assert set(shown) == set(expected_tree(dict.fromkeys(catalogue, b"")))
    check_kept(store, root)


def check_kept(store: Store, root: Path) -> None:
    """After all housekeeping: the objects are those that the catalogue names, and good, and nothing
    else is left.
    """
    assert store.tidy().result(60), "housekeeping is left to do"
    kept = objects(root)
    assert set(kept) == set(held(store).values()) | {
        lost.content.digest for lost in store.history()
    }
    assert all(digest(content) == name for name, content in kept.items())
    assert list((root / PRIVATE / "staging").iterdir()) == []
