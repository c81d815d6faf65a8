"""Every error that imagepipe can return to a client or exit with: fault code, HTTP status and
public text.

    ImagepipeError
      BadRequest       1000  400   the request is invalid: which argument, and why
        Unauthorized         401   the credentials or the signature are missing
        Forbidden            403   they are wrong, or nobody is allowed to do this
        NotFound             404   no such image or rendition
        NotAcceptable        406   the rendition is wider than `maximum_width`, or its format is
                                   not in `extensions`
        Conflict             409   an existing image is in the way
        TooLarge             413   the source has too many bytes
        NotAnImage           415   the content is not an image
      NotStored        1001  422   the image could not be rendered or stored; nothing was stored
        DiskFull             507   the disk is full
        SourceFailed         502   the server of the original did not deliver it
          SourceTimeout      504   it did not deliver it in time
        StoreUnusable        503   no image can be stored now: the store is read-only, was moved
                                   away, or cannot be opened
        FlushError           503   a flush failed: the state of the disk is unknown, and the daemon
                                   exits
          CatalogueDamaged   503   SQLite reports damage: writes stop, and the daemon keeps serving
                                   reads
      InternalError    1002  500   a bug: the details are in the log, never in the response
      TooFewPeers      1003  503   durable here, but fewer than min_acks peers confirmed in time
      Overloaded       1004  429   the queue is full: try again later

    ConfigError                    imagepipe.ini is invalid: lists every problem
    StartError                     the daemon cannot start: one sentence for the operator

Text from clients and peers goes through `quoted`, so that every message is short and printable.
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
    """The request is invalid; `argument` names the invalid part."""

    fault_code = 1000
    http_status = 400

    def __init__(self, argument: str, why: str) -> None:
        super().__init__(f"{argument}: {why}")
        self.argument = argument


class Unauthorized(BadRequest):
    """The request lacks credentials or a signature."""

    http_status = 401


class Forbidden(BadRequest):
    """The credentials or the signature are wrong, or nobody is allowed to do this."""

    http_status = 403


class NotFound(BadRequest):
    """There is no image at this path, or no rendition with this name."""

    http_status = 404


class NotAcceptable(BadRequest):
    """The rendition is valid, but this server makes none of that width or format."""

    http_status = 406


class Conflict(BadRequest):
    """An existing image is in the way."""

    http_status = 409


class TooLarge(BadRequest):
    """The source has too many bytes."""

    http_status = 413


class NotAnImage(BadRequest):
    """The content is not an image in a known format."""

    http_status = 415


class NotStored(ImagepipeError):
    """The image could not be rendered or stored; nothing was stored."""

    fault_code = 1001
    http_status = 422


class DiskFull(NotStored):
    """The disk is full."""

    http_status = 507


class SourceFailed(NotStored):
    """The server of the original did not deliver it."""

    http_status = 502


class SourceTimeout(SourceFailed):
    """The server of the original did not deliver it in time."""

    http_status = 504


class StoreUnusable(NotStored):
    """No image can be stored until the cause is fixed."""

    http_status = 503


class EngineUnusable(NotStored):
    """No image can be rendered until the cause is fixed."""

    http_status = 503


class FlushError(NotStored):
    """A flush failed with EIO, so the state of the disk is unknown. Calls in progress get this
    fault; the daemon must exit.
    """

    http_status = 503


class CatalogueDamaged(FlushError):
    """The catalogue can no longer be trusted, and anything written to it may be lost."""


class InternalError(ImagepipeError):
    """A bug; the log has the details."""

    def __init__(self) -> None:
        super().__init__("internal error: see the server's log for details")


class TooFewPeers(ImagepipeError):
    """The change is durable on this node, but not yet on the `min_acks` peers required."""

    fault_code = 1003
    http_status = 503


class Overloaded(ImagepipeError):
    """The queue is full; the same call may succeed later."""

    fault_code = 1004
    http_status = 429


class ConfigError(Exception):
    """imagepipe.ini is invalid; `problems` has one sentence for each problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartError(Exception):
    """The daemon cannot start; the text explains why and what to do."""


def quoted(text: str, length_max: int = 80) -> str:
    """`text` in quotes, in ASCII and cut to about `length_max` characters: safe in a fault or a log
    line.
    """
    return ascii(text if len(text) <= length_max else text[:length_max] + "...")
