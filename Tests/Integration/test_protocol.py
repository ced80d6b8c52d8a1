"""Messages of the protocol: what is asked, what is answered, in which order."""

import json
import re
import time

import pytest
from support.http import publish, publish_many
from support.ws import PING, PONG, TEXT, Closed, Refused, WebSocket, encode

CHANNELS = ["logs", "stats", "providers", "requests", "all"]
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EVENT_ID = re.compile(r"([0-9a-z]+)-(\d+)")


def subscribe(*channels, id=None, **data):
    message = {"type": "subscribe", "data": {"channels": list(channels), **data}}
    return message if id is None else {**message, "id": id}


def unsubscribe(*channels, id=None):
    message = {"type": "unsubscribe", "data": {"channels": list(channels)}}
    return message if id is None else {**message, "id": id}


@pytest.mark.parametrize("channel", CHANNELS)
def test_paths_subscribe_from_the_start(daemon, channel):
    other = "logs" if channel not in ("logs", "all") else "requests"
    with WebSocket(daemon.port, f"/ws/{channel}") as client:
        answer = publish(daemon.port, "logs" if channel == "all" else channel, "note", {"to": channel})
        if channel != "all":
            publish(daemon.port, other, "note", {"to": "others"})
        event = client.receive()
        assert event["id"] == answer["id"]
        assert event["type"] == "note" and event["data"] == {"to": channel}
        assert [m for m in client.settle() if m["data"].get("to") == "others"] == []


def test_plain_path_is_subscribed_to_nothing(daemon):
    with WebSocket(daemon.port, "/ws") as client:
        publish(daemon.port, "logs", "note", {})
        publish(daemon.port, "all", "note", {})
        assert client.settle() == []


@pytest.mark.parametrize("query", ["logs,requests", "logs%2Crequests", "requests,logs,logs"])
def test_channels_in_the_query(daemon, query):
    with WebSocket(daemon.port, f"/ws?channels={query}") as client:
        publish_many(daemon.port, [(c, "note", {"n": n}) for n, c in enumerate(["providers", "logs", "requests", "providers"])])
        assert [m["data"]["n"] for m in client.settle()] == [1, 2]


@pytest.mark.parametrize("query", ["channels=secrets", "channels=", "channels=logs,,stats", "colour=red", "channels=logs&level=loud",
                                   "level=warn&channels=stats", "welcome=maybe", "heartbeat=xml"])
def test_bad_queries_are_400(daemon, query):
    with pytest.raises(Refused) as refused:
        WebSocket(daemon.port, f"/ws?{query}")
    assert refused.value.response.status == 400
    assert refused.value.response.json["error"]


def test_form_of_an_event(daemon):
    with WebSocket(daemon.port, "/ws/all") as client:
        answers = [publish(daemon.port, "logs", "log", {"level": "info", "message": f"m{n}"}) for n in range(3)]
        events = [client.receive() for _ in range(3)]
    for answer, event in zip(answers, events):
        assert event["id"] == answer["id"]
        assert INSTANT.fullmatch(event["timestamp"])
        assert event["data"]["level"] == "info"
        assert event["type"] == "log"
    ids = [EVENT_ID.fullmatch(event["id"]).groups() for event in events]
    assert len({epoch for epoch, _ in ids}) == 1
    assert [int(n) for _, n in ids] == list(range(int(ids[0][1]), int(ids[0][1]) + 3))


def test_event_of_a_free_type_names_its_channel(daemon):
    with WebSocket(daemon.port, "/ws/all") as client:
        for channel in CHANNELS:
            publish(daemon.port, channel, "deployment", {"n": 1})
            event = client.receive()
            assert event["type"] == "deployment" and event["channel"] == channel


def test_ack_comes_before_the_first_event(daemon):
    with WebSocket(daemon.port) as client:
        client.send(subscribe("logs", id="a"))
        ack = client.receive()
        assert ack["type"] == "ack" and ack["id"] == "a" and INSTANT.fullmatch(ack["timestamp"])
        assert ack["data"]["channels"] == ["logs"]
        publish(daemon.port, "logs", "note", {"n": 1})
        assert client.receive()["data"] == {"n": 1}


def test_ack_lists_all_channels_that_are_subscribed_now(daemon):
    with WebSocket(daemon.port, "/ws/logs") as client:
        client.send(subscribe("requests", "providers", id="1"))
        assert sorted(client.receive()["data"]["channels"]) == ["logs", "providers", "requests"]
        client.send(unsubscribe("logs", id="2"))
        assert sorted(client.receive()["data"]["channels"]) == ["providers", "requests"]
        client.send(subscribe("providers", id="3"))
        assert sorted(client.receive()["data"]["channels"]) == ["providers", "requests"]
        client.send(unsubscribe("providers", "requests", id="4"))
        assert client.receive()["data"]["channels"] == []
        client.send(unsubscribe("stats", id="5"))
        assert client.receive()["data"]["channels"] == []


