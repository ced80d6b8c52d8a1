"""What measurements are made of: servers pinned to their cores, the load generator on another, and runs of it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Integration"))

from support.daemon import Literal, die_with_parent, merge, yaml_text  # noqa: E402

PATIENCE = 30

SETTINGS = {
    "server": {"host": ["127.0.0.1"]},
    "websocket": {"max_clients": 19_900},
    "sources": {name: {"enabled": False} for name in ("stats", "requests", "providers", "journal")},
    "broadcast": {"events_per_second": 10_000_000, "burst": 10_000_000},
    "log": {"level": "warn"},
}
"""As shipped, but for what would stand in the way: sources off, limits of numbers raised."""

ENVELOPE = 45
"""Bytes that the daemon puts around an event beyond those it was published in; the floor puts as many blanks before it."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process on some cores, until the end of the `with`."""

    def __init__(self, words, port, cores, log):
        self.port = port
        self.log = open(log, "w+")

        def pinned():
            die_with_parent()
            os.sched_setaffinity(0, cores)

        self.process = subprocess.Popen([str(word) for word in words], stdout=self.log, stderr=subprocess.STDOUT, preexec_fn=pinned)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{words} does not serve:\n{self.said()}") from None
                time.sleep(0.01)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Lab:
    """Servers and runs. `seconds` is how long one run measures."""

    def __init__(self, directory, seconds, binary, floor):
        self.directory = Path(directory)
        self.seconds = seconds
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("needs two cores: one for the server, one for the load generator")
        self.server_cores, self.generator_cores = {cores[0]}, {cores[1]}
        self.two_cores = set(cores[:1] + cores[2:3]) if len(cores) > 2 else set(cores)
        self.binary = Path(binary)
        self.floor_binary = Path(floor)
        self.number = 0
        self.round = 0

    def daemon(self, settings=None, cores=None, port=None):
        self.number += 1
        port = port or free_port()
        config = self.directory / f"config{self.number}.yaml"
        config.write_text(yaml_text(merge(merge(SETTINGS, {"server": {"port": port}}), settings or {})) + "\n")
        return Server([self.binary, "serve", "--config", config], port, cores or self.server_cores, self.directory / f"log{self.number}")

    def floor(self, mode):
        self.number += 1
        port = free_port()
        return Server([self.floor_binary, mode, port, ENVELOPE], port, self.server_cores, self.directory / f"log{self.number}")

    def bench(self, server, url=None, **options):
        """One run, as its JSON object; what the run says is wrong ends everything."""
        if not any(name in options for name in ("duration", "events")):
            options["duration"] = f"{self.seconds}s"
        words = []
        for name, value in options.items():
            words += [f"--{name}"] if value is True else [f"--{name}={value}"]
        done = subprocess.run([str(self.binary), "bench", "--json", "--url", url or server.url, "--pid", str(server.process.pid), *words],
                              capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, self.generator_cores))
        if done.returncode != 0:
            raise Failure(f"bench {' '.join(words)}:\n{done.stderr}{server.said()[-2000:]}")
        found = json.loads(done.stdout)
        if found["generator"]["bottleneck"]:
            print(f"    the generator had no time left: {' '.join(words)}", file=sys.stderr)
        return found

    def system_calls(self, server, **options):
        """System calls of the server per delivery, in a run of its own; None where perf(1) may not count them."""
        if not shutil.which("perf"):
            return None
        words = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(server.process.pid)]
        counter = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        if counter.poll() is not None:
            return None
        try:
            found = self.bench(server, warmup="0", **options)
        finally:
            counter.send_signal(signal.SIGINT)
            told = counter.communicate()[1]
        calls = next((line.split(",")[0] for line in told.splitlines() if "sys_enter" in line), "")
        return int(calls) / found["deliveries"]["count"] if calls.isdigit() else None


class Failure(Exception):
    """A run that found a loss, or could not be made."""


__all__ = ["ENVELOPE", "Failure", "Lab", "Literal", "ROOT", "free_port"]
