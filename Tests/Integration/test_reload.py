"""SIGHUP: what can change while clients are connected does, and nobody is disconnected."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from support.daemon import Literal, merge, wait_until, yaml_text
from support.gateway import Gateway, create
from support.http import get, publish, request
from support.manager import Manager
from support.ws import Refused, WebSocket


def reload(daemon, settings, expect=r"the configuration was read again"):
    """Writes other settings over the present ones, sends SIGHUP, and waits for the line in the log that answers it."""
    if isinstance(settings, dict):
        daemon.settings = merge(daemon.settings, settings)
        text = yaml_text(daemon.settings) + "\n"
    else:
        text = settings
    (daemon.directory / "config.yaml").write_text(text)
    seen = len(daemon.log())
    daemon.kill(signal.SIGHUP)

    def answered():
        lines = daemon.log()[seen:]
        return lines if any(expect in line for line in lines) else None

    return wait_until(answered, lambda: f"{expect!r} in:\n" + "\n".join(daemon.log()[seen:]))


def clients_of(daemon):
    return request(daemon.port, "GET", "/admin/ws/stats").json["total_clients"]


def refused(daemon, path="/ws/logs"):
    with pytest.raises(Refused) as caught:
        WebSocket(daemon.port, path)
    return caught.value.response


def test_a_limit_rises_and_falls_and_nobody_is_disconnected(start):
    daemon = start({"websocket": {"max_clients": 20}})
    clients = [WebSocket(daemon.port, "/ws/logs") for _ in range(20)]
    assert refused(daemon).status == 503
    lines = reload(daemon, {"websocket": {"max_clients": 25}})
    assert any("websocket.max_clients: 20 -> 25" in line for line in lines), lines
    clients += [WebSocket(daemon.port, "/ws/logs") for _ in range(5)]
    assert b"max_clients (25)" in refused(daemon).body
    reload(daemon, {"websocket": {"max_clients": 3}})
    assert b"max_clients (3)" in refused(daemon).body
    assert clients_of(daemon) == 25
    publish(daemon.port, "logs", "log", {"message": "to all"})
    for client in clients:
        assert client.receive()["data"]["message"] == "to all"


@pytest.mark.parametrize("text, said", [
    ("websocket: {max_clients: none}\n", "config.yaml:1: websocket.max_clients"),
    ("websocket:\n  max_client: 5\n", "config.yaml:2: websocket.max_client: unknown key; did you mean max_clients?"),
    ("a: [1, 2\n", "config.yaml:"),
    ("websocket: {client_timeout: 2s, heartbeat_interval: 5s}\n", "websocket.client_timeout: 2s"),
])
def test_a_broken_file_changes_nothing_and_says_why(start, text, said):
    daemon = start({"websocket": {"max_clients": 2}})
    clients = [WebSocket(daemon.port, "/ws/logs") for _ in range(2)]
    lines = reload(daemon, text, "nothing was changed")
    assert any(said in line for line in lines), lines
    assert b"max_clients (2)" in refused(daemon).body
    publish(daemon.port, "logs", "log", {"message": "still here"})
    for client in clients:
        assert client.receive()["data"]["message"] == "still here"
    reload(daemon, {"websocket": {"max_clients": 3}})
    WebSocket(daemon.port, "/ws/logs")


def test_a_file_that_is_gone_changes_nothing(start):
    daemon = start({"websocket": {"max_clients": 2}})
    path = daemon.directory / "config.yaml"
    path.unlink()
    daemon.kill(signal.SIGHUP)
    daemon.wait_for_log(r"error .*config\.yaml.*No such file")
    daemon.wait_for_log("nothing was changed")
    assert get(daemon.port, "/health").status == 200


@pytest.fixture
def manager(tmp_path):
    playing = Manager(tmp_path)
    yield playing
    playing.close()


@pytest.fixture
def hung(start, manager):
    """A daemon that reads its configuration from a pipe that nobody writes to, as if the disk did not answer."""
    daemon = start({"websocket": {"max_clients": 20}}, environment={"NOTIFY_SOCKET": manager.path})
    config = daemon.directory / "config.yaml"
    config.unlink()
    os.mkfifo(config)
    daemon.kill(signal.SIGHUP)
    wait_until(lambda: any((task / "comm").read_text() == "reload\n" for task in Path(f"/proc/{daemon.pid}/task").iterdir()), "it reads")
    return daemon


def test_a_file_that_does_not_answer_holds_up_nothing(hung, manager):
    client = WebSocket(hung.port, "/ws/logs")
    publish(hung.port, "logs", "log", {"message": "meanwhile"})
    assert client.receive()["data"]["message"] == "meanwhile"
    assert manager.said("READY") == ["1"]
    hung.wait_for_log("warn the configuration could not be read for 5 s")
    # Nor does who asked systemd for it wait for ever.
    wait_until(lambda: manager.said("READY") == ["1", "1"], lambda: manager.messages)
    # The second signal is not lost: what is written after it is read.
    hung.kill(signal.SIGHUP)
    wait_until(lambda: not int(re.search(r"^ShdPnd:\s*([0-9a-f]+)", Path(f"/proc/{hung.pid}/status").read_text(), re.M).group(1), 16), "it is taken")
    get(hung.port, "/health")
    config = hung.directory / "config.yaml"
    (hung.directory / "new.yaml").write_text(yaml_text(merge(hung.settings, {"websocket": {"max_clients": 30}})) + "\n")
    with config.open("w") as pipe:
        os.replace(hung.directory / "new.yaml", config)
        pipe.write(yaml_text(merge(hung.settings, {"websocket": {"max_clients": 25}})) + "\n")
    hung.wait_for_log(r"websocket.max_clients: 20 -> 25")
    hung.wait_for_log(r"websocket.max_clients: 25 -> 30")


def test_a_file_that_does_not_answer_does_not_keep_it_from_stopping(hung):
    client = WebSocket(hung.port, "/ws/logs")
    hung.kill(signal.SIGTERM)
    assert client.receive()["type"] == "drain"
    client.sock.close()
    hung._stopped = True
    assert hung.wait_exit() == 0


def test_what_takes_a_restart_is_named_each_time_until_it_is_as_it_was(start):
    daemon = start({"websocket": {"buffer_size": 256}})
    lines = reload(daemon, {"server": {"shards": 3}, "websocket": {"buffer_size": 512}}, "websocket.buffer_size: 256 -> 512: takes effect when")
    assert any("server.shards: 2 -> 3: takes effect when" in line for line in lines), lines
    lines = reload(daemon, {}, "websocket.buffer_size: 256 -> 512: takes effect when")
    assert any("nothing has changed" in line for line in lines), lines
    lines = reload(daemon, {"server": {"shards": 2}, "websocket": {"buffer_size": 256}}, "nothing has changed")
    assert not any("takes effect" in line for line in lines), lines
    assert len(request(daemon.port, "GET", "/admin/ws/stats").json["shards"]) == 2


def test_the_log_changes(start):
    daemon = start()
    WebSocket(daemon.port, "/ws/logs")
    daemon.wait_for_log("client 1 connected")
    # At this level the reload itself is not told any more: something that is goes with it.
    reload(daemon, {"log": {"level": "warn"}, "server": {"shards": 3}}, "takes effect when")
    WebSocket(daemon.port, "/ws/logs")
    lines = reload(daemon, {"log": {"level": "info", "format": "json"}, "server": {"shards": 2}})
    line = json.loads(lines[-1])
    assert (line["level"], line["event"]) == ("info", "reloaded")
    assert len(line["message_id"]) == 32 and line["code"].startswith("Daemon/")
    client = WebSocket(daemon.port, "/ws/logs")
    found = json.loads(daemon.wait_for_log(r'(\{.*"event":"client-connected".*\})').group(1))
    assert found["client_id"] != "" and found["remote_addr"] == "127.0.0.1"
    reload(daemon, {"log": {"level": "debug"}})
    client.send({"type": "subscribe", "data": {"channels": ["stats", "requests"]}})
    changed = json.loads(daemon.wait_for_log(r'(\{.*"event":"client-subscribed".*\})').group(1))
    assert changed["message"] == f'client {found["client_id"]} is subscribed to logs, stats, requests'
    client.send_close(1000)
    gone = json.loads(daemon.wait_for_log(r'(\{.*"event":"client-disconnected".*\})').group(1))
    assert (gone["client_id"], gone["close_code"]) == (found["client_id"], "1000")
    assert sum("connected from" in line for line in daemon.log()) == 2, daemon.log()


def test_origins_change(start):
    daemon = start()
    page = [("Origin", "https://dash.example")]
    with pytest.raises(Refused):
        WebSocket(daemon.port, "/ws/logs", headers=page)
    reload(daemon, {"server": {"allowed_origins": ["https://dash.example"]}})
    client = WebSocket(daemon.port, "/ws/logs", headers=page)
    reload(daemon, {"server": {"allowed_origins": []}})
    with pytest.raises(Refused):
        WebSocket(daemon.port, "/ws/logs", headers=page)
    publish(daemon.port, "logs", "log", {"message": "who is in stays"})
    assert client.receive()["data"]["message"] == "who is in stays"


def test_limits_of_publishing_change(start):
    daemon = start({"broadcast": {"max_event_bytes": 2048, "burst": 10, "events_per_second": 10}})
    large = {"message": "x" * 3000}
    publish(daemon.port, "logs", "log", large, expect=413)
    reload(daemon, {"broadcast": {"max_event_bytes": 65536, "burst": 1000, "events_per_second": 1000}})
    publish(daemon.port, "logs", "log", large)
    batch = [{"channel": "logs", "type": "log", "data": {"n": n}} for n in range(500)]
    assert request(daemon.port, "POST", "/admin/ws/broadcast", body=json.dumps(batch).encode()).status == 200
    reload(daemon, {"broadcast": {"burst": 10}})
    assert request(daemon.port, "POST", "/admin/ws/broadcast", body=json.dumps(batch).encode()).status == 413


def test_history_shrinks_and_grows(start):
    daemon = start({"history": {"max_events": 2000}})
    for n in range(4):
        batch = [{"channel": "logs", "type": "log", "data": {"n": n * 500 + k}} for k in range(500)]
        assert request(daemon.port, "POST", "/admin/ws/broadcast", body=json.dumps(batch).encode()).status == 200
    held = lambda: request(daemon.port, "GET", "/admin/ws/stats").json["history"]["events"]  # noqa: E731
    assert held() >= 2000
    reload(daemon, {"history": {"max_events": 100}})
    publish(daemon.port, "logs", "log", {"n": 2000})
    wait_until(lambda: held() < 500, lambda: f"history holds {held()} events")
    client = WebSocket(daemon.port, "/ws/logs?history=50")
    assert [client.receive()["data"]["n"] for _ in range(50)] == list(range(1951, 2001))


def test_the_rate_of_messages_changes_for_who_is_connected(start):
    daemon = start({"limits": {"messages_per_second": 5}})
    client = WebSocket(daemon.port, "/ws/logs")
    reload(daemon, {"limits": {"messages_per_second": 1000}})
    for number in range(100):
        client.send({"type": "ping", "id": number})
    for number in range(100):
        assert client.receive()["id"] == number


def test_the_heartbeat_changes_for_who_is_connected(start):
    daemon = start({"websocket": {"heartbeat_interval": Literal("1h"), "client_timeout": Literal("2h")}})
    client = WebSocket(daemon.port, "/ws/logs?heartbeat=json")
    reload(daemon, {"websocket": {"heartbeat_interval": Literal("1s"), "client_timeout": Literal("60s")}})
    assert client.receive()["type"] == "ping"


def test_web_sockets_are_turned_off_and_on(start):
    daemon = start()
    client = WebSocket(daemon.port, "/ws/logs")
    reload(daemon, {"websocket": {"enabled": False}})
    assert refused(daemon).status == 404
    reload(daemon, {"websocket": {"enabled": True}})
    WebSocket(daemon.port, "/ws/logs")
    publish(daemon.port, "logs", "log", {"message": "still"})
    assert client.receive()["data"]["message"] == "still"


# Sources


def sources(**enabled):
    return {"sources": {name: {"enabled": is_on} for name, is_on in enabled.items()}}


def states(daemon):
    return {source["name"]: source["state"] for source in get(daemon.port, "/ready").json["sources"]}


def wait_states(daemon, wanted):
    wait_until(lambda: states(daemon) == wanted, lambda: f"{states(daemon)}, not {wanted}")


def test_sources_are_turned_on_and_off_and_the_others_lose_nothing(start, tmp_path):
    path = tmp_path / "gateway.db"
    create(path)
    gateway = Gateway(path)
    provider = gateway.add_provider("one")
    model = gateway.add_model(provider, "m")
    daemon = start({"database": {"connection": str(path)}, **sources(requests=True)})
    wait_states(daemon, {"requests": "working"})
    client = WebSocket(daemon.port, "/ws/requests")
    watcher = WebSocket(daemon.port, "/ws/stats?interval=1")
    written = []

    def write():
        row = gateway.row(provider, model)
        gateway.insert([row])
        written.append(row)

    for change in (sources(stats=True), sources(providers=True), sources(stats=False), sources(providers=False, stats=True)):
        for _ in range(5):
            write()
        reload(daemon, change)
        for _ in range(5):
            write()
    got = [client.receive() for _ in range(len(written))]
    assert [event["type"] for event in got] == ["request"] * len(written)
    assert len({event["id"] for event in got}) == len(written)
    wait_states(daemon, {"stats": "working", "requests": "working"})
    # Who was subscribed before there were any gets statistics now, and they count the rows of before.
    wait_until(lambda: watcher.receive_until("stats_update")[-1]["data"]["total_requests"] == len(written), "statistics count every row")
    reload(daemon, sources(requests=False))
    write()
    wait_states(daemon, {"stats": "working"})
    wait_until(lambda: watcher.receive_until("stats_update")[-1]["data"]["total_requests"] == len(written), "statistics go on")
    reload(daemon, sources(requests=True))
    wait_states(daemon, {"stats": "working", "requests": "working"})
    write()
    assert client.receive()["type"] == "request"


def test_everything_off_and_on_again(start, tmp_path):
    path = tmp_path / "gateway.db"
    create(path)
    gateway = Gateway(path)
    provider = gateway.add_provider("one")
    daemon = start({"database": {"connection": str(path)}, **sources(requests=True, stats=True, providers=True)})
    client = WebSocket(daemon.port, "/ws/requests")
    wait_states(daemon, {"stats": "working", "requests": "working", "providers": "working"})
    reload(daemon, sources(requests=False, stats=False, providers=False))
    assert states(daemon) == {}
    gateway.insert([gateway.row(provider) for _ in range(10)])
    reload(daemon, sources(requests=True, stats=True, providers=True))
    wait_states(daemon, {"stats": "working", "requests": "working", "providers": "working"})
    gateway.insert([gateway.row(provider)])
    # What was written while nobody looked is history, not live.
    assert client.receive()["type"] == "request"
    client.send({"type": "ping", "id": 1})
    assert client.receive()["type"] == "pong"


def test_another_database(start, tmp_path):
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    gateways = []
    for seed, path in enumerate((first, second)):
        create(path)
        gateways.append(Gateway(path, seed=seed))
    daemon = start({"database": {"connection": str(first)}, **sources(requests=True)})
    wait_states(daemon, {"requests": "working"})
    client = WebSocket(daemon.port, "/ws/requests")
    gateways[0].insert([gateways[0].row()])
    assert client.receive()["type"] == "request"
    reload(daemon, {"database": {"connection": str(tmp_path / "none.db")}})
    wait_until(lambda: states(daemon) == {"requests": "failing"}, "a database that is not there")
    reload(daemon, {"database": {"connection": str(second)}})
    wait_states(daemon, {"requests": "working"})
    gateways[1].insert([gateways[1].row()])
    # The file does not have the rows that were read last: whatever was in it is told to be uncertain.
    kinds = [client.receive()["type"] for _ in range(2)]
    assert sorted(kinds) == ["gap", "request"], kinds
    replay = WebSocket(daemon.port, "/ws/requests?since=1h")
    seen = []
    while not seen or seen[-1] != "caught_up":
        seen.append(replay.receive()["type"])
    assert seen.count("request") >= 1, seen
