"""POST of originals, over real sockets: what is taken, what is refused and when, and what is kept
whatever happens to the daemon afterwards.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import pytest

from imagepipe.web.http.body_memory import MEMORY_BYTES_MAX
from tests.support.blocking_convert import BlockingConvert
from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, fault_of, running, text
from tests.support.failing_disk import failing_flushes, noise
from tests.support.gradients import encoded, gradient
from tests.support.image_server import (
    BOUNDARY,
    HTTP,
    check_log,
    chunked,
    connected,
    exchange,
    form,
    get,
    post,
    received,
    renders,
    status,
    wait_for_renditions,
)
from tests.support.namespaces import machine_with_address, needs_namespaces, small_disk
from tests.support.source_images import saved, see_through
from tests.support.stepped_convert import SteppedConvert

KILLS = 10
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """An image server that the tests share."""
    with running(tmp_path_factory.mktemp("server"), HTTP | {"images": {"io_threads": 2}}) as daemon:
        yield daemon
        check_log(daemon)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One that takes originals of up to 64 KiB."""
    with running(
        tmp_path_factory.mktemp("small"), HTTP | {"images": {"max_bytes": "64 KiB"}}
    ) as daemon:
        yield daemon
        check_log(daemon)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One with a user, ann, whose password is `open sesame`."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "users").write_text(
        f"ann:{bcrypt.hashpw(b'open sesame', bcrypt.gensalt(4)).decode()}\n"
    )
    with running(folder, HTTP | {"network": {"users": "users"}}) as daemon:
        yield daemon
        check_log(daemon)


@pytest.fixture(scope="module")
def other() -> bytes:
    """Another picture than `picture`."""
    return encoded(gradient(48, 64), "PNG")


def magick(turnstile: SteppedConvert, **images: object) -> dict[str, dict[str, object]]:
    """Options of an image server that renders behind the turnstile."""
    return HTTP | {
        "images": {"engine": "imagemagick", **images},
        "imagemagick": {"convert": turnstile.convert},
    }


class ReasonTests:
    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("/photo.svg", "extension 'svg'"),
            ("/.hidden", "begin with a dot"),
            ("/a%C2%85b", "control character"),
            ("/a/", "names a folder"),
            ("/", "is empty"),
            ("/a/info.json", "reserved"),
            ("/" + "x" * 256, "longer than 255 bytes"),
            ("/a%EF%BF%BFb", "XML cannot carry"),
        ],
    )
    def test_a_path_is_refused_with_the_reason_that_xml_rpc_gives(
        self, server: DaemonProcess, path: str, why: str
    ) -> None:
        refused = post(server, path, b"whatever")
        assert refused.status == 400
        assert refused.json["error"].startswith("path: ")
        assert why in refused.json["error"]


