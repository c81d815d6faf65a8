"""SIGHUP to nodes of a cluster: peers, ports and keys change while they work."""

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imagepipe.replication.zmq.curve_keys import create_keys
from tests.support.cluster import Cluster, eventually, mesh
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.image_server import HTTP, status

ALONE: dict[str, dict[str, object]] = {"replication": {"publish": "tcp://127.0.0.1:0"}}


@contextlib.contextmanager
def node(folder: Path, name: str, options: dict[str, dict[str, object]]) -> Iterator[DaemonProcess]:
    """A node of this name."""
    (folder / name).mkdir()
    with running(folder / name, options) as process:
        yield process


def endpoint(node: DaemonProcess) -> str:
    """Where it publishes now."""
    lines = [line for line in node.log if "publishing on " in line]
    return lines[-1].partition("publishing on ")[2].partition(",")[0]


def subscribed(*peers: str, **more: object) -> dict[str, dict[str, object]]:
    """The options of a node with an image server that pulls from these."""
    return {
        "replication": {"publish": "tcp://127.0.0.1:0", "subscribe": ", ".join(peers), **more},
        **HTTP,
    }


def peers_of(node: DaemonProcess) -> list[dict[str, Any]]:
    """What /status.json says of those that it pulls from."""
    found: list[dict[str, Any]] = status(node)["replication"]["upstreams"]
    return found


def arrives(source: DaemonProcess, target: DaemonProcess, path: str, picture: bytes) -> None:
    """Store at the one, and wait until the other has it."""
    source.proxy.store_image(text(picture), path)
    eventually((target.images / path).is_file, lambda: "".join(source.log[-5:] + target.log[-5:]))


