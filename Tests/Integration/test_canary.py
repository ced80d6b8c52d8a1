"""Secrets in every place where one can come in; none comes out: not in the log, an answer, a list, an event, or history."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.canary import Canaries, Memory
from support.daemon import QUIET, Daemon, merge, wait_until
from support.gateway import Gateway, gateway_text, now_ns
from support.http import Connection, NoResponse, Response, get, publish, request, request_bytes
from support.tls import Certificates, context
from support.tls import settings as tls_settings
from support.tokens import Accounts, bearer, token
from support.ws import Closed, Refused, WebSocket, close_payload
from test_publish_socket import publish as publish_locally
from test_reload import reload

MARK = "no-secret-at-all"


class World:
    """A daemon, all that came out of it, and the secrets that went in."""

    def __init__(self, daemon, accounts, canaries, secret):
        self.daemon, self.accounts, self.canaries, self.port = daemon, accounts, canaries, daemon.port
        self.boss, self.ann = accounts.user("admin"), accounts.user()
        self.key = canaries.add(accounts.key(self.ann)[0], "a good API key")
        self.admin = canaries.add(token(self.boss, "admin", secret=secret), "an admin's token")
        self.user = canaries.add(token(self.ann, secret=secret), "a user's token")
        self.out = []   # (where it came out, text)

    def came(self, where, what):
        if isinstance(what, Response):
            what = json.dumps([what.reason, what.fields, what.body.decode("latin-1")])
        self.out.append((where, what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)))

    def ask(self, where, method, path, headers=(), body=None, raw=None):
        """A request on a connection of its own; what it is answered, first frames of a WebSocket included."""
        with Connection(self.port) as connection:
            connection.send(raw or request_bytes(self.port, method, path, headers, body))
            try:
                answer = connection.receive(method)
            except NoResponse as none:
                return self.came(f"the end: {where}", str(none))
            self.came(f"the answer: {where}", answer)
            if answer.status == 101:
                client = WebSocket.adopt(connection)
                client.send_close(1000)
                messages, code, reason = client.receive_close()
                self.came(f"the messages: {where}", b"\n".join(messages) + f"{code} {reason}".encode())
            return answer

    def leaks(self, *more):
        """(where it came out, what it was), each once."""
        found = set()
        for where, text in [*self.out, *more]:
            found |= {f"{where} shows: {place}" for place in self.canaries.found(text)}
        return sorted(found)


UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test")]
PATHS = ("/ws", "/ws/logs", "/ws/ticket", "/admin/ws/broadcast", "/admin/ws/stats", "/admin/ws/clients", "/admin/ws/clients/1", "/health", "/ready",
         "/version", "/metrics", "/nowhere")
FIELDS = ("Proxy-Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "Referer", "User-Agent", "Origin", "Host", "Idempotency-Key", "Sec-WebSocket-Key",
          "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Sec-WebSocket-Version", "Upgrade", "Connection", "Expect", "Transfer-Encoding",
          "Content-Length", "Content-Type", "Accept", "Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "Last-Event-ID", "From",
          "Access-Control-Request-Method")
PARAMETERS = ("token", "ticket", "auth", "TOKEN", "channels", "since", "history", "level", "component", "provider_id", "q", "window", "interval",
              "only_errors", "min_latency_ms", "model_id", "welcome", "heartbeat", "source", "access_token")


def methods_of(path):
    return "POST" if path in ("/ws/ticket", "/admin/ws/broadcast") else "DELETE" if path.endswith("/1") else "GET"


def in_requests(world):
    """Credentials good, bad and misplaced, by every address."""
    canaries = world.canaries
    for path in PATHS:
        method, upgrade = methods_of(path), UPGRADE if path.startswith("/ws") and path != "/ws/ticket" else []
        for name, values in [
            ("bad token", [f"Bearer {canaries.token('Authorization')}"]), ("bad key", [f"ApiKey {canaries.key('Authorization')}"]),
            ("key as token", [f"Bearer {canaries.key('Authorization')}"]), ("good key", [f"ApiKey {world.key}"]), ("user", [f"Bearer {world.user}"]),
            ("another case", [f"BEARER  {canaries.token('Authorization')}"]), ("no scheme", [canaries.word("Authorization")]),
            ("unknown scheme", [f"Token {canaries.word('Authorization')}"]), ("Basic", [f"Basic {canaries.word('Authorization')}"]),
            ("two", [f"Bearer {canaries.token('Authorization')}", f"ApiKey {canaries.key('Authorization')}"]),
            ("too long", [f"Bearer {canaries.token('Authorization')}{'a' * 9000}"]), ("much too long", [f"Bearer {canaries.token('Authorization')}{'a' * 17000}"]),
            ("control character", [f"Bearer {canaries.token('Authorization')}\1"]),
        ]:
            world.ask(f"{name} at {path}", method, path, upgrade + [("Authorization", value) for value in values])
        for shape, secret in canaries.each(f"a parameter of {path}"):
            for parameter in ("token", "ticket", "auth", secret, "x"):
                answer = world.ask(f"?{'SECRET' if parameter == secret else parameter}= at {path}", method, f"{path}?{parameter}={secret}", upgrade)
                assert answer.status in (101, 200, 400, 401, 403, 404, 405, 426, 503), (path, parameter, shape, answer)
            world.ask(f"below {path}", method, f"{path}/{secret}", upgrade + bearer(world.admin))
            world.ask(f"subprotocol at {path}", method, path, upgrade + [("Sec-WebSocket-Protocol", f"goleapai.v1.json, bearer.{secret}")])
            world.ask(f"subprotocol alone at {path}", method, path, upgrade + [("Sec-WebSocket-Protocol", secret)])
    for field in FIELDS:
        for shape, secret in canaries.each(field):
            values = [secret, f"https://user:{secret}@site.example", f"https://{secret}@site.example/?token={secret}"] if field in ("Origin", "Referer", "Host") else [
                secret, f"token={secret}"]
            for value in values:
                for path in ("/ws/stats", "/admin/ws/broadcast", "/ws/ticket"):
                    replaced = [one for one in (UPGRADE if path == "/ws/stats" else []) if one[0] != field]
                    world.ask(f"{field} ({shape}) at {path}", methods_of(path), path, replaced + bearer(world.admin) + [(field, value)],
                              b"{}" if path.endswith("broadcast") and field not in ("Content-Length", "Transfer-Encoding") else None)
    for parameter in PARAMETERS:
        for shape, secret in canaries.each(f"parameter {parameter}"):
            for path in ("/ws", "/ws/all", "/ws/logs", "/ready"):
                world.ask(f"?{parameter}= ({shape}) at {path}", "GET", f"{path}?{parameter}={secret}", (UPGRADE if path != "/ready" else []) + bearer(world.admin))
            world.ask(f"?{parameter}= of many", "GET", f"/ws/all?{parameter}={','.join([secret] * 70)}", UPGRADE + bearer(world.admin))
    for shape, secret in canaries.each("the name of a parameter"):
        for path in ("/ws", "/ws/all", "/ws/ticket", "/ready", "/admin/ws/stats", "/metrics"):
            for query in (f"{secret}=1", f"{secret}=1&{secret}=2", secret):
                world.ask(f"?SECRET ({shape}) at {path}", methods_of(path), f"{path}?{query}", (UPGRADE if path in ("/ws", "/ws/all") else []) + bearer(world.admin))
    for shape, secret in canaries.each("the request line"):
        for line in (f"{secret} /ws HTTP/1.1", f"GET /ws HTTP/{secret}", f"GET {secret} HTTP/1.1", f"GET /ws {secret} HTTP/1.1", secret,
                     f"GET http://user:{secret}@127.0.0.1/ws HTTP/1.1", f"GET http://{secret}/nowhere HTTP/1.1", f"OPTIONS /{secret} HTTP/1.1"):
            world.ask(f"line ({shape})", "GET", "/", raw=f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode())
        world.ask(f"name of a field ({shape})", "GET", "/", raw=f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n{secret}\r\n\r\n".encode())
        world.ask(f"PROXY header ({shape})", "GET", "/", raw=f"PROXY TCP4 {secret} 127.0.0.1 1 2\r\n".encode())
    # To a port that speaks TLS.
    for shape, secret in canaries.each("plain HTTP on the TLS port"):
        with Connection(world.daemon.tls_port) as connection:
            connection.send(request_bytes(1, "GET", f"/ws?token={secret}", bearer(secret)))
            try:
                world.came("the answer on the TLS port", connection.receive())
            except NoResponse as none:
                world.came("the end on the TLS port", str(none))
    over = request(world.daemon.tls_port, "GET", f"/ws?token={canaries.token('over TLS')}", UPGRADE, tls=context())
    world.came("the answer over TLS", over)


def in_messages(world):
    """By WebSocket: as tokens, and in place of everything else. The `id` of a message is the client's own word and comes back."""
    canaries = world.canaries
    for shape, secret in canaries.each("a message"):
        for awaiting in (False, True):
            with WebSocket(world.port, "/ws?auth=message" if awaiting else "/ws/stats", headers=[] if awaiting else bearer(world.user)) as client:
                for message in (
                    {"type": "auth", "data": {"token": secret}}, {"type": "auth", "data": {"token": f"Bearer {secret}"}}, {"type": "auth", "data": secret},
                    {"type": "auth", "data": {secret: secret}}, {"type": "auth", "token": secret}, {"type": secret}, {secret: 1}, [secret], secret,
                    {"type": "ping", "data": {"token": secret}}, {"type": "pong", "data": secret}, {"type": "subscribe", "data": {"channels": [secret] * 3}},
                    {"type": "subscribe", "data": {"channels": ["stats", secret]}}, {"type": "subscribe", "data": {"channels": secret}},
                    {"type": "subscribe", "data": {"channels": ["stats"], "filters": {secret: {"level": "info"}}}},
                    {"type": "subscribe", "data": {"channels": ["stats"], "filters": {"stats": {secret: "info", "window": secret, "interval": secret}}}},
                    {"type": "subscribe", "data": {"channels": ["stats"], "filters": {"logs": {"level": secret, "q": secret, "component": [secret]}}}},
                    {"type": "subscribe", "data": {"channels": ["stats"], "filters": secret}},
                    {"type": "subscribe", "data": {"channels": ["stats"], "since": secret}}, {"type": "subscribe", "data": {"channels": ["stats"], "history": secret}},
                    {"type": "unsubscribe", "data": {"channels": [secret]}},
                ):
                    client.send(message)
                client.send(f"not JSON {secret}")
                client.send('{"type":"%s' % secret)
                # Two at once: the second is refused while the first is looked at, or looked at as well.
                for _ in range(2):
                    client.send({"type": "auth", "data": {"token": secret}})
                client.send({"type": "ping", "id": "end"})
                while True:
                    text = client.receive_text()
                    world.came(f"the message to its sender ({shape})", text)
                    if json.loads(text).get("id") == "end":
                        break
                client.send_frame(8, close_payload(1000, secret[:100]))
                _, code, reason = client.receive_close()
                world.came(f"the close reason ({shape})", f"{code} {reason}")
        for opcode, payload, name in ((2, secret, "binary"), (1, b"\xff" + secret.encode(), "no UTF-8"), (9, secret[:100], "ping"), (3, secret, "opcode 3")):
            with WebSocket(world.port, "/ws/stats", headers=bearer(world.user)) as client:
                client.send_frame(opcode, payload)
                if name == "ping":
                    # RFC 6455 §5.5.3: a pong brings back what the ping had.
                    while (frame := client.receive_frame())[0] != 10:
                        world.came(f"the message to its sender ({shape})", frame[1])
                    assert frame[1] == payload.encode()
                    continue
                _, code, reason = client.receive_close()
                world.came(f"the close reason of {name} ({shape})", f"{code} {reason}")
    # What opens no connection ends one.
    with WebSocket(world.port, "/ws?auth=message") as client:
        client.send({"type": "auth", "data": {"token": world.user}})
        client.send({"type": "ping", "id": 1})
        world.came("the message to its sender", client.receive_text())


