"""The image servers of a cluster: what was stored on one is served by all, and what was replaced or
deleted by none to which the word has come.
"""

import hashlib
import io
import itertools
import random
import select
import signal
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.cluster import Cluster, eventually, mesh
from tests.support.daemon_process import DaemonProcess, text
from tests.support.gradients import encoded
from tests.support.hostile_server import Exchange, HostileServer
from tests.support.image_server import (
    HTTP,
    check_log,
    connected,
    get,
    post,
    received,
    renders,
    status,
    wait_for_renditions,
)

NAMES = ("a", "b", "c")
ENDINGS = ("original", "w10.png", "x12.webp", "full_size.auto", "info.json")
STEPS = 25
OVERWRITES = 15


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that all pull from each other, for tests that leave them running."""
    with Cluster(
        tmp_path_factory.mktemp("three"), mesh(*NAMES), HTTP | {"images": {"io_threads": 2}}
    ) as nodes:
        wait_until_linked(nodes)
        yield nodes
        for node in nodes.nodes.values():
            check_log(node)


class ArrivalTests:
    """A path that a node has not heard of may be on a peer: it asks before it says that there is
    none.
    """

    def test_what_was_posted_on_one_node_is_there_on_the_others_at_once(
        self, three: Cluster, folder: str
    ) -> None:
        for number, (one, other, ending) in enumerate(itertools.product(NAMES, NAMES, ENDINGS)):
            answer = post(three[one], f"/{folder}/{number}", solid(number))
            assert answer.status == 200
            asked = get(three[other], f"/{folder}/{number}/{ending}")
            assert asked.status == 200, (one, other, ending, asked)
            if ending == "info.json":
                assert asked.json == answer.json

    def test_also_what_was_stored_or_moved_by_xml_rpc(self, three: Cluster, folder: str) -> None:
        for number, (one, other) in enumerate(itertools.permutations(NAMES, 2)):
            three[one].proxy.store_image(text(solid(number)), f"{folder}/{number}.png")
            assert get(three[other], f"/{folder}/{number}.png").body == solid(number)
            assert (
                three[other].proxy.move_image(f"{folder}/{number}.png", f"{folder}/m/{number}.png")
                == "OK"
            )
            assert get(three[one], f"/{folder}/m/{number}.png/w10.png").status == 200

    def test_everyone_who_asks_at_once_finds_it(self, three: Cluster, folder: str) -> None:
        for number in range(5):
            assert post(three["a"], f"/{folder}/{number}", solid(number)).status == 200
            with ThreadPoolExecutor(40) as clients:
                paths = [
                    (name, f"/{folder}/{number}/{ending}")
                    for name in ("b", "c")
                    for ending in ENDINGS
                ] * 4
                assert {
                    answer.status
                    for answer in clients.map(lambda one: get(three[one[0]], one[1]), paths)
                } == {200}

    def test_outputs_are_rendered_where_it_was_posted_and_on_demand_elsewhere(
        self, tmp_path: Path
    ) -> None:
        with Cluster(tmp_path, mesh("a", "b"), HTTP) as nodes:
            wait_until_linked(nodes)
            assert post(nodes["a"], "/x?outputs=w10.png,w11.png", solid(1)).status == 200
            wait_for_renditions(nodes["a"], 2)
            same = [get(nodes[name], "/x/w10.png") for name in ("a", "b")]
            assert (same[0].body, same[0].headers["etag"]) == (
                same[1].body,
                same[1].headers["etag"],
            )
            assert (renders(nodes["a"]), renders(nodes["b"])) == (2, 1)

    def test_what_a_peer_has_confirmed_it_serves_when_the_first_machine_is_gone(
        self, tmp_path: Path
    ) -> None:
        with Cluster(
            tmp_path, mesh("a", "b"), HTTP | {"replication": {"min_acks": 1, "ack_timeout": "20 s"}}
        ) as nodes:
            wait_until_linked(nodes)
            for number, (taker, peer) in enumerate([("a", "b"), ("b", "a")]):
                assert post(nodes[taker], f"/{number}?outputs=w10.png", solid(number)).status == 200
                nodes[taker].kill()
                nodes.lose(taker)
                assert get(nodes[peer], f"/{number}/original").body == solid(number)
                assert colour(get(nodes[peer], f"/{number}/w10.png").body) == colour(solid(number))
                nodes.start(taker)
                wait_until_linked(nodes)
                assert get(nodes[taker], f"/{number}/original").body == solid(number)
                nodes.wait_until_equal()


class ChangeTests:
    """Once a change has arrived on a node, no GET there gets what was before."""

    def test_no_request_among_many_gets_an_old_picture(self, three: Cluster, folder: str) -> None:
        """Overwritten, deleted, moved away and back, on one node after the other, while clients ask
        all of them for the file, its facts and its renditions.
        """
        history = History(three, f"{folder}/original")
        with asking(three, history) as faults:
            choice = random.Random(20261123)
            for number in range(STEPS):
                node = three[choice.choice(NAMES)]
                what = choice.choice(["post", "post", "store", "delete", "move"])
                if what == "post" or history.current is None:
                    history.change(
                        solid(number),
                        lambda: post(node, f"/{folder}?outputs=w10.png", solid(number)),
                    )
                elif what == "store":
                    history.change(
                        solid(number),
                        lambda: node.proxy.store_image(text(solid(number)), f"{folder}/original"),
                    )
                elif what == "delete":
                    history.change(None, lambda: node.proxy.delete_image(f"{folder}/original"))
                else:
                    kept = history.current
                    history.change(
                        None,
                        lambda: node.proxy.move_image(f"{folder}/original", f"{folder}-away"),
                    )
                    history.change(
                        kept,
                        lambda: node.proxy.move_image(f"{folder}-away", f"{folder}/original"),
                    )
        assert not faults, faults[:5]
        assert history.asked > 10 * STEPS

    def test_a_get_among_overwrites_on_all_nodes_gets_one_version_whole(
        self, three: Cluster, folder: str
    ) -> None:
        images = {
            f"{name}{number}": long(f"{folder}{name}{number}", 20 * NAMES.index(name) + number)
            for name in NAMES
            for number in range(OVERWRITES)
        }
        versions = {hashlib.sha256(image).hexdigest() for image in images.values()}
        colours = {colour(image) for image in images.values()}
        written = threading.Event()
        asked = itertools.count()

        def overwrite(name: str) -> None:
            for number in range(OVERWRITES):
                answer = post(three[name], f"/{folder}", images[f"{name}{number}"])
                assert (answer.status, answer.json["digest"]) == (
                    200,
                    hashlib.sha256(images[f"{name}{number}"]).hexdigest(),
                )

        def ask(name: str) -> None:
            while not written.is_set():
                file, rendition = (
                    get(three[name], f"/{folder}/{ending}") for ending in ("original", "w10.png")
                )
                for answer in (file, rendition):
                    assert answer.status == 200, answer
                    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'
                assert hashlib.sha256(file.body).hexdigest() in versions
                assert colour(rendition.body) in colours
                next(asked)

        assert post(three["a"], f"/{folder}", images["a0"]).status == 200
        assert [get(three[name], f"/{folder}/original").status for name in NAMES] == [200] * 3
        with ThreadPoolExecutor(9) as clients:
            asking = [clients.submit(ask, name) for name in NAMES * 2]
            try:
                for writing in [clients.submit(overwrite, name) for name in NAMES]:
                    writing.result()
            finally:
                written.set()
            for one in asking:
                one.result()
        assert next(asked) > OVERWRITES
        last = three.wait_until_equal()[f"{folder}/original"]
        for name in NAMES:
            assert get(three[name], f"/{folder}/original").body == last
            assert colour(get(three[name], f"/{folder}/w10.png").body) == colour(last)

    def test_a_deletion_elsewhere_is_not_undone_by_fetching(self, tmp_path: Path) -> None:
        """The peer that is asked before the source knows that it was deleted."""
        with (
            HostileServer(
                lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + solid(1))
            ) as source,
            Cluster(
                tmp_path,
                mesh("a", "b"),
                {"http": HTTP["http"] | {"source_base": f"http://{source.netloc}"}},
            ) as nodes,
        ):
            wait_until_linked(nodes)
            assert get(nodes["b"], "/there/original").body == solid(1)
            assert get(nodes["a"], "/there/original").body == solid(1)
            for number in range(10):
                assert nodes["a"].proxy.delete_image(f"{number}/original") == "OK"
                assert get(nodes["b"], f"/{number}/w10.png").status == 404
            assert [request.split(b" ")[1] for request in source.requests] == [b"/there"]

    def test_nor_by_a_fetch_that_was_under_way_when_it_arrived(self, tmp_path: Path) -> None:
        asked, arrived = threading.Event(), threading.Event()

        def answer(exchange: Exchange) -> None:
            asked.set()
            assert arrived.wait(60)
            exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + solid(1))

        with (
            HostileServer(answer) as source,
            Cluster(
                tmp_path,
                mesh("a", "b"),
                {"http": HTTP["http"] | {"source_base": f"http://{source.netloc}"}},
            ) as nodes,
            ThreadPoolExecutor(4) as clients,
        ):
            wait_until_linked(nodes)
            answers = [
                clients.submit(get, nodes["b"], f"/x/{ending}")
                for ending in ("original", "w10.png", "info.json", "w10.auto")
            ]
            assert asked.wait(60)
            assert nodes["a"].proxy.delete_image("x/original") == "OK"
            nodes["a"].proxy.store_image(text(solid(2)), "later.png")
            nodes.wait_until_all_have({"later.png": solid(2)}, "b")
            arrived.set()
            assert [one.result().status for one in answers] == [404] * 4
            nodes.wait_until_all_have({"later.png": solid(2)})
            assert len(source.requests) == 1

    def test_two_nodes_that_fetch_the_same_agree(self, tmp_path: Path) -> None:
        numbers = itertools.count()
        with (
            HostileServer(
                lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + solid(next(numbers)))
            ) as source,
            Cluster(
                tmp_path,
                mesh(*NAMES),
                {"http": HTTP["http"] | {"source_base": f"http://{source.netloc}"}},
            ) as nodes,
            ThreadPoolExecutor(12) as clients,
        ):
            for number in range(10):
                answers = list(
                    clients.map(
                        lambda name: get(nodes[name], f"/{number}/w10.png").status,
                        NAMES * 4,
                    )
                )
                assert answers == [200] * 12
            tree = nodes.wait_until_equal()
            assert sorted(tree) == sorted(f"{number}/original" for number in range(10))
            for name, (path, image) in itertools.product(NAMES, tree.items()):
                assert get(nodes[name], f"/{path}").body == image
            assert len(source.requests) <= 30


class SilenceTests:
    """Peers that do not answer."""

    def test_what_was_deleted_here_is_404_without_asking_them(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b"), HTTP) as nodes:
            wait_until_linked(nodes)
            assert post(nodes["a"], "/x", solid(1)).status == 200
            assert get(nodes["b"], "/x/w10.png").status == 200
            assert nodes["a"].proxy.delete_image("x/original") == "OK"
            nodes["b"].process.send_signal(signal.SIGSTOP)
            with connected(nodes["a"]) as client:
                client.sendall(
                    b"GET /unknown/w10.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                )
                assert get(nodes["a"], "/x/w10.png").status == 404
                # for which they are still waited for
                assert not select.select([client], [], [], 0)[0]
                assert b"".join(received(client)).startswith(b"HTTP/1.1 404 ")
            nodes["b"].process.send_signal(signal.SIGCONT)

    def test_a_node_alone_serves_what_it_has_and_says_of_the_rest_that_there_is_none(
        self, tmp_path: Path
    ) -> None:
        with Cluster(tmp_path, mesh("a", "b", "c"), HTTP) as nodes:
            wait_until_linked(nodes)
            assert post(nodes["b"], "/x", solid(1)).status == 200
            assert get(nodes["a"], "/x/w10.png").status == 200
            nodes["b"].kill()
            nodes["c"].process.send_signal(signal.SIGSTOP)
            with ThreadPoolExecutor(20) as clients:
                paths = [f"/unknown/{number}/{ending}" for number in range(4) for ending in ENDINGS]
                assert {
                    answer.status
                    for answer in clients.map(lambda path: get(nodes["a"], path), paths)
                } == {404}
            assert [get(nodes["a"], f"/x/{ending}").status for ending in ENDINGS] == [200] * len(
                ENDINGS
            )
            assert post(nodes["a"], "/y", solid(2)).status == 200
            assert get(nodes["a"], "/y/w10.png").status == 200
            nodes["c"].process.send_signal(signal.SIGCONT)
            nodes.start("b")
            wait_until_linked(nodes)
            assert [get(nodes[name], "/y/original").body for name in ("b", "c")] == [solid(2)] * 2

    def test_one_that_has_just_started_asks_before_it_answers(self, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b"), HTTP) as nodes:
            for number in range(3):
                assert nodes["b"].stop() == 0
                assert post(nodes["a"], f"/{number}", solid(number)).status == 200
                nodes.start("b")
                assert get(nodes["b"], f"/{number}/w10.png").status == 200


class History:
    """What a path has held, one state after the other, and from which of them on each node is: it
    has said so itself.
    """

    def __init__(self, nodes: Cluster, path: str) -> None:
        self.path = path
        self.states: list[bytes | None] = [None]
        self.floors = dict.fromkeys(NAMES, 0)
        self.asked = 0
        self._nodes = nodes

    @property
    def current(self) -> bytes | None:
        """The image that the path holds now."""
        return self.states[-1]

    def change(self, image: bytes | None, do: Callable[[], Any]) -> None:
        """Do what gives the path this image, or none; wait until all nodes have it."""
        self.states.append(image)  # from now on it may be seen
        state = len(self.states) - 1
        do()
        waiting = set(NAMES)

        def arrived() -> bool:
            for name in sorted(waiting):
                if digest_at(self._nodes[name], self.path) == digest(image):
                    self.floors[name] = state  # from now on nothing before may be
                    waiting.discard(name)
            return not waiting

        eventually(arrived, lambda: f"{waiting} do not have it")

    def possible(self, since: int) -> Sequence[bytes | None]:
        """What may be seen by who has asked when `since` was the floor."""
        return self.states[since:]


@contextmanager
def asking(nodes: Cluster, history: History) -> Iterator[list[str]]:
    """Clients that ask all nodes all the time; the list says what they were answered that they may
    not be.
    """
    faults: list[str] = []
    ended = threading.Event()
    folder = history.path.removesuffix("/original")

    def ask(name: str, ending: str) -> None:
        while not ended.is_set():
            floor = history.floors[name]
            answer = get(nodes[name], f"/{folder}/{ending}")
            possible = history.possible(floor)
            if answer.status == 404:
                right = None in possible
            elif answer.status != 200:
                right = answer.status == 429
            elif ending == "info.json":
                right = answer.json["digest"] in [digest(image) for image in possible if image]
            elif ending == "original":
                right = (
                    answer.body in possible and answer.headers["etag"] == f'"{digest(answer.body)}"'
                )
            else:
                right = colour(answer.body) in [colour(image) for image in possible if image]
            if not right:
                faults.append(
                    f"{name} {ending}: {answer.status}, one of {len(possible)} states since {floor}"
                )
            history.asked += 1

    with ThreadPoolExecutor(len(NAMES) * 3) as clients:
        running = [
            clients.submit(ask, name, ending)
            for name in NAMES
            for ending in ("original", "w10.png", "info.json")
        ]
        try:
            yield faults
        finally:
            ended.set()
        for one in running:
            one.result()


def wait_until_linked(nodes: Cluster) -> None:
    """Wait until all have found each other, which takes them a moment after they have started."""

    def linked() -> bool:
        replications = [status(node)["replication"] for node in nodes.nodes.values()]
        return all(
            upstream["connected"]
            for replication in replications
            for upstream in replication["upstreams"]
        )

    eventually(linked)


def digest(image: bytes | None) -> str | None:
    """Its SHA-256."""
    return None if image is None else hashlib.sha256(image).hexdigest()


def digest_at(node: DaemonProcess, path: str) -> str | None:
    """That of the image that a node has at a path."""
    with suppress(xmlrpc.client.Fault):
        return str(node.proxy.image_info(path)["digest"])
    return None


def solid(number: int) -> bytes:
    """A PNG of one colour; each number another."""
    return encoded(
        Image.new("RGB", (16, 12), (number % 256, 255 - number % 256, number // 256)), "PNG"
    )


def long(seed: str, number: int) -> bytes:
    """The same, with so much behind it that it is sent in pieces."""
    return solid(number) + random.Random(seed).randbytes(300_000)


def colour(image: bytes) -> Any:
    """The colour of its middle."""
    opened = Image.open(io.BytesIO(image)).convert("RGB")
    return opened.getpixel((opened.width // 2, opened.height // 2))
