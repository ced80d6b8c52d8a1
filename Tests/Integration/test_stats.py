"""Statistics through the running daemon, against numbers worked out here from the same file."""

import json
import random
import time

import pytest
from support.gateway import FIXTURE_NOW, FIXTURES, Gateway, now_ns, shifted_fixture
from support.reference import WINDOWS, compare, gateway_text, nanoseconds, statistics
from support.ws import WebSocket

SOURCES = {"stats": {"enabled": True}, "requests": {"enabled": False}, "providers": {"enabled": False}}


def settings(path):
    return {"database": {"connection": str(path)}, "sources": SOURCES}


def check(database, data):
    """One `stats_update` against the reference, at the instant that it names."""
    at = nanoseconds(data["calculated_at"])
    wrong = compare(data, statistics(database, data["time_window"], at))
    assert not wrong, f"at {data['calculated_at']}, window {data['time_window']}:\n" + "\n".join(wrong)


def test_the_reference_agrees_with_the_fixture():
    """The numbers that come with the fixture, so that the reference itself has been checked by a third party."""
    cases = json.loads((FIXTURES / "gateway-small.expected.json").read_text())
    instants = [(cases["now"], cases["windows"])] + [(case["now"], case["windows"]) for case in cases["more_cases"]]
    assert len(instants) == 5
    for now, windows in instants:
        for window, right in windows.items():
            got = statistics(FIXTURES / "gateway-small.db", window, nanoseconds(now))
            for name in ("total_requests", "total_tokens", "success_rate", "avg_latency_ms", "requests_per_min"):
                assert got[name] == right[name], (now, window, name)
            assert sorted(got["provider_stats"], key=lambda r: r["provider_id"]) == right["provider_stats"]


@pytest.mark.parametrize("offsets", ["as in the fixture", "mixed offsets"])
def test_fixture_shifted_to_now(start, tmp_path, rng, offsets):
    database = tmp_path / "gateway.db"
    minutes = [0, 60, 120, -300, 345, -570, 840, -720]
    chosen = {}

    def offset_of(rowid):
        if offsets == "as in the fixture":
            return 0
        return chosen.setdefault(rowid, rng.choice(minutes))

    # Edges of the windows lie a few seconds ahead, so that rows leave the windows while we watch.
    shifted_fixture(database, now_ns() + 3 * 10**9, offset_of)
    running = start(settings(database))
    clients = {}
    for window in WINDOWS:
        clients[window] = WebSocket(running.port, f"/ws/stats?window={window}&interval=1")
    for window, client in clients.items():
        totals = set()
        for _ in range(7):
            event = client.receive()
            assert event["type"] == "stats_update" and "id" not in event
            assert event["data"]["time_window"] == window
            check(database, event["data"])
            totals.add(event["data"]["total_requests"])
        if window == "1m":
            assert len(totals) > 1, "rows should have left the window while we watched"
        client.sock.close()


def test_subscribers_of_one_group_get_the_same_bytes(start, tmp_path):
    database = tmp_path / "gateway.db"
    shifted_fixture(database, now_ns())
    running = start(settings(database))
    first = WebSocket(running.port, "/ws/stats?window=5m&interval=1")
    second = WebSocket(running.port, "/ws/stats?interval=1")
    texts = [client.receive_text() for client in (first, first, first, second, second)]
    assert set(texts[1:3]) & set(texts[3:]) or set(texts[:3]) & set(texts[3:])


def test_a_new_subscriber_gets_the_present_one_at_once(start, tmp_path):
    """With an interval of an hour there is no waiting for the next."""
    database = tmp_path / "gateway.db"
    shifted_fixture(database, now_ns())
    running = start(settings(database))
    for _ in range(3):
        with WebSocket(running.port, "/ws/stats?window=1h&interval=3600") as client:
            event = client.receive()
            assert event["type"] == "stats_update"
            check(database, event["data"])
    with WebSocket(running.port, "/ws") as client:
        client.send({"type": "subscribe", "id": "1", "data": {"channels": ["stats"], "filters": {"stats": {"window": "24h", "interval": 3600}}}})
        assert client.receive()["type"] == "ack"
        event = client.receive()
        assert event["data"]["time_window"] == "24h"
        check(database, event["data"])


def test_stats_while_rows_come_and_go(start, tmp_path, request):
    """Rows are appended and the newest update, taken while nothing is written, counts all of them."""
    database = tmp_path / "gateway.db"
    shifted_fixture(database, now_ns())
    gateway = Gateway(database, request.config.seed)
    (provider,) = gateway.execute("SELECT id FROM providers LIMIT 1").fetchone()
    running = start(settings(database))
    with WebSocket(running.port, "/ws/stats?window=5m&interval=1") as client:
        for round_number in range(4):
            gateway.insert([gateway.row(provider) for _ in range(50)])
            written = now_ns()
            # An update that was computed after the commit; rows must be counted within 300 ms, so take a later one.
            while True:
                data = client.receive()["data"]
                if nanoseconds(data["calculated_at"]) > written + 10**9:
                    break
            check(database, data)
        gateway.restart()
        gateway.vacuum()
        while nanoseconds(data["calculated_at"]) < now_ns() + 10**9:
            data = client.receive()["data"]
            if nanoseconds(data["calculated_at"]) > written + 4 * 10**9:
                break
        check(database, data)
    assert gateway.errors == []


