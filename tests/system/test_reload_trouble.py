"""SIGHUP to a real daemon at no good time, or with a file that is no configuration at all."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.certificates import write_certificate
from tests.support.daemon_process import RELOADED, DaemonProcess, running
from tests.support.image_server import HTTP, check_log, status


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon with an image server."""
    with running(tmp_path, HTTP) as daemon:
        yield daemon
        check_log(daemon)


def held_reload(daemon: DaemonProcess) -> tuple[IO[str], str]:
    """Begin a reload that waits for its file; what is written to it goes on with what the file
    said, and ends the wait when it is closed.
    """
    said = daemon.config.read_text()
    daemon.config.unlink()
    os.mkfifo(daemon.config)
    daemon.process.send_signal(signal.SIGHUP)
    return daemon.config.open("w"), said  # which blocks until the daemon has opened it, too


def refused(daemon: DaemonProcess, why: str) -> None:
    """Reload, which must change nothing, with this in the log."""
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_line("keeping the old one")
    daemon.wait_for_line(why)


class FileTests:
    def test_an_invalid_configuration_changes_nothing(self, daemon: DaemonProcess) -> None:
        before, urls, good = (
            status(daemon)["queue"],
            (daemon.url, daemon.http_url),
            daemon.config.read_bytes(),
        )
        for content, why in (
            (b"\0" * 4096, "this is neither `option = value` nor"),
            (good.replace(b"[images]", b"[images]\nio_threads = 2\0"), "io_threads"),
            (good + b"# \xff", "is not UTF-8: see line"),
            (good + b"# \n" * (1 << 19), "is larger than 1048576 bytes"),
            (b"", "path: is missing"),
        ):
            daemon.config.write_bytes(content)
            refused(daemon, why)
        daemon.config.unlink()
        refused(daemon, "there is no file")
        daemon.config.mkdir()
        refused(daemon, "is a folder, not a configuration file")
        assert (status(daemon)["queue"], (daemon.url, daemon.http_url)) == (before, urls)
        assert daemon.proxy.list_images() == []

    def test_a_key_that_does_not_belong_to_the_certificate_changes_nothing(
        self, daemon: DaemonProcess, tmp_path: Path
    ) -> None:
        write_certificate(tmp_path)
        key = (tmp_path / "key.pem").read_bytes()
        write_certificate(tmp_path)
        (tmp_path / "key.pem").write_bytes(key)
        url = daemon.url
        daemon.configure(HTTP | {"network": {"tls_certificate": "cert.pem", "tls_key": "key.pem"}})
        refused(daemon, "cannot be used")
        assert daemon.url == url
        assert daemon.proxy.list_images() == []

    def test_a_port_that_another_has_changes_nothing(self, daemon: DaemonProcess) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            for section in ("network", "http"):
                moved = {"interface": "127.0.0.1", "port": port}
                daemon.configure(HTTP | {section: moved, "images": {"io_threads": 2}})
                refused(daemon, f"cannot listen on tcp:{port}:.* Address already in use")
                assert status(daemon)["queue"]["running_max"] == 1
                assert daemon.proxy.list_images() == []
        daemon.reload(HTTP | {"http": {"interface": "127.0.0.1", "port": port}})
        assert daemon.http_url.endswith(f":{port}/")
        assert status(daemon)["queue"]["running_max"] == 1

    def test_what_is_secret_is_not_in_the_log(self, daemon: DaemonProcess) -> None:
        for secret in ("hushhushhushhush", "psstpsstpsstpsst"):
            daemon.reload({"http": {**HTTP["http"], "secrets": secret}})
        assert daemon.stop() == 0
        log = "".join(daemon.log)
        assert log.count("[http] secrets: changed\n") == 2
        assert "hushhush" not in log
        assert "psstpsst" not in log


class TimeTests:
    def test_all_that_comes_while_one_is_under_way_is_one_more(self, daemon: DaemonProcess) -> None:
        file, said = held_reload(daemon)
        with file:
            for _ in range(10):
                daemon.process.send_signal(signal.SIGHUP)
            assert status(daemon)["queue"]["running_max"] == 1  # it answers meanwhile
            daemon.config.unlink()
            daemon.config.write_text(said.replace("[images]", "[images]\nio_threads = 3"))
            file.write(said.replace("[images]", "[images]\nio_threads = 2"))
        for count in (2, 3):
            daemon.wait_for_line(f"io_threads: .* -> {count}")
            daemon.wait_for_line(RELOADED.pattern)
        assert status(daemon)["queue"]["running_max"] == 3
        assert daemon.stop() == 0
        assert len([line for line in daemon.log if RELOADED.search(line)]) == 2

    def test_a_stop_has_the_last_word(self, daemon: DaemonProcess) -> None:
        file, said = held_reload(daemon)
        with file:
            daemon.process.send_signal(signal.SIGTERM)
            file.write(said.replace("[images]", "[images]\nio_threads = 2"))
        assert daemon.wait() == 0

    def test_a_stop_does_not_wait_for_a_file_that_cannot_be_read(
        self, daemon: DaemonProcess
    ) -> None:
        file, _ = held_reload(daemon)
        with file:
            assert daemon.stop() == 0
            assert not [line for line in daemon.log if RELOADED.search(line)]
