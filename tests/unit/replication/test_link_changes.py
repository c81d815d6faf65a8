"""What of a node's links changes with its settings and keys, by values."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagepipe.config.settings import Peer, ReplicationSettings
from imagepipe.replication.link_changes import LinkChanges, link_changes
from imagepipe.replication.zmq.curve_keys import NodeKeys

NORTH, SOUTH, WEST = (
    Peer("", "tcp://north:8086"),
    Peer("", "tcp://south:8086"),
    Peer("west", "tcp://west:8086"),
)
SETTINGS = ReplicationSettings(
    "tcp://*:8086", "tcp://*:8087", (NORTH, WEST), 1, 5.0, None, "default"
)
KEYS = NodeKeys(Path("keys"), b"public", b"secret", {"west": b"w"})
NOTHING = LinkChanges(reopened=False, removed=(), added=())


class LinkChangesTests:
    def test_other_options_change_nothing(self) -> None:
        other = replace(
            SETTINGS,
            acks_min=2,
            ack_timeout_seconds=1.0,
            keys=Path("elsewhere"),
            subscribe=(WEST, NORTH),
        )
        assert (
            link_changes(SETTINGS, KEYS, other, replace(KEYS, folder=Path("elsewhere"))) == NOTHING
        )

    def test_peers_come_and_go(self) -> None:
        assert link_changes(
            SETTINGS, None, replace(SETTINGS, subscribe=(WEST, SOUTH)), None
        ) == LinkChanges(reopened=False, removed=("tcp://north:8086",), added=(SOUTH,))

    def test_a_peer_of_the_same_name_elsewhere_is_another(self) -> None:
        moved = Peer("west", "tcp://west:9000")
        assert link_changes(
            SETTINGS, KEYS, replace(SETTINGS, subscribe=(NORTH, moved)), KEYS
        ) == LinkChanges(reopened=False, removed=("west",), added=(moved,))

    @pytest.mark.parametrize(
        "change",
        [{"publish": "tcp://*:9000"}, {"sync": "tcp://*:9000"}, {"publish": None, "sync": None}],
    )
    def test_other_places_to_listen_are_for_new_sockets(
        self, change: dict[str, str | None]
    ) -> None:
        changed = replace(SETTINGS, **change)  # type: ignore[arg-type]
        assert link_changes(SETTINGS, KEYS, changed, KEYS) == LinkChanges(
            reopened=True, removed=(), added=()
        )

    def test_in_another_cluster_every_peer_is_another(self) -> None:
        moved = link_changes(SETTINGS, None, replace(SETTINGS, cluster="other"), None)
        assert moved == LinkChanges(
            reopened=True, removed=("tcp://north:8086", "west"), added=(NORTH, WEST)
        )

    def test_one_key_more_needs_no_new_sockets(self) -> None:
        assert (
            link_changes(
                SETTINGS, KEYS, SETTINGS, replace(KEYS, authorized={"west": b"w", "south": b"s"})
            )
            == NOTHING
        )

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (KEYS, replace(KEYS, authorized={})),
            (KEYS, replace(KEYS, authorized={"west": b"other"})),
            (KEYS, replace(KEYS, public=b"other", secret=b"pair")),
            (KEYS, None),
            (None, KEYS),
        ],
    )
    def test_another_user_must_authenticate_again(
        self, before: NodeKeys | None, after: NodeKeys | None
    ) -> None:
        assert link_changes(SETTINGS, before, SETTINGS, after) == replace(NOTHING, reopened=True)
