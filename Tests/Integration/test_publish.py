"""The publishing API: one event, many, all or none, once."""

import json
import random

import pytest
from support.http import Connection, get, publish, publish_many, request
from support.ws import WebSocket

PATH = "/admin/ws/broadcast"
JSON = ("Content-Type", "application/json")
NDJSON = ("Content-Type", "application/x-ndjson")


def post(port, body, *headers):
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return request(port, "POST", PATH, headers or (JSON,), body)


def event(n=0, channel="logs", kind="note", **data):
    return {"channel": channel, "type": kind, "data": {"n": n, **data}}


def sequence(identifier):
    return int(identifier.rsplit("-", 1)[1])


@pytest.fixture
def listener(daemon):
    with WebSocket(daemon.port, "/ws/all") as client:
        yield client


def numbers(listener):
    return [message["data"]["n"] for message in listener.settle()]


def test_one(daemon, listener):
    answer = post(daemon.port, event(1))
    assert answer.status == 200
    assert answer.json == {"success": True, "message": "Event broadcast", "id": answer.json["id"]}
    got = listener.receive()
    assert got["id"] == answer.json["id"] and got["data"] == {"n": 1}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "text/plain",
                                          "application/x-www-form-urlencoded", None])
def test_content_types_of_json(daemon, content_type):
    # curl -d without -H says x-www-form-urlencoded; the gateway took that too.
    headers = [("Content-Type", content_type)] if content_type else [("X-None", "1")]
    assert post(daemon.port, event(1), *headers).status in (200, 415)
    if content_type is None or "json" in content_type.lower():
        assert post(daemon.port, event(1), *headers).status == 200


@pytest.mark.parametrize(
    "data",
    ['{}', '[]', 'null', 'true', '0', '-0', '1.50', '1E400', '123456789012345678901234567890', '""', '"text"', '"\\u00e4\\/\\n\\""',
     '{"a":{"b":[1,2,{"c":null}]}}', '{"dup":1,"dup":2}', '"\\ud83d\\ude00"', '"ä€😀"', '{"":""}', '[' * 40 + ']' * 40])
def test_data_is_passed_on_as_given(daemon, listener, data):
    """White space aside, byte for byte."""
    assert post(daemon.port, f'{{"channel":"logs","type":"note","data":{data}}}').status == 200
    text = listener.receive_text().decode()
    assert text.endswith(f'"data":{data}}}'), text


def test_white_space_is_removed_outside_of_strings(daemon, listener):
    body = '\r\n { "data" : { "a" : [ 1 ,\t2 ] ,\n "b c" : " d  e " } , "type" : "note" , "channel" : "logs" } \n'
    assert post(daemon.port, body).status == 200
    assert listener.receive_text().decode().endswith('"data":{"a":[1,2],"b c":" d  e "}}')


@pytest.mark.parametrize(
    "body",
    ["", "   ", "{", "nonsense", "null", "1", '"text"', "{}", '{"channel":"logs"}', '{"channel":"logs","type":"note"}x', '{"channel":"logs","type":"note","data":}',
     '{"channel":"logs","type":"note","data":{},}', '{"channel":"logs","type":"note","data":01}', '{"channel":"logs","type":"note","data":"\\x"}',
     '{"channel":"logs","type":"note","data":"\\ud800x"}', '{"channel":"logs","type":7,"data":{}}', '{"channel":"logs","type":"note","data":"\t"}',
     b'{"channel":"logs","type":"note","data":"\xff"}', b'\xef\xbb\xbf{"channel":"logs","type":"note","data":{}}',
     '{"channel":"logs","type":"note","data":' + "[" * 5000 + "]" * 5000 + "}", "[1]", '[{"channel":"logs","type":"note","data":{}},]'])
