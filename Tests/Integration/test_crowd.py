"""Many clients with filters: each gets exactly what its filters say, in order; one that does not read costs nobody anything."""

import json
import threading
import time
import urllib.parse

import pytest
from support.crowd import Crowd
from support.daemon import mebibytes
from support.http import Connection, get, publish_many
from support.reference import passes
from support.tls import Certificates, context
from support.tls import settings as tls_settings
from support.ws import WebSocket
from test_filters import some_event, some_filters

CHANNELS = ["logs", "stats", "providers", "requests"]


class Publisher(threading.Thread):
    """Publishes events at a rate over one connection, some alone and some in batches, and keeps the ids it was told."""

    def __init__(self, port, events, per_second, rng):
        super().__init__(daemon=True)
        self.port, self.events, self.per_second, self.rng = port, events, per_second, rng
        self.ids = {}
        self.times = {}
        self.error = None

    def run(self):
        try:
            begun = time.monotonic()
            with Connection(self.port) as connection:
                position = 0
                while position < len(self.events):
                    count = self.rng.choice([1, 1, 1, 2, 5])
                    batch = self.events[position : position + count]
                    delay = begun + position / self.per_second - time.monotonic()
                    if delay > 0:
                        time.sleep(delay)
                    body = [json.dumps({"channel": c, "type": t, "data": d}) for c, t, d in batch]
                    for event in batch:
                        self.times[event[2]["n"]] = time.monotonic()
                    if count == 1:
                        answer = connection.request("POST", "/admin/ws/broadcast", [("Content-Type", "application/json")], body[0].encode())
                        self.ids[batch[0][2]["n"]] = answer.json["id"]
                    else:
                        answer = connection.request("POST", "/admin/ws/broadcast", [("Content-Type", "application/x-ndjson")], "\n".join(body).encode())
                        epoch, _, first = answer.json["first_id"].rpartition("-")
                        for offset, event in enumerate(batch):
                            self.ids[event[2]["n"]] = f"{epoch}-{int(first) + offset}"
                    position += len(batch)
        except BaseException as error:
            self.error = error
            raise


def run_crowd(running, rng, fact, clients, per_second, seconds):
    crowd = Crowd(running.tls_port or running.port, context() if running.tls_port else None)
    for number in range(clients):
        channel = CHANNELS[number % 4]
        # Many clients share a few filters, as dashboards do; others have their own.
        filters = some_filters(rng, channel) if rng.random() < 0.8 else {}
        crowd.join(channel, filters, urllib.parse.urlencode(filters))
    sleeper = crowd.join("logs", {}, "", receive_buffer=65536)
    crowd.pause(sleeper)
    assert get(running.port, "/admin/ws/stats").json["total_clients"] == clients + 1
    events = [(c, k, {**d, "n": n}) for n, (c, k, d) in enumerate(some_event(rng) for _ in range(per_second * seconds))]
    expected = {}
    for member in crowd.members:
        key = (member.channel, json.dumps(member.filters, sort_keys=True))
        if key not in expected:
            expected[key] = [e[2]["n"] for e in events if passes(member.channel, e, member.filters)]
    total = sum(len(expected[m.channel, json.dumps(m.filters, sort_keys=True)]) for m in crowd.members if m.reading)
    publisher = Publisher(running.port, events, per_second, rng)
    begun, cpu, memory = time.monotonic(), running.cpu_seconds, running.rss
    publisher.start()
    crowd.read_until(lambda: crowd.delivered >= total or publisher.error, lambda: f"{crowd.delivered} of {total} deliveries",
                     patience=seconds * 4 + 60)
    publisher.join()
    assert publisher.error is None
    fact(f"{clients} clients, {len(events)} events at {per_second}/s, {total} deliveries in {time.monotonic() - begun:.1f} s, "
         f"daemon {running.cpu_seconds - cpu:.1f} s of CPU, memory {memory >> 20} to {running.rss >> 20} MiB")
    delays = sorted(crowd.arrivals[n] - publisher.times[n] for n in crowd.arrivals)
    fact(f"from before the request to the first client: median {delays[len(delays) // 2] * 1000:.1f} ms, "
         f"p99 {delays[len(delays) * 99 // 100] * 1000:.1f} ms (this Python process included)")
    # The sleeper wakes, and gets all of it: this little fits into history.
    crowd.resume(sleeper)
    wanted = len(expected["logs", "{}"])
    crowd.read_until(lambda: len(sleeper.numbers) >= wanted, lambda: f"the sleeper has {len(sleeper.numbers)} of {wanted}")
    crowd.poll(0.1)
    wrong = []
    for member in crowd.members:
        right = expected[member.channel, json.dumps(member.filters, sort_keys=True)]
        if member.numbers != right or member.others or member.closed:
            missing, foreign = sorted(set(right) - set(member.numbers)), sorted(set(member.numbers) - set(right))
            wrong.append(f"{member.channel} {member.filters}: {len(member.numbers)} of {len(right)}, missing {missing[:5]}, foreign "
                         f"{foreign[:5]}, order {'right' if sorted(member.numbers) == member.numbers else 'wrong'}, "
                         f"others {member.others[:2]}, closed {member.closed}")
    assert not wrong, f"{len(wrong)} of {len(crowd.members)} clients:\n" + "\n".join(wrong[:20])
    for number, message in crowd.events.items():
        channel, kind, data = events[number]
        assert message["data"] == data and message["type"] == kind and message["id"] == publisher.ids[number], message
    crowd.leave()


