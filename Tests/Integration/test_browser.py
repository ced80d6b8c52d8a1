"""What web pages can do to the daemon in a real browser: those of other sites nothing, whatever a page can send; listed ones and its own what they should."""

import http.server
import json
import re
import threading

import pytest
from support.browser import Browser
from support.daemon import wait_until
from support.http import get, publish, request
from support.tokens import SECRET, Accounts, token
from support.ws import WebSocket

NAMES = {"evil.example": "127.0.0.1", "dash.example": "127.0.0.1", "rebind.example": "127.0.0.1"}
EVENT = json.dumps({"channel": "logs", "type": "log", "data": {"message": "published by a page"}})

# What a page can try. Each attempt comes to an end by itself or by `limit`, and says in a word or two what it came to.
LIBRARY = r"""
const limit = (promise) => Promise.race([promise, new Promise((done) => setTimeout(() => done('nothing came of it'), 60000))]);
const socket = (url, protocols) => limit(new Promise((done) => {
    const ws = new WebSocket(url, protocols);
    ws.onopen = () => { done('opened'); ws.close(); };
    ws.onclose = (event) => done('closed ' + event.code);
}));
const ask = (url, options) => limit(fetch(url, options).then(
    async (answer) => answer.type === 'opaque' ? 'opaque' : 'read ' + answer.status + ' ' + await answer.text(), (error) => error.name));
const xhr = (method, url, body, credentials) => limit(new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.withCredentials = !!credentials;
    request.onload = () => done('read ' + request.status + ' ' + request.responseText);
    request.onerror = () => done('error');
    request.send(body);
}));
const source = (url) => limit(new Promise((done) => {
    const events = new EventSource(url);
    events.onopen = () => { done('opened'); events.close(); };
    events.onerror = () => { done('error'); events.close(); };
}));
const framed = (begin) => limit(new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.name = 'frame' + Math.random();
    frame.onload = () => {
        try { if (frame.contentWindow.location.href === 'about:blank') return; } catch {}
        try { done('read ' + frame.contentDocument.body.textContent); } catch { done('unreadable'); }
    };
    document.body.append(frame);
    begin(frame);
}));
const frame = (url) => framed((frame) => { frame.src = url; });
const form = (url, encoding, text) => framed((frame) => {
    const form = document.createElement('form');
    Object.assign(form, {method: 'POST', action: url, enctype: encoding, target: frame.name});
    const input = document.createElement('input');
    // As text/plain, name and value are written with an equals sign between: that of a member's text.
    [input.name, input.value] = [text.slice(0, -3) + '=', text.slice(-3)];
    form.append(input);
    document.body.append(form);
    form.submit();
});
const element = (name, url) => limit(new Promise((done) => {
    const one = document.createElement(name);
    one.onload = () => done('loaded');
    one.onerror = () => done('error');
    one.src = url;
    document.body.append(one);
}));
const attempts = (all) => Promise.all(Object.entries(all).map(async ([name, begin]) => {
    try { return [name, await begin()]; } catch (error) { return [name, 'threw ' + error.name]; }
})).then(Object.fromEntries);
"""

