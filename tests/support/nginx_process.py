"""A real nginx with contrib/nginx.conf, for tests: on a free port of loopback, as the user who runs
the tests, all its files in one folder.
"""

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.daemon_process import DaemonProcess
from tests.support.repository import ROOT

CONFIGURATION = ROOT / "contrib/nginx.conf"
PATIENCE_SECONDS = 60

_MAIN = """
user {user};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/imagepipe.conf;
}}
"""


def _program() -> Path:
    unpacked = ROOT / ".cache/nginx/usr/sbin/nginx"
    installed = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    program = Path(installed) if installed else unpacked
    assert program.is_file(), f"{program} is missing: `make test` fetches it"
    return program


def configuration(
    daemon: DaemonProcess, cache: Path, listen: str, changes: Mapping[str, str]
) -> str:
    """contrib/nginx.conf for `daemon`, with these words in place of others; each stands in
    it once.
    """
    text = CONFIGURATION.read_text()
    operators = {
        "127.0.0.1:7000;": f"{urlsplit(daemon.http_url).netloc};",
        "/var/cache/imagepipe-nginx": str(cache),
        "listen 80;": f"listen {listen};",
        "/srv/imagepipe/images": str(daemon.images),
    }
    for old, new in {**operators, **changes}.items():
        assert text.count(old) == 1, (
            f"{CONFIGURATION} has {old!r} not once but {text.count(old)} times"
        )
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(
    folder: Path, daemon: DaemonProcess, changes: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The URL of an nginx in front of a daemon, gone at the end; its log is in `folder`/error.log.

    It gets a socket that listens already, as one nginx hands it to the next: whoever connects
    before it is ready is answered when it is.
    """
    folder.mkdir(exist_ok=True)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=511) as listener,
        (folder / "error.log").open("wb") as log,
    ):
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        (folder / "imagepipe.conf").write_text(
            configuration(daemon, folder / "cache", listen, changes or {})
        )
        user = f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
        (folder / "nginx.conf").write_text(_MAIN.format(user=user, folder=folder))
        process = subprocess.Popen(
            [str(_program()), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield f"http://{listen}/"
        process.send_signal(signal.SIGQUIT)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
