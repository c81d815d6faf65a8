"""Calls of the daemon's XML-RPC methods, one at a time over a persistent connection, with a
sentence for everything that can go wrong.

    with Client(server) as client:
        client.call("delete_image", ["a.jpg"])

Raises FaultReturned for a fault, Unreachable if the connection cannot be made or is lost, and
CallFailed if a retry is pointless: a wrong password, an untrusted certificate, a server other than
imagepipe.
"""

import base64
import http.client
import re
import ssl
import xmlrpc.client
from dataclasses import dataclass, field
from typing import Any, Self
from xml.parsers.expat import ExpatError

from imagepipe.cli.failures import CallFailed, CommandFailed, FaultReturned, Unreachable
from imagepipe.core.printable import printable

_ANSWER_BYTES_MAX = 256 << 20
_SENTENCE_BYTES_MAX = 300
_CONNECT_SECONDS = 10.0
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A daemon, and how to talk to it. user, password: None if it has no users. ca_file: the
    certificate authorities to trust instead of the system's.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: str | None = None
    timeout_seconds: float = 300.0

    @property
    def name(self) -> str:
        """The address for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Client:
    """A connection to a daemon, opened when it is needed; for use by one thread."""

    def __init__(self, server: ServerAddress) -> None:
        self._server = server
        self._connection: http.client.HTTPConnection | None = None
        self._headers = {"Content-Type": "text/xml", "User-Agent": "imagepipe"}
        if server.user is not None:
            credentials = f"{server.user}:{server.password or ''}".encode(
                "utf-8", "surrogateescape"
            )
            self._headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method and return its result."""
        body = _encoded(method, arguments)
        try:
            status, headers, answer = self._exchange(body)
        except BaseException:
            self.close()  # anything that still arrives belongs to no call any more
            raise
        if status != http.client.OK:
            self.close()
            if status == http.client.FORBIDDEN and headers.get_content_type() == "text/plain":
                raise CallFailed(f"{self._server.name}: call refused: {_first_line(answer)}")
            raise self._refused(status)
        if "xml" not in headers.get("content-type", ""):
            raise self._not_imagepipe()
        try:
            [value], _ = xmlrpc.client.loads(answer, use_builtin_types=True)
        except xmlrpc.client.Fault as fault:
            raise FaultReturned(fault.faultCode, fault.faultString) from None
        except (
            ExpatError,
            xmlrpc.client.Error,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ):
            raise self._not_imagepipe() from None
        return value

    def _exchange(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Post `body`, and retry once if a reused connection turns out to have been closed."""
        name, kept = self._server.name, self._connection is not None
        try:
            try:
                return self._post(body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not kept:
                    raise
                self.close()
                return self._post(body)
        except ssl.SSLCertVerificationError as error:
            raise CallFailed(
                f"{name}: its certificate is not trusted: {error.verify_message} (use --ca-file to"
                " trust another authority)"
            ) from None
        except ssl.SSLError as error:
            raise CallFailed(
                f"{name}: TLS failed: {error.reason or error} (does that port speak TLS?)"
            ) from None
        except _NotConnectedError:
            hint = " (does that port speak TLS?)" if self._server.tls else ""
            raise Unreachable(
                f"{name}: no connection within {self._connect_seconds:g} s{hint}"
            ) from None
        except TimeoutError:
            raise Unreachable(
                f"{name}: no answer within {self._server.timeout_seconds:g} s"
            ) from None
        except http.client.RemoteDisconnected:
            hint = "" if self._server.tls else " (if it speaks TLS, use --tls)"
            raise Unreachable(
                f"{name}: the connection was closed without an answer{hint}"
            ) from None
        except http.client.IncompleteRead:
            raise Unreachable(f"{name}: the connection broke in the middle of the answer") from None
        except http.client.HTTPException:
            raise self._not_imagepipe() from None
        except ConnectionRefusedError:
            raise Unreachable(
                f"{name}: connection refused: is the daemon running, and is this its port?"
            ) from None
        except (OSError, ValueError) as error:
            raise Unreachable(
                f"{name}:"
                f" {(isinstance(error, OSError) and error.strerror) or 'not a valid host name'}"
            ) from None

    def _post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", "/", body, self._headers)
        response = self._connection.getresponse()
        answer = response.read(_ANSWER_BYTES_MAX)
        if len(answer) == _ANSWER_BYTES_MAX:
            raise self._not_imagepipe()
        if response.length:
            raise http.client.IncompleteRead(answer)
        return response.status, response.headers, answer

    def _connect(self) -> http.client.HTTPConnection:
        server = self._server
        connection: http.client.HTTPConnection
        if not server.tls:
            connection = http.client.HTTPConnection(
                server.host, server.port, timeout=self._connect_seconds
            )
        else:
            try:
                context = ssl.create_default_context(cafile=server.ca_file)
            except (OSError, ValueError) as error:
                raise CallFailed(
                    f"--ca-file {server.ca_file}:"
                    f" {(isinstance(error, OSError) and error.strerror) or error}"
                ) from None
            connection = http.client.HTTPSConnection(
                server.host, server.port, timeout=self._connect_seconds, context=context
            )
        try:
            connection.connect()
        except TimeoutError:
            raise _NotConnectedError from None
        connection.sock.settimeout(server.timeout_seconds)
        return connection

    @property
    def _connect_seconds(self) -> float:
        return min(self._server.timeout_seconds, _CONNECT_SECONDS)

    def _refused(self, status: int) -> CommandFailed:
        name = self._server.name
        if status == http.client.UNAUTHORIZED:
            if self._server.user is None:
                return CallFailed(
                    f"{name}: a user name and a password are required: use --user and"
                    " --password-file"
                )
            return CallFailed(f"{name}: wrong user name or password")
        if status == http.client.REQUEST_ENTITY_TOO_LARGE:
            return FaultReturned(status, f"{name}: larger than [network] max_request allows")
        if status == http.client.SERVICE_UNAVAILABLE:
            return Unreachable(f"{name}: the daemon is stopping")
        if status in (http.client.BAD_GATEWAY, http.client.GATEWAY_TIMEOUT):
            return Unreachable(f"{name}: a proxy cannot reach the daemon")
        if status == http.client.INSUFFICIENT_STORAGE:
            return FaultReturned(status, f"{name}: the daemon's disk is full")
        return self._not_imagepipe(f"; it answered with HTTP status {status}")

    def _not_imagepipe(self, detail: str = "") -> CallFailed:
        return CallFailed(f"{self._server.name}: not an imagepipe XML-RPC port{detail}")


class _NotConnectedError(Exception):
    pass


def _first_line(answer: bytes) -> str:
    return printable(answer[:_SENTENCE_BYTES_MAX].decode("utf-8", "replace").partition("\n")[0])


def _encoded(method: str, arguments: tuple[object, ...]) -> bytes:
    for text in _texts(arguments):
        if found := _NOT_XML.search(text):
            raise CommandFailed(
                f"{printable(text)}: names cannot contain the character {printable(found[0])}"
            )
    texts: Any = arguments
    return xmlrpc.client.dumps(texts, method, allow_none=True).encode()


def _texts(value: object) -> list[str]:
    """The strings in the arguments of a call. They are short; images are bytes."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for text in _texts(pair)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(one)]
    return []
