"""A WebSocket client that speaks MessagePack; the library that reads and writes it is not the daemon's."""

import os

import msgpack

from . import ws
from .ws import BINARY, WebSocket, encode

SUBPROTOCOL = "goleapai.v1.msgpack"


pack = msgpack.packb


def unpack(payload):
    """As json.loads would give it. Anything that JSON has no words for is refused: binary, extensions, names that are no text."""
    def members(pairs):
        assert all(isinstance(name, str) for name, _ in pairs), pairs
        return dict(pairs)

    def refuse(*what):
        raise AssertionError(f"an extension type: {what}")

    value = msgpack.unpackb(payload, object_pairs_hook=members, ext_hook=refuse, strict_map_key=True)

    def check(value):
        assert isinstance(value, (dict, list, str, int, float, bool, type(None))), type(value)
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(part)

    check(value)
    return value


class PackedWebSocket(WebSocket):
    """Like `WebSocket`, in MessagePack: `send` takes and `receive` gives the same messages."""

    OPCODE = BINARY
    MARK = pack("type") + pack(ws.MARKER)

    def __init__(self, port, path="/ws", headers=(), **options):
        super().__init__(port, path, [("Sec-WebSocket-Protocol", SUBPROTOCOL), *headers], **options)
        assert self.response.header("Sec-WebSocket-Protocol") == SUBPROTOCOL

    def send(self, message):
        self.messages_sent += 1
        self.sock.sendall(encode(BINARY, message if isinstance(message, bytes) else pack(message), mask=os.urandom(4)))

    def is_marker(self, payload):
        return payload[1:].startswith(self.MARK)

    def decode(self, payload):
        return unpack(payload)
