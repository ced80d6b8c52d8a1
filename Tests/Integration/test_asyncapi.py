"""/asyncapi.yaml and the daemon say the same: what it sends fits the schemas, everything in the schemas occurs, what they allow is taken, and what
lies beyond their limits is not."""

import copy
import json
import re
import signal
import threading
import urllib.parse
import warnings
from pathlib import Path

import pytest
import yaml
from support.daemon import QUIET, Daemon, Literal, merge, wait_until
from support.gateway import Gateway
from support.http import Connection, get, publish, publish_many, request
from support.packed import PackedWebSocket
from support.specification import BY_TYPE, FILE, LOADER, SCHEMAS, Specification, schema_of
from support.sse import EventStream
from support.tls import Certificates, context
from support.tls import settings as tls_settings
from support.tokens import SECRET, Accounts, bearer, token
from support.ws import Closed, Refused, WebSocket

ROOT = Path(__file__).resolve().parents[2]
SPECIFICATION = Specification()
SOCKETS = {channel["address"]: channel for channel in SPECIFICATION.document["channels"].values() if channel["address"].startswith("/ws") and "bindings" in channel}

STREAMS = {}
for operation in SPECIFICATION.document["operations"].values():
    channel = SPECIFICATION.at(operation["channel"]["$ref"][1:])
    if channel["address"].startswith("/sse"):
        STREAMS[channel["address"]] = {**channel, "query": operation["bindings"]["http"]["query"]}


# The document


def test_it_is_served(daemon):
    answer = get(daemon.port, "/asyncapi.yaml")
    assert answer.status == 200 and answer.body == FILE.read_bytes()
    assert answer.header("content-type") == "application/yaml"
    tag = answer.header("etag")
    assert re.fullmatch(r'"[!#-~]+"', tag), tag
    again = get(daemon.port, "/asyncapi.yaml", [("If-None-Match", tag)])
    assert again.status == 304 and again.header("etag") == tag and not again.body
    head = request(daemon.port, "HEAD", "/asyncapi.yaml")
    assert head.status == 200 and int(head.header("content-length")) == len(answer.body)
    assert request(daemon.port, "POST", "/asyncapi.yaml").status == 405
    assert SPECIFICATION.document["info"]["version"] == get(daemon.port, "/version").json["version"]


def test_it_is_asyncapi():
    """By the models of a reader of AsyncAPI that is not ours; and references lead somewhere, of the right kind."""
    document = SPECIFICATION.document
    with warnings.catch_warnings():
        # About names within its own classes.
        warnings.simplefilter("ignore")
        from asyncapi3.models.asyncapi import AsyncAPI3
    AsyncAPI3.model_validate(document)
    wrong = copy.deepcopy(document)
    wrong["channels"]["logs"]["adress"] = wrong["channels"]["logs"].pop("address")
    with pytest.raises(ValueError, match="adress"):
        AsyncAPI3.model_validate(wrong)

    def keys_once(node):
        """A key that stands twice is no error to a reader of YAML."""
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), f"a key twice: {node.start_mark}"
        for part in node.value if isinstance(node.value, list) else ():
            for item in part if isinstance(part, tuple) else (part,):
                keys_once(item)

    keys_once(yaml.compose(FILE.read_text(), LOADER))
    used = set()

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                assert value["$ref"].startswith("#/") and len(value) == 1, value
                SPECIFICATION.at(value["$ref"][1:])
                used.add(value["$ref"][1:])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(document)
    for kind in ("schemas", "messages", "securitySchemes"):
        left = {f"/components/{kind}/{name}" for name in document["components"][kind]} - used
        assert not left, f"described and never used: {left}"
    for name, operation in document["operations"].items():
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            for message in part["messages"]:
                assert message["$ref"].startswith(f"{channel}/messages/"), (name, message)
    taken = {(operation["channel"]["$ref"], operation["action"]) for operation in document["operations"].values()}
    for name, channel in document["channels"].items():
        actions = {action for where, action in taken if where == f"#/channels/{name}"}
        assert actions == ({"send", "receive"} if channel["address"] in SOCKETS else {"send"} if channel["address"] in STREAMS else {"receive"}), name


def test_examples_fit():
    count = 0
    for name, message in SPECIFICATION.document["components"]["messages"].items():
        for example in message.get("examples", ()):
            wrong = SPECIFICATION.why(message["payload"]["$ref"].rpartition("/")[2], example["payload"])
            assert not wrong, f"{name}: {wrong}"
            count += 1
    assert count > 25


