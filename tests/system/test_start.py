"""How a real daemon starts, or says why it does not."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess, fault_of, running, text


def ended(daemon: DaemonProcess) -> str:
    """Its output, once it ended with status 1."""
    daemon.launch()
    status = daemon.wait()
    daemon.clean_up()
    log = "".join(daemon.log)
    assert status == 1, log
    assert "Traceback" not in log
    return log


class ConfigurationTests:
    def test_every_problem_is_reported_at_once(self, tmp_path: Path) -> None:
        log = ended(
            DaemonProcess(
                tmp_path,
                {
                    "images": {"io_threads": "many", "umask": "22"},
                    "network": {"prot": 8085},
                    "nonsense": {"a": 1},
                },
            )
        )
        for word in ("io_threads", "umask", "prot", "nonsense"):
            assert word in log

    def test_a_missing_file_is_reported(self, tmp_path: Path) -> None:
        daemon = DaemonProcess(tmp_path)
        daemon.config.unlink()
        assert "imagepipe.ini" in ended(daemon)

    def test_a_public_interface_without_users_and_tls_is_a_warning(self, tmp_path: Path) -> None:
        with running(tmp_path, {"network": {"interface": "0.0.0.0"}}) as daemon:
            assert "anyone who can reach" in "".join(daemon.log)

    def test_loopback_is_not_warned_about(self, tmp_path: Path) -> None:
        with running(tmp_path) as daemon:
            assert "anyone who can reach" not in "".join(daemon.log)


class FolderTests:
    def test_a_second_daemon_on_one_folder_refuses(self, tmp_path: Path, picture: bytes) -> None:
        with running(tmp_path) as daemon:
            second = tmp_path / "second"
            second.mkdir()
            log = ended(DaemonProcess(second, {"images": {"path": daemon.images}}))
            assert "cannot start" in log
            assert str(daemon.process.pid) in log
            assert daemon.proxy.store_image(text(picture), "a.jpg") == "OK"

    def test_files_without_a_catalogue_are_left_alone_and_adopt_is_named(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        daemon = DaemonProcess(tmp_path)
        (daemon.images / "old").mkdir(parents=True)
        (daemon.images / "old/a.jpg").write_bytes(picture)
        assert "adopt" in ended(daemon)
        assert daemon.tree() == {"old/": b"", "old/a.jpg": picture}

    def test_modes_come_from_umask_and_not_from_the_process(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        before = os.umask(0o077)
        try:
            with running(tmp_path, {"images": {"umask": "0027"}}) as daemon:
                daemon.proxy.store_image(text(picture), "a/b.jpg")
                daemon.proxy.store_image(text(picture), "a/c.jpg", None, [10, 10])
                status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        finally:
            os.umask(before)
        modes = {
            path: stat.S_IMODE((daemon.images / path).stat().st_mode)
            for path in ("a", "a/b.jpg", "a/c.jpg", ".imagepipe")
        }
        assert modes == {"a": 0o750, "a/b.jpg": 0o640, "a/c.jpg": 0o640, ".imagepipe": 0o700}
        assert "Umask:\t0077" in status

    def test_a_foreign_file_is_never_replaced(self, tmp_path: Path, picture: bytes) -> None:
        with running(tmp_path) as daemon:
            (daemon.images / "a.jpg").write_text("mine")
            fault = fault_of(daemon.proxy.store_image, text(picture), "a.jpg")
            assert (fault.faultCode, "a.jpg" in fault.faultString) == (1001, True)
            assert daemon.proxy.delete_image("a.jpg") == "OK"
            assert daemon.tree() == {"a.jpg": b"mine"}


class ListeningTests:
    def test_a_port_in_use_ends_the_start(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            assert "cannot listen" in ended(
                DaemonProcess(tmp_path, {"network": {"port": taken.getsockname()[1]}})
            )

    def test_a_unix_socket_may_be_the_endpoint(self, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        daemon = DaemonProcess(tmp_path)
        daemon.config.write_text(f"[network]\nendpoint = unix:{path}\n[images]\npath = images\n")
        try:
            daemon.launch()
            daemon.wait_for_line("is ready")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
        finally:
            daemon.clean_up()

    @pytest.mark.parametrize("argument", ["--help", "--version"])
    def test_the_command_line_explains_itself(self, tmp_path: Path, argument: str) -> None:
        twistd = Path(sys.executable).with_name("twistd")
        done = subprocess.run(
            [str(twistd), "imagepipe", argument],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "imagepipe" in done.stdout
