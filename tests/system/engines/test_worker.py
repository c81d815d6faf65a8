"""The vips engine's processes: a crash, a hang or a leak costs one job."""

import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagepipe.core.rendering.formats import JPEG, PNG, PSD, WEBP
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.plan import RenderSettings, SourceFacts, plan_render
from imagepipe.engines.memory_file import memory_file
from imagepipe.engines.vips import worker_messages
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import EngineUnusable, NotStored
from tests.support.source_images import png, scene_jpeg
from tests.system.engines.contract.engine_contract import render, request

OUTPUT = request(Size(50, 50), PNG)

_UNPRIVILEGED = (
    ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
    if os.geteuid() == 0
    else ()
)
"""What runs a command that cannot raise its hard limits, as root could."""


def encoded(reply: worker_messages.Reply) -> bytes:
    """A reply as it comes over the link."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker_messages.send(ours, reply)
        ours.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: theirs.recv(1 << 16), b""))


@pytest.fixture
def engine() -> Iterator[VipsEngine]:
    """An engine that nobody else uses."""
    vips = VipsEngine(timeout_seconds=60)
    yield vips
    vips.close()


def state(process_id: int) -> str:
    """The process's state, a letter (proc(5)); "-" if there is none."""
    try:
        return (
            Path(f"/proc/{process_id}/stat")
            .read_text(encoding="ascii")
            .rpartition(")")[2]
            .split()[0]
        )
    except FileNotFoundError:
        return "-"


