"""Filters, evaluated by the daemon and here, event by event."""

import json
import urllib.parse

import pytest
from support.http import publish, publish_many
from support.reference import LEVELS, passes
from support.ws import Refused, WebSocket

COMPONENTS = ["router", "gateway", "auth", "Router", "", "größe", "a,b", "router "]
IDENTIFIERS = [f"0bafae88-5a78-4206-9697-8aed0ce3c6{n:02x}" for n in range(4)]
WORDS = ["timeout", "Timeout", "TIMEOUT!", "ok", "Größe", "GRÖSSE", "ΣΊΣΥΦΟΣ", "naïve", "upstream said \"no\"", "", "a%b_c*", "日本語"]


def some_event(rng):
    channel = rng.choice(["logs", "logs", "requests", "requests", "providers", "stats", "all"])
    data = {}
    if channel in ("logs", "all"):
        if rng.random() < 0.9:
            data["level"] = rng.choice(LEVELS)
        if rng.random() < 0.9:
            data["message"] = " ".join(rng.choices(WORDS, k=rng.randint(0, 4)))
        if rng.random() < 0.7:
            data["component"] = rng.choice(COMPONENTS)
    if rng.random() < 0.7:
        data["provider_id"] = rng.choice(IDENTIFIERS)
    if channel == "requests":
        if rng.random() < 0.8:
            data["model_id"] = rng.choice(IDENTIFIERS)
        if rng.random() < 0.9:
            data["success"] = rng.random() < 0.6
        if rng.random() < 0.9:
            data["latency_ms"] = rng.choice([0, 1, 99, 100, 101, 500, 5000, 10**9])
    if rng.random() < 0.3:
        # Names of fields deeper inside must not be taken for the field.
        data = {"fields": {"level": "panic", "component": "router", "provider_id": IDENTIFIERS[0], "success": False}, **data}
    kind = {"logs": "log", "requests": "request", "providers": "provider_status"}.get(channel, "note")
    return channel, kind if rng.random() < 0.8 else "note", data


def some_filters(rng, channel):
    filters = {}
    if channel == "logs":
        if rng.random() < 0.6:
            filters["level"] = ",".join(rng.sample(LEVELS, rng.choice([1, 1, 2, 3])))
        if rng.random() < 0.3:
            filters["component"] = ",".join(rng.sample([c for c in COMPONENTS if c and "," not in c], rng.randint(1, 3)))
        if rng.random() < 0.3:
            filters["provider_id"] = ",".join(rng.sample(IDENTIFIERS, rng.randint(1, 2)))
        if rng.random() < 0.3:
            filters["q"] = rng.choice(["timeout", "TIMEOUT", "o", "größe", "said \"no\"", "%", "_", "*", "日本", "ΐ", "no such text"])
    elif channel == "requests":
        if rng.random() < 0.4:
            filters["provider_id"] = ",".join(rng.sample(IDENTIFIERS, rng.randint(1, 3)))
        if rng.random() < 0.4:
            filters["model_id"] = ",".join(rng.sample(IDENTIFIERS, rng.randint(1, 3)))
        if rng.random() < 0.5:
            filters["only_errors"] = rng.choice(["true", "true", "false"])
        if rng.random() < 0.5:
            filters["min_latency_ms"] = str(rng.choice([0, 1, 100, 101, 5001]))
    elif channel == "providers" and rng.random() < 0.7:
        filters["provider_id"] = ",".join(rng.sample(IDENTIFIERS, rng.randint(1, 2)))
    return filters


