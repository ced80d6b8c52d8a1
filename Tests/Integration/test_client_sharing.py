"""Several subscribers of the client library on one connection, and many on a few: each gets exactly its own."""

import json
import signal

import pytest
from support.daemon import wait_until
from support.http import get, publish_many, request
from support.tls import free_port
from support.tokens import SECRET, Accounts, bearer, token

pytestmark = pytest.mark.release

LEVELS = ["debug", "info", "warn", "error", "fatal"]


def url(daemon):
    return f"ws://127.0.0.1:{daemon.port}"


def clients(daemon, headers=()):
    return request(daemon.port, "GET", "/admin/ws/clients", headers).json["clients"]


def filters(daemon):
    return [client["filters"] for client in clients(daemon)]


def events(rng, first, count):
    """Numbered events of all kinds, some of types that belong elsewhere."""
    made = []
    for number in range(first, first + count):
        channel = rng.choice(["logs", "logs", "requests", "providers", "all"])
        type = rng.choice(["log", "request", "note"])
        made.append((channel, type, {"n": number, "level": rng.choice(LEVELS), "component": rng.choice("abc"), "message": "m"}))
    return made


WISHES = {      # name: channels, words, and what passes
    "worse": ("logs", "level=error", lambda c, d: c == "logs" and d["level"] in ("error", "fatal")),
    "exactly": ("logs", "level=info,debug", lambda c, d: c == "logs" and d["level"] in ("info", "debug")),
    "of_a": ("logs,requests", "component=a", lambda c, d: c == "requests" or c == "logs" and d["component"] == "a"),
    "requests": ("requests", "", lambda c, d: c == "requests"),
    "every": ("all", "level=warn", lambda c, d: c != "logs" or d["level"] in ("warn", "error", "fatal")),
}


def numbers(probe, name):
    """Of the events, in the order in which they came."""
    return [json.loads(line)["data"]["n"] for line in probe.lines(name) if line.startswith("{") and "n" in json.loads(line).get("data", {})]


def wanted(name, published):
    passes = WISHES[name][2]
    return [data["n"] for channel, _, data in published if channel == "all" or passes(channel, data)]


def test_each_gets_its_own_over_one_connection(start, probe, rng):
    daemon = start()
    probe.tell("open", "own", url(daemon), "logs", "level=fatal")
    probe.wait_for("own", "connected")
    published = []
    for name, (channels, words, _) in WISHES.items():
        probe.tell("share", name, "own", channels, words)
        probe.wait_for(name, "connected")
    wait_until(lambda: [client["channels"] for client in clients(daemon)] == [["all"]], lambda: clients(daemon))
    published = events(rng, 0, 1000)
    published.append(("all", "note", {"n": 1000}))
    publish_many(daemon.port, published)
    for name in WISHES:
        probe.wait_for(name, '"n":1000')
        assert numbers(probe, name) == wanted(name, published), name
    probe.wait_for("own", '"n":1000')
    assert numbers(probe, "own") == [d["n"] for c, _, d in published if c == "all" or c == "logs" and d["level"] == "fatal"]
    # Who leaves is asked for no longer.
    for name in ("every", "of_a", "requests", "exactly"):
        probe.tell("leave", name)
        probe.wait_for(name, "end")
    wait_until(lambda: filters(daemon) == [{"logs": {"level": "error,fatal,panic"}}], lambda: clients(daemon))
    before = len(probe.lines("every"))
    more = [*events(rng, 2000, 300), ("all", "note", {"n": 3000})]
    publish_many(daemon.port, more)
    probe.wait_for("worse", '"n":3000')
    assert numbers(probe, "worse") == wanted("worse", published + more) and len(probe.lines("every")) == before
    probe.tell("stop", "own")
    probe.wait_for("worse", "end")
    assert "stopped: stopped" in probe.lines("worse") and clients(daemon) == []


