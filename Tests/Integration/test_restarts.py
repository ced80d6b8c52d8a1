"""The daemon ends under its clients, and after a while another one takes its place: the page, `top` and `tail` go on without a hole and without a double."""

import json
import re
import signal
import subprocess
import time

import pytest
from support.daemon import die_with_parent, wait_until
from support.http import get, publish_many
from support.page import Shown, address
from support.terminal import Terminal
from support.tls import free_port


class Readers:
    """All three, beside a daemon that publishes numbers. Use as a context manager."""

    def __init__(self, daemon, browser, binary, directory):
        self.told = directory / "tail"
        url = address(daemon).rstrip("/")
        self.tab = browser.open(address(daemon))
        self.page = Shown(self.tab)
        # Room for all rows.
        self.terminal = Terminal([binary, "top", "--url", url], columns=100, rows=130)
        with open(self.told, "wb") as out:
            self.tail = subprocess.Popen([binary, "tail", "logs", "--json", "--url", url], stdin=subprocess.DEVNULL, stdout=out,
                                         stderr=open(directory / "complaints", "wb"), preexec_fn=die_with_parent)

    def __enter__(self):
        self.tab.__enter__()
        self.terminal.__enter__()
        return self

    def __exit__(self, *problem):
        self.tail.kill()
        self.tail.wait()
        self.terminal.__exit__(*problem)
        self.tab.__exit__(*problem)

    def messages(self):
        return [json.loads(line) for line in self.told.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def shown(self):
        """The numbers of log lines that each has, in order."""
        return {"page": [number(text) for text in reversed(self.page.all_rows("logs"))],
                "top": [number(line) for line in reversed(self.terminal.lines) if "number" in line],
                "tail": [number(message["data"]["message"]) if message["type"] == "log" else message["type"] for message in self.messages()
                         if message["type"] != "caught_up"]}

    def wait_for(self, last):
        wait_until(lambda: any(text and text.endswith(f"number {last}") for text in self.page.rows("logs")), lambda: self.page.rows("logs"))
        wait_until(lambda: any(line.endswith(f"number {last}") for line in self.terminal.lines), lambda: "\n".join(self.terminal.lines))
        wait_until(lambda: f'"number {last}"' in self.told.read_text(), lambda: self.told.read_text())


def number(text):
    found = re.search(r"number (\d+)", text or "")
    return int(found[1]) if found else "gap" if "gap" in (text or "") else text


def publish_numbers(daemon, numbers):
    publish_many(daemon.port, [("logs", "log", {"level": "info", "message": f"number {each}", "component": "router"}) for each in numbers])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("away", [1, pytest.param(5, marks=pytest.mark.long), pytest.param(40, marks=pytest.mark.long)])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
def test_all_go_on(start, browser, binary, tmp_path, end, away):
    settings = {"server": {"port": free_port()}}
    daemon = start(settings)
    with Readers(daemon, browser, binary, tmp_path) as readers:
        readers.page.wait_state("Live$")
        readers.terminal.wait_for("● connected")
        wait_until(lambda: len(get(daemon.port, "/admin/ws/clients").json["clients"]) == 3, "three clients")
        readers.terminal.press("4")
        publish_numbers(daemon, range(1, 31))
        readers.wait_for(30)
        publish_numbers(daemon, range(31, 41))
        if end == signal.SIGKILL:
            # What it has not sent dies with it. Who is told to stop sends all that it has.
            readers.wait_for(40)
        daemon.kill(end)
        assert daemon.wait_exit() == (0 if end == signal.SIGTERM else -end)
        daemon.stop(expect_clean=False)
        readers.page.wait_state("Offline: |Reconnecting")
        wait_until(lambda: not readers.terminal.shows("● connected"), "top has noticed")
        time.sleep(away)
        again = start(settings)
        # Some before they are back, and some for all.
        publish_numbers(again, range(41, 51))
        wait_until(lambda: len(get(again.port, "/admin/ws/clients").json["clients"]) == 3, "three clients")
        publish_numbers(again, range(51, 61))
        readers.wait_for(60)
        readers.page.wait_state("Live$")
        # Ids of the daemon before mean nothing to this one: that something may be missing is said, once, where it may be.
        wanted = [*range(1, 41), "gap", *range(41, 61)]
        assert readers.shown() == {"page": wanted, "top": [*range(1, 61)], "tail": wanted}
        (gap,) = [message["data"] for message in readers.messages() if message["type"] == "gap"]
        assert gap["reason"] == "restarted" and gap["channels"] == ["logs"]
        assert readers.terminal.shows("gap: restarted") and readers.terminal.shows(" 1 gap")
        facts = readers.page.text("#facts")
        assert "reconnects 1" in facts and "gaps 1, last" in facts and "doubles" not in facts, facts
        readers.terminal.press("q")
        assert readers.terminal.wait_exit() == 0 and not readers.terminal.faults
