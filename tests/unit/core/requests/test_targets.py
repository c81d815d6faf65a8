"""What the path of a request asks for, and what is malformed."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.requests.targets import decode, original_of, parse_target
from imagepipe.errors import BadRequest


class TargetTests:
    """Images, renditions, facts."""

    def test_a_path_is_an_image(self) -> None:
        target = parse_target(b"/a/b.jpg")
        assert (target.text, target.path, target.image, target.rendition, target.is_info) == (
            "/a/b.jpg",
            "a/b.jpg",
            None,
            None,
            False,
        )

    def test_a_renditions_name_may_also_be_an_image(self) -> None:
        target = parse_target(b"/a/b.jpg/w500.jpg")
        assert (target.path, target.image, target.is_info) == ("a/b.jpg/w500.jpg", "a/b.jpg", False)
        assert target.rendition
        assert target.rendition.width == 500

    def test_info_is_never_an_image(self) -> None:
        target = parse_target(b"/a/b/info.json")
        assert (target.path, target.image, target.is_info) == (None, "a/b", True)

    def test_a_rendition_of_nothing_can_only_be_an_image(self) -> None:
        target = parse_target(b"/w500.jpg")
        assert (target.path, target.image) == ("w500.jpg", None)

    @pytest.mark.parametrize(
        "raw",
        [
            b"/",
            b"//",
            b"/a/",
            b"/a/.",
            b"/info.json",
            b"/.imagepipe/lock",
            b"/%2eimagepipe/lock",
            b"/a/.imagepipe/x",
            b"/status/x",
            b"/index.html",
            b"/a%0ab",
            b"/" + b"a" * 256,
            b"/a/b.php",
        ],
    )
    def test_where_no_image_can_be_there_is_nothing(self, raw: bytes) -> None:
        target = parse_target(raw)
        assert (target.path, target.image) == (None, None)

    @pytest.mark.parametrize(
        "raw",
        [
            b"/.imagepipe/w500.jpg",
            b"/%2Eimagepipe/objects/w500.jpg",
            b"/a/.b/info.json",
            b"/metrics/w500.jpg",
        ],
    )
    def test_a_path_that_cannot_hold_an_image_has_no_renditions(self, raw: bytes) -> None:
        assert parse_target(raw).image is None

    def test_doubled_slashes_count_as_one(self) -> None:
        target = parse_target(b"//a//b.jpg//w500.jpg")
        assert (target.path, target.image) == ("a/b.jpg/w500.jpg", "a/b.jpg")

    def test_an_original_lies_below_its_image(self) -> None:
        assert original_of("a/b") == "a/b/original"

    def test_an_original_needs_room_for_its_name(self) -> None:
        with pytest.raises(BadRequest):
            original_of("/".join(["a" * 200] * 5) + "/" + "b" * 18)


class DecodeTests:
    """A path is decoded once, or refused."""

    @pytest.mark.parametrize(
        ("raw", "text"),
        [
            (b"/a%20b/%C3%A9", "/a b/é"),
            (b"/%2541", "/%41"),
            (b"/a+b", "/a+b"),
            (b"/a%3Fb%23c", "/a?b#c"),
            (b"/\xc3\xa9", "/é"),
            (b"http://host:7000/a/b", "/a/b"),
            (b"HTTPS://host/a", "/a"),
            (b"/http://host/a", "/http://host/a"),
        ],
    )
    def test_it_is_decoded_once(self, raw: bytes, text: str) -> None:
        assert decode(raw) == text

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"*",
            b"a/b",
            b"http://host",
            b"ftp://host/a",
            b"/a%2Fb",
            b"/a%2fb",
            b"/%00",
            b"/a\0b",
            b"/%ff",
            b"/\xff",
            b"/%",
            b"/%4",
            b"/%zz",
            b"/..",
            b"/a/../b",
            b"/%2e%2e/b",
            b"/.%2E",
            b"/%ed%a0%80",
            b"/a%EF%BF%BE",
            b"/a/\xef\xbf\xbf/b",
            b"/" + b"a" * 5000,
        ],
    )
    def test_what_is_malformed_is_refused(self, raw: bytes) -> None:
        with pytest.raises(BadRequest):
            decode(raw)

    @given(
        st.lists(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="/\0\ufffe\uffff"),
                min_size=1,
                max_size=20,
            ),
            min_size=1,
            max_size=5,
        )
    )
    def test_what_was_quoted_comes_back(self, segments: list[str]) -> None:
        if ".." not in segments:
            assert decode(
                b"/" + "/".join(quote(segment, safe="") for segment in segments).encode()
            ) == "/" + "/".join(segments)

    @given(st.binary(max_size=60))
    def test_no_bytes_are_too_strange(self, raw: bytes) -> None:
        try:
            target = parse_target(b"/" + raw)
        except BadRequest:
            return
        for path in (target.path, target.image):
            assert path is None or not any(
                component.startswith(".") for component in path.split("/")
            )
