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
from imagepipe.monitoring.engine_trial import AGAIN_SECONDS, EngineTrial

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
    trial = EngineTrial(lambda: engine, lambda: contextlib.nullcontext(tmp_path), Clock().seconds)
    trial.failed()
    assert [trial.why_not] == [None]
    assert (tmp_path / "0").read_bytes().startswith(b"\x89PNG")


def test_an_engine_that_cannot_be_started_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    engine = VipsEngine(60.0, PIXELS_MAX)
    trial = EngineTrial(lambda: engine, lambda: contextlib.nullcontext(tmp_path), Clock().seconds)
    trial.failed()
    assert "could not be started" in str(trial.why_not)
    engine.close()


def test_an_engine_that_renders_nothing_is_known_until_another_does(
    engine: Engine, tmp_path: Path
) -> None:
    clock, broken = Clock(), ImageMagickEngine("/bin/false", {}, 60.0, PIXELS_MAX)
    engines: list[Engine] = [broken]
    trial = EngineTrial(lambda: engines[0], lambda: contextlib.nullcontext(tmp_path), clock.seconds)
    trial.repeat()
    assert [trial.why_not] == [None], "nothing has failed yet"
    trial.failed()
    assert str(trial.why_not).startswith("no image can be rendered: ")
    engines[0] = engine
    trial.repeat()
    assert "rendered" in str(trial.why_not), "it is too soon"
    clock.advance(AGAIN_SECONDS)
    trial.repeat()
    assert [trial.why_not] == [None]
