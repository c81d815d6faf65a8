"""Parses an XML-RPC call without passing the megabytes of an image through the XML parser.

    <methodCall><methodName>store_image</methodName><params>
      <param><value><base64>/9j/4AAQSkZJ...          5 MB of text: replaced by a token
      <param><value><string>a/b.jpg</string>...      the rest is parsed, and the token found again
                                                     among the values

expat calls Python for each line of base64, which takes 40 ms for 5 MB under the GIL; a text that is
lifted out only takes a search for `<` and one decode.

Lifting cannot change the meaning of a body. The tokens are random, so the parsed call contains one
only if the lifted text was parsed as exactly that text. Unless each token appears as a whole value,
the original body is parsed again. A text that contains `>`, or references other than line breaks,
is not lifted. A document type, which allows entity expansion, is refused.

expat holds the GIL while it scans, which blocks the whole daemon. So it gets the body in slices
that take about a millisecond at most, and the size of the body without the images is bounded. A
tag, comment or processing instruction that spans several slices would be scanned again with each of
them, and is refused. The values are bounded in `unmarshal`.

All functions here block, for longer the larger the body is: they run on threads.
"""

import contextlib
import io
import mmap
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any
from xml.parsers import expat

import pybase64

from imagepipe.web.xmlrpc.base64_images import Base64Image
from imagepipe.web.xmlrpc.unmarshal import CallReader, MalformedCallError

LIFTED_BYTES_MIN = 32 * 1024
LIFTED_MAX = 100
_TAGS_SEARCHED_MAX = 5000

PARSED_BYTES_MAX = 16 << 20
SLICE_BYTES = 64 << 10
TOKEN_BYTES_MAX = 64 << 10
"""Bytes that expat may leave unread at the end of a slice."""

_SECTION, _SECTION_END = b"<![CDATA[", b"]]>"

_Xml = bytes | mmap.mmap

_long_parse = threading.Lock()
"""Long bodies are parsed one at a time: several at once would take as long under the GIL, and the
reactor would run less often.
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed call. A Base64Image may stand for any long string or base64 value in it."""

    method: str
    parameters: Sequence[object]


def parse_call(body: IO[bytes], lifted_bytes_min: int = LIFTED_BYTES_MIN) -> Call:
    """The call in `body`, a seekable file that the caller keeps open while it uses the call's
    Base64Images.

    Raises MalformedCallError.
    """
    xml = _whole(body)
    images = list(_long_texts(body, xml, lifted_bytes_min))
    if len(xml) - sum(image.end - image.start for image in images) > PARSED_BYTES_MAX:
        raise MalformedCallError(f"more than {PARSED_BYTES_MAX} bytes besides the image")
    if images:
        lifted = {pybase64.b64encode(os.urandom(24)).decode(): image for image in images}
        pieces = []
        at = 0
        for token, image in lifted.items():
            pieces += [xml[at : image.start], token.encode()]
            at = image.end
        reader = _read(b"".join([*pieces, xml[at:]]), lifted)
        if not reader.lifted:
            return Call(*reader.call())
    return Call(*_read(xml, {}).call())


def _whole(body: Any) -> _Xml:
    if isinstance(body, mmap.mmap):
        return body
    if isinstance(body, io.BytesIO):
        return body.getvalue()  # no copy
    body.seek(0)
    whole: bytes = body.read()
    return whole


def _long_texts(body: IO[bytes], xml: _Xml, bytes_min: int) -> Iterator[Base64Image]:
    """Plain texts of `bytes_min` or more between two tags or in a CDATA section; at most
    LIFTED_MAX.
    """
    found = 0
    tag = _find(xml, b"<", 0)
    for _ in range(_TAGS_SEARCHED_MAX):
        if tag < 0:
            return
        section = xml[tag : tag + len(_SECTION)] == _SECTION
        start = tag + len(_SECTION) if section else _find(xml, b">", tag) + 1
        # for a single character: that is fastest, whatever the text is
        end = _find(xml, b"]" if section else b"<", start)
        if not start or end < 0 or found == LIFTED_MAX:
            return
        if end - start >= bytes_min and _is_plain(body, xml, start, end, section=section):
            found += 1
            yield Base64Image(body, start, end)
        tag = _find(xml, b"<", end)


def _is_plain(body: IO[bytes], xml: _Xml, start: int, end: int, *, section: bool) -> bool:
    has_references = False
    for at in range(start, end, SLICE_BYTES):
        piece = xml[at : min(at + SLICE_BYTES, end)]
        if b">" in piece:
            return False
        has_references = has_references or b"&" in piece
    if not has_references:
        return True
    return not section and Base64Image(body, start, end).has_only_line_breaks


def _find(xml: _Xml, character: bytes, start: int) -> int:
    """Where `character` is in `xml` from `start` on, or -1.

    In slices: `bytes.find` holds the GIL, and that of a memory map is many times slower. The first
    ones are short because most tags are.
    """
    slice_bytes = 256
    while start < len(xml):
        found = xml[start : start + slice_bytes].find(character)
        if found >= 0:
            return start + found
        start += slice_bytes
        slice_bytes = min(4 * slice_bytes, SLICE_BYTES)
    return -1


def _read(xml: _Xml, lifted: Mapping[str, Base64Image]) -> CallReader:
    if len(xml) > PARSED_BYTES_MAX:
        raise MalformedCallError(f"more than {PARSED_BYTES_MAX} bytes besides the image")
    with _long_parse if len(xml) > SLICE_BYTES else contextlib.nullcontext():
        return _fed(xml, CallReader(lifted))


def _fed(xml: _Xml, reader: CallReader) -> CallReader:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        for end in range(SLICE_BYTES, len(xml) + SLICE_BYTES, SLICE_BYTES):
            parser.Parse(xml[end - SLICE_BYTES : end], False)
            if min(end, len(xml)) - parser.CurrentByteIndex > TOKEN_BYTES_MAX:
                raise MalformedCallError(
                    f"a tag, comment or processing instruction has more than {TOKEN_BYTES_MAX}"
                    " bytes"
                )
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise MalformedCallError(f"not well-formed XML: {error}") from None
    except (LookupError, ValueError):  # of Python's codec for the encoding that the XML declares
        raise MalformedCallError("the encoding that the XML declares is not supported") from None
    return reader


def _refuse_document_type(*_: object) -> None:
    raise MalformedCallError("a document type declaration is not allowed")
