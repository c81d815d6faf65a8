"""A plan -> the arguments of one `convert` that renders all of it. Pure: numbers and words of ours
only, nothing that a client sent.

    convert LIMITS -define jpeg:size=1000x750 jpeg:-[0]  orient, convert the colours, strip
      ( -clone 0--1  -resize 500x375! ... -write jpeg:0 -delete 0--1 )
      ( -clone 0--1  ...                                  -write png:1  -delete 0--1 )
      null:

Clones share their pixels until one is changed. Settings such as -quality outlive their parentheses,
so each output sets all of its own.
"""

from dataclasses import dataclass

from imagepipe.core.rendering.formats import GIF, JP2, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Region, Size
from imagepipe.core.rendering.plan import Colours, OutputPlan, RenderPlan
from imagepipe.engines.files.webp_container import UNIT_MS
from imagepipe.engines.magick.magick_source import MagickSource
from imagepipe.engines.srgb import SRGB_PROFILE

_ORIENT = {
    1: (),
    2: ("-flop",),
    3: ("-rotate", "180"),
    4: ("-flip",),
    5: ("-transpose",),
    6: ("-rotate", "90"),
    7: ("-transverse",),
    8: ("-rotate", "270"),
}

_SPACES = {Colours.RGB: "sRGB", Colours.GREY: "Gray"}

COLOURS_FILE = "colours.icc"
"""A profile for the source's pixels, in the working directory; see `has_colours_file`."""

FRAMES_MAX = 9999
"""Of an animation."""

FACTS_FORMAT = "%T %w %h %W %H %n %A %[colorspace]|SAMPLING|%[orientation]\n"
"""One line a frame, its delay in hundredths of a second first. Not %r or %[type]: they look at
every
pixel, and there is none (10 s for a bomb of 65535x65535).
"""


@dataclass(frozen=True, slots=True)
class MagickLimits:
    """What ImageMagick may use; pixels count 8 bytes each in its memory."""

    pixels_max: int
    seconds: int

    @property
    def memory_bytes(self) -> int:
        """For pixels: the source, an output and what lies between."""
        return 24 * self.pixels_max + (64 << 20)

    @property
    def arguments(self) -> list[str]:
        """As arguments: what does not fit into memory is refused, not put on disk."""
        pixels = str(self.pixels_max + 1)  # ImageMagick refuses what reaches a limit
        named = {
            "width": pixels,
            "height": pixels,
            "area": pixels,
            "memory": str(self.memory_bytes),
            "map": "0",
            "disk": "0",
            "list-length": str(FRAMES_MAX + 1),
            "time": str(self.seconds),
        }
        return [word for name, value in named.items() for word in ("-limit", name, value)]


def facts_arguments(format: Format, limits: MagickLimits) -> list[str]:
    """The arguments that make `convert` print FACTS_FORMAT."""
    facts = FACTS_FORMAT.replace("SAMPLING", "%[jpeg:sampling-factor]" if format == JPEG else "")
    return [
        *limits.arguments,
        "-ping",
        _input(format, every_frame=format.animates),
        "-format",
        facts,
        "info:-",
    ]


def render_arguments(plan: RenderPlan, limits: MagickLimits, source: MagickSource) -> list[str]:
    """The arguments that render `plan` to the files 0, 1, ... of the working directory."""
    hint = (
        ["-define", f"jpeg:size={_hint(plan)}"] if plan.source == JPEG and plan.shrink > 1 else []
    )
    outputs = [
        word
        for n, output in enumerate(plan.outputs)
        for word in ("(", "-clone", "0--1", *_output(n, output, plan), "-delete", "0--1", ")")
    ]
    return [
        *limits.arguments,
        *hint,
        _input(plan.source, every_frame=plan.frames > 1),
        *_source(plan, source),
        *outputs,
        "null:",
    ]


def has_colours_file(plan: RenderPlan, source: MagickSource) -> bool:
    """Whether COLOURS_FILE is needed: ImageMagick does not read what says the source's colours."""
    return plan.colourimetry is not None or (plan.profile and source.profile != b"")


def _input(format: Format, *, every_frame: bool) -> str:
    # Not /proc/self/fd/0: Debian's ImageMagick resolves what it opens, and a file in memory
    # resolves to nothing. It can seek in "-" all the same.
    return f"{format.name}:-{'' if every_frame else '[0]'}"


