"""Server-Sent Events: the same as over WebSocket, in another dress."""

import json
import select
import subprocess
import urllib.parse

import pytest
from support.daemon import PATIENCE, Literal, wait_until
from support.gateway import FIXTURES
from support.http import Connection, get, publish, publish_many, read_response, request, request_bytes
from support.metrics import scrape
from support.sse import Ended, EventStream
from support.tls import Certificates, context, settings
from support.tokens import SECRET, Accounts, bearer, token
from support.ws import Refused, WebSocket
from test_filters import some_event, some_filters

CHANNELS = ["logs", "stats", "providers", "requests"]


def status(port, path, headers=()):
    """What a request for a stream is answered."""
    try:
        with EventStream(port, path, headers) as stream:
            return stream.response.status
    except Refused as refused:
        return refused.response.status


def count(daemon):
    return get(daemon.port, "/admin/ws/stats").json["total_clients"]


# The bytes

def test_bytes_on_the_wire(daemon):
    with Connection(daemon.port) as connection:
        connection.send(request_bytes(daemon.port, "GET", "/sse/logs"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.sock.recv(1)
        assert head == (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"
                        b"Vary: Accept-Encoding\r\nConnection: close\r\n\r\n")
        wait_until(lambda: count(daemon) == 1, "it is a client")
        answer = publish(daemon.port, "logs", "log", {"level": "info", "message": "zwei\nZeilen"})
        epoch, _, sequence = answer["id"].rpartition("-")
        wanted = f"id: {epoch}-{sequence}\nevent: log\ndata: {{\"type\":\"log\",\"id\":\"{epoch}-{sequence}\","
        got = b""
        while not got.count(b"\n\n") == 2:
            got += connection.sock.recv(65536)
        first, event, rest = got.decode().split("\n\n")
        retry, place = first.split("\n")
        assert retry.startswith("retry: ") and place == f"id: {epoch}-{int(sequence) - 1}" and rest == ""
        assert (event + "\n").startswith(wanted) and event.count("\n") == 2, event
        assert json.loads(event.rpartition("data: ")[2])["data"] == {"level": "info", "message": "zwei\nZeilen"}
    wait_until(lambda: count(daemon) == 0, "it has left")


def test_data_with_line_ends_stays_one_line(start):
    """What is published with white space between its tokens, and types with line ends in them."""
    daemon = start()
    with EventStream(daemon.port, "/sse/all") as stream, WebSocket(daemon.port, "/ws/all") as socket:
        body = '{"channel":"logs",\n"type":"log",\r\n"data":{"a" :\n[1,\r\n2],"b":"x\\ny"}}'
        assert request(daemon.port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json")], body.encode()).status == 200
        assert stream.receive()["data"] == {"a": [1, 2], "b": "x\ny"}
        socket.receive()
        for kind in ("two\nlines", "event: forged", "\u00fc\u2028", "\ttab"):
            publish(daemon.port, "logs", kind, {"n": 1})
            text = socket.receive_text()
            assert json.loads(text)["type"] == kind
            kind_seen, data, _ = raw_event(stream)
            assert data.encode() == text and kind_seen == kind.replace("\n", " ")


def raw_event(stream):
    """The next event without the checks of `EventStream`."""
    while True:
        events = stream.parser.feed(stream.sock.recv(65536))
        if events:
            assert len(events) == 1
            return events[0]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_head_and_other_methods(daemon, version):
    with Connection(daemon.port) as connection:
        connection.send(f"HEAD /sse/logs HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        answer = connection.receive("HEAD")
        assert answer.status == 200 and answer.header("Content-Type") == "text/event-stream" and answer.header("Content-Length") is None
        assert connection.sock.recv(1) == b"" and not connection.buffer
    answer = request(daemon.port, "POST", "/sse/logs", body=b"")
    assert answer.status == 405 and answer.header("Allow") == "GET, HEAD"
    assert request(daemon.port, "GET", "/sse/logs", body=b"x").status == 413
    with EventStream(daemon.port, version=version) as stream:
        publish(daemon.port, "logs", "log", {"n": 5})
        assert stream.receive()["data"]["n"] == 5


@pytest.mark.parametrize("path, expected", [
    ("/sse", 400), ("/sse?channels=", 400), ("/sse?channels=nope", 400), ("/sse/nope", 404), ("/sse/", 404), ("/sse/logs?channels=stats", 400),
    ("/sse/logs?level=nope", 400), ("/sse/logs?window=5m", 400), ("/sse/logs?nope=1", 400), ("/sse/logs?since=nope", 400), ("/sse/logs?auth=message", 400),
    ("/sse/logs?heartbeat=ping", 400), ("/sse/logs?level=info&level=warn", 400), ("/sse/logs?history=x", 400), ("/sse/logs?heartbeat=comment", 200),
    ("/sse/logs?heartbeat=json&welcome=true", 200), ("/sse?channels=all", 200), ("/sse?channels=logs,stats&level=warn&window=1h", 200)])
def test_addresses(daemon, path, expected):
    assert status(daemon.port, path) == expected
    assert request(daemon.port, "HEAD", path).status == expected


@pytest.mark.parametrize("value, expected", [
    ("e-1", 200), ("", 200), ("5m", 400), ("2026-02-05T10:30:00Z", 400), ("nope", 400), ("e-1x", 400), ("E-1", 400), ("-", 400), ("x" * 100, 400)])
def test_last_event_id_is_an_id(daemon, value, expected):
    assert status(daemon.port, "/sse/logs", [("Last-Event-ID", value)]) == expected
    assert status(daemon.port, "/sse/logs", [("Last-Event-ID", value), ("Last-Event-ID", "e-1")]) == 400


def test_not_where_websockets_are_turned_off(start):
    daemon = start({"websocket": {"enabled": False}})
    assert request(daemon.port, "GET", "/sse/logs").status == 404


# The same events

def test_the_same_as_over_websocket(start, rng):
    """Every channel, many filters: the bytes of each message are those that a WebSocket beside it gets, in the same order."""
    daemon = start()
    pairs = []
    for channel in CHANNELS * 4 + ["all"] * 2:
        filters = some_filters(rng, channel) if channel != "all" else {}
        query = "?" + urllib.parse.urlencode(filters) if filters else ""
        pairs.append((EventStream(daemon.port, f"/sse/{channel}{query}"), WebSocket(daemon.port, f"/ws/{channel}{query}")))
    pairs.append((EventStream(daemon.port, "/sse?channels=logs,requests&provider_id=p1"), WebSocket(daemon.port, "/ws?channels=logs,requests&provider_id=p1")))
    events = [some_event(rng) for _ in range(600)]
    for first in range(0, 600, 50):
        publish_many(daemon.port, events[first:first + 50])
    last = publish(daemon.port, "all", "end", {})["id"]
    total = 0
    for stream, socket in pairs:
        texts = [socket.receive_text()]
        while json.loads(texts[-1])["type"] != "end":
            texts.append(socket.receive_text())
        assert [stream.receive_text() for _ in texts] == texts, stream.path
        assert stream.last_id == last
        total += len(texts)
    assert total > 1000
    for stream, socket in pairs:
        stream.sock.close()
        socket.sock.close()
    wait_until(lambda: count(daemon) == 0, "all have left")


def test_state_comes_at_once(start, tmp_path):
    """The present statistics and providers, from the database of the samples."""
    daemon = start({"database": {"connection": str(FIXTURES / "gateway-small.db")}, "sources": {"stats": {"enabled": True}, "providers": {"enabled": True}}})
    wait_until(lambda: get(daemon.port, "/ready").json["ready"], "the database is read")
    with EventStream(daemon.port, "/sse/stats?window=24h&interval=1") as stream, WebSocket(daemon.port, "/ws/stats?window=24h&interval=1") as socket:
        assert stream.receive()["data"]["time_window"] == "24h"
        socket.receive()
        # Of a group with both kinds in it, each sees every state; one may have been left out for a newer one.
        instants = {client: [client.receive()["timestamp"] for _ in range(3)] for client in (stream, socket)}
        assert set(instants[stream]) & set(instants[socket])
    with EventStream(daemon.port, "/sse/providers") as stream, WebSocket(daemon.port, "/ws/providers") as socket:
        states = [socket.receive() for _ in range(3)]
        assert [stream.receive() for _ in range(3)] == states and all(state["type"] == "provider_status" for state in states)


# Coming back

def test_last_event_id_goes_on_without_hole_or_double(start, rng):
    """Cut off again and again in the middle of what comes, and back with what a browser would say."""
    daemon = start()
    levels = ["debug", "info", "warn", "error"]
    with WebSocket(daemon.port, "/ws/logs?level=warn") as socket:
        stream, got = EventStream(daemon.port, "/sse/logs?level=warn&history=3"), []
        # Before that, there is no place to come back to: what is wanted first is still being looked for.
        stream.receive_until("caught_up")
        for at in range(60):
            publish_many(daemon.port, [("logs", "log", {"n": at * 10 + n, "level": rng.choice(levels), "pad": "x" * rng.choice([0, 0, 5000])}) for n in range(10)])
            if rng.random() < 0.5:
                # The rest of what was on its way is lost with the connection.
                for _ in range(rng.randrange(4)):
                    if select.select([stream.sock], [], [], 0)[0]:
                        stream._more()
                got += stream.events
                place = stream.last_id
                stream.sock.close()
                stream = EventStream(daemon.port, "/sse/logs?level=warn&history=3", [("Last-Event-ID", place)])
                # Nothing is said of what was there before: it has come.
                assert stream.parser.first_id == place
        publish(daemon.port, "logs", "end", {"level": "error"})
        while not any(message["type"] == "end" for _, message in stream.events):
            stream._more()
        got += stream.events
        wanted = [socket.receive_text()]
        while json.loads(wanted[-1])["type"] != "end":
            wanted.append(socket.receive_text())
        assert [text for text, message in got if message["type"] != "caught_up"] == wanted
        assert len(wanted) > 100
        stream.sock.close()


def test_the_header_wins_over_the_query(daemon):
    ids = [publish(daemon.port, "logs", "log", {"n": n})["id"] for n in range(6)]
    with EventStream(daemon.port, f"/sse/logs?since={ids[0]}&history=2") as stream:
        assert [message["data"].get("n") for message in stream.receive_until("caught_up")][:-1] == [4, 5]
    # Cut to the last two, the others would be lost and nobody told.
    with EventStream(daemon.port, f"/sse/logs?since={ids[0]}&history=2", [("Last-Event-ID", ids[1])]) as stream:
        assert [message["data"].get("n") for message in stream.receive_until("caught_up")][:-1] == [2, 3, 4, 5]
        assert stream.last_id == ids[-1]


@pytest.mark.parametrize("identity, reason", [("gone", "history_expired"), ("other-7", "restarted")])
def test_what_is_gone_is_told(start, identity, reason):
    daemon = start({"history": {"max_events": 100}})
    first = publish(daemon.port, "logs", "log", {"n": 0})["id"]
    publish_many(daemon.port, [("logs", "log", {"n": n}) for n in range(1, 1000)])
    identity = first if identity == "gone" else identity
    with EventStream(daemon.port, "/sse/logs", [("Last-Event-ID", identity)]) as stream:
        gap = stream.receive()
        assert gap["type"] == "gap" and gap["data"]["reason"] == reason and gap["data"]["after"] == identity
        numbers = [message["data"].get("n") for message in stream.receive_until("caught_up")][:-1]
        assert numbers == list(range(numbers[0], 1000)) and len(numbers) >= 100
    # The id of the gap is the place behind the hole.
    with Connection(daemon.port) as connection:
        connection.send(request_bytes(daemon.port, "GET", "/sse/logs", [("Last-Event-ID", identity)]))
        seen = b""
        while b"event: gap\n" not in seen:
            seen += connection.sock.recv(65536)
        block = next(block for block in seen.split(b"\n\n") if b"event: gap\n" in block)
        assert f"id: {gap['data']['resume']}\n".encode() in block + b"\n"


@pytest.mark.slow_reader
def test_slow_reader_is_told_what_it_lost(start):
    daemon = start({"history": {"max_events": 100, "max_bytes": 300_000}, "websocket": {"buffer_size": 16}})
    with EventStream(daemon.port, "/sse/logs", receive_buffer=4096) as stream:
        ids = []
        for first in range(0, 4000, 100):
            answer = publish_many(daemon.port, [("logs", "log", {"n": n, "pad": "x" * 2000}) for n in range(first, first + 100)])
            base = int(answer["first_id"].rpartition("-")[2])
            ids += range(base, base + 100)
        end = publish(daemon.port, "logs", "end", {})["id"]
        following = gaps = 0
        for message in stream.receive_until("end")[:-1]:
            if message["type"] == "gap":
                data = message["data"]
                assert data["reason"] == "slow_consumer"
                resume = int(data["resume"].rpartition("-")[2])
                lost = [n for n in range(following, 4000) if ids[n] <= resume]
                assert data["dropped"] == len(lost) > 0
                following, gaps = following + len(lost), gaps + 1
            else:
                assert message["data"]["n"] == following
                following += 1
        assert following == 4000 and gaps and stream.last_id == end
    ledger = get(daemon.port, "/admin/ws/stats").json["ledger"]["logs"]
    assert ledger["dropped"] > 0 and ledger["offered"] == sum(ledger[name] for name in ledger if name not in ("offered", "published")), ledger


@pytest.mark.slow_reader
def test_slow_reader_is_closed_where_that_is_wanted(start):
    daemon = start({"history": {"max_events": 100, "max_bytes": 300_000}, "websocket": {"buffer_size": 16, "slow_consumer": "disconnect"}})
    with EventStream(daemon.port, "/sse/logs", receive_buffer=4096) as stream:
        publish(daemon.port, "logs", "log", {"pad": "first"})
        assert stream.receive()["data"] == {"pad": "first"}
        count = 0
        # Its last words wait for it, but not for long.
        while not scrape(daemon.port)("events_dropped_total", reason="slow_consumer"):
            publish_many(daemon.port, [("logs", "log", {"pad": "x" * 2000})] * 100)
            count += 100
            assert count <= 4000, "it is not closed"
        messages, code = stream.receive_end()
        # Some have gone out before it was full, or none where a whole batch came at once.
        assert code == 4008 and len(messages) < count
        assert not any(message["type"] == "gap" for message in messages)


# Life and end

def test_heartbeat_carries_the_place(start):
    daemon = start({"websocket": {"heartbeat_interval": Literal("1s"), "client_timeout": Literal("3s")}})
    with EventStream(daemon.port, "/sse/providers") as stream, EventStream(daemon.port, "/sse/providers?heartbeat=json") as other:
        last = publish_many(daemon.port, [("logs", "log", {"n": n}) for n in range(300)])["last_id"]
        stream.wait_for(lambda stream: stream.last_id == last)
        # It has said nothing for longer than a WebSocket may.
        stream.wait_for(lambda stream: len(stream.parser.comments) >= 5)
        assert set(stream.parser.comments) == {"heartbeat"} and not stream.events
        pings = [message for message in (other.receive() for _ in range(5)) if message["type"] == "ping"]
        assert len(pings) == 5 and pings[-1]["data"]["position"] == last == other.last_id and not other.parser.comments
        assert count(daemon) == 2


def test_drain_tells_when_to_come_back(start):
    daemon = start()
    streams = [EventStream(daemon.port, "/sse/logs") for _ in range(20)]
    last = publish_many(daemon.port, [("logs", "log", {"n": n}) for n in range(50)])["last_id"]
    daemon.kill(15)
    delays = []
    for stream in streams:
        messages, code = stream.receive_end()
        assert code == 1001 and [message["type"] for message in messages].count("log") == 50
        drain = next(message for message in messages if message["type"] == "drain")
        assert drain["data"]["reconnect_in_ms"] == stream.parser.retry and stream.last_id == last
        delays.append(stream.parser.retry)
        stream.sock.close()
    assert len(set(delays)) == 20, "each has a slot of its own"
    assert daemon.wait_exit() == 0
    daemon._stopped = True


def test_an_admin_sees_and_disconnects_it(start):
    daemon = start()
    with EventStream(daemon.port, "/sse?channels=logs,stats&level=warn", [("User-Agent", "some browser")]) as stream, WebSocket(daemon.port, "/ws/logs"):
        clients = get(daemon.port, "/admin/ws/clients").json["clients"]
        assert [client["transport"] for client in clients] == ["sse", "websocket"]
        assert clients[0]["channels"] == ["logs", "stats"] and clients[0]["filters"]["logs"] == {"level": "warn,error,fatal,panic"}
        assert clients[0]["user_agent"] == "some browser" and clients[0]["bytes"] > 0
        page = get(daemon.port, "/metrics").body.decode()
        for line in ('clients{protocol="sse"} 1', 'clients{protocol="websocket"} 1', 'clients_total{protocol="sse"} 1'):
            assert f"goleapai_ws_{line}\n" in page
        assert request(daemon.port, "DELETE", f"/admin/ws/clients/{clients[0]['id']}").status == 200
        assert stream.receive_end() == ([], 4505) and stream.close == (4505, "disconnected by an admin")
        wait_until(lambda: count(daemon) == 1, "it is gone")


def test_what_it_says_is_ignored(start, rng):
    daemon = start({"limits": {"bytes_per_second": 100_000}})
    with EventStream(daemon.port, "/sse/logs", send_after=b"GET /health HTTP/1.1\r\n\r\n") as stream:
        for _ in range(20):
            stream.sock.sendall(rng.randbytes(rng.randrange(1, 1000)))
            n = rng.randrange(1000)
            publish(daemon.port, "logs", "log", {"n": n})
            assert stream.receive()["data"]["n"] == n
        try:
            for _ in range(100):
                stream.sock.sendall(bytes(100_000))
        except (ConnectionResetError, BrokenPipeError):
            pass
        with pytest.raises((Ended, AssertionError)):
            while True:
                stream._more()
    wait_until(lambda: count(daemon) == 0, "a flood ends it")
    refused = get(daemon.port, "/admin/ws/stats").json["refused"]
    assert refused["bytes_per_second"] == 1
    with EventStream(daemon.port, "/sse/logs") as stream:
        stream.sock.shutdown(1)
        with pytest.raises(Ended):
            stream._more()
    wait_until(lambda: count(daemon) == 0, "who ends its side has left")


# Limits and rights

def test_limits_count_both_kinds(start):
    daemon = start({"websocket": {"max_clients": 3}})
    held = [EventStream(daemon.port), WebSocket(daemon.port), EventStream(daemon.port)]
    assert status(daemon.port, "/sse/logs") == 503
    with pytest.raises(Refused) as refused:
        WebSocket(daemon.port)
    assert refused.value.response.status == 503
    held.pop().sock.close()
    wait_until(lambda: count(daemon) == 2, "one has left")
    assert status(daemon.port, "/sse/logs") == 200
    for client in held:
        client.sock.close()


@pytest.fixture
def accounts(tmp_path):
    return Accounts(tmp_path / "gateway.db")


def gateway(accounts, **auth):
    return {"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET, **auth}}


def test_who_may_read(start, accounts):
    ann, boss = accounts.user(), accounts.user("admin")
    daemon = start(gateway(accounts) | {"limits": {"connections_per_user": 2}})
    user, admin = bearer(token(ann)), bearer(token(boss, "admin"))
    key = accounts.key(ann)[0]
    assert status(daemon.port, "/sse/stats") == 401
    assert status(daemon.port, "/sse/stats", user) == 200
    assert status(daemon.port, "/sse/stats", [("Authorization", f"ApiKey {key}")]) == 200
    assert status(daemon.port, f"/sse/stats?token={token(ann)}") == 200
    assert status(daemon.port, f"/sse/stats?token={token(ann)}", [("Via", "1.1 proxy")]) == 400
    assert status(daemon.port, "/sse/stats?auth=message") == 400
    assert status(daemon.port, "/sse/stats?auth=message", user) == 400
    assert status(daemon.port, "/sse/stats", [("Sec-WebSocket-Protocol", f"goleapai.v1.json, bearer.{token(ann)}")]) == 401
    assert status(daemon.port, "/sse/logs", user) == 403 and status(daemon.port, "/sse?channels=stats,logs", user) == 403
    assert status(daemon.port, "/sse/logs", admin) == 200
    word = request(daemon.port, "POST", "/ws/ticket", user, b"").json["ticket"]
    assert status(daemon.port, f"/sse/stats?ticket={word}") == 200
    assert status(daemon.port, f"/sse/stats?ticket={word}") == 401, "once"
    wait_until(lambda: get(daemon.port, "/admin/ws/stats", admin).json["total_clients"] == 0, "all have left")
    with EventStream(daemon.port, "/sse/all", user) as stream, WebSocket(daemon.port, "/ws/stats", user):
        assert status(daemon.port, "/sse/stats", user) == 429
        for n, data in enumerate([{"user_id": ann}, {"user_id": boss}, {}, {"user_id": ann}]):
            publish(daemon.port, "requests", "note", {"n": n, **data}, headers=admin)
        assert [stream.receive()["data"]["n"] for _ in range(2)] == [0, 3]


def test_revoked_and_expired(start, accounts):
    ann = accounts.user()
    key, identity = accounts.key(ann)
    daemon = start(gateway(accounts))
    with EventStream(daemon.port, "/sse/stats", [("Authorization", f"ApiKey {key}")]) as stream, EventStream(
            daemon.port, "/sse/stats", bearer(token(ann, seconds=3))) as short:
        assert short.receive_end() == ([], 4001)
        accounts.execute("UPDATE api_keys SET active = 0 WHERE id = ?", (identity,))
        messages, code = stream.receive_end()
        assert code == 4500 and messages == []


def vary(stream):
    return [value for name, value in stream.response.fields if name.lower() == "vary"]


def test_origins(start):
    daemon = start({"server": {"allowed_origins": ["https://dash.example"]}})
    with EventStream(daemon.port, headers=[("Origin", "https://dash.example")]) as stream:
        assert stream.response.header("Access-Control-Allow-Origin") == "https://dash.example" and "Origin" in vary(stream)
    assert status(daemon.port, "/sse/logs", [("Origin", f"http://127.0.0.1:{daemon.port}")]) == 200
    assert status(daemon.port, "/sse/logs", [("Origin", "https://evil.example")]) == 403
    assert request(daemon.port, "GET", "/sse/logs", [("Host", "evil.example")]).status == 403
    answer = request(daemon.port, "OPTIONS", "/sse/logs", [("Origin", "https://dash.example"), ("Access-Control-Request-Method", "GET")])
    assert answer.status == 204 and "Last-Event-ID" in answer.header("Access-Control-Allow-Headers")
    # A page can see why it was refused.
    answer = request(daemon.port, "GET", "/sse/logs?nope=1", [("Origin", "https://dash.example")])
    assert answer.status == 400 and answer.header("Access-Control-Allow-Origin") == "https://dash.example"


# Other programs

def test_over_tls(start, tmp_path):
    daemon = start(settings(Certificates(tmp_path / "tls").make("server")))
    with EventStream(daemon.tls_port, "/sse/logs", tls=context()) as stream:
        last = publish_many(daemon.port, [("logs", "log", {"n": n, "pad": "x" * 3000}) for n in range(500)])["last_id"]
        assert [stream.receive()["data"]["n"] for _ in range(500)] == list(range(500)) and stream.last_id == last
        (client,) = get(daemon.port, "/admin/ws/clients").json["clients"]
        request(daemon.port, "DELETE", f"/admin/ws/clients/{client['id']}")
        assert stream.receive_end() == ([], 4505)


# Compression

GZIP = [("Accept-Encoding", "br, gzip;q=0.5")]


def without_place(messages):
    return [message for message in messages if message["type"] != "caught_up"]


@pytest.mark.parametrize("threshold", [0, 512, 16_777_216])
def test_gzip_is_the_same_stream(start, rng, threshold):
    """Live and of before, short and long, with beats and last words: everything but the bytes on the wire. Each event is compressed once."""
    daemon = start({"compression": {"threshold_bytes": threshold}, "websocket": {"heartbeat_interval": Literal("1s"), "client_timeout": Literal("3s")}})
    events = [some_event(rng) for _ in range(300)]
    publish_many(daemon.port, events[:100])
    path = "/sse/all?history=100"
    with EventStream(daemon.port, path) as plain:
        packed = [EventStream(daemon.port, path, GZIP) for _ in range(4)]
        publish_many(daemon.port, events[100:])
        sizes = [70_000, 200_000, 100_000]
        publish_many(daemon.port, [("logs", "log", {"message": "x" * size}) for size in sizes])
        wanted = plain.settle()
        assert len(wanted) == 304, [message["type"] for message in wanted[-9:]]  # caught_up is one of them
        for stream in packed:
            assert stream.response.header("Content-Encoding") == "gzip" and vary(stream) == ["Accept-Encoding"]
            # How much of it was live before it had caught up is each stream's own.
            assert without_place(stream.settle()) == without_place(wanted)
            assert (stream.wire_bytes < plain.wire_bytes / 2) == (threshold < sum(sizes))
            stream.wait_for(lambda stream: stream.parser.comments)
        daemon.kill(15)
        for stream in packed:
            assert stream.receive_end()[1] == 1001
            stream.sock.close()
    assert daemon.wait_exit() == 0
    daemon._stopped = True


def test_gzip_is_made_once_for_all(start):
    daemon = start({"compression": {"threshold_bytes": 512}})
    streams = [EventStream(daemon.port, "/sse/logs", GZIP) for _ in range(5)]
    publish_many(daemon.port, [("logs", "log", {"message": f"{n} " * 600}) for n in range(20)] + [("logs", "log", {"message": "short"})] * 20)
    for stream in streams:
        assert len(stream.settle()) == 40
    metrics = get(daemon.port, "/metrics").body.decode()
    assert 'goleapai_ws_compressions_total{window="gzip"} 20\n' in metrics
    for stream in streams:
        stream.sock.close()


@pytest.mark.parametrize("value,coding", [
    (None, None), ("", None), ("identity", None), ("deflate, br", None), ("gzip;q=0", None), ("gzip; q=0.000, *", None), ("*;q=0", None), ("gzip", "gzip"),
    ("GZIP;q=1", "gzip"), ("x-gzip", "gzip"), ("br , \t gzip ;q=0.1", "gzip"), ("*", "gzip"), ("gzip;q=nonsense", None), ("gzip; q = 0", None),
])
def test_gzip_where_it_is_asked_for(start, daemon, value, coding):
    fields = [("Accept-Encoding", value)] if value is not None else []
    with EventStream(daemon.port, "/sse/logs", fields) as stream:
        assert stream.response.header("Content-Encoding") == coding
    head = request(daemon.port, "HEAD", "/sse/logs", headers=fields)
    assert head.header("Content-Encoding") == coding


def test_no_gzip_where_compression_is_off(start):
    daemon = start({"compression": {"enabled": False}})
    with EventStream(daemon.port, "/sse/logs", GZIP) as stream:
        assert stream.response.header("Content-Encoding") is None


@pytest.mark.parametrize("options", [[], ["--compressed"]])
def test_curl(start, options):
    daemon = start()
    curl = subprocess.Popen(["curl", "-sN", *options, f"http://127.0.0.1:{daemon.port}/sse/logs"], stdout=subprocess.PIPE, text=True)
    try:
        assert curl.stdout.readline().startswith("retry: ") and curl.stdout.readline().startswith("id: ") and curl.stdout.readline() == "\n"
        identity = publish(daemon.port, "logs", "log", {"message": "hello"})["id"]
        lines = [curl.stdout.readline() for _ in range(4)]
        assert lines[0] == f"id: {identity}\n" and lines[1] == "event: log\n" and lines[3] == "\n"
        assert json.loads(lines[2].removeprefix("data: "))["data"] == {"message": "hello"}
        daemon.stop()
        rest = curl.stdout.read()
        assert "event: drain\n" in rest and rest.endswith('event: close\ndata: {"code":1001,"reason":"the daemon stops or restarts"}\n\n'), rest
        assert curl.wait(PATIENCE) == 0
    finally:
        curl.kill()
        curl.wait()