class WorkerTests:
    """The life of workers."""

    def test_a_worker_serves_one_job_after_another(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        for _ in range(3):
            render(engine, scene_jpeg(), tmp_path, OUTPUT)
        assert len(engine.workers) == 1

    def test_workers_are_as_many_as_jobs_at_a_time(self, engine: VipsEngine) -> None:
        with engine.open(scene_jpeg(), JPEG), engine.open(scene_jpeg(), JPEG):
            assert len(engine.workers) == 2
        with engine.open(scene_jpeg(), JPEG), engine.open(scene_jpeg(), JPEG):
            assert len(engine.workers) == 2

    def test_started_workers_are_there_before_the_first_job(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        engine.start(2)
        before = engine.workers
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        assert engine.workers == before
        assert len(before) == 2

    def test_a_worker_killed_in_a_job_costs_that_job_alone(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        with engine.open(scene_jpeg(), JPEG) as source:
            (mine,) = engine.workers
            with engine.open(scene_jpeg(), JPEG) as other:
                plan = plan_render((OUTPUT,), source.facts, RenderSettings())
                os.kill(mine, signal.SIGKILL)
                with pytest.raises(NotStored, match="crashed its decoder"):
                    source.render(plan, tmp_path)
                other.render(plan, tmp_path)
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        assert mine not in engine.workers
        assert state(mine) == "-", "its exit status was taken in"

    def test_a_worker_killed_while_it_was_idle_costs_no_job(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        (idle,) = engine.workers
        descriptor = os.pidfd_open(idle)
        os.kill(idle, signal.SIGKILL)
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOWAIT)
        os.close(descriptor)
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        assert idle not in engine.workers

    def test_a_worker_that_hangs_is_killed_at_the_timeout(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        with engine.open(scene_jpeg(), JPEG) as source:
            os.kill(engine.workers[0], signal.SIGSTOP)
            # the job's time is up, however long its start took
            source._worker.deadline = time.monotonic()
            with pytest.raises(NotStored, match=r"longer than 60 s \(timeout\)"):
                source.render(plan_render((OUTPUT,), source.facts, RenderSettings()), tmp_path)
        assert engine.workers == ()

    def test_a_worker_is_replaced_after_its_jobs(self) -> None:
        engine = VipsEngine(jobs_max=2)
        seen: list[int] = []
        for _ in range(4):
            with engine.open(scene_jpeg(), JPEG):
                seen += engine.workers
        assert seen[0] == seen[1]
        assert seen[1] != seen[2]
        assert seen[2] == seen[3]
        assert state(seen[0]) == "-"
        engine.close()

    def test_a_worker_that_keeps_much_memory_is_replaced(self, tmp_path: Path) -> None:
        engine = VipsEngine(memory_kept_bytes=1)
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        assert engine.workers == ()
        engine.close()

    def test_idle_workers_end_when_the_engine_closes(self, engine: VipsEngine) -> None:
        engine.start(2)
        started = engine.workers
        engine.close()
        assert [state(process_id) for process_id in started] == ["-", "-"]

    def test_a_job_that_takes_too_much_memory_fails_alone(self, tmp_path: Path) -> None:
        engine = VipsEngine(memory_bytes=300 << 20)
        # 309 MiB of pixels, not to be averaged in blocks, which two outputs want in memory
        image = png(12_001, 9_001, 8, 2)
        with pytest.raises(NotStored):
            render(
                engine, image, tmp_path, OUTPUT, OUTPUT, settings=RenderSettings(pixels_max=10**9)
            )
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        engine.close()

    def test_a_worker_has_no_descriptor_but_its_own(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        render(engine, scene_jpeg(), tmp_path, OUTPUT)
        (worker,) = engine.workers
        links = [str(link.readlink()) for link in Path(f"/proc/{worker}/fd").iterdir()]
        for descriptor in descriptors:
            os.close(descriptor)
        assert len([link for link in links if link.startswith("socket:")]) == 1
        assert len([link for link in links if link == "/dev/null"]) == 2

    def test_jobs_from_many_threads(self, engine: VipsEngine, tmp_path: Path) -> None:
        def job(n: int) -> bytes:
            folder = tmp_path / str(n)
            folder.mkdir()
            return render(engine, scene_jpeg(), folder, OUTPUT)[0]

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(job, range(40)))) == 1
        assert len(engine.workers) <= 4

    def test_a_format_that_libvips_does_not_read_names_imagemagick(
        self, engine: VipsEngine
    ) -> None:
        with pytest.raises(NotStored, match="ImageMagick"), engine.open(b"", PSD):
            pass


class LimitedTests:
    """A daemon under hard limits of its own."""

    @pytest.mark.parametrize(
        "limit",
        [(resource.RLIMIT_NOFILE, 48), (resource.RLIMIT_AS, 2 << 30)],
        ids=["descriptors", "memory"],
    )
    def test_a_hard_limit_below_what_a_worker_would_take_is_kept(
        self, limit: tuple[int, int], tmp_path: Path
    ) -> None:
        (tmp_path / "image.jpg").write_bytes(scene_jpeg())
        script = (
            "import resource, sys, pathlib\n"
            "from imagepipe.core.rendering.formats import JPEG\n"
            "from imagepipe.engines.vips.vips_engine import VipsEngine\n"
            f"resource.setrlimit({limit[0]}, ({limit[1]}, {limit[1]}))\n"
            "engine = VipsEngine()\n"
            "with engine.open(pathlib.Path(sys.argv[1]).read_bytes(), JPEG) as source:\n"
            f"    print(source.facts.size, *resource.prlimit(engine.workers[0], {limit[0]}))\n"
            "engine.close()\n"
        )
        done = subprocess.run(
            [*_UNPRIVILEGED, sys.executable, "-c", script, tmp_path / "image.jpg"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["1200x675", str(limit[1]), str(limit[1])], done.stderr

    def test_a_worker_that_cannot_start_is_not_blamed_on_the_image(
        self, engine: VipsEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.executable", "/bin/false")
        with (
            pytest.raises(EngineUnusable, match="could not be started"),
            engine.open(scene_jpeg(), JPEG),
        ):
            pass

    def test_an_image_for_which_there_is_no_memory_cannot_be_read(self) -> None:
        engine = VipsEngine(memory_bytes=1)  # the worker has what it had before it was bounded
        with (
            pytest.raises(NotStored, match="cannot be read: Cannot allocate memory"),
            engine.open(scene_jpeg(), JPEG),
        ):
            pass
        engine.close()


class TakenOverTests:
    """What a worker in which a decoder was taken over may say."""

    @pytest.mark.parametrize(
        "reply",
        [
            struct.pack(">I", (4 << 30) - 1),
            struct.pack(">I", 3) + b"\xff\xff\xff",
            encoded(worker_messages.Opened(SourceFacts(JPEG, Size(1 << 62, 1)))),
            encoded(worker_messages.Opened(SourceFacts(JPEG, Size(1, 0)))),
            encoded(worker_messages.Opened(SourceFacts(JPEG, Size(1, 1), orientation=9))),
            encoded(worker_messages.Opened(SourceFacts(JPEG, Size(1, 1), frames=-1))),
        ],
        ids=["length", "no message", "wide", "flat", "orientation", "frames"],
    )
    def test_a_malformed_reply_is_refused_unread(self, reply: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(reply)
            with pytest.raises(worker_messages.MalformedReplyError):
                worker_messages.receive_reply(ours)

    def test_a_reason_reaches_the_client_short_and_printable(
        self, engine: VipsEngine, tmp_path: Path
    ) -> None:
        with engine.open(scene_jpeg(), JPEG) as source:
            worker = source._worker  # its place is taken
            real, (worker._link, theirs) = worker._link, socket.socketpair()
            with real, theirs:
                theirs.sendall(encoded(worker_messages.Failed("\x1b[2J" + "a" * 40_000)))
                with pytest.raises(NotStored) as raised:
                    source.render(plan_render((OUTPUT,), source.facts, RenderSettings()), tmp_path)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 400


class WorkerProcessTests:
    """The process itself, without an engine."""

    def start(self, timeout_seconds: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A worker and the daemon's end of its link."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [
                sys.executable,
                "-m",
                "imagepipe.engines.vips.vips_worker",
                str(theirs.fileno()),
                str(8 << 30),
                str(timeout_seconds),
            ]
            process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
        assert isinstance(worker_messages.receive_reply(ours), worker_messages.Started)
        return process, ours

    def test_it_ends_when_its_link_is_closed(self) -> None:
        process, link = self.start(60)
        link.close()
        assert process.wait(20) == 0

    def test_it_ends_quietly_when_its_link_is_closed_before_it_has_started(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [
                sys.executable,
                "-m",
                "imagepipe.engines.vips.vips_worker",
                str(theirs.fileno()),
                str(8 << 30),
                "60",
            ]
            process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE)
            ours.close()
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, b"")

    def test_an_alarm_ends_a_job_that_nobody_waits_for(self, tmp_path: Path) -> None:
        process, link = self.start(0)
        image = png(9_000, 8_000, 8, 2)
        with link, memory_file(image) as descriptor:
            worker_messages.send(link, worker_messages.Open(PNG.name), descriptor)
            reply = worker_messages.receive_reply(link)
            assert isinstance(reply, worker_messages.Opened)
            requests = [request(Size(8_000, 8_000), WEBP) for _ in range(50)]
            plan = plan_render(tuple(requests), reply.facts, RenderSettings())
            worker_messages.send(link, worker_messages.Render(plan, str(tmp_path)))
            assert process.wait(20) == -signal.SIGALRM
