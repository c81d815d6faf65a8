"""What is wrong with a node: statuses in, sentences out."""

from dataclasses import replace

import pytest

from imagepipe.core.rows.versions import FutureStamps
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.monitoring.node_status import NodeStatus, Problem, QueueShare, QueueStatus, Severity
from imagepipe.monitoring.problems import problems_of
from imagepipe.replication.status import ReplicationStatus, SubscriberStatus, UpstreamStatus
from tests.support.sample_status import BARE, NORTH, REPLICATION, SOUTH

WELL = replace(BARE, uptime_seconds=3600.0, disk=DiskStatus(100 << 30, 50 << 30, 1.0))
PEER = replace(NORTH, peer="", seconds_behind=0.0, rows_behind=0)
FETCHER = SubscriberStatus("bb" * 16, key="", peer="", acked=1000, behind=0, heard_seconds=1.0)
AT_REST = replace(
    REPLICATION,
    unreplicated=0,
    upstreams=(PEER,),
    subscribers=(FETCHER,),
    pending=0,
    pending_seconds=0.0,
)


def told(status: NodeStatus) -> list[str]:
    """The problems, as `critical: text`."""
    return [f"{problem.severity}: {problem.text}" for problem in problems_of(status)]


def replicating(
    *upstreams: UpstreamStatus,
    subscribers: tuple[SubscriberStatus, ...] = (FETCHER,),
    uptime: float = 3600.0,
) -> NodeStatus:
    """A node that is well but for its peers."""
    return replace(
        WELL,
        uptime_seconds=uptime,
        replication=replace(AT_REST, upstreams=upstreams, subscribers=subscribers),
    )


class NodeTests:
    """The node itself."""

    def test_a_node_that_is_well_has_none(self) -> None:
        assert told(WELL) == []
        assert told(BARE) == []
        assert told(replace(WELL, replication=AT_REST)) == []

    def test_one_that_is_not_ready_says_why(self) -> None:
        assert told(replace(WELL, ready=False, not_ready="the server is stopping")) == [
            "critical: not ready: the server is stopping"
        ]

    @pytest.mark.parametrize(
        ("free", "age", "expected"),
        [
            (11, 1.0, []),
            (10, 1.0, ["warning: disk is 90 % full (10 B free)"]),
            (3, 1.0, ["critical: disk is 97 % full (3 B free)"]),
            (0, 1.0, ["critical: disk is 100 % full (0 B free)"]),
            (50, 42.0, ["critical: disk has not answered for 42 s"]),
        ],
    )
    def test_a_disk_is_nearly_full_or_silent(
        self, free: int, age: float, expected: list[str]
    ) -> None:
        assert told(replace(WELL, disk=DiskStatus(100, free, age))) == expected

    @pytest.mark.parametrize(
        ("total", "free", "expected"),
        [
            (0, 0, []),
            (100, 11, []),
            (100, 10, ["warning: disk has used 90 % of its inodes (10 free)"]),
            (100, 0, ["critical: disk has used 100 % of its inodes (0 free)"]),
        ],
    )
    def test_a_disk_has_few_inodes_left(self, total: int, free: int, expected: list[str]) -> None:
        assert told(replace(WELL, disk=DiskStatus(100, 50, 1.0, total, free))) == expected

    @pytest.mark.parametrize(
        ("waiting", "waiting_max", "expected"),
        [
            (7, 10, []),
            (8, 10, ["warning: queue of stores is nearly full: 8 of 10 waiting"]),
            (10, 10, ["critical: queue of stores is full: 10 of 10 waiting, more are refused"]),
            (1, 1, ["critical: queue of stores is full: 1 of 1 waiting, more are refused"]),
            (0, 0, []),
        ],
    )
    def test_a_queue_is_nearly_full(
        self, waiting: int, waiting_max: int, expected: list[str]
    ) -> None:
        jobs, none = QueueShare(1, waiting), QueueShare(0, 0)
        assert (
            told(replace(WELL, queue=QueueStatus(1, 1, waiting, waiting_max, jobs, none)))
            == expected
        )
        of_renditions = [text.replace("stores", "renditions") for text in expected]
        assert (
            told(replace(WELL, queue=QueueStatus(1, 1, waiting, waiting_max, none, jobs)))
            == of_renditions
        )

    @pytest.mark.parametrize(
        ("ahead", "expected"),
        [
            (
                FutureStamps(1, "a/b.jpg", 7230.0),
                "'a/b.jpg' is dated up to 2 h 0 min ahead of this node's clock",
            ),
            (
                FutureStamps(2, "a\nb", 7230.0),
                "'a\\nb' and 1 other image are dated up to 2 h 0 min ahead of this node's clock",
            ),
        ],
    )
    def test_images_are_dated_ahead(self, ahead: FutureStamps, expected: str) -> None:
        advice = (
            "; correct the clock if it is behind, otherwise see ImagepipeDatedAhead in"
            " docs/operations.md"
        )
        assert told(replace(WELL, ahead=ahead)) == [f"warning: {expected}{advice}"]

    def test_the_worst_comes_first(self) -> None:
        status = replace(
            WELL,
            disk=DiskStatus(100, 10, 1.0),
            queue=QueueStatus(1, 1, 9, 9, QueueShare(1, 9), QueueShare(0, 0)),
            not_ready="the disk is full",
            ready=False,
        )
        assert [problem.severity for problem in problems_of(status)] == [
            Severity.CRITICAL,
            Severity.CRITICAL,
            Severity.WARNING,
        ]
        assert problems_of(
            replace(status, problems=(Problem(Severity.WARNING, "old"),))
        ) == problems_of(status)