@pytest.mark.parametrize("name", ["1", "", "ä€😀", "x" * 200, 'quo"te\\back', "line\nbreak\u2028"])
def test_id_comes_back_as_it_was(daemon, name):
    with WebSocket(daemon.port) as client:
        client.send(subscribe("logs", id=name))
        assert client.receive()["id"] == name
        client.send({"type": "explode", "id": name})
        answer = client.receive()
        assert answer["type"] == "error" and answer["id"] == name


def test_success_without_id_is_silent(daemon):
    with WebSocket(daemon.port) as client:
        client.send(subscribe("logs"))
        client.send(unsubscribe("logs"))
        client.send({"type": "pong"})
        client.send(subscribe("logs"))
        assert client.settle() == []
        publish(daemon.port, "logs", "note", {"n": 1})
        assert client.receive()["data"] == {"n": 1}


def test_all_is_named_all_and_gives_each_event_once(daemon):
    with WebSocket(daemon.port, "/ws/logs") as client:
        client.send(subscribe("all", id="1"))
        assert "all" in client.receive()["data"]["channels"]
        publish_many(daemon.port, [(c, "note", {"c": c}) for c in CHANNELS])
        assert [m["data"]["c"] for m in client.settle()] == CHANNELS
        client.send(unsubscribe("all", id="2"))
        # Leaving `all` leaves every channel.
        assert client.receive()["data"]["channels"] == []
        publish_many(daemon.port, [(c, "note", {"c": c}) for c in CHANNELS])
        assert client.settle() == []


def test_unsubscribed_means_no_more_events(daemon):
    with WebSocket(daemon.port, "/ws/logs") as client:
        publish(daemon.port, "logs", "note", {"n": 1})
        assert client.receive()["data"]["n"] == 1
        client.send(unsubscribe("logs", id="off"))
        assert client.receive()["type"] == "ack"
        publish(daemon.port, "logs", "note", {"n": 2})
        assert client.settle() == []


def test_valid_channels_beside_an_invalid_one_take_effect(daemon):
    with WebSocket(daemon.port) as client:
        client.send(subscribe("logs", "secrets", "requests", id="7"))
        answers = client.settle()
        errors = [m for m in answers if m["type"] == "error"]
        assert len(errors) == 1 and errors[0]["id"] == "7"
        assert errors[0]["data"]["code"] == "invalid_channel"
        assert "secrets" in errors[0]["data"]["message"] + errors[0]["data"]["details"]
        publish_many(daemon.port, [("logs", "note", {"n": 1}), ("requests", "note", {"n": 2})])
        assert [m["data"]["n"] for m in client.settle()] == [1, 2]


def test_error_has_its_form(daemon):
    with WebSocket(daemon.port) as client:
        client.send({"type": "explode"})
        answer = client.receive()
        assert answer["type"] == "error" and "id" not in answer
        assert INSTANT.fullmatch(answer["timestamp"])
        assert answer["data"]["code"] == "unknown_type"
        assert isinstance(answer["data"]["message"], str) and isinstance(answer["data"]["details"], str)


def test_answers_come_in_the_order_of_the_questions(daemon):
    with WebSocket(daemon.port) as client:
        for n in range(50):
            client.send([{"type": "ping", "id": str(n)}, subscribe("logs", id=str(n)), {"type": "explode", "id": str(n)},
                         unsubscribe("logs", id=str(n))][n % 4])
        assert [client.receive()["id"] for _ in range(50)] == [str(n) for n in range(50)]


def test_ping_is_answered_by_pong(daemon):
    with WebSocket(daemon.port) as client:
        client.send({"type": "ping"})
        answer = client.receive()
        assert answer["type"] == "pong" and INSTANT.fullmatch(answer["timestamp"])
        client.send_frame(PING, b"payload \x00\xff")
        assert client.receive_frame() == (PONG, b"payload \x00\xff")
        client.send_frame(PING, b"")
        assert client.receive_frame() == (PONG, b"")


def test_unasked_pongs_are_ignored(daemon):
    with WebSocket(daemon.port) as client:
        client.send_frame(PONG, b"unasked")
        client.send({"type": "pong"})
        assert client.settle() == []


def test_ping_within_events_keeps_the_order(daemon):
    """The answer to a ping stands behind every event that was published before it."""
    with WebSocket(daemon.port, "/ws/logs") as client:
        for n in range(20):
            publish(daemon.port, "logs", "note", {"n": n})
            assert [m["data"]["n"] for m in client.settle()] == [n]


