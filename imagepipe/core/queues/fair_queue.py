"""A queue that no single client can fill for the others.

Items are taken from each client in turn. When there is no room, the client with the most items
gives up its newest one to a client with fewer.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by client, in the order in which they are taken. Invariant: each client has some."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[T]] = OrderedDict()

    def put(self, client: str, item: T) -> None:
        """Add an item behind those of the same client."""
        self._clients.setdefault(client, deque()).append(item)

    def take(self) -> T | None:
        """Remove the oldest item of the client whose turn it is; None if there is none."""
        if not self._clients:
            return None
        client, items = self._clients.popitem(last=False)
        item = items.popleft()
        if items:
            self._clients[client] = items
        return item

    def evict(self, client: str) -> T | None:
        """Remove the newest item of the client that has most, so that `client` may add one.

        None if `client` itself would have as many then: it has its share.
        """
        own = len(self._clients.get(client, ()))
        heaviest = max(self._clients, key=lambda one: len(self._clients[one]), default=client)
        items = self._clients.get(heaviest)
        if items is None or len(items) < own + 2:
            return None
        return items.pop()
