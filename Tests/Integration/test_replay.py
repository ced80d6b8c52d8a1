"""Events of before, from history and from the gateway's database, joined to the live stream without a hole or a double."""

import subprocess
import sys
import threading
import time
import urllib.parse

import pytest
from support.daemon import die_with_parent, wait_until
from support.gateway import Gateway, now_ns, shifted_fixture
from support.http import get, publish_many
from support.reference import gateway_text, nanoseconds
from support.ws import Refused, WebSocket
from test_tailing import settings

SECOND = 1_000_000_000


def instant(ns):
    """RFC 3339 as a client writes it."""
    return gateway_text(ns).replace(" ", "T").replace("+00:00", "Z")


def path(channel="requests", **parameters):
    return f"/ws/{channel}?" + urllib.parse.urlencode(parameters)


def replay(port, channel="requests", patience=None, **parameters):
    """What comes up to caught_up: (events, gaps, position)."""
    with WebSocket(port, path(channel, **parameters)) as client:
        *messages, end = client.receive_until("caught_up", patience)
    gaps = [m for m in messages if m["type"] == "gap"]
    return [m for m in messages if m["type"] != "gap"], gaps, end["data"]["position"]


def follows(port):
    wait_until(lambda: get(port, "/ready").status == 200, lambda: f"ready: {get(port, '/ready').body!r}")


@pytest.fixture
def gateway(tmp_path):
    running = Gateway(tmp_path / "gateway.db", seed=7)
    yield running
    running.close()


def rows(gateway, count, begin_ns, step_ns, **values):
    """Rows whose timestamps are exactly these."""
    made = [gateway.row(timestamp=gateway_text(begin_ns + k * step_ns), **values) for k in range(count)]
    gateway.insert(made)
    return made


def ids(events):
    return [event["data"]["request_id"] for event in events]


def test_rows_of_before_the_start(start, gateway):
    now = now_ns()
    made = rows(gateway, 600, now - 600 * SECOND, SECOND)
    running = start(settings(gateway.path))
    follows(running.port)
    events, gaps, position = replay(running.port, since="5m")
    expected = [row["id"] for row in made if nanoseconds(row["timestamp"]) >= now - 300 * SECOND]
    # The moment of asking is a little later than `now`.
    assert ids(events) == expected[-len(events):] and len(expected) - 20 <= len(events) <= len(expected)
    assert not gaps and position.endswith("-0")
    assert all("id" not in event for event in events), "an event of before has no id"
    for event, row in zip(events, made[-len(events):]):
        assert event["type"] == "request" and event["timestamp"] == event["data"]["timestamp"] == instant_ms(row["timestamp"])
        assert event["data"]["latency_ms"] == row["latency_ms"]
    begin = made[100]["timestamp"]
    events, gaps, _ = replay(running.port, since=instant(nanoseconds(begin)))
    assert ids(events) == [row["id"] for row in made[100:]] and not gaps, "the instant itself counts"
    events, _, _ = replay(running.port, since=instant(nanoseconds(begin)), history=7)
    assert ids(events) == [row["id"] for row in made[-7:]]
    events, _, _ = replay(running.port, since=instant(nanoseconds(begin)), only_errors="true")
    assert ids(events) == [row["id"] for row in made[100:] if not row["success"]]
    assert replay(running.port, since="0")[0] == []