def test_subscriptions_change_between_events(daemon, rng):
    """While events are published without pause: from the ack of a subscription to that of its end every event comes, and none outside."""
    import threading

    stop = threading.Event()
    published = []

    def work():
        number = 0
        while not stop.is_set():
            count = rng.choice([1, 3, 20])
            publish_many(daemon.port, [("logs", "note", {"n": number + k}) for k in range(count)])
            number += count
            published.append(number)

    publisher = threading.Thread(target=work)
    publisher.start()
    try:
        clients = [WebSocket(daemon.port) for _ in range(6)]
        for turn in range(40):
            for client in clients:
                client.send(subscribe("logs", id=f"on{turn}"))
            for client in clients:
                assert client.receive()["id"] == f"on{turn}", "nothing comes before the ack"
                numbers = [client.receive()["data"]["n"] for _ in range(rng.randrange(1, 30))]
                client.send(unsubscribe("logs", id=f"off{turn}"))
                while (message := client.receive()).get("id") != f"off{turn}":
                    numbers.append(message["data"]["n"])
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    finally:
        stop.set()
        publisher.join()
    for client in clients:
        assert client.settle() == []
        client.sock.close()
    assert published


def test_welcome_only_when_asked(daemon):
    with WebSocket(daemon.port, "/ws/logs?welcome=true") as client:
        answer = publish(daemon.port, "logs", "note", {})
        first = client.receive()
        assert first["type"] == "welcome" and INSTANT.fullmatch(first["timestamp"])
        data = first["data"]
        epoch, sequence = EVENT_ID.fullmatch(answer["id"]).groups()
        assert data["epoch"] == epoch
        assert data["sequence"] == int(sequence) - 1
        assert {"heartbeat_interval", "client_timeout", "max_message_bytes", "role"} <= set(data)
        assert client.receive()["id"] == answer["id"]
    with WebSocket(daemon.port, "/ws/logs?welcome=false") as client:
        assert client.settle() == []


def test_position_in_pong(daemon):
    """A client whose filter passes nothing learns all the same how far everything is settled."""
    with WebSocket(daemon.port, "/ws/logs?component=nobody") as client:
        answer = publish_many(daemon.port, [("logs", "log", {"n": n}) for n in range(5)])
        assert client.settle(upto=answer["last_id"]) == []


def test_heartbeat_pings_keep_a_client(start):
    running = start({"websocket": {"heartbeat_interval": "1s", "client_timeout": "3s"}})
    with WebSocket(running.port, "/ws/logs") as client:
        begun = time.monotonic()
        # Long enough that without the pongs the time-out would have struck.
        while time.monotonic() < begun + 5:
            opcode, payload = client.receive_frame()
            assert opcode == PING
            client.pings.append(payload)
            client.send_frame(PONG, payload)
        publish(running.port, "logs", "note", {"n": 1})
        assert client.receive()["data"] == {"n": 1}
        assert len(client.pings) >= 3


def test_anything_received_is_a_sign_of_life(start):
    """No pong, only other messages: still alive. Also, who is not silent is not pinged."""
    running = start({"websocket": {"heartbeat_interval": "2s", "client_timeout": "4s"}})
    with WebSocket(running.port, "/ws", answer_pings=False) as client:
        begun = time.monotonic()
        while time.monotonic() < begun + 6:
            client.send({"type": "ping", "id": "life"})
            assert client.receive()["type"] == "pong"
            time.sleep(0.2)


def test_heartbeat_as_json(start):
    running = start({"websocket": {"heartbeat_interval": "1s", "client_timeout": "3s"}})
    with WebSocket(running.port, "/ws/logs?heartbeat=json", answer_pings=False) as client:
        begun = time.monotonic()
        seen = 0
        while time.monotonic() < begun + 5:
            message = client.receive()
            assert message["type"] == "ping" and INSTANT.fullmatch(message["timestamp"])
            assert "id" not in message
            seen += 1
            client.send({"type": "pong"})
        assert seen >= 3
        assert client.pings == []
        # And silence ends it.
        _, code, _ = client.receive_close()
        assert code == 4000


def test_pings_are_spread(start):
    """200 clients that came at once are not all pinged in one burst."""
    running = start({"websocket": {"heartbeat_interval": "4s", "client_timeout": "60s"}})
    clients = [WebSocket(running.port, "/ws") for _ in range(200)]
    arrivals = []
    for client in clients:
        client.sock.setblocking(False)
    waiting = set(range(len(clients)))
    begun = time.monotonic()
    while waiting and time.monotonic() < begun + 60:
        for index in list(waiting):
            try:
                if clients[index].sock.recv(100):
                    arrivals.append(time.monotonic() - begun)
                    waiting.discard(index)
            except BlockingIOError:
                pass
        time.sleep(0.01)
    for client in clients:
        client.sock.close()
    assert not waiting
    # However slow the machine: the most crowded quarter of a second does not hold half of them.
    crowd = max(sum(1 for a in arrivals if t <= a < t + 0.25) for t in arrivals)
    assert crowd < 100, f"{crowd} of 200 pings within a quarter of a second"


