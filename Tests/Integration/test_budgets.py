"""What a delivery and a client may cost, in counts that no clock and no busy machine changes."""

import functools
import re
import resource
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from support.daemon import Literal
from support.http import get, publish, publish_many
from support.sse import EventStream
from support.ws import WebSocket

pytestmark = pytest.mark.release

COUNTERS = ("allocations", "sends", "receipts", "waits")
EVENTS = 100
ROUNDS = 3
FEW, MANY = 20, 120
KINDS = {
    "ws": lambda port, target: WebSocket(port, f"/ws/{target}"), "sse": lambda port, target: EventStream(port, f"/sse/{target}"),
    "compressed": lambda port, target: WebSocket(port, f"/ws/{target}", deflate="permessage-deflate"),
}


class Counts:
    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8 * len(COUNTERS)))

    def __call__(self):
        return dict(zip(COUNTERS, struct.unpack(f"{len(COUNTERS)}Q", self.path.read_bytes())))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("count") / "count.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", made, Path(__file__).parent / "support" / "count.c", "-ldl"], check=True)
    return made


def spent(daemon, counts, clients, kind, query):
    """What publishing so many events, one after the other, has counted with so many clients, each of which got all of them."""
    crowd = [KINDS[kind](daemon.port, f"logs{query}") for _ in range(clients)]

    def round_of(first, number):
        before = counts()
        for at in range(first, first + number):
            publish(daemon.port, "logs", "log", {"n": at, "level": "info", "message": "x" * 150})
        # The only shard answers when everything is sent. To read it takes this process some time, in which the daemon's clocks go on.
        assert get(daemon.port, "/health").status == 200
        after = counts()
        for client in crowd:
            assert [client.receive()["data"]["n"] for _ in range(number)] == list(range(first, first + number))
        return {name: after[name] - before[name] for name in COUNTERS}

    # What is needed once for each client, and for segments, is made before.
    round_of(0, 20)
    rounds = [round_of(20 + number * EVENTS, EVENTS) for number in range(ROUNDS)]
    for client in crowd:
        client.sock.close()
    return functools.reduce(least, rounds)


def least(one, other):
    """Whoever disturbs only adds: a shard that does not get its core wakes more often."""
    return other if one is None else {name: min(one[name], other[name]) for name in COUNTERS}


def within(each, fixed):
    """What a delivery may cost; and besides, a request with one event, its connection, and its answer."""
    return each["sends"] <= 1.02 and each["allocations"] < 0.01 and each["receipts"] < 0.02 and each["waits"] < 0.05 and fixed["allocations"] < 250


@pytest.mark.parametrize("kind, query", [("ws", ""), ("ws", "?level=debug&q=xx"), ("sse", ""), ("compressed", "")],
                         ids=["no filter", "filtered", "streams", "compressed"])
def test_a_delivery_is_one_send_and_no_allocation(start, tmp_path, library, fact, kind, query):
    counts = Counts(tmp_path / "counts")
    # On a machine that is busy enough for it, pings would be counted with the events.
    daemon = start({"server": {"shards": 1}, "websocket": {"heartbeat_interval": Literal("1h"), "client_timeout": Literal("2h")},
                    "compression": {"threshold_bytes": 0}},
                   environment={"LD_PRELOAD": str(library), "COUNT_INTO": str(counts.path)})
    few, many, tries = None, None, 0
    while True:
        few, many = least(few, spent(daemon, counts, FEW, kind, query)), least(many, spent(daemon, counts, MANY, kind, query))
        each = {name: (many[name] - few[name]) / EVENTS / (MANY - FEW) for name in COUNTERS}
        fixed = {name: few[name] / EVENTS - each[name] * FEW for name in COUNTERS}
        tries += 1
        if within(each, fixed) or tries == 4:
            break
    fact("per delivery " + ", ".join(f"{value:.3f} {name}" for name, value in each.items()))
    fact("per event besides " + ", ".join(f"{value:.1f} {name}" for name, value in fixed.items()))
    # Counted at all: an event that waits for nothing goes out by itself.
    assert each["sends"] > 0.3 and within(each, fixed), (each, fixed)