def test_bad_json(daemon, listener, body):
    answer = post(daemon.port, body)
    # A lone surrogate is the one text here that some readers take.
    if body == '{"channel":"logs","type":"note","data":"\\ud800x"}' and answer.status == 200:
        listener.receive()
    else:
        assert answer.status == 400, answer
        # Where the JSON is right, what is missing may be named.
        parses = body in ("{}", '{"channel":"logs"}', '{"channel":"logs","type":7,"data":{}}')
        assert parses or answer.json["error"] == "invalid request" or "index" in answer.json, answer
    assert listener.settle() == []


@pytest.mark.parametrize("channel", ['"secrets"', '""', '"LOGS"', '"logs "', '"logs,stats"', '"logs\\u0000"'])
def test_bad_channel(daemon, listener, channel):
    answer = post(daemon.port, f'{{"channel":{channel},"type":"note","data":{{}}}}')
    assert answer.status == 400 and answer.json == {"error": "invalid channel"}
    assert listener.settle() == []


@pytest.mark.parametrize("channel", ["7", "null", "[]"])
def test_channel_of_another_type(daemon, channel):
    answer = post(daemon.port, f'{{"channel":{channel},"type":"note","data":{{}}}}')
    assert answer.status == 400 and answer.json["error"] in ("invalid channel", "invalid request")


@pytest.mark.parametrize("kind", ["ping", "pong", "ack", "error", "gap", "drain", "caught_up", "welcome", "stats_update", "",
                                  "subscribe", "unsubscribe", "auth", "pi\\u006eg", "x" * 10000])
def test_types_that_are_not_for_publishing(daemon, listener, kind):
    answer = post(daemon.port, f'{{"channel":"logs","type":"{kind}","data":{{}}}}')
    if kind in ("subscribe", "unsubscribe", "auth"):
        assert answer.status in (200, 400)
    else:
        assert answer.status == 400, answer
        assert answer.json["error"]
        assert listener.settle() == []


def test_type_needs_escaping(daemon, listener):
    kind = 'quo"te\\ ä €\u2028'
    assert post(daemon.port, event(1, kind=kind)).status == 200
    assert listener.receive()["type"] == kind


def test_every_channel_reaches_its_subscribers(daemon):
    channels = ["logs", "stats", "providers", "requests"]
    clients = {c: WebSocket(daemon.port, f"/ws/{c}") for c in channels}
    clients["all"] = WebSocket(daemon.port, "/ws/all")
    idle = WebSocket(daemon.port, "/ws")
    sent = [(c, "note", {"n": n}) for n, c in enumerate([*channels, "all"] * 3)]
    publish_many(daemon.port, sent)
    for channel, client in clients.items():
        right = [d["n"] for c, _, d in sent if c in (channel, "all") or channel == "all"]
        assert numbers(client) == right, channel
        client.sock.close()
    assert idle.settle() == []
    idle.sock.close()


@pytest.mark.parametrize("form", ["array", "ndjson", "ndjson without end", "ndjson with CRLF and empty lines"])
@pytest.mark.parametrize("count", [1, 2, 100, 5000])
def test_batches(daemon, listener, form, count):
    events = [event(n) for n in range(count)]
    lines = [json.dumps(e) for e in events]
    body, headers = {
        "array": (json.dumps(events), JSON),
        "ndjson": ("\n".join(lines) + "\n", NDJSON),
        "ndjson without end": ("\n".join(lines), NDJSON),
        "ndjson with CRLF and empty lines": ("\r\n\r\n".join(lines) + "\r\n\r\n", NDJSON),
    }[form]
    answer = post(daemon.port, body, headers)
    assert answer.status == 200, answer
    assert answer.json["success"] is True and answer.json["count"] == count
    first, last = answer.json["first_id"], answer.json["last_id"]
    assert sequence(last) - sequence(first) == count - 1
    got = [listener.receive() for _ in range(count)]
    assert [m["data"]["n"] for m in got] == list(range(count))
    assert got[0]["id"] == first and got[-1]["id"] == last


