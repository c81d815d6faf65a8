"""A file on its way to a client that is fast, slow, stuck or gone, on a clock that the tests move;
the tests are the thread that reads.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from imagepipe.core.requests.client_timeouts import TIMEOUT_SECONDS, Phase
from imagepipe.storage.shared_file import HEAD_BYTES, SharedFile
from imagepipe.web.http.file_sender import PIECE_BYTES, send
from tests.support.browser import Browser

STALL_SECONDS_MAX = TIMEOUT_SECONDS[Phase.ANSWER]
SIZE = HEAD_BYTES + 3 * PIECE_BYTES + 17


class Download(Resource):
    """A page that sends `length` bytes of a file from `start` on. `reads` wait until `read` does
    one of them; `outcome` is what `send` has said.
    """

    isLeaf = True

    def __init__(self, file: SharedFile, start: int = 0, length: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.outcome: list[bool] = []
        self._file = file
        self._start = start
        self._length = file.size - start if length is None else length
        self.browser = Browser(self)
        self.browser.ask()

    def render(self, request: Any) -> int:
        Deferred.fromCoroutine(self._answer(request))
        return NOT_DONE_YET

    def read(self) -> None:
        """Do the one read that was asked for."""
        [(deferred, call)] = self.reads
        self.reads.clear()
        try:
            result = call()
        except (OSError, ValueError):
            deferred.errback()
        else:
            deferred.callback(result)

    def read_all(self) -> None:
        """Do them all, as they come."""
        while self.reads:
            self.read()

    async def _answer(self, request: Any) -> None:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        request.setHeader(b"content-length", b"%d" % self._length)
        self.outcome.append(
            await send(request, self._file, self._start, self._length, self._on_thread)
        )
        if not gone:
            request.finish()

    def _on_thread(self, call: Callable[[], Any]) -> "Deferred[Any]":
        self.reads.append((Deferred(), call))
        return self.reads[-1][0]


@pytest.fixture(scope="module")
def content() -> bytes:
    """Bytes that take several reads."""
    return np.random.default_rng(1).bytes(SIZE)


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    """A file with them."""
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


@pytest.fixture
def file(path: Path) -> Iterator[SharedFile]:
    """The file, opened."""
    file = SharedFile(path.open("rb", buffering=0))
    yield file
    file.close()


class FastClientTests:
    @pytest.mark.parametrize(
        ("start", "length"), [(0, HEAD_BYTES), (0, 1), (HEAD_BYTES - 1, 1), (5, 0), (0, 0)]
    )
    def test_what_was_read_when_it_was_opened_goes_at_once(
        self, file: SharedFile, content: bytes, start: int, length: int
    ) -> None:
        download = Download(file, start, length)
        assert (download.outcome, download.reads) == ([True], [])
        assert download.browser.body == content[start : start + length]

    @pytest.mark.parametrize(
        ("start", "length"),
        [
            (0, SIZE),
            (0, HEAD_BYTES + 1),
            (HEAD_BYTES, 1),
            (1, PIECE_BYTES),
            (HEAD_BYTES - 1, PIECE_BYTES + 5),
            (SIZE - 1, 1),
        ],
    )
    def test_the_rest_is_read_a_piece_at_a_time(
        self, file: SharedFile, content: bytes, start: int, length: int
    ) -> None:
        download = Download(file, start, length)
        for at in range(0, length, PIECE_BYTES):
            assert download.browser.body == content[start : start + at]
            download.read()
        assert (download.outcome, download.reads) == ([True], [])
        assert download.browser.body == content[start : start + length]

    def test_the_next_request_is_answered_behind_it(self, file: SharedFile, content: bytes) -> None:
        download = Download(file)
        download.browser.ask()
        download.read_all()
        assert download.outcome == [True, True]
        assert download.browser.body.startswith(content + b"HTTP/1.1 200 OK\r\n")
        assert download.browser.body.endswith(content)


class SlowClientTests:
    def test_nothing_is_read_while_it_takes_nothing(self, file: SharedFile, content: bytes) -> None:
        download = Download(file)
        for at in range(0, SIZE, PIECE_BYTES):
            download.browser.be_full()
            download.read()  # the one that was under way
            assert download.reads == []
            assert download.browser.body == content[: at + PIECE_BYTES]
            download.browser.be_empty()
        assert download.outcome == [True]

    def test_it_may_take_as_long_as_it_likes_if_it_takes_something(
        self, file: SharedFile, content: bytes
    ) -> None:
        download = Download(file)
        while not download.outcome:
            download.browser.be_full()
            download.browser.be_full()
            download.read()
            download.browser.wait(STALL_SECONDS_MAX - 1)
            download.browser.be_empty()
        assert download.outcome == [True]
        assert download.browser.body == content
        download.browser.wait(STALL_SECONDS_MAX - 1)
        assert not download.browser.transport.disconnected

    def test_one_that_takes_nothing_for_a_minute_is_cut_off(
        self, file: SharedFile, content: bytes
    ) -> None:
        download = Download(file)
        download.browser.be_full()
        download.read()
        download.browser.wait(STALL_SECONDS_MAX - 1)
        assert not download.browser.transport.disconnected
        download.browser.wait(1)
        assert download.browser.transport.disconnected
        download.browser.leave()
        assert (download.outcome, download.reads, download.browser.body) == (
            [False],
            [],
            content[:PIECE_BYTES],
        )

    def test_also_while_a_piece_is_being_read(self, file: SharedFile) -> None:
        download = Download(file)
        download.browser.be_full()
        download.browser.wait(STALL_SECONDS_MAX)
        assert download.browser.transport.disconnected
        download.browser.leave()
        download.read()
        assert (download.outcome, download.reads, download.browser.body) == ([False], [], b"")


class GoneClientTests:
    def test_nothing_more_is_read_and_nothing_waited_for(self, file: SharedFile) -> None:
        download = Download(file)
        download.read()
        download.browser.leave()
        assert download.outcome == [False]
        download.read()  # the one that was under way
        assert download.reads == []
        assert download.browser.clock.getDelayedCalls() == []

    def test_one_that_had_stalled_too(self, file: SharedFile) -> None:
        download = Download(file)
        download.browser.be_full()
        download.browser.leave()
        assert (download.outcome, download.browser.clock.getDelayedCalls()) == ([False], [])

    def test_a_file_that_is_closed_by_then_is_not_an_error(self, file: SharedFile) -> None:
        download = Download(file.hold())
        download.browser.leave()
        file.close()
        file.close()
        download.read()
        assert download.outcome == [False]
        file.hold()  # for the fixture


class BadFileTests:
    """A body that is shorter than it said must not look whole."""

    def test_a_file_that_has_become_shorter_breaks_the_connection_off(
        self, file: SharedFile, path: Path, content: bytes
    ) -> None:
        download = Download(file)
        download.read()
        with path.open("r+b") as shortened:
            shortened.truncate(PIECE_BYTES)
        download.read()
        assert (download.outcome, download.browser.transport.disconnected) == ([False], True)
        assert download.browser.body == content[:PIECE_BYTES]

    def test_so_does_one_that_cannot_be_read(self, file: SharedFile) -> None:
        download = Download(file)
        file.close()
        download.read()
        assert (download.outcome, download.browser.transport.disconnected) == ([False], True)
        file.hold()  # for the fixture
