"""GIFs whose frames libvips would put together otherwise than ImageMagick: the auto engine gives them to ImageMagick."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract_animations import on_canvas
from engine_contract import assert_alike, facts_of, render, request
from hypothesis import given
from hypothesis import strategies as st
from pictures import animation, saved, small
from PIL import Image
from reference import convert, pixels

from imagepipe.core.formats import GIF, PNG, WEBP
from imagepipe.core.geometry import Size
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.gif_frames import Frame, frames, is_plain
from imagepipe.engines.imagemagick import ImageMagickEngine
from imagepipe.engines.vips import VipsEngine
from imagepipe.errors import NotStored


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all."""
    auto = AutoEngine(VipsEngine(), ImageMagickEngine())
    yield auto
    auto.close()


def opaque(disposal: int) -> bytes:
    """Four opaque frames, each a part of the canvas on a coloured ground, given back as `disposal` says."""
    moves = [small(160, 90)]
    for n in range(3):
        step = Image.new("RGB", (160, 90), "navy")
        step.paste(small(40, 30), (10 + 30 * n, 20))
        moves.append(step)
    file = io.BytesIO()
    moves[0].save(file, "GIF", save_all=True, append_images=moves[1:], duration=100, disposal=disposal)
    return file.getvalue()


def standing_out(left: int) -> bytes:
    """A canvas of 5x5 pixels, and one pixel far outside."""
    head = b"GIF89a" + b"\5\0\5\0" + b"\x80\0\0" + b"\xff\0\0\0\0\xff"
    return head + b"," + left.to_bytes(2, "little") * 2 + b"\1\0\1\0\0" + b"\2\2\x4c\1\0" + b";"


def background() -> bytes:
    """A second frame in a part of the canvas, which is given back to the background."""
    return convert(
        "null:", "-delete", "0", "-dispose", "Background", "-size", "100x80", "xc:red", "-size", "60x40", "xc:blue", "xc:lime", "gif:-", image=b""
    )


def offset() -> bytes:
    """One frame, in the middle of a larger canvas."""
    return convert("null:", "-delete", "0", "-size", "60x40", "xc:blue", "-repage", "200x120+30+20", "gif:-", image=b"")


class GifTests:
    @pytest.mark.parametrize("image", [opaque(1), opaque(2), opaque(3), background()], ids=["keep", "background", "previous", "partial"])
    def test_every_frame_is_what_imagemagick_makes_of_it(self, engine: Engine, image: bytes, tmp_path: Path) -> None:
        (made,) = render(engine, image, tmp_path, request(None, WEBP))
        assert_alike(made, pixels(image), 25)

    def test_a_frame_in_the_middle_of_its_canvas(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(engine, offset(), tmp_path, request(None, PNG))
        assert_alike(made, pixels(offset()), 40)

    @pytest.mark.parametrize("canvas", [(100, 80), (640, 480), (3000, 2000)])
    def test_a_gif_is_as_large_as_its_canvas_whatever_its_frames_cover(self, engine: Engine, canvas: tuple[int, int], tmp_path: Path) -> None:
        image = on_canvas(animation("GIF"), canvas)
        assert facts_of(engine, image).size == Size(*canvas)
        for made in render(engine, image, tmp_path, request(Size(64, 64), PNG), request(Size(64, 64), GIF)):
            opened = Image.open(io.BytesIO(made))
            assert opened.size == (64, 51 if canvas == (100, 80) else 48 if canvas == (640, 480) else 43)
            white = Image.new("RGBA", opened.size, "white")
            white.alpha_composite(opened.convert("RGBA"))
            assert canvas == (100, 80) or np.asarray(white)[40, 62].min() > 250

    @pytest.mark.parametrize("left", [5, 20_000, 65_000])
    def test_a_frame_outside_of_the_canvas_makes_no_huge_picture(self, engine: Engine, left: int) -> None:
        assert facts_of(engine, standing_out(left)).size == Size(5, 5)
        vips = VipsEngine()
        with pytest.raises(NotStored, match="engine = auto"):
            facts_of(vips, standing_out(left))
        vips.close()


class FramesTests:
    def test_they_are_read_from_the_blocks(self) -> None:
        assert list(frames(standing_out(7))) == [Frame(7, 7, 1, 1, 0, transparent=False)]
        assert [frame.disposal for frame in frames(opaque(3))] == [3, 3, 3, 3]
        assert len(list(frames(animation("GIF")))) == len(list(frames(animation("GIF")[:-1]))) == 4

    def test_an_ordinary_animation_is_plain(self) -> None:
        assert is_plain(animation("GIF"), (160, 90))
        assert not is_plain(animation("GIF"), (161, 90))
        assert is_plain(saved(small(20, 10), "GIF"), (20, 10))

    @given(st.binary(max_size=60), st.integers(0, 400))
    def test_no_bytes_are_too_broken(self, noise: bytes, kept: int) -> None:
        for gif in (noise, b"GIF89a" + noise, animation("GIF")[:kept], animation("GIF")[:kept] + noise):
            is_plain(gif, (160, 90))
