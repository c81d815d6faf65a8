"""What of a node's links has to change when its settings or keys do: a decision, and no socket.

other peers                                  only theirs are opened and closed
more keys                                    they get in from now on
other endpoints, cluster or own pair;        every socket is made anew: a connection that is open is
                                             not asked for its key again
a key less, or another one
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
    """What leads from one to the other."""
    # With another cluster nothing is left of what a peer was told to be.
    kept = (
        set(before.subscribe) & set(after.subscribe) if before.cluster == after.cluster else set()
    )
    return LinkChanges(
        reopened=_listens(before) != _listens(after) or not _is_extended(keys_before, keys_after),
        removed=tuple(link_name(peer) for peer in before.subscribe if peer not in kept),
        added=tuple(peer for peer in after.subscribe if peer not in kept),
    )


def link_name(peer: Peer) -> str:
    """What a peer is called, here and in its key's file."""
    return peer.name or peer.endpoint


def _listens(settings: ReplicationSettings) -> tuple[object, ...]:
    return settings.publish, settings.sync, settings.cluster


def _is_extended(before: NodeKeys | None, after: NodeKeys | None) -> bool:
    """Whether this node and its peers are who they were, or there are more of them."""
    if before is None or after is None:
        return before is after
    return (before.public, before.secret) == (
        after.public,
        after.secret,
    ) and before.authorized.items() <= after.authorized.items()
