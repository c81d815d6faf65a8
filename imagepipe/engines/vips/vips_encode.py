"""Finished pictures -> the bytes of a file, by libvips; only a worker process imports this.

The settings were chosen by measurement (`benchmarks/codec_settings.py` prints what each costs and
gives); those of PNG and WebP are ImageMagick's, too.
"""

from typing import Any

import pyvips

from imagepipe.core.rendering.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP
from imagepipe.core.rendering.plan import OutputPlan, RenderPlan
from imagepipe.engines.files.frame_delays import to_centiseconds
from imagepipe.engines.files.webp_container import UNIT_MS, with_alpha, with_delays

_AVIF_EFFORT, _AVIF_EFFORT_LARGE = 3, 0
_AVIF_LARGE_PIXELS = 1_000_000
"""The effort goes from 0 to 9. A 500x375 photograph takes 17 ms at 0; 130 at 3, for 18 % fewer
bytes at equal quality; 500 at 4, for 4 % less again. A megapixel takes most of a second at 3: what
is larger is written in haste.
"""

_JPEG_LARGE_PIXELS = 100_000
"""Optimal Huffman tables take more than half of a JPEG encoder's time, and save 4 % of the bytes of
250x188 pixels, 2.7 % of 500x375, 2.1 % of 1200x900.
"""

_SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    # Table 3 is N. Robidoux's: equal quality in 3 to 10 % fewer bytes than by the standard's own
    # table, in no more time. Trellis quantisation takes 10 ms more for 500x375 pixels, and wins
    # nothing that SSIMULACRA2 sees.
    JPEG.name: ("jpegsave_buffer", {"quant_table": 3}),
    PNG.name: ("pngsave_buffer", {"compression": 6, "filter": "all"}),
    GIF.name: ("gifsave_buffer", {"effort": 3}),
    WEBP.name: ("webpsave_buffer", {"effort": 4}),
    AVIF.name: ("heifsave_buffer", {"compression": "av1", "bitdepth": 8, "subsample_mode": "off"}),
    TIFF.name: ("tiffsave_buffer", {"compression": "lzw", "predictor": "horizontal"}),
}

_LOSSY = (JPEG.name, WEBP.name, AVIF.name)


def encode(
    pages: list[pyvips.Image], source: pyvips.Image, output: OutputPlan, plan: RenderPlan
) -> bytes:
    """The file that shows `pages` one after another, with the delays and the loop count of
    `source`. Raises pyvips.Error.
    """
    name = output.format.name
    saver, options = _SAVERS[name]
    picture = pages[0]
    if output.animated:
        picture = pyvips.Image.arrayjoin(pages, across=1)
    picture = _with_metadata(picture, source, output, plan)
    if not output.compressed:
        options = {"compression": "none"}
    quality = {"Q": output.quality} if name in _LOSSY else {}
    chroma = {"subsample_mode": "on" if output.subsample else "off"} if name == JPEG.name else {}
    data = bytes(
        pyvips.Operation.call(
            saver,
            picture,
            keep="none" if plan.strip else "all",
            **quality,
            **chroma,
            **options,
            **_by_size(name, picture),
        )
    )
    if name == WEBP.name and output.animated:
        delays = _delays(source)
        data = with_delays(data, delays) if delays else data
        return with_alpha(data) if picture.hasalpha() else data
    return data


def _delays(source: pyvips.Image) -> list[int]:
    """In milliseconds; empty if the source has none."""
    return list(source.get("delay")) if "delay" in source.get_fields() else []


def _by_size(name: str, picture: pyvips.Image) -> dict[str, Any]:
    """What is worth its time for small pictures alone."""
    pixels = picture.width * picture.height
    if name == JPEG.name:
        return {"optimize_coding": pixels <= _JPEG_LARGE_PIXELS}
    if name == AVIF.name:
        return {"effort": _AVIF_EFFORT if pixels <= _AVIF_LARGE_PIXELS else _AVIF_EFFORT_LARGE}
    return {}


def _with_metadata(
    picture: pyvips.Image, source: pyvips.Image, output: OutputPlan, plan: RenderPlan
) -> pyvips.Image:
    picture = picture.copy()
    # Never get_fields(): a PNG's text may have a keyword in Latin-1, and pyvips reads the names of
    # fields as UTF-8.
    for field in ("n-pages", "page-height", "delay", "loop", "palette", "bits-per-sample"):
        picture.remove(field)
    if plan.orient != 1:
        for field in ("orientation", "exif-ifd0-Orientation"):
            picture.remove(field)
    if output.animated:
        picture.set_type(pyvips.GValue.gint_type, "page-height", output.size.height)
        picture.set_type(
            pyvips.GValue.gint_type, "loop", source.get("loop") if source.get_typeof("loop") else 0
        )
        delays = _delays(source)
        if output.format == GIF:
            delays = [10 * delay for delay in to_centiseconds(delays)]
        elif output.format == WEBP:
            delays = [UNIT_MS] * len(delays)
        if delays:
            picture.set_type(pyvips.GValue.array_int_type, "delay", delays)
    return picture
