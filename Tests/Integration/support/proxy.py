"""TCP proxies that end connections when they are told to."""

import socket
import threading

from .scripted import frame
from .ws import CLOSE, close_payload


class Cutter:
    """Use as a context manager. Passes bytes on to a port of this machine."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self._open = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()
        self.cut()

    def cut(self):
        """Ends what is open, in both directions, in the middle of whatever is under way."""
        with self._lock:
            ended, self._open = self._open, []
        for sock in ended:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            with self._lock:
                self.connections += 1
                self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(one, other):
        try:
            while part := one.recv(4096):
                other.sendall(part)
        except OSError:
            pass
        for sock in (one, other):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Closer(Cutter):
    """Puts a close frame of its own between those of the server, as proxies do that are loaded anew, and as the server itself would."""

    def __init__(self, port):
        super().__init__(port)
        self._websockets = []
        self._closed = []

    def close(self, code, reason):
        """Ends each WebSocket that is open, as far as the client can see."""
        with self._lock:
            ended, self._websockets = self._websockets, []
            self._closed += ended
            for sock in ended:
                sock.sendall(frame(CLOSE, close_payload(code, reason)))
        return len(ended)

    def _pass(self, one, other):
        try:
            # What comes in one piece are whole frames, as long as they are small.
            while part := one.recv(65536):
                with self._lock:
                    if other in self._closed:
                        # Nothing comes behind a close frame, also not the server's own.
                        continue
                    other.sendall(part)
                    if part.startswith(b"HTTP/1.1 101 "):
                        self._websockets.append(other)
        except OSError:
            pass
        with self._lock:
            if other in self._websockets:
                self._websockets.remove(other)
        for sock in (one, other):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
