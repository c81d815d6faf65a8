"""admin.verify, verify_progress and verify_stop at the XML-RPC boundary: a node that reads itself,
and gets from its peer what has gone bad.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, eventually, mesh
from tests.support.daemon_process import DaemonProcess, fault_of, running
from tests.support.gradients import encoded, gradient
from tests.support.image_server import check_log

IMAGE, OTHER = encoded(gradient(40, 30), "PNG"), encoded(gradient(30, 40), "PNG")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that have everything when a store returns; north can ask south."""
    pair = Cluster(
        tmp_path_factory.mktemp("cluster"),
        mesh("north", "south"),
        options={"replication": {"min_acks": 1, "ack_timeout": "60 s"}},
    )
    try:
        pair.start("north", "south")
        eventually(
            lambda: json.loads(pair["north"].proxy.admin.status())["replication"]["upstreams"][0][
                "connected"
            ]
        )
        yield pair
    finally:
        pair.clean_up()


def progress_of(daemon: DaemonProcess) -> Any:
    """What verify_progress says."""
    return json.loads(daemon.proxy.admin.verify_progress())


def verified(daemon: DaemonProcess, *, repair: bool = False) -> Any:
    """The outcome of a verification, run to its end."""
    assert daemon.proxy.admin.verify(repair, "1 GiB") == {"running": True, "repair": repair}
    eventually(lambda: not progress_of(daemon)["running"])
    return progress_of(daemon)


def rot(file: Path) -> bytes:
    """Turn a bit of a file where it lies, whatever its mode; what it is then."""
    bad = bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:]
    file.chmod(0o600)
    file.write_bytes(bad)
    return bad


class VerifyTests:
    def test_before_the_first_there_is_none_and_afterwards_what_it_has_found(
        self, tmp_path: Path
    ) -> None:
        with running(tmp_path) as daemon:
            assert progress_of(daemon) is None
            assert daemon.proxy.admin.verify_stop() == "OK"
            daemon.proxy.store_image(IMAGE, "a.png")
            daemon.proxy.store_image(IMAGE, "b.png")
            progress = verified(daemon)
            assert (progress["checked"], progress["total"]) == (2, 2)
            assert progress["bytes"] == progress["bytes_total"] == len(IMAGE)
            assert progress["finished"] >= progress["started"]
            assert (progress["problems"], progress["more_problems"], progress["error"]) == (
                [],
                0,
                "",
            )
            assert all(
                progress[kind] == 0
                for kind in ("missing", "rotten", "changed", "strangers", "repaired", "unrepaired")
            )
            check_log(daemon)

    def test_one_runs_at_a_time_and_is_stopped_at_once(self, tmp_path: Path) -> None:
        with running(tmp_path) as daemon:
            for number in range(20):
                daemon.proxy.store_image(
                    encoded(gradient(200 + number, 200), "PNG"), f"{number}.png"
                )
            daemon.proxy.admin.verify(False, "1 KiB")
            assert "[1000] verify: a verification is already running" in str(
                fault_of(daemon.proxy.admin.verify)
            )
            assert daemon.proxy.admin.verify_stop() == "OK"
            eventually(lambda: not progress_of(daemon)["running"])
            progress = progress_of(daemon)
            assert progress["finished"] is None
            assert progress["checked"] < progress["total"] == 20
            assert verified(daemon)["checked"] == 20

    def test_the_daemon_stops_without_waiting_for_it(self, tmp_path: Path) -> None:
        with running(tmp_path) as daemon:
            daemon.proxy.store_image(encoded(gradient(500, 500), "PNG"), "a.png")
            daemon.proxy.admin.verify(False, "1 KiB")
            daemon.stop()
            assert "verify: stopped early" in "".join(daemon.log)

    @pytest.mark.parametrize(
        "arguments",
        [("perhaps",), (2,), (False, "fast"), (False, "0"), (False, 5), (False, "9" * 5000)],
    )
    def test_wrong_arguments_are_refused(
        self, cluster: Cluster, arguments: tuple[Any, ...]
    ) -> None:
        assert fault_of(cluster["north"].proxy.admin.verify, *arguments).faultCode == 1000

    def test_what_is_bad_comes_back_from_the_peer_and_nothing_is_destroyed(
        self, cluster: Cluster
    ) -> None:
        north = cluster["north"]
        for path in ("rotten.png", "x/missing.png", "x/changed.png"):
            north.proxy.store_image(encoded(gradient(20 + len(path), 20), "PNG"), path)
        good = {
            path: (north.images / path).read_bytes()
            for path in ("rotten.png", "x/missing.png", "x/changed.png")
        }
        bad = rot(north.images / "rotten.png")
        (north.images / "x" / "missing.png").unlink()
        (north.images / "x" / "changed.png").unlink()
        (north.images / "x" / "changed.png").write_bytes(OTHER)

        found = verified(north)
        assert {one["path"]: (one["problem"], one["outcome"]) for one in found["problems"]} == {
            "rotten.png": ("rotten object", "left as it is"),
            "x/missing.png": ("missing file", "left as it is"),
            "x/changed.png": ("changed file", "left as it is"),
        }
        assert (found["rotten"], found["missing"], found["changed"], found["repaired"]) == (
            1,
            1,
            1,
            0,
        )

        repaired = verified(north, repair=True)
        assert (repaired["repaired"], repaired["unrepaired"]) == (3, 0)
        assert {path: (north.images / path).read_bytes() for path in good} == good
        assert {
            file.read_bytes() for file in (north.images / ".imagepipe" / "found").iterdir()
        } == {bad, OTHER}
        assert verified(north)["problems"] == []
        assert "rotten.png" in "".join(north.log)

    def test_what_no_peer_has_is_left_as_it_is(self, tmp_path: Path) -> None:
        with running(tmp_path) as daemon:
            daemon.proxy.store_image(IMAGE, "a.png")
            bad = rot(daemon.images / "a.png")
            progress = verified(daemon, repair=True)
            assert (progress["rotten"], progress["repaired"], progress["unrepaired"]) == (1, 0, 1)
            assert "not to be had from any peer" in progress["problems"][0]["outcome"]
            assert (daemon.images / "a.png").read_bytes() == bad
