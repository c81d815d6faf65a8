"""An XML-RPC call from a request body, without dragging the megabytes of an image through the XML parser.

    <methodCall><methodName>store_image</methodName><params>
      <param><value><base64>/9j/4AAQSkZJ...          5 MB of text: lifted out, a token put in its place,
      <param><value><string>a/b.jpg</string>...      the rest parsed, the token found again among the parameters

expat calls Python back for each line of base64, which costs 40 ms for 5 MB under the GIL; a lifted image costs a search for `<` and one decode.

Lifting cannot change what a body means. The token is random, so the parsed call has it only if the lifted stretch was parsed as that very
text; unless it turns up exactly once, as a whole parameter, the body is parsed again as it came. A stretch with `>` in it, or with `&` other than for a line break, is not
lifted (the end of a CDATA section, entities). A document type, the door to entity expansion, is refused.

What is left for the parser is bounded, in bytes and in elements, and where it is long it may have no comments, no processing instructions and no
long tags: expat holds the GIL while it scans one of these, and so would hold up the whole daemon.

All functions here block for as long as the body is large: they run on threads.
"""

import contextlib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any
from xml.parsers import expat
from xmlrpc.client import Unmarshaller

import pybase64

from imagepipe.errors import BadRequest

LIFTED_BYTES_MIN = 32 * 1024
_TAGS_SEARCHED_MAX = 2000
_WHITE_SPACE = b" \t\r\n"
_LINE_BREAK = re.compile(rb"&#(?:13|10|9|[xX]0*[dDaA9]);")

PARSED_BYTES_MAX = 16 << 20
ELEMENTS_MAX = 100_000
METHOD_LENGTH_MAX = 100
_PLAIN_FROM_BYTES = 64 << 10
_SLICE_BYTES = 64 << 10
_LONG_TAG = re.compile(rb"<[^<>]{2000}")


