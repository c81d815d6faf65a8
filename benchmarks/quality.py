"""Picture quality beside the rivals': beside sharp's at equal bytes, and, in `scaling`, beside
thumbor's way to scale.

Renditions at several qualities give a curve of quality over bytes for each of the two; what is told
is the mean height of ours over sharp's where they overlap. sharp is called as ipx calls it. The
reference is the whole source, scaled in linear light (likeness.py).
"""

import json
import math
import multiprocessing
import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.photographs import photographs
from benchmarks.results import Goal, Section, Table
from benchmarks.rivals import program
from benchmarks.scaling import beside_thumbor, render
from benchmarks.similarity import gain, picture, reference, spread, ssim, ssimulacra2
from imagepipe.core.rendering.formats import AVIF, JPEG, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import OutputRequest
from imagepipe.engines.vips.vips_engine import VipsEngine

QUALITIES = (60, 70, 80, 90)
AVIF_QUALITIES = (35, 45, 55, 65)
"""Its own scale: these give about as many bytes."""


@dataclass(frozen=True, slots=True)
class Case:
    """A source, how wide its rendition is, and as what."""

    source: Path
    width: int
    format: Format

    @property
    def qualities(self) -> Sequence[int]:
        return AVIF_QUALITIES if self.format == AVIF else QUALITIES

    @property
    def size(self) -> tuple[int, int]:
        """The rendition's; the photographs are of 4:3."""
        return self.width, self.width * 3 // 4


@dataclass(frozen=True, slots=True)
class Curve:
    """Bytes, SSIMULACRA2 and SSIM at each quality."""

    bytes: Sequence[float]
    scores: Sequence[float]
    similarities: Sequence[float]


def measure(folder: Path, *, quick: bool) -> Section:
    """Both comparisons."""
    engine = VipsEngine()
    try:
        scaling = beside_thumbor(engine, folder, 1 if quick else 4)
        equal_bytes = _equal_bytes(engine, folder, list(_cases(quick=quick)))
    finally:
        engine.close()
    return Section((*equal_bytes.tables, *scaling.tables), (*equal_bytes.goals, *scaling.goals))


def _cases(*, quick: bool) -> Iterator[Case]:
    for megapixels in (12,) if quick else (4, 8, 12):
        sources = photographs(megapixels, "jpeg", 8)
        for format in (JPEG, WEBP, AVIF):
            yield from (
                Case(source, 500, format)
                for source in sources[: 2 if quick else 3 if format == AVIF else 8]
            )
            if not quick and format != AVIF:
                # SSIMULACRA2 of 1200x900 pixels takes seconds.
                yield from (
                    Case(source, 1200, format) for source in sources[: 2 if megapixels == 12 else 1]
                )


def _equal_bytes(engine: VipsEngine, folder: Path, cases: Sequence[Case]) -> Section:
    print(
        f"Quality at equal bytes: {len(cases)} cases,"
        f" {sum(2 * len(case.qualities) for case in cases)} renditions"
    )
    ours = [_render(engine, case, folder / f"imagepipe-{n}") for n, case in enumerate(cases)]
    theirs = _sharp(cases, folder)
    # As long as nothing is timed, both cores may score.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        curves = list(pool.map(_curves, cases, ours, theirs))
    rows, goals = [], []
    for format in (JPEG, WEBP, AVIF):
        for width in sorted({case.width for case in cases if case.format == format}):
            of = [
                pair
                for case, pair in zip(cases, curves, strict=True)
                if (case.format, case.width) == (format, width)
            ]
            rows.append((str(format), str(width), str(len(of)), *_compared(of)))
            print("  " + "  ".join(rows[-1]))
        mean = statistics.mean(
            _score_gain(pair)
            for case, pair in zip(cases, curves, strict=True)
            if case.format == format
        )
        goals.append(
            Goal(
                f"quality at equal bytes, {format}: SSIMULACRA2 above sharp's, mean of the"
                " pictures",
                0.0,
                mean,
                unit=" points",
            )
        )
    columns = (
        "format",
        "width",
        "pictures",
        "SSIMULACRA2, ours minus sharp's",
        "bytes for equal SSIMULACRA2",
        "SSIM, ours minus sharp's",
        "our SSIMULACRA2",
    )
    note = (
        f"Photographs of {', '.join(sorted({case.source.parent.name for case in cases}))};"
        f" qualities {QUALITIES[0]} to {QUALITIES[-1]}, AVIF {AVIF_QUALITIES[0]} to"
        f" {AVIF_QUALITIES[-1]}; mean (minimum to maximum) of the pictures."
    )
    return Section(
        (Table("Image quality compared with sharp at equal bytes", columns, rows, note),), goals
    )


def _render(engine: VipsEngine, case: Case, folder: Path) -> list[Path]:
    requests = [
        OutputRequest(f"{quality}", Size(*case.size), case.format, quality=quality)
        for quality in case.qualities
    ]
    return render(engine, case.source, requests, folder)


def _sharp(cases: Sequence[Case], folder: Path) -> list[list[Path]]:
    targets = [
        [folder / f"sharp-{n}-{quality}" for quality in case.qualities]
        for n, case in enumerate(cases)
    ]
    jobs = [
        {
            "source": str(case.source),
            "width": case.width,
            "format": str(case.format),
            "quality": quality,
            "target": str(target),
        }
        for case, of_case in zip(cases, targets, strict=True)
        for quality, target in zip(case.qualities, of_case, strict=True)
    ]
    modules = Path(program("ipx/node_modules"))
    command = ["node", str(Path(__file__).with_name("sharp.js"))]
    subprocess.run(
        command,
        input="\n".join(map(json.dumps, jobs)),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"NODE_PATH": str(modules)},
    )
    return targets


def _curves(case: Case, ours: Sequence[Path], theirs: Sequence[Path]) -> tuple[Curve, Curve]:
    original = reference(case.source, case.size, linear=True)
    curves = []
    for files in (ours, theirs):
        made = [picture(file) for file in files]
        curves.append(
            Curve(
                [file.stat().st_size for file in files],
                [ssimulacra2(original, each) for each in made],
                [ssim(original, each) for each in made],
            )
        )
    return curves[0], curves[1]


def _score_gain(pair: tuple[Curve, Curve]) -> float:
    ours, theirs = pair
    return gain(ours.bytes, ours.scores, theirs.bytes, theirs.scores)


def _compared(pairs: Sequence[tuple[Curve, Curve]]) -> tuple[str, str, str, str]:
    scores = [_score_gain(pair) for pair in pairs]
    similarities = [
        gain(ours.bytes, ours.similarities, theirs.bytes, theirs.similarities)
        for ours, theirs in pairs
    ]
    sizes = [
        gain(
            ours.scores,
            [math.log(n) for n in ours.bytes],
            theirs.scores,
            [math.log(n) for n in theirs.bytes],
        )
        for ours, theirs in pairs
    ]
    percent = [100 * (math.exp(size) - 1) for size in sizes]
    levels = [statistics.mean(ours.scores) for ours, _ in pairs]
    return (
        spread(scores, "+.2f"),
        spread(percent, "+.1f", " %"),
        spread(similarities, "+.4f"),
        spread(levels, ".1f"),
    )
