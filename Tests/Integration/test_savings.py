"""What compression and MessagePack save of the bytes of a gateway's own events: its rows, its log lines, its statistics."""

import json
import sqlite3
import uuid

import pytest
from support.gateway import FIXTURES, Gateway, now_ns, shifted_fixture
from support.http import get, publish_many
from support.daemon import wait_until
from support.packed import PackedWebSocket
from support.reference import gateway_text
from support.ws import WebSocket

UPDATES = 12
ROWS = 600


def log_data(line):
    """As the daemon takes a line of the journal apart; Tests/System does it with a real journal."""
    fields = json.loads(line)
    taken = {name: fields.pop(name) for name in ("level", "message", "component", "provider_id", "request_id") if name in fields}
    return {**taken, "fields": fields, "timestamp": "2026-03-02T14:29:45.335Z", "unit": "goleapai.service", "source": "journal"}


def rows_of(database):
    """The newest rows of the fixture, as they would be written now."""
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    now = now_ns()
    rows = [dict(row) for row in connection.execute("SELECT * FROM request_logs ORDER BY rowid DESC LIMIT ?", (ROWS,))]
    connection.close()
    for number, row in enumerate(rows):
        row.update(id=str(uuid.uuid4()), timestamp=gateway_text(now + number * 1_234_567), created_at=gateway_text(now + number * 1_234_567))
    return rows


class Scale:
    """Weighs the payloads of a client's messages, by their type."""

    def __init__(self, client):
        self.client = client
        self.sizes = {}
        self.compressed = {}

    def read(self, wanted):
        """Until so many of each type have come."""
        while any(len(self.sizes.get(kind, ())) < number for kind, number in wanted.items()):
            bytes_before, compressed_before = self.client.wire_bytes, self.client.compressed
            kind = self.client.receive()["type"]
            self.sizes.setdefault(kind, []).append(self.client.wire_bytes - bytes_before)
            self.compressed.setdefault(kind, []).append(self.client.compressed - compressed_before)

    def mean(self, kind):
        # Of statistics one client may have had one more than another.
        sizes = self.sizes[kind][:UPDATES] if kind == "stats_update" else self.sizes[kind]
        return sum(sizes) / len(sizes)


def weigh(start, path, **compression):
    shifted_fixture(path, now_ns())
    gateway = Gateway(path)
    daemon = start({
        "database": {"connection": str(path)}, "compression": compression,
        "sources": {"stats": {"enabled": True}, "requests": {"enabled": True}, "providers": {"enabled": True}}})
    wait_until(lambda: get(daemon.port, "/ready?source=database").status == 200, "the database is read")
    offer = "permessage-deflate"
    clients = {("json", "plain"): WebSocket(daemon.port, "/ws/all?interval=1"), ("json", "deflate"): WebSocket(daemon.port, "/ws/all?interval=1", deflate=offer),
               ("msgpack", "plain"): PackedWebSocket(daemon.port, "/ws/all?interval=1"),
               ("msgpack", "deflate"): PackedWebSocket(daemon.port, "/ws/all?interval=1", deflate=offer)}
    gateway.insert(rows_of(path))
    lines = (FIXTURES / "journal-sample.jsonl").read_text().splitlines()
    publish_many(daemon.port, [("logs", "log", log_data(line)) for line in lines])
    gateway.execute("UPDATE providers SET health_score = 0.3 + health_score / 10")
    scales = {form: Scale(client) for form, client in clients.items()}
    for scale in scales.values():
        scale.read({"request": ROWS, "log": len(lines), "provider_status": 5, "stats_update": UPDATES})
        scale.client.sock.close()
    gateway.close()
    daemon.stop()
    return scales


@pytest.mark.long
def test_bytes_of_each_type(start, tmp_path, fact):
    default = weigh(start, tmp_path / "default.db")
    shared = weigh(start, tmp_path / "shared.db", threshold_bytes=0)
    context = weigh(start, tmp_path / "context.db", threshold_bytes=0, context_takeover=True)
    for kind in ("log", "request", "provider_status", "stats_update"):
        plain, packed = (shared[form, "plain"].mean(kind) for form in ("json", "msgpack"))
        row = [plain, shared["json", "deflate"].mean(kind), context["json", "deflate"].mean(kind),
               packed, shared["msgpack", "deflate"].mean(kind), context["msgpack", "deflate"].mean(kind)]
        at_default = default["json", "deflate"].compressed[kind]
        fact(f"{kind}: " + ", ".join(f"{name} {size:.0f} ({plain / size:.2f})" for name, size in zip(
            ("JSON", "shared", "context", "MessagePack", "shared", "context"), row)) + f"; at least 512 bytes: {sum(at_default) / len(at_default):.0%}")
        assert row[0] > row[1] > row[2] and row[0] > row[3] > row[4] > row[5]
