"""A server that does what a test says, connection by connection: for what the daemon does rarely, or never."""

import base64
import hashlib
import json
import re
import socket
import struct
import threading

from .daemon import PATIENCE
from .ws import CLOSE, PING, TEXT, close_payload, xor

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode, payload):
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    return bytes([0x80 | opcode, 126]) + struct.pack("!H", len(payload)) + payload


class Peer:
    """One connection, seen from the server."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.buffer = b""
        self.head = b""

    def _need(self, count):
        while len(self.buffer) < count:
            part = self.sock.recv(65536)
            if not part:
                raise ConnectionError("end")
            self.buffer += part

    def _take(self, count):
        self._need(count)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read_head(self):
        if self.head:
            return self.head
        while b"\r\n\r\n" not in self.buffer:
            self._need(len(self.buffer) + 1)
        self.head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return self.head

    def refuse(self, status, fields="", body=b'{"error":"not today"}'):
        self.read_head()
        self.sock.sendall(f"HTTP/1.1 {status} Said So\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def upgrade(self, position="e-0"):
        """Up to the client's `subscribe`, which is acknowledged. Gives it back."""
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", self.read_head())[1]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        data = {"epoch": "e", "sequence": 0, "position": position, "heartbeat_interval": 30, "client_timeout": 90, "role": "admin"}
        self.send({"type": "welcome", "timestamp": "2026-02-05T10:30:00.000Z", "data": data})
        message = self.receive()
        assert message["type"] == "subscribe", message
        self.send({"type": "ack", "id": message["id"], "timestamp": "2026-02-05T10:30:00.000Z", "data": {"channels": message["data"]["channels"]}})
        return message["data"]

    def frame(self):
        first, second = self._take(2)
        assert second & 0x80, "a client's frame must be masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        mask = self._take(4)
        return first & 0x0F, xor(self._take(length), mask)

    def receive(self):
        """The next message; None where the client closes."""
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return json.loads(payload)
            if opcode == CLOSE:
                return None

    def send(self, message):
        self.raw(frame(TEXT, json.dumps(message).encode()))

    def raw(self, data):
        self.sock.sendall(data)

    def log(self, number, message=None):
        self.send({"type": "log", "id": f"e-{number}", "timestamp": "2026-02-05T10:30:00.000Z",
                   "data": {"level": "info", "message": message or f"event {number}"}})

    def ping(self, payload):
        self.raw(frame(PING, payload))

    def close(self, code, reason=""):
        self.raw(frame(CLOSE, close_payload(code, reason)))
        try:
            while self.receive() is not None:
                pass
        except OSError:
            pass


class Scripted:
    """Use as a context manager. `scripts`: one function of a `Peer` for each connection, in order; a further connection is counted, and refused
    with 403, which ends a client that should have stopped before. `only_sockets`: requests for anything but a WebSocket are no connections, and
    get a 404."""

    def __init__(self, *scripts, only_sockets=False):
        self.only_sockets = only_sockets
        self.scripts = list(scripts)
        self.connections = 0
        self.failures = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(PATIENCE)
        if kind is None and self.failures:
            raise self.failures[0]

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            peer = Peer(sock)
            try:
                if self.only_sockets and b"Upgrade: websocket" not in peer.read_head():
                    with sock:
                        peer.refuse(404)
                    continue
            except OSError:
                continue
            self.connections += 1
            script = self.scripts.pop(0) if self.scripts else lambda peer: peer.refuse(403)
            with sock:
                try:
                    script(peer)
                except OSError:
                    pass
                except Exception as failure:  # noqa: BLE001: told to the test, which is another thread
                    self.failures.append(failure)
