"""From a file to the picture that is encoded: milliseconds, and PSNR against the same scaling of
the whole source. `settings` runs it.

`shrink` and `scale` are the decoder's own; `average` is a mean of blocks as they are read; what
then is left, `keeps`, is resampled.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from benchmarks.photographs import photographs
from benchmarks.results import Table
from benchmarks.similarity import psnr, reference, spread

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """What is decoded to which width, and in which ways: imagepipe's settings first."""

    megapixels: float
    format: str
    width: int
    ways: Sequence[Options]


CASES = (
    Case(12, "jpeg", 500, [{"shrink": n} for n in (4, 1, 2, 8)]),
    Case(
        12,
        "jpeg",
        500,
        [
            {"shrink": 4},
            *({"shrink": 4, "gap": n} for n in (1.0, 2.0, 4.0)),
            *({"shrink": 4, "kernel": name} for name in ("lanczos2", "cubic")),
        ],
    ),
    Case(
        12,
        "jpeg",
        500,
        [
            {"shrink": 4},
            {"shrink": 4, "access": "random"},
            {"shrink": 4, "fail_on": "none"},
            {"shrink": 4, "fail_on": "warning"},
        ],
    ),
    Case(
        12,
        "jpeg",
        1200,
        [{"shrink": 2}, {"shrink": 1}, {"shrink": 1, "gap": 1.0}, {"shrink": 1, "gap": 2.0}],
    ),
    Case(12, "jpeg", 1333, [{"shrink": 2}, {"shrink": 1}]),
    Case(8, "jpeg", 500, [{"shrink": 2}, {"shrink": 4}]),
    Case(12, "webp", 500, [{"scale": 0.25}, {}, {"scale": 0.5}, {"scale": 0.125}]),
    Case(12, "webp", 1200, [{}, {"scale": 0.5}]),
    Case(12, "png", 500, [{"average": 4}, {}, {"average": 2}, {"average": 8}]),
)

_LOADERS = {"jpeg": "jpegload", "webp": "webpload", "png": "pngload"}


def table(*, quick: bool) -> Table:
    """Every case, its ways in turn."""
    rows = []
    for case in CASES[:1] if quick else CASES:
        sources = photographs(case.megapixels, case.format, 8)[: 1 if quick else 3]
        milliseconds: list[list[float]] = [[] for _ in case.ways]
        for _ in range(1 if quick else 3):
            for source in sources:
                for of_way, way in zip(milliseconds, case.ways, strict=True):
                    started = time.perf_counter()
                    scaled(source, case.format, case.width, way)
                    of_way.append(1000 * (time.perf_counter() - started))
        wholes = [
            reference(source, (case.width, case.width * 3 // 4), linear=False) for source in sources
        ]
        for of_way, way in zip(milliseconds, case.ways, strict=True):
            made = [_pixels(scaled(source, case.format, case.width, way)) for source in sources]
            decibels = [psnr(whole, pixels) for whole, pixels in zip(wholes, made, strict=True)]
            what = ", ".join(f"{name} {value}" for name, value in way.items()) or "all of it"
            job = f"{case.megapixels:g} megapixels {case.format} to {case.width}"
            rows.append(
                (
                    job,
                    what,
                    f"{_keeps(sources[0], case, way):.2f}",
                    f"{statistics.median(of_way):.0f}",
                    spread(decibels, ".1f"),
                )
            )
            print("  " + "  ".join(rows[-1]))
    note = (
        "The first row of each source is imagepipe's. Unless stated otherwise: gap 3, kernel"
        " lanczos3, access sequential, fail_on error. dB: mean (minimum to maximum)."
    )
    return Table("Decoder settings", ("source", "how", "keeps", "ms", "dB"), rows, note)


def scaled(source: Path, format: str, width: int, options: Options) -> pyvips.Image:
    """The picture at `width`, in memory."""
    own = ("gap", "kernel", "average")
    loading = {"access": "sequential", "fail_on": "error"} | {
        name: value for name, value in options.items() if name not in own
    }
    read = pyvips.Operation.call(_LOADERS[format], str(source), **loading)
    if "average" in options:
        read = read.shrink(options["average"], options["average"])
    height = width * 3 // 4
    small = read.resize(
        width / read.width,
        vscale=height / read.height,
        kernel=options.get("kernel", "lanczos3"),
        gap=options.get("gap", 3.0),
    )
    return small.copy_memory()


def _keeps(source: Path, case: Case, way: Options) -> float:
    whole = pyvips.Image.new_from_file(str(source)).width
    return float(
        whole * way.get("scale", 1) / way.get("shrink", 1) / way.get("average", 1) / case.width
    )


def _pixels(picture: pyvips.Image) -> np.typing.NDArray[np.float64]:
    return np.asarray(picture.numpy(), dtype=np.float64)[..., :3]
