"""Builds the values of an XML-RPC call from the events of the XML parser.

Everything that takes more than a moment, or more memory than its XML, is bounded here: the number
of elements, their nesting, and the length of numbers and dates.
"""

from collections.abc import Mapping
from typing import Any
from xmlrpc.client import ResponseError, Unmarshaller

from imagepipe.errors import BadRequest, quoted
from imagepipe.web.xmlrpc.base64_images import Base64Image, decode_base64

ELEMENTS_MAX = 100_000
DEPTH_MAX = 100
SCALAR_LENGTH_MAX = 100
METHOD_LENGTH_MAX = 100

WIDE_LENGTH_MAX = 64 << 10
"""Characters of a text that is not ASCII, each of which may take four bytes. Only an image may be
longer.
"""

_SCALARS = frozenset(
    "i1 i2 i4 i8 int biginteger double float bigdecimal boolean dateTime.iso8601".split()
)


class MalformedCallError(Exception):
    """The body is not an XML-RPC call; the text says why."""


class CallReader(Unmarshaller):
    """Receives the parser's events. A value that is a key of `lifted` stands for that image."""

    def __init__(self, lifted: Mapping[str, Base64Image]) -> None:
        super().__init__(use_builtin_types=True)
        # as xmlrpc.client itself does: expat passes str
        self.xml(None, None)  # type: ignore[arg-type]
        ours: Any = {"string": CallReader.end_string, "base64": CallReader.end_base64}
        self.dispatch = {**self.dispatch, **ours}
        self.lifted = dict(lifted)
        self._elements = 0
        self._depth = 0
        self._length, self._wide = 0, False  # of the text since the last tag

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        """An element begins."""
        self._elements += 1
        self._depth += 1
        self._length, self._wide = 0, False
        if self._elements > ELEMENTS_MAX:
            raise MalformedCallError(f"more than {ELEMENTS_MAX} elements")
        if self._depth > DEPTH_MAX:
            raise MalformedCallError(f"elements are nested more than {DEPTH_MAX} deep")
        try:
            super().start(tag, attrs)
        except ResponseError:
            raise MalformedCallError(f"unknown type {quoted(tag, 40)}") from None

    def data(self, text: str) -> None:
        """Text inside an element."""
        self._length += len(text)
        self._wide = self._wide or not text.isascii()
        if self._wide and self._length > WIDE_LENGTH_MAX:
            raise MalformedCallError(
                f"a text of more than {WIDE_LENGTH_MAX} characters must be ASCII"
            )
        super().data(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        self._depth -= 1
        if self._length > SCALAR_LENGTH_MAX and tag.rpartition(":")[2] in _SCALARS:
            raise MalformedCallError(
                f"more than {SCALAR_LENGTH_MAX} characters in {quoted(tag, 40)}"
            )
        try:
            super().end(tag)
        except (ValueError, TypeError, LookupError, ArithmeticError):
            raise MalformedCallError(f"invalid content of {quoted(tag, 40)}") from None

    def end_string(self, data: Any) -> None:
        """A string, with or without a <string> tag."""
        super().end_string(self.lifted.pop(data, data))

    def end_base64(self, data: str) -> None:
        """Bytes."""
        image = self.lifted.pop(data, None)
        if image is None and data.strip():
            self.append(_decoded(data))
        else:
            self.append(b"" if image is None else image)
        self._value = False

    def call(self) -> tuple[str, tuple[object, ...]]:
        """The method and its parameters, once the last element has ended. Raises
        MalformedCallError.
        """
        try:
            parameters = self.close()
        # it turns a fault into a Fault, which may fail in any way
        except Exception:
            raise MalformedCallError("not an XML-RPC call") from None
        method = self.getmethodname()
        if method is None:
            raise MalformedCallError("not an XML-RPC call: no method name")
        if len(method) > METHOD_LENGTH_MAX:
            raise MalformedCallError("the method name is too long")
        return method, parameters


def _decoded(data: str) -> bytes:
    try:
        return decode_base64(data.encode("ascii"), len(data))
    except BadRequest:
        raise MalformedCallError("a base64 value is not valid base64") from None
