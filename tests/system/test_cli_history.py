"""`imagepipe history`, `restore` and `erase` on two nodes of which one has lost a conflict."""

import json
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, eventually, mesh
from tests.support.command_line import against
from tests.support.daemon_process import DaemonProcess
from tests.support.gradients import encoded, gradient

LOST, WON = encoded(gradient(32, 24), "PNG"), encoded(gradient(24, 32), "PNG")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """North stored a.png, and south stored another one later, before they heard of each other."""
    with_conflict = Cluster(tmp_path_factory.mktemp("cluster"), mesh("north", "south"))
    try:
        with_conflict.start("north")
        with_conflict["north"].proxy.store_image(LOST, "x/a.png")
        with_conflict["north"].stop()
        with_conflict.start("south")
        with_conflict["south"].proxy.store_image(WON, "x/a.png")
        with_conflict.start("north")
        with_conflict.wait_until_all_have({"x/a.png": WON})
        yield with_conflict
    finally:
        with_conflict.clean_up()


@pytest.fixture
def north(cluster: Cluster) -> DaemonProcess:
    """The node that keeps the loser."""
    return cluster["north"]


class HistoryTests:
    def test_the_loser_is_listed_where_it_is_kept(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        for arguments in ([], ["x/a.png"], ["x/"]):
            [[path, version, size, digest, _lost, winner]] = against(
                north, "history", *arguments
            ).rows
            assert (path, int(size), len(version), len(winner), len(digest)) == (
                "x/a.png",
                len(LOST),
                49,
                49,
                64,
            )
        assert json.loads(against(north, "history", "--json").out)["version"] == version
        assert against(north, "history", "y/").rows == []
        assert against(cluster["south"], "history").rows == []

    def test_it_is_stored_again_somewhere_else_or_where_it_was(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        [[path, version, *_]] = against(north, "history").rows
        elsewhere = against(north, "restore", path, version[:12], "--to", "x/b.png", "--json")
        assert (elsewhere.status, json.loads(elsewhere.out)["path"]) == (0, "x/b.png")
        here = against(north, "restore", path, version)
        assert ["width", "32"] in here.rows
        cluster.wait_until_all_have({"x/a.png": LOST, "x/b.png": LOST})

    def test_a_version_that_there_is_not_is_the_daemons_sentence(
        self, north: DaemonProcess
    ) -> None:
        done = against(north, "restore", "x/a.png", "ffff")
        assert done.status == 1
        assert done.err.startswith("imagepipe: [1000] version: ")


class EraseTests:
    def test_it_is_gone_on_every_node_also_on_one_that_was_away(self, cluster: Cluster) -> None:
        cluster.start("north")
        [[_, version, *_]] = against(cluster["north"], "history", "x/a.png").rows
        cluster["north"].stop()
        done = against(cluster["south"], "erase", "x/a.png")
        assert (done.status, done.err) == (0, "")
        cluster.start("north")
        eventually(lambda: against(cluster["north"], "history", "x/a.png").rows == [])
        assert against(cluster["north"], "restore", "x/a.png", version).err.startswith(
            "imagepipe: [1000] version: "
        )
        assert "x/a.png" not in cluster.wait_until_equal()

    def test_an_unknown_path_is_reported(self, north: DaemonProcess) -> None:
        done = against(north, "erase", "never/heard-of.png")
        assert done.status == 1
        assert "there never was" in done.err
