"""Which sockets a change of settings or keys requires to be opened and closed. Touches no socket.

other peers                               only their sockets are opened and closed
more keys                                 they are admitted from now on
other endpoints, cluster or own key pair; every socket is reopened: an open connection is not
a key removed or replaced                 asked for its key again
"""

from dataclasses import dataclass

from imagepipe.config.settings import Peer, ReplicationSettings
from imagepipe.replication.zmq.curve_keys import NodeKeys


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """`reopened`: every socket must be closed and opened again. `removed`: the names of the peers
    that this node stops pulling from. `added`: the peers that it starts to pull from.
    """

    reopened: bool
    removed: tuple[str, ...]
    added: tuple[Peer, ...]


def link_changes(
    before: ReplicationSettings,
    keys_before: NodeKeys | None,
    after: ReplicationSettings,
    keys_after: NodeKeys | None,
) -> LinkChanges:
    """The changes that lead from the settings and keys before to those after."""
    # In another cluster even a peer with the same endpoint is a different one.
    kept = (
        set(before.subscribe) & set(after.subscribe) if before.cluster == after.cluster else set()
    )
    return LinkChanges(
        reopened=_listens(before) != _listens(after) or not _is_extended(keys_before, keys_after),
        removed=tuple(link_name(peer) for peer in before.subscribe if peer not in kept),
        added=tuple(peer for peer in after.subscribe if peer not in kept),
    )


def link_name(peer: Peer) -> str:
    """The name of a peer, which is also the name of its key file."""
    return peer.name or peer.endpoint


def _listens(settings: ReplicationSettings) -> tuple[object, ...]:
    return settings.publish, settings.sync, settings.cluster


def _is_extended(before: NodeKeys | None, after: NodeKeys | None) -> bool:
    """Whether this node's key pair is unchanged and no peer's key was removed or replaced."""
    if before is None or after is None:
        return before is after
    return (before.public, before.secret) == (
        after.public,
        after.secret,
    ) and before.authorized.items() <= after.authorized.items()
