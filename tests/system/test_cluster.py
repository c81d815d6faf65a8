"""Several real daemons: what is stored, moved and deleted on any of them is the same on all,
whoever was away meanwhile.
"""

import itertools
import os
import signal
import xmlrpc.client
from functools import partial
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Links, chain, eventually, mesh, ring, star
from tests.support.cluster_writer import ClusterWriter, png, together
from tests.support.daemon_process import DaemonProcess, fault_of, text

ABSENT_WRITES = 1000
LOSSES = int(os.environ.get("LOSSES", "20"))
"""Each costs the start of a daemon; LOSSES=200 takes five minutes."""


class TopologyTests:
    """Any will do."""

    @pytest.mark.parametrize(
        "links",
        [
            ring("a", "b", "c"),
            chain("a", "b", "c", "d"),
            star("a", "b", "c", "d"),
            mesh("a", "b", "c"),
        ],
        ids=["ring", "chain", "star", "mesh"],
    )
    def test_writes_on_every_node_reach_all_of_them(self, tmp_path: Path, links: Links) -> None:
        with Cluster(tmp_path, links) as nodes:
            writers = [ClusterWriter(nodes[name], name) for name in links]
            together(writer.run for writer in writers)
            expected = {path: image for writer in writers for path, image in writer.images.items()}
            nodes.wait_until_all_have(expected)
            assert all(
                node.proxy.list_images() == sorted(expected, key=str.encode)
                for node in nodes.nodes.values()
            )
            for path in itertools.islice(expected, 5):
                facts = [node.proxy.image_info(path) for node in nodes.nodes.values()]
                assert all(one == facts[0] for one in facts), (
                    "digest, size, pixels and time are those of the node that stored it"
                )

    def test_one_way_links_replicate_one_way(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, {"source": [], "copy": ["source"]}) as nodes:
            nodes["source"].proxy.store_image(text(png(1)), "here.png")
            nodes.wait_until_all_have({"here.png": png(1)})
            nodes["copy"].proxy.store_image(text(png(2)), "there.png")
            nodes["source"].proxy.delete_image("here.png")
            nodes.wait_until_all_have({"there.png": png(2)}, "copy")
            nodes.wait_until_all_have({}, "source")