@pytest.mark.parametrize("how", ["shared", "pooled"])
def test_events_of_before_disturb_nobody(start, probe, how):
    daemon = start()
    publish_many(daemon.port, [("logs", "log", {"n": number}) for number in range(100)])
    probe.tell(*(("open", "x", url(daemon), "logs") if how == "shared" else ("pool", "x", url(daemon), 2)))
    probe.tell("share", "live", "x", "logs")
    probe.wait_for("live", "connected")
    wait_until(lambda: [client["channels"] for client in clients(daemon)] == [["logs"]], lambda: clients(daemon))
    probe.tell("share", "late", "x", "logs", "since=1h")
    probe.wait_for("late", "caught_up")
    if how == "pooled":
        # Its connection has room for others, who do not get what it asked for.
        probe.tell("share", "third", "x", "requests")
        probe.wait_for("third", "connected")
        probe.tell("share", "none", "x", "logs", "since=1h")
        probe.wait_for("none", "events of before need a connection of their own, and all 2 of the pool are in use")
    assert len(clients(daemon)) == 2
    publish_many(daemon.port, [("logs", "log", {"n": number}) for number in range(100, 150)])
    probe.wait_for("late", '"n":149')
    probe.wait_for("live", '"n":149')
    assert numbers(probe, "late") == list(range(150)) and numbers(probe, "live") == list(range(100, 150))
    assert "caught_up" not in "".join(probe.lines("live")) and numbers(probe, "third") == []
    probe.tell("leave", "late")
    probe.wait_for("late", "end")
    if how == "shared":
        wait_until(lambda: len(clients(daemon)) == 1, lambda: clients(daemon))


def test_statistics_of_another_window_need_another_connection(binary, tmp_path, probe):
    from support.daemon import QUIET, Daemon, merge
    with Daemon(binary, tmp_path, merge(QUIET, {"sources": {"stats": {"enabled": True}, "providers": {"enabled": True}}}), arguments=["--demo"]) as daemon:
        probe.tell("pool", "p", url(daemon), 2)
        for name, window in (("five", "5m"), ("hour", "1h"), ("again", "5m"), ("day", "24h")):
            probe.tell("share", name, "p", "stats,providers" if name == "again" else "stats", f"window={window}")
        assert probe.wait_for("day", "all 2 connections") == "all 2 connections of the pool have statistics of another window or interval than window 24h"
        for name, window in (("five", "5m"), ("hour", "1h"), ("again", "5m")):
            probe.wait_for(name, f'"time_window":"{window}"')
            assert all(f'"time_window":"{window}"' in line for line in probe.lines(name) if "stats_update" in line)
        probe.wait_for("again", "provider_status")
        assert not any("provider_status" in line for line in probe.lines("five"))
        assert probe.ask("pooled", "p") == [2, 2]
        # Who comes late gets the present figures and states at once, though nothing has to be asked for.
        probe.tell("share", "late", "p", "stats,providers", "window=5m")
        probe.wait_for("late", '"time_window":"5m"')
        probe.wait_for("late", "provider_status")
        # On one connection, the second window is refused.
        probe.tell("open", "c", url(daemon), "stats", "window=5m")
        probe.wait_for("c", "stats_update")
        probe.tell("share", "other", "c", "stats", "window=1h")
        probe.wait_for("other", "end")
        assert probe.lines("other") == ["connected", "", "end"]


def test_a_pool_spreads_and_shrinks(start, probe, rng):
    daemon = start()
    probe.tell("pool", "p", url(daemon), 3)
    names = list(WISHES)
    for name in names:
        probe.tell("share", name, "p", WISHES[name][0], WISHES[name][1])
    probe.tell("share", "same", "p", *WISHES["worse"][:2])
    for name in [*names, "same"]:
        probe.wait_for(name, "connected")
    # Five wishes on three connections; the sixth is one that is there already.
    assert probe.ask("pooled", "p") == [3, 3] and len(clients(daemon)) == 3
    wait_until(lambda: all(client["channels"] for client in clients(daemon)) and any(client["channels"] == ["all"] for client in clients(daemon)), lambda: clients(daemon))
    # Who joins a connection that is there is given events from a moment on that nobody sees from outside.
    wait_until(lambda: publish_many(daemon.port, [("logs", "log", {"level": "error", "message": "is it there"})]) and any("is it there" in line for line in probe.lines("same")),
               lambda: probe.lines("same"))
    published = [*events(rng, 0, 500), ("all", "note", {"n": 500})]
    publish_many(daemon.port, published)
    for name in [*names, "same"]:
        probe.wait_for(name, '"n":500')
    for name in names:
        assert numbers(probe, name) == wanted(name, published), name
    assert numbers(probe, "same") == numbers(probe, "worse")
    for name in names:
        probe.tell("leave", name)
        probe.wait_for(name, "end")
    wait_until(lambda: filters(daemon) == [{"logs": {"level": "error,fatal,panic"}}], lambda: clients(daemon))
    assert probe.ask("pooled", "p") == [1, 3]
    probe.tell("leave", "same")
    wait_until(lambda: clients(daemon) == [], lambda: clients(daemon))
    assert probe.ask("pooled", "p") == [0, 3]
    # And again, from nothing.
    probe.tell("share", "anew", "p", "logs")
    probe.wait_for("anew", "connected")


