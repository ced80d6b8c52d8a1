"""Many clients in one thread: sockets are read as bytes, and every frame is compared with the events that were published."""

import json
import selectors
import socket
import ssl
import time

from .daemon import PATIENCE
from .packed import SUBPROTOCOL, pack, unpack
from .sse import Parser
from .ws import BINARY, CLOSE, PING, PONG, TEXT, encode, take_frame


class Member:
    """One client: what came, as numbers of events in the order of arrival."""

    __slots__ = ("sock", "buffer", "channel", "filters", "numbers", "ids", "others", "closed", "reading", "position", "stream", "packed")

    def __init__(self, sock, channel, filters):
        self.sock = sock
        self.buffer = bytearray()
        self.channel = channel
        self.filters = filters
        self.numbers = []
        self.others = []
        self.closed = None
        self.reading = True
        self.position = None
        self.stream = None      # of a reader of Server-Sent Events: what has come of its stream
        self.packed = False     # whether it speaks MessagePack


class Crowd:
    """Clients and one reader for all of them.

    Every event has `data.n`. The text of an event is parsed once, when the first client gets it; what the others get is
    compared byte for byte through a table of texts."""

    def __init__(self, port, tls=None, headers=(), source=None):
        self.port = port
        self.source = source    # the address they come from
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in headers)    # of every client
        self.tls = tls      # an ssl.SSLContext, where the port speaks TLS
        self.members = []
        self.selector = selectors.DefaultSelector()
        self.texts = {}
        self.known = set()
        self.events = {}
        self.arrivals = {}
        self.delivered = 0

    def join(self, channel, filters, query, receive_buffer=None, member=None, stream=False, last_id=None, packed=False):
        """Connects a new client, or with `member` one that has left; as a WebSocket, with `packed` one of MessagePack, or as a reader of
        Server-Sent Events."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        if self.source:
            sock.bind((self.source, 0))
        sock.connect(("127.0.0.1", self.port))
        if self.tls:
            sock = self.tls.wrap_socket(sock)
        path = f"/{'sse' if stream else 'ws'}/{channel}" + (f"?{query}" if query else "")
        handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        if packed:
            handshake += f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
        if stream:
            handshake = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{handshake}{self.headers}\r\n".encode())
        if member is None:
            member = Member(sock, channel, filters)
            self.members.append(member)
        member.sock, member.buffer, member.closed, member.reading = sock, bytearray(), None, True
        while b"\r\n\r\n" not in member.buffer:
            data = sock.recv(4096)
            assert data, bytes(member.buffer)
            member.buffer += data
        head, _, rest = bytes(member.buffer).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200" if stream else b"HTTP/1.1 101"), head
        member.stream = Parser() if stream else None
        member.packed = packed
        member.buffer = bytearray(rest)
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ, member)
        self.take(member)
        return member

    def part(self, member):
        """Ends a connection in the middle of whatever is on its way."""
        if member.reading and not member.closed:
            self.selector.unregister(member.sock)
        member.sock.close()
        member.reading = False
        member.buffer = bytearray()

    def pause(self, member):
        """Reads no more from this client."""
        member.reading = False
        self.selector.unregister(member.sock)

    def resume(self, member):
        member.reading = True
        self.selector.register(member.sock, selectors.EVENT_READ, member)

    def poll(self, seconds):
        """Reads what has come, for at most this long when nothing comes."""
        for key, _ in self.selector.select(seconds):
            member = key.data
            try:
                data = member.sock.recv(262_144)
                # What is decrypted already shows in no descriptor.
                while data and self.tls and member.sock.pending():
                    data += member.sock.recv(262_144)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except ConnectionError as error:
                data, member.closed = b"", str(error)
            if not data:
                member.closed = member.closed or "end of stream"
                self.selector.unregister(member.sock)
                continue
            member.buffer += data
            self.take(member)

    def take(self, member):
        if member.stream:
            self.take_blocks(member)
            return
        start = 0
        buffer = member.buffer
        while True:
            frame = take_frame(buffer, start)
            if frame is None:
                break
            opcode, fin, rsv, payload, start = frame
            assert fin and rsv == 0
            if opcode == (BINARY if member.packed else TEXT):
                self.enter(member, payload)
            elif opcode == PING:
                member.sock.setblocking(True)
                member.sock.sendall(encode(PONG, payload))
                member.sock.setblocking(False)
            elif opcode == CLOSE:
                member.closed = payload
            else:
                assert opcode == PONG, opcode
        if start:
            del buffer[:start]

    def say(self, member, message):
        member.sock.setblocking(True)
        member.sock.sendall(encode(BINARY, pack(message)) if member.packed else encode(TEXT, json.dumps(message)))
        member.sock.setblocking(False)

    def enter(self, member, payload):
        number = self.texts.get(payload)
        if number is None:
            number = self.learn(payload, unpack if member.packed else json.loads)
        if number is None:
            message = (unpack if member.packed else json.loads)(payload)
            member.others.append((len(member.numbers), message))
            data = message.get("data", {})
            member.position = data.get("position") or data.get("resume") or member.position
        else:
            member.numbers.append(number)
            member.position = self.events[number]["id"]
            self.delivered += 1

    def take_blocks(self, member):
        """The same texts as over WebSocket; the place to come back to is what a browser would have noted."""
        for kind, text, identity in member.stream.feed(bytes(member.buffer)):
            if kind == "close":
                member.closed = text
                continue
            before = len(member.numbers)
            self.enter(member, text.encode())
            assert len(member.numbers) == before or identity == member.position, (identity, text)
        member.buffer = bytearray()
        member.position = member.stream.last_id or member.position

    def learn(self, payload, read):
        """A text seen for the first time: an event that was published, said rightly, or something else."""
        message = read(payload)
        number = message.get("data", {}).get("n") if isinstance(message.get("data"), dict) else None
        if number is None or "id" not in message:
            return None
        present = self.events.setdefault(number, message)
        # One text in JSON, and one in MessagePack. Compared as texts, so that 1 and 1.0 are not the same.
        assert json.dumps(message) == json.dumps(present), f"event {number} is told in two ways: {message!r} and {present!r}"
        assert (read, number) not in self.known, f"event {number} has two texts: {payload!r}"
        self.known.add((read, number))
        self.texts[payload] = number
        self.arrivals.setdefault(number, time.monotonic())
        return number

    def read_until(self, done, what, patience=None):
        end = time.monotonic() + (patience or PATIENCE * 4)
        while not done():
            self.poll(0.05)
            assert time.monotonic() < end, f"did not happen: {what() if callable(what) else what}"

    def leave(self):
        for member in self.members:
            member.sock.close()
        self.selector.close()
