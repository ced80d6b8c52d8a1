"""`goleapai-ws tail`, and with it the client library: against the daemon, and against servers that behave as no daemon should."""

import json
import os
import pty
import re
import signal
import subprocess
import threading

import pytest
from support.close_codes import RETURNS, STOPS, UNKNOWN
from support.daemon import PATIENCE, die_with_parent, wait_until
from support.http import publish_many
from support.scripted import Scripted
from support.tls import Certificates, free_port, settings


class Tail:
    """One running `goleapai-ws tail`. Use as a context manager."""

    def __init__(self, binary, *arguments, stdout=subprocess.PIPE, environment=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GOLEAPAI_WS_", "NO_COLOR"))}
        self.process = subprocess.Popen(
            [str(binary), "tail", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
            env={**clean, **(environment or {})}, preexec_fn=die_with_parent)
        self.lines, self.complaints = [], []
        self._readers = [threading.Thread(target=self._collect, args=pair, daemon=True)
                         for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.complaints)) if pair[0]]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _collect(stream, kept):
        for line in stream:
            kept.append(line.decode().rstrip("\n"))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if kind is not None:
            print("\n".join(["--- tail ---", *self.lines[-20:], *self.complaints]))

    def wait_for(self, text, what=None):
        wait_until(lambda: any(text in line for line in (self.lines if what is None else what)), lambda: f"{text}: {self.lines[-5:]} {self.complaints}")

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def messages(self):
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def tail(binary):
    running = []

    def run(*arguments, **options):
        running.append(Tail(binary, *arguments, **options))
        return running[-1]

    yield run
    for one in running:
        one.__exit__(None, None, None)


def subscribed(daemon, count):
    from support.http import request
    wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["subscriptions"]["logs"] >= count, "a subscription")


def log(number, level="info", **more):
    return ("logs", "log", {"level": level, "message": f"event {number}", **more})


# What is shown


def test_follows_logs(daemon, tail):
    one = tail("--url", f"ws://127.0.0.1:{daemon.port}")
    subscribed(daemon, 1)
    publish_many(daemon.port, [log(1, component="router", fields={"a": 1})])
    one.wait_for("event 1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  INFO     router +event 1 a=1", one.lines[0]), one.lines
    assert one.end(signal.SIGINT) == 0 and one.complaints == []


def test_sigterm_is_an_end_too(daemon, tail):
    one = tail("--url", f"ws://127.0.0.1:{daemon.port}")
    subscribed(daemon, 1)
    assert one.end(signal.SIGTERM) == 0 and one.complaints == []


@pytest.mark.parametrize("arguments,wanted", [
    (["--level", "warn"], [2, 3, 5]),
    (["--level", "info,error"], [1, 3, 4]),
    (["--component", "a,b"], [1, 2]),
    (["--grep", "EVENT 4"], [4]),
    (["--q", "event 5"], [5]),
    (["--provider", "p1"], [5]),
    (["--history", "2"], [4, 5]),
])
def test_filters_of_logs(start, tail, arguments, wanted):
    daemon = start()
    publish_many(daemon.port, [log(1, component="a"), log(2, "warn", component="b"), log(3, "error", component="c"), log(4), log(5, "fatal", provider_id="p1")])
    one = tail("--url", daemon_url(daemon), "--no-follow", "--json", *arguments)
    assert one.end() == 0 and one.complaints == []
    shown = [m["data"]["message"] for m in one.messages() if m["type"] == "log"]
    assert shown == [f"event {number}" for number in wanted]
    assert one.messages()[-1]["type"] == "caught_up"


def daemon_url(daemon):
    return f"http://127.0.0.1:{daemon.port}"


@pytest.mark.parametrize("arguments,wanted", [
    ([], [1, 2, 3]), (["--only-errors"], [2]), (["--min-latency", "200"], [2, 3]), (["--provider", "p1,p9"], [1]), (["--model", "m2"], [2, 3]),
    (["--model", "m2", "--only-errors"], [2]),
])
def test_filters_of_requests(start, tail, arguments, wanted):
    daemon = start()
    rows = [(1, "p1", "m1", True, 100), (2, "p2", "m2", False, 200), (3, "p3", "m2", True, 300)]
    publish_many(daemon.port, [("requests", "request", {"request_id": str(n), "provider_id": p, "model_id": m, "success": ok, "latency_ms": ms, "status_code": 200})
                               for n, p, m, ok, ms in rows])
    one = tail("requests", "--url", daemon_url(daemon), "--no-follow", "--json", *arguments)
    assert one.end() == 0
    assert [int(m["data"]["request_id"]) for m in one.messages() if m["type"] == "request"] == wanted


