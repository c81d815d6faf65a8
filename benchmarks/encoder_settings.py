"""Renditions of 500 pixels by each encoder: milliseconds, and what another setting wins at equal
bytes or saves at equal quality. `settings` runs it.
"""

import io
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyvips
from PIL import Image

from benchmarks.decoder_settings import scaled
from benchmarks.photographs import photographs
from benchmarks.results import Table
from benchmarks.similarity import Picture, gain, psnr, reference, ssim, ssimulacra2

Options = Mapping[str, Any]

SIZE = (500, 375)


@dataclass(frozen=True, slots=True)
class Encoder:
    """What libvips calls it, imagepipe's settings, and what is tried in their place; `qualities`,
    if it has any.
    """

    name: str
    saver: str
    ours: Options
    others: Sequence[Options]
    qualities: Sequence[int] = ()


ENCODERS = (
    Encoder(
        "JPEG",
        "jpegsave_buffer",
        # as for what is larger than a thumbnail
        {"optimize_coding": False, "quant_table": 3, "subsample_mode": "on"},
        [
            {"optimize_coding": True},
            {"optimize_coding": True, "trellis_quant": True},
            {"overshoot_deringing": True},
            {"interlace": True},
            {"interlace": True, "optimize_scans": True},
            {"subsample_mode": "off"},
            *({"quant_table": n} for n in (0, 1, 2, 4, 5, 6, 7, 8)),
        ],
        (60, 70, 80, 90),
    ),
    Encoder(
        "WebP",
        "webpsave_buffer",
        {"effort": 4},
        [
            *({"effort": n} for n in (0, 2, 3, 5, 6)),
            {"preset": "photo"},
            {"smart_subsample": True},
            {"passes": 3},
        ],
        (60, 70, 80, 90),
    ),
    Encoder(
        "AVIF",
        "heifsave_buffer",
        {"compression": "av1", "bitdepth": 8, "subsample_mode": "off", "effort": 3},
        [*({"effort": n} for n in (0, 1, 2, 4)), {"tune": "ssim"}, {"subsample_mode": "on"}],
        (35, 45, 55, 65),
    ),
    Encoder(
        "PNG",
        "pngsave_buffer",
        {"compression": 6, "filter": "all"},
        [{"compression": n} for n in (1, 3, 9)] + [{"filter": name} for name in ("none", "paeth")],
    ),
    Encoder(
        "GIF",
        "gifsave_buffer",
        {"effort": 3},
        [*({"effort": n} for n in (1, 5, 7)), {"dither": 0.0}],
    ),
)


@dataclass(slots=True)
class _Encoded:
    """What one setting made of one picture: by quality the files and their milliseconds."""

    original: Picture
    source: pyvips.Image
    options: Options
    files: dict[int, bytes] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    scores: Sequence[float] = ()
    similarities: Sequence[float] = ()

    def encode(self, encoder: Encoder) -> None:
        """At every quality."""
        for quality in encoder.qualities or (0,):
            options = dict(self.options) | ({"Q": quality} if quality else {})
            started = time.perf_counter()
            self.files[quality] = bytes(
                pyvips.Operation.call(encoder.saver, self.source, keep="none", **options)
            )
            self.milliseconds.append(1000 * (time.perf_counter() - started))

    def score(self) -> None:
        """Against the whole source."""
        made = [_pixels(file) for file in self.files.values()]
        self.scores = [ssimulacra2(self.original, pixels) for pixels in made]
        self.similarities = [ssim(self.original, pixels) for pixels in made]

    @property
    def sizes(self) -> list[float]:
        return [float(len(file)) for file in self.files.values()]