def test_close_codes_are_those_of_the_program():
    source = (ROOT / "Sources/Protocol/WebSocket/CloseCode.swift").read_text()
    numbers = {name: int(number) for name, number in re.findall(r"static let (\w+) = CloseCode\(rawValue: (\d+)\)", source)}
    verdicts = {name: text or name for name, text in re.findall(r'^        case (\w+)(?: = "([^"]*)")?$', source, re.M)}
    table = [{"code": numbers[name], "reason": reason, "client": verdicts[verdict]} for name, reason, verdict in re.findall(
        r'Entry\(\s*code: \.(\w+), reason: "([^"]*)", metricLabel: "\w+",\s*verdict: \.(\w+)\)', source)]
    assert len(table) == len(numbers) and SPECIFICATION.document["x-close-codes"] == table
    documented = re.findall(r"^\| (\d{4}) \| ([^|]*) \|", (ROOT / "docs/PROTOCOL.md").read_text(), re.M)
    assert [(line["code"], line["reason"]) for line in table] == [(int(code), reason) for code, reason in documented]


def test_the_other_document_says_the_same():
    """docs/PROTOCOL.md: addresses, fields of events, words."""
    text = (ROOT / "docs/PROTOCOL.md").read_text()
    schemas = SPECIFICATION.schemas
    methods = {}
    for operation in SPECIFICATION.document["operations"].values():
        address = SPECIFICATION.at(operation["channel"]["$ref"][1:])["address"]
        methods[address] = operation.get("bindings", {}).get("http", {}).get("method", "GET")
    streams = {address for address in methods if address.startswith("/sse")}
    assert streams == set(STREAMS) == {"/sse" + address.removeprefix("/ws") for address in SOCKETS} and "| GET `/sse/logs` … `/sse/all`, `/sse?channels=" in text
    named = {}
    for method, rest in re.findall(r"^\| (GET|POST|DELETE) (`[^|]*) \|", text, re.M):
        named |= {address: method for address in re.findall(r"`(/[^`]*)`", rest)}
    # Pages for people and figures for Prometheus, and the document itself, have no messages.
    for address in ("/metrics", "/asyncapi.yaml", "/", "/client.js"):
        named.pop(address, None)
    assert {address: method for address, method in methods.items() if address not in streams} == {
        address: method for address, method in named.items() if not address.startswith("/sse")}
    for kind, data in (("stats_update", "statsData"), ("provider_status", "providerStatusData"), ("request", "requestData")):
        row = re.search(rf"^\| `{kind}` \|[^|]*\|[^|]*\|(.*)\|$", text, re.M).group(1)
        assert re.findall(r"`(\w+)`", row) == list(schemas[data]["properties"]), kind

    def rows(title):
        return re.findall(r"^\| `(\w+)` \|", re.search(rf"^\| {title} \|.*?\n\n", text, re.S | re.M).group(0), re.M)

    codes = schemas["error"]["properties"]["data"]["properties"]["code"]["enum"]
    assert rows("code") == codes
    assert rows("reason") == schemas["gapData"]["properties"]["reason"]["enum"]
    reserved = re.search(r"is not one of the protocol's own \(([^)]*)\)", text).group(1)
    assert re.findall(r"`(\w+)`", reserved) == schemas["freeType"]["not"]["enum"]


# What the daemon sends


class Watch:
    """Everything that daemons of all kinds send and answer, held against the schemas."""

    def __init__(self, specification, binary, directory):
        self.specification, self.binary, self.directory = specification, binary, directory
        self.lock = threading.Lock()
        self.types = {}     # address -> names of the messages that came

    def daemon(self, name, settings=None, **options):
        return Daemon(self.binary, self.directory / name, merge(QUIET, merge({"server": {"shards": 1}}, settings or {})), **options)

    def socket(self, port, path, **options):
        return Listener(self, port, path, **options)

    def told(self, address, message):
        with self.lock:
            name = schema_of(message)
            self.specification.check(name, message)
            self.types.setdefault(address, set()).add(name)
        return message

    def stream(self, port, path, **options):
        return Streamed(self, port, path, **options)

    def is_described(self, name, value):
        with self.lock:
            self.specification.check(name, value)
        return value

    def body(self, name, response, status=200):
        assert response.status == status and response.header("content-type") == "application/json", response
        return self.is_described(name, response.json)


class Listener(WebSocket):
    """A client each of whose messages is held against the document, in both directions."""

    def __init__(self, watch, port, path, **options):
        self.watch = watch
        super().__init__(port, path, **options)

    def receive(self, patience=None):
        return self.watch.told(self.path.partition("?")[0], super().receive(patience))

    def say(self, name, message):
        """Sends what a schema allows."""
        self.send(self.watch.is_described(name, message))

    def next(self, kind):
        return self.receive_until(kind)[-1]

    def fails(self, message, code):
        self.send(message)
        found = self.next("error")
        assert found["data"]["code"] == code, found


