"""Secrets in events: masked live, in history, in replays from the database, and out of reach of filters."""

import json

from support.gateway import now_ns
from support.http import get, publish, request
from support.ws import WebSocket
from test_reload import reload
from test_replay import follows, gateway, ids, replay, rows  # noqa: F401
from test_tailing import settings

KEY = "gla_7TWWbnGj1hENebf4Hr964k0uL80CMGY9Pp9UMDLxrGY"


def redacted(port):
    return get(port, "/admin/ws/stats").json["redacted"]


def test_published_events(daemon):
    with WebSocket(daemon.port, "/ws/logs") as client, WebSocket(daemon.port, "/ws/logs?q=hENebf4Hr964") as prober, \
            WebSocket(daemon.port, "/ws/logs?q=end") as other:
        publish(daemon.port, "logs", "log", {"level": "info", "message": f"with {KEY} end", "key": KEY})
        body = json.dumps({"channel": "logs", "type": "log", "data": {"message": f"with {KEY} end"}}).replace("gla_", "gl\\u0061\\u005f")
        assert request(daemon.port, "POST", "/admin/ws/broadcast", [], body.encode()).status == 200
        publish(daemon.port, "logs", f"order.{KEY}", {"message": "end"})
        for client in (client, other):
            first, second, third = (client.receive() for _ in range(3))
            assert first["data"] == {"level": "info", "message": "with gla_[redacted] end", "key": "gla_[redacted]"}
            assert second["data"] == {"message": "with gla_[redacted] end"}
            assert third["type"] == "order.gla_[redacted]"
        publish(daemon.port, "logs", "log", {"message": "hENebf4Hr964 is no secret"})
        assert prober.receive()["data"]["message"] == "hENebf4Hr964 is no secret"
    with WebSocket(daemon.port, "/ws/logs?history=10") as late:
        assert KEY[4:] not in json.dumps(late.receive_until("caught_up"))
    assert redacted(daemon.port)["gateway_key"] == 4


def test_rows_live_and_of_before(start, gateway):  # noqa: F811
    begin = now_ns() - 600 * 10**9
    old = rows(gateway, 5, begin, 10**9, error_message=f"Incorrect API key: {KEY}.", method="Bearer a1b2c3d4e5")
    running = start(settings(gateway.path))
    follows(running.port)
    with WebSocket(running.port, "/ws/requests") as client:
        gateway.insert([gateway.row(error_message=f"key {KEY}")])
        assert client.receive()["data"]["error_message"] == "key gla_[redacted]"
    events, gaps, _ = replay(running.port, since="1h")
    assert ids(events)[:5] == [row["id"] for row in old] and len(events) == 6 and not gaps
    assert events[0]["data"]["error_message"] == "Incorrect API key: gla_[redacted]."
    assert KEY[4:] not in json.dumps(events)
    assert not replay(running.port, since="1h", only_errors="true", provider_id=KEY)[0]


def test_masked_ids_of_rows_do_not_break_replays(start, gateway):  # noqa: F811
    rows(gateway, 5, now_ns() - 600 * 10**9, 10**9)
    running = start({**settings(gateway.path), "redact": {"fields": ["REQUEST_ID", "latency_ms"]}})
    follows(running.port)
    with WebSocket(running.port, "/ws/requests") as client:
        gateway.insert([gateway.row() for _ in range(3)])
        for _ in range(3):
            assert client.receive()["data"]["request_id"] == "[redacted]"
    events, gaps, _ = replay(running.port, since="1h")
    assert len(events) == 8 and not gaps
    assert {event["data"]["request_id"] for event in events} == {event["data"]["latency_ms"] for event in events} == {"[redacted]"}


def test_reload(start):
    running = start()
    with WebSocket(running.port, "/ws/logs") as client:
        def told(data):
            publish(running.port, "logs", "log", data)
            return client.receive()["data"]

        assert told({"key": KEY, "a": {"Pin": 1}}) == {"key": "gla_[redacted]", "a": {"Pin": 1}}
        reload(running, {"redact": {"fields": ["pin"]}})
        assert told({"key": KEY, "a": {"Pin": 1}}) == {"key": "gla_[redacted]", "a": {"Pin": "[redacted]"}}
        reload(running, {"redact": {"enabled": False}})
        assert told({"key": KEY, "a": {"Pin": 1}}) == {"key": KEY, "a": {"Pin": 1}}
    assert redacted(running.port) == {
        "bearer": 0, "basic": 0, "jwt": 0, "gateway_key": 2, "provider_key": 0, "service_token": 0, "url_password": 0, "field": 1}
