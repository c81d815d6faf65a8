"""What every engine must make of animations whose frames are parts: what a browser shows, for as
long.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from imagepipe.core.rendering.formats import GIF, JPEG, PNG, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.engine import Engine
from tests.support.gif_files import Part, gif, shown
from tests.support.reference_images import Pixels, pixels
from tests.system.engines.contract.engine_contract import facts_of, render, request

WHOLE = (0, 0, 48, 32)
SOME = (8, 8, 16, 16)
OTHER = (24, 0, 24, 32)

COMPOSITIONS: dict[str, list[Part]] = {
    "given back by an opaque frame among transparent ones": [
        Part(WHOLE, 0, 1, disposal=2, transparent=0),
        Part(WHOLE, 2, 2, disposal=2),
        Part(WHOLE, 0, 3, disposal=2, transparent=0),
    ],
    "holes though no frame is transparent": [
        Part(WHOLE),
        Part(SOME, 3, 3, disposal=2),
        Part(OTHER, 3, 1, disposal=2),
    ],
    "a first frame that leaves room": [Part(SOME), Part(OTHER)],
    "a first frame that leaves room, then transparent ones": [
        Part(SOME),
        Part(OTHER, 0, 1, transparent=0),
        Part(WHOLE, 1, 0, 2, 0),
    ],
    "restored to what was before": [
        Part(WHOLE),
        Part(SOME, 3, 3, disposal=3),
        Part(OTHER, 3, 1, disposal=3),
        Part(SOME, 1, 1),
    ],
    "restored by the old number": [
        Part(WHOLE),
        Part(SOME, 3, 3, disposal=4),
        Part((40, 0, 8, 8), 3, 3),
    ],
    "palettes of their own, interlaced": [
        Part(WHOLE, local=True, interlaced=True),
        Part(OTHER, 1, 0, 2, 0, True, True),
        Part(SOME, 3, 1),
    ],
    "frames that stand out": [
        Part((0, 0, 48, 32)),
        Part((40, 24, 24, 24), 3, 3, disposal=2),
        Part((60, 40, 8, 8)),
        Part(SOME, 3, 3),
    ],
}


def timeline(image: bytes) -> tuple[Pixels, list[int]]:
    """Each frame as it is shown, and when it is shown no more, in milliseconds."""
    opened = Image.open(io.BytesIO(image))
    frames, delays = [], []
    for frame in ImageSequence.Iterator(opened):
        frames.append(np.asarray(frame.convert("RGBA")))
        delays.append(int(frame.info.get("duration", 0)))
    # Pillow fills with the background colour what an opaque frame of a GIF gives back.
    return (pixels(image) if opened.format == "GIF" else np.stack(frames)), np.cumsum(
        delays
    ).tolist()


def assert_shown(made: bytes, wanted: Pixels, delays_ms: list[int]) -> None:
    """At any moment the picture is the wanted one."""
    frames, ends = timeline(made)
    if len(frames) > 1:
        assert ends[-1] == sum(delays_ms)
    for page, start in zip(wanted, np.cumsum([0, *delays_ms]), strict=False):
        frame = frames[min(np.searchsorted(ends, start, side="right"), len(frames) - 1)]
        assert np.array_equal(frame[..., 3] > 127, page[..., 3] > 127)
        opaque = page[..., 3] > 127
        # A lossy WebP bleeds at edges; a colour taken for another differs by more in most pixels.
        assert (
            np.median(np.abs(frame[opaque].astype(int) - page[opaque])) < 20
            if opaque.sum() >= 64
            else True
        )


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""Each engine's tests inherit the property, and write to one folder."""

parts = st.builds(
    Part,
    place=st.sampled_from([WHOLE, SOME, OTHER, (0, 0, 24, 32), (16, 8, 32, 24), (40, 24, 24, 16)]),
    left=st.integers(0, 3),
    right=st.integers(0, 3),
    disposal=st.integers(0, 4),
    transparent=st.sampled_from([None, None, 0, 3]),
    local=st.booleans(),
    interlaced=st.booleans(),
    delay=st.sampled_from([1, 2, 7, 10, 300]),
)


