"""Clients that all come at once, in a process of their own: what measures beside them is not held up by them.

Run as a program: reads what to do as one line of JSON, and says as lines of JSON what became of it."""

import json
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from .daemon import PATIENCE, die_with_parent
from .ws import CLOSE, PING, PONG, TEXT, encode, take_frame


class Storm:
    """Begins at once. `requests`: for each client, the bytes that it sends when it is connected, as Latin-1; one that says who it is by
    a message is in when that is acknowledged."""

    def __init__(self, port, requests):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.storm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
            preexec_fn=die_with_parent)
        self.statuses, self.seconds, self.counts = [], [], None
        self.process.stdin.write(json.dumps({"port": port, "requests": requests}) + "\n")
        self.process.stdin.flush()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "status" in said:
                self.statuses.append(said["status"])
                self.seconds.append(said["seconds"])
            else:
                self.counts = said

    def finish(self, events):
        """Waits until each client that is in has so many events, or for PATIENCE; gives back how many each has, and what else came."""
        self.process.stdin.write(json.dumps({"events": events}) + "\n")
        self.process.stdin.flush()
        self.process.wait(PATIENCE * 4)
        self.reader.join(PATIENCE)
        return self.counts

    def end(self):
        self.process.kill()
        self.process.wait()


def run(order):
    selector = selectors.DefaultSelector()
    begun = time.monotonic()
    clients = []
    for request in order["requests"]:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            sock.connect(("127.0.0.1", order["port"]))
        except BlockingIOError:
            pass
        client = {"sock": sock, "request": request.encode("latin-1"), "buffer": bytearray(), "events": 0, "in": False,
                  "speaks": False, "waits": "auth=message" in request, "others": []}
        clients.append(client)
        selector.register(sock, selectors.EVENT_WRITE, client)
    wanted = threading.Event()
    goal = []
    threading.Thread(target=lambda: (goal.append(json.loads(sys.stdin.readline())["events"]), wanted.set()), daemon=True).start()
    deadline = None
    while True:
        if wanted.is_set():
            deadline = deadline or time.monotonic() + PATIENCE
            if time.monotonic() > deadline or all(client["events"] >= goal[0] for client in clients if client["in"]):
                break
        for key, events in selector.select(0.1):
            step(selector, key.data, begun)
    print(json.dumps({"events": [client["events"] for client in clients if client["in"]],
                      "others": [text for client in clients for text in client["others"]][:20]}), flush=True)


def step(selector, client, begun):
    sock, buffer = client["sock"], client["buffer"]
    if client["request"]:
        sent = sock.send(client["request"])
        client["request"] = client["request"][sent:]
        if not client["request"]:
            selector.modify(sock, selectors.EVENT_READ, client)
        return
    try:
        data = sock.recv(65536)
    except ConnectionError as error:
        client["others"].append(str(error))
        data = b""
    if not data:
        client["others"].append("the end")
        client["in"] = False
        selector.unregister(sock)
        return
    buffer += data
    if not client["speaks"]:
        head, found, rest = bytes(buffer).partition(b"\r\n\r\n")
        if not found:
            return
        status = int(head.split()[1])
        if status != 101 or not client["waits"]:
            print(json.dumps({"status": status, "seconds": time.monotonic() - begun}), flush=True)
        if status != 101:
            selector.unregister(sock)
            sock.close()
            return
        client["speaks"], client["in"] = True, not client["waits"]
        buffer[:] = rest
    start = 0
    while frame := take_frame(buffer, start):
        opcode, _, _, payload, start = frame
        if client["waits"] and payload.startswith(b'{"type":"ack"'):
            client["in"], client["waits"] = True, False
            print(json.dumps({"status": 101, "seconds": time.monotonic() - begun}), flush=True)
        elif opcode == TEXT and b'"n":' in payload:
            client["events"] += 1
        elif opcode == PING:
            sock.setblocking(True)
            sock.sendall(encode(PONG, payload))
            sock.setblocking(False)
        elif opcode in (TEXT, CLOSE):
            client["others"].append(repr(payload[:100]))
    del buffer[:start]


if __name__ == "__main__":
    run(json.loads(sys.stdin.readline()))
