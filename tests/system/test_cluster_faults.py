"""Real daemons on a bad network: connections cut, slow, silent, garbled; strangers who call; and
peace.
"""

import contextlib
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from imagepipe.core.replication.messages import Changes, Get, Hello, Range, encode
from imagepipe.replication.zmq.curve_keys import create_keys
from tests.support.cluster import Cluster, Links, eventually, mesh, tree
from tests.support.cluster_writer import ClusterWriter, png, together
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess, fault_of, running, text
from tests.support.namespaces import needs_namespaces
from tests.support.peers import GREETING, shake_hands
from tests.support.proxy import FaultProxy

QUIET_SECONDS = 12
HEAD_BYTES = 100
"""The approximate size of a Head on the wire."""


class NetworkTests:
    """Two nodes that reach each other only through proxies."""

    @pytest.mark.parametrize(
        "break_network",
        [
            lambda proxy: proxy.cut(),
            lambda proxy: proxy.drop(),
            lambda proxy: proxy.blackhole(),
            lambda proxy: proxy.blackhole(down=False),
            lambda proxy: proxy.blackhole(up=False),
            lambda proxy: proxy.delay(0.2),
            lambda proxy: (proxy.truncate(5000), proxy.drop()),
            lambda proxy: proxy.corrupt(0.0005),
        ],
        ids=[
            "cut",
            "drop",
            "silence",
            "silence up",
            "silence down",
            "delay",
            "truncated",
            "garbled",
        ],
    )
    def test_nodes_converge_whatever_the_network_did(
        self, tmp_path: Path, break_network: Callable[[FaultProxy], object]
    ) -> None:
        with (
            FaultProxy() as to_a,
            FaultProxy() as to_b,
            Cluster(
                tmp_path,
                mesh("a", "b"),
                endpoints={("a", "b"): to_b.endpoint, ("b", "a"): to_a.endpoint},
            ) as nodes,
        ):
            for proxy, name in ((to_a, "a"), (to_b, "b")):
                proxy.target(nodes.publish(name), nodes.publish(name) + ".sync")
            before = ClusterWriter(nodes["a"], "before", calls=5, stores_only=True)
            before.run()
            nodes.wait_until_all_have(before.images)
            break_network(to_a)
            break_network(to_b)
            writers = [ClusterWriter(nodes[name], name, calls=40) for name in "ab"]
            together(writer.run for writer in writers)
            to_a.heal()
            to_b.heal()
            nodes.wait_until_all_have(before.images | writers[0].images | writers[1].images)

    def test_a_large_image_survives_connections_that_are_cut_in_its_middle(
        self, tmp_path: Path
    ) -> None:
        image = png(1) + random.Random(1).randbytes(3_000_000)
        with (
            FaultProxy() as proxy,
            Cluster(
                tmp_path, {"a": [], "b": ["a"]}, endpoints={("b", "a"): proxy.endpoint}
            ) as nodes,
        ):
            proxy.target(nodes.publish("a"), nodes.publish("a") + ".sync")
            proxy.truncate(1_000_000)
            proxy.drop()
            nodes["a"].proxy.store_image(text(image), "large.png")
            eventually(lambda: proxy.sync_bytes.down > 2_000_000)
            assert tree(nodes["b"]) == {}
            proxy.heal()
            nodes.wait_until_all_have({"large.png": image})

    def test_a_stuck_upstream_does_not_hold_up_another(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, {"a": ["c"], "b": ["a", "c"], "c": []}) as nodes:
            nodes["a"].proxy.store_image(text(png(1)), "a.png")
            nodes.wait_until_all_have({"a.png": png(1)}, "b")
            nodes["a"].process.send_signal(signal.SIGSTOP)
            nodes["c"].proxy.store_image(text(png(2)), "c.png")
            nodes.wait_until_all_have({"a.png": png(1), "c.png": png(2)}, "b")
            nodes["a"].process.send_signal(signal.SIGCONT)
            nodes.wait_until_all_have({"a.png": png(1), "c.png": png(2)}, "a", "b")

    @needs_namespaces
    def test_two_machines_whose_line_goes_down_and_comes_up_again(self, tmp_path: Path) -> None:
        with two_machines() as machines, contextlib.ExitStack() as stack:
            nodes = {}
            for name, peer in (("1", "2"), ("2", "1")):
                (tmp_path / name).mkdir()
                replication = {
                    "publish": f"tcp://10.203.0.{name}:8086",
                    "subscribe": f"tcp://10.203.0.{peer}:8086",
                }
                nodes[name] = stack.enter_context(
                    running(tmp_path / name, {"replication": replication}, wrapper=machines[name])
                )
            images = {"a.png": png(1)}
            store_inside(machines["1"], nodes["1"], "a.png", png(1))
            eventually(lambda: all(tree(node) == images for node in nodes.values()))
            subprocess.run([*machines["1"], "ip", "link", "set", "line", "down"], check=True)
            store_inside(machines["1"], nodes["1"], "b.png", png(2))
            store_inside(machines["2"], nodes["2"], "c.png", png(3))
            assert [sorted(tree(node)) for node in nodes.values()] == [
                ["a.png", "b.png"],
                ["a.png", "c.png"],
            ]
            subprocess.run([*machines["1"], "ip", "link", "set", "line", "up"], check=True)
            images |= {"b.png": png(2), "c.png": png(3)}
            eventually(lambda: all(tree(node) == images for node in nodes.values()))


