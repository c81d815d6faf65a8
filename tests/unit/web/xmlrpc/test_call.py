"""Lifting an image out of a call must never change what the call means."""

import base64
import io
import mmap
import tempfile
import xmlrpc.client
from collections.abc import Callable
from typing import IO, Any
from xml.parsers import expat
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.errors import BadRequest
from imagepipe.web.xmlrpc.base64_images import (
    PIECE_BYTES,
    Base64Image,
    decode_base64,
    decode_image,
)
from imagepipe.web.xmlrpc.call import SLICE_BYTES, parse_call
from imagepipe.web.xmlrpc.unmarshal import MalformedCallError

IMAGE = bytes(range(256)) * 3
ENCODED = base64.b64encode(IMAGE).decode()


def parsed(body: str | bytes, lifted_bytes_min: int = 16) -> tuple[str, list[Any]]:
    """(method, parameters) with every lifted image put back as its text."""
    call = parse_call(
        io.BytesIO(body.encode() if isinstance(body, str) else body), lifted_bytes_min
    )
    return call.method, [
        value.decode(1 << 20) if isinstance(value, Base64Image) else value
        for value in call.parameters
    ]


def call(*values: str) -> str:
    """A call of m whose parameters are these `<value>` contents."""
    return (
        "<methodCall><methodName>m</methodName><params>"
        + "".join(f"<param><value>{value}</value></param>" for value in values)
        + "</params></methodCall>"
    )


class LiftingTests:
    @pytest.mark.parametrize(
        "value",
        [
            f"<base64>{ENCODED}</base64>",
            f"<string>{ENCODED}</string>",
            ENCODED,
            f"<base64>\n{ENCODED[:76]}\r\n{ENCODED[76:]}\n</base64>",
            f"<string><![CDATA[{ENCODED}]]></string>",
            f"<base64><![CDATA[\n{ENCODED}\n]]></base64>",
            f"<![CDATA[{ENCODED}]]>",
        ],
    )
    def test_an_image_is_lifted_from_every_place_it_may_have(self, value: str) -> None:
        body = call(value, "<string>path</string>")
        assert isinstance(parse_call(io.BytesIO(body.encode()), 16).parameters[0], Base64Image)
        assert parsed(body) == ("m", [IMAGE, "path"])

    @pytest.mark.parametrize(
        "body",
        [
            call(f"<!-- <base64>{ENCODED}</base64> --><string>short</string>"),
            call(f"<string><![CDATA[<base64>{ENCODED}</base64>]]></string>"),
            call(f"<string>before<![CDATA[{ENCODED}]]></string>"),
            call(f"<string><![CDATA[{ENCODED}]]>after</string>"),
            call(f"<string><![CDATA[{ENCODED}]after]]></string>"),
            call(f"<string><![CDATA[{ENCODED}]]><![CDATA[{ENCODED}]]></string>"),
            call(f"<string><![CDATA[{ENCODED}&#10;]]></string>"),
            call(f"<!-- <![CDATA[{ENCODED}]]> --><string>short</string>"),
            call(f"<string>before<!-- x -->{ENCODED}</string>"),
            call(f"<string>{ENCODED}<!-- x -->after</string>"),
            call(f"<struct><member><name>{ENCODED}</name><value>1</value></member></struct>"),
            call(f"<string>{ENCODED}&amp;</string>"),
            call(f"<string>&#65;{ENCODED}</string>"),
            call(f"<string>short</string>{ENCODED}"),
            call("<string>short</string>").replace("<params>", f"<params>{ENCODED}"),
            call("<string>short</string>").replace("<params>", f"<other>{ENCODED}</other><params>"),
            "<?xml version='1.0' encoding='iso-8859-1'?>" + call(f"<string>{ENCODED}</string>"),
        ],
    )
    def test_a_stretch_that_is_not_a_whole_parameter_means_what_it_meant(self, body: str) -> None:
        parameters, method = xmlrpc.client.loads(body, use_builtin_types=True)
        got_method, got = parsed(body)
        assert got_method == method
        assert [
            base64.b64encode(value).decode() if value == IMAGE else value for value in got
        ] == list(parameters)

    @pytest.mark.parametrize("line_break", ["&#13;\n", "&#10;", "&#xD;&#xA;", "&#x0d;&#9;"])
    def test_an_image_is_lifted_with_line_breaks_of_any_spelling(self, line_break: str) -> None:
        lines = [ENCODED[at : at + 76] for at in range(0, len(ENCODED), 76)]
        body = call(f"<string>{line_break.join(lines)}</string>")
        assert isinstance(parse_call(io.BytesIO(body.encode()), 16).parameters[0], Base64Image)
        assert parsed(body)[1] == [IMAGE]

    def test_every_image_of_a_call_is_lifted_however_deep_it_lies(self) -> None:
        one = f"<value><string>{ENCODED}</string></value>"
        body = call(
            f"<array><data>{one}{one}</data></array>",
            f"<struct><member><name>image</name>{one}</member></struct>",
            f"<string>{ENCODED}</string>",
        )
        first, second, third = parse_call(io.BytesIO(body.encode()), 16).parameters
        assert isinstance(first, list)
        assert isinstance(second, dict)
        for image in (*first, second["image"], third):
            assert isinstance(image, Base64Image)
            assert image.decode(1 << 20) == IMAGE

    def test_no_more_than_a_hundred_are(self) -> None:
        parameters = parse_call(io.BytesIO(call(*[ENCODED] * 101).encode()), 16).parameters
        assert [isinstance(image, Base64Image) for image in parameters] == [True] * 100 + [False]

    @pytest.mark.parametrize("reference", ["&#10;", "&#x0000000A;"])
    def test_a_text_of_references_is_left_to_the_parser(self, reference: str) -> None:
        [image] = parse_call(
            io.BytesIO(call(f"<string>{reference * 1000}AAAA</string>").encode()), 16
        ).parameters
        assert image == "\n" * 1000 + "AAAA"

    @given(
        st.lists(st.text(st.sampled_from("Aa+/= \n<>&;![]-CDT"), max_size=60), max_size=4),
        st.integers(1, 40),
    )
    def test_any_text_survives(self, texts: list[str], lifted_bytes_min: int) -> None:
        body = call(*(f"<string>{escape(text)}</string>" for text in texts))
        parsed_call = parse_call(io.BytesIO(body.encode()), lifted_bytes_min)
        expected, _ = xmlrpc.client.loads(body)
        for value, text in zip(parsed_call.parameters, expected, strict=True):
            if isinstance(value, Base64Image):
                assert body.encode()[value.start : value.end].decode().replace("&amp;", "&") == text
            else:
                assert value == text

    @given(st.binary(max_size=200), st.integers(1, 40))
    def test_any_bytes_are_a_call_or_malformed(self, body: bytes, lifted_bytes_min: int) -> None:
        for text in (body, b"<methodCall>" + body, call("x").encode().replace(b"x", body)):
            try:
                parse_call(io.BytesIO(text), lifted_bytes_min)
            except MalformedCallError as error:
                assert str(error)


