"""Image formats: names, extensions, media types, and recognising one by its first bytes.

The list is fixed. What is not on it is not an image to us, whatever a decoder on the machine may
think: above all nothing that is a program or a document (SVG, MVG, MSL, PostScript, PDF).
"""

from dataclasses import dataclass

SNIFF_BYTES = 64
"""How many first bytes `sniff` looks at, at most."""


@dataclass(frozen=True, slots=True)
class Format:
    """An image format.

    `renders`: both engines write it. `animates`: an animation in it stays one. `alpha`: it can be
    transparent. `side_max`: how many pixels a side a file that is written can have; 0 where nothing
    bounds it.
    """

    name: str
    media_type: str
    extensions: tuple[str, ...]
    renders: bool = False
    alpha: bool = True
    animates: bool = False
    side_max: int = 0

    def holds(self, side: int) -> bool:
        """Whether a file of it can have `side` pixels a side."""
        return not self.side_max or side <= self.side_max

    def __str__(self) -> str:
        return self.name


JPEG = Format(
    "jpeg", "image/jpeg", ("jpg", "jpeg", "jpe", "jfif"), renders=True, alpha=False, side_max=65_500
)
PNG = Format("png", "image/png", ("png",), renders=True)
GIF = Format("gif", "image/gif", ("gif",), renders=True, animates=True, side_max=65_535)
WEBP = Format("webp", "image/webp", ("webp",), renders=True, animates=True, side_max=16_383)
AVIF = Format("avif", "image/avif", ("avif",), renders=True, side_max=16_384)
TIFF = Format("tiff", "image/tiff", ("tif", "tiff"), renders=True)
HEIC = Format("heic", "image/heic", ("heic", "heif"))
BMP = Format("bmp", "image/bmp", ("bmp", "dib"))
ICO = Format("ico", "image/x-icon", ("ico",))
PSD = Format("psd", "image/vnd.adobe.photoshop", ("psd",))
JP2 = Format("jp2", "image/jp2", ("jp2",))

FORMATS = (JPEG, PNG, GIF, WEBP, AVIF, TIFF, HEIC, BMP, ICO, PSD, JP2)

RENDERED_EXTENSIONS = tuple(
    extension for format in FORMATS if format.renders for extension in format.extensions
)
"""Every extension, and so every value of `fmt`, that an image can be rendered to."""

_BY_EXTENSION = {extension: format for format in FORMATS for extension in format.extensions}
_BY_NAME = {format.name: format for format in FORMATS}
_BMP_HEADERS = frozenset(
    length.to_bytes(4, "little") for length in (12, 16, 40, 52, 56, 64, 108, 124)
)
"""Lengths of a BMP's second header, which tell its version; what stands before it, many programs
get wrong.
"""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def named(name: str) -> Format:
    """The format whose `name` this is; KeyError if there is none."""
    return _BY_NAME[name]


def is_known(name: str) -> bool:
    """Whether there is a format of this name."""
    return name in _BY_NAME


def by_extension(extension: str) -> Format | None:
    """The format of an extension, with or without its dot, in any case."""
    return _BY_EXTENSION.get(extension.removeprefix(".").lower())


def sniff(head: bytes) -> Format | None:
    """The format of an image that begins with `head` (SNIFF_BYTES of it suffice), or None if it is
    none of ours.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")):
        return TIFF
    if head[4:8] == b"ftyp":
        return _sniff_ftyp(head)
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        return BMP
    if head.startswith(b"\0\0\x01\0") and any(head[4:6]):
        return ICO
    if head.startswith((b"8BPS\0\x01", b"8BPS\0\x02")):
        return PSD
    if head.startswith(b"\0\0\0\x0cjP  \r\n\x87\n"):
        return JP2
    return None


def _sniff_ftyp(head: bytes) -> Format | None:
    """ISO base media file: `ftyp` box of size(4) "ftyp" major(4) minor(4) compatible(4)*; ISO/IEC
    23008-12, AV1-AVIF.
    """
    size = int.from_bytes(head[:4], "big")
    box = head[8 : min(size, SNIFF_BYTES)]
    major, compatible = box[:4], {box[at : at + 4] for at in range(8, len(box), 4)}
    # mif1 and msf1 only say "some still or moving picture": the codec is among the compatible
    # brands.
    if major in _AVIF_BRANDS or (
        major in (b"mif1", b"msf1", b"miaf") and compatible & _AVIF_BRANDS
    ):
        return AVIF
    if major in _HEIC_BRANDS:
        return HEIC
    return None
