"""The image in a request's body: the body itself, or the file of a form (multipart/form-data, RFC 7578)."""

import re
from typing import IO

from multipart import MultipartError, MultipartParser, parse_options_header

from imagepipe.errors import BadRequest
from imagepipe.storage.disk import refusal

PARTS_MAX = 16
_BOUNDARY = re.compile(r"[ -~]{1,70}", re.ASCII)


def image_in(body: IO[bytes], content_type: str | bytes | None) -> IO[bytes]:
    """The image that `body` brings, a file of the caller's to close; it may be `body`. Blocks.

    Of a form it is the part called `image`, or else the one part that is a file. Raises BadRequest, or DiskFull where there is no room to take it out.
    """
    body.seek(0)
    text = content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type or ""
    media_type, options = parse_options_header(text)
    if media_type.lower() != "multipart/form-data":
        return body
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest("image", "the form has no boundary")
    try:
        parts = list(MultipartParser(body, boundary, part_limit=PARTS_MAX, strict=False))
    except (MultipartError, ValueError, UnicodeError) as error:
        why = error.args[0] if error.args else "it is malformed"  # what follows in some of them is what the client has sent
        raise BadRequest("image", f"is in a form that cannot be read: {why}") from None
    except OSError as error:
        raise refusal(error) from error
    files = [part for part in parts if part.name == "image"] or [part for part in parts if part.filename]
    chosen: IO[bytes] | None = files[0].file if len(files) == 1 else None
    for part in parts:
        if part.file is not None and part.file is not chosen:
            part.file.close()
    if chosen is None:
        raise BadRequest("image", "the form must have one part called image, or one file")
    return chosen
