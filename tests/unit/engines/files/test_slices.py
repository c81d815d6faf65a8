"""Searching in slices finds what `bytes.find` finds."""

import mmap

import pytest

from imagepipe.engines.files.slices import SLICE_BYTES, find


class FindTests:
    @pytest.mark.parametrize(
        "at",
        [
            0,
            1,
            SLICE_BYTES - 4,
            SLICE_BYTES - 1,
            SLICE_BYTES,
            3 * SLICE_BYTES - 2,
            3 * SLICE_BYTES + 5,
        ],
    )
    @pytest.mark.parametrize("start", [0, 1, 7, SLICE_BYTES, SLICE_BYTES + 1])
    def test_it_is_found_wherever_it_lies(self, at: int, start: int) -> None:
        image = bytearray(4 * SLICE_BYTES)
        image[at : at + 4] = b"acsp"
        assert find(bytes(image), b"acsp", start) == bytes(image).find(b"acsp", start)

    def test_what_is_not_there_or_cut_off_is_not_found(self) -> None:
        assert find(bytes(2 * SLICE_BYTES) + b"acs", b"acsp") == -1
        assert find(b"", b"acsp") == -1
        assert find(b"acsp", b"acsp", 5) == -1

    def test_a_memory_map_is_searched_too(self) -> None:
        with mmap.mmap(-1, 2 * SLICE_BYTES) as image:
            image[SLICE_BYTES - 2 : SLICE_BYTES + 2] = b"eXIf"
            assert find(image, b"eXIf") == SLICE_BYTES - 2
