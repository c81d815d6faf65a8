"""Scaling beside thumbor: PSNR against the same scaling of the source decoded in full. Its way is
taken step by step with Pillow, and from its own answers.

thumbor decodes a JPEG at the smallest power of two that is not below the size that is wanted, and
resamples what is left.
"""

import statistics
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import rivals
from benchmarks.photographs import photographs
from benchmarks.results import Goal, Section, Table
from benchmarks.similarity import Picture, picture, psnr, reference, spread
from imagepipe.core.rendering.formats import JPEG, PNG
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import OutputRequest
from imagepipe.core.rendering.plan import RenderSettings, plan_render
from imagepipe.engines.vips.vips_engine import VipsEngine

SIZE = (500, 375)
MEGAPIXELS = (4, 8, 12)
DECIBELS_OVER_THUMBOR = 6.0

OURS, THEIRS = "imagepipe, before encoding", "thumbor's way, before encoding"
OURS_ENCODED, THEIRS_ENCODED = (
    "imagepipe, JPEG of quality 100",
    "thumbor's answer, JPEG of quality 100",
)


def beside_thumbor(engine: VipsEngine, folder: Path, count: int) -> Section:
    """`count` photographs of each size to 500 pixels."""
    print("Scaling to 500 pixels: PSNR against the source decoded in full")
    rows, gains = [], []
    for megapixels in MEGAPIXELS:
        sources = photographs(megapixels, "jpeg", 8)[:count]
        answers = _answers(sources, folder / f"thumbor-{megapixels}")
        decibels: dict[str, list[float]] = {
            OURS: [],
            THEIRS: [],
            OURS_ENCODED: [],
            THEIRS_ENCODED: [],
        }
        for source, answer in zip(sources, answers, strict=True):
            whole = reference(source, SIZE, linear=False)
            requests = [
                OutputRequest("0", Size(*SIZE), PNG),
                OutputRequest("1", Size(*SIZE), JPEG, quality=100),
            ]
            lossless, encoded = render(
                engine, source, requests, folder / f"scaled-{megapixels}-{source.stem}"
            )
            made = {
                OURS: picture(lossless),
                THEIRS: _thumbors_way(source),
                OURS_ENCODED: picture(encoded),
                THEIRS_ENCODED: picture(answer),
            }
            for way, pixels in made.items():
                decibels[way].append(psnr(whole, pixels))
        gains += [
            ours - theirs for ours, theirs in zip(decibels[OURS], decibels[THEIRS], strict=True)
        ]
        for way, values in decibels.items():
            rows.append((f"{megapixels} megapixels", way, spread(values, ".1f")))
            print("  " + "  ".join(rows[-1]))
    print(f"  above thumbor's: {spread(gains, '+.1f')} dB")
    table = Table(
        "Scaling to 500 pixels compared with thumbor",
        ("source", "way", "dB"),
        rows,
        "PSNR against the source decoded in full and scaled by a Lanczos filter; mean (minimum to"
        " maximum) of the photographs.",
    )
    text = (
        "scaling of 4 to 12-megapixel JPEGs to 500 pixels: PSNR above thumbor's, mean of the"
        " photographs"
    )
    return Section(
        (table,), (Goal(text, DECIBELS_OVER_THUMBOR, statistics.mean(gains), unit=" dB"),)
    )


def render(
    engine: VipsEngine, source: Path, requests: Sequence[OutputRequest], folder: Path
) -> list[Path]:
    """The outputs of one call, in `folder`, which is made."""
    folder.mkdir()
    with engine.open(source.read_bytes(), JPEG) as opened:
        opened.render(plan_render(tuple(requests), opened.facts, RenderSettings()), folder)
    return [folder / str(n) for n in range(len(requests))]


def _thumbors_way(source: Path) -> Picture:
    """thumbor/engines/pil.py, Engine.resize."""
    with Image.open(source) as image:
        image.draft(None, SIZE)
        return np.asarray(image.resize(SIZE, Image.Resampling.LANCZOS), dtype=np.float64)


def _answers(sources: Sequence[Path], folder: Path) -> list[bytes]:
    folder.mkdir()
    with rivals.thumbor(folder, sources[0].parent) as server:
        urls = [server.url(f"filters:quality(100)/{source.name}", SIZE[0]) for source in sources]
        return [urllib.request.urlopen(url).read() for url in urls]
