"""HTTP Basic against an htpasswd file with bcrypt (`htpasswd -B`).

bcrypt takes some 50 ms on purpose, so it runs on a thread, and a pair that was right once is remembered, as a keyed hash, until the file is
read again. A name that does not exist takes as long as a wrong password.
"""

import hmac
import os
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, cast

import bcrypt
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web import pages as errorpages
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource
from zope.interface import implementer

from imagepipe.errors import Overloaded, StartError, shown

_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}", re.ASCII)
_REMEMBERED_MAX = 1024
_WAITING_MAX = 100


def parse_users(lines: Iterable[str], file: str) -> dict[bytes, bytes]:
    """{name: bcrypt hash} of an htpasswd file; StartError names the line that is wrong."""
    users: dict[bytes, bytes] = {}
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, _, hashed = entry.partition(":")
        if not name or not _BCRYPT.fullmatch(hashed):
            raise StartError(f"{file}, line {number}: not NAME:BCRYPT-HASH; make it with `htpasswd -B {file} NAME`")
        if name.encode() in users:
            raise StartError(f"{file}, line {number}: the name {shown(name)} is there twice")
        users[name.encode()] = hashed.encode()
    if not users:
        raise StartError(f"{file}: no user in it, so nobody could call; add one with `htpasswd -B {file} NAME`")
    return users


@implementer(ICredentialsChecker)
class UsersChecker:
    """Tells right credentials from wrong ones. users: {name: bcrypt hash}; `on_thread` runs a blocking call elsewhere."""

    credentialInterfaces = (IUsernamePassword,)  # noqa: N815 - Twisted's name

    def __init__(self, users: Mapping[bytes, bytes], on_thread: "Callable[[Callable[[], bool]], Deferred[bool]]") -> None:
        self.users = users
        self._on_thread = on_thread
        self._key = os.urandom(32)
        self._remembered: dict[bytes, None] = {}
        self._waiting = 0
        self._ending = False
        # Compared with when the name is unknown, so that the time tells nothing; as costly as the users' own.
        self._decoy = next(iter(users.values()))

    def abandon(self) -> None:
        """Check no more: those who wait are refused."""
        self._ending = True

    def requestAvatarId(self, credentials: object) -> "Deferred[bytes]":  # noqa: N802 - Twisted's name
        """The user's name, or UnauthorizedLogin; Overloaded if too many wait."""
        return Deferred.fromCoroutine(self._check(credentials.username, credentials.password))  # type: ignore[attr-defined]

    async def _check(self, name: bytes, password: bytes) -> bytes:
        proof = hmac.digest(self._key, sha256(name).digest() + password, "sha256")
        if proof in self._remembered:
            return name
        if self._waiting >= _WAITING_MAX:
            raise Overloaded("too many passwords wait to be checked: try again")
        hashed = self.users.get(name)
        self._waiting += 1
        try:
            right = await self._on_thread(lambda: not self._ending and _matches(password, hashed or self._decoy))
        finally:
            self._waiting -= 1
        if not right or hashed is None:
            raise UnauthorizedLogin
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[proof] = None
        return name


def _matches(password: bytes, hashed: bytes) -> bool:
    # bcrypt itself looks at 72 bytes; htpasswd cuts there in silence, newer bcrypt modules raise.
    try:
        return bcrypt.checkpw(password[:72], hashed)
    except ValueError:
        return False


@implementer(IRealm)
class _OneResource:
    """Every user sees the same resource."""

    def __init__(self, resource: IResource) -> None:
        self._resource = resource

    def requestAvatar(self, avatar_id: bytes, mind: object, *interfaces: object) -> tuple[object, IResource, Callable[[], None]]:  # noqa: N802, ARG002
        return IResource, self._resource, lambda: None


class _Guard(HTTPAuthSessionWrapper):
    """Answers 503 to those whose password cannot be checked now."""

    def _loginFailed(self, result: Failure) -> Any:  # noqa: N802 - Twisted's name
        if result.check(Overloaded):
            return errorpages.errorPage(503, "Service Unavailable", str(result.value))
        return super()._loginFailed(result)


def guarded(resource: IResource, checker: UsersChecker) -> IResource:
    """`resource`, behind HTTP Basic."""
    # zope.interface has no types: that these are an IRealm, an ICredentialsChecker and an IResource is declared where they are defined.
    realm: Any = _OneResource(resource)
    users: Any = checker
    wrapper: Any = _Guard(Portal(realm, [users]), [BasicCredentialFactory(b"imagepipe")])
    return cast(IResource, wrapper)