class MalformedCallError(Exception):
    """The body is not an XML-RPC call; the text says where."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Base64 text inside a body: `body[start:end]`, not yet decoded."""

    body: IO[bytes]
    start: int
    end: int

    def decode(self, bytes_max: int) -> bytes:
        """The image; see `decode_image`."""
        text = _whole(self.body)[self.start : self.end]
        return decode_base64(_LINE_BREAK.sub(b"", text) if b"&" in text else text, bytes_max)


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed call. A parameter may be an EncodedImage, in place of a long string or base64 value."""

    method: str
    parameters: Sequence[object]


def parse_call(body: IO[bytes], lifted_bytes_min: int = LIFTED_BYTES_MIN) -> Call:
    """The call in `body`, a seekable file that the caller keeps open while it uses the call's EncodedImage.

    Raises MalformedCallError.
    """
    text = _whole(body)
    stretch = _long_text(text, lifted_bytes_min)
    if stretch:
        start, end = stretch
        key = os.urandom(24)
        token = pybase64.b64encode(key)
        call = _parse(text[:start] + token + text[end:])
        places = [at for at, value in enumerate(call.parameters) if value in (key, token.decode())]
        if len(places) == 1:
            parameters = list(call.parameters)
            parameters[places[0]] = EncodedImage(body, start, end)
            return Call(call.method, parameters)
    return _parse(text)


def decode_image(value: object, bytes_max: int) -> bytes:
    """The image that a client sent as the value of `image`: base64 in a string, or a base64 value, which is already decoded.

    Raises BadRequest if it is none, or has more than `bytes_max` bytes.
    """
    if isinstance(value, EncodedImage):
        return value.decode(bytes_max)
    if isinstance(value, str):
        return decode_base64(value.encode(errors="replace"), bytes_max)
    if not isinstance(value, bytes):
        raise BadRequest("image", "is neither a base64 value nor a string in base64")
    return _checked(value, bytes_max)


def decode_base64(text: bytes, bytes_max: int) -> bytes:
    """The bytes of base64 `text`, which may have line breaks and other white space anywhere."""
    # Strict is several times faster than lenient and forgives nothing; white space is the one thing to forgive. What clients do is to break the lines.
    for squeeze in (lambda: text.replace(b"\n", b""), lambda: text.translate(None, _WHITE_SPACE)):
        with contextlib.suppress(ValueError):
            return _checked(pybase64.b64decode(squeeze(), validate=True), bytes_max)
    raise BadRequest("image", "is not valid base64")


def _whole(body: IO[bytes]) -> bytes:
    if isinstance(body, io.BytesIO):
        return body.getvalue()  # no copy
    body.seek(0)
    return body.read()


def _checked(image: bytes, bytes_max: int) -> bytes:
    if not image:
        raise BadRequest("image", "is empty")
    if len(image) > bytes_max:
        raise BadRequest("image", f"{len(image)} bytes are more than {bytes_max} (max_bytes)")
    return image


def _long_text(xml: bytes, bytes_min: int) -> tuple[int, int] | None:
    """(start, end) of the first stretch of plain text between two tags that has `bytes_min` or more, or None."""
    at = 0
    for _ in range(_TAGS_SEARCHED_MAX):
        start = xml.find(b">", at) + 1
        end = xml.find(b"<", start)
        if not start or end < 0:
            return None
        if end - start >= bytes_min:
            if xml.find(b">", start, end) >= 0:
                return None
            if xml.find(b"&", start, end) >= 0 and len(_LINE_BREAK.findall(xml, start, end)) != xml.count(b"&", start, end):
                return None
            return start, end
        at = end
    return None


def _parse(xml: bytes) -> Call:
    if len(xml) > PARSED_BYTES_MAX:
        raise MalformedCallError(f"more than {PARSED_BYTES_MAX} bytes beside the image")
    if len(xml) > _PLAIN_FROM_BYTES and _is_slow_to_scan(xml):
        raise MalformedCallError("a long call may have no comments, processing instructions or long tags, and is in an encoding like UTF-8")
    unmarshaller = Unmarshaller(use_builtin_types=True)
    unmarshaller.xml(None, None)  # type: ignore[arg-type]  # as xmlrpc.client itself does: expat hands out str: nothing left to decode
    parser = expat.ParserCreate()
    parser.buffer_text = True
    elements = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal elements
        elements += 1
        if elements > ELEMENTS_MAX:
            raise MalformedCallError(f"more than {ELEMENTS_MAX} elements")
        unmarshaller.start(tag, attributes)

    parser.StartElementHandler = start
    parser.EndElementHandler = unmarshaller.end
    parser.CharacterDataHandler = unmarshaller.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        # In slices, between which other threads get the GIL; and so a refusal ends it soon.
        for at in range(0, len(xml), _SLICE_BYTES):
            parser.Parse(xml[at : at + _SLICE_BYTES], False)
        parser.Parse(b"", True)
        parameters: Any = unmarshaller.close()
        method = unmarshaller.getmethodname()
    except MalformedCallError:
        raise
    except expat.ExpatError as error:
        raise MalformedCallError(f"not well-formed XML: {error}") from None
    except Exception as error:  # noqa: BLE001 - the unmarshaller raises whatever int(), float() and its own tables raise
        raise MalformedCallError(f"not an XML-RPC call: {type(error).__name__}") from None
    if not isinstance(method, str) or not isinstance(parameters, list | tuple):
        raise MalformedCallError("not an XML-RPC call: it names no method")
    if len(method) > METHOD_LENGTH_MAX:
        raise MalformedCallError("the method's name is too long")
    return Call(method, parameters)


def _is_slow_to_scan(xml: bytes) -> bool:
    wide = xml.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in xml[:4]  # UTF-16, in which nothing below would be found
    return wide or xml.find(b"<!--") >= 0 or xml.find(b"<?", 1) >= 0 or _LONG_TAG.search(xml) is not None


def _refuse_document_type(*_: object) -> None:
    raise MalformedCallError("a document type declaration is not allowed")
