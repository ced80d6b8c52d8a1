"""The test plays systemd: it takes notifications and descriptors, and hands descriptors to the next process."""

import array
import fcntl
import os
import select
import socket
import threading
import time

from .daemon import Daemon, wait_until


class Manager:
    """A service manager for one unit: `$NOTIFY_SOCKET`, a store of descriptors, sockets of a socket unit.

    Like systemd it keeps its copies of stored sockets over restarts, and passes all of them to each new process."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        self.store = []     # (name, descriptor)
        self.units = []     # (name, socket)
        self.messages = []
        self.slowness = 0   # seconds until a removed descriptor is closed
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._stopping = True
        self._thread.join()
        for _, number in self.store:
            os.close(number)
        for _, unit in self.units:
            unit.close()
        self.socket.close()

    def _serve(self):
        # select(2) knows no descriptor above 1023, and a test may have a thousand clients.
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while not self._stopping:
            if not poll.poll(50):
                continue
            data, ancillary, _, _ = self.socket.recvmsg(65536, 4096)
            numbers = array.array("i")
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers.frombytes(content[:len(content) - len(content) % numbers.itemsize])
            fields = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            with self._lock:
                self.messages.append(fields)
                if fields.get("FDSTOREREMOVE") == "1":
                    time.sleep(self.slowness)
                    for _, number in [entry for entry in self.store if entry[0] == fields["FDNAME"]]:
                        os.close(number)
                    self.store = [entry for entry in self.store if entry[0] != fields["FDNAME"]]
                for number in numbers:
                    if fields.get("FDSTORE") == "1" and not self._has(number):
                        self.store.append((fields.get("FDNAME", "stored"), number))
                    else:
                        os.close(number)

    def _has(self, number):
        def inode(one):
            return os.fstat(one).st_ino
        return any(inode(kept) == inode(number) for _, kept in self.store)

    # What a test asks

    def names(self):
        with self._lock:
            return sorted(name for name, _ in self.store)

    def wait_for_names(self, *names):
        wait_until(lambda: self.names() == sorted(names), lambda: f"the store holds {self.names()}, wanted are {sorted(names)}")

    def said(self, key):
        with self._lock:
            return [fields[key] for fields in self.messages if key in fields]

    def inodes(self):
        with self._lock:
            return {name: os.fstat(number).st_ino for name, number in self.store}

    def put(self, name, number):
        """As if a former process had stored it."""
        with self._lock:
            self.store.append((name, os.dup(number)))

    def listen(self, address, name="goleapai-ws.socket"):
        """A socket of a socket unit."""
        unit = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        unit.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        unit.bind(address)
        unit.listen(4096)
        self.units.append((name, unit))
        return unit.getsockname()[1]

    def handed(self):
        """What the next process is given: (name, descriptor)."""
        with self._lock:
            return [(name, unit.fileno()) for name, unit in self.units] + list(self.store)


class Managed(Daemon):
    """A daemon that a manager starts: with its sockets as descriptors 3 and up, and their names."""

    def __init__(self, manager, binary, directory, settings=None, environment=None, **options):
        handed = manager.handed()
        variables = {"NOTIFY_SOCKET": manager.path}
        if handed:
            variables["LISTEN_FDS"] = str(len(handed))
            variables["LISTEN_FDNAMES"] = ":".join(name for name, _ in handed)
        super().__init__(binary, directory, settings, environment={**variables, **(environment or {})}, **options)
        # High numbers, so that none of them is a target; the child's copies are ours no more once it has started.
        self.passed = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 200) for _, number in handed]

    def command(self):
        if not self.passed:
            return super().command()
        # What systemd does between fork and exec: descriptors from 3 on, and the child's own pid in the environment.
        moves = " ".join(f"{3 + position}<&{number}-" for position, number in enumerate(self.passed))
        return ["/bin/bash", "-c", f'LISTEN_PID=$$ exec "$@" {moves}', "bash", *super().command()]

    def _started(self):
        for number in self.passed:
            os.close(number)
        self.passed = ()
