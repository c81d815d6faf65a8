"""GET and HEAD of stored files, over real sockets: what is sent, what is left out for who has it,
and what nobody gets.
"""

import contextlib
import hashlib
import http.client
import os
import socket
import struct
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from tests.support.blocking_convert import BlockingConvert
from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.gradients import encoded, gradient
from tests.support.http_client import Response
from tests.support.http_responses import answer, answers
from tests.support.image_server import HTTP, connected, exchange, get, received

HUGE_BYTES = 20_000_000
CLOSE = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """An image server that the tests share."""
    with running(tmp_path_factory.mktemp("server"), HTTP) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def large(picture: bytes) -> bytes:
    """An image of a million bytes and some: more than is read at once, and no multiple of
    anything.
    """
    return picture + noise(1_000_003, 4)


@pytest.fixture(scope="module")
def other() -> bytes:
    """Another picture than `picture`."""
    return encoded(gradient(48, 64), "PNG")


@pytest.fixture(scope="module")
def stored(server: DaemonProcess, picture: bytes) -> Response:
    """An image, as a client has it."""
    server.proxy.store_image(text(picture), "conditions/a.jpg")
    return get(server, "/conditions/a.jpg")


@pytest.fixture(scope="module")
def large_stored(server: DaemonProcess, large: bytes) -> Response:
    """The large image, as a client has it."""
    server.proxy.store_image(text(large), "ranges/large.jpg")
    return get(server, "/ranges/large.jpg")


@pytest.fixture(scope="module")
def huge(server: DaemonProcess, picture: bytes) -> bytes:
    """A stored image of 20 MB."""
    image = picture + noise(HUGE_BYTES, 5)
    server.proxy.store_image(text(image), "huge/a.jpg")
    return image


def ask(server: DaemonProcess, target: bytes, method: str = "GET", *headers: str) -> Response:
    """The answer to a request for a target that is sent as it is."""
    lines = "".join(f"{header}\r\n" for header in headers).encode()
    return answer(
        exchange(
            server,
            method.encode() + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
            lines,
            b"\r\n",
        ),
        method,
    )


def check_error(found: Response, *statuses: int) -> None:
    """An error is a short JSON object, and nothing that a browser would take for a page."""
    assert found.status in statuses, found
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert list(found.json) == ["error"]
    assert 0 < len(found.json["error"]) < 2500  # a character of the path may come to ten


class AtHandTests:
    """What was asked for lately is answered from memory, by other code than the rest."""

    @pytest.mark.parametrize(
        "path", ["hand/a.jpg", "hand/a.jpg/w20.jpg", "/hand//./a.jpg", "hand/%61.jpg"]
    )
    @pytest.mark.parametrize("is_there", [True, False])
    def test_the_answer_is_the_same(
        self, server: DaemonProcess, picture: bytes, path: str, is_there: bool
    ) -> None:
        server.proxy.store_image(text(picture), "hand/a.jpg")
        get(server, f"/{path}")  # made and read
        etag = get(server, f"/{path}").headers["etag"] if is_there else '"another"'
        for headers in ({}, {"If_None_Match": etag}):
            at_once, by_twisted = (
                get(server, f"/{path}", **headers),
                get(server, f"/{path}?", **headers),
            )
            assert (at_once.status, at_once.body) == (by_twisted.status, by_twisted.body)
            assert {**at_once.headers, "date": ""} == {**by_twisted.headers, "date": ""}
            assert parsedate_to_datetime(at_once.headers["date"])

    def test_what_is_replaced_moved_or_deleted_is_so_at_once(
        self, server: DaemonProcess, picture: bytes, other: bytes
    ) -> None:
        for turn in range(20):
            first, second = (picture, other) if turn % 2 else (other, picture)
            server.proxy.store_image(text(first), "hand/b.jpg")
            for _ in range(3):
                assert get(server, "/hand/b.jpg").body == first
                made = get(server, "/hand/b.jpg/w20.jpg")
                assert made.status == 200
            server.proxy.store_image(text(second), "hand/b.jpg")
            assert get(server, "/hand/b.jpg").body == second
            assert get(server, "/hand/b.jpg/w20.jpg").headers["etag"] != made.headers["etag"]
            server.proxy.move_image("hand/b.jpg", "hand/c.jpg")
            assert (
                get(server, "/hand/b.jpg").status,
                get(server, "/hand/b.jpg/w20.jpg").status,
            ) == (404, 404)
            assert get(server, "/hand/c.jpg").body == second
            server.proxy.delete_image("hand/c.jpg")
            assert (
                get(server, "/hand/c.jpg").status,
                get(server, "/hand/c.jpg/w20.jpg").status,
            ) == (404, 404)


