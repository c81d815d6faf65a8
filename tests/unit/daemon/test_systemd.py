"""What a service manager is told, on a real socket of its own."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from imagepipe.daemon.systemd import EXTENSION_SECONDS, RETRY_SECONDS, ServiceManager


class Manager:
    """Listens at `address`. `told` by a daemon whose time is `clock`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.clock = Clock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address)
        self.close = self._socket.close

    def daemon(self, **environment: str) -> ServiceManager:
        """What a daemon with this environment knows of it."""
        return ServiceManager(
            self.clock, {"NOTIFY_SOCKET": self.address} | environment, os.getpid(), lambda: 123
        )

    def heard(self) -> list[str]:
        """All that has come since it was last asked."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(1 << 16).decode())
        return found

    def be_full(self) -> int:
        """Have no room for any more, but for as many messages that are of no interest."""
        count = 0
        with (
            contextlib.suppress(BlockingIOError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
        ):
            other.setblocking(False)
            while True:
                other.sendto(b"noise", self.address)
                count += 1
        return count


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """One that listens."""
    with contextlib.closing(Manager(str(tmp_path / "notify"))) as manager:
        yield manager


class ServiceManagerTests:
    def test_a_start_is_extended_until_it_is_done(self, manager: Manager) -> None:
        daemon = manager.daemon()
        daemon.starting()
        manager.clock.advance(EXTENSION_SECONDS / 3)
        assert manager.heard() == ["EXTEND_TIMEOUT_USEC=30000000"] * 2
        daemon.ready("on a port")
        manager.clock.advance(EXTENSION_SECONDS)
        assert manager.heard() == ["READY=1\nSTATUS=on a port"]

    def test_a_reload_says_when_it_began(self, manager: Manager) -> None:
        manager.daemon().reloading()
        assert manager.heard() == [
            "RELOADING=1\nMONOTONIC_USEC=123\nSTATUS=reloading the configuration"
        ]

    @pytest.mark.parametrize("watched", [{}, {"WATCHDOG_PID": str(os.getpid())}])
    def test_the_watchdog_hears_twice_as_often_as_it_must(
        self, manager: Manager, watched: dict[str, str]
    ) -> None:
        daemon = manager.daemon(WATCHDOG_USEC="2000000", **watched)
        daemon.starting()
        daemon.ready("")
        manager.heard()
        manager.clock.pump([1, 1])
        assert manager.heard() == ["WATCHDOG=1"] * 2

    @pytest.mark.parametrize(
        "watched",
        [
            {"WATCHDOG_PID": "1", "WATCHDOG_USEC": "2000000"},
            {"WATCHDOG_USEC": "soon"},
            {"WATCHDOG_USEC": "0"},
        ],
    )
    def test_a_watchdog_of_another_process_hears_nothing(
        self, manager: Manager, watched: dict[str, str]
    ) -> None:
        daemon = manager.daemon(**watched)
        daemon.starting()
        daemon.ready("")
        manager.heard()
        manager.clock.pump([1, 1])
        assert manager.heard() == []

    def test_messages_without_room_are_sent_later_and_in_order(self, manager: Manager) -> None:
        daemon = manager.daemon(WATCHDOG_USEC="20000")
        daemon.starting()
        manager.heard()
        noise = manager.be_full()
        daemon.ready("")
        daemon.reloading()
        manager.clock.advance(RETRY_SECONDS)
        assert manager.heard() == ["noise"] * noise
        manager.clock.advance(RETRY_SECONDS)
        assert [message.split()[0] for message in manager.heard()] == ["READY=1", "RELOADING=1"]
        manager.clock.advance(RETRY_SECONDS)
        assert manager.heard() == ["WATCHDOG=1"]

    @pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody", "/" + "x" * 200, "a\0b"])
    def test_a_manager_that_is_not_there_does_no_harm(self, address: str) -> None:
        clock = Clock()
        daemon = ServiceManager(clock, {"NOTIFY_SOCKET": address}, 1, lambda: 1)
        daemon.starting()
        daemon.ready("")
        daemon.reloading()
        daemon.stopping()
        assert clock.getDelayedCalls() == []
