"""Batches of rows on their way into the catalogue: they are examined, their bytes are fetched, and
they are joined.

Only one join runs at a time: with two, their order and the set of pending rows would be unknown.
"""

from collections import deque
from collections.abc import Iterator

from imagepipe.core.replication.actions import Action, Examine, Join, Release
from imagepipe.core.replication.link import Pull, PullStage


class Pulls:
    """All pulls of a node. Invariant: the first of the complete ones is being joined.

    actions: where the actions go.
    """

    def __init__(self, actions: list[Action]) -> None:
        self._pulls: dict[int, Pull] = {}
        self._joins: deque[Pull] = deque()
        self._actions = actions

    def __iter__(self) -> Iterator[Pull]:
        return iter(tuple(self._pulls.values()))

    def get(self, number: int) -> Pull | None:
        """The pull with this number, if it is still under way."""
        return self._pulls.get(number)

    def begin(self, pull: Pull) -> None:
        """Examine the rows of one more pull."""
        self._pulls[pull.id] = pull
        self._actions.append(Examine(pull.id, pull.rows))

    def examined(self, number: int) -> Pull | None:
        """The pull, which now needs its bytes; None if it was dropped in the meantime."""
        pull = self._pulls[number]
        if pull.stage is PullStage.DROPPED:
            self._release(pull)
            return None
        pull.stage = PullStage.FETCHING
        return pull

    def join_if_complete(self, pull: Pull) -> None:
        """Join the pull, once those before it are joined, unless it still waits for bytes."""
        if pull.stage is PullStage.FETCHING and not pull.missing:
            pull.stage = PullStage.JOINING
            self._joins.append(pull)
            if len(self._joins) == 1:
                self._join(pull)

    def end(self, number: int) -> Pull:
        """Remove a pull that was joined, or that failed, and begin the next join."""
        pull = self._pulls.pop(number)
        if pull.stage is PullStage.JOINING:
            self._joins.popleft()
            if self._joins:
                self._join(self._joins[0])
        return pull

    def drop(self, pull: Pull) -> None:
        """Give up a pull that is not being joined."""
        if pull.stage is PullStage.EXAMINING:
            pull.stage = PullStage.DROPPED
        else:
            self._release(pull)

    def is_joining(self, link: str) -> bool:
        """Whether rows from this link are being joined, or are about to be."""
        return any(pull.link == link and pull.stage is PullStage.JOINING for pull in self)

    def _release(self, pull: Pull) -> None:
        del self._pulls[pull.id]
        self._actions.append(Release(pull.rows))

    def _join(self, pull: Pull) -> None:
        cursor = pull.cursor if pull.upstream is not None else None
        self._actions.append(Join(pull.id, pull.rows, pull.upstream, cursor, pull.from_start))
