"""The demo: everything comes without any gateway."""

import json
import os
import sqlite3
from pathlib import Path

from support.daemon import Daemon, wait_until
from support.http import get
from support.reference import compare, nanoseconds, statistics
from support.ws import WebSocket


def demo(binary, directory, seed=7, rate=50):
    return Daemon(binary, directory, with_config=False, environment={"GOLEAPAI_WS_SERVER_PORT": "0"},
                  arguments=["--demo", "--demo-rate", str(rate), "--demo-seed", str(seed)])


def test_demo(binary, tmp_path):
    with demo(binary, tmp_path) as running:
        files = wait_until(lambda: [p for p in (tmp_path / "tmp").rglob("*.db")], "a database in the temporary directory")
        with WebSocket(running.port, "/ws/all?interval=1") as client:
            seen = {}
            while not {"stats_update", "request", "provider_status", "log"} <= set(seen):
                message = client.receive(patience=120)
                seen.setdefault(message["type"], message)
            while message["type"] != "stats_update":
                message = client.receive()
        assert {"request_id", "provider_id", "provider_name", "model_name", "method", "endpoint", "status_code", "latency_ms",
                "input_tokens", "output_tokens", "success"} <= set(seen["request"]["data"])
        assert {"provider_id", "provider_name", "status", "available", "latency_ms", "success_rate", "message"} <= set(
            seen["provider_status"]["data"])
        assert {"level", "message"} <= set(seen["log"]["data"])
        # A gateway writes while the numbers are compared: bound them by what was there a little before and after.
        data = message["data"]
        assert data["total_requests"] > 0 and data["provider_stats"]
        assert get(running.port, "/ready").status == 200
        running.wait_for_log("serves at most")
        text = "\n".join(running.output() + running.log())
        for command in ("websocat", "curl", "/ws/stats", "/admin/ws/broadcast", str(running.port)):
            assert command in text, f"{command} is not among the commands to try"
        tables = {row[0] for row in sqlite3.connect(f"file:{files[0]}?mode=ro", uri=True).execute("SELECT name FROM sqlite_master")}
        assert {"users", "api_keys", "providers", "models", "request_logs", "idx_request_logs_timestamp"} <= tables
    assert os.listdir(tmp_path / "tmp") == [], "the demo leaves nothing behind"


def test_demo_statistics_are_those_of_its_database(binary, tmp_path):
    """An update says what the rows say that were there when it was made: some number of them between two copies of the file."""
    with demo(binary, tmp_path, rate=5) as running:
        database = wait_until(lambda: [p for p in (tmp_path / "tmp").rglob("*.db")], "a database")[0]
        with WebSocket(running.port, "/ws/stats?window=1h&interval=1") as client:
            # More than one, because a provider's availability may change between update and copy.
            for _ in range(10):
                first = last_row(snapshot(database, tmp_path / "before.db"))
                data = client.receive()["data"]
                after = snapshot(database, tmp_path / "after.db")
                for last in range(last_row(after), first - 1, -1):
                    with sqlite3.connect(after) as copy:
                        copy.execute("DELETE FROM request_logs WHERE rowid > ?", (last,))
                    wrong = compare(data, statistics(after, "1h", nanoseconds(data["calculated_at"])))
                    if not wrong:
                        return
    raise AssertionError("no update agreed with the rows:\n" + "\n".join(wrong[:10]))


def snapshot(source, target):
    Path(target).unlink(missing_ok=True)
    with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as connection, sqlite3.connect(target) as copy:
        connection.backup(copy)
    return target


def last_row(database):
    return sqlite3.connect(database).execute("SELECT max(rowid) FROM request_logs").fetchone()[0]


def test_the_seed_makes_the_traffic(binary, tmp_path):
    """Two demos of one seed have the same providers and the same past; another seed has another."""
    found = []
    for number, seed in enumerate([3, 3, 4]):
        with demo(binary, tmp_path / str(number), seed=seed):
            database = wait_until(lambda n=number: [p for p in (tmp_path / str(n) / "tmp").rglob("*.db")], "a database")[0]
            connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
            found.append(connection.execute("SELECT latency_ms, input_tokens, success FROM request_logs ORDER BY rowid LIMIT 300").fetchall())
            connection.close()
    assert len(found[0]) == 300
    assert found[0] == found[1] != found[2]


def test_demo_events_are_json_lines_for_websocat(binary, tmp_path):
    with demo(binary, tmp_path) as running, WebSocket(running.port, "/ws/requests") as client:
        for _ in range(20):
            text = client.receive_text().decode()
            assert "\n" not in text and json.loads(text)["type"] == "request"
