"""HTTP/1.1 by hand: requests are bytes, and answers are read strictly."""

import json
import re
import socket
import time

from .daemon import PATIENCE


class Response:
    def __init__(self, version, status, reason, fields, body):
        self.version, self.status, self.reason, self.fields, self.body = version, status, reason, fields, body

    def header(self, name):
        found = [value for key, value in self.fields if key.lower() == name.lower()]
        return found[0] if found else None

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


class NoResponse(Exception):
    """The connection ended without an answer."""


def read_response(sock, buffer, method="GET"):
    """One response from the socket; `buffer` keeps what came behind it. Fails on anything that is not clean HTTP/1.1."""

    def more():
        try:
            data = sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            raise NoResponse(f"the connection ended after {bytes(buffer[:200])!r}")
        buffer.extend(data)

    while b"\r\n\r\n" not in buffer:
        more()
    end = buffer.index(b"\r\n\r\n")
    head = bytes(buffer[:end]).decode("latin-1")
    del buffer[: end + 4]
    lines = head.split("\r\n")
    match = re.fullmatch(r"(HTTP/1\.[01]) (\d{3}) ([ -~]*)", lines[0])
    assert match, f"status line {lines[0]!r}"
    fields = []
    for line in lines[1:]:
        found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)", line)
        assert found, f"header line {line!r}"
        fields.append((found.group(1), found.group(2)))
    status = int(match.group(2))
    response = Response(match.group(1), status, match.group(3), fields, b"")
    lengths = [value for key, value in fields if key.lower() == "content-length"]
    assert len(lengths) <= 1, f"several lengths: {lengths}"
    if status == 101 or status in (204, 304) or status < 200 or method == "HEAD":
        return response
    assert lengths, f"an answer without Content-Length: {head!r}"
    length = int(lengths[0])
    while len(buffer) < length:
        more()
    response.body = bytes(buffer[:length])
    del buffer[:length]
    return response


class Connection:
    """A TCP connection to the daemon for requests of any shape."""

    def __init__(self, port, address="127.0.0.1", source=None, tls=None):
        self.sock = socket.create_connection((address, port), timeout=PATIENCE, source_address=source and (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=address)
        self.port = port
        self.address = address
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """Sends what the peer still takes; a connection that it ended is no error of the sender."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def receive(self, method="GET"):
        return read_response(self.sock, self.buffer, method)

    def request(self, method, path, headers=(), body=None):
        self.send(request_bytes(self.port, method, path, headers, body))
        return self.receive(method)

    def responses_until_end(self):
        """All answers up to the end of the stream, which must come."""
        found = []
        while True:
            try:
                found.append(self.receive())
            except NoResponse:
                assert not self.buffer, f"half an answer: {bytes(self.buffer)!r}"
                return found


def request_bytes(port, method, path, headers=(), body=None, host=None):
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {host or f'127.0.0.1:{port}'}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def request(port, method, path, headers=(), body=None, address="127.0.0.1", source=None, tls=None):
    """One request on a connection of its own."""
    with Connection(port, address, source, tls) as connection:
        host = [] if any(n.lower() == "host" for n, _ in headers) else [
            ("Host", f"[{address}]:{port}" if ":" in address else f"{address}:{port}")]
        return connection.request(method, path, host + list(headers), body)


def get(port, path, headers=(), tls=None):
    return request(port, "GET", path, headers, tls=tls)


def publish(port, channel, kind, data, headers=(), expect=200):
    """Broadcasts one event; gives back the answer's JSON."""
    body = json.dumps({"channel": channel, "type": kind, "data": data}, ensure_ascii=False).encode()
    answer = request(port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json"), *headers], body)
    assert answer.status == expect, answer
    return answer.json


def publish_many(port, events, headers=(), expect=200, patient=False):
    """Broadcasts (channel, type, data) events in one request, as NDJSON. `patient`: again while the rate is exceeded."""
    body = b"".join(
        json.dumps({"channel": c, "type": t, "data": d}, ensure_ascii=False).encode() + b"\n" for c, t, d in events)
    while True:
        answer = request(
            port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/x-ndjson"), *headers], body)
        if answer.status != 429 or not patient:
            break
        time.sleep(0.1)
    assert answer.status == expect, answer
    return answer.json
