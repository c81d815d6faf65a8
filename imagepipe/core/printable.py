r"""Text that is safe on a terminal and in a line: what would move the cursor, change colours or end
the line is written out.

printable("a\x1b[2Jb")    -> "a\\x1b[2Jb"
"""

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """`text` with control characters, line breaks, directions of writing and the like as backslash
    escapes.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(character) if unicodedata.category(character) in _UNSAFE else character
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
