"""A daemon of each engine that the tests of one module share, and pictures to send it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess, running
from tests.support.gradients import encoded, gradient
from tests.support.stepped_convert import SteppedConvert


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with the default engine."""
    with running(tmp_path_factory.mktemp("daemon"), {"images": {"io_threads": 2}}) as process:
        yield process


@pytest.fixture(scope="module", params=["auto", "imagemagick"])
def each_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    """A daemon, once with each engine."""
    folder: Path = tmp_path_factory.mktemp("daemon")
    with running(folder, {"images": {"engine": request.param, "io_threads": 2}}) as process:
        yield process


@pytest.fixture
def turnstile(tmp_path: Path) -> Iterator[SteppedConvert]:
    """A closed one."""
    turnstile = SteppedConvert(tmp_path / "turnstile")
    yield turnstile
    turnstile.remove()


_numbers = itertools.count(1)


@pytest.fixture
def folder() -> str:
    """A folder of the tree that no other test uses."""
    return f"folder{next(_numbers)}"


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A 64x48 JPEG with something to see."""
    return encoded(gradient(64, 48), "JPEG")