class Streamed(EventStream):
    """The same over Server-Sent Events."""

    def __init__(self, watch, port, path, **options):
        self.watch = watch
        super().__init__(port, path, **options)

    def receive(self, patience=None):
        return self.watch.told(self.path.partition("?")[0], super().receive(patience))

    def next(self, kind):
        return self.receive_until(kind)[-1]


def conversation(watch):
    """Words, errors, replays and losses on a daemon without sources; then it stops."""
    settings = {"history": {"max_events": 16, "max_bytes": 65536, "max_age": "1h"}, "websocket": {"buffer_size": 16, "heartbeat_interval": Literal("1s")},
                "broadcast": {"max_event_bytes": 65536}, "compression": {"context_takeover": True}}
    with watch.daemon("conversation", settings) as running:
        port = running.port
        http(watch, port)
        client = watch.socket(port, "/ws?welcome=true&heartbeat=json")
        epoch = client.next("welcome")["data"]["epoch"]
        client.say("subscribe", {"type": "subscribe", "id": "1", "data": {"channels": ["logs", "stats", "providers", "requests"], "filters": {
            "logs": {"level": "debug", "component": ["router", "cache"], "provider_id": "p", "q": "m"}, "stats": {"window": "1h", "interval": 10},
            "requests": {"provider_id": "p", "model_id": ["m"], "only_errors": False, "min_latency_ms": 0}, "providers": {"provider_id": "p"}}}})
        assert client.next("ack")["data"]["channels"] == ["logs", "stats", "providers", "requests"]
        client.say("unsubscribe", {"type": "unsubscribe", "id": 2, "data": {"channels": ["stats"]}})
        assert client.next("ack")["id"] == 2
        client.say("subscribe", {"type": "subscribe", "data": {"channels": ["all"]}})
        client.say("clientPing", {"type": "ping", "id": 7})
        assert client.next("pong")["id"] == 7
        client.say("clientPing", {"type": "ping"})
        client.say("auth", {"type": "auth", "id": "a", "data": {"token": "x"}})
        client.next("ack")
        for message, code in (("{", "invalid_json"), ([], "invalid_message"), ({"type": "subscribe", "data": {}}, "invalid_message"), ({"type": "x"}, "unknown_type"),
                              ({"type": "subscribe", "id": 1, "data": {"channels": ["x"]}}, "invalid_channel"),
                              ({"type": "subscribe", "data": {"channels": ["logs"], "filters": {"logs": {"level": "x"}}}}, "invalid_filter")):
            client.fails(message, code)
        for channel in ("logs", "stats", "providers", "requests", "all"):
            for data in ({"n": 1}, None, [1], "text"):
                publish(port, channel, "deployment", data)
        publish(port, "logs", "log", {"level": "info", "message": "m", "component": "router", "provider_id": "p", "request_id": "r", "fields": {"key": "value"}})
        client.receive_until("log")
        # On another channel than that of their type.
        for name, type in (("log", "log"), ("request", "request"), ("providerStatus", "provider_status")):
            publish(port, "all", type, watch.specification.document["components"]["messages"][name]["examples"][-1]["payload"]["data"])
            assert client.next(type)["channel"] == "all"
        # More than memory has: by id, by time, and for one who comes from elsewhere.
        publish_many(port, [("logs", "log", {"level": "info", "message": "x" * 1000}) for _ in range(200)])
        assert get(port, "/admin/ws/stats").json["history"]["events"] < 200
        for channel, query, reason in (("logs", f"since={epoch}-1", "history_expired"), ("providers", "since=1h", "history_expired"),
                                       ("all", "since=abc-007", "restarted"), ("requests", f"since={epoch}-99999", "restarted")):
            with watch.socket(port, f"/ws/{channel}?{query}") as replay:
                assert replay.next("gap")["data"]["reason"] == reason
                replay.next("caught_up")
        client.say("subscribe", {"type": "subscribe", "id": 3, "data": {"channels": ["logs"], "since": "15m", "history": 2}})
        client.next("caught_up")
        # JSON pings come to who is silent.
        client.next("ping")
        client.say("clientPong", {"type": "pong", "id": 1})
        # The same as a stream.
        for address in STREAMS:
            with watch.stream(port, f"{address}?welcome=true" + ("&channels=logs" if address == "/sse" else "")) as stream:
                stream.next("welcome")
        stream = watch.stream(port, "/sse/all?history=3&heartbeat=json")
        stream.next("caught_up")
        stream.next("ping")
        with watch.stream(port, "/sse/logs", headers=[("Last-Event-ID", "abc-1")]) as other:
            assert other.next("gap")["data"]["reason"] == "restarted"
        with watch.stream(port, "/sse/logs?q=sent-away") as other:
            found = watch.body("adminClients", get(port, "/admin/ws/clients"))["clients"]
            gone = next(one["id"] for one in found if one["filters"].get("logs", {}).get("q") == "sent-away")
            watch.body("clientDisconnected", request(port, "DELETE", f"/admin/ws/clients/{gone}"))
            assert other.receive_end()[1] == 4505
            watch.is_described("close", {"code": other.close[0], "reason": other.close[1]})
        # One that does not read.
        slow = watch.socket(port, "/ws/logs", receive_buffer=4096)
        dropped = lambda: get(port, "/admin/ws/stats").json["ledger"]["logs"]["dropped"]
        wait_until(lambda: publish_many(port, [("logs", "note", "x" * 30_000) for _ in range(50)], patient=True) and dropped(), "it has lost some", interval=0)
        assert slow.next("gap")["data"]["reason"] == "slow_consumer"
        slow.sock.close()
        # Everybody whom an admin can see, and how one is sent away.
        with watch.socket(port, "/ws/logs?level=warn&q=abc") as other, watch.socket(port, "/ws/stats?window=1m&interval=7"), PackedWebSocket(port, "/ws"), \
                WebSocket(port, deflate="permessage-deflate"), WebSocket(port, deflate="permessage-deflate; server_no_context_takeover"), \
                EventStream(port, headers=[("Accept-Encoding", "gzip")]):
            found = watch.body("adminClients", get(port, "/admin/ws/clients"))["clients"]
            mine = next(one["id"] for one in found if one["filters"].get("logs", {}).get("q") == "abc")
            watch.body("clientDisconnected", request(port, "DELETE", f"/admin/ws/clients/{mine}"))
            _, code, reason = other.receive_close()
            assert {"code": code, "reason": reason, "client": "stop until the user acts"} in watch.specification.document["x-close-codes"]
        watch.body("adminStats", get(port, "/admin/ws/stats"))
        running.process.send_signal(signal.SIGTERM)
        client.next("drain")
        stream.next("drain")
        with pytest.raises(Closed):
            while True:
                client.receive()
        assert {"code": client.close[0], "reason": client.close[1]}.items() <= watch.specification.document["x-close-codes"][1].items()
        running._stopped = True
        assert running.wait_exit() == 0


