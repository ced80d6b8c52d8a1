"""Whose connection it is, and how many of them: limits per address, X-Forwarded-For, and the PROXY protocol, from 127.0.0.1 as a trusted proxy."""

import json
import socket
import struct
import time

import pytest
from support.daemon import Literal, mebibytes, merge, wait_until
from support.http import Connection, NoResponse, get, publish, request
from support.tls import Certificates, context
from support.tls import settings as tls_settings
from support.ws import PING, Refused, WebSocket, encode
from test_reload import reload

TRUSTED = {"server": {"trusted_proxies": Literal("[127.0.0.1/32]")}}
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def stats(daemon):
    # By the other address of this machine, which is no proxy.
    return request(daemon.port, "GET", "/admin/ws/stats", source="127.0.0.2").json


def clients(daemon):
    return request(daemon.port, "GET", "/admin/ws/clients", source="127.0.0.2").json["clients"]


def trusting(start, **limits):
    return start({**TRUSTED, "limits": limits} if limits else TRUSTED)


def from_address(address):
    return [("X-Forwarded-For", address)]


def v2(address, port=50000, command=0x21, extra=b""):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = packed + packed + struct.pack("!HH", port, 443) + extra
    return SIGNATURE + struct.pack("!BBH", command, 0x21 if ":" in address else 0x11, len(body)) + body


