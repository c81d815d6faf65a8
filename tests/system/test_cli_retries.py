"""`imagepipe process` and `pull` with a daemon that is full, gone, or slow at the worst moment."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from tests.support.cluster import eventually
from tests.support.command_line import PROGRAM, Terminal, environment, run
from tests.support.scripted_daemon import HANG_UP, PATIENCE_SECONDS, Mood, ScriptedDaemon, full


def range_of(
    daemon: ScriptedDaemon, start: int, end: int, *more: str | Path, command: str = "process"
) -> list[str]:
    """The arguments for a range of ids in the namespace p."""
    outputs = ["--outputs", "w5.jpg,x6.png"] if command == "process" else []
    return [
        command,
        "--port",
        daemon.port,
        "--namespace",
        "p",
        "--start",
        str(start),
        "--end",
        str(end),
        *outputs,
        *map(str, more),
    ]


class RetryTests:
    @pytest.mark.parametrize("command", ["process", "pull"])
    def test_a_full_queue_is_waited_out(self, tmp_path: Path, command: str) -> None:
        with ScriptedDaemon(full(2)).serving() as daemon:
            done = run(
                *range_of(daemon, 1, 4, command=command), env={"XDG_STATE_HOME": str(tmp_path)}
            )
        assert (done.status, len(done.rows)) == (0, 4)
        assert daemon.calls == {f"p/{id}": 3 for id in range(1, 5)}

    def test_so_is_a_rendition_that_met_one(self, tmp_path: Path) -> None:
        busy = [{"output": "w5.jpg", "result": "failed", "error": "[1004] overloaded"}]
        with ScriptedDaemon(
            lambda _path, number: busy if number == 1 else None
        ).serving() as daemon:
            done = run(*range_of(daemon, 1, 1), env={"XDG_STATE_HOME": str(tmp_path)})
        assert (done.status, done.rows) == (0, [["p/1", "rendered", ""]])

    def test_a_connection_that_breaks_is_made_again(self, tmp_path: Path) -> None:
        with ScriptedDaemon(
            lambda path, number: HANG_UP if number < 4 and path == "p/7" else None
        ).serving() as daemon:
            done = run(
                *range_of(daemon, 1, 9, "--concurrency", "1"), env={"XDG_STATE_HOME": str(tmp_path)}
            )
        assert (done.status, len(done.rows)) == (0, 9)

    def test_a_daemon_that_is_gone_ends_the_run_which_continues_later(self, tmp_path: Path) -> None:
        def gone_at_5(path: str, _number: int) -> Any:
            return HANG_UP if path == "p/5" else None

        arguments = ("--concurrency", "1", "--patience", "0", "--state", tmp_path / "state")
        with ScriptedDaemon(gone_at_5).serving() as daemon:
            done = run(*range_of(daemon, 1, 9, *arguments))
            assert done.status == 1
            assert "4 of 9 are done; run the same command again to continue" in done.err
            assert json.loads((tmp_path / "state").read_text())["left"] == [[5, 9]]

    def test_one_that_never_answered_is_not_waited_for(self, tmp_path: Path) -> None:
        daemon = ScriptedDaemon(full(0))
        with daemon.serving():
            pass
        done = run(*range_of(daemon, 1, 9), env={"XDG_STATE_HOME": str(tmp_path)})
        assert done.status == 1
        assert "connection refused" in done.err

    def test_a_fault_that_is_about_the_daemon_ends_the_run(self, tmp_path: Path) -> None:
        with ScriptedDaemon(
            lambda _path, _number: Fault(8001, "procedure admin.render_outputs not found")
        ).serving() as daemon:
            done = run(*range_of(daemon, 1, 100000), env={"XDG_STATE_HOME": str(tmp_path)})
        assert done.status == 1
        assert "admin.render_outputs not found" in done.err
        assert daemon.calls.total() < 1000


class FailureTests:
    def test_what_failed_is_listed_and_tried_again_by_the_next_run_alone(
        self, tmp_path: Path
    ) -> None:
        def mood(path: str, number: int) -> Any:
            return (
                Fault(1000, f"[1000] path: there is no image \u202e {path}")
                if path in ("p/3", "p/8") and number == 1
                else None
            )

        with ScriptedDaemon(mood).serving() as daemon:
            arguments = range_of(daemon, 0, 9, "--state", tmp_path / "state")
            first, second = run(*arguments), run(*arguments)
            assert first.status == 1
            assert sorted(row for row in first.rows if row[1] == "failed") == [
                [path, "failed", f"[1000] path: there is no image \\u202e {path}"]
                for path in ("p/3", "p/8")
            ]
            assert "imagepipe: p/3: [1000]" in first.err
            assert "2 failed, 8 rendered" in first.err
            assert (second.status, sorted(row[0] for row in second.rows)) == (0, ["p/3", "p/8"])
            assert "8 of 10 are already done" in second.err
            assert list(tmp_path.iterdir()) == []  # when all is done, nothing stays behind
            assert len(run(*arguments).rows) == 10  # and a third run begins anew

    def test_records_are_json_when_asked_for(self, tmp_path: Path) -> None:
        with ScriptedDaemon(full(0)).serving() as daemon:
            done = run(*range_of(daemon, 7, 7, "--json"), env={"XDG_STATE_HOME": str(tmp_path)})
        assert json.loads(done.out) == {"id": 7, "path": "p/7", "result": "rendered", "error": ""}

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--start", "2", "--end", "1"],
            ["--start", "-1", "--end", "1"],
            ["--start", "0", "--end", "9" * 20],
            ["--start", "0", "--end", "1", "--namespace", ".."],
            ["--start", "0", "--end", "1", "--namespace", "/"],
            ["--start", "0", "--end", "1", "--outputs", "w500.jpg,nothing"],
            ["--start", "0", "--end", "1", "--outputs", ","],
            ["--start", "0", "--end", "1", "--concurrency", "0"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage_is_status_2(self, arguments: list[str]) -> None:
        done = run("process", "--port", "1", "--namespace", "p", "--outputs", "w5.jpg", *arguments)
        assert (done.status, len(done.err.splitlines())) == (2, 1), done.err

    def test_a_source_without_the_id_is_wrong_usage(self) -> None:
        assert (
            run(
                "pull",
                "--port",
                "1",
                "--namespace",
                "p",
                "--start",
                "0",
                "--end",
                "1",
                "--source",
                "http://x/1.jpg",
            ).status
            == 2
        )


class ResumeTests:
    def test_killed_half_way_it_continues_and_does_again_what_was_in_flight_at_most(
        self, tmp_path: Path
    ) -> None:
        """On a terminal, with its bar."""
        half = threading.Event()

        def mood(path: str, number: int) -> None:
            if int(path.removeprefix("p/")) >= 500 and number == 1 and not half.is_set():
                half.wait(PATIENCE_SECONDS)

        with ScriptedDaemon(mood).serving() as daemon:
            state = tmp_path / "state"
            arguments = range_of(daemon, 0, 999, "--state", state, "--concurrency", "4")
            with Terminal(*arguments) as terminal:
                daemon.wait_for(504)
                terminal.read_until(r"500/1000 +[\d.]+/s .*left +\d+:\d\d")
                eventually(
                    lambda: json.loads(state.read_text())["left"] == [[500, 999]], state.read_text
                )
                terminal.process.kill()
                terminal.process.wait(PATIENCE_SECONDS)
            in_flight = {f"p/{id}" for id in range(500, 504)}
            assert set(daemon.calls) == {f"p/{id}" for id in range(500)} | in_flight
            half.set()
            with Terminal(*arguments) as terminal:
                status, seen = terminal.end()
        assert status == 0
        assert "continuing: " in seen
        assert "1000/1000" in seen
        assert set(daemon.calls) == {f"p/{id}" for id in range(1000)}
        assert {path for path, count in daemon.calls.items() if count > 1} == in_flight

    def test_ctrl_c_lets_finish_what_is_under_way_and_says_how_to_continue(
        self, tmp_path: Path
    ) -> None:
        with (
            _held_at(5) as (daemon, go_on),
            Terminal(
                *range_of(daemon, 0, 99, "--state", tmp_path / "state", "--concurrency", "2")
            ) as terminal,
        ):
            daemon.wait_for(7)
            terminal.interrupt()
            go_on.set()
            status, seen = terminal.end()
        assert status == 130
        assert "run the same command again to continue" in seen
        left = json.loads((tmp_path / "state").read_text())["left"]
        assert len(daemon.calls) == 100 - sum(last - first + 1 for first, last in left)

    def test_a_second_ctrl_c_ends_at_once(self, tmp_path: Path) -> None:
        with (
            _held_at(5) as (daemon, _),
            Terminal(
                *range_of(daemon, 0, 99, "--state", tmp_path / "state", "--concurrency", "2")
            ) as terminal,
        ):
            daemon.wait_for(7)
            terminal.read_until("5/100")
            eventually(
                lambda: "[[5, 99]]" in (tmp_path / "state").read_text(), lambda: terminal.seen
            )
            terminal.interrupt()
            while terminal.process.poll() is None:
                terminal.interrupt()
                try:
                    terminal.process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
            status, seen = terminal.end()
        assert (status, "Traceback" in seen) == (130, False)
        assert json.loads((tmp_path / "state").read_text())["left"] == [[5, 99]]

    def test_a_second_run_is_refused_while_the_first_is_under_way(self, tmp_path: Path) -> None:
        with _held_at(0) as (daemon, go_on):
            arguments = range_of(daemon, 0, 3)
            first = subprocess.Popen(
                [PROGRAM, *arguments],
                env=environment({"XDG_STATE_HOME": str(tmp_path)}),
                stdout=subprocess.PIPE,
                text=True,
            )
            daemon.wait_for(1)
            second = run(*arguments, env={"XDG_STATE_HOME": str(tmp_path)})
            other = run(
                *range_of(daemon, 0, 0, "--timeout", "0.2", "--patience", "0"),
                env={"XDG_STATE_HOME": str(tmp_path)},
            )
            go_on.set()
            out, _ = first.communicate(timeout=PATIENCE_SECONDS)
        assert second.status == 1
        assert "the same run is already under way" in second.err
        assert "no answer within 0.2 s" in other.err  # another range is another run
        assert (first.returncode, len(out.splitlines())) == (0, 4)

    def test_a_file_that_is_damaged_or_of_another_run_is_refused_without_restart(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "state"
        with ScriptedDaemon(full(0)).serving() as daemon:
            for content in (
                "",
                "{",
                "[]",
                '{"run": 1, "left": []}',
                json.dumps({"run": _run(daemon), "left": [[4, 2]]}),
            ):
                file.write_text(content)
                refused = run(*range_of(daemon, 0, 3, "--state", file))
                assert (refused.status, refused.out, "--restart" in refused.err) == (1, "", True)
                assert file.read_text() == content
            file.write_text(json.dumps({"run": _run(daemon), "left": [[2, 3]]}))
            assert {row[0] for row in run(*range_of(daemon, 0, 3, "--state", file)).rows} == {
                "p/2",
                "p/3",
            }
            file.write_text("{")
            assert len(run(*range_of(daemon, 0, 3, "--state", file, "--restart")).rows) == 4

    def test_a_range_of_millions_takes_no_memory(self, tmp_path: Path) -> None:
        with _held_at(100) as (daemon, _):
            arguments = range_of(daemon, 0, 100_000_000, "--state", tmp_path / "state")
            process = subprocess.Popen(
                [PROGRAM, *arguments],
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                daemon.wait_for(108)
                status = Path(f"/proc/{process.pid}/status").read_text()
            finally:
                process.kill()
                process.wait(PATIENCE_SECONDS)
        [kib] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        assert kib < 100 * 1024
        assert (tmp_path / "state").stat().st_size < 1000

    def test_a_state_that_cannot_be_written_is_a_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = run(
            "process",
            "--port",
            "1",
            "--namespace",
            "p",
            "--outputs",
            "w5.jpg",
            "--start",
            "0",
            "--end",
            "1",
            "--state",
            tmp_path / "file" / "state",
        )
        assert done.status == 1
        assert len(done.err.splitlines()) == 1

    def test_sigterm_is_as_good_as_ctrl_c(self, tmp_path: Path) -> None:
        with _held_at(5) as (daemon, go_on):
            process = subprocess.Popen(
                [PROGRAM, *range_of(daemon, 0, 99, "--state", tmp_path / "state")],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            daemon.wait_for(13)
            process.send_signal(signal.SIGTERM)
            go_on.set()
            _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130
        assert "run the same command again to continue" in err


class TerminalTests:
    def test_ctrl_c_reaches_a_command_even_where_the_tests_ignore_it(self) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under `nohup make test &`
        try:
            with Terminal("--user", "ann", "list") as terminal:
                terminal.read_until("Password")
                terminal.interrupt()
                status, _ = terminal.end()
        finally:
            signal.signal(signal.SIGINT, before)
        assert status == 130


class EraseTests:
    def test_each_path_is_erased_and_those_that_are_not_are_listed(self) -> None:
        with ScriptedDaemon(
            lambda path, _number: Fault(1000, "[1000] path: no") if path == "x/2" else "OK"
        ).serving() as daemon:
            done = run("erase", "x/1", "x/2", "x/3", "--port", daemon.port)
        assert (done.status, done.out, done.err) == (1, "", "imagepipe: x/2: [1000] path: no\n")
        assert daemon.calls == {"x/1": 1, "x/2": 1, "x/3": 1}


class VerifyTests:
    """Of a verification that takes its time."""

    def test_it_is_watched_with_a_bar_until_it_is_over_and_its_findings_are_listed(self) -> None:
        problems = [
            {"path": f"p/{at}\u202e", "problem": "rotten", "outcome": "repaired"} for at in (3, 4)
        ]
        end = _progress(
            checked=1000,
            running=False,
            rotten=2,
            repaired=2,
            finished="2026-01-02T03:04:05.678Z",
            problems=problems,
        )
        go_on, half = threading.Event(), _progress(checked=400, rotten=1)
        with ScriptedDaemon(
            _verifying(lambda: end if go_on.is_set() else half)
        ).serving() as daemon:
            with Terminal(
                "verify", "--repair", "--rate", "1 MiB", "--port", daemon.port
            ) as terminal:
                terminal.read_until(r"400/1000 .*/s 1 rotten")
                go_on.set()
                status, seen = terminal.end()
            lines = run("verify", "--watch", "--port", daemon.port)
            assert json.loads(run("verify", "--watch", "--json", "--port", daemon.port).out) == end
        assert (status, "1000 of 1000 checked: 2 rotten, 2 repaired" in seen) == (0, True)
        assert lines.rows == [
            ["p/3\\u202e", "rotten", "repaired"],
            ["p/4\\u202e", "rotten", "repaired"],
        ]
        assert daemon.calls["admin.verify"] == 1

    @pytest.mark.parametrize(
        ("outcome", "status"),
        [
            ({"repair": False}, 0),
            ({"repair": False, "missing": 1}, 1),
            ({"repair": True, "missing": 2, "repaired": 1, "unrepaired": 1}, 1),
            ({"repair": True, "finished": None}, 1),
        ],
    )
    def test_the_exit_status_says_whether_all_is_well(
        self, outcome: dict[str, object], status: int
    ) -> None:
        end = _progress(
            **{"running": False, "checked": 1000, "finished": "2026-01-02T03:04:05.678Z", **outcome}
        )
        with ScriptedDaemon(_verifying(lambda: end)).serving() as daemon:
            assert run("verify", "--port", daemon.port).status == status

    def test_ctrl_c_stops_watching_and_says_so(self) -> None:
        with ScriptedDaemon(_verifying(lambda: _progress(checked=10))).serving() as daemon:
            with Terminal("verify", "--port", daemon.port) as terminal:
                terminal.read_until("10/1000")
                terminal.interrupt()
                status, seen = terminal.end()
            assert run("verify", "--stop", "--port", daemon.port).status == 0
        assert (status, "stopped watching; the daemon continues" in seen) == (130, True)
        assert daemon.calls["admin.verify_stop"] == 1

    def test_where_nothing_was_ever_verified_it_is_a_line(self) -> None:
        with ScriptedDaemon(lambda _method, _number: "null").serving() as daemon:
            done = run("verify", "--watch", "--port", daemon.port)
        assert (done.status, done.err) == (
            1,
            "imagepipe: nothing has been verified since the daemon started\n",
        )

    def test_options_that_mean_nothing_are_wrong_usage(self) -> None:
        assert run("verify", "--stop", "--repair").status == 2
        assert run("verify", "--rate", "1 MiB", "--watch").status == 2


def _progress(**more: object) -> dict[str, object]:
    """What admin.verify_progress says, of 1000 images."""
    counts = dict.fromkeys(
        (
            "checked",
            "bytes",
            "missing",
            "rotten",
            "changed",
            "strangers",
            "repaired",
            "unrepaired",
            "more_problems",
        ),
        0,
    )
    ours = {
        "running": True,
        "repair": True,
        "started": "2026-01-02T03:04:00.000Z",
        "seconds": 5.0,
        "total": 1000,
        "bytes_total": 10**10,
        "finished": None,
    }
    return {**counts, **ours, "problems": [], **more}


def _verifying(progress: Callable[[], dict[str, object]]) -> Mood:
    """A daemon that says this when it is asked for its progress."""
    return lambda method, _number: (
        json.dumps(progress()) if method == "admin.verify_progress" else "OK"
    )


@contextmanager
def _held_at(first: int) -> Iterator[tuple[ScriptedDaemon, threading.Event]]:
    """A daemon that answers no id from `first` on until the event is set."""
    go_on = threading.Event()

    def mood(path: str, _number: int) -> None:
        if int(path.removeprefix("p/")) >= first:
            go_on.wait(PATIENCE_SECONDS)

    with ScriptedDaemon(mood).serving() as daemon:
        try:
            yield daemon, go_on
        finally:
            go_on.set()


def _run(daemon: ScriptedDaemon) -> dict[str, object]:
    """What the file says that a run over 0 to 3 is about."""
    run = {
        "command": "process",
        "outputs": ["w5.jpg", "x6.png"],
        "namespace": "p",
        "start": 0,
        "end": 3,
    }
    return {**run, "host": "127.0.0.1", "port": int(daemon.port)}
