"""The daemon dies or stops under a program of the client library and under `tail`, and is back some time later: both go on without a hole that
is not told, and without a double. And the verdict of each close code."""

import json
import signal
import time
from collections import Counter

import pytest
from support.close_codes import CODES, RETURNS, STOPS, UNKNOWN
from support.daemon import wait_until
from support.http import publish_many, request
from support.scripted import Scripted
from support.tls import free_port
from test_tail import Tail

AWAY = 60
"""How much patience with a client that backs off: its longest wait is 20 s."""


def log(number):
    return ("logs", "log", {"level": "info", "message": f"event {number}", "n": number})


def subscriptions(daemon):
    return request(daemon.port, "GET", "/admin/ws/stats").json["subscriptions"]["logs"]


class LibraryFollower:
    def __init__(self, probe, address):
        self.probe = probe
        probe.tell("open", "one", address, "logs")

    def messages(self):
        return [json.loads(line) for line in self.probe.lines("one") if line.startswith("{")]

    def times_connected(self):
        return self.probe.lines("one").count("connected")


class SharedFollower(LibraryFollower):
    """One of two on a connection of a pool."""

    def __init__(self, probe, address):
        self.probe = probe
        probe.tell("pool", "p", address, 1)
        probe.tell("share", "one", "p", "logs")
        probe.tell("share", "other", "p", "logs,requests", "level=error")


class TailFollower:
    def __init__(self, tail, address):
        self.tail = tail("--url", address, "--json")

    def messages(self):
        return self.tail.messages()

    def times_connected(self):
        return 1 + sum("connected again" in line for line in self.tail.complaints)


@pytest.fixture
def tail(binary):
    running = []

    def run(*arguments):
        running.append(Tail(binary, *arguments))
        return running[-1]

    yield run
    for one in running:
        one.__exit__(None, None, None)


@pytest.fixture(params=[pytest.param("library", marks=pytest.mark.release), pytest.param("shared", marks=pytest.mark.release), "tail"])
def follow(request):
    """Only what is wanted is made: the library's program needs a release build."""
    if request.param == "tail":
        tail = request.getfixturevalue("tail")
        return lambda address: TailFollower(tail, address)
    probe = request.getfixturevalue("probe")
    return lambda address: (LibraryFollower if request.param == "library" else SharedFollower)(probe, address)


def goes_on(start, follow, number, seconds):
    port = free_port()
    settings = {"server": {"port": port}}
    first = start(settings)
    one = follow(f"ws://127.0.0.1:{port}")
    wait_until(lambda: subscriptions(first), "a subscription")
    # Some time ago, and at the very last moment: a killed daemon does not get to hand over all of these.
    publish_many(port, [log(n) for n in range(1, 401)])
    wait_until(lambda: len(one.messages()) >= 400, lambda: one.messages()[-3:])
    last = publish_many(port, [log(n) for n in range(401, 501)])["last_id"]
    if number == signal.SIGTERM:
        first.stop()
    else:
        first.kill(number)
        first.wait_exit()
        first.stop(expect_clean=False)
    time.sleep(seconds)
    second = start(settings)
    epoch = publish_many(port, [log(n) for n in range(501, 601)])["last_id"].rpartition("-")[0]
    wait_until(lambda: any(m["data"].get("n") == 600 for m in one.messages()), lambda: one.messages()[-3:], AWAY)
    publish_many(port, [log(601)])
    wait_until(lambda: any(m["data"].get("n") == 601 for m in one.messages()), lambda: one.messages()[-3:])
    messages = [m for m in one.messages() if m["type"] in ("log", "gap")]
    gaps = [m["data"] for m in messages if m["type"] == "gap"]
    assert len(gaps) == 1 and gaps[0]["reason"] == "restarted" and "logs" in gaps[0]["channels"], gaps
    # What is told to be missing begins where what has come ends, and nothing before it is missing.
    before_epoch, _, settled = gaps[0]["after"].rpartition("-")
    old = [m["data"]["n"] for m in messages if m["type"] == "log" and m["id"].startswith(before_epoch + "-")]
    assert old == list(range(1, int(settled) + 1)) and last.rpartition("-")[0] == before_epoch
    assert settled == "500" if number == signal.SIGTERM else int(settled) >= 400
    # Of the new one everything is there, whenever it was published.
    new = [m["data"]["n"] for m in messages if m["type"] == "log" and m["id"].startswith(epoch + "-")]
    assert new == list(range(501, 602)) and len(old) + len(new) + 1 == len(messages)
    assert messages.index(next(m for m in messages if m["type"] == "gap")) == len(old) and one.times_connected() == 2
    second.stop()


SIGNALS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])


