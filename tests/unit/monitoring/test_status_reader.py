"""How the node stands, read from its parts; and the room on the disk, which nobody waits for."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imagepipe.core.rows.versions import FutureStamps
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.disk_space import REFRESH_SECONDS, DiskSpace, DiskStatus, Space, space_of
from imagepipe.monitoring.node_status import CacheStatus, Problem, QueueShare, QueueStatus, Severity
from imagepipe.monitoring.status_reader import StatusReader, why_not_ready
from imagepipe.replication.status import ReplicationStatus
from tests.support.sample_status import REPLICATION, Jobs, Part

AHEAD = FutureStamps(1, "a.jpg", 4000.0)
ROOM = DiskStatus(total_bytes=100, free_bytes=50, age_seconds=0.0)


def reader(clock: Clock, counters: Counters, **more: Any) -> StatusReader:
    """A reader of a node that is well and at rest."""
    given: dict[str, Any] = {
        "queue": Jobs(),
        "engine_workers": lambda: 2,
        "disk": lambda: ROOM,
        "unready": lambda: None,
        "stopping": lambda: False,
    }
    return StatusReader(version="1.2", seconds=clock.seconds, counters=counters, **(given | more))


class ReadyTests:
    """What takes writes, and what to say where nothing does."""

    def test_a_node_that_takes_images_is_ready(self) -> None:
        assert why_not_ready(stopping=False, unready=None, silent_seconds=29.9) is None

    @pytest.mark.parametrize(
        ("stopping", "unready", "silent_seconds", "why"),
        [
            (True, None, 99.0, "the server is stopping"),
            (False, "the disk is full", 0.0, "the disk is full"),
            (True, "the disk is full", 99.0, "the disk is full"),
            (False, None, 30.0, "the disk has not answered for 30 s"),
        ],
    )
    def test_one_that_does_not_says_why(
        self, stopping: bool, unready: str | None, silent_seconds: float, why: str
    ) -> None:
        assert (
            why_not_ready(stopping=stopping, unready=unready, silent_seconds=silent_seconds) == why
        )


class StatusReaderTests:
    """The parts, asked at one moment."""

    def test_what_the_parts_say_is_in_the_status(self) -> None:
        clock, counters = Clock(), Counters(lambda: 0.0)
        cache = Part(bytes=10, files=2, hits=7, misses=8, evictions=9)
        queue = Jobs(stores=QueueShare(2, 1), renditions=QueueShare(3, 4))
        read = reader(
            clock,
            counters,
            queue=queue,
            downloads=lambda: 5,
            cache=cache,
            replication=lambda: REPLICATION,
            ahead=lambda: AHEAD,
        )
        counters.stored(6)
        counters.error("store", "the disk is full")
        clock.advance(90)
        status = read.read()
        assert (status.version, status.uptime_seconds, status.ready, status.not_ready) == (
            "1.2",
            90,
            True,
            None,
        )
        assert (
            status.images_being_processed,
            status.originals_being_downloaded,
            status.engine_workers,
        ) == (4, 5, 2)
        assert status.queue == QueueStatus(4, 4, 5, 64, queue.stores, queue.renditions)
        assert status.cache == CacheStatus(
            bytes=10, bytes_max=20, files=2, hits=7, misses=8, evictions=9
        )
        assert status.disk == ROOM
        assert status.replication is REPLICATION
        assert status.ahead is AHEAD
        assert status.totals.images_stored == 6
        assert [noted.text for noted in status.last_errors] == ["the disk is full"]

    def test_parts_that_do_not_run_are_left_out(self) -> None:
        status = reader(Clock(), Counters(lambda: 0.0)).read()
        assert status.cache is None
        assert (status.replication, status.ahead) == (None, None)
        assert status.originals_being_downloaded == 0

    def test_each_reading_asks_again(self) -> None:
        full: list[str] = []
        running: list[ReplicationStatus] = [REPLICATION]
        read = reader(
            Clock(),
            Counters(lambda: 0.0),
            unready=lambda: full[0] if full else None,
            replication=lambda: running[0] if running else None,
        )
        assert read.read().ready
        full.append("the disk is full")
        running.clear()
        status = read.read()
        assert (status.ready, status.not_ready, status.replication) == (
            False,
            "the disk is full",
            None,
        )
        assert read.not_ready() == "the disk is full"
        assert status.problems == (Problem(Severity.CRITICAL, "not ready: the disk is full"),)


class DiskSpaceTests:
    """The room on the disk."""

    def test_it_is_that_of_the_file_system(self, tmp_path: Path) -> None:
        space = space_of(tmp_path)
        assert 0 < space.free_bytes <= space.total_bytes
        assert 0 <= space.free_inodes <= space.total_inodes

    def test_a_folder_that_is_not_there_is_an_error_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            DiskSpace(Clock(), tmp_path / "none", lambda _: Deferred(), Clock().seconds)

    def test_it_is_asked_for_again_every_few_seconds(self, tmp_path: Path) -> None:
        disk = _Disk(tmp_path)
        assert disk.space.read() == DiskStatus(100, 50, 0.0)
        disk.answer = Space(100, 40, 9, 8)
        disk.clock.advance(REFRESH_SECONDS)
        assert disk.space.read() == DiskStatus(100, 50, REFRESH_SECONDS)
        disk.end_thread()
        assert disk.space.read() == DiskStatus(100, 40, 0.0, 9, 8)
        disk.clock.advance(REFRESH_SECONDS)
        assert len(disk.threads) == 1

    def test_a_disk_that_hangs_holds_up_one_thread_and_its_age_grows(self, tmp_path: Path) -> None:
        disk = _Disk(tmp_path)
        for _ in range(10):
            disk.clock.advance(REFRESH_SECONDS)
        assert len(disk.threads) == 1
        assert disk.space.read() == DiskStatus(100, 50, 10 * REFRESH_SECONDS)

    def test_after_an_error_it_is_asked_again(self, tmp_path: Path) -> None:
        disk = _Disk(tmp_path)
        disk.clock.advance(REFRESH_SECONDS)
        disk.answer = OSError(5, "broken")
        disk.end_thread()
        assert disk.space.read().age_seconds == REFRESH_SECONDS
        disk.clock.advance(REFRESH_SECONDS)
        disk.answer = Space(100, 30)
        disk.end_thread()
        assert disk.space.read() == DiskStatus(100, 30, 0.0)

    def test_after_the_stop_nothing_is_asked(self, tmp_path: Path) -> None:
        disk = _Disk(tmp_path)
        disk.clock.advance(REFRESH_SECONDS)
        disk.space.stop()
        disk.space.stop()
        disk.end_thread()
        disk.clock.advance(REFRESH_SECONDS)
        assert (disk.threads, disk.clock.getDelayedCalls()) == ([], [])


class _Disk:
    """A DiskSpace at work, on a disk that answers `answer`, and on threads that end when the test
    says so.
    """

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.answer: Space | OSError = Space(100, 50)
        self.threads: list[tuple[Any, Deferred[Any]]] = []
        self.space = DiskSpace(self.clock, path, self._on_thread, self.clock.seconds, self._ask)
        self.space.start()

    def end_thread(self) -> None:
        """The blocking call returns."""
        call, deferred = self.threads.pop()
        try:
            deferred.callback(call())
        except OSError as error:
            deferred.errback(error)

    def _ask(self, _path: Path) -> Space:
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    def _on_thread(self, call: Any) -> "Deferred[Any]":
        deferred: Deferred[Any] = Deferred()
        self.threads.append((call, deferred))
        return deferred