def _hint(plan: RenderPlan) -> Size:
    """The size that makes ImageMagick divide by exactly `shrink`: it takes the whole part of stored
    size / hint.
    """
    stored = plan.picture.turned if plan.orient >= 5 else plan.picture
    return Size(stored.width // plan.shrink, stored.height // plan.shrink)


def _source(plan: RenderPlan, source: MagickSource) -> list[str]:
    words = []
    if plan.source.animates:
        if plan.alpha:
            # Without, a canvas would begin with the background colour. That of a WebP was made with
            # the alpha that counts, which "set" would lose.
            words += ["-alpha", "on" if plan.source == WEBP else "set"]
        words += ["-coalesce"]
        if source.inserted and plan.frames > 1:
            # Each was given back as if the next one were there still: all of them are, instead.
            words += [
                "-delete",
                ",".join(map(str, source.inserted)),
                "-set",
                "dispose",
                "Background",
            ]
    words += [*_ORIENT[plan.orient], "+repage"]
    if plan.source == JP2 and plan.colours is Colours.RGB:
        words += ["-colorspace", "sRGB"]  # YCbCr, which -ping does not say
    if not plan.profile:
        words += ["+profile", "icc"]
    if plan.source == PNG and plan.colours in _SPACES:
        # ImageMagick takes a gAMA of 1 for linear light, whatever else the file says.
        words += ["-set", "colorspace", _SPACES[plan.colours]]
    if has_colours_file(plan, source):
        words += ["-profile", COLOURS_FILE]
    if plan.profile or plan.colourimetry:
        words += ["-profile", SRGB_PROFILE]
    if plan.colours in (Colours.CMYK, Colours.OTHER):
        # not for the others: it would expand a palette, and change the filter
        words += ["-colorspace", "sRGB"]
    words += ["-depth", "8"]
    if plan.strip:
        return [*words, "-strip"]
    # Not the file's times, which are those of /proc.
    return [
        *words,
        *(["-orient", "TopLeft"] if plan.orient != 1 else []),
        "+set",
        "date:create",
        "+set",
        "date:modify",
    ]


def _output(n: int, output: OutputPlan, plan: RenderPlan) -> list[str]:
    words = ["-delete", "1--1"] if plan.frames > 1 and not output.animated else []
    before = plan.picture
    if output.cut:
        words += _crop(output.cut)
        before = Size(output.cut.width, output.cut.height)
    if output.scale != before or plan.shrink > 1:
        # the filter is its own choice, which a plan only repeats
        words += ["-resize", f"{output.scale}!"]
    if output.crop:
        words += _crop(output.crop)
    white = not output.format.alpha
    if output.canvas:
        canvas = output.canvas
        see_through = (
            ["-background", "white"] if white else ["-alpha", "set", "-background", "none"]
        )
        words += [
            *see_through,
            "-compose",
            "over",
            "-extent",
            f"{canvas.size}-{canvas.left}-{canvas.top}",
            "+repage",
        ]
    if white:
        words += ["-background", "white", "-alpha", "remove", "-alpha", "off"]
    return [
        *words,
        *_encoder(
            output, see_through=not output.flatten and (plan.alpha or output.canvas is not None)
        ),
        "-write",
        f"{output.format.name}:{n}",
    ]


# An animation that is played once would lose all frames but the first. The encoder coalesces frames
# that are coalesced already: unless each is cleared, the next is blended with it a second time.
_WEBP_ANIMATION = (
    *("-loop", "0"),
    *("-set", "delay", str(UNIT_MS // 10)),
    *("-set", "dispose", "Background"),
)


def _crop(region: Region) -> list[str]:
    return ["-crop", f"{region.width}x{region.height}+{region.left}+{region.top}", "+repage"]


def _encoder(output: OutputPlan, *, see_through: bool) -> list[str]:
    quality = ["-quality", str(output.quality)]
    return {
        JPEG.name: [
            *quality,
            "+compress",
            "-interlace",
            "none",
            "-sampling-factor",
            "2x2" if output.subsample else "1x1",
        ],
        PNG.name: [
            "+compress",
            "-define",
            "png:compression-level=6",
            "-define",
            "png:compression-filter=5",
        ],
        GIF.name: [*_few_colours(output, see_through=see_through), "+compress"],
        WEBP.name: [
            *quality,
            "+compress",
            "-define",
            "webp:method=4",
            *(_WEBP_ANIMATION if output.animated else []),
        ],
        TIFF.name: ["-compress", "LZW", "-define", "tiff:predictor=2"]
        if output.compressed
        else ["-compress", "None"],
    }[output.format.name]


def _few_colours(output: OutputPlan, *, see_through: bool) -> list[str]:
    """As GIF has them: for an animation without dithering, which takes 0.1 s a frame of any size,
    and which the encoder cannot be kept from otherwise.
    """
    if not output.animated:
        return ["-dither", "Riemersma"]
    on_or_off = ["-channel", "A", "-threshold", "50%", "+channel"] if see_through else []
    return [*on_or_off, "+dither", "-colors", "255"]