def instant_ms(text):
    ns = nanoseconds(text)
    return gateway_text(ns // 1_000_000 * 1_000_000).replace(" ", "T").partition("+")[0].partition(".")[0] + f".{ns // 1_000_000 % 1000:03d}Z"


@pytest.mark.parametrize("offsets", ["utc", "mixed"])
def test_the_fixture_in_order_of_time(start, tmp_path, offsets):
    """Rows out of order, on one instant, and with other zones: by time, and by rowid where times are equal."""
    import sqlite3

    database = tmp_path / "fixture.db"
    zones = [0, 330, -300, 60]
    shifted_fixture(database, now_ns(), (lambda number: 0) if offsets == "utc" else lambda number: zones[number // 50 % 4])
    # As much time as an instrumented daemon on a busy machine may need: not the time is tested here.
    running = start(settings(database) | {"replay": {"max_seconds": 3600}})
    follows(running.port)
    found = sqlite3.connect(database).execute("SELECT timestamp, rowid, id FROM request_logs").fetchall()
    order = [row[2] for row in sorted(((nanoseconds(t) // 1000, r, i) for t, r, i in found))]
    events, gaps, _ = replay(running.port, since="30h")
    assert ids(events) == order and not gaps
    for last in (1, 10, 2999):
        assert ids(replay(running.port, since="30h", history=last)[0]) == order[-last:]


@pytest.mark.parametrize("history", [10_000, 100], ids=["history holds them", "history is short"])
def test_rows_of_before_and_since_the_start(start, gateway, history):
    """Part from the table, part from history, and rows that history had and let go of; then live, each once."""
    now = now_ns()
    made = rows(gateway, 100, now - 1000 * SECOND, SECOND)
    running = start(settings(gateway.path) | {"history": {"max_events": history}})
    follows(running.port)
    with WebSocket(running.port, "/ws/requests") as witness:
        for batch in range(10):
            made += rows(gateway, 50, now - 500 * SECOND + batch * 50 * SECOND, SECOND)
            for _ in range(50):
                witness.receive()
    with WebSocket(running.port, path(since="1h")) as client:
        *messages, end = client.receive_until("caught_up")
        assert ids(messages) == [row["id"] for row in made], "each once, in order"
        with_id = [m for m in messages if "id" in m]
        assert messages[len(messages) - len(with_id):] == with_id, "what history has comes last"
        assert len(with_id) == 500 if history == 10_000 else len(with_id) < 200
        assert end["data"]["position"] == with_id[-1]["id"]
        made += rows(gateway, 20, now_ns(), 1000)
        assert ids([client.receive() for _ in range(20)]) == [row["id"] for row in made[-20:]]


def test_as_a_message_and_beside_other_channels(start, gateway):
    now = now_ns()
    made = rows(gateway, 50, now - 100 * SECOND, SECOND)
    running = start(settings(gateway.path))
    follows(running.port)
    with WebSocket(running.port, "/ws/logs") as client:
        client.send({"type": "subscribe", "id": "1", "data": {"channels": ["requests", "providers"], "since": "10m", "history": 30}})
        messages = client.receive_until("caught_up")
        assert messages[0]["type"] == "ack" and messages[0]["data"]["channels"] == ["logs", "providers", "requests"]
        assert ids(messages[1:-1]) == [row["id"] for row in made[-30:]]
        publish_many(running.port, [("logs", "log", {"n": 1})])
        assert client.receive()["data"] == {"n": 1}


def test_bounds(start, gateway):
    """replay.max_events: the newest, and a gap that says from when to when others are left out."""
    now = now_ns()
    made = rows(gateway, 500, now - 600 * SECOND, SECOND)
    running = start(settings(gateway.path) | {"replay": {"max_events": 120}})
    follows(running.port)
    events, gaps, _ = replay(running.port, since="1h")
    assert ids(events) == [row["id"] for row in made[-120:]]
    (gap,) = gaps
    assert gap["data"]["reason"] == "history_expired" and gap["data"]["channels"] == ["requests"]
    assert gap["data"]["until"] == events[0]["timestamp"]
    # Who asks for no more is not told of a gap.
    events, gaps, _ = replay(running.port, since="1h", history=120)
    assert len(events) == 120 and not gaps


def test_the_database_is_away(start, tmp_path):
    running = start(settings(tmp_path / "none.db"))
    publish_many(running.port, [("requests", "note", {"n": 1})])
    events, gaps, _ = replay(running.port, since="5m")
    assert [event["data"]["n"] for event in events] == [1]
    (gap,) = gaps
    assert gap["data"]["reason"] == "history_expired" and gap["data"]["channels"] == ["requests"]
    running.wait_for_log("a replay of requests is incomplete")


def test_ids_and_numbers(start):
    running = start()
    first = publish_many(running.port, [("logs", "log", {"n": n}) for n in range(10)])["first_id"]
    epoch = first.rpartition("-")[0]

    def numbers(**parameters):
        events, gaps, position = replay(running.port, "logs", **parameters)
        return [e["data"]["n"] for e in events], [(g["data"]["reason"], g["data"]["after"], g["data"]["resume"]) for g in gaps], position

    assert numbers(since=f"{epoch}-4") == ([4, 5, 6, 7, 8, 9], [], f"{epoch}-10")
    assert numbers(since=f"{epoch}-10") == ([], [], f"{epoch}-10")
    assert numbers(since=f"{epoch}-0") == (list(range(10)), [], f"{epoch}-10")
    assert numbers(since=f"{epoch}-11") == (list(range(10)), [("restarted", f"{epoch}-11", f"{epoch}-0")], f"{epoch}-10")
    assert numbers(since="abc-5") == (list(range(10)), [("restarted", "abc-5", f"{epoch}-0")], f"{epoch}-10")
    assert numbers(history=3) == ([7, 8, 9], [], f"{epoch}-10")
    assert numbers(since=f"{epoch}-2", history=3) == ([7, 8, 9], [], f"{epoch}-10")
    assert numbers(history=0) == ([], [], f"{epoch}-10")
    assert numbers(since="1h") == (list(range(10)), [], f"{epoch}-10")


@pytest.mark.parametrize("query", [
    "since=", "since=nonsense", "since=5", "since=-5m", "since=5x", "since=a-b", "since=A-5", "since=2026-02-05", "since=%00", "history=",
    "history=-1", "history=1.5", "history=x", "history=99999999999", "since=5m&since=6m", "since=a-1-2", "since=" + "9" * 5000,
])
def test_refused(daemon, query):
    with pytest.raises(Refused) as caught:
        WebSocket(daemon.port, f"/ws/logs?{query}")
    assert caught.value.response.status == 400
    assert len(caught.value.response.json["error"]) < 300


def test_needs_channels(daemon):
    with pytest.raises(Refused) as caught:
        WebSocket(daemon.port, "/ws?since=5m")
    assert caught.value.response.status == 400
    with WebSocket(daemon.port, "/ws?channels=logs&since=5m") as client:
        assert client.receive_until("caught_up")


def test_age_is_a_bound(start):
    running = start({"history": {"max_age": "1s"}})
    first = publish_many(running.port, [("logs", "log", {"n": n}) for n in range(10)])["last_id"]

    def gone():
        events, gaps, _ = replay(running.port, "logs", since=first.rpartition("-")[0] + "-3")
        return not events and [g["data"]["reason"] for g in gaps] == ["history_expired"]

    wait_until(gone, "events of history are forgotten by age")


class Reader(threading.Thread):
    """One of many: connects at a moment, asks for what is since then, and reads to the end."""

    def __init__(self, port, since_ns):
        super().__init__(daemon=True)
        self.port, self.since_ns = port, since_ns
        self.is_over = False
        self.got = []
        self.others = []
        self.error = None

    def run(self):
        try:
            with WebSocket(self.port, path(since=instant(self.since_ns))) as client:
                while not (self.is_over and self.is_level):
                    message = client.receive(patience=120)
                    if message["type"] == "end":
                        self.is_over = True
                    elif message["type"] == "request":
                        self.got.append(message["data"]["request_id"])
                    else:
                        self.others.append(message)
        except BaseException as error:
            self.error = error

    @property
    def is_level(self):
        return any(m["type"] == "caught_up" for m in self.others)


def run_joining(start, gateway, rng, fact, clients, per_second, seconds, history):
    running = start(settings(gateway.path) | {"history": {"max_events": history}})
    follows(running.port)
    written = []

    def write():
        begun = time.monotonic()
        size = max(1, per_second // 50)
        while time.monotonic() - begun < seconds:
            batch = []
            for _ in range(size):
                # Each later than the one before, to the microsecond.
                at = max(now_ns(), written[-1][0] + 1000 if written else 0, batch[-1][0] + 1000 if batch else 0) // 1000 * 1000
                batch.append((at, gateway.row(timestamp=gateway_text(at))))
            gateway.insert([row for _, row in batch])
            written.extend((at, row["id"]) for at, row in batch)
            delay = begun + len(written) / per_second - time.monotonic()
            if delay > 0:
                time.sleep(delay)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    wait_until(lambda: len(written) > 10, "rows are written")
    readers = []
    moments = sorted(rng.uniform(0, seconds * 0.9) for _ in range(clients))
    begun = time.monotonic()
    for moment in moments:
        time.sleep(max(0, begun + moment - time.monotonic()))
        reader = Reader(running.port, written[rng.randrange(len(written))][0])
        reader.start()
        readers.append(reader)
    writer.join()
    # The rows have been read when one more has come; then the word that this was all.
    with WebSocket(running.port, path(since="0")) as client:
        client.receive_until("caught_up")
    publish_many(running.port, [("requests", "end", {})])
    for reader in readers:
        reader.join(180)
    order = [identifier for _, identifier in written]
    wrong = []
    for number, reader in enumerate(readers):
        expected = [identifier for at, identifier in written if at >= reader.since_ns]
        if reader.error or reader.got != expected or [m["type"] for m in reader.others] != ["caught_up"]:
            where = [order.index(i) for i in reader.got if i in order]
            wrong.append(f"reader {number}: {len(reader.got)} of {len(expected)}, from {where[:3]} instead of {len(order) - len(expected)}, "
                         f"others {[m for m in reader.others if m['type'] != 'caught_up'][:2]}, error {reader.error!r}")
    assert not wrong, f"{len(wrong)} of {clients}:\n" + "\n".join(wrong[:10])
    assert not gateway.errors
    ledger = get(running.port, "/admin/ws/stats").json
    fact(f"{clients} clients with since= while {len(written)} rows came at {per_second}/s: each row once and in order; {ledger['replays']}")


def test_short_joining(start, gateway, rng, fact):
    run_joining(start, gateway, rng, fact, clients=12, per_second=500, seconds=5, history=400)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("history", [10_000, 500])
def test_fifty_clients_join(start, gateway, rng, fact, history):
    run_joining(start, gateway, rng, fact, clients=50, per_second=500, seconds=40, history=history)


REPLAY_FOR_EVER = """
import os, socket, sys
os.nice(15)
while True:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
        sock.sendall(b"GET /ws/requests?since=2h HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
                     b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: test\\r\\n\\r\\n")
        tail = b""
        while b'"caught_up"' not in tail:
            data = sock.recv(1 << 20)
            tail = tail[-20:] + data
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_delay_of_live_events_beside_replays(start, gateway, fact):
    """A figure: how late live events are with nobody else there, and while eight replays of 100,000 rows are read all the time."""
    gateway.transaction(lambda: [
        gateway.execute(f"INSERT INTO request_logs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        for row in (gateway.row(timestamp=gateway_text(now_ns() - 3600 * SECOND + k * 30_000_000)) for k in range(100_000))])
    running = start(settings(gateway.path))
    follows(running.port)
    clients = [WebSocket(running.port, "/ws/logs") for _ in range(20)]

    def delays(seconds):
        found = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.monotonic()
            publish_many(running.port, [("logs", "log", {"at": begun})])
            for client in clients:
                assert client.receive()["data"]["at"] == begun
                found.append(time.monotonic() - begun)
            time.sleep(0.01)
        return sorted(found)

    def text(found):
        return f"p50 {found[len(found) // 2] * 1000:.2f} ms, p99 {found[len(found) * 99 // 100] * 1000:.2f} ms ({len(found)} deliveries)"

    alone = delays(10)
    # In processes of their own that let others go first: what is measured is the daemon, not who reads.
    readers = [subprocess.Popen([sys.executable, "-c", REPLAY_FOR_EVER, str(running.port)], stdout=subprocess.DEVNULL,
                                preexec_fn=die_with_parent) for _ in range(8)]
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["replays"]["running"] >= 4, "replays run")
    beside = delays(15)
    read = get(running.port, "/admin/ws/stats").json["replays"]
    for reader in readers:
        reader.terminate()
        reader.wait()
    fact(f"live events alone: {text(alone)}; beside replays: {text(beside)}; {read}")
    for client in clients:
        client.sock.close()


@pytest.mark.parametrize("since", ["9999999999h", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_far_away(start, gateway, since):
    """However far it reaches, what there is comes, and nothing else is said."""
    made = rows(gateway, 20, now_ns() - 100 * SECOND, SECOND)
    running = start(settings(gateway.path))
    follows(running.port)
    expected = [] if since.startswith("9999-") else [row["id"] for row in made]
    events, gaps, _ = replay(running.port, since=since)
    assert ids(events) == expected and not gaps
    begun = running.cpu_seconds
    events, gaps, _ = replay(running.port, since=since, history=5, provider_id="nope")
    assert not events and not gaps
    # Not a search through all of time.
    assert running.cpu_seconds - begun < 1