@pytest.mark.parametrize("body,headers", [("[]", JSON), ("", NDJSON), ("\n\n", NDJSON)])
def test_empty_batches(daemon, listener, body, headers):
    answer = post(daemon.port, body, headers)
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert answer.json["count"] == 0
    assert listener.settle() == []


BAD_ITEMS = {
    "no JSON": ("nonsense", "invalid request"), "bad channel": ('{"channel":"x","type":"note","data":{}}', "invalid channel"),
    "no channel": ('{"type":"note","data":{}}', None), "control type": ('{"channel":"logs","type":"ping","data":{}}', None),
    "cut": ('{"channel":"logs","type":"no', "invalid request"), "number": ("17", "invalid request"),
    "bad UTF-8": (b'{"channel":"logs","type":"note","data":"\xc3("}', "invalid request"),
}


@pytest.mark.parametrize("name", BAD_ITEMS)
@pytest.mark.parametrize("place", [0, 1, 49, 99])
def test_all_or_none(daemon, listener, name, place):
    bad, error = BAD_ITEMS[name]
    bad = bad if isinstance(bad, bytes) else bad.encode()
    items = [json.dumps(event(n)).encode() for n in range(100)]
    items[place] = bad
    for body, headers in ((b"\n".join(items), NDJSON), (b"[" + b",".join(items) + b"]", JSON)):
        answer = post(daemon.port, body, headers)
        assert answer.status == 400, answer
        assert answer.json["index"] == place or name in ("no JSON", "cut") and headers == JSON, answer
        if error:
            assert answer.json["error"].startswith(error), answer
    assert listener.settle() == []


def test_event_too_large_in_a_batch(start):
    running = start({"broadcast": {"max_event_bytes": 1024}})
    with WebSocket(running.port, "/ws/all") as client:
        items = [event(0), event(1, pad="x" * 1024), event(2)]
        answer = post(running.port, items)
        assert answer.status in (400, 413) and answer.json.get("index") == 1, answer
        assert client.settle() == []


def test_limits_of_an_event(start):
    running = start({"broadcast": {"max_event_bytes": 1024}})
    with WebSocket(running.port, "/ws/all") as client:
        frame = len('{"p":""}')
        for size in (0, 1023, 1024):
            answer = post(running.port, {"channel": "logs", "type": "note", "data": {"p": "x" * (size - frame)}})
            assert answer.status == 200, (size, answer)
            client.receive()
        # White space does not count; what is too large by one byte is.
        assert post(running.port, '{"channel":"logs","type":"note","data":{"p":' + " " * 2000 + '""}}').status == 200
        client.receive()
        for size in (1025, 100_000):
            answer = post(running.port, {"channel": "logs", "type": "note", "data": {"p": "x" * (size - frame)}})
            assert answer.status == 413, (size, answer)
            assert answer.json["error"]
        assert client.settle() == []


def test_default_limit_of_an_event(daemon, listener):
    assert post(daemon.port, event(1, p="x" * 262_000)).status == 200
    assert len(listener.receive()["data"]["p"]) == 262_000
    assert post(daemon.port, event(1, p="x" * 262_144)).status == 413