def test_random_filters(daemon, rng):
    """Filters by query for half of the clients, by message for the other half; changed in mid-stream for some."""
    clients = []
    for number in range(60):
        channel = rng.choice(["logs", "logs", "requests", "requests", "providers"])
        filters = some_filters(rng, channel)
        if number % 2:
            query = urllib.parse.urlencode(filters, quote_via=rng.choice([urllib.parse.quote, urllib.parse.quote_plus]))
            client = WebSocket(daemon.port, f"/ws/{channel}" + (f"?{query}" if query else ""))
        else:
            client = WebSocket(daemon.port, "/ws")
            client.send({"type": "subscribe", "id": "f", "data": {"channels": [channel], "filters": {channel: filters}}})
            assert client.receive()["type"] == "ack"
        clients.append([client, channel, filters])
    for _ in range(3):
        events = [(c, k, {**d, "n": n}) for n, (c, k, d) in enumerate(some_event(rng) for _ in range(300))]
        publish_many(daemon.port, events)
        for client, channel, filters in clients:
            got = [m["data"]["n"] for m in client.settle()]
            right = [e[2]["n"] for e in events if passes(channel, e, filters)]
            assert got == right, f"{channel} {filters}: {[events[n] for n in sorted(set(got) ^ set(right))][:5]}"
        for entry in rng.sample(clients, 10):
            client, channel, _ = entry
            entry[2] = some_filters(rng, channel)
            client.send({"type": "subscribe", "id": "again", "data": {"channels": [channel], "filters": {channel: entry[2]}}})
            assert client.receive()["type"] == "ack"
    for client, _, _ in clients:
        client.sock.close()


def test_all_with_filters_for_each_channel(daemon, rng):
    """`all` takes every channel's filters, and each event is judged by those of its own channel."""
    filters = {"logs": {"level": "warn"}, "requests": {"only_errors": True}, "providers": {"provider_id": IDENTIFIERS[1]}}
    text = {"logs": {"level": "warn"}, "requests": {"only_errors": "true"}, "providers": {"provider_id": IDENTIFIERS[1]}}
    with WebSocket(daemon.port, "/ws") as client:
        client.send({"type": "subscribe", "id": "1", "data": {"channels": ["all"], "filters": filters}})
        assert client.receive()["type"] == "ack"
        events = [(c, k, {**d, "n": n}) for n, (c, k, d) in enumerate(some_event(rng) for _ in range(500))]
        publish_many(daemon.port, events)
        right = [e[2]["n"] for e in events if passes(e[0], e, text.get(e[0], {}))]
        assert [m["data"]["n"] for m in client.settle()] == right


def test_a_query_parameter_applies_to_each_channel_that_knows_it(daemon):
    wanted, other = IDENTIFIERS[:2]
    with WebSocket(daemon.port, f"/ws?channels=logs,requests,providers&provider_id={wanted}&level=warn") as client:
        events = [(c, "note", {"n": n, "provider_id": p, "level": l, "latency_ms": 5}) for n, (c, p, l) in enumerate(
            [(c, p, l) for c in ("logs", "requests", "providers") for p in (wanted, other) for l in ("info", "error")])]
        publish_many(daemon.port, events)
        right = [e[2]["n"] for e in events if e[2]["provider_id"] == wanted and (e[0] != "logs" or e[2]["level"] == "error")]
        assert [m["data"]["n"] for m in client.settle()] == right


def test_channel_named_again_without_filters_keeps_them(daemon):
    with WebSocket(daemon.port, "/ws/logs?level=error") as client:
        client.send({"type": "subscribe", "id": "1", "data": {"channels": ["logs", "requests"]}})
        client.receive()
        publish(daemon.port, "logs", "log", {"level": "info"})
        publish(daemon.port, "logs", "log", {"level": "error"})
        assert [m["data"]["level"] for m in client.settle()] == ["error"]
        # Given filters replace the old ones.
        client.send({"type": "subscribe", "id": "2", "data": {"channels": ["logs"], "filters": {"logs": {"component": "router"}}}})
        client.receive()
        publish(daemon.port, "logs", "log", {"level": "info", "component": "router"})
        publish(daemon.port, "logs", "log", {"level": "error"})
        assert [m["data"]["level"] for m in client.settle()] == ["info"]
        # And none replace them, too.
        client.send({"type": "subscribe", "id": "3", "data": {"channels": ["logs"], "filters": {"logs": {}}}})
        client.receive()
        publish(daemon.port, "logs", "log", {"level": "debug"})
        assert len(client.settle()) == 1


