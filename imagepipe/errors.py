"""Every error that imagepipe can answer with or end on: its fault code, its HTTP status, its public
text.

    ImagepipeError
      BadRequest       1000  400   the request is wrong: which argument, and why
        Unauthorized         401   it has no credentials, or no signature
        Forbidden            403   those that it has do not do, or nobody may
        NotFound             404   there is no such image or rendition
        NotAcceptable        406   the rendition is larger than `maximum_width`, or of a format that
                                   is not in `extensions`
        Conflict             409   an image is in the way
        TooLarge             413   too many bytes
        NotAnImage           415   not an image by its content
      NotStored        1001  422   the image could not be rendered or stored; nothing was stored
        DiskFull             507   for want of room
        SourceFailed         502   the server that it was to be fetched from did not give it
          SourceTimeout      504   in time
        StoreUnusable        503   no image can be stored now: read-only, moved away, not to be
                                   opened
        FlushError           503   a flush failed: what the disk holds is unknown, and the daemon
                                   ends
          CatalogueDamaged   503   SQLite says so: nothing is written any more, and the daemon goes
                                   on reading
      InternalError    1002  500   our fault: the detail is in the log, never in the answer
      TooFewPeers      1003  503   durable here, but fewer than min_acks peers confirmed in time
      Overloaded       1004  429   the queue is full: try again

    ConfigError                    imagepipe.ini cannot be used: every problem in it
    StartError                     the daemon cannot start: one sentence for the operator

Text from outside is put in with `quoted`, so that an answer is always short and printable.
"""

from collections.abc import Sequence


class ImagepipeError(Exception):
    """An error whose text may be shown to the client."""

    fault_code = 1002
    http_status = 500

    @property
    def fault_string(self) -> str:
        """The text of the XML-RPC fault, for instance `[1000] path: is empty`."""
        return f"[{self.fault_code}] {self}"


class BadRequest(ImagepipeError):
    """The request is wrong; `argument` names the part of it that is."""

    fault_code = 1000
    http_status = 400

    def __init__(self, argument: str, why: str) -> None:
        super().__init__(f"{argument}: {why}")
        self.argument = argument


class Unauthorized(BadRequest):
    """The request lacks credentials or a signature."""

    http_status = 401


class Forbidden(BadRequest):
    """The request's credentials or signature are wrong, or what it asks for is nobody's."""

    http_status = 403


class NotFound(BadRequest):
    """There is no image at this path, or no rendition of this name."""

    http_status = 404


class NotAcceptable(BadRequest):
    """There could be such a rendition, but this server makes none so large or of this format."""

    http_status = 406


class Conflict(BadRequest):
    """An image lies where there would have to be none."""

    http_status = 409


class TooLarge(BadRequest):
    """The source has too many bytes."""

    http_status = 413


class NotAnImage(BadRequest):
    """The bytes are no image of a known format."""

    http_status = 415


class NotStored(ImagepipeError):
    """The image could not be rendered or stored, and nothing was."""

    fault_code = 1001
    http_status = 422


class DiskFull(NotStored):
    """There is no room for it."""

    http_status = 507


class SourceFailed(NotStored):
    """The server that an original was to be fetched from did not give it."""

    http_status = 502


class SourceTimeout(SourceFailed):
    """It did not give it in time."""

    http_status = 504


class StoreUnusable(NotStored):
    """Nothing can be stored now, whatever it is; once the cause is gone, it can."""

    http_status = 503


class EngineUnusable(NotStored):
    """No image can be rendered now, whatever it is; once the cause is gone, it can."""

    http_status = 503


class FlushError(NotStored):
    """A flush failed with EIO: what the disk holds is unknown. The calls under way get this fault;
    the daemon must end.
    """

    http_status = 503


class CatalogueDamaged(FlushError):
    """What the catalogue says cannot be trusted any more, and what is written to it may be lost."""


class InternalError(ImagepipeError):
    """Something that should not happen; the log has the detail."""

    def __init__(self) -> None:
        super().__init__("internal error: the server's log has the detail")


class TooFewPeers(ImagepipeError):
    """The change is durable on this node, but not yet on as many peers as `min_acks` asks for."""

    fault_code = 1003
    http_status = 503


class Overloaded(ImagepipeError):
    """The queue is full; the same call may succeed a little later."""

    fault_code = 1004
    http_status = 429


class ConfigError(Exception):
    """imagepipe.ini cannot be used; `problems` has one sentence for each thing wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartError(Exception):
    """The daemon cannot start; the text says why and what to do."""


def quoted(text: str, length_max: int = 80) -> str:
    """`text` in quotes, ASCII only and at most about `length_max` characters: safe in a fault or a
    log line.
    """
    return ascii(text if len(text) <= length_max else text[:length_max] + "...")
