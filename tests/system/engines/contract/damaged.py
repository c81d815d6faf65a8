"""What every engine must do with files that are cut short, damaged or made to hurt."""

import random
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

from imagepipe.core.rendering.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.plan import RenderSettings, check_source, plan_render
from imagepipe.engines.engine import Engine
from imagepipe.errors import BadRequest, NotStored
from tests.support.source_images import avif_that_claims, gif, jpeg_that_claims, png, saved, small
from tests.system.engines.contract.engine_contract import facts_of, recognised, render, request

FORMATS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 90},
    "progressive JPEG": {"quality": 90, "progressive": True},
    "PNG": {},
    "GIF": {},
    "WEBP": {"quality": 90},
    "AVIF": {},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}

BOMBS: dict[str, Callable[[], bytes]] = {
    "a PNG of 65536x65536 bits": lambda: png(65536, 65536, 1, 0),
    "a JPEG of 20000x14000": lambda: jpeg_that_claims(20000, 14000),
    "a GIF of 1024 frames": lambda: gif(400, 400, 1024),
    "a GIF of 65535x65535": lambda: gif(65535, 65535, 1),
    "an AVIF of 17000x17000": lambda: avif_that_claims(17000, 17000),
}

MOMENT_SECONDS = 3.0
"""Far less than decoding any of them takes, on any machine."""


def good(name: str) -> bytes:
    """A small file of a format."""
    return saved(small(200, 120), name.rsplit(maxsplit=1)[-1], **FORMATS[name])


class BrokenContract:
    """A file that is not whole is refused in words, and the next one is rendered."""

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("percent", [10, 40, 70, 95])
    def test_a_truncated_file_is_refused(
        self, engine: Engine, name: str, percent: int, tmp_path: Path
    ) -> None:
        image = good(name)
        with pytest.raises(NotStored) as raised:
            render(
                engine, image[: len(image) * percent // 100], tmp_path, request(Size(50, 50), PNG)
            )
        said = str(raised.value)
        assert said.isascii()
        assert said.isprintable()
        assert len(said) < 300
        assert "cannot be" in said
        assert str(tmp_path) not in said

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_damaged_file_is_refused_or_rendered_but_nothing_else(
        self, engine: Engine, name: str, tmp_path: Path
    ) -> None:
        chance = random.Random(name)
        for _ in range(12):
            image = bytearray(good(name))
            for _ in range(chance.choice([1, 5, 50])):
                image[chance.randrange(16, len(image))] = chance.randrange(256)
            try:
                render(
                    engine,
                    bytes(image),
                    tmp_path,
                    request(Size(50, 50), PNG),
                    settings=RenderSettings(pixels_max=10_000_000),
                )
            except (NotStored, BadRequest) as error:
                assert str(error).isascii()  # a damaged file may be fine

    def test_a_header_alone_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        for name in FORMATS:
            with pytest.raises(NotStored):
                render(engine, good(name)[:64], tmp_path, request(Size(50, 50), PNG))

    @pytest.mark.parametrize("name", FORMATS)
    def test_what_follows_the_end_does_no_harm(
        self, engine: Engine, name: str, tmp_path: Path
    ) -> None:
        render(
            engine, good(name) + b"what a phone adds" * 100, tmp_path, request(Size(50, 50), PNG)
        )

    @pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
    def test_a_file_will_do_for_its_bytes_whatever_was_read_of_it(
        self, engine: Engine, name: str, tmp_path: Path
    ) -> None:
        image = good(name)
        (tmp_path / "image").write_bytes(image)
        wanted = render(engine, image, tmp_path, request(Size(60, 60), PNG))
        with FileIO(tmp_path / "image") as file:
            file.read(100)
            with engine.open(file, recognised(image)) as source:
                source.render(
                    plan_render((request(Size(60, 60), PNG),), source.facts, RenderSettings()),
                    tmp_path,
                )
        assert [(tmp_path / "0").read_bytes()] == wanted

    def test_the_next_image_is_rendered(self, engine: Engine, tmp_path: Path) -> None:
        with pytest.raises(NotStored):
            render(engine, good("PNG")[:1000], tmp_path, request(Size(50, 50), PNG))
        render(engine, good("PNG"), tmp_path, request(Size(50, 50), PNG))

    @pytest.mark.parametrize("format", [JPEG, PNG, GIF, WEBP, AVIF, TIFF], ids=str)
    def test_a_full_disk_is_named(self, engine: Engine, format: Format, tmp_path: Path) -> None:
        # every write to it fails with "no space left on device"
        (tmp_path / "0").symlink_to("/dev/full")
        with engine.open(good("PNG"), PNG) as source:
            plan = plan_render((request(Size(150, 150), format),), source.facts, RenderSettings())
            with pytest.raises(NotStored, match="cannot be written"):
                source.render(plan, tmp_path)

    def test_a_missing_folder_does_no_harm(self, engine: Engine, tmp_path: Path) -> None:
        with pytest.raises(NotStored):
            render(engine, good("PNG"), tmp_path / "gone", request(Size(50, 50), PNG))


class BombContract:
    """A small file that would take a large memory is known by its header, in a moment."""

    @pytest.mark.parametrize("name", BOMBS)
    def test_a_bomb_is_refused_undecoded(self, engine: Engine, name: str) -> None:
        image = BOMBS[name]()
        started = time.monotonic()
        with pytest.raises((BadRequest, NotStored)):
            check_source(facts_of(engine, image), RenderSettings(pixels_max=100_000_000))
        assert time.monotonic() - started < MOMENT_SECONDS

    def test_frames_are_counted(self, engine: Engine) -> None:
        facts = facts_of(engine, gif(400, 300, 1024))
        assert (facts.size, facts.frames) == (Size(400, 300), 1024)
