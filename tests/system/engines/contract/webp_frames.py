"""What every engine must make of animated WebPs: what a browser shows, for as long."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagepipe.core.rendering.formats import GIF, PNG, WEBP, Format
from imagepipe.engines.engine import Engine
from tests.support.icc_profiles import in_srgb, swapped_profile
from tests.support.reference_images import pixels
from tests.support.webp_files import Layer, shown, webp
from tests.system.engines.contract.compositions import OTHER, SHARED, SOME, WHOLE, assert_shown
from tests.system.engines.contract.engine_contract import facts_of, render, request

RED, GREEN, BLUE = (220, 40, 40, 255), (40, 200, 60, 255), (50, 60, 210, 255)
CLEAR, FAINT, STRONG = (0, 0, 0, 0), (250, 240, 30, 60), (30, 30, 30, 200)

ANIMATIONS: dict[str, list[Layer]] = {
    "frames that replace": [
        Layer(WHOLE, RED, CLEAR),
        Layer(WHOLE, CLEAR, GREEN, blends=False),
        Layer(SOME, CLEAR, CLEAR, blends=False),
    ],
    "frames that blend": [
        Layer(WHOLE, RED, CLEAR),
        Layer(WHOLE, CLEAR, GREEN),
        Layer(SOME, STRONG, FAINT),
    ],
    "frames that are cleared": [
        Layer(WHOLE, RED, GREEN, clears=True),
        Layer(SOME, BLUE, BLUE, clears=True),
        Layer(OTHER, RED, CLEAR),
    ],
    "frames that replace a cleared one": [
        Layer(WHOLE, RED, RED),
        Layer(SOME, GREEN, GREEN, clears=True),
        Layer(OTHER, CLEAR, BLUE, blends=False),
    ],
    "a first frame that leaves room": [
        Layer(SOME, RED, GREEN, blends=False),
        Layer(OTHER, BLUE, BLUE),
    ],
    "a translucent frame over another": [
        Layer(WHOLE, FAINT, GREEN, blends=False),
        Layer(WHOLE, FAINT, GREEN),
    ],
    "opaque frames": [
        Layer(WHOLE, RED, GREEN),
        Layer(OTHER, BLUE, RED, blends=False),
        Layer(SOME, GREEN, BLUE),
    ],
}

layers = st.builds(
    Layer,
    place=st.sampled_from([WHOLE, SOME, OTHER, (0, 0, 24, 32), (16, 8, 32, 24)]),
    left=st.sampled_from([RED, GREEN, CLEAR, FAINT, STRONG]),
    right=st.sampled_from([GREEN, BLUE, CLEAR]),
    blends=st.booleans(),
    clears=st.booleans(),
    delay_ms=st.sampled_from([20, 70, 100, 3000]),
)


class WebpFramesContract:
    """Blending, clearing, places, delays and the profile, in any combination."""

    @pytest.mark.parametrize("name", ANIMATIONS)
    @pytest.mark.parametrize("format", [GIF, WEBP], ids=str)
    def test_every_frame_is_what_a_browser_shows(
        self, engine: Engine, name: str, format: Format, tmp_path: Path
    ) -> None:
        animation = ANIMATIONS[name]
        image = webp(animation)
        assert facts_of(engine, image).frames == len(animation)
        (made,) = render(engine, image, tmp_path, request(None, format))
        assert_shown(made, shown(animation), [layer.delay_ms for layer in animation])

    @given(animation=st.lists(layers, min_size=2, max_size=5), format=st.sampled_from([GIF, WEBP]))
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=SHARED)
    def test_any_frames_are_what_a_browser_shows(
        self, engine: Engine, animation: list[Layer], format: Format, tmp_path: Path
    ) -> None:
        (made,) = render(engine, webp(animation), tmp_path, request(None, format))
        assert_shown(made, shown(animation), [layer.delay_ms for layer in animation])

    def test_delays_are_kept_to_the_millisecond(self, engine: Engine, tmp_path: Path) -> None:
        delays = (0, 1, 7, 10, 11, 16, 33, 12_345)
        animation = [
            Layer(WHOLE, RED, (20 * n, 90, 90, 255), delay_ms=delay)
            for n, delay in enumerate(delays)
        ]
        (made,) = render(engine, webp(animation), tmp_path, request(None, WEBP))
        shown_ms = []
        with Image.open(Path(tmp_path, "0")) as opened:
            for n in range(getattr(opened, "n_frames", 1)):
                opened.seek(n)
                opened.load()
                shown_ms.append(opened.info["duration"])
        assert made
        assert tuple(shown_ms) == delays

    @pytest.mark.parametrize("format", [WEBP, PNG], ids=str)
    def test_the_profile_counts(self, engine: Engine, format: Format, tmp_path: Path) -> None:
        animation = [Layer(WHOLE, RED, GREEN), Layer(SOME, BLUE, BLUE)]
        (made,) = render(
            engine,
            webp(animation, profile=swapped_profile(), alpha=False),
            tmp_path,
            request(None, format),
        )
        wanted = in_srgb(Image.fromarray(shown(animation)[0][..., :3]), swapped_profile())
        ours = pixels(made)[0]
        for column in (8, 40):
            assert (
                np.abs(ours[16, column, :3].astype(int) - np.asarray(wanted)[16, column]).max()
                <= 12
            )

    def test_a_profile_that_is_none_is_ignored(self, engine: Engine, tmp_path: Path) -> None:
        animation = [Layer(WHOLE, RED, GREEN), Layer(SOME, BLUE, BLUE)]
        (made,) = render(
            engine, webp(animation, profile=b"none", alpha=False), tmp_path, request(None, PNG)
        )
        assert pixels(made)[0, 16, 8].tolist() == list(RED)
