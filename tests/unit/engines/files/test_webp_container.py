"""The container of an animated WebP, put right."""

import io

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagepipe.engines.files.webp_container import UNIT_MS, with_alpha, with_delays


def animation(count: int, *, held: int = 1) -> bytes:
    """`count` frames, each of which is held for `held` units."""
    frames = [Image.new("RGB", (9, 7), (80 * n, 255 - 80 * n, 9)) for n in range(count)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=held * UNIT_MS)
    return file.getvalue()


def delays(webp: bytes) -> list[int]:
    """The delays as another decoder reads them."""
    opened = Image.open(io.BytesIO(webp))
    found = []
    for n in range(getattr(opened, "n_frames", 1)):
        opened.seek(n)
        opened.load()
        found.append(opened.info["duration"])
    return found


class WithDelaysTests:
    def test_each_frame_gets_its_own(self) -> None:
        assert delays(with_delays(animation(3), [10, 2000, 30])) == [10, 2000, 30]

    def test_frames_that_were_joined_get_the_sum_of_theirs(self) -> None:
        assert delays(with_delays(animation(3, held=2), [10, 20, 0, 1, 300, 5])) == [30, 1, 305]

    def test_frames_without_a_delay_get_none(self) -> None:
        assert delays(with_delays(animation(3), [1, 2])) == [1, 2, 0]

    def test_a_delay_that_does_not_fit_is_the_longest(self) -> None:
        assert delays(with_delays(animation(2), [1 << 30, -5])) == [(1 << 24) - 1, 0]

    @given(st.binary(max_size=60), st.lists(st.integers(), max_size=3), st.integers(0, 100))
    def test_no_bytes_are_too_broken(self, noise: bytes, numbers: list[int], kept: int) -> None:
        for webp in (
            noise,
            b"RIFF\0\0\0\0WEBP" + noise,
            b"RIFF\0\0\0\0WEBPANMF" + noise,
            animation(2)[:kept],
        ):
            assert len(with_delays(webp, numbers)) == len(with_alpha(webp)) == len(webp)


class WithAlphaTests:
    def test_the_flag_is_set(self) -> None:
        webp = animation(2)
        assert Image.open(io.BytesIO(webp)).mode == "RGB"
        assert Image.open(io.BytesIO(with_alpha(webp))).mode == "RGBA"
        assert with_alpha(with_alpha(webp)) == with_alpha(webp)
