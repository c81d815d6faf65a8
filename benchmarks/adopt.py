"""How long `imagepipe adopt` takes for a tree of small images, and how much memory; killed with
SIGKILL half-way, and continued.

    python benchmarks/adopt.py FOLDER [COUNT]

FOLDER is made, and removed afterwards. Each image is a PNG of 48 x 48 pixels of noise, about 7 KB,
all different; 100 of them share a folder.
"""

import os
import random
import shutil
import signal
import struct
import sys
import time
import zlib
from pathlib import Path

from imagepipe.config import load
from imagepipe.daemon.offline import adopt_tree
from imagepipe.storage.adopt import Adopted

SIDE = 48


def main() -> None:
    """Make the tree, adopt it in two runs, and check that nothing is left to do."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    images = folder / "images"
    images.mkdir(parents=True)
    try:
        noise = random.Random(1)  # the same noise each time
        for number in range(count):
            file = images / str(number // 10_000) / str(number // 100) / f"{number}.png"
            if number % 100 == 0:
                file.parent.mkdir(parents=True)
            file.write_bytes(png(noise))
        (folder / "imagepipe.ini").write_text(f"[images]\npath = {images}\n")
        print(
            f"{count} files,"
            f" {sum(file.stat().st_size for file in images.rglob('*.png')) / 1e6:.0f} MB",
            flush=True,
        )
        run(folder, "killed half-way", kill_at=count // 2)
        run(folder, "continued", kill_at=0)
        run(folder, "once more", kill_at=0)
    finally:
        shutil.rmtree(folder)


def png(noise: random.Random) -> bytes:
    """An image of noise."""
    rows = b"".join(b"\0" + noise.randbytes(3 * SIDE) for _ in range(SIDE))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows, 1)),
            (b"IEND", b""),
        )
    )


def run(folder: Path, name: str, *, kill_at: int) -> None:
    """Adopt in a process of its own, which kills itself when it has taken in `kill_at` files; 0: it
    does not.
    """
    began = time.monotonic()
    child = os.fork()
    if not child:
        adopt(folder, kill_at)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    ended = "SIGKILL" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
    print(
        f"{name}: {time.monotonic() - began:.1f} s, {used.ru_maxrss / 1024:.0f} MiB at most,"
        f" {ended}",
        flush=True,
    )


def adopt(folder: Path, kill_at: int) -> None:
    """What the command does."""

    def on_progress(so_far: Adopted) -> None:
        if kill_at and so_far.files >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    print(adopt_tree(load(folder / "imagepipe.ini"), on_progress, print, dry_run=False), flush=True)


if __name__ == "__main__":
    main()
