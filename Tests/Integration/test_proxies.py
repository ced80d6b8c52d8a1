"""Behind the proxies of docs/PROXIES.md, configured as that document says."""

import json
import os
import subprocess
import threading

import pytest
from support.daemon import Literal, die_with_parent, merge, wait_until
from support.http import Connection, request
from support.proxies import Caddy, HAProxy, Nginx, replaced, snippets
from support.tls import Certificates, context, free_port
from support.tls import settings as tls_settings
from support.ws import PING, Closed, Refused, WebSocket

NAME = "ws.example"
# Which of the blocks of its language, below which path; whether the daemon itself ends TLS; and what the text beside the block changes in it.
CASES = {
    "nginx": (Nginx, "nginx", 0, "", False), "nginx below a path": (Nginx, "nginx", 1, "/live", False),
    "caddy": (Caddy, "caddyfile", 0, "", False), "caddy below a path": (Caddy, "caddyfile", 1, "/live", False),
    "haproxy": (HAProxy, "haproxy", 0, "", False), "haproxy below a path": (HAProxy, "haproxy", 1, "/live", False),
    "haproxy by the PROXY protocol": (HAProxy, "haproxy", 2, "", True),
    "haproxy by the PROXY protocol, without TLS": (HAProxy, "haproxy", 0, "", False, {"    option forwardfor\n": "", "8090\n": "8090 send-proxy-v2\n"}),
}
CLIENT = "127.0.0.9"


class Named:
    """TLS to a server of this name."""

    def wrap_socket(self, sock, server_hostname):
        return context().wrap_socket(sock, server_hostname=NAME)


def test_each_snippet_has_its_case():
    for language in ("nginx", "caddyfile", "haproxy"):
        assert sorted({number for _, of, number, *_ in CASES.values() if of == language}) == list(range(len(snippets(language))))
    assert len(snippets("yaml")) == 1


class Site:
    """A daemon with the settings of the document, and a proxy before it."""

    def __init__(self, start, tmp_path, case, heartbeat, patience):
        kind, language, number, self.prefix, self.ends_tls, *changes = CASES[case]
        certificate = Certificates(tmp_path / "certificates").make("server", common_name=NAME)
        # Written as JSON strings in the document's own words; YAML reads both alike.
        lines = dict(line.strip().split(": ", 1) for line in snippets("yaml")[0].splitlines()[1:])
        assert set(lines) == {"port", "public_url", "trusted_proxies"}
        settings = {"server": {"public_url": Literal(lines["public_url"]), "trusted_proxies": Literal(lines["trusted_proxies"])},
                    "websocket": {"heartbeat_interval": Literal(heartbeat), "client_timeout": Literal("2h")}}
        if self.ends_tls:
            settings = merge(settings, tls_settings(certificate))
        self.daemon = start(settings)
        back = {"127.0.0.1:8443": f"127.0.0.1:{self.daemon.tls_port}"} if self.ends_tls else {f"127.0.0.1:{lines['port']}": f"127.0.0.1:{self.daemon.port}"}
        snippet = replaced(replaced(snippets(language)[number], *changes or [{}]), back)
        self.proxy = kind(tmp_path / "proxy", snippet, free_port(), certificate, patience)

    def __enter__(self):
        self.proxy.__enter__()
        return self

    def __exit__(self, *problem):
        self.proxy.__exit__(*problem)

    def socket(self, path="/ws/logs", headers=(), **options):
        return WebSocket(self.proxy.port, self.prefix + path, headers=headers, host=NAME, tls=Named(), source=CLIENT, **options)

    def ask(self, method, path, headers=(), body=None):
        with Connection(self.proxy.port, source=CLIENT, tls=Named()) as connection:
            return connection.request(method, path, [("Host", NAME), *headers], body)

    def directly(self, method, path, body=None):
        """From this machine, and not from the proxy's address."""
        return request(self.daemon.port, method, path, [], body, source="127.0.0.2")

    def publish(self, number):
        body = json.dumps({"channel": "logs", "type": "note", "data": {"n": number}}).encode()
        assert self.directly("POST", "/admin/ws/broadcast", body).status == 200


