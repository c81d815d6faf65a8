"""Encodes the result of an XML-RPC method, or its fault, as the body of the answer.

The answer is always well-formed: a character that XML cannot represent is replaced by U+FFFD.
XML-RPC's <int> has 32 bits. A larger number, such as the size of an image of 3 GiB, is an <i8>,
which most clients can read.
"""

import re
from collections.abc import Callable
from typing import Any
from xmlrpc.client import MAXINT, MININT, Fault, Marshaller, escape

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_HEAD = "<?xml version='1.0'?>\n<methodResponse>\n"
_TAIL = "</methodResponse>\n"


def encode_answer(result: object) -> bytes:
    """The body of the answer with `result`, a value or a Fault. Blocks for as long as the result is
    large.
    """
    marshaller = Marshaller("utf-8", allow_none=True)
    marshaller.dispatch = {**marshaller.dispatch, str: _dump_text, int: _dump_whole}
    values: Any = result if isinstance(result, Fault) else (result,)
    return (_HEAD + marshaller.dumps(values) + _TAIL).encode()


def _dump_text(_marshaller: Marshaller, value: str, write: Callable[[str], object]) -> None:
    write(f"<value><string>{escape(_NOT_XML.sub(chr(0xFFFD), value))}</string></value>\n")


def _dump_whole(_marshaller: Marshaller, value: int, write: Callable[[str], object]) -> None:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError("XML-RPC has no integers of more than 64 bits")
    kind = "int" if MININT <= value <= MAXINT else "i8"
    write(f"<value><{kind}>{value}</{kind}></value>\n")
