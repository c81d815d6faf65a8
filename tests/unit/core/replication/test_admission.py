"""What is taken over from a peer, and what is not."""

import pytest

from imagepipe.core.replication.admission import (
    HEADER_BYTES_MAX,
    PIXEL_BYTES_MAX,
    SIDE_MAX,
    Admission,
    facts_of_bytes,
    plausible_facts,
)
from imagepipe.core.rows.entries import Content, Entry, ImageFacts, Row
from imagepipe.core.rows.stamp import Version

NODE = Admission(bytes_max=32 << 20, pixels_max=100_000_000)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes([0, 0, 0, 3, 0, 0, 0, 4])


def row(size: int, facts: ImageFacts | None) -> Row:
    """A row of a peer."""
    return Row(Entry("a.png", Version(1, "bb"), None, Content("1" * 64, size), 1), facts)


class SizeTests:
    def test_a_source_has_at_most_max_bytes(self) -> None:
        assert NODE.refusal(row(32 << 20, None)) is None
        assert NODE.refusal(row((32 << 20) + 1, None))

    def test_an_output_may_have_more_as_its_pixels_do(self) -> None:
        facts = ImageFacts("png", 8192, 8192)
        largest = HEADER_BYTES_MAX + PIXEL_BYTES_MAX * 8192 * 8192
        assert NODE.refusal(row(largest, facts)) is None
        assert NODE.refusal(row(largest + 1, facts))

    def test_an_animation_may_have_the_pixels_of_all_its_frames(self) -> None:
        large = row(HEADER_BYTES_MAX + PIXEL_BYTES_MAX * NODE.pixels_max, ImageFacts("gif", 10, 10))
        assert NODE.refusal(large) is None

    @pytest.mark.parametrize(
        "facts",
        [
            None,
            ImageFacts("png", 1, 1),
            ImageFacts("png", SIDE_MAX, SIDE_MAX),
            ImageFacts("gif", 1, 1),
        ],
    )
    def test_a_tebibyte_is_refused_whatever_its_facts_are(self, facts: ImageFacts | None) -> None:
        why = NODE.refusal(row(1 << 40, facts))
        assert why == "its size of 1.0 TiB is more than this node takes (max_bytes, max_pixels)"

    def test_a_delete_has_no_size(self) -> None:
        assert NODE.refusal(Row(Entry("a", Version(1, "bb"), None, None, 1), None)) is None


class FactsTests:
    def test_what_an_image_can_have_is_believed(self) -> None:
        assert plausible_facts("jpeg", 1, SIDE_MAX) == ImageFacts("jpeg", 1, SIDE_MAX)

    @pytest.mark.parametrize(
        ("format", "width", "height"),
        [
            (None, 1, 1),
            ("jpeg", None, 1),
            ("jpeg", 1, None),
            ("svg+xml", 1, 1),
            ("", 1, 1),
            ("JPEG", 1, 1),
            ("jpeg", 0, 1),
            ("jpeg", 1, 0),
            ("jpeg", -1, 1),
            ("jpeg", 2**63 - 1, 1),
            ("jpeg", 1, SIDE_MAX + 1),
        ],
    )
    def test_the_rest_counts_as_missing(
        self, format: object, width: object, height: object
    ) -> None:
        assert plausible_facts(format, width, height) is None

    def test_the_bytes_have_the_last_word(self) -> None:
        right = ImageFacts("png", 3, 4)
        assert facts_of_bytes(PNG, right) == right
        assert facts_of_bytes(PNG, ImageFacts("jpeg", 3, 4)) is None
        assert facts_of_bytes(PNG, ImageFacts("png", 3, 5)) is None
        assert facts_of_bytes(b"8BPS\0\1" + bytes(60), ImageFacts("psd", 3, 4)) == ImageFacts(
            "psd", 3, 4
        )
        assert facts_of_bytes(PNG, None) is None
        assert facts_of_bytes(b"<svg/>", right) is None