@pytest.mark.parametrize("over", ["plain", "tls"])
def test_short_crowd(start, rng, fact, tmp_path, over):
    settings = tls_settings(Certificates(tmp_path / "tls").make("server")) if over == "tls" else {}
    run_crowd(start(settings), rng, fact, clients=200, per_second=100, seconds=5)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_thousand_clients_for_a_minute(start, rng, fact):
    run_crowd(start({"websocket": {"max_clients": 1200}}), rng, fact, clients=1000, per_second=100, seconds=60)


def read_everything(client, until, patience=None):
    """All messages of a client until one fulfils `until`."""
    messages = []
    while True:
        messages.append(client.receive(patience))
        if until(messages[-1]):
            return messages


def check_accounts(messages, events, channel, filters, epoch, ids):
    """Events and gaps together tell of every event exactly once, in order. Gives back the number of dropped ones."""
    position = 0  # index of the next event that has not been accounted for
    dropped = 0
    sequences = [int(i.rsplit("-", 1)[1]) for i in ids]
    last = None
    for message in messages:
        if message["type"] == "gap":
            data = message["data"]
            assert "id" not in message
            assert data["reason"] == "slow_consumer", message
            assert channel in data["channels"]
            after, resume = (int(data[name].rsplit("-", 1)[1]) for name in ("after", "resume"))
            assert data["after"].startswith(epoch + "-") and data["resume"].startswith(epoch + "-")
            assert after < resume
            # The hole begins behind what has come, and holds no event that has come.
            assert last is None or after >= last, (after, last)
            lost = [n for n, s in enumerate(sequences) if after < s <= resume]
            passing = [n for n in lost if passes(channel, events[n], filters)]
            assert data["dropped"] == len(passing), (data, len(passing))
            assert passing and passing[0] >= position
            between = [n for n in range(position, passing[0]) if passes(channel, events[n], filters)]
            assert not between, f"events {between[:5]} are neither here nor in a gap"
            dropped += len(passing)
            position = lost[-1] + 1
            last = resume
        elif "n" in message.get("data", {}):
            number = message["data"]["n"]
            assert number >= position, f"event {number} comes again or too late"
            between = [n for n in range(position, number) if passes(channel, events[n], filters)]
            assert not between, f"events {between[:5]} before {number} are neither here nor in a gap"
            assert message["id"] == ids[number]
            position = number + 1
            last = sequences[number]
    between = [n for n in range(position, len(events)) if passes(channel, events[n], filters)]
    assert not between, f"events {between[:5]} at the end are neither here nor in a gap"
    return dropped


