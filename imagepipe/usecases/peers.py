"""What the use cases need of the other nodes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from imagepipe.storage.store import Store

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]


class Peers(Protocol):
    """The other nodes, as far as a call has to do with them."""

    async def wait_for_confirmations(self, seq: int) -> None:
        """Wait until enough of them have everything up to this node's change `seq`; raises
        TooFewPeers.
        """
        ...

    async def catch_up(self) -> None:
        """Learn what they have; takes a moment, and gives up after it."""
        ...


async def catch_up_unless_known(
    peers: Peers, on_thread: OnThread, store: Store, paths: Sequence[str]
) -> None:
    """Catch up if this node has never heard of one of `paths`: it may be on a peer. A path that was
    deleted here is known.
    """
    if not await on_thread(lambda: all(store.look_up(path) for path in paths)):
        await peers.catch_up()
