r"""A server that sends what it is told to, byte for byte, for tests of what fetches from servers
that are not to be trusted.

    with HostileServer(lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        ...                       GET http://127.0.0.1:{server.port}/

Each connection has a thread, which reads a request's head and then does as it is told; it closes
the connection afterwards.
"""

import contextlib
import datetime as dt
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_SECONDS = 30.0


class Exchange:
    """One connection, of which the request has been read. Whatever the client does to it ends the
    answer without a word.
    """

    def __init__(self, server: "HostileServer", connection: socket.socket, request: bytes) -> None:
        self.request = request
        self.path = request.split(b" ")[1].decode()
        self._server = server
        self._connection = connection

    def send(self, *pieces: bytes) -> None:
        """Send some bytes."""
        for piece in pieces:
            self._connection.sendall(piece)
            self._server.sent_bytes += len(piece)

    def send_for_ever(self, piece: bytes) -> None:
        """Send the same, until the client hangs up."""
        while True:
            self.send(piece)

    def drip(self, piece: bytes) -> None:
        """Send the same, a hundred times a second, until the client hangs up."""
        while not self._server.stopped.wait(0.01):
            self.send(piece)

    def hold(self) -> None:
        """Send nothing until the client hangs up."""
        while self._connection.recv(4096):
            pass

    def reset(self) -> None:
        """Break the connection off, as a crash would."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class HostileServer:
    """Listens on a port of 127.0.0.1.

    requests: the heads that were read. sent_bytes: what the kernel has taken from it. requested:
    set once there is a request; ended: once a connection has ended, which an answer that goes on
    for ever does when the client hangs up.
    """

    def __init__(
        self, answer: Callable[[Exchange], None], tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.sent_bytes = 0
        self.requested = threading.Event()
        self.ended = threading.Event()
        self.stopped = threading.Event()
        self._answer = answer
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        # so that what was sent was mostly received
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        self.port: int = self._listener.getsockname()[1]
        self.netloc = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        for opened in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def wait_for(self, event: threading.Event) -> None:
        """One of the events above."""
        assert event.wait(PATIENCE_SECONDS)

    def untouched(self) -> bool:
        """Whether nobody has connected: asked by a connection of the test's own, which would come
        after.
        """
        with socket.create_connection(("127.0.0.1", self.port)) as own:
            own.sendall(b"GET /own HTTP/1.1\r\n\r\n")
            self.wait_for(self.requested)
        return self.connections == 1

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                    self._open.add(connection)
                request = b""
                while b"\r\n\r\n" not in request:
                    received = connection.recv(4096)
                    if not received:
                        return
                    request += received
                self.requests.append(request)
                self.requested.set()
                self._answer(Exchange(self, connection, request))
        finally:
            connection.close()
            self.ended.set()


def tls_server(folder: Path, host: str) -> ssl.SSLContext:
    """A context for a server of this name; its certificate, which nobody has signed but itself, is
    put into `cert.pem`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imagepipe test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 1, now - dt.timedelta(days=1), now + dt.timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(pem)
    (folder / "both.pem").write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context