def in_lists(world):
    """User agents and filters of clients that stay, as admins see them."""
    canaries, clients = world.canaries, []
    for shape, secret in canaries.each("a client"):
        if shape == "word":
            # A word of no shape is as good as any other in a name and in a filter.
            continue
        agents = [secret, f"curl/8 token={secret}", f"{'x' * (200 - len(secret) // 2 - 1)} {secret}", f"https://user:{secret}@site.example"]
        for agent in agents:
            clients.append(WebSocket(world.port, "/ws/stats", headers=[*bearer(world.admin), ("User-Agent", agent)]))
        for query in (f"/ws/logs?q={secret}", f"/ws/logs?q=%20%20Bearer%20{secret}", f"/ws/logs?component={secret}", f"/ws/logs?provider_id=a,{secret}",
                      f"/ws/requests?provider_id={secret}", f"/ws/requests?model_id={secret}", f"/ws/providers?provider_id={secret}"):
            clients.append(WebSocket(world.port, query, headers=bearer(world.admin)))
    for path in ("/admin/ws/clients", "/admin/ws/stats", "/metrics", "/ready", "/version"):
        for headers in (bearer(world.admin), bearer(world.user)):
            world.came(f"GET {path}", get(world.port, path, headers))
    listed = get(world.port, "/admin/ws/clients", bearer(world.admin)).json["clients"]
    agents = [client["user_agent"] for client in listed]
    assert agents.count("curl/8 token=[redacted]") + sum("[redacted]" in agent for agent in agents) >= 16, agents
    assert sum("[redacted]" in json.dumps(client["filters"]) for client in listed) >= 28, listed
    for client in clients:
        client.sock.close()


