"""Calls that wait for the writer, and which of them may share a transaction.

The paths of one call in a group neither equal nor lie above or below those of another. So no
decision in a group depends on another: one call can be refused without a second look at the rest,
and nothing of one is in the way of another in the tree.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from imagepipe.core.paths import ancestors
from imagepipe.core.rows.entries import Content, PathChange
from imagepipe.storage.image_info import Commit, ImageFacts

T = TypeVar("T")

CALLS_MAX = 256
"""How many calls share a transaction at most."""


@dataclass(frozen=True, slots=True)
class WriteCall:
    """A change that was asked for.

    `paths`: all that it looks at. `decide`: from the state before (content of a path) to what
    changes, or BadRequest. `facts`: of the digests that it brings. `argument`: what a BadRequest is
    about. `only_new`: it is refused if any of its paths was ever heard of.
    """

    paths: tuple[str, ...]
    decide: Callable[[Callable[[str], Content | None]], Sequence[PathChange]]
    argument: str = "path"
    facts: Mapping[str, ImageFacts] = field(default_factory=dict)
    only_new: bool = False
    future: "Future[Commit]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class WriterTask(Generic[T]):
    """Something else for the writer's thread to do, after all calls that came before."""

    run: Callable[[], T]
    future: "Future[T]" = field(default_factory=Future)


def take_group(
    waiting: "deque[WriteCall | WriterTask[Any]]",
) -> "list[WriteCall] | WriterTask[Any]":
    """Take from the front of `waiting`, which is not empty: a task, or as many calls as may share a
    transaction.
    """
    first = waiting[0]
    if isinstance(first, WriterTask):
        waiting.popleft()
        return first
    group: list[WriteCall] = []
    taken: set[str] = set()
    above: set[str] = set()
    while waiting and len(group) < CALLS_MAX:
        call = waiting[0]
        if isinstance(call, WriterTask):
            break
        folders = {folder for path in call.paths for folder in ancestors(path)}
        if not (
            taken.isdisjoint(call.paths)
            and above.isdisjoint(call.paths)
            and taken.isdisjoint(folders)
        ):
            break
        waiting.popleft()
        group.append(call)
        taken.update(call.paths)
        above |= folders
    return group
