"""GIFs whose frames libvips would not compose as browsers do: they are composed frame by frame."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagepipe.core.rendering.formats import GIF, PNG, WEBP
from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.engine import Engine
from imagepipe.engines.files.gif_frames import GifFrame, frames, is_plain, with_delays
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.reference_images import Pixels, convert, pixels
from tests.support.source_images import animation, saved, small
from tests.system.engines.contract.animations import on_canvas
from tests.system.engines.contract.engine_contract import assert_alike, facts_of, render, request


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all."""
    vips = VipsEngine()
    yield vips
    vips.close()


def opaque(disposal: int) -> bytes:
    """Four opaque frames, each a part of the canvas on a coloured ground, given back as `disposal`
    says.
    """
    moves = [small(160, 90)]
    for n in range(3):
        step = Image.new("RGB", (160, 90), "navy")
        step.paste(small(40, 30), (10 + 30 * n, 20))
        moves.append(step)
    file = io.BytesIO()
    moves[0].save(
        file, "GIF", save_all=True, append_images=moves[1:], duration=100, disposal=disposal
    )
    return file.getvalue()


def standing_out(left: int) -> bytes:
    """A canvas of 5x5 pixels, and one pixel far outside."""
    head = b"GIF89a" + b"\5\0\5\0" + b"\x80\0\0" + b"\xff\0\0\0\0\xff"
    return head + b"," + left.to_bytes(2, "little") * 2 + b"\1\0\1\0\0" + b"\2\2\x4c\1\0" + b";"


def background() -> bytes:
    """A second frame in a part of the canvas, which is given back to the background."""
    return convert(
        "null:",
        "-delete",
        "0",
        "-dispose",
        "Background",
        "-size",
        "100x80",
        "xc:red",
        "-size",
        "60x40",
        "xc:blue",
        "xc:lime",
        "gif:-",
        image=b"",
    )


def offset() -> bytes:
    """One frame, in the middle of a larger canvas."""
    return convert(
        "null:",
        "-delete",
        "0",
        "-size",
        "60x40",
        "xc:blue",
        "-repage",
        "200x120+30+20",
        "gif:-",
        image=b"",
    )


def composed(gif: bytes) -> Pixels:
    """Its frames; without alpha ImageMagick would begin with the background colour."""
    return pixels(gif, "-", "-alpha", "set", "-coalesce")


class GifTests:
    @pytest.mark.parametrize(
        "image",
        [opaque(1), opaque(2), opaque(3), background()],
        ids=["keep", "background", "previous", "partial"],
    )
    def test_every_frame_is_what_imagemagick_makes_of_it(
        self, engine: Engine, image: bytes, tmp_path: Path
    ) -> None:
        (made,) = render(engine, image, tmp_path, request(None, WEBP))
        assert_alike(made, composed(image), 25)

    def test_a_frame_in_the_middle_of_its_canvas(self, engine: Engine, tmp_path: Path) -> None:
        (made,) = render(engine, offset(), tmp_path, request(None, PNG))
        assert_alike(made, composed(offset()), 40)

    @pytest.mark.parametrize("canvas", [(100, 80), (640, 480), (3000, 2000)])
    def test_a_gif_is_as_large_as_its_canvas_whatever_its_frames_cover(
        self, engine: Engine, canvas: tuple[int, int], tmp_path: Path
    ) -> None:
        image = on_canvas(animation("GIF"), canvas)
        assert facts_of(engine, image).size == Size(*canvas)
        for made in render(
            engine, image, tmp_path, request(Size(64, 64), PNG), request(Size(64, 64), GIF)
        ):
            opened = Image.open(io.BytesIO(made))
            assert opened.size == (
                64,
                51 if canvas == (100, 80) else 48 if canvas == (640, 480) else 43,
            )
            white = Image.new("RGBA", opened.size, "white")
            white.alpha_composite(opened.convert("RGBA"))
            assert canvas == (100, 80) or np.asarray(white)[40, 62].min() > 250

    @pytest.mark.parametrize("left", [5, 20_000, 65_000])
    def test_a_frame_outside_of_the_canvas_makes_no_huge_picture(
        self, engine: Engine, left: int, tmp_path: Path
    ) -> None:
        assert facts_of(engine, standing_out(left)).size == Size(5, 5)
        (made,) = render(engine, standing_out(left), tmp_path, request(None, PNG))
        assert not pixels(made)[..., 3].any()

    def test_a_frame_far_larger_than_its_canvas_is_refused(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        huge = standing_out(0).replace(b"\1\0\1\0", b"\xff" * 4)
        assert [(frame.width, frame.height) for frame in frames(huge)] == [(65535, 65535)]
        with pytest.raises(
            NotStored, match="a frame of 65535x65535 pixels is larger than its canvas"
        ):
            render(engine, huge, tmp_path, request(None, PNG))

    def test_one_that_is_cut_off_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        image = opaque(3)
        render(engine, image[:-1], tmp_path, request(None, WEBP))
        for missing in (0.02, 0.1, 0.3, 0.6):
            with pytest.raises(NotStored):
                render(
                    engine, image[: int(len(image) * (1 - missing))], tmp_path, request(None, WEBP)
                )


class FramesTests:
    def test_they_are_read_from_the_blocks(self) -> None:
        assert list(frames(standing_out(7))) == [GifFrame(7, 7, 1, 1, start=19, end=34)]
        animated = list(frames(animation("GIF")))
        assert [frame.delay for frame in animated] == [5, 10, 15, 20]
        assert all(animation("GIF")[frame.start : frame.start + 1] == b"," for frame in animated)
        assert [frame.disposal for frame in frames(opaque(3))] == [3, 3, 3, 3]
        assert len(list(frames(animation("GIF")))) == len(list(frames(animation("GIF")[:-1]))) == 4

    def test_an_ordinary_animation_is_plain(self) -> None:
        assert is_plain(animation("GIF"), (160, 90))
        assert not is_plain(animation("GIF"), (161, 90))
        assert is_plain(saved(small(20, 10), "GIF"), (20, 10))

    def test_delays_are_written_where_they_are_read(self) -> None:
        changed = with_delays(animation("GIF"), [7, 0, 65535, 1])
        assert [frame.delay for frame in frames(changed)] == [7, 0, 65535, 1]
        assert with_delays(animation("GIF"), [7]) == animation("GIF")
        assert with_delays(standing_out(7), [7]) == standing_out(7)

    @given(st.binary(max_size=60), st.integers(0, 400))
    def test_no_bytes_are_too_broken(self, noise: bytes, kept: int) -> None:
        for gif in (
            noise,
            b"GIF89a" + noise,
            animation("GIF")[:kept],
            animation("GIF")[:kept] + noise,
        ):
            is_plain(gif, (160, 90))