class UpstreamTests:
    """The peers that a node pulls from."""

    @pytest.mark.parametrize(
        ("peer", "expected"),
        [
            (replace(PEER, seconds_behind=29.0, rows_behind=100), []),
            (
                replace(PEER, seconds_behind=123.0, rows_behind=1),
                [
                    (
                        "warning: this node has been behind peer north for 2 min 3 s:"
                        " up to 1 change missing here"
                    )
                ],
            ),
            (
                replace(PEER, connected=False, heard_seconds=42.0),
                ["critical: peer north has not been heard from for 42 s"],
            ),
            (
                replace(PEER, connected=False, heard_seconds=42.0, rows_behind=12),
                [
                    (
                        "critical: peer north has not been heard from for 42 s:"
                        " up to 12 changes missing here"
                    )
                ],
            ),
            (
                replace(PEER, connected=False, heard_seconds=0.5),
                ["warning: peer north sends notifications but cannot be pulled from"],
            ),
            (
                replace(PEER, connected=False, heard_seconds=None),
                ["critical: peer north has never been heard from"],
            ),
            (
                SOUTH,
                [f"critical: peer {SOUTH.name} cannot be pulled from: it is of another cluster"],
            ),
            (
                replace(PEER, clock_ahead_seconds=-90.0),
                ["warning: the clock of peer north is 1 min 30 s behind this node's"],
            ),
            (
                replace(PEER, clock_ahead_seconds=5.0),
                ["warning: the clock of peer north is 5.0 s ahead of this node's"],
            ),
        ],
    )
    def test_a_peer_is_gone_or_far_ahead(self, peer: UpstreamStatus, expected: list[str]) -> None:
        assert told(replicating(peer)) == expected

    def test_a_node_that_has_just_started_need_not_have_heard_them(self) -> None:
        assert (
            told(replicating(replace(PEER, connected=False, heard_seconds=None), uptime=3.0)) == []
        )


class SubscriberTests:
    """The peers that pull from a node, and the changes between."""

    @pytest.mark.parametrize(
        ("heard", "behind", "expected"),
        [
            (29.0, 7, []),
            (42.0, 0, ["warning: peer SELF has not pulled for 42 s"]),
            (
                42.0,
                7,
                ["warning: peer SELF has not pulled for 42 s: 7 changes not on its disk"],
            ),
            (90000.0, 7, []),
        ],
    )
    def test_one_that_fetches_nothing_is_named(
        self, heard: float, behind: int, expected: list[str]
    ) -> None:
        status = replicating(
            PEER,
            subscribers=(
                FETCHER,
                SubscriberStatus(
                    "SELF", key="", peer="", acked=0, behind=behind, heard_seconds=heard
                ),
            ),
        )
        assert told(status) == expected

    def test_a_peer_that_is_also_pulled_from_has_that_name_and_is_listed_once_if_it_lacks_nothing(
        self,
    ) -> None:
        peer = replace(PEER, connected=False, heard_seconds=42.0)
        gone = replace(FETCHER, node=peer.node or "", heard_seconds=40.0)
        heard = "critical: peer north has not been heard from for 42 s"
        assert told(replicating(peer, subscribers=(gone, FETCHER))) == [heard]
        assert told(replicating(peer, subscribers=(replace(gone, behind=2), FETCHER))) == [
            heard,
            "warning: peer north has not pulled for 40 s: 2 changes not on its disk",
        ]

    def test_a_peer_has_its_own_name_and_beside_it_what_it_is_known_by(self) -> None:
        silent = SubscriberStatus(
            "dd" * 16, key="south", peer="img-2", acked=0, behind=0, heard_seconds=42.0
        )
        upstream = replace(PEER, peer="img-1", connected=False, heard_seconds=42.0)
        assert told(replicating(upstream, subscribers=(FETCHER, silent))) == [
            "critical: peer img-1 (north) has not been heard from for 42 s",
            "warning: peer img-2 (south) has not pulled for 42 s",
        ]

    def test_changes_that_nobody_fetches_are_on_one_disk(self) -> None:
        gone = replace(FETCHER, heard_seconds=90000.0)
        alone: ReplicationStatus = replace(AT_REST, unreplicated=3, subscribers=(gone,))
        assert told(replace(WELL, replication=alone)) == ["warning: 3 changes are on no other disk"]
        assert told(replace(WELL, replication=replace(alone, subscribers=(gone, FETCHER)))) == []
        assert told(replace(WELL, replication=replace(alone, subscribers=()))) == []

    @pytest.mark.parametrize(
        ("pending", "seconds", "expected"),
        [
            (12, 9.0, []),
            (
                12,
                61.0,
                ["warning: changes have been waiting for their bytes for 1 min 1 s (12 now)"],
            ),
            (
                1,
                301.0,
                ["critical: changes have been waiting for their bytes for 5 min 1 s (1 now)"],
            ),
        ],
    )
    def test_changes_that_wait_for_their_bytes(
        self, pending: int, seconds: float, expected: list[str]
    ) -> None:
        assert (
            told(
                replace(
                    WELL, replication=replace(AT_REST, pending=pending, pending_seconds=seconds)
                )
            )
            == expected
        )
