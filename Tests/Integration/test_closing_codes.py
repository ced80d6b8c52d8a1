"""Each close code, and what the page and `top` make of it: what the table of docs/PROTOCOL.md says. (client.js: test_client_js.py; `tail` and the library: test_tail.py.)"""

import re

import pytest
from support.close_codes import DOCUMENTED, STOP, TOKEN
from support.daemon import wait_until
from support.http import publish
from support.page import Shown
from support.proxy import Closer
from support.scripted import Scripted
from support.terminal import Terminal

# One that no table has is a passing fault.
CODES = {**DOCUMENTED, 4999: ("the connection was lost", "back off")}


@pytest.fixture(scope="module")
def closer(daemon):
    with Closer(daemon.port) as running:
        yield running


@pytest.mark.parametrize("code", CODES)
def test_page(daemon, closer, browser, code):
    def log(message):
        publish(daemon.port, "logs", "log", {"level": "info", "message": f"{code} {message}"})

    reason, what = CODES[code]
    with browser.open(f"http://127.0.0.1:{closer.port}/#q={code}") as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        log("before")
        page.wait_rows("logs", [f"info||{code} before"])
        assert closer.close(code, "as said") == 1
        if what in STOP + TOKEN:
            # The page's own words for the code where it has shorter ones, and then those of the frame.
            page.wait_state("Stopped: .+: as said$")
            asks = what in TOKEN or code == 4500
            wait_until(lambda: page.text("#again") == ("Give a token" if asks else "Connect now"), lambda: page.text("#again"))
            assert tab.run("!document.querySelector('#again').hidden && document.querySelector('#ask').open") is asks
        log("meanwhile")
        if what in TOKEN or code == 4500:
            assert page.text("#ask-why")
            return
        if what in STOP:
            assert page.rows("logs") == [f"info||{code} before"]
            tab.run("document.querySelector('#again').click()")
        page.wait_rows("logs", [f"info||{code} meanwhile", f"info||{code} before"])
        page.wait_state("Live$")
        wait_until(lambda: re.search("reconnects 1gaps 0socket", page.text("#facts")), lambda: page.text("#facts"))


@pytest.mark.parametrize("code", CODES)
def test_top(binary, code):
    """A server that ends the first connection with the code; in the second it repeats itself."""
    asked = []

    def serve(peer):
        asked.append(peer.upgrade().get("since"))
        if len(asked) == 1:
            peer.log(1)
            return peer.close(code, "as said")
        peer.log(1)
        peer.log(2)
        while peer.receive() is not None:
            pass

    reason, what = CODES[code]
    with Scripted(serve, serve, only_sockets=True) as server, Terminal([binary, "top", "--url", server.url.replace("ws", "http")], columns=120, rows=40) as terminal:
        if what in STOP + TOKEN:
            terminal.wait_for("✖ disconnected")
            terminal.wait_for(f"the server has closed the connection: {code} as said")
            assert terminal.shows("event 1") and len(asked) == 1
            terminal.press("r")
        terminal.wait_for("event 2")
        terminal.wait_for("● connected")
        assert len(asked) == 2 and asked[1] == "e-1"
        assert sum("event 1" in line for line in terminal.lines) == 1, terminal.lines
        terminal.press("q")
        assert terminal.wait_exit() == 0 and not terminal.faults