def test_since_an_id_and_an_instant(start, tail):
    daemon = start()
    publish_many(daemon.port, [log(1)])
    last = publish_many(daemon.port, [log(2)])["last_id"]
    publish_many(daemon.port, [log(3)])
    one = tail("--url", daemon_url(daemon), "--no-follow", "--since", last, "--json")
    assert one.end() == 0
    assert [m["data"].get("message") for m in one.messages()] == ["event 3", None]
    other = tail("--url", daemon_url(daemon), "--no-follow", "--since", "5m")
    assert other.end() == 0 and [line.split("event ")[1] for line in other.lines] == ["1", "2", "3"]


def test_json_is_what_came(daemon, tail):
    one = tail("all", "--url", f"ws://127.0.0.1:{daemon.port}/ws", "--json")
    wait_until(lambda: (publish_many(daemon.port, [("all", "deploy", {"v": "1.2", "t": "\u00e4\u2028\x1b"})]), one.lines)[1], "an event")
    message = one.messages()[0]
    assert message["type"] == "deploy" and message["channel"] == "all" and message["data"] == {"v": "1.2", "t": "\u00e4\u2028\x1b"}
    assert list(message) == ["type", "id", "timestamp", "channel", "data"]


def test_stats_of_a_window(binary, tmp_path, tail):
    from support.daemon import QUIET, Daemon, merge
    with Daemon(binary, tmp_path, merge(QUIET, {"sources": {"stats": {"enabled": True}}}), arguments=["--demo"]) as daemon:
        one = tail("stats", "--window", "1h", "--interval", "1", "--json", "--url", daemon_url(daemon))
        wait_until(lambda: len(one.lines) >= 2, "updates")
        assert {m["data"]["time_window"] for m in one.messages()} == {"1h"} and {m["type"] for m in one.messages()} == {"stats_update"}
        other = tail("stats", "--url", daemon_url(daemon))
        other.wait_for("STATS    5m")
        assert one.end(signal.SIGINT) == 0 and other.end(signal.SIGINT) == 0


def test_nothing_that_a_terminal_obeys(start, tail):
    daemon = start()
    publish_many(daemon.port, [("logs", "log", {"level": "in\x1bfo", "message": "a\x1b[2Jb\nforged\u009b31m\u202e", "component": "\x07"})])
    one = tail("--url", daemon_url(daemon), "--no-follow")
    assert one.end() == 0
    assert len(one.lines) == 1 and "forged" in one.lines[0]
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", one.lines[0])


def on_a_terminal(binary, *arguments, **environment):
    """What a terminal gets to see."""
    master, slave = pty.openpty()
    with Tail(binary, *arguments, stdout=slave, environment=environment) as one:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 65536):
                shown += part
        except OSError:     # EIO: nobody has the other end any more
            pass
        os.close(master)
        assert one.end() == 0, one.complaints
    return shown.decode()


