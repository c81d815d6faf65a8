"""ZeroMQ sockets that listen. Those on TCP, which anyone may connect to, are behind a gate."""

import os
import secrets

import zmq

from imagepipe.errors import StartError
from imagepipe.replication.zmq.endpoint_errors import endpoint_error
from imagepipe.replication.zmq.gate import Gate
from imagepipe.replication.zmq.ipc_path import SocketFile, socket_file
from imagepipe.replication.zmq.zmq_socket import Factory, Options, ZmqSocket
from imagepipe.replication.zmq.zmtp import InspectionLimits


class ListeningSocket(ZmqSocket):
    """A socket that listens; `endpoint` has the port that the system chose. On TCP a gate enforces
    `limits`.
    """

    def __init__(
        self, factory: Factory, kind: int, options: Options, endpoint: str, limits: InspectionLimits
    ) -> None:
        super().__init__(
            factory, kind, [(zmq.AFFINITY, 0b01), (zmq.IPV6, "[" in endpoint), *options], endpoint
        )
        self._file: SocketFile | None = None
        self._gate: Gate | None = None
        try:
            if endpoint.startswith("tcp:"):
                self._bind_behind_gate(endpoint, limits)
            else:
                self._bind(endpoint)
        except StartError:
            self.close()
            raise
        self._read_soon()

    def shutdown(self) -> None:
        if not self._closed:
            if self._gate is not None:
                self._gate.close()
            if self._file is not None:
                self._file.remove()
        super().shutdown()

    def _bind(self, endpoint: str) -> None:
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise endpoint_error("bind", endpoint, error) from None
        self.endpoint: str = self.socket.get(zmq.LAST_ENDPOINT).decode()
        self._file = socket_file(self.endpoint)

    def _bind_behind_gate(self, endpoint: str, limits: InspectionLimits) -> None:
        # an abstract socket: it has no file, and only this process can connect to it
        name = f"imagepipe-{secrets.token_hex(16)}"
        self.socket.set(zmq.IPC_FILTER_PID, os.getpid())
        self._bind(f"ipc://@{name}")
        self._gate = Gate(self.factory.reactor, endpoint, f"\0{name}", limits)
        self.endpoint = self._gate.endpoint
