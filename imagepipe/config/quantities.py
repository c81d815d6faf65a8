"""Numbers, sizes, times, switches and the umask: text of imagepipe.ini -> value.

    64 MiB, 1GiB, 4096 -> bytes      5 s, 1m, 60 -> seconds      18, 022, 0022, 0o022 -> 18
        yes, on, 1 -> True

Each function raises ValidateError, whose text completes `[section] option = value: ` and says what
would be right.
"""

import re
from decimal import Decimal

from configobj.validate import ValidateError

from imagepipe.config.values import Value, one

_WHOLE = re.compile(r"[0-9]{1,18}|[0-9]{1,3}(?:[ _][0-9]{3}){1,5}", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]iB)", re.ASCII | re.IGNORECASE)
_SIZE_UNITS = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([smhd]?)", re.ASCII)
_TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SWITCH = {
    "yes": True,
    "true": True,
    "on": True,
    "1": True,
    "no": False,
    "false": False,
    "off": False,
    "0": False,
}
_OWNER_BITS = 0o700


def whole(value: Value, least: str, most: str) -> int:
    """A whole number within bounds; its digits may be grouped by three, as in 100 000 000."""
    number = _number(one(value))
    if number is None or not int(least) <= number <= int(most):
        raise ValidateError(f"must be a whole number from {least} to {most}")
    return number


def size(value: Value, least: str, most: str) -> int:
    """A size within bounds, in bytes."""
    number = _bytes(one(value))
    if number is None:
        raise ValidateError(
            "is not a size: write a number of bytes, or a number with KiB, MiB or GiB, such as"
            " 64 MiB"
        )
    if not (_bytes(least) or 0) <= number <= (_bytes(most) or 0):
        raise ValidateError(f"must be at least {least} and at most {most}")
    return number


def time(value: Value, most: str) -> float:
    """A time greater than zero, in seconds."""
    number = _seconds(one(value))
    if number is None:
        raise ValidateError(
            "is not a time: write a number of seconds, or a number with s, m, h or d, such as 60 s"
        )
    if not 0 < number <= (_seconds(most) or 0):
        raise ValidateError(f"must be more than 0 and at most {most}")
    return number


def switch(value: Value) -> bool:
    """Yes or no."""
    answer = _SWITCH.get(one(value).lower())
    if answer is None:
        raise ValidateError("must be yes or no (or true, false, on, off, 1, 0)")
    return answer


def umask(value: Value) -> int:
    """A umask: octal with a leading zero, else decimal, as the first imagepipe had it (18 is 0022).

    What could be either is refused: 22 would be 0026, which nobody who wrote 22 meant.
    """
    text = one(value)
    octal = re.fullmatch(r"0o?([0-7]{1,6})", text, re.ASCII)
    if octal:
        mask = int(octal[1], 8)
    elif not re.fullmatch(r"[0-9]|[1-9][0-9]{1,3}", text, re.ASCII):
        raise ValidateError("is not a umask: write it in octal with a leading zero, such as 0022")
    elif len(text) > 1 and re.fullmatch(r"[0-7]+", text):
        raise ValidateError(
            f"is ambiguous: write 0{text} if it is octal, 0{int(text):o} if it is decimal"
        )
    else:
        mask = int(text)
    if mask & _OWNER_BITS or mask > 0o777:
        raise ValidateError(
            "must leave the owner all rights, or imagepipe could not use its own files: write one"
            " from 0000 to 0077, such as 0022"
        )
    return mask


def _number(text: str) -> int | None:
    return int(re.sub("[ _]", "", text)) if _WHOLE.fullmatch(text) else None


def _bytes(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return int(Decimal(found[1]) * _SIZE_UNITS[found[2].lower()]) if found else _number(text)


def _seconds(text: str) -> float | None:
    found = _TIME.fullmatch(text)
    return float(Decimal(found[1]) * _TIME_UNITS[found[2]]) if found else None
