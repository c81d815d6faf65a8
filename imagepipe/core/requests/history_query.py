"""Which of the images that lost a conflict are meant, by what an operator writes.

    path      a/b.jpg     those that lost at that path        a/     all below it        nothing
        all
    version   01937f3ad4c00000-9f86d081884c7d659a2feaa0c55ad015    the stamp in 16 hex digits and
        the node id, or a beginning of it
    cursor    a path, a space and a version: the place of a row in the answer, which the next page
              comes after

Pages are in byte order of the paths, and the newest version of a path comes first.
"""

import re
from dataclasses import dataclass

from imagepipe.core import paths
from imagepipe.core.path_escaping import escaped, stored_path
from imagepipe.core.requests.argument_types import optional_text, parse_limit, parse_text
from imagepipe.core.requests.call_arguments import parse_stored_path
from imagepipe.core.rows.stamp import STAMP_MAX, Version
from imagepipe.errors import BadRequest, quoted

LIMIT_MAX = 1000

_VERSION = re.compile(r"(?P<stamp>[0-9a-f]{16})-(?P<origin>[0-9a-f]{32})")
_BEGINNING = re.compile(r"[0-9a-f]{1,16}|[0-9a-f]{16}-[0-9a-f]{0,32}")
_AFTER_ALL_BELOW = "0"
"""What follows a slash in byte order."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`limit` rows at most, of paths from `begin` to before `end`, or to the last one, that come
    after the row of `after`.
    """

    begin: str
    end: str | None
    after: tuple[str, Version] | None
    limit: int


def version_text(version: Version) -> str:
    """The version as it is written."""
    return f"{version.stamp:016x}-{version.origin}"


def cursor(path: str, version: Version) -> str:
    """The place of a row."""
    return f"{escaped(path)} {version_text(version)}"


def parse_history_page(path: object, after: object, limit: object) -> HistoryPage:
    """What is asked for. Raises BadRequest, naming the argument that is wrong."""
    begin, end = _parse_range(optional_text(path, "path"))
    return HistoryPage(
        begin, end, _parse_cursor(optional_text(after, "after")), parse_limit(limit, LIMIT_MAX)
    )


def parse_beginning(value: object, argument: str = "version") -> str:
    """A version, or the beginning of one. Raises BadRequest."""
    text = parse_text(value, argument)
    lowered = text.lower() if len(text) <= 49 else ""
    if not _BEGINNING.fullmatch(lowered):
        raise BadRequest(
            argument,
            f"{quoted(text)} is not a version as history shows it, or the beginning of one",
        )
    return lowered


def _parse_range(path: str) -> tuple[str, str | None]:
    if path in ("", "/"):
        return "", None
    if path.endswith("/"):
        below = paths.clean(path + "x").removesuffix("x")
        return below, below.removesuffix("/") + _AFTER_ALL_BELOW
    cleaned = stored_path(path)
    return cleaned, cleaned + "\0"


def _parse_cursor(text: str) -> tuple[str, Version] | None:
    if not text:
        return None
    path, _, version = text.rpartition(" ")
    found = _VERSION.fullmatch(version)
    if not found or (stamp := int(found["stamp"], 16)) > STAMP_MAX:
        raise BadRequest("after", "is not the cursor of a row that was answered before")
    return parse_stored_path(path, "after"), Version(stamp, found["origin"])
