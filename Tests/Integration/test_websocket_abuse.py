"""Frames as they should not be: each gets its close code, and the daemon stays as it was."""

import json
import socket
import struct
import threading

import pytest
from support.daemon import mebibytes, wait_until
from support.http import Connection, NoResponse, get
from support.ws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, WebSocket, close_payload, encode

MASK = b"\x01\x02\x03\x04"

# What is sent, and the close code that is right for it (None: an end of the stream will do as well).
VIOLATIONS = {
    "unmasked text": (encode(TEXT, "{}", mask=None), 1002),
    "unmasked ping": (encode(PING, b"", mask=None), 1002),
    "unmasked close": (encode(CLOSE, close_payload(1000), mask=None), 1002),
    "RSV1": (encode(TEXT, "{}", rsv=4), 1002),
    "RSV2": (encode(TEXT, "{}", rsv=2), 1002),
    "RSV3": (encode(TEXT, "{}", rsv=1), 1002),
    "RSV1 on a ping": (encode(PING, b"", rsv=4), 1002),
    **{f"opcode {code}": (encode(code, b"x"), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping in fragments": (encode(PING, b"x", fin=False), 1002),
    "pong in fragments": (encode(PONG, b"x", fin=False), 1002),
    "close in fragments": (encode(CLOSE, close_payload(1000), fin=False), 1002),
    "ping of 126": (encode(PING, b"x" * 126), 1002),
    "ping of 126, header only": (encode(PING, b"", length=126), 1002),
    "close of 126": (encode(CLOSE, close_payload(1000, b"x" * 124)), 1002),
    "continuation of nothing": (encode(CONTINUATION, b"x"), 1002),
    "continuation after a whole message": (encode(TEXT, '{"type":"pong"}') + encode(CONTINUATION, b"x"), 1002),
    "text between fragments": (encode(TEXT, "{", fin=False) + encode(TEXT, "}"), 1002),
    "binary between fragments": (encode(TEXT, "{", fin=False) + encode(BINARY, b"}"), 1002),
    "length of 5 in two bytes": (encode(TEXT, '"abc"', length_bytes=2), 1002),
    "length of 5 in eight bytes": (encode(TEXT, '"abc"', length_bytes=8), 1002),
    "length of 300 in eight bytes": (encode(TEXT, " " * 300, length_bytes=8), 1002),
    "length with the highest bit": (encode(TEXT, b"", length=2**63 + 5, length_bytes=8), {1002, 1009}),
    "length of all bits": (encode(TEXT, b"", length=2**64 - 1, length_bytes=8), {1002, 1009}),
    "one byte too many": (encode(TEXT, b" " * 65537), 1009),
    "too large, header only": (encode(TEXT, b"", length=65537), 1009),
    "a gigabyte, header only": (encode(TEXT, b"", length=2**30), 1009),
    "Int64.max, header only": (encode(TEXT, b"", length=2**63 - 1), 1009),
    "too large in fragments": (encode(TEXT, b" " * 40000, fin=False) + encode(CONTINUATION, b" " * 40000), 1009),
    "too large in fragments, header only": (
        encode(TEXT, b" " * 40000, fin=False) + encode(CONTINUATION, b"", length=40000), 1009),
    "binary": (encode(BINARY, b"\x81\xa4type\xa4ping"), 1003),
    "empty binary": (encode(BINARY, b""), 1003),
    "binary header only": (encode(BINARY, b"", length=100), 1003),
    "bad UTF-8": (encode(TEXT, b'"\xff"'), 1007),
    "overlong UTF-8": (encode(TEXT, b'"\xc0\xaf"'), 1007),
    "surrogate in UTF-8": (encode(TEXT, b'"\xed\xa0\x80"'), 1007),
    "beyond Unicode": (encode(TEXT, b'"\xf4\x90\x80\x80"'), 1007),
    "cut UTF-8": (encode(TEXT, b'"\xe2\x82'), 1007),
    "cut UTF-8 over fragments": (encode(TEXT, b'"\xe2', fin=False) + encode(CONTINUATION, b'\x82"'), 1007),
    "bad UTF-8 in the first fragment": (encode(TEXT, b'"\xff', fin=False), 1007),
    "bad UTF-8 in a frame that has not ended": (encode(TEXT, b'"\xff' + b" " * 50, length=1000), 1007),
    "close with one byte": (encode(CLOSE, b"\x03"), 1002),
    **{f"close {code}": (encode(CLOSE, close_payload(code)), 1002)
       for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)},
    "close with bad UTF-8": (encode(CLOSE, close_payload(1000, b"\xff")), 1007),
    "close with cut UTF-8": (encode(CLOSE, close_payload(1000, b"\xe2\x82")), 1007),
    "HTTP after the upgrade": (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 1002),
    "zeros": (b"\x00" * 2000, 1002),
    "ones": (b"\xff" * 2000, 1002),
}


@pytest.mark.parametrize("name", VIOLATIONS)
@pytest.mark.parametrize("feed", ["whole", "byte by byte"])
def test_violation(daemon, name, feed):
    message, code = VIOLATIONS[name]
    if feed == "byte by byte" and len(message) > 2500:
        message, feed = message[:2500] + message[2500:], "halves"
    with WebSocket(daemon.port, "/ws") as client:
        try:
            if feed == "whole":
                client.send_bytes(message)
            elif feed == "halves":
                client.send_bytes(message[: len(message) // 2])
                client.send_bytes(message[len(message) // 2 :])
            else:
                for index in range(len(message)):
                    client.send_bytes(message[index : index + 1])
        except ConnectionError:
            pass  # The daemon need not listen to the end.
        _, got, _ = client.receive_close()
        assert got in (code if isinstance(code, set) else {code}), f"closed with {client.close}"
    assert get(daemon.port, "/health").status == 200


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_close_is_echoed(daemon, code):
    with WebSocket(daemon.port) as client:
        client.send_close(code, "good bye – ¡adiós!")
        messages, got, _ = client.receive_close()
        assert got == code and messages == []


def test_empty_close_is_answered(daemon):
    with WebSocket(daemon.port) as client:
        client.send_frame(CLOSE, b"")
        assert client.receive_close()[1] in (None, 1000)
        assert client.close is not None, "the stream ended without a close frame"


def test_nothing_after_the_close_is_answered(daemon):
    with WebSocket(daemon.port) as client:
        client.send_bytes(encode(CLOSE, close_payload(1000)) + encode(PING, b"late") + encode(TEXT, '{"type":"ping","id":"1"}'))
        messages, code, _ = client.receive_close()
        assert code == 1000 and messages == [] and client.pongs == []


def test_a_close_answer_that_never_comes(daemon):
    """The daemon closes on a violation; a client that keeps its side open is dropped all the same."""
    before = daemon.descriptors
    clients = [WebSocket(daemon.port) for _ in range(20)]
    for client in clients:
        client.send_frame(3, b"")
    wait_until(lambda: daemon.descriptors <= before, lambda: f"{daemon.descriptors} descriptors, before {before}")
    for client in clients:
        client.sock.close()


def test_split_anywhere(daemon):
    """A subscription in three fragments with a ping between them, cut at every position."""
    text = b'{"type":"subscribe","id":"\xc3\xa4","data":{"channels":["logs"]}}'
    message = (encode(TEXT, text[:20], fin=False, mask=MASK) + encode(PING, b"between") + encode(CONTINUATION, b"", fin=False)
               + encode(CONTINUATION, text[20:30], fin=False) + encode(CONTINUATION, text[30:], mask=b"\0\0\0\0"))
    for cut in range(1, len(message)):
        with WebSocket(daemon.port) as client:
            client.send_bytes(message[:cut])
            client.send_bytes(message[cut:])
            answer = client.receive()
            assert answer["type"] == "ack" and answer["id"] == "ä", (cut, answer)
            assert client.pongs == [b"between"]


def test_frames_behind_the_handshake(daemon):
    """Frames that come in one packet with the handshake are not lost."""
    frames = encode(TEXT, '{"type":"subscribe","id":"1","data":{"channels":["logs"]}}') + encode(PING, b"now")
    with WebSocket(daemon.port, send_after_handshake=frames) as client:
        assert client.receive()["type"] == "ack"
        while not client.pongs:
            opcode, payload = client.receive_frame()
            assert (opcode, payload) == (PONG, b"now")
            break


def test_largest_message_is_accepted(daemon):
    start, end = b'{"type":"ping","id":"big","pad":"', b'"}'
    with WebSocket(daemon.port) as client:
        client.send(start + b"x" * (65536 - len(start) - len(end)) + end)
        assert client.receive()["type"] == "pong"
        pieces = start + b"x" * (65536 - len(start) - len(end)) + end
        client.send_frame(TEXT, pieces[:1], fin=False)
        for offset in range(1, 65535, 4096):
            client.send_frame(CONTINUATION, pieces[offset : min(offset + 4096, 65535)], fin=False)
        client.send_frame(CONTINUATION, pieces[65535:])
        assert client.receive()["type"] == "pong"


HOSTILE_TEXTS = {
    "no JSON": ("subscribe", "invalid_json"),
    "empty": ("", "invalid_json"),
    "blank": ("   ", "invalid_json"),
    "two values": ('{"type":"ping"}{"type":"ping"}', "invalid_json"),
    "comma at the end": ('{"type":"ping",}', "invalid_json"),
    "single quotes": ("{'type':'ping'}", "invalid_json"),
    "comment": ('{"type":"ping"}//', "invalid_json"),
    "NaN": ('{"type":NaN}', "invalid_json"),
    "control character in text": ('{"type":"pi\ng"}', "invalid_json"),
    "byte order mark": ("\ufeff{}", "invalid_json"),
    "lone surrogate escape": ('{"type":"\\ud800"}', {"invalid_json", "unknown_type"}),
    "deep arrays": ("[" * 30000, "invalid_json"),
    "deep arrays, closed": ("[" * 20000 + "]" * 20000, {"invalid_json", "invalid_message"}),
    "deep objects": ('{"a":' * 10000, "invalid_json"),
    "deep data": ('{"type":"subscribe","data":' + '{"a":' * 5000 + "1" + "}" * 5001, {"invalid_json", "invalid_message"}),
    "array": ("[]", "invalid_message"),
    "number": ("1", "invalid_message"),
    "null": ("null", "invalid_message"),
    "text": ('"subscribe"', "invalid_message"),
    "no type": ("{}", "invalid_message"),
    "type is a number": ('{"type":1}', "invalid_message"),
    "type is null": ('{"type":null}', "invalid_message"),
    "unknown type": ('{"type":"explode"}', "unknown_type"),
    "type in capitals": ('{"type":"SUBSCRIBE"}', "unknown_type"),
    "empty type": ('{"type":""}', {"unknown_type", "invalid_message"}),
    "long type": ('{"type":"' + "x" * 60000 + '"}', "unknown_type"),
    "no data": ('{"type":"subscribe"}', "invalid_message"),
    "data is text": ('{"type":"subscribe","data":"logs"}', "invalid_message"),
    "no channels": ('{"type":"subscribe","data":{}}', "invalid_message"),
    "channels is text": ('{"type":"subscribe","data":{"channels":"logs"}}', "invalid_message"),
    "channels of numbers": ('{"type":"subscribe","data":{"channels":[1]}}', {"invalid_message", "invalid_channel"}),
    "unknown channel": ('{"type":"subscribe","data":{"channels":["secrets"]}}', "invalid_channel"),
    "channel in capitals": ('{"type":"subscribe","data":{"channels":["LOGS"]}}', "invalid_channel"),
    "channel with NUL": ('{"type":"subscribe","data":{"channels":["logs\\u0000"]}}', "invalid_channel"),
    "10,000 channels": ('{"type":"subscribe","data":{"channels":[' + ",".join(['"x"'] * 10000) + "]}}",
                        {"invalid_channel", "invalid_message"}),
    "filters is an array": ('{"type":"subscribe","data":{"channels":["logs"],"filters":[]}}', {"invalid_filter", "invalid_message"}),
    "filter of unknown channel": ('{"type":"subscribe","data":{"channels":["logs"],"filters":{"x":{"level":"warn"}}}}',
                                  {"invalid_filter", "invalid_channel"}),
    "filter is text": ('{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":"warn"}}}', {"invalid_filter", "invalid_message"}),
    "unknown filter": ('{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":{"colour":"red"}}}}', "invalid_filter"),
    "unknown level": ('{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":{"level":"loud"}}}}', "invalid_filter"),
    "unknown window": ('{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"window":"2m"}}}}', "invalid_filter"),
    "interval 0": ('{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"interval":0}}}}', "invalid_filter"),
    "interval 3601": ('{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"interval":3601}}}}', "invalid_filter"),
    "interval 1.5": ('{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"interval":1.5}}}}', "invalid_filter"),
    "interval 1e400": ('{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"interval":1e400}}}}', "invalid_filter"),
}


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_hostile_message_is_answered_and_survived(daemon, name):
    text, code = HOSTILE_TEXTS[name]
    with WebSocket(daemon.port) as client:
        client.send(text)
        answer = client.receive()
        assert answer["type"] == "error", answer
        assert answer["data"]["code"] in (code if isinstance(code, set) else {code}), answer
        assert answer["data"]["message"]
        assert len(json.dumps(answer)) < 2000, "an error must not be larger than what is worth reading"
        client.send({"type": "ping", "id": "after"})
        assert client.receive()["type"] == "pong"


def test_flood_of_tiny_fragments(daemon):
    memory = daemon.rss
    with WebSocket(daemon.port) as client:
        try:
            client.send_frame(TEXT, b"", fin=False)
            empty = encode(CONTINUATION, b"", fin=False)
            for _ in range(100):
                client.send_bytes(empty * 2000)
        except ConnectionError:
            pass
        assert client.receive_close()[1] in (1002, 1008, 1009, 4013)
    assert daemon.rss < memory + mebibytes(4)


def test_flood_of_messages(start):
    """More messages than allowed: told so, or closed with 4013; never carried out in silence, and others do not wait."""
    running = start({"limits": {"messages_per_second": 50}})
    with WebSocket(running.port) as client, WebSocket(running.port) as other:
        ping = encode(TEXT, '{"type":"ping","id":"flood"}')
        try:
            for _ in range(100):
                client.send_bytes(ping * 200)
        except ConnectionError:
            pass
        other.send({"type": "ping", "id": "other"})
        assert other.receive()["type"] == "pong"
        messages, code, _ = client.receive_close()
        kinds = [json.loads(m)["type"] for m in messages]
        limited = [m for m in messages if json.loads(m)["type"] == "error"]
        assert all(json.loads(m)["data"]["code"] == "rate_limited" for m in limited)
        assert limited or code == 4013, (code, {k: kinds.count(k) for k in set(kinds)})
        assert kinds.count("pong") < 20_000
        assert code == 4013, client.close
    assert get(running.port, "/health").status == 200


def test_flood_of_pings_by_a_client_that_reads(daemon):
    with WebSocket(daemon.port) as client:
        sender = threading.Thread(target=lambda: [client.send_bytes(encode(PING, b"p" * 125) * 100) for _ in range(50)])
        sender.start()
        while len(client.pongs) < 5000:
            opcode, payload = client.receive_frame()
            if opcode == CLOSE:
                assert struct.unpack("!H", payload[:2])[0] == 4013
                break
            assert opcode == PONG and payload == b"p" * 125
            client.pongs.append(payload)
        sender.join()
    assert get(daemon.port, "/health").status == 200


@pytest.mark.parametrize("frame", [encode(PING, b"p" * 125), encode(TEXT, '{"type":"ping","id":"' + "i" * 200 + '"}'),
                                   encode(TEXT, '{"type":"' + "x" * 100 + '"}')], ids=["ping", "JSON ping", "error"])
def test_flood_of_questions_by_a_client_that_does_not_read(daemon, frame):
    """Answers that are not taken must not pile up."""
    memory = daemon.rss
    clients = [WebSocket(daemon.port, receive_buffer=4096) for _ in range(4)]
    sent = 0
    for client in clients:
        client.sock.settimeout(1)
        block = frame * (65536 // len(frame))
        try:
            for _ in range(400):
                client.send_bytes(block)
                sent += len(block)
        except (TimeoutError, ConnectionError):
            pass
    assert daemon.rss < memory + mebibytes(8), f"grew from {memory} to {daemon.rss} for {sent} bytes"
    assert get(daemon.port, "/health").status == 200
    for client in clients:
        client.sock.close()


def test_silent_and_half_open_clients_end_with_the_timeout(start):
    """No sign of life, in the middle of anything: 4000."""
    running = start({"websocket": {"heartbeat_interval": "1s", "client_timeout": "3s"}})
    beginnings = {
        "nothing": b"", "half a header": b"\x81", "half a mask": b"\x81\x85\x01\x02", "half a payload": encode(TEXT, b"x", length=100),
        "half a message": encode(TEXT, b"{", fin=False), "half a ping": encode(PING, b"", length=10),
    }
    clients = {}
    for name, data in beginnings.items():
        clients[name] = WebSocket(running.port, answer_pings=False)
        clients[name].send_bytes(data)
    with WebSocket(running.port) as lively:
        for name, client in clients.items():
            _, code, _ = client.receive_close()
            assert code == 4000, (name, client.close)
            assert client.pings, f"{name}: closed without having been asked by a ping"
            client.sock.close()
        # The one that answers pings is still there. Its socket has not been read for the whole time.
        while not lively.pings:
            lively.receive_frame() and None
            break
        lively.send({"type": "ping", "id": "here"})


def test_abrupt_ends(daemon):
    before = daemon.descriptors
    for data in (b"", b"\x81", encode(TEXT, b"x", length=100), encode(TEXT, b"{", fin=False), encode(CLOSE, b"")):
        for hard in (False, True):
            client = WebSocket(daemon.port, "/ws/all")
            client.send_bytes(data)
            if hard:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sock.close()
    wait_until(lambda: daemon.descriptors <= before, lambda: f"{daemon.descriptors} descriptors, before {before}")
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] == 0, "no client left")


def test_half_closed_client(daemon):
    """A client that has sent its FIN without a close handshake is over; nothing is leaked."""
    before = daemon.descriptors
    client = WebSocket(daemon.port, "/ws/all")
    client.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(Closed):
        while True:
            client.receive_frame()
    client.sock.close()
    wait_until(lambda: daemon.descriptors <= before, lambda: f"{daemon.descriptors} descriptors, before {before}")


def test_no_growth_from_the_whole_table(start):
    running = start()

    def round_of_all():
        for message, _ in VIOLATIONS.values():
            with WebSocket(running.port, "/ws/all") as client:
                try:
                    client.send_bytes(message)
                except ConnectionError:
                    pass
                try:
                    client.receive_frame()
                except Closed:
                    pass
        for text, _ in HOSTILE_TEXTS.values():
            with WebSocket(running.port) as client:
                client.send(text)
                client.receive_frame()

    for _ in range(2):
        round_of_all()
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 0, "no client left")
    descriptors, memory = running.descriptors, running.rss
    for _ in range(8):
        round_of_all()
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 0, "no client left")
    wait_until(lambda: running.descriptors <= descriptors, lambda: f"{running.descriptors} descriptors, before {descriptors}")
    assert running.rss < memory + mebibytes(4), f"from {memory} to {running.rss} bytes"


def test_connections_that_come_and_go(start):
    """2000 subscriptions, one after the other and in heaps, leave nothing behind."""
    running = start()

    def churn(count):
        for _ in range(count // 50):
            heap = [WebSocket(running.port, path) for path in ("/ws/logs?level=warn", "/ws/all") for _ in range(25)]
            for index, client in enumerate(heap):
                if index % 2:
                    client.send_close()
                client.sock.close()

    churn(500)
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 0, "no client left")
    descriptors, memory = running.descriptors, running.rss
    churn(2000)
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 0, "no client left")
    wait_until(lambda: running.descriptors <= descriptors, lambda: f"{running.descriptors} descriptors, before {descriptors}")
    assert running.rss < memory + mebibytes(4), f"from {memory} to {running.rss} bytes"


def test_random_frames_never_break_it(daemon, rng):
    parts = [message for message, _ in VIOLATIONS.values() if len(message) < 1000]
    parts += [encode(TEXT, text) for text, _ in HOSTILE_TEXTS.values() if len(text) < 1000]
    parts += [encode(TEXT, '{"type":"subscribe","id":"1","data":{"channels":["logs"]}}'), encode(PING, b"x")]
    for _ in range(300):
        message = bytearray(b"".join(rng.choices(parts, k=rng.randint(1, 4))))
        for _ in range(rng.randint(0, 5)):
            message[rng.randrange(len(message))] = rng.randrange(256)
        with WebSocket(daemon.port, "/ws/logs") as client:
            try:
                client.send_bytes(bytes(message))
                client.sock.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass
            try:
                while True:
                    client.receive_frame()  # checks each frame's form
            except Closed:
                pass
    assert get(daemon.port, "/health").status == 200
