"""The examples of README.md and docs/CLIENTS.md for the library: built as they are printed, and run; only the port is the daemon's own."""

import re
import subprocess

import pytest
from conftest import ROOT
from support.daemon import PATIENCE, QUIET, Daemon, die_with_parent, merge, wait_until
from support.http import publish_many, request
from support.scripted import Scripted
from support.ws import WebSocket

PROGRAMS = {re.search(r"struct (\w+)", text)[1]: text
            for text in re.findall(r"```swift\n(import GoLeapAIWSClient\n.*?)```", "".join((ROOT / name).read_text() for name in ("README.md", "docs/CLIENTS.md")), re.S)}


def test_all_are_there():
    assert set(PROGRAMS) == {"Alarms", "Watch", "Follow", "Share", "Spread"}


@pytest.mark.release
def test_the_readme(start, compile_program):
    daemon = start()
    program = compile_program("Alarms", PROGRAMS["Alarms"].replace("8080", str(daemon.port)))
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
        wait_for_subscriptions(daemon, logs=1)
        publish_many(daemon.port, [("logs", "log", {"level": level, "message": level}) for level in ("info", "error")])
        wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["ledger"]["logs"]["delivered"] == 1, "delivery")
        disconnect_all(daemon)
        shown, _ = running.communicate(timeout=PATIENCE)
    assert re.fullmatch(r"\S+Z error\n", shown) and running.returncode == 0


@pytest.mark.release
def test_callbacks(start, compile_program):
    daemon = start()
    program = compile_program("Watch", PROGRAMS["Watch"].replace("8080", str(daemon.port)))
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
        wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["subscriptions"]["logs"], "a subscription")
        publish_many(daemon.port, [("logs", "log", {"level": "error", "message": "one"}), ("logs", "log", {"level": "info", "message": "two"})])
        shown, _ = running.communicate(timeout=PATIENCE)
    lines = shown.splitlines()
    assert running.returncode == 0 and [line for line in lines if line.startswith("[")] == ["[error] one", "[info] two"]
    assert lines[0] == "connecting" and lines[1].startswith("connected(") and "1 errors, 0 requests" in lines


@pytest.mark.release
def test_a_sequence(start, compile_program):
    daemon = start()
    publish_many(daemon.port, [("logs", "log", {"level": "warn", "message": "before"}), ("logs", "log", {"level": "info", "message": "not this"}),
                               ("requests", "request", {"success": False, "status_code": 502, "error_message": "bad gateway"})])
    program = compile_program("Follow", PROGRAMS["Follow"].replace("8080", str(daemon.port)))
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
        wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["subscriptions"]["logs"], "a subscription")
        publish_many(daemon.port, [("logs", "log", {"level": "error", "message": "live"})])
        wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["ledger"]["logs"]["delivered"] >= 2, "delivery")
        clients = request(daemon.port, "GET", "/admin/ws/clients").json["clients"]
        request(daemon.port, "DELETE", f"/admin/ws/clients/{clients[0]['id']}")
        shown, _ = running.communicate(timeout=PATIENCE)
    words = [re.sub(r"^\S+Z ", "", line) for line in shown.splitlines()]
    # What is live comes behind what was, and an admin's word is the last.
    assert words[:2] == ["warn before", "502 bad gateway"] and set(words[2:-1]) == {"from here on live", "error live"}, words
    assert words[-1] == "over: the server has closed the connection: 4505 disconnected by an admin" and running.returncode == 0


def wait_for_subscriptions(daemon, **wanted):
    def there():
        have = request(daemon.port, "GET", "/admin/ws/stats").json["subscriptions"]
        return all(have[name] == count for name, count in wanted.items())
    wait_until(there, lambda: request(daemon.port, "GET", "/admin/ws/clients").json)


def disconnect_all(daemon):
    for client in request(daemon.port, "GET", "/admin/ws/clients").json["clients"]:
        request(daemon.port, "DELETE", f"/admin/ws/clients/{client['id']}")


@pytest.mark.release
def test_several_subscribers(start, compile_program):
    daemon = start()
    program = compile_program("Share", PROGRAMS["Share"].replace("8080", str(daemon.port)))
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
        wait_for_subscriptions(daemon, logs=1, requests=1)
        publish_many(daemon.port, [("logs", "log", {"level": level, "message": level}) for level in ("info", "error", "warn", "fatal")])
        publish_many(daemon.port, [("requests", "request", {"success": ok, "model_name": name}) for ok, name in ((True, "good"), (False, "bad"))])
        wait_until(lambda: request(daemon.port, "GET", "/admin/ws/clients").json["clients"][0]["waiting"] == 0, "delivery")
        disconnect_all(daemon)
        shown, _ = running.communicate(timeout=PATIENCE)
    assert sorted(shown.splitlines()) == ["alarm: error", "alarm: fatal", "failed: bad"] and running.returncode == 0


@pytest.mark.release
def test_a_pool(binary, tmp_path, compile_program):
    with Daemon(binary, tmp_path, merge(QUIET, {"sources": {"stats": {"enabled": True}}}), arguments=["--demo"]) as daemon:
        publish_many(daemon.port, [("logs", "log", {"level": "error", "message": "before"})])
        program = compile_program("Spread", PROGRAMS["Spread"].replace("8080", str(daemon.port)))
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
            wait_for_subscriptions(daemon, logs=1, stats=2)
            publish_many(daemon.port, [("logs", "log", {"level": "warn", "message": "after"})])
            wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["ledger"]["stats"]["delivered"] >= 2, "figures")
            wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["ledger"]["logs"]["delivered"] >= 2, "both lines")
            disconnect_all(daemon)
            shown, _ = running.communicate(timeout=PATIENCE)
    lines = shown.splitlines()
    # The demo has lines of its own.
    assert lines.index("error: before") < min(lines.index("warn: after"), lines.index("from here on live"))
    assert {line.split(":")[0] for line in lines if line.endswith("requests")} == {"5m", "1h"} and running.returncode == 0


