"""The log of a real daemon: a line a request, none that a client has written, no secret in any, and
in a file that logrotate takes away.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import pytest

from imagepipe.core.requests.signing import sign
from tests.support.cluster import eventually
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess, running
from tests.support.hostile_server import HostileServer
from tests.support.image_server import HTTP, exchange, get, post
from tests.support.repository import ROOT

PASSWORD, WRONG, KEY, QUERY, SIGNATURE = (
    "open-sesame-7",
    "let-me-in-8",
    "hmac-key-9",
    "query-token-10",
    "0badf00d" * 8,
)
AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()}
WRONG_AUTHORIZATION = {
    "Authorization": "Basic " + base64.b64encode(f"ann:{WRONG}".encode()).decode()
}

TEXT_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \[[\w.]+#(?:info|warn|error|critical)\] |\t"
)


@pytest.fixture(scope="module", params=["text", "json"])
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, picture: bytes
) -> Iterator[DaemonProcess]:
    """A daemon that has heard many secrets and much that is meant to harm its log, and has
    ended.
    """
    folder = tmp_path_factory.mktemp("daemon")
    (folder / "users").write_text(
        f"ann:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n"
    )
    (folder / "secrets").write_text(f"{KEY}\n")
    answer = (
        b"HTTP/1.1 103 Early\r\n\r\n" * 500
        + b"HTTP/1.1 302 Found\r\nLocation: /else?token="
        + QUERY.encode()
        + b"\r\n\r\n"
    )
    with HostileServer(lambda exchange: exchange.send(answer)) as source:
        options: dict[str, dict[str, object]] = {
            "network": {"users": "users"},
            "http": (
                HTTP["http"]
                | {
                    "secrets_file": "secrets",
                    "allow_private_sources": "yes",
                    "sources": f"http://{source.netloc}/",
                }
            ),
        }
        with running(folder, options, arguments=("--log-format", request.param)) as process:
            talk(process, picture, source.netloc)
            assert process.stop() == 0
            yield process


def talk(daemon: DaemonProcess, picture: bytes, source: str) -> None:
    """What a client of every kind may ask."""
    proxy = xmlrpc.client.ServerProxy(
        daemon.url.replace("://", f"://ann:{PASSWORD}@"), allow_none=True
    )
    proxy.store_image(xmlrpc.client.Binary(picture), "a.jpg", "png", [10, 10])
    proxy.store_image(xmlrpc.client.Binary(picture), "a.jpg")
    for call in (
        lambda: proxy.store_image(xmlrpc.client.Binary(b"no image " + KEY.encode()), "b.jpg"),
        lambda: proxy.store_image(xmlrpc.client.Binary(picture[:-100]), "b.jpg", "png", [10, 10]),
        lambda: proxy.delete_image("../a\nforged"),
        lambda: getattr(proxy, "no\nforged")(PASSWORD),
        lambda: proxy.image_info({"a": PASSWORD}),
    ):
        with pytest.raises(xmlrpc.client.Fault):
            call()
    with pytest.raises(xmlrpc.client.ProtocolError):
        xmlrpc.client.ServerProxy(daemon.url.replace("://", f"://ann:{WRONG}@")).list_images()
    path = "/a.jpg/w20.jpg"
    expected = {
        f"{path}?signature={sign(KEY, path)}": 200,
        f"{path}?signature={SIGNATURE}": 403,
        f"{path}?expires={QUERY}&signature={SIGNATURE}": 403,
        f"{path}?{QUERY}={QUERY}": 401,
        "/forged%0a2026-01-02T03:04:05+0000%20%5bimagepipe%23critical%5d%20forged": 404,
        "/forged%0d%1b%5b2K%c2%85%e2%80%a8%e2%80%ae": 404,
        "/%22%7d%0a%7b%22level%22:%22critical%22%7d": 404,
        "/" + "x" * 9000: 404,
    }
    for target, status in expected.items():
        assert get(daemon, target).status in (status, 400), target
    url = f"http://{source}/photo?token={QUERY}"
    assert post(daemon, f"/c?source={url}", b"", **AUTHORIZATION).status == 502
    assert post(
        daemon, f"/c?source=http://ann:{PASSWORD}@{source}/", b"", **AUTHORIZATION
    ).status in (400, 403)
    assert (
        post(daemon, "/c?source=https://example.org/" + QUERY, b"", **AUTHORIZATION).status == 403
    )
    assert post(daemon, "/c?outputs=nothing", picture, **AUTHORIZATION).status == 400
    assert post(daemon, "/d", picture, **AUTHORIZATION).status == 200
    assert post(daemon, "/d", picture, **WRONG_AUTHORIZATION).status == 401
    for line in (
        b"GET /\nforged HTTP/1.1\r\n\r\n",
        b"G\x1b[2K\rforged /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\rforged\r\nConnection: close\r\n\r\n",
        b"FORGED" * 1000 + b" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST /a?"
        + QUERY.encode()
        + b" HTTP/1.1\r\nHost: a\r\nAuthorization: "
        + PASSWORD.encode()
        + b"\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"y" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\r\n\r\n",
    ):
        exchange(daemon, line)


def objects(daemon: DaemonProcess) -> list[dict[str, object]]:
    """The lines of JSON."""
    return [json.loads(line) for line in daemon.log if line.startswith("{")]


class LineTests:
    """What a line is."""

    def test_no_client_has_written_one(self, daemon: DaemonProcess) -> None:
        log = "".join(daemon.log)
        if log.startswith("{"):
            assert all(
                json.loads(line)["level"] in ("info", "warn", "error") for line in log.splitlines()
            )
        else:
            assert [line for line in log.splitlines() if not TEXT_LINE.match(line)] == []
            assert not re.search(r"^\S+ \[[^]]*#critical\]", log, re.MULTILINE)
        assert all(line[:-1].replace("\t", "").isprintable() for line in daemon.log)

    def test_each_request_has_one_with_its_facts(
        self, daemon: DaemonProcess, picture: bytes
    ) -> None:
        stored = [line for line in daemon.log if "store_image" in line and "'a." in line]
        assert len(stored) == 2
        if stored[0].startswith("{"):
            line = json.loads(stored[0])
            assert (
                line.items()
                >= {
                    "method": "POST",
                    "call": "'store_image'",
                    "outputs": 1,
                    "status": 200,
                    "client": "127.0.0.1",
                }.items()
            )
            assert {
                "path",
                "bytes",
                "waited",
                "ran",
                "total",
                "result",
                "time",
                "level",
                "namespace",
                "message",
            } <= line.keys()
            assert int(line["bytes"]) > len(picture)

    def test_libraries_are_silent(self, daemon: DaemonProcess) -> None:
        assert not [
            line
            for line in daemon.log
            if re.search(r"Starting factory|Stopping factory|unexpected 103|Timing out", line)
        ]

    def test_nothing_of_this_is_our_fault(self, daemon: DaemonProcess) -> None:
        assert not [
            line
            for line in daemon.log
            if "Traceback" in line or "Unhandled" in line or "a bug" in line
        ]


class SecretTests:
    """What no line has."""

    def test_no_secret_is_in_it(self, daemon: DaemonProcess) -> None:
        log = "".join(daemon.log)
        path = "/a.jpg/w20.jpg"
        secrets = [PASSWORD, WRONG, KEY, QUERY, SIGNATURE, sign(KEY, path), "$2b$", "Basic "]
        secrets += [
            value.split()[1]
            for headers in (AUTHORIZATION, WRONG_AUTHORIZATION)
            for value in headers.values()
        ]
        assert [secret for secret in secrets if secret in log] == []

    def test_no_image_is_in_it(self, daemon: DaemonProcess, picture: bytes) -> None:
        log = "".join(daemon.log)
        assert base64.b64encode(picture)[:40].decode() not in log
        assert "JFIF" not in log
        assert max(map(len, daemon.log)) < 2000


class StartTests:
    """A daemon that does not start says why, and no more."""

    @pytest.mark.parametrize(
        ("files", "options"),
        [
            ({"users": f"ann:{PASSWORD}\n"}, {"network": {"users": "users"}}),
            ({"users": f"{PASSWORD}\n"}, {"network": {"users": "users"}}),
            ({}, {"http": HTTP["http"] | {"secrets": f"{KEY}, '', {KEY}"}}),
            ({}, {"http": HTTP["http"] | {"source_base": f"https://ann:{PASSWORD}@example.org/"}}),
            (
                {},
                {
                    "http": (
                        HTTP["http"] | {"sources": f"https://ann:{PASSWORD}@example.org/a?{QUERY}"}
                    )
                },
            ),
            (
                {"server.key_secret": KEY},
                {"replication": {"publish": "tcp://127.0.0.1:0", "keys": "."}},
            ),
            ({}, {"http": HTTP["http"] | {"secret": KEY}}),
        ],
    )
    def test_no_secret_is_in_what_it_says(
        self, tmp_path: Path, files: dict[str, str], options: dict[str, dict[str, object]]
    ) -> None:
        for name, content in files.items():
            (tmp_path / name).write_text(content)
            (tmp_path / name).chmod(0o600)
        daemon = DaemonProcess(tmp_path, options)
        daemon.launch()
        assert daemon.wait() == 1
        log = "".join(daemon.log)
        assert [secret for secret in (PASSWORD, KEY, QUERY) if secret in log] == []


class Daemonised:
    """`twistd imagepipe` without -n, which logs to a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.daemon = DaemonProcess(folder, HTTP)
        self.log = folder / "imagepipe.log"
        self._pid = folder / "twistd.pid"
        twistd = Path(sys.executable).with_name("twistd")
        command = [
            twistd,
            f"--pidfile={self._pid}",
            f"--logfile={self.log}",
            "imagepipe",
            "-c",
            self.daemon.config,
            *arguments,
        ]
        subprocess.run(
            [str(word) for word in command], cwd=folder, check=True, timeout=PATIENCE_SECONDS
        )
        eventually(lambda: "is ready" in self.log.read_text(), self.log.read_text)
        [self.daemon.http_url] = re.findall(r"HTTP on (http://[\d.:]+/)", self.log.read_text())[:1]

    def signal(self, number: int) -> None:
        os.kill(int(self._pid.read_text()), number)

    def end(self) -> None:
        """SIGTERM, and wait."""
        descriptor = os.pidfd_open(int(self._pid.read_text()))
        self.signal(signal.SIGTERM)
        eventually(lambda: not self._pid.exists())
        os.close(descriptor)


