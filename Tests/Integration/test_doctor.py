"""`status` and `doctor`: what a daemon says of itself, and why a client does not connect. Each fault is made, by the daemon or by what pretends
to stand before it."""

import base64
import hashlib
import json
import shutil
import socket
import threading

import pytest
from support import tls
from support.gateway import FIXTURES
from support.tokens import SECRET, Accounts, token


def url(daemon):
    return f"http://127.0.0.1:{daemon.port}"


@pytest.fixture
def doctor(run):
    """The findings of an examination by step, each the last of its step, and whether the exit code fits them."""

    def examine(*arguments):
        done = run("doctor", "--json", *arguments)
        findings = json.loads(done.stdout)
        assert done.stderr == "" and done.returncode == any(one["verdict"] == "failed" for one in findings), done
        assert all(one["verdict"] == "ok" or one["remedy"] for one in findings), findings
        return {one["step"]: one for one in findings}

    return examine


def accept_key(key):
    """RFC 6455 §4.2.2"""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


class Pretender:
    """A server that answers every request with the same bytes."""

    def __init__(self, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer = answer
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(peer,), daemon=True).start()

    def converse(self, peer):
        with peer:
            request = b""
            while b"\r\n\r\n" not in request:
                part = peer.recv(65536)
                if not part:
                    return
                request += part
            peer.sendall(self.answer(request) if callable(self.answer) else self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def answer(status, body="", *fields):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


# status


def test_status_of_a_daemon(run, start, tmp_path):
    shutil.copy(FIXTURES / "gateway-small.db", tmp_path / "gateway.db")
    daemon = start({"database": {"connection": str(tmp_path / "gateway.db")}, "sources": {"requests": {"enabled": True}}})
    done = run("status", "--url", url(daemon))
    assert done.returncode == 0 and done.stderr == "", done
    first, *rows = done.stdout.splitlines()
    assert first.startswith("goleapai-ws ") and first.endswith(f" at {url(daemon)}: ready")
    assert rows[0].split()[:3] == ["sources", "requests", "working,"] and "clients" in rows[1] and "0 (logs 0, stats 0," in rows[1]
    found = json.loads(run("status", "--url", url(daemon), "--json").stdout)
    assert set(found) == {"version", "ready", "stats"} and found["ready"]["ready"] and found["stats"]["total_clients"] == 0


def test_status_of_one_that_is_not_ready(run, start):
    daemon = start({"database": {"connection": "/nowhere/gateway.db"}, "sources": {"requests": {"enabled": True}}})
    daemon.wait_for_log("/nowhere/gateway.db")
    done = run("status", "--url", url(daemon))
    assert done.returncode == 1 and ": not ready\n" in done.stdout and "failing" in done.stdout and "/nowhere/gateway.db" in done.stdout, done


def test_status_by_the_unix_socket_and_where_nobody_is(run, start, tmp_path):
    start({"broadcast": {"socket": str(tmp_path / "p.sock")}})
    done = run("status", "--url", f"unix:{tmp_path}/p.sock")
    assert f"at unix:{tmp_path}/p.sock" in done.stdout and "clients   not shown: this socket is for publishing" in done.stdout, done
    for where in (f"unix:{tmp_path}/none.sock", "http://127.0.0.1:1"):
        done = run("status", "--url", where)
        assert done.returncode == 1 and done.stdout == "" and where in done.stderr and "is the daemon running?" in done.stderr, done
    with Pretender(answer(200, "<html>")) as other:
        done = run("status", "--url", f"http://127.0.0.1:{other.port}")
        assert done.returncode == 1 and "this is no goleapai-ws" in done.stderr, done


# publish, as the others reach a daemon


def test_publish_by_tls_with_a_token(run, start, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    certificates = tls.Certificates(tmp_path / "tls")
    files = certificates.make("server")
    daemon = start({**tls.settings(files), "database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}})
    there = ["--url", f"https://127.0.0.1:{daemon.tls_port}"]
    secret = tmp_path / "token"
    secret.write_text(token(accounts.user("admin"), "admin") + "\n")
    event = ["publish", "logs", "--type", "note", "--data", '{"n":1}']
    done = run(*event, *there, "--ca", files["cert"], "--token-file", str(secret))
    assert done.returncode == 0 and json.loads(done.stdout)["success"], done
    assert run(*event, *there, "--insecure", GOLEAPAI_WS_TOKEN_FILE=str(secret)).returncode == 0
    for arguments, said in (((), "certificate"), (("--insecure",), "401"), (("--ca", str(secret)), "no certificate in PEM form")):
        done = run(*event, *there, *arguments)
        assert done.returncode == 1 and said in done.stderr, done
    assert run(*event, *there, "--insecure", "--ca", files["cert"]).returncode == 2


def test_publish_by_the_unix_socket(run, start, tmp_path):
    start({"broadcast": {"socket": str(tmp_path / "p.sock")}})
    done = run("publish", "logs", "--type", "note", "--data", '{"n":1}', "--url", f"unix:{tmp_path}/p.sock")
    assert done.returncode == 0 and json.loads(done.stdout)["success"], done


# doctor


def test_nothing_is_wrong(doctor, run, daemon):
    found = doctor(url(daemon))
    assert {step for step, one in found.items() if one["verdict"] != "ok"} == {"sources"}, found
    assert "logs, stats, providers, requests" in found["rights"]["what"]
    done = run("doctor", "--url", url(daemon))
    assert done.returncode == 0 and done.stdout.splitlines()[0].startswith("ok    name"), done


def test_wrong_usage(run):
    for arguments in (["nonsense"], ["unix:/x"], ["http://127.0.0.1:1", "--url", "http://127.0.0.1:2"], ["http://127.0.0.1:1", "--origin", "x"]):
        assert run("doctor", *arguments).returncode == 2, arguments


def test_a_name_that_does_not_exist(doctor):
    assert list(doctor("http://no-such-host.invalid")) == ["name"]


def test_nobody_listens(doctor):
    found = doctor(f"http://127.0.0.1:{tls.free_port()}")
    assert "refused" in found["connection"]["what"] and "systemctl status" in found["connection"]["remedy"]


def test_certificates(doctor, start, tmp_path):
    certificates = tls.Certificates(tmp_path / "tls")
    for days, trusts, verdict, said in ((90, True, "ok", "TLS 1.3"), (90, False, "failed", "self-signed certificate"), (5, True, "warning", "4 days"),
                                        (-1, True, "failed", "expired")):
        files = certificates.make(f"days{days}", days=days)
        daemon = start(tls.settings(files))
        found = doctor(f"https://127.0.0.1:{daemon.tls_port}", *(["--ca", files["cert"]] if trusts else []))
        assert found["tls"]["verdict"] == verdict and said in found["tls"]["what"], found
        assert ("websocket" in found) == (verdict != "failed")
    # Another name than the certificate's.
    found = doctor(f"https://127.0.0.2:{daemon.tls_port}", "--ca", files["cert"])
    assert found.get("connection", {}).get("verdict") == "failed" or "mismatch" in found["tls"]["what"], found


def test_plain_where_there_is_tls_and_the_other_way_around(doctor, start, daemon, tmp_path):
    found = doctor(f"https://127.0.0.1:{daemon.port}")
    assert found["tls"]["verdict"] == "failed" and f"try http://127.0.0.1:{daemon.port}" in found["tls"]["remedy"]
    secure = start(tls.settings(tls.Certificates(tmp_path / "tls").make("server")))
    found = doctor(f"http://127.0.0.1:{secure.tls_port}")
    assert found["http"]["verdict"] == "failed" and "https://" in found["http"]["remedy"], found


@pytest.mark.parametrize("status,body,remedy", [(502, "", "behind it is not"), (200, "<html>", "look at the port"), (404, "", "look at the port")])
def test_something_else_answers(doctor, status, body, remedy):
    with Pretender(answer(status, body, "Server: other/1")) as other:
        found = doctor(f"http://127.0.0.1:{other.port}")
        assert list(found)[-1] == "http" and "other/1" in found["http"]["what"] and remedy in found["http"]["remedy"], found


def relay(daemon, change):
    """What a proxy passes on: requests and answers whole, but for upgrades, which `change` answers."""

    def serve(request):
        if b"upgrade: websocket" in request.lower():
            return change(request)
        with socket.create_connection(("127.0.0.1", daemon.port)) as there:
            there.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
            return b"".join(iter(lambda: there.recv(65536), b""))

    return Pretender(serve)


@pytest.mark.parametrize("change", [lambda _: answer(426, '{"error":"needs an upgrade"}'), lambda _: answer(200, "x"), lambda _: answer(400), lambda _: b"",
                                    lambda _: b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x\r\n\r\n"])
def test_a_proxy_that_does_not_upgrade(doctor, daemon, change):
    with relay(daemon, change) as proxy:
        found = doctor(f"http://127.0.0.1:{proxy.port}")
        assert found["websocket"]["verdict"] == "failed" and "pass" in found["websocket"]["remedy"], found


def test_a_proxy_that_keeps_frames_back(doctor, daemon):
    def upgrade_and_no_more(request):
        with socket.create_connection(("127.0.0.1", daemon.port)) as there:
            there.sendall(request)
            answered = b""
            while b"\r\n\r\n" not in answered:
                answered += there.recv(65536)
            return answered.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    with relay(daemon, upgrade_and_no_more) as proxy:
        found = doctor(f"http://127.0.0.1:{proxy.port}")
        assert found["websocket"]["verdict"] == "failed" and "buffer" in found["websocket"]["remedy"], found


class Meddler(Pretender):
    """Passes everything on to a daemon, but of a stream only what `spoil` makes of its head and its first block."""

    def __init__(self, port, spoil):
        self.target, self.spoil = port, spoil
        super().__init__(None)

    def converse(self, peer):
        with peer, socket.create_connection(("127.0.0.1", self.target)) as there:
            request = peer.recv(65536)
            there.sendall(request)
            if request.startswith(b"GET /sse"):
                answered = b""
                while b"\n\n" not in answered.partition(b"\r\n\r\n")[2]:
                    answered += there.recv(65536)
                head, mark, body = answered.partition(b"\r\n\r\n")
                peer.sendall(self.spoil(head + mark, body))
                peer.recv(1)
                return
            back = threading.Thread(target=self.pump, args=(there, peer), daemon=True)
            back.start()
            self.pump(peer, there)
            back.join()

    @staticmethod
    def pump(source, target):
        try:
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.parametrize("spoil,said,remedy", [
    (lambda head, body: b"", "nothing of /sse/logs", "proxy_buffering off"),
    (lambda head, body: head, "nothing of /sse/logs", "proxy_buffering off"),
    (lambda head, body: answer(404, "no such page"), "status 404", "pass /sse on"),
    (lambda head, body: answer(200, "<html>", "Content-Type: text/html"), "text/html", "pass /sse on"),
    (lambda head, body: head + body, "come at once", ""),
])
def test_a_proxy_that_spoils_streams(doctor, daemon, spoil, said, remedy):
    with Meddler(daemon.port, spoil) as proxy:
        found = doctor(f"http://127.0.0.1:{proxy.port}")["stream"]
        assert said in found["what"] and remedy in found["remedy"] and (found["verdict"] == "ok") == (not remedy), found


def test_a_clock_that_is_wrong(doctor, daemon):
    def upgrade(request):
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        messages = (b'{"type":"welcome","data":{"role":"user"}}', b'{"type":"pong","timestamp":"2020-01-01T00:00:00.000Z"}')
        return (f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key.decode())}\r\n\r\n".encode()
                + b"".join(bytes([0x81, len(text)]) + text for text in messages))

    with relay(daemon, upgrade) as proxy:
        found = doctor(f"http://127.0.0.1:{proxy.port}")
        assert found["clock"]["verdict"] == "warning" and "behind" in found["clock"]["what"] and "NTP" in found["clock"]["remedy"], found


def test_rights_and_credentials(doctor, start, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    daemon = start({"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}})
    secret = tmp_path / "token"
    for role, verdict, sees in (("user", "warning", "stats, providers, requests"), ("admin", "ok", "logs, stats, providers, requests")):
        secret.write_text(token(accounts.user(role), role))
        found = doctor(url(daemon), "--token-file", str(secret))
        assert found["rights"]["verdict"] == verdict and found["rights"]["what"] == f"role {role}: may see {sees}", found
    secret.write_text(token(accounts.user("admin"), "admin", seconds=-100))
    for arguments in ((), ("--token-file", str(secret))):
        found = doctor(url(daemon), *arguments)
        assert found["credential"]["verdict"] == "failed" and "401" in found["credential"]["what"], found


def test_origins(doctor, start):
    daemon = start({"server": {"allowed_origins": ["https://dash.example"]}})
    assert doctor(url(daemon), "--origin", "https://dash.example/")["origin"]["verdict"] == "ok"
    found = doctor(url(daemon), "--origin", "https://other.example")["origin"]
    assert found["verdict"] == "failed" and "server.allowed_origins: [https://other.example]" in found["remedy"]


def test_limits_and_sources(doctor, start):
    daemon = start({"websocket": {"enabled": False}})
    assert "websocket.enabled" in doctor(url(daemon))["websocket"]["remedy"]
    daemon = start({"database": {"connection": "/nowhere/gateway.db"}, "sources": {"requests": {"enabled": True}}})
    daemon.wait_for_log("/nowhere/gateway.db")
    found = doctor(url(daemon))["sources"]
    assert found["verdict"] == "failed" and "/nowhere/gateway.db" in found["what"] and "database.connection" in found["remedy"]
