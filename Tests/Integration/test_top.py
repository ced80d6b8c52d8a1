"""`top`: the dashboard in a terminal, and its snapshot in a pipe."""

import json
import re
import signal

import pytest
from support.daemon import wait_until
from support.http import get, publish
from support.terminal import Terminal

UP, DOWN, PAGE_DOWN, ESCAPE = "\x1b[A", "\x1b[B", "\x1b[6~", "\x1b"


def url(daemon):
    return f"http://127.0.0.1:{daemon.port}"


@pytest.fixture
def top(binary):
    """Starts dashboards; each must have understood its terminal."""
    running = []

    def start(daemon, *arguments, **options):
        terminal = Terminal([binary, "top", "--url", url(daemon), *arguments], **options)
        running.append(terminal.__enter__())
        return terminal

    yield start
    for terminal in running:
        terminal.__exit__(None, None, None)
    for terminal in running:
        assert not terminal.faults


def log(daemon, message, level="info", **data):
    publish(daemon.port, "logs", "log", {"level": level, "message": message, "component": "router", **data})


def request(daemon, provider, status=200, **data):
    publish(daemon.port, "requests", "request", {
        "request_id": f"id-{provider}", "provider_id": "p1", "provider_name": provider, "model_name": "gpt-4o", "method": "POST",
        "endpoint": "/v1/chat/completions", "status_code": status, "latency_ms": 345, "input_tokens": 100, "output_tokens": 23,
        "success": status == 200, **data})


def provider(daemon, name, status):
    publish(daemon.port, "providers", "provider_status", {
        "provider_id": name, "provider_name": name, "status": status, "available": status == "healthy", "latency_ms": 120,
        "success_rate": 0.98, "message": ""})


def test_shows_what_happens(daemon, top):
    terminal = top(daemon)
    terminal.wait_for("● connected")
    log(daemon, "the first line")
    request(daemon, "Provider One")
    provider(daemon, "Provider Two", "degraded")
    terminal.wait_for("the first line")
    terminal.wait_for("Provider One")
    terminal.wait_for("▲ degraded")
    row = next(line for line in terminal.lines if "Provider One" in line)
    assert re.search(r"\d\d:\d\d:\d\d .* 200 +345ms +123", row)
    provider(daemon, "Provider Two", "unhealthy")
    terminal.wait_for("✖ unhealthy")
    terminal.wait_for(" v")
    terminal.press("q")
    assert terminal.wait_exit() == 0


def test_demo_fills_the_screen(start, top):
    """With all sources: figures, every table, and both sparklines."""
    daemon = start(quiet=False, with_config=False, arguments=["--demo", "--port", "0"])
    terminal = top(daemon, "--interval", "1", columns=200, rows=60)
    for text in ("PROVIDER 11", "MODEL ", "REQUEST ", "LOG ", "requests/min, ", "mean latency, ", "● healthy"):
        terminal.wait_for(text)
    # The figures: none is missing once the statistics are there.
    wait_until(lambda: re.search(r"\d+ +[\d.]+% +\d+ +\d+ms", terminal.lines[3]), "figures")
    assert terminal.shows("█")


def test_keys(daemon, top):
    terminal = top(daemon)
    terminal.wait_for("● connected")
    for number in range(30):
        log(daemon, f"line number {number}", "error" if number % 10 == 0 else "info", fields={"attempt": number})
    request(daemon, "Provider One", 502, error_message="upstream timed out")
    terminal.wait_for("upstream tim…")
    terminal.press("4")
    terminal.wait_for("line number 12")
    terminal.press("/attempt=2")
    terminal.wait_until_gone("line number 12")
    terminal.wait_for("line number 20")
    terminal.press("\r")
    terminal.press(DOWN + "\r")
    terminal.wait_for("Log line")
    terminal.wait_for("attempt    28")
    # A lone Escape, and what comes when nothing follows.
    terminal.press(ESCAPE)
    terminal.wait_until_gone("Log line")
    terminal.press(ESCAPE)
    terminal.wait_for("line number 12")
    terminal.press("l")
    terminal.wait_for("logs: info and worse")
    terminal.press("ll")
    terminal.wait_until_gone("line number 12")
    terminal.wait_for("line number 10")
    # The daemon filters now.
    log(daemon, "a line that is only information")
    log(daemon, "a line that is an error", "error")
    terminal.wait_for("a line that is an error")
    terminal.press("l")
    terminal.wait_for("line number 12")
    assert not terminal.shows("only information")
    terminal.press("?")
    terminal.wait_for("any key closes")
    terminal.press("x3")
    terminal.wait_until_gone("any key closes")
    terminal.wait_for("upstream tim…")
    terminal.press("w")
    terminal.wait_for("1h window")
    terminal.press(" ")
    terminal.wait_for("paused")
    request(daemon, "Provider Two")
    terminal.wait_for("paused 1")
    assert not terminal.shows("Provider Two")
    terminal.press(" ")
    terminal.wait_for("Provider Two")
    terminal.press("\x03")
    assert terminal.wait_exit() == 0


def test_stops_and_continues(daemon, top):
    terminal = top(daemon)
    terminal.wait_for("● connected")
    for _ in range(2):
        terminal.stop_and_continue()
        log(daemon, "after a pause")
        terminal.wait_for("after a pause")
    # Stopped by somebody else, the terminal stays as it is; continued, everything is drawn anew.
    terminal.signal(signal.SIGSTOP)
    wait_until(lambda: terminal.state == "T", "the program is stopped")
    terminal.signal(signal.SIGCONT)
    log(daemon, "after another pause")
    terminal.wait_for("after another pause")
    terminal.press("q")
    assert terminal.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGBUS,
                                    signal.SIGTRAP, signal.SIGQUIT])
