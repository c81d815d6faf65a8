"""How like its original a picture of fewer pixels is: the references, and the measures.

reference    the source, decoded in full and resampled by a Lanczos filter over all its pixels, in
             floating point: in linear light, which is what an
             eye at a distance does, or of the values as they stand, which is what renderers do
psnr         decibels
ssim         luma 0.8, each chroma 0.1; windows of 7x7 (Wang, Bovik, Sheikh, Simoncelli, 2004): 1 is
             equal
ssimulacra2  as an eye sees it: 100 is equal, 90 not to be told apart, 70 good
             (github.com/cloudinary/ssimulacra2; the PyPI package of that name)

gain(bytes, scores, bytes, scores)      by how much the first curve lies above the second at equal
                                        bytes, where both are (after Bjontegaard, 2001)
"""

import importlib
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.float64]
"""[row, column, red green blue], 0 to 255."""

_WINDOW = 7
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_CUBIC = 3


def reference(source: Path, size: tuple[int, int], *, linear: bool) -> Picture:
    """`source` at `size`, from every one of its pixels."""
    whole = np.asarray(Image.open(source).convert("RGB"))
    values = _to_linear(np.arange(256) / 255) if linear else np.arange(256) / 255
    channels = []
    for channel in range(3):
        plane = Image.fromarray(values.astype(np.float32)[whole[..., channel]])
        channels.append(np.asarray(plane.resize(size, Image.Resampling.LANCZOS), dtype=np.float64))
    small = np.clip(np.stack(channels, axis=2), 0, 1)
    return 255 * (_from_linear(small) if linear else small)


def picture(image: bytes | Path) -> Picture:
    """The pixels of a file."""
    return np.asarray(
        Image.open(io.BytesIO(image) if isinstance(image, bytes) else image).convert("RGB"),
        dtype=np.float64,
    )


def psnr(one: Picture, other: Picture) -> float:
    """The peak signal-to-noise ratio, in decibels."""
    return float(10 * np.log10(255**2 / max(float(((one - other) ** 2).mean()), 1e-9)))


def ssim(one: Picture, other: Picture) -> float:
    """The structural similarity, chroma included."""
    each = [_plane_ssim(one @ row, other @ row) for row in _YCC]
    return 0.8 * each[0] + 0.1 * each[1] + 0.1 * each[2]


def ssimulacra2(original: Picture, made: Picture) -> float:
    """What the package says; half a second for 500x375 pixels."""
    measure = importlib.import_module("ssimulacra2.ssimulacra2").compute_ssimulacra2
    return float(measure(_png(original), _png(made)))


def gain(
    our_bytes: Sequence[float],
    ours: Sequence[float],
    their_bytes: Sequence[float],
    theirs: Sequence[float],
) -> float:
    """The mean height of our curve over theirs, over the logarithm of the bytes; `gain` with bytes
    and scores exchanged tells what equal scores take.
    """
    low, high = max(min(our_bytes), min(their_bytes)), min(max(our_bytes), max(their_bytes))
    if low >= high:
        raise ValueError("the curves have nothing in common")
    places = np.linspace(np.log(low), np.log(high), 101)
    return float((_through(our_bytes, ours, places) - _through(their_bytes, theirs, places)).mean())


def spread(values: Sequence[float], digits: str, unit: str = "") -> str:
    """`mean (minimum to maximum)`."""
    return (
        f"{statistics.mean(values):{digits}}{unit} ({min(values):{digits}} to"
        f" {max(values):{digits}})"
    )


def _through(
    places: Sequence[float], values: Sequence[float], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    logarithms = np.log(np.asarray(places))
    middle = logarithms.mean()
    curve = np.polynomial.Polynomial.fit(
        logarithms - middle, np.asarray(values), min(_CUBIC, len(values) - 1)
    )
    return np.asarray(curve(wanted - middle), dtype=np.float64)


def _plane_ssim(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    mean_one, mean_other = _means(one), _means(other)
    samples = _WINDOW**2 / (_WINDOW**2 - 1)
    variance_one = samples * (_means(one * one) - mean_one**2)
    variance_other = samples * (_means(other * other) - mean_other**2)
    covariance = samples * (_means(one * other) - mean_one * mean_other)
    light, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    shares = (2 * mean_one * mean_other + light) * (2 * covariance + contrast)
    return float(
        (
            shares
            / ((mean_one**2 + mean_other**2 + light) * (variance_one + variance_other + contrast))
        ).mean()
    )


def _means(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean of every window."""
    sums = np.pad(plane.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = _WINDOW
    whole: npt.NDArray[np.float64] = (
        sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    ) / n**2
    return whole


def _png(pixels: Picture) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(file, "PNG", compress_level=0)
    return file


def _to_linear(values: Picture) -> Picture:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _from_linear(values: Picture) -> Picture:
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
