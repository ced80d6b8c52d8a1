"""A client of Server-Sent Events: reads the stream line by line as the specification tells browsers to, and the answer before it strictly."""

import json
import re
import socket
import time
import zlib

from .daemon import PATIENCE
from .ws import MARKER, Refused


class Ended(Exception):
    """The server ended the stream."""


class Parser:
    """HTML, "Interpreting an event stream"."""

    def __init__(self):
        self.rest = b""
        self.type, self.data, self.id_buffer = "", [], ""
        self.first_id, self.last_id, self.retry, self.comments, self.blocks = None, "", None, [], 0

    def feed(self, data):
        """The events that are over with these bytes: (type, data, last event id)."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        events = []
        for line in lines:
            # The daemon ends lines with LF; a CR would be another line to a browser.
            assert b"\r" not in line, line
            line = line.decode("utf-8", "strict")
            if line:
                self.enter(line)
                continue
            self.blocks += 1
            self.last_id = self.id_buffer
            if self.first_id is None:
                self.first_id = self.last_id
            if self.data:
                events.append((self.type or "message", "\n".join(self.data), self.last_id))
            self.type, self.data = "", []
        return events

    def enter(self, line):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            self.comments.append(value)
        elif name == "event":
            self.type = value
        elif name == "data":
            self.data.append(value)
        elif name == "id":
            assert "\0" not in value
            self.id_buffer = value
        elif name == "retry":
            assert re.fullmatch(r"\d+", value), value
            self.retry = int(value)
        else:
            raise AssertionError(f"a field that is none: {line!r}")


class EventStream:
    """A blocking client. `last_id` is what a browser would come back with."""

    def __init__(self, port, path="/sse/logs", headers=(), receive_buffer=None, address="127.0.0.1", tls=None, version="1.1", send_after=b""):
        self.port, self.path = port, path
        self.parser, self.events, self.close = Parser(), [], None
        self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((address, port))
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=address)
        lines = [f"GET {path} HTTP/{version}", f"Host: {address}:{port}", "Accept: text/event-stream", *(f"{name}: {value}" for name, value in headers)]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + send_after)
        buffer = bytearray()
        try:
            self.response = self._head(buffer)
            # Of one member without an end; everything that has come can be read.
            self._gzip = zlib.decompressobj(31) if self.response.header("Content-Encoding") == "gzip" else None
            self.wire_bytes = 0
            # The first block comes with the answer: until then it is not subscribed.
            self._take(bytes(buffer))
            while not self.parser.blocks:
                self._more()
        except BaseException:
            self.sock.close()
            raise

    def _head(self, buffer):
        from .http import read_response

        seen = bytearray()
        while b"\r\n\r\n" not in seen:
            data = self.sock.recv(65536)
            assert data, f"the connection ended after {bytes(seen)!r}"
            seen += data
        if not seen.startswith(b"HTTP/1.1 200 "):
            raise Refused(read_response(self.sock, seen))
        response = read_response(self.sock, seen, "HEAD")
        assert response.header("Content-Type") == "text/event-stream", response
        assert response.header("Content-Length") is None and response.header("Transfer-Encoding") is None, response
        assert response.header("Connection") == "close", response
        buffer += seen
        return response

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    @property
    def last_id(self):
        return self.parser.last_id

    def _take(self, data):
        self.wire_bytes += len(data)
        if self._gzip:
            data = self._gzip.decompress(data)
            assert not self._gzip.eof and not self._gzip.unused_data
        for kind, text, identity in self.parser.feed(data):
            assert self.close is None, f"{kind} behind the last words"
            message = json.loads(text)
            if kind == "close" and "type" not in message:
                self.close = (message["code"], message["reason"])
            else:
                assert message["type"] == kind, (kind, message)
                assert message.get("id", identity) == identity, (identity, message)
                if kind != MARKER:
                    self.events.append((text.encode(), message))

    def _more(self, patience=None):
        self.sock.settimeout(PATIENCE if patience is None else max(0.001, patience))
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Ended(str(error)) from None
        except TimeoutError:
            raise AssertionError(f"nothing came on {self.path}; the rest is {self.parser.rest[:80]!r}") from None
        if not data:
            assert self.parser.rest == b"", f"the stream ended in {self.parser.rest[:80]!r}"
            raise Ended(f"closed: {self.close}")
        self._take(data)

    def receive_text(self, patience=None):
        """The bytes of the next message."""
        end = time.monotonic() + (PATIENCE if patience is None else patience)
        while not self.events:
            self._more(end - time.monotonic())
        return self.events.pop(0)[0]

    def receive(self, patience=None):
        return json.loads(self.receive_text(patience))

    def receive_until(self, kind, patience=None):
        """Messages up to and with the next of this type."""
        messages = []
        while True:
            messages.append(self.receive(patience))
            if messages[-1]["type"] == kind:
                return messages

    def receive_end(self):
        """What is left of the stream: (messages, the code of its last words or None)."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except Ended:
            return messages, self.close and self.close[0]

    def wait_for(self, condition):
        """Reads on until this holds of what has come."""
        while not condition(self):
            self._more()

    def settle(self):
        """Everything sent before now, as messages. An event of its own kind is published to all; when it is here, so is the rest."""
        from .http import publish_many

        last = publish_many(self.port, [("all", MARKER, {})], patient=True)["last_id"]
        self.wait_for(lambda self: self.last_id == last)
        found, self.events = [message for _, message in self.events], []
        return found
