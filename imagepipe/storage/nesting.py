"""`a` and `a/b` cannot both be stored: a file system has no place that is a file and a folder.

What counts is the net result of a call: `a` may move to `a/b`.
"""

from collections.abc import Callable, Iterable, Sequence

from imagepipe.core.entries import Change, Content
from imagepipe.core.paths import ancestors
from imagepipe.errors import BadRequest, shown


def check_nesting(
    changes: Sequence[Change], content_of: Callable[[str], Content | None], live_below: Callable[[str], Iterable[str]], argument: str
) -> None:
    """Raise BadRequest, naming `argument`, if after `changes` one image would lie below another.

    `content_of` and `live_below` (the live paths below a path) are the state before.
    """
    after = {change.path: change.content for change in changes}
    for path, content in after.items():
        if content is None:
            continue
        for ancestor in ancestors(path):
            if (after[ancestor] if ancestor in after else content_of(ancestor)) is not None:
                raise BadRequest(argument, f"{shown(path)} would lie below the image {shown(ancestor)}")
        for below in live_below(path):
            if below not in after:  # one that stays and is among the changes has found `path` as its ancestor
                raise BadRequest(argument, f"{shown(path)} would lie above the image {shown(below)}")
