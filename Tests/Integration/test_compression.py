"""permessage-deflate: what is agreed upon, that everybody gets the same messages, what it costs, and what attackers get out of it."""

import asyncio
import base64
import json
import os
import selectors
import socket
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from support import tls
from support.browser import Browser
from support.daemon import PATIENCE, mebibytes, merge, wait_until
from support.http import get, publish, publish_many, read_response
from support.metrics import scrape
from support.packed import PackedWebSocket
from support.sse import EventStream
from support.ws import CONTINUATION, PING, TEXT, Refused, WebSocket, compress, encode, take_frame

OURS = "permessage-deflate; server_no_context_takeover"
NONE = OURS + "; client_no_context_takeover"
PAD = "the provider answered with an error, and the request is tried again with the next one; " * 8


def event(n, **more):
    return {"n": n, "level": "error" if n % 3 == 0 else "info", "message": f"{n} {PAD}", **more}


def rss(daemon):
    return int(next(line for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


@pytest.mark.parametrize("offer, answer", [
    ("permessage-deflate", OURS),
    ("permessage-deflate; client_max_window_bits", OURS),
    ("permessage-deflate; server_max_window_bits=10", OURS + "; server_max_window_bits=10"),
    ("permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=8", OURS + "; server_max_window_bits=8"),
    ("permessage-deflate; client_max_window_bits=9", OURS + "; client_max_window_bits=9"),
    ("x-other; a=b, permessage-deflate; client_no_context_takeover", NONE),
    ("permessage-deflate; unknown", None), ("x-other", None), ("permessage-deflate; server_max_window_bits", None),
])
def test_what_is_answered(daemon, offer, answer):
    with WebSocket(daemon.port, "/ws/logs", deflate=offer) as client:
        assert client.agreed == answer
        publish(daemon.port, "logs", "log", event(1))
        assert client.receive()["data"] == event(1)
        assert client.compressed == (1 if answer else 0)
        publish(daemon.port, "logs", "log", {"n": 2})
        assert client.receive()["data"] == {"n": 2}
        assert client.compressed == (1 if answer else 0), "too short to be compressed"


def test_a_malformed_offer_is_refused(daemon):
    for offer in ("permessage-deflate;", "a b", 'permessage-deflate; server_max_window_bits="10'):
        with pytest.raises(Refused) as refused:
            WebSocket(daemon.port, "/ws/logs", deflate=offer)
        assert refused.value.response.status == 400, offer


def test_without_compression(start):
    daemon = start({"compression": {"enabled": False}})
    with WebSocket(daemon.port, "/ws/logs", deflate="permessage-deflate") as client:
        assert client.agreed is None
        publish(daemon.port, "logs", "log", event(1))
        assert client.receive()["data"] == event(1) and client.compressed == 0
        client.send_frame(TEXT, compress(b'{"type":"ping"}'), rsv=4)
        assert client.receive_close()[1] == 1002


def test_who_is_compressed_is_seen(start):
    daemon = start({"compression": {"context_takeover": True}})

    def seen():
        return sorted(client["compression"] for client in get(daemon.port, "/admin/ws/clients").json["clients"])

    with WebSocket(daemon.port, "/ws/logs"), EventStream(daemon.port, "/sse/logs"):
        assert seen() == ["none", "none"]
        with WebSocket(daemon.port, "/ws/logs", deflate="permessage-deflate"), WebSocket(daemon.port, "/ws/logs", deflate=NONE), \
                EventStream(daemon.port, "/sse/logs", headers=[("Accept-Encoding", "gzip")]):
            assert seen() == ["deflate", "deflate_context", "gzip", "none", "none"]


# Others' clients

def test_client_of_websockets(daemon):
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{daemon.port}/ws/logs") as client:
        assert [one.name for one in client.protocol.extensions] == ["permessage-deflate"]
        before = scrape(daemon.port)("compressions_total")
        for n in range(50):
            publish(daemon.port, "logs", "log", event(n))
        assert [json.loads(client.recv(timeout=PATIENCE))["data"] for _ in range(50)] == [event(n) for n in range(50)]
        assert scrape(daemon.port)("compressions_total") == before + 50
        client.send(json.dumps({"type": "subscribe", "id": "x" * 1000, "data": {"channels": ["stats"]}}))
        assert json.loads(client.recv(timeout=PATIENCE))["id"] == "x" * 1000


def test_client_of_aiohttp(daemon):
    import aiohttp

    async def talk():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{daemon.port}/ws/logs", compress=15) as client:
                assert client.compress == 15
                for n in range(50):
                    await asyncio.to_thread(publish, daemon.port, "logs", "log", event(n))
                assert [json.loads((await client.receive(timeout=PATIENCE)).data)["data"] for _ in range(50)] == [event(n) for n in range(50)]
                await client.send_str(json.dumps({"type": "subscribe", "id": "y" * 1000, "data": {"channels": ["stats"]}}))
                assert json.loads((await client.receive(timeout=PATIENCE)).data)["id"] == "y" * 1000

    asyncio.run(talk())


def test_client_of_tornado(daemon):
    """It keeps its context whatever is answered."""
    import tornado.websocket

    async def talk():
        client = await tornado.websocket.websocket_connect(f"ws://127.0.0.1:{daemon.port}/ws/logs", compression_options={})
        for n in range(50):
            await asyncio.to_thread(publish, daemon.port, "logs", "log", event(n))
            assert json.loads(await asyncio.wait_for(client.read_message(), PATIENCE))["data"] == event(n)
            await client.write_message(json.dumps({"type": "ping", "id": f"{n} " + "z" * 1000}))
            assert json.loads(await asyncio.wait_for(client.read_message(), PATIENCE))["id"] == f"{n} " + "z" * 1000
        client.close()

    asyncio.run(talk())


def test_chromium(daemon, tmp_path):
    browser = Browser(tmp_path)
    try:
        with browser.open(f"http://127.0.0.1:{daemon.port}/health") as tab:
            tab.run(f"""new Promise((done) => {{
                globalThis.got = [];
                globalThis.socket = new WebSocket('ws://127.0.0.1:{daemon.port}/ws/logs');
                socket.onmessage = (event) => got.push(JSON.parse(event.data));
                socket.onopen = () => done(true);
            }})""")
            assert tab.run("socket.extensions").startswith("permessage-deflate")
            before = scrape(daemon.port)("compressions_total", window="15")
            for n in range(20):
                publish(daemon.port, "logs", "log", event(n))
            wait_until(lambda: tab.run("got.length") == 20, "the page has everything")
            assert [one["data"] for one in tab.run("got")] == [event(n) for n in range(20)]
            assert scrape(daemon.port)("compressions_total", window="15") == before + 20
            tab.run(f"socket.send(JSON.stringify({{type: 'subscribe', id: 'z'.repeat(2000), data: {{channels: ['stats']}}}}))")
            wait_until(lambda: tab.run("got.length") == 21, "the page has its answer")
            assert tab.run("got[20].id.length") == 2000
    finally:
        browser.close()


K6 = """
import ws from 'k6/ws';
import { check } from 'k6';
export const options = { scenarios: { all: { executor: 'per-vu-iterations', vus: 5, iterations: 1, maxDuration: '60s' } } };
export default function () {
    const got = [];
    const answer = ws.connect(__ENV.ADDRESS, __ENV.COMPRESSION ? { compression: __ENV.COMPRESSION } : {}, (socket) => {
        socket.on('message', (text) => {
            const message = JSON.parse(text);
            if (message.type === 'log') got.push(message.data.n);
            // What it sends is compressed, too, and so is the answer.
            if (got.length === 50 && message.type === 'log') socket.send(JSON.stringify({ type: 'ping', id: 'k'.repeat(2000) }));
            if (message.type === 'pong') { got.push(message.id.length); socket.close(); }
        });
        socket.setTimeout(() => socket.close(), 50000);
    });
    check(answer, { 'switched': (one) => one.status === 101 });
    check(got, { 'everything, in order': (all) => all.length === 51 && all[50] === 2000 && all.slice(0, 50).every((n, i) => n === i) });
}
export function handleSummary(data) { return { stdout: JSON.stringify(data.metrics) }; }
"""


def test_k6(daemon, tmp_path):
    for n in range(50):
        publish(daemon.port, "logs", "log", event(n))
    (tmp_path / "script.js").write_text(K6)
    received = {}
    for compression in ("", "deflate"):
        run = subprocess.run(
            [Path(sys.executable).with_name("k6"), "run", "--no-usage-report", "--quiet", "--address", "127.0.0.1:0", "script.js"], cwd=tmp_path,
            env={**os.environ, "ADDRESS": f"ws://127.0.0.1:{daemon.port}/ws/logs?history=50", "COMPRESSION": compression},
            capture_output=True, text=True, timeout=3 * PATIENCE)
        assert run.returncode == 0, run.stderr
        metrics = json.loads(run.stdout)
        assert (metrics["checks"]["values"]["passes"], metrics["checks"]["values"]["fails"]) == (10, 0), run.stderr
        received[compression] = metrics["data_received"]["values"]["count"]
    assert received["deflate"] < received[""] / 2, received


# The same for all

@pytest.mark.parametrize("context", [False, True], ids=["shared", "context"])
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_everybody_gets_the_same(start, tmp_path, context, over_tls):
    """Filters, replays and live events: what a compressed client gets is byte for byte what one without compression gets."""
    settings = {"compression": {"threshold_bytes": 100, "context_takeover": context}, "history": {"max_events": 5000}}
    if over_tls:
        settings = merge(settings, tls.settings(tls.Certificates(tmp_path / "certificates").make("server")))
    daemon = start(settings)
    way = {"port": daemon.tls_port, "tls": tls.context()} if over_tls else {"port": daemon.port}
    offers = [None, "permessage-deflate", "permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_no_context_takeover"]

    def send(numbers):
        return publish_many(daemon.port, [("logs", "log", event(n, pad="x" * (n * 37 % 3000))) for n in numbers])["last_id"]

    send(range(100))
    for target in ("logs?level=error", "logs?since=1h", "logs?history=20&level=error", "all"):
        clients = [WebSocket(path=f"/ws/{target}", deflate=offer, **way) for offer in offers]
        # The last one passes every filter.
        last = send(range(100, 199))
        got = []
        for client in clients:
            messages = []
            while not messages or json.loads(messages[-1]).get("id") != last:
                text = client.receive_text()
                # Its timestamp is each client's own.
                if json.loads(text)["type"] != "caught_up":
                    messages.append(text)
            got.append(messages)
        assert all(one == got[0] for one in got[1:]), target
        assert clients[0].compressed == 0 and all(client.compressed > 10 for client in clients[1:])
        assert all(client.wire_bytes < clients[0].wire_bytes / 2 for client in clients[1:])
        if context:
            assert clients[1].wire_bytes < clients[3].wire_bytes, "context pays"
        for client in clients:
            client.sock.close()


def test_a_slow_client_is_told_its_gap(start):
    daemon = start({"history": {"max_events": 50}, "websocket": {"buffer_size": 16}})
    with WebSocket(daemon.port, "/ws/logs", receive_buffer=4096, deflate="permessage-deflate") as client:
        noise = [os.urandom(3000).hex() for _ in range(20)]
        for n in range(600):
            publish(daemon.port, "logs", "log", {"n": n, "noise": noise[n % 20]})
        expected, seen = 0, False
        while expected < 600:
            message = client.receive()
            if message["type"] == "gap":
                expected += message["data"]["dropped"]
                seen = True
            else:
                assert message["data"]["n"] == expected
                expected += 1
        assert seen and client.compressed > 0


def test_one_compression_for_all(start):
    """However many clients there are, an event is compressed once for each window; not at all where nobody gets it."""
    daemon = start({})
    crowd = [WebSocket(daemon.port, "/ws/logs", deflate=f"permessage-deflate; server_max_window_bits={window}") for window in (9, 12, 15) for _ in range(20)]
    crowd += [WebSocket(daemon.port, "/ws/logs?level=error", deflate="permessage-deflate; server_max_window_bits=11")]
    plain = WebSocket(daemon.port, "/ws/logs")
    for n in range(30):
        publish(daemon.port, "logs", "log", event(n))
    for client in crowd[:-1]:
        assert [client.receive()["data"] for _ in range(30)] == [event(n) for n in range(30)]
        assert client.compressed == 30
    assert [crowd[-1].receive()["data"]["n"] for _ in range(10)] == list(range(0, 30, 3))
    page = scrape(daemon.port)
    counts = {window: page("compressions_total", window=str(window)) for window in range(9, 16)}
    assert counts == {9: 30, 10: 0, 11: 10, 12: 30, 13: 0, 14: 0, 15: 30}
    assert page("compressions_total", window="context") == 0 and page("compression_contexts") == 0
    # A replay takes what is there; what nobody has needed yet is compressed now.
    with WebSocket(daemon.port, "/ws/logs?history=30", deflate="permessage-deflate; server_max_window_bits=11") as late:
        assert [one["data"]["n"] for one in late.receive_until("caught_up")[:-1]] == list(range(30))
    assert scrape(daemon.port)("compressions_total", window="11") == 30
    before, after = page("compression_input_bytes_total", window="15"), page("compression_output_bytes_total", window="15")
    assert 0 < after < before / 2
    for client in [*crowd, plain]:
        client.sock.close()


def test_contexts_have_a_limit(start):
    """Who comes when the memory is used up is served by what all share."""
    daemon = start({"compression": {"context_takeover": True, "context_max_bytes": 250_000, "threshold_bytes": 0}})
    clients = [WebSocket(daemon.port, "/ws/logs", deflate="permessage-deflate; client_max_window_bits") for _ in range(8)]
    own = [client for client in clients if client.keeps_context]
    assert 3 <= len(own) <= 6 and all("client_max_window_bits=12" in client.agreed for client in own)
    assert all(client.agreed == NONE for client in clients if not client.keeps_context)
    page = scrape(daemon.port)
    assert page("compression_contexts") == len(own) and 0 < page("compression_context_bytes") <= 250_000
    assert page("refusals_total", reason="compression_contexts") == len(clients) - len(own)
    for n in range(10):
        publish(daemon.port, "logs", "log", event(n))
    for client in clients:
        assert [client.receive()["data"] for _ in range(10)] == [event(n) for n in range(10)]
    assert scrape(daemon.port)("compressions_total", window="context") == 10 * len(own)
    for client in clients:
        client.sock.close()
    wait_until(lambda: scrape(daemon.port)("compression_context_bytes") == 0, "the memory is given back")


@pytest.mark.parametrize("context", [False, True], ids=["shared", "context"])
def test_what_clients_send_may_refer_to_what_they_sent(start, context):
    daemon = start({"compression": {"context_takeover": context}})
    with WebSocket(daemon.port, "/ws", deflate="permessage-deflate") as client:
        stream = zlib.compressobj(9, zlib.DEFLATED, -15)
        sizes = []
        for n in range(5):
            message = json.dumps({"type": "ping", "id": f"{n} " + "a long id that comes again and again"}).encode()
            payload = (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
            sizes.append(len(payload))
            client.send_frame(TEXT, payload, rsv=4)
            assert client.receive()["id"].startswith(f"{n} ")
        assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("window", range(9, 16))
def test_contexts_of_clients_stay_apart(daemon, rng, window):
    """One decompressor serves all of them: what they refer to is their own, as far back as their windows reach."""
    offer = "permessage-deflate" if window == 15 else f"permessage-deflate; client_max_window_bits={window}"
    clients = [WebSocket(daemon.port, "/ws", deflate=offer) for _ in range(6)]
    streams = [zlib.compressobj(rng.randint(1, 9), zlib.DEFLATED, -window) for _ in clients]
    words = [base64.b64encode(rng.randbytes(rng.randint(3, 300))).decode() for _ in range(40)]
    for n in range(200):
        at = rng.randrange(len(clients))
        name = f"{at} {n} " + " ".join(rng.choices(words, k=rng.randint(1, 60)))
        message = json.dumps({"type": "ping", "id": name}).encode()
        if rng.random() < 0.1:
            clients[at].send(message)
        else:
            stream = streams[at]
            payload = stream.compress(message) + stream.flush(rng.choice((zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH)))
            clients[at].send_frame(TEXT, payload[:-4], rsv=4)
        assert clients[at].receive()["id"] == name
    for client in clients:
        client.sock.close()


def test_without_memory_messages_of_clients_stand_for_themselves(start):
    daemon = start({"compression": {"context_max_bytes": 40_000}})
    with WebSocket(daemon.port, "/ws", deflate="permessage-deflate; client_max_window_bits") as first, \
            WebSocket(daemon.port, "/ws", deflate="permessage-deflate; client_max_window_bits") as second, \
            WebSocket(daemon.port, "/ws", deflate="permessage-deflate; client_max_window_bits=12") as small, \
            WebSocket(daemon.port, "/ws", deflate="permessage-deflate; client_no_context_takeover") as modest:
        assert (first.agreed, second.agreed, small.agreed, modest.agreed) == (OURS, NONE, OURS + "; client_max_window_bits=12", NONE)
        page = scrape(daemon.port)
        assert page("compression_contexts") == 0 and page("compression_context_bytes") == 32_768 + 4096
        assert page("refusals_total", reason="compression_contexts") == 1
        for client in (second, modest):
            for payload in ("f248cdc9c90700", "f200110000"):
                client.send_frame(TEXT, bytes.fromhex(payload), rsv=4)
            assert client.receive_close()[1] == 1007
    daemon.wait_for_log("closed with 1007, since the client broke the protocol: compressed data are damaged")
    wait_until(lambda: scrape(daemon.port)("compression_context_bytes") == 0, "the memory is given back")


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_an_answer_before_the_handshake_stays_what_it_is(start, tmp_path, over_tls):
    """A stream begins behind an answer in the same connection that waits to be sent; it is none of its messages."""
    settings = {"compression": {"context_takeover": True, "threshold_bytes": 0}}
    if over_tls:
        settings = merge(settings, tls.settings(tls.Certificates(tmp_path / "certificates").make("server")))
    daemon = start(settings)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", daemon.tls_port if over_tls else daemon.port))
    if over_tls:
        sock = tls.context().wrap_socket(sock, server_hostname="127.0.0.1")
    body = get(daemon.port, "/asyncapi.yaml").body
    upgrade = (f"GET /ws/logs?welcome=true HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: test\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    sock.sendall((f"GET /asyncapi.yaml HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n\r\n" + upgrade).encode())
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] == 1, "it is a client")
    buffer = bytearray()
    assert read_response(sock, buffer).body == body
    assert read_response(sock, buffer).status == 101
    while not (frame := take_frame(buffer)):
        buffer += sock.recv(4096)
    assert frame[2] == 4 and json.loads(zlib.decompressobj(-15).decompress(frame[3] + b"\0\0\xff\xff"))["type"] == "welcome"
    sock.close()


@pytest.mark.release
def test_what_clients_sent_goes_with_them(start, rng, fact):
    """Listeners have no window, others one of what they sent, and none of it stays behind."""
    daemon = start({"limits": {"bytes_per_second": 10_000_000}})
    words = [base64.b64encode(rng.randbytes(rng.randint(3, 30))).decode() for _ in range(2000)]

    def wave():
        clients = [WebSocket(daemon.port, "/ws", deflate="permessage-deflate") for _ in range(200)]
        streams = [zlib.compressobj(1, zlib.DEFLATED, -15) for _ in clients]
        listening = daemon.rss
        # In turns, and longer each time, as an allocator likes it least.
        for size in (5, 50, 500, 1000, 1000, 1000):
            for client, stream in zip(clients, streams):
                message = json.dumps({"type": "ping", "id": 1, "data": rng.choices(words, k=size)}).encode()
                client.send_frame(TEXT, (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)
                assert client.receive()["type"] in ("pong", "error")
        full = daemon.rss
        for client in clients:
            client.sock.close()
        wait_until(lambda: scrape(daemon.port)("compression_context_bytes") == 0, "the memory is given back")
        return listening, full, daemon.rss

    wave()
    listening, full, after = wave()
    fact(f"200 clients that listen {listening / 2**20:.1f} MiB, that have sent {full / 2**20:.1f} MiB, gone {after / 2**20:.1f} MiB")
    assert full - listening > 200 * 24_000, "32 KiB of each are kept"
    assert after - listening < mebibytes(2)


@pytest.mark.parametrize("context", [False, True], ids=["shared", "context"])
def test_room_for_messages_is_given_back(start, context):
    """What a long message of a client with a context took is not kept while the client is silent."""
    daemon = start({"compression": {"context_takeover": context}, "websocket": {"max_message_bytes": 4_194_304}})
    message = compress(b" " * 4_000_000 + b'{"type":"ping","id":1}')
    clients = [WebSocket(daemon.port, "/ws", deflate="permessage-deflate") for _ in range(40)]
    before = rss(daemon)
    for client in clients:
        client.send_frame(TEXT, message, rsv=4)
        assert client.receive()["id"] == 1
    assert rss(daemon) - before < mebibytes(40), "one room at a time, and what contexts take"
    for client in clients:
        client.sock.close()


# Attacks

BOMB = compress(bytes(10_000_000))


@pytest.mark.parametrize("name, frames, code", [
    ("a bomb", [(TEXT, BOMB, 4)], 1009),
    ("a bomb in JSON", [(TEXT, compress(b'{"type":"ping","id":"' + b"x" * 200_000 + b'"}'), 4)], 1009),
    ("garbage", [(TEXT, b"\xff\xff\xff\xff\xff", 4)], 1007),
    ("random bytes", [(TEXT, bytes(range(7, 250)), 4)], 1007),
    ("cut short", [(TEXT, compress(b'{"type":"ping"}')[:-3], 4)], 1007),
    ("a reference to the message before", [(TEXT, bytes.fromhex("f248cdc9c90700"), 4), (TEXT, bytes.fromhex("f200110000"), 4)], 1007),
    ("no UTF-8", [(TEXT, compress(b"\xc3\x28"), 4)], 1007),
    ("the bit on a ping", [(PING, b"", 4)], 1002),
    ("the bit on a continuation", [(CONTINUATION, compress(b"a"), 4)], 1002),
    ("other bits", [(TEXT, compress(b"a"), 2)], 1002),
    ("all bits", [(TEXT, compress(b"a"), 7)], 1002),
])
def test_attacks_end_with_their_code(daemon, name, frames, code):
    with WebSocket(daemon.port, "/ws", deflate="permessage-deflate; client_no_context_takeover") as client:
        for opcode, payload, bits in frames:
            client.send_frame(opcode, payload, rsv=bits)
        assert client.receive_close()[1] == code, name


def test_a_compressed_message_is_a_message(daemon):
    with WebSocket(daemon.port, "/ws", deflate="permessage-deflate") as client:
        payload = compress(b'{"type":"ping","id":"' + b"x" * 60_000 + b'"}')
        client.send_frame(TEXT, payload, rsv=4)
        assert len(client.receive()["id"]) == 60_000
        payload = compress(b'{"type":"ping","id":"' + b"x" * 20_000 + b'"}')
        for at in range(1, 30):
            client.send_frame(TEXT, payload[:at], fin=False, rsv=4)
            client.send_frame(PING, b"between")
            client.send_frame(CONTINUATION, payload[at:])
            assert len(client.receive()["id"]) == 20_000
        client.send({"type": "ping", "id": "plain"})
        assert client.receive()["id"] == "plain"


@pytest.mark.parametrize("context", [False, True], ids=["shared", "context"])
def test_bombs_cost_no_memory(start, context):
    daemon = start({"compression": {"context_takeover": context}})

    def attack(times):
        for _ in range(times):
            with WebSocket(daemon.port, "/ws", deflate="permessage-deflate") as client:
                client.send_frame(TEXT, BOMB, rsv=4)
                assert client.receive_close()[1] == 1009

    attack(50)
    before = rss(daemon)
    attack(300)
    assert rss(daemon) - before < mebibytes(4)
    assert scrape(daemon.port)("refusals_total", reason="message_bytes") == 350


def test_frames_go_with_their_history(start, rng, fact):
    """What was made for clients is given back when history has moved on, in however many ways and sizes it was made."""
    daemon = start({"history": {"max_bytes": 4 * 2**20}})
    crowd = [WebSocket(daemon.port, "/ws/logs"), PackedWebSocket(daemon.port, "/ws/logs")]
    crowd += [WebSocket(daemon.port, "/ws/logs", deflate=f"permessage-deflate; server_max_window_bits={window}") for window in range(9, 16)]

    def publish_some(readers):
        """About twice what history keeps."""
        for _ in range(60):
            events = [("logs", "note", {"m": base64.b64encode(rng.randbytes(int(2 ** rng.uniform(6, 14)))).decode()}) for _ in range(40)]
            publish_many(daemon.port, events, patient=True)
            for reader in readers:
                for _ in events:
                    reader.receive_frame()

    publish_some(crowd)
    with_all = daemon.rss
    for client in crowd:
        client.sock.close()
    publish_some([])
    publish_some([])
    fact(f"{with_all / 2**20:.0f} MiB with {len(crowd)} encodings of 4 MiB of history, {daemon.rss / 2**20:.0f} MiB when history has moved on")
    assert daemon.rss < mebibytes(24)


def test_what_messages_become_is_counted(daemon):
    """Not what they came as: a little on the wire may be a lot of work."""
    message = compress(b'{"type":"ping","id":"' + b"x" * 60_000 + b'"}')
    with WebSocket(daemon.port, "/ws", deflate="permessage-deflate") as client:
        client.send_bytes(b"".join(encode(TEXT, message, mask=b"abcd", rsv=4) for _ in range(45)))
        answers, code, _ = client.receive_close()
        assert code == 4013 and len(answers) < 20 and 45 * len(message) < 10_000


def test_noise_of_many(daemon, rng):
    """Random payloads, cut and mixed; the daemon serves on."""
    samples = [compress(b'{"type":"ping"}'), compress(bytes(3000)), BOMB[:500], b"", rng.randbytes(100)]
    for _ in range(150):
        payload = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            if payload:
                payload[rng.randrange(len(payload))] = rng.randrange(256)
        with WebSocket(daemon.port, "/ws", deflate=rng.choice(["permessage-deflate", "permessage-deflate; server_max_window_bits=9"])) as client:
            client.send_frame(TEXT, bytes(payload), rsv=4)
            client.send_frame(8, b"\x03\xe8")
            assert client.receive_close()[1] in (1000, 1007, 1009)
    assert get(daemon.port, "/health").status == 200


# What it costs

class Crowd:
    """Clients whose bytes are counted and not looked at."""

    def __init__(self, port, number, offer):
        field = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        request = (f"GET /ws/logs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   f"Sec-WebSocket-Key: test\r\n{field}\r\n").encode()
        self.selector = selectors.DefaultSelector()
        self.socks = []
        self.bytes = 0
        for _ in range(number):
            sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
            sock.sendall(request)
            assert sock.recv(1000).startswith(b"HTTP/1.1 101")
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.socks.append(sock)

    def read(self, bytes_of_all):
        """Reads so many bytes."""
        while self.bytes < bytes_of_all:
            ready = self.selector.select(PATIENCE)
            assert ready, (self.bytes, bytes_of_all)
            for key, _ in ready:
                self.bytes += len(key.fileobj.recv(65536))
        assert self.bytes == bytes_of_all
        self.bytes = 0

    def close(self):
        for sock in self.socks:
            sock.close()


def cpu(daemon):
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
@pytest.mark.release
def test_a_delivery_costs_what_a_plain_one_does(start, fact):
    """A thousand clients: CPU of the daemon for each delivery, compressed beside plain, in turns."""
    daemon = start({"server": {"shards": 1}, "websocket": {"max_clients": 2000}})
    clients, events, rounds = 1000, 300, 5
    spent = {None: [], "permessage-deflate": []}
    for _ in range(rounds):
        for offer in spent:
            with WebSocket(daemon.port, "/ws/logs", deflate=offer) as witness:
                crowd = Crowd(daemon.port, clients, offer)
                before, runs = cpu(daemon), scrape(daemon.port)("compressions_total", window="15")
                for n in range(events):
                    publish(daemon.port, "logs", "log", event(n))
                    at = witness.wire_bytes
                    assert witness.receive()["data"]["n"] == n
                    payload = witness.wire_bytes - at
                    crowd.read(clients * (payload + (2 if payload < 126 else 4)))
                spent[offer].append((cpu(daemon) - before) / clients / events)
                assert scrape(daemon.port)("compressions_total", window="15") - runs == (events if offer else 0)
                crowd.close()
                wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] <= 1, "all are gone")
    plain, compressed = (min(values) * 1e6 for values in spent.values())
    fact(f"CPU for each delivery: plain {plain:.2f} µs, compressed {compressed:.2f} µs, ratio {compressed / plain:.3f}")
    assert compressed < plain * 1.1 + 100 / clients