def test_connections_of_a_pool_come_back_on_their_own(start, probe):
    """One is disconnected for good, one is cut with the daemon: nobody else's subscriptions end."""
    port = free_port()
    daemon = start({"server": {"port": port}})
    probe.tell("pool", "p", url(daemon), 2)
    probe.tell("share", "a", "p", "logs", "component=a")
    probe.tell("share", "b", "p", "logs", "component=b")
    for name in "ab":
        probe.wait_for(name, "connected")
    wait_until(lambda: sum(len(client["channels"]) for client in clients(daemon)) == 2, "subscriptions")
    victim = next(client["id"] for client in clients(daemon) if client["filters"]["logs"]["component"] == "a")
    request(port, "DELETE", f"/admin/ws/clients/{victim}")
    probe.wait_for("a", "end")
    assert "4505" in probe.lines("a")[-2]
    # Whoever comes after that does not get to the connection that is over.
    probe.tell("share", "c", "p", "logs", "component=c")
    probe.wait_for("c", "connected")
    wait_until(lambda: sum(len(client["channels"]) for client in clients(daemon)) == 2, "subscriptions")
    publish_many(port, [("logs", "log", {"n": number, "component": "abc"[number % 3]}) for number in range(30)])
    probe.wait_for("b", '"n":28')
    probe.wait_for("c", '"n":29')
    daemon.kill(signal.SIGKILL)
    daemon.wait_exit()
    daemon.stop(expect_clean=False)
    again = start({"server": {"port": port}})
    publish_many(port, [("logs", "log", {"n": number, "component": "abc"[number % 3]}) for number in range(30, 60)])
    for name, rest in (("b", 1), ("c", 2)):
        probe.wait_for(name, f'"n":{57 + rest}')
        assert numbers(probe, name) == [number for number in range(60) if number % 3 == rest]
        gaps = [json.loads(line)["data"]["reason"] for line in probe.lines(name) if '"type":"gap"' in line]
        assert gaps == ["restarted"] and probe.lines(name).count("connected") == 2
    again.stop()


def test_what_one_user_may_have_is_heeded(start, probe, tmp_path):
    accounts = Accounts(tmp_path / "gateway.db")
    ann = token(accounts.user("admin"), "admin")
    daemon = start({"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET},
                    "limits": {"connections_per_user": 2, "messages_per_second": 100000}})
    probe.tell("pool", "p", url(daemon), 5, f"token={ann}")
    for name in "ab":
        probe.tell("share", name, "p", "logs", f"component={name}")
        probe.wait_for(name, "connected")
    for name in "cde":
        probe.tell("share", name, "p", "logs", f"component={name}")
        probe.wait_for(name, "connected")
    # The first one too many is told why it waits, and then that it does not any more; the others do not try.
    assert "429 limits.connections_per_user (2) is reached" in probe.lines("c")[1] and probe.lines("c")[2] == "connected", probe.lines("c")
    assert probe.lines("d") == probe.lines("e") == ["connected"]
    assert probe.ask("pooled", "p") == [2, 2]
    wanted = sorted("abcde")
    wait_until(lambda: sorted(c for f in [c["filters"] for c in clients(daemon, bearer(ann))] for c in f["logs"]["component"].split(",")) == wanted,
               lambda: clients(daemon, bearer(ann)))
    publish_many(daemon.port, [("logs", "log", {"n": number, "component": "abcde"[number % 5]}) for number in range(50)], bearer(ann))
    for index, name in enumerate("abcde"):
        probe.wait_for(name, f'"n":{45 + index}')
        assert numbers(probe, name) == list(range(index, 50, 5))
    # Where one has ended there is room again.
    for name in "ace":
        probe.tell("leave", name)
    for name in "bd":
        probe.tell("leave", name)
    wait_until(lambda: probe.ask("pooled", "p") == [0, 5], "the end of all")
    assert get(daemon.port, "/health").status == 200
