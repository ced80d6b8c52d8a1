"""Nothing is lost in silence: what clients received, what gaps told, and what filters held back add up to what was published,
through stalls, disconnects and resumes; and the daemon's own ledger says the same. A third of the clients read Server-Sent Events, and a third speak
MessagePack."""

import heapq
import json
import time
import urllib.parse

import pytest
from support.crowd import Crowd
from support.daemon import Literal, merge, wait_until
from support.http import get, publish_many
from support.reference import passes
from support.tls import Certificates, context, settings
from test_crowd import CHANNELS, Publisher
from test_filters import some_event, some_filters

OUTCOMES = ["delivered", "filtered", "conflated", "dropped", "abandoned", "replayed", "waiting"]


def sequence(identity):
    return int(identity.rpartition("-")[2])


def check_member(member, events, ids, published):
    """One client's whole story against everything that was published.

    Walks through what came in order: an event is the next one that passes, unless a gap told of those between.
    Gives back (events, gaps, dropped, expired)."""
    start = member.others[0][1]
    assert start["type"] == "welcome", start
    settled = sequence(start["data"]["position"])
    wanted = [n for n in published if ids[n] > settled and passes(member.channel, events[n], member.filters)]
    following = {n: k for k, n in enumerate(wanted)}
    place = 0
    gaps = dropped = expired = 0
    marks = {}
    for position, message in member.others:
        marks.setdefault(position, []).append(message)
    for position in range(len(member.numbers) + 1):
        for message in marks.get(position, ()):
            data = message.get("data", {})
            if message["type"] != "gap":
                assert message["type"] in ("welcome", "caught_up", "pong"), message
                continue
            gaps += 1
            after, resume = sequence(data["after"]), sequence(data["resume"])
            assert member.channel in data["channels"], message
            lost = [n for n in wanted[place:] if ids[n] <= resume]
            assert all(ids[n] > after for n in lost), f"{lost[:5]} before the hole of {message} are neither here nor in a gap"
            if data["reason"] == "slow_consumer":
                assert data["dropped"] == len(lost) > 0, (message, len(lost))
                dropped += len(lost)
            else:
                assert data["reason"] == "history_expired" and data.get("dropped", len(lost)) == len(lost), message
                expired += len(lost)
            place += len(lost)
            settled = max(settled, resume)
        if position < len(member.numbers):
            number = member.numbers[position]
            assert number in following, f"event {number} is not for {member.channel} {member.filters}"
            assert following[number] == place, (
                f"{member.channel} {member.filters}: event {number} comes {'again' if following[number] < place else 'after a hole'}; "
                f"next was {wanted[place:place + 3]}")
            assert ids[number] > settled, f"event {number} lies in a hole that was told"
            place += 1
    assert place == len(wanted), f"{len(wanted) - place} events are missing at the end, from {wanted[place]} on"
    return len(member.numbers), gaps, dropped, expired


def check_ledger(port):
    """The accounts of /admin/ws/stats: on each channel, what was offered is in exactly one of the others."""
    ledger = get(port, "/admin/ws/stats").json["ledger"]
    for channel, line in ledger.items():
        assert line["offered"] == sum(line[name] for name in OUTCOMES), (channel, line)
    return ledger


