"""A peer that lies to a real daemon: what it sends changes the paths that it names, and nothing
else.
"""

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from imagepipe.core.replication import messages
from imagepipe.core.replication.messages import Batch, Changes, Get, Head, Pieces, Refused, Request
from imagepipe.core.rows.stamp import STAMP_MAX
from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.hostile_peer import CLUSTER, EPOCH, NODE, HostilePeer, forged
from tests.support.image_server import HTTP, check_log, get, status


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="imagepipe-") as folder:
        yield Path(folder)


def told_by(peer: HostilePeer) -> dict[str, dict[str, object]]:
    """The options of a node that pulls from it."""
    return {"network": {"name": "img-1"}, "replication": {"subscribe": peer.endpoint}, **HTTP}


def pending(node: DaemonProcess) -> dict[str, dict[str, Any]]:
    """The changes that wait for their bytes, as the status page lists them."""
    return {row["path"]: row for row in status(node)["replication"]["pending_rows"]}


class LiesTests:
    def test_sizes_formats_facts_and_pages_harm_nobody(
        self, tmp_path: Path, sockets: Path, picture: bytes
    ) -> None:
        page = b"<script>alert(document.domain)</script>"
        peer = HostilePeer(
            sockets,
            [
                forged("huge.jpg", size=1 << 40, format="jpeg", width=40, height=30),
                forged("page.jpg", data=page, format="jpeg", width=40, height=30),
                forged("svg.jpg", data=picture, format="svg+xml", width=1, height=1),
                forged("lies.jpg", data=picture, format="jpeg", width=9999, height=1),
                forged("wide.jpg", data=picture, format="jpeg", width=2**63 - 1, height=1),
            ],
            [page, picture],
        )
        with peer.at_work(), running(tmp_path, told_by(peer)) as node:
            eventually(
                lambda: (
                    set(pending(node)) == {"huge.jpg", "page.jpg"}
                    and (node.images / "wide.jpg").is_file()
                ),
                lambda: "".join(node.log),
            )
            asked = [
                one.digest
                for request in peer.requests
                if isinstance(request, Get)
                for one in request.ranges
            ]
            assert "aa" * 32 not in asked
            assert "max_bytes" in pending(node)["huge.jpg"]["why"]
            assert "not an image" in pending(node)["page.jpg"]["why"]
            assert not (node.images / "page.jpg").exists()
            assert any("'huge.jpg'" in line and "1.0 TiB" in line for line in node.log)
            right = node.proxy.store_image(text(picture), "right.jpg") and node.proxy.image_info(
                "right.jpg"
            )
            for path in ("lies.jpg", "svg.jpg", "wide.jpg"):
                assert get(node, f"/{path}").body == picture
                info = node.proxy.image_info(path)
                assert {**info, "path": "", "modified": ""} == {**right, "path": "", "modified": ""}
                assert get(node, f"/{path}/info.json").json == info
                assert get(node, f"/{path}/w20.jpg").status == 200
            with pytest.raises(Fault, match="there is no image"):
                node.proxy.image_info("huge.jpg")
            node.proxy.delete_image(["huge.jpg", "page.jpg"])
            eventually(lambda: not pending(node), lambda: str(pending(node)))
            assert status(node)["replication"]["upstreams"][0]["peer"] == "hostile\\n"
            assert {request.name for request in peer.requests if isinstance(request, Changes)} == {
                "img-1"
            }
            check_log(node)


