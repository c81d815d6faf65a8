"""The image in a form: found in the forms that clients send, and nothing worse than BadRequest from
those that only attackers do.
"""

import io
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.errors import BadRequest
from imagepipe.web.upload_forms import PARTS_MAX, image_in

FORM = b"multipart/form-data; boundary=XX"
IMAGE = b'Content-Disposition: form-data; name="image"'
FIELD = b'Content-Disposition: form-data; name="title"'
FILE = (
    b'Content-Disposition: form-data; name="upload"; filename="a.jpg"\r\nContent-Type: image/jpeg'
)
EXTENDED = b"Content-Disposition: form-data; name=\"upload\"; filename*=utf-8''%e2%82%ac.jpg"
END = b"--XX--\r\n"
FRAGMENTS = [
    b"\r\n",
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b";",
    b"=",
    b"*=",
    b"*0*=",
    b"''",
    b"%ff",
    b"\0",
    b"\xff",
    b"--",
    b"--XX",
    b"--XX\r\n",
    b"\r\n--XX--",
    b": ",
    b"x" * 5000,
]


def part(head: bytes, content: bytes) -> bytes:
    """One part, with its boundary before it."""
    return b"--XX\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def found(body: bytes, content_type: str | bytes | None = FORM) -> bytes:
    """The image that `image_in` finds."""
    with image_in(io.BytesIO(body), content_type) as image:
        return image.read()