def test_end_of_summer_time(start, tmp_path):
    """Texts of the hour that happens twice: 02:30+02:00 comes before 02:10+01:00. Written as a gateway in such a zone would,
    with the repeated hour moved to the last minutes before now."""
    database = tmp_path / "gateway.db"
    gateway = Gateway(database, 1)
    provider = gateway.add_provider("P")
    base = now_ns()
    rows = []
    for second in range(0, 7200, 7):
        # The first hour in one offset, the second an hour less: the wall clock repeats itself.
        at = base - (7200 - second) * 10**9
        offset = 120 if second < 3600 else 60
        rows.append(gateway.row(provider, timestamp=gateway_text(at, offset)))
    random.Random(1).shuffle(rows)
    gateway.insert(rows)
    running = start(settings(database))
    for window in WINDOWS:
        with WebSocket(running.port, f"/ws/stats?window={window}&interval=1") as client:
            for _ in range(2):
                check(database, client.receive()["data"])


def test_empty_database(start, tmp_path):
    database = tmp_path / "gateway.db"
    Gateway(database).close()
    running = start(settings(database))
    for window in WINDOWS:
        with WebSocket(running.port, f"/ws/stats?window={window}&interval=1") as client:
            data = client.receive()["data"]
            assert data["total_requests"] == 0 and data["success_rate"] == 0 and data["avg_latency_ms"] == 0
            assert data["provider_stats"] == [] and data["latency_p99_ms"] == 0
            check(database, data)


def test_rows_of_the_future_count(start, tmp_path):
    database = tmp_path / "gateway.db"
    gateway = Gateway(database, 1)
    provider = gateway.add_provider("P")
    gateway.insert([gateway.row(provider, timestamp=gateway_text(now_ns() + ahead * 10**9)) for ahead in (1, 3600, 90000)])
    running = start(settings(database))
    with WebSocket(running.port, "/ws/stats?window=1m&interval=1") as client:
        data = client.receive()["data"]
        assert data["total_requests"] == 3
        check(database, data)


def test_deleted_rows_are_noticed(start, tmp_path):
    """Rows deleted inside a window leave the sums within a minute; the suite waits for it, however long it takes."""
    database = tmp_path / "gateway.db"
    shifted_fixture(database, now_ns())
    gateway = Gateway(database)
    running = start(settings(database))
    with WebSocket(running.port, "/ws/stats?window=24h&interval=1") as client:
        before = client.receive()["data"]["total_requests"]
        gateway.prune(500)
        assert before > 500
        deleted = time.monotonic()
        while True:
            data = client.receive()["data"]
            if data["total_requests"] == 500:
                break
            # They may leave in parts; what is said meanwhile is nothing that ever was wrong by more.
            assert 500 < data["total_requests"] <= before
            assert time.monotonic() < deleted + 120, f"{data['total_requests']} rows are counted, 500 are there"
        check(database, data)


def test_sampling_does_not_disturb_the_gateway(start, tmp_path, request):
    """With all windows watched, a writer that waits for no lock at all still is never told to wait for long."""
    database = tmp_path / "gateway.db"
    shifted_fixture(database, now_ns())
    gateway = Gateway(database, request.config.seed)
    running = start(settings(database))
    clients = [WebSocket(running.port, f"/ws/stats?window={w}&interval=1") for w in WINDOWS]
    for _ in range(200):
        gateway.insert([gateway.row()])
        time.sleep(0.01)
    assert gateway.errors == []
    for client in clients:
        client.receive()
        client.sock.close()


def test_canary_a_wrong_number_is_seen(tmp_path):
    """The comparison itself must be able to fail."""
    database = FIXTURES / "gateway-small.db"
    right = statistics(database, "5m", FIXTURE_NOW)
    data = {**{k: v for k, v in right.items() if k not in ("percentiles", "models", "model_names")},
            **{f"latency_p{p}_ms": v for p, v in right["percentiles"].items()},
            "model_stats": [{"model_id": i, "model_name": right["model_names"][i], **row} for i, row in right["models"].items()]}
    assert compare(data, right) == []
    assert compare({**data, "total_requests": data["total_requests"] + 1}, right)
    assert compare({**data, "success_rate": data["success_rate"] + 1e-12}, right)
    assert compare({**data, "provider_stats": data["provider_stats"][::-1]}, right)
    flipped = [dict(row) for row in data["provider_stats"]]
    flipped[0]["available"] = not flipped[0]["available"]
    assert compare({**data, "provider_stats": flipped}, right)
    assert compare({**data, "latency_p50_ms": data["latency_p50_ms"] * 1.02}, right)
    assert compare({**data, "model_stats": data["model_stats"][1:]}, right)
