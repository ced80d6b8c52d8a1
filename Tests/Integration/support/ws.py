"""A WebSocket client that can do everything wrong: frames are made by hand, nothing is corrected."""

import json
import os
import random
import socket
import struct
import time
import zlib

from .daemon import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

MARKER = "settle-marker"
"""Type of the events that only `settle` publishes; clients here do not show them."""


def compress(message, window=15):
    """A message as permessage-deflate has it, without reference to any before."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -window)
    return (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Closed(Exception):
    """The peer ended the TCP connection."""


class Refused(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, response):
        super().__init__(f"{response.status} {response.body!r}")
        self.response = response


def encode(opcode, payload=b"", fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", length=None, length_bytes=None):
    """One frame of a client. `mask=None`: not masked. `length`: what the header claims; `length_bytes`: 0, 2 or 8, in
    place of the shortest form."""
    if isinstance(payload, str):
        payload = payload.encode()
    claimed = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if claimed < 126 else 2 if claimed < 65536 else 8
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0x80 if mask is not None else 0
    if length_bytes == 0:
        head = struct.pack("!BB", first, masked | claimed)
    elif length_bytes == 2:
        head = struct.pack("!BBH", first, masked | 126, claimed)
    else:
        head = struct.pack("!BBQ", first, masked | 127, claimed)
    if mask is None:
        return head + payload
    return head + mask + xor(payload, mask)


def xor(payload, mask):
    if not payload:
        return b""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + (reason.encode() if isinstance(reason, str) else reason)


def take_frame(buffer, start=0):
    """The frame at `start` of a server's bytes: (opcode, fin, rsv, payload, end), or None when it is not whole yet."""
    available = len(buffer) - start
    if available < 2:
        return None
    first, second = buffer[start], buffer[start + 1]
    assert not second & 0x80, "a server's frame must not be masked (RFC 6455 §5.1)"
    length, offset = second & 0x7F, 2
    if length == 126:
        if available < 4:
            return None
        (length,) = struct.unpack_from("!H", buffer, start + 2)
        offset = 4
        assert length >= 126, "a length must be written in its shortest form (RFC 6455 §5.2)"
    elif length == 127:
        if available < 10:
            return None
        (length,) = struct.unpack_from("!Q", buffer, start + 2)
        offset = 10
        assert length >= 65536, "a length must be written in its shortest form (RFC 6455 §5.2)"
    if available < offset + length:
        return None
    begin = start + offset
    return first & 0x0F, bool(first & 0x80), first >> 4 & 7, bytes(buffer[begin : begin + length]), begin + length


