r"""Signed rendition URLs (docs/design/contract.md, "Images over HTTP"): an HMAC over the path and
an expiry, so that nobody else can make the server render.

    /user/avatar/1/w500.jpg?expires=1800000000&signature=<hex>

    signature = HMAC-SHA256(key, path + "\n" + expires)        expires: seconds since 1970, or empty
        for a signature that never expires

The path is the decoded one, with its leading slash; a signature of the path without it is as good.
Any of several keys will do, so that keys can be changed without a moment at which URLs fail.
"""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256

from imagepipe.errors import Forbidden, Unauthorized

_EXPIRES = re.compile(r"[0-9]{1,15}", re.ASCII)


def sign(key: str, path: str, expires: str = "") -> str:
    """The signature, in hex, of a decoded path until the Unix time `expires`."""
    return hmac.new(key.encode(), f"{path}\n{expires}".encode(), sha256).hexdigest()


def verify(keys: Sequence[str], path: str, expires: str, signature: str, now: float) -> None:
    """Raise Unauthorized if there is no signature; Forbidden if it is not one of `path` with any of
    `keys`, or if it has expired at the Unix time `now`.
    """
    if not signature:
        raise Unauthorized("signature", "is missing: renditions of this server need a signed URL")
    if expires and not _EXPIRES.fullmatch(expires):
        raise Forbidden("expires", "is not a Unix time in whole seconds")
    # All are compared, each in constant time: how long it takes tells nothing about the keys.
    forms = (path, path.removeprefix("/"))
    given = signature.lower().encode(errors="replace")
    right = [
        hmac.compare_digest(sign(key, form, expires).encode(), given)
        for key in keys
        for form in forms
    ]
    if not any(right):
        raise Forbidden("signature", "is wrong")
    if expires and int(expires) < now:
        raise Forbidden("expires", "the signature has expired")