@pytest.mark.slow_reader
@pytest.mark.parametrize("filters", [{}, {"level": "error"}], ids=["all events", "filtered"])
def test_one_that_never_reads(start, rng, fact, filters):
    """Bounded memory, no harm to others, and when it reads again: what was still kept, one exact gap for what was not, and live."""
    running = start({"history": {"max_events": 500, "max_bytes": 2_000_000}})
    query = urllib.parse.urlencode(filters)
    sleepers = [WebSocket(running.port, "/ws/logs" + (f"?{query}" if query else ""), receive_buffer=65536, answer_pings=False) for _ in range(3)]
    reader = WebSocket(running.port, "/ws/logs")
    for client in (*sleepers, reader):
        client.settle()
    events, ids = [], []

    def publish(count, size):
        batch = []
        for _ in range(count):
            batch.append(("logs", "log", {"n": len(events) + len(batch), "level": rng.choice(["info", "error"]), "pad": "x" * size}))
        answer = publish_many(running.port, batch)
        epoch, _, first = answer["first_id"].rpartition("-")
        ids.extend(f"{epoch}-{int(first) + k}" for k in range(count))
        events.extend(batch)
        for _ in range(count):
            assert reader.receive()["data"]["n"] == len(events) - count + _
        return epoch

    for _ in range(10):
        publish(100, 3000)
    memory = running.rss
    for _ in range(150):
        epoch = publish(100, 3000)
    grown = running.rss - memory
    fact(f"{len(events) * 3000 >> 20} MiB published past {len(sleepers)} clients that do not read; memory grew by {grown >> 10} KiB")
    assert grown < mebibytes(16), f"{grown} bytes more"
    rows = get(running.port, "/admin/ws/clients").json
    rows = rows if isinstance(rows, list) else rows["clients"]
    assert len(rows) == 4
    # The first wakes to a silent stream, the second while events go on, the third when it has been ended by its time-out or not at all.
    messages = read_everything(sleepers[0], lambda m: m.get("data", {}).get("n", -1) >= len(events) - 1 or
                               (m["type"] == "gap" and m["data"]["resume"] == ids[-1])) if not filters else None
    if filters:
        final = max(n for n, e in enumerate(events) if passes("logs", e, filters))
        messages = read_everything(sleepers[0], lambda m: m.get("data", {}).get("n", -1) >= final)
    lost = check_accounts(messages, events, "logs", filters, epoch, ids)
    gaps = [m for m in messages if m["type"] == "gap"]
    assert gaps and lost > 0
    fact(f"woke to {len(messages) - len(gaps)} events and {len(gaps)} gap(s) for {lost}")
    # From here on it is a client like the others.
    publish(20, 10)
    right = [n for n in range(len(events) - 20, len(events)) if passes("logs", events[n], filters)]
    assert [sleepers[0].receive()["data"]["n"] for _ in right] == right
    # The second one reads slowly while more is published.
    second = []
    for _ in range(30):
        publish(20, 3000)
        for _ in range(5):
            second.append(sleepers[1].receive())
    final = max(n for n, e in enumerate(events) if passes("logs", e, filters))
    second += read_everything(sleepers[1], lambda m: m.get("data", {}).get("n", -1) >= final)
    assert check_accounts(second, events, "logs", filters, epoch, ids) > 0
    for client in (*sleepers, reader):
        client.sock.close()


@pytest.mark.slow_reader
def test_policy_disconnect(start):
    running = start({"websocket": {"slow_consumer": "disconnect"}, "history": {"max_events": 200, "max_bytes": 1_000_000}})
    sleeper = WebSocket(running.port, "/ws/logs", receive_buffer=65536, answer_pings=False)
    reader = WebSocket(running.port, "/ws/logs")
    sleeper.settle(), reader.settle()
    count = 0
    for _ in range(60):
        publish_many(running.port, [("logs", "note", {"n": count + k, "pad": "x" * 3000}) for k in range(100)])
        for k in range(100):
            assert reader.receive()["data"]["n"] == count + k
        count += 100
    messages, code, _ = sleeper.receive_close()
    numbers = [json.loads(m)["data"]["n"] for m in messages]
    assert numbers == list(range(len(numbers))) and len(numbers) < count
    # Its last words, when there was room for them.
    assert code in (4008, None)
    from support.daemon import wait_until

    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 1, "the slow one is gone")
    sleeper.sock.close(), reader.sock.close()