def test_colours(start, binary, tail):
    daemon = start()
    publish_many(daemon.port, [log(1, "error")])
    arguments = ("--url", daemon_url(daemon), "--no-follow")
    assert "\x1b[31mERROR" in on_a_terminal(binary, *arguments)
    assert "\x1b" not in on_a_terminal(binary, *arguments, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(binary, *arguments, "--color", "never")
    assert "\x1b[31mERROR" in on_a_terminal(binary, *arguments, "--color=always", NO_COLOR="1")
    for extra, coloured in (((), False), (("--color", "always"), True)):
        one = tail(*arguments, *extra)
        assert one.end() == 0 and ("\x1b" in one.lines[0]) == coloured


# Ends


def test_a_reader_that_has_seen_enough(daemon, binary):
    for reads in (True, False):
        publish_many(daemon.port, [log(1)])
        process = subprocess.Popen([str(binary), "tail", "--url", daemon_url(daemon), "--history", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   preexec_fn=die_with_parent)
        if reads:
            assert b"event 1" in process.stdout.readline()
        # Nothing more is published: that nobody reads is noticed all the same.
        process.stdout.close()
        assert process.wait(PATIENCE) == 0 and process.stderr.read() == b""


@pytest.mark.parametrize("arguments", [["nonsense"], ["--level", "loud"], ["--history", "-1"], ["--url", "ftp://x"], ["--color", "red"], ["stats", "--grep", "x"],
                                       ["--token-file", "/nonexistent"], ["--ca", "x", "--insecure"]])
def test_wrong_usage_is_2(tail, arguments):
    one = tail(*arguments)
    assert one.end() == 2 and one.lines == [] and "Try 'goleapai-ws tail --help'." in one.complaints


def test_nobody_there_is_1(tail):
    one = tail("--url", f"ws://127.0.0.1:{free_port()}")
    assert one.end() == 1 and "Connection refused; is the daemon running?" in one.complaints[0]
    one = tail("--url", "unix:/nonexistent/x.sock")
    assert one.end() == 1 and "No such file or directory" in one.complaints[0]


def test_wrong_configuration_is_78(tail, tmp_path):
    (tmp_path / "config.yaml").write_text("server: {prot: 1}\n")
    assert tail("--config", tmp_path / "config.yaml").end() == 78


def test_the_address_of_the_configuration(daemon, tail, tmp_path):
    (tmp_path / "config.yaml").write_text(f"server: {{host: [127.0.0.1], port: {daemon.port}}}\n")
    assert tail("--config", tmp_path / "config.yaml", "--no-follow").end() == 0


def test_what_the_daemon_does_not_understand_is_1(daemon, tail):
    one = tail("--url", daemon_url(daemon), "--since", "nonsense")
    assert one.end() == 1 and "invalid since" in one.complaints[0]


def test_tls(start, tail, tmp_path):
    certificates = Certificates(tmp_path / "certificates")
    certificates.make("ca", signs=True)
    daemon = start(settings(certificates.make("server", signed_by="ca")))
    publish_many(daemon.port, [log(1)])
    url = f"wss://127.0.0.1:{daemon.tls_port}"
    for trust in (("--ca", certificates.path("ca.crt")), ("--insecure",)):
        one = tail("--url", url, "--no-follow", *trust)
        assert one.end() == 0 and "event 1" in one.lines[0], one.complaints
    one = tail("--url", url)
    assert one.end() == 1 and "the server's certificate: " in one.complaints[0]
    one = tail("--url", url, "--ca", tmp_path / "nothing.pem")
    assert one.end() == 1 and "nothing.pem" in one.complaints[0]
    # A certificate of the right authority, for somebody else.
    one = tail("--url", url.replace("127.0.0.1", "127.0.0.2"), "--ca", certificates.path("ca.crt"))
    assert one.end() == 1


# Coming back


def test_across_a_restart_without_a_hole_or_a_double(start, tail):
    port = free_port()
    first = start({"server": {"port": port}})
    one = tail("--url", daemon_url(first), "--json")
    subscribed(first, 1)
    publish_many(port, [log(number) for number in range(1, 501)])
    first.stop()
    second = start({"server": {"port": port}})
    # Published while nobody was there yet, or after: the client asks for all of it.
    publish_many(port, [log(number) for number in range(501, 601)])
    one.wait_for("event 600")
    publish_many(port, [log(601)])
    one.wait_for("event 601")
    assert [m["data"]["message"] for m in one.messages() if m["type"] == "log"] == [f"event {number}" for number in range(1, 602)]
    gaps = [m["data"]["reason"] for m in one.messages() if m["type"] == "gap"]
    assert gaps == ["restarted"] and any("gap: restarted of logs" in line for line in one.complaints)
    assert any("connecting again" in line for line in one.complaints) and any("connected again" in line for line in one.complaints)
    assert one.end(signal.SIGINT) == 0
    second.stop()


def test_cut_off_again_and_again(start, tail):
    """The connection is cut anywhere in the stream, without a close frame."""
    from support.proxy import Cutter
    daemon = start()
    with Cutter(daemon.port) as cutter:
        one = tail("--url", f"ws://127.0.0.1:{cutter.port}", "--json")
        subscribed(daemon, 1)
        number = 0
        for _ in range(4):
            for _ in range(50):
                publish_many(daemon.port, [log(number + i) for i in range(4)])
                number += 4
            cutter.cut()
        one.wait_for(f"event {number - 1}")
        assert [m["data"]["message"] for m in one.messages() if m["type"] == "log"] == [f"event {n}" for n in range(number)]
        assert [m for m in one.messages() if m["type"] == "gap"] == [] and cutter.connections >= 2


def first_then(code, reason="", before=None):
    def script(peer):
        asked = peer.upgrade()
        assert asked["channels"] == ["logs"] and "since" not in asked, asked
        peer.log(1)
        if before:
            before(peer)
        peer.close(code, reason)
    return script


def again(peer):
    asked = peer.upgrade(position="e-9")
    assert asked["since"] == "e-1", asked
    peer.log(1)
    peer.log(2)
    peer.close(4505)


@pytest.mark.parametrize("code", STOPS)
def test_codes_that_end_it(tail, code):
    with Scripted(first_then(code, "as said")) as server:
        one = tail("--url", server.url)
        assert one.end() == 1
        assert server.connections == 1 and len(one.lines) == 1 and "event 1" in one.lines[0]
        assert one.complaints == [f"goleapai-ws tail: the server has closed the connection: {code} as said"]


@pytest.mark.parametrize("code", RETURNS + UNKNOWN)
def test_codes_after_which_it_comes_back(tail, code):
    def drain(peer):
        peer.send({"type": "drain", "timestamp": "2026-02-05T10:30:00.000Z", "data": {"reconnect_in_ms": 20}})

    with Scripted(first_then(code, before=drain if code == 1001 else None), again) as server:
        one = tail("--url", server.url)
        assert one.end() == 1
        assert server.connections == 2 and [line.split("event ")[1] for line in one.lines] == ["1", "2"]
        assert str(code) in one.complaints[0] and one.complaints[1].endswith("connected again") and "4505" in one.complaints[2]


def test_without_a_close_frame(tail):
    def cut(peer):
        peer.upgrade()
        peer.log(1)

    with Scripted(cut, again) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and server.connections == 2 and len(one.lines) == 2


def test_positions_of_pings(tail):
    """A client whose filters pass little goes on from where the server says it is."""
    def quiet(peer):
        peer.upgrade()
        peer.ping(b"e-77")
        peer.ping(b"not a position")

    def later(peer):
        assert peer.upgrade(position="e-99")["since"] == "e-77"
        peer.close(4505)

    with Scripted(quiet, later) as server:
        assert tail("--url", server.url).end() == 1 and server.connections == 2


@pytest.mark.parametrize("status,hint", [(400, ""), (401, "; --token-file names a credential"), (403, "; --token-file names a credential"), (404, ""), (426, "")])
def test_refusals_that_end_it(tail, status, hint):
    with Scripted(lambda peer: peer.refuse(status)) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and server.connections == 1
        assert one.complaints == [f"goleapai-ws tail: the server has refused the connection: {status} not today{hint}"]
    # The same for somebody who was there before.
    with Scripted(first_then(4000), lambda peer: peer.refuse(status)) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and server.connections == 2 and f": {status} not today{hint}" in one.complaints[-1]


@pytest.mark.parametrize("status", [429, 503, 502])
def test_refusals_that_pass(tail, status):
    with Scripted(first_then(4000), lambda peer: peer.refuse(status, "Retry-After: 0\r\n"), lambda peer: peer.refuse(status, body=b"<html>"), again) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and server.connections == 4 and len(one.lines) == 2
    # But whoever has never been there is told at once.
    with Scripted(lambda peer: peer.refuse(status, "Retry-After: 1\r\n")) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and server.connections == 1 and str(status) in one.complaints[0]


@pytest.mark.parametrize("token,field", [("abc.def.ghi", b"Bearer abc.def.ghi"), ("gla_0123456789abcdef", b"ApiKey gla_0123456789abcdef")])
def test_credential(tail, tmp_path, token, field):
    (tmp_path / "token").write_text(token + "\n")
    heads = []
    for options in ({}, {"environment": {"GOLEAPAI_WS_TOKEN_FILE": str(tmp_path / "token")}}):
        with Scripted(lambda peer: (heads.append(peer.read_head()), peer.raw(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))) as server:
            one = tail("--url", server.url, *(() if options else ("--token-file", tmp_path / "token")), **options)
            assert one.end() == 1 and token not in "".join(one.complaints)
    assert len(heads) == 2 and all(b"\r\nAuthorization: " + field + b"\r\n" in head + b"\r\n" for head in heads)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n",
                                    b"SSH-2.0-OpenSSH\r\n\r\n", b""])
def test_what_is_no_answer(tail, answer):
    with Scripted(lambda peer: (peer.read_head(), peer.raw(answer))) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and len(one.complaints) == 1


@pytest.mark.parametrize("data", [b"\xc1\x00", b"\x81\x85\x01\x02\x03\x04hello", b"\x82\x01x", b"\x81\x01\xff", b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_a_server_that_breaks_the_protocol(tail, data):
    def script(peer):
        peer.upgrade()
        peer.raw(data)
        assert peer.receive() is None

    with Scripted(script) as server:
        one = tail("--url", server.url)
        assert one.end() == 1 and server.connections == 1 and "does not keep to the protocol" in one.complaints[0]
