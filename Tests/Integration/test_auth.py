"""Who may connect, and what they see: the gateway's own credentials through the running daemon. Those of the samples are in test_keys.py."""

import json
import shutil
import time

import pytest
from support.daemon import wait_until
from support.gateway import FIXTURES
from support.http import get, publish, request
from support.tokens import KEYS, SECRET, Accounts, bearer, sign, token
from support.ws import Refused, WebSocket

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test")]


def settings(path, **auth):
    return {"database": {"connection": str(path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET, **auth}}


@pytest.fixture
def accounts(tmp_path):
    return Accounts(tmp_path / "gateway.db")


def status(port, path, headers):
    """What a handshake is answered."""
    try:
        with WebSocket(port, path, headers=headers) as client:
            return client.response.status
    except Refused as refused:
        assert refused.response.status != 401 or refused.response.header("WWW-Authenticate"), refused
        return refused.response.status


# What one sees

def test_rights_through_the_daemon(start, accounts):
    ann, bob, boss = accounts.user(), accounts.user(), accounts.user("admin")
    daemon = start(settings(accounts.path))
    admin = bearer(token(boss, "admin"))
    clients = {name: WebSocket(daemon.port, "/ws/all", headers=bearer(token(user, role))) for name, user, role in (
        ("ann", ann, "user"), ("bob", bob, "user"), ("boss", boss, "admin"))}
    clients["key"] = WebSocket(daemon.port, "/ws/requests", headers=[("Authorization", "ApiKey " + accounts.key(ann)[0])])
    for channel, data in (("requests", {"n": 1, "user_id": ann}), ("requests", {"n": 2, "user_id": bob}), ("requests", {"n": 3}),
                          ("logs", {"n": 4, "message": "secret"}), ("providers", {"n": 5}), ("all", {"n": 6})):
        publish(daemon.port, channel, "note", data, headers=admin)
    right = {"ann": [1, 5, 6], "bob": [2, 5, 6], "boss": [1, 2, 3, 4, 5, 6], "key": [1, 6]}
    for name, client in clients.items():
        assert [client.receive()["data"]["n"] for _ in right[name]] == right[name], name
        client.send({"type": "ping", "id": 1})
        assert client.receive()["type"] == "pong", name
    # Replays give no more.
    with WebSocket(daemon.port, "/ws/all?history=100", headers=bearer(token(ann))) as client:
        assert [message["data"].get("n") for message in client.receive_until("caught_up")][:-1] == right["ann"]
    for path in ("/ws/logs", "/ws?channels=stats,logs"):
        assert status(daemon.port, path, bearer(token(ann))) == 403
    found = request(daemon.port, "GET", "/admin/ws/clients", admin).json["clients"]
    assert {client["user"] for client in found} == {ann, bob, boss}


def test_replays_from_the_database_give_own_rows_only(start, tmp_path):
    path = tmp_path / "gateway.db"
    shutil.copy(FIXTURES / "gateway-small.db", path)
    import sqlite3

    rows = sqlite3.connect(path).execute("SELECT user_id, count(*) FROM request_logs GROUP BY user_id").fetchall()
    owner, count = max((row for row in rows if row[0] in {user["id"] for user in KEYS["users"] if user["role"] == "user" and user["active"]}),
                       key=lambda row: row[1], default=(None, 0))
    assert count > 0, rows
    daemon = start(settings(path) | {"sources": {"requests": {"enabled": True}}, "replay": {"max_seconds": 3600}})
    wait_until(lambda: get(daemon.port, "/ready").json["ready"], "the database is read")
    with WebSocket(daemon.port, "/ws/requests?since=2026-02-01T00:00:00Z", headers=bearer(token(owner))) as client:
        got = client.receive_until("caught_up", patience=60)[:-1]
    assert len(got) == count and {event["data"]["user_id"] for event in got} == {owner}


def test_channels_may_be_opened(start, accounts):
    ann, boss = accounts.user(), accounts.user("admin")
    daemon = start(settings(accounts.path, open_channels=["logs", "requests"]))
    with WebSocket(daemon.port, "/ws/all", headers=bearer(token(ann))) as client:
        for channel in ("logs", "requests"):
            publish(daemon.port, channel, "note", {"channel": channel}, headers=bearer(token(boss, "admin")))
            assert client.receive()["data"]["channel"] == channel
    assert request(daemon.port, "GET", "/admin/ws/stats", bearer(token(ann))).status == 403


# How it ends

def test_a_token_ends_the_connection_unless_it_is_renewed(start, accounts):
    ann = accounts.user()
    daemon = start(settings(accounts.path))
    ends = WebSocket(daemon.port, "/ws/stats", headers=bearer(token(ann, seconds=4)))
    renewed = WebSocket(daemon.port, "/ws/stats", headers=bearer(token(ann, seconds=4)))
    renewed.send({"type": "auth", "id": 1, "data": {"token": token(ann, seconds=600)}})
    assert renewed.receive()["type"] == "ack"
    assert ends.receive_close()[1] == 4001
    time.sleep(1)
    renewed.send({"type": "ping", "id": 2})
    assert renewed.receive()["type"] == "pong"
    renewed.send({"type": "auth", "id": 3, "data": {"token": token(accounts.user())}})
    assert renewed.receive()["data"]["code"] == "unauthorized"


@pytest.mark.parametrize("change, code", [
    ("UPDATE api_keys SET revoked_at = '2026-03-02 14:29:45+00:00', active = 0", 4500), ("UPDATE api_keys SET active = 0", 4500),
    ("DELETE FROM api_keys", 4500), ("UPDATE users SET active = 0", 4500), ("DELETE FROM users", 4500),
    ("UPDATE api_keys SET expires_at = '2020-01-01 00:00:00+00:00'", (4500, 4001)),
])
def test_what_is_taken_away_ends_connections_within_a_minute(start, accounts, change, code):
    key, _ = accounts.key(accounts.user())
    daemon = start(settings(accounts.path))
    client = WebSocket(daemon.port, "/ws/stats", headers=[("Authorization", f"ApiKey {key}")])
    accounts.execute(change)
    assert client.receive_close(patience=90)[1] in (code if isinstance(code, tuple) else (code,))
    wait_until(lambda: status(daemon.port, "/ws/stats", [("Authorization", f"ApiKey {key}")]) == 401, "it is refused from now on")


def test_a_lower_role_ends_what_is_no_longer_allowed(start, accounts):
    falling, boss = accounts.user("admin"), accounts.user("admin")
    daemon = start(settings(accounts.path))
    logs = WebSocket(daemon.port, "/ws/logs", headers=bearer(token(falling, "admin")))
    stats = WebSocket(daemon.port, "/ws/stats", headers=bearer(token(falling, "admin")))
    accounts.execute("UPDATE users SET role = 'user' WHERE id = ?", (falling,))
    assert logs.receive_close(patience=90)[1] == 4503

    def roles():
        found = request(daemon.port, "GET", "/admin/ws/clients", bearer(token(boss, "admin"))).json["clients"]
        return [client["role"] for client in found if client["user"] == falling]

    wait_until(lambda: roles() == ["user"], lambda: roles(), patience=60)
    stats.send({"type": "subscribe", "id": 1, "data": {"channels": ["logs"]}})
    assert stats.receive()["data"]["code"] == "forbidden"


def test_who_says_nothing_is_closed(start, accounts):
    daemon = start(settings(accounts.path))
    client = WebSocket(daemon.port, "/ws/all?auth=message")
    assert client.receive_close()[1] == 4500


def test_connections_of_one_user(start, accounts):
    ann, bob = accounts.user(), accounts.user()
    daemon = start(settings(accounts.path) | {"limits": {"connections_per_user": 3, "messages_per_second": 100000}})
    clients = [WebSocket(daemon.port, "/ws/stats", headers=bearer(token(ann))) for _ in range(3)]
    with pytest.raises(Refused) as refused:
        WebSocket(daemon.port, "/ws/stats", headers=bearer(token(ann)))
    assert refused.value.response.status == 429 and refused.value.response.header("Retry-After")
    WebSocket(daemon.port, "/ws/stats", headers=bearer(token(bob)))
    clients[0].sock.close()
    wait_until(lambda: status(daemon.port, "/ws/stats", bearer(token(ann))) == 101, "there is room again")


# When the database is away

def test_without_a_database_only_what_was_seen_before_counts(start, accounts):
    ann = accounts.user()
    key, _ = accounts.key(ann)
    daemon = start(settings(accounts.path))
    headers = [("Authorization", f"ApiKey {key}")]
    assert status(daemon.port, "/ws/stats", headers) == 101
    accounts.path.rename(accounts.path.with_suffix(".away"))
    assert status(daemon.port, "/ws/stats", headers) == 101
    other = request(daemon.port, "POST", "/ws/ticket", bearer(token("11111111-1111-1111-1111-111111111111")))
    assert other.status == 503 and other.header("Retry-After")
    # Who cannot be anybody is refused without asking.
    assert request(daemon.port, "POST", "/ws/ticket", bearer(sign({"user_id": ann}, secret="wrong"))).status == 401


# Nothing leaks

def test_no_credential_shows_anywhere(start, accounts, tmp_path):
    ann, boss = accounts.user(), accounts.user("admin")
    key, _ = accounts.key(ann)
    daemon = start(settings(accounts.path) | {"log": {"level": "debug"}})
    words = [key, token(ann), SECRET, "gla_canary0123456789abcdefghijklmnopqrstuvwxyz", sign({"user_id": "canary"}, secret="canary-secret")]
    seen = []
    for word in words:
        for headers in ([("Authorization", f"Bearer {word}")], [("Authorization", f"ApiKey {word}")], [("Authorization", word)],
                        [("Sec-WebSocket-Protocol", f"bearer.{word}")]):
            answer = request(daemon.port, "GET", "/ws/logs", UPGRADE + headers)
            seen.append(answer.body.decode("latin-1") + str(answer.fields))
            seen.append(request(daemon.port, "POST", "/ws/ticket", headers).body.decode("latin-1").replace('"ticket"', ""))
        for path in (f"/ws/logs?token={word}", f"/ws/logs?ticket={word}", f"/ws/logs?auth={word}", f"/ready?source={word[:8]}"):
            try:
                WebSocket(daemon.port, path).sock.close()
            except Refused as refused:
                seen.append(refused.response.body.decode("latin-1") + str(refused.response.fields))
        with WebSocket(daemon.port, "/ws?auth=message") as client:
            client.send({"type": "auth", "id": 1, "data": {"token": word}})
            seen.append(json.dumps(client.receive()))
    admin = bearer(token(boss, "admin"))
    clients = [WebSocket(daemon.port, f"/ws/stats?token={token(ann)}")]
    for path in ("/admin/ws/clients", "/admin/ws/stats", "/ready", "/version"):
        seen.append(request(daemon.port, "GET", path, admin).body.decode("latin-1"))
    text = "\n".join(seen + daemon.log() + daemon.output())
    for word in words + [admin[0][1].split()[1]]:
        for length in (len(word), 24):
            assert word[:length] not in text, f"{word[:10]}… shows"
            assert word[-length:] not in text, f"…{word[-10:]} shows"
    del clients


def test_each_principal_has_its_own_rate_and_retries(start, accounts):
    ann, bob = (bearer(token(accounts.user("admin"), "admin")) for _ in range(2))
    daemon = start({**settings(accounts.path), "broadcast": {"events_per_second": 1, "burst": 10}})

    def send(who, count, key=None):
        batch = [{"channel": "logs", "type": "log", "data": number} for number in range(count)]
        fields = [("Idempotency-Key", key)] if key else []
        return request(daemon.port, "POST", "/admin/ws/broadcast", who + fields, json.dumps(batch).encode())

    first = send(ann, 8, "k")
    assert first.status == 200
    refused = send(ann, 8)
    assert refused.status == 429 and 1 <= int(refused.header("Retry-After")) <= 6, refused
    # A retry costs nothing; the same key of somebody else is another one, and so is their rate.
    assert send(ann, 8, "k").body == first.body
    other = send(bob, 8, "k")
    assert other.status == 200 and other.body != first.body
    assert send(bob, 8).status == 429
    assert send(ann, 7, "k").status == 422
    assert request(daemon.port, "GET", "/admin/ws/stats", ann).json["events_published"] == 16