class Stream:
    """curl with a stream of events, by whatever version of HTTP it and the proxy agree upon. Use as a context manager."""

    def __init__(self, site, path):
        self.seen = b""
        self.process = subprocess.Popen(
            ["curl", "--silent", "--show-error", "--no-buffer", "--insecure", "--noproxy", "*", "--interface", CLIENT,
             "--resolve", f"{NAME}:{site.proxy.port}:127.0.0.1", f"https://{NAME}:{site.proxy.port}{site.prefix}{path}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.seen += data

    def wait_for(self, words, count=1):
        wait_until(lambda: self.seen.count(words) >= count, lambda: f"{words} in {self.seen[-1000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()


@pytest.mark.parametrize("case", CASES)
def test_behind(start, tmp_path, case):
    with Site(start, tmp_path, case, heartbeat="1s", patience="2s") as site:
        with site.socket(headers=[("Origin", f"https://{NAME}"), ("X-Forwarded-For", "203.0.113.6")]) as client:
            site.publish(1)
            assert client.receive()["data"] == {"n": 1}
            client.send({"type": "ping", "id": 1})
            assert client.receive()["id"] == 1
            # Its own address, and not the one that it claims to have.
            (found,) = site.directly("GET", "/admin/ws/clients").json["clients"]
            assert found["address"].partition(":")[0] == CLIENT, found
            # Whose page it is.
            for origin, status in ((f"https://{NAME}", 101), ("https://evil.example", 403), (f"https://{NAME}:8443", 403)):
                try:
                    with site.socket(headers=[("Origin", origin)]) as other:
                        assert other.response.status == status, origin
                except Refused as refused:
                    assert refused.response.status == status, (origin, refused)
            # What is for operators, in any spelling; and other addresses. Without HTTP the proxy cannot tell, and the daemon refuses.
            assert site.ask("GET", site.prefix + "/admin/ws/stats").status == (403 if site.ends_tls else 404)
            for path in ("/admin/ws/clients", "//admin/ws/stats", "/%61dmin/ws/stats", "/./admin/ws/stats", "/x/../admin/ws/stats"):
                assert site.ask("GET", site.prefix + path).status in (400, 403, 404), path
            assert site.ask("GET", site.prefix + "/health").json == {"status": "ok"}
            answer = site.ask("GET", site.prefix + "/asyncapi.yaml")
            assert answer.status == 200 and answer.body.startswith(b"#") and answer.header("etag")
            assert site.ask("GET", site.prefix + "/metrics").status == 403
            assert site.ask("GET", site.prefix + "/ws/logs").status == 426
            if site.prefix:
                answer = site.ask("GET", site.prefix)
                assert answer.status in (301, 302) and answer.header("location").endswith("/live/"), answer
                # Beside the path the daemon is not to be reached. Caddy's answer to what nobody handles is an empty one.
                assert b"ok" not in site.ask("GET", "/health").body
            # Nothing but pings and heartbeats for longer than the proxy's patience; and an event of a stream comes at once.
            with Stream(site, "/sse/logs") as stream:
                stream.wait_for(b"retry: ")
                pings = 0
                while pings < 3:
                    opcode, payload = client.receive_frame()
                    assert opcode == PING, opcode
                    client.send_frame(10, payload)
                    pings += 1
                stream.wait_for(b": heartbeat", 3)
                site.publish(2)
                assert client.receive()["data"] == {"n": 2}
                stream.wait_for(b'"data":{"n":2}')
            site.proxy.reload()
            if site.proxy.keeps_connections:
                site.publish(3)
                assert client.receive()["data"] == {"n": 3}
            else:
                with pytest.raises(Closed):
                    client.receive()
                # It says 1001 to both sides, to the daemon without a mask. What that is answered with may be quicker at the client.
                assert client.close is None or client.close[0] in (1001, 1002), client.close
        with site.socket() as client:
            wait_until(lambda: any(one["channels"] == ["logs"] for one in site.directly("GET", "/admin/ws/clients").json["clients"]), "it is there")
            site.publish(4)
            assert client.receive()["data"] == {"n": 4}


@pytest.mark.parametrize("case", ["nginx", "haproxy", "haproxy by the PROXY protocol"])
def test_without_pings_the_proxy_cuts(start, tmp_path, case):
    """What the heartbeat is for, and that the test above can tell."""
    with Site(start, tmp_path, case, heartbeat="1h", patience="1s") as site:
        with site.socket() as client:
            with pytest.raises(Closed):
                client.receive()