class BodyTests:
    """A body lies in memory, in a memory map or in a file."""

    @pytest.mark.parametrize("line_break", ["", "\n", "&#13;\n"])
    @pytest.mark.parametrize("place", [tempfile.TemporaryFile, lambda: mmap.mmap(-1, 1 << 21)])
    def test_one_elsewhere_means_the_same(
        self, place: Callable[[], IO[bytes]], line_break: str
    ) -> None:
        image = bytes(range(256)) * 4000
        encoded = base64.b64encode(image).decode()
        lines = line_break.join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
        with place() as body:
            text = call(f"<string>{lines}</string>", "<string>a.jpg</string>").encode()
            body.write(text.ljust(1 << 21))
            found = parse_call(body)
            assert isinstance(found.parameters[0], Base64Image)
            assert found.parameters[0].decode(1 << 21) == image
            assert found.parameters[1] == "a.jpg"

    @pytest.mark.parametrize("reference", ["&#13;", "&#x0000000A;", "&#10;"])
    @pytest.mark.parametrize("at", range(PIECE_BYTES - 13, PIECE_BYTES + 2))
    def test_a_line_break_may_lie_across_two_pieces(self, reference: str, at: int) -> None:
        text = "A" * at + reference + "A" * (4 - at % 4) + reference + "AAAA"
        [image] = parse_call(io.BytesIO(call(f"<string>{text}</string>").encode())).parameters
        assert isinstance(image, Base64Image)
        assert image.decode(1 << 20) == base64.b64decode(text.replace(reference, ""))


class MalformedTests:
    @pytest.mark.parametrize(
        "body",
        [
            "",
            "<",
            "<methodCall/>",
            "<methodResponse><params/></methodResponse>",
            call("<int>" + "1" * 10_000 + "</int>"),
            call("<boolean>2</boolean>"),
            call("<base64>a</base64>"),
            call("<nonsense/>"),
            "<!DOCTYPE m [<!ENTITY a 'b'>]>" + call("&a;"),
            "<!DOCTYPE m SYSTEM 'file:///etc/passwd'>" + call("x"),
            "<methodResponse><fault><value><struct/></value></fault></methodResponse>",
            *(
                f"<?xml version='1.0' encoding='{name}'?>{call('x')}"
                for name in ("idna", "big5", "zlib", "no-such-encoding")
            ),
        ],
    )
    def test_it_says_so(self, body: str) -> None:
        with pytest.raises(MalformedCallError):
            parsed(body)