def run_ledger(start, rng, fact, clients, per_second, seconds, history, tls=None):
    running = start(merge({"history": history, "websocket": {"buffer_size": 16, "heartbeat_interval": Literal("1s")}, "replay": {"max_events": 1_000_000}}, tls or {}))
    crowd = Crowd(running.tls_port or running.port, context() if running.tls_port else None)

    def query(member_filters, **more):
        return urllib.parse.urlencode({**member_filters, **more})

    for number in range(clients):
        channel = CHANNELS[number % 4]
        filters = some_filters(rng, channel) if rng.random() < 0.8 else {}
        crowd.join(channel, filters, query(filters, welcome="true"), receive_buffer=rng.choice([None, 16384, 65536]), stream=number % 3 == 0,
                   packed=number % 3 == 1)
    events = []
    for number in range(per_second * seconds):
        channel, kind, data = some_event(rng)
        # Enough to fill the kernel's buffers of a client that stalls for a second or two.
        pad = "x" * rng.choice([0, 0, 100, 2000, 8000, 20000])
        events.append((channel, kind, {**data, "n": number, "pad": pad}))
    publisher = Publisher(running.port, events, per_second, rng)
    publisher.start()
    # What each client does next, and when; every decision comes from the seed, only the moments depend on the machine.
    agenda = [(time.monotonic() + rng.uniform(0, 3), number, "decide") for number in range(clients)]
    heapq.heapify(agenda)
    stalls = resumes = 0

    def resume(member):
        nonlocal resumes
        resumes += 1
        assert member.position, "a client without a position"
        buffer = rng.choice([None, 16384])
        if member.stream:
            crowd.join(member.channel, member.filters, query(member.filters), member=member, receive_buffer=buffer, stream=True, last_id=member.position)
        else:
            crowd.join(member.channel, member.filters, query(member.filters, since=member.position), member=member, receive_buffer=buffer,
                       packed=member.packed)

    while publisher.is_alive():
        crowd.poll(0.02)
        now = time.monotonic()
        while agenda and agenda[0][0] <= now:
            _, number, action = heapq.heappop(agenda)
            member = crowd.members[number]
            assert not member.closed, (member.closed, member.channel)
            wait = rng.uniform(0.2, 2)
            if action == "decide":
                chance = rng.random()
                if chance < 0.3:
                    stalls += 1
                    crowd.pause(member)
                    action, wait = "wake", rng.choice([rng.uniform(0.1, 1), rng.uniform(1, seconds / 3)])
                elif chance < 0.5:
                    crowd.part(member)
                    action, wait = "resume", rng.choice([0, rng.uniform(0.1, 1), rng.uniform(1, seconds / 3)])
            elif action == "wake":
                # Some leave without having read what waits.
                if rng.random() < 0.3:
                    crowd.part(member)
                    resume(member)
                else:
                    crowd.resume(member)
                action = "decide"
            else:
                resume(member)
                action = "decide"
            heapq.heappush(agenda, (now + wait, number, action))
        if rng.random() < 0.01:
            check_ledger(running.port)
    publisher.join()
    assert publisher.error is None
    for _, number, action in agenda:
        if action == "wake":
            crowd.resume(crowd.members[number])
        elif action == "resume":
            resume(crowd.members[number])
    # Settled: a WebSocket asks for its position, a stream is told it with the next heartbeat.
    last = publish_many(running.port, [("stats", "end", {})])["last_id"]
    waiting = set(range(clients))

    def is_done():
        for number in list(waiting):
            member = crowd.members[number]
            assert not member.closed, (member.closed, member.channel, member.filters)
            if member.position and sequence(member.position) >= sequence(last):
                waiting.discard(number)
        return not waiting

    asked = 0
    deadline = time.monotonic() + 120
    while not is_done():
        if time.monotonic() - asked > 0.5:
            asked = time.monotonic()
            for member in (crowd.members[number] for number in waiting if not crowd.members[number].stream):
                crowd.say(member, {"type": "ping"})
        crowd.poll(0.05)
        assert time.monotonic() < deadline, f"{len(waiting)} clients are not level"
    ids = {number: sequence(identity) for number, identity in publisher.ids.items()}
    published = sorted(ids, key=ids.get)
    received = gaps = dropped = expired = 0
    wrong = []
    for number, member in enumerate(crowd.members):
        member.others = [(p, m) for p, m in member.others if m["type"] != "end"]
        try:
            counts = check_member(member, events, ids, published)
        except AssertionError as error:
            wrong.append(f"client {number}: {error}")
            continue
        received, gaps, dropped, expired = (a + b for a, b in zip((received, gaps, dropped, expired), counts))
    assert not wrong, f"{len(wrong)} of {clients} clients:\n" + "\n".join(wrong[:10])
    crowd.leave()
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["total_clients"] == 0, "all have left")
    ledger = check_ledger(running.port)
    told = get(running.port, "/admin/ws/stats").json["gaps"]
    assert told["slow_consumer"] + told["history_expired"] >= gaps and told["restarted"] == told["source_lag"] == told["source_lost"] == 0, told
    assert all(line["waiting"] == 0 for line in ledger.values()), ledger
    assert sum(line["dropped"] for line in ledger.values()) >= dropped
    assert sum(line["delivered"] for line in ledger.values()) >= received
    fact(f"{clients} clients, {len(events)} events at {per_second}/s, {stalls} stalls, {resumes} resumes: {received} received, "
         f"{gaps} gaps for {dropped} dropped and {expired} expired, 0 unexplained; ledger {json.dumps(ledger)}")
    return gaps, dropped, expired


