"""Whether the engine renders at all: an image that fails is told from an engine that does."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from imagepipe.core.rendering.formats import JPEG
from imagepipe.engines.engine import Engine
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from imagepipe.monitoring.engine_check import CHECK_INTERVAL_SECONDS, EngineCheck

PIXELS_MAX = 100_000_000


@pytest.fixture(params=["vips", "imagemagick"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A real engine."""
    engine = (
        VipsEngine(60.0, PIXELS_MAX)
        if request.param == "vips"
        else ImageMagickEngine("/usr/bin/convert", {}, 60.0, PIXELS_MAX)
    )
    yield engine
    engine.close()


def test_an_image_that_fails_is_not_the_engines_fault(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotStored), engine.open(b"\xff\xd8\xff\xe0 no more", JPEG):
        pass
    engine_check = EngineCheck(
        lambda: engine, lambda: contextlib.nullcontext(tmp_path), Clock().seconds
    )
    engine_check.render_failed()
    assert [engine_check.why_not] == [None]
    assert (tmp_path / "0").read_bytes().startswith(b"\x89PNG")


def test_an_engine_that_cannot_be_started_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    engine = VipsEngine(60.0, PIXELS_MAX)
    engine_check = EngineCheck(
        lambda: engine, lambda: contextlib.nullcontext(tmp_path), Clock().seconds
    )
    engine_check.render_failed()
    assert "could not be started" in str(engine_check.why_not)
    engine.close()


def test_an_engine_that_renders_nothing_is_known_until_another_does(
    engine: Engine, tmp_path: Path
) -> None:
    clock, broken = Clock(), ImageMagickEngine("/bin/false", {}, 60.0, PIXELS_MAX)
    engines: list[Engine] = [broken]
    engine_check = EngineCheck(
        lambda: engines[0], lambda: contextlib.nullcontext(tmp_path), clock.seconds
    )
    engine_check.repeat()
    assert [engine_check.why_not] == [None], "nothing has failed yet"
    engine_check.render_failed()
    assert str(engine_check.why_not).startswith("no image can be rendered: ")
    engines[0] = engine
    engine_check.repeat()
    assert "rendered" in str(engine_check.why_not), "it is too soon"
    clock.advance(CHECK_INTERVAL_SECONDS)
    engine_check.repeat()
    assert [engine_check.why_not] == [None]