def payloads(world, place):
    """Events full of secrets: (channel, type, data), and what is no secret in all of them."""
    canaries = world.canaries
    jwt, key, sk, ghp = (make(place) for make in (canaries.token, canaries.key, canaries.provider, canaries.service))
    word = canaries.word
    return [
        ("logs", "log", {"message": f"{MARK} Authorization: Bearer {word(place)}", "level": "error", "component": key, "provider_id": sk}),
        ("logs", "log", {"message": f"{MARK} {key}", "fields": {"deep": [[{"a": sk}, ghp], {"password": word(place), "API_KEY": [word(place)]}]}}),
        ("requests", "request", {"n": MARK, "error_message": f'"401 {sk}"', "user_id": world.ann, "model_name": jwt, "token": f"x{jwt}y"}),
        ("providers", "provider_status", {"n": MARK, "message": f"https://user:{word(place)}@host/{key}", "provider_id": ghp}),
        ("all", "note", [MARK, f"bearer {word(place)}", {"password": {"x": word(place)}}, f"Cookie: a={jwt}; b", 7]),
        ("all", f"order.{key}", {"n": MARK}),
        ("stats", "note", {"n": MARK, "password": 12345, "a": "\\".join([key, sk]), "b": f"{jwt}\n{ghp}"}),
    ]