class WebSocket:
    """A blocking connection. `receive…` wait for PATIENCE at most."""

    OPCODE = TEXT
    """Of messages."""

    def __init__(self, port, path="/ws", headers=(), answer_pings=True, receive_buffer=None, address="127.0.0.1",
                 send_after_handshake=b"", host=None, tls=None, source=None, deflate=None):
        self.answer_pings = answer_pings
        self.compressed = self.wire_bytes = 0    # data frames that came compressed, and bytes of the payloads of all
        self.messages_sent = 0
        self.pings = []
        self.pongs = []
        self.close = None
        self.path = path
        self.port = port
        self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((address, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=address)
        host = host or (f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        lines = [
            f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        lines += [f"{name}: {value}" for name, value in headers]
        if deflate:
            lines.append(f"Sec-WebSocket-Extensions: {deflate}")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + send_after_handshake)
        from .http import read_response

        try:
            self.response = read_response(self.sock, self.buffer)
            if self.response.status != 101:
                raise Refused(self.response)
            self.agreed = self.response.header("Sec-WebSocket-Extensions")
            self.keeps_context = self.agreed and "server_no_context_takeover" not in self.agreed
            self.inflater = self.agreed and zlib.decompressobj(-15)
        except BaseException:
            self.sock.close()
            raise

    @classmethod
    def adopt(cls, connection, path=""):
        """The WebSocket that a `Connection` has become by an answer of 101."""
        client = cls.__new__(cls)
        client.messages_sent = client.compressed = client.wire_bytes = 0
        client.agreed = None
        client.answer_pings, client.pings, client.pongs, client.close = True, [], [], None
        client.path, client.port, client.sock, client.buffer = path, connection.port, connection.sock, connection.buffer
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # Sending

    def send(self, message):
        text = message if isinstance(message, (str, bytes)) else json.dumps(message)
        self.messages_sent += 1
        self.sock.sendall(encode(TEXT, text, mask=os.urandom(4)))

    def send_frame(self, opcode, payload=b"", **options):
        self.sock.sendall(encode(opcode, payload, **options))

    def send_bytes(self, data):
        self.sock.sendall(data)

    def send_close(self, code=1000, reason=""):
        self.sock.sendall(encode(CLOSE, close_payload(code, reason)))

    # Receiving

    def receive_frame(self, patience=None):
        """The next frame as (opcode, payload), control frames included; raises Closed at the end of the stream."""
        end = time.monotonic() + (PATIENCE if patience is None else patience)
        while True:
            frame = take_frame(self.buffer)
            if frame:
                opcode, fin, rsv, payload, used = frame
                is_compressed = rsv == 4 and self.agreed and opcode in (TEXT, BINARY)
                assert (rsv == 0 or is_compressed) and fin, f"reserved bits or a fragment from the daemon: {frame[:3]}"
                del self.buffer[:used]
                self.wire_bytes += len(payload) if opcode in (TEXT, BINARY) else 0
                return opcode, self.decompress(payload) if is_compressed else payload
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError) as error:
                raise Closed(str(error)) from None
            except TimeoutError:
                raise AssertionError(
                    f"nothing came on {self.path}; waiting bytes: {bytes(self.buffer[:80])!r}") from None
            if not data:
                raise Closed(f"end of stream with {len(self.buffer)} bytes of a frame" if self.buffer else "end of stream")
            self.buffer += data

    def decompress(self, payload):
        self.compressed += 1
        inflater = self.inflater if self.keeps_context else zlib.decompressobj(-15)
        message = inflater.decompress(payload + b"\0\0\xff\xff")
        assert not inflater.unused_data and not inflater.unconsumed_tail and not inflater.eof
        return message

    def receive_text(self, patience=None):
        """The next message's bytes. Pings are answered, unless told otherwise; a close frame raises Closed."""
        end = time.monotonic() + (PATIENCE if patience is None else patience)
        while True:
            # Pings keep coming on a connection where nothing else does: they buy no time.
            opcode, payload = self.receive_frame(end - time.monotonic())
            if opcode == PING:
                self.pings.append(payload)
                if self.answer_pings:
                    self.sock.sendall(encode(PONG, payload))
            elif opcode == PONG:
                self.pongs.append(payload)
            elif opcode == CLOSE:
                self.close = parse_close(payload)
                raise Closed(f"closed: {self.close}")
            else:
                assert opcode == self.OPCODE, f"opcode {opcode}"
                if self.is_marker(payload):
                    continue
                return payload

    def is_marker(self, payload):
        return payload.startswith(b'{"type":"settle-marker"')

    def decode(self, payload):
        return json.loads(payload)

    def receive(self, patience=None):
        """The next message as JSON."""
        return self.decode(self.receive_text(patience))

    def receive_until(self, kind, patience=None):
        """Messages up to and with the next of this type."""
        messages = []
        while True:
            messages.append(self.receive(patience))
            if messages[-1]["type"] == kind:
                return messages

    def receive_close(self, patience=None):
        """What is left of the stream: (messages, close code or None, reason). Waits for the end of the stream after it."""
        messages = []
        try:
            while True:
                messages.append(self.receive_text(patience))
        except Closed:
            pass
        code, reason = self.close if self.close else (None, "")
        return messages, code, reason

    def expect_end(self):
        """Reads to the end of the TCP stream and fails when any frame comes before it."""
        try:
            frame = self.receive_frame()
        except Closed:
            return
        raise AssertionError(f"a frame after the end: {frame}")

    def settle(self, upto=None):
        """Everything sent by the daemon before now, as messages; with `upto`, before the event of this id was settled.

        The order between two connections is known by ids only: an event of its own kind is published to all, and pings are
        sent until a pong says that its id is settled."""
        from .http import publish_many

        marker = upto or publish_many(self.port, [("all", MARKER, {})], patient=True)["last_id"]
        epoch, _, last = marker.rpartition("-")
        messages = []
        while True:
            name = f"settle-{random.getrandbits(64):x}"
            self.send({"type": "ping", "id": name})
            while True:
                message = self.receive()
                if message["type"] == "pong" and message.get("id") == name:
                    break
                messages.append(message)
            settled = message["data"]["position"].rpartition("-")
            assert settled[0] == epoch, (message, marker)
            if int(settled[2]) >= int(last):
                return messages


def parse_close(payload):
    if len(payload) < 2:
        return None, ""
    return struct.unpack("!H", payload[:2])[0], payload[2:].decode("utf-8")
