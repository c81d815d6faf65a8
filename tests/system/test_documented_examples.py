"""The examples of README.md and of the pages on the image server, run as they are written against a
real daemon.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from configobj import ConfigObj

from tests.support.daemon_process import DaemonProcess, running
from tests.support.gradients import encoded, gradient
from tests.support.hostile_server import Exchange, HostileServer
from tests.support.image_server import HTTP
from tests.support.repository import ROOT

README = "README.md"
IMAGE_SERVER_SECTIONS = [
    ("docs/guide/serve.md", ""),
    ("docs/reference/http.md", "URLs"),
    ("docs/guide/serve.md", "Freshness and caching"),
    ("docs/guide/serve.md", "Storing by POST"),
    ("docs/guide/serve.md", "Originals from elsewhere"),
    ("docs/guide/secure.md", "Signed URLs"),
    ("docs/reference/http.md", "Errors"),
]
"""Page and heading, in an order in which each finds what those before it have stored."""

IMAGE_SERVER = "http://127.0.0.1:7000"
XML_RPC = "http://127.0.0.1:8085"
SOURCES = "https://photos.example.org"
PATIENCE_SECONDS = 60

# What differs from image to image and from day to day.
_VARYING = (
    (r'("size": |Content-Length: |\d-\d+/)\d+', r"\1N"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "T"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "T"),
    (r'"digest": "[^"]*"', '"digest": H'),
)


@dataclass(frozen=True)
class Example:
    """A command and its output, as a page shows them."""

    command: str
    output: str


def section(page: str, heading: str) -> str:
    """The text below a heading of a page, or above the first one if none is given."""
    text = (ROOT / page).read_text()
    begins = rf"^## {re.escape(heading)}\n" if heading else r"\A# [^\n]*\n"
    [found] = re.findall(rf"{begins}(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def examples(text: str) -> list[Example]:
    """The commands in a text's console blocks. A backslash continues one on the next line."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    typed = r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)"
    return [
        Example(command, output)
        for block in blocks
        for command, output in re.findall(typed, block, flags=re.MULTILINE)
    ]


def options(text: str) -> dict[str, dict[str, object]]:
    """The options in a text's ini blocks, and those that a daemon on loopback needs."""
    blocks = re.findall(r"^```ini\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    given = ConfigObj("".join(blocks).splitlines(), list_values=False)
    return {
        **given,
        "http": {**HTTP["http"], "allow_private_sources": "yes", **given.get("http", {})},
    }


def masked(output: str) -> list[str]:
    """The lines of an output without the parts that vary."""
    for pattern, name in _VARYING:
        output = re.sub(pattern, name, output)
    return output.splitlines()


def printed(command: str, folder: Path, places: Mapping[str, str]) -> str:
    """The output of a command that is run in `folder`, with its URLs replaced as in `places`."""
    for old, new in places.items():
        command = command.replace(old, new)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with a photo.jpg."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(encoded(gradient(1600, 1200), "JPEG"))
    return folder


@pytest.fixture
def source(workplace: Path) -> Iterator[str]:
    """The URL of a server that has photo.jpg everywhere."""
    photo = (workplace / "photo.jpg").read_bytes()

    def serve(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(photo), photo)

    with HostileServer(serve) as server:
        yield f"http://127.0.0.1:{server.port}"


class ImageServerTests:
    """The pages on the image server, in an order in which each continues the one before."""

    def test_their_examples_print_what_they_show(
        self, workplace: Path, tmp_path: Path, source: str
    ) -> None:
        count = 0
        for page, heading in IMAGE_SERVER_SECTIONS:
            text = section(page, heading)
            with running(tmp_path, options(text.replace(SOURCES, source))) as daemon:
                for example in examples(text):
                    output = printed(
                        example.command, workplace, _places(daemon) | {SOURCES: source}
                    )
                    assert masked(output) == masked(example.output), (
                        heading,
                        example.command,
                        output,
                    )
                    count += 1
        assert count > 10


class NewcomerTests:
    """The first minute."""

    def test_its_script_prints_what_it_says_and_leaves_the_files_that_it_names(
        self, tmp_path: Path
    ) -> None:
        text = section(README, "Start in a minute")
        [script] = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        says = re.findall(r"^print\(.*\)  # (.*)$", script, flags=re.MULTILINE)
        printed(f"python {ROOT}/scripts/example_image.py photo.jpg", tmp_path, {})  # make example
        with running(tmp_path, HTTP) as daemon:
            for old, new in _places(daemon).items():
                script = script.replace(old, new)
            (tmp_path / "script.py").write_text(script)
            assert printed("python script.py", tmp_path, {}).splitlines() == says
        stored = sorted(path.name for path in (daemon.images / "x/y").iterdir())
        assert [name for name in stored if f"`{name}`" not in text] == []
        assert len(stored) == 3


def _places(daemon: DaemonProcess) -> dict[str, str]:
    return {IMAGE_SERVER: daemon.http_url.rstrip("/"), XML_RPC: daemon.url.rstrip("/")}