def in_events(world):
    """Published in every way; some of it refused."""
    admin, socket_path = bearer(world.admin), world.daemon.publishers
    for channel, kind, data in payloads(world, "a published event"):
        publish(world.port, channel, kind, data, headers=[*admin, ("Idempotency-Key", world.canaries.key("Idempotency-Key"))])
    batch = payloads(world, "a batch")
    lines = b"".join(json.dumps({"channel": c, "type": t, "data": d}).encode() + b"\n" for c, t, d in batch)
    assert request(world.port, "POST", "/admin/ws/broadcast", [*admin, ("Content-Type", "application/x-ndjson")], lines).status == 200
    escaped = json.dumps([{"channel": c, "type": t, "data": d} for c, t, d in payloads(world, "an escaped batch")])
    escaped = escaped.replace("gla_", "\\u0067la_").replace("sk-", "sk\\u002d").replace("earer", "\\u0065arer").replace("eyJ", "e\\u0079J").replace("://", ":\\/\\/")
    assert request(world.port, "POST", "/admin/ws/broadcast", admin, escaped.encode()).status == 200
    for channel, kind, data in payloads(world, "an event by the Unix socket"):
        assert publish_locally(socket_path, json.dumps({"channel": channel, "type": kind, "data": data}))[0] == 200
    word, repeated = world.canaries.word, [("Idempotency-Key", world.canaries.word("Idempotency-Key of two bodies"))]
    publish(world.port, "logs", "log", 1, headers=admin + repeated)
    for shape, secret in world.canaries.each("a refused event"):
        for name, body in (("another body", {"channel": "logs", "type": "log", "data": secret}), ("channel", {"channel": secret, "type": "log"}),
                           ("type", {"channel": "logs", "type": secret * 5}), ("no type", {"channel": "logs", "data": secret}), ("list", [secret]),
                           ("reserved", {"channel": "logs", "type": "ping", "data": secret})):
            answer = request(world.port, "POST", "/admin/ws/broadcast", admin + (repeated if name == "another body" else []), json.dumps(body).encode())
            assert answer.status in (400, 422), answer
            world.came(f"the answer to a refused event: {name} ({shape})", answer)
        for body in (f'{{"channel":"logs","type":"log","data":"{secret}', secret):
            world.came(f"the answer to no JSON ({shape})", request(world.port, "POST", "/admin/ws/broadcast", admin, body.encode()))
            world.came(f"the answer on the Unix socket ({shape})", str(publish_locally(socket_path, body)))
    return word