LARGE = {"max_events": 1_000_000, "max_bytes": 1_000_000_000}
SMALL = {"max_events": 300, "max_bytes": 400_000}


@pytest.mark.slow_reader
@pytest.mark.parametrize("over", ["plain", "tls"])
@pytest.mark.parametrize("history", [LARGE, SMALL], ids=["large history", "small history"])
def test_short_ledger(start, rng, fact, tmp_path, history, over):
    tls = settings(Certificates(tmp_path / "tls").make("server")) if over == "tls" else None
    gaps = run_ledger(start, rng, fact, clients=60, per_second=200, seconds=8, history=history, tls=tls)
    assert gaps == (0, 0, 0) if history is LARGE else all(gaps)


@pytest.mark.long
@pytest.mark.slow_reader
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("history", [LARGE, SMALL], ids=["large history", "small history"])
def test_ledger_of_two_minutes(start, rng, fact, history):
    gaps = run_ledger(start, rng, fact, clients=300, per_second=200, seconds=120, history=history)
    assert gaps == (0, 0, 0) if history is LARGE else all(gaps)


def test_canary_a_ledger_that_does_not_balance():
    """The bookkeeping must notice an event that is missing, doubled, or foreign, and a gap that counts wrongly."""
    class Story:
        channel, filters = "logs", {}

    events = [("logs", "log", {"n": n}) for n in range(8)]
    ids = {n: 100 + n for n in range(8)}

    def story(numbers, *others):
        member = Story()
        member.numbers = numbers
        member.others = [(0, {"type": "welcome", "data": {"position": "e-99"}}), *others]
        return check_member(member, events, ids, range(8))

    def gap(position, after, resume, dropped, reason="slow_consumer"):
        data = {"reason": reason, "channels": ["logs"], "after": f"e-{after}", "resume": f"e-{resume}"}
        return position, {"type": "gap", "data": {**data, **({} if dropped is None else {"dropped": dropped})}}

    assert story(list(range(8))) == (8, 0, 0, 0)
    assert story([0, 1, 4, 5, 6, 7], gap(2, 101, 103, 2)) == (6, 1, 2, 0)
    assert story([0, 1, 4, 5, 6, 7], gap(2, 101, 103, None, "history_expired")) == (6, 1, 0, 2)
    for numbers, others in [
        ([0, 1, 3, 4, 5, 6, 7], []), ([0, 1, 1, 2, 3, 4, 5, 6, 7], []), ([1, 0, 2, 3, 4, 5, 6, 7], []), (list(range(7)), []),
        ([0, 1, 4, 5, 6, 7], [gap(2, 101, 103, 3)]), ([0, 1, 5, 6, 7], [gap(2, 101, 103, 2)]), ([0, 4, 5, 6, 7], [gap(1, 101, 103, 3)]),
        (list(range(8)), [gap(2, 101, 103, 2)]), ([0, 1, 4, 5, 6, 7], [gap(2, 101, 103, 2), gap(2, 101, 103, 2)]),
    ]:
        with pytest.raises(AssertionError):
            story(numbers, *others)
