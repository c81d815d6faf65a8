"""The image in a request's body: the body itself, or the file of a form (multipart/form-data, RFC
7578).
"""

import re
import tempfile
from typing import IO

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from imagepipe.errors import BadRequest
from imagepipe.storage.disk import refusal

PARTS_MAX = 1000
"""Parts of a form. Only the image is stored, so the others take no space."""

_IN_MEMORY_BYTES_MAX = 64 << 10
_BOUNDARY = re.compile(r"[ -~]{1,70}", re.ASCII)
_EXTENDED_FILENAME = re.compile(r";\s*filename\*[0-9*]{0,4}\s*=", re.IGNORECASE)
"""The file name as in RFC 5987. RFC 7578 forbids it in forms, but for non-ASCII names some
libraries send nothing else.
"""


def image_in(body: IO[bytes], content_type: str | bytes | None) -> IO[bytes]:
    """The image in `body`, a file that the caller closes; it may be `body` itself. Blocks.

    In a form, it is the part named `image`, or else the only part that is a file. Raises
    BadRequest, or DiskFull if there is no space to extract it.
    """
    body.seek(0)
    text = content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type or ""
    media_type, options = parse_options_header(text)
    if media_type.lower() != "multipart/form-data":
        return body
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest("image", "the form's Content-Type has no boundary")
    found = _Image()
    try:
        with PushMultipartParser(boundary, max_segment_count=PARTS_MAX) as parser:
            for event in parser.parse_blocking(body.read):
                if isinstance(event, MultipartSegment):
                    found.begin(event)
                elif event:
                    found.write(event)
        return found.file()
    except (MultipartError, ValueError, UnicodeError) as error:
        # the other arguments of some contain what the client sent
        why = error.args[0] if error.args else "it is malformed"
        raise BadRequest("image", f"the form cannot be read: {why}") from None
    except OSError as error:
        raise refusal(error) from error
    finally:
        found.close()


class _Image:
    """The part that is the image, as far as the form has been read; other parts are discarded."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._is_named = False  # its name is `image`
        self._is_written = False
        self._count = 0  # of the parts that could be the image

    def begin(self, part: MultipartSegment) -> None:
        """A part follows."""
        is_named = part.name == "image"
        self._is_written = is_named or (not self._is_named and _is_file(part))
        if not self._is_written:
            return
        self._count = 1 if is_named and not self._is_named else self._count + 1
        self._is_named = is_named
        self.close()
        # it outlives this
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """A piece of the part."""
        if self._is_written and self._file:
            self._file.write(data)

    def file(self) -> IO[bytes]:
        """The image, the caller's to close. Raises BadRequest."""
        if self._count != 1 or self._file is None:
            raise BadRequest(
                "image", "the form must have exactly one part named image, or exactly one file"
            )
        file, self._file = self._file, None
        file.seek(0)
        return file

    def close(self) -> None:
        """Close the file, unless the caller has taken it."""
        if self._file:
            self._file.close()
            self._file = None


def _is_file(part: MultipartSegment) -> bool:
    return (
        bool(part.filename)
        or _EXTENDED_FILENAME.search(part.header("Content-Disposition", "")) is not None
    )
