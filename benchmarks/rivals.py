"""The image servers that imagepipe is compared with, each as its documentation starts it, over one
folder of originals.

    with thumbor(folder, originals) as server:
        server.url("a.jpg", 500)         the original a.jpg, 500 pixels wide, JPEG of quality 85

All may use both cores: two processes where a process has one, and their own threads where they have
some. None keeps a result.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache"
QUALITY = 85
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. `url` gives the URL of the original with this name at this width;
    `process_id` leads its processes.
    """

    name: str
    url: Callable[[str, int], str]
    process_id: int


Starter = Callable[[Path, Path], AbstractContextManager[Server]]


@contextlib.contextmanager
def thumbor(folder: Path, originals: Path, *, keeps_results: bool = False) -> Iterator[Server]:
    """Thumbor, with two processes, and its file storage for results if `keeps_results`."""
    lines = {
        "LOADER": "thumbor.loaders.file_loader",
        "FILE_LOADER_ROOT_PATH": str(originals),
        "STORAGE": "thumbor.storages.no_storage",
        "QUALITY": QUALITY,
        "ALLOW_UNSAFE_URL": True,
        "AUTO_WEBP": False,
    }
    if keeps_results:
        lines |= {
            "RESULT_STORAGE": "thumbor.result_storages.file_storage",
            "RESULT_STORAGE_FILE_STORAGE_ROOT_PATH": str(folder / "results"),
            "RESULT_STORAGE_STORES_UNSAFE": True,
        }
    (folder / "thumbor.conf").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in lines.items())
    )
    port = free_port()
    command = [
        program("thumbor/bin/thumbor"),
        "--port",
        str(port),
        "--ip",
        "127.0.0.1",
        "--processes",
        "2",
        "--conf",
        str(folder / "thumbor.conf"),
    ]
    with running(command, folder, port) as process_id:
        yield Server(
            "thumbor",
            lambda name, width: f"http://127.0.0.1:{port}/unsafe/{width}x0/{name}",
            process_id,
        )


@contextlib.contextmanager
def ipx(folder: Path, originals: Path) -> Iterator[Server]:
    """ipx, which is sharp behind a server: one process of Node, whose images are made by its
    threads.
    """
    port = free_port()
    command = [
        "node",
        program("ipx/node_modules/ipx/bin/ipx.mjs"),
        "serve",
        "--dir",
        str(originals),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with running(command, folder, port, {"NODE_ENV": "production"}) as process_id:
        yield Server(
            "ipx",
            lambda name, width: f"http://127.0.0.1:{port}/w_{width},q_{QUALITY}/{name}",
            process_id,
        )


@contextlib.contextmanager
def image_filter(folder: Path, originals: Path) -> Iterator[Server]:
    """An nginx with its image_filter module, two workers."""
    port = free_port()
    unpacked = CACHE / "image-filter/usr"
    (folder / "filter.conf").write_text(f"""
daemon off; worker_processes 2; error_log stderr crit; pid {folder}/filter.pid; {_user()}
load_module {unpacked}/lib/nginx/modules/ngx_http_image_filter_module.so;
events {{ worker_connections 1024; }}
http {{
    access_log off; {_temporary(folder)}
    server {{
        listen 127.0.0.1:{port}; root {originals};
        location ~ ^/(\\d+)/(.+)$ {{
            alias {originals}/$2;
            image_filter resize $1 -; image_filter_jpeg_quality {QUALITY}; image_filter_buffer 200M;
        }}
    }}
}}
""")
    command = [
        program("image-filter/usr/sbin/nginx"),
        "-e",
        "stderr",
        "-p",
        str(folder),
        "-c",
        str(folder / "filter.conf"),
    ]
    with running(command, folder, port) as process_id:
        yield Server(
            "nginx image_filter",
            lambda name, width: f"http://127.0.0.1:{port}/{width}/{name}",
            process_id,
        )


@contextlib.contextmanager
def files(folder: Path, root: Path, workers: int = 2) -> Iterator[Server]:
    """Plain nginx over a folder of files; the width is ignored."""
    port = free_port()
    (folder / "files.conf").write_text(f"""
daemon off; worker_processes {workers}; error_log stderr crit; pid {folder}/files.pid; {_user()}
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; {_temporary(folder)}
    server {{ listen 127.0.0.1:{port}; root {root}; }} }}
""")
    command = [
        program("image-filter/usr/sbin/nginx"),
        "-e",
        "stderr",
        "-p",
        str(folder),
        "-c",
        str(folder / "files.conf"),
    ]
    with running(command, folder, port) as process_id:
        yield Server("nginx", lambda name, _: f"http://127.0.0.1:{port}/{name}", process_id)


@contextlib.contextmanager
def pilbox(folder: Path, originals: Path) -> Iterator[Server]:
    """pilbox, one process as it comes; it takes originals by HTTP alone, here from nginx."""
    port = free_port()
    arguments = [
        f"--port={port}",
        f"--quality={QUALITY}",
        "--logging=error",
        "--max-resize-width=20000",
        "--timeout=60",
    ]
    command = [program("pilbox/bin/python"), "-m", "pilbox.app", *arguments]
    with files(folder, originals, 1) as origin, running(command, folder, port) as process_id:
        yield Server(
            "pilbox",
            lambda name, width: (
                f"http://127.0.0.1:{port}/?url={origin.url(name, 0)}&w={width}&mode=scale"
            ),
            process_id,
        )


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def program(path: str) -> str:
    """A program that `make bench` has put below .cache; FileNotFoundError if it could not."""
    found = CACHE / path
    if not found.exists():
        raise FileNotFoundError(f"{found} is missing: `make bench` fetches it")
    return str(found)


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """The command, once it listens on `port`; it and its children are gone at the end."""
    with (folder / f"{Path(command[0]).name}-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not listen on {port}") from None
            time.sleep(0.05)
        else:
            return


def _user() -> str:
    # As root it would become nobody, who may not read what root has made.
    return "user root;" if os.geteuid() == 0 else ""


def _temporary(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


if __name__ == "__main__":  # each of them, once
    import tempfile

    for starter in (thumbor, ipx, image_filter, pilbox, files):
        with (
            tempfile.TemporaryDirectory() as name,
            starter(Path(name), Path(sys.argv[1]).absolute()) as server,
        ):
            answer = urllib.request.urlopen(server.url(sys.argv[2], 500)).read()
            sys.stdout.write(f"{server.name}: {len(answer)} bytes\n")
