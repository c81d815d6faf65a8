"""What the numbers of a picture's pixels mean, where a few codes or numbers say it and no ICC
profile does.

    AVIF, HEIC    an "nclx" box: codes of ITU-T H.273 for primaries and transfer
    PNG           cICP: the same codes; or gAMA, with or without cHRM

None stands for sRGB, which is also what unspecified, reserved and broken values mean: browsers show
such pictures as if nothing were said.
"""

import enum
import math
from dataclasses import dataclass


class Transfer(enum.Enum):
    """How a channel's value becomes light."""

    SRGB = "sRGB"
    GAMMA = "gamma"
    PQ = "PQ"
    HLG = "HLG"


Primaries = tuple[float, float, float, float, float, float, float, float]
"""x and y, in CIE 1931, of red, green, blue and white."""

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)

SRGB_PRIMARIES: Primaries = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)


@dataclass(frozen=True, slots=True)
class Colourimetry:
    """Primaries and transfer; `gamma` counts for Transfer.GAMMA alone."""

    primaries: Primaries
    transfer: Transfer
    gamma: float = 1.0


_PRIMARIES: dict[int, Primaries] = {
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
"""By the codes of H.273, table 2; the others are sRGB's (1), unspecified, reserved, or XYZ (10),
which no browser shows.
"""

_TRANSFERS: dict[int, tuple[Transfer, float]] = {
    4: (Transfer.GAMMA, 2.2),
    5: (Transfer.GAMMA, 2.8),
    8: (Transfer.GAMMA, 1.0),
    16: (Transfer.PQ, 1.0),
    17: (Transfer.GAMMA, 2.6),
    18: (Transfer.HLG, 1.0),
}
"""By the codes of H.273, table 3. The others are sRGB's (13), or the curves of television (1, 6,
14, 15), which browsers show by sRGB's; or nobody's.
"""

_GAMMA_UNIT = 100_000
_SRGB_GAMMA = 45_455
_GAMMA_TOLERANCE = 0.05
_XY_TOLERANCE = 0.005
_GAMMAS = range(10_000, 1_000_001)


def by_codes(primaries: int, transfer: int) -> Colourimetry | None:
    """The colours that two codes of ITU-T H.273 stand for; None for sRGB."""
    curve, gamma = _TRANSFERS.get(transfer, (Transfer.SRGB, 1.0))
    if primaries not in _PRIMARIES and curve is Transfer.SRGB:
        return None
    return Colourimetry(_PRIMARIES.get(primaries, SRGB_PRIMARIES), curve, gamma)


def by_gamma(gamma: int, chromaticities: Primaries | None) -> Colourimetry | None:
    """The colours of a PNG with a gAMA chunk, and perhaps a cHRM one; None for sRGB.

    `gamma` is 100 000 times the exponent that made values of light: 45 455 is sRGB's, within 5 %,
    as PNG's own library has it.
    """
    if gamma not in _GAMMAS:
        return None
    usual = abs(gamma / _SRGB_GAMMA - 1) <= _GAMMA_TOLERANCE
    primaries = (
        chromaticities if chromaticities and _is_possible(chromaticities) else SRGB_PRIMARIES
    )
    if all(
        abs(ours - theirs) <= _XY_TOLERANCE
        for ours, theirs in zip(primaries, SRGB_PRIMARIES, strict=True)
    ):
        if usual:
            return None
        primaries = SRGB_PRIMARIES
    return (
        Colourimetry(primaries, Transfer.SRGB)
        if usual
        else Colourimetry(primaries, Transfer.GAMMA, _GAMMA_UNIT / gamma)
    )


REFERENCE_WHITE_NITS = 203.0
"""How bright the white of a page is among the brightness of HDR; ITU-R BT.2408."""

PEAK_NITS = 1000.0
"""The brightness of HDR above which all is rendered alike."""

_KNEE = 0.75
"""Light up to this part of white is left as it is; what is brighter shares the rest."""


def light(colourimetry: Colourimetry, value: float) -> float:
    """The light, 0 to 1, of a channel whose value is `value`, 0 to 1.

    HDR is made to fit: up to three quarters of the reference white nothing changes, and what is
    above, up to PEAK_NITS, is compressed.
    """
    transfer = colourimetry.transfer
    if transfer is Transfer.GAMMA:
        return math.pow(value, colourimetry.gamma)
    if transfer is Transfer.SRGB:
        return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)
    return _compressed(
        (_pq_nits(value) if transfer is Transfer.PQ else _hlg_nits(value)) / REFERENCE_WHITE_NITS
    )


def _is_possible(chromaticities: Primaries) -> bool:
    """Whether they span a triangle with white inside, so that they can be converted by."""
    *corners, white = zip(chromaticities[::2], chromaticities[1::2], strict=True)
    if not all(0 <= x <= 1 and 0 < y <= 1 and x + y <= 1 for x, y in (*corners, white)):
        return False
    sides = [_side(corners[n], corners[n - 2], white) for n in range(3)]
    return min(sides) > 1e-6 or max(sides) < -1e-6


def _side(
    start: tuple[float, float], end: tuple[float, float], point: tuple[float, float]
) -> float:
    """Positive or negative: on which side of a line a point is."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])


def _pq_nits(value: float) -> float:
    """SMPTE ST 2084."""
    root = math.pow(value, 1 / 78.84375)
    return 10_000 * math.pow(
        max(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root), 1 / 0.1593017578125
    )


def _hlg_nits(value: float) -> float:
    """ITU-R BT.2100 on a screen of 1000 nits, each channel by itself."""
    scene = (
        value * value / 3
        if value <= 0.5
        else (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return PEAK_NITS * math.pow(scene, 1.2)


def _compressed(light: float) -> float:
    if light <= _KNEE:
        return light
    above, peak = ((x - _KNEE) / (1 - _KNEE) for x in (light, PEAK_NITS / REFERENCE_WHITE_NITS))
    return min(_KNEE + (1 - _KNEE) * above * (1 + above / peak**2) / (1 + above), 1.0)
