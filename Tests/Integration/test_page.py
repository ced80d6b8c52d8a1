"""The web dashboard: how its files are served, and what it does in a real browser."""

import json
import re
from html.parser import HTMLParser

import pytest
from conftest import ROOT
from support.daemon import wait_until
from support.http import get, publish, publish_many, request
from support.page import Shown, address
from support.tokens import SECRET, Accounts, bearer, token

FILES = ROOT / "Sources/Server/Dashboard"
PATHS = {"/" if path.name == "index.html" else f"/{path.name}": path for path in FILES.iterdir()}
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

# Files


@pytest.mark.parametrize("path", sorted(PATHS))
def test_files_are_those_of_the_source(daemon, path):
    body = PATHS[path].read_bytes()
    answer = get(daemon.port, path)
    assert answer.status == 200 and answer.body == body and answer.header("Content-Type") == KINDS[PATHS[path].suffix]
    assert answer.header("Cache-Control") == "no-cache" and answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Referrer-Policy") == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in answer.header("Content-Security-Policy").split(";"))
    assert policy == {
        **{name: "'self'" for name in ("script-src", "style-src", "img-src", "connect-src", "worker-src")},
        **{name: "'none'" for name in ("default-src", "base-uri", "form-action", "frame-ancestors")}}
    head = request(daemon.port, "HEAD", path)
    assert head.status == 200 and head.header("Content-Length") == str(len(body)) and head.fields == answer.fields
    tag = answer.header("ETag")
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        same = get(daemon.port, path, [("If-None-Match", known)])
        assert same.status == 304 and same.header("ETag") == tag and same.header("Content-Security-Policy"), known
    for other in ('"x"', tag.strip('"'), tag[:-2] + '"'):
        assert get(daemon.port, path, [("If-None-Match", other)]).body == body
    refused = request(daemon.port, "POST", path)
    assert refused.status == 405 and refused.header("Allow") == "GET, HEAD"


def test_every_file_has_a_tag_of_its_own(daemon):
    assert len({get(daemon.port, path).header("ETag") for path in PATHS}) == len(PATHS) >= 9


def test_who_gets_the_page(start, tmp_path):
    plain = start({"server": {"allowed_origins": ["http://dash.example"]}})
    assert get(plain.port, "/", [("Host", "evil.example")]).status == 403
    assert get(plain.port, "/client.js", [("Origin", "http://evil.example")]).status == 403
    # A listed site may take client.js as a module from here.
    assert get(plain.port, "/client.js", [("Origin", "http://dash.example")]).header("Access-Control-Allow-Origin") == "http://dash.example"
    assert get(plain.port, "/?from=somewhere").status == 200
    guarded = start({"auth": {"mode": "gateway", "jwt_secret": SECRET}, "database": {"connection": str(Accounts(tmp_path / "gateway.db").path)}})
    assert get(guarded.port, "/").status == get(guarded.port, "/client.js").status == 200
    without = start({"websocket": {"enabled": False}})
    assert get(without.port, "/").status == get(without.port, "/client.js").status == 404


class Page(HTMLParser):
    """What an HTML file loads and leads to, and what in it is inline."""

    def __init__(self, text):
        super().__init__()
        self.links, self.inline, self.ids, self.script = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        self.inline += [f"{tag} {name}" for name in attributes if name.startswith("on") or name == "style"] + ([tag] if tag == "style" else [])
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.script = tag == "script"

    def handle_data(self, data):
        if self.script and data.strip():
            self.inline.append(data)


