"""Which versions an erasure leaves nothing of, and the rows that say so."""

import pytest

from imagepipe.core.paths import clean
from imagepipe.core.rows.entries import Content, Entry
from imagepipe.core.rows.erasure import erased_path, erasure_path, is_erased
from imagepipe.core.rows.stamp import Version
from imagepipe.errors import BadRequest

NORTH, SOUTH = "a" * 32, "b" * 32
CONTENT = Content("d" * 64, 5)


def image(stamp: int, origin: str = NORTH, path: str = "x/y.jpg") -> Entry:
    """A version of an image."""
    return Entry(path, Version(stamp, origin), None, CONTENT, 1)


def erasure(stamp: int, origin: str = NORTH, path: str = "x/y.jpg") -> dict[str, Entry | None]:
    """The row of an erasure, by its path."""
    return {erasure_path(path): Entry(erasure_path(path), Version(stamp, origin), None, None, 2)}


class PathTests:
    def test_the_row_of_an_erasure_is_at_a_path_that_no_image_can_have(self) -> None:
        assert erased_path(erasure_path("x/y.jpg")) == "x/y.jpg"
        assert erased_path("x/y.jpg") is None
        with pytest.raises(BadRequest):
            clean(erasure_path("x/y.jpg"))


class ErasedTests:
    @pytest.mark.parametrize(
        ("stamp", "origin", "expected"),
        [(6, SOUTH, True), (7, NORTH, True), (7, SOUTH, False), (8, NORTH, False)],
    )
    def test_versions_up_to_it_are_erased(self, stamp: int, origin: str, expected: bool) -> None:
        assert is_erased(image(stamp, origin), erasure(7)) is expected

    def test_other_paths_are_not(self) -> None:
        assert not is_erased(image(6), {})
        assert not is_erased(image(6), {erasure_path("x/y.jpg"): None})
        assert not is_erased(image(6, path="x"), erasure(7))