class StrangersTests:
    """Anyone who reaches the ports can send anything."""

    def test_garbage_huge_and_lying_messages_change_nothing_and_cost_no_memory(
        self, tmp_path: Path
    ) -> None:
        links: Links = {"a": [], "b": ["a"]}
        with Cluster(tmp_path, links, over_tcp=True) as nodes:
            writer = ClusterWriter(nodes["a"], "a", calls=20)
            writer.run()
            nodes.wait_until_all_have(writer.images)
            before = memory_kib(nodes["a"])
            for attack in (garbage, endless_parts, half_handshakes, lies):
                attack(nodes.publish("a"), nodes.sync("a"))
                writer.run()
                nodes.wait_until_all_have(writer.images)
            assert memory_kib(nodes["a"]) - before < 64 * 1024
            assert "Traceback" not in "".join(nodes["a"].log + nodes["b"].log)
            assert len(nodes["a"].log) < 200

    def test_a_message_of_another_cluster_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, {"a": [], "b": ["a"]}) as nodes:
            nodes["b"].stop()
            nodes.start("b", options={"replication": {"cluster": "another"}})
            assert "it belongs to the cluster 'imagepipe'" in nodes["b"].wait_for_line(
                "cannot be pulled from"
            )
            nodes["a"].proxy.store_image(text(png(1)), "a.png")
            assert fault_of(nodes["b"].proxy.image_info, "a.png").faultCode == 1000

    def test_with_keys_only_authorised_peers_are_heard_and_served(self, tmp_path: Path) -> None:
        for name in ("a", "b", "stranger"):
            create_keys(tmp_path / f"keys-{name}")
        for name, peer in (("a", "b"), ("b", "a"), ("stranger", "a")):
            (tmp_path / f"keys-{name}" / "authorized" / f"{peer}.key").write_bytes(
                (tmp_path / f"keys-{peer}" / "server.key").read_bytes()
            )
        links: Links = {"a": ["b"], "b": ["a"], "stranger": ["a"], "nobody": ["a"]}
        with_keys = {
            name: {"replication": {"keys": tmp_path / f"keys-{name}"}}
            for name in ("a", "b", "stranger")
        }
        with Cluster(tmp_path, links, each=with_keys) as nodes:
            writers = [ClusterWriter(nodes[name], name, calls=20) for name in ("a", "b")]
            together(writer.run for writer in writers)
            nodes.wait_until_all_have(writers[0].images | writers[1].images, "a", "b")
            assert (
                fault_of(nodes["stranger"].proxy.image_info, min(writers[0].images)).faultCode
                == 1000
            )
            assert tree(nodes["stranger"]) == tree(nodes["nobody"]) == {}


class PeaceTests:
    def test_a_quiet_cluster_sends_only_heartbeats_and_logs_nothing(self, tmp_path: Path) -> None:
        """One notification per second and one request every five, a few hundred bytes; the log says
        nothing.
        """
        with (
            FaultProxy() as proxy,
            Cluster(tmp_path, mesh("a", "b"), endpoints={("b", "a"): proxy.endpoint}) as nodes,
        ):
            proxy.target(nodes.publish("a"), nodes.publish("a") + ".sync")
            writer = ClusterWriter(nodes["a"], "a", calls=20)
            writer.run()
            nodes.wait_until_all_have(writer.images)
            rung = proxy.publish_bytes.down
            eventually(lambda: proxy.publish_bytes.down >= rung + 2 * HEAD_BYTES)
            logged = [len(node.log) for node in nodes.nodes.values()]
            start = proxy.bytes_forwarded
            rung = proxy.publish_bytes.down
            eventually(lambda: proxy.publish_bytes.down >= rung + QUIET_SECONDS * HEAD_BYTES)
            assert proxy.bytes_forwarded - start < QUIET_SECONDS * 400
            assert [len(node.log) for node in nodes.nodes.values()] == logged
            assert "cannot" not in "".join(nodes["a"].log + nodes["b"].log)