def through(daemon, header, request_bytes=b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", source="127.0.0.1", cuts=()):
    """The answer to a request behind these first bytes, sent in pieces."""
    with Connection(daemon.port, source=source) as connection:
        data = header + request_bytes
        last = 0
        for cut in (*cuts, len(data)):
            connection.send(data[last:cut])
            last = cut
            if cut < len(data):
                time.sleep(0.001)
        return connection.receive()


def upgrade(daemon, header=b"", fields=()):
    """A WebSocket's connection by hand, so that bytes can go before its request."""
    connection = Connection(daemon.port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    connection.send(header + (f"GET /ws/logs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              f"Sec-WebSocket-Key: test\r\n{lines}\r\n").encode())
    return connection, connection.receive()


def test_the_address_that_a_trusted_proxy_names(start):
    daemon = trusting(start)
    with WebSocket(daemon.port, "/ws/logs", headers=from_address("198.51.100.9, 203.0.113.5, 127.0.0.1")), \
            WebSocket(daemon.port, "/ws/logs", headers=[("Forwarded", 'for="[2001:db8::7]:4711";proto=https')]), \
            WebSocket(daemon.port, "/ws/logs"):
        addresses = [client["address"] for client in clients(daemon)]
        assert addresses[:2] == ["203.0.113.5", "2001:db8::7"] and addresses[2].startswith("127.0.0.1:")
    daemon.wait_for_log("connected from 203.0.113.5 to")


def test_nobody_elses_word_counts(start):
    daemon = start({"limits": {"connections_per_address": 1, "handshakes_per_second": 1}})
    with WebSocket(daemon.port, "/ws/logs", headers=from_address("203.0.113.5")), \
            WebSocket(daemon.port, "/ws/logs", headers=from_address("203.0.113.5")):
        assert all(client["address"].startswith("127.0.0.1:") for client in clients(daemon))
    # It means "proxied", and nothing more.
    assert request(daemon.port, "GET", "/admin/ws/stats", from_address("127.0.0.1")).status == 403


def test_loopback_is_exempt(start):
    daemon = start({"limits": {"connections_per_address": 2, "handshakes_per_second": 2}})
    held = [Connection(daemon.port, source=f"127.0.0.{number}") for number in (1, 1, 1, 2, 2, 2, 9, 9, 9)]
    assert all(connection.request("GET", "/version").status == 200 for connection in held)
    assert not any(stats(daemon)["refused"].values())


def test_connections_of_an_address(start):
    daemon = trusting(start, connections_per_address=3)
    with WebSocket(daemon.port, "/ws/logs") as other:
        held = [WebSocket(daemon.port, "/ws/logs", headers=from_address(f"2001:db8::{number}")) for number in (1, 2, 3)]
        with pytest.raises(Refused) as caught:
            WebSocket(daemon.port, "/ws/logs", headers=from_address("2001:db8::4"))
        response = caught.value.response
        assert response.status == 429 and response.header("retry-after") == "5"
        assert response.json == {"error": "limits.connections_per_address (3) is reached by this address"}
        WebSocket(daemon.port, "/ws/logs", headers=from_address("2001:db8:0:1::1")).sock.close()
        held.pop().sock.close()
        wait_until(lambda: len(clients(daemon)) == 3, "its place is free")
        held.append(WebSocket(daemon.port, "/ws/logs", headers=from_address("2001:db8::5")))
        assert stats(daemon)["refused"]["connections_per_address"] == 1
        daemon.wait_for_log(r"limits\.connections_per_address \(3\).*: clients are refused")
        reload(daemon, {"limits": {"connections_per_address": 4}})
        held.append(WebSocket(daemon.port, "/ws/logs", headers=from_address("2001:db8::6")))
        publish_from_here(daemon, {"message": "still here"})
        for client in (*held, other):
            assert client.receive()["data"]["message"] == "still here"


def publish_from_here(daemon, data):
    body = json.dumps({"channel": "logs", "type": "log", "data": data}).encode()
    assert request(daemon.port, "POST", "/admin/ws/broadcast", [], body, source="127.0.0.2").status == 200


def test_a_flood_of_handshakes_disturbs_nobody_else(start):
    daemon = trusting(start, handshakes_per_second=10)
    with WebSocket(daemon.port, "/ws/logs", headers=from_address("192.0.2.1")) as good:
        answers = []
        for number in range(300):
            with Connection(daemon.port) as connection:
                connection.send(f"GET /version HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n".encode())
                answers.append(connection.receive())
            if number % 100 == 0:
                publish_from_here(daemon, {"n": number})
                assert good.receive()["data"] == {"n": number}
        refused = [answer for answer in answers if answer.status == 429]
        assert {answer.status for answer in answers} == {200, 429} and all(answer.header("retry-after") == "1" for answer in refused)
        assert stats(daemon)["refused"]["handshakes_per_second"] == len(refused)
        assert request(daemon.port, "GET", "/version", from_address("203.0.113.6")).status == 200


def test_one_connection_of_a_proxy_for_many_clients(start):
    daemon = trusting(start, connections_per_address=1)
    held = WebSocket(daemon.port, "/ws/logs", headers=from_address("203.0.113.5"))
    with Connection(daemon.port) as connection:
        for address, status in [("203.0.113.6", 200), ("203.0.113.5", 429), ("203.0.113.6", 200), ("203.0.113.6", 200), ("127.0.0.1", 200)]:
            assert connection.request("GET", "/version", from_address(address)).status == status, address
        # It holds nobody's place any more.
        WebSocket(daemon.port, "/ws/logs", headers=from_address("203.0.113.6")).sock.close()
    held.sock.close()


def test_memory_with_very_many_addresses(start, fact):
    # Who is held reads nothing, no ping either, as long as the others need.
    daemon = start({**TRUSTED, "limits": {"connections_per_address": 1}, "websocket": {"heartbeat_interval": Literal("1h"), "client_timeout": Literal("2h")}})
    held = WebSocket(daemon.port, "/ws/logs", headers=from_address("203.0.113.5"))

    def ask(numbers):
        with Connection(daemon.port) as connection:
            for first in numbers:
                block = range(first, first + 200)
                connection.send(b"".join(f"GET /version HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 2001:db8:{number >> 16:x}:{number & 0xffff:x}::1\r\n\r\n".encode()
                                         for number in block))
                assert all(connection.receive().status == 200 for _ in block)

    ask(range(0, 2000, 200))
    before = daemon.rss
    ask(range(2000, 100_000, 200))
    grown = daemon.rss - before
    fact(f"100,000 addresses: {grown / 1024:.0f} KiB more")
    assert grown < mebibytes(10)
    with pytest.raises(Refused):
        WebSocket(daemon.port, "/ws/logs", headers=from_address("203.0.113.5"))
    held.sock.close()


@pytest.mark.parametrize("header, address", [
    (b"PROXY TCP4 203.0.113.5 127.0.0.1 50000 8080\r\n", "203.0.113.5:50000"),
    (b"PROXY TCP6 2001:db8::7 ::1 50000 8080\r\n", "[2001:db8::7]:50000"),
    (v2("203.0.113.5", extra=b"\x01\0\x02h2\x04\0\0"), "203.0.113.5:50000"),
    (v2("2001:db8::7"), "[2001:db8::7]:50000"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (v2("203.0.113.5", command=0x20), "127.0.0.1"),
])
def test_proxy_headers(start, header, address):
    daemon = trusting(start, handshakes_per_second=1_000_000)
    connection, response = upgrade(daemon, header)
    assert response.status == 101
    shown = clients(daemon)[0]["address"]
    assert shown == address or address == "127.0.0.1" and shown.startswith("127.0.0.1:")
    connection.sock.close()
    for cut in range(1, len(header) + 3):
        assert through(daemon, header, cuts=[cut]).status == 200, cut
    assert through(daemon, header, cuts=range(1, len(header) + 1)).status == 200
    # Who comes through a proxy is not on this machine, whatever the header says.
    admin = b"GET /admin/ws/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert through(daemon, header, admin).status == 403
    assert through(daemon, v2("127.0.0.1"), admin).status == 403
    assert not stats(daemon)["refused"]["proxy_header"]


def test_proxy_headers_of_others_and_bad_ones(start):
    daemon = trusting(start)
    good = b"PROXY TCP4 203.0.113.5 127.0.0.1 50000 8080\r\n"
    for header in (good, v2("203.0.113.5")):
        response = through(daemon, header, source="127.0.0.2")
        assert response.status == 400 and "not among server.trusted_proxies" in response.json["error"]
    for header in (b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b"x" * 120, SIGNATURE + b"\x31\x11\0\x0c" + b"x" * 12, SIGNATURE + b"\x21\x11\xff\xff"):
        assert through(daemon, header).status == 400
    # Once per connection.
    assert through(daemon, good + good).status == 400
    assert stats(daemon)["refused"]["proxy_header"] == 6
    assert through(daemon, b"").status == 200
    # One that never ends is ended with the time for a head.
    with Connection(daemon.port) as connection:
        connection.send(b"PROXY TCP4 203")
        started = time.monotonic()
        with pytest.raises(NoResponse):
            response = connection.receive()
            assert response.status == 408
            raise NoResponse
        assert time.monotonic() - started < 20


def over_tls(daemon, header, cuts=(), inside=b"", source="127.0.0.1"):
    """Asks for the version over TLS, with `header` before the hello, cut in places."""
    with socket.create_connection(("127.0.0.1", daemon.tls_port), 20, (source, 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in zip([0, *cuts], [*cuts, len(header)]):
            sock.sendall(header[start:end])
            time.sleep(0.002 if cuts else 0)
        secret = context().wrap_socket(sock)
        secret.sendall(inside + b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return secret.recv(1000)


def test_proxy_headers_before_tls(start, tmp_path):
    certificate = Certificates(tmp_path / "certificates").make("server")
    daemon = start(merge(TRUSTED, merge(tls_settings(certificate), {"limits": {"handshakes_per_second": 1_000_000}})))
    header = b"PROXY TCP4 203.0.113.5 127.0.0.1 50000 8080\r\n"
    for good in (header, v2("203.0.113.5", extra=b"\x04\x01\0" + b"x" * 256), b"PROXY UNKNOWN\r\n", b""):
        assert over_tls(daemon, good).startswith(b"HTTP/1.1 200"), good
    for cut in (1, 5, 20, len(header) - 1):
        assert over_tls(daemon, header, cuts=[cut]).startswith(b"HTTP/1.1 200"), cut
    # Whose connection it is.
    with socket.create_connection(("127.0.0.1", daemon.tls_port), 20) as sock:
        sock.sendall(header)
        secret = context().wrap_socket(sock)
        secret.sendall(b"GET /ws/logs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: test\r\n\r\n")
        assert secret.recv(1000).startswith(b"HTTP/1.1 101")
        assert [client["address"] for client in clients(daemon)] == ["203.0.113.5:50000"]
        secret.close()
    # Within TLS it is the client's own word: no request, and nobody's address.
    for inside in (header, v2("203.0.113.5")):
        assert over_tls(daemon, b"", inside=inside).startswith(b"HTTP/1.1 400")
        assert over_tls(daemon, header, inside=inside).startswith(b"HTTP/1.1 400")
    assert not stats(daemon)["refused"]["proxy_header"]

    def plainly(words, source="127.0.0.1"):
        with socket.create_connection(("127.0.0.1", daemon.tls_port), 20, (source, 0)) as sock:
            sock.sendall(words)
            answer = b""
            while part := sock.recv(4096):
                answer += part
            return answer

    # From elsewhere, malformed, twice, or before a request without TLS: an answer without TLS.
    for foreign in (header, v2("203.0.113.5")):
        assert b"not among server.trusted_proxies" in plainly(foreign, "127.0.0.2")
    assert plainly(b"PROXY TCP4 x y 1 2\r\n").startswith(b"HTTP/1.1 400")
    assert stats(daemon)["refused"]["proxy_header"] == 3
    for words in (header + header, header + b"GET / HTTP/1.1\r\n\r\n"):
        assert b"this port speaks TLS" in plainly(words)
    assert over_tls(daemon, header).startswith(b"HTTP/1.1 200")


def test_limits_by_proxy_headers_before_tls(start, tmp_path):
    certificate = Certificates(tmp_path / "certificates").make("server")
    daemon = start(merge(TRUSTED, merge(tls_settings(certificate), {"limits": {"connections_per_address": 1}})))
    held = socket.create_connection(("127.0.0.1", daemon.tls_port), 20)
    held.sendall(v2("203.0.113.5"))
    secret = context().wrap_socket(held)
    with socket.create_connection(("127.0.0.1", daemon.tls_port), 20) as sock:
        sock.sendall(v2("203.0.113.5") + b"\x16\x03\x01")
        answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 429") and b"Retry-After" in answer
    assert over_tls(daemon, v2("203.0.113.6")).startswith(b"HTTP/1.1 200")
    assert stats(daemon)["refused"]["connections_per_address"] == 1
    secret.close()


def test_limits_by_proxy_headers(start):
    daemon = trusting(start, connections_per_address=2)
    held = [upgrade(daemon, v2("203.0.113.5")) for _ in range(2)]
    assert [response.status for _, response in held] == [101, 101]
    response = upgrade(daemon, v2("203.0.113.5"))[1]
    assert response.status == 429 and response.header("retry-after") == "5"
    assert upgrade(daemon, v2("203.0.113.6"), from_address("203.0.113.5"))[1].status == 101, "its client's word does not count"
    # A chain: the header names a proxy that is trusted too, and that one's word is in the request.
    reload(daemon, {"server": {"trusted_proxies": Literal("[127.0.0.1/32, 10.0.0.0/8]")}})
    assert upgrade(daemon, v2("10.1.1.1"), from_address("203.0.113.5"))[1].status == 429
    assert upgrade(daemon, v2("10.1.1.1"), from_address("203.0.113.7"))[1].status == 101
    for connection, _ in held:
        connection.sock.close()


def test_bytes_of_a_client(start):
    daemon = start({"limits": {"bytes_per_second": 65536, "messages_per_second": 1_000_000}, "websocket": {"max_message_bytes": 4096}})
    with WebSocket(daemon.port, "/ws/logs") as good, WebSocket(daemon.port, "/ws/logs") as flooder:
        good.send(json.dumps({"type": "ping", "x": "y" * 4000}))
        assert good.receive()["type"] == "pong"
        message = encode(1, json.dumps({"type": "pong", "x": "y" * 4000}))
        # More than an allowance of one second on either side of its turn.
        flooder.sock.sendall(message * 20)
        time.sleep(0.05)
        flooder.sock.sendall(message * 20)
        assert flooder.receive_close()[1] == 4013
        publish(daemon.port, "logs", "log", {"message": "on"})
        assert good.receive()["data"]["message"] == "on"
    assert get(daemon.port, "/admin/ws/stats").json["refused"]["bytes_per_second"] == 1


def test_pings_of_a_client(start):
    daemon = start({"limits": {"messages_per_second": 20}})
    with WebSocket(daemon.port, "/ws/logs") as flooder:
        flooder.sock.sendall(encode(PING, b"x") * 100)
        assert flooder.receive_close()[1] == 4013
    assert get(daemon.port, "/admin/ws/stats").json["refused"]["messages_per_second"] == 1
