"""Ways by which somebody wanted to get in, or to stay, and got further than they should."""

import re
import socket
import subprocess

import pytest
from support import tls
from support.daemon import PATIENCE, QUIET, Daemon, merge, wait_until
from support.http import NoResponse, get, publish, read_response, request
from support.manager import Managed, Manager
from support.tokens import Accounts, token
from support.ws import Refused, WebSocket
from test_auth import bearer, settings, status
from test_reload import reload


@pytest.fixture
def accounts(tmp_path):
    return Accounts(tmp_path / "gateway.db")


def ask(address, port, path="/ws/logs"):
    """What a stranger's handshake at some address of this machine is answered."""
    try:
        with WebSocket(port, path, address=address) as client:
            return client.response.status
    except Refused as refused:
        return refused.response.status


# A reload that opens more than was meant

OUTSIDE = "0.0.0.0"


def test_a_reload_does_not_open_an_address_that_is_listened_on_until_a_restart(binary, tmp_path, accounts):
    """The file is fine for the next start, when only loopback is listened on; today everybody would be let in."""
    with Daemon(binary, tmp_path / "daemon", merge(QUIET, merge(settings(accounts.path), {"server": {"host": [OUTSIDE]}}))).start(wait=False) as daemon:
        daemon.wait_for_log("serves at most")
        port = int(re.search(rf"listening on http://{OUTSIDE}:(\d+)", "\n".join(daemon.log())).group(1))
        assert ask("127.0.0.1", port) == 401
        lines = reload(daemon, {"server": {"host": ["127.0.0.1"]}, "auth": {"mode": "none"}})
        assert any("auth.mode: gateway -> none: takes effect when the daemon is restarted" in line for line in lines), lines
        assert any(f"still listens on {OUTSIDE}:{port}" in line for line in lines), lines
        assert ask("127.0.0.1", port) == 401
        # Other settings are in force; what was held stays held.
        lines = reload(daemon, {"limits": {"messages_per_second": 77}})
        assert any("messages_per_second: 100000 -> 77" in line for line in lines), lines
        assert ask("127.0.0.1", port) == 401
        # A file that is just being written may be empty: its defaults are mode none, on loopback.
        reload(daemon, "")
        assert ask("127.0.0.1", port) == 401
        # Who says so gets it.
        reload(daemon, {"auth": {"allow_anonymous": True}})
        assert ask("127.0.0.1", port) == 101


def test_a_reload_does_not_open_the_address_of_a_socket_unit(binary, tmp_path, accounts):
    manager = Manager(tmp_path)
    try:
        port = manager.listen((OUTSIDE, 0))
        with Managed(manager, binary, tmp_path / "daemon", merge(QUIET, settings(accounts.path))).start(wait=False) as daemon:
            daemon.wait_for_log("serves at most")
            assert ask("127.0.0.1", port) == 401
            reload(daemon, {"auth": {"mode": "none"}})
            assert ask("127.0.0.1", port) == 401
    finally:
        manager.close()


# Rules that change while somebody is connected

def test_channels_that_are_closed_again_end_connections(start, accounts):
    user, boss = accounts.user(), accounts.user("admin")
    daemon = start(settings(accounts.path, open_channels=["logs", "requests"]))
    everything, logs, own = (WebSocket(daemon.port, path, headers=bearer(token(user))) for path in ("/ws?channels=logs,requests", "/ws/logs", "/ws/stats"))
    admin = WebSocket(daemon.port, "/ws/all", headers=bearer(token(boss, "admin")))
    reload(daemon, {"auth": {"open_channels": ["requests"]}})
    for client in (everything, logs):
        assert client.receive_close()[1] == 4503
    # Who is not subscribed to any of it stays, and can ask for no more than now is allowed.
    own.send({"type": "subscribe", "id": 1, "data": {"channels": ["logs"]}})
    assert own.receive_until("error")[-1]["data"]["code"] == "forbidden"
    own.send({"type": "subscribe", "id": 2, "data": {"channels": ["requests"]}})
    assert own.receive_until("ack")[-1]["id"] == 2
    reload(daemon, {"auth": {"open_channels": []}})
    assert own.receive_close()[1] == 4503
    publish(daemon.port, "logs", "note", {"n": 1}, headers=bearer(token(boss, "admin")))
    assert admin.receive()["data"]["n"] == 1