def garbage(*endpoints: str) -> None:
    """Bytes that are not ZeroMQ, and ZeroMQ messages that are not ours."""
    noise = random.Random(7)
    for endpoint in endpoints:
        with connected(endpoint) as connection, contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(noise.randbytes(10_000))
    with zmq_client(endpoints[1]) as client:
        for size in (0, 1, 10, 1000, 60_000):
            for _ in range(200):
                client.send(b"\x01" + noise.randbytes(size))
        client.send_multipart([b"\x01"] * 20)


def endless_parts(*endpoints: str) -> None:
    """A message that never ends, and one of two gibibytes."""
    for endpoint in endpoints:
        for more, size in ((1, 60_000), (0, 2 << 30)):
            with connected(endpoint) as connection, contextlib.suppress(ConnectionError):
                shake_hands(connection, b"DEALER" if endpoint == endpoints[1] else b"SUB")
                for _ in range(2000):
                    connection.sendall(bytes([2 | more]) + size.to_bytes(8, "big") + bytes(60_000))


def half_handshakes(*endpoints: str) -> None:
    """Two hundred connections that send a little and then nothing."""
    with contextlib.ExitStack() as stack:
        for endpoint in endpoints:
            for _ in range(100):
                with contextlib.suppress(ConnectionError):
                    stack.enter_context(connected(endpoint)).sendall(GREETING[:11])


def lies(*endpoints: str) -> None:
    """Requests that a node would never make, thousands of them, whose answers nobody reads."""
    with zmq_client(endpoints[1]) as client:
        for number in range(3000):
            node = f"{number:032x}"
            client.send(encode("imagepipe", Hello(number, node)))
            client.send(encode("imagepipe", Changes(number, node, "f" * 32, 1 << 60, 1 << 60)))
            client.send(encode("imagepipe", Get(number, (Range("0" * 64, 1 << 60, 1000),))))
            client.send(encode("another", Hello(number, node)))


@contextlib.contextmanager
def zmq_client(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """A plain DEALER."""
    context = zmq.Context()
    client = context.socket(zmq.DEALER)
    client.linger, client.sndtimeo = 2000, PATIENCE_SECONDS * 1000
    client.connect(endpoint)
    try:
        yield client
    finally:
        context.destroy()


def connected(endpoint: str) -> socket.socket:
    """A bare connection."""
    return socket.create_connection(
        ("127.0.0.1", int(endpoint.rpartition(":")[2])), timeout=PATIENCE_SECONDS
    )


def memory_kib(node: DaemonProcess) -> int:
    """What the daemon has in memory."""
    [kib] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{node.process.pid}/status").read_text())
    return int(kib)


Inside = tuple[str, ...]
"""The words that, before a command, run it on a machine."""


@contextlib.contextmanager
def two_machines() -> Iterator[dict[str, Inside]]:
    """Two machines with a line between them, of the addresses 10.203.0.1 and .2: network
    namespaces, in a user namespace where anybody is root.
    """
    with (
        namespace("unshare", "--map-root-user", "--net") as one,
        namespace(*entered(one, "--user"), "unshare", "--net") as two,
    ):
        machines = {"1": entered(one, "--user", "--net"), "2": entered(two, "--user", "--net")}
        subprocess.run(
            [*machines["1"], "ip", *f"link add line type veth peer name line netns {two}".split()],
            check=True,
        )
        for number, machine in machines.items():
            for what in (
                "link set lo up",
                f"address add 10.203.0.{number}/24 dev line",
                "link set line up",
            ):
                subprocess.run([*machine, "ip", *what.split()], check=True)
        yield machines


@contextlib.contextmanager
def namespace(*unshare: str) -> Iterator[int]:
    """The process that holds what `unshare` makes; it ends with this one, whatever happens."""
    with subprocess.Popen(
        [*unshare, "sh", "-c", "echo here; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"here\n"
        yield holder.pid


def entered(holder: int, *kinds: str) -> Inside:
    """What runs a command in some of a process's namespaces."""
    return ("nsenter", f"--target={holder}", "--preserve-credentials", *kinds)


def store_inside(machine: Inside, node: DaemonProcess, path: str, image: bytes) -> None:
    """Call the daemon from its own machine."""
    call = (
        "import sys, xmlrpc.client as x;"
        " print(x.ServerProxy(sys.argv[1]).store_image(x.Binary(sys.stdin.buffer.read()),"
        " sys.argv[2]))"
    )
    done = subprocess.run(
        [*machine, sys.executable, "-c", call, node.url, path],
        input=image,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"OK\n"
