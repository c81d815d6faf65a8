"""What every engine must do with animations."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from imagepipe.core.rendering.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method
from imagepipe.engines.engine import Engine
from tests.support.reference_images import convert, pixels, psnr, reference_command
from tests.support.source_images import animation, saved, small
from tests.system.engines.contract.engine_contract import assert_alike, facts_of, render, request


def delays(image: bytes) -> list[int]:
    """How long each frame is shown, in milliseconds."""
    shown = []
    for frame in ImageSequence.Iterator(Image.open(io.BytesIO(image))):
        frame.load()  # only then is it known, in a WebP
        shown.append(int(frame.info["duration"]))
    return shown


class AnimationContract:
    """GIF and WebP stay animated in each other; any other output is the first frame."""

    webp_loops = True
    """Whether the engine writes loop counts into WebP."""

    def loops(self, image: bytes) -> int:
        """How often it is played; 0 for ever. GIF counts the repeats."""
        opened = Image.open(io.BytesIO(image))
        count = opened.info.get("loop")
        return (
            1
            if count is None
            else int(count) + 1
            if count and opened.format == "GIF"
            else int(count)
        )

    @pytest.mark.parametrize("source", ["GIF", "WEBP"])
    @pytest.mark.parametrize("format", [GIF, WEBP], ids=str)
    @pytest.mark.parametrize("equal", [False, True])
    def test_frames_delays_and_loops_are_kept(
        self, engine: Engine, source: str, format: Format, equal: bool, tmp_path: Path
    ) -> None:
        image = animation(source, **({"duration": 100} if equal else {}))
        assert facts_of(engine, image).frames == 4
        (made,) = render(engine, image, tmp_path, request(Size(80, 80), format))
        if format is GIF or self.webp_loops:
            assert self.loops(made) == self.loops(image)
        assert delays(made) == delays(image)

    @pytest.mark.parametrize("format", [GIF, WEBP], ids=str)
    def test_one_that_is_played_once_keeps_its_frames(
        self, engine: Engine, format: Format, tmp_path: Path
    ) -> None:
        image = animation("GIF", loop=None)
        assert self.loops(image) == 1
        (made,) = render(engine, image, tmp_path, request(Size(80, 80), format))
        assert len(delays(made)) == 4
        if format is GIF or self.webp_loops:
            assert self.loops(made) == 1

    @pytest.mark.parametrize("format", [GIF, WEBP], ids=str)
    def test_one_that_loops_for_ever_still_does(
        self, engine: Engine, format: Format, tmp_path: Path
    ) -> None:
        (made,) = render(engine, animation("GIF", loop=0), tmp_path, request(Size(80, 80), format))
        assert self.loops(made) == 0

    @pytest.mark.parametrize("source", ["GIF", "WEBP"])
    @pytest.mark.parametrize("method", Method, ids=str)
    def test_every_frame_looks_as_after_the_reference_command(
        self, engine: Engine, source: str, method: Method, tmp_path: Path
    ) -> None:
        image, box = (
            animation(source, **({"lossless": True} if source == "WEBP" else {})),
            Size(100, 70),
        )
        frames = [
            saved(frame.convert("RGBA"), "PNG")
            for frame in ImageSequence.Iterator(Image.open(io.BytesIO(image)))
        ]
        theirs = np.concatenate(
            [pixels(frame, *reference_command(method, box)) for frame in frames]
        )
        (ours,) = render(engine, image, tmp_path, request(box, WEBP, method))
        assert_alike(ours, theirs, 29)
        for n in range(1, 4):
            assert psnr(pixels(ours)[n : n + 1], theirs[n - 1 : n]) < 28, "the frames are alike"

    @pytest.mark.parametrize("format", [JPEG, PNG, AVIF, TIFF], ids=str)
    def test_another_format_takes_the_first_frame(
        self, engine: Engine, format: Format, tmp_path: Path
    ) -> None:
        image = animation("GIF")
        theirs = pixels(
            saved(Image.open(io.BytesIO(image)).convert("RGB"), "PNG"),
            *reference_command(Method.RESIZE, Size(80, 80)),
        )
        (ours,) = render(engine, image, tmp_path, request(Size(80, 80), format))
        assert_alike(ours, theirs, 28)

    def test_still_and_moving_outputs_of_one_call(self, engine: Engine, tmp_path: Path) -> None:
        still, moving, large = render(
            engine,
            animation("WEBP"),
            tmp_path,
            request(Size(50, 50), PNG),
            request(Size(40, 40), GIF),
            request(None, WEBP),
        )
        assert pixels(still).shape == (1, 28, 50, 4)
        assert pixels(moving).shape == (4, 23, 40, 4)
        assert pixels(large).shape == (4, 90, 160, 4)

    def test_frames_that_change_a_part_are_coalesced(self, engine: Engine, tmp_path: Path) -> None:
        frames = [small(160, 90).quantize(64) for _ in range(4)]
        for n, frame in enumerate(frames):
            ImageDraw.Draw(frame).ellipse((10 + 30 * n, 20, 50 + 30 * n, 60), fill=7 * n)
        image = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
        assert len(set(convert("gif:-", "-format", "%wx%h ", "info:-", image=image).split())) > 1, (
            "every frame is whole"
        )
        whole = pixels(image, "-", "-coalesce", "-resize", "100x100")
        (ours,) = render(engine, image, tmp_path, request(Size(100, 100), WEBP))
        assert_alike(ours, whole, 29)

    def test_transparent_frames_do_not_show_what_was_before(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        frames = [Image.new("RGBA", (60, 40)) for _ in range(3)]
        for n, frame in enumerate(frames):
            frame.paste((200, 30, 30, 255), (20 * n, 10, 20 * n + 20, 30))
        image = saved(
            frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2, duration=100
        )
        (made,) = render(engine, image, tmp_path, request(Size(30, 20), GIF))
        for n, alpha in enumerate(pixels(made)[..., 3]):
            assert (alpha[10] > 0).tolist() == [
                10 * n <= column < 10 * n + 10 for column in range(30)
            ]

    def test_a_tiff_of_pages_is_its_first(self, engine: Engine, tmp_path: Path) -> None:
        pages = [small(160, 90), small(90, 160)]
        image = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
        assert facts_of(engine, image).frames == 1
        (made,) = render(engine, image, tmp_path, request(None, WEBP))
        assert pixels(made).shape == (1, 90, 160, 4)

    def test_the_canvas_of_a_composite_is_seen_through(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        made, still = render(
            engine,
            animation("GIF"),
            tmp_path,
            request(Size(120, 120), WEBP, Method.COMPOSITE),
            request(Size(120, 120), PNG, Method.COMPOSITE),
        )
        for image in (made, still):
            opened = Image.open(io.BytesIO(image))
            assert opened.mode == "RGBA"
            assert opened.getpixel((60, 2)) == (0, 0, 0, 0)


def on_canvas(gif: bytes, canvas: tuple[int, int]) -> bytes:
    """The same frames in the corner of another canvas."""
    return gif[:6] + canvas[0].to_bytes(2, "little") + canvas[1].to_bytes(2, "little") + gif[10:]
