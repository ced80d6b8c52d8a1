"""Lines of the gateway's unit become events, whatever happens to the journal."""

import json
import re
import threading
import time

import pytest
from bench.journal import Follower, check_event, check_numbers, instant, lines_of, numbered, numbers
from bench.machine import BENCH, DAEMON, GATEWAY, pace, token
from support.daemon import wait_until
from support.gateway import FIXTURES, now_ns, shifted_fixture
from support.http import get, publish
from support.ws import WebSocket


def source(machine, name="journal"):
    """What /ready says of a source."""
    return {entry["name"]: entry for entry in get(machine.port, "/ready").json["sources"]}.get(name)


def started(machine, settings=None):
    """Starts the daemon and waits until it reads the journal."""
    machine.start_daemon(settings)
    working(machine)


def working(machine, name="journal"):
    wait_until(lambda: (source(machine, name) or {}).get("state") == "working",
               lambda: f"source {name} working: {get(machine.port, '/ready').json}")


def end(machine, follower, stream="stdout"):
    """Prints a last line twice: what was to come before has come, and no line came late or twice."""
    for _ in range(2):
        last = token()
        machine.print(f"{last}\n".encode(), stream)
        follower.wait_text(last)
    return last


def printed(machine, follower, data, stream="stdout"):
    """Prints, and compares what came with the journal, line by line. Gives back the events."""
    begin, after = token(), machine.cursor()
    machine.print(f"{begin}\n".encode() + data, stream)
    last = end(machine, follower, stream)
    lines = lines_of(machine.entries(after))
    got = follower.messages
    texts = [message["data"].get("message") for message in got]
    got = got[texts.index(begin):texts.index(last) + 1]
    for message, (line, entry) in zip(got, lines):
        check_event(message, line, entry)
    assert len(got) == len(lines), f"{len(got)} events for {len(lines)} lines"
    ids = [int(message["id"].rpartition("-")[2]) for message in got]
    assert ids == sorted(set(ids)), "ids that do not grow"
    return got[1:-2], lines[1:-2]


def fixture_lines(name):
    return [line for line in (FIXTURES / name).read_bytes().split(b"\n") if line]


# What an event says

@pytest.mark.parametrize("name", ["journal-sample.jsonl", "output-sample.txt"])
@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_every_line_of_the_gateway_arrives_once_in_order_taken_apart(machine, name, stream):
    started(machine)
    with Follower(machine.port) as follower:
        _, lines = printed(machine, follower, (FIXTURES / name).read_bytes(), stream)
        assert [line for line, _ in lines] == fixture_lines(name), "the journal has other lines than the file"
        assert not follower.others(), follower.others()


def test_lines_that_are_almost_json(machine):
    started(machine)
    with Follower(machine.port) as follower:
        events, lines = printed(machine, follower, b"".join((
            b'{"level":"error","message":"cut off\n', b'["level","error"]\n', b'"level"\n', b"12\n", b"{}\n",
            b'{"level":"warn"}\n', b'{"message":"only this"}\n', b'{"level":"fatal","message":"worse than error"}\n',
            b'{"level":"info","message":"\\u0000 \\ud83d\\ude80 \xf0\x9f\x9a\x80","deep":{"a":[1,2.50,{"a":null}]},"n":12345678901234567890}\n',
            b'{"message":"the second","level":"info","message":"of two","x":1,"x":2}\n', b"  indented\n",
            b"\x1b[31;1mred\x1b[0m and \x1b[38;5;200mpink\x1b[m\n")))
        assert len(events) == len(lines) == 12


def test_lines_with_a_syslog_priority(machine):
    started(machine)
    with Follower(machine.port) as follower:
        events, _ = printed(machine, follower, b'<3>an error\n<4>a warning\n<7>a detail\n<3>{"level":"debug","message":"knows better"}\n')
        assert [event["data"]["level"] for event in events] == ["error", "warn", "debug", "debug"]


