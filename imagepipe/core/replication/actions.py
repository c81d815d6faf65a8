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
    """Send a request over `link`. If it cannot be sent now, the state machine repeats it later."""

    link: str
    message: Request


@dataclass(frozen=True, slots=True)
class SendReply:
    """Answer a request of `client`."""

    client: bytes
    message: Reply


@dataclass(frozen=True, slots=True)
class Notify:
    """Publish a change notification."""

    head: Head


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send requests over `link` to another endpoint: the port or the path `sync`, or the default
    one if it is empty.
    """

    link: str
    sync: str


@dataclass(frozen=True, slots=True)
class Examine:
    """Hold the bytes of `rows` until Join or Release, and report which are needed and missing."""

    pull: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class StorePieces:
    """Store the bytes received for `parts`."""

    link: str
    rid: int
    parts: tuple[Part, ...]
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DiscardTransfer:
    """Discard the bytes received in a transfer."""

    transfer: int


@dataclass(frozen=True, slots=True)
class Join:
    """Join rows with the map, durably, and move the cursor of `upstream`, the name of a link; then
    release the bytes that were held.

    upstream, cursor: None for rows that were pending, or for which the cursor waits. from_start:
    the upstream sends its rows from the start again, so its pending rows are void.
    """

    pull: int
    rows: tuple[Row, ...]
    upstream: str | None
    cursor: Cursor | None
    from_start: bool


@dataclass(frozen=True, slots=True)
class Release:
    """Release the bytes held for rows that will not be joined."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class ForgetUpstreams:
    """Forget the cursors and the pending rows of these links' upstreams. One that comes back sends
    everything again.
    """

    upstreams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefetchDone:
    """The refetch with this number has ended: its bytes are here or unavailable."""

    number: int


@dataclass(frozen=True, slots=True)
class ReportRejected:
    """Log that the bytes of a row received over `link` were rejected, and why."""

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
