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
"""Parts of a form. Only the image's is kept, so the others take no room."""

_IN_MEMORY_BYTES_MAX = 64 << 10
_BOUNDARY = re.compile(r"[ -~]{1,70}", re.ASCII)
_EXTENDED_FILENAME = re.compile(r";\s*filename\*[0-9*]{0,4}\s*=", re.IGNORECASE)
"""RFC 5987's way to name a file. RFC 7578 forbids it in forms, and some libraries send nothing else
for names that are not ASCII.
"""


def image_in(body: IO[bytes], content_type: str | bytes | None) -> IO[bytes]:
    """The image that `body` brings, a file of the caller's to close; it may be `body`. Blocks.

    Of a form it is the part called `image`, or else the one part that is a file. Raises BadRequest,
    or DiskFull where there is no room to take it out.
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
        # what follows in some of them is what the client has sent
        why = error.args[0] if error.args else "it is malformed"
        raise BadRequest("image", f"the form cannot be read: {why}") from None
    except OSError as error:
        raise refusal(error) from error
    finally:
        found.close()


class _Image:
    """The part that is the image as far as the form has been read; nothing of the others is
    kept.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._is_named = False  # its name is `image`
        self._is_written = False
        self._count = 0  # of the parts that might be it as well

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
        """Let go of the file that is not the caller's."""
        if self._file:
            self._file.close()
            self._file = None


def _is_file(part: MultipartSegment) -> bool:
    return (
        bool(part.filename)
        or _EXTENDED_FILENAME.search(part.header("Content-Disposition", "")) is not None
    )