def test_terminal_is_restored_by_signals(daemon, top, number):
    terminal = top(daemon)
    terminal.wait_for("● connected")
    assert terminal.is_taken
    terminal.signal(number)
    assert terminal.wait_exit() == -number


def test_interrupt_quits(daemon, top):
    terminal = top(daemon)
    terminal.wait_for("● connected")
    terminal.signal(signal.SIGINT)
    assert terminal.wait_exit() == 0
    # Closed in order: the daemon does not take it for a broken connection.
    wait_until(lambda: "goleapai-ws-top" not in json.dumps(clients(daemon)), "the daemon has no such client any more")


def clients(daemon):
    return get(daemon.port, "/admin/ws/clients").json


def test_sizes(daemon, top):
    terminal = top(daemon, columns=200, rows=60)
    terminal.wait_for("● connected")
    request(daemon, "Provider One")
    terminal.wait_for("Provider One")
    for columns, rows in [(40, 10), (80, 24), (20, 4), (1, 1), (132, 43)]:
        terminal.resize(columns, rows)
        if columns >= 40:
            terminal.wait_for("connected")
            terminal.wait_for("q quit")
    terminal.wait_for("Provider One")
    assert len(terminal.lines) == 43 and terminal.lines[42].startswith(" q quit")


def test_writes_little_when_nothing_happens(daemon, top):
    """Between two ticks of its clock only the clock is drawn."""
    terminal = top(daemon)
    terminal.wait_for("● connected")
    terminal.wait_for(" v0.")
    for _ in range(2):
        wait_until(lambda before=terminal.lines[0][-8:]: terminal.lines[0][-8:] != before, "the clock goes on")
    before, clock = terminal.bytes, terminal.lines[0][-8:]
    wait_until(lambda: terminal.lines[0][-8:] != clock, "the clock goes on")
    assert terminal.bytes - before < 400


def test_comes_back(start, top):
    daemon = start()
    terminal = top(daemon)
    terminal.wait_for("● connected")
    log(daemon, "before the end")
    terminal.wait_for("before the end")
    daemon.kill()
    daemon.wait_exit()
    daemon.stop(expect_clean=False)
    terminal.wait_for("reconnecting in")
    terminal.wait_for("(attempt 2)")
    assert terminal.shows("before the end")
    again = start({"server": {"port": daemon.port}})
    terminal.wait_for("● connected")
    log(again, "after the beginning")
    terminal.wait_for("after the beginning")
    assert terminal.shows("before the end")


def test_nothing_foreign_is_obeyed(daemon, top):
    terminal = top(daemon)
    terminal.wait_for("● connected")
    evil = "\x1b[2Jred\x1b]0;title\x07\x9b31m\u202e bell"
    log(daemon, evil, component=evil, fields={evil: evil})
    request(daemon, evil, 500, error_message=evil)
    provider(daemon, evil, evil)
    terminal.wait_for("·[2Jred·]0;title··31m· bell")
    terminal.press("4\r")
    terminal.wait_for("Log line")
    assert not terminal.faults


def test_without_unicode_and_colours(daemon, top):
    terminal = top(daemon, environment={"LANG": "C", "NO_COLOR": "1"})
    terminal.wait_for("* connected")
    log(daemon, "größer 日本")
    terminal.wait_for("gr??er ????")
    assert all(line.isascii() for line in terminal.lines)


def test_foreseeable_mistakes(daemon, run, top, tmp_path):
    for arguments, words in [(["--json"], "--json is for --once"), (["--interval", "0"], "--interval 0"), ([], "--once"),
                             (["extra"], "top takes no operands"), (["--ca", "x", "--insecure"], "one thing only")]:
        done = run("top", "--url", url(daemon), *arguments, *(["--once"] if "--ca" in arguments else []))
        assert done.returncode == 2 and words in done.stderr and done.stdout == "", done
    terminal = top(daemon, environment={"TERM": "dumb"})
    assert terminal.wait_exit() == 2 and b"--once" in terminal.process.stderr.read()
    secret = tmp_path / "token"
    secret.write_text("\n")
    done = run("top", "--once", "--url", url(daemon), "--token-file", str(secret))
    assert done.returncode == 2 and "--token-file" in done.stderr


def test_once(start, run):
    daemon = start(quiet=False, with_config=False, arguments=["--demo", "--port", "0"])
    done = run("top", "--once", "--url", url(daemon))
    assert done.returncode == 0 and done.stderr == "", done
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"requests_per_min +\d+", next(line for line in lines if line.startswith("requests_per_min")))
    assert sum("healthy" in line or "degraded" in line for line in lines) == 11
    assert "\x1b" not in done.stdout
    done = run("top", "--once", "--json", "--url", url(daemon))
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["stats"]["time_window"] == "5m" and len(answer["providers"]) == 11


def test_once_says_what_is_missing(daemon, start, run):
    """A daemon without sources, and none at all."""
    done = run("top", "--once", "--url", url(daemon))
    assert done.returncode == 1 and "no statistics and no state of a provider" in done.stderr and done.stdout == "", done
    gone = start()
    gone.stop()
    done = run("top", "--once", "--json", "--url", url(gone))
    assert done.returncode == 1 and "refused" in done.stderr and done.stdout == "", done