class AbsenceTests:
    """A node that was down, or is new, catches up."""

    def test_a_ring_takes_back_a_node_that_missed_a_thousand_writes_and_takes_in_a_newcomer(
        self, tmp_path: Path
    ) -> None:
        with Cluster(tmp_path, {**ring("a", "b", "c"), "a": ["c", "b"]}) as nodes:
            together(ClusterWriter(nodes[name], f"before-{name}", calls=20).run for name in "abc")
            nodes.wait_until_equal()
            nodes["c"].kill()
            together(
                ClusterWriter(nodes[name], f"meanwhile-{name}", calls=ABSENT_WRITES // 2).run
                for name in "ab"
            )
            nodes.links["new"] = ["a", "b"]
            nodes.start("c", "new")
            together(
                ClusterWriter(nodes[name], f"after-{name}", calls=20).run
                for name in ("a", "b", "c")
            )
            assert len(nodes.wait_until_equal()) > ABSENT_WRITES / 10

    def test_each_is_killed_and_restarted_under_load(self, tmp_path: Path) -> None:
        names = ("a", "b", "c")
        with Cluster(tmp_path, mesh(*names)) as nodes:
            writers = {
                name: ClusterWriter(nodes[name], name, calls=150, stores_only=True)
                for name in names
            }
            for name in names:
                others = [writers[other].run for other in names if other != name]
                together([*others, partial(kill_and_restart, nodes, name)])
                for writer in writers.values():
                    writer.daemon = nodes[writer.name]
            expected = {
                path: image for writer in writers.values() for path, image in writer.images.items()
            }
            nodes.wait_until_all_have(expected)

    def test_a_node_that_was_stopped_for_a_while_goes_on(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b")) as nodes:
            nodes["b"].process.send_signal(signal.SIGSTOP)
            writer = ClusterWriter(nodes["a"], "a", calls=100)
            writer.run()
            nodes["b"].process.send_signal(signal.SIGCONT)
            nodes.wait_until_all_have(writer.images)

    def test_a_restored_backup_gets_its_own_later_writes_back(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b")) as nodes:
            first = ClusterWriter(nodes["a"], "first", calls=20)
            first.run()
            nodes.wait_until_equal()
            assert nodes["a"].stop() == 0
            nodes.back_up("a")
            nodes.start("a")
            second = ClusterWriter(nodes["a"], "second", calls=20)
            second.run()
            nodes.wait_until_equal()
            nodes["a"].kill()
            nodes.restore("a")
            nodes.start("a")
            third = ClusterWriter(nodes["a"], "third", calls=20)
            third.run()
            nodes.wait_until_all_have(first.images | second.images | third.images)

    def test_a_copied_data_folder_is_refused(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, {"a": [], "b": ["a"]}) as nodes:
            nodes["a"].proxy.store_image(text(png(1)), "a.png")
            nodes.wait_until_equal()
            assert nodes["a"].stop() == 0
            nodes.clone("a", "b")
            nodes.start("a", "b")
            assert "copy" in nodes["b"].wait_for_line("cannot be pulled from")
            nodes["a"].proxy.store_image(text(png(2)), "later.png")
            assert fault_of(nodes["b"].proxy.image_info, "later.png").faultCode == 1000


class ConflictTests:
    """Two nodes that do not hear each other."""

    def test_the_same_version_wins_everywhere_and_a_path_may_be_a_file_here_and_a_folder_there(
        self, tmp_path: Path
    ) -> None:
        links = mesh("a", "b")
        apart: Links = {"a": [], "b": []}
        with Cluster(tmp_path, apart) as nodes:
            for name, image in (("a", png(1)), ("b", png(2))):
                nodes[name].proxy.store_image(text(image), "both.png")
            nodes["a"].proxy.store_image(text(png(3)), "x.png")
            nodes["b"].proxy.store_image(text(png(4)), "x.png/below.png")
            for node in nodes.nodes.values():
                assert node.stop() == 0
            nodes.links = {name: list(peers) for name, peers in links.items()}
            nodes.start()
            nodes.wait_until_all_have({"both.png": png(2), "x.png/below.png": png(4)})
            nodes["a"].proxy.delete_image("x.png/below.png")
            nodes.wait_until_all_have({"both.png": png(2), "x.png": png(3)})


class ConfirmationTests:
    """min_acks: the answer waits for the peers."""

    def test_what_was_confirmed_survives_the_loss_of_the_machine_that_took_it(
        self, tmp_path: Path
    ) -> None:
        """LOSSES times: the node answers OK, is killed at once, and its folder is gone. The image
        is on the peer.
        """
        with Cluster(
            tmp_path, mesh("a", "b"), {"replication": {"min_acks": 1, "ack_timeout": "20 s"}}
        ) as nodes:
            expected = {}
            for loss in range(LOSSES):
                taker, peer = ("a", "b") if loss % 2 else ("b", "a")
                path = f"folder{loss % 7}/{loss}.png"
                assert nodes[taker].proxy.store_image(text(png(loss)), path) == "OK"
                nodes[taker].kill()
                nodes.lose(taker)
                expected[path] = png(loss)
                assert (nodes[peer].images / path).read_bytes() == png(loss)
                nodes.start(taker)
                nodes.wait_until_all_have(expected, taker)

    def test_without_enough_peers_the_answer_is_a_fault_and_the_change_is_kept(
        self, tmp_path: Path
    ) -> None:
        with Cluster(
            tmp_path, mesh("a", "b"), {"replication": {"min_acks": 1, "ack_timeout": "1 s"}}
        ) as nodes:
            eventually(lambda: stored(nodes["a"], png(1), "a.png"))
            nodes["b"].kill()
            fault = fault_of(nodes["a"].proxy.store_image, text(png(2)), "b.png")
            assert (fault.faultCode, fault.faultString[:6]) == (1003, "[1003]")
            assert fault_of(nodes["a"].proxy.move_image, "a.png", "c.png").faultCode == 1003
            assert fault_of(nodes["a"].proxy.delete_image, "c.png").faultCode == 1003
            assert (nodes["a"].images / "b.png").read_bytes() == png(2)
            nodes.start("b")
            nodes.wait_until_all_have({"b.png": png(2)})
            eventually(lambda: stored(nodes["a"], png(3), "d.png"))


class MissTests:
    """A path that is not known here may be on a peer."""

    def test_an_image_that_has_not_arrived_is_found_moved_and_deleted(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b", "c")) as nodes:
            for number in range(5):
                path = f"{number}.png"
                nodes["a"].proxy.store_image(text(png(number)), path)
                assert nodes["b"].proxy.image_info(path)["path"] == path
                assert nodes["b"].proxy.move_image(path, "moved/" + path) == "OK"
                assert nodes["c"].proxy.delete_image("moved/" + path) == "OK"
            nodes.wait_until_all_have({})

    def test_a_node_that_has_just_started_asks_too(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b")) as nodes:
            assert nodes["b"].stop() == 0
            nodes["a"].proxy.store_image(text(png(1)), "a.png")
            nodes.start("b")
            assert nodes["b"].proxy.image_info("a.png")["path"] == "a.png"

    def test_what_nobody_has_is_unknown_and_a_dead_peer_does_not_hold_the_answer_up(
        self, tmp_path: Path
    ) -> None:
        with Cluster(tmp_path, mesh("a", "b")) as nodes:
            nodes["b"].process.send_signal(signal.SIGSTOP)
            assert fault_of(nodes["a"].proxy.image_info, "nowhere.png").faultCode == 1000
            assert (
                fault_of(nodes["a"].proxy.move_image, "nowhere.png", "else.png").faultCode == 1000
            )
            assert nodes["a"].proxy.delete_image("nowhere.png") == "OK"
            nodes["b"].process.send_signal(signal.SIGCONT)


def stored(node: DaemonProcess, image: bytes, path: str) -> bool:
    """Store; False if no peer has confirmed it in time, as while they are finding each other."""
    try:
        return bool(node.proxy.store_image(text(image), path) == "OK")
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != 1003:
            raise
        return False


def kill_and_restart(nodes: Cluster, name: str) -> None:
    """In the middle of its work."""
    writer = ClusterWriter(nodes[name], f"victim-{name}", calls=10)
    writer.run()
    nodes[name].kill()
    nodes.start(name)
    for path, image in writer.images.items():
        assert (nodes[name].images / path).read_bytes() == image
    nodes[name].proxy.delete_image(sorted(writer.images))
