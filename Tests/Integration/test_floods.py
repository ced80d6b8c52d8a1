"""Strangers who ask for too much, or never finish: those who behave beside them get every event, and what it has cost goes away again.

TLS has its own: test_tls. One client against one limit: test_http_abuse, test_websocket_abuse, test_addresses."""

import json
import random
import socket
import struct
import threading
import time

import pytest
from support.daemon import PATIENCE, Literal, mebibytes, wait_until
from support.http import Connection, NoResponse, request
from support.steady import Listeners, Steady
from support.tokens import SECRET, Accounts, bcrypt, sign, token
from support.ws import BINARY, CONTINUATION, PING, PONG, TEXT, Refused, WebSocket, encode

SELF = "127.0.0.2"
"""Where the operator and everybody who behaves comes from; 127.0.0.1 may be a trusted proxy that speaks for others."""
THREADS = 4


class Bystanders:
    """Twenty who behave, and events for them; what the daemon is before, and is to be afterwards."""

    def __init__(self, daemon, headers=(), admin=()):
        self.daemon, self.headers, self.admin = daemon, list(headers), list(admin)
        self.publisher = Steady(daemon.port, 50, "providers", self.admin, SELF)
        self.listeners = Listeners(daemon.port, self.publisher.times, headers, SELF)
        for _ in range(20):
            self.listeners.join("providers", {}, "")
        self.publisher.start()
        self.late = []

    @property
    def stats(self):
        answer = request(self.daemon.port, "GET", "/admin/ws/stats", self.admin, source=SELF)
        assert answer.status == 200, answer
        return answer.json

    @property
    def refused(self):
        return self.stats["refused"]

    def beside(self, flood, count=THREADS):
        """Runs `flood(number)` in so many threads and reads meanwhile. Somebody new comes in the middle of it."""
        errors = []

        def guarded(number):
            try:
                flood(number)
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        # Whoever is new is served like everybody: from here on it has to get each event, too.
        self.late.append((self.listeners.join("providers", {}, ""), len(self.publisher.times)))
        end = time.monotonic() + PATIENCE * 10
        while any(thread.is_alive() for thread in threads):
            self.listeners.poll(0.02)
            assert self.publisher.error is None, "what it is measured with has ended"
            assert time.monotonic() < end, "the flood does not end"
        assert not errors, errors

    def check(self):
        """Each event came to each of them, once and in order, and nothing else; none of them was closed."""
        self.publisher.stop()
        total = len(self.publisher.times)
        self.listeners.read_until(lambda: all(member.numbers and member.numbers[-1] == total - 1 for member in self.listeners.members), "all events have come")
        latest = {id(member): number for member, number in self.late}
        for member in self.listeners.members:
            first = member.numbers[0]
            assert first <= latest.get(id(member), 0), "it was there, and was not given what was published then"
            assert member.numbers == list(range(first, total)) and not member.others and member.closed is None
        return total

    def flooded(self, fact, flood, rounds, grows=8):
        """Floods twice: what the first one leaves behind is what the process keeps for later."""
        self.beside(lambda number: flood(number, max(1, rounds // 3)))
        self.settle()
        descriptors, memory, refused = self.daemon.descriptors, self.daemon.rss, self.refused
        begun, cpu = time.monotonic(), self.daemon.cpu_seconds
        self.listeners.delays = []
        self.beside(lambda number: flood(number, rounds))
        took, cpu = time.monotonic() - begun, self.daemon.cpu_seconds - cpu
        self.settle()
        # One who came meanwhile is still there.
        wait_until(lambda: self.daemon.descriptors <= descriptors + 1, lambda: f"{self.daemon.descriptors} descriptors, before {descriptors}")
        now, grown = self.refused, self.daemon.rss - memory
        turned = {name: now[name] - refused[name] for name in now if now[name] != refused[name]}
        delays = sorted(self.listeners.delays)
        fact(f"{took:.1f} s, {cpu:.1f} s of CPU, {grown >> 10} KiB more, refused {turned}; 21 others: median {delays[len(delays) // 2] * 1000:.1f} ms, "
             f"p99 {delays[len(delays) * 99 // 100] * 1000:.1f} ms")
        assert grown < mebibytes(grows), f"{grown} bytes more"
        return turned

    def settle(self):
        """Only those who behave are left."""
        wait_until(lambda: (self.listeners.poll(0.01), self.stats["total_clients"] == len(self.listeners.members))[1],
                   lambda: f"{self.stats['total_clients']} clients, {len(self.listeners.members)} expected")

    def leave(self):
        self.publisher.stopping.set()
        self.listeners.leave()


@pytest.fixture
def bystanders(start):
    """A daemon with these settings, and twenty who behave."""
    made = []

    def begin(settings, **who):
        made.append(Bystanders(start(settings), **who))
        return made[-1]

    yield begin
    for each in made:
        each.leave()


@pytest.fixture
def times(request):
    """How much of each flood."""
    return 20 if request.config.getoption("--long") else 1


# Those who never finish


def half_open(port, number):
    """A connection that says nothing, a part of its request's head, or one that goes on a byte at a time."""
    connection = Connection(port)
    connection.send([b"", b"GET /ws/all HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso", b"GET /health HTTP/1.1\r\nX: "][number % 3])
    return connection


STUCK = [encode(TEXT, b"x" * 50, length=60_000), encode(TEXT, b"x" * 40_000, length=60_000), encode(TEXT, b"x" * 40_000, fin=False),
         encode(TEXT, b"{", fin=False) + encode(CONTINUATION, b"", fin=False) * 500, b"\x81", b"\x81\xfe\x10", encode(PING, b"x", length=100)]


@pytest.mark.timeout(600)
def test_a_thousand_half_requests_and_three_hundred_half_frames(bystanders, times, fact):
    crowd = bystanders({"websocket": {"max_clients": 2000, "heartbeat_interval": "2s", "client_timeout": "8s"}, "history": {"max_events": 100}})
    daemon = crowd.daemon
    crowd.settle()
    descriptors, memory, after = daemon.descriptors, daemon.rss, []
    for _ in range(1 + times // 10):
        held, stuck, peak, answers = [], [], [], []

        def flood(_):
            held.extend(half_open(daemon.port, number) for number in range(1000))
            for number in range(300):
                client = WebSocket(daemon.port, "/ws/all?history=0", answer_pings=False)
                client.send_bytes(STUCK[number % len(STUCK)])
                stuck.append(client)
            peak.append((daemon.descriptors, daemon.rss))
            # A byte now and then buys no time; a pong would, and so none is sent.
            open_ones = held[2::3]
            while open_ones:
                time.sleep(0.3)
                open_ones = [connection for connection in open_ones if connection.send(b"y")]
            for connection in held:
                try:
                    answers.append(connection.receive().status)
                except NoResponse:
                    pass
                connection.sock.close()
            for client in stuck:
                assert client.receive_close()[1] == 4000
                client.sock.close()

        crowd.beside(flood, count=1)
        crowd.settle()
        (most, high), = peak
        # On a machine that takes seconds for connecting, the first ones may be gone again.
        assert most >= descriptors + 700
        # Those that had begun a request hear why it ends.
        assert set(answers) == {408} and len(answers) >= 333
        after.append(daemon.rss)
        fact(f"1000 half requests and 300 half messages: {(high - memory) >> 10} KiB while they were there, {(after[-1] - memory) >> 10} KiB afterwards")
        # Half messages of up to 64 KiB are kept, and nothing that depends on how long they last.
        assert high - memory < mebibytes(16)
        wait_until(lambda: daemon.descriptors <= descriptors + len(crowd.late), lambda: f"{daemon.descriptors} descriptors, before {descriptors}")
    # What the first ones have left is used again by the next.
    assert after[-1] - after[0] < mebibytes(2), after
    crowd.check()


def test_canary_somebody_misses_an_event(bystanders):
    """What counts for the bystanders must notice one event that is not there, one that comes twice, and somebody who was closed."""
    crowd = bystanders({})
    wait_until(lambda: (crowd.listeners.poll(0.01), len(crowd.publisher.times) > 10)[1], "some events")
    crowd.check()
    member = crowd.listeners.members[7]
    right = list(member.numbers)
    for wrong in (right[:4] + right[5:], right[:5] + right[4:], right[1:], [*right[:3], right[4], right[3], *right[5:]]):
        member.numbers = wrong
        with pytest.raises(AssertionError):
            crowd.check()
    member.numbers = right
    crowd.check()
    member.closed = b""
    with pytest.raises(AssertionError):
        crowd.check()


# Floods


def handshake(port, path="/ws/logs", fields=(), before=b""):
    """The status that a handshake is answered with; the connection ends then. 0: it ended by itself."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    with Connection(port) as connection:
        connection.send(before + (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: test\r\n{lines}\r\n").encode())
        try:
            return connection.receive().status
        except NoResponse:
            return 0


def proxy_header(address):
    """PROXY protocol, version 2."""
    packed = socket.inet_aton(address)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 12) + packed + packed + struct.pack("!HH", 50000, 443)


@pytest.mark.parametrize("way", ["X-Forwarded-For", "PROXY"])
def test_handshakes_from_a_few_addresses(bystanders, times, fact, way):
    crowd = bystanders({"server": {"trusted_proxies": Literal("[127.0.0.1/32]")}, "limits": {"handshakes_per_second": 20, "connections_per_address": 10}})
    answers = []

    def flood(number, rounds):
        address = f"203.0.113.{number + 1}"
        for _ in range(rounds):
            if way == "PROXY":
                answers.append(handshake(crowd.daemon.port, before=proxy_header(address)))
            else:
                answers.append(handshake(crowd.daemon.port, fields=[("X-Forwarded-For", address)]))

    turned = crowd.flooded(fact, flood, 800 * times)
    # Each is told what it was, and each refusal is counted once.
    assert set(answers) == {101, 429}, {status: answers.count(status) for status in set(answers)}
    assert set(turned) <= {"handshakes_per_second", "connections_per_address"} and turned["handshakes_per_second"] > 0
    assert sum(crowd.refused.values()) == answers.count(429)
    # Another address behind the same proxy has its own.
    assert handshake(crowd.daemon.port, fields=[("X-Forwarded-For", "203.0.113.99")]) == 101
    crowd.check()


def floods_of_frames(rng):
    """What a client sends again and again, with what it must come to (a close code)."""
    text = "".join(rng.choice("abcdefgh") for _ in range(8))
    return {
        "pings": (encode(PING, b"p" * 125), 4013),
        "JSON pings": (encode(TEXT, json.dumps({"type": "ping", "id": text})), 4013),
        "subscribes": (b"".join(encode(TEXT, json.dumps({"type": "subscribe", "id": n, "data": {"channels": ["logs"], "filters": {"logs": {"q": f"{text}{n}"}}}}))
                                for n in range(20)), 4013),
        "subscribes and unsubscribes": (encode(TEXT, json.dumps({"type": "subscribe", "data": {"channels": ["all"], "history": 100}}))
                                        + encode(TEXT, json.dumps({"type": "unsubscribe", "data": {"channels": ["all"]}})), 4013),
        "nonsense": (encode(TEXT, json.dumps({"type": text})) + encode(TEXT, "{") + encode(TEXT, "[" * 200), 4013),
        "empty fragments": (encode(TEXT, b"", fin=False) + encode(CONTINUATION, b"", fin=False) * 100 + encode(CONTINUATION, b" "), 4013),
        "oversized messages": (encode(TEXT, b"x" * 70_000), 1009),
        "oversized headers": (encode(TEXT, b"", length=2**40), 1009),
        "binary": (encode(BINARY, b"x" * 1000), 1003),
        "pongs": (encode(PONG, b"p" * 125) * 100, 4013),
        "auths": (encode(TEXT, json.dumps({"type": "auth", "data": {"token": f"gla_{text}"}})), 4013),
    }


def test_frames(bystanders, times, fact, rng):
    """Clients that send as fast as they can, are closed, and come back at once."""
    # A quarter of the usual number of bytes, so that what counts as one message or as none (pongs) is a flood soon, too.
    crowd = bystanders({"limits": {"messages_per_second": 50, "bytes_per_second": 262_144}})
    came = {}

    def flood(number, rounds):
        mine = random.Random(f"{rng.random()}/{number}")
        for _ in range(rounds):
            for name, (frames, code) in floods_of_frames(mine).items():
                with WebSocket(crowd.daemon.port, "/ws/all", answer_pings=False) as client:
                    block = frames * max(1, 65_536 // len(frames))
                    try:
                        for _ in range(40):
                            client.send_bytes(block)
                    except ConnectionError:
                        pass  # closed already
                    try:
                        got = client.receive_close()[1]
                    except AssertionError as error:
                        raise AssertionError(f"{name}: {error}") from None
                    # Where it was cut off in the middle of what it sent, its kernel may have thrown the close frame away.
                    assert got in (code, None), (name, got)
                    came.setdefault(name, []).append(got)

    turned = crowd.flooded(fact, flood, 15 * times)
    for name, (_, code) in floods_of_frames(rng).items():
        assert code in came[name], f"{name}: nobody has seen {code}"
    assert turned.get("messages_per_second", 0) > 0 and turned.get("bytes_per_second", 0) > 0, turned
    assert crowd.stats["gaps"]["slow_consumer"] == 0
    crowd.check()


def gateway(tmp_path, **more):
    """Accounts, settings for them, and two admins: one to publish what the bystanders get, one who floods."""
    accounts = Accounts(tmp_path / "gateway.db")
    good, bad = (token(accounts.user("admin"), "admin") for _ in range(2))
    settings = {"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}, **more}
    return accounts, settings, good, bad


def bearer(text):
    return [("Authorization", f"Bearer {text}")]


def test_publishing_beyond_the_rate(bystanders, times, fact, tmp_path):
    accounts, settings, good, bad = gateway(tmp_path, broadcast={"events_per_second": 300, "burst": 300})
    crowd = bystanders(settings, headers=bearer(token(accounts.user())), admin=bearer(good))
    statuses, begun = [], time.monotonic()
    bodies = [b'{"channel":"logs","type":"log","data":{}}', b"\n".join([b'{"channel":"stats","type":"x","data":{}}'] * 50),
              b"[" + b",".join([b'{"channel":"logs","type":"x","data":{}}'] * 300) + b"]",    # as many as may come at once
              b"[" + b",".join([b'{"channel":"logs","type":"x","data":{}}'] * 301) + b"]",    # one more than ever
              b'{"channel":"nowhere"}', b"{", b"[" * 10_000]

    def flood(number, rounds):
        with Connection(crowd.daemon.port) as connection:
            for turn in range(rounds):
                body = bodies[(turn + number) % len(bodies)]
                kind = "application/x-ndjson" if b"\n" in body else "application/json"
                answer = connection.request("POST", "/admin/ws/broadcast", [("Content-Type", kind), *bearer(bad)], body)
                assert answer.status != 429 or answer.header("Retry-After")
                events = answer.json.get("count", 1) if answer.status == 200 else 0
                statuses.append((answer.status, events))

    crowd.flooded(fact, flood, 2000 * times)
    took = time.monotonic() - begun
    assert {status for status, _ in statuses} == {200, 400, 413, 429}, {s for s, _ in statuses}
    taken = sum(events for _, events in statuses)
    # Never more than the bucket holds, and what has run into it.
    assert taken <= 300 + 300 * took + 1, (taken, took)
    total = crowd.check()
    assert crowd.stats["events_published"] == taken + total


def test_tickets(bystanders, times, fact, tmp_path):
    accounts, settings, good, _ = gateway(tmp_path)
    users = [token(accounts.user()) for _ in range(THREADS)]
    crowd = bystanders(settings, headers=bearer(token(accounts.user())), admin=bearer(good))
    answers, begun = {"asked": [], "made up": [], "used": []}, time.monotonic()

    def flood(number, rounds):
        with Connection(crowd.daemon.port) as connection:
            for turn in range(rounds):
                answer = connection.request("POST", "/ws/ticket", bearer(users[number]))
                answers["asked"].append(answer.status)
                if answer.status == 200 and turn % 8 == 0:
                    answers["used"].append(tuple(handshake(crowd.daemon.port, f"/ws/stats?ticket={answer.json['ticket']}") for _ in range(2)))
                answers["made up"].append(handshake(crowd.daemon.port, f"/ws/all?ticket={'abc123' * 9}{number}"))

    crowd.flooded(fact, flood, 500 * times)
    assert set(answers["asked"]) == {200, 429} and set(answers["made up"]) == {401} and set(answers["used"]) == {(101, 401)}
    # 32 of one user are outstanding for 30 s, and one that was used is not.
    assert answers["asked"].count(200) <= THREADS * 32 * (2 + (time.monotonic() - begun) // 30) + len(answers["used"])
    # Nobody else is short of them.
    ticket = request(crowd.daemon.port, "POST", "/ws/ticket", bearer(token(accounts.user()))).json["ticket"]
    assert handshake(crowd.daemon.port, f"/ws/stats?ticket={ticket}") == 101
    crowd.check()


def test_bad_credentials(bystanders, times, fact, tmp_path):
    """Made-up tokens and keys, and stolen halves of keys, whose bcrypt hash is that of another: over HTTP, by subprotocol and by message."""
    accounts, settings, good, _ = gateway(tmp_path)
    user, wrong = accounts.user(), bcrypt("gla_another", 8)
    # Each is a key that the gateway knows by its digest, and costs a run of bcrypt.
    halves = [accounts.key(user, key_bcrypt=wrong)[0] for _ in range(THREADS * 8)]
    revoked, _ = accounts.key(user, active=0, revoked_at="2026-03-02 14:29:45+00:00")
    crowd = bystanders(settings, headers=bearer(token(accounts.user())), admin=bearer(good))
    statuses = []

    def flood(number, rounds):
        mine = halves[number::THREADS]
        for turn in range(rounds):
            text = [sign({"user_id": user, "exp": 2**31}, secret="wrong"), f"gla_{number}x{turn}" + "y" * 32, mine[turn % len(mine)], revoked, "e30." * 2000,
                    "gla_" + "z" * 5000, "\u00e9"][turn % 7]
            scheme = "ApiKey" if text.startswith("gla_") else "Bearer"
            statuses.append(request(crowd.daemon.port, "POST", "/ws/ticket", [("Authorization", f"{scheme} {text}")]).status)
            if turn % 7 < 4:
                statuses.append(handshake(crowd.daemon.port, fields=[("Sec-WebSocket-Protocol", f"goleapai.v1.json, bearer.{text}")]))
            try:
                with WebSocket(crowd.daemon.port, "/ws/all?auth=message") as client:
                    for again in range(3):
                        client.send({"type": "auth", "id": again, "data": {"token": f"{text}{again}" if again else text}})
                    for _ in range(3):
                        assert client.receive()["data"]["code"] in ("unauthorized", "rate_limited")
            except Refused as refused:
                statuses.append(refused.response.status)

    crowd.flooded(fact, flood, 112 * times)
    assert set(statuses) <= {401, 503}, {status: statuses.count(status) for status in set(statuses)}
    # Whoever is somebody gets in beside it, with a token or with a key that has to be hashed.
    assert handshake(crowd.daemon.port, "/ws/stats", bearer(token(accounts.user()))) == 101
    assert handshake(crowd.daemon.port, "/ws/stats", [("Authorization", f"ApiKey {accounts.many_keys(1, 10)[0]}")]) == 101
    # The operator sees that somebody tries, from where, and not with what.
    crowd.daemon.wait_for_log("info a credential is refused: ")
    log = crowd.daemon.log()
    told = [line for line in log if "info a credential is refused: " in line and line.endswith("(from 127.0.0.1)")]
    assert told and len(told) < len(statuses) // 2 and not any(half in line for half in halves for line in log)
    crowd.check()