def http(watch, port):
    """Bodies."""
    watch.body("health", get(port, "/health"))
    watch.body("version", get(port, "/version"))
    watch.body("ready", get(port, "/ready"), 503)
    watch.body("httpError", get(port, "/nowhere"), 404)
    watch.body("httpError", get(port, "/ws/logs"), 426)
    watch.body("httpError", get(port, "/ready?source=nothing"), 400)
    watch.body("httpError", request(port, "DELETE", "/admin/ws/clients/999"), 404)
    post = lambda body, *fields: request(port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json"), *fields], json.dumps(body).encode())
    one = {"channel": "logs", "type": "note", "data": {"n": 1}}
    watch.is_described("broadcastHeaders", {"Idempotency-Key": "k"})
    for body, name in ((one, "broadcastDone"), ({"channel": "all", "type": "note"}, "broadcastDone"), ([one, one], "broadcastManyDone")):
        watch.is_described("broadcast", body)
        watch.body(name, post(body, *([("Idempotency-Key", "k")] if body is one else [])))
    for body, status in (({"channel": "x"}, 400), ([one, {"channel": "x"}], 400), ({"channel": "logs", "type": "gap"}, 400), ({**one, "data": "x" * 70_000}, 413)):
        assert not watch.specification.fits("broadcast", body) or status == 413, body
        watch.body("broadcastRefused", post(body), status)
    watch.body("broadcastRefused", post([one, one], ("Idempotency-Key", "k")), 422)


def users(watch):
    """Who is who, over TLS; what is forbidden."""
    accounts = Accounts(watch.directory / "users.db")
    people = {role: accounts.user(role) for role in ("admin", "user", "viewer", "auditor")}
    certificate = Certificates(watch.directory / "certificates").make("server")
    settings = merge({"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET},
                      "limits": {"messages_per_second": 50}}, tls_settings(certificate))
    with watch.daemon("users", settings) as running:
        port = running.port
        admin = bearer(token(people["admin"], "admin"))
        for role, user in people.items():
            with watch.socket(port, "/ws/all?welcome=true", headers=bearer(token(user, role))) as client:
                assert client.next("welcome")["data"]["role"] == ("other" if role == "auditor" else role)
        with watch.socket(port, "/ws?auth=message&welcome=true") as client:
            client.fails({"type": "subscribe", "id": 1, "data": {"channels": ["stats"]}}, "unauthorized")
            # It has no position before it is somebody.
            client.say("clientPing", {"type": "ping", "id": 4})
            assert client.next("pong")["data"] == {}
            client.say("auth", {"type": "auth", "id": 2, "data": {"token": token(people["user"])}})
            client.receive_until("welcome")
            client.fails({"type": "subscribe", "id": 3, "data": {"channels": ["logs"]}}, "forbidden")
            for _ in range(60):
                client.say("clientPing", {"type": "ping"})
            assert client.next("error")["data"]["code"] == "rate_limited"
        word = watch.body("ticket", request(port, "POST", "/ws/ticket", bearer(token(people["user"]))))
        with watch.socket(port, "/ws/stats?ticket=" + word["ticket"]):
            watch.body("adminClients", request(port, "GET", "/admin/ws/clients", admin))
        with Connection(running.tls_port, tls=context()) as secret:
            watch.body("httpError", secret.request("GET", "/ws/stats"), 401)
        watch.body("httpError", request(port, "GET", "/admin/ws/stats", bearer(token(people["user"]))), 403)
        watch.body("adminStats", request(port, "GET", "/admin/ws/stats", admin))


def gateway(watch):
    """Everything that is read from a database; at the end it is replaced, and locked for so long that it lags."""
    database = Gateway(watch.directory / "gateway.db", seed=11)
    good, middling = database.add_provider("good"), database.add_provider("middling", score=0.7)
    bad = database.add_provider("bad", status="down", score=0.1)
    model = database.add_model(good, "model")
    database.insert([database.row(good, model, success=1, error_message="") for _ in range(20)])
    settings = {"database": {"connection": str(database.path)}, "sources": {name: {"enabled": True} for name in ("stats", "requests", "providers")}}
    with watch.daemon("gateway", settings) as running:
        port = running.port
        wait_until(lambda: all(source["state"] == "working" for source in get(port, "/ready").json["sources"]), "all of them work")
        watch.body("ready", get(port, "/ready"))
        for name in set(watch.specification.schemas["readySource"]["enum"]) - {"journal"}:
            found = watch.body("ready", get(port, f"/ready?source={name}"))["sources"]
            assert [source["name"] for source in found] == ([name] if name != "database" else ["stats", "providers", "requests"])
        watch.body("adminStats", get(port, "/admin/ws/stats"))
        clients = {path: watch.socket(port, path) for path in ("/ws/all?interval=1", "/ws/stats?window=24h", "/ws/providers", "/ws/requests?since=1h")}
        everything = clients["/ws/all?interval=1"]
        for window in watch.specification.schemas["window"]["enum"]:
            with watch.socket(port, f"/ws/stats?window={window}") as client:
                assert client.next("stats_update")["data"]["time_window"] == window
        assert clients["/ws/stats?window=24h"].next("stats_update")["data"]["provider_stats"][0]["provider_name"] == "good"
        states = {message["data"]["status"] for message in (clients["/ws/providers"].next("provider_status") for _ in range(3))}
        assert states == {"healthy", "degraded", "unhealthy"}
        assert "id" not in clients["/ws/requests?since=1h"].next("request")
        clients["/ws/requests?since=1h"].next("caught_up")
        database.insert([database.row(good, model, success=0, error_message="it broke"), database.row(good, model, success=1, error_message="")])
        assert "id" in everything.next("request")
        database.execute("UPDATE providers SET health_score = 0.7, updated_at = '2099-01-01 00:00:00+00:00' WHERE id = ?", (good,))
        assert "id" in next(message for message in iter(lambda: everything.next("provider_status"), None) if "id" in message)
        # Another database in its place: what only the old one held is lost.
        other = Gateway(watch.directory / "other.db", seed=12)
        other.close()
        other.path.rename(database.path)
        assert everything.next("gap")["data"]["reason"] == "source_lost"
        # A writer that does not let go.
        holder = Gateway(database.path, seed=13)
        holder.execute("BEGIN EXCLUSIVE")
        wait_until(lambda: everything.next("gap")["data"]["reason"] == "source_lag", "it lags", interval=0)
        watch.body("ready", get(port, "/ready"), 503)
        holder.execute("COMMIT")
        holder.close()
    database.close()


def demo(watch):
    """The traffic of the demo."""
    running = Daemon(watch.binary, watch.directory / "demo", with_config=False, environment={"GOLEAPAI_WS_SERVER_PORT": "0"},
                     arguments=["--demo", "--demo-rate", "50", "--demo-seed", "7"])
    with running:
        with watch.socket(running.port, "/ws/all?interval=1") as client:
            seen = set()
            while not {"stats_update", "request", "provider_status", "log"} <= seen:
                seen.add(client.receive(patience=120)["type"])


def watched(watch):
    """All scenes at the same time, since they wait more than they work."""
    faults = {}

    def run(scene):
        try:
            scene(watch)
        except BaseException as fault:
            faults[scene.__name__] = fault

    threads = [threading.Thread(target=run, args=(scene,)) for scene in (gateway, conversation, users, demo)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, fault in faults.items():
        raise AssertionError(f"scene {name}: {fault}") from fault


ELSEWHERE = "of the journal: Tests/System/test_journal.py holds its lines against this document"
EXCUSED = {f"{SCHEMAS}logData/properties/{name}": ELSEWHERE for name in ("unit", "truncated")}
UNSEEN_WORDS = {
    "starting": "lasts a moment",
    "journal": "there is none here; Tests/System/test_journal.py",
}
IN_ADDRESSES = {"channelList", "welcomeFlag", "heartbeat", "streamHeartbeat", "authByMessage", "readySource"}
"""Schemas that only addresses use: test_parameters_of_addresses goes through them."""


def test_what_the_daemon_sends(binary, tmp_path):
    """One test, because its scenes take seconds: what comes is described, what is described comes, and the schemas can tell."""
    watch = Watch(Specification(), binary, tmp_path)
    watched(watch)
    everything_that_is_described_occurs(watch.specification)
    every_message_occurs_where_it_is_described(watch)
    what_is_wrong_does_not_fit(watch.specification)


def everything_that_is_described_occurs(specification):
    declared, words = specification.declared()
    missing = {pointer for pointer in declared - specification.seen if pointer not in EXCUSED and pointer.removeprefix(SCHEMAS) not in IN_ADDRESSES}
    assert not missing, f"described, and not seen: {sorted(missing)}"
    stale = {pointer for pointer in EXCUSED if pointer in specification.seen}
    assert not stale, f"seen after all: {stale}"
    for pointer, values in words.items():
        if pointer.removeprefix(SCHEMAS) in IN_ADDRESSES:
            continue
        left = values - specification.words.get(pointer, set()) - set(UNSEEN_WORDS)
        assert not left, f"{pointer}: {left} were not seen"


def every_message_occurs_where_it_is_described(watch):
    assert set(watch.types) == {*SOCKETS, *STREAMS}
    for address, found in watch.types.items():
        assert found <= set((SOCKETS | STREAMS)[address]["messages"]), address
    assert set.union(*watch.types.values()) == {*BY_TYPE.values(), "published"}


def what_is_wrong_does_not_fit(specification):
    """The schemas can tell: real messages with one thing wrong."""
    count = {}
    for name, messages in specification.frames.items():
        # One of each form.
        shapes = {}
        for message in messages:
            data = message.get("data") if isinstance(message, dict) else None
            shapes.setdefault((*sorted(message if isinstance(message, dict) else ()), *sorted(data if isinstance(data, dict) else ())), message)
        for message in shapes.values():
            for what, mutant in specification.mutants(name, message):
                count[name] = count.get(name, 0) + 1
                assert not specification.fits(name, mutant), f"{name} {what} fits all the same: {json.dumps(mutant)[:500]}"
    assert set(count) >= {*BY_TYPE.values(), "published", "adminStats", "adminClients", "ready", "version", "health", "ticket", "httpError"}
    assert sum(count.values()) > 500, count


# What the daemon takes

GOOD = {
    "level": ["debug", "warn", "trace", "warning", "panic", "info,error", "debug,info,warn,error,fatal,panic"],
    "words": ["a", "a,b", "x" * 256, ",".join(map(str, range(64)))],
    "text": ["", "a b", "x" * 256],
    "since": ["mwt79l6s-0", "0-1", "15m", "1h30m", "500ms", "2026-02-05T10:30:00Z", "2026-02-05T10:30:00+01:00", "2026-02-05T10:30:00.123456Z"],
    "channelList": ["logs", "all", "stats,logs", "logs,stats,providers,requests,all"],
    "secret": ["x"],
}
BAD = {
    "level": ["", "loud", "info,", "INFO", "info, warn"],
    "words": ["", "a,", ",a", "x" * 257, ",".join(map(str, range(65)))],
    "text": ["x" * 257],
    "since": ["", "yesterday", "2026-02-05", "x" * 65, "-1", "a-b-1"],
    "channelList": ["", "log", "logs,", "logs stats"],
    "secret": [],
}


def values(name):
    """(good, bad) values of a parameter, as texts: from the schema's own limits, where it has some."""
    schema = SPECIFICATION.schemas[name]
    if "enum" in schema:
        return list(schema["enum"]), ["", "nonsense", schema["enum"][0].upper()]
    if schema["type"] == "boolean":
        return ["true", "false"], ["", "yes", "1"]
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        return [str(low), str(low + 1), str(high)], [str(low - 1), str(high + 1), "", "x", "1.5", "1e1"]
    for value in GOOD[name]:
        assert SPECIFICATION.fits(name, value), (name, value)
    return GOOD[name], BAD[name]


def upgrade(connection, path):
    """What a handshake is answered, or the head of a stream. A refused one leaves the connection as it is."""
    if path.startswith("/sse"):
        return connection.request("HEAD", path)
    return connection.request("GET", path, [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test")])


@pytest.mark.parametrize("address", sorted(SOCKETS | STREAMS))
def test_parameters_of_addresses(daemon, address):
    """Each value up to the limits is taken, the next one is not; nor is a parameter that is described for other addresses only."""
    described = (STREAMS[address]["query"] if address in STREAMS else SOCKETS[address]["bindings"]["ws"]["query"])["properties"]
    every = {name for channel in SOCKETS.values() for name in channel["bindings"]["ws"]["query"]["properties"]}
    def path(**parameters):
        # `/ws` by itself has no channels whose filters there could be.
        more = {"channels": "all"} if "channels" in described and "channels" not in parameters else {}
        return f"{address}?{urllib.parse.urlencode(more | parameters)}"

    bad = [path(nonsense="1"), path(welcome="true") + "&welcome=true"] + [path(**{name: "1"}) for name in every - set(described)]
    with Connection(daemon.port) as refused:
        for name, schema in described.items():
            good, wrong = values(schema["$ref"].rpartition("/")[2])
            bad += [path(**{name: value}) for value in wrong]
            for value in good:
                with Connection(daemon.port) as connection:
                    answer = upgrade(connection, path(**{name: value}))
                    assert answer.status == (200 if address in STREAMS else 101), (name, value, answer)
        for one in bad:
            answer = upgrade(refused, one)
            assert answer.status == 400 and (address in STREAMS or SPECIFICATION.fits("httpError", answer.json)), (one, answer)
    assert len(bad) > 20
    if address == "/sse":
        with Connection(daemon.port) as connection:
            assert upgrade(connection, "/sse").status == 400, "a stream needs channels"
    if address == "/ws":
        with Connection(daemon.port) as connection:
            assert upgrade(connection, "/ws?level=warn").status == 400, "without a channel there is no filter"


def replies(client, message):
    """What comes up to the pong of a ping behind it."""
    client.send(message)
    client.send({"type": "ping", "id": "mark"})
    found = []
    while (one := client.receive()).get("id") != "mark":
        found.append(one)
    return found


def test_messages_that_are_described_are_taken(daemon):
    """The examples; and in `subscribe`, each value up to the limits and the next one."""
    with WebSocket(daemon.port, "/ws") as client:
        for name in ("subscribe", "unsubscribe", "clientPing", "auth"):
            for example in SPECIFICATION.document["components"]["messages"][name]["examples"]:
                payload = example["payload"]
                found = replies(client, payload)
                types = [message["type"] for message in found]
                assert "error" not in types, (example, found)
                if "since" in payload.get("data", {}) and "caught_up" not in types:
                    client.receive_until("caught_up")
                if "id" in payload:
                    assert payload["id"] in [message.get("id") for message in found], (example, found)

        def judge(data):
            message = {"type": "subscribe", "id": "x", "data": data}
            found = replies(client, message)
            taken = [one["type"] for one in found if one.get("id") == "x"] == ["ack"]
            if {"since", "history"} & set(data) and taken and "caught_up" not in [one["type"] for one in found]:
                client.receive_until("caught_up")
            return SPECIFICATION.fits("subscribe", message), taken, message, found

        def agree(data, right):
            fits, taken, message, found = judge(data)
            assert fits == taken == right, (fits, taken, right, message, found)

        for channel, described in SPECIFICATION.schemas["filters"]["properties"].items():
            for name, schema in described["properties"].items():
                kind = schema["$ref"].rpartition("/")[2]
                listed = kind == "wordList"
                good, bad = values("words" if listed else kind)
                own = SPECIFICATION.schemas["words" if listed else kind]["type"]
                if own != "string":
                    # Numbers and flags stand as such.
                    convert = lambda text: {"true": True, "false": False}.get(text, text) if own == "boolean" else int(text)
                    good, bad = [convert(text) for text in good], [convert(text) for text in bad if own == "boolean" or re.fullmatch(r"-?\d+", text)]
                if listed:
                    good, bad = good + [["a"], ["a", "b"], ["x" * 256], [str(n) for n in range(64)]], bad + [[], ["x" * 257], [""], [1], [str(n) for n in range(65)]]
                for right, group in ((True, good), (False, bad + [None, {}])):
                    for value in group:
                        agree({"channels": [channel], "filters": {channel: {name: value}}}, right)
            agree({"channels": [channel], "filters": {channel: {"nonsense": "x"}}}, False)
            agree({"channels": [channel], "filters": {channel: "x"}}, False)
        for name in ("since", "history"):
            good, bad = values(name)
            for right, group in ((True, good), (False, bad)):
                for value in group:
                    if name == "history" and not re.fullmatch(r"-?\d+", value):
                        continue
                    data = {"channels": ["logs"], name: int(value) if name == "history" else value}
                    fits, taken, message, found = judge(data)
                    # What an id, a duration and an instant look like is said in words.
                    assert taken == right and (fits or not taken), (message, found)
        agree({"channels": ["logs"], "filters": {"nonsense": {}}}, False)
        agree({"channels": []}, False)
        agree({"channels": "logs"}, False)
        agree({}, False)


def test_what_may_be_published_is_taken(daemon):
    def post(body, *fields, kind="application/json"):
        return request(daemon.port, "POST", "/admin/ws/broadcast", [("Content-Type", kind), *fields], body if isinstance(body, bytes) else json.dumps(body).encode())

    one = {"channel": "logs", "type": "note", "data": 1}
    longest = SPECIFICATION.schemas["freeType"]["maxLength"]
    reserved = SPECIFICATION.schemas["freeType"]["not"]["enum"]
    for body, right in [(one, True), ([one], True), ({"channel": "logs", "type": "note"}, True), ({**one, "type": "x" * longest}, True),
                        ({**one, "type": "x" * (longest + 1)}, False), ({**one, "type": ""}, False), ([], False), ("text", False), ({"type": "note"}, False),
                        ({"channel": "logs"}, False), ({**one, "channel": "x"}, False), ({**one, "more": 1}, True), ([one, {}], False)] + [
                            ({**one, "type": word}, False) for word in reserved] + [
                            ({**one, "channel": channel}, True) for channel in SPECIFICATION.schemas["channelName"]["enum"]]:
        answer = post(body)
        assert SPECIFICATION.fits("broadcast", body) == right == (answer.status == 200), (body, answer)
    lines = b"".join(json.dumps(one).encode() + b"\n" for _ in range(3))
    assert post(lines, kind=SPECIFICATION.document["components"]["messages"]["broadcastLines"]["contentType"]).json["count"] == 3
    key = SPECIFICATION.schemas["broadcastHeaders"]["properties"]["Idempotency-Key"]
    for length, right in ((key["minLength"], 200), (key["maxLength"], 200), (key["maxLength"] + 1, 400)):
        assert post(one, ("Idempotency-Key", "k" * length)).status == right, length


def test_every_address_that_is_described_is_there(daemon):
    for operation in SPECIFICATION.document["operations"].values():
        channel = SPECIFICATION.at(operation["channel"]["$ref"][1:])
        method = operation.get("bindings", {}).get("http", {}).get("method")
        if method is None or channel["address"] in STREAMS:
            continue
        answer = request(daemon.port, method, channel["address"].replace("{id}", "1"))
        # A client of that number need not be there, and a body is missing.
        assert answer.status != 405 and (answer.status != 404 or answer.json == {"error": "no client 1"}), (channel, answer)
        other = request(daemon.port, "PATCH", channel["address"].replace("{id}", "1"))
        assert other.status == 405 and method in other.header("allow"), (channel, other)
    for value in SPECIFICATION.schemas["readySource"]["enum"] + ["nonsense"]:
        # None is enabled here, so that none can be asked about; what is none is no other.
        assert get(daemon.port, f"/ready?source={value}").status == 400