@pytest.fixture
def daemonise(tmp_path: Path) -> Iterator[Callable[..., Daemonised]]:
    """Makes one, which is gone at the end."""
    made = []

    def make(*arguments: str) -> Daemonised:
        made.append(Daemonised(tmp_path, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.end()


class FileTests:
    """Without -n the log is a file, and logrotate takes it away."""

    def test_json_is_written_into_the_file(self, daemonise: Callable[..., Daemonised]) -> None:
        daemonised = daemonise("--log-format", "json")
        get(daemonised.daemon, "/none")
        eventually(lambda: "/none" in daemonised.log.read_text())
        lines = [json.loads(line) for line in daemonised.log.read_text().splitlines()]
        assert [line["status"] for line in lines if line.get("path") == "'/none'"] == [404]

    def test_contribs_logrotate_takes_it_away_and_no_line_is_lost(
        self, tmp_path: Path, daemonise: Callable[..., Daemonised]
    ) -> None:
        program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "logrotate is missing: `make test` installs it"
        daemonised = daemonise()
        configuration = (ROOT / "contrib/logrotate").read_text()
        for ours, here in {
            "/var/log/imagepipe/": f"{tmp_path}/",
            "/run/imagepipe/": f"{tmp_path}/",
            "su imagepipe imagepipe": "",
        }.items():
            assert ours in configuration
            configuration = configuration.replace(ours, here)
        tmp_path.chmod(0o755)  # it refuses a folder that others may write to
        (tmp_path / "logrotate").write_text(configuration)
        for at in range(3):
            get(daemonised.daemon, f"/none{at}")
            files = sorted(tmp_path.glob("imagepipe.log*"))
            subprocess.run(
                [program, "--force", "--state", tmp_path / "state", tmp_path / "logrotate"],
                check=True,
                timeout=PATIENCE_SECONDS,
            )
            eventually(
                lambda files=files: (  # type: ignore[misc]
                    len(list(tmp_path.glob("imagepipe.log*"))) > len(files)
                ),
                lambda: str(list(tmp_path.iterdir())),
            )
        get(daemonised.daemon, "/none3")
        eventually(lambda: "none3" in daemonised.log.read_text(), daemonised.log.read_text)
        rotated = [path for path in tmp_path.glob("imagepipe.log?*") if path.suffix != ".gz"]
        packed = list(tmp_path.glob("*.gz"))
        unpacked = [
            subprocess.run(["gzip", "-dc", path], check=True, capture_output=True, text=True).stdout
            for path in packed
        ]
        log = "".join(
            [*unpacked, *(path.read_text() for path in rotated), daemonised.log.read_text()]
        )
        assert [len(re.findall(f"/none{at}'", log)) for at in range(4)] == [1, 1, 1, 1]
        assert log.count("is ready") == 1
