"""Rows become events: each once, in order, whatever the gateway does to its database meanwhile."""

import json
import threading
import time

import pytest
from support.gateway import NIL, Gateway, now_ns
from support.reference import gateway_text
from support.ws import Closed, WebSocket

SOURCES = {"stats": {"enabled": False}, "requests": {"enabled": True}, "providers": {"enabled": False}}


def settings(path, **sources):
    return {"database": {"connection": str(path)}, "sources": {**SOURCES, **sources}}


def number_of(event):
    return int(event["data"]["endpoint"].rsplit("=", 1)[1])


class Tail(threading.Thread):
    """Reads events of a client until told to stop."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.events = []
        self.others = []
        self.arrivals = {}
        self.error = None
        self.changed = threading.Condition()

    def run(self):
        try:
            while True:
                message = self.client.receive(patience=600)
                with self.changed:
                    if message["type"] == "request":
                        number = number_of(message)
                        self.arrivals.setdefault(number, time.monotonic())
                        self.events.append(message)
                    else:
                        self.others.append(message)
                    self.changed.notify_all()
        except (Closed, OSError) as error:
            self.error = error

    def wait(self, number, patience=60):
        """Until the event of this row has come."""
        end = time.monotonic() + patience
        with self.changed:
            while number not in self.arrivals:
                assert self.error is None, self.error
                assert time.monotonic() < end, f"row {number} did not come; the last was {self.events[-1] if self.events else None}"
                self.changed.wait(0.1)


def check_rows(tail, written, first=1):
    """Each row that was written, once, in the order of insertion, with the row's own values."""
    numbers = [number_of(event) for event in tail.events]
    right = list(range(first, first + len(written)))
    if numbers != right:
        doubled = sorted({n for n in numbers if numbers.count(n) > 1})[:10]
        missing = sorted(set(right) - set(numbers))[:10]
        raise AssertionError(f"{len(numbers)} events for {len(right)} rows; missing {missing}, twice {doubled}, "
                             f"order {'right' if numbers == sorted(numbers) else 'wrong'}")
    for event, row in zip(tail.events, written):
        data = event["data"]
        assert data["request_id"] == row["id"]
        assert (data["status_code"], data["latency_ms"], data["input_tokens"], data["output_tokens"], data["success"]) == (
            row["status_code"], row["latency_ms"], row["input_tokens"], row["output_tokens"], bool(row["success"]))
        assert data.get("error_message", "") == row["error_message"]
        assert data["user_id"] == row["user_id"]


