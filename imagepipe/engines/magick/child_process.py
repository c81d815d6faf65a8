"""Runs a child process to its end, whatever it does, within limits of time, memory and output."""

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagepipe.engines import process_limits

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended (its exit status, or minus the signal that killed it) and the beginning of
    what it wrote.
    """

    status: int
    out: bytes
    errors: bytes


def run(
    command: Sequence[str],
    descriptor: int,
    folder: Path,
    environment: Mapping[str, str],
    deadline: float,
    memory_bytes: int,
    said_bytes_max: int = 1 << 16,
    running: "set[subprocess.Popen[bytes]] | None" = None,
    is_aborted: Callable[[], bool] = lambda: False,
) -> Finished:
    """Run `command` in `folder`, its standard input being `descriptor`, until `deadline`
    (time.monotonic).

    It gets no other descriptor and no terminal, and a process group of its own, which is killed as
    a whole. What it writes beyond `said_bytes_max` is read and dropped. While it runs it is in
    `running`; it is killed at once if by then all that is there was killed, which `is_aborted`
    says. Raises TimeoutError, and OSError if it cannot be started.
    """
    process = subprocess.Popen(
        command,
        stdin=descriptor,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
    )
    running = set() if running is None else running
    running.add(process)
    if is_aborted():  # perhaps by one who looked into `running` before it was there
        kill(process)
    try:
        # Not in the child before exec: Python code there can deadlock, this being one of several
        # threads.
        with contextlib.suppress(ProcessLookupError):
            process_limits.lower(resource.RLIMIT_AS, memory_bytes, process.pid)
            process_limits.lower(resource.RLIMIT_CORE, 0, process.pid)
        out, errors = _read_all(process, deadline, said_bytes_max)
        try:
            status = process.wait(max(deadline - time.monotonic(), 0.001))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        return Finished(status, out, errors)
    finally:
        running.discard(process)
        _kill_group(process)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill one of `running` with all that it started, from any thread; its `run` takes in what is
    left.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _read_all(
    process: subprocess.Popen[bytes], deadline: float, bytes_max: int
) -> tuple[bytes, bytes]:
    """What it writes to both pipes until it closes them, cut to `bytes_max` each."""
    assert process.stdout
    assert process.stderr
    said = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in said:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fd)
                room = bytes_max - len(said[key.fd])
                said[key.fd] += chunk[:room]
            if time.monotonic() > deadline:
                raise TimeoutError  # it never stops talking
    out, errors = said.values()
    return bytes(out), bytes(errors)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # Before it is waited for: its number cannot be another's yet. Afterwards only members that
    # outlived it could be left, and convert starts none.
    if process.returncode is None:
        kill(process)
        process.wait()
