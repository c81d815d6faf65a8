"""The actions that the replication state machine asks for, in the order in which they must begin.

Some are answered by an event, a method of Replica. Events may arrive in any order.

    Examine       examined
    StorePieces   pieces_stored, or store_failed
    Join          joined; there is one Join at a time
    ReadChanges   changes_read, or read_failed
    ReadPieces    pieces_read, or read_failed

An Examine or a Join that fails is answered by pull_failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagepipe.core.replication.fetches import Part
from imagepipe.core.replication.messages import ROWS_MAX, Head, Range, Reply, Request
from imagepipe.core.rows.entries import Row
from imagepipe.core.rows.join import Cursor


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Ask the upstream at the end of `link`; where that cannot be done now, it is asked again in
    time.
    """

    link: str
    message: Request


@dataclass(frozen=True, slots=True)
class SendReply:
    """Answer `client`, who asked."""

    client: bytes
    message: Reply


@dataclass(frozen=True, slots=True)
class Notify:
    """Publish."""

    head: Head


@dataclass(frozen=True, slots=True)
class Redirect:
    """The upstream at the end of `link` is to be asked elsewhere: at the port or the path `sync`,
    or, where it is empty, where one would expect it.
    """

    link: str
    sync: str


@dataclass(frozen=True, slots=True)
class Examine:
    """Hold the bytes that `rows` name, until Join or Release; and say which are wanted and not
    here.
    """

    pull: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class StorePieces:
    """Keep the bytes that came for `parts`."""

    link: str
    rid: int
    parts: tuple[Part, ...]
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DiscardTransfer:
    """Forget the transfer."""

    transfer: int


@dataclass(frozen=True, slots=True)
class Join:
    """Join rows with the map, durably, and move the cursor of `upstream`, the name of a link; then
    let go of what was held.

    upstream, cursor None: rows that were pending, or for which the cursor waits. from_start: the
    upstream sends its rows from the start again, so its pending rows are void.
    """

    pull: int
    rows: tuple[Row, ...]
    upstream: str | None
    cursor: Cursor | None
    from_start: bool


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of what was held for rows that are not joined."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class ForgetUpstreams:
    """Forget how far the upstreams at the end of these links were pulled, and their pending rows:
    one that comes back tells everything again.
    """

    upstreams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefetchDone:
    """What was asked for under this number is here, or is not to be had."""

    number: int


@dataclass(frozen=True, slots=True)
class ReportRejected:
    """Log that the bytes which a row of the upstream at the end of `link` names are not taken, and
    why.
    """

    link: str
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class ReadChanges:
    """Read the rows with numbers above `after`, in order, `rows_max` at most."""

    client: bytes
    rid: int
    after: int
    rows_max: int = ROWS_MAX


@dataclass(frozen=True, slots=True)
class ReadPieces:
    """Read bytes of objects."""

    client: bytes
    rid: int
    ranges: Sequence[Range]


Action = (
    SendRequest
    | SendReply
    | Notify
    | Redirect
    | Examine
    | StorePieces
    | DiscardTransfer
    | Join
    | Release
    | ForgetUpstreams
    | RefetchDone
    | ReportRejected
    | ReadChanges
    | ReadPieces
)
