"""What the command line says when there is no daemon, another one, or not the right password: one
line, status 1, no traceback.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.support.certificates import write_certificate
from tests.support.command_line import PROGRAM, Ended, Terminal, against, environment, port_of, run
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess, running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with TLS and one user, ann, whose password is `open sesame`."""
    folder = tmp_path_factory.mktemp("guarded")
    write_certificate(folder)
    (folder / "users").write_text(
        f"ann:{bcrypt.hashpw(b'open sesame', bcrypt.gensalt(4)).decode()}\n"
    )
    (folder / "right").write_text("open sesame\n")
    (folder / "wrong").write_text("open says me\n")
    with running(
        folder, {"network": {"users": "users", "tls_certificate": "cert.pem", "tls_key": "key.pem"}}
    ) as daemon:
        yield daemon


def only_line(done: Ended) -> str:
    """What it says as it fails."""
    assert (done.status, done.out) == (1, ""), done
    [line] = done.err.splitlines()
    assert line.startswith("imagepipe: ")
    return line.removeprefix("imagepipe: ")


class GuardedTests:
    def test_the_right_password_is_let_in(self, guarded: DaemonProcess) -> None:
        right = (
            "--user",
            "ann",
            "--password-file",
            guarded.folder / "right",
            "--ca-file",
            guarded.folder / "cert.pem",
        )
        assert against(guarded, "list", *right).status == 0
        environment = {
            "IMAGEPIPE_USER": "ann",
            "IMAGEPIPE_PASSWORD_FILE": str(right[3]),
            "IMAGEPIPE_TLS": "1",
            "IMAGEPIPE_CA_FILE": str(right[5]),
        }
        assert against(guarded, "list", env=environment).status == 0

    def test_without_a_file_the_password_is_asked_for(self, guarded: DaemonProcess) -> None:
        with Terminal(
            "list",
            "--port",
            port_of(guarded),
            "--user",
            "ann",
            "--ca-file",
            guarded.folder / "cert.pem",
        ) as terminal:
            terminal.read_until("Password of ann: ")
            terminal.type("open sesame\n")
            status, seen = terminal.end()
        assert status == 0
        assert "sesame" not in seen

    def test_a_wrong_or_missing_password_is_reported(self, guarded: DaemonProcess) -> None:
        trust = ("--ca-file", guarded.folder / "cert.pem")
        assert "wrong user name or password" in only_line(
            against(
                guarded,
                "list",
                *trust,
                "--user",
                "ann",
                "--password-file",
                guarded.folder / "wrong",
            )
        )
        assert "a user name and a password are required" in only_line(
            against(guarded, "list", *trust)
        )

    def test_an_untrusted_certificate_is_reported(self, guarded: DaemonProcess) -> None:
        assert "its certificate is not trusted" in only_line(against(guarded, "list", "--tls"))

    def test_plain_instead_of_tls_is_reported_and_vice_versa(
        self, guarded: DaemonProcess, daemon: DaemonProcess
    ) -> None:
        assert "use --tls" in only_line(against(guarded, "list"))
        assert "does that port speak TLS?" in only_line(
            against(daemon, "list", "--tls", "--timeout", "0.5")
        )

    def test_missing_files_are_reported(self, guarded: DaemonProcess) -> None:
        assert "No such file" in only_line(
            against(guarded, "list", "--user", "ann", "--password-file", "/nothing")
        )
        assert "No such file" in only_line(against(guarded, "list", "--ca-file", "/nothing"))
        assert against(guarded, "list", "--password-file", "/nothing").status == 2


class NobodyTests:
    def test_a_refused_connection_is_reported(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            assert "connection refused" in only_line(
                run("list", "--port", str(unused.getsockname()[1]))
            )

    def test_an_invalid_host_name_is_reported(self) -> None:
        assert "imagepipe.invalid" in only_line(run("list", "--host", "imagepipe.invalid"))
        assert "not a valid host name" in only_line(run("list", "--host", "x" * 100))

    def test_a_server_that_never_answers_is_a_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert "no answer within 0.1 s" in only_line(
                run("list", "--timeout", "0.1", "--port", str(silent.getsockname()[1]))
            )

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\nno",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"\x00" * 1000,
        ],
    )
    def test_a_server_other_than_imagepipe_is_reported(self, answer: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            stranger = threading.Thread(target=_answer_once, args=(listening, answer))
            stranger.start()
            done = run("list", "--port", str(listening.getsockname()[1]))
            stranger.join(PATIENCE_SECONDS)
        assert "not an imagepipe" in only_line(done)

    def test_an_unknown_name_of_the_daemon_is_reported_in_its_own_words(self) -> None:
        sentence = (
            b"images.example.org is not a known name of this server; if it should be, add it to"
            b" [network] hosts"
        )
        head = (
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            % (len(sentence) + 5)
        )
        with socket.create_server(("127.0.0.1", 0)) as listening:
            refusing = threading.Thread(
                target=_answer_once, args=(listening, head + sentence + b"\n\x1b[2J")
            )
            refusing.start()
            done = run("list", "--port", str(listening.getsockname()[1]))
            refusing.join(PATIENCE_SECONDS)
        assert only_line(done).endswith(f"call refused: {sentence.decode()}")

    def test_a_truncated_answer_is_reported(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            broken = threading.Thread(
                target=_answer_once,
                args=(
                    listening,
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 99\r\n\r\n<a>",
                ),
            )
            broken.start()
            done = run("list", "--port", str(listening.getsockname()[1]))
            broken.join(PATIENCE_SECONDS)
        assert "broke" in only_line(done)


class OutputTests:
    def test_a_reader_that_goes_away_is_a_line_and_no_traceback(
        self, daemon: DaemonProcess
    ) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [PROGRAM, "status", "--port", port_of(daemon)],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (
            1,
            "imagepipe: the output was closed before everything was printed\n",
        )

    def test_a_full_disk_is_a_line_too(self, daemon: DaemonProcess) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [PROGRAM, "status", "--port", port_of(daemon)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
                check=False,
            )
        assert (done.returncode, done.stderr) == (
            1,
            "imagepipe: cannot write: No space left on device\n",
        )

    def test_a_name_that_is_not_text_is_refused_before_it_is_sent(
        self, daemon: DaemonProcess
    ) -> None:
        assert "names cannot contain the character" in only_line(
            run("info", "--port", port_of(daemon), "a\x1bb")
        )
        assert "names cannot contain the character" in only_line(
            run("info", "--port", port_of(daemon), os.fsdecode(b"a\xff"))
        )


def _answer_once(listening: socket.socket, answer: bytes) -> None:
    client, _ = listening.accept()
    with client:
        client.settimeout(PATIENCE_SECONDS)
        client.recv(1 << 16)
        client.sendall(answer)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 16):
            pass