def test_a_refused_filter_leaves_the_subscription_as_it_was(daemon):
    with WebSocket(daemon.port, "/ws/logs?level=error") as client:
        client.send({"type": "subscribe", "id": "1", "data": {"channels": ["logs"], "filters": {"logs": {"level": "loud"}}}})
        answer = client.receive()
        assert answer["type"] == "error" and answer["data"]["code"] == "invalid_filter"
        publish(daemon.port, "logs", "log", {"level": "info"})
        publish(daemon.port, "logs", "log", {"level": "error"})
        assert [m["data"]["level"] for m in client.settle() if m["type"] == "log"] == ["error"]


@pytest.mark.parametrize(
    "path",
    ["/ws/logs?level=loud", "/ws/logs?level=", "/ws/logs?level=info,", "/ws/logs?level=INFO,loud", "/ws/logs?colour=red",
     "/ws/logs?window=5m", "/ws/stats?window=2m", "/ws/stats?window=", "/ws/stats?interval=0", "/ws/stats?interval=3601",
     "/ws/stats?interval=-1", "/ws/stats?interval=1.5", "/ws/stats?interval=1s", "/ws/stats?interval=99999999999999999999",
     "/ws/stats?level=info", "/ws/requests?only_errors=yes", "/ws/requests?only_errors=1", "/ws/requests?min_latency_ms=-1",
     "/ws/requests?min_latency_ms=fast", "/ws/requests?min_latency_ms=1e3", "/ws/providers?status=healthy", "/ws/all?nonsense=1",
     "/ws?channels=stats&level=info", "/ws/logs?level=%ff", "/ws/logs?q=%", "/ws/logs?%6Cevel=loud"])
def test_unknown_parameters_and_values_are_400(daemon, path):
    with pytest.raises(Refused) as refused:
        WebSocket(daemon.port, path)
    assert refused.value.response.status == 400
    error = refused.value.response.json["error"]
    assert error and error != "invalid request", "the error names what is wrong"


@pytest.mark.parametrize("path", ["/ws/logs?level=info", "/ws/logs?level=debug,error", "/ws/logs?level=fatal", "/ws/stats?window=24h&interval=3600",
                                  "/ws/requests?only_errors=false&min_latency_ms=0", "/ws/all?level=warn&window=1m&only_errors=true",
                                  "/ws/logs?q=a+b%20c", "/ws/logs?"])
def test_known_parameters_are_taken(daemon, path):
    with WebSocket(daemon.port, path) as client:
        client.settle()


def test_blank_and_plus_in_a_query(daemon):
    with WebSocket(daemon.port, "/ws/logs?q=a+b%2Bc") as client:
        for n, message in enumerate(["a b+c", "a+b+c", "a b c", "A B+C d"]):
            publish(daemon.port, "logs", "log", {"message": message, "n": n})
        assert [m["data"]["n"] for m in client.settle()] == [0, 3]


def test_canary_a_lost_or_foreign_event_is_seen():
    """The reference must tell events apart, or the comparisons above prove nothing."""
    event = ("logs", "log", {"level": "warn", "component": "router", "message": "Größe"})
    assert passes("logs", event, {"level": "warn", "q": "GRÖßE"}) != passes("logs", event, {"level": "error"})
    assert passes("logs", event, {"q": "größe"}) and not passes("logs", event, {"q": "grosse"})
    assert passes("logs", event, {"q": "GRÖSSE"}), "capitals of ß are SS"
    assert not passes("requests", event, {}) and not passes("logs", event, {"provider_id": "x"})
    assert json.dumps(event)