def in_rows(world, gateway, place, at=None):
    canaries = world.canaries
    rows = [gateway.row(error_message=f"{MARK} Incorrect API key provided: {canaries.provider(place)}, sent as Bearer {canaries.word(place)}", user_id=world.ann, at_ns=at),
            gateway.row(error_message=f"{MARK} {canaries.token(place)}", method=canaries.key(place), endpoint=f"/v1?key={canaries.key(place)}", at_ns=at)]
    gateway.insert(rows)
    return rows


class Watcher:
    """Reads all that comes, on a thread of its own."""

    def __init__(self, world, name, path, headers):
        self.world, self.name, self.texts = world, name, []
        self.client = WebSocket(world.port, path, headers=headers)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            while True:
                self.texts.append(self.client.receive_text(patience=3600))
        except (Closed, OSError, AssertionError, ValueError):
            pass

    def count(self, text):
        return sum(text in one.decode() for one in list(self.texts))

    def finish(self):
        self.client.sock.shutdown(2)
        self.thread.join(10)
        self.client.sock.close()
        self.world.came(f"what {self.name} gets", b"\n".join(self.texts))


# The secret of the configuration comes in by each of its ways, and the log goes out by each of its own.
RUNS = [("config", "plain"), ("environment", "json"), ("file", "journal"), ("credential", "terminal")]


@pytest.fixture(scope="module")
def journal_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("journal") / "journal.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).parent / "support" / "journal.c", "-ldl"], check=True)
    return library


@pytest.fixture
def made(binary, tmp_path, rng, journal_library, request):
    """(world, gateway): a daemon as in life, whose every secret is a canary."""
    way, form = request.param
    canaries = Canaries(rng)
    secret = canaries.word("auth.jwt_secret")
    accounts, gateway = Accounts(tmp_path / "gateway.db"), Gateway(tmp_path / "gateway.db")
    certificates = Certificates(tmp_path / "tls")
    files = certificates.make("own")
    for line in Path(files["key"]).read_text().splitlines()[1:-1]:
        canaries.add(line, "server.tls.key")
    auth, environment = {"mode": "gateway", "query_token": True}, {}
    kept = tmp_path / "kept"
    kept.mkdir()
    match way:
        case "config": auth["jwt_secret"] = secret
        case "environment": environment["GOLEAPAI_WS_AUTH_JWT_SECRET"] = secret
        case "file":
            (kept / "secret").write_text(secret + "\n")
            auth["jwt_secret_file"] = str(kept / "secret")
        case "credential":
            (kept / "auth.jwt_secret").write_text(secret)
            environment["CREDENTIALS_DIRECTORY"] = str(kept)
    if form == "journal":
        environment |= {"LD_PRELOAD": str(journal_library), "JOURNAL_FILE": str(tmp_path / "journal")}
    settings = merge(QUIET, {
        "database": {"connection": f"file:{gateway.path}?_journal_mode=WAL&_auth_pass={canaries.word('database.connection')}"},
        "sources": {"requests": {"enabled": True}, "stats": {"enabled": True}, "providers": {"enabled": True}}, "auth": auth,
        "redact": {"fields": ["password", "api_key"]}, "log": {"level": "debug", "format": form}, "replay": {"max_seconds": 3600},
        "limits": {"connections_per_user": 100000}, "broadcast": {"socket": str(tmp_path / "publish.sock")}})
    settings = merge(settings, tls_settings(files))
    daemon = Daemon(binary, tmp_path / "daemon", settings, environment=environment)
    journal = tmp_path / "journal"
    # In a journal there are no lines on standard error to wait for.
    daemon.start(wait=form != "journal")
    try:
        if form == "journal":
            daemon.log = lambda: journal.read_text().splitlines() if journal.exists() else []
            listening = wait_until(lambda: [line for line in daemon.log() if "listening on http://" in line] if any("serves at most" in line for line in daemon.log()) else None, "it serves")
            daemon.port, daemon.tls_port = int(listening[0].rpartition(":")[2]), settings["server"]["tls"]["port"]
        daemon.publishers = str(tmp_path / "publish.sock")
        world = World(daemon, accounts, canaries, secret)
        wait_until(lambda: all(one["state"] == "working" for one in get(daemon.port, "/ready").json["sources"]), "the sources work")
        yield world, gateway, files, kept
    finally:
        gateway.close()
        daemon.stop()