LINES = """
import GoLeapAIWSClient

@main
struct Lines {
    static func main() async throws {
        var options = Options(url: "URL", channels: [.logs])
        OPTIONS
        options.history = 10
        let client = try LiveClient(options)
        let events = client.events()
        client.start()
        for await event in events {
            switch event {
            case .log(let log): print(log.rawJSON)
            case .caughtUp: print("from here on")
            case .state(.stopped(let stop)): print(stop.why)
            default: break
            }
        }
    }
}
"""


def lines_program(compile_program, daemon, options):
    """Prints the logs as they come, the last ten of before first."""
    return compile_program("Lines", LINES.replace("URL", f"ws://127.0.0.1:{daemon.port}").replace("OPTIONS", options))


@pytest.mark.release
@pytest.mark.parametrize("encoding", ["json", "messagePack"])
@pytest.mark.parametrize("context", [False, True])
def test_compressed(start, compile_program, encoding, context):
    """What the library is told of compressed messages is what they were, with a context and without."""
    daemon = start({"compression": {"context_takeover": context}})
    events = [("logs", "log", {"level": "warn", "n": n, "message": f"{n} " + "the provider answered with an error, and another is tried; " * (n % 40)}) for n in range(200)]
    publish_many(daemon.port, events[:10])
    program = lines_program(compile_program, daemon, f"options.encoding = .{encoding}; options.compression = .always")
    with WebSocket(daemon.port, "/ws/logs?history=10") as plain:
        expected = [plain.receive_text().decode() for _ in range(10)]
        assert plain.receive()["type"] == "caught_up"
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
            wait_for_subscriptions(daemon, logs=2)
            (client,) = [client for client in request(daemon.port, "GET", "/admin/ws/clients").json["clients"] if client["compression"] != "none"]
            assert client["compression"] == ("deflate_context" if context else "deflate")
            for event in events[10:]:
                publish_many(daemon.port, [event])
            expected += [plain.receive_text().decode() for _ in range(190)]
            wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["ledger"]["logs"]["delivered"] >= 400, "delivery")
            request(daemon.port, "DELETE", f"/admin/ws/clients/{client['id']}")
            shown, _ = running.communicate(timeout=PATIENCE)
    lines = shown.splitlines()
    # Somewhere behind what was.
    assert lines.index("from here on") >= 10
    lines.remove("from here on")
    assert lines == [*expected, "the server has closed the connection: 4505 disconnected by an admin"] and running.returncode == 0


@pytest.mark.release
def test_messagepack(start, compile_program):
    daemon = start()
    line = {"level": "warn", "message": "é\n不", "fields": {"whole": 1.0, "part": 0.1, "large": 2**63, "deep": [[None, True, -7]]}}
    publish_many(daemon.port, [("logs", "log", {**line, "n": n}) for n in range(3)])
    program = lines_program(compile_program, daemon, "options.encoding = .messagePack")
    with WebSocket(daemon.port, "/ws/logs?history=10") as plain:
        before = [text.decode() for text in (plain.receive_text() for _ in range(3))]
        assert plain.receive()["type"] == "caught_up"
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as running:
            wait_for_subscriptions(daemon, logs=2)
            publish_many(daemon.port, [("logs", "log", line)])
            live = plain.receive_text().decode()
            wait_until(lambda: request(daemon.port, "GET", "/admin/ws/stats").json["ledger"]["logs"]["delivered"] >= 8, "delivery")
            (client,) = [client for client in request(daemon.port, "GET", "/admin/ws/clients").json["clients"] if client["encoding"] == "msgpack"]
            request(daemon.port, "DELETE", f"/admin/ws/clients/{client['id']}")
            shown, _ = running.communicate(timeout=PATIENCE)
    lines = shown.splitlines()
    # What is live comes behind what was.
    assert lines[:3] == before and set(lines[3:5]) == {"from here on", live}, lines
    assert lines[5:] == ["the server has closed the connection: 4505 disconnected by an admin"] and running.returncode == 0


TOKENS = """
import GoLeapAIWSClient

@main
struct Tokens {
    static func main() async throws {
        var options = Options(url: "URL", channels: [.logs])
        let asked = Counter()
        options.credential = .provider { "token-\\(asked.next())" }
        let client = try LiveClient(options)
        let events = client.events()
        client.start()
        for await event in events { if case .state(.stopped(let stop)) = event { print(stop.why) } }
    }
}

import Base

final class Counter: Sendable {
    private let count = Locked(0)
    func next() -> Int { count.withLock { $0 += 1; return $0 } }
}
"""


@pytest.mark.release
def test_a_fresh_token_for_an_expired_one(compile_program):
    heads = []

    def expired(peer):
        peer.upgrade()
        heads.append(peer.head)
        peer.close(4001, "token expired")

    def refused(peer):
        peer.refuse(401)
        heads.append(peer.head)

    with Scripted(expired, refused) as server:
        program = compile_program("Tokens", TOKENS.replace("URL", server.url))
        done = subprocess.run([program], capture_output=True, text=True, timeout=PATIENCE)
        assert done.stdout == "the server has refused the connection: 401 not today\n", done
    assert [re.search(rb"Authorization: (.*?)\r", head + b"\r")[1] for head in heads] == [b"Bearer token-1", b"Bearer token-2"]