def test_channels_that_are_opened_disconnect_nobody(start, accounts):
    user, other, boss = accounts.user(), accounts.user(), accounts.user("admin")
    daemon = start(settings(accounts.path))
    admin = bearer(token(boss, "admin"))
    with WebSocket(daemon.port, "/ws/all", headers=bearer(token(user))) as everything, WebSocket(daemon.port, "/ws/requests", headers=bearer(token(user))) as own:
        reload(daemon, {"auth": {"open_channels": ["logs"]}})

        def hears(client, channel, data):
            publish(daemon.port, channel, "probe", data, headers=admin)
            client.send({"type": "ping", "id": 1})
            kinds = [message["type"] for message in client.receive_until("pong")]
            return "probe" in kinds
        # `all` is what one may have.
        wait_until(lambda: hears(everything, "logs", {}), "logs are heard")
        publish(daemon.port, "requests", "note", {"n": 1, "user_id": other}, headers=admin)
        publish(daemon.port, "requests", "note", {"n": 2, "user_id": user}, headers=admin)
        for client in (everything, own):
            assert [message for message in client.receive_until("note")][-1]["data"]["n"] == 2


# Requests that take their time

def begin_broadcast(daemon, credential, body):
    sock = socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE)
    sock.sendall((f"POST /admin/ws/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nAuthorization: Bearer {credential}\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n").encode())
    buffer = bytearray()
    assert read_response(sock, buffer).status == 100
    return sock, buffer


BODY = b'{"channel":"logs","type":"note","data":1}'


def test_who_is_no_admin_any_more_when_the_body_has_come_publishes_nothing(start, accounts):
    boss, other = accounts.user("admin"), accounts.user("admin")
    daemon = start(merge(settings(accounts.path), {"server": {"shards": 1}}))
    late, late_buffer = begin_broadcast(daemon, token(boss, "admin"), BODY)
    right, right_buffer = begin_broadcast(daemon, token(other, "admin"), BODY)
    sign, listener = (WebSocket(daemon.port, "/ws/logs", headers=bearer(token(user, "admin"))) for user in (boss, other))
    accounts.execute("UPDATE users SET role = 'user' WHERE id = ?", (boss,))
    # Has everybody looked at anew. One shard tells all of them at once.
    reload(daemon, {"auth": {"query_token": True}})
    assert sign.receive_close()[1] == 4503
    for sock, buffer, expected in ((late, late_buffer, 403), (right, right_buffer, 200)):
        sock.sendall(BODY)
        assert read_response(sock, buffer).status == expected
        sock.close()
    listener.send({"type": "ping", "id": 1})
    assert [message["type"] for message in listener.receive_until("pong")] == ["note", "pong"]
    listener.sock.close()


def test_a_token_that_ended_before_the_body_has_come_publishes_nothing(start, accounts):
    boss = accounts.user("admin")
    daemon = start(settings(accounts.path))
    short = token(boss, "admin", seconds=3)
    sock, buffer = begin_broadcast(daemon, short, BODY)
    wait_until(lambda: get(daemon.port, "/admin/ws/stats", bearer(short)).status == 401, "the token has ended")
    sock.sendall(BODY)
    answer = read_response(sock, buffer)
    assert answer.status == 401 and answer.header("WWW-Authenticate")
    assert get(daemon.port, "/admin/ws/stats", bearer(token(boss, "admin"))).json["events_published"] == 0
    sock.close()


# What a proxy and we would read differently