class FormTests:
    @pytest.mark.parametrize(
        "content_type",
        [
            None,
            "",
            b"image/jpeg",
            "application/x-www-form-urlencoded",
            b"multipart/mixed; boundary=XX",
            b"\xff",
            ";",
            "multipart",
        ],
    )
    def test_a_body_that_is_not_a_form_is_the_image_itself(
        self, content_type: str | bytes | None
    ) -> None:
        body = io.BytesIO(part(IMAGE, b"abc") + END)
        body.seek(5)
        assert image_in(body, content_type) is body
        assert body.tell() == 0

    @pytest.mark.parametrize(
        "parts",
        [
            [part(IMAGE, b"abc")],
            [part(FIELD, b"title"), part(IMAGE, b"abc"), part(FILE, b"other")],
            [part(FIELD, b"title"), part(FILE, b"abc"), part(FIELD, b"")],
            [part(b'Content-Disposition: form-data; filename="a"', b"abc")],
            [part(b'content-DISPOSITION:form-data;name=image;filename="\xc3\xa9\\".jpg"', b"abc")],
            [part(IMAGE + b"; filename*=utf-8''%ff%00", b"abc")],
            [part(IMAGE + b"\r\nContent-Type: image/png; charset=nonsense", b"abc")],
            [part(EXTENDED, b"abc"), part(FIELD, b"title")],
            [
                part(FILE, b"other"),
                part(FILE, b"another"),
                part(IMAGE, b"abc"),
                part(FILE, b"other"),
            ],
            [*[part(FIELD, b"title")] * (PARTS_MAX - 1), part(IMAGE, b"abc")],
            [b"\r\n", part(IMAGE, b"abc")],
        ],
    )
    def test_the_image_is_the_part_of_that_name_or_the_only_file(self, parts: list[bytes]) -> None:
        assert found(b"".join(parts) + END) == b"abc"

    @pytest.mark.parametrize(
        "content_type",
        [
            b'multipart/form-data; boundary="XX"',
            "Multipart/FORM-Data; charset=utf-8; BOUNDARY=XX",
            b"multipart/form-data;boundary=XX;",
        ],
    )
    def test_the_boundary_may_be_said_in_any_way(self, content_type: str | bytes) -> None:
        assert found(part(IMAGE, b"abc") + END, content_type) == b"abc"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0",
            b"--XX",
            b"\r\n--X",
            b"\r\n--XX"[:-1],
            b"\r\n\r\n",
            b"\r\n--YY--\r\n" * 1000,
            bytes(range(256)) * 1000,
        ],
    )
    def test_the_content_is_any_bytes_but_the_boundary(self, content: bytes) -> None:
        assert found(part(IMAGE, content) + END) == content

    def test_a_form_within_a_form_is_only_bytes(self) -> None:
        inner = b'--YY\r\nContent-Disposition: file; filename="a.jpg"\r\n\r\nabc\r\n--YY--'
        assert (
            found(part(IMAGE + b"\r\nContent-Type: multipart/mixed; boundary=YY", inner) + END)
            == inner
        )

    def test_no_part_but_the_image_takes_room(self) -> None:
        large = bytes(1 << 20)
        body = io.BytesIO(
            part(FILE, large) * 20 + part(FIELD, large) * 20 + part(IMAGE, b"abc") + END
        )
        before = len(list(Path("/proc/self/fd").iterdir()))
        tracemalloc.start()
        try:
            with image_in(body, FORM) as image:
                assert image.read() == b"abc"
                assert len(list(Path("/proc/self/fd").iterdir())) == before
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 3_000_000])
    def test_a_large_image_is_on_the_disk_and_the_same(self, size: int) -> None:
        content = bytes(size - 3) + b"end"
        assert found(part(FIELD, bytes(size)) + part(IMAGE, content) + END) == content

    @pytest.mark.parametrize(
        ("content_type", "why"),
        [
            (b"multipart/form-data", "no boundary"),
            (b"multipart/form-data; boundary=", "no boundary"),
            (b'multipart/form-data; boundary=""', "no boundary"),
            (b'multipart/form-data; boundary="\xc3\xa9"', "no boundary"),
            (b"multipart/form-data; boundary=" + b"X" * 71, "no boundary"),
            (b'multipart/form-data; boundary="' + b'\\"' * 8000, "no boundary"),
            (b"multipart/form-data; " + b"a=b; " * 3000, "no boundary"),
            (b"multipart/form-data; boundary=YY", "cannot be read"),
        ],
    )
    def test_a_form_needs_its_boundary(self, content_type: bytes, why: str) -> None:
        with refused(why):
            found(part(IMAGE, b"abc") + END, content_type)

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "cannot be read"),
            (b"\xff" * 100, "cannot be read"),
            (part(IMAGE, b"abc"), "cannot be read: Unexpected end"),
            (part(IMAGE, b"abc")[:-2], "cannot be read: Unexpected end"),
            ((part(IMAGE, bytes(200_000)) + END)[:150_000], "cannot be read: Unexpected end"),
            (b"--XX\r\nContent-Dispo", "cannot be read"),
            (b"junk" + part(IMAGE, b"abc") + END, "cannot be read"),
            ((part(IMAGE, b"abc") + END).replace(b"\r\n", b"\n"), "cannot be read"),
            (part(b"X: y", b"abc") + END, "cannot be read"),
            (part(b"no colon", b"abc") + END, "cannot be read"),
            (part(b"Content-Disposition: attachment", b"abc") + END, "cannot be read"),
            (
                part(IMAGE + b'; filename="\xff' + b"\xff" * 4000 + b'"', b"abc") + END,
                "cannot be read: Segment header failed to decode",
            ),
            (part(IMAGE + b"\r\nContent-Length: 1", b"abc") + END, "cannot be read"),
            (part(IMAGE + b"\r\nContent-Length: -1", b"abc") + END, "cannot be read"),
            (
                part(IMAGE + b"\r\nX: " + b"y" * 100_000, b"abc") + END,
                "cannot be read: Maximum segment header length",
            ),
            (
                part(IMAGE + b"\r\nX: y" * 1000, b"abc") + END,
                "cannot be read: Maximum segment header count",
            ),
            (
                part(FIELD, b"") * PARTS_MAX + part(IMAGE, b"abc") + END,
                "cannot be read: Maximum segment count",
            ),
            (part(FIELD, b"") * 50_000 + END, "cannot be read: Maximum segment count"),
        ],
    )
    def test_what_is_malformed_or_too_much_is_refused_in_a_few_words(
        self, body: bytes, why: str
    ) -> None:
        with refused(why):
            found(body)

    @pytest.mark.parametrize(
        "parts",
        [
            [],
            [part(FIELD, b"abc")],
            [part(IMAGE, b"abc")] * 2,
            [part(FILE, b"abc")] * 2,
            [part(FILE, b"abc"), part(EXTENDED, b"abc")],
            [part(IMAGE, b"abc"), part(FILE, b"abc"), part(IMAGE, b"")],
        ],
    )
    def test_none_or_several_images_are_refused(self, parts: list[bytes]) -> None:
        with refused("must have exactly one part named image"):
            found(b"".join(parts) + END)

    def test_an_empty_file_is_an_empty_image(self) -> None:
        assert found(part(IMAGE + b'; filename=""', b"") + END) == b""

    @given(
        st.lists(
            st.tuples(st.integers(0, 400), st.integers(0, 20), st.sampled_from(FRAGMENTS)),
            max_size=5,
        ),
        st.booleans(),
    )
    def test_no_form_raises_anything_but_bad_request(
        self, edits: list[tuple[int, int, bytes]], of_the_type: bool
    ) -> None:
        body, content_type = part(FILE, b"abc") + part(FIELD, b"title") + END, FORM
        for at, cut, fragment in edits:
            if of_the_type:
                content_type = content_type[:at] + fragment + content_type[at + cut :]
            else:
                body = body[:at] + fragment + body[at + cut :]
        try:
            found(body, content_type)
        except BadRequest as error:
            assert len(str(error)) < 200  # it may raise, and need not


@contextmanager
def refused(why: str) -> Iterator[None]:
    """BadRequest, for this reason, in a few words."""
    with pytest.raises(BadRequest, match=re.escape(why)) as error:
        yield
    assert error.value.argument == "image"
    assert len(str(error.value)) < 200
