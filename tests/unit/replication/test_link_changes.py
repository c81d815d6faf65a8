"""What of a node's links changes with its settings and keys, by values."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagepipe.config.settings import Peer, ReplicationSettings
from imagepipe.replication.link_changes import Rewiring, rewiring
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
NOTHING = Rewiring(afresh=False, gone=(), new=())


class RewiringTests:
    def test_what_is_no_matter_of_sockets_changes_nothing(self) -> None:
        other = replace(
            SETTINGS,
            acks_min=2,
            ack_timeout_seconds=1.0,
            keys=Path("elsewhere"),
            subscribe=(WEST, NORTH),
        )
        assert rewiring(SETTINGS, KEYS, other, replace(KEYS, folder=Path("elsewhere"))) == NOTHING

    def test_peers_come_and_go(self) -> None:
        assert rewiring(
            SETTINGS, None, replace(SETTINGS, subscribe=(WEST, SOUTH)), None
        ) == Rewiring(afresh=False, gone=("tcp://north:8086",), new=(SOUTH,))

    def test_a_peer_of_the_same_name_elsewhere_is_another(self) -> None:
        moved = Peer("west", "tcp://west:9000")
        assert rewiring(
            SETTINGS, KEYS, replace(SETTINGS, subscribe=(NORTH, moved)), KEYS
        ) == Rewiring(afresh=False, gone=("west",), new=(moved,))

    @pytest.mark.parametrize(
        "change",
        [{"publish": "tcp://*:9000"}, {"sync": "tcp://*:9000"}, {"publish": None, "sync": None}],
    )
    def test_other_places_to_listen_are_for_new_sockets(
        self, change: dict[str, str | None]
    ) -> None:
        changed = replace(SETTINGS, **change)  # type: ignore[arg-type]
        assert rewiring(SETTINGS, KEYS, changed, KEYS) == Rewiring(afresh=True, gone=(), new=())

    def test_in_another_cluster_every_peer_is_another(self) -> None:
        moved = rewiring(SETTINGS, None, replace(SETTINGS, cluster="other"), None)
        assert moved == Rewiring(afresh=True, gone=("tcp://north:8086", "west"), new=(NORTH, WEST))

    def test_one_key_more_needs_no_new_sockets(self) -> None:
        assert (
            rewiring(
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
    def test_who_is_somebody_else_now_must_show_it_again(
        self, before: NodeKeys | None, after: NodeKeys | None
    ) -> None:
        assert rewiring(SETTINGS, before, SETTINGS, after) == replace(NOTHING, afresh=True)
