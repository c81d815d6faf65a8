"""What the machine could do: the same outputs made in process, by two workers, with no network and
no flush; and the way of the first imagepipe, one `convert` for each size.

with Workers(libvips) as workers:
    seconds = workers.run([b"...", ...], (500, 250, 50), folder)
"""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

Way = Callable[[Path, Sequence[int], Path], None]

CONVERT = "/usr/bin/convert"
QUALITY = 85


def libvips(source: Path, sides: Sequence[int], folder: Path) -> None:
    """One decode at the scale that leaves the resampler a factor of 2, then each size from the one
    before, encoded with imagepipe's settings.
    """
    import pyvips  # in the workers alone, which set it up

    largest = max(sides)
    picture = pyvips.Image.new_from_file(str(source))
    longest = max(picture.width, picture.height)
    width, height = picture.width, picture.height
    if picture.get("vips-loader").startswith("jpeg"):
        shrink = next((n for n in (8, 4, 2) if longest >= 2 * n * largest), 1)
        picture = pyvips.Image.jpegload(str(source), shrink=shrink, access="sequential")
    else:
        picture = pyvips.Image.new_from_file(str(source), access="sequential")
    picture = picture.copy_memory()
    for side in sorted(sides, reverse=True):
        scale = min(side / width, side / height)
        across, down = max(1, round(width * scale)), max(1, round(height * scale))
        picture = picture.resize(
            across / picture.width, vscale=down / picture.height, gap=3.0
        ).copy_memory()
        target = str(folder / f"{source.name}-{side}.jpg")
        picture.jpegsave(
            target, Q=QUALITY, quant_table=3, optimize_coding=across * down <= 100_000, keep="none"
        )


def pillow(source: Path, sides: Sequence[int], folder: Path) -> None:
    """One decode, at a fitting draft scale, then a resize and an encoding for each side."""
    from PIL import Image

    with Image.open(source) as picture:
        width, height = picture.size
        largest = max(sides)
        picture.draft(
            "RGB",
            (2 * largest * width // max(width, height), 2 * largest * height // max(width, height)),
        )
        whole = picture.convert("RGB")
    for side in sides:
        scale = min(side / width, side / height)
        resized = whole.resize(
            (max(1, round(width * scale)), max(1, round(height * scale))),
            Image.Resampling.LANCZOS,
            reducing_gap=3.0,
        )
        resized.save(folder / f"{source.name}-{side}.jpg", quality=QUALITY, optimize=True)


def convert_per_size(source: Path, sides: Sequence[int], folder: Path) -> None:
    """A `convert` for each size, as the first imagepipe did."""
    for side in sides:
        target = folder / f"{source.name}-{side}.jpg"
        command = [
            CONVERT,
            str(source),
            "-auto-orient",
            "-resize",
            f"{side}x{side}>",
            "-quality",
            str(QUALITY),
            str(target),
        ]
        subprocess.run(
            command, check=True, env={"PATH": "/usr/bin:/bin", "MAGICK_THREAD_LIMIT": "1"}
        )


class Workers:
    """Two processes that are warm, and do one image after the other."""

    def __init__(self, way: Way, count: int = 2) -> None:
        self._way = way
        # Started anew, not forked: libvips does not survive a fork.
        self._pool = multiprocessing.get_context("spawn").Pool(count, _begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def run(self, sources: Sequence[Path], sides: Sequence[int], folder: Path) -> float:
        """Render every source; the seconds that all took."""
        started = time.perf_counter()
        self._pool.starmap(self._way, [(source, sides, folder) for source in sources], chunksize=1)
        return time.perf_counter() - started


def _begin() -> Any:
    os.environ["VIPS_CONCURRENCY"] = "1"
    try:
        import pyvips
    except ImportError:
        return
    pyvips.cache_set_max(0)
