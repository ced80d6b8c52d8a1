"""HTTP as it should be: addresses, methods, statuses, connections that stay, and who may ask."""

import json
import re

import pytest
from support.daemon import Literal, wait_until
from support.http import Connection, get, request, request_bytes
from support.ws import Refused, WebSocket

UPGRADE = [
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


def but(name, value):
    """The upgrade headers with one of them changed (None: left out)."""
    return [(n, value if n == name else v) for n, v in UPGRADE if not (n == name and value is None)]


def test_health(daemon):
    answer = get(daemon.port, "/health")
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("application/json")
    assert isinstance(answer.json, dict)


def test_version(daemon):
    answer = get(daemon.port, "/version")
    assert answer.status == 200
    assert answer.json["name"] == "goleapai-ws"
    assert answer.json["version"]
    assert any("swift" in key.lower() for key in answer.json)


def test_ready_names_every_source_and_why_it_fails(start):
    running = start({"database": {"connection": "/nonexistent/gateway.db"},
                     "sources": {"stats": {"enabled": True}, "requests": {"enabled": True}}})
    assert get(running.port, "/ready").status == 503
    # They are looked at by threads of their own.
    wait_until(lambda: get(running.port, "/ready").body.count(b"/nonexistent/gateway.db") == 2, "both say why")
    assert get(running.port, "/ready").status == 503
    # Serving goes on without its sources.
    assert get(running.port, "/health").status == 200


def test_ready_of_one_source(start, tmp_path):
    from support.gateway import Gateway

    database = tmp_path / "gateway.db"
    Gateway(database).close()
    running = start({"database": {"connection": str(database)}, "sources": {"requests": {"enabled": True}}})
    wait_until(lambda: get(running.port, "/ready").status == 200, "ready")
    assert get(running.port, "/ready?source=requests").status == 200
    assert get(running.port, "/ready?source=database").status == 200
    for wrong in ("/ready?source=nonsense", "/ready?source=", "/ready?sauce=requests"):
        answer = get(running.port, wrong)
        assert answer.status in (400, 404) and answer.json["error"], wrong


@pytest.mark.parametrize("path", ["/health", "/ready", "/version", "/admin/ws/stats", "/admin/ws/clients"])
def test_head_is_get_without_a_body(daemon, path):
    whole = get(daemon.port, path)
    with Connection(daemon.port) as connection:
        head = connection.request("HEAD", path)
        assert head.status == whole.status
        assert head.body == b""
        assert head.header("Content-Length") is not None
        # A body after HEAD would be read as the next answer's head.
        assert connection.request("GET", "/health").status == 200


@pytest.mark.parametrize("path", ["/nothing", "/ws/nothing", "/ws/logs/", "/admin", "/admin/ws", "/WS/logs", "/healthz", "/ws/../health"])
def test_unknown_paths(daemon, path):
    answer = get(daemon.port, path)
    assert answer.status == 404
    assert set(answer.json) == {"error"} and answer.json["error"]


@pytest.mark.parametrize(
    "method,path,allowed",
    [
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/version", {"GET", "HEAD"}),
        ("PUT", "/ready", {"GET", "HEAD"}),
        ("GET", "/admin/ws/broadcast", {"POST"}),
        ("PUT", "/admin/ws/broadcast", {"POST"}),
        ("POST", "/admin/ws/stats", {"GET", "HEAD"}),
        ("PATCH", "/admin/ws/clients", {"GET", "HEAD"}),
        ("GET", "/admin/ws/clients/1", {"DELETE"}),
        ("POST", "/ws/logs", {"GET"}),
        ("DELETE", "/ws", {"GET"}),
    ],
)
def test_wrong_methods(daemon, method, path, allowed):
    answer = request(daemon.port, method, path, body=b"" if method != "GET" else None)
    assert answer.status == 405
    named = {part.strip() for part in answer.header("Allow").split(",")}
    assert allowed <= named and method not in named, answer
    assert answer.json["error"]


@pytest.mark.parametrize("path", ["/ws", "/ws/logs", "/ws/stats", "/ws/providers", "/ws/requests", "/ws/all"])
def test_a_websocket_path_without_upgrade_is_426(daemon, path):
    answer = get(daemon.port, path)
    assert answer.status == 426
    assert answer.header("Sec-WebSocket-Version") == "13"
    assert answer.json["error"]


@pytest.mark.parametrize("version", ["8", "12", "14", "0", "013", "13, 8", "x", ""])
def test_other_protocol_versions_are_426(daemon, version):
    answer = get(daemon.port, "/ws", but("Sec-WebSocket-Version", version))
    assert answer.status in (400, 426)
    if answer.status == 426:
        assert answer.header("Sec-WebSocket-Version") == "13"


@pytest.mark.parametrize(
    "headers",
    [but("Sec-WebSocket-Key", None), but("Sec-WebSocket-Key", ""), but("Sec-WebSocket-Key", "a b"),
     but("Sec-WebSocket-Key", "k" * 5000)],
    ids=["no key", "empty key", "blank in key", "long key"])
def test_handshake_without_a_usable_key(daemon, headers):
    assert get(daemon.port, "/ws", headers).status == 400


def test_handshake_forms_that_are_allowed(daemon):
    forms = {
        "several tokens": but("Connection", "keep-alive, Upgrade"),
        "case": [(n.upper(), v) for n, v in but("Upgrade", "WebSocket")],
        "lower case": [(n.lower(), v) for n, v in but("Connection", "upgrade")],
        "two Connection lines": [("Connection", "keep-alive"), *UPGRADE],
        "protocol list": but("Upgrade", "h2c, websocket"),
        "any key": but("Sec-WebSocket-Key", "test"),
        "unknown extension": [*UPGRADE, ("Sec-WebSocket-Extensions", "x-unknown; a=1, permessage-foo")],
    }
    for name, headers in forms.items():
        with Connection(daemon.port) as connection:
            answer = connection.request("GET", "/ws", headers)
            assert answer.status == 101, (name, answer)
            assert answer.header("Upgrade").lower() == "websocket"
            assert answer.header("Connection").lower() == "upgrade"
            assert answer.header("Sec-WebSocket-Accept")


def test_accept_value_of_the_rfc(daemon):
    # RFC 6455 §1.3
    with WebSocket(daemon.port) as client:
        assert client.response.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_unknown_subprotocols_are_refused(daemon):
    with pytest.raises(Refused) as refused:
        WebSocket(daemon.port, headers=[("Sec-WebSocket-Protocol", "mqtt, graphql-ws")])
    assert refused.value.response.status == 400
    with WebSocket(daemon.port, headers=[("Sec-WebSocket-Protocol", "mqtt, goleapai.v1.json")]) as client:
        assert client.response.header("Sec-WebSocket-Protocol") == "goleapai.v1.json"
    with WebSocket(daemon.port) as client:
        assert client.response.header("Sec-WebSocket-Protocol") is None


def test_no_extension_is_agreed_that_was_not_offered(daemon):
    with WebSocket(daemon.port) as client:
        assert client.response.header("Sec-WebSocket-Extensions") is None


def test_one_connection_serves_many_requests(daemon):
    with Connection(daemon.port) as connection:
        for _ in range(20):
            assert connection.request("GET", "/health").status == 200
            assert connection.request("GET", "/nothing").status == 404
            assert connection.request("DELETE", "/health").status == 405
            assert connection.request(
                "POST", "/admin/ws/broadcast", body=b'{"channel":"logs","type":"note","data":{}}').status == 200


def test_pipelined_requests_are_answered_in_order(daemon):
    with Connection(daemon.port) as connection:
        paths = ["/health", "/nothing", "/version", "/ws/logs", "/health", "/admin/ws/stats"] * 5
        connection.send(b"".join(request_bytes(daemon.port, "GET", path) for path in paths))
        statuses = [connection.receive().status for _ in paths]
        assert statuses == [200, 404, 200, 426, 200, 200] * 5


def test_a_request_byte_by_byte(daemon):
    with Connection(daemon.port) as connection:
        for byte in request_bytes(daemon.port, "GET", "/health", [("X-Slow", "yes")]):
            connection.send(bytes([byte]))
        assert connection.receive().status == 200


def test_a_body_cut_anywhere(daemon):
    body = json.dumps({"channel": "logs", "type": "log", "data": {"message": "cut"}}).encode()
    whole = request_bytes(daemon.port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json")], body)
    chunked = request_bytes(
        daemon.port, "POST", "/admin/ws/broadcast",
        [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
    ) + b"5;ext=\"v\"\r\n" + body[:5] + b"\r\n" + b"%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
    for message in (whole, chunked):
        for cut in range(1, len(message), 7):
            with Connection(daemon.port) as connection:
                connection.send(message[:cut])
                connection.send(message[cut:])
                answer = connection.receive()
                assert answer.status == 200, (cut, answer)


def test_expect_continue(daemon):
    body = json.dumps({"channel": "logs", "type": "log", "data": {}}).encode()
    with Connection(daemon.port) as connection:
        connection.send(request_bytes(daemon.port, "POST", "/admin/ws/broadcast", [
            ("Expect", "100-continue"), ("Content-Length", str(len(body)))]))
        assert connection.receive().status == 100
        connection.send(body)
        assert connection.receive().status == 200


def test_connection_close_is_obeyed(daemon):
    with Connection(daemon.port) as connection:
        connection.send(request_bytes(daemon.port, "GET", "/health", [("Connection", "close")]))
        answers = connection.responses_until_end()
        assert [a.status for a in answers] == [200]
        assert answers[0].header("Connection").lower() == "close"


def test_http_1_0_is_answered_and_closed(daemon):
    with Connection(daemon.port) as connection:
        connection.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert [a.status for a in connection.responses_until_end()] == [200]


def test_half_closed_by_the_client_is_still_answered(daemon):
    import socket

    with Connection(daemon.port) as connection:
        connection.send(request_bytes(daemon.port, "GET", "/version"))
        connection.sock.shutdown(socket.SHUT_WR)
        assert [a.status for a in connection.responses_until_end()] == [200]


def test_absolute_form(daemon):
    with Connection(daemon.port) as connection:
        connection.send(f"GET http://127.0.0.1:{daemon.port}/health HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n\r\n".encode())
        assert connection.receive().status == 200


# Host and Origin, where nobody is asked for credentials: no page of another site may reach the daemon, not even by a
# name that its owner points to 127.0.0.1.


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:{port}", "localhost", "localhost:{port}", "LOCALHOST:{port}",
                                  "[::1]:{port}", "192.0.2.7:{port}"])
def test_hosts_that_are_served(daemon, host):
    assert get(daemon.port, "/health", [("Host", host.format(port=daemon.port))]).status == 200
    assert get(daemon.port, "/admin/ws/stats", [("Host", host.format(port=daemon.port))]).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example:{port}"])
@pytest.mark.parametrize("path,headers", [("/ws/logs", UPGRADE), ("/admin/ws/stats", [])])
def test_hosts_that_are_refused(daemon, host, path, headers):
    name = host.format(port=daemon.port)
    answer = get(daemon.port, path, [("Host", name), *headers])
    assert answer.status == 403
    # The refusal says what came and which line of the configuration would allow it.
    assert "evil.example" in answer.json["error"]
    assert "public_url" in answer.json["error"] or "allowed_origins" in answer.json["error"]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", "http://127.0.0.1:{port}"])
def test_own_origin_is_served(daemon, origin):
    with WebSocket(daemon.port, "/ws", [("Origin", origin.format(port=daemon.port))]):
        pass


def test_own_origin_by_name(daemon):
    origin = f"http://localhost:{daemon.port}"
    with WebSocket(daemon.port, "/ws", [("Origin", origin)], host=f"localhost:{daemon.port}"):
        pass


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1", "http://127.0.0.1.evil.example:{port}",
                                    "file://", "garbage", "http://localhost:{port}x"])