def tables(*, quick: bool) -> list[Table]:
    """One for each encoder."""
    sources = [photographs(12, "jpeg", 8)[n] for n in ((0,) if quick else (0, 2))]
    originals = [reference(source, SIZE, linear=True) for source in sources]
    pictures = [scaled(source, "jpeg", SIZE[0], {"shrink": 4}) for source in sources]
    found = []
    for encoder in ENCODERS:
        print(f"{encoder.name}: {_words(encoder.ours)}")
        changes: list[Options] = [{}, *(encoder.others[:2] if quick else encoder.others)]
        encoded = [
            [
                _Encoded(*pair, dict(encoder.ours) | dict(change))
                for pair in zip(originals, pictures, strict=True)
            ]
            for change in changes
        ]
        for _ in range(1 if quick else 3):
            for each in (each for of_change in encoded for each in of_change):
                each.encode(encoder)
        found.append(
            _curves(encoder, changes, encoded)
            if encoder.qualities
            else _plain(encoder, changes, encoded)
        )
    return found


def _curves(
    encoder: Encoder, changes: Sequence[Options], encoded: Sequence[Sequence[_Encoded]]
) -> Table:
    rows = []
    for change, of_change in zip(changes, encoded, strict=True):
        for each in of_change:
            each.score()
        pairs = list(zip(of_change, encoded[0], strict=True))
        points = statistics.mean(
            gain(each.sizes, each.scores, ours.sizes, ours.scores) for each, ours in pairs
        )
        bytes_by_score = statistics.mean(
            _saved(each.scores, each.sizes, ours.scores, ours.sizes) for each, ours in pairs
        )
        bytes_by_ssim = statistics.mean(
            _saved(each.similarities, each.sizes, ours.similarities, ours.sizes)
            for each, ours in pairs
        )
        rows.append(
            (
                _words(change),
                _milliseconds(of_change),
                f"{points:+.2f}",
                f"{bytes_by_score:+.1f} %",
                f"{bytes_by_ssim:+.1f} %",
            )
        )
        print("  " + "  ".join(rows[-1]))
    columns = (
        "changed setting",
        "ms",
        "SSIMULACRA2 at equal bytes",
        "bytes at equal SSIMULACRA2",
        "bytes at equal SSIM",
    )
    note = (
        f"Photographs at {SIZE[0]}x{SIZE[1]}, qualities {encoder.qualities[0]} to"
        f" {encoder.qualities[-1]}. imagepipe's settings: {_words(encoder.ours)}."
    )
    return Table(f"Encoder settings: {encoder.name}", columns, rows, note)


def _plain(
    encoder: Encoder, changes: Sequence[Options], encoded: Sequence[Sequence[_Encoded]]
) -> Table:
    rows = []
    for change, of_change in zip(changes, encoded, strict=True):
        size = statistics.mean(each.sizes[0] for each in of_change)
        decibels = statistics.mean(
            psnr(_raw(each.source), _pixels(each.files[0])) for each in of_change
        )
        rows.append(
            (
                _words(change),
                _milliseconds(of_change),
                f"{size:.0f}",
                "lossless" if encoder.name == "PNG" else f"{decibels:.1f}",
            )
        )
        print("  " + "  ".join(rows[-1]))
    note = f"Photographs at {SIZE[0]}x{SIZE[1]}. imagepipe's settings: {_words(encoder.ours)}."
    return Table(
        f"Encoder settings: {encoder.name}", ("changed setting", "ms", "bytes", "dB"), rows, note
    )


def _saved(
    scores: Sequence[float],
    sizes: Sequence[float],
    our_scores: Sequence[float],
    our_sizes: Sequence[float],
) -> float:
    """How many per cent more bytes than ours equal quality takes."""
    return 100 * (
        math.exp(
            gain(scores, [math.log(n) for n in sizes], our_scores, [math.log(n) for n in our_sizes])
        )
        - 1
    )


def _milliseconds(encoded: Sequence[_Encoded]) -> str:
    return f"{statistics.median(spent for each in encoded for spent in each.milliseconds):.1f}"


def _words(options: Options) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "imagepipe's settings"


def _raw(picture: pyvips.Image) -> Picture:
    return np.asarray(picture.numpy(), dtype=np.float64)


def _pixels(file: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=np.float64)
