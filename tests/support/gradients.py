"""A picture with something to see, in any size and format."""

import io

import numpy as np
from PIL import Image


def gradient(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red grows to the right, green to the bottom."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (across, down, Image.new("L", (width, height), 96))).convert(mode)


def detailed(width: int, height: int) -> Image.Image:
    """A gradient with grain in it, so that every block of a JPEG has some detail; always the
    same.
    """
    grain = np.random.default_rng(1).integers(-40, 41, (height, width, 3))
    pixels = np.asarray(gradient(width, height)).astype(int) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """`image` as a file of `format`."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