ATTACK = r"""attempts({
    'socket': () => socket('ws://HERE/ws/all'),
    'socket by name': () => socket('ws://localhost:PORT/ws/logs'),
    'socket by 0.0.0.0': () => socket('ws://0.0.0.0:PORT/ws/all'),
    'socket by a name of ours': () => socket('ws://evil.example:PORT/ws/all'),
    'socket with a token': () => socket('ws://HERE/ws/all', ['goleapai.v1.json', 'bearer.TOKEN']),
    'socket with a token in the address': () => socket('ws://HERE/ws/all?token=TOKEN'),
    'socket with a ticket': () => socket('ws://HERE/ws/all?ticket=TICKET'),
    'socket that says who it is later': () => socket('ws://HERE/ws/all?auth=message'),
    'cors': () => ask('http://HERE/admin/ws/stats'),
    'cors with credentials': () => ask('http://HERE/admin/ws/clients', {credentials: 'include'}),
    'cors with a token': () => ask('http://HERE/admin/ws/stats', {headers: {Authorization: 'Bearer TOKEN'}}),
    'no-cors': () => ask('http://HERE/admin/ws/stats', {mode: 'no-cors', credentials: 'include'}),
    'metrics': () => ask('http://HERE/metrics'),
    'ready': () => ask('http://HERE/ready'),
    'health': () => ask('http://HERE/health'),
    'version': () => xhr('GET', 'http://HERE/version'),
    'xhr': () => xhr('GET', 'http://HERE/admin/ws/stats'),
    'xhr with credentials': () => xhr('GET', 'http://HERE/admin/ws/stats', null, true),
    'ticket': () => ask('http://HERE/ws/ticket', {method: 'POST'}),
    'ticket with a token': () => ask('http://HERE/ws/ticket', {method: 'POST', headers: {Authorization: 'Bearer TOKEN'}}),
    'events': () => source('http://HERE/sse/all'),
    'events of a socket': () => source('http://HERE/ws/all'),
    'frame': () => frame('http://HERE/admin/ws/stats'),
    'image': () => element('img', 'http://HERE/admin/ws/stats'),
    'delete': () => ask('http://HERE/admin/ws/clients/1', {method: 'DELETE'}),
    'publish': () => ask('http://HERE/admin/ws/broadcast', {method: 'POST', body: EVENT}),
    'publish as JSON': () => ask('http://HERE/admin/ws/broadcast', {method: 'POST', body: EVENT, headers: {'Content-Type': 'application/json'}}),
    'publish without cors': () => ask('http://HERE/admin/ws/broadcast', {method: 'POST', body: EVENT, mode: 'no-cors'}),
    'publish without cors, with credentials': () => ask('http://HERE/admin/ws/broadcast', {method: 'POST', body: EVENT, mode: 'no-cors', credentials: 'include'}),
    'publish without a referrer': () => ask('http://HERE/admin/ws/broadcast', {method: 'POST', body: EVENT, mode: 'no-cors', referrerPolicy: 'no-referrer'}),
    'publish while leaving': () => ask('http://HERE/admin/ws/broadcast', {method: 'POST', body: EVENT, mode: 'no-cors', keepalive: true}),
    'publish by a redirect': () => ask('http://evil.example:AWAY/redirect', {method: 'POST', body: EVENT, mode: 'no-cors'}),
    'publish by xhr': () => xhr('POST', 'http://HERE/admin/ws/broadcast', EVENT),
    'publish by a form': () => form('http://HERE/admin/ws/broadcast', 'text/plain', EVENT),
    'publish by an encoded form': () => form('http://HERE/admin/ws/broadcast', 'application/x-www-form-urlencoded', EVENT),
    'publish by a beacon': () => navigator.sendBeacon('http://HERE/admin/ws/broadcast', EVENT) ? 'sent' : 'not sent',
    'publish by a beacon as JSON': () => navigator.sendBeacon('http://HERE/admin/ws/broadcast', new Blob([EVENT], {type: 'application/json'})) ? 'sent' : 'not sent',
})"""

NOTHING = {"closed 1006", "TypeError", "error", "opaque", "unreadable", "sent"}
"""What attempts of a stranger may come to: `opaque` and `sent` mean that a request left, and that nothing of its answer can be read."""


class Pages(http.server.BaseHTTPRequestHandler):
    """Empty pages for everybody; /sandboxed belongs to no site; /redirect leads a request on to the daemon."""

    def do_GET(self):
        body = b"<!doctype html><title>page</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/sandboxed":
            self.send_header("Content-Security-Policy", "sandbox allow-scripts allow-forms")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(307)
        self.send_header("Location", self.server.target)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    running = Browser(tmp_path_factory.mktemp("browser"), NAMES)
    yield running
    running.close()


