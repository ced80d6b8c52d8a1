"""SIGTERM: what was published reaches everyone that reads, everyone is told when to come back, and nothing that hangs is waited for."""

import json
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.crowd import Crowd
from support.daemon import PATIENCE, mebibytes, wait_until
from support.gateway import Gateway
from support.http import Connection, NoResponse, get, publish, publish_many, request_bytes
from support.manager import Manager
from support.ws import CLOSE, Closed, WebSocket, encode, parse_close


def slot(clients, number):
    """The milliseconds that the k-th of N clients may be told."""
    window = min(1000 + 4 * clients, 60_000)
    return range(number * window // clients, (number + 1) * window // clients)


def slots_of(delays):
    """The number of the slot that each delay is in."""
    count = len(delays)
    starts = [slot(count, number) for number in range(count)]
    found = []
    for delay in delays:
        number = next((n for n, part in enumerate(starts) if delay in part), None)
        assert number is not None, f"{delay} ms is outside the window of {count} clients"
        found.append(number)
    return found


def terminate(running):
    running.kill(signal.SIGTERM)
    running.wait_for_log("draining: ")


def ends_well(running):
    running._stopped = True
    assert running.wait_exit() == 0, "\n".join(running.log()[-20:])


class Producer(threading.Thread):
    """Publishes until it is refused; keeps the numbers that were taken, and those whose fate it was not told.

    `behind` tells how many deliveries those who read have before them: they are not led further away than they can come back from
    within the time of a drain, on however busy a machine."""

    BEHIND_MAX = 30_000

    def __init__(self, port, channels, batches, behind):
        super().__init__(daemon=True)
        self.port, self.channels, self.batches, self.behind = port, channels, batches, behind
        self.taken, self.unknown, self.refused = [], [], []
        self.number = 0
        self.lock = threading.Lock()

    def numbers(self, count):
        with self.lock:
            self.number += count
            return range(self.number - count, self.number)

    def run(self):
        threads = [threading.Thread(target=self.produce, args=batch) for batch in self.batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def produce(self, size, pause):
        try:
            connection = Connection(self.port)
        except OSError:
            return
        with connection:
            while True:
                while self.behind(len(self.taken)) > Producer.BEHIND_MAX:
                    time.sleep(0.005)
                numbers = self.numbers(size)
                body = b"".join(
                    json.dumps({"channel": self.channels[n % len(self.channels)], "type": "note", "data": {"n": n, "pad": "x" * 200}}).encode() + b"\n"
                    for n in numbers)
                try:
                    answer = connection.request("POST", "/admin/ws/broadcast", [("Content-Type", "application/x-ndjson")], body)
                except (NoResponse, OSError):
                    self.unknown += numbers
                    return
                if answer.status == 429:
                    self.refused += numbers
                    time.sleep(0.05)
                    continue
                if answer.status != 200:
                    assert answer.status == 503 and answer.header("Retry-After"), answer
                    assert answer.header("Connection") == "close"
                    self.refused += numbers
                    return
                self.taken += numbers
                time.sleep(pause)


@pytest.mark.timeout(300)
def test_thousand_clients(start, fact):
    """Events are published, singly and in batches that are parsed beside the shards, until the very end."""
    running = start({"websocket": {"max_clients": 1100}})
    crowd = Crowd(running.port)
    channels = ["logs", "requests", "providers"]
    for number in range(1000):
        crowd.join(["all", *channels][number % 4], {}, "")
    # One in four gets all events, the others a third of them.
    producer = Producer(running.port, channels, [(1, 0.01), (5, 0.05), (100, 0.3)], behind=lambda taken: taken * 500 - crowd.delivered)
    producer.start()
    crowd.read_until(lambda: crowd.delivered > 300_000, lambda: f"{crowd.delivered} deliveries")
    terminate(running)

    def answer_closes():
        for member in crowd.members:
            if isinstance(member.closed, bytes) and member.reading:
                member.sock.setblocking(True)
                member.sock.sendall(encode(CLOSE, member.closed))
                member.sock.setblocking(False)
                member.reading = False
        return all(member.closed for member in crowd.members)

    crowd.read_until(answer_closes, lambda: f"{sum(1 for m in crowd.members if m.closed)} of 1000 are closed")
    ends_well(running)
    producer.join(PATIENCE)
    assert not producer.is_alive()
    taken, unknown, refused = set(producer.taken), set(producer.unknown), set(producer.refused)
    given = set(crowd.events)
    assert taken <= given <= taken | unknown, (len(taken - given), sorted(given & refused)[:5])
    order = sorted(given, key=lambda n: int(crowd.events[n]["id"].rpartition("-")[2]))
    expected = {channel: [n for n in order if channel == "all" or channels[n % 3] == channel] for channel in ["all", *channels]}
    delays = []
    for member in crowd.members:
        assert member.numbers == expected[member.channel], (member.channel, len(member.numbers), len(expected[member.channel]))
        assert parse_close(member.closed)[0] == 1001, member.closed
        [(_, message)] = member.others
        assert message["type"] == "drain" and re.fullmatch(r"[0-9a-z]+-\d+", message["data"]["position"]), message
        delays.append(message["data"]["reconnect_in_ms"])
    assert sorted(slots_of(delays)) == list(range(1000))
    fact(f"{len(given)} events to 1000 clients, {len(taken)} answered; the log's last lines: {running.log()[-2:]}")
    crowd.leave()


def fill(port, count, size):
    """Publishes `count` numbered events of a size to `logs`. Between them is one for others, so that each takes a place in a ring."""
    for begin in range(0, count, 50):
        events = [("logs", "note", {"n": n, "pad": "x" * size}) for n in range(begin, min(begin + 50, count))]
        publish_many(port, [each for event in events for each in (event, ("stats", "note", {}))], patient=True)


def farewell(client):
    """What is left for a client: numbers of events, the `drain` message, the other types, the close code."""
    messages, code, _ = client.receive_close()
    numbers, drains, others = [], [], []
    for message in map(json.loads, messages):
        if message["type"] == "drain":
            drains.append(message)
        elif "n" in (message.get("data") or {}):
            numbers.append(message["data"]["n"])
        else:
            others.append(message["type"])
    assert len(drains) <= 1
    return numbers, drains[0] if drains else None, others, code


LARGE = {"history": {"max_events": 100_000, "max_bytes": 200_000_000}}


def test_one_that_never_reads_does_not_keep_the_others(start):
    running = start(LARGE)
    sleepers = [WebSocket(running.port, "/ws/logs", receive_buffer=4096) for _ in range(3)]
    reader = WebSocket(running.port, "/ws/logs")
    threading.Thread(target=fill, args=(running.port, 400, 10_000), daemon=True).start()
    assert [reader.receive()["data"]["n"] for _ in range(400)] == list(range(400))
    memory = running.rss
    terminate(running)
    numbers, drain, _, code = farewell(reader)
    assert (numbers, code) == ([], 1001) and drain
    reader.sock.close()
    # The others are still being waited for.
    assert running.alive
    assert running.rss - memory < mebibytes(8)
    ends_well(running)
    running.wait_for_log("3 connections did not take everything in time; [1-9][0-9]* events were not given")
    running.wait_for_log("client .* cut off, since the daemon stops")
    for client in sleepers:
        client.sock.close()


@pytest.mark.slow_reader
def test_one_that_reads_slowly_gets_everything(start):
    """Far behind: what is left for it comes from history, while the daemon drains."""
    running = start(LARGE)
    client = WebSocket(running.port, "/ws/logs", receive_buffer=65_536)
    fill(running.port, 600, 10_000)
    terminate(running)
    numbers, drain = [], None
    with pytest.raises(Closed):
        while True:
            message = client.receive()
            if message["type"] == "drain":
                drain = message
                told_at = len(numbers)
                continue
            numbers.append(message["data"]["n"])
            time.sleep(0.004)
    assert numbers == list(range(600))
    assert client.close[0] == 1001
    # Told before the rest, so that also who is cut off knows.
    assert drain and told_at < 600
    assert int(drain["data"]["position"].rpartition("-")[2]) in (2 * told_at, 2 * told_at - 1)
    client.send_close(1001)
    ends_well(running)
    client.sock.close()


def test_connections_of_http(start):
    running = start(LARGE)
    sleeper = WebSocket(running.port, "/ws/logs", receive_buffer=4096)
    fill(running.port, 400, 10_000)
    upgrade = request_bytes(running.port, "GET", "/ws/logs", [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test")])
    body = json.dumps({"channel": "logs", "type": "note", "data": {}}).encode()
    broadcast = request_bytes(running.port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json")], body)
    wanted = [
        (upgrade, 30, 503), (broadcast, 30, 503), (broadcast, len(broadcast) - 3, 503),
        (request_bytes(running.port, "GET", "/ready"), 10, 503), (request_bytes(running.port, "GET", "/health"), 10, 200),
        (request_bytes(running.port, "GET", "/admin/ws/stats"), 10, 200)]
    # On both shards: some that have asked before, and some that have not said anything.
    idle = [Connection(running.port) for _ in range(8)]
    for connection in idle[::3]:
        assert connection.request("GET", "/health").status == 200
    # And some whose request is still on its way: who has just connected gets an answer.
    wanted += [(upgrade, 0, 503), (request_bytes(running.port, "GET", "/health"), 0, 200)] * 4
    connections = [Connection(running.port) for _ in wanted]
    for connection, (data, cut, _) in zip(connections, wanted):
        connection.send(data[:cut])
    # Everyone has been adopted by its shard when a later one is answered by each.
    for _ in range(8):
        get(running.port, "/version")
    terminate(running)
    # Those that have asked before end at once.
    for connection in idle[::3]:
        assert connection.responses_until_end() == []
    for connection, (data, cut, _) in zip(connections, wanted):
        connection.send(data[cut:])
    for connection in idle:
        assert connection.responses_until_end() == []
        connection.sock.close()
    for connection, (data, _, status) in zip(connections, wanted):
        answer = connection.receive()
        assert answer.status == status, (data[:40], answer)
        assert answer.header("Connection") == "close"
        if status == 503:
            assert int(answer.header("Retry-After")) > 0
            if b"/ready" in data[:20]:
                assert answer.json["draining"] is True and answer.json["ready"] is False
            else:
                assert "stopping" in answer.json["error"]
        assert connection.responses_until_end() == []
        connection.sock.close()
    # Accepting has stopped.
    with pytest.raises(ConnectionRefusedError):
        Connection(running.port)
    ends_well(running)
    sleeper.sock.close()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(start, second):
    running = start(LARGE)
    sleepers = [WebSocket(running.port, "/ws/logs", receive_buffer=4096) for _ in range(2)]
    fill(running.port, 400, 10_000)
    terminate(running)
    running.kill(second)
    ends_well(running)
    running.wait_for_log("stopped at once by a second signal")
    for client in sleepers:
        client.sock.close()


@pytest.fixture
def manager(tmp_path):
    playing = Manager(tmp_path)
    yield playing
    playing.close()


def test_tells_systemd(start, manager):
    """The manager hears that the service stops, how far it is, and that it needs time as long as it makes progress."""
    running = start(LARGE, environment={"NOTIFY_SOCKET": manager.path})
    client = WebSocket(running.port, "/ws/logs", receive_buffer=65_536)
    idle = WebSocket(running.port, "/ws")
    fill(running.port, 600, 10_000)
    terminate(running)
    assert farewell(idle)[3] == 1001
    idle.send_close(1001)
    idle.sock.close()
    numbers = []
    with pytest.raises(Closed):
        while True:
            message = client.receive()
            if message["type"] == "drain":
                continue
            numbers.append(message["data"]["n"])
            # Slowly, until it has asked for more time.
            if not manager.said("EXTEND_TIMEOUT_USEC"):
                time.sleep(0.05)
    assert numbers == list(range(600))
    client.send_close(1001)
    client.sock.close()
    ends_well(running)
    assert manager.said("STOPPING") == ["1"]
    statuses = manager.said("STATUS")
    assert "draining: 2 of 2 clients left" in statuses and "draining: 1 of 2 clients left" in statuses, statuses
    # Nobody says anything else from then on.
    assert all(text.startswith("draining: ") for text in statuses[statuses.index("draining: 2 of 2 clients left"):])
    assert all(int(text) > 1_000_000 for text in manager.said("EXTEND_TIMEOUT_USEC"))
    assert manager.said("EXTEND_TIMEOUT_USEC")


# What hangs


@pytest.fixture(scope="module")
def hang_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("hang") / "hang.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).parent / "support" / "hang.c", "-ldl"], check=True)
    return library


@pytest.fixture
def hanging(start, hang_library, tmp_path):
    """Starts a daemon with a database, whose reads can be made to hang; (daemon, hang)."""
    gateway = Gateway(tmp_path / "gateway.db")
    flag = tmp_path / "hang"

    def run(sources):
        running = start(
            {"database": {"connection": str(gateway.path)}, "sources": sources},
            environment={"LD_PRELOAD": str(hang_library), "HANG_WHILE": str(flag)})

        def hang(kind, poke=lambda: None):
            flag.touch()
            said = Path(f"{flag}.{kind}")

            def hangs():
                poke()
                return said.exists()

            wait_until(hangs, f"the {kind} hangs", interval=0.1)

        return running, hang

    yield run
    flag.unlink(missing_ok=True)
    gateway.close()


def test_hanging_database(hanging):
    running, hang = hanging({"stats": {"enabled": True}, "requests": {"enabled": True}, "providers": {"enabled": True}})
    wait_until(lambda: get(running.port, "/ready").status == 200, "the database works")
    client = WebSocket(running.port, "/ws/logs")
    hang("database")
    publish(running.port, "logs", "note", {"n": 1})
    terminate(running)
    numbers, drain, _, code = farewell(client)
    assert (numbers, code) == ([1], 1001) and drain["data"]["position"]
    client.send_close(1001)
    ends_well(running)
    client.sock.close()


def test_hanging_replay(hanging):
    """A replay that cannot go on is cut: no caught_up, and no position that it has not come to."""
    running, hang = hanging({"requests": {"enabled": True}})
    wait_until(lambda: get(running.port, "/ready").status == 200, "the database works")
    other = WebSocket(running.port, "/ws/logs")
    client = []

    def ask():
        if not client:
            client.append(WebSocket(running.port, "/ws?channels=requests,logs&since=1h"))

    hang("database", ask)
    wait_until(lambda: get(running.port, "/admin/ws/stats").json["replays"]["running"] == 1, "the replay runs")
    publish(running.port, "logs", "note", {"n": 1})
    terminate(running)
    numbers, drain, others, code = farewell(client[0])
    assert (numbers, others, code) == ([], [], 1001)
    assert 0 <= drain["data"]["reconnect_in_ms"] < 1008 and "position" not in drain["data"]
    assert farewell(other)[0] == [1]
    for waiting in (client[0], other):
        waiting.send_close(1001)
        waiting.sock.close()
    ends_well(running)


def test_hanging_journal(hanging):
    running, hang = hanging({"journal": {"enabled": True}})
    hang("journal")
    client = WebSocket(running.port, "/ws/logs")
    terminate(running)
    assert farewell(client)[3] == 1001
    client.send_close(1001)
    ends_well(running)
    client.sock.close()
