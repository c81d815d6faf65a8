"""One argument of a call, in any of the types in which clients send it.

    a text           a string, or base64 of its UTF-8 (some clients encode whatever is not ASCII)
    a whole number   5, 5.0, "5" or "5.0"
    not given        nil, "", "0", 0, false, [] and {}: what the first imagepipe took for false, and
                     "0"

Every function raises BadRequest, naming the argument.
"""

import re

from imagepipe.errors import BadRequest, quoted

TEXT_LENGTH_MAX = 16_384
"""Characters of a path, a name or a URL; most have their own bound below this one."""


class LongText:
    """A text that was not decoded, because nothing but an image is as long."""

    __slots__ = ()


_WHOLE = re.compile(r"[ \t\r\n]*([0-9]{1,9})(?:\.0{0,9})?[ \t\r\n]*", re.ASCII)
_WORDS_FOR_NO = frozenset({"false", "no", "off", "none", "null", "nil"})


def is_given(value: object) -> bool:
    """Whether an argument that may be left out has a value."""
    return bool(value) and value != "0"


def parse_text(value: object, argument: str) -> str:
    """A text."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise BadRequest(argument, "is a base64 value that does not hold UTF-8 text") from None
    if not isinstance(value, str | LongText):
        raise BadRequest(argument, f"is not a string but {_kind(value)}")
    if isinstance(value, LongText) or len(value) > TEXT_LENGTH_MAX:
        raise BadRequest(argument, f"is longer than {TEXT_LENGTH_MAX} characters")
    return value


def optional_text(value: object, argument: str) -> str:
    """A text; empty where there is none: nil, an empty string or 0."""
    return "" if value is None or value in ("", 0) else parse_text(value, argument)


def whole_number(value: object) -> int | None:
    """The whole number that `value` stands for; None if it stands for none."""
    if isinstance(value, str):
        found = _WHOLE.fullmatch(value)
        return int(found[1]) if found else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def parse_limit(value: object, limit_max: int) -> int:
    """How many at most."""
    number = whole_number(value)
    if number is None or not 1 <= number <= limit_max:
        raise BadRequest("limit", f"is not a whole number within 1 to {limit_max}")
    return number


def parse_flag(value: object, argument: str) -> bool:
    """Yes or no, said as plainly as an operator says it."""
    if not is_given(value):
        return False
    if value is True or whole_number(value) == 1:
        return True
    raise BadRequest(argument, "is not 0 or 1")


def parse_truth(value: object, argument: str) -> bool:
    """Yes or no, as the first imagepipe took it: any value is yes that is neither missing nor zero.

    It took "false" for yes, too. A client that sends it hardly means yes, so such a word is
    refused.
    """
    if isinstance(value, str) and value[:10].strip().lower() in _WORDS_FOR_NO:
        raise BadRequest(argument, f"{quoted(value)} is neither 0 nor 1")
    return is_given(value) and whole_number(value) != 0


def _kind(value: object) -> str:
    """What a value is, in the words of XML-RPC."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a struct",
        type(None): "nil",
    }
    return names.get(type(value), "something else")
