"""Everybody comes at once with a key that takes its time: whoever is connected already notices nothing."""

import json
import re
import time

import pytest
from support.daemon import PATIENCE
from support.http import get, publish_many
from support.steady import Listeners, Steady, describe
from support.storm import Storm
from support.tokens import SECRET, Accounts, token
from support.ws import TEXT, WebSocket, encode


def upgrade(path, *fields):
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n")


def by_message(key):
    message = encode(TEXT, json.dumps({"type": "auth", "id": 1, "data": {"token": key}}))
    return upgrade("/ws/stats?auth=message") + message.decode("latin-1")


def delays(port, headers):
    """How many deliveries the daemon has made by now within each time since publishing: {seconds: count}."""
    lines = get(port, "/metrics", headers).body.decode().splitlines()
    found = (re.match(r'goleapai_ws_publish_to_socket_seconds_bucket\{le="([^"]+)"\} (\d+)', line) for line in lines)
    return {float(match.group(1)): int(match.group(2)) for match in found if match}


def percentile(before, after, part):
    """The bound below which such a part of the deliveries between two looks was, in words."""
    counts = {bound: after[bound] - before[bound] for bound in after}
    bound = min(bound for bound, count in counts.items() if count >= part * counts[float("inf")])
    return f"{part:.1%} within {bound * 1000:g} ms"


def keys_at_once(start, fact, tmp_path, count, cost, calm):
    """`count` keys of so much bcrypt each, all at once, right after a start; 100 clients are there already and get events all the time."""
    accounts = Accounts(tmp_path / "gateway.db")
    keys = accounts.many_keys(count, cost)
    boss, live = token(accounts.user("admin"), "admin"), token(accounts.user())
    daemon = start({
        "database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET},
        # What must be more than by default: 2000 clients (1000), and here 100 of one user (50).
        "websocket": {"max_clients": count + 200}, "limits": {"connections_per_user": 100, "messages_per_second": 1000},
    })
    admin = [("Authorization", f"Bearer {boss}")]
    publisher = Steady(daemon.port, 20, "providers", admin)
    listeners = Listeners(daemon.port, publisher.times, [("Authorization", f"Bearer {live}")])
    for _ in range(100):
        listeners.join("providers", {}, "")
    publisher.start()
    end = time.monotonic() + calm
    told = [delays(daemon.port, admin)]
    before = listeners.during(lambda: time.monotonic() > end, calm + PATIENCE)
    told.append(delays(daemon.port, admin))
    cpu, begun = daemon.cpu_seconds, time.monotonic()
    # To another channel, so that what the others get costs no more than before. Every fourth says it by a message; those wait as WebSockets.
    storm = Storm(daemon.port, [by_message(key) if number % 4 == 0 else upgrade("/ws/stats", ("Authorization", f"ApiKey {key}"))
                                for number, key in enumerate(keys)])
    try:
        # As long as the slowest machine may take for a key, with others at work beside it.
        meanwhile = listeners.during(lambda: len(storm.statuses) >= count or storm.process.poll() is not None, PATIENCE * 4 + count)
        told.append(delays(daemon.port, admin))
        took, cpu = time.monotonic() - begun, daemon.cpu_seconds - cpu
        fact(f"{len(storm.statuses)} keys of cost {cost}: all in after {took:.1f} s, {storm.seconds[0]:.2f} s the first; "
             f"{cpu / count * 1000:.1f} ms of CPU for each, {cpu / took:.2f} cores")
        fact(f"100 clients before it: {describe(before)}")
        fact(f"100 clients during it: {describe(meanwhile)}")
        for name, looks in (("before", told[:2]), ("during", told[1:])):
            fact(f"by the daemon's own clock, from publishing to the socket, {name} it: {percentile(*looks, 0.5)}, {percentile(*looks, 0.99)}, {percentile(*looks, 0.999)}")
        assert storm.statuses == [101] * count, {status: storm.statuses.count(status) for status in set(storm.statuses)}
        # One more, who is known already, and one whose key is new.
        WebSocket(daemon.port, "/ws/providers", [("Authorization", f"ApiKey {keys[0]}")]).sock.close()
        WebSocket(daemon.port, "/ws/providers", [("Authorization", f"ApiKey {accounts.many_keys(1, cost)[0]}")]).sock.close()
        publish_many(daemon.port, [("stats", "note", {"n": number}) for number in range(20)], admin)
        counts = storm.finish(20)
        assert counts["others"] == [] and counts["events"] == [20] * count
        publisher.stop()
        total = len(publisher.times)
        listeners.read_until(lambda: all(len(member.numbers) == total for member in listeners.members), "each has each event")
        assert all(member.numbers == list(range(total)) and not member.others and member.closed is None for member in listeners.members)
        stats = get(daemon.port, "/admin/ws/stats", admin).json
        assert not any(stats["refused"].values()) and stats["ledger"]["providers"]["dropped"] == stats["ledger"]["stats"]["dropped"] == 0
    finally:
        storm.end()
        listeners.leave()


def test_sixty_keys_at_once(start, fact, tmp_path):
    keys_at_once(start, fact, tmp_path, count=60, cost=8, calm=1)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_two_thousand_keys_at_once(start, fact, tmp_path):
    keys_at_once(start, fact, tmp_path, count=2000, cost=10, calm=30)