class PeersTests:
    def test_a_peer_is_added_and_taken_away_again(self, tmp_path: Path, picture: bytes) -> None:
        with node(tmp_path, "a", ALONE) as a, node(tmp_path, "b", HTTP) as b:
            a.proxy.store_image(text(picture), "before.jpg")
            b.reload(subscribed(endpoint(a)))
            eventually((b.images / "before.jpg").is_file)
            [peer] = peers_of(b)
            assert (peer["name"], peer["connected"]) == (endpoint(a), True)
            b.reload(HTTP)
            assert status(b)["replication"] is None
            a.proxy.store_image(text(picture), "meanwhile.jpg")
            b.reload(subscribed(endpoint(a)))
            arrives(a, b, "after.jpg", picture)
            assert (b.images / "meanwhile.jpg").is_file()

    def test_the_place_where_a_node_publishes_moves_and_its_peers_follow(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with node(tmp_path, "a", ALONE) as a, node(tmp_path, "b", subscribed(endpoint(a))) as b:
            arrives(a, b, "before.jpg", picture)
            old = endpoint(a)
            moved = f"ipc://{tmp_path}/a.socket"
            a.reload({"replication": {"publish": moved}})
            assert endpoint(a) == moved != old
            b.reload(subscribed(moved))
            arrives(a, b, "after.jpg", picture)
            [peer] = peers_of(b)
            assert peer["name"] == moved

    def test_a_port_that_cannot_be_had_changes_nothing(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with (
            node(tmp_path, "other", ALONE) as other,
            node(tmp_path, "a", ALONE) as a,
            node(tmp_path, "b", subscribed(endpoint(a))) as b,
        ):
            before = endpoint(a)
            with pytest.raises(RuntimeError, match="another process is listening there"):
                a.reload({"replication": {"publish": endpoint(other)}})
            assert endpoint(a) == before
            arrives(a, b, "after.jpg", picture)

    def test_a_node_whose_sockets_cannot_even_be_opened_again_is_back_with_the_next_reload(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        """Its folder is gone: it says so, goes on serving, and replicates once it can."""
        sockets = tmp_path / "sockets"
        sockets.mkdir()
        ours: dict[str, dict[str, object]] = {"replication": {"publish": f"ipc://{sockets}/a"}}
        with (
            node(tmp_path, "a", ours) as a,
            node(tmp_path, "b", subscribed(f"ipc://{sockets}/a")) as b,
        ):
            arrives(a, b, "before.jpg", picture)
            shutil.rmtree(sockets)
            with pytest.raises(RuntimeError, match="nothing is replicated until the next reload"):
                a.reload({"replication": {"publish": f"ipc://{sockets}/other"}})
            a.proxy.store_image(text(picture), "meanwhile.jpg")
            with pytest.raises(RuntimeError, match="nothing is replicated until the next reload"):
                a.reload(ours)
            sockets.mkdir()
            a.reload(ours)
            arrives(a, b, "after.jpg", picture)
            assert (b.images / "meanwhile.jpg").is_file()

    def test_a_waiting_call_needs_as_many_confirmations_as_are_configured_now(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        waiting = {
            "replication": {"publish": "tcp://127.0.0.1:0", "min_acks": 1, "ack_timeout": 60}
        }
        with (
            node(tmp_path, "a", waiting) as a,
            node(tmp_path, "b", HTTP) as b,
            ThreadPoolExecutor() as pool,
        ):
            stored = pool.submit(a.proxy.store_image, text(picture), "a.jpg")
            eventually((a.images / "a.jpg").is_file)
            a.reload(waiting)
            assert not stored.done()
            b.reload(subscribed(endpoint(a)))
            assert stored.result() == "OK"

    def test_no_descriptor_and_no_thread_is_left_behind(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with node(tmp_path, "a", ALONE) as a, node(tmp_path, "b", HTTP) as b:
            one, other = subscribed(endpoint(a)), subscribed(endpoint(a), "tcp://127.0.0.1:1")
            moved = subscribed(endpoint(a), publish=f"ipc://{tmp_path}/b.socket")

            def held() -> tuple[int, int]:
                process = Path(f"/proc/{b.process.pid}")
                return len(list((process / "fd").iterdir())), len(
                    list((process / "task").iterdir())
                )

            for options in (one, other, moved, HTTP, one):  # whatever is made once is there
                b.reload(options)
            arrives(a, b, "0.jpg", picture)
            before = held()
            for _ in range(8):
                for options in (other, moved, HTTP, one):
                    b.reload(options)
            arrives(a, b, "1.jpg", picture)
            # Pools start threads when several are wanted at a time, a few in all. A reload of any
            # of the four kinds that left one would have left eight.
            eventually(
                lambda: held()[0] <= before[0] and held()[1] <= before[1] + 4,
                lambda: f"{before} {held()}",
            )


class KeysTests:
    def test_keys_are_added_withdrawn_and_given_up(self, tmp_path: Path, picture: bytes) -> None:
        for name in ("a", "b"):
            create_keys(tmp_path / f"keys-{name}")
        knows_b = tmp_path / "keys-a" / "authorized" / "b.key"
        (tmp_path / "keys-b" / "authorized" / "a.key").write_bytes(
            (tmp_path / "keys-a" / "server.key").read_bytes()
        )
        of_a: dict[str, dict[str, object]] = {
            "replication": {"publish": "tcp://127.0.0.1:0", "keys": tmp_path / "keys-a"}
        }
        with node(tmp_path, "a", of_a) as a, node(tmp_path, "b", HTTP) as b:
            with_keys = subscribed(f"a@{endpoint(a)}", keys=tmp_path / "keys-b")
            b.reload(with_keys)
            a.wait_for_line("a peer with an unknown key")
            knows_b.write_bytes((tmp_path / "keys-b" / "server.key").read_bytes())
            a.reload()
            arrives(a, b, "admitted.jpg", picture)
            knows_b.unlink()
            a.reload()
            a.wait_for_line("a peer with an unknown key")  # it was cut off, and comes back
            a.proxy.store_image(text(picture), "withdrawn.jpg")
            plain: dict[str, dict[str, object]] = {"replication": {"publish": "tcp://127.0.0.1:0"}}
            a.reload(plain)
            b.reload(subscribed(endpoint(a)))
            arrives(a, b, "in-clear.jpg", picture)
            assert (b.images / "withdrawn.jpg").is_file()

    def test_a_node_is_added_in_the_order_that_the_documentation_gives(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        keys = {name: tmp_path / f"keys-{name}" for name in ("old", "newcomer")}
        for folder in keys.values():
            create_keys(folder)
        of_old: dict[str, dict[str, object]] = {
            "replication": {"publish": "tcp://127.0.0.1:0", "keys": keys["old"]},
            **HTTP,
        }
        with node(tmp_path, "old", of_old) as old:
            old.proxy.store_image(text(picture), "before.jpg")
            for one, other in (("old", "newcomer"), ("newcomer", "old")):
                shutil.copy(keys[one] / "server.key", keys[other] / "authorized" / f"{one}.key")
            old.reload()  # 1, its end
            of_newcomer = subscribed(f"old@{endpoint(old)}", keys=keys["newcomer"])
            with node(tmp_path, "newcomer", of_newcomer) as newcomer:  # 2
                eventually(
                    (newcomer.images / "before.jpg").is_file,
                    lambda: "".join(old.log + newcomer.log),
                )
                assert not any("unknown key" in line for line in old.log)
                old.reload(subscribed(f"newcomer@{endpoint(newcomer)}", keys=keys["old"]))  # 3
                arrives(newcomer, old, "after.jpg", picture)
                [peer] = status(newcomer)["replication"]["subscribers"]
                assert peer["key"] == "old"


class BusyTests:
    def test_a_cluster_that_is_reloaded_again_and_again_stays_equal(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with Cluster(tmp_path, mesh("a", "b", "c")) as nodes:
            configurations = {name: node.config.read_text() for name, node in nodes.nodes.items()}
            for number in range(12):
                name = "abc"[number % 3]
                node = nodes[name]
                if number % 2:
                    node.config.write_text(configurations[name])
                else:  # alone for a while
                    lines = configurations[name].splitlines(keepends=True)
                    node.config.write_text(
                        "".join(line for line in lines if not line.startswith("subscribe"))
                    )
                node.reload()
                for each in nodes.nodes.values():
                    each.proxy.store_image(text(picture), f"{number}/{each.folder.name}.jpg")
            for name, node in nodes.nodes.items():
                node.config.write_text(configurations[name])
                node.reload()
            assert len(nodes.wait_until_equal()) == 36