@pytest.mark.parametrize("path,headers", [("/ws/logs", UPGRADE), ("/ws", UPGRADE)])
def test_foreign_origins_are_refused(daemon, origin, path, headers):
    name = origin.format(port=daemon.port)
    answer = get(daemon.port, path, [("Origin", name), *headers])
    assert answer.status == 403
    assert name in answer.json["error"]
    assert "allowed_origins" in answer.json["error"]


def test_foreign_origins_cannot_publish(daemon):
    body = b'{"channel":"logs","type":"log","data":{}}'
    answer = request(daemon.port, "POST", "/admin/ws/broadcast", [("Origin", "http://evil.example")], body)
    assert answer.status == 403


def test_allowed_origins(start):
    running = start({"server": {"allowed_origins": ["https://dash.example"]}})
    with WebSocket(running.port, "/ws", [("Origin", "https://dash.example")]):
        pass
    with WebSocket(running.port, "/ws", [("Origin", "https://DASH.example:443")]):
        pass
    with WebSocket(running.port, "/ws", host="dash.example"):
        pass
    for origin in ("http://dash.example", "https://dash.example:8443", "https://sub.dash.example", "https://dash.example.evil.example"):
        with pytest.raises(Refused) as refused:
            WebSocket(running.port, "/ws", [("Origin", origin)])
        assert refused.value.response.status == 403, origin