def run_tail(start, tmp_path, fact, seed, journal, size, seconds, disturb):
    """200 rows a second for a time, in transactions of `size`, with everything that happens to a gateway's database."""
    database = tmp_path / "gateway.db"
    gateway = Gateway(database, seed, journal)
    providers = [gateway.add_provider(f"Provider {n}") for n in range(3)]
    models = [gateway.add_model(provider, f"model-{n}") for n, provider in enumerate(providers)]
    old = [gateway.row(providers[0], models[0]) for _ in range(500)]
    gateway.insert(old)
    connection = str(database) if journal == "delete" else f"file:{database}?_journal_mode=WAL"
    running = start(settings(connection))
    client = WebSocket(running.port, "/ws/requests")
    client.settle()
    # The source is following once it is ready: rows of before are not told.
    from support.daemon import wait_until
    from support.http import get

    wait_until(lambda: get(running.port, "/ready").status == 200, lambda: f"ready: {get(running.port, '/ready').body!r}")
    tail = Tail(client)
    tail.start()
    written, committed = [], {}
    begun = time.monotonic()
    total = int(seconds * 200)
    locks = []
    plan = {int(total * part): what for part, what in disturb.items()}
    position = 0
    while position < total:
        due = begun + position / 200
        while (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        batch = []
        for _ in range(min(size, total - position)):
            which = gateway.rng.randrange(4)
            # Now and then a provider and a model that nobody knows.
            batch.append(gateway.row(*((providers[which], models[which]) if which < 3 else (NIL, NIL))))
        gateway.insert(batch)
        stamp = time.monotonic()
        for offset in range(len(batch)):
            committed[501 + position + offset] = stamp
        written += batch
        for place in [p for p in plan if p < position + len(batch)]:
            what = plan.pop(place)
            if what == "restart":
                gateway.restart()
            elif what == "vacuum":
                gateway.vacuum()
            elif what == "prune":
                gateway.prune(300)
            elif what == "lock":
                locks.append((time.monotonic(), time.monotonic() + 2))
                gateway.lock(2)
                begun += 2
            elif what == "replace":
                # All rows of before must have been told: what a restored file lacks nobody can tell.
                tail.wait(500 + position + len(batch))
                gateway.replace_file()
        position += len(batch)
    tail.wait(500 + total)
    assert gateway.errors == [], gateway.errors[:5]
    # A little longer, so that a row told twice would still come.
    time.sleep(1)
    check_rows(tail, written, first=501)
    # What was committed just before the lock of two seconds could not be read before its end (in rollback mode).
    free = [n for n in committed if not any(begin - 0.3 < committed[n] < end for begin, end in locks)]
    delays = sorted(tail.arrivals[n] - committed[n] for n in free)
    fact(f"{journal}, transactions of {size}: {total} rows at 200/s, delay from commit median {delays[len(delays) // 2] * 1000:.0f} ms, "
         f"p99 {delays[len(delays) * 99 // 100] * 1000:.0f} ms, largest {delays[-1] * 1000:.0f} ms; {len(committed) - len(free)} rows "
         "that lay behind the exclusive lock are not in these numbers")
    lost = [m for m in tail.others if m["type"] == "gap" and m["data"]["reason"] == "source_lost"]
    if "replace" in disturb.values():
        assert lost, f"a replaced database is told of; other messages: {tail.others[:5]}"
    assert not [m for m in tail.others if m["type"] != "gap"], tail.others[:5]
    names = {p: f"Provider {n}" for n, p in enumerate(providers)}
    for event in tail.events:
        assert event["data"].get("provider_name", "") == names.get(event["data"]["provider_id"], event["data"].get("provider_name", ""))
    client.sock.close()
    return tail


SHORT = {0.15: "restart", 0.3: "vacuum", 0.45: "prune", 0.5: "vacuum", 0.6: "lock", 0.7: "restart", 0.8: "replace", 0.9: "prune"}
LONG = {0.05: "restart", 0.1: "vacuum", 0.2: "prune", 0.25: "vacuum", 0.3: "lock", 0.4: "restart", 0.45: "replace", 0.5: "prune",
        0.55: "vacuum", 0.6: "restart", 0.65: "lock", 0.7: "replace", 0.8: "vacuum", 0.85: "restart", 0.9: "prune"}


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_short_tail(start, tmp_path, fact, request, journal, size):
    run_tail(start, tmp_path, fact, request.config.seed, journal, size, 6, SHORT)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_tail_for_a_minute(start, tmp_path, fact, request, journal, size):
    run_tail(start, tmp_path, fact, request.config.seed, journal, size, 60, LONG)


@pytest.fixture
def tailed(start, tmp_path, request):
    """A gateway, a daemon that follows it, and a client."""
    database = tmp_path / "gateway.db"
    gateway = Gateway(database, request.config.seed)
    gateway.provider = gateway.add_provider("Provider")
    gateway.model = gateway.add_model(gateway.provider, "model")
    gateway.insert([gateway.row(gateway.provider, gateway.model) for _ in range(10)])
    running = start(settings(database))
    from support.daemon import wait_until
    from support.http import get

    wait_until(lambda: get(running.port, "/ready").status == 200, lambda: f"ready: {get(running.port, '/ready').body!r}")
    client = WebSocket(running.port, "/ws/requests")
    client.settle()
    yield gateway, client, running
    client.sock.close()
    assert gateway.errors == []


def next_rows(client, count):
    return [client.receive() for _ in range(count)]


def test_fields_of_a_request(tailed):
    gateway, client, _ = tailed
    row = gateway.row(gateway.provider, gateway.model, status_code=503, success=0, latency_ms=1234, input_tokens=7, output_tokens=0,
                      error_message='sagte "nein"\n不', estimated_cost=0.0125, timestamp="2026-03-02 15:29:45.33500902+01:00")
    gateway.insert([row])
    event = client.receive()
    assert event["type"] == "request" and "id" in event
    data = event["data"]
    assert list(data)[:11] == ["request_id", "provider_id", "provider_name", "model_name", "method", "endpoint", "status_code",
                               "latency_ms", "input_tokens", "output_tokens", "success"]
    assert data["provider_name"] == "Provider" and data["model_name"] == "model" and data["model_id"] == gateway.model
    assert data["success"] is False and data["error_message"] == 'sagte "nein"\n不'
    assert data["estimated_cost"] == 0.0125 and data["user_id"] == NIL
    assert event["timestamp"] == "2026-03-02T14:29:45.335Z"
    gateway.insert([gateway.row(gateway.provider, gateway.model, success=1, error_message="")])
    assert "error_message" not in client.receive()["data"]


def test_deleting_the_newest_rows(tailed):
    """Their rowids are given again to the rows that come next, and those are told."""
    gateway, client, _ = tailed
    gateway.insert([gateway.row() for _ in range(5)])
    assert len(next_rows(client, 5)) == 5
    for _ in range(3):
        gateway.execute("DELETE FROM request_logs WHERE rowid > (SELECT max(rowid) - 3 FROM request_logs)")
        time.sleep(0.4)
        rows = [gateway.row() for _ in range(3)]
        gateway.insert(rows)
        assert [e["data"]["request_id"] for e in next_rows(client, 3)] == [r["id"] for r in rows]
    # Deleted and written anew before the daemon could look.
    gateway.execute("DELETE FROM request_logs WHERE rowid > (SELECT max(rowid) - 2 FROM request_logs)")
    rows = [gateway.row() for _ in range(4)]
    gateway.insert(rows)
    assert [e["data"]["request_id"] for e in next_rows(client, 4)] == [r["id"] for r in rows]


def test_deleting_everything(tailed):
    """rowids start at 1 again."""
    gateway, client, _ = tailed
    for _ in range(3):
        gateway.execute("DELETE FROM request_logs")
        rows = [gateway.row() for _ in range(7)]
        gateway.insert(rows)
        assert [e["data"]["request_id"] for e in next_rows(client, 7)] == [r["id"] for r in rows]


def test_rolled_back_rows_are_not_told(tailed):
    gateway, client, _ = tailed
    for _ in range(5):
        gateway.execute("BEGIN IMMEDIATE")
        lost = gateway.row()
        gateway.execute(f"INSERT INTO request_logs ({', '.join(lost)}) VALUES ({', '.join('?' * len(lost))})", tuple(lost.values()))
        time.sleep(0.15)
        gateway.execute("ROLLBACK")
        row = gateway.row()
        gateway.insert([row])
        assert client.receive()["data"]["request_id"] == row["id"]


def test_a_clock_set_back(tailed):
    gateway, client, _ = tailed
    rows = [gateway.row(timestamp=gateway_text(now_ns() - hours * 3600 * 10**9)) for hours in (0, 1, 48, 0, 1000, 0)]
    gateway.insert(rows)
    assert [e["data"]["request_id"] for e in next_rows(client, 6)] == [r["id"] for r in rows]


def test_a_long_transaction(tailed):
    """Rows of a transaction that takes a second are told after its commit, in their order, with none in between."""
    gateway, client, _ = tailed
    rows = [gateway.row() for _ in range(100)]

    def work():
        for row in rows:
            gateway.execute(f"INSERT INTO request_logs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
            time.sleep(0.01)

    gateway.transaction(work)
    assert [e["data"]["request_id"] for e in next_rows(client, 100)] == [r["id"] for r in rows]


def test_odd_values(tailed):
    """What SQLite lets into a column need not be of its type; the row is told all the same, and the next ones too."""
    gateway, client, _ = tailed
    odd = [dict(latency_ms=None), dict(latency_ms="fast"), dict(latency_ms=1.5), dict(latency_ms=-5), dict(input_tokens=2**62),
           dict(status_code=None), dict(success=None), dict(success=2), dict(method=None), dict(endpoint=b"\xff\x00\xfe"),
           dict(error_message="a\x00b"), dict(error_message="\ud7ff\ue000"), dict(user_id=None), dict(model_id=None),
           dict(estimated_cost=1e300), dict(estimated_cost="much"), dict(estimated_cost=None), dict(error_message="x" * 300_000)]
    for values in odd:
        row = gateway.row(**{"success": 0, **values})
        after = gateway.row()
        gateway.insert([row, after])
        first = client.receive()
        if first["type"] == "request" and first["data"]["request_id"] == row["id"]:
            first = client.receive()
        assert first["type"] == "request" and first["data"]["request_id"] == after["id"], (values, str(first)[:300])


def test_database_that_appears_later(start, tmp_path, request):
    database = tmp_path / "later.db"
    running = start(settings(database))
    from support.daemon import wait_until
    from support.http import get

    assert get(running.port, "/ready").status == 503
    with WebSocket(running.port, "/ws/requests") as client:
        client.settle()
        gateway = Gateway(database, request.config.seed)
        wait_until(lambda: get(running.port, "/ready").status == 200, lambda: f"ready: {get(running.port, '/ready').body!r}")
        # From then on it is followed.
        row = gateway.row()
        gateway.insert([row])
        while (event := client.receive())["type"] == "gap":
            pass
        assert event["data"]["request_id"] == row["id"]


@pytest.mark.parametrize("damage", ["no database", "a directory", "other tables", "an empty file"])
def test_databases_that_cannot_be_read(start, tmp_path, request, damage):
    """A state with a sentence; when it is cured, reading begins."""
    import shutil
    import sqlite3

    from support.daemon import wait_until
    from support.http import get

    database = tmp_path / "gateway.db"
    if damage == "no database":
        database.write_bytes(b"This is no database. " * 500)
    elif damage == "a directory":
        database.mkdir()
    elif damage == "other tables":
        sqlite3.connect(database).execute("CREATE TABLE other (a)").connection.close()
    else:
        database.touch()
    running = start(settings(database))
    answer = wait_until(lambda: (a := get(running.port, "/ready")).status == 503 and b"requests" in a.body and a, "not ready")
    assert any(len(str(value)) > 10 for value in json.loads(answer.body).values()), answer.body
    assert get(running.port, "/health").status == 200
    with WebSocket(running.port, "/ws/requests") as client:
        client.settle()
        other = tmp_path / "other.db"
        gateway = Gateway(other, request.config.seed)
        gateway.insert([gateway.row()])
        gateway.close()
        if damage == "a directory":
            shutil.rmtree(database)
        other.replace(database)
        gateway = Gateway(database, request.config.seed + 1)
        wait_until(lambda: get(running.port, "/ready").status == 200, lambda: f"ready: {get(running.port, '/ready').body!r}")
        row = gateway.row()
        gateway.insert([row])
        while (event := client.receive())["type"] == "gap" or event["data"]["request_id"] != row["id"]:
            pass


# Providers


@pytest.fixture
def providers(start, tmp_path, request):
    database = tmp_path / "gateway.db"
    gateway = Gateway(database, request.config.seed)
    gateway.providers = [gateway.add_provider(f"Provider {n}") for n in range(3)]
    running = start(settings(database, providers={"enabled": True}, requests={"enabled": False}))
    from support.daemon import wait_until
    from support.http import get

    wait_until(lambda: get(running.port, "/ready").status == 200, lambda: f"ready: {get(running.port, '/ready').body!r}")
    client = WebSocket(running.port, "/ws/providers")
    yield gateway, client, running
    client.sock.close()
    assert gateway.errors == []


def test_present_state_first_then_changes(providers):
    gateway, client, running = providers
    present = {m["data"]["provider_id"]: m["data"] for m in next_rows(client, 3)}
    assert set(present) == set(gateway.providers)
    assert all(d["status"] == "healthy" and d["available"] is True for d in present.values())
    first = gateway.providers[0]
    for change, status, available in (
            ("health_score = 0.79", "degraded", True), ("health_score = 0.8", "healthy", True), ("health_score = 0.51", "degraded", True),
            ("health_score = 0.5", "unhealthy", False), ("health_score = 1", "healthy", True), ("status = 'maintenance'", "unhealthy", False),
            ("status = 'active'", "healthy", True)):
        gateway.execute(f"UPDATE providers SET {change} WHERE id = ?", (first,))
        event = client.receive()
        assert event["type"] == "provider_status" and "id" in event
        data = event["data"]
        assert (data["provider_id"], data["provider_name"], data["status"], data["available"]) == (first, "Provider 0", status, available), change
    # A late subscriber gets the present state.
    gateway.execute("UPDATE providers SET status = 'down' WHERE id = ?", (first,))
    assert client.receive()["data"]["status"] == "unhealthy"
    with WebSocket(running.port, f"/ws/providers?provider_id={first}") as late:
        event = late.receive()
        assert event["data"]["provider_id"] == first and event["data"]["status"] == "unhealthy"
        assert late.settle() == []


def test_a_restart_of_the_gateway_is_no_event(providers):
    gateway, client, _ = providers
    next_rows(client, 3)
    for _ in range(5):
        gateway.restart()
        # The health monitor writes whole rows, with nothing changed that matters.
        gateway.execute("UPDATE providers SET last_health_check = ?, updated_at = ?", (gateway_text(now_ns()), gateway_text(now_ns())))
        time.sleep(0.3)
    gateway.execute("UPDATE providers SET avg_latency_ms = 777 WHERE id = ?", (gateway.providers[1],))
    event = client.receive()
    assert (event["data"]["provider_id"], event["data"]["latency_ms"]) == (gateway.providers[1], 777)


def test_a_provider_turns_unavailable_by_time(providers):
    """Ten minutes after the last check, at the right moment, without any write."""
    gateway, client, _ = providers
    next_rows(client, 3)
    at = now_ns()
    gateway.execute("UPDATE providers SET last_health_check = ? WHERE id = ?", (gateway_text(at - 597 * 10**9), gateway.providers[2]))
    event = client.receive()
    told = now_ns()
    assert (event["data"]["provider_id"], event["data"]["status"], event["data"]["available"]) == (gateway.providers[2], "unhealthy", False)
    assert told >= at + 3 * 10**9, "told before it was true"


def test_a_subscriber_of_before_the_first_look(start, tmp_path, request):
    """Who subscribed before the database could be read gets the present state when there is one."""
    database = tmp_path / "gateway.db"
    running = start(settings(database, providers={"enabled": True}, requests={"enabled": False}))
    with WebSocket(running.port, "/ws/providers") as client:
        client.settle()
        later = tmp_path / "later.db"
        gateway = Gateway(later, request.config.seed)
        providers = {gateway.add_provider(f"Provider {n}") for n in range(3)}
        gateway.close()
        later.rename(database)
        found = set()
        while found != providers:
            message = client.receive()
            if message["type"] == "provider_status":
                found.add(message["data"]["provider_id"])


def test_a_new_provider(providers):
    gateway, client, _ = providers
    next_rows(client, 3)
    identifier = gateway.add_provider("Provider new", score=0.7)
    event = client.receive()
    assert (event["data"]["provider_id"], event["data"]["status"]) == (identifier, "degraded")


def test_canary_a_lost_or_doubled_row_is_seen():
    """The check of rows must notice each kind of fault."""
    rows = [{"id": str(n), "status_code": 200, "latency_ms": n, "input_tokens": 1, "output_tokens": 1, "success": 1, "error_message": "",
             "user_id": NIL} for n in range(5)]

    class Fake:
        def __init__(self, order):
            self.events = [{"type": "request", "data": {**rows[n], "request_id": str(n), "success": True, "endpoint": f"x?n={n + 1}"}} for n in order]

    check_rows(Fake([0, 1, 2, 3, 4]), rows)
    for order in ([0, 1, 3, 4], [0, 1, 2, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 2, 3]):
        with pytest.raises(AssertionError):
            check_rows(Fake(order), rows)
    wrong = Fake([0, 1, 2, 3, 4])
    wrong.events[3]["data"]["latency_ms"] += 1
    with pytest.raises(AssertionError):
        check_rows(wrong, rows)
