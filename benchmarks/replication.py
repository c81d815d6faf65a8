"""Replication, measured on one machine: what it costs a store, how soon a peer has it, how fast a
newcomer catches up, and what goes over the wire.

Real daemons on loopback, on the disk that holds the temporary folder. What is compared is
interleaved, or follows at once in the same run. Catching up is held against `rsync -a` of the same
tree, which neither hashes nor flushes what it writes, and against the same with --fsync, which does
flush it.
"""

import contextlib
import io
import os
import random
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.results import Chart, Goal, Section, Series, Table
from imagepipe.errors import FlushError
from imagepipe.storage.store import ImageFacts, StagedImage, Store
from tests.support.cluster import Cluster, eventually, mesh
from tests.support.daemon_process import DaemonProcess, text
from tests.support.proxy import FaultProxy

SIZES = {"20 KiB": 20 << 10, "300 KiB": 300 << 10}
GOAL = 0.7


def measure(folder: Path, *, quick: bool) -> Section:
    """What it costs a store, what goes over the wire, and newcomers over ipc and TCP."""
    calls, images = (20, 400) if quick else (300, 4000)
    stores = _stores(folder, calls)
    wire = _wire(folder, calls)
    found = [
        _catch_up(
            folder / f"{size}-{over_tcp}",
            label,
            size,
            images if size < 100_000 else images // 4,
            over_tcp=over_tcp,
        )
        for label, size in SIZES.items()
        for over_tcp in (False, True)
    ]
    rows = [row for rows, _, _ in found for row in rows]
    columns = (
        "newcomer",
        "way",
        "images/s",
        "MB/s",
        "relative to rsync -a",
        "relative to rsync -a --fsync",
    )
    catch_up = Table(
        "A newcomer catches up",
        columns,
        rows,
        "Three rounds in turn. `rsync -a` neither hashes nor flushes what it writes.",
    )
    goals = [
        Goal(f"a newcomer catches up with {what}, relative to rsync -a", GOAL, share)
        for _, share, what in found
    ]
    rates = {f"{row[0]}, {row[1]}": float(row[2].split()[0]) for row in rows}
    chart = Chart(
        "catch-up",
        "A newcomer catches up",
        "images/s",
        {name: [Series((rate,))] for name, rate in rates.items() if "20 KiB" in name},
    )
    return Section((stores, catch_up, wire), goals, (chart,))


def _stores(folder: Path, calls: int) -> Table:
    setups = {
        "no peers": ({"a": []}, 0),
        "two peers": (mesh("a", "b", "c"), 0),
        "two peers, min_acks = 1": (mesh("a", "b", "c"), 1),
    }
    print(f"Storing {calls} images of 20 KiB over XML-RPC, one client, the three setups in turn")
    with contextlib.ExitStack() as stack:
        running: dict[str, Cluster] = {}
        for number, (name, (links, acks)) in enumerate(setups.items()):
            (folder / f"setup{number}").mkdir()
            options = {"replication": {"min_acks": acks}}
            running[name] = stack.enter_context(Cluster(folder / f"setup{number}", links, options))
        proxies = {name: nodes["a"].proxy for name, nodes in running.items()}
        taken: dict[str, list[float]] = {name: [] for name in setups}
        visible: list[float] = []
        for number in range(calls):
            image = text(_image(20 << 10, number))
            for name, proxy in proxies.items():
                path = f"{number % 50}/{number}.jpg"
                started = time.perf_counter()
                proxy.store_image(image, path)
                taken[name].append(time.perf_counter() - started)
                if name == "two peers":
                    visible.append(_seconds_until(running[name]["b"].images / path))
        alone = statistics.median(taken["no peers"])
        rows = [
            (name, *_spread(seconds), f"{statistics.median(seconds) / alone:.2f}")
            for name, seconds in taken.items()
        ]
        rows.append(("from OK to visible on a peer, by the reader's clock", *_spread(visible), ""))
        for row in rows:
            print("  " + "  ".join(row))
        return Table(
            "Storing with peers",
            ("", "ms p50", "ms p99", "relative to no peers"),
            rows,
            f"{calls} images of 20 KiB over XML-RPC, one client, the three setups in turn.",
        )


def _wire(folder: Path, calls: int) -> Table:
    size = 100 << 10
    (folder / "wire").mkdir()
    with FaultProxy() as proxy:
        links = {"a": [], "b": ["a"]}
        with Cluster(folder / "wire", links, endpoints={("b", "a"): proxy.endpoint}) as nodes:
            proxy.target(nodes.publish("a"), nodes.publish("a") + ".sync")
            client = nodes["a"].proxy
            started = proxy.bytes_forwarded
            for number in range(calls):
                client.store_image(text(_image(size, number)), f"{number}.jpg")
            eventually(lambda: len(list(nodes["b"].images.glob("*.jpg"))) == calls)
            share = (proxy.bytes_forwarded - started) / (calls * size)
            print(f"  on the wire: {share:.3f} bytes per byte stored")
            return Table(
                "On the wire",
                ("", "bytes per byte stored"),
                [(f"{calls} images of 100 KiB, one at a time", f"{share:.3f}")],
            )


