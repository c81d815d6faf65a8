r"""Stored paths that XML cannot carry, in a form that it can.

    bad\uffff/original    <->    .escaped/bad%EF%BF%BF/original

Earlier releases stored images at such paths, which `paths.clean` refuses now. They are listed in
this form, and can be named by it to look at them, to delete them and to move them away. No legal
path begins with a dot, so the escaped form is never mistaken for a path.
"""

import re
from urllib.parse import quote, unquote_to_bytes

from imagepipe.core import paths
from imagepipe.errors import BadRequest, quoted

FOLDER = ".escaped/"

_ESCAPED = re.compile("[%\ufffe\uffff]")


def escaped(path: str) -> str:
    """A stored path as it is shown: in the escaped form if XML cannot carry it, unchanged
    otherwise.
    """
    if not paths.XML_FORBIDDEN.search(path):
        return path
    return FOLDER + _ESCAPED.sub(lambda found: quote(found[0]), path)


def stored_path(text: str, argument: str = "path") -> str:
    """The path of an image that may be stored already: a clean path, or what an escaped form stands
    for.

    Raises BadRequest, naming `argument`, if it is neither.
    """
    if not text.startswith(FOLDER):
        return paths.clean(text, argument)
    path = unescaped(text)
    if path is None:
        raise BadRequest(
            argument, f"is not an escaped path as list_images returns it: {quoted(text)}"
        )
    return path


def unescaped(text: str) -> str | None:
    """The path that an escaped form stands for; None if it is not exactly what `escaped` makes of
    one.
    """
    if len(text) > len(FOLDER) + 3 * paths.PATH_BYTES_MAX:
        return None
    try:
        path = unquote_to_bytes(text.removeprefix(FOLDER)).decode()
    except UnicodeError:
        return None
    return path if escaped(path) == text and needs_escaping(path) else None


def needs_escaping(path: str) -> bool:
    """Whether only U+FFFE and U+FFFF in it keep a path from being legal, so that an earlier release
    may have stored it.
    """
    if not paths.XML_FORBIDDEN.search(path):
        return False
    replaced = paths.XML_FORBIDDEN.sub("\ufffd", path)  # which takes as many bytes
    try:
        return paths.clean(replaced) == replaced
    except BadRequest:
        return False
