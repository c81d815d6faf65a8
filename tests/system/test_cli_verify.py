"""`imagepipe verify` on one of two nodes."""

import json
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, eventually, mesh
from tests.support.command_line import Terminal, against, port_of
from tests.support.daemon_process import DaemonProcess
from tests.support.gradients import encoded, gradient


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes north and south, each of which fetches from the other."""
    with Cluster(tmp_path_factory.mktemp("cluster"), mesh("north", "south")) as cluster:
        yield cluster


@pytest.fixture
def north(cluster: Cluster) -> DaemonProcess:
    """The node that is verified."""
    return cluster["north"]


class VerifyTests:
    def test_a_sound_node_is_well(self, north: DaemonProcess) -> None:
        north.proxy.store_image(encoded(gradient(24, 32), "PNG"), "v/good.png")
        done = against(north, "verify")
        assert (done.status, done.rows) == (0, [])
        assert "nothing is wrong" in done.err
        assert json.loads(against(north, "verify", "--watch", "--json").out)["running"] is False

    def test_corrupt_files_are_listed_and_repaired_from_the_peer(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        image = encoded(gradient(40, 40), "PNG")
        north.proxy.store_image(image, "v/rotten.png")
        file = north.images / "v" / "rotten.png"
        eventually((cluster["south"].images / "v" / "rotten.png").exists)
        file.chmod(0o600)
        file.write_bytes(image[:-1] + b"?")
        found = against(north, "verify")
        assert found.status == 1
        assert [row[0] for row in found.rows] == ["v/rotten.png"]
        assert "1 rotten" in found.err
        with Terminal("verify", "--repair", "--port", port_of(north)) as terminal:
            status, seen = terminal.end()
        assert (status, "1 repaired" in seen, "verify" in seen) == (0, True, True)
        assert file.read_bytes() == image
        assert against(north, "verify").status == 0

    def test_ctrl_c_stops_watching_and_stop_stops_it(self, north: DaemonProcess) -> None:
        # 6.75 MB: at this rate, it takes hours
        north.proxy.store_image(encoded(gradient(1500, 1500), "BMP"), "v/large.bmp")
        with Terminal("verify", "--rate", "1 KiB", "--port", port_of(north)) as terminal:
            terminal.read_until("left")
            eventually(lambda: json.loads(north.proxy.admin.verify_progress())["running"])
            terminal.interrupt()
            status, seen = terminal.end()
        assert (status, "stopped watching; the daemon continues" in seen) == (130, True)
        second = against(north, "verify")
        assert second.status == 1
        assert second.err.startswith("imagepipe: [1000] ")
        assert against(north, "verify", "--stop").status == 0
        stopped = against(north, "verify", "--watch")
        assert (stopped.status, "stopped before it finished" in stopped.err) == (1, True)