def test_listed_origins_do_not_get_to_admin(start):
    """A page can POST without asking first and without reading the answer; a site that may look on is not one that may publish."""
    running = start({"server": {"allowed_origins": ["https://dash.example", "*"], "public_url": "https://live.example"}})
    body = b'{"channel":"logs","type":"log","data":{}}'
    for origin, status in (("https://dash.example", 403), ("https://evil.example", 403), ("null", 403), ("https://live.example", 200)):
        answer = request(running.port, "POST", "/admin/ws/broadcast", [("Origin", origin), ("Content-Type", "text/plain")], body)
        assert answer.status == status, origin
        assert answer.header("Access-Control-Allow-Origin") is None
    assert get(running.port, "/health", [("Origin", "https://dash.example")]).header("Access-Control-Allow-Origin") == "https://dash.example"


def test_the_operator_is_told_who_was_refused_and_what_would_let_them_in(start):
    running = start({"server": {"allowed_origins": ["https://dash.example"], "public_url": "https://live.example"}, "log": {"format": "json"}})
    for fields in ([("Origin", "https://other.example:8443")], [("Host", "here.example:8080")], [("Origin", "x\xe4'\"; null")]):
        answer = get(running.port, "/ws/logs", fields)
        # Whoever asks hears nothing of what is configured.
        assert answer.status == 403 and "dash.example" not in answer.json["error"] and "live.example" not in answer.json["error"]
    running.wait_for_log("x.*null")
    page, name, odd = [entry for entry in map(json.loads, running.log()) if entry.get("event") == "origin-refused"]
    assert page["message_id"] and page["level"] == "warn" and page["remote_addr"] == "127.0.0.1"
    assert page["origin"] == "https://other.example:8443" and page["setting"] == "server.allowed_origins"
    assert page["remedy"] == "server.allowed_origins: [https://dash.example, https://other.example:8443]" and page["remedy"] in page["message"]
    assert page["accepted"] == f"http://127.0.0.1:{running.port}, https://127.0.0.1:{running.port}, https://live.example, https://dash.example"
    assert name["host"] == "here.example:8080" and name["accepted"] == "IP addresses, localhost, dash.example, live.example"
    assert name["remedy"] == "server.public_url: http://here.example:8080"
    assert "remedy" not in odd and "cannot be listed" in odd["message"]
    assert {kind: get(running.port, "/admin/ws/stats").json["refused"][kind] for kind in ("origin", "host")} == {"origin": 2, "host": 1}