@SIGNALS
def test_goes_on_when_the_daemon_is_back(start, follow, number):
    goes_on(start, follow, number, 1)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [5, 40])
@SIGNALS
def test_goes_on_when_the_daemon_is_back_late(start, follow, number, seconds):
    goes_on(start, follow, number, seconds)


# Many at once


def arrivals(daemon, count, probe):
    """When each of them came, by the daemon, in milliseconds."""
    wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["total_clients"] >= count, lambda: probe.lines("crowd"), 4 * AWAY, 0.5)
    since = [client["since"] for client in request(daemon.port, "GET", "/admin/ws/clients").json["clients"]]
    assert len(since) == count
    return [int(text[11:13]) * 3_600_000 + int(text[14:16]) * 60_000 + int(text[17:19]) * 1000 + int(text[20:23]) for text in since]


def histogram(times):
    """Arrivals by tenths of a second since the first, in words, and the largest count."""
    first = min(times)
    counts = Counter((time - first) // 100 for time in times)
    rows = [f"{second:3} s: " + " ".join(f"{counts[10 * second + tenth]:3}" for tenth in range(10)) for second in range(max(counts) // 10 + 1)]
    return "\n".join(rows), max(counts.values())


@pytest.mark.release
@pytest.mark.long
@pytest.mark.parametrize("seconds", [1, 10])
@SIGNALS
def test_a_thousand_clients_do_not_come_back_at_once(start, probe, fact, number, seconds):
    count, port = 1000, free_port()
    settings = {"server": {"port": port}, "websocket": {"max_clients": count + 100}}
    first = start(settings)
    before = probe.threads, probe.descriptors, probe.memory
    probe.tell("crowd", "crowd", f"ws://127.0.0.1:{port}", count)
    times = arrivals(first, count, probe)
    each = [(now - then) / count for now, then in zip((probe.threads, probe.descriptors, probe.memory), before)]
    fact(f"a client that is connected: {each[0]:.2f} threads, {each[1]:.2f} descriptors, {each[2] / 1024:.1f} KiB of memory")
    if number == signal.SIGTERM:
        first.stop()
    else:
        first.kill(number)
        first.wait_exit()
        first.stop(expect_clean=False)
    time.sleep(seconds)
    second = start(settings)
    times = arrivals(second, count, probe)
    shown, largest = histogram(times)
    print(shown)
    fact(f"{count} clients after {number.name}, back after {seconds} s: all within {(max(times) - min(times)) / 1000:.1f} s; "
         f"the largest 100 ms have {largest / count:.1%}\n{shown}")
    # Without jitter all of them are in one or two.
    assert largest <= count / 4
    assert probe.ask("connected", "crowd") == [2 * count]
    second.stop()


# The verdicts

def test_every_code_has_a_verdict_here():
    assert sorted(STOPS + RETURNS) == CODES and len(CODES) == 14


def closing(code):
    def script(peer):
        peer.upgrade()
        peer.log(1)
        if code == 1001:
            peer.send({"type": "drain", "timestamp": "2026-02-05T10:30:00.000Z", "data": {"reconnect_in_ms": 20}})
        peer.close(code, "as said")
    return script


def back(peer):
    assert peer.upgrade(position="e-9")["since"] == "e-1"
    peer.log(1)
    peer.log(2)
    peer.close(4505)


def numbers(lines):
    return [json.loads(line)["data"]["message"] for line in lines if line.startswith("{")]


@pytest.mark.release
@pytest.mark.parametrize("how", ["open", "share"])
def test_codes_that_end_the_library(probe, how):
    for code in STOPS:
        with Scripted(closing(code)) as server:
            name = follow_one(probe, how, server, code)
            assert probe.wait_for(name, "stopped") == f"stopped: the server has closed the connection: {code} as said"
            assert server.connections == 1 and numbers(probe.lines(name)) == ["event 1"]


@pytest.mark.release
@pytest.mark.parametrize("how", ["open", "share"])
def test_codes_after_which_the_library_comes_back(probe, how):
    for code in RETURNS + UNKNOWN:
        with Scripted(closing(code), back) as server:
            name = follow_one(probe, how, server, code)
            probe.wait_for(name, "stopped")
            assert server.connections == 2 and numbers(probe.lines(name)) == ["event 1", "event 2"]
            # Told when to come back, it has not failed.
            assert f"waiting {int(code != 1001)}: the server has closed the connection: {code} as said" in probe.lines(name)


def follow_one(probe, how, server, code):
    name = f"of-{code}"
    if how == "open":
        probe.tell("open", name, server.url, "logs")
    else:
        probe.tell("pool", f"p{code}", server.url, 1)
        probe.tell("share", name, f"p{code}", "logs")
    return name