def test_limit_of_a_batch(start):
    running = start({"broadcast": {"max_batch_bytes": 100_000, "max_event_bytes": 50_000}})
    line = json.dumps(event(1, p="x" * 900)).encode() + b"\n"
    fits = line * (100_000 // len(line))
    fits += b" " * (100_000 - len(fits))
    assert post(running.port, fits, NDJSON).status == 200
    assert post(running.port, fits + b" ", NDJSON).status == 413


def test_idempotency(daemon, listener):
    body = json.dumps(event(1))
    key = ("Idempotency-Key", "order-66")
    first = post(daemon.port, body, JSON, key)
    again = post(daemon.port, body, JSON, key)
    assert first.status == again.status == 200
    assert first.json == again.json
    assert numbers(listener) == [1]
    other = post(daemon.port, json.dumps(event(2)), JSON, key)
    assert other.status == 422
    assert post(daemon.port, body, JSON, ("Idempotency-Key", "order-67")).json["id"] != first.json["id"]
    assert numbers(listener) == [1]


def test_idempotency_of_a_batch(daemon, listener):
    body = "\n".join(json.dumps(event(n)) for n in range(50))
    key = ("Idempotency-Key", "batch-1")
    answers = [post(daemon.port, body, NDJSON, key).json for _ in range(4)]
    assert answers[1:] == answers[:1] * 3
    assert numbers(listener) == list(range(50))


def test_idempotency_does_not_remember_what_was_refused(daemon, listener):
    key = ("Idempotency-Key", "first-wrong")
    assert post(daemon.port, "nonsense", JSON, key).status == 400
    assert post(daemon.port, json.dumps(event(3)), JSON, key).status == 200
    assert numbers(listener) == [3]


def test_idempotency_of_requests_at_once(daemon, listener):
    """Twenty retries on twenty connections while the first may still run: published once."""
    import threading

    body = json.dumps(event(8))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(post(daemon.port, body, JSON, ("Idempotency-Key", "storm")))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [a.json for a in answers if a.status == 200]
    assert good and all(a == good[0] for a in good) and all(a.status in (200, 409) for a in answers)
    assert numbers(listener) == [8]


@pytest.mark.parametrize("key", ["", "x" * 5000])
def test_unusable_idempotency_keys(daemon, listener, key):
    assert post(daemon.port, json.dumps(event(1)), JSON, ("Idempotency-Key", key)).status in (200, 400)
    assert numbers(listener) in ([], [1])


def test_rate(start):
    running = start({"broadcast": {"events_per_second": 10, "burst": 20}})
    with WebSocket(running.port, "/ws/all") as client:
        answer = post(running.port, [event(n) for n in range(21)])
        assert answer.status == 413, "a batch larger than the burst can never pass"
        assert post(running.port, [event(n) for n in range(20)]).status == 200
        statuses = []
        limited = None
        for n in range(20):
            answer = post(running.port, event(100 + n))
            statuses.append(answer.status)
            if answer.status == 429:
                limited = answer
        assert limited is not None, "ten a second are allowed, and these came faster"
        assert int(limited.header("Retry-After")) >= 1 and limited.json["error"]
        accepted = 20 + statuses.count(200)
        got = [client.receive()["data"]["n"] for _ in range(accepted)]
        # What was refused was not sent, and what was not refused was.
        assert numbers(client) == []
        assert got[:20] == list(range(20))
        assert got[20:] == [100 + n for n, status in enumerate(statuses) if status == 200]


def test_publishers_side_by_side(daemon, listener):
    """Eight connections publish at once: ids are unique, each publisher's order is kept, all subscribers see one order."""
    import threading

    second = WebSocket(daemon.port, "/ws/logs")
    answers = {}

    def work(name):
        with Connection(daemon.port) as connection:
            answers[name] = [
                connection.request("POST", PATH, [JSON], json.dumps(event(n, by=name)).encode()).json["id"] for n in range(100)]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = listener.settle()
    assert len(got) == 800 and [m["id"] for m in got] == [m["id"] for m in second.settle()]
    assert [sequence(m["id"]) for m in got] == sorted(sequence(m["id"]) for m in got)
    for name in range(8):
        assert [m["id"] for m in got if m["data"]["by"] == name] == answers[name]
        assert [m["data"]["n"] for m in got if m["data"]["by"] == name] == list(range(100))
    second.sock.close()


def test_pipelined_publishing(daemon, listener):
    from support.http import request_bytes

    with Connection(daemon.port) as connection:
        connection.send(b"".join(request_bytes(daemon.port, "POST", PATH, [JSON], json.dumps(event(n)).encode()) for n in range(100)))
        ids = [connection.receive().json["id"] for _ in range(100)]
    got = listener.settle()
    assert [m["id"] for m in got] == ids and [m["data"]["n"] for m in got] == list(range(100))


def test_random_json_passes_unchanged(daemon, listener, rng):
    def value(depth=0):
        kind = rng.randrange(8 if depth < 5 else 5)
        if kind == 0:
            return rng.choice([True, False, None])
        if kind == 1:
            return rng.randint(-(2**60), 2**60)
        if kind == 2:
            return rng.uniform(-1e6, 1e6)
        if kind in (3, 4):
            return "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(160, 0xD800), rng.randrange(0x10000, 0x10FFFF), 9, 10, 34, 92]))
                           for _ in range(rng.randrange(20)))
        if kind in (5, 6):
            return {str(value(9)): value(depth + 1) for _ in range(rng.randrange(5))}
        return [value(depth + 1) for _ in range(rng.randrange(5))]

    for _ in range(100):
        data = value()
        body = json.dumps({"channel": "logs", "type": "note", "data": data}, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 2]))
        assert post(daemon.port, body).status == 200, body
        assert listener.receive()["data"] == data


