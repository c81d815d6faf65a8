"""The daemon's handle on a libvips worker process: start it, send it requests, end or kill it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

from twisted.logger import Logger

import imagepipe
from imagepipe.core.printable import printable
from imagepipe.engines.vips import worker_messages
from imagepipe.errors import DiskFull, EngineUnusable, InternalError, NotStored

_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": str(Path(imagepipe.__file__).parent.parent),
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_WARNING": "0",  # set to anything: libvips does not print what a decoder grumbles about
    "MALLOC_ARENA_MAX": "2",  # glibc's arenas are what makes memory grow and never return
}

_WHY_LENGTH_MAX = 300
"""Characters of a worker's reason that reach a client."""

_log = Logger()
_Reply = TypeVar("_Reply", worker_messages.Opened, worker_messages.Rendered)


class UnreadableByVips(NotStored):
    """libvips does not read the header; another engine may."""


class Worker:
    """A worker process, and this end of the link to it. Once a request had no proper reply, it is
    dead.
    """

    def __init__(self, memory_bytes: int, timeout_seconds: float) -> None:
        self.jobs = 0
        self.deadline = 0.0
        self._started = False
        self._timeout_seconds = timeout_seconds
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "imagepipe.engines.vips.vips_worker",
                    str(theirs.fileno()),
                    str(memory_bytes),
                    str(timeout_seconds),
                ],
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Not in the terminal's process group: what is typed there is for the daemon.
                process_group=0,
            )

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """What it holds, without what it shares (the image among it); 0 if it is gone."""
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

    def ask(
        self,
        request: worker_messages.Open | worker_messages.Render,
        expected: type[_Reply],
        descriptor: int | None = None,
    ) -> _Reply:
        """The reply to `request`. Raises NotStored, or InternalError."""
        try:
            self._link.settimeout(max(self.deadline - time.monotonic(), 0.001))
            if not self._started:
                self._started = isinstance(
                    worker_messages.receive_reply(self._link), worker_messages.Started
                )
            worker_messages.send(self._link, request, descriptor)
            reply = worker_messages.receive_reply(self._link)
        except TimeoutError:
            self._kill()
            raise NotStored(
                f"rendering took longer than {self._timeout_seconds:g} s (timeout)"
            ) from None
        except (OSError, EOFError):
            self._kill()
            status = self._process.returncode
            if not self._started:
                _log.error(
                    "a vips worker failed to start (exit status {status}); its output is above",
                    status=status,
                )
                raise EngineUnusable("the decoder could not be started: see the log") from None
            _log.warn("a vips worker died with exit status {status}", status=status)
            raise NotStored("the image crashed its decoder") from None
        except worker_messages.MalformedReplyError as error:
            self._kill()
            _log.error(
                "a vips worker sent a malformed reply and was killed: {error}",
                error=printable(str(error)[:_WHY_LENGTH_MAX]),
            )
            raise NotStored("the image crashed its decoder") from None
        except BaseException:
            self._kill()
            raise
        if isinstance(reply, expected):
            return reply
        if not isinstance(reply, worker_messages.Failed):
            self._kill()
            _log.error("a vips worker sent an unexpected reply and was killed")
            raise NotStored("the image crashed its decoder")
        if reply.internal:
            _log.error(
                "a vips worker failed:\n{why}",
                why="\n".join(map(printable, reply.why.splitlines())),
            )
            raise InternalError
        why = printable(reply.why[:_WHY_LENGTH_MAX])
        if reply.full:
            raise DiskFull(why)
        raise (UnreadableByVips if isinstance(request, worker_messages.Open) else NotStored)(why)

    def forget(self) -> None:
        """The job is over."""
        self.jobs += 1
        try:
            self._link.settimeout(1.0)
            worker_messages.send(self._link, worker_messages.Forget())
        except OSError:
            self._kill()

    def abort(self) -> None:
        """Kill it, from any thread; a caller that waits for its reply learns that it died."""
        self._process.kill()

    def end(self) -> None:
        """End it, and take in its exit status; an idle worker ends by itself when its link is
        closed, another is killed.
        """
        self._link.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
