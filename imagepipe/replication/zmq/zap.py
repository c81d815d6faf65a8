"""Who may connect: the keys in `authorized/` and nobody else (ZAP, ZeroMQ's RFC 27).

pyzmq's ThreadAuthenticator answers ZeroMQ on a thread of its own, so that a handshake does not wait
for a busy reactor. If that thread is gone, sockets with DOMAIN and ZAP_ENFORCE_DOMAIN admit nobody;
without the latter they would admit everybody.
"""

import time

import zmq
from twisted.logger import Logger
from zmq.auth.thread import ThreadAuthenticator

from imagepipe.replication.zmq.curve_keys import NodeKeys
from imagepipe.runtime.rate_limited_log import RateLimitedLog

DOMAIN = "imagepipe"

_log = Logger()


class ZapHandler:
    """Admits the authorised keys to the sockets of one context, until `stop`."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: NodeKeys) -> None:
        self.admit(keys)
        self._denied = RateLimitedLog(_log, time.monotonic)
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.configure_curve_callback(DOMAIN, self)
        self._authenticator.start()

    def admit(self, keys: NodeKeys) -> None:
        """Admit these peers from now on. Open connections stay open: ZeroMQ asks once per
        connection.
        """
        self._authorized = frozenset(keys.authorized.values())

    # pyzmq's name and arguments
    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a client with this public key may connect; called on the authenticator's
        thread.
        """
        if key in self._authorized:
            return True
        self._denied.warn("refused a peer with an unknown key, {key}", key=key.decode("ascii"))
        return False

    def stop(self) -> None:
        """Stop answering; blocks until the thread has ended."""
        self._authenticator.stop()