def test_bytes_that_are_no_text(machine):
    started(machine)
    with Follower(machine.port) as follower:
        before = token()
        machine.print(f"{before} caf".encode() + b"\xe9 \xff\xc0\x80 end\n" + b'{"level":"info","message":"' + before.encode() + b' \xe9"}\n')
        end(machine, follower)
        texts = [event["data"]["message"] for event in follower.logs() if before in event["data"]["message"]]
        assert len(texts) == 2, texts
        assert texts[0].startswith(f"{before} caf\ufffd ") and texts[0].endswith(" end"), texts


def test_lines_longer_than_journald_takes_in_one_piece_arrive_whole(machine):
    started(machine)
    with Follower(machine.port) as follower:
        long = {"level": "warn", "component": "router", "filler": "äöü" * 16000, "n": 1, "message": "long "}
        # No white space at the ends of pieces: journald takes it away.
        long["message"] += "-" * (100_000 - len(json.dumps(long, ensure_ascii=False).encode()))
        plain = "ä".encode() * 50_000
        exact = [b"x" * size for size in (49151, 49153, 2 * 49152 + 1)]
        parts = (json.dumps(long, ensure_ascii=False).encode(), plain, *exact, b"after")
        events, lines = printed(machine, follower, b"".join(part + b"\n" for part in parts))
        assert [len(text) for text, _ in lines] == [100_000, 100_000, 49151, 49153, 98305, 5]
        assert events[0]["data"]["fields"]["filler"] == long["filler"]
        assert not any("truncated" in event["data"] for event in events)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_json_line_that_ends_where_journald_cuts_is_not_glued_to_the_next(machine, pieces):
    started(machine)
    with Follower(machine.port) as follower:
        name, size = token(), pieces * 49152
        line = {"level": "warn", "message": name, "filler": ""}
        line["filler"] = "x" * (size - len(json.dumps(line)))
        printed(machine, follower, json.dumps(line).encode() + b"\n" + numbered(name, 2) + b"text\n")


def test_long_lines_of_one_stream_between_lines_of_another(machine):
    started(machine)
    name, other = token(), token()
    with Follower(machine.port) as follower:
        def short():
            for number in pace(300, 300):
                machine.print(numbered(other, number), "other")
        writer = threading.Thread(target=short)
        writer.start()
        filler = "y" * 100_000
        for number in pace(30, 30):
            machine.print(json.dumps({"level": "info", "n": number, "filler": filler, "message": name}).encode() + b"\n")
        writer.join()
        follower.wait(lambda m: m["data"]["message"] == name and m["data"]["fields"]["n"] == 29, "last long line")
        follower.wait(lambda m: m["data"]["message"] == other and m["data"]["fields"]["n"] == 299, "last short line")
        assert numbers(follower.messages, name) == list(range(30))
        assert numbers(follower.messages, other) == list(range(300))
        assert all(event["data"]["fields"].get("filler", filler) == filler for event in follower.logs())
        assert len(follower.messages) == 330, "pieces of lines came as events"


@pytest.mark.parametrize("kind", ["json", "text"])
def test_lines_longer_than_an_event_are_cut_and_marked(machine, kind):
    started(machine)
    begin = token()
    with Follower(machine.port) as follower:
        text = f"{begin} " + "0123456789" * 40_000
        line = json.dumps({"level": "error", "component": "router", "n": 1, "message": text}) if kind == "json" else text
        machine.print(line.encode() + b"\n")
        end(machine, follower)
        long, *rest = follower.messages
        assert len(rest) == 2 and long["type"] == "log", [str(message)[:200] for message in follower.messages]
        data = long["data"]
        assert data["truncated"] is True, str(long)[:300]
        assert begin in json.dumps(data)
        assert (data["unit"], data["source"]) == (GATEWAY, "journal")
        size = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
        assert 100_000 < size <= 262_144, size


# Filters

