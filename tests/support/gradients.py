"""A picture with something to see, in any size and format."""

import io

from PIL import Image


def gradient(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red grows to the right, green to the bottom."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (across, down, Image.new("L", (width, height), 96))).convert(mode)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """`image` as a file of `format`."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