class StampTests:
    def test_dates_from_the_far_future_affect_their_own_paths(
        self, tmp_path: Path, sockets: Path, picture: bytes
    ) -> None:
        rows = [
            forged("last.jpg", data=picture, stamp=STAMP_MAX),
            forged("almost.jpg", data=picture, stamp=STAMP_MAX - 1),
        ]
        peer = HostilePeer(sockets, rows, [picture])
        with peer.at_work(), running(tmp_path, told_by(peer)) as node:
            eventually(lambda: len(node.proxy.list_images()) == 2, lambda: "".join(node.log))
            for path in ("last.jpg", "almost.jpg"):
                assert node.proxy.image_info(path)["modified"].startswith("3084-")
                assert (
                    get(node, f"/{path}").headers["last-modified"]
                    == "Fri, 12 Dec 3084 12:41:28 GMT"
                )
                assert get(node, f"/{path}/w20.jpg").status == 200
            node.proxy.store_image(text(picture), "other.jpg")
            node.proxy.store_image(text(picture), "gone.jpg")
            node.proxy.delete_image("gone.jpg")
            assert node.proxy.image_info("other.jpg")["modified"] < "3000"
            eventually(
                lambda: (
                    "'last.jpg' and 1 other image are dated up to" in str(status(node)["problems"])
                ),
                lambda: str(status(node)),
            )
            node.proxy.delete_image(["last.jpg", "almost.jpg"])
            eventually(
                lambda: "dated" not in str(status(node)["problems"]), lambda: str(status(node))
            )
            node.proxy.store_image(text(picture), "last.jpg")
            assert node.proxy.image_info("last.jpg")["modified"] < "3000"
            assert node.proxy.list_images() == ["last.jpg", "other.jpg"]
            assert get(node, "/readyz").status == 200
            check_log(node)


class NonsenseTests:
    """Answers that no node gives, again and again: the node goes on, and says so at a
    bounded rate.
    """

    @staticmethod
    def nonsense(request: Request) -> list[bytes]:
        """What no node would answer."""
        most = (1 << 63) - 1
        return [
            b"",
            b"\x01" + b"\xc1" * 100,
            messages.sealed(b"\x01" + b"\x91" * 5000),
            messages.sealed(b"\x02"),
            messages.sealed(b"\x01" + zlib.compress(bytes(100))),
            messages.encode(CLUSTER, Refused(request.rid, "because\n" * 20)),
            messages.encode(CLUSTER, Head("ba" * 16, EPOCH, most, "99999999", most)),
            messages.encode(CLUSTER, Head(NODE, f"{request.rid:x}", most, "/no/such/place", 0)),
            messages.encode(CLUSTER, Pieces(request.rid, (bytes(messages.GET_BYTES_MAX),) * 3)),
            messages.encode(
                CLUSTER, Batch(request.rid, NODE, f"{request.rid:x}", 0, most, most, ())
            ),
        ]

    def test_whatever_a_peer_answers_clients_are_served(
        self, tmp_path: Path, sockets: Path, picture: bytes
    ) -> None:
        peer = HostilePeer(sockets, [forged("a.jpg", data=picture)], [picture], reply=self.nonsense)
        with peer.at_work(), running(tmp_path, told_by(peer)) as node:
            eventually(
                lambda: len(peer.requests) > 5, lambda: f"{peer.requests[-3:]} {node.log[-3:]}"
            )
            node.proxy.store_image(text(picture), "mine.jpg")
            assert get(node, "/mine.jpg").body == picture
            assert get(node, "/readyz").status == 200
            assert len([line for line in node.log if "dropped" in line]) <= 5
            check_log(node)

    def test_wrong_bytes_are_asked_for_less_and_less(
        self, tmp_path: Path, sockets: Path, picture: bytes
    ) -> None:
        peer = HostilePeer(
            sockets, [forged("a.jpg", size=1000)], bytes_of=lambda wanted: bytes(wanted.length)
        )
        with peer.at_work(), running(tmp_path, told_by(peer)) as node:
            eventually(
                lambda: "a.jpg" in pending(node) and peer.sent_bytes > 0, lambda: "".join(node.log)
            )
            polls = len([one for one in peer.requests if isinstance(one, Changes)])
            eventually(
                lambda: len([one for one in peer.requests if isinstance(one, Changes)]) > polls + 1
            )
            assert peer.sent_bytes <= 2000
            assert "digest" in pending(node)["a.jpg"]["why"]
            node.proxy.store_image(text(picture), "a.jpg")
            eventually(lambda: not pending(node), lambda: str(pending(node)))
