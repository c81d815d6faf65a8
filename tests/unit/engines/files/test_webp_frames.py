"""The frames of an animated WebP, and the same for a reader that blends them all."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.engines.files.webp_frames import (
    BlendedAnimation,
    blended,
    frames,
    has_holes,
    profile,
)
from tests.support.webp_files import Layer, webp

WHOLE = (0, 0, 48, 32)
RED, CLEAR = (220, 40, 40, 255), (0, 0, 0, 0)


class FramesTests:
    def test_they_are_read_from_the_chunks(self) -> None:
        image = webp(
            [
                Layer(WHOLE, RED, CLEAR, delay_ms=70),
                Layer((8, 4, 12, 6), RED, RED, blends=False, clears=True),
            ]
        )
        first, second = frames(image)
        assert (first.left, first.top, first.width, first.height) == WHOLE
        assert (first.delay_ms, first.replaces, first.clears) == (70, False, False)
        assert (second.left, second.top, second.width, second.height) == (8, 4, 12, 6)
        assert (second.delay_ms, second.replaces, second.clears) == (100, True, True)
        assert image[second.start : second.start + 4] == b"ANMF"
        assert second.end == len(image)

    def test_the_profile(self) -> None:
        assert profile(webp([Layer(WHOLE, RED, RED)], profile=b"odd")) == b"odd"
        assert profile(webp([Layer(WHOLE, RED, RED)])) == b""

    def test_holes(self) -> None:
        for animation, holes in (
            ([Layer(WHOLE, RED, RED), Layer(WHOLE, RED, RED)], False),
            ([Layer(WHOLE, RED, RED, clears=True), Layer(WHOLE, RED, RED)], True),
            ([Layer(WHOLE, RED, RED), Layer(WHOLE, RED, RED, clears=True)], False),
            ([Layer((0, 0, 46, 32), RED, RED), Layer(WHOLE, RED, RED)], True),
        ):
            image = webp(animation, alpha=False)
            assert has_holes(image, frames(image)) == holes
        image = webp([Layer(WHOLE, RED, RED)])
        assert has_holes(image, frames(image))

    @given(st.binary(max_size=60), st.integers(0, 400))
    def test_no_bytes_are_too_broken(self, noise: bytes, kept: int) -> None:
        image = webp([Layer(WHOLE, RED, CLEAR), Layer(WHOLE, RED, CLEAR, blends=False)])
        for one in (noise, b"RIFF\0\0\0\0WEBP" + noise, image[:kept], image[:kept] + noise):
            if found := frames(one):
                has_holes(one, found)
                blended(one, found)
            profile(one)


class BlendedTests:
    def test_frames_that_blend_are_left_alone(self) -> None:
        image = webp([Layer(WHOLE, RED, CLEAR, blends=False), Layer(WHOLE, RED, CLEAR)])
        assert blended(image, frames(image)) == BlendedAnimation(image)

    def test_one_that_replaces_comes_twice(self) -> None:
        replaces = Layer(WHOLE, RED, CLEAR, blends=False)
        image = webp([replaces, replaces, Layer(WHOLE, RED, RED), replaces])
        changed = blended(image, frames(image))
        assert changed.inserted == (1, 4)
        assert [frame.clears for frame in frames(changed.data)] == [
            False,
            True,
            False,
            False,
            True,
            False,
        ]
        assert int.from_bytes(changed.data[4:8], "little") == len(changed.data) - 8