def test_filters_by_level_component_and_text(machine):
    started(machine)
    lines = [json.loads(line, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
             for line in fixture_lines("journal-sample.jsonl")]
    wanted = {
        "level=warn": lambda line: line["level"] in ("warn", "error", "fatal", "panic"),
        "level=warn,error": lambda line: line["level"] in ("warn", "error"),
        "level=info": lambda line: line["level"] != "debug",
        "level=debug": lambda line: True,
        "component=discovery": lambda line: line.get("component") == "discovery",
        "component=discovery,router": lambda line: line.get("component") in ("discovery", "router"),
        "q=WEBSOCKET%20connection": lambda line: "websocket connection" in line["message"].lower(),
        "level=warn&q=request": lambda line: line["level"] in ("warn", "error") and "request" in line["message"].lower(),
        "provider_id=x%22y": lambda line: line.get("provider_id") == 'x"y',
    }
    followers = {query: Follower(machine.port, f"/ws/logs?{query}") for query in wanted}
    try:
        with Follower(machine.port) as everything:
            machine.print((FIXTURES / "journal-sample.jsonl").read_bytes())
            end(machine, everything)
        for query, condition in wanted.items():
            right = [line["message"] for line in lines if condition(line)]
            assert right, f"nothing to see with {query}"
            # A line of admins' own passes every filter: what came before it is all there is.
            publish(machine.port, "all", "done", {})
            followers[query].wait(lambda m: m["type"] == "done", "end")
            got = [event["data"]["message"] for event in followers[query].logs()]
            if query == "level=debug":  # The two last lines of the test itself, which have no level, are info.
                got = got[:-2]
            elif query == "level=info":
                got = got[:-2]
            assert got == right, query
    finally:
        for follower in followers.values():
            follower.close()


def test_a_provider_named_by_name_is_found_by_its_id(machine):
    database = machine.bench / "gateway.db"
    shifted_fixture(database, now_ns())
    sources = {name: {"enabled": True} for name in ("stats", "requests", "providers")}
    started(machine, {"database": {"connection": f"{BENCH}/gateway.db"}, "sources": sources})
    working(machine, "providers")
    groq, cerebras = "e129705e-273f-45c9-a326-828e2b056e38", "d9343e92-ba09-4d9d-92df-d79b4d76429b"
    lines = fixture_lines("journal-sample.jsonl")
    extra = b'{"level":"info","provider_id":"%s","message":"by id"}\n{"level":"info","provider":"Nobody","message":"unknown"}\n' % groq.encode()
    with Follower(machine.port) as everything, Follower(machine.port, f"/ws/logs?provider_id={groq}") as one, \
            Follower(machine.port, f"/ws/logs?provider_id={groq},{cerebras}") as two:
        machine.print((FIXTURES / "journal-sample.jsonl").read_bytes() + extra)
        end(machine, everything)
        publish(machine.port, "all", "done", {})
        for follower, names in ((one, (b'"Groq"',)), (two, (b'"Groq"', b'"Cerebras"'))):
            follower.wait(lambda m: m["type"] == "done", "end")
            right = [json.loads(line)["message"] for line in lines if any(b'"provider":' + name in line for name in names)]
            assert len(right) >= len(names)
            assert [event["data"]["message"] for event in follower.logs()] == [*right, "by id"]
        named = [event for event in one.logs() if event["data"]["message"] != "by id"]
        assert all(event["data"]["provider_id"] == groq and event["data"]["fields"]["provider"] == "Groq" for event in named), named
        unknown = [event for event in everything.logs() if event["data"]["message"] == "unknown"]
        assert len(unknown) == 1 and not unknown[0]["data"].get("provider_id"), unknown


# What happens to the journal

def follow(machine, rounds, per_second=300):
    """Lines at a steady rate while the journal is rotated, vacuumed, synced, and journald restarted."""
    started(machine)
    name, stop, written = token(), threading.Event(), [0]

    def write():
        begin = time.monotonic()
        while not stop.is_set():
            machine.print(numbered(name, written[0] + 1))
            written[0] += 1
            time.sleep(max(0.0, begin + written[0] / per_second - time.monotonic()))

    with Follower(machine.port) as follower, Follower(machine.port) as second:

        def vacuum(*rotations):
            """Takes the archived files away once they have been read: what nobody has read by then nobody can tell."""
            for _ in rotations:
                machine.journalctl("--rotate")
                time.sleep(0.2)
            upto = written[0]
            for some in (follower, second):
                some.wait(lambda m: m["type"] == "log" and m["data"]["fields"].get("n") == upto, f"line {upto}")
            machine.journalctl("--vacuum-size=1M")

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        try:
            for _ in range(rounds):
                machine.journalctl("--rotate")
                time.sleep(0.2)
                vacuum(1)
                machine.journalctl("--sync")
                machine.systemctl("restart", "systemd-journald.service")
                # systemd gives up for good on what is restarted too often in a short time.
                machine.systemctl("reset-failed", "systemd-journald.service")
                machine.journalctl("--flush")
                vacuum(1, 2, 3)
                machine.run("sh", "-c", "journalctl --rotate; journalctl --rotate; systemctl restart systemd-journald; journalctl --rotate")
                machine.systemctl("reset-failed", "systemd-journald.service")
        finally:
            stop.set()
            writer.join()
        last = end(machine, follower)
        second.wait_text(last)
        for some in (follower, second):
            check_numbers(numbers(some.messages, name), 1, written[0])
            assert not some.others(), some.others()
    return written[0]


def test_no_line_is_lost_or_told_twice_by_rotation_vacuum_and_a_restart_of_journald(machine, fact):
    fact(f"{follow(machine, rounds=2)} lines")


@pytest.mark.long
def test_no_line_is_lost_or_told_twice_over_many_rotations(machine, fact):
    fact(f"{follow(machine, rounds=25, per_second=1000)} lines")


def test_lines_that_vacuum_took_before_they_were_read_are_told_as_a_gap(machine):
    started(machine)
    name, number = token(), 0
    with Follower(machine.port) as follower:
        machine.print(numbered(name, 0))
        end(machine, follower)
        machine.systemctl("kill", "--kill-whom=main", "--signal=STOP", DAEMON)
        try:
            # Those of the second and third round stand in files that the daemon has never seen.
            for _ in range(4):
                machine.print(b"".join(numbered(name, number + 1 + i) for i in range(50)))
                number += 50
                machine.journalctl("--sync")
                machine.journalctl("--rotate")
            machine.journalctl("--vacuum-size=1M")
        finally:
            machine.systemctl("kill", "--kill-whom=main", "--signal=CONT", DAEMON)
        end(machine, follower)
        machine.print(numbered(name, number + 1))
        follower.wait(lambda m: m["type"] == "log" and m["data"]["fields"].get("n") == number + 1, "last line")
        got = numbers(follower.messages, name)
        assert got == sorted(set(got)), "lines twice or in the wrong order"
        if len(got) < number + 2:
            gaps = follower.others()
            assert gaps, f"lost in silence: {number + 2 - len(got)} lines"
            assert all(gap["type"] == "gap" and gap["id"] and gap["data"]["reason"] == "source_lost"
                       and gap["data"]["channels"] == ["logs"] for gap in gaps), gaps


def suppressed(machine, count, bursts):
    """More lines than the rate limit lets through: what came and what `gap` events say add up to what was printed."""
    machine.drop_in(GATEWAY, "[Service]\nLogRateLimitIntervalSec=5s\nLogRateLimitBurst=1000\n")
    try:
        started(machine)
        name, number = token(), 0
        with Follower(machine.port) as follower:
            for _ in range(bursts):
                machine.print(b"".join(numbered(name, number + i) for i in range(count)))
                number += count
                # Until journald has taken all of it, then out of its interval; it tells with the next line.
                machine.journalctl("--sync")
                time.sleep(6)
                machine.print(numbered(name, number))
                number += 1
            follower.wait(lambda m: m["type"] == "log" and m["data"]["fields"].get("n") == number - 1, "last line", 60)
            wait_until(lambda: len(numbers(follower.messages, name)) + lost(follower) >= number,
                       lambda: f"{len(numbers(follower.messages, name))} lines and {lost(follower)} suppressed make {number}; "
                               f"{follower.others()}")
            got = numbers(follower.messages, name)
            assert got == sorted(set(got)), "lines twice or in the wrong order"
            assert len(got) + lost(follower) == number, (len(got), follower.others())
            assert lost(follower) > 0, "nothing was suppressed: this test tests nothing"
            for gap in follower.others():
                assert gap["type"] == "gap" and gap["id"] and gap["timestamp"], gap
                assert gap["data"]["reason"] == "source_lost" and gap["data"]["channels"] == ["logs"], gap
                # The hole is told before what comes after it.
                place = follower.messages.index(gap)
                before, after = numbers(follower.messages[:place], name), numbers(follower.messages[place:], name)
                assert after and after[0] - before[-1] - 1 == gap["data"]["dropped"], (before[-1], after[0], gap)
            ids = [int(message["id"].rpartition("-")[2]) for message in follower.messages]
            assert ids == sorted(set(ids))
        return len(got), lost(follower)
    finally:
        machine.drop_in(GATEWAY, None)


def lost(follower):
    return sum(message["data"]["dropped"] for message in list(follower.messages) if message["type"] == "gap")


def test_lines_that_journald_suppressed_are_told_as_a_gap(machine, fact):
    came, gone = suppressed(machine, 30_000, bursts=1)
    fact(f"{came} lines came, {gone} were suppressed")


@pytest.mark.long
def test_lines_that_journald_suppressed_again_and_again_are_told_as_gaps(machine, fact):
    came, gone = suppressed(machine, 30_000, bursts=5)
    fact(f"{came} lines came, {gone} were suppressed")


# What the daemon says of it

def test_ready_lists_the_journal_as_working(machine):
    started(machine)
    answer = get(machine.port, "/ready")
    assert answer.status == 200 and answer.json["ready"] is True, answer
    assert source(machine)["why"] == ""
    assert get(machine.port, "/ready?source=journal").status == 200


def test_without_the_right_to_read_the_journal_the_daemon_says_so_and_goes_on(machine):
    machine.write(f"/run/systemd/system/{DAEMON}.d/group.conf", "[Service]\nSupplementaryGroups=\n")
    machine.systemctl("daemon-reload")
    try:
        machine.start_daemon()
        wait_until(lambda: (source(machine) or {}).get("state") == "failing", lambda: f"{get(machine.port, '/ready').json}")
        why = source(machine)["why"]
        assert "systemd-journal" in why, why
        assert get(machine.port, "/ready").status == 503
        machine.wait_for_daemon_log(re.escape(why))
        assert get(machine.port, "/health").status == 200
        with Follower(machine.port) as follower:
            machine.print(b"not to be seen\n")
            publish(machine.port, "logs", "log", {"level": "info", "message": "published"})
            follower.wait_text("published")
            assert len(follower.messages) == 1
    finally:
        machine.run("rm", "-rf", f"/run/systemd/system/{DAEMON}.d")
        machine.systemctl("daemon-reload")


def test_the_daemons_own_lines_are_not_fed_back(machine):
    started(machine, {"sources": {"journal": {"units": [GATEWAY, DAEMON]}}})
    with Follower(machine.port) as follower:
        after = machine.cursor()
        machine.systemctl("kill", "--kill-whom=main", "--signal=HUP", DAEMON)
        wait_until(lambda: machine.entries(after, DAEMON), "a line of the daemon's own in the journal")
        end(machine, follower)
        time.sleep(0.5)
        end(machine, follower)
        assert {event["data"]["unit"] for event in follower.logs()} == {GATEWAY}
        assert len(follower.messages) == 4, follower.messages


# Lines of before

def split(messages):
    """(replayed, caught_up, live). What the journal says of suppressed lines of other tests is left out."""
    messages = [message for message in messages if message["type"] != "gap" or message["data"]["reason"] != "source_lost"]
    kinds = [message["type"] for message in messages]
    assert kinds.count("caught_up") == 1, f"{kinds.count('caught_up')} × caught_up in {kinds[:3]} … {kinds[-3:]}"
    place = kinds.index("caught_up")
    return messages[:place], messages[place], messages[place + 1:]


def check_caught_up(message):
    where = message.get("id") or message.get("data", {}).get("id") or message["data"].get("position")
    assert where and re.fullmatch(r"[0-9a-z]+-\d+", where), message
    return int(where.rpartition("-")[2])


@pytest.mark.parametrize("how", ["query", "subscribe"])
def test_after_a_restart_the_lines_of_before_come_from_the_journal(machine, how):
    started(machine)
    name, after = token(), machine.cursor()
    with Follower(machine.port) as follower:
        machine.print(b"".join(numbered(name, n) for n in range(1, 201)))
        end(machine, follower)
        check_numbers(numbers(follower.messages, name), 1, 200)
    machine.stop_daemon()
    machine.journalctl("--rotate")
    machine.print(b"".join(numbered(name, n) for n in range(201, 301)))
    machine.journalctl("--sync")
    machine.start_daemon()
    working(machine)
    if how == "query":
        client = WebSocket(machine.port, f"/ws/logs?since=5m&q={name}")
    else:
        client = WebSocket(machine.port, "/ws")
        client.send({"type": "subscribe", "data": {"channels": ["logs"], "since": "5m", "filters": {"logs": {"q": name}}}})
    with Follower(machine.port, client=client) as follower:
        follower.wait(lambda m: m["type"] == "caught_up", "caught_up")
        machine.print(b"".join(numbered(name, n) for n in range(301, 311)))
        follower.wait(lambda m: m["type"] == "log" and m["data"]["fields"]["n"] == 310, "last line")
        replayed, caught_up, live = split(follower.messages)
    check_numbers(numbers(replayed, name), 1, 300)
    check_numbers(numbers(live, name), 301, 310)
    assert len(replayed) == 300 and len(live) == 10, "something else came"
    assert not any("id" in message for message in replayed)
    upto = check_caught_up(caught_up)
    assert all(int(message["id"].rpartition("-")[2]) > upto for message in live)
    # A line replayed says what it said live.
    lines = [(line, entry) for line, entry in lines_of(machine.entries(after)) if name.encode() in line]
    for message, (line, entry) in zip(replayed + live, lines, strict=True):
        check_event(message, line, entry)


def joining(machine, clients, seconds, per_second, restarts):
    """Clients come with `since` while lines are printed: each gets all of them, once, in order."""
    started(machine)
    name = token()
    machine.print(b"".join(numbered(name, n) for n in range(1, 101)))
    last = 100
    for _ in range(restarts):
        machine.journalctl("--sync")
        machine.restart_daemon()
        working(machine)
        followers = []

        def come():
            for _ in pace(clients, clients / (seconds * 0.7)):
                followers.append(Follower(machine.port, f"/ws/logs?since=5m&q={name}"))

        visitor = threading.Thread(target=come)
        visitor.start()
        for number in pace(int(seconds * per_second), per_second):
            machine.print(numbered(name, last + 1 + number))
        last += int(seconds * per_second)
        visitor.join()
        assert len(followers) == clients
        try:
            for follower in followers:
                follower.wait(lambda m: m["type"] == "log" and m["data"]["fields"]["n"] == last, "last line")
            replayed_without_id = 0
            for follower in followers:
                check_numbers(numbers(follower.messages, name), 1, last)
                replayed, caught_up, live = split(follower.messages)
                assert len(replayed) + len(live) == last, follower.others()
                upto = check_caught_up(caught_up)
                assert live, "no line came live: this test tests nothing"
                assert all(int(message["id"].rpartition("-")[2]) > upto for message in live)
                ids = [int(message["id"].rpartition("-")[2]) for message in replayed if "id" in message]
                assert ids == sorted(set(ids)) and all(number <= upto for number in ids)
                replayed_without_id += sum("id" not in message for message in replayed)
            assert replayed_without_id >= 100 * clients, "the lines of before did not come from the journal"
        finally:
            for follower in followers:
                follower.close()
    return last


def test_clients_that_come_while_lines_are_printed_get_each_once(machine):
    joining(machine, clients=6, seconds=3, per_second=200, restarts=1)


@pytest.mark.long
def test_many_clients_that_come_while_lines_are_printed_get_each_once(machine):
    joining(machine, clients=30, seconds=10, per_second=500, restarts=3)


@pytest.fixture
def told(machine):
    """Twenty lines, each in a millisecond of its own, and a daemon that has been restarted since: (name, entries)."""
    started(machine)
    name, after = token(), machine.cursor()
    # One is printed when the one before is in the journal, which gives it its instant, and that millisecond is over.
    for number in range(20):
        machine.print(numbered(name, number))
        wait_until(lambda: len(machine.entries(after)) == number + 1, "the line is in the journal")
        time.sleep(0.002)
    entries = machine.entries(after)
    assert len({instant(entry["__REALTIME_TIMESTAMP"]) for entry in entries}) == 20
    machine.restart_daemon()
    working(machine)
    return name, entries


@pytest.mark.parametrize("zone", ["utc", "offset", "whole"])
def test_since_an_instant_begins_with_exactly_that_line(machine, told, zone):
    name, entries = told
    at = instant(entries[7]["__REALTIME_TIMESTAMP"])
    if zone == "offset":
        hour = (int(at[11:13]) + 1) % 24
        if hour == 0:
            zone = "utc"  # The day would change as well; nothing is to be learnt from that here.
        else:
            at = f"{at[:11]}{hour:02}{at[13:-1]}%2B01:00"
    if zone == "whole":
        at = f"{at[:19]}Z"
    right = [n for n, entry in enumerate(entries)
             if zone != "whole" or int(entry["__REALTIME_TIMESTAMP"]) // 1_000_000 >= int(entries[7]["__REALTIME_TIMESTAMP"]) // 1_000_000]
    right = right if zone == "whole" else right[7:]
    with Follower(machine.port, f"/ws/logs?since={at}&q={name}") as follower:
        follower.wait(lambda m: m["type"] == "caught_up", "caught_up")
        replayed, _, _ = split(follower.messages)
        assert numbers(replayed, name) == right and len(replayed) == len(right)
        assert not any("id" in message for message in replayed)


def test_since_with_history_gives_the_last_of_those(machine, told):
    name, _ = told
    with Follower(machine.port, f"/ws/logs?since=5m&history=5&q={name}") as follower:
        follower.wait(lambda m: m["type"] == "caught_up", "caught_up")
        assert numbers(split(follower.messages)[0], name) == [15, 16, 17, 18, 19]


def test_since_passes_filters(machine, told):
    name, _ = told
    machine.print(b'{"level":"error","n":99,"message":"%s"}\n' % name.encode())
    with Follower(machine.port, f"/ws/logs?since=5m&q={name}&level=error") as follower:
        follower.wait(lambda m: m["type"] == "log", "line")
        follower.wait(lambda m: m["type"] == "caught_up", "caught_up")
        assert numbers(follower.messages, name) == [99]


# Figures

def delays(machine, per_second, seconds):
    started(machine)
    name = token()
    with Follower(machine.port) as follower:
        for _ in pace(per_second * seconds, per_second):
            machine.print(b'{"level":"info","at":%d,"message":"%s"}\n' % (time.monotonic_ns(), name.encode()))
        end(machine, follower)
        took = sorted((arrival - message["data"]["fields"]["at"]) / 1e6
                      for message, arrival in zip(follower.messages, follower.arrivals)
                      if message["type"] == "log" and message["data"]["message"] == name)
    assert len(took) == per_second * seconds
    return (f"{per_second} lines/s for {seconds} s, from the gateway's write to the client: p50 {took[len(took) // 2]:.1f} ms, "
            f"p99 {took[len(took) * 99 // 100]:.1f} ms, most {took[-1]:.1f} ms")


def test_delay_of_lines(machine, fact):
    fact(delays(machine, 500, 3))


@pytest.mark.long
def test_delay_of_lines_for_longer(machine, fact):
    fact(delays(machine, 500, 10))
