"""Serving: a stored file and a rendition that was made before, directly and through nginx, beside plain nginx, thumbor, ipx and SeaweedFS; and files as
they come, stored.

Many different files are asked for in turn. Whoever keeps results has made all of them before; ipx keeps none, and makes each anew.
"""

# ruff: noqa: T201 - printing is what it is for

import contextlib
import io
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from daemon_process import DaemonProcess, running
from nginx_process import nginx
from PIL import Image

from benchmarks import rivals
from benchmarks.photographs import distinct, photographs
from benchmarks.results import Chart, Goal, Section, Series, Table, ratio
from benchmarks.seaweedfs import SeaweedFS, put, seaweedfs
from benchmarks.wrk import Ask, Measured, wrk

WIDTH = 200
SIDE, QUALITY = 500, 75
"""Of the stored files: JPEGs of some 27 KB."""

OURS, BEHIND, PLAIN, THUMBOR, IPX = "imagepipe", "contrib/nginx.conf", "nginx", "thumbor", "ipx"
FILE, RENDITION, UNCHANGED, UPLOAD = "stored file", f"rendition w{WIDTH}.jpg", "stored file, If-None-Match: 304", "upload of a file as it is"
NOTES = {
    (RENDITION, IPX): "keeps nothing: made anew",
    (RENDITION, THUMBOR): "two processes, results kept in files",
    (RENDITION, PLAIN): "the same bytes as files",
    (UPLOAD, OURS): "POST; on the disk when it is answered",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What a server is asked for in turn. `body` is what the first answer has to be, where that is known."""

    url: str
    asks: Sequence[Ask]
    body: bytes | None = None


Cases = Mapping[str, Mapping[str, Case]]
"""By what is asked for, and who is asked."""


def measure(folder: Path, *, quick: bool) -> Section:
    """All of it, in rounds in which every server has its turn."""
    count, rounds, seconds = (200, 2, 1) if quick else (1000, 7, 2)
    images = [distinct(_image(), number) for number in range(count)]
    with contextlib.ExitStack() as stack:
        cases = _cases(folder, images, stack)
        for name, case in ((name, case) for servers in cases.values() for name, case in servers.items()):
            _check(name, case)
        found = {what: _measured(folder, what, servers, rounds, seconds) for what, servers in cases.items()}
    return _section(found, len(images[0]))


def _cases(folder: Path, images: Sequence[bytes], stack: contextlib.ExitStack) -> Cases:
    """Start all servers, and give each the images."""
    daemon = stack.enter_context(running(_made(folder / "imagepipe"), {"http": {"interface": "127.0.0.1", "port": 0}, "images": {"io_threads": 2}}))
    front = stack.enter_context(nginx(folder / "front", daemon)).rstrip("/")
    names = [f"{number % 100}/{number}.jpg" for number in range(len(images))]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name, image: _store(daemon, name, image), names, images))
        made = list(pool.map(_get, (f"{daemon.http_url}{name}/w{WIDTH}.jpg" for name in names)))
    results, originals = _tree(folder / "results", names, made), _tree(folder / "originals", names, images)
    ours = daemon.http_url.rstrip("/")
    plain = stack.enter_context(rivals.files(_made(folder / "plain"), daemon.images, 1)).url("", 0).rstrip("/")
    plain_results = stack.enter_context(rivals.files(_made(folder / "plain-results"), results, 1)).url("", 0).rstrip("/")
    thumbor = stack.enter_context(_thumbor(_made(folder / "thumbor"), originals))
    ipx = stack.enter_context(rivals.ipx(_made(folder / "ipx"), originals))
    weed = stack.enter_context(seaweedfs(_made(folder / "seaweedfs")))
    files = [Ask(f"/{name}") for name in names]
    renditions = [Ask(f"/{name}/w{WIDTH}.jpg") for name in names]
    return {
        FILE: {name: Case(url, files, images[0]) for name, url in ((OURS, ours), (BEHIND, front), (PLAIN, plain))} | _given(weed, names, images),
        RENDITION: {
            OURS: Case(ours, renditions, made[0]),
            BEHIND: Case(front, renditions, made[0]),
            PLAIN: Case(plain_results, files, made[0]),
            THUMBOR: _kept(thumbor, names),
            IPX: _kept(ipx, names),
        },
        UNCHANGED: {name: Case(url, _conditional(url, names)) for name, url in ((OURS, ours), (BEHIND, front), (PLAIN, plain))},
    }


def _given(weed: SeaweedFS, names: Sequence[str], images: Sequence[bytes]) -> dict[str, Case]:
    """The images at SeaweedFS: by their names, and by numbers."""
    numbers = [weed.assign() for _ in names]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, (f"{weed.filer}/{name}" for name in names), images))
        list(pool.map(put, (f"{weed.volume}/{number}" for number in numbers), images))
    return {
        "SeaweedFS, filer": Case(weed.filer, [Ask(f"/{name}") for name in names], images[0]),
        "SeaweedFS, volume": Case(weed.volume, [Ask(f"/{number}") for number in numbers], images[0]),
    }


def _kept(server: rivals.Server, names: Sequence[str]) -> Case:
    """What is asked of a server that makes renditions; each is made once here."""
    urls = [server.url(name, WIDTH) for name in names]
    with ThreadPoolExecutor(4) as pool:
        for made in pool.map(_get, urls):
            assert Image.open(io.BytesIO(made)).width == WIDTH, server.name
    base = urls[0].removesuffix(urls[0].split("/", 3)[3]).rstrip("/")
    return Case(base, [Ask(url.removeprefix(base)) for url in urls])


def _conditional(url: str, names: Sequence[str]) -> list[Ask]:
    asks = []
    for name in names:
        with urllib.request.urlopen(f"{url}/{name}") as answer:  # noqa: S310
            asks.append(Ask(f"/{name}", {"If-None-Match": answer.headers["ETag"]}))
    return asks


def _measured(folder: Path, what: str, servers: Mapping[str, Case], rounds: int, seconds: float) -> dict[str, list[Measured]]:
    print(what)
    found: dict[str, list[Measured]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, case in servers.items():
            measured = wrk(folder, case.url, case.asks, seconds=seconds)
            if number:  # the first round warms up
                found[name].append(measured)
    for name, values in found.items():
        print(f"  {name:24} {_series(values).text()} answers/s")
    return found


def _section(found: Mapping[str, Mapping[str, Sequence[Measured]]], size: int) -> Section:
    rows, rates = [], {}
    for what, servers in found.items():
        for name, values in servers.items():
            rates[what, name] = _series(values)
            p50, p99 = (Series(tuple(getattr(value, field) for value in values)).median for field in ("p50_ms", "p99_ms"))
            share = ratio(rates[what, OURS], rates[what, name])
            rows.append((what, name, rates[what, name].text(), f"{p50:.2f}", f"{p99:.2f}", f"{share:.2f}", NOTES.get((what, name), "")))
    table = Table(
        f"Serving files of {size / 1000:.0f} KB, and renditions of them, 16 connections",
        ("answer", "from", "answers/s", "ms p50", "ms p99", "imagepipe itself is so many times as fast", ""),
        rows,
        "Many different files in turn. nginx has one worker, with contrib/nginx.conf as without; imagepipe is one process, and writes a line of log for each.",
    )
    goals = [
        Goal(f"{what} through contrib/nginx.conf, times plain nginx", 0.95, ratio(rates[what, BEHIND], rates[what, PLAIN]))
        for what in (FILE, RENDITION)
    ]
    goals.append(Goal("kept rendition directly from imagepipe, times thumbor's", 3.0, ratio(rates[RENDITION, OURS], rates[RENDITION, THUMBOR])))
    charts = [
        Chart(name, f"{what[0].upper()}{what[1:]}", "answers/s", {server: [rates[what, server]] for server in found[what]})
        for name, what in (("serving-files", FILE), ("serving-renditions", RENDITION))
    ]
    return Section((table,), goals, charts)


def _series(values: Sequence[Measured]) -> Series:
    return Series(tuple(value.rate for value in values))


def _check(name: str, case: Case) -> None:
    if case.body is not None and _get(case.url + case.asks[0].target) != case.body:
        raise RuntimeError(f"{name} answers {case.asks[0].target} with other bytes")


@contextlib.contextmanager
def _thumbor(folder: Path, originals: Path) -> Iterator[rivals.Server]:
    """thumbor, with two processes, which keeps what it makes; also for URLs without a signature, which it does only if it is told to."""
    lines = {
        "LOADER": "thumbor.loaders.file_loader",
        "FILE_LOADER_ROOT_PATH": str(originals),
        "STORAGE": "thumbor.storages.no_storage",
        "RESULT_STORAGE": "thumbor.result_storages.file_storage",
        "RESULT_STORAGE_FILE_STORAGE_ROOT_PATH": str(folder / "results"),
        "RESULT_STORAGE_STORES_UNSAFE": True,
        "ALLOW_UNSAFE_URL": True,
    }
    (folder / "thumbor.conf").write_text("".join(f"{name} = {value!r}\n" for name, value in lines.items()))
    port = rivals.free_port()
    options = ("--ip", "127.0.0.1", "--port", str(port), "--processes", "2", "--conf", str(folder / "thumbor.conf"))
    with rivals.running([rivals.program("thumbor/bin/thumbor"), *options], folder, port) as process_id:
        yield rivals.Server(THUMBOR, lambda name, width: f"http://127.0.0.1:{port}/unsafe/{width}x0/{name}", process_id)


def _store(daemon: DaemonProcess, name: str, image: bytes) -> None:
    if daemon.proxy.store_image(image, name) != "OK":
        raise RuntimeError(name)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        body: bytes = answer.read()
    return body


def _image() -> bytes:
    picture = Image.open(photographs(4, "jpeg", 1)[0])
    picture.thumbnail((SIDE, SIDE))
    saved = io.BytesIO()
    picture.save(saved, "JPEG", quality=QUALITY)
    return saved.getvalue()


def _tree(folder: Path, names: Sequence[str], contents: Sequence[bytes]) -> Path:
    for name, content in zip(names, contents, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
