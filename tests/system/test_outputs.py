"""What the outputs look like (docs/design/contract.md), at the XML-RPC boundary of a real daemon,
with each engine.

The engines' own tests compare many more pictures with ImageMagick's; here each rule is seen to hold
for a caller.
"""

import io
import subprocess
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.daemon_process import DaemonProcess, fault_of, text
from tests.support.gradients import encoded, gradient

BOXES = [(50, 50), (17, 40), (200, 10), (64, 48), (63, 48), (1, 1), (500, 500), (33, 90)]


def render(
    daemon: DaemonProcess,
    folder: str,
    source: bytes,
    path: str,
    box: tuple[int, int] | None,
    **how: Any,
) -> Image.Image:
    """Store one rendition and open it."""
    call = {"fmt": None, "size": list(box) if box else None, "composite": 0, "crop": 0} | how
    daemon.proxy.store_image(text(source), f"{folder}/{path}", *call.values())
    stored = f"{path.partition('.')[0]}.{how['fmt']}" if how.get("fmt") else path
    return Image.open(daemon.images / folder / stored)


def reference(source: bytes, *arguments: str, to: str = "png") -> Image.Image:
    """What `convert - ARGUMENTS` makes of the source."""
    done = subprocess.run(
        ["/usr/bin/convert", "-", "-auto-orient", *arguments, f"{to}:-"],
        input=source,
        capture_output=True,
        check=True,
    )
    return Image.open(io.BytesIO(done.stdout))


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal to noise ratio in dB, over white."""
    assert one.size == other.size
    difference = np.asarray(over_white(one), dtype=float) - np.asarray(
        over_white(other), dtype=float
    )
    return float(10 * np.log10(255**2 / max(np.mean(difference**2), 1e-9)))


def colour(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """(red, green, blue) of a pixel."""
    return tuple(np.asarray(image.convert("RGB"))[y, x])


def over_white(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


class MethodTests:
    @pytest.mark.parametrize("box", BOXES)
    def test_resize_fits_inside_and_never_enlarges(
        self, each_engine: DaemonProcess, folder: str, picture: bytes, box: tuple[int, int]
    ) -> None:
        made = render(each_engine, folder, picture, "a.png", box)
        wanted = reference(picture, "-resize", f"{box[0]}x{box[1]}>")
        assert made.size == wanted.size
        assert psnr(made, wanted) >= (35 if min(made.size) >= 8 else 25)

    @pytest.mark.parametrize("box", BOXES)
    def test_crop_fills_the_box_exactly(
        self, each_engine: DaemonProcess, folder: str, picture: bytes, box: tuple[int, int]
    ) -> None:
        made = render(each_engine, folder, picture, "a.png", box, crop=1)
        size = f"{box[0]}x{box[1]}"
        wanted = reference(
            picture, "-resize", f"{size}^", "-gravity", "center", "-crop", f"{size}+0+0!", "+repage"
        )
        assert made.size == box == wanted.size
        assert psnr(made, wanted) >= (32 if min(made.size) >= 8 else 25)

    @pytest.mark.parametrize("box", BOXES)
    def test_composite_centres_on_a_transparent_canvas(
        self, each_engine: DaemonProcess, folder: str, picture: bytes, box: tuple[int, int]
    ) -> None:
        made = render(each_engine, folder, picture, "a.png", box, composite=1)
        size = f"{box[0]}x{box[1]}"
        wanted = reference(
            picture,
            "-resize",
            f"{size}>",
            "-background",
            "none",
            "-gravity",
            "center",
            "-extent",
            size,
        )
        assert made.size == box
        assert np.array_equal(
            np.asarray(made.convert("RGBA"))[..., 3], np.asarray(wanted.convert("RGBA"))[..., 3]
        )
        assert psnr(made, wanted) >= (35 if min(made.size) >= 8 else 25)

    def test_composite_is_white_where_the_format_has_no_alpha(
        self, each_engine: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        made = render(each_engine, folder, picture, "a.jpg", (64, 64), composite=1)
        assert min(colour(made, 32, 1)) > 245
        assert min(colour(made, 32, 62)) > 245

    def test_a_crop_cuts_before_it_enlarges(self, each_engine: DaemonProcess, folder: str) -> None:
        made = render(
            each_engine, folder, encoded(gradient(4000, 3), "PNG"), "a.png", (300, 300), crop=1
        )
        assert made.size == (300, 300)


class PictureTests:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied_then_dropped(
        self, each_engine: DaemonProcess, folder: str, orientation: int
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        source = encoded(gradient(64, 48), "JPEG", quality=95, exif=exif)
        made = render(each_engine, folder, source, "a.jpg", (40, 40))
        assert made.getexif() == {}
        assert psnr(made, reference(source, "-resize", "40x40>")) >= 32

    def test_cmyk_becomes_srgb(self, each_engine: DaemonProcess, folder: str) -> None:
        source = encoded(gradient(64, 48).convert("CMYK"), "JPEG", quality=95)
        made = render(each_engine, folder, source, "a.jpg", (40, 40))
        assert made.mode == "RGB"
        assert psnr(made, reference(source, "-colorspace", "sRGB", "-resize", "40x40>")) >= 32

    def test_an_embedded_profile_is_converted_not_dropped(
        self, each_engine: DaemonProcess, folder: str
    ) -> None:
        # A profile whose red and blue are swapped: whoever drops it shows blue for red.
        swapped = swapped_profile()
        source = encoded(Image.new("RGB", (64, 48), (200, 40, 90)), "PNG", icc_profile=swapped)
        made = render(each_engine, folder, source, "a.png", (40, 40))
        assert np.allclose(colour(made, 20, 15), (90, 40, 200), atol=4)
        assert "icc_profile" not in made.info

    def test_alpha_is_flattened_on_white_for_jpeg_and_kept_for_png(
        self, each_engine: DaemonProcess, folder: str
    ) -> None:
        image = gradient(64, 48, "RGBA")
        image.putalpha(Image.linear_gradient("L").resize((64, 48)))
        source = encoded(image, "PNG")
        wanted = reference(source, "-resize", "40x40>")
        for path in ("a.jpg", "a.png", "a.webp"):
            made = render(each_engine, folder, source, path, (40, 40))
            assert psnr(made, wanted) >= 33, path
            assert (made.mode == "RGBA") == (path != "a.jpg")

    @pytest.mark.parametrize("mode", ["L", "I;16", "P", "1", "LA"])
    def test_other_kinds_of_pixels_look_the_same(
        self, each_engine: DaemonProcess, folder: str, mode: str
    ) -> None:
        image = gradient(64, 48, "L" if mode == "I;16" else mode)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image, dtype=np.uint16) * 257)
        source = encoded(image, "PNG")
        assert (
            psnr(
                render(each_engine, folder, source, "a.png", (40, 40)),
                reference(source, "-resize", "40x40>", to="png24"),
            )
            >= 33
        )

    def test_no_metadata_is_kept(self, each_engine: DaemonProcess, folder: str) -> None:
        exif = Image.Exif()
        exif[0x010E] = "secret place"
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        source = encoded(
            gradient(64, 48), "JPEG", exif=exif, icc_profile=profile, comment=b"secret comment"
        )
        for path in ("a.jpg", "a.png", "a.webp"):
            render(each_engine, folder, source, path, (40, 40))
            stored = (each_engine.images / folder / path).read_bytes()
            assert b"secret" not in stored
            assert b"Exif" not in stored
            assert (
                not {"icc_profile", "exif", "comment"} & Image.open(io.BytesIO(stored)).info.keys()
            )


class AnimationTests:
    @pytest.mark.parametrize("source_format", ["GIF", "WEBP"])
    @pytest.mark.parametrize("path", ["a.gif", "a.webp"])
    def test_an_animation_stays_one(
        self, each_engine: DaemonProcess, folder: str, source_format: str, path: str
    ) -> None:
        made = render(each_engine, folder, animation(source_format), path, (40, 40))
        assert made.size == (40, 30)
        assert getattr(made, "n_frames", 1) == 3
        delays = []
        for frame in range(3):
            made.seek(frame)
            made.load()
            delays.append(made.info["duration"])
            shade = colour(made, 20, 15)
            assert np.allclose(shade, [(250, 5, 5), (5, 250, 5), (5, 5, 250)][frame], atol=16)
        assert delays == [100, 200, 300]

    @pytest.mark.parametrize("path", ["a.jpg", "a.png"])
    def test_any_other_output_takes_the_first_frame(
        self, each_engine: DaemonProcess, folder: str, path: str
    ) -> None:
        made = render(each_engine, folder, animation("GIF"), path, (40, 40))
        assert getattr(made, "n_frames", 1) == 1
        assert np.allclose(colour(made, 20, 15), (250, 5, 5), atol=16)


class FormatTests:
    @pytest.mark.parametrize(
        "source_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "ICO"]
    )
    def test_every_listed_format_is_read(
        self, each_engine: DaemonProcess, folder: str, source_format: str
    ) -> None:
        options = {"sizes": [(64, 64)]} if source_format == "ICO" else {}
        made = render(
            each_engine,
            folder,
            encoded(gradient(64, 64), source_format, **options),
            "a.png",
            (40, 40),
        )
        assert made.size == (40, 40)
        assert psnr(made, reference(encoded(gradient(64, 64), "PNG"), "-resize", "40x40>")) >= 25

    @pytest.mark.parametrize(
        ("fmt", "format"),
        [
            ("jpg", "JPEG"),
            ("png", "PNG"),
            ("gif", "GIF"),
            ("webp", "WEBP"),
            ("avif", "AVIF"),
            ("tiff", "TIFF"),
        ],
    )
    def test_every_listed_format_is_written(
        self, each_engine: DaemonProcess, folder: str, picture: bytes, fmt: str, format: str
    ) -> None:
        made = render(each_engine, folder, picture, "a", (40, 40), fmt=fmt)
        assert (made.format, made.size) == (format, (40, 30))
        assert psnr(made, reference(picture, "-resize", "40x40>")) >= 24

    def test_what_can_only_be_read_needs_a_format(
        self, each_engine: DaemonProcess, folder: str
    ) -> None:
        fault = fault_of(
            each_engine.proxy.store_image,
            text(encoded(gradient(64, 48), "BMP")),
            f"{folder}/a",
            None,
            [10, 10],
        )
        assert (fault.faultCode, fault.faultString[:12]) == (1000, "[1000] fmt: ")


def animation(format: str) -> bytes:
    """Red, green and blue for 100, 200 and 300 ms."""
    frames = [
        Image.new("RGB", (64, 48), shade) for shade in ((250, 5, 5), (5, 250, 5), (5, 5, 250))
    ]
    return encoded(
        frames[0], format, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0
    )


def swapped_profile() -> bytes:
    """SRGB with the red and the blue primary exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)