def _catch_up(
    folder: Path, label: str, size: int, images: int, *, over_tcp: bool
) -> tuple[list[tuple[str, ...]], float, str]:
    """A newcomer beside rsync, three times in turn: the rows of the table, the ratio of the medians
    to plain rsync, and what it was.
    """
    folder.mkdir()
    total = _fill(folder / "a" / "images", size, images)
    rates: dict[str, list[float]] = {"newcomer": [], "rsync -a": [], "rsync -a --fsync": []}
    # On two ports in a row, as they are by default: otherwise b would first have to be told where a
    # answers.
    each = (
        {"a": {"replication": {"publish": f"tcp://127.0.0.1:{_two_ports()}"}}} if over_tcp else None
    )
    nodes = Cluster(folder, {"a": [], "b": ["a"]}, over_tcp=over_tcp, each=each)
    try:
        nodes.start("a")
        for _ in range(3):
            for name, options in (("rsync -a", ["-a"]), ("rsync -a --fsync", ["-a", "--fsync"])):
                target = folder / "copy"
                started = time.perf_counter()
                subprocess.run(
                    [
                        "rsync",
                        *options,
                        "--exclude",
                        "/.imagepipe",
                        f"{folder}/a/images/",
                        f"{target}/",
                    ],
                    check=True,
                )
                rates[name].append(images / (time.perf_counter() - started))
                shutil.rmtree(target)
            nodes.start("b")
            target = folder / "b" / "images"
            eventually(partial(_has_heard, nodes["b"]), seconds=60)
            started = time.perf_counter()
            eventually((target / _path(images - 1)).exists, seconds=600)
            rates["newcomer"].append(images / (time.perf_counter() - started))
            nodes["b"].stop()
            assert sum(1 for _ in _files(folder / "b" / "images")) == images
            nodes.lose("b")
    finally:
        nodes.clean_up()
    what = f"{images} images of {label} over {'TCP' if over_tcp else 'ipc'}"
    medians = {name: statistics.median(found) for name, found in rates.items()}
    rows = []
    for name, found in rates.items():
        bytes_each = total / images
        shares = [
            f"{medians[name] / medians[other]:.2f}" if name == "newcomer" else ""
            for other in ("rsync -a", "rsync -a --fsync")
        ]
        rows.append(
            (
                what,
                name,
                Series(tuple(found)).text(),
                f"{medians[name] * bytes_each / 1e6:.1f}",
                *shares,
            )
        )
        print("  " + "  ".join(rows[-1]))
    return rows, medians["newcomer"] / medians["rsync -a"], what


def _fill(root: Path, size: int, images: int) -> int:
    """Store `images` images in a new store, without a daemon; the bytes in all."""

    def fail(error: FlushError) -> None:
        raise error

    root.parent.mkdir()
    store = Store.open(root, umask=0o022, now_ms=lambda: time.time_ns() // 1_000_000, on_fatal=fail)
    store.start()

    def put(number: int) -> int:
        image = _image(size, number)
        with store.staging() as folder:
            (folder / "0").write_bytes(image)
            store.put([StagedImage(_path(number), folder / "0", ImageFacts("jpeg", 8, 8))])
        return len(image)

    with ThreadPoolExecutor(16) as pool:
        total = sum(pool.map(put, range(images - 1)))
    total += put(images - 1)  # the last is the newest, so it arrives last
    store.close()
    return total


def _image(size: int, number: int) -> bytes:
    """A JPEG of `size` bytes: a small picture, and random bytes after it, which no step on the way
    could compress.
    """
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, 0, 0)).save(file, "JPEG")
    return file.getvalue() + random.Random(number).randbytes(size - len(file.getvalue()))


def _path(number: int) -> str:
    return f"{number % 100:02d}/{number}.jpg"


def _seconds_until(path: Path) -> float:
    started = time.perf_counter()
    while not path.exists():
        os.sched_yield()
    return time.perf_counter() - started


def _two_ports() -> int:
    """A free port with a free one after it; free a moment ago, at least."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port


def _has_heard(node: DaemonProcess) -> bool:
    return any("is connected: node" in line for line in node.log)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("*/*.jpg"))


def _spread(seconds: Sequence[float]) -> tuple[str, str]:
    """The median and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return (
        f"{1000 * statistics.median(ordered):.1f}",
        f"{1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]:.1f}",
    )
