"""What every engine must do with HEIC."""

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from imagepipe.core.rendering.formats import JPEG, PNG, WEBP
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method
from imagepipe.core.rendering.plan import RenderSettings, check_source
from imagepipe.engines.engine import Engine
from imagepipe.errors import BadRequest, NotStored
from tests.support.heif_files import (
    ALPHA,
    GAIN_MAP,
    Item,
    Reference,
    auxiliary,
    encoded,
    encoded_deep,
    grid,
    heif,
    mirror,
    nclx,
    profile,
    rotation,
)
from tests.support.icc_profiles import in_srgb, wide_profile
from tests.support.reference_images import pixels, reference_command
from tests.support.source_images import quarters, quarters_seen, saved, see_through, small
from tests.system.engines.contract.engine_contract import assert_alike, facts_of, render, request

SIZE = (128, 96)


def heic(picture: Image.Image, **options: object) -> bytes:
    """A photograph's file, as libheif writes it."""
    pillow_heif.register_heif_opener()
    return saved(picture, "HEIF", quality=95, **options)


class HeicContract:
    """A HEIC is shown as a phone shows it."""

    @pytest.mark.parametrize("method", Method, ids=str)
    def test_it_looks_as_after_the_reference_command(
        self, engine: Engine, method: Method, tmp_path: Path
    ) -> None:
        theirs = pixels(saved(small(), "PNG"), *reference_command(method, Size(50, 40)))
        (ours,) = render(engine, heic(small()), tmp_path, request(Size(50, 40), PNG, method))
        assert_alike(ours, theirs, 35)

    def test_its_colours_are_converted_by_its_profile(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(
            engine,
            heif([encoded(quarters(*SIZE), profile(wide_profile()))]),
            tmp_path,
            request(Size(64, 48)),
        )
        assert (
            np.abs(
                quarters_seen(made) - quarters_seen(in_srgb(quarters(*SIZE), wide_profile()))
            ).max()
            <= 6
        )

    def test_its_colours_are_converted_by_its_codes(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(
            engine, heif([encoded(quarters(*SIZE), nclx(12, 13))]), tmp_path, request(Size(64, 48))
        )
        assert (
            np.abs(
                quarters_seen(made) - quarters_seen(in_srgb(quarters(*SIZE), wide_profile()))
            ).max()
            <= 6
        )

    def test_a_profile_counts_before_codes(self, engine: Engine, tmp_path: Path) -> None:
        image = heif([encoded(quarters(*SIZE), nclx(9, 13), profile(wide_profile()))])
        (made,) = render(engine, image, tmp_path, request(Size(64, 48)))
        assert (
            np.abs(
                quarters_seen(made) - quarters_seen(in_srgb(quarters(*SIZE), wide_profile()))
            ).max()
            <= 6
        )

    def test_transparency_is_kept_or_lies_over_white(self, engine: Engine, tmp_path: Path) -> None:
        image = heic(see_through())
        assert facts_of(engine, image).alpha
        png, webp, jpeg = render(
            engine,
            image,
            tmp_path,
            request(Size(100, 100)),
            request(Size(100, 100), WEBP),
            request(Size(100, 100), JPEG),
        )
        theirs = pixels(
            saved(see_through(), "PNG"), *reference_command(Method.RESIZE, Size(100, 100))
        )
        assert_alike(png, theirs, 35)
        assert_alike(webp, theirs, 28)
        assert pixels(jpeg)[0, :, -1, :3].min() > 240

    def test_colours_that_were_multiplied_by_the_alpha_are_divided_again(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        half = Image.new("L", SIZE, 128)
        dark = quarters(*SIZE).point(lambda value: value * 128 / 255)
        image = heif(
            [encoded(dark), encoded(half, auxiliary(ALPHA))],
            [Reference(b"auxl", 2, (1,)), Reference(b"prem", 1, (2,))],
        )
        (made,) = render(engine, image, tmp_path, request(None))
        assert np.abs(quarters_seen(made) - quarters_seen(quarters(*SIZE))).max() <= 8
        assert set(pixels(made)[..., 3].flat) <= set(range(126, 131))

    @pytest.mark.parametrize("bits", [10, 12])
    def test_more_bits_become_eight(self, engine: Engine, bits: int, tmp_path: Path) -> None:
        colours = np.asarray(small()).astype(np.uint16) * 257
        (made,) = render(engine, heif([encoded_deep(colours, bits)]), tmp_path, request(None))
        assert_alike(made, pixels(saved(small(), "PNG")), 35)

    @pytest.mark.parametrize(("codes", "white"), [((9, 16), 0.58), ((9, 18), 0.75)])
    def test_hdr_is_as_bright_as_a_page(
        self, engine: Engine, codes: tuple[int, int], white: float, tmp_path: Path
    ) -> None:
        grey = np.full((64, 64, 3), round(white * 65535), np.uint16)
        (made,) = render(
            engine, heif([encoded_deep(grey, 10, nclx(*codes))]), tmp_path, request(None)
        )
        seen = pixels(made)[0, 32, 32, :3].astype(int)
        assert 232 <= seen.min() <= seen.max() <= 250

    def test_it_is_turned_once(self, engine: Engine, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x112] = 6
        picture = small(160, 96)
        picture.info["exif"] = exif.tobytes()
        turned = heic(picture)
        assert b"irot" in turned
        assert b"Exif" in turned
        upright = saved(picture.transpose(Image.Transpose.ROTATE_270), "PNG")
        assert facts_of(engine, turned).size == Size(96, 160)
        for settings in (RenderSettings(), RenderSettings(strip=False)):
            made, jpeg = render(
                engine, turned, tmp_path, request(None), request(None, JPEG), settings=settings
            )
            assert_alike(made, pixels(upright), 35)
            assert Image.open(io.BytesIO(jpeg)).getexif().get(0x112, 1) == 1

    @pytest.mark.parametrize("quarter", range(4))
    @pytest.mark.parametrize("axis", [None, 0, 1])
    def test_rotation_and_mirroring(
        self, engine: Engine, quarter: int, axis: int | None, tmp_path: Path
    ) -> None:
        properties = [rotation(quarter), *([] if axis is None else [mirror(axis)])]
        (made,) = render(
            engine, heif([encoded(quarters(*SIZE), *properties)]), tmp_path, request(None)
        )
        upright = quarters(*SIZE).rotate(90 * quarter, expand=True)
        upright = (
            upright
            if axis is None
            else ImageOps.mirror(upright)
            if axis
            else ImageOps.flip(upright)
        )
        assert pixels(made).shape[1:3] == upright.size[::-1]
        assert np.abs(quarters_seen(made) - quarters_seen(upright)).max() <= 6

    def test_the_primary_of_several_images(self, engine: Engine, tmp_path: Path) -> None:
        first, second = encoded(Image.new("RGB", (64, 64))), encoded(quarters(*SIZE))
        image = heif([first, second], primary=2)
        assert facts_of(engine, image).size == Size(*SIZE)
        (made,) = render(engine, image, tmp_path, request(None))
        assert np.abs(quarters_seen(made) - quarters_seen(quarters(*SIZE))).max() <= 6

    def test_tiles_are_put_together_and_cut(self, engine: Engine, tmp_path: Path) -> None:
        """As iPhones write every photograph: tiles that reach beyond its edge, a profile and a
        rotation of the whole.
        """
        whole = small(256, 256)
        tiles = [encoded(whole.crop((x, y, x + 128, y + 128))) for y in (0, 128) for x in (0, 128)]
        picture = grid(2, 2, (200, 180), profile(wide_profile()), rotation(3))
        image = heif(
            [*tiles, picture], [Reference(b"dimg", 5, (1, 2, 3, 4))], primary=5, hidden=range(1, 5)
        )
        assert facts_of(engine, image).size == Size(180, 200)
        (made,) = render(engine, image, tmp_path, request(None))
        upright = in_srgb(
            whole.crop((0, 0, 200, 180)).transpose(Image.Transpose.ROTATE_270), wide_profile()
        )
        assert_alike(made, pixels(saved(upright, "PNG")), 33)

    def test_an_auxiliary_image_of_two_images(self, engine: Engine, tmp_path: Path) -> None:
        """As iPhones write since iOS 18: the gain map belongs to the picture and to its tone-mapped
        one.
        """
        items = [
            encoded(quarters(*SIZE)),
            encoded(quarters(*SIZE)),
            encoded(Image.new("L", (64, 48)), auxiliary(GAIN_MAP)),
        ]
        image = heif(items, [Reference(b"auxl", 3, (1, 2))])
        assert facts_of(engine, image).alpha is False
        (made,) = render(engine, image, tmp_path, request(None))
        assert np.abs(quarters_seen(made) - quarters_seen(quarters(*SIZE))).max() <= 6

    def test_grey(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(engine, heic(small().convert("L")), tmp_path, request(None))
        assert_alike(made, pixels(saved(small().convert("L"), "PNG")), 35)

    @pytest.mark.parametrize("percent", [10, 40, 70, 95])
    def test_a_truncated_file_is_refused(
        self, engine: Engine, percent: int, tmp_path: Path
    ) -> None:
        image = heic(small())
        with pytest.raises(NotStored, match="cannot be") as raised:
            render(engine, image[: len(image) * percent // 100], tmp_path, request(Size(50, 50)))
        assert str(raised.value).isascii()
        render(engine, image, tmp_path, request(Size(50, 50)))

    def test_a_file_without_an_image_is_refused(self, engine: Engine) -> None:
        for image in (heif([encoded(small(64, 64))])[:40], heif([Item(b"mime", b"text", ())])):
            with pytest.raises(NotStored, match="cannot be read"):
                facts_of(engine, image)

    def test_a_header_that_lies_about_the_size_is_refused(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        image = heif([encoded(small(128, 128))])
        lie = image.replace(struct.pack(">II", 128, 128), struct.pack(">II", 64, 64))
        assert lie != image
        try:
            (made,) = render(engine, lie, tmp_path, request(None))
        except NotStored as error:
            assert "cannot be" in str(error)  # or what the header says
        else:
            assert pixels(made).shape[1:3] == (64, 64)

    def test_one_whose_primary_image_is_missing_is_refused(self, engine: Engine) -> None:
        with pytest.raises(NotStored, match="cannot be read"):
            facts_of(engine, heif([encoded(small(64, 64))], primary=7))

    def test_a_bomb_is_refused_undecoded(self, engine: Engine) -> None:
        image = heic(small(64, 64))
        claimed = image.replace(struct.pack(">II", 64, 64), struct.pack(">II", 30_000, 20_000))
        assert claimed != image
        with pytest.raises((BadRequest, NotStored)):
            check_source(facts_of(engine, claimed), RenderSettings(pixels_max=100_000_000))