class BodyTests:
    """How an image may come, and what there is of it then."""

    def check(self, server: DaemonProcess, folder: str, picture: bytes, answer: Any) -> None:
        """The image is at P/original, byte for byte, and the answer has its facts."""
        assert answer.status == 200, answer
        assert (server.images / folder / "original").read_bytes() == picture
        assert answer.headers["content-type"] == "application/json"
        facts = answer.json
        assert facts == server.proxy.image_info(f"{folder}/original")
        assert facts == get(server, f"/{folder}/info.json").json
        assert (facts["path"], facts["size"], facts["digest"]) == (
            f"{folder}/original",
            len(picture),
            hashlib.sha256(picture).hexdigest(),
        )
        assert (facts["width"], facts["height"], facts["format"]) == (64, 48, "jpeg")
        for path in (f"/{folder}/original", f"/{folder}/full_size.jpg"):
            assert get(server, path).headers["content-type"] == "image/jpeg"
        assert get(server, f"/{folder}/original").body == picture

    def test_the_body_is_stored_as_the_original_byte_for_byte(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        self.check(server, folder, picture, post(server, f"/{folder}", picture))

    @pytest.mark.parametrize(
        "media_type",
        [
            "application/x-www-form-urlencoded",
            "image/png",
            "text/html",
            "multipart/mixed",
            "\xff",
            "",
        ],
    )
    def test_what_it_is_called_does_not_count(
        self, server: DaemonProcess, folder: str, picture: bytes, media_type: str
    ) -> None:
        self.check(
            server, folder, picture, post(server, f"/{folder}", picture, Content_Type=media_type)
        )

    @pytest.mark.parametrize("large", [False, True])
    def test_the_image_of_a_form_is_the_part_of_that_name_or_its_only_file(
        self, server: DaemonProcess, folder: str, picture: bytes, large: bool
    ) -> None:
        picture += bytes(2_000_000 if large else 0)  # which a JPEG may have behind it
        for parts in (
            [("image", None, picture)],
            [
                ("title", None, b"A picture"),
                ("upload", "../../a.php", picture),
                ("more", None, b""),
            ],
            [("first", "a.txt", b"text"), ("image", "b.jpg", picture)],
        ):
            self.check(
                server, folder, picture, post(server, f"/{folder}", form(*parts), Content_Type=FORM)
            )

    def test_a_body_may_come_in_chunks(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        head = (
            f"POST /{folder} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection:"
            " close\r\n\r\n".encode()
        )
        assert exchange(server, head, chunked(picture)).startswith(b"HTTP/1.1 200 ")
        assert (server.images / folder / "original").read_bytes() == picture

    def test_a_client_that_expects_100_gets_it(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        with connected(server) as client:
            client.sendall(
                request_head(
                    f"/{folder}", len(picture), "Expect: 100-continue", "Connection: close"
                )
            )
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(picture)
            assert b"".join(received(client)).startswith(b"HTTP/1.1 200 ")
        assert (server.images / folder / "original").read_bytes() == picture

    def test_a_client_of_http_1_0_is_served(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        assert (
            exchange(
                server,
                f"POST /{folder} HTTP/1.0\r\nContent-Length: {len(picture)}\r\n\r\n".encode(),
                picture,
            ).split(b" ")[1]
            == b"200"
        )

    def test_several_on_one_connection_are_answered_in_order(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        said = exchange(
            server,
            request_head(f"/{folder}/1", len(picture)),
            picture,
            request_head(f"/{folder}/2", 4),
            b"text",
            request_head(f"/{folder}/1", len(other), "Connection: close"),
            other,
        )
        assert re.findall(rb"HTTP/1.1 ([0-9]+)", said) == [b"200", b"415", b"200"]
        assert (server.images / folder / "1" / "original").read_bytes() == other

    def test_a_body_that_is_never_whole_stores_nothing(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        bodies = [
            request_head(f"/{folder}", len(picture)) + picture[:-1],
            f"POST /{folder} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + chunked(picture)[:-5],
            f"POST /{folder} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + chunked(picture)[:-5]
            + b"zz\r\n",
        ]
        for body in bodies:
            with connected(server) as client:
                client.sendall(body)
                client.shutdown(socket.SHUT_WR)
                assert b"HTTP/1.1 200" not in b"".join(received(client))
        assert get(server, f"/{folder}/original").status == 404
        assert not (server.images / folder).exists()

    def test_a_name_of_any_alphabet_is_as_xml_rpc_has_it(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        assert (
            post(server, f"/{folder}/%E6%97%A5%20%C3%A9%25", picture).json["path"]
            == f"{folder}/日 é%/original"
        )
        assert server.proxy.image_info(f"{folder}/日 é%/original")["size"] == len(picture)


class OutputsTests:
    """What is named in `outputs` is rendered after the answer, into the cache."""

    NAMES = ("w10.jpg", "x20.webp", "30x12-q40.png", "full_size.gif", "w16.auto")
    FILES = 7
    """An `.auto` may come to AVIF, WebP and, here, JPEG."""

    def test_a_get_of_an_output_renders_nothing(self, tmp_path: Path, picture: bytes) -> None:
        with running(tmp_path, HTTP) as daemon:
            assert post(daemon, f"/a?outputs={','.join(self.NAMES)}", picture).status == 200
            wait_for_renditions(daemon, self.FILES)
            assert renders(daemon) == self.FILES
            answers = [get(daemon, f"/a/{name}") for name in self.NAMES]
            answers += [
                get(daemon, "/a/w16.auto", Accept=accept)
                for accept in ("image/avif,image/webp", "image/webp;q=0.5,*/*")
            ]
            types = [
                "image/jpeg",
                "image/webp",
                "image/png",
                "image/gif",
                "image/jpeg",
                "image/avif",
                "image/webp",
            ]
            assert [(answer.status, answer.headers["content-type"]) for answer in answers] == [
                (200, media_type) for media_type in types
            ]
            assert (renders(daemon), status(daemon)["cache"]["files"]) == (self.FILES, self.FILES)

    def test_all_are_made_by_one_decode(
        self, tmp_path: Path, picture: bytes, turnstile: SteppedConvert
    ) -> None:
        turnstile.let_through(10)
        with running(tmp_path, magick(turnstile)) as daemon:
            assert (
                post(daemon, "/a?outputs=w10.jpg,x20.webp,w30.png,full_size.gif", picture).status
                == 200
            )
            wait_for_renditions(daemon, 4)
            assert (turnstile.headers, turnstile.renders) == (2, 1)

    def test_they_may_be_named_in_several_arguments_and_more_than_once(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(tmp_path, HTTP) as daemon:
            assert (
                post(
                    daemon,
                    "/a?outputs=w10.jpg,w10.jpg,,&x=1&outputs=%7720.jpg"
                    "&outputs=&outputs=w10-q75.jpg",
                    picture,
                ).status
                == 200
            )
            wait_for_renditions(daemon, 2)

    def test_one_that_cannot_be_rendered_does_not_cost_the_others(self, tmp_path: Path) -> None:
        wide = saved(see_through().resize((20_000, 2)), "PNG")  # wider than a WebP can be
        with running(tmp_path, HTTP) as daemon:
            assert (
                post(daemon, "/a?outputs=full_size.webp,w10.jpg,full_size.auto", wide).status == 200
            )
            daemon.wait_for_line("cannot render the output full_size.webp of 'a'")
            assert (
                post(daemon, "/b?outputs=w10.jpg", encoded(gradient(30, 30), "PNG")).status == 200
            )
            assert get(daemon, "/a/full_size.webp").status == 422
            eventually(
                lambda: status(daemon)["cache"]["files"] >= 3, lambda: str(status(daemon)["cache"])
            )
            before = renders(daemon)
            assert get(daemon, "/a/w10.jpg").status == 200
            assert renders(daemon) == before

    def test_an_image_whose_data_is_broken_is_stored_and_its_outputs_are_given_up(
        self, tmp_path: Path
    ) -> None:
        broken = saved(see_through(), "PNG")[:-3000]
        with running(tmp_path, HTTP) as daemon:
            assert post(daemon, "/a?outputs=w10.jpg,w20.jpg", broken).status == 200
            for name in ("w10.jpg", "w20.jpg"):
                daemon.wait_for_line(f"cannot render the output {name} of 'a'")
            assert get(daemon, "/a/w10.jpg").status == 422
            assert daemon.stop() == 0
        with running(tmp_path, HTTP) as daemon:
            assert get(daemon, "/a/original").body == broken
            daemon.stop()
            assert "still wait for outputs" not in "".join(daemon.log)

    @pytest.mark.parametrize(
        ("outputs", "expected"),
        [
            ("w10.jpg,nonsense", 400),
            ("w0.jpg", 400),
            ("w10", 400),
            ("w10.jpg-q50", 400),
            ("w10-q101.jpg", 400),
            ("../w10.jpg", 400),
            ("b/w10.jpg", 400),
            ("w10.jpg%00", 400),
            ("%ff.jpg", 400),
            ("info.json", 400),
            ("original", 400),
            ("%20w10.jpg", 400),
            ("w1001.jpg", 406),
            ("x1001.webp", 406),
            ("10x1001.auto", 406),
            ("w10.bmp", 406),
            ("w10.svg", 406),
            ("w10.tif", 406),
            (",".join(f"w{width}.jpg" for width in range(1, 258)), 400),
        ],
    )
    def test_wrong_ones_are_refused_with_the_reason_and_nothing_is_stored(
        self, server: DaemonProcess, folder: str, picture: bytes, outputs: str, expected: int
    ) -> None:
        answer = post(server, f"/{folder}?outputs={outputs}", picture)
        assert (answer.status, answer.headers["content-type"]) == (expected, "application/json")
        assert answer.json["error"].startswith(("outputs: ", "rendition: "))
        assert len(answer.body) < 300
        assert not (server.images / folder).exists()

    def test_only_those_that_the_server_renders(self, tmp_path: Path, picture: bytes) -> None:
        with running(tmp_path, {"http": HTTP["http"] | {"outputs": "w10.jpg, w20.auto"}}) as daemon:
            assert post(daemon, "/a?outputs=w10.jpg,w11.jpg", picture).status == 404
            assert post(daemon, "/a?outputs=w20.auto,w10.jpg", picture).status == 200
            wait_for_renditions(daemon, 4)

    def test_they_are_rendered_of_what_is_there_when_it_is_their_turn(
        self, tmp_path: Path, picture: bytes, other: bytes, turnstile: SteppedConvert
    ) -> None:
        with running(tmp_path, magick(turnstile, io_threads=2)) as daemon:
            assert post(daemon, "/a?outputs=w10.jpg", picture).status == 200
            turnstile.wait_for_arrival()
            assert post(daemon, "/b?outputs=w11.jpg", picture).status == 200
            assert post(daemon, "/c?outputs=w12.jpg", picture).status == 200
            assert daemon.proxy.delete_image("b/original") == "OK"
            assert post(daemon, "/c", other).status == 200
            turnstile.let_through(2)
            wait_for_renditions(daemon, 2)
            before = renders(daemon)
            assert get(daemon, "/c/w12.jpg").status == 200
            assert renders(daemon) == before
            assert turnstile.renders == 2


class RefusalTests:
    """What is not stored, and how its client is told."""

    @pytest.mark.parametrize(
        "body",
        [
            b"text",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"%PDF-1.7\n%\xe2\xe3",
            b"%!PS\n",
            b"<html><img src=x>",
            b"GIF8",
            b"\0" * 100,
            b"push graphic-context",
        ],
        ids=lambda body: body[:4].decode("latin-1"),
    )
    def test_a_body_that_is_not_an_image_is_415(
        self, server: DaemonProcess, folder: str, body: bytes
    ) -> None:
        self.refused(server, folder, 415, body)
        self.refused(server, folder, 415, form(("image", "a.jpg", body)), Content_Type=FORM)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF"])
    def test_an_image_with_a_broken_header_is_422(
        self, server: DaemonProcess, folder: str, kind: str
    ) -> None:
        image = encoded(gradient(64, 48), kind)
        self.refused(server, folder, 422, image[:16] + b"\x55" * 200)

    def test_an_image_of_too_many_pixels_is_refused_by_its_header(
        self, tmp_path: Path, folder: str
    ) -> None:
        with running(tmp_path, HTTP | {"images": {"max_pixels": 3071}}) as daemon:
            self.refused(daemon, folder, 400, encoded(gradient(64, 48), "PNG"))

    def test_nothing_at_all_is_400(self, server: DaemonProcess, folder: str) -> None:
        self.refused(server, folder, 400, b"")
        self.refused(server, folder, 400, form(("image", None, b"")), Content_Type=FORM)
        assert b"HTTP/1.1 400 " in exchange(
            server, f"POST /{folder} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )

    @pytest.mark.parametrize(
        "parts",
        [
            (),
            (("a", None, b"x"),),
            (("image", None, b"x"), ("image", None, b"y")),
            (("a", "a.jpg", b"x"), ("b", "b.jpg", b"y")),
            tuple((f"field{n}", None, b"x") for n in range(100)),
        ],
    )
    def test_a_form_without_one_image_is_400(
        self, server: DaemonProcess, folder: str, parts: tuple[tuple[str, str | None, bytes], ...]
    ) -> None:
        self.refused(server, folder, 400, form(*parts), Content_Type=FORM)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"x",
            b"--7d1c0f\r\n",
            form(("image", "a.jpg", b"\xff\xd8"))[:-10],
            b"--7d1c0f\r\nA" * 1000,
            b"--7d1c0f\r\n\r\nx\r\n--7d1c0f--",
        ],
    )
    @pytest.mark.parametrize(
        "media_type",
        [
            FORM,
            "multipart/form-data",
            "multipart/form-data; boundary=",
            'multipart/form-data; boundary="\xe9"',
        ],
    )
    def test_an_invalid_form_is_400(
        self, server: DaemonProcess, folder: str, body: bytes, media_type: str
    ) -> None:
        self.refused(server, folder, 400, body, Content_Type=media_type)

    def test_a_path_that_is_a_stored_image_is_409_and_one_below_it_too(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        for path in (f"{folder}/a.jpg", f"{folder}/a.jpg/b", f"{folder}/a.jpg/b/c?outputs=w10.jpg"):
            answer = post(server, f"/{path}", other)
            assert answer.status == 409, answer
            assert "a.jpg" in answer.json["error"]
        assert (server.images / folder / "a.jpg").read_bytes() == picture
        assert post(server, f"/{folder}/a", picture).status == 200
        assert post(server, f"/{folder}/a/original", picture).status == 409

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "//",
            "a/",
            "..",
            "a/..",
            "%2e%2e/a",
            ".a",
            "a/.imagepipe",
            ".imagepipe/x",
            "a%2fb",
            "a%00",
            "a%ff",
            "a%",
            "a%zz",
            "info.json",
            "a/info.json",
            "a.php",
            "a.svg/b.html",
            "x" * 256,
            "a/" * 600 + "a",
            "a%0ab",
        ],
    )
    def test_a_path_that_no_image_could_have_is_400(
        self, server: DaemonProcess, picture: bytes, path: str
    ) -> None:
        before = server.tree()
        answer = post(server, f"/{path}", picture)
        assert (answer.status, set(answer.json)) == (400, {"error"}), answer
        assert server.tree() == before

    @pytest.mark.parametrize("path", ["status", "status.json", "healthz", "readyz", "metrics"])
    def test_nothing_is_posted_to_the_servers_own_pages(
        self, server: DaemonProcess, picture: bytes, path: str
    ) -> None:
        assert post(server, f"/{path}", picture).status == 405
        assert post(server, f"/{path}/a", picture).status in (400, 404, 405)

    @pytest.mark.parametrize(
        "method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "post"]
    )
    def test_other_methods_are_405_and_do_nothing(
        self, server: DaemonProcess, folder: str, picture: bytes, method: str
    ) -> None:
        assert post(server, f"/{folder}", picture).status == 200
        head = (
            f"{method} /{folder}/original HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection:"
            " close\r\n\r\nx".encode()
        )
        said = exchange(server, head)
        assert said.startswith(b"HTTP/1.1 405 "), said
        assert b"Allow: GET, HEAD, POST\r\n" in said
        assert get(server, f"/{folder}/original").body == picture

    def refused(
        self, server: DaemonProcess, folder: str, expected: int, body: bytes, **headers: str
    ) -> None:
        """The body is refused with this status and a short reason in JSON, and nothing is
        stored.
        """
        answer = post(server, f"/{folder}?outputs=w10.jpg", body, **headers)
        assert answer.status == expected, answer
        assert set(answer.json) == {"error"}
        assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == (
            "application/json",
            "nosniff",
        )
        assert len(answer.body) < 500
        assert not (server.images / folder).exists()
        assert get(server, f"/{folder}/info.json").status == 404


class BoundTests:
    """max_bytes."""

    LIMIT = 64 << 10

    def image(self, size: int) -> bytes:
        """A JPEG of so many bytes."""
        picture = encoded(gradient(64, 48), "JPEG")
        return picture + bytes(size - len(picture))

    def test_as_many_bytes_as_are_allowed_are_taken_and_one_more_is_413(
        self, small: DaemonProcess, folder: str
    ) -> None:
        for body, headers in (
            (self.image, {}),
            (lambda size: form(("image", "a.jpg", self.image(size))), {"Content_Type": FORM}),
        ):
            assert post(small, f"/{folder}", body(self.LIMIT), **headers).status == 200
            answer = post(small, f"/{folder}", body(self.LIMIT + 1), **headers)
            assert (answer.status, "max_bytes" in answer.json["error"]) == (413, True)
            assert len(get(small, f"/{folder}/original").body) == self.LIMIT

    def test_a_body_that_is_announced_far_too_large_is_413_at_once(
        self, small: DaemonProcess, folder: str
    ) -> None:
        for headers in ([], ["Expect: 100-continue"]):
            with connected(small) as client:
                client.sendall(request_head(f"/{folder}", 99_999_999_999, *headers))
                assert client.recv(1000).startswith(b"HTTP/1.1 413 ")

    def test_a_body_in_chunks_is_413_as_soon_as_it_is_too_large(
        self, small: DaemonProcess, folder: str
    ) -> None:
        with connected(small) as client:
            client.sendall(
                f"POST /{folder} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            answers: list[bytes] = []
            listener = threading.Thread(target=lambda: answers.append(client.recv(1000)))
            listener.start()
            for _ in range(40):
                client.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            listener.join()  # before it has said that this is all
            assert answers[0].startswith(b"HTTP/1.1 413 ")
            assert json.loads(answers[0].partition(b"\r\n\r\n")[2]) == {
                "error": "Request Entity Too Large"
            }

    def test_a_client_that_sends_everything_first_still_reads_413(
        self, small: DaemonProcess, folder: str
    ) -> None:
        assert post(small, f"/{folder}", bytes(20_000_000)).status == 413


class AgainTests:
    """A POST to where there was one before."""

    def test_it_replaces_the_original_and_so_all_of_its_renditions(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        versions = []
        for image in (picture, other, picture):
            assert post(server, f"/{folder}?outputs=w10.png", image).status == 200
            assert get(server, f"/{folder}/original").body == image
            versions.append(
                {
                    name: get(server, f"/{folder}/{name}").body
                    for name in ("w10.png", "x12.png", "full_size.jpg")
                }
            )
        assert versions[0] == versions[2]
        assert not set(versions[0].values()) & set(versions[1].values())

    def test_it_may_follow_a_delete_or_a_move(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        assert post(server, f"/{folder}", picture).status == 200
        assert server.proxy.delete_image(f"{folder}/original") == "OK"
        assert get(server, f"/{folder}/w10.png").status == 404
        assert post(server, f"/{folder}?outputs=w10.png", other).status == 200
        assert get(server, f"/{folder}/original").body == other
        assert server.proxy.move_image(f"{folder}/original", f"{folder}/moved/original") == "OK"
        assert [
            get(server, f"/{folder}{path}").status
            for path in ("/w10.png", "/original", "/info.json", "/moved/w10.png")
        ] == [404, 404, 404, 200]
        assert post(server, f"/{folder}", picture).status == 200
        assert get(server, f"/{folder}/original").body == picture

    def test_many_at_once_leave_one_and_each_gets_its_own_facts(
        self, server: DaemonProcess, folder: str
    ) -> None:
        images = [encoded(gradient(10 + n, 10), "PNG") for n in range(20)]
        with ThreadPoolExecutor(20) as clients:
            answers = list(
                clients.map(
                    lambda image: post(server, f"/{folder}?outputs=w5.jpg,w6.jpg", image), images
                )
            )
        assert {answer.status for answer in answers} <= {200, 429}
        stored = {
            image: answer.json
            for image, answer in zip(images, answers, strict=True)
            if answer.status == 200
        }
        assert {image: facts["digest"] for image, facts in stored.items()} == {
            image: hashlib.sha256(image).hexdigest() for image in stored
        }
        assert (
            get(server, f"/{folder}/info.json").json
            == stored[get(server, f"/{folder}/original").body]
        )

    def test_one_that_is_deleted_at_once_was_stored_all_the_same(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        posted = threading.Event()

        def delete() -> None:
            while not posted.is_set():
                server.proxy.delete_image(f"{folder}/original")

        with ThreadPoolExecutor(1) as clients:
            deleting = clients.submit(delete)
            try:
                assert {post(server, f"/{folder}", picture).status for _ in range(20)} == {200}
            finally:
                posted.set()
            deleting.result()


class UsersTests:
    """With [network] users."""

    @pytest.mark.parametrize("credentials", [b"ann:open sesame"])
    def test_the_right_password_may_post_from_anywhere(
        self, guarded: DaemonProcess, folder: str, picture: bytes, credentials: bytes
    ) -> None:
        headers = {
            "Authorization": basic(credentials),
            "X_Forwarded_For": "8.8.8.8",
            "Host": "images.example.org",
            "Origin": "https://images.example.org",
        }
        assert post(guarded, f"/{folder}", picture, **headers).status == 200
        assert get(guarded, f"/{folder}/w10.png").status == 200  # which needs none

    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "Basic",
            "Basic !!!",
            "Bearer x",
            "\xff",
            "Basic " + base64.b64encode(b"ann").decode(),
            *(
                "Basic " + base64.b64encode(pair).decode()
                for pair in (
                    b"ann:wrong",
                    b"bob:open sesame",
                    b"ann:",
                    b":",
                    b"ann:open sesame\0",
                    b"ann:" + b"x" * 5000,
                    b"\xff\xfe:\xff",
                )
            ),
        ],
    )
    def test_anything_else_is_401(
        self, guarded: DaemonProcess, folder: str, picture: bytes, authorization: str | None
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        for body in (picture, b""):
            answer = post(guarded, f"/{folder}?outputs=w10.jpg", body, **headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (
                401,
                'Basic realm="imagepipe"',
            )
            assert set(answer.json) == {"error"}
        assert not (guarded.images / folder).exists()

    def test_without_any_the_body_is_not_asked_for(
        self, guarded: DaemonProcess, folder: str
    ) -> None:
        with connected(guarded) as client:
            client.sendall(request_head(f"/{folder}", 1000, "Expect: 100-continue"))
            assert client.recv(1000).startswith(b"HTTP/1.1 401 ")

    def test_a_wrong_password_is_reported_before_a_wrong_request(
        self, guarded: DaemonProcess, picture: bytes
    ) -> None:
        assert (
            post(guarded, "/a?outputs=nonsense", picture, Authorization=basic(b"ann:wrong")).status
            == 401
        )

    def test_no_secret_is_in_the_log(self, guarded: DaemonProcess) -> None:
        log = "".join(guarded.log)
        assert "sesame" not in log
        assert base64.b64encode(b"open sesame").decode()[:10] not in log


class LoopbackTests:
    """Without users a POST is allowed from this machine only."""

    @pytest.mark.parametrize(
        "header", ["X_Forwarded_For", "Forwarded", "Via", "X_Real_IP", "Origin"]
    )
    def test_what_came_through_a_proxy_or_from_a_page_is_403(
        self, server: DaemonProcess, folder: str, picture: bytes, header: str
    ) -> None:
        for value in ("127.0.0.1", "http://127.0.0.1", "null", ""):
            for body in (picture, b""):
                answer = post(server, f"/{folder}", body, **{header: value})
                assert (answer.status, set(answer.json)) == (403, {"error"}), (value, answer)
        with connected(server) as client:
            client.sendall(
                request_head(
                    f"/{folder}", 1000, "Expect: 100-continue", f"{header.replace('_', '-')}: x"
                )
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 403 ")
        with connected(server) as client:
            client.sendall(
                f"POST /{folder} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:"
                f" chunked\r\n{header.replace('_', '-')}: x\r\n\r\n".encode()
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 403 ")
        assert not (server.images / folder).exists()

    @needs_namespaces
    def test_another_machine_is_403_before_its_body_is_read(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(
            tmp_path,
            {"http": {"interface": "::", "port": 0}},
            wrapper=machine_with_address("10.203.0.1"),
        ) as daemon:
            head = request_head("/a", len(picture), "Connection: close")
            for address in ("127.0.0.1", "::1"):
                assert said_to(daemon, address, head + picture).startswith(b"HTTP/1.1 200 "), (
                    address
                )
            for sent in (
                head + picture,
                head,
                request_head("/a", len(picture), "Expect: 100-continue"),
                request_head("/a", 0, "Connection: close"),
            ):
                assert said_to(daemon, "10.203.0.1", sent).startswith(b"HTTP/1.1 403 "), sent[:200]
            for path in ("/a/original", "/a/w10.png", "/a/info.json"):
                assert (
                    said_to(
                        daemon,
                        "10.203.0.1",
                        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(),
                    )[9:12]
                    == b"200"
                )


class DurableTests:
    """What a 200 is worth."""

    NAMES = ("w10.jpg", "x20.webp", "w30.auto")
    FILES = 5

    def test_no_200_comes_before_the_flush(
        self, tmp_path: Path, picture: bytes, other: bytes
    ) -> None:
        with running(tmp_path, HTTP) as daemon:
            assert post(daemon, "/before", picture).status == 200
            with failing_flushes(daemon):
                for path in ("/before", "/after?outputs=w10.jpg"):
                    with contextlib.suppress(OSError):  # the second may find nobody
                        assert post(daemon, path, other).status == 503
                assert daemon.wait() == 74
        with running(tmp_path, HTTP) as daemon:
            assert daemon.tree() == {"before/": b"", "before/original": picture}

    def test_killed_right_after_the_answer_the_original_is_there_and_its_outputs_come_by_themselves(
        self, tmp_path: Path
    ) -> None:
        """Ten times, with one client or several, every second time as soon as the first of them has
        its answer; an image without an answer is there or not.
        """
        stored: dict[str, bytes] = {}
        unanswered: dict[str, bytes] = {}
        for kill in range(KILLS):
            with running(tmp_path, HTTP | {"images": {"io_threads": 1 + kill % 2}}) as daemon:
                self.check(daemon, stored, unanswered)
                new = {
                    f"folder{kill}/{n}": encoded(gradient(40 + kill, 40 + n), "PNG")
                    for n in range(1 + 3 * (kill % 3))
                }
                with ThreadPoolExecutor(len(new)) as clients:
                    posts = {
                        path: clients.submit(
                            post, daemon, f"/{path}?outputs={','.join(self.NAMES)}", image
                        )
                        for path, image in new.items()
                    }
                    wait(posts.values(), return_when=FIRST_COMPLETED if kill % 2 else ALL_COMPLETED)
                    daemon.kill()
                answered = {
                    path: call.result().status
                    for path, call in posts.items()
                    if not call.exception()
                }
                assert set(answered.values()) == {200}
                stored |= {path: new[path] for path in answered}
                unanswered = {path: image for path, image in new.items() if path not in answered}
        with running(tmp_path, HTTP) as daemon:
            self.check(daemon, stored, unanswered)
            before = renders(daemon)
            for path in stored:
                for name in self.NAMES:
                    answers = [
                        get(daemon, f"/{path}/{name}", Accept=accept).status
                        for accept in ("", "image/avif", "image/webp")
                    ]
                    assert answers == [200] * 3
            assert renders(daemon) == before

    def check(
        self, daemon: DaemonProcess, stored: dict[str, bytes], unanswered: dict[str, bytes]
    ) -> None:
        """The originals are there, and, without a GET of them, all outputs in the cache. What was
        not answered counts as stored from now on, or is gone.
        """
        paths = [path.removesuffix("/original") for path in daemon.proxy.list_images()]
        stored |= {path: image for path, image in unanswered.items() if path in paths}
        assert paths == sorted(stored)
        for path, image in stored.items():
            assert (daemon.images / path / "original").read_bytes() == image
        wait_for_renditions(daemon, len(stored) * self.FILES)

    def test_outputs_of_a_replaced_image_are_not_taken_for_those_of_the_new_one(
        self, tmp_path: Path, picture: bytes, other: bytes, turnstile: SteppedConvert
    ) -> None:
        with running(tmp_path, magick(turnstile, io_threads=2)) as daemon:
            assert post(daemon, "/a?outputs=w10.jpg", picture).status == 200
            turnstile.wait_for_arrival()
            assert post(daemon, "/a?outputs=w10.jpg", other).status == 200
            turnstile.let_through()
            # the first are made, and noted as made; the second are not
            turnstile.wait_for_arrival()
            daemon.kill()
        with running(tmp_path, HTTP) as daemon:
            wait_for_renditions(daemon, 2)
            before = renders(daemon)
            assert get(daemon, "/a/w10.jpg").status == 200
            assert renders(daemon) == before

    def test_a_post_that_is_refused_promises_nothing(self, tmp_path: Path, picture: bytes) -> None:
        with running(tmp_path, HTTP) as daemon:
            assert post(daemon, "/a?outputs=w10.jpg,w20.jpg", picture).status == 200
            wait_for_renditions(daemon, 2)
            assert post(daemon, "/a?outputs=w30.jpg", b"text").status == 415
            assert post(daemon, "/b?outputs=w30.jpg", b"text").status == 415
            assert daemon.stop() == 0
        with running(tmp_path, HTTP) as daemon:
            assert post(daemon, "/c?outputs=w40.jpg", picture).status == 200
            wait_for_renditions(daemon, 3)
            daemon.stop()
            assert "still wait for outputs" not in "".join(daemon.log)


class DiskTests:
    @needs_namespaces
    def test_a_full_disk_is_507_with_nothing_half_and_what_is_there_is_served(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        with running(tmp_path, HTTP, wrapper=small_disk(folder, "size=6m")) as daemon:
            daemon.images = Path(f"/proc/{daemon.process.pid}/root{folder}")
            stored: list[bytes] = []
            replacements = itertools.count(1000)
            full = False
            while not full:
                answer = post(
                    daemon, f"/{len(stored)}?outputs=w10.jpg,w1000.png", noise(len(stored))
                )
                if answer.status == 200:
                    stored.append(noise(len(stored)))
                    continue
                assert (answer.status, "full" in answer.json["error"]) == (507, True)
                # Outputs of the last may have been on their way, and have needed the room only for
                # that long.
                replacement = noise(next(replacements))
                full = post(daemon, "/0?outputs=w10.jpg", replacement).status == 507
                if not full:
                    stored[0] = replacement
            assert stored
            paths = [f"{number}/original" for number in range(len(stored))]
            assert daemon.tree() == {f"{number}/": b"" for number in range(len(stored))} | dict(
                zip(paths, stored, strict=True)
            )
            assert daemon.proxy.list_images() == sorted(paths)
            assert get(daemon, f"/{len(stored)}/original").status == 404
            for number, image in enumerate(stored):
                assert get(daemon, f"/{number}/original").body == image
                assert get(daemon, f"/{number}/w11.jpg").status in (200, 507)
            assert daemon.proxy.delete_image(paths) == "OK"
            answers = iter(lambda: post(daemon, "/again?outputs=w10.jpg", noise(0)).status, 200)
            assert set(answers) <= {507}  # until the bytes of what was deleted are off the disk
            assert get(daemon, "/again/w10.jpg").status == 200
            assert get(daemon, "/readyz").status == 200
            assert daemon.stop() == 0
            check_log(daemon)

    @needs_namespaces
    @pytest.mark.parametrize("kind", ["raw", "form", "chunked"])
    def test_no_room_for_a_body_is_507(self, tmp_path: Path, kind: str) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        on_small_disk = small_disk(temporary, "size=1m", 'TMPDIR="$0"')
        image = encoded(gradient(64, 48), "JPEG")
        with running(
            tmp_path, HTTP | {"images": {"max_bytes": "128 MiB"}}, wrapper=on_small_disk
        ) as daemon:
            if kind == "form":  # which waits in memory, but is taken apart on the disk
                answer = post(
                    daemon,
                    "/a",
                    form(("image", "a.jpg", image + bytes(2_000_000))),
                    Content_Type=FORM,
                ).status
            elif kind == "raw":  # which is too long to wait in memory
                answer = post(daemon, "/a", image + bytes(MEMORY_BYTES_MAX)).status
            else:  # whose length is not known, so that it waits on the disk
                head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                answer = int(
                    exchange(daemon, head, chunked(image + bytes(2_000_000), 100_000)).split(b" ")[
                        1
                    ]
                )
            assert answer == 507
            assert post(daemon, "/a", image).status == 200
            assert daemon.tree() == {"a/": b"", "a/original": image}


class PeersTests:
    def test_without_enough_peers_it_is_503_and_the_image_and_its_outputs_are_kept(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        replication = {"publish": "tcp://127.0.0.1:0", "min_acks": 1, "ack_timeout": "0.2 s"}
        with running(tmp_path, HTTP | {"replication": replication}) as daemon:
            answer = post(daemon, "/a?outputs=w10.jpg", picture)
            assert answer.status == 503
            assert answer.json["error"].startswith(
                "stored and durable here, but confirmed by only 0 of 1 peers (min_acks)"
            )
            assert get(daemon, "/a/original").body == picture
            wait_for_renditions(daemon, 1)
            assert "min_acks" in fault_of(daemon.proxy.delete_image, "a/original").faultString


class QueueTests:
    def test_a_full_queue_is_429_and_says_when_to_come_again(
        self, tmp_path: Path, picture: bytes, turnstile: SteppedConvert
    ) -> None:
        with (
            running(tmp_path, magick(turnstile, io_threads=1, queue=1)) as daemon,
            ThreadPoolExecutor(4) as clients,
        ):
            assert post(daemon, "/a", picture).status == 200
            first = clients.submit(get, daemon, "/a/w10.jpg")
            turnstile.wait_for_arrival()
            waiting = [
                clients.submit(get, daemon, "/a/w20.jpg"),
                *(clients.submit(post, daemon, path, picture) for path in ("/c", "/d")),
            ]
            # Of each kind, one may run and one may wait: both queues are full.
            eventually(lambda: status(daemon)["queue"]["waiting"] == 3)
            answers = [post(daemon, "/b?outputs=w10.jpg", picture), get(daemon, "/a/w30.jpg")]
            assert [(answer.status, answer.headers["retry-after"]) for answer in answers] == [
                (429, "1")
            ] * 2
            assert all("try again" in answer.json["error"] for answer in answers)
            assert get(daemon, "/b/original").status == 404
            turnstile.let_through(3)
            assert [call.result().status for call in (first, *waiting)] == [200] * 4
            assert post(daemon, "/b", picture).status == 200

    def test_outputs_wait_for_as_long_as_the_queue_is_full(
        self, tmp_path: Path, picture: bytes, turnstile: SteppedConvert
    ) -> None:
        with (
            running(tmp_path, magick(turnstile, io_threads=1, queue=1)) as daemon,
            ThreadPoolExecutor(2) as clients,
        ):
            assert post(daemon, "/a", picture).status == 200
            first = clients.submit(get, daemon, "/a/w10.jpg")
            turnstile.wait_for_arrival()
            second = clients.submit(post, daemon, "/b?outputs=w40.jpg", picture)
            eventually(lambda: status(daemon)["queue"]["waiting"] == 1)
            third = clients.submit(
                lambda: [get(daemon, f"/a/w{width}.jpg").status for width in (30, 31, 32)]
            )
            turnstile.let_through(8)
            assert [first.result().status, second.result().status] == [200, 200]
            assert set(third.result()) <= {200, 429}
            eventually(lambda: status(daemon)["cache"]["files"] == 2 + third.result().count(200))


class StopTests:
    def test_what_was_posted_before_a_stop_is_answered(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        gate = BlockingConvert(tmp_path / "gate")
        options = HTTP | {
            "images": {"engine": "imagemagick"},
            "imagemagick": {"convert": gate.convert},
        }
        try:
            with running(tmp_path, options) as daemon, ThreadPoolExecutor(1) as clients:
                call = clients.submit(post, daemon, "/a?outputs=w10.jpg", picture)
                gate.wait_for_arrival()
                stopping = threading.Thread(target=daemon.stop)
                stopping.start()
                daemon.wait_for_line("stopping")
                gate.open()
                assert call.result().status == 200
                stopping.join()
                assert daemon.process.returncode == 0
            with running(tmp_path, options) as daemon:
                assert get(daemon, "/a/original").body == picture
                wait_for_renditions(daemon, 1)
        finally:
            gate.remove()

    def test_outputs_under_way_do_not_hold_it_up_and_come_after_the_next_start(
        self, tmp_path: Path, picture: bytes, turnstile: SteppedConvert
    ) -> None:
        with running(tmp_path, magick(turnstile, timeout="1 h")) as daemon:
            assert post(daemon, "/a?outputs=w10.jpg", picture).status == 200
            turnstile.wait_for_arrival()
            assert daemon.stop() == 0
            check_log(daemon)
        with running(tmp_path, HTTP) as daemon:
            wait_for_renditions(daemon, 1)


def request_head(path: str, length: int, *headers: str) -> bytes:
    """The head of a POST with a body of so many bytes."""
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *headers, "", ""]
    ).encode()


def basic(credentials: bytes) -> str:
    """The value of the header Authorization."""
    return "Basic " + base64.b64encode(credentials).decode()


def said_to(daemon: DaemonProcess, address: str, sent: bytes) -> bytes:
    """How the answer begins that the daemon, in a network of its own, gives to a client there that
    has this address, and sends these bytes.
    """
    client = (
        "import socket, sys\n"
        "client = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)\n"
        "client.sendall(sys.stdin.buffer.read())\n"
        "sys.stdout.buffer.write(client.recv(65536))\n"
    )
    port = str(urlsplit(daemon.http_url).port)
    inside = (
        "nsenter",
        f"--target={daemon.process.pid}",
        "--preserve-credentials",
        "--user",
        "--net",
    )
    return subprocess.run(
        [*inside, sys.executable, "-c", client, address, port],
        input=sent,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout
