"""Who is asked for what, to measure serving: the servers, each with the same images, and the
requests.

A server that keeps what it makes has made all of it before anything is measured.
"""

import contextlib
import io
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks import rivals
from benchmarks.photographs import distinct, photographs
from benchmarks.seaweedfs import SeaweedFS, put
from benchmarks.wrk import Ask
from tests.support.daemon_process import DaemonProcess
from tests.support.nginx_process import nginx

WIDTH = 200
SIDE, QUALITY = 500, 75
"""Of the stored files: JPEGs of some 27 KB."""

OURS, BEHIND, PLAIN, CAREFUL, THUMBOR, IPX = (
    "imagepipe",
    "contrib/nginx.conf",
    "nginx",
    "nginx, disable_symlinks",
    "thumbor",
    "ipx",
)
FILER, FILER_FLUSHED, VOLUME = (
    "SeaweedFS, filer",
    "SeaweedFS, filer, ?fsync=true",
    "SeaweedFS, volume",
)
FILE, MANY, RENDITION, UNCHANGED = (
    "stored file",
    "stored file, too many to be in memory",
    f"rendition w{WIDTH}.jpg",
    "stored file, If-None-Match: 304",
)
UPLOAD = "upload without rendering"
BEYOND_MEMORY = 1.3
"""More files than imagepipe's memory for small ones holds, where there are a thousand; asked for in
turn, none is still there when its turn comes again.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What a server is asked for in turn. `body` is what the first answer has to be, where that is
    known.
    """

    url: str
    asks: Sequence[Ask]
    body: bytes | None = None


Cases = dict[str, dict[str, Case]]
"""By what is asked for, and who is asked."""


def start(
    folder: Path,
    daemon: DaemonProcess,
    weed: SeaweedFS,
    images: Sequence[bytes],
    stack: contextlib.ExitStack,
) -> Cases:
    """Start the other servers, and give each the images."""
    front = stack.enter_context(nginx(folder / "front", daemon)).rstrip("/")
    names = [_name(number) for number in range(len(images))]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name, image: _store(daemon, name, image), names, images))
        made = list(pool.map(_get, (f"{daemon.http_url}{name}/w{WIDTH}.jpg" for name in names)))
    results, originals = (
        _tree(folder / "results", names, made),
        _tree(folder / "originals", names, images),
    )
    ours = daemon.http_url.rstrip("/")
    plain = (
        stack.enter_context(rivals.files(new_folder(folder / "plain"), daemon.images, 1))
        .url("", 0)
        .rstrip("/")
    )
    plain_results = (
        stack.enter_context(rivals.files(new_folder(folder / "plain-results"), results, 1))
        .url("", 0)
        .rstrip("/")
    )
    thumbor = stack.enter_context(
        rivals.thumbor(new_folder(folder / "thumbor"), originals, keeps_results=True)
    )
    ipx = stack.enter_context(rivals.ipx(new_folder(folder / "ipx"), originals))
    careful = stack.enter_context(_careful(new_folder(folder / "careful"), daemon.images))
    files = [Ask(f"/{name}") for name in names]
    renditions = [Ask(f"/{name}/w{WIDTH}.jpg") for name in names]
    return {
        FILE: (
            {
                name: Case(url, files, images[0])
                for name, url in ((OURS, ours), (BEHIND, front), (CAREFUL, careful), (PLAIN, plain))
            }
            | _given(weed, names, images)
        ),
        RENDITION: {
            OURS: Case(ours, renditions, made[0]),
            BEHIND: Case(front, renditions, made[0]),
            PLAIN: Case(plain_results, files, made[0]),
            THUMBOR: _kept(thumbor, names),
            IPX: _kept(ipx, names),
        },
        UNCHANGED: {
            name: Case(url, _conditional(url, names))
            for name, url in ((OURS, ours), (BEHIND, front), (PLAIN, plain))
        },
    }


def _given(weed: SeaweedFS, names: Sequence[str], images: Sequence[bytes]) -> dict[str, Case]:
    """The images at SeaweedFS: by their names, and by numbers."""
    numbers = [weed.assign() for _ in names]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, (f"{weed.filer}/{name}" for name in names), images))
        list(pool.map(put, (f"{weed.volume}/{number}" for number in numbers), images))
    return {
        FILER: Case(weed.filer, [Ask(f"/{name}") for name in names], images[0]),
        VOLUME: Case(weed.volume, [Ask(f"/{number}") for number in numbers], images[0]),
    }


def add_many(
    servers: Mapping[str, Case], daemon: DaemonProcess, image: bytes, count: int
) -> dict[str, Case]:
    """More of the same."""
    numbers = range(count, round(count * BEYOND_MEMORY))
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda number: _store(daemon, _name(number), distinct(image, number)), numbers)
        )
    return {
        name: Case(
            servers[name].url,
            [*servers[name].asks, *(Ask(f"/{_name(number)}") for number in numbers)],
        )
        for name in (OURS, PLAIN)
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
        with urllib.request.urlopen(f"{url}/{name}") as answer:
            asks.append(Ask(f"/{name}", {"If-None-Match": answer.headers["ETag"]}))
    return asks


def check(name: str, case: Case) -> None:
    """Raise RuntimeError if the first answer is not what it has to be."""
    if case.body is not None and _get(case.url + case.asks[0].target) != case.body:
        raise RuntimeError(f"{name} answers {case.asks[0].target} with other bytes")


@contextlib.contextmanager
def _careful(folder: Path, root: Path) -> Iterator[str]:
    """Plain nginx, but links lead nowhere."""
    port = rivals.free_port()
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; error_log stderr crit; pid {folder}/nginx.pid;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; {temporary}
    server {{ listen 127.0.0.1:{port}; root {root}; disable_symlinks on from=$document_root; }}
}}
""")
    command = [
        rivals.program("nginx/usr/sbin/nginx"),
        "-e",
        "stderr",
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
    ]
    with rivals.running(command, folder, port):
        yield f"http://127.0.0.1:{port}"


def _name(number: int) -> str:
    return f"{number % 100}/{number}.jpg"


def _store(daemon: DaemonProcess, name: str, image: bytes) -> None:
    if daemon.proxy.store_image(image, name) != "OK":
        raise RuntimeError(name)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        body: bytes = answer.read()
    return body


def small_image() -> bytes:
    """A JPEG of some 27 KB."""
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


def new_folder(folder: Path) -> Path:
    """The folder, made."""
    folder.mkdir()
    return folder
