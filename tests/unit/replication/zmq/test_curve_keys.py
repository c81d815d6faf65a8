"""CURVE keys: the files, what is wrong with them in a sentence, and that without the right one
nobody gets anything.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from imagepipe.errors import StartError
from imagepipe.replication.zmq.curve_keys import NodeKeys, create_keys, load_keys
from imagepipe.replication.zmq.gate import CONNECTIONS_MAX
from imagepipe.replication.zmq.sockets import REQUEST_BYTES_MAX, UNANSWERED_BYTES_MAX, Sockets
from tests.support.peers import shake_hands, tcp, wait_for_event, zmq_peer
from tests.support.reactor_thread import Inbox, logged, on_reactor, open_sockets, until

LOOPBACK = "tcp://127.0.0.1:0"


def keys_of(folder: Path, **peers: Path) -> NodeKeys:
    """A node's keys, made if there are none, that authorise the peers by what is in their
    folders.
    """
    for each in (folder, *peers.values()):
        if not each.exists():
            create_keys(each)
    for name, peer in peers.items():
        shutil.copy(peer / "server.key", folder / "authorized" / f"{name}.key")
    return load_keys(folder)


class FilesTests:
    """keys/ on the disk."""

    def test_a_new_pair_can_be_loaded_and_authorises_nobody(self, tmp_path: Path) -> None:
        create_keys(tmp_path / "new" / "keys")
        keys = load_keys(tmp_path / "new" / "keys")
        assert zmq.curve_public(keys.secret) == keys.public
        assert dict(keys.authorized) == {}

    def test_the_secret_is_its_owners_alone_and_in_no_repr(self, tmp_path: Path) -> None:
        create_keys(tmp_path / "keys")
        assert (tmp_path / "keys" / "server.key_secret").stat().st_mode & 0o777 == 0o600
        assert b"secret-key" not in (tmp_path / "keys" / "server.key").read_bytes()
        keys = load_keys(tmp_path / "keys")
        assert keys.secret.decode() not in repr(keys)

    def test_a_pair_is_never_overwritten(self, tmp_path: Path) -> None:
        create_keys(tmp_path)
        before = load_keys(tmp_path)
        with pytest.raises(StartError, match="already exists"):
            create_keys(tmp_path)
        assert load_keys(tmp_path) == before
        assert {file.name for file in tmp_path.iterdir()} == {
            "server.key",
            "server.key_secret",
            "authorized",
        }

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StartError, match=r"cannot create keys in .*: Not a directory"):
            create_keys(tmp_path / "file" / "keys")

    def test_a_peers_key_is_found_by_its_name(self, tmp_path: Path) -> None:
        keys = keys_of(tmp_path / "south", north=tmp_path / "north")
        assert keys.key_of("north") == load_keys(tmp_path / "north").public

    @pytest.mark.parametrize(
        "name",
        ["west", "", "../server", "/etc/passwd", "north.key", "north\0", "../../north/server"],
    )
    def test_a_name_without_a_file_is_refused_and_never_leaves_the_folder(
        self, tmp_path: Path, name: str
    ) -> None:
        keys = keys_of(tmp_path / "south", north=tmp_path / "north")
        with pytest.raises(
            StartError,
            match=r"there is no key for peer '.*': copy its server.key to .*authorized/NAME.key",
        ):
            keys.key_of(name)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
    def test_a_secret_that_others_may_read_is_refused(self, tmp_path: Path, mode: int) -> None:
        create_keys(tmp_path)
        (tmp_path / "server.key_secret").chmod(mode)
        with pytest.raises(
            StartError, match=r"server.key_secret is readable by others; run chmod 600"
        ):
            load_keys(tmp_path)

    @pytest.mark.parametrize("file", ["server.key", "server.key_secret"])
    def test_a_missing_file_is_named(self, tmp_path: Path, file: str) -> None:
        create_keys(tmp_path)
        (tmp_path / file).unlink()
        with pytest.raises(StartError, match=f"there is no key file .*/{file}; "):
            load_keys(tmp_path)

    def test_a_missing_folder_of_peers_is_named(self, tmp_path: Path) -> None:
        create_keys(tmp_path)
        (tmp_path / "authorized").rmdir()
        with pytest.raises(StartError, match=r"there is no folder .*/authorized; "):
            load_keys(tmp_path)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("", "contains no public key"),
            ("nonsense \xff", "contains no public key"),
            ('public-key = ""', "contains a malformed key"),
            ('public-key = "short"', "contains a malformed key"),
            ('public-key = "' + 40 * "~" + '"', "contains a malformed key"),
            ('public-key = "' + 40 * "#" + '"', "contains a malformed key"),
            ('public-key = "' + 45 * "0" + '"', "contains a malformed key"),
        ],
    )
    def test_a_malformed_key_is_refused(self, tmp_path: Path, content: str, why: str) -> None:
        create_keys(tmp_path)
        file = tmp_path / "authorized" / "north.key"
        file.write_text(content)
        with pytest.raises(StartError) as caught:
            load_keys(tmp_path)
        assert str(caught.value) == f"{file} {why}"

    def test_halves_of_two_pairs_are_refused(self, tmp_path: Path) -> None:
        create_keys(tmp_path / "one")
        create_keys(tmp_path / "two")
        shutil.copy(tmp_path / "two" / "server.key", tmp_path / "one")
        with pytest.raises(
            StartError, match=r"one/server.key is not the public half of .*one/server.key_secret"
        ):
            load_keys(tmp_path / "one")

    def test_a_peers_secret_is_refused(self, tmp_path: Path) -> None:
        create_keys(tmp_path / "one")
        create_keys(tmp_path / "two")
        shutil.copy(
            tmp_path / "two" / "server.key_secret", tmp_path / "one" / "authorized" / "two.key"
        )
        with pytest.raises(StartError, match=r"two.key contains the peer's secret key"):
            load_keys(tmp_path / "one")


class Node:
    """A server and a publisher with keys, and an authorised peer that both have answered."""

    def __init__(self, sockets: Sockets, peer: Sockets, key: bytes) -> None:
        self.key = key
        self.requests, self.answers, self.bells = Inbox(), Inbox(), Inbox()
        self.server: Any = on_reactor(sockets.router, LOOPBACK, self._asked)
        self.publisher: Any = on_reactor(sockets.pub, LOOPBACK)
        self.client: Any = on_reactor(peer.dealer, self.server.endpoint, key, self.answers)
        on_reactor(peer.sub, self.publisher.endpoint, key, self.bells)
        self.works()

    def _asked(self, client: bytes, frames: Sequence[bytes], key: bytes) -> None:
        self.requests(frames)
        self.proved = key
        self.server.send(client, frames)

    def works(self) -> None:
        """The authorised peer gets an answer and hears the bell."""
        until(lambda: self.client.send([b"authorised"]))
        assert self.answers.get() == [b"authorised"]
        self.bells.take_all()
        until(lambda: self.publisher.send([b"bell"]) and bool(self.bells))

    def heard_only_the_authorised(self) -> bool:
        """Whether no other request came in."""
        return all(frames == [b"authorised"] for frames in self.requests.take_all())


class AuthorisationTests:
    """Who may connect."""

    @pytest.fixture
    def node(self, tmp_path: Path) -> Iterator[Node]:
        """A node south, whose peer is north."""
        south, north = tmp_path / "south", tmp_path / "north"
        keys = keys_of(south, north=north)
        with open_sockets(keys) as sockets, open_sockets(keys_of(north, south=south)) as peer:
            self.sockets = sockets
            yield Node(sockets, peer, keys.public)

    def test_a_request_comes_with_the_key_that_its_peer_has_proved(
        self, node: Node, tmp_path: Path
    ) -> None:
        assert node.proved == load_keys(tmp_path / "north").public

    def gets_nothing(self, node: Node, **curve: Any) -> None:
        """A stranger, on both sockets, is turned away, and the authorised peer never notices."""
        with (
            zmq_peer(zmq.DEALER, node.server.endpoint, **curve) as asking,
            zmq_peer(zmq.SUB, node.publisher.endpoint, subscribe=b"", **curve) as hearing,
        ):
            asking.send(b"stranger")
            for peer in (asking, hearing):
                wait_for_event(
                    peer,
                    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
                    zmq.Event.HANDSHAKE_FAILED_AUTH,
                    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
                    zmq.Event.DISCONNECTED,
                )
            node.works()
            assert not asking.poll(0)
            assert not hearing.poll(0)
        assert node.heard_only_the_authorised()

    def test_a_peer_without_a_key_gets_nothing(self, node: Node) -> None:
        self.gets_nothing(node)

    def test_a_peer_with_an_unknown_key_gets_nothing_and_is_logged_seldom(self, node: Node) -> None:
        public, secret = zmq.curve_keypair()
        with logged() as events:
            self.gets_nothing(
                node, curve_publickey=public, curve_secretkey=secret, curve_serverkey=node.key
            )
            self.gets_nothing(
                node, curve_publickey=public, curve_secretkey=secret, curve_serverkey=node.key
            )
        assert [event["key"] for event in events] == [public.decode()]

    def test_a_peer_that_expects_another_server_gets_nothing(self, node: Node) -> None:
        public, secret = zmq.curve_keypair()
        self.gets_nothing(
            node, curve_publickey=public, curve_secretkey=secret, curve_serverkey=public
        )

    def test_silent_strangers_are_as_few_as_without_keys_and_keep_no_peer_out(
        self, node: Node, tmp_path: Path
    ) -> None:
        with contextlib.ExitStack() as stack:
            silent = [
                stack.enter_context(tcp(node.server.endpoint)) for _ in range(CONNECTIONS_MAX + 10)
            ]
            node.works()
            with contextlib.suppress(ConnectionError):
                while silent[0].recv(100):  # it was greeted, perhaps
                    pass
            keys = load_keys(tmp_path / "north")
            options: dict[str, Any] = {
                "curve_publickey": keys.public,
                "curve_secretkey": keys.secret,
                "curve_serverkey": node.key,
            }
            with zmq_peer(zmq.DEALER, node.server.endpoint, **options) as newcomer:
                newcomer.send(b"authorised")
                assert newcomer.recv() == b"authorised"
        node.works()

    def test_a_peer_that_asks_more_than_it_is_answered_is_cut_off(
        self, node: Node, tmp_path: Path
    ) -> None:
        keys = load_keys(tmp_path / "north")
        options: dict[str, Any] = {
            "curve_publickey": keys.public,
            "curve_secretkey": keys.secret,
            "curve_serverkey": node.key,
        }
        silent = on_reactor(self.sockets.router, LOOPBACK, Inbox())
        with logged() as events, zmq_peer(zmq.DEALER, silent.endpoint, **options) as flood:
            for _ in range(4 * UNANSWERED_BYTES_MAX // REQUEST_BYTES_MAX):
                flood.send(bytes(REQUEST_BYTES_MAX // 2))
            wait_for_event(flood, zmq.Event.DISCONNECTED)
        assert any(
            "too many bytes without getting answers" in str(event.get("why")) for event in events
        )

    def test_a_peer_whose_subscription_is_long_is_cut_off(self, node: Node, tmp_path: Path) -> None:
        """Libzmq takes 50 bytes of memory for each of its bytes; a subscription to everything has
        none.
        """
        keys = load_keys(tmp_path / "north")
        options: dict[str, Any] = {
            "curve_publickey": keys.public,
            "curve_secretkey": keys.secret,
            "curve_serverkey": node.key,
        }
        publisher = on_reactor(self.sockets.pub, LOOPBACK)
        with logged() as events, zmq_peer(zmq.SUB, publisher.endpoint, **options) as peer:
            peer.subscribe(b"x" * 40)
            wait_for_event(peer, zmq.Event.DISCONNECTED)
        assert any("it sent a frame of" in str(event.get("why")) for event in events)

    def test_a_peer_that_says_plain_gets_nothing(self, node: Node) -> None:
        self.gets_nothing(node, plain_username=b"north", plain_password=b"north")

    def test_one_that_speaks_the_protocol_by_hand_without_security_gets_nothing(
        self, node: Node
    ) -> None:
        with tcp(node.server.endpoint) as stranger, pytest.raises(ConnectionError):
            shake_hands(stranger, b"DEALER")
        node.works()
        assert node.heard_only_the_authorised()

    def test_a_key_that_is_authorised_later_gets_in_after_a_reload(
        self, node: Node, tmp_path: Path
    ) -> None:
        south, west = tmp_path / "south", tmp_path / "west"
        answers = Inbox()
        with open_sockets(keys_of(west, south=south)) as sockets:
            client = on_reactor(sockets.dealer, node.server.endpoint, node.key, answers)
            node.works()
            assert on_reactor(client.send, [b"too early"]) is False
            on_reactor(self.sockets.reload_keys, keys_of(south, west=west))
            until(lambda: client.send([b"authorised"]))
            assert answers.get() == [b"authorised"]

    def test_a_node_without_keys_cannot_begin_to_use_them(self, tmp_path: Path) -> None:
        create_keys(tmp_path)
        with open_sockets() as sockets, pytest.raises(StartError, match="restart"):
            on_reactor(sockets.reload_keys, load_keys(tmp_path))

    def test_without_an_authenticator_nobody_can_connect(self, node: Node, tmp_path: Path) -> None:

        on_reactor(self.sockets._zap_handler.stop)  # type: ignore[union-attr]
        keys = load_keys(tmp_path / "north")
        with zmq_peer(
            zmq.DEALER,
            node.server.endpoint,
            curve_publickey=keys.public,
            curve_secretkey=keys.secret,
            curve_serverkey=node.key,
        ) as peer:
            peer.send(b"let in by nobody")
            wait_for_event(
                peer,
                zmq.Event.DISCONNECTED,
                zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
                zmq.Event.HANDSHAKE_FAILED_AUTH,
            )
        node.works()
        assert node.heard_only_the_authorised()