def test_the_line_that_a_refusal_names_lets_the_page_in(start):
    running = start({"log": {"format": "json"}})
    get(running.port, "/ws", [("Origin", "HTTP://Other.example:80")])
    running.wait_for_log("origin-refused")
    key, _, value = next(entry["remedy"] for entry in map(json.loads, running.log()) if entry.get("event") == "origin-refused").partition(": ")
    assert key == "server.allowed_origins"
    again = start({"server": {"allowed_origins": Literal(value)}})
    with WebSocket(again.port, "/ws", [("Origin", "http://other.example")]):
        pass


def test_a_flood_of_refused_pages_does_not_fill_the_log(start):
    running = start()
    with Connection(running.port) as connection:
        for number in range(500):
            assert connection.request("GET", "/health", [("Origin", f"http://evil{number}.example")]).status == 403
    assert get(running.port, "/admin/ws/stats").json["refused"]["origin"] == 500
    running.stop()
    assert len([line for line in running.log() if "is refused, asked for" in line]) < 250
    assert any(re.search(r"warn \d+ more like this were left out: the Origin", line) for line in running.log())


@pytest.mark.parametrize("header", [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1"), ("X-Real-IP", "192.0.2.1"),
                                    ("Via", "1.1 proxy"), ("X-Forwarded-Host", "x")])
def test_admin_is_not_for_what_comes_through_a_proxy(daemon, header):
    assert get(daemon.port, "/admin/ws/stats", [header]).status in (401, 403)
    body = b'{"channel":"logs","type":"log","data":{}}'
    assert request(daemon.port, "POST", "/admin/ws/broadcast", [header], body).status in (401, 403)
    assert get(daemon.port, "/health", [header]).status == 200


def test_admin_is_not_for_http_1_0(daemon):
    with Connection(daemon.port) as connection:
        connection.send(f"GET /admin/ws/stats HTTP/1.0\r\nHost: 127.0.0.1:{daemon.port}\r\n\r\n".encode())
        assert connection.receive().status in (401, 403)