def test_nothing_is_inline_and_nothing_leads_elsewhere():
    page = Page(PATHS["/"].read_text())
    assert page.inline == [] and len(page.ids) == len(set(page.ids))
    assert len(page.links) >= 4
    for link in page.links:
        assert re.fullmatch(r"#[\w-]+|[\w-]+\.(js|css|svg)", link), f"{link}: behind a proxy's prefix it leads elsewhere"
        assert link.startswith("#") or f"/{link}" in PATHS
    for path, file in PATHS.items():
        text = file.read_text()
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == [], path
        if path.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.setAttribute\('style'", text), path
            for module in re.findall(r"from '([^']+)'", re.sub(r"^//.*$", "", text, flags=re.M)):
                assert f"/{module.removeprefix('./')}" in PATHS
        if path.endswith(".css"):
            assert "url(" not in text and "@import" not in text


def luminance(colour):
    """Relative, as WCAG 2 defines it."""
    red, green, blue = ((part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4) for part in (int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast():
    """WCAG 2, 1.4.3 and 1.4.11: 4.5 to 1 for texts, 3 to 1 for the edges of what can be clicked and typed into."""
    colours = {name: pair for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", (FILES / "dashboard.css").read_text())}
    assert len(colours) >= 10
    for theme in (0, 1):
        for ground in ("bg", "panel", "raised"):
            for name, least in [*((name, 4.5) for name in ("text", "muted", "accent", "good", "warn", "bad")), ("edge", 3)]:
                assert contrast(colours[name][theme], colours[ground][theme]) >= least, (theme, name, ground)
        assert contrast(colours["on"][theme], colours["accent"][theme]) >= 4.5


# In the browser


def log(port, message, level="info", headers=(), **more):
    return publish(port, "logs", "log", {"level": level, "message": message, **more}, headers)


def served(port, headers=()):
    return get(port, "/admin/ws/clients", headers).json["clients"]


def test_live_data_filters_pause_and_keys(browser, start):
    daemon = start()
    log(daemon.port, "of before", "warn")
    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        log(daemon.port, "<b>not HTML</b>", "error", component="router")
        page.wait_rows("logs", ["error|router|<b>not HTML</b>", "warn||of before"])
        publish(daemon.port, "requests", "request", {
            "request_id": "r1", "provider_id": "p1", "provider_name": "Groq", "model_name": "llama", "method": "POST", "endpoint": "/v1", "status_code": 502,
            "latency_ms": 1234, "input_tokens": 1, "output_tokens": 2, "success": False, "error_message": "bad"})
        page.wait_rows("requests", ["502|llama|Groq · bad|1,234 ms|"])
        publish(daemon.port, "providers", "provider_status", {
            "provider_id": "p1", "provider_name": "Groq", "status": "unhealthy", "available": False, "latency_ms": 9, "success_rate": 0.5, "message": "down"})
        wait_until(lambda: re.search(r"Groq✖no requests in the windowunhealthy for \d+ s: down", page.text("#cards") or ""), lambda: page.text("#cards"))
        # A filter is the daemon's, and part of the address.
        page.fill("level", "error")
        page.wait_rows("logs", ["error|router|<b>not HTML</b>"])
        (client,) = served(daemon.port)
        assert client["filters"]["logs"] == {"level": "error,fatal,panic"} and client["filters"]["stats"] == {"window": "5m", "interval": "2"}
        assert tab.run("location.hash") == "#level=error"
        log(daemon.port, "is not shown", "warn")
        log(daemon.port, "is shown", "fatal")
        page.wait_rows("logs", ["fatal||is shown", "error|router|<b>not HTML</b>"])
        page.fill("q", "NOT html")
        page.wait_rows("logs", ["error|router|<b>not HTML</b>"])
        tab.run("history.back()")
        page.wait_rows("logs", ["fatal||is shown", "error|router|<b>not HTML</b>"])
        # Paused, it stands still; then it shows what came.
        tab.press("p")
        page.wait_state("Paused$")
        log(daemon.port, "meanwhile", "error")
        wait_until(lambda: page.text("#logs .new") == "↑ 1 new", lambda: page.text("#logs .new"))
        assert page.rows("logs")[0] == "fatal||is shown"
        tab.press("p")
        page.wait_rows("logs", ["error||meanwhile", "fatal||is shown", "error|router|<b>not HTML</b>"])
        # The other keys.
        tab.press("c")
        page.wait_rows("logs", ["error||meanwhile", "fatal||is shown", "warn||is not shown", "error|router|<b>not HTML</b>", "warn||of before"])
        tab.press("3")
        wait_until(lambda: served(daemon.port)[0]["filters"]["stats"]["window"] == "1h", lambda: served(daemon.port))
        tab.press("e")
        wait_until(lambda: served(daemon.port)[0]["filters"].get("requests") == {"only_errors": "true"}, lambda: served(daemon.port))
        assert tab.run("location.hash") == "#window=1h&errors=1"
        tab.press("?")
        assert tab.run("document.querySelector('#keys').open")
        tab.press("Escape", code="Escape", windowsVirtualKeyCode=27)

        def opens_the_first():
            tab.press("o")
            tab.press("j")
            tab.press("Enter", text="\r")
            return tab.run("document.querySelector('#detail').open")

        # What is replayed for the filter above replaces the rows, and nothing is chosen any more.
        wait_until(opens_the_first, lambda: page.rows("logs"))
        assert '"meanwhile"' in page.text("#detail pre")
        assert len(served(daemon.port)) == 1, "one connection did it all"
        assert page.complaints() == []


def test_an_address_is_a_view(browser, start):
    daemon = start()
    log(daemon.port, "find me", "warn", component="router")
    log(daemon.port, "not me", "warn", component="router")
    with browser.open(address(daemon, "#window=24h&level=warn&component=router&q=find+me&min=250&provider=p7")) as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        (client,) = served(daemon.port)
        assert client["filters"] == {
            "logs": {"level": "warn,error,fatal,panic", "component": "router", "q": "find me", "provider_id": "p7"}, "stats": {"window": "24h", "interval": "2"},
            "requests": {"provider_id": "p7", "min_latency_ms": "250"}}, client
        assert page.complaints() == []


def test_thousands_of_lines_have_few_elements(browser, start):
    daemon = start()
    publish_many(daemon.port, [("logs", "log", {"level": "info", "message": f"line {number}"}) for number in range(1500)])
    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        for batch in range(3):
            publish_many(daemon.port, [("logs", "log", {"level": "info", "message": f"batch {batch} line {number}"}) for number in range(1000)])
        wait_until(lambda: page.rows("logs")[:1] == ["info||batch 2 line 999"], lambda: page.rows("logs")[:3], interval=0.1)
        assert tab.run("Number(document.querySelector('#logs .rows').ariaRowCount)") == 4500
        assert tab.run("document.querySelectorAll('#logs .row').length") < 100
        tab.run("document.querySelector('#logs .rows').scrollTop = 1e9")
        wait_until(lambda: page.rows("logs")[-1:] == ["info||line 0"], lambda: page.rows("logs")[-3:])
        log(daemon.port, "newest")
        wait_until(lambda: page.text("#logs .new") == "↑ 1 new", lambda: page.text("#logs .new"))
        assert page.rows("logs")[-1] == "info||line 0", "what is being read stands still"
        tab.run("document.querySelector('#logs .new').click()")
        wait_until(lambda: page.rows("logs")[0] == "info||newest", lambda: page.rows("logs")[:2])
        assert page.complaints() == []


def test_a_gap_is_shown(browser, start):
    """History that holds three events, and a page that comes back after more."""
    daemon = start({"history": {"max_events": 3}, "websocket": {"slow_consumer": "drop_oldest"}})
    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        log(daemon.port, "first")
        page.wait_rows("logs", ["info||first"])
        assert "gaps 0" in page.text("#facts")
        daemon.kill()
        daemon.wait_exit()
        daemon.stop(expect_clean=False)
        page.wait_state("Offline: ")
        # The figures are those of before, the tab says it too, and in the charts something is being missed.
        assert tab.run("document.querySelector('main').classList.contains('is-old')") and tab.run("document.title").startswith("Offline: ")
        wait_until(page.misses, "what is missed in the charts")
        again = start({"server": {"port": daemon.port}, "history": {"max_events": 3}})
        log(again.port, "of the new one")
        page.wait_state("Live$")
        wait_until(lambda: len(page.rows("logs")) == 3, lambda: page.rows("logs"))
        newest, gap, first = page.rows("logs")
        assert newest == "info||of the new one" and first == "info||first"
        assert re.fullmatch(r"\S+  ▲ gap: events are missing \(restarted\)", gap), gap
        wait_until(lambda: re.search(r"gaps 1, last \S+ restarted", page.text("#facts")), lambda: page.text("#facts"))
        # What was missed stays marked, in a tab that is opened later as well.
        wait_until(page.misses, "what was missed in the charts")
        with browser.open(address(again), beside=tab) as other:
            Shown(other).wait_state("Live$")
            wait_until(Shown(other).misses, "what was missed in the charts of another tab")
        assert not tab.run("document.querySelector('main').classList.contains('is-old')") and tab.run("document.title") == "GoLeapAI live"


def test_what_comes_back_has_no_hole_and_no_double(browser, start):
    """The connection is ended again and again, and events are published meanwhile; each is shown once."""
    daemon = start()
    sent = 0
    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        for _ in range(4):
            page.wait_state("Live$")
            for _ in range(40):
                sent += 1
                log(daemon.port, f"number {sent}")
            # As an admin; the page stops then, and is told to go on. What is published meanwhile is in history.
            (client,) = served(daemon.port)
            assert request(daemon.port, "DELETE", f"/admin/ws/clients/{client['id']}").status == 200
            page.wait_state("Stopped: disconnected by an admin$")
            for _ in range(5):
                sent += 1
                log(daemon.port, f"number {sent}")
            tab.run("document.querySelector('#again').click()")
        page.wait_state("Live$")
        wait_until(lambda: page.rows("logs")[:1] == [f"info||number {sent}"], lambda: page.rows("logs")[:3], interval=0.1)
        assert page.all_rows("logs") == [f"number {sent - index}" for index in range(sent)] and sent == 180
        assert "gaps 0" in page.text("#facts") and "reconnects 4" in page.text("#facts") and "doubles" not in page.text("#facts")


def test_everything_has_a_name_and_a_role(browser, start):
    """As a screen reader is told of it."""
    daemon = start()
    log(daemon.port, "a line", "warn")
    publish(daemon.port, "providers", "provider_status", {
        "provider_id": "p1", "provider_name": "Groq", "status": "degraded", "available": True, "latency_ms": 9, "success_rate": 0.5, "message": "slow"})
    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        page.wait_rows("logs", ["warn||a line"])
        wait_until(lambda: "degraded" in (page.text("#cards") or ""), lambda: page.text("#cards"))
        nodes = [(node["role"]["value"], node.get("name", {}).get("value", ""), {each["name"]: each["value"].get("value") for each in node.get("properties", [])})
                 for node in browser.command("Accessibility.getFullAXTree", tab.session)["nodes"] if not node["ignored"]]
        named = {}
        for role, name, properties in nodes:
            if properties.get("focusable") and role != "RootWebArea" or role in ("status", "region", "image"):
                named.setdefault(role, []).append(name)
        for role, least in {"button": 8, "combobox": 3, "textbox": 2, "searchbox": 1, "checkbox": 1, "grid": 2, "image": 2, "region": 4}.items():
            assert len(named.get(role, [])) >= least, (role, named)
        assert all(name for role, names in named.items() if role != "status" for name in names), named
        assert any("degraded" in name for role, name, _ in nodes if role in ("image", "img")), "the state of a provider has words"
        (state,) = [node for node in nodes if node[0] == "status"]
        assert state[2].get("live") == "polite"


def test_two_tabs_share_one_connection(browser, start):
    daemon = start()
    log(daemon.port, "of before")
    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        log(daemon.port, "live")
        page.wait_rows("logs", ["info||live", "info||of before"])
        with browser.open(address(daemon), beside=tab) as other:
            second = Shown(other)
            second.wait_rows("logs", ["info||live", "info||of before"])
            log(daemon.port, "for both")
            for each in (page, second):
                each.wait_rows("logs", ["info||for both", "info||live", "info||of before"])
                wait_until(lambda: "shared by 2 tabs" in each.text("#facts"), lambda: each.text("#facts"))
            assert len(served(daemon.port)) == 1
            # One that wants to see something else has a connection of its own.
            second.fill("q", "live")
            second.wait_rows("logs", ["info||live"])
            assert len(served(daemon.port)) == 2 and len(page.rows("logs")) == 3
            assert second.complaints() == []
        wait_until(lambda: len(served(daemon.port)) == 1, lambda: served(daemon.port))
        assert page.complaints() == []


def test_without_shared_workers(browser, start):
    daemon = start()
    with browser.open(address(daemon, "health")) as tab:
        browser.command("Page.enable", tab.session)
        browser.command("Page.addScriptToEvaluateOnNewDocument", tab.session, source="delete self.SharedWorker")
        tab.go(address(daemon))
        page = Shown(tab)
        page.wait_state("Live$")
        log(daemon.port, "by itself")
        page.wait_rows("logs", ["info||by itself"])
        wait_until(lambda: "of this tab" in page.text("#facts"), lambda: page.text("#facts"))


def test_who_one_is(browser, start, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    boss, ann = accounts.user("admin"), accounts.user()
    daemon = start({"auth": {"mode": "gateway", "jwt_secret": SECRET}, "database": {"connection": str(accounts.path)}})
    admin = bearer(token(boss, "admin"))

    def give(tab, text):
        wait_until(lambda: tab.run("document.querySelector('#ask').open"), lambda: Shown(tab).text("#state"))
        tab.run(f"""(() => {{
            document.querySelector('[name=token]').value = {json.dumps(text)};
            document.querySelector('#ask form').requestSubmit();
        }})()""")

    with browser.open(address(daemon)) as tab:
        page = Shown(tab)
        give(tab, "nonsense")
        wait_until(lambda: "not accepted" in page.text("#ask-why"), lambda: page.text("#ask-why"))
        give(tab, token(boss, "admin"))
        page.wait_state("Live$")
        log(daemon.port, "for admins", headers=admin)
        page.wait_rows("logs", ["info||for admins"])
        (client,) = served(daemon.port, admin)
        assert client["user"] == boss
        assert tab.run("localStorage.length") == 0 and token(boss, "admin")[:20] not in tab.run("location.href")
        # It is still there after a reload, and in no other tab.
        tab.run("location.reload()")
        page.wait_state("Live$")
        with browser.open(address(daemon), beside=tab) as other:
            give(other, token(ann))
            Shown(other).wait_state("Live$")
            wait_until(lambda: Shown(other).text("#logs .empty") == "The logs are for admins", lambda: Shown(other).text("#logs"))
        # Taken away: it says so and asks.
        accounts.execute("UPDATE users SET active = 0 WHERE id = ?", (boss,))
        page.wait_state("Stopped: credential revoked")
