"""The daemon under test: the built program in a private directory, on a port of its own choice."""

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

PATIENCE = float(os.environ.get("PATIENCE", "30"))
"""Seconds until something that must happen counts as not happening. Never the measure of a speed."""



def mebibytes(count):
    """An allowance of memory; larger for an instrumented daemon, whose allocator keeps back what was freed."""
    return int(count * 1024 * 1024 * float(os.environ.get("MEMORY_FACTOR", "1")))


LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child before its program starts: SIGKILL when this process ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    LIBC.prctl(1, signal.SIGKILL)


def wait_until(condition, what, patience=None, interval=0.02):
    """Polls `condition` until it is true and gives back its value; fails with `what` when patience is at its end."""
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            said = what() if callable(what) else what
            raise AssertionError(f"did not happen: {said}")
        time.sleep(interval)


def yaml_text(value, indent=0):
    """Plain mappings, lists and scalars as YAML; strings as JSON strings, which YAML takes."""
    lines = []
    for key, item in value.items():
        pad = "  " * indent
        if isinstance(item, dict):
            lines.append(f"{pad}{key}:")
            lines.append(yaml_text(item, indent + 1))
        elif isinstance(item, Literal):
            lines.append(f"{pad}{key}: {item}")
        else:
            lines.append(f"{pad}{key}: {json.dumps(item)}")
    return "\n".join(lines)


class Literal(str):
    """A scalar written into the YAML as it stands: `5s`."""


def merge(base, over):
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


QUIET = {
    "server": {"host": ["127.0.0.1"], "port": 0, "shards": 2},
    "sources": {
        "stats": {"enabled": False},
        "requests": {"enabled": False},
        "providers": {"enabled": False},
        "journal": {"enabled": False},
    },
    "limits": {"messages_per_second": 100000},
}
"""A daemon without sources: what clients see is what the test publishes."""


class Daemon:
    """One running `goleapai-ws serve`. Use as a context manager; it is told to stop by its process id and nothing else."""

    def __init__(self, binary, directory, settings=None, arguments=(), environment=None, with_config=True):
        self.binary = str(binary)
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.settings = settings or {}
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.with_config = with_config
        self.passed = ()
        self.limits = {}
        self.become = []    # a program that runs its arguments as somebody else
        self.process = None
        self.port = None
        self.tls_port = None    # the same as `port` where there is no plain one
        self._stopped = False
        self._has_timers = False
        self._lines = []
        self._output = []
        self._changed = threading.Condition()
        self._readers = []

    # Life

    def command(self):
        command = [self.binary, "serve"]
        if self.with_config:
            config = self.directory / "config.yaml"
            config.write_text(yaml_text(self.settings) + "\n")
            command += ["--config", str(config)]
        return command + self.arguments

    def start(self, wait=True):
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {
            key: value for key, value in os.environ.items()
            if not key.startswith(("GOLEAPAI_WS_", "NOTIFY_", "LISTEN_", "WATCHDOG_", "RUNTIME_DIRECTORY", "JOURNAL_STREAM"))
        }
        environment["TMPDIR"] = str(temporary)
        environment.update(self.environment)
        self.process = subprocess.Popen(
            [*self.become, *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd=self.directory, preexec_fn=self._become_child, pass_fds=self.passed)
        for stream, kept in ((self.process.stderr, self._lines), (self.process.stdout, self._output)):
            reader = threading.Thread(target=self._collect, args=(stream, kept), daemon=True)
            reader.start()
            self._readers.append(reader)
        self._started()
        if wait:
            self.wait_for_log("serves at most")
            ports = dict(re.findall(r"listening on (https?)://127\.0\.0\.1:(\d+)", "\n".join(self.log())))
            self.tls_port = int(ports["https"]) if "https" in ports else None
            self.port = int(ports["http"]) if "http" in ports else self.tls_port
        return self

    def _started(self):
        """The process is there; what was made for it alone can go."""

    def _become_child(self):
        die_with_parent()
        for which, limit in self.limits.items():
            resource.setrlimit(which, limit)

    def _collect(self, stream, kept):
        for raw in stream:
            with self._changed:
                kept.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, error, trace):
        try:
            self.stop(expect_clean=kind is None)
        finally:
            if kind is not None:
                print(f"--- log of the daemon (pid {self.pid}) ---")
                print("\n".join(self.log()[-60:]))

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process.poll() is None

    def stop(self, expect_clean=True):
        """SIGTERM, then SIGKILL for one that does not listen. A crash, or a second signal needed, fails the test."""
        if self.process is None or self._stopped:
            return
        self._stopped = True
        died = self.process.poll()
        if died is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                if expect_clean:
                    raise AssertionError("the daemon did not stop on SIGTERM:\n" + "\n".join(self.log()[-30:]))
        for reader in self._readers:
            reader.join(5)
        if expect_clean:
            assert died is None and self.process.returncode == 0, (
                f"exit status {self.process.returncode}{' before the end of the test' if died is not None else ''}:\n"
                + "\n".join(self.log()[-60:]))

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def wait_exit(self):
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(5)
        return status

    # What it says

    def log(self):
        """What has come so far. The daemon logs by a thread of its own: an entry about what was just done may be missing, `wait_for_log` waits for it."""
        with self._changed:
            return list(self._lines)

    def output(self):
        with self._changed:
            return list(self._output)

    def wait_for_log(self, pattern):
        """The first match in the log, present or to come."""
        compiled = re.compile(pattern)
        end = time.monotonic() + PATIENCE
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    seen += 1
                    found = compiled.search(line)
                    if found:
                        return found
                finished = self.process.poll() is not None and not any(r.is_alive() for r in self._readers)
                if finished or time.monotonic() > end:
                    raise AssertionError(
                        f"no line like {pattern!r} in the log (exit status {self.process.poll()}):\n"
                        + "\n".join(self._lines[-40:]))
                self._changed.wait(0.2)

    # What the kernel says of it

    def status_field(self, name):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))

    @property
    def rss(self):
        """Resident anonymous memory in bytes."""
        return self.status_field("RssAnon") * 1024

    @property
    def threads(self):
        return self.status_field("Threads")

    @property
    def descriptors(self):
        """How many it has, once it has all that it begins with: the timers' own comes last, by a thread that nobody waits for."""
        if not self._has_timers:
            wait_until(lambda: "anon_inode:[timerfd]" in self.open_files, lambda: f"no timer yet: {self.open_files}")
            self._has_timers = True
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def open_files(self):
        """What its descriptors are; not of those that are closed while this looks."""
        found = []
        for number in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{self.pid}/fd/{number}"))
        return found

    @property
    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