@pytest.mark.slow_reader
def test_one_that_takes_nothing_is_ended_whatever_it_sends(start):
    running = start({"websocket": {"heartbeat_interval": "1s", "client_timeout": "4s"}})
    client = WebSocket(running.port, "/ws/logs", receive_buffer=65536)
    client.settle()
    for _ in range(20):
        publish_many(running.port, [("logs", "note", {"pad": "x" * 3000}) for _ in range(100)])
    from support.daemon import wait_until

    def gone():
        try:
            client.send({"type": "pong"})
        except ConnectionError:
            return True
        return get(running.port, "/admin/ws/stats").json["total_clients"] == 0

    wait_until(gone, "a client that takes none of our bytes is ended", interval=0.2)
    client.sock.close()


@pytest.mark.slow_reader
def test_slow_clients_at_every_pace(start, rng, fact):
    """Twelve readers of different slowness against a stream that is faster than all of them: accounts are exact for each."""
    running = start({"history": {"max_events": 300, "max_bytes": 1_000_000}, "websocket": {"buffer_size": 16}})
    paces = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233]
    clients = []
    for position, pace in enumerate(paces):
        channel = ["logs", "requests", "logs", "providers"][position % 4]
        filters = some_filters(rng, channel) if pace % 2 else {}
        query = urllib.parse.urlencode(filters)
        clients.append((pace, channel, filters, WebSocket(running.port, f"/ws/{channel}" + (f"?{query}" if query else ""), receive_buffer=65536), []))
    for *_, client, _ in clients:
        client.settle()
    events, ids = [], []
    for round_number in range(160):
        batch = []
        for _ in range(rng.choice([1, 10, 60])):
            channel, kind, data = some_event(rng)
            batch.append((channel, kind, {**data, "n": len(events) + len(batch), "pad": "x" * rng.choice([0, 100, 4000])}))
        answer = publish_many(running.port, batch)
        epoch, _, first = answer["first_id"].rpartition("-")
        ids.extend(f"{epoch}-{int(first) + k}" for k in range(len(batch)))
        events.extend(batch)
        for pace, _, _, client, messages in clients:
            if round_number % 10 == 9:
                for _ in range(pace):
                    client.sock.settimeout(0.01)
                    try:
                        messages.append(client.receive(patience=0.01))
                    except AssertionError:
                        break
    losses = 0
    for pace, channel, filters, client, messages in clients:
        messages += client.settle(upto=ids[-1])
        losses += check_accounts(messages, events, channel, filters, epoch, ids)
        client.sock.close()
    fact(f"{len(events)} events, {losses} dropped and told of")


def test_canary_accounts_that_do_not_balance():
    """The bookkeeping of gaps must notice a missing event, a doubled one, and a wrong count."""
    events = [("logs", "log", {"n": n}) for n in range(10)]
    ids = [f"e-{n + 100}" for n in range(10)]
    message = [{"type": "log", "id": ids[n], "data": {"n": n}} for n in range(10)]

    def gap(after, resume, dropped):
        return {"type": "gap", "data": {"reason": "slow_consumer", "channels": ["logs"], "after": f"e-{after}", "resume": f"e-{resume}", "dropped": dropped}}

    assert check_accounts(message, events, "logs", {}, "e", ids) == 0
    assert check_accounts([*message[:3], gap(102, 104, 2), *message[5:]], events, "logs", {}, "e", ids) == 2
    for wrong in ([*message[:3], *message[4:]], [*message[:3], message[2], *message[3:]], message[:9],
                  [*message[:3], gap(102, 104, 3), *message[5:]], [*message[:3], gap(102, 103, 1), *message[5:]],
                  [*message[:3], gap(101, 104, 3), *message[5:]], [*message[:3], gap(102, 104, 2), *message[4:]]):
        with pytest.raises(AssertionError):
            check_accounts(wrong, events, "logs", {}, "e", ids)


