"""What every engine must do with a JPEG whose end is not as it should be."""

from pathlib import Path

import pytest

from imagepipe.core.rendering.formats import PNG
from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.engine import Engine
from imagepipe.errors import NotStored
from tests.support.reference_images import pixels
from tests.support.source_images import saved, small
from tests.system.engines.contract.engine_contract import assert_alike, render, request

KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "grey": {"grey": True},
    "progressive restart markers": {"progressive": True, "restart_marker_blocks": 3},
}

PHONE = b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1500000000000SEFH" + b"\0" * 16 + b"SEFT"
ENDS: dict[str, bytes] = {
    "no end marker": b"",
    "half an end marker": b"\xff",
    "a phone's trailer": PHONE,
    "a trailer of a video": PHONE + b"\0\0\0\x18ftypmp42\xff\xc4\0\xffmoov\xff\xda\0\x08" * 40,
    "zeros": bytes(4096),
}
AFTER_THE_END: dict[str, bytes] = {
    "another picture": saved(small(60, 40), "JPEG"),
    "a phone's trailer": PHONE,
    "a video": ENDS["a trailer of a video"],
}


def jpeg(kind: str) -> bytes:
    """A photograph of 320x180 pixels, with its end marker."""
    options = dict(KINDS[kind])
    picture = small().convert("L") if options.pop("grey", False) else small()
    return saved(picture, "JPEG", quality=90, **options)


class JpegEndContract:
    """Where all pixels are there, the picture is rendered; where some are missing, it is
    refused.
    """

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("end", ENDS)
    def test_whatever_is_in_place_of_the_end_marker(
        self, engine: Engine, kind: str, end: str, tmp_path: Path
    ) -> None:
        image = jpeg(kind)
        (ours,) = render(engine, image[:-2] + ENDS[end], tmp_path, request(Size(150, 150)))
        (theirs,) = render(engine, image, tmp_path, request(Size(150, 150)))
        assert_alike(ours, pixels(theirs), 50)

    @pytest.mark.parametrize("end", AFTER_THE_END)
    def test_whatever_follows_the_end_marker(
        self, engine: Engine, end: str, tmp_path: Path
    ) -> None:
        image = jpeg("baseline")
        (ours,) = render(engine, image + AFTER_THE_END[end], tmp_path, request(Size(150, 150)))
        (theirs,) = render(engine, image, tmp_path, request(Size(150, 150)))
        assert_alike(ours, pixels(theirs), 50)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("end", ["", "no end marker", "a phone's trailer", "another picture"])
    @pytest.mark.parametrize("missing", [0.7, 0.35, 0.1])
    def test_missing_pixels_are_refused(
        self, engine: Engine, kind: str, end: str, missing: float, tmp_path: Path
    ) -> None:
        image = jpeg(kind)
        cut = image[: int(len(image) * (1 - missing))]
        with pytest.raises(NotStored):
            render(
                engine,
                cut + {**AFTER_THE_END, **ENDS, "": b"\xff\xd9"}[end],
                tmp_path,
                request(Size(150, 150)),
            )

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_few_missing_bytes_are_noticed(
        self, engine: Engine, kind: str, tmp_path: Path
    ) -> None:
        for cut in (3, 4, 7):
            for end in (b"", b"\xff\xd9"):
                with pytest.raises(NotStored):
                    render(engine, jpeg(kind)[:-cut] + end, tmp_path, request(Size(150, 150)))

    @pytest.mark.parametrize("end", ENDS)
    def test_a_progressive_one_cut_between_two_scans_is_refused(
        self, engine: Engine, end: str, tmp_path: Path
    ) -> None:
        image = jpeg("progressive")
        last_tables = image.rindex(b"\xff\xc4")
        with pytest.raises(NotStored):
            render(engine, image[:last_tables] + ENDS[end], tmp_path, request(Size(150, 150)))

    def test_noise_in_the_header_does_not_hide_that_pixels_are_missing(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """The first warning is all that libjpeg reports."""
        noisy = jpeg("baseline").replace(b"\xff\xdb", b"noise\xff\xdb", 1)
        render(engine, noisy, tmp_path, request(Size(150, 150)))
        for end in (b"", PHONE, b"\xff\xd9"):
            with pytest.raises(NotStored):
                render(engine, noisy[: len(noisy) // 2] + end, tmp_path, request(Size(150, 150)))

    def test_a_large_one_is_read_to_its_end(self, engine: Engine, tmp_path: Path) -> None:
        """One that streams through: more than 4 megapixels, and shrunk as it is read."""
        image = saved(small().resize((2880, 1620)), "JPEG", quality=80)
        (ours,) = render(engine, image[:-2] + PHONE, tmp_path, request(Size(1400, 1400), PNG))
        (theirs,) = render(engine, image, tmp_path, request(Size(1400, 1400), PNG))
        assert_alike(ours, pixels(theirs), 50)
        for cut in (image[: len(image) // 2], image[: len(image) // 2] + b"\xff\xd9"):
            with pytest.raises(NotStored):
                render(engine, cut, tmp_path, request(Size(1400, 1400), PNG))