class FileTests:
    def test_a_stored_image_is_sent_with_all_that_clients_and_proxies_need_to_know(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        found = get(server, f"/{folder}/a.jpg")
        assert (found.status, found.body) == (200, picture)
        facts = server.proxy.image_info(f"{folder}/a.jpg")
        assert (
            found.headers["etag"]
            == f'"{facts["digest"]}"'
            == f'"{hashlib.sha256(picture).hexdigest()}"'
        )
        assert (
            parsedate_to_datetime(found.headers["last-modified"]).isoformat()[:19]
            == facts["modified"][:19]
        )
        assert found.headers["content-type"] == "image/jpeg"
        assert found.headers["content-length"] == str(len(picture))
        assert found.headers["accept-ranges"] == "bytes"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert {"max-age=0", "must-revalidate"} <= set(found.headers["cache-control"].split(", "))
        assert "vary" not in found.headers

    @pytest.mark.parametrize(
        "path", ["a.jpg", "large", "a.jpg/w10.jpg", "a.jpg/info.json", "nothing", "a.jpg/w10.bmp"]
    )
    def test_head_says_what_get_says_and_sends_nothing(
        self, server: DaemonProcess, folder: str, picture: bytes, large: bytes, path: str
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        server.proxy.store_image(text(large), f"{folder}/large")
        target = f"/{folder}/{path}".encode()
        full, head = ask(server, target), ask(server, target, "HEAD")
        assert (head.status, head.body) == (full.status, b"")
        assert {**head.headers, "date": ""} == {**full.headers, "date": ""}

    @pytest.mark.parametrize(
        ("format", "media_type"),
        [
            ("JPEG", "image/jpeg"),
            ("PNG", "image/png"),
            ("GIF", "image/gif"),
            ("WEBP", "image/webp"),
            ("AVIF", "image/avif"),
            ("TIFF", "image/tiff"),
        ],
    )
    def test_the_type_is_that_of_the_content_whatever_the_name(
        self, server: DaemonProcess, folder: str, format: str, media_type: str
    ) -> None:
        image = encoded(gradient(8, 8), format)
        for name in ("a", "a.jpg", "a.png", "a.tar.gz", "a.html.gif", "a.JPG"):
            server.proxy.store_image(text(image), f"{folder}/{name}")
            found = get(server, f"/{folder}/{name}")
            assert (found.status, found.headers["content-type"], found.body) == (
                200,
                media_type,
                image,
            )

    def test_a_query_does_not_count(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        for query in ("?", "?v=2", "?a=1&a=2;b", "?%", "?%ff", "?/../x", "?expires=1&signature=x"):
            assert get(server, f"/{folder}/a.jpg{query}").body == picture

    def test_after_an_overwrite_a_move_and_a_delete_the_next_get_knows(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        proxy = server.proxy
        for _ in range(10):
            proxy.store_image(text(picture), f"{folder}/a.jpg")
            assert get(server, f"/{folder}/a.jpg").body == picture
            proxy.store_image(text(other), f"{folder}/a.jpg")
            found = get(server, f"/{folder}/a.jpg")
            assert (found.body, found.headers["content-type"]) == (other, "image/png")
            proxy.move_image(f"{folder}/a.jpg", f"{folder}/b.jpg")
            assert get(server, f"/{folder}/a.jpg").status == 404
            assert get(server, f"/{folder}/b.jpg").body == other
            proxy.delete_image(f"{folder}/b.jpg")
            check_error(get(server, f"/{folder}/b.jpg"), 404)

    def test_a_reader_gets_one_version_whole_whatever_happens_meanwhile(
        self, server: DaemonProcess, folder: str, large: bytes, picture: bytes
    ) -> None:
        versions = {
            hashlib.sha256(image).hexdigest(): image for image in (large, large[::-1], picture)
        }
        images = [picture + image for image in versions.values()]
        digests = {hashlib.sha256(image).hexdigest() for image in images}
        server.proxy.store_image(text(images[0]), f"{folder}/a.jpg")
        done = threading.Event()
        seen: list[str] = []

        def read() -> None:
            while not done.is_set():
                found = get(server, f"/{folder}/a.jpg")
                assert found.headers["etag"] == f'"{hashlib.sha256(found.body).hexdigest()}"'
                seen.append(found.headers["etag"].strip('"'))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for at in range(30):
            server.proxy.store_image(text(images[at % 3]), f"{folder}/a.jpg")
        done.set()
        for reader in readers:
            reader.join()
        assert seen
        assert set(seen) <= digests

    def test_bytes_that_are_gone_from_the_disk_are_an_error_of_ours_without_detail(
        self, server: DaemonProcess, folder: str, other: bytes
    ) -> None:
        image = other + folder.encode()
        server.proxy.store_image(text(image), f"{folder}/a.png")
        digest = hashlib.sha256(image).hexdigest()
        [object] = [
            file
            for file in (server.images / ".imagepipe" / "objects").glob("*/*")
            if file.name.endswith(digest[2:])
        ]
        object.unlink()
        found = get(server, f"/{folder}/a.png")
        check_error(found, 500)
        assert b".imagepipe" not in found.body
        server.proxy.delete_image(f"{folder}/a.png")


class ConditionTests:
    """A client that has an image is told so, and never if it has another."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("tags", ["{}", "W/{}", '"x", {}', '"x",W/{},"y"', "*", " * "])
    def test_a_matching_etag_is_304_without_a_body(
        self, server: DaemonProcess, stored: Response, method: str, tags: str
    ) -> None:
        found = ask(
            server,
            b"/conditions/a.jpg",
            method,
            f"If-None-Match: {tags.format(stored.headers['etag'])}",
        )
        self.check_304(found, stored)

    def test_tags_in_several_lines_are_one_list(
        self, server: DaemonProcess, stored: Response
    ) -> None:
        self.check_304(
            ask(
                server,
                b"/conditions/a.jpg",
                "GET",
                'If-None-Match: "x"',
                f"If-None-Match: {stored.headers['etag']}",
            ),
            stored,
        )

    @pytest.mark.parametrize("tags", ['"x"', '""', "x", '"{}x"', "{}", "", '"x', "W/", '"*"'])
    def test_another_etag_gets_the_image(
        self, server: DaemonProcess, stored: Response, picture: bytes, tags: str
    ) -> None:
        bare = stored.headers["etag"].strip('"')
        found = ask(server, b"/conditions/a.jpg", "GET", f"If-None-Match: {tags.format(bare)}")
        assert (found.status, found.body) == (200, picture)

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_current_date_is_304(
        self, server: DaemonProcess, stored: Response, method: str
    ) -> None:
        for seconds in (0, 1, 1_000_000):
            self.check_304(
                ask(
                    server,
                    b"/conditions/a.jpg",
                    method,
                    f"If-Modified-Since: {shifted(stored, seconds)}",
                ),
                stored,
            )

    @pytest.mark.parametrize(
        "date",
        [
            "",
            "yesterday",
            "0",
            "Mon, 99 Foo 2020 99:99:99 GMT",
            "Mon, 01 Jan 99999999999 00:00:00 GMT",
            "\xff" * 100,
        ],
    )
    def test_an_invalid_date_does_not_count(
        self, server: DaemonProcess, stored: Response, picture: bytes, date: str
    ) -> None:
        for header in ("If-Modified-Since", "If-Unmodified-Since"):
            assert get(server, "/conditions/a.jpg", **{header: date}).body == stored.body == picture

    def test_an_older_date_gets_the_image(
        self, server: DaemonProcess, stored: Response, picture: bytes
    ) -> None:
        assert (
            get(server, "/conditions/a.jpg", If_Modified_Since=shifted(stored, -1)).body == picture
        )

    def test_the_etag_outweighs_the_date(
        self, server: DaemonProcess, stored: Response, picture: bytes
    ) -> None:
        later = shifted(stored, 1000)
        assert (
            get(server, "/conditions/a.jpg", If_None_Match='"x"', If_Modified_Since=later).body
            == picture
        )
        assert (
            get(
                server,
                "/conditions/a.jpg",
                If_None_Match=stored.headers["etag"],
                If_Modified_Since=shifted(stored, -1000),
            ).status
            == 304
        )

    def test_a_condition_on_another_version_is_412(
        self, server: DaemonProcess, stored: Response, picture: bytes
    ) -> None:
        for wrong in (
            {"If_Match": '"x"'},
            {"If_Match": f"W/{stored.headers['etag']}"},
            {"If_Unmodified_Since": shifted(stored, -1)},
        ):
            check_error(get(server, "/conditions/a.jpg", **wrong), 412)
        for right in (
            {"If_Match": stored.headers["etag"]},
            {"If_Match": "*"},
            {"If_Unmodified_Since": shifted(stored, 0)},
        ):
            assert get(server, "/conditions/a.jpg", **right).body == picture

    def test_an_image_that_replaced_another_in_the_same_second_is_never_304_to_a_date(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        proxy, path = server.proxy, f"{folder}/a.jpg"

        def store() -> None:
            proxy.store_image(text(other), path)

        def move() -> None:
            proxy.store_image(text(other), f"{folder}/b.jpg")
            proxy.move_image(f"{folder}/b.jpg", path)

        def delete_and_store() -> None:
            proxy.delete_image(path)
            proxy.store_image(text(other), path)

        for replace in (store, move, delete_and_store):
            for _ in range(20):
                proxy.store_image(text(picture), path)
                date = get(server, f"/{path}").headers["last-modified"]
                replace()
                found = get(server, f"/{path}", If_Modified_Since=date)
                assert (found.status, found.body) == (200, other)
                assert get(server, f"/{path}", If_Range=date, Range="bytes=0-9").body == other
                if found.headers["last-modified"] == date:
                    break
            assert found.headers["last-modified"] == date, "never two stores within one second"
            assert get(server, f"/{path}", If_None_Match=found.headers["etag"]).status == 304

    def check_304(self, found: Response, stored: Response) -> None:
        assert (found.status, found.body) == (304, b"")
        for header in ("etag", "cache-control", "last-modified", "x-content-type-options"):
            assert found.headers[header] == stored.headers[header]
        assert "content-type" not in found.headers
        assert (
            found.headers.get("content-length", stored.headers["content-length"])
            == stored.headers["content-length"]
        )


class RangeTests:
    """Parts of an image, also over what is read at once (64 KiB at first, then 256 KiB a piece)."""

    def test_a_large_file_is_sent_byte_for_byte(self, large_stored: Response, large: bytes) -> None:
        assert (large_stored.status, large_stored.body) == (200, large)

    @pytest.mark.parametrize(
        ("first", "last"),
        [
            (0, 0),
            (0, 65535),
            (0, 65536),
            (65535, 65536),
            (65536, 65536),
            (65536, 327679),
            (65536, 327680),
            (1, 999_999),
            (262143, 262144),
            (524_288, 786_433),
            (17, None),
            (1_000_003, None),
            (0, None),
            (None, 1),
            (None, 65536),
            (None, 1_000_003),
            (None, 99_999_999),
            (5, 99_999_999),
        ],
    )
    def test_a_part_is_those_bytes(
        self,
        server: DaemonProcess,
        large_stored: Response,
        large: bytes,
        first: int | None,
        last: int | None,
    ) -> None:
        part = (
            large[first : None if last is None else last + 1]
            if first is not None
            else large[-(last or 0) :]
        )
        found = get(
            server,
            "/ranges/large.jpg",
            Range=f"bytes={'' if first is None else first}-{'' if last is None else last}",
        )
        assert (found.status, found.body) == (206, part)
        start = first if first is not None else len(large) - len(part)
        assert (
            found.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(large)}"
        )
        for header in (
            "etag",
            "last-modified",
            "content-type",
            "cache-control",
            "x-content-type-options",
        ):
            assert found.headers[header] == large_stored.headers[header]

    def test_parts_make_the_whole(
        self, server: DaemonProcess, large_stored: Response, large: bytes
    ) -> None:
        step = 199_999
        etag = large_stored.headers["etag"]
        parts = [
            get(server, "/ranges/large.jpg", Range=f"bytes={at}-{at + step - 1}", If_Range=etag)
            for at in range(0, len(large), step)
        ]
        assert {part.status for part in parts} == {206}
        assert b"".join(part.body for part in parts) == large

    @pytest.mark.parametrize(
        "wanted", ["bytes={}-", "bytes={}-{}", "bytes=999999999999999-", "bytes=-0"]
    )
    def test_a_part_that_is_not_there_is_416_with_the_length(
        self, server: DaemonProcess, large_stored: Response, large: bytes, wanted: str
    ) -> None:
        assert large_stored.status == 200
        found = get(server, "/ranges/large.jpg", Range=wanted.format(len(large), len(large) + 5))
        check_error(found, 416)
        assert found.headers["content-range"] == f"bytes */{len(large)}"

    @pytest.mark.parametrize(
        "wanted",
        [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "lines=0-1",
            "bytes=0-1,5-9",
            "bytes=--1",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "",
        ],
    )
    def test_anything_but_a_single_range_gets_the_whole(
        self, server: DaemonProcess, large_stored: Response, large: bytes, wanted: str
    ) -> None:
        found = get(server, "/ranges/large.jpg", Range=wanted)
        assert (found.status, found.body == large, found.headers["etag"]) == (
            200,
            True,
            large_stored.headers["etag"],
        )

    def test_a_range_of_another_version_gets_the_whole(
        self, server: DaemonProcess, large_stored: Response, large: bytes
    ) -> None:
        for other in (
            '"x"',
            f"W/{large_stored.headers['etag']}",
            shifted(large_stored, -1),
            shifted(large_stored, 1),
            "x",
            "",
        ):
            found = get(server, "/ranges/large.jpg", Range="bytes=0-1", If_Range=other)
            assert (found.status, len(found.body)) == (200, len(large)), other
        for same in (large_stored.headers["etag"], large_stored.headers["last-modified"]):
            assert (
                get(server, "/ranges/large.jpg", Range="bytes=0-1", If_Range=same).body == large[:2]
            )

    def test_a_range_of_a_known_version_is_304(
        self, server: DaemonProcess, large_stored: Response
    ) -> None:
        assert (
            get(
                server,
                "/ranges/large.jpg",
                Range="bytes=0-1",
                If_None_Match=large_stored.headers["etag"],
            ).status
            == 304
        )

    def test_head_has_no_parts(self, server: DaemonProcess, large_stored: Response) -> None:
        found = ask(server, b"/ranges/large.jpg", "HEAD", "Range: bytes=0-1")
        assert (found.status, found.headers["content-length"]) == (
            200,
            large_stored.headers["content-length"],
        )


class ClientTests:
    """Clients that are slow, or greedy, or leave."""

    READERS = 8

    def test_slow_readers_hold_up_nobody_and_no_memory(
        self, server: DaemonProcess, huge: bytes, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), "huge/small.jpg")
        with contextlib.ExitStack() as stack:
            before = server.resident_bytes
            slow = [stack.enter_context(asked(server, "/huge/a.jpg")) for _ in range(self.READERS)]
            taken = [take(client, 300_000) for client in slow]
            for _ in range(100):
                assert get(server, "/huge/small.jpg").body == picture
            assert server.resident_bytes - before < HUGE_BYTES
            assert taken[0] + take(slow[0], len(huge) - 300_000) == huge

    @pytest.mark.parametrize("leave", ["close", "reset"])
    def test_a_client_that_leaves_in_the_middle_leaves_nothing_open(
        self, server: DaemonProcess, huge: bytes, leave: str
    ) -> None:
        get(server, "/huge/a.jpg")
        eventually(lambda: not open_images(server), lambda: str(open_images(server)))
        before = len(descriptors(server))
        clients = [asked(server, "/huge/a.jpg") for _ in range(self.READERS)]
        for client in clients:
            assert take(client, 100_000) == huge[:100_000]
        assert len(open_images(server)) == self.READERS
        for client in clients:
            if leave == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        eventually(lambda: len(descriptors(server)) <= before, lambda: str(descriptors(server)))
        assert not open_images(server)
        assert "cannot read a file while sending it" not in "".join(server.log)

    def test_a_client_that_asks_and_never_listens_costs_no_memory(
        self, server: DaemonProcess, picture: bytes
    ) -> None:
        image = picture + bytes(60_000)  # read at once
        server.proxy.store_image(text(image), "huge/b.jpg")
        requests = 600
        said = b"GET /huge/b.jpg HTTP/1.1\r\nHost: x\r\n\r\n" * requests
        with connected(server) as deaf, connected(server) as listening:
            before = server.resident_bytes
            deaf.sendall(said)
            listening.sendall(said + b"GET /nothing" + CLOSE)
            heard = b"".join(received(listening))  # the other would have been answered as quickly
            assert server.resident_bytes - before < requests * len(image) // 2
        assert [one.body for one in answers(heard)[:-1]] == [image] * requests

    def test_what_a_client_had_asked_for_comes_when_it_listens_at_last(
        self, server: DaemonProcess, large: bytes
    ) -> None:
        server.proxy.store_image(text(large), "huge/c.jpg")
        with connected(server) as client:
            client.sendall(
                b"GET /huge/c.jpg HTTP/1.1\r\nHost: x\r\n\r\n" * 7 + b"GET /huge/c.jpg" + CLOSE
            )
            for _ in range(20):
                get(server, "/healthz")
            found = answers(b"".join(received(client)))
        assert [one.body == large for one in found] == [True] * 8

    def test_more_connections_than_descriptors_cost_the_slowest_clients_their_connections(
        self, tmp_path: Path, picture: bytes, large: bytes
    ) -> None:
        with running(tmp_path, HTTP, ("prlimit", "--nofile=90:90")) as daemon:
            daemon.proxy.store_image(text(large), "a.jpg")  # which is not kept in memory
            with contextlib.ExitStack() as stack:
                for url in [daemon.url, daemon.http_url] * 60:
                    place = urlsplit(url)
                    slow = stack.enter_context(
                        socket.create_connection((place.hostname, place.port or 0), timeout=60)
                    )
                    with contextlib.suppress(ConnectionError):
                        slow.sendall(b"GET /a.jpg HTTP/1.1\r\nX: ")
                # Until the daemon has accepted them all, a newcomer looks as slow as they do.
                eventually(lambda: _answers_on_both_ports(daemon))
                for _ in range(20):
                    client = stack.enter_context(connected(daemon))
                    client.sendall(b"GET /a.jpg HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n\r\n")
                    assert answer(client.recv(1 << 16)).status == 206
                assert daemon.proxy.store_image(text(picture), "b.jpg") == "OK"
                assert get(daemon, "/b.jpg/w10.jpg").status == 200
            log = "".join(daemon.log)
            assert log.count("disconnecting the slowest clients") == 1
            assert "Traceback" not in log


class ConnectionTests:
    def test_one_connection_serves_many_requests(
        self, server: DaemonProcess, folder: str, picture: bytes, large: bytes
    ) -> None:
        images = {f"/{folder}/a": picture, f"/{folder}/b": large}
        for path, image in images.items():
            server.proxy.store_image(text(image), path)
        connection = http.client.HTTPConnection(urlsplit(server.http_url).netloc, timeout=60)
        for path, image in [*images.items()] * 5:
            for method, body in (("GET", image), ("HEAD", b"")):
                connection.request(method, path)
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, body)
                used = connection.sock
                connection.request("GET", path + "/nothing")
                assert connection.getresponse().read().startswith(b'{"error": ')
                assert connection.sock is used
        connection.close()

    def test_requests_that_come_together_are_answered_in_order(
        self, server: DaemonProcess, folder: str, picture: bytes, large: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        server.proxy.store_image(text(large), f"{folder}/b.jpg")
        asked_for = [
            ("GET", "b.jpg", 200, len(large)),
            ("HEAD", "b.jpg", 200, 0),
            ("GET", "a.jpg/w8.jpg", 200, None),
            ("GET", "nothing", 404, None),
            ("PUT", "a.jpg", 405, None),
            ("HEAD", "nothing", 404, 0),
            ("GET", "a.jpg", 200, len(picture)),
            ("GET", "a.jpg/info.json", 200, None),
            ("GET", "b.jpg", 200, len(large)),
        ]
        requests = "".join(
            f"{method} /{folder}/{path} HTTP/1.1\r\nHost: x\r\n\r\n"
            for method, path, _, _ in asked_for
        )
        said = exchange(server, requests.encode(), b"GET /status.json" + CLOSE)
        found = answers(said, *(method for method, *_ in asked_for))
        assert [one.status for one in found[:-1]] == [status for *_, status, _ in asked_for]
        for one, (*_, length) in zip(found, asked_for, strict=False):
            assert length is None or len(one.body) == length
        assert found[-1].json["ready"] is True

    def test_a_client_of_http_1_0_gets_the_bytes_and_the_end(
        self, server: DaemonProcess, folder: str, large: bytes
    ) -> None:
        server.proxy.store_image(text(large), f"{folder}/a.jpg")
        head, _, body = exchange(
            server, f"GET /{folder}/a.jpg HTTP/1.0\r\n\r\n".encode()
        ).partition(b"\r\n\r\n")
        assert body == large
        assert b"200 OK" in head
        assert b"chunked" not in head.lower()

    def test_a_target_may_be_a_whole_url_as_proxies_have_it(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        assert ask(server, f"http://images.example:7000/{folder}/a.jpg".encode()).body == picture
        assert ask(server, f"HTTPS://x/{folder}/a.jpg?y=http://z/".encode()).body == picture
        assert (
            ask(server, f"http://x/{folder}/a.jpg/info.json".encode()).json["path"]
            == f"{folder}/a.jpg"
        )
        assert ask(server, b"http://x/healthz").body == b"ok\n"
        check_error(ask(server, b"http://x"), 400)
        check_error(ask(server, b"ftp://x/a.jpg"), 400)

    @pytest.mark.parametrize(
        "method",
        [
            "PUT",
            "DELETE",
            "OPTIONS",
            "PATCH",
            "TRACE",
            "CONNECT",
            "PROPFIND",
            "get",
            "NONSENSE" * 100,
            "$",
        ],
    )
    def test_other_methods_are_405_with_a_list_of_the_allowed_ones(
        self, server: DaemonProcess, folder: str, picture: bytes, method: str
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        for target in (f"/{folder}/a.jpg", f"/{folder}/nothing", "/", "*"):
            found = ask(server, target.encode(), method)
            check_error(found, 405)
            assert found.headers["allow"] == "GET, HEAD, POST"
        for page in (b"/healthz", b"/status.json"):
            found = ask(server, page, method)
            check_error(found, 405)
            assert found.headers["allow"] == "GET, HEAD"
        assert get(server, f"/{folder}/a.jpg").body == picture


class PathTests:
    """A path is decoded once, and no spelling leads out of the tree or to what is hidden in it."""

    def test_percent_signs_are_decoded_once(
        self, server: DaemonProcess, folder: str, picture: bytes, other: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/1%41 ü?#.jpg")
        server.proxy.store_image(text(other), f"{folder}/1A.jpg")
        assert get(server, f"/{folder}/1%2541%20%C3%BC%3F%23.jpg").body == picture
        assert get(server, f"/{folder}/%31%2541%20%c3%bc%3f%23%2e%6Apg").body == picture
        assert get(server, f"/{folder}/1%41.jpg").body == other
        assert get(server, f"/{folder}/1%2541.jpg").status == 404
        assert get(server, f"/{folder}/1A.jpg%3Fx").status == 404
        assert get(server, f"/{folder}/1+A.jpg").status == 404

    @pytest.mark.parametrize(
        "path",
        [
            b"/a%2Fb.jpg",
            b"/a%2fb.jpg",
            b"/%2F",
            b"/a%00.jpg",
            b"/a.jpg%00",
            b"/%00",
            b"/%ff",
            b"/a/%C3",
            b"/%C3/%BC",
            b"/%ED%A0%80",
            b"/%C0%AFx",
            b"/%F5%80%80%80",
            b"/..",
            b"/../a.jpg",
            b"/a/../b.jpg",
            b"/a/..",
            b"/%2e%2e/a.jpg",
            b"/.%2e/a.jpg",
            b"/%2E./x",
            b"/a/%2e%2e/%2e%2e/etc/passwd",
            b"/%",
            b"/%4",
            b"/%zz",
            b"/a%",
            b"/%%41",
            b"/%u0041",
            b"/" + b"a/" * 3000,
        ],
    )
    def test_what_is_malformed_is_400(self, server: DaemonProcess, path: bytes) -> None:
        for suffix in (b"", b"/w10.jpg", b"/info.json"):
            check_error(ask(server, path + suffix), 400)

    @pytest.mark.parametrize(
        "path",
        [
            b"//",
            b"/.",
            b"/./",
            b"/a.jpg/",
            b"/a",
            b"/\x7f",
            b"/%01",
            b"/%0d%0aX:%20y",
            b"/...",
            b"/ .jpg".replace(b" ", b"%20"),
            b"/w10.jpg",
            b"/info.json",
            b"/original",
            b"/a/" + b"x" * 300,
            b"/" + b"y/" * 600 + b"a.jpg",
            b"/a.php",
            b"/\\..\\..\\etc",
            b"/a.jpg;x",
            b"/~root",
            b"/\xb0"[:1] + b"x",
        ],
    )
    def test_what_cannot_be_there_is_404(self, server: DaemonProcess, path: bytes) -> None:
        check_error(ask(server, path), 404)

    def test_doubled_slashes_and_dots_change_nothing(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a/b.jpg")
        for path in (
            "{}/a/b.jpg",
            "/{}/a/b.jpg",
            "./{}/./a//b.jpg",
            "%2e/{}/a/%2E/b.jpg",
            "{}///a/b.jpg",
        ):
            assert get(server, "/" + path.format(folder)).body == picture
        for path in (
            "{}/a/b.jpg/",
            "{}/a/b.jpg/.",
            "{}/a",
            "{}/a/",
            "{}/A/b.jpg",
            "{}/a/b.jpg%20",
            "{}/a/b.jpg.",
        ):
            assert get(server, "/" + path.format(folder)).status == 404

    @pytest.mark.parametrize(
        "name", ["Ångström é.jpg", "が.png", "한글.gif", "\u1e9b\u0323", "naïve/ﬁ.jpg"]
    )
    def test_a_decomposed_name_finds_the_composed_one(
        self, server: DaemonProcess, folder: str, picture: bytes, name: str
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/{unicodedata.normalize('NFC', name)}")
        for form in ("NFC", "NFD"):
            path = quote(f"/{folder}/{unicodedata.normalize(form, name)}")
            assert get(server, path).body == picture
            assert get(server, path + "/w8.jpg").status == 200
            assert (
                get(server, path + "/info.json").json["path"]
                == f"{folder}/{unicodedata.normalize('NFC', name)}"
            )

    def test_nothing_hidden_is_to_be_had_by_any_spelling(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        assert get(server, f"/{folder}/a.jpg/w9.jpg").status == 200
        hidden = server.images / ".imagepipe"
        files = [file.relative_to(hidden) for file in hidden.rglob("*") if file.is_file()]
        kinds = {file.parts[0] if len(file.parts) > 1 else file.name: file for file in files}
        assert {"objects", "cache"} < set(kinds), kinds
        with contextlib.ExitStack() as stack:
            for spelling in SPELLINGS:
                for file in [Path(), *kinds.values()]:
                    for suffix in (b"", b"/", b"/w10.jpg", b"/full_size.png", b"/info.json"):
                        path = b"/" + spelling + b"/" + os.fsencode(file) + suffix
                        client = stack.enter_context(connected(server))
                        client.sendall(b"GET " + path + CLOSE)
                        check_error(answer(b"".join(received(client))), 400, 404)
                        client.close()

    def test_the_servers_own_pages_are_no_images(
        self, server: DaemonProcess, picture: bytes
    ) -> None:
        for page, media_type in (
            ("status", "text/plain"),
            ("status.json", "application/json"),
            ("healthz", "text/plain"),
            ("metrics", "text/plain"),
        ):
            found = get(server, f"/{page}")
            assert (found.status, found.headers["x-content-type-options"]) == (200, "nosniff")
            assert found.headers["content-type"].startswith(media_type)
            for below in (
                f"/{page}/",
                f"/{page}/a.jpg",
                f"/{page}/w10.jpg",
                f"/{page}/info.json",
                f"//{page}",
                f"/./{page}",
                f"/{page}%20",
            ):
                check_error(get(server, below), 404)
            with pytest.raises(Exception, match="reserved"):
                server.proxy.store_image(text(picture), f"{page}/a.jpg")


HIDDEN = b".imagepipe"
SPELLINGS = [
    HIDDEN,
    b"%2eimagepipe",
    b"%2Eimagepipe",
    b"%252eimagepipe",
    b"%25%32%65imagepipe",
    b".%69magepipe",
    b"%2e%69%6d%61%67%65%70%69%70%65",
    b".IMAGEPIPE",
    b".ImagePipe",
    b".imagepipe.",
    b".imagepipe..",
    b"..imagepipe",
    b".imagepipe%20",
    b"%20.imagepipe",
    b".imagepipe%00",
    b"%00.imagepipe",
    b".imagepipe%09",
    b".imagepipe;",
    b".imagepipe;a=b",
    b".imagepipe::$DATA",
    b"%c0%aeimagepipe",
    b"%e0%80%aeimagepipe",
    b"%u002eimagepipe",
    b"&#46;imagepipe",
    quote("․imagepipe").encode(),
    quote("．imagepipe").encode(),
    quote("。imagepipe").encode(),
    quote(".ımagepipe").encode(),
    quote(".imagepi\u200bpe").encode(),
    quote("\ufeff.imagepipe").encode(),
    quote(".i\u0300magepipe").encode(),
    quote(".ｉmagepipe").encode(),
    b"/.imagepipe",
    b"//.imagepipe",
    b"./.imagepipe",
    b".//.imagepipe",
    b"%2e/.imagepipe",
    b"x/../.imagepipe",
    b"x/%2e%2e/.imagepipe",
    b"x/..%2f.imagepipe",
    b"x%2f..%2f.imagepipe",
    b"%2f.imagepipe",
    b"%5c.imagepipe",
    b".imagepipe%5c",
    b"\\.imagepipe",
    b"x\\..\\.imagepipe",
    b"..;/.imagepipe",
    b"status/.imagepipe",
    b"status/../.imagepipe",
    b"healthz/%2e%2e/.imagepipe",
    b".imagepipe/.",
    b".imagepipe//",
    b".imagepipe/x/..",
    b".imagepipe%2f",
    b"x?/.imagepipe",
    b".imagepipe?",
    b"%3f.imagepipe",
    b"%23.imagepipe",
    b"w10.jpg/.imagepipe",
    b"original/.imagepipe",
    b"info.json/.imagepipe",
]


class ErrorTests:
    """Whatever is wrong, and whoever notices."""

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            (b"\0" * 100 + b"\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (b"GET\r\n\r\n", 400),
            (b"GET /a\r\n\r\n", 400),
            (b"GET  /a HTTP/1.1\r\n\r\n", 400),
            (b"GET /a b HTTP/1.1\r\n\r\n", 400),
            (b"GET /a HTTP/2.0\r\n\r\n", 400),
            (b"G(T /a HTTP/1.1\r\n\r\n", 400),
            (b"GET /\xf0\x9f HTTP/1.1\r\n\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\na: \0\r\n\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (
                (
                    b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding:"
                    b" chunked\r\n\r\n"
                ),
                400,
            ),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
            (b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"x: y\r\n" * 501 + b"\r\n", 400),
            (
                b"GET /a HTTP/1.1\r\nHost: x\r\n" + (b"x: " + b"y" * 80 + b"\r\n") * 220 + b"\r\n",
                400,
            ),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 20_480 + b"\r\n\r\n", 431),
            (b"GET /" + b"y" * 20_480 + CLOSE, 431),
            (
                (
                    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nConnection:"
                    b" close\r\n\r\n"
                ),
                413,
            ),
            (
                (
                    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length:"
                    b" 99999999999\r\n\r\n"
                ),
                413,
            ),
            (
                (
                    b"POST /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length:"
                    b" 5\r\n\r\n12345"
                ),
                403,
            ),
            (
                (
                    b"POST /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nConnection:"
                    b" close\r\nContent-Length: 0\r\n\r\n"
                ),
                403,
            ),
            (b"GET /a HTTP/1.1\r\n\r\n", 400),
            (
                (
                    b"POST /a HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length:"
                    b" 5\r\n\r\n12345"
                ),
                403,
            ),
            (b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
            (b"GET /nothing" + CLOSE, 404),
            (b"GET nothing" + CLOSE, 400),
            (b"GET *" + CLOSE, 400),
            (b"HEAD *" + CLOSE, 400),
            (b"DELETE *" + CLOSE, 405),
            (b"GET /healthz/nothing" + CLOSE, 404),
        ],
    )
    def test_every_error_is_short_json_that_no_browser_takes_for_a_page(
        self, server: DaemonProcess, said: bytes, status: int
    ) -> None:
        with connected(server) as client:
            client.sendall(said)
            heard = b""
            while (
                b"\r\n\r\n" not in heard
                or b"content-length" not in heard.lower()
                or (b"}" not in heard and not said.startswith(b"HEAD"))
            ):
                piece = client.recv(1 << 16)
                assert piece, heard
                heard += piece
        found = answer(heard, said[:4].strip().decode("latin-1"))
        if said.startswith(b"HEAD"):
            assert (found.status, found.headers["content-type"]) == (status, "application/json")
        else:
            check_error(found, status)

    def test_errors_are_not_to_be_kept(self, server: DaemonProcess) -> None:
        for path in ("/nothing", "/%00", "/nothing/w10.jpg"):
            assert get(server, path).headers["cache-control"] == "no-store"

    def test_what_a_request_says_is_shown_in_ascii_and_shortened(
        self, server: DaemonProcess
    ) -> None:
        found = get(server, "/" + quote("<script>\x1b[2J" + "é" * 120))
        check_error(found, 404)
        assert found.body.isascii()
        assert b"\x1b" not in found.body
        assert all(line.isprintable() for line in (line.rstrip("\n") for line in server.log))

    def test_the_log_has_one_line_a_request(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        for path in ("a.jpg", "nothing", "a.jpg/w10.jpg", "a.jpg/info.json"):
            get(server, f"/{folder}/{path}")
        get(server, f"/{folder}/last")
        server.wait_for_line(f"GET file '/{folder}/last'")
        lines = [line.partition("GET ")[2] for line in server.log if f"'/{folder}/" in line]
        assert [line.split()[0] for line in lines] == ["file", "file", "rendition", "info", "file"]
        assert [line.rpartition(" in all: ")[2].split()[0] for line in lines] == [
            "200",
            "404",
            "200",
            "200",
            "404",
        ]


class StopTests:
    def test_a_request_that_has_begun_is_answered_while_the_server_stops_and_its_connection_closed(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        gate = BlockingConvert(tmp_path / "gate")
        options = HTTP | {
            "images": {"engine": "imagemagick"},
            "imagemagick": {"convert": gate.convert},
        }
        targets = {"/nothing": 404, "/healthz": 200, "/readyz": 503}
        with (
            contextlib.closing(Closing(gate)),
            running(tmp_path, options) as daemon,
            ThreadPoolExecutor() as pool,
            contextlib.ExitStack() as stack,
        ):
            clients = {target: stack.enter_context(connected(daemon)) for target in targets}
            for target, client in clients.items():
                client.sendall(
                    f"HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET {target} HTTP/1.1\r\n".encode()
                )
                # so it has the beginning of the next one, too
                assert b" 404 " in client.recv(1 << 16)
            rendered = pool.submit(daemon.proxy.store_image, text(picture), "a.jpg", None, [10, 10])
            gate.wait_for_arrival()
            stopped = pool.submit(daemon.stop)
            daemon.wait_for_line("stopping")
            for target, client in clients.items():
                client.sendall(b"Host: x\r\n\r\n")
                found = answer(b"".join(received(client)))
                assert (found.status, found.headers["connection"]) == (targets[target], "close")
            gate.open()
            assert rendered.result() == "OK"
            assert stopped.result() == 0


class Closing:
    """A gate that is removed by `close`."""

    def __init__(self, gate: BlockingConvert) -> None:
        self.close = gate.remove


def noise(count: int, seed: int) -> bytes:
    """So many bytes that nothing else equals."""
    return np.random.default_rng(seed).bytes(count)


def shifted(stored: Response, seconds: int) -> str:
    """A date so many seconds after that of an image."""
    return formatdate(
        parsedate_to_datetime(stored.headers["last-modified"]).timestamp() + seconds, usegmt=True
    )


def asked(server: DaemonProcess, path: str) -> socket.socket:
    """A connection with little room on it, on which a file was asked for."""
    parts = urlsplit(server.http_url)
    client = socket.socket()
    client.settimeout(60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    client.connect((parts.hostname or "", parts.port or 0))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 200 ")
    return client


def take(client: socket.socket, count: int) -> bytes:
    """So many bytes more."""
    taken = bytearray()
    while len(taken) < count:
        piece = client.recv(count - len(taken))
        assert piece, "the connection was closed"
        taken += piece
    return bytes(taken)


def descriptors(server: DaemonProcess) -> list[str]:
    """What the daemon has open."""
    found = []
    for entry in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return found


def open_images(server: DaemonProcess) -> list[str]:
    """The stored images that it has open."""
    return [name for name in descriptors(server) if "/objects/" in name]


def _answers_on_both_ports(daemon: DaemonProcess) -> bool:
    try:
        return bool(daemon.proxy.list_images()) and get(daemon, "/healthz").status == 200
    except (OSError, http.client.HTTPException):
        return False
