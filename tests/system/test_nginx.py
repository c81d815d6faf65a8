"""contrib/nginx.conf in a real nginx, in front of a real daemon: who answers what, and what neither
does.
"""

import io
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest
from PIL import Image

from imagepipe.core.paths import RESERVED_FIRST
from imagepipe.core.rendering import formats
from imagepipe.core.requests.signing import sign
from tests.support.cluster import eventually
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess, running
from tests.support.gradients import encoded, gradient
from tests.support.http_client import Response, request
from tests.support.image_server import HTTP, post, renders, status
from tests.support.nginx_process import CONFIGURATION, nginx

KEPT = {"proxy_cache_valid 200 10s;": "proxy_cache_valid 200 1h;"}
"""So that a slow machine does not outlast what is kept."""
BRIEF = {"proxy_cache_valid 200 10s;": "proxy_cache_valid 200 1s;"}
"""So that a test need not wait for ten seconds."""


@dataclass(frozen=True)
class Front:
    """A daemon, and the URL of the nginx in front of it."""

    daemon: DaemonProcess
    url: str

    def get(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Response:
        """What nginx answers."""
        return request(self.url, path, method, body, **headers)

    def store(self, path: str, image: bytes) -> None:
        """Store an image in the daemon."""
        assert self.daemon.proxy.store_image(image, path) == "OK"

    @contextmanager
    def passed_on(self) -> Iterator[list[int]]:
        """At its end, how many requests nginx has passed on meanwhile; no other may reach the
        daemon.
        """
        count: list[int] = []
        before = self._answered()
        yield count
        # that which asked first was itself not yet answered
        count.append(self._answered() - before - 1)

    def _answered(self) -> int:
        return sum(one["count"] for one in status(self.daemon)["totals"]["requests"])


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One that the tests share; what its cache holds, it keeps."""
    folder = tmp_path_factory.mktemp("front")
    with running(folder, HTTP) as daemon, nginx(folder / "nginx", daemon, KEPT) as url:
        yield Front(daemon, url)


@pytest.fixture(scope="session")
def other() -> bytes:
    """Another picture than `picture`."""
    return encoded(gradient(48, 64), "JPEG")


def size(answer: Response) -> tuple[int, int]:
    """Of the picture in an answer."""
    assert answer.status == 200, answer
    return Image.open(io.BytesIO(answer.body)).size


class FileTests:
    """What is in the tree is served by nginx itself."""

    def test_a_file_is_served_without_asking_imagepipe(
        self, front: Front, folder: str, picture: bytes
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        with front.passed_on() as count:
            answer = front.get(f"/{folder}/a.jpg")
        assert (answer.status, answer.body, count) == (200, picture, [0])
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "max-age=0"

    def test_files_are_served_while_imagepipe_is_stopped(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(tmp_path, HTTP) as daemon, nginx(tmp_path / "nginx", daemon) as url:
            front = Front(daemon, url)
            front.store("a.jpg", picture)
            assert daemon.stop() == 0
            assert front.get("/a.jpg").body == picture
            assert front.get("/a.jpg/w20.jpg").status == 502

    def test_head_has_the_same_headers_and_no_body(
        self, front: Front, folder: str, picture: bytes
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        for path in (f"/{folder}/a.jpg", f"/{folder}/a.jpg/w20.jpg", f"/{folder}/a.jpg/info.json"):
            whole, head = front.get(path), front.get(path, "HEAD")
            assert (head.status, head.body) == (200, b"")
            for name in ("content-type", "content-length", "etag", "cache-control"):
                assert head.headers.get(name) == whole.headers.get(name)

    def test_every_extension_of_an_image_has_its_type_and_no_other_has_one(self) -> None:
        [block] = re.findall(r"types \{(.*?)\}", CONFIGURATION.read_text(), flags=re.DOTALL)
        types = {tuple(words.split()) for words in block.split(";") if words.strip()}
        assert {(type, *sorted(extensions)) for type, *extensions in types} == {
            (format.media_type, *sorted(format.extensions)) for format in formats.FORMATS
        }
        [served] = re.findall(r"location ~\* \\\.\(\?:(.*)\)\$", CONFIGURATION.read_text())
        assert sorted(served.split("|")) == sorted(
            extension for format in formats.FORMATS for extension in format.extensions
        )

    @pytest.mark.parametrize("name", ["original", "picture", "a.photo", "a.jpg.", "w20.auto"])
    def test_without_the_extension_of_an_image_imagepipe_says_the_type(
        self, front: Front, folder: str, picture: bytes, name: str
    ) -> None:
        front.store(f"{folder}/{name}", picture)
        with front.passed_on() as count:
            answer = front.get(f"/{folder}/{name}")
        assert (answer.status, answer.body, count) == (200, picture, [1])
        assert answer.headers["content-type"] == "image/jpeg"

    def test_a_stored_file_wins_over_a_rendition_of_its_name(
        self, front: Front, folder: str, picture: bytes, other: bytes
    ) -> None:
        front.store(f"{folder}/original", picture)
        front.store(f"{folder}/w20.jpg", other)
        assert front.get(f"/{folder}/w20.jpg").body == other

    def test_a_name_may_be_written_in_every_way(
        self, front: Front, folder: str, picture: bytes
    ) -> None:
        front.store(f"{folder}/zwei Bäume.JPG", picture)
        for path in (
            f"/{folder}/zwei%20B%C3%A4ume.JPG",
            f"/{folder}//zwei%20Ba%CC%88ume.JPG",
            f"/{folder}/%7a%77ei%20B%c3%a4ume.JPG",
        ):
            assert front.get(path).body == picture
            assert size(front.get(f"{path}/w20.jpg")) == (20, 15)

    def test_what_is_replaced_or_deleted_is_so_at_once(
        self, front: Front, folder: str, picture: bytes, other: bytes
    ) -> None:
        path = f"{folder}/a.jpg"
        front.store(path, picture)
        assert front.get("/" + path).body == picture
        front.store(path, other)
        assert front.get("/" + path).body == other
        front.daemon.proxy.delete_image(path)
        assert not (front.daemon.images / path).exists()
        assert front.get("/" + path).status == 404

    @pytest.mark.parametrize("suffix", ["", "/"])
    def test_a_folder_is_not_a_page(
        self, front: Front, folder: str, picture: bytes, suffix: str
    ) -> None:
        front.store(f"{folder}/b.jpg/original", picture)
        for path in (f"/{folder}{suffix}", f"/{folder}/b.jpg{suffix}"):
            answer = front.get(path)
            assert (answer.status, "original" in answer.body.decode()) == (404, False)

    def test_links_lead_nowhere(self, front: Front, folder: str, picture: bytes) -> None:
        front.store(f"{folder}/a.jpg", picture)
        outside = front.daemon.folder / "outside"
        outside.mkdir(exist_ok=True)
        for name in ("b.jpg", "w20.jpg"):
            (outside / name).write_bytes(picture)
        for name in ("b.jpg", "w30.jpg"):
            (front.daemon.images / folder / name).symlink_to(outside / "b.jpg")
        (front.daemon.images / folder / "c").symlink_to(outside)
        for path in ("b.jpg", "w30.jpg", "c/b.jpg", "c/w20.jpg"):
            assert front.get(f"/{folder}/{path}").status == 404


class MissTests:
    """What is not in the tree is asked of imagepipe."""

    def test_renditions_of_a_file_and_of_an_original_are_rendered(
        self, front: Front, folder: str, picture: bytes
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        assert post(front.daemon, f"/{folder}/b", picture).status == 200
        for path in (f"/{folder}/a.jpg/w20.png", f"/{folder}/b/w20.png"):
            answer = front.get(path)
            assert (size(answer), answer.headers["content-type"]) == ((20, 15), "image/png")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"

    def test_facts_are_always_fresh(
        self, front: Front, folder: str, picture: bytes, other: bytes
    ) -> None:
        for image in (picture, other):
            front.store(f"{folder}/a.jpg", image)
            assert front.get(f"/{folder}/a.jpg/info.json").json["size"] == len(image)

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("none.jpg", 404),
            ("none/w20.jpg", 404),
            ("none/w20.auto", 404),
            ("a.jpg/w5000.jpg", 406),
            ("a.jpg/w20.tiff", 406),
            ("%ff", 400),
        ],
    )
    def test_errors_are_imagepipes_own(
        self, front: Front, folder: str, picture: bytes, path: str, answer: int
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        got = front.get(f"/{folder}/{path}")
        assert (got.status, list(got.json)) == (answer, ["error"])
        assert got.headers["x-content-type-options"] == "nosniff"

    def test_it_is_asked_as_a_proxy_asks(self, tmp_path: Path, front: Front) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\n1"
        with socket.create_server(("127.0.0.1", 0)) as server:
            upstream = {"server 127.0.0.1": f"server 127.0.0.1:{server.getsockname()[1]}; #"}
            heads: list[list[str]] = []

            def serve() -> None:
                connection, _ = server.accept()
                with connection, connection.makefile("rb") as lines:
                    head: list[str] = []
                    for line in lines:
                        if line == b"\r\n":
                            heads.append(head)
                            head = []
                            connection.sendall(answer)
                        else:
                            head.append(line.decode().strip())

            serving = threading.Thread(target=serve, daemon=True)
            serving.start()
            with nginx(tmp_path / "nginx", front.daemon, upstream) as url:
                secrets = {"Authorization": "Basic YTpi", "Cookie": "a=b"}
                for path in ("/a%2Fb.jpg?c=%64", "/a.jpg/w20.jpg?d"):
                    assert (
                        request(
                            url,
                            path,
                            "GET",
                            b"body",
                            Host="example.org",
                            Accept="image/webp",
                            **secrets,
                        ).body
                        == b"1"
                    )
            serving.join(PATIENCE_SECONDS)
        # on one connection
        for head, line in zip(
            heads, ["GET /a%2Fb.jpg?c=%64 HTTP/1.1", "GET /a.jpg/w20.jpg?d HTTP/1.1"], strict=True
        ):
            assert head[0] == line
            assert {"Host: example.org", "Accept: image/webp", "X-Forwarded-For: 127.0.0.1"} <= set(
                head
            )
            assert not [
                line
                for line in head
                if re.match("(?i)authorization|cookie|content-length|connection|transfer", line)
            ]


class CacheTests:
    """Renditions are kept for a short time, and nothing else is."""

    def test_a_rendition_is_asked_for_once(self, front: Front, folder: str, picture: bytes) -> None:
        front.store(f"{folder}/a.jpg", picture)
        with front.passed_on() as count:
            answers = [
                front.get(f"/{folder}/a.jpg/w20.jpg", method) for method in ("HEAD", "GET", "GET")
            ]
        assert count == [1]
        assert answers[1] == answers[2]
        assert answers[0].headers["content-length"] == str(len(answers[1].body))

    def test_it_is_kept_for_ten_seconds(self) -> None:
        assert re.findall(
            r"^ *proxy_cache_valid (.*);", CONFIGURATION.read_text(), flags=re.MULTILINE
        ) == ["200 10s", "any 1s"]

    def test_after_that_it_is_asked_for_again(
        self, tmp_path: Path, picture: bytes, other: bytes
    ) -> None:
        with running(tmp_path, HTTP) as daemon, nginx(tmp_path / "nginx", daemon, BRIEF) as url:
            front = Front(daemon, url)
            front.store("a.jpg", picture)
            first = front.get("/a.jpg/w20.jpg")
            eventually(
                lambda: (
                    front.get("/a.jpg/w20.jpg").body == first.body and _not_modified(daemon) > 0
                ),
                lambda: str(status(daemon)["totals"]),
            )
            front.store("a.jpg", other)
            eventually(lambda: size(front.get("/a.jpg/w20.jpg")) == (20, 27))
            daemon.proxy.delete_image("a.jpg")
            eventually(lambda: front.get("/a.jpg/w20.jpg").status == 404)
            front.store("a.jpg", picture)
            eventually(lambda: front.get("/a.jpg/w20.jpg").body == first.body)

    def test_fifty_at_once_are_one_request_and_one_render(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        patient = KEPT | {
            "proxy_cache_lock on;": (
                "proxy_cache_lock on; proxy_cache_lock_age 1h; proxy_cache_lock_timeout 1h;"
            )
        }
        with running(tmp_path, HTTP) as daemon, nginx(tmp_path / "nginx", daemon, patient) as url:
            front = Front(daemon, url)
            front.store("a.jpg", picture)
            with front.passed_on() as count, ThreadPoolExecutor(50) as clients:
                answers = list(clients.map(lambda _: front.get("/a.jpg/w20.jpg"), range(50)))
            assert {size(answer) for answer in answers} == {(20, 15)}
            assert (count, renders(daemon)) == ([1], 1)

    def test_each_accept_gets_its_own_format(
        self, front: Front, folder: str, picture: bytes
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        types = {
            "image/avif,image/webp,*/*": "image/avif",
            "image/webp,*/*": "image/webp",
            "*/*": "image/jpeg",
        }
        with front.passed_on() as count:
            for _ in range(3):
                for accept, type in types.items():
                    answer = front.get(f"/{folder}/a.jpg/w20.auto", Accept=accept)
                    assert (answer.headers["content-type"], answer.headers["vary"]) == (
                        type,
                        "Accept",
                    )
        assert count == [3]

    def test_a_signature_is_checked_for_each_url(self, tmp_path: Path, picture: bytes) -> None:
        with (
            running(tmp_path, {"http": HTTP["http"] | {"secrets": "key"}}) as daemon,
            nginx(tmp_path / "nginx", daemon, KEPT) as url,
        ):
            front = Front(daemon, url)
            front.store("a.jpg", picture)
            path = "/a.jpg/w20.jpg"
            signed = f"{path}?signature={sign('key', path)}"
            assert [
                front.get(signed).status,
                front.get(path).status,
                front.get(signed[:-1]).status,
                front.get(signed).status,
            ] == [200, 401, 403, 200]
            assert front.get("/a.jpg").status == 200

    @pytest.mark.parametrize("path", ["a.jpg", "a.jpg/w40.jpg", "b/original"])
    def test_conditions_and_ranges_hold(
        self, front: Front, folder: str, picture: bytes, path: str
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        front.store(f"{folder}/b/original", picture)
        path = f"/{folder}/{path}"
        for _ in range(2):  # from imagepipe, and then what nginx has kept
            whole = front.get(path)
            etag, modified = whole.headers["etag"], whole.headers["last-modified"]
            part = front.get(path, Range="bytes=100-199")
            assert (part.status, part.body) == (206, whole.body[100:200])
            assert part.headers["content-range"] == f"bytes 100-199/{len(whole.body)}"
            assert front.get(path, Range=f"bytes={len(whole.body)}-").status == 416
            assert front.get(path, If_None_Match=etag).status == 304
            assert front.get(path, If_Modified_Since=modified).status == 304
            assert front.get(path, If_None_Match='"another"').body == whole.body
            assert front.get(path, If_Modified_Since=formatdate(0, usegmt=True)).body == whole.body


class RefusalTests:
    """What nginx refuses, imagepipe does not see."""

    @pytest.mark.parametrize(
        "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "MOVE"]
    )
    def test_nothing_but_get_and_head(
        self, front: Front, folder: str, picture: bytes, method: str
    ) -> None:
        front.store(f"{folder}/a.jpg", picture)
        with front.passed_on() as count:
            for path in (
                f"/{folder}/a.jpg",
                f"/{folder}/b",
                f"/{folder}/a.jpg/w20.jpg",
                f"/{folder}/a.jpg/w20.auto",
                "/status",
            ):
                assert (
                    front.get(path, method, picture if method in ("POST", "PUT") else None).status
                    == 405
                )
        assert count == [0]
        assert front.get(f"/{folder}/b").status == 404

    @pytest.mark.parametrize(
        "path",
        [
            ".imagepipe",
            ".imagepipe/",
            ".imagepipe/catalogue.sqlite",
            "%2eimagepipe/catalogue.sqlite",
            "%2E%69%6Dagepipe/catalogue.sqlite",
            ".imagepipe%2fcatalogue.sqlite",
            "%2f.imagepipe/catalogue.sqlite",
            "/.imagepipe/catalogue.sqlite",
            "./.imagepipe/catalogue.sqlite",
            "a/../.imagepipe/catalogue.sqlite",
            "a/%2e%2e/.imagepipe/catalogue.sqlite",
            "a%2f..%2f.imagepipe/catalogue.sqlite",
            ".imagepipe/catalogue.sqlite?a=b",
            ".imagepipe/catalogue.sqlite#a",
            ".imagepipe/w20.jpg",
            ".imagepipe/w20.auto",
            ".imagepipe/lock.jpg",
            ".imagepipe/info.json",
            ".imagepipe\\catalogue.sqlite",
            "a.jpg/.b",
            ".htaccess",
            "status/../.imagepipe/catalogue.sqlite",
        ],
    )
    def test_what_begins_with_a_dot_is_not_there(self, front: Front, path: str) -> None:
        with front.passed_on() as count:
            answer = front.get("/" + path)
        assert (answer.status, answer.headers["server"][:5], count) == (404, "nginx", [0])

    @pytest.mark.parametrize(
        "path",
        [
            "%252eimagepipe/catalogue.sqlite",
            ".imagepipe%00",
            "..%2f.imagepipe/lock",
            "%c0%aeimagepipe/lock",
            "\\.imagepipe/lock",
        ],
    )
    def test_what_only_looks_like_it_is_not_there_either(self, front: Front, path: str) -> None:
        assert front.get("/" + path).status in (400, 404)

    @pytest.mark.parametrize("page", sorted(RESERVED_FIRST))
    def test_the_status_pages_are_not_there(self, front: Front, page: str) -> None:
        ways = [
            page,
            f"{page}/",
            f"{page}/a",
            f"{page}?a",
            f"/{page}",
            f"./{page}",
            f"a/../{page}",
            f"%2f{page}",
            f"%{ord(page[0]):x}{page[1:]}",
            f"{page}%2f",
        ]
        with front.passed_on() as count:
            for path in ways:
                assert front.get("/" + path).status == 404
        assert count == [0]

    def test_whatever_is_answered_is_not_to_be_guessed(self, front: Front) -> None:
        for path, method in (
            ("/.a", "GET"),
            ("/status", "GET"),
            ("/a", "POST"),
            ("/none.jpg", "GET"),
            ("/a%00", "GET"),
        ):
            answer = front.get(path, method)
            assert answer.status >= 400
            assert answer.headers.get("x-content-type-options") == "nosniff", path


def _not_modified(daemon: DaemonProcess) -> int:
    return sum(one["count"] for one in status(daemon)["totals"]["requests"] if one["status"] == 304)