def test_a_batch_over_several_segments_is_one_send(start, tmp_path, library):
    """Segments of 16 events: a hundred at once lie in seven of them. One write gives a client all, whatever its filters make of it."""
    counts = Counts(tmp_path / "counts")
    daemon = start({"server": {"shards": 1}, "history": {"max_events": 160}}, environment={"LD_PRELOAD": str(library), "COUNT_INTO": str(counts.path)})
    for query, passing in (("", range(100)), ("?level=error", range(0, 100, 10)), ("?q=first", range(1))):
        crowd = [WebSocket(daemon.port, f"/ws/logs{query}") for _ in range(20)]
        spent = []
        for _ in range(ROUNDS):
            before = counts()
            publish_many(daemon.port, [("logs", "log", {"n": n, "level": "info" if n % 10 else "error", "message": "other" if n else "first"}) for n in range(100)])
            assert get(daemon.port, "/health").status == 200
            after = counts()
            spent.append(after["sends"] - before["sends"])
            for client in crowd:
                assert [client.receive()["data"]["n"] for _ in passing] == list(passing)
        # Beside one for each client the two answers.
        assert min(spent) <= len(crowd) + 2, (query, spent)
        for client in crowd:
            client.sock.close()


FORBIDDEN = re.compile(r"swift_(retain|release|bridgeObject|beginAccess|alloc|getGeneric|getWitness|dynamicCast)|malloc|calloc|pthread_mutex|swift_slowAlloc|\*")
"""Calls that count references or check exclusive access, allocate, lock, or go through a table."""


def calls_of(binary, patterns):
    """The calls of the function whose mangled name matches, for each pattern."""
    calls, current = {}, None
    with subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", binary], stdout=subprocess.PIPE, text=True) as listing:
        for line in listing.stdout:
            if head := re.match(r"^[0-9a-f]+ <(.+)>:$", line):
                current = next((calls.setdefault(name, []) for name, pattern in patterns.items() if re.fullmatch(pattern, head[1])), None)
            elif current is not None and (call := re.search(r"\b(?:call\s+|jmp\s+\w+ <(?=\w+@plt))(.+)$", line)):
                current.append(call[1])
    return calls


def test_nothing_is_counted_checked_or_locked_on_the_way_to_send(binary, fact):
    """By what stands in the executable: what each delivery goes through, and what decides which events a group gets."""
    calls = calls_of(binary, {
        "drain": r"\$s6Fanout5ShardC5drainyys6UInt32VF", "write": r"\$s6Fanout5ShardC5write\w*6budget\w*F",
        "collect": r"\$s6Fanout5GroupC7collect\w*F", "hand": r"\$s6Fanout5ShardC4hand\w*F"})
    assert set(calls) == {"drain", "write", "collect", "hand"}, set(calls)
    bad = {name: [call for call in found if FORBIDDEN.search(call)] for name, found in calls.items()}
    assert not bad["drain"] and not bad["write"] and not bad["collect"], bad
    # Once per batch: the list of members, and the group of one who falls behind; memory for a ring where the pool has none.
    assert len(bad["hand"]) <= 7, bad["hand"]
    assert any("send" in call and "@plt" in call for call in calls["write"]), calls["write"]
    fact("calls " + ", ".join(f"{len(found)} in {name}" for name, found in calls.items()))


def private_bytes(daemon):
    text = Path(f"/proc/{daemon.pid}/smaps_rollup").read_text()
    return int(re.search(r"Private_Dirty:\s+(\d+) kB", text).group(1)) * 1024


@pytest.mark.parametrize("kind, status, more", [
    ("ws", 101, ""), ("sse", 200, ""), ("ws", 101, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"),
], ids=["ws", "sse", "compressed"])
def test_memory_of_an_idle_client(start, fact, kind, status, more):
    number = 3000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    daemon = start({"server": {"shards": 1}, "websocket": {"max_clients": 2 * number}})
    request = (f"GET /{kind}/logs?level=warn HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n{more}\r\n").encode()
    held = []

    def connect(count):
        for first in range(0, count, 100):
            block = [socket.create_connection(("127.0.0.1", daemon.port), 20) for _ in range(min(100, count - first))]
            for one in block:
                one.sendall(request)
            for one in block:
                assert one.recv(1000).startswith(f"HTTP/1.1 {status}".encode())
            held.extend(block)

    # The first ones pay for what all share.
    connect(300)
    before = private_bytes(daemon)
    connect(number)
    each = (private_bytes(daemon) - before) / number
    fact(f"{each:.0f} bytes of memory for an idle client of /{kind}")
    assert get(daemon.port, "/admin/ws/stats").json["total_clients"] == number + 300
    for one in held:
        one.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert 0 < each <= 1024