class CompositionContract:
    """Disposal, transparency, palettes, places and delays, in any combination."""

    @pytest.mark.parametrize("name", COMPOSITIONS)
    @pytest.mark.parametrize("format", [GIF, WEBP], ids=str)
    def test_every_frame_is_what_a_browser_shows(
        self, engine: Engine, name: str, format: Format, tmp_path: Path
    ) -> None:
        parts = COMPOSITIONS[name]
        (made,) = render(engine, gif(parts), tmp_path, request(None, format))
        assert_shown(made, shown(parts), [10 * part.delay for part in parts])

    @given(parts=st.lists(parts, min_size=1, max_size=5), format=st.sampled_from([GIF, WEBP]))
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SHARED)
    def test_any_frames_are_what_a_browser_shows(
        self, engine: Engine, parts: list[Part], format: Format, tmp_path: Path
    ) -> None:
        (made,) = render(engine, gif(parts), tmp_path, request(None, format))
        assert_shown(made, shown(parts), [10 * part.delay for part in parts])

    @pytest.mark.parametrize("name", COMPOSITIONS)
    def test_a_still_picture_is_the_first_frame(
        self, engine: Engine, name: str, tmp_path: Path
    ) -> None:
        parts = COMPOSITIONS[name]
        first = shown(parts)[:1].copy()
        see_through, flat = render(
            engine, gif(parts), tmp_path, request(None, PNG), request(None, JPEG)
        )
        ours = pixels(see_through)
        assert np.array_equal(ours[..., 3], first[..., 3])
        assert np.array_equal(ours[ours[..., 3] > 0], first[first[..., 3] > 0])
        assert pixels(flat)[first[..., 3] == 0].min(initial=255) > 200

    def test_holes_are_alpha(self, engine: Engine, tmp_path: Path) -> None:
        for name, parts in COMPOSITIONS.items():
            holes = bool((shown(parts)[..., 3] == 0).any())
            assert facts_of(engine, gif(parts)).alpha or not holes, name
            (made,) = render(engine, gif(parts), tmp_path, request(None, WEBP))
            assert bool(made[20] & 0x10) or not holes, name
        assert not facts_of(engine, gif([Part(WHOLE), Part(SOME, 3, 3)])).alpha

    @pytest.mark.parametrize("format", [GIF, WEBP], ids=str)
    @pytest.mark.parametrize(
        "delays", [(0, 0, 1, 1), (1, 0, 0, 2), (10, 1, 1, 0), (5, 60_000, 7, 1)], ids=str
    )
    def test_frames_that_are_joined_are_shown_as_long(
        self, engine: Engine, format: Format, delays: tuple[int, ...], tmp_path: Path
    ) -> None:
        for colours in ((1, 2, 3, 1), (1, 1, 2, 2), (1, 2, 2, 2), (1, 1, 1, 2)):
            parts = [
                Part(WHOLE, colour, colour, delay=delay)
                for colour, delay in zip(colours, delays, strict=True)
            ]
            (made,) = render(engine, gif(parts), tmp_path, request(None, format))
            _, ends = timeline(made)
            wanted = np.cumsum([10 * delay for delay in delays])
            changes = [
                int(end) for n, end in enumerate(wanted) if n == 3 or colours[n] != colours[n + 1]
            ]
            assert set(changes) <= set(ends), (colours, delays)
            assert ends[-1] == wanted[-1]

    def test_hundredths_make_up_for_what_is_rounded_off(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        frames = [Image.new("RGB", (40, 30), (8 * n, 255 - 8 * n, 100)) for n in range(30)]
        file = io.BytesIO()
        frames[0].save(
            file, "WEBP", save_all=True, append_images=frames[1:], duration=33, lossless=True
        )
        (made,) = render(engine, file.getvalue(), tmp_path, request(None, GIF))
        assert timeline(made)[1][-1] == 990

    def test_hundreds_of_frames_are_no_matter_of_minutes(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """Within the engine's timeout of 60 s, many times over: it took 0.12 s a frame at best."""
        parts = [Part(WHOLE)] + [
            Part((n % 40, n % 24, 8, 8), n % 4, n % 3, 3, delay=4) for n in range(399)
        ]
        made = render(
            engine, gif(parts), tmp_path, request(Size(36, 36), GIF), request(Size(36, 36), WEBP)
        )
        for image in made:
            assert timeline(image)[1][-1] == 10 * sum(part.delay for part in parts)