def test_a_transfer_coding_is_written_in_ascii(daemon):
    """The lower case of the Kelvin sign is a k, but `chunKed` with it is no coding that anybody knows."""
    head = "POST /admin/ws/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chun\u212aed\r\n\r\n"
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as sock:
        sock.sendall(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        buffer = bytearray()
        assert read_response(sock, buffer).status == 501
        with pytest.raises(NoResponse):
            read_response(sock, buffer)


def test_a_quote_left_open_does_not_hide_a_client_behind_a_proxy(start):
    """A proxy adds to what its client has written: the client must not be able to make that part of a text of its own."""
    daemon = start({"server": {"trusted_proxies": ["127.0.0.1"]}, "limits": {"connections_per_address": 3}})
    fields = [("Forwarded", 'for="198.51.100.9, for=192.0.2.7')]
    clients = [WebSocket(daemon.port, "/ws", headers=fields) for _ in range(3)]
    assert {client["address"] for client in get(daemon.port, "/admin/ws/clients").json["clients"]} == {"192.0.2.7"}
    assert status(daemon.port, "/ws", fields) == 429
    for client in clients:
        client.sock.close()


@pytest.mark.parametrize("scheme", ["app", "file", "chrome-extension"])
def test_only_pages_of_this_machine_are_pages_of_this_machine(daemon, scheme):
    assert status(daemon.port, "/ws", [("Origin", f"http://localhost:{daemon.port}")]) == 101
    assert status(daemon.port, "/ws", [("Origin", f"{scheme}://localhost:{daemon.port}")]) == 403


# Strangers

def test_strangers_do_not_take_all_places(start, accounts):
    daemon = start(merge(settings(accounts.path), {"websocket": {"max_clients": 100}}))
    strangers = []
    refusal = None
    for _ in range(100):
        try:
            strangers.append(WebSocket(daemon.port, "/ws?auth=message"))
        except Refused as refused:
            refusal = refused.response
            break
    assert len(strangers) == 25 and refusal.status == 503 and refusal.header("Retry-After")
    boss = bearer(token(accounts.user("admin"), "admin"))
    user = accounts.user()
    with WebSocket(daemon.port, "/ws/stats", headers=bearer(token(user))):
        assert get(daemon.port, "/admin/ws/stats", boss).json["refused"]["awaiting_authentication"] == 1
    # Places come back: by who says who it is, and by who leaves.
    strangers[0].send({"type": "auth", "id": 1, "data": {"token": token(user)}})
    strangers[0].receive_until("ack")
    strangers.append(WebSocket(daemon.port, "/ws?auth=message"))
    assert status(daemon.port, "/ws?auth=message", []) == 503
    strangers.pop().sock.close()
    wait_until(lambda: status(daemon.port, "/ws?auth=message", []) == 101, "a place is free again")
    for client in strangers:
        client.sock.close()


def test_strangers_do_not_hear_how_many_events_there_are(start, accounts):
    daemon = start(settings(accounts.path))
    with WebSocket(daemon.port, "/ws/stats?auth=message") as client:
        client.send({"type": "ping", "id": 1})
        assert client.receive()["data"] == {}
        client.send({"type": "auth", "id": 2, "data": {"token": token(accounts.user())}})
        client.receive_until("ack")
        client.send({"type": "ping", "id": 3})
        assert client.receive()["data"]["position"]


# Secrets that lie open

def test_a_secret_that_everybody_can_read_is_told(binary, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    config = tmp_path / "config.yaml"

    def check(text, mode):
        config.write_text(text)
        config.chmod(mode)
        done = subprocess.run([binary, "check-config", "--config", config], capture_output=True, text=True)
        assert done.returncode == 0, done
        return "can read the secret" in done.stderr + done.stdout
    by_file = f"auth: {{mode: gateway, jwt_secret_file: {secret}}}\n"
    inside = "auth: {mode: gateway, jwt_secret: 0123456789abcdef0123456789abcdef}\n"
    secret.chmod(0o644)
    assert check(by_file, 0o644)
    secret.chmod(0o640)
    assert not check(by_file, 0o644)
    assert check(inside, 0o644) and not check(inside, 0o640) and not check("auth: {mode: none}\n", 0o644)


def test_a_name_in_a_certificate_does_not_speak_to_terminals(start, tmp_path):
    made = tls.Certificates(tmp_path / "tls")
    authority, server = made.make("authority", signs=True), made.make("server")
    client = made.make("client", common_name="x\x1b[31mred\x07", signed_by="authority")
    daemon = start(tls.settings(server, client_ca=authority["cert"]))
    with WebSocket(daemon.tls_port, "/ws", tls=tls.context(client)):
        line = daemon.wait_for_log("client 1 connected.*").group(0)
    assert line.endswith("certificate x [31mred ") and "\x1b" not in "".join(daemon.log())


# Tickets of those who have lost what they had

def ticket(daemon, headers):
    return request(daemon.port, "POST", "/ws/ticket", headers).json["ticket"]


def test_a_ticket_counts_no_more_than_what_it_was_made_for(start, accounts):
    boss = accounts.user("admin")
    user = accounts.user()
    key, row = accounts.key(user)
    daemon = start(settings(accounts.path))
    mine, theirs = ticket(daemon, bearer(token(boss, "admin"))), ticket(daemon, [("Authorization", f"ApiKey {key}")])
    ends = bearer(token(user, seconds=5))
    short = ticket(daemon, ends)
    accounts.execute("UPDATE api_keys SET active = 0 WHERE id = ?", (row,))
    accounts.execute("UPDATE users SET role = 'user' WHERE id = ?", (boss,))
    assert status(daemon.port, f"/ws/stats?ticket={theirs}", []) == 401
    assert status(daemon.port, f"/ws/logs?ticket={mine}", []) == 403
    wait_until(lambda: request(daemon.port, "POST", "/ws/ticket", ends).status == 401, "the token has ended")
    assert status(daemon.port, f"/ws/stats?ticket={short}", []) == 401


def test_a_ticket_of_nobody_counts_for_nothing_after_a_reload(start, accounts):
    daemon = start({"database": {"connection": str(accounts.path)}})
    word, other = ticket(daemon, []), ticket(daemon, [])
    # Without authentication it does no harm: clients need not know which it is.
    assert status(daemon.port, f"/ws/logs?ticket={word}", []) == 101
    reload(daemon, settings(accounts.path))
    assert status(daemon.port, f"/ws/logs?ticket={other}", []) == 401