def test_termination_tells_the_clients(start):
    running = start()
    clients = [WebSocket(running.port, path) for path in ("/ws/logs", "/ws", "/ws/all") for _ in range(5)]
    answer = publish(running.port, "all", "note", {"last": True})
    running.stop()
    for client in clients:
        messages, code, _ = client.receive_close()
        assert code == 1001, client.close
        if client.path != "/ws":
            assert answer["id"] in [json.loads(m).get("id") for m in messages]
        client.sock.close()


def test_termination_right_after_the_start(start):
    """Who says that it listens obeys signals, too."""
    for _ in range(10):
        start().stop()


def test_second_daemon_on_the_port_says_who_holds_it(start, binary, tmp_path):
    from support.daemon import QUIET, Daemon, merge

    running = start()
    second = Daemon(binary, tmp_path / "second", merge(QUIET, {"server": {"port": running.port}}))
    second.start(wait=False)
    assert second.wait_exit() not in (0, None)
    text = "\n".join(second.log())
    assert str(running.port) in text and "server.port" in text


def test_max_clients(start):
    running = start({"websocket": {"max_clients": 5}})
    clients = [WebSocket(running.port, "/ws/logs") for _ in range(5)]
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            WebSocket(running.port, "/ws/logs")
        assert refused.value.response.status == 503
        assert int(refused.value.response.header("Retry-After")) > 0
        assert refused.value.response.json["error"]
    # Others of HTTP are not refused, and the five are still served.
    publish(running.port, "logs", "note", {"n": 1})
    for client in clients:
        assert client.receive()["data"] == {"n": 1}
    clients.pop().sock.close()
    from support.daemon import wait_until

    def admitted():
        try:
            return WebSocket(running.port, "/ws/logs")
        except Refused:
            return None

    clients.append(wait_until(admitted, "a free place is given to the next"))
    for client in clients:
        client.sock.close()


def test_websocket_disabled(start):
    running = start({"websocket": {"enabled": False}})
    with pytest.raises(Refused) as refused:
        WebSocket(running.port, "/ws/logs")
    assert refused.value.response.status in (404, 503)
    from support.http import get

    assert get(running.port, "/health").status == 200


def test_ipv6(start):
    running = start({"server": {"host": ["127.0.0.1", "::1"]}})
    from support.http import request

    port = int(running.wait_for_log(r"listening on http://\[::1\]:(\d+)").group(1))
    assert request(port, "GET", "/health", address="::1").status == 200
    with WebSocket(port, "/ws/logs", address="::1") as client:
        publish(running.port, "logs", "note", {"n": 6})
        assert client.receive()["data"] == {"n": 6}


# Independent clients


def test_client_of_the_websockets_library(daemon):
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{daemon.port}/ws") as client:
        client.send(json.dumps(subscribe("logs", id="1")))
        assert json.loads(client.recv(timeout=30))["type"] == "ack"
        assert client.ping().wait(30)
        answer = publish(daemon.port, "logs", "note", {"text": "ä" * 70000})
        event = json.loads(client.recv(timeout=30))
        assert event["id"] == answer["id"] and event["data"]["text"] == "ä" * 70000
        client.close(1000, "enough")
        assert client.close_code == 1000


def test_client_of_aiohttp(daemon):
    import asyncio

    import aiohttp

    async def talk():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{daemon.port}/ws/logs", heartbeat=5) as client:
                await client.ping()
                # aiohttp asks for compression; agreed to or not, it must understand what comes.
                answer = await asyncio.to_thread(publish, daemon.port, "logs", "note", {"n": 1, "pad": "x" * 5000})
                event = json.loads((await client.receive(timeout=30)).data)
                assert event["id"] == answer["id"]
                await client.close(code=1000)
                assert client.close_code == 1000

    asyncio.run(talk())


def test_two_shards_get_the_same(daemon):
    clients = [WebSocket(daemon.port, "/ws/logs") for _ in range(8)]
    publish_many(daemon.port, [("logs", "note", {"n": n}) for n in range(500)])
    for client in clients:
        assert [m["data"]["n"] for m in client.settle()] == list(range(500))
        client.sock.close()


def test_frame_sizes_around_their_limits(daemon):
    """Payload lengths where the header changes its form: 125, 126, 65535, 65536."""
    with WebSocket(daemon.port, "/ws/logs") as client:
        seen = set()
        base = None
        for size in [*range(1, 140, 3), *range(65380, 65560, 1)]:
            publish(daemon.port, "logs", "n", "x" * size)
            opcode, payload = client.receive_frame()
            assert opcode == TEXT and json.loads(payload)["data"] == "x" * size
            seen.add(len(payload))
            base = base or len(payload) - size
        assert {125, 126, 127} & seen or base > 125
        assert {65535, 65536} <= seen