class Target:
    """A daemon in one of the modes, and how its owner asks it."""

    def __init__(self, start, mode, tmp_path, **server):
        settings = {"server": server}
        self.headers, self.user, self.token = [], "", "x"
        if mode == "gateway":
            accounts = Accounts(tmp_path / "gateway.db")
            boss, ann = accounts.user("admin"), accounts.user()
            settings |= {"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET}}
            self.token, self.user = token(boss, "admin"), token(ann)
            self.headers = [("Authorization", f"Bearer {self.token}")]
        self.daemon = start(settings)
        self.port = self.daemon.port
        # A valid one where there are any.
        self.ticket = request(self.port, "POST", "/ws/ticket", self.headers).json["ticket"] if mode == "gateway" else "x"

    @property
    def stats(self):
        answer = get(self.port, "/admin/ws/stats", self.headers)
        assert answer.status == 200, answer
        return answer.json

    def publish(self, text):
        publish(self.port, "logs", "log", {"message": text}, self.headers)

    def attack(self, tab, site, here=None):
        """Lets a page try everything; gives back what came of it."""
        site.target = f"http://127.0.0.1:{self.port}/admin/ws/broadcast"
        script = ATTACK.replace("HERE", here or f"127.0.0.1:{self.port}").replace("PORT", str(self.port)).replace("TOKEN", self.token)
        script = script.replace("TICKET", self.ticket).replace("AWAY", str(site.server_port)).replace("EVENT", json.dumps(EVENT))
        tab.run(LIBRARY.replace("const ", "var "))
        return tab.run(script)


STRANGERS = {
    "another site": "http://evil.example:{site}/", "another port": "http://127.0.0.1:{site}/", "another port of localhost": "http://localhost:{site}/",
    "a name below localhost": "http://evil.localhost:{site}/", "a sandbox": "http://evil.example:{site}/sandboxed", "a data URL": "data:text/html,<body>",
}


@pytest.mark.parametrize("stranger, mode", [*((name, "none") for name in STRANGERS), ("another site", "gateway"), ("a sandbox", "gateway")])
def test_pages_of_other_sites_get_nothing_and_do_nothing(browser, site, start, tmp_path, stranger, mode):
    target = Target(start, mode, tmp_path, allowed_origins=["http://dash.example"])
    with WebSocket(target.port, "/ws/logs", target.headers) as listener, browser.open(STRANGERS[stranger].format(site=site.server_port)) as tab:
        origin = tab.run("self.origin")
        assert origin == ("null" if stranger in ("a sandbox", "a data URL") else STRANGERS[stranger].format(site=site.server_port)[:-1])
        target.publish("there is something to be seen")
        came = target.attack(tab, site)
        assert len(came) > 30 and set(came.values()) <= NOTHING, {name: what for name, what in came.items() if what not in NOTHING}
        # They all did come here, the beacons last; without an Origin come only a frame, an image and a fetch that may not look.
        wait_until(lambda: sum(target.stats["refused"][kind] for kind in ("origin", "host")) >= len(came) - 3, lambda: target.stats["refused"])
        target.publish("the last one")
        assert [listener.receive()["data"]["message"] for _ in range(2)] == ["there is something to be seen", "the last one"]
        stats = target.stats
        assert stats["events_published"] == 2 and stats["total_clients"] == 1 and stats["ledger"]["logs"]["delivered"] == 2
    # The operator is told what would let the page in. (Of one kind, twenty entries are written at once; eighteen of these are about /admin.)
    target.daemon.wait_for_log(rf"warn the Origin '{origin}' is refused, asked for /\S+; accepted are http://\S+, https://\S+")
    if origin != "null":
        remedy = re.escape(f"; to let its pages connect: server.allowed_origins: [http://dash.example, {origin}]")
        target.daemon.wait_for_log(rf"accepted are .*, http://dash\.example{remedy}$")
    if mode == "gateway":
        WebSocket(target.port, f"/ws/all?ticket={target.ticket}").sock.close()  # was not used up


def test_a_name_that_was_made_to_lead_here(browser, site, start, tmp_path):
    """DNS rebinding: the page has the daemon's own address and port, by a name of the attacker's; to the browser, all is one site."""
    target = Target(start, "none", tmp_path)
    with browser.open(f"http://rebind.example:{target.port}/health") as tab:
        assert tab.run("self.origin") == f"http://rebind.example:{target.port}"
        came = target.attack(tab, site, here=f"rebind.example:{target.port}")
        # Its own site's answers it may read: they say no.
        read = {name: what for name, what in came.items() if what not in NOTHING}
        assert len(read) > 10 and all('{"error":"the Host \'rebind.example:' in what for what in read.values()), read
        assert {came[name] for name in came if name.startswith("socket")} == {"closed 1006"}
        # By another name of this machine it is a stranger.
        assert set(target.attack(tab, site).values()) <= NOTHING
    stats = target.stats
    assert stats["events_published"] == 0 and stats["total_clients"] == 0 and stats["refused"]["host"] > 20
    target.daemon.wait_for_log(rf"warn the Host 'rebind\.example:{target.port}' is refused, .*server\.public_url: http://rebind\.example:{target.port}$")


def test_a_name_that_was_made_to_lead_to_a_daemon_that_asks_who_one_is(browser, site, start, tmp_path):
    target = Target(start, "gateway", tmp_path)
    target.token = target.ticket = "x"  # no page has one by itself
    with browser.open(f"http://rebind.example:{target.port}/health") as tab:
        came = target.attack(tab, site, here=f"rebind.example:{target.port}")
        read = {name: what for name, what in came.items() if what not in NOTHING}
        for name in ("health", "ready", "version"):
            assert read.pop(name).startswith(("read 200", "read 503")), came
        read.pop("metrics")
        assert read.pop("socket that says who it is later") == "opened"  # and says nothing until it is told
        assert len(read) > 10 and all('{"error":' in what for what in read.values()), read
    assert target.stats["events_published"] == 0


LISTEN = r"""
var got = {state: 'new', messages: []};
(async (got) => {
    const ws = await CONNECT;
    ws.onopen = () => { got.state = 'open'; };
    ws.onclose = (event) => { got.state = 'closed ' + event.code; };
    ws.onmessage = (event) => { got.messages.push(JSON.parse(event.data)); };
})(got).catch((error) => { got.state = String(error); });
"""
WAYS = {
    "plain": "new WebSocket('ws://HERE/ws/all')",
    "subprotocol": "new WebSocket('ws://HERE/ws/logs', ['goleapai.v1.json', 'bearer.TOKEN'])",
    "ticket": "fetch('http://HERE/ws/ticket', {method: 'POST', headers: {Authorization: 'Bearer TOKEN'}}).then((answer) => answer.json())"
              ".then((answer) => new WebSocket('ws://HERE/ws/all?ticket=' + answer.ticket))",
}


def check_events(target, tab, way, text):
    """The page gets an event by this way."""
    tab.run(LISTEN.replace("CONNECT", WAYS[way]).replace("HERE", f"127.0.0.1:{target.port}").replace("TOKEN", target.token))
    wait_until(lambda: tab.run("got.state") != "new", "the page has connected or not")
    assert tab.run("got.state") == "open"
    target.publish(text)
    wait_until(lambda: tab.run("got.messages.length"), "the page has got the event")
    (event,) = tab.run("got.messages")
    assert event["type"] == "log" and event["data"] == {"message": text}


@pytest.mark.parametrize("mode", ["none", "gateway"])
@pytest.mark.parametrize("allowed", ["by name", "everybody"])
def test_pages_of_listed_sites_see_and_do_not_do(browser, site, start, tmp_path, mode, allowed):
    origin = f"http://dash.example:{site.server_port}"
    target = Target(start, mode, tmp_path, allowed_origins=[origin] if allowed == "by name" else ["*"])
    with browser.open(origin + "/") as tab:
        ways = ["plain"] if mode == "none" else ["subprotocol", "ticket"]
        for way in ways:
            check_events(target, tab, way, way)
        came = target.attack(tab, site)
        # User endpoints answer them. Under /admin there is nothing for them to read, nor to do blindly.
        for name in ("ready", "health", "version"):
            assert came[name].startswith(("read 200", "read 503")), came
        assert came["ticket with a token"].startswith("read 200" if mode == "gateway" else "read ")
        for name in ("cors", "cors with credentials", "cors with a token", "xhr", "xhr with credentials", "frame", "delete"):
            assert came[name] in NOTHING, (name, came[name])
        assert {what for name, what in came.items() if name.startswith("publish")} <= NOTHING, came
        assert came["socket"] == ("opened" if mode == "none" else "closed 1006")
        assert came["socket with a token"] == "opened"
        wait_until(lambda: target.stats["refused"]["origin"] >= 12, lambda: target.stats["refused"])
        assert target.stats["events_published"] == len(ways)
    if allowed == "by name":
        with browser.open(f"http://evil.example:{site.server_port}/") as tab:
            assert set(target.attack(tab, site).values()) <= NOTHING


@pytest.mark.parametrize("mode", ["none", "gateway"])
def test_pages_of_its_own(browser, site, start, tmp_path, mode):
    """Also what shows that the attempts above are well aimed: from here each comes to something."""
    target = Target(start, mode, tmp_path)
    with browser.open(f"http://127.0.0.1:{target.port}/health") as tab:
        for way in ["plain", "subprotocol"] if mode == "none" else ["subprotocol", "ticket"]:
            check_events(target, tab, way, way)
        came = target.attack(tab, site)
        assert came["socket with a token"] == "opened" and came["cors with a token"].startswith("read 200"), came
        answers = [what for name, what in came.items() if name.startswith("publish") and what.startswith("read")]
        if mode == "none":
            assert came["socket"] == came["socket by name"] == "opened" and came["cors"].startswith("read 200") and came["xhr"].startswith("read 200"), came
            assert len([what for what in answers if what.startswith('read 200 {"success":true')]) >= 5, came
            # Two beacons, and everything else but the encoded form, the redirect and what was sent without a referrer.
            wait_until(lambda: target.stats["events_published"] >= 2 + 8, lambda: (target.stats["events_published"], came))
        else:
            assert answers and all('{"error":"who are you?' in what for what in answers), came
            assert target.stats["events_published"] == 2


def test_a_page_that_reads_a_stream(browser, site, start, tmp_path):
    """A browser's own EventSource, of a listed site: it comes back by itself, with the place that it was told, and misses nothing."""
    target = Target(start, "none", tmp_path, allowed_origins=[f"http://dash.example:{site.server_port}"])
    with browser.open(f"http://dash.example:{site.server_port}/") as tab:
        tab.run(f"""
            var got = [], opened = 0, events = new EventSource('http://127.0.0.1:{target.port}/sse?channels=logs,requests&level=warn');
            events.onopen = () => {{ opened += 1; }};
            for (const type of ['log', 'gap', 'close']) events.addEventListener(type, (event) => got.push([type, event.lastEventId, JSON.parse(event.data)]));
        """)
        wait_until(lambda: tab.run("opened") == 1, "the page has connected")
        ids = []
        for number in range(6):
            ids.append(publish(target.port, "logs", "log", {"level": "error", "n": number}, headers=target.headers)["id"])
            publish(target.port, "logs", "log", {"level": "info", "n": -1}, headers=target.headers)
            if number % 3 == 1:
                # What is published before it is back is what it asks for.
                (client,) = get(target.port, "/admin/ws/clients").json["clients"]
                assert client["transport"] == "sse"
                request(target.port, "DELETE", f"/admin/ws/clients/{client['id']}", target.headers)
                wait_until(lambda number=number: tab.run("got.filter((one) => one[0] == 'close').length") == number // 3 + 1, "the page was told")
                ids.append(publish(target.port, "logs", "log", {"level": "warn", "n": number + 100}, headers=target.headers)["id"])
                wait_until(lambda number=number: tab.run("opened") == number // 3 + 2, "the page has come back")
        wait_until(lambda: tab.run("got.filter((one) => one[0] == 'log').length") == len(ids), lambda: tab.run("got"))
        got = tab.run("got")
        assert [(one[1], one[2]["id"]) for one in got if one[0] == "log"] == [(identity, identity) for identity in ids]
        assert [one[2]["data"]["n"] for one in got if one[0] == "log"] == [0, 1, 101, 2, 3, 4, 104, 5]
        assert [one[2] for one in got if one[0] == "close"] == [{"code": 4505, "reason": "disconnected by an admin"}] * 2
        assert not any(one[0] == "gap" for one in got)
        tab.run("events.close()")
        wait_until(lambda: target.stats["total_clients"] == 0, "it has left")