def reloads(world, files, kept):
    """Configurations that are wrong, or other secrets: what is said about them. Ends with the one of before."""
    daemon, canaries = world.daemon, world.canaries
    before = daemon.settings
    word = canaries.word
    for name, change, said in (
        ("a list", {"auth": {"jwt_secret": [word("a list in place of auth.jwt_secret")]}}, "nothing was changed"),
        ("the wrong key", {"auth": {"jwt_secret_file": word("the secret in auth.jwt_secret_file")}}, "nothing was changed"),
        ("an unknown key", {"auth": {"jwt_secrt": word("a misspelled key")}}, "nothing was changed"),
        ("an address", {"server": {"public_url": f"https://user:{word('server.public_url')}@host:x/"}}, "nothing was changed"),
        ("origins", {"server": {"allowed_origins": [f"https://user:{word('server.allowed_origins')}@host/"]}}, "nothing was changed"),
        ("no database", {"database": {"connection": f"file::memory:?_auth_pass={word('no database')}"}}, "nothing was changed"),
        ("another database", {"database": {"connection": before["database"]["connection"].split("&")[0] + f"&_auth_pass={word('another password')}"}}, "was read again"),
        ("fields", {"redact": {"fields": ["password", "api_key", "pin"]}}, "was read again"),
    ):
        seen = len(daemon.log())
        lines = reload(daemon, change, said)
        world.came(f"the log of a reload with {name}", "\n".join(lines + daemon.log()[seen:]))
        daemon.settings = before
    # A key file that is none; then another one that is.
    good = Path(files["key"]).read_text()
    Path(files["key"]).write_text(f"-----BEGIN PRIVATE KEY-----\n{word('a broken key')}\n-----END PRIVATE KEY-----\n{word('behind a key')}\n")
    reload(daemon, {}, "server.tls.key")
    Path(files["key"]).write_text(good)
    reload(daemon, {}, "was read again")


