"""wrk: sixteen connections that ask as fast as they are answered, each time for the next of many
URLs.

wrk(folder, "http://127.0.0.1:8080", [Ask("/1.jpg"), Ask("/2.jpg")], seconds=2)     answers a
    second, and how long they took
"""

import itertools
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONNECTIONS = 16

_numbers = itertools.count()
_SCRIPT = """
local asked = {{}}
local at = 0
local function bytes_of(path)
    local file = io.open(path, "rb")
    local bytes = file:read("*a")
    file:close()
    return bytes
end
init = function()
{asked}
end
request = function()
    at = at % #asked + 1
    return asked[at]
end
done = function(summary, latency)
    io.write(string.format("MEASURED %d %d %d %d %d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99),
        summary.errors.connect + summary.errors.read + summary.errors.write
            + summary.errors.timeout + summary.errors.status))
end
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: for `target`, with these headers, or a PUT or POST of the bytes in the file
    `body`.
    """

    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers a second, and the milliseconds until half of them were there, and 99 of 100."""

    rate: float
    p50_ms: float
    p99_ms: float


def wrk(folder: Path, url: str, asks: Sequence[Ask], *, seconds: float) -> Measured:
    """Ask the server at `url`, whose path is empty, for one after another, again from the first
    after the last; the script is put into `folder`.

    Raises RuntimeError if any request fails, and FileNotFoundError if there is no wrk.
    """
    program = shutil.which("wrk")
    if program is None:
        raise FileNotFoundError("wrk is missing: `make bench` installs it")
    script = folder / f"wrk-{next(_numbers)}.lua"
    script.write_text(_SCRIPT.format(asked="\n".join(map(_formatted, asks))))
    command = [
        program,
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(script),
        url,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"MEASURED (\d+) (\d+) (\d+) (\d+) (\d+)", said.stdout)
    if not found:
        raise RuntimeError(f"wrk did not measure {url}: {said.stdout}{said.stderr}")
    answers, microseconds, p50, p99, errors = map(int, found.groups())
    if errors or not answers:
        raise RuntimeError(f"{url}: {errors} of {answers} requests failed")
    return Measured(answers / microseconds * 1e6, p50 / 1000, p99 / 1000)


def _formatted(ask: Ask) -> str:
    headers = ", ".join(
        f"[{_quoted(name)}]={_quoted(value)}" for name, value in ask.headers.items()
    )
    body = f", bytes_of({_quoted(str(ask.body))})" if ask.body else ""
    return (
        f"asked[#asked + 1] = wrk.format({_quoted(ask.method)}, {_quoted(ask.target)},"
        f" {{{headers}}}{body})"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
