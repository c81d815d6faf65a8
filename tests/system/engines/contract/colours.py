"""What every engine must do with orientation, colours, alpha and metadata."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from imagepipe.core.rendering.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method
from imagepipe.core.rendering.plan import Colours, RenderSettings
from imagepipe.engines.engine import Engine
from imagepipe.engines.srgb import SRGB_PROFILE
from tests.support.icc_profiles import cmyk_profile, wide_profile
from tests.support.reference_images import convert, pixels, reference_command
from tests.support.source_images import (
    cmyk,
    oriented,
    palette_tiff,
    saved,
    scene_jpeg,
    see_through,
    sixteen_bits,
    small,
    ycck,
)
from tests.system.engines.contract.engine_contract import (
    assert_alike,
    decibels_wanted,
    facts_of,
    render,
    request,
)

BOX = Size(100, 100)

SOURCES: dict[str, Callable[[], bytes]] = {
    "jpeg": scene_jpeg,
    "progressive jpeg": lambda: saved(small(), "JPEG", quality=92, progressive=True),
    "grey jpeg": lambda: saved(small().convert("L"), "JPEG", quality=92),
    "grey png": lambda: saved(small().convert("L"), "PNG"),
    "bilevel png": lambda: saved(small().convert("1"), "PNG"),
    "palette png": lambda: saved(small().quantize(64), "PNG"),
    "16-bit png": lambda: sixteen_bits(grey=False),
    "16-bit grey png": lambda: sixteen_bits(grey=True),
    "interlaced png": lambda: convert(
        "png:-", "-interlace", "PNG", "png:-", image=saved(small(), "PNG")
    ),
    "gif": lambda: saved(small().quantize(64), "GIF"),
    "webp": lambda: saved(small(), "WEBP", quality=90),
    "avif": lambda: saved(small(), "AVIF", quality=90),
    "tiff": lambda: saved(small(), "TIFF", compression="tiff_lzw"),
    "grey tiff": lambda: saved(small().convert("L"), "TIFF"),
    "palette tiff": palette_tiff,
    "fax tiff": lambda: saved(small().convert("1"), "TIFF", compression="group4"),
    "16-bit tiff": lambda: convert(
        "png:-", "-depth", "16", "tiff:-", image=sixteen_bits(grey=False)
    ),
}


class FormatsContract:
    """Every kind of source of every format that is read and written looks as after the reference
    command.
    """

    @pytest.mark.parametrize("name", SOURCES)
    @pytest.mark.parametrize("method", [Method.RESIZE, Method.CROP], ids=str)
    def test_a_source_of_any_kind(
        self, engine: Engine, name: str, method: Method, tmp_path: Path
    ) -> None:
        image = SOURCES[name]()
        # The reference leaves an AVIF in the YCbCr that it is stored in, which PAM cannot say.
        theirs = pixels(
            image,
            *reference_command(
                method, BOX, colours=("-colorspace", "sRGB") if name == "avif" else ()
            ),
        )
        (ours,) = render(engine, image, tmp_path, request(BOX, PNG, method))
        assert_alike(ours, theirs, decibels_wanted(method, theirs))

    @pytest.mark.parametrize("format", [JPEG, PNG, GIF, WEBP, AVIF, TIFF], ids=str)
    def test_an_output_of_any_format(self, engine: Engine, format: Format, tmp_path: Path) -> None:
        theirs = pixels(scene_jpeg(), *reference_command(Method.RESIZE, Size(300, 300)))
        (ours,) = render(engine, scene_jpeg(), tmp_path, request(Size(300, 300), format))
        assert_alike(ours, theirs, 25 if format is GIF else 30)

    @pytest.mark.parametrize("format", [JPEG, WEBP, AVIF], ids=str)
    def test_quality_decides_the_size(self, engine: Engine, format: Format, tmp_path: Path) -> None:
        lengths = [
            len(
                render(
                    engine,
                    scene_jpeg(),
                    tmp_path,
                    request(Size(300, 300), format),
                    settings=RenderSettings(quality=quality),
                )[0]
            )
            for quality in (30, 60, 85, 95)
        ]
        assert lengths == sorted(set(lengths))

    @pytest.mark.parametrize(("quality", "sampling"), [(89, "2x2"), (90, "1x1")])
    def test_colours_of_a_jpeg_are_subsampled_below_quality_90(
        self, engine: Engine, quality: int, sampling: str, tmp_path: Path
    ) -> None:
        (made,) = render(
            engine,
            saved(small(), "PNG"),
            tmp_path,
            request(BOX, JPEG),
            settings=RenderSettings(quality=quality),
        )
        assert sampling_of(made) == sampling

    @pytest.mark.parametrize("quality", [80, 95])
    @pytest.mark.parametrize(("subsampling", "sampling"), [(0, "1x1"), (2, "2x2")])
    def test_a_jpeg_made_of_a_jpeg_is_sampled_like_it(
        self, engine: Engine, quality: int, subsampling: int, sampling: str, tmp_path: Path
    ) -> None:
        source = saved(small(), "JPEG", subsampling=subsampling)
        (made,) = render(
            engine, source, tmp_path, request(BOX, JPEG), settings=RenderSettings(quality=quality)
        )
        assert sampling_of(made) == sampling

    def test_sixteen_bits_become_eight(self, engine: Engine, tmp_path: Path) -> None:
        for made in render(
            engine, sixteen_bits(grey=False), tmp_path, request(BOX, PNG), request(BOX, TIFF)
        ):
            assert convert("-", "-format", "%z", "info:-", image=made) == b"8"


class OrientationContract:
    """The EXIF orientation is applied, then dropped."""

    @pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_each_orientation(
        self, engine: Engine, format: str, orientation: int, tmp_path: Path
    ) -> None:
        image = oriented(orientation, format)
        upright = saved(ImageOps.exif_transpose(Image.open(io.BytesIO(image))), "PNG")
        box = Size(77, 90)
        outputs = render(
            engine,
            image,
            tmp_path,
            request(box),
            request(box, PNG, Method.CROP),
            request(box, PNG, Method.COMPOSITE),
            request(None),
        )
        for ours, method in zip(
            outputs[:3], (Method.RESIZE, Method.CROP, Method.COMPOSITE), strict=True
        ):
            assert_alike(ours, pixels(upright, *reference_command(method, box)), 35)
        assert_alike(outputs[3], pixels(upright), 35)

    @pytest.mark.parametrize("orientation", [3, 6])
    def test_a_crop_that_enlarges_is_oriented_before_it_is_cut(
        self, engine: Engine, orientation: int, tmp_path: Path
    ) -> None:
        image = oriented(orientation, "JPEG")
        upright = saved(ImageOps.exif_transpose(Image.open(io.BytesIO(image))), "PNG")
        box = Size(700, 40)
        (ours,) = render(engine, image, tmp_path, request(box, PNG, Method.CROP))
        assert_alike(ours, pixels(upright, *reference_command(Method.CROP, box)), 35)

    def test_an_output_does_not_ask_to_be_turned_again(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        for strip in (True, False):
            outputs = render(
                engine,
                oriented(6, "JPEG"),
                tmp_path,
                request(BOX, JPEG),
                request(BOX, WEBP),
                settings=RenderSettings(strip=strip),
            )
            for made in outputs:
                assert Image.open(io.BytesIO(made)).getexif().get(0x112, 1) == 1

    def test_without_auto_orient_it_stays_as_stored(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(
            engine,
            oriented(6, "JPEG"),
            tmp_path,
            request(None),
            settings=RenderSettings(auto_orient=False),
        )
        assert pixels(made).shape[1:3] == (180, 320)


class ColoursContract:
    """Whatever the source's colours, the output's are sRGB."""

    @pytest.mark.parametrize("kind", [cmyk, ycck])
    def test_cmyk_without_a_profile_is_converted_as_imagemagick_does(
        self, engine: Engine, kind: Callable[[], bytes], tmp_path: Path
    ) -> None:
        image = kind()
        assert facts_of(engine, image).colours is Colours.CMYK
        theirs = pixels(
            image, *reference_command(Method.RESIZE, BOX, colours=("-colorspace", "sRGB"))
        )
        for ours in render(engine, image, tmp_path, request(BOX), request(BOX, JPEG)):
            assert_alike(ours, theirs, 33)

    def test_cmyk_is_converted_by_its_profile(self, engine: Engine, tmp_path: Path) -> None:
        image = cmyk(profile=cmyk_profile())
        theirs = pixels(
            image, *reference_command(Method.RESIZE, BOX, colours=("-profile", SRGB_PROFILE))
        )
        for ours in render(engine, image, tmp_path, request(BOX), request(BOX, WEBP)):
            assert_alike(ours, theirs, 33)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
    def test_wide_colours_are_converted_by_their_profile(
        self, engine: Engine, format: str, tmp_path: Path
    ) -> None:
        image = saved(
            small(),
            format,
            icc_profile=wide_profile(),
            **({} if format in ("PNG", "TIFF") else {"quality": 92}),
        )
        theirs = pixels(
            image, *reference_command(Method.RESIZE, BOX, colours=("-profile", SRGB_PROFILE))
        )
        plain = pixels(image, *reference_command(Method.RESIZE, BOX))
        assert np.abs(theirs.astype(int) - plain).max() > 20, "the profile makes no difference"
        (ours,) = render(engine, image, tmp_path, request(BOX))
        assert_alike(ours, theirs, 35)

    @pytest.mark.parametrize(
        "profile",
        [b"not a profile", bytes(200), cmyk_profile()[:5000], cmyk_profile(), wide_profile()[:300]],
    )
    def test_a_broken_or_foreign_profile_is_ignored(
        self, engine: Engine, profile: bytes, tmp_path: Path
    ) -> None:
        image = saved(small(), "JPEG", quality=92, icc_profile=profile)
        (ours,) = render(engine, image, tmp_path, request(BOX))
        assert_alike(
            ours,
            pixels(saved(small(), "JPEG", quality=92), *reference_command(Method.RESIZE, BOX)),
            35,
        )


class AlphaContract:
    """Transparency is kept, or lies over white."""

    @pytest.mark.parametrize("format", [PNG, WEBP, TIFF], ids=str)
    @pytest.mark.parametrize("method", Method, ids=str)
    def test_alpha_is_kept(
        self, engine: Engine, format: Format, method: Method, tmp_path: Path
    ) -> None:
        image = saved(see_through(), "PNG")
        theirs = pixels(image, *reference_command(method, BOX))
        (ours,) = render(engine, image, tmp_path, request(BOX, format, method))
        assert_alike(ours, theirs, 35 if format in (PNG, TIFF) else 28)

    @pytest.mark.parametrize("method", Method, ids=str)
    @pytest.mark.parametrize("format", ["PNG", "WEBP"])
    def test_alpha_lies_over_white_in_a_jpeg(
        self, engine: Engine, format: str, method: Method, tmp_path: Path
    ) -> None:
        image = saved(see_through(), format, **({"lossless": True} if format == "WEBP" else {}))
        theirs = pixels(image, *reference_command(method, BOX), "-background", "white", "-flatten")
        (ours,) = render(
            engine, image, tmp_path, request(BOX, JPEG, method), settings=RenderSettings(quality=95)
        )
        assert_alike(ours, theirs, 30)
        if method is Method.RESIZE:
            assert pixels(ours)[0, :, -1, :3].min() > 240

    def test_a_gif_is_transparent_where_its_source_was(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        (made,) = render(
            engine,
            saved(see_through(), "PNG"),
            tmp_path,
            request(Size(480, 270), GIF, Method.COMPOSITE),
        )
        alpha = pixels(made)[0, :, :, 3]
        assert alpha[:, :100].min() == 255
        assert alpha[:, -100:].max() == 0

    @pytest.mark.parametrize("format", [PNG, WEBP, TIFF], ids=str)
    def test_a_canvas_is_transparent(self, engine: Engine, format: Format, tmp_path: Path) -> None:
        (made,) = render(engine, scene_jpeg(), tmp_path, request(BOX, format, Method.COMPOSITE))
        alpha = pixels(made)[0, :, :, 3]
        assert alpha[:20].max() == 0
        assert alpha[-20:].max() == 0
        assert alpha[25:75].min() == 255

    def test_a_canvas_is_white_in_a_jpeg(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(engine, scene_jpeg(), tmp_path, request(BOX, JPEG, Method.COMPOSITE))
        assert pixels(made)[0, :15, :, :3].min() > 250

    def test_grey_with_alpha(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(see_through().convert("LA"), "PNG")
        theirs = pixels(image, *reference_command(Method.COMPOSITE, BOX))
        (ours,) = render(engine, image, tmp_path, request(BOX, PNG, Method.COMPOSITE))
        assert_alike(ours, theirs, 35)


class AvifAlphaContract:
    """AVIF too has alpha, for the engine that reads and writes it."""

    @pytest.mark.parametrize("method", Method, ids=str)
    def test_alpha_is_read_and_written(
        self, engine: Engine, method: Method, tmp_path: Path
    ) -> None:
        theirs = pixels(saved(see_through(), "PNG"), *reference_command(method, BOX))
        for image in (saved(see_through(), "PNG"), saved(see_through(), "AVIF", quality=95)):
            for ours in render(
                engine, image, tmp_path, request(BOX, AVIF, method), request(BOX, PNG, method)
            ):
                assert_alike(ours, theirs, 28)


class MetadataContract:
    """strip decides whether metadata is kept."""

    def image(self) -> bytes:
        """A JPEG with an EXIF block that names its artist, and a wide profile."""
        exif = Image.Exif()
        exif[0x13B] = "A. Artist"
        return saved(small(), "JPEG", exif=exif, icc_profile=wide_profile())

    @pytest.mark.parametrize("format", [JPEG, PNG, WEBP, TIFF], ids=str)
    def test_none_is_kept_with_strip(self, engine: Engine, format: Format, tmp_path: Path) -> None:
        (made,) = render(engine, self.image(), tmp_path, request(BOX, format))
        opened = Image.open(io.BytesIO(made))
        assert "icc_profile" not in opened.info
        assert "exif" not in opened.info
        assert b"Artist" not in made
        assert b"tEXt" not in made

    @pytest.mark.parametrize("format", [JPEG, WEBP], ids=str)
    def test_it_is_kept_without_strip_but_the_profile_is_the_outputs(
        self, engine: Engine, format: Format, tmp_path: Path
    ) -> None:
        (made,) = render(
            engine,
            self.image(),
            tmp_path,
            request(BOX, format),
            settings=RenderSettings(strip=False),
        )
        opened = Image.open(io.BytesIO(made))
        assert opened.getexif()[0x13B] == "A. Artist"
        assert "sRGB" in ImageCms.getProfileName(
            ImageCms.ImageCmsProfile(io.BytesIO(opened.info["icc_profile"]))
        )

    def test_the_same_call_makes_the_same_bytes(self, engine: Engine, tmp_path: Path) -> None:
        requests = [request(BOX, format) for format in (JPEG, PNG, GIF, WEBP, AVIF, TIFF)]
        assert render(engine, self.image(), tmp_path, *requests) == render(
            engine, self.image(), tmp_path, *requests
        )


def sampling_of(jpeg: bytes) -> str:
    """How many pixels share a colour sample, across x down."""
    return (
        convert("jpeg:-", "-format", "%[jpeg:sampling-factor]", "info:-", image=jpeg)
        .decode()
        .split(",")[0]
    )
