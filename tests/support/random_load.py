"""A random load of calls, the same for the same seed, and a model of what each of them does.

walk = Walk(seed, "x/3")       calls on a few paths below x/3 that are in each other's way
operation = walk.next()        what to do
operation.run(store)           done: NotStored, BadRequest or nothing
operation.apply(images)        the same on a dict; Refused where the store should answer BadRequest
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from imagepipe.core.paths import ancestors
from imagepipe.storage.store import Commit, Store
from tests.support.stores import delete, move, put

NAMES = ("a", "a/b", "a/b/c", "a/d", "e", "e/b", "f")


class Refused(Exception):
    """The call is wrong, in this state."""


@dataclass(frozen=True)
class Operation:
    """One call: `images` is what it puts, `deletes` what it deletes, `moves` what it moves; only
    one of them is there. erases: a delete is an erasure.
    """

    images: tuple[tuple[str, bytes], ...] = ()
    deletes: tuple[str, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    erases: bool = False

    def run(self, store: Store) -> Commit:
        """Call the store, and wait."""
        if self.images:
            return put(store, dict(self.images))
        if self.erases:
            return store.erase(self.deletes[0]).result()
        if self.deletes:
            return delete(store, *self.deletes)
        return move(store, *self.moves)

    def apply(self, images: Mapping[str, bytes]) -> dict[str, bytes]:
        """What `images` become."""
        after = {**images, **dict(self.images)}
        for path in self.deletes:
            after.pop(path, None)
        for source, destination in self.moves:
            if source not in after:
                raise Refused
            after[destination] = after.pop(source)
        if any(ancestor in after for path in after for ancestor in ancestors(path)):
            raise Refused
        return after


class Walk:
    """Calls from a seed. No two put equal bytes, but for some that all put."""

    def __init__(self, seed: str, folder: str) -> None:
        # the same again is what is wanted
        self._random = random.Random(f"{seed} {folder}")
        self._seed = seed
        self._folder = folder
        self._number = 0

    def next(self) -> Operation:
        """The next call."""
        self._number += 1
        kind = self._random.random()
        if kind < 0.5:
            return Operation(images=tuple((path, self._content(path)) for path in self._paths(3)))
        if kind < 0.55:
            return Operation(deletes=tuple(self._paths(1)), erases=True)
        if kind < 0.75:
            return Operation(deletes=tuple(self._paths(2)))
        return Operation(
            moves=tuple(
                (self._paths(1)[0], self._paths(1)[0]) for _ in range(self._random.randint(1, 2))
            )
        )

    def _paths(self, count_max: int) -> list[str]:
        return [
            f"{self._folder}/{name}"
            for name in self._random.sample(NAMES, self._random.randint(1, count_max))
        ]

    def _content(self, path: str) -> bytes:
        if self._random.random() < 0.2:
            return b"common" * 100
        return f"{self._seed} {self._number} {path} ".encode() * self._random.randint(1, 500)
