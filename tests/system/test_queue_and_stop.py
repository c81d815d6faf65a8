"""The bounded queue, the job timeout and the clean stop of a real daemon, whose renders wait at a
gate.
"""

import threading
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from tests.support.blocking_convert import BlockingConvert
from tests.support.daemon_process import DaemonProcess, fault_of, running, text


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[BlockingConvert]:
    """A closed gate."""
    gate = BlockingConvert(tmp_path / "gate")
    yield gate
    gate.remove()


@pytest.fixture
def gated(
    tmp_path: Path, gate: BlockingConvert, request: pytest.FixtureRequest
) -> Iterator[DaemonProcess]:
    """A daemon that renders behind the gate; the test's parameter is more of `[images]`."""
    options = {"engine": "imagemagick", "io_threads": 1, "queue": 1} | getattr(request, "param", {})
    with running(tmp_path, {"images": options, "imagemagick": {"convert": gate.convert}}) as daemon:
        yield daemon


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Threads to call from."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


def store(
    daemon: DaemonProcess, clients: ThreadPoolExecutor, picture: bytes, path: str
) -> "Future[Any]":
    """A store of one rendition, under way."""
    return clients.submit(lambda: daemon.proxy.store_image(text(picture), path, None, [10, 10]))


class QueueTests:
    def test_a_full_queue_refuses_at_once_and_what_it_took_is_done(
        self,
        gated: DaemonProcess,
        gate: BlockingConvert,
        clients: ThreadPoolExecutor,
        picture: bytes,
    ) -> None:
        calls = {store(gated, clients, picture, "a.jpg")}
        gate.wait_for_arrival()
        calls |= {store(gated, clients, picture, path) for path in ("b.jpg", "c.jpg", "d.jpg")}
        refused: set[Future[Any]] = set()
        while len(refused) < 2:  # one runs, one waits: two of four are refused, while nothing moves
            refused |= wait(calls - refused, return_when=FIRST_COMPLETED).done
        faults = [call.exception() for call in refused]
        assert [
            (fault.faultCode, fault.faultString[:7])
            for fault in faults
            if isinstance(fault, xmlrpc.client.Fault)
        ] == [(1004, "[1004] ")] * 2
        gate.open()
        assert [call.result() for call in calls - refused] == ["OK", "OK"]
        assert len(gated.proxy.list_images()) == 2

    def test_small_calls_do_not_wait_behind_renders(
        self,
        gated: DaemonProcess,
        gate: BlockingConvert,
        clients: ThreadPoolExecutor,
        picture: bytes,
    ) -> None:
        render = store(gated, clients, picture, "a.jpg")
        gate.wait_for_arrival()
        assert gated.proxy.delete_image("never") == "OK"
        assert gated.proxy.list_images() == []
        assert fault_of(gated.proxy.image_info, "never").faultCode == 1000
        assert fault_of(gated.proxy.move_image, "never", "x").faultCode == 1000
        assert not render.done()
        gate.open()
        assert render.result() == "OK"

    def test_a_job_that_takes_too_long_is_ended(
        self, gated: DaemonProcess, gate: BlockingConvert, picture: bytes
    ) -> None:
        behind_the_gate: dict[str, dict[str, object]] = {
            "images": {"engine": "imagemagick"},
            "imagemagick": {"convert": gate.convert},
        }
        gated.reload(behind_the_gate | {"images": {"engine": "imagemagick", "timeout": "1 s"}})
        fault = fault_of(gated.proxy.store_image, text(picture), "a.jpg", None, [10, 10])
        assert fault.faultCode == 1001
        assert "timeout" in fault.faultString
        assert gated.tree() == {}
        gate.open()
        gated.reload(behind_the_gate)
        assert gated.proxy.store_image(text(picture), "a.jpg", None, [10, 10]) == "OK"


class StopTests:
    def test_what_was_accepted_is_answered(
        self,
        gated: DaemonProcess,
        gate: BlockingConvert,
        clients: ThreadPoolExecutor,
        picture: bytes,
    ) -> None:
        calls = [store(gated, clients, picture, path) for path in ("a.jpg", "b.jpg")]
        gate.wait_for_arrival()
        probe = store(gated, clients, picture, "c.jpg")
        # Two fit in; whichever of the three is refused proves that the other two were accepted.
        refused = next(iter(wait([*calls, probe], return_when=FIRST_COMPLETED).done))
        stopping = threading.Thread(target=gated.stop)
        stopping.start()
        gated.wait_for_line("stopping")
        gate.open()
        assert [call.result() for call in [*calls, probe] if call is not refused] == ["OK", "OK"]
        stopping.join()
        assert gated.process.returncode == 0
        assert len(gated.tree()) == 2

    def test_an_idle_daemon_stops_with_status_0_and_starts_again(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        with running(tmp_path) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg")
            kept_open = daemon.proxy
            kept_open.list_images()
            assert daemon.stop() == 0
        with running(tmp_path) as daemon:
            assert daemon.proxy.list_images() == ["a.jpg"]
