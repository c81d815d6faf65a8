"""The reference: ImageMagick's own `convert` and the reference commands, and how alike two pictures
are.
"""

import io
import subprocess

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method

CONVERT = "/usr/bin/convert"  # the first on PATH may be another

Pixels = npt.NDArray[np.uint8]
"""[frame, row, column, red green blue alpha]"""

_GREY_AND_ALPHA = 2


def convert(*arguments: str, image: bytes = b"") -> bytes:
    """What `convert` writes to its standard output; `image` is its input."""
    environment = {"PATH": "/usr/bin:/bin", "MAGICK_THREAD_LIMIT": "1", "HOME": "/nonexistent"}
    done = subprocess.run(
        [CONVERT, *arguments], input=image, capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def reference_command(
    method: Method,
    box: Size,
    *,
    white: bool = False,
    source: str = "-",
    colours: tuple[str, ...] = (),
) -> list[str]:
    """The reference command, as arguments between the input, which it names, and the output;
    `colours` converts them first.
    """
    read = [source, "-auto-orient", *colours]
    if method is Method.RESIZE:
        return [*read, "-resize", f"{box}>"]
    if method is Method.COMPOSITE:
        # -size after the input is read: it would be a wish to some decoders.
        canvas = ["(", "-size", str(box), f"xc:{'white' if white else 'none'}", ")", "+swap"]
        return [*read, "-resize", f"{box}>", *canvas, "-gravity", "center", "-composite"]
    return [*read, "-resize", f"{box}^", "-gravity", "center", "-crop", f"{box}+0+0!", "+repage"]


def pixels(image: bytes, *arguments: str) -> Pixels:
    """What `convert` makes of `image` by `arguments`; by default its frames, coalesced."""
    if image[4:12] == b"ftypavif" and not arguments:
        # ImageMagick does not read its alpha
        return np.asarray(Image.open(io.BytesIO(image)).convert("RGBA"))[None]
    # PAM: a header of lines, the pixels, and so on for each frame.
    rest = convert(
        *(arguments or ("-", "-coalesce", "-colorspace", "sRGB")),
        "-depth",
        "8",
        "-alpha",
        "set",
        "pam:-",
        image=image,
    )
    frames = []
    while rest:
        header, _, rest = rest.partition(b"ENDHDR\n")
        said = dict(line.split(b" ", 1) for line in header.splitlines() if b" " in line)
        width, height, depth = (int(said[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH"))
        frame = np.frombuffer(rest, np.uint8, width * height * depth).reshape(height, width, depth)
        rest = rest[frame.size :]
        frames.append(
            np.concatenate([frame[..., :1].repeat(3, axis=2), frame[..., 1:]], axis=2)
            if depth == _GREY_AND_ALPHA
            else frame
        )
    return np.stack(frames)


def over(background: int, picture: Pixels) -> npt.NDArray[np.float64]:
    """`picture` on black (0) to white (255), without alpha."""
    alpha = picture[..., 3:].astype(float) / 255
    return picture[..., :3] * alpha + background * (1 - alpha)


def psnr(ours: Pixels, theirs: Pixels) -> float:
    """The peak signal-to-noise ratio in dB, on white or on black, whichever is worse; 99 for equal
    pictures.
    """
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    squares = max(
        float(((over(shade, ours) - over(shade, theirs)) ** 2).mean()) for shade in (0, 255)
    )
    return 99.0 if squares == 0 else float(10 * np.log10(255**2 / squares))
