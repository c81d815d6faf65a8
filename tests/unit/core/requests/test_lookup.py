"""What a GET gets, by its target and the rows of a few paths."""

from collections.abc import Mapping

import pytest

from imagepipe.core.paths import PATH_BYTES_MAX
from imagepipe.core.requests.lookup import Finding, Missing, Source, StoredFile, find, paths_of
from imagepipe.core.requests.targets import Target, image_target, parse_target
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.stamp import Version

FILE = "a/b.jpg/w500.jpg"
IMAGE = "a/b.jpg"
ORIGINAL = "a/b.jpg/original"

KNOWN, UNKNOWN = Missing(is_known=True), Missing(is_known=False)


class PathsTests:
    def test_a_file_needs_its_own_row(self) -> None:
        assert paths_of(parse_target(b"/a/b.jpg")) == (IMAGE,)

    def test_a_rendition_also_needs_those_of_its_sources(self) -> None:
        assert paths_of(parse_target(b"/a/b.jpg/w500.jpg")) == (FILE, IMAGE, ORIGINAL)

    def test_facts_need_those_of_their_sources(self) -> None:
        assert paths_of(parse_target(b"/a/b.jpg/info.json")) == (IMAGE, ORIGINAL)

    def test_where_no_image_can_be_no_row_is_needed(self) -> None:
        assert paths_of(parse_target(b"/")) == ()

    def test_an_image_whose_path_is_too_long_has_no_original(self) -> None:
        path = "/".join(["a" * 200] * (PATH_BYTES_MAX // 201))
        path += "/" + "a" * (PATH_BYTES_MAX - len(path) - 1)
        assert paths_of(image_target(path)) == (path,)


class FindTests:
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ({IMAGE: "1"}, "1"),
            ({IMAGE: None}, KNOWN),
            ({}, UNKNOWN),
        ],
    )
    def test_a_file_is_stored_deleted_or_unknown(
        self, rows: Mapping[str, str | None], expected: str | Missing
    ) -> None:
        found = _find(parse_target(b"/a/b.jpg"), rows)
        assert found == (_stored(IMAGE, expected) if isinstance(expected, str) else expected)

    def test_a_stored_file_wins_over_the_rendition_of_its_name(self) -> None:
        found = _find(parse_target(b"/a/b.jpg/w500.jpg"), {FILE: "1", IMAGE: "2", ORIGINAL: "3"})
        assert found == _stored(FILE, "1")

    @pytest.mark.parametrize("ending", [b"w500.jpg", b"info.json"])
    def test_the_image_itself_is_a_better_source_than_its_original(self, ending: bytes) -> None:
        target = parse_target(b"/a/b.jpg/" + ending)
        assert _find(target, {IMAGE: "2", ORIGINAL: "3"}) == _source(IMAGE, "2")
        assert _find(target, {IMAGE: None, ORIGINAL: "3"}) == _source(ORIGINAL, "3")
        assert _find(target, {ORIGINAL: "3"}) == _source(ORIGINAL, "3")

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ({}, UNKNOWN),
            ({IMAGE: None}, KNOWN),
            ({ORIGINAL: None}, KNOWN),
            ({FILE: None}, UNKNOWN),
        ],
    )
    def test_an_image_is_known_to_be_missing_if_one_of_its_own_paths_was_deleted(
        self, rows: Mapping[str, str | None], expected: Missing
    ) -> None:
        """A deleted file with the name of a rendition says nothing about the image."""
        assert _find(parse_target(b"/a/b.jpg/w500.jpg"), rows) == expected

    def test_a_deleted_file_does_not_hide_the_rendition_of_its_name(self) -> None:
        found = _find(parse_target(b"/a/b.jpg/w500.jpg"), {FILE: None, IMAGE: "2"})
        assert found == _source(IMAGE, "2")

    def test_where_no_image_can_be_it_is_known_to_be_missing(self) -> None:
        assert _find(parse_target(b"/"), {}) == KNOWN


def _find(target: Target, digests: Mapping[str, str | None]) -> Finding:
    return find(target, {path: _row(path, digest) for path, digest in digests.items()})


def _row(path: str, digest: str | None) -> Row:
    content = Content(digest, 1) if digest else None
    return Row(Entry(path, Version(1, "n"), None, content, 1), None)


def _stored(path: str, digest: str) -> StoredFile:
    return StoredFile(_row(path, digest), Content(digest, 1))


def _source(path: str, digest: str) -> Source:
    return Source(_row(path, digest), Content(digest, 1))