@pytest.mark.parametrize("made", RUNS, indirect=True, ids=lambda run: "-".join(run))
def test_nothing_that_is_secret_comes_out(made, binary, fact):
    world, gateway, files, kept = made
    daemon = world.daemon
    old = in_rows(world, gateway, "a row of before", now_ns() - 600 * 10**9)
    watchers = [Watcher(world, "an admin", "/ws/all", bearer(world.admin)), Watcher(world, "a user", "/ws/all", bearer(world.user)),
                Watcher(world, "a searcher", f"/ws/logs?q={MARK}", bearer(world.admin))]
    in_requests(world)
    in_messages(world)
    in_lists(world)
    in_events(world)
    live = in_rows(world, gateway, "a row")
    wait_until(lambda: watchers[0].count(MARK) >= 4 * 7 + len(live), lambda: f"{watchers[0].count(MARK)} events came")
    assert watchers[2].count(MARK) >= 4 * 2
    # Tickets: each stands in its own answer, and nowhere else.
    for _ in range(3):
        ticket = request(world.port, "POST", "/ws/ticket", bearer(world.user)).json["ticket"]
        world.canaries.add(ticket, "a ticket")
        for path in (f"/ws/{ticket}", f"/ws?{ticket}", f"/ws/stats?since={ticket}", f"/ready?source={ticket}", f"/ws/stats?ticket={ticket}", f"/ws/stats?ticket={ticket}"):
            world.ask("a ticket", "GET", path, UPGRADE + (bearer(world.user) if "ticket=" not in path else []))
    # What stays: history, and what is read again from the database.
    for name, path in (("history", "/ws/all?history=10000"), ("the database", "/ws/all?since=1h"), ("one's own rows", "/ws/requests?since=1h")):
        with WebSocket(world.port, path, headers=bearer(world.user if name == "one's own rows" else world.admin)) as client:
            messages = client.receive_until("caught_up", patience=60)
            assert sum(MARK in json.dumps(message) for message in messages) >= (len(old) - 1 if name == "one's own rows" else 4 * 7), name
            world.came(f"a replay from {name}", json.dumps(messages, ensure_ascii=False))
    for path in ("/admin/ws/clients", "/admin/ws/stats", "/metrics", "/ready", "/version", "/health"):
        world.came(f"GET {path}", get(world.port, path, bearer(world.admin)))
    reloads(world, files, kept)
    for watcher in watchers:
        watcher.finish()
    wait_until(lambda: get(world.port, "/admin/ws/stats", bearer(world.admin)).json["total_clients"] == 0, "all are gone")
    shown = {
        "the command line": Path(f"/proc/{daemon.pid}/cmdline").read_text(), "the title": Path(f"/proc/{daemon.pid}/comm").read_text(),
        "the threads": "".join((task / "comm").read_text() for task in Path(f"/proc/{daemon.pid}/task").iterdir()),
        "open files": "".join(daemon.open_files),
    }
    config = daemon.directory / "config.yaml"
    for command in (["check-config", "--config", str(config)], ["check-config", "--config", str(config), "--print-default"], ["version"]):
        done = subprocess.run([str(binary), *command], capture_output=True, text=True, env={**os.environ, **daemon.environment, "LD_PRELOAD": ""})
        shown[f"the command {command[0]}"] = done.stdout + done.stderr
    look_at(Memory(daemon.pid), world, fact)
    daemon.stop()
    shown["the log"] = "\n".join(daemon.log())
    shown["standard error and output"] = "\n".join(Daemon.log(daemon) + daemon.output())
    assert "a credential is refused" in shown["the log"] and "is subscribed to" in shown["the log"]
    leaks = world.leaks(*shown.items())
    assert not leaks, f"{len(leaks)}:\n" + "\n".join(leaks[:60])


def test_a_host_that_is_no_name(start, rng):
    """Where nobody is asked who they are, a wrong Host is named in the answer. Names have no shape, and are shown."""
    canaries, daemon = Canaries(rng), start()
    for shape, secret in canaries.each("Host"):
        for headers in ([("Host", secret)], [("Host", f"{secret}.example:80")], [("Host", f"127.0.0.1:{daemon.port}"), ("Origin", f"https://{secret}@site.example")]):
            answer = request(daemon.port, "GET", "/ws", [*UPGRADE, *headers])
            assert answer.status in (400, 403), answer
            assert shape == "word" and len(headers) == 1 or not canaries.found(answer.body), answer
            assert "Origin" not in dict(headers) or b"site.example" in answer.body, answer


PAYLOADS = {"a published event", "a batch", "an escaped batch", "an event by the Unix socket", "a row", "a row of before"}


def look_at(memory, world, fact):
    """What was masked is masked where it is kept. What other memory still holds of a request that is over is told, not judged."""
    segments = memory.segments()
    assert sum(segment.count(MARK.encode()) for segment in segments) >= 4 * 7, "no history was found in memory"
    kept = [place for segment in segments for place in world.canaries.found(segment.decode("latin-1"))]
    assert not kept, f"history keeps {sorted(set(kept))}"
    left = {place: sum(map(memory.count, secrets)) for place, secrets in world.canaries.whole.items() if place in PAYLOADS}
    fact(f"masked secrets that stand whole in memory which was given back, or in SQLite's: {left}")
