"""Nothing is read or rendered twice: not after a restart, not for two names of one picture, not for
a POST and a GET at once.
"""

import threading
import xmlrpc.client
from pathlib import Path

from tests.support.daemon_process import DaemonProcess, running
from tests.support.hostile_server import HostileServer
from tests.support.image_server import HTTP, get, post, renders, wait_for_renditions
from tests.support.stepped_convert import SteppedConvert


def behind(turnstile: SteppedConvert, **images: object) -> dict[str, dict[str, object]]:
    """Options of an image server that renders behind a turnstile."""
    return HTTP | {
        "images": {"engine": "imagemagick", **images},
        "imagemagick": {"convert": turnstile.convert},
    }


def test_what_was_rendered_before_a_restart_is_found_without_looking_at_its_source(
    tmp_path: Path, picture: bytes, turnstile: SteppedConvert
) -> None:
    turnstile.let_through(2)
    with running(tmp_path, behind(turnstile)) as daemon:
        assert post(daemon, "/a", picture).status == 200
        before = [get(daemon, path) for path in ("/a/w10.jpg", "/a/x9.png")]
        assert daemon.stop() == 0
    looked = turnstile.headers
    with running(tmp_path, behind(turnstile)) as daemon:
        # One by its own name, one by another, and by what a client accepts.
        after = [get(daemon, path) for path in ("/a/w10-q75.jpeg", "/a/x9.png")]
        auto = get(daemon, "/a/w10.auto")
        assert [one.body for one in (*after, auto)] == [
            before[0].body,
            before[1].body,
            before[0].body,
        ]
        assert (turnstile.headers, renders(daemon)) == (looked, 0)


def test_a_get_of_what_a_post_has_promised_waits_for_it(
    tmp_path: Path, picture: bytes, turnstile: SteppedConvert
) -> None:
    with running(tmp_path, behind(turnstile, io_threads=2)) as daemon:
        assert post(daemon, "/a?outputs=w10.jpg,w20.jpg", picture).status == 200
        turnstile.wait_for_arrival()
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(get(daemon, "/a/w10.jpg").status))
        asking.start()
        turnstile.let_through(2)
        asking.join(60)
        wait_for_renditions(daemon, 2)
        assert (answers, renders(daemon), turnstile.renders) == ([200], 2, 1)


def test_a_deleted_image_with_a_renditions_name_does_not_hide_the_original_at_the_source(
    tmp_path: Path, picture: bytes
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(picture)}\r\n\r\n".encode()

    def stored_and_deleted(daemon: DaemonProcess) -> None:
        daemon.proxy.store_image(xmlrpc.client.Binary(picture), "u/w10.jpg")
        daemon.proxy.delete_image("u/w10.jpg")

    with HostileServer(lambda exchange: exchange.send(head + picture)) as server:
        options = {"http": HTTP["http"] | {"source_base": f"http://{server.netloc}"}}
        with running(tmp_path, options) as daemon:
            stored_and_deleted(daemon)
            assert get(daemon, "/u/w10.jpg").status == 200


def test_a_source_that_is_empty_is_none(tmp_path: Path, picture: bytes) -> None:
    with running(tmp_path, HTTP) as daemon:
        assert post(daemon, "/a?outputs=&source=", picture).json["size"] == len(picture)
