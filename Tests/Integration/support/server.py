"""A server that is small enough to be wrong on purpose: it upgrades, takes events over POST, and sends each to every client."""

import base64
import hashlib
import re
import selectors
import socket
import struct
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def text_frame(payload):
    if len(payload) < 126:
        return b"\x81" + bytes([len(payload)]) + payload
    return b"\x81\x7e" + struct.pack("!H", len(payload)) + payload


class FanOut:
    """Use as a context manager. `change(frames, number)` gets a list with the frame of event `number` and gives back what is sent for it;
    a bytes object among them is sent as it stands, None ends the client's connection."""

    def __init__(self, change=None, refuse_upgrade=None, refuse_event=None):
        self.change = change or (lambda frames, number: frames)
        self.refuse_upgrade = refuse_upgrade
        self.refuse_event = refuse_event
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests = []
        self.number = 0
        self._clients = []
        self._buffers = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self._wake.send(b"x")
        self._thread.join()
        for sock in [*self._buffers, self.listener, self._wake, self._woken]:
            sock.close()
        self._selector.close()

    def _serve(self):
        while True:
            for key, _ in self._selector.select():
                sock = key.fileobj
                if sock is self._woken:
                    return
                if sock is self.listener:
                    peer, _ = sock.accept()
                    self._buffers[peer] = b""
                    self._selector.register(peer, selectors.EVENT_READ)
                    continue
                if sock not in self._buffers:
                    # Dropped in this very round, by what another one said.
                    continue
                try:
                    part = sock.recv(65536)
                except ConnectionError:
                    part = b""
                if not part:
                    self._drop(sock)
                elif sock not in self._clients:
                    self._buffers[sock] += part
                    self._requests(sock)

    def _drop(self, sock):
        if sock in self._buffers:
            self._selector.unregister(sock)
            del self._buffers[sock]
            if sock in self._clients:
                self._clients.remove(sock)
            sock.close()

    def _requests(self, sock):
        while sock in self._buffers and b"\r\n\r\n" in self._buffers[sock]:
            head, _, rest = self._buffers[sock].partition(b"\r\n\r\n")
            length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
            if len(rest) < length:
                return
            body, self._buffers[sock] = rest[:length], rest[length:]
            self.requests.append(head)
            if head.startswith(b"GET"):
                self._upgrade(sock, head)
            else:
                self._publish(sock, body)

    def _upgrade(self, sock, head):
        if self.refuse_upgrade:
            return sock.sendall(self.refuse_upgrade)
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)[1]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self._clients.append(sock)

    def _publish(self, sock, body):
        if self.refuse_event:
            return sock.sendall(self.refuse_event)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"success\":true}")
        for event in body.split(b"\n"):
            for client in list(self._clients):
                for frame in self.change([text_frame(event)], self.number):
                    if frame is None:
                        self._drop(client)
                        break
                    try:
                        client.sendall(frame)
                    except ConnectionError:
                        self._drop(client)
                        break
            self.number += 1
