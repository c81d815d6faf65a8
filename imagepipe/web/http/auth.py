"""HTTP Basic against an htpasswd file with bcrypt hashes (`htpasswd -B`)."""

import binascii
import re
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.web.resource import Resource, getChildForRequest

from imagepipe.errors import Overloaded, StartError, Unauthorized, quoted
from imagepipe.web.http.clients import client_of
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.refusal import Denial
from imagepipe.web.http.request import BoundedRequest

_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-7])\$[./A-Za-z0-9]{53}", re.ASCII)
"""With the costs that htpasswd allows: at a higher one, each wrong password would take seconds."""


def parse_users(lines: Iterable[str], file: str) -> dict[bytes, bytes]:
    """{name: bcrypt hash} of an htpasswd file; StartError names the line that is wrong."""
    users: dict[bytes, bytes] = {}
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, _, hashed = entry.partition(":")
        if not name or not _BCRYPT.fullmatch(hashed):
            raise StartError(
                f"{file}, line {number}: expected NAME:BCRYPT-HASH;"
                f" create the line with `htpasswd -B {file} NAME`"
            )
        if name.encode() in users:
            raise StartError(f"{file}, line {number}: the name {quoted(name)} appears twice")
        users[name.encode()] = hashed.encode()
    if not users:
        raise StartError(
            f"{file}: contains no users, so nobody could call;"
            f" add one with `htpasswd -B {file} NAME`"
        )
    return users


async def log_in(request: BoundedRequest, passwords: Passwords) -> None:
    """Return if `request` has the credentials of a user. Raises Unauthorized or Overloaded, and
    CancelledError if the client disconnects in the meantime.
    """
    name, password = _credentials(request.getHeader(b"authorization") or b"")
    check = passwords.check(name, password, client_of(request))
    request.notifyFinish().addErrback(lambda _: check.cancel())
    request.is_being_checked = True
    try:
        await check
    finally:
        request.is_being_checked = False


async def denial(request: BoundedRequest, passwords: Passwords) -> Denial | None:
    """Why `request` is refused, or None: a site's Authenticate."""
    try:
        await log_in(request, passwords)
    except Unauthorized as error:
        return Denial(error.http_status, str(error))
    except Overloaded as error:
        return Denial(503, str(error))
    return None


class AuthenticatedResource(Resource):
    """Protects `resource` and everything below it: only for users."""

    isLeaf = True

    def __init__(self, resource: Any, passwords: Passwords) -> None:
        super().__init__()
        self._resource = resource
        self._passwords = passwords

    def render(self, request: Any) -> int:
        """Answer a request if it has the credentials of a user."""
        guarded: BoundedRequest = request
        return guarded.answer_with(self._answer(guarded))

    async def _answer(self, request: BoundedRequest) -> None:
        try:
            denied = await denial(request, self._passwords)
        except CancelledError:
            return
        if denied:
            request.refuse(denied)
        else:
            request.render(getChildForRequest(self._resource, request))


def _credentials(header: bytes) -> tuple[bytes, bytes]:
    """The name and the password of an Authorization header."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        raise Unauthorized("credentials", "a user's name and password are required")
    try:
        name, colon, password = binascii.a2b_base64(encoded.strip() + b"===").partition(b":")
    except binascii.Error:
        colon = b""
    if not colon:
        raise Unauthorized("credentials", "malformed")
    return name, password
