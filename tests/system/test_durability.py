"""What a real daemon promises when it is killed, when the disk is full, and when the disk fails."""

import hashlib
import http.client
import io
import random
import threading
import xmlrpc.client
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.daemon_process import DaemonProcess, fault_of, running, text
from tests.support.failing_disk import failing_flushes, noise
from tests.support.gradients import encoded, gradient
from tests.support.namespaces import needs_namespaces, small_disk

KILLS = 50


class KillTests:
    def test_kill_9_in_the_middle_of_load_loses_nothing_acknowledged_and_shows_nothing_half(
        self, tmp_path: Path
    ) -> None:
        """Fifty times: three clients store, replace, move and delete until the daemon is killed;
        then what is there is held against what was answered.
        """
        load = Load(seed=20261122)
        for kill in range(KILLS):
            with running(tmp_path, {"images": {"io_threads": 2}}) as daemon:
                load.check(daemon)
                load.run_until_killed(daemon, after=1 + kill % 17)
        with running(tmp_path) as daemon:
            load.check(daemon)
            assert daemon.stop() == 0
            assert [path for path in daemon.tree() if "/.imagepipe-" in path] == [], (
                "a link of a killed daemon that was never renamed"
            )
        assert load.acknowledged > KILLS


class DiskTests:
    @needs_namespaces
    def test_a_full_disk_refuses_the_write_and_carries_on(self, tmp_path: Path) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        with running(tmp_path, wrapper=small_disk(folder, "size=4m")) as daemon:
            daemon.images = Path(f"/proc/{daemon.process.pid}/root{folder}")
            stored: list[str] = []
            before = daemon.tree()
            while outcome(daemon, noise(len(stored)), f"folder{len(stored)}/a.png") == "OK":
                stored.append(f"folder{len(stored)}/a.png")
                before = daemon.tree()
            fault = fault_of(
                daemon.proxy.store_image, noise(len(stored)), f"folder{len(stored)}/a.png"
            )
            assert (fault.faultCode, "disk is full" in fault.faultString) == (1001, True)
            assert daemon.tree() == before
            assert daemon.proxy.list_images() == stored
            assert daemon.proxy.delete_image(stored) == "OK"
            answers = iter(lambda: outcome(daemon, noise(0), "again.png"), "OK")
            assert set(answers) <= {1001}  # until the bytes of what was deleted are off the disk
            assert daemon.stop() == 0

    def test_a_disk_that_fails_to_flush_ends_the_daemon_with_a_clear_word(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(tmp_path) as daemon:
            assert daemon.proxy.store_image(text(picture), "before.jpg") == "OK"
            with failing_flushes(daemon):
                fault = fault_of(daemon.proxy.store_image, text(picture + b"more"), "after.jpg")
                assert fault.faultCode == 1001
                assert daemon.wait() == 74
            log = "".join(daemon.log)
            assert "imagepipe is exiting" in log
            assert "flush" in log
        with running(tmp_path) as daemon:
            assert daemon.proxy.list_images() == ["before.jpg"]
            assert daemon.tree() == {"before.jpg": picture}


def outcome(daemon: DaemonProcess, picture: bytes, path: str) -> object:
    """OK, or the fault's code."""
    try:
        return daemon.proxy.store_image(picture, path)
    except xmlrpc.client.Fault as fault:
        return fault.faultCode


class Load:
    """Three clients, each on a folder of its own, and what each path must hold: a set of possible
    contents, more than one where no answer came.

    A content is the SHA-256 of the bytes, None for "no image", and for a rendition its box.
    """

    CLIENTS = 3

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.acknowledged = 0
        self.expected: dict[str, set[Any]] = {}
        self.pictures = [encoded(gradient(40 + n, 30), "PNG") for n in range(5)]
        self.source = encoded(gradient(300, 200), "JPEG")
        self._lock = threading.Lock()

    def run_until_killed(self, daemon: DaemonProcess, after: int) -> None:
        """Kill the daemon when it has acknowledged `after` calls of this round, with more under
        way.
        """
        enough = threading.Event()
        count = 0

        def acknowledged() -> None:
            nonlocal count
            with self._lock:
                count += 1
                self.acknowledged += 1
                if count >= after:
                    enough.set()

        clients = [
            threading.Thread(target=self._client, args=(daemon, number, acknowledged))
            for number in range(self.CLIENTS)
        ]
        for client in clients:
            client.start()
        assert enough.wait(60)
        daemon.kill()
        for client in clients:
            client.join()

    def check(self, daemon: DaemonProcess) -> None:
        """Every path holds one of the contents that it may; then that one is what it must hold from
        now on.
        """
        # A killed daemon may leave temporary names, which no server shows; they are swept away
        # while the next one is at work.
        tree = {
            path: image
            for path, image in daemon.tree().items()
            if not path.endswith("/") and "/.imagepipe-" not in path
        }
        assert sorted(tree, key=str.encode) == daemon.proxy.list_images("", "", 10000)
        assert set(tree) <= set(self.expected)
        for path, possible in self.expected.items():
            content = self._content(tree.get(path), possible)
            assert content in possible, (path, content, possible)
            self.expected[path] = {content}
            if path in tree:
                assert (
                    daemon.proxy.image_info(path)["digest"]
                    == hashlib.sha256(tree[path]).hexdigest()
                )
        for path in self.expected:
            if path.endswith("_s.png"):
                (small,), (medium,) = (
                    self.expected[path],
                    self.expected[path.replace("_s.png", "_m.png")],
                )
                assert (small and (small[0] * 2, small[1] * 2)) == medium, (
                    f"{path}: one output of a call without the other"
                )

    def _content(self, image: bytes | None, possible: set[Any]) -> Any:
        if image is None:
            return None
        digest = hashlib.sha256(image).hexdigest()
        if digest in possible:
            return digest
        opened = Image.open(io.BytesIO(image))
        opened.load()
        return opened.size

    def _client(self, daemon: DaemonProcess, number: int, acknowledged: Callable[[], None]) -> None:
        proxy = daemon.proxy
        choice = random.Random(self.random.random())
        while True:
            try:
                self._call(proxy, f"client{number}", choice)
            except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError):
                return
            acknowledged()

    def _call(self, proxy: Any, folder: str, choice: random.Random) -> None:
        """One call: its effect is possible from when it is sent, and certain from when it is
        answered.
        """
        path, other = (f"{folder}/{choice.choice('ab')}/{choice.choice('xyz')}" for _ in range(2))
        (content,) = self.expected.get(path, {None})
        kind = choice.choice(["store", "store", "sizes", "delete", "move"])
        effect: dict[str, Any]
        call: Callable[[], object]
        if kind == "store":
            picture = choice.choice(self.pictures)
            effect, call = (
                {path: hashlib.sha256(picture).hexdigest()},
                partial(proxy.store_image, text(picture), path),
            )
        elif kind == "sizes":
            stem, width = f"{path}{choice.randrange(4)}", choice.choice([60, 90])
            effect = {
                f"{stem}_s.png": (width // 2, width // 3),
                f"{stem}_m.png": (width, width * 2 // 3),
            }
            sizes = {"_s": [width // 2, width // 2], "_m": [width, width]}
            call = partial(proxy.store_image, text(self.source), f"{stem}.png", None, sizes)
        elif kind == "delete" or content is None or path == other:
            effect, call = {path: None}, partial(proxy.delete_image, path)
        else:
            effect, call = {path: None, other: content}, partial(proxy.move_image, path, other)
        for touched, after in effect.items():
            self.expected.setdefault(touched, {None}).add(after)
        call()
        for touched, after in effect.items():
            self.expected[touched] = {after}
