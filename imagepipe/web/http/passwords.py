"""Checks names and passwords against bcrypt hashes, on threads because bcrypt is slow on purpose.

    name, password -> known to be right? -> being checked already? -> a turn in the queue -> bcrypt

A correct pair is remembered, as a keyed hash, until the file of users is read again. The same pair
is never checked twice at the same time, so a client with many connections costs one check.

The time that a wrong password takes reveals nothing about the name. Each takes as long as the most
expensive hash: a bcrypt hash of cost n takes 2^n steps, and 2^n + 2^n + 2^(n+1) + ... + 2^(m-1) =
2^m. A name that does not exist is checked like one of the users, always the same one, but against a
digest that no password has.
"""

import hmac
import os
from collections.abc import Callable, Mapping
from hashlib import sha256

import bcrypt
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from imagepipe.core.queues.password_queue import PasswordQueue
from imagepipe.errors import Overloaded, Unauthorized

RUNNING_MAX = 2

WAITING_MAX = 200
"""Fewer than the connections that a limit of 1024 descriptors permits."""

KNOWN_MAX = 1024

SIGNIFICANT_BYTES = 72
"""The part of a password that bcrypt uses; htpasswd truncates there without a warning."""

DIGEST_AT = 29
"""Where the digest begins in a hash, behind the cost and the salt."""

OnThread = Callable[[Callable[[], bool]], "Deferred[bool]"]


class Passwords:
    """The passwords of `users`, {name: bcrypt hash}. `on_thread` runs a call on a thread."""

    def __init__(self, users: Mapping[bytes, bytes], on_thread: OnThread) -> None:
        self.users = users
        self._on_thread = on_thread
        self._cost_max = max(_cost(hashed) for hashed in users.values())
        self._decoys = [hashed[:DIGEST_AT] + b"." * 31 for hashed in sorted(users.values())]
        self._decoy_key = sha256(b"".join(sorted(users.values()))).digest()
        self._key = os.urandom(32)
        self._proofs: dict[bytes, None] = {}
        self._checks: dict[bytes, _Check] = {}
        self._queue: PasswordQueue[_Check] = PasswordQueue(WAITING_MAX)
        self._running = 0
        self._is_ending = False

    def check(self, name: bytes, password: bytes, source: str) -> "Deferred[None]":
        """Fires if this is the password of that user; fails with Unauthorized if not, and with
        Overloaded if too many checks are waiting.

        source: the client; sources take turns. Cancel the Deferred if the result is not needed.
        """
        proof = hmac.digest(self._key, sha256(name).digest() + password, "sha256")
        deferred: Deferred[None] = Deferred(lambda cancelled: self._cancel(proof, cancelled))
        if proof in self._proofs:
            self._remember(proof)
            deferred.callback(None)
        elif check := self._checks.get(proof):
            check.waiting.append(deferred)
        elif self._is_ending:
            deferred.errback(_too_many())
        else:
            check = self._checks[proof] = _Check(proof, name, password, source, deferred)
            if lost := self._queue.add(check.source, name, check):
                self._end(lost, _too_many())
            self._go_on()
        return deferred

    def abandon(self) -> None:
        """Refuse all waiting checks, and all new ones."""
        self._is_ending = True
        while check := self._queue.next():
            self._end(check, _too_many())

    def _go_on(self) -> None:
        while self._running < RUNNING_MAX and (check := self._queue.next()):
            check.is_running = True
            self._running += 1
            self._start(check)

    def _start(self, check: "_Check") -> None:
        hashed = self.users.get(check.name) or self._decoy(check.name)
        checked = maybeDeferred(
            self._on_thread, lambda: _matches(check.password, hashed, self._cost_max)
        )
        checked.addBoth(self._checked, check)

    def _checked(self, result: "bool | Failure", check: "_Check") -> None:
        self._running -= 1
        if result is True:
            self._remember(check.proof)
            self._end(check, None)
        elif isinstance(result, Failure):
            self._end(check, result)
        else:
            self._end(check, Failure(Unauthorized("credentials", "wrong name or password")))
        self._go_on()

    def _end(self, check: "_Check", failure: Failure | None) -> None:
        del self._checks[check.proof]
        for deferred in check.waiting:
            deferred.errback(failure) if failure else deferred.callback(None)

    def _cancel(self, proof: bytes, cancelled: "Deferred[None]") -> None:
        check = self._checks.get(proof)
        if check is None:
            return
        check.waiting.remove(cancelled)
        if not check.waiting and not check.is_running:
            del self._checks[proof]
            self._queue.remove(check.source, check.name, check)

    def _remember(self, proof: bytes) -> None:
        self._proofs.pop(proof, None)
        self._proofs[proof] = None
        if len(self._proofs) > KNOWN_MAX:
            del self._proofs[next(iter(self._proofs))]

    def _decoy(self, name: bytes) -> bytes:
        """The hash for an unknown name: as if it were a user, and the same after a restart."""
        number = int.from_bytes(hmac.digest(self._decoy_key, name, "sha256"))
        return self._decoys[number % len(self._decoys)]


class _Check:
    """A pending check of a name and a password; compared by identity."""

    def __init__(
        self, proof: bytes, name: bytes, password: bytes, source: str, first: "Deferred[None]"
    ) -> None:
        self.proof = proof
        self.name = name
        self.password = password
        self.source = source
        self.waiting = [first]
        self.is_running = False


def _matches(password: bytes, hashed: bytes, cost_max: int) -> bool:
    """Whether `password` matches `hashed`. If not, this takes as long as a hash of `cost_max`."""
    significant = password[:SIGNIFICANT_BYTES]
    try:
        if bcrypt.checkpw(significant, hashed):
            return True
        for cost in range(_cost(hashed), cost_max):
            bcrypt.hashpw(significant, b"$2b$%02d$" % cost + hashed[7:DIGEST_AT])
    except ValueError:  # a password that bcrypt does not accept
        pass
    return False


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])


def _too_many() -> Failure:
    return Failure(Overloaded("too many passwords are being checked; try again"))