# The admin API beside publishing


def test_stats_count_clients(start):
    running = start()
    answer = get(running.port, "/admin/ws/stats").json
    assert answer["total_clients"] == 0
    assert set(answer["subscriptions"]) >= {"logs", "stats", "providers", "requests", "all"}
    clients = [WebSocket(running.port, path) for path in ("/ws/logs", "/ws/logs", "/ws/stats", "/ws", "/ws/all", "/ws?channels=logs,requests")]
    for client in clients:
        client.settle()
    answer = get(running.port, "/admin/ws/stats").json
    assert answer["total_clients"] == 6
    assert {name: answer["subscriptions"][name] for name in ("logs", "stats", "providers", "requests", "all")} == {
        "logs": 3, "stats": 1, "providers": 0, "requests": 1, "all": 1}
    clients[0].send({"type": "unsubscribe", "data": {"channels": ["logs"]}})
    clients[0].settle()
    assert get(running.port, "/admin/ws/stats").json["subscriptions"]["logs"] == 2
    for client in clients:
        client.sock.close()
    from support.daemon import wait_until

    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 0, "no client left")
    assert all(n == 0 for n in get(running.port, "/admin/ws/stats").json["subscriptions"].values())


def clients_of(port):
    answer = get(port, "/admin/ws/clients").json
    return answer if isinstance(answer, list) else answer["clients"]


def test_client_list_and_disconnect(start):
    running = start()
    first = WebSocket(running.port, "/ws/logs?level=warn", [("User-Agent", "first/1.0")])
    second = WebSocket(running.port, "/ws/all", [("User-Agent", "second/1.0 \t<script>")])
    publish(running.port, "logs", "log", {"level": "error", "message": "m"})
    first.receive(), second.receive()
    rows = {row["user_agent"].split("/")[0]: row for row in clients_of(running.port)}
    assert set(rows) == {"first", "second"}
    row = rows["first"]
    assert {"id", "address", "user_agent", "transport", "channels", "filters", "waiting", "dropped"} <= set(row), row
    assert row["channels"] == ["logs"] and "127.0.0.1" in row["address"]
    assert "warn" in json.dumps(row["filters"])
    answer = request(running.port, "DELETE", f"/admin/ws/clients/{row['id']}")
    assert answer.status in (200, 204), answer
    assert first.receive_close()[1] == 4505
    # The other one is still served, and the id is gone.
    publish(running.port, "logs", "note", {"n": 1})
    assert second.receive()["data"] == {"n": 1}
    from support.daemon import wait_until

    wait_until(lambda: [r["user_agent"].split("/")[0] for r in clients_of(running.port)] == ["second"], "one client left")
    assert request(running.port, "DELETE", f"/admin/ws/clients/{row['id']}").status == 404
    for wrong in ("0", "nonsense", "99999999999999999999999", "-1", "1e3", "%00", "%2e%2e"):
        assert request(running.port, "DELETE", f"/admin/ws/clients/{wrong}").status in (400, 404), wrong
    second.settle()
    for client in (first, second):
        client.sock.close()