class BoundTests:
    """What is left beside the image is bounded: the parser holds the GIL while it scans."""

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (call("<array></array>" * 100_001), "more than 100000 elements"),
            (call("<array><data><value>" * 40), "nested more than 100 deep"),
            (call("<string>&amp;" + "x" * (17 << 20) + "</string>"), "bytes besides the image"),
            (call("<string>" + "&#10;" * 12_000_000 + "</string>"), "bytes besides the image"),
            (call("<i4/>" * 4_000_000), "bytes besides the image"),
            (call(*["<string>" + "A" * 40_000 + "</string>"] * 600), "bytes besides the image"),
            (
                call("<!--" + "x" * 200_000 + "-->"),
                "comment or processing instruction has more than 65536 bytes",
            ),
            (
                call("<?a " + "x" * 200_000 + "?>"),
                "comment or processing instruction has more than 65536 bytes",
            ),
            (call("<string a='" + "x" * 200_000 + "'></string>"), "a tag, comment"),
            (call("<i4 " + " ".join(f"a{n}=''" for n in range(40_000)) + "/>"), "a tag, comment"),
            (call("<" + "a" * 200_000 + "/>").encode("utf-16"), "a tag, comment"),
            (
                call("&amp;\u20ac" + "x" * 70_000),
                "more than 65536 characters must be ASCII",
            ),
            (
                call("x&amp;" + "x" * 70_000 + "\u20ac"),
                "more than 65536 characters must be ASCII",
            ),
            (call("x").replace("<methodName>m", "<methodName>" + "m" * 101), "name is too long"),
            *(
                (call(f"<{tag}>{'1' * 101}</{tag}>"), "more than 100 characters in")
                for tag in ("int", "i8", "double", "boolean", "ex:i8")
            ),
            (
                call("<dateTime.iso8601>" + "2" * 101 + "</dateTime.iso8601>"),
                "more than 100 characters in",
            ),
        ],
    )
    def test_more_is_refused(self, body: str | bytes, why: str) -> None:
        with pytest.raises(MalformedCallError, match=why):
            parsed(body, 40_000)

    @pytest.mark.parametrize(
        "body",
        [
            call("<!--" + "x" * 60_000 + "-->") + "<!---->" * 20_000,
            call("x<?a?>") + "<?a?>" * 20_000,
            call("<string a='" + "x" * 60_000 + "'>x</string>"),
            call("<string>" + "&#120;" * 200_000 + "</string>"),
            call("<string>" + "x" * 200_000 + "</string>").encode("utf-16"),
            call("<string>" + "<![CDATA[x]]>" * 20_000 + "</string>"),
            call("<string>" + "\r\n" * 200_000 + "</string>"),
            call("<string>" + "\u20ac" * 60_000 + "</string>"),
        ],
    )
    def test_a_long_call_means_what_it_says(self, body: str | bytes) -> None:
        expected, method = xmlrpc.client.loads(body)
        assert parsed(body, 1 << 30) == (method, list(expected))

    def test_the_parser_gets_no_more_than_a_slice_at_a_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lengths: list[int] = []
        create = expat.ParserCreate

        class Scales:
            """A parser that notes how much it is fed."""

            def __init__(self) -> None:
                self.__dict__["parser"] = create()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.parser, name)

            def __setattr__(self, name: str, value: object) -> None:
                setattr(self.parser, name, value)

            def Parse(self, data: bytes, final: bool) -> int:  # expat's own
                lengths.append(len(data))
                return int(self.parser.Parse(data, final))

        monkeypatch.setattr(expat, "ParserCreate", Scales)
        parsed(call("<string>" + "&#120;" * 200_000 + "</string>"))
        assert max(lengths) == SLICE_BYTES
        assert sum(lengths) > 1_200_000

    def test_ten_thousand_paths_are_not_too_much(self) -> None:
        paths = [f"{n:05}/" + "x" * 1000 for n in range(10_000)]
        assert parse_call(
            io.BytesIO(xmlrpc.client.dumps((paths,), "delete_image").encode())
        ).parameters == (paths,)


class DecodingTests:
    @given(
        st.binary(min_size=1), st.integers(1, 80), st.sampled_from([b"\n", b"\r\n", b"\r", b" \t"])
    )
    def test_white_space_is_forgiven_anywhere(
        self, image: bytes, width: int, white_space: bytes
    ) -> None:
        encoded = base64.b64encode(image)
        broken = white_space.join(encoded[at : at + width] for at in range(0, len(encoded), width))
        assert decode_base64(broken, 1 << 20) == image

    @pytest.mark.parametrize(
        "text", ["%", "AAA", "AAAA=", "A=AA", "AAAA\0", "é", "====", "AA==AA==", "\udc80"]
    )
    def test_anything_else_is_not(self, text: str) -> None:
        with pytest.raises(BadRequest, match="base64"):
            decode_image(text, 100)

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("", "empty"),
            (b"", "empty"),
            (None, "must be a base64 value"),
            (5, "must be a base64 value"),
            ([b"x"], "must be a base64 value"),
            (b"x" * 11, "max_bytes"),
            ("A" * 16, "max_bytes"),
        ],
    )
    def test_contents_that_are_not_an_image_are_refused(self, value: object, why: str) -> None:
        with pytest.raises(BadRequest, match=why):
            decode_image(value, 10)
