"""/metrics of the running daemon: what it says is what the document promises, and it moves when things happen."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, Literal, wait_until
from support.gateway import FIXTURES, Gateway, create
from support.http import Connection, get, publish, publish_many, request
from support.metrics import Scrape, parse, scrape
from support.tls import Certificates, context
from support.tls import settings as tls_settings
from support.tokens import KEYS, SECRET, Accounts, token
from support.ws import PING, Refused, WebSocket, encode
from test_reload import reload

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "METRICS.md"
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test")]


def documented():
    """(kind, {label: values}) by name, as the tables of the document have them."""
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        row = re.fullmatch(r"\| `((?:goleapai_ws|process)_[a-z_]+)` \| (counter|gauge|histogram)(?:, [a-z]+)? \| (.*?) \| (.*?) \| .+ \|", line)
        if row:
            name, kind, labels, text = row.groups()
            found[name] = (kind, {label: set(re.findall(r"`([^`]*)`", values)) for label, values in re.findall(r"`([a-z]+)`: ([^;]*)", labels)}, text)
    assert len(found) > 50
    return found


# The format and the document

def test_the_document_is_what_the_program_writes(binary):
    done = subprocess.run([str(binary), "help", "--generate", "metrics"], capture_output=True, text=True, check=True)
    assert done.stdout == DOCUMENT.read_text(), "make it anew: goleapai-ws help --generate metrics > docs/METRICS.md"


def test_the_page_is_the_documented_one(daemon):
    families, known = scrape(daemon.port).families, documented()
    assert set(families) == set(known)
    for name, family in families.items():
        kind, labels, text = known[name]
        assert (family.kind, family.help) == (kind, text), name
        for _, found in family.samples:
            found = {label: value for label, value in found if label != "le"}
            assert set(found) == set(labels), name
            if name.endswith("_build_info") or "shard" in found:
                continue
            for label, value in found.items():
                assert value in labels[label], (name, label, value)
        # Every combination is there from the start.
        if not name.endswith("_build_info") and "shard" not in labels and "certificate" not in name and family.kind != "histogram":
            count = 1
            for values in labels.values():
                count *= len(values)
            assert len(family.samples) == count, name


GOOD = '# HELP a_total Text.\n# TYPE a_total counter\na_total{x="1"} 2\n'


@pytest.mark.parametrize("text", [
    GOOD[:-1], GOOD.replace("} 2", "} two"), GOOD.replace("} 2", "}  2"), GOOD.replace('"1"', "1"), GOOD.replace('{x="1"}', '{x="1",}'), GOOD.replace('{x="1"}', "{}"),
    GOOD.replace('{x="1"}', '{x="a"b"}'), GOOD.replace('{x="1"}', '{x="\\t"}'), GOOD.replace('{x="1"}', '{x="1",x="2"}'), GOOD + 'a_total{x="1"} 2\n',
    GOOD + GOOD, GOOD.replace("\na_total", "\nb_total"), GOOD.replace("# TYPE a_total counter\n", ""), GOOD.replace("# HELP a_total Text.\n", ""),
    GOOD.replace("counter", "summary"), GOOD.replace("} 2", "} -1"), GOOD.replace("} 2", "} NaN"), GOOD + "\n", GOOD.replace("a_total", "a"),
    '# HELP h T.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 0\nh_count 1\n',
    '# HELP h T.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 0\nh_count 1\n',
    '# HELP h T.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 0\nh_count 1\n',
])
def test_canary_the_reader_is_strict(text):
    parse(GOOD)
    with pytest.raises((AssertionError, AttributeError, ValueError, KeyError)):
        parse(text)


def test_head_and_other_methods(daemon):
    head = request(daemon.port, "HEAD", "/metrics")
    assert head.status == 200 and head.body == b"" and int(head.header("Content-Length")) > 10_000
    assert request(daemon.port, "POST", "/metrics", body=b"").status == 405
    assert get(daemon.port, "/metrics/").status == 404


# Who may ask

def test_free_on_this_machine_only(daemon):
    assert get(daemon.port, "/metrics").status == 200
    before = scrape(daemon.port)
    for fields in ([("X-Forwarded-For", "192.0.2.1")], [("Via", "1.1 proxy")], [("Forwarded", "for=192.0.2.1")]):
        assert get(daemon.port, "/metrics", fields).status == 403, fields
    for fields in ([("Origin", "https://elsewhere.example")], [("Host", "elsewhere.example")]):
        assert get(daemon.port, "/metrics", fields).status == 403, fields
    after = scrape(daemon.port)
    moved = {reason: after("refusals_total", reason=reason) - before("refusals_total", reason=reason) for reason in ("admin", "origin", "host")}
    assert moved == {"admin": 3, "origin": 1, "host": 1}
    assert after("http_responses_total", status="403") - before("http_responses_total", status="403") == 5


def test_with_the_gateways_credentials(start, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    daemon = start({"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}})
    admin, user = accounts.user("admin"), accounts.user("user")
    key, _ = accounts.key(admin)
    assert get(daemon.port, "/metrics").status == 200
    proxied = [("X-Forwarded-For", "192.0.2.1")]
    assert get(daemon.port, "/metrics", proxied).status == 401
    # A page whose name was made to lead here asks as this machine.
    assert get(daemon.port, "/metrics", [("Host", "elsewhere.example")]).status == 401
    for authorization, status in ((f"Bearer {token(admin, 'admin')}", 200), (f"Bearer {token(user)}", 403), (f"ApiKey {key}", 403),
                                  (f"Bearer {token(user, 'admin')}", 403), ("Bearer x", 401)):
        answer = get(daemon.port, "/metrics", [*proxied, ("Authorization", authorization)])
        assert answer.status == status, (authorization[:12], answer)
    assert "goleapai_ws_clients" in Scrape(get(daemon.port, "/metrics", [*proxied, ("Authorization", f"Bearer {token(admin, 'admin')}")]).body.decode()).families


def test_turned_off_by_a_reload(start):
    daemon = start()
    assert get(daemon.port, "/metrics").status == 200
    reload(daemon, {"metrics": {"enabled": False}})
    assert get(daemon.port, "/metrics").status == 404
    reload(daemon, {"metrics": {"enabled": True}, "websocket": {"enabled": False, "max_clients": 7}})
    assert scrape(daemon.port)("limit", name="max_clients") == 7


# It moves

def moved(port, before, name, by=1, **labels):
    """Waits until a figure has grown by so much; what a shard does behind an answer may be counted a moment later."""
    def grown():
        now = scrape(port)
        return now if now(name, **labels) - before(name, **labels) >= by else None

    now = wait_until(grown, f"{name} {labels} grows by {by}")
    assert now(name, **labels) - before(name, **labels) == by, (name, labels)
    return now


def test_events_and_deliveries(start):
    daemon = start({"redact": {"fields": ["pin"]}})
    with WebSocket(daemon.port, "/ws/logs") as one, WebSocket(daemon.port, "/ws/all") as all_, WebSocket(daemon.port, "/ws/logs?level=error") as filtered:
        before = scrape(daemon.port)
        assert before("clients") == 3 and before("subscriptions", channel="logs") == 2 and before("subscriptions", channel="all") == 1
        assert before("clients_total") == 3 and before("http_responses_total", status="101") == 3
        secret = "sk-" + "a1B2" * 10
        events = [("logs", "log", {"level": "info", "message": f"{n} {secret}", "pin": "1234"}) for n in range(5)] + [("requests", "note", {})]
        publish_many(daemon.port, events)
        assert len(one.settle()) == 5 and len(all_.settle()) == 6 and not filtered.settle()
        now = scrape(daemon.port)

        def grown(name, **labels):
            return now(name, **labels) - before(name, **labels)

        assert grown("events_published_total", channel="logs", source="broadcast") == 5
        assert grown("events_published_total", channel="requests", source="broadcast") == 1
        assert grown("events_offered_total", channel="logs") == 15
        assert grown("deliveries_total", channel="logs", outcome="delivered") == 10
        assert grown("deliveries_total", channel="logs", outcome="filtered") == 5
        assert grown("deliveries_total", channel="requests") == 1
        delivered = sum(grown("deliveries_total", channel=channel, outcome="delivered") for channel in ("logs", "requests", "all"))
        assert grown("publish_to_socket_seconds_count") == delivered
        assert grown("ring_depth_spans_count") > 0 and now("events_waiting") == 0
        assert grown("redactions_total", rule="provider_key") == 5 and grown("redactions_total", rule="field") == 5
        assert grown("sent_bytes_total") > 11 * 100 and grown("received_bytes_total") > 100
        assert grown("messages_received_total") == sum(client.messages_sent for client in (one, all_, filtered)) >= 3
        assert now("history_events") >= 6 and now("history_bytes") > 500
        one.send("{")
        one.send({"type": "subscribe", "data": {"channels": ["nonsense"]}})
        assert [one.receive()["data"]["code"] for _ in range(2)] == ["invalid_json", "invalid_channel"]
        assert scrape(daemon.port)("message_errors_total") == 2
        one.send_close(1000)
        assert one.receive_close()[1] == 1000
        moved(daemon.port, before, "closes_total", side="client", code="normal")
        all_.sock.shutdown(socket.SHUT_WR)
        after = moved(daemon.port, before, "disconnects_total", reason="vanished")
        assert after("clients") == 1 and after("disconnects_total") == 2 and after("shard_clients") == 1


@pytest.mark.slow_reader
def test_slow_consumers(start):
    daemon = start({"history": {"max_events": 200, "max_bytes": 1_000_000}})
    with WebSocket(daemon.port, "/ws/logs", receive_buffer=4096) as slow, WebSocket(daemon.port, "/ws/logs") as good:
        before = scrape(daemon.port)
        pad = "p" * 2000
        ids = []
        for batch in range(40):
            ids.append(publish_many(daemon.port, [("logs", "log", {"n": batch * 50 + n, "pad": pad}) for n in range(50)], patient=True)["last_id"])
            while good.receive()["data"]["n"] != batch * 50 + 49:
                pass
        full = scrape(daemon.port)
        dropped = full("events_dropped_total", reason="slow_consumer")
        assert full("clients_behind") == 1 and full("events_waiting", channel="logs") > 0 and dropped > 0
        messages = slow.settle(ids[-1])
        gaps = [message for message in messages if message["type"] == "gap"]
        assert gaps
        after = scrape(daemon.port)
        assert sum(gap["data"]["dropped"] for gap in gaps) == after("events_dropped_total", reason="slow_consumer") == after("deliveries_total", outcome="dropped")
        assert len(gaps) == after("gaps_total", reason="slow_consumer")
        assert after("clients_behind") == 0 and after("events_waiting") == 0
        # But for those of which history let go while they were being sent.
        untimed = after("deliveries_total", outcome="delivered") - after("publish_to_socket_seconds_count")
        assert 0 <= untimed <= after("events_dropped_total", reason="slow_consumer") and before("publish_to_socket_seconds_count") == 0


def test_replays_and_gaps(start):
    daemon = start()
    first = publish_many(daemon.port, [("logs", "log", {"n": n}) for n in range(10)])["first_id"]
    before = scrape(daemon.port)
    with WebSocket(daemon.port, f"/ws/logs?since={first}") as client:
        assert len(client.receive_until("caught_up")) == 10
    with WebSocket(daemon.port, "/ws/logs?history=3") as client:
        assert len(client.receive_until("caught_up")) == 4
    with WebSocket(daemon.port, "/ws/logs?since=nowhere-5") as client:
        assert client.receive_until("caught_up")[0]["data"]["reason"] == "restarted"
    after = scrape(daemon.port)
    assert after("replays_total") - before("replays_total") == 3
    assert after("gaps_total", reason="restarted") - before("gaps_total", reason="restarted") == 1
    assert after("replays_running") == 0
    # As old as they are, they are not late.
    assert after("publish_to_socket_seconds_count") == before("publish_to_socket_seconds_count")


def test_limits_of_requests(start):
    daemon = start({"broadcast": {"events_per_second": 5, "burst": 10, "max_event_bytes": 2000, "max_batch_bytes": 100_000}})

    def broadcast(body):
        return request(daemon.port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json")], body).status

    event = {"channel": "logs", "type": "log", "data": {}}
    cases = [
        ("events_per_second", lambda: [broadcast(json.dumps([event] * 10).encode()) for _ in range(2)][-1], 429),
        ("broadcast_burst", lambda: broadcast(json.dumps([event] * 11).encode()), 413),
        ("event_bytes", lambda: broadcast(json.dumps({**event, "data": "x" * 3000}).encode()), 413),
        ("body_bytes", lambda: broadcast(b"[" + b" " * 200_000), 413),
        ("body_bytes", lambda: request(daemon.port, "GET", "/health", body=b"x").status, 413),
        ("head_bytes", lambda: get(daemon.port, "/health", [("X", "y" * 20_000)]).status, 431),
        ("head_bytes", lambda: get(daemon.port, "/" + "y" * 9000).status, 414),
        ("origin", lambda: get(daemon.port, "/ws/logs", [*UPGRADE, ("Origin", "https://elsewhere.example")]).status, 403),
        ("host", lambda: get(daemon.port, "/health", [("Host", "elsewhere.example")]).status, 403),
        ("proxy_header", lambda: raw(daemon.port, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400),
    ]
    for reason, ask, status in cases:
        before = scrape(daemon.port)
        assert ask() == status, reason
        after = moved(daemon.port, before, "refusals_total", reason=reason)
        assert after("http_responses_total", status=str(status)) - before("http_responses_total", status=str(status)) == 1
    assert scrape(daemon.port)("refusals_total") == len(cases)


def raw(port, data):
    with Connection(port) as connection:
        connection.send(data)
        return connection.receive().status


def test_limits_of_clients(start):
    daemon = start({"limits": {"messages_per_second": 20, "bytes_per_second": 65536}, "websocket": {"max_clients": 2, "max_message_bytes": 4096}})
    before = scrape(daemon.port)
    with WebSocket(daemon.port, "/ws/logs") as flooder:
        flooder.send_bytes(encode(PING, b"x") * 100)
        assert flooder.receive_close()[1] == 4013
    now = moved(daemon.port, before, "refusals_total", reason="messages_per_second")
    assert now("rate_limited_messages_total") > 0
    moved(daemon.port, before, "closes_total", side="daemon", code="flood")
    with WebSocket(daemon.port, "/ws/logs") as large:
        large.send("x" * 5000)
        assert large.receive_close()[1] == 1009
    moved(daemon.port, before, "refusals_total", reason="message_bytes")
    moved(daemon.port, before, "disconnects_total", reason="protocol_error")
    moved(daemon.port, before, "disconnects_total", by=2)
    with WebSocket(daemon.port, "/ws/logs"), WebSocket(daemon.port, "/ws/logs"):
        with pytest.raises(Refused):
            WebSocket(daemon.port, "/ws/logs")
    moved(daemon.port, before, "refusals_total", reason="max_clients")


def test_credentials(start, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    daemon = start({"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}, "limits": {"connections_per_user": 1}})
    user, other = accounts.user(), accounts.user()
    good = [("Authorization", f"Bearer {token(user)}")]
    bad = token(user)[:-4] + "AAAA"

    def handshake(path, headers=()):
        return get(daemon.port, path, [*UPGRADE, *headers]).status

    cases = [
        ("no_credential", lambda: handshake("/ws/stats"), 401),
        ("credential", lambda: handshake("/ws/stats", [("Authorization", f"Bearer {bad}")]), 401),
        ("credential", lambda: handshake("/ws/stats", [("Authorization", f"Bearer {token(user, seconds=-100)}")]), 401),
        ("credential", lambda: handshake("/ws/stats", [("Authorization", "Basic eDp5")]), 401),
        ("ticket", lambda: handshake("/ws/stats?ticket=nobody"), 401),
        ("channel", lambda: handshake("/ws/logs", good), 403),
        ("admin", lambda: get(daemon.port, "/admin/ws/stats", good).status, 403),
    ]
    for reason, ask, status in cases:
        before = scrape(daemon.port)
        assert ask() == status, reason
        moved(daemon.port, before, "refusals_total", reason=reason)
    now = scrape(daemon.port)
    assert now("credentials_refused_total", reason="signature") == 1 and now("credentials_total", result="expired") == 1
    assert now("credentials_total", result="accepted") >= 2
    with WebSocket(daemon.port, "/ws/stats", headers=good):
        assert handshake("/ws/stats", good) == 429
        now = moved(daemon.port, now, "refusals_total", reason="connections_per_user")
    answers = [request(daemon.port, "POST", "/ws/ticket", [("Authorization", f"Bearer {token(other)}")], b"").status for _ in range(33)]
    assert answers == [200] * 32 + [429]
    after = moved(daemon.port, now, "refusals_total", reason="tickets")
    assert after("tickets_outstanding") == 32 and after("credential_lookups_total", cache="hit") > now("credential_lookups_total", cache="hit")


def test_api_keys_cost_bcrypt(start, tmp_path):
    path = tmp_path / "gateway.db"
    shutil.copy(FIXTURES / "gateway-small.db", path)
    path.chmod(0o644)
    daemon = start({"database": {"connection": str(path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}})
    for entry in KEYS["api_keys"]:
        get(daemon.port, "/ws/stats", [*UPGRADE, ("Authorization", f"ApiKey {entry['key']}")])
    after = scrape(daemon.port)
    assert after("bcrypt_runs_total") > 0 and after("credentials_refused_total") > 0 and after("bcrypt_queue") == 0 and after("credentials_waiting") == 0


def test_tls(binary, tmp_path):
    certificates = Certificates(tmp_path / "certificates")
    files = certificates.make("server", days=30)
    with Daemon(binary, tmp_path / "daemon", {**QUIET, **tls_settings(files), "server": {**QUIET["server"], **tls_settings(files)["server"]}}) as daemon:
        before = scrape(daemon.port)
        assert 29 * 86400 < before("tls_certificate_expiry_timestamp_seconds") - time.time() <= 30 * 86400 + 60
        with WebSocket(daemon.tls_port, "/ws/logs", tls=context()):
            now = scrape(daemon.port)
            assert now("connections", transport="tls") == 1 and now("connections", transport="plain") == 1
        moved(daemon.port, before, "tls_handshakes_total", kind="full")
        for data, reason in ((b"\x00nonsense that is no TLS\r\n\r\n", "not_tls"), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain_http")):
            with socket.create_connection(("127.0.0.1", daemon.tls_port), timeout=PATIENCE) as bad:
                bad.sendall(data)
                while bad.recv(4096):
                    pass
            moved(daemon.port, before, "tls_handshake_failures_total", reason=reason)


def test_sources(start, tmp_path):
    path = tmp_path / "gateway.db"
    create(path)
    gateway = Gateway(path)
    daemon = start({"database": {"connection": str(path)}, "sources": {"requests": {"enabled": True}, "stats": {"enabled": True}}})
    wait_until(lambda: scrape(daemon.port)("source_up", source="requests") == 1, "the source works")
    with WebSocket(daemon.port, "/ws/requests") as client, WebSocket(daemon.port, "/ws/stats?interval=1") as stats:
        before = scrape(daemon.port)
        gateway.insert([gateway.row() for _ in range(3)])
        assert [client.receive()["type"] for _ in range(3)] == ["request"] * 3
        assert stats.receive()["type"] == "stats_update"
        now = scrape(daemon.port)
        assert now("events_published_total", channel="requests", source="requests") - before("events_published_total", channel="requests", source="requests") == 3
        assert now("database_rows_total") - before("database_rows_total") == 3
        assert now("events_published_total", channel="stats", source="stats") > 0 and now("database_reads_total", result="ok") > 0
        assert now("sampler_seconds_total", phase="reading") > 0
    assert [now("source_enabled", source=name) for name in ("stats", "requests", "providers", "journal")] == [1, 1, 0, 0]
    assert now("source_up", source="journal") == 0 and now("source_lag_seconds", source="providers") == 0
    gateway.close()
    path.unlink()
    now = wait_until(lambda: (found := scrape(daemon.port))("source_up", source="requests") == 0 and found, "the source fails")
    assert now("source_enabled", source="requests") == 1
    wait_until(lambda: scrape(daemon.port)("database_reads_total", result="failed") > 0, "failures are counted")
    wait_until(lambda: scrape(daemon.port)("log_entries_total", level="warn") > 0, "the log says so")


def test_the_process(daemon):
    now = scrape(daemon.port)
    assert 0 < now("process_open_fds") < now("process_max_fds")
    assert 1_000_000 < now("process_resident_memory_bytes") <= now("process_virtual_memory_bytes")
    assert now("process_start_time_seconds") <= time.time() + 1 and now("process_cpu_seconds_total") > 0 and now("process_threads") >= 5
    assert now("build_info") == 1 and now("shards") == 2 and now("uptime_seconds") >= 0 and now("draining") == 0


# Nothing that is nobody's business

def test_no_secret_and_nobody_shows(start, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    daemon = start({"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}, "redact": {"fields": ["canaryfield"]}})
    admin = accounts.user("admin")
    key, identifier = accounts.key(accounts.user())
    mine = token(admin, "admin")
    ticket = request(daemon.port, "POST", "/ws/ticket", [("Authorization", f"Bearer {mine}")], b"").json["ticket"]
    canary = "sk-canary" + "Zz9" * 12
    secrets = [SECRET, mine, mine.rpartition(".")[2], key, ticket, admin, identifier, canary, "canary-agent", "canary-origin", "canary-path", "canaryfield", "192.0.2.99"]
    with WebSocket(daemon.port, "/ws/all", headers=[("Authorization", f"Bearer {mine}"), ("User-Agent", "canary-agent")]) as client:
        publish(daemon.port, "logs", "canary-path", {"canaryfield": canary, "message": canary}, [("Authorization", f"Bearer {mine}")])
        client.receive()
        client.send({"type": "auth", "data": {"token": key}})
        client.receive()
        for path, fields in (("/canary-path", []), (f"/ws/stats?ticket={ticket}x", UPGRADE), ("/health", [("Origin", "https://canary-origin.example")]),
                             ("/ws/stats", [*UPGRADE, ("Authorization", f"ApiKey {key}x")]), ("/metrics", [("X-Forwarded-For", "192.0.2.99")])):
            get(daemon.port, path, fields)
        text = scrape(daemon.port).text
    for secret in secrets:
        assert secret not in text, secret
    # The names of labels are those of the document, so no other can hold an id.
    assert not re.search(r'="(?:\d{1,3}\.){3}\d', text)


# Scrapes and load

def test_scrapes_beside_a_stream(start, fact):
    """Scraped without a pause while events go out, nothing is lost or out of order, and every page agrees with itself."""
    daemon = start({"server": {"shards": 1}})
    clients = [WebSocket(daemon.port, "/ws/logs") for _ in range(20)]
    stop, failures, pages = threading.Event(), [], []

    def scrapes():
        last = None
        try:
            with Connection(daemon.port) as connection:
                while not stop.is_set():
                    page = Scrape(connection.request("GET", "/metrics").body.decode())
                    if last:
                        for name in ("deliveries_total", "sent_bytes_total", "publish_to_socket_seconds_count"):
                            assert page(name) >= last(name), name
                    last = page
                    pages.append(page("deliveries_total", outcome="delivered"))
        except Exception as error:  # noqa: BLE001  told by the test's own thread
            failures.append(repr(error))

    threads = [threading.Thread(target=scrapes) for _ in range(2)]
    for thread in threads:
        thread.start()
    for batch in range(100):
        publish_many(daemon.port, [("logs", "log", {"n": batch * 20 + n}) for n in range(20)], patient=True)
        for client in clients:
            assert [client.receive()["data"]["n"] for _ in range(20)] == list(range(batch * 20, batch * 20 + 20))
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures and len(pages) > 2, failures
    assert scrape(daemon.port)("deliveries_total", outcome="delivered", channel="logs") == 20 * 2000
    fact(f"{len(pages)} scrapes beside 40,000 deliveries")
    for client in clients:
        client.sock.close()
