"""Clusters of real daemons on one machine, for tests: who pulls from whom, started, killed, and
compared.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess

Links = Mapping[str, Sequence[str]]
"""Node -> the nodes that it pulls from."""

Options = Mapping[str, Mapping[str, object]]
"""{section: {option: value}}."""

_POLL_SECONDS = 0.02


def ring(*names: str) -> Links:
    """Each pulls from the one before it."""
    return {name: [names[at - 1]] for at, name in enumerate(names)}


def chain(*names: str) -> Links:
    """Each pulls from its neighbours."""
    return {
        name: [*names[max(0, at - 1) : at], *names[at + 1 : at + 2]]
        for at, name in enumerate(names)
    }


def star(*names: str) -> Links:
    """All pull from the first, and it from all."""
    return {names[0]: names[1:], **{name: [names[0]] for name in names[1:]}}


def mesh(*names: str) -> Links:
    """Everyone pulls from everyone."""
    return {name: [other for other in names if other != name] for name in names}


class Cluster:
    """Daemons below `folder`, linked by ipc sockets in a folder of their own (pytest's paths are
    too long for a socket).

    options: for all nodes; each: for single ones. endpoints: where peers reach a node, if not where
    it publishes, as with a proxy in between. over_tcp: on ports that the system chooses; nodes are
    then started in order, and reach only those started before. named: they know each other by name.
    As a context manager it starts the nodes and ends every process, as `clean_up` does.
    """

    def __init__(
        self,
        folder: Path,
        links: Links,
        options: Options | None = None,
        endpoints: Mapping[tuple[str, str], str] | None = None,
        each: Mapping[str, Options] | None = None,
        *,
        over_tcp: bool = False,
        named: bool = False,
    ) -> None:
        self.links = {name: list(peers) for name, peers in links.items()}
        self.nodes: dict[str, DaemonProcess] = {}
        self._folder = folder
        self._options = options or {}
        self._endpoints = endpoints or {}
        self._each = each or {}
        self._over_tcp = over_tcp
        self._named = named
        self._sockets = Path(tempfile.mkdtemp(prefix="imagepipe-"))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.clean_up()

    def publish(self, name: str) -> str:
        """Where a node publishes; over TCP only once it has started."""
        return (
            self._listens(name, "publishing on")
            if self._over_tcp
            else f"ipc://{self._sockets / name}"
        )

    def sync(self, name: str) -> str:
        """Where a node answers its peers; once it has started."""
        return self._listens(name, "answering on")

    def start(self, *names: str, options: Options | None = None) -> None:
        """Start nodes, all of them if none is named; those that ran before on the folder that they
        had. `options` are for this time.
        """
        for name in names or self.links:
            if name in self.nodes:
                self.nodes[name].clean_up()
            self.nodes[name] = self._made(name, options or {})
            self.nodes[name].launch()
            if self._over_tcp:
                self.nodes[name].wait_until_ready()
        for name in names or self.links:
            if not self._over_tcp:
                self.nodes[name].wait_until_ready()

    def __getitem__(self, name: str) -> DaemonProcess:
        return self.nodes[name]

    def _made(self, name: str, options: Options) -> DaemonProcess:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        peers = [
            self._endpoints.get((name, peer)) or f"{self._prefix(name, peer)}{self.publish(peer)}"
            for peer in self.links[name]
        ]
        replication: dict[str, object] = {
            "publish": "tcp://127.0.0.1:0" if self._over_tcp else self.publish(name)
        }
        if peers:
            replication["subscribe"] = ", ".join(peers)
        merged: dict[str, dict[str, object]] = {"replication": replication}
        for more in (self._options, self._each.get(name, {}), options):
            for section, values in more.items():
                merged[section] = merged.get(section, {}) | dict(values)
        return DaemonProcess(folder, merged)

    def _prefix(self, name: str, peer: str) -> str:
        return (
            f"{peer}@"
            if self._named or "keys" in self._each.get(name, {}).get("replication", {})
            else ""
        )

    def _listens(self, name: str, where: str) -> str:
        [endpoint] = re.findall(rf"{where} ([^\s,]+)", "".join(self.nodes[name].log))
        return str(endpoint)

    def lose(self, name: str) -> None:
        """Remove the folder of a node that is not running."""
        shutil.rmtree(self.nodes[name].images)

    def back_up(self, name: str) -> None:
        """Back up the folder of a node that is not running."""
        copy(self.nodes[name].images, self._folder / f"{name}.backup")

    def restore(self, name: str) -> None:
        """Restore the backup of a node that is not running."""
        shutil.rmtree(self.nodes[name].images)
        copy(self._folder / f"{name}.backup", self.nodes[name].images)

    def clone(self, name: str, onto: str) -> None:
        """Replace one node's folder with a copy of another's; neither is running afterwards."""
        self.nodes[onto].stop()
        shutil.rmtree(self.nodes[onto].images)
        copy(self.nodes[name].images, self.nodes[onto].images)

    def wait_until_equal(self, *names: str) -> dict[str, bytes]:
        """Wait until the nodes' trees are byte-identical, and stay so; return one of them."""
        some = [self.nodes[name] for name in names or self.nodes]

        def equal() -> bool:
            first = tree(some[0])
            return all(tree(one) == first for one in some[1:])

        eventually(
            equal, lambda: "\n".join(f"{one.folder.name}: {len(tree(one))} files" for one in some)
        )
        return tree(some[0])

    def wait_until_all_have(self, images: Mapping[str, bytes], *names: str) -> None:
        """Wait until the nodes' trees hold exactly these files."""
        for name in names or self.nodes:
            node = self.nodes[name]
            eventually(
                lambda node=node: tree(node) == images,  # type: ignore[misc]
                lambda node=node: (  # type: ignore[misc]
                    f"{node.folder.name} has {sorted(tree(node))}"
                ),
            )

    def clean_up(self) -> None:
        """End every process that is left."""
        for node in self.nodes.values():
            node.clean_up()
        shutil.rmtree(self._sockets, ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Copy a data folder as an operator would."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def tree(node: DaemonProcess) -> dict[str, bytes]:
    """The served files; one that disappears meanwhile is left out."""
    found = {}
    for folder, folders, files in os.walk(node.images):
        if ".imagepipe" in folders:
            folders.remove(".imagepipe")
        for name in files:
            if not name.startswith(".imagepipe-"):
                path = Path(folder) / name
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    found[str(path.relative_to(node.images))] = path.read_bytes()
    return found


def eventually(
    condition: Callable[[], bool],
    what: Callable[[], str] = lambda: "",
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Wait until `condition` holds, by polling, because another process sends no event.
    AssertionError reports `what` was seen instead.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, what()
        pause.wait(_POLL_SECONDS)
