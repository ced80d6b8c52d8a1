"""The scenarios, one small function each: one round of one, as a mapping from what was measured to a Ratio or a Value."""

import os
import shutil
import threading
import time
from dataclasses import dataclass

from lab import ENVELOPE, Failure, Literal, free_port
from support.gateway import Gateway
from support.reference import gateway_text
from support.tls import Certificates
from support.ws import WebSocket


@dataclass
class Ratio:
    """Ours beside another server's, or another run's, of the same round."""
    ours: float
    floor: float
    at_most: float = None
    at_least: float = None

    @property
    def judged(self):
        return self.ours / self.floor if self.floor else None


@dataclass
class Value:
    ours: float
    at_most: float = None
    at_least: float = None

    floor = None

    @property
    def judged(self):
        return self.ours


@dataclass
class Scenario:
    title: str
    measure: object
    times: int
    """Rounds of it in one round of all: more where one alone tells little."""


SCENARIOS = {}


def scenario(letter, title, times=1):
    def keep(function):
        SCENARIOS[letter] = Scenario(title, function, times)
        return function

    return keep


def size(frame):
    """The size of published events whose frames have so many bytes of payload."""
    return frame - ENVELOPE


def cpu(found):
    return found["server"]["cpu_us_per_delivery"]


def memory(found):
    return found["server"]["private_dirty_bytes_per_client"]


def each(found, bytes):
    """Bytes of a delivery."""
    return found["deliveries"][bytes] / found["deliveries"]["count"]


def alone(lab, **options):
    """A run against a daemon of its own."""
    def measure():
        with lab.daemon() as server:
            return lab.bench(server, **options)

    return measure


def in_turns(lab, *runs):
    """The results of some runs, in their order; made in this order, or in every other round the other way around."""
    results = {}
    for number in reversed(range(len(runs))) if lab.round % 2 else range(len(runs)):
        results[number] = runs[number]()
    return [results[number] for number in range(len(runs))]


def beside(lab, mode, settings=None, **options):
    """The same run against the daemon and a floor."""
    def ours():
        with lab.daemon(settings) as server:
            return lab.bench(server, **options)

    def floor():
        with lab.floor(mode) as server:
            return lab.bench(server, **options)

    return in_turns(lab, ours, floor)


def calls(lab, **options):
    """In the first round only: their number does not change."""
    if lab.round:
        return {}
    with lab.daemon() as server:
        return {"system calls per delivery": Value(lab.system_calls(server, **options))}


@scenario("A", "1000 clients, 250-byte events, 100 a second", times=2)
def a(lab):
    options = {"clients": 1000, "rate": 100, "size": size(250)}
    ours, floor = beside(lab, "each", **options)
    return {
        "CPU per delivery, µs": Ratio(cpu(ours), cpu(floor), at_most=1.05),
        "p99, ms": Ratio(ours["latency_ms"]["p99"], floor["latency_ms"]["p99"], at_most=1.1),
        **calls(lab, **options),
    }


@scenario("B", "1000 clients, 1000 events a second, at most 512 in flight", times=2)
def b(lab):
    ours, floor = beside(lab, "log", clients=1000, rate=1000, outstanding=512, size=size(250))
    return {
        "rate held": Value(ours["published"]["rate_held"], at_least=0.99),
        "events lost, told or not": Value(ours["deliveries"]["told_lost"] + ours["deliveries"]["lost"], at_most=0),
        "CPU per delivery, µs": Ratio(cpu(ours), cpu(floor), at_most=1.1),
        "p99, ms": Ratio(ours["latency_ms"]["p99"], floor["latency_ms"]["p99"], at_most=1.1),
    }


@scenario("C", "1000 clients, full speed, 64 in flight")
def c(lab):
    options = {"clients": 1000, "outstanding": 64, "size": size(250)}
    ours, floor = beside(lab, "log", **options)
    return {
        "deliveries, millions a second": Ratio(ours["deliveries"]["per_second"] / 1e6, floor["deliveries"]["per_second"] / 1e6, at_least=0.5),
        "CPU per delivery, µs": Ratio(cpu(ours), cpu(floor), at_most=2),
        "events lost, told or not": Value(ours["deliveries"]["told_lost"] + ours["deliveries"]["lost"], at_most=0),
        **calls(lab, **options),
    }


@scenario("D", "10 clients, 20,000 events a second")
def d(lab):
    ours, floor = beside(lab, "each", clients=10, rate=20_000, size=size(250))
    return {
        "rate held": Value(ours["published"]["rate_held"], at_least=0.99),
        "events lost, told or not": Value(ours["deliveries"]["told_lost"] + ours["deliveries"]["lost"], at_most=0),
        "CPU per delivery, µs": Ratio(cpu(ours), cpu(floor), at_most=1.05),
        "p50, ms": Ratio(ours["latency_ms"]["p50"], floor["latency_ms"]["p50"], at_most=1.2),
    }


@scenario("E", "10,000 idle clients, a ping to each every 10 s")
def e(lab):
    ours, floor = beside(lab, "each", {"websocket": {"heartbeat_interval": Literal("10s")}}, clients=10_000, idle=True)
    return {
        "private memory per client, bytes": Value(memory(ours), at_most=1024),
        "CPU, % of a core": Value(100 * ours["server"]["cores"], at_most=1),
        "CPU per connection made, µs": Ratio(ours["connect"]["server_cpu_us_per_client"], floor["connect"]["server_cpu_us_per_client"], at_most=2),
    }


@scenario("F", "19,000 clients: 1 event a second to all, then 100 a second to 1 % of them")
def f(lab):
    def everybody():
        with lab.daemon() as server:
            return lab.bench(server, clients=19_000, rate=1, size=size(250))

    def some(make):
        def run():
            with make() as server:
                return lab.bench(server, clients=19_000, rate=100, size=size(250), filter="component=c{n%100}", event="component=c0")

        return run

    def few(make):
        def run():
            with make() as server:
                return lab.bench(server, clients=190, rate=100, size=size(250), filter="component=c0")

        return run

    # The floor sends to the same clients and decides nothing: what the 18,810 others cost is the kernel's.
    def floor():
        return lab.floor("each")

    everybody, some, few, floor_some, floor_few = in_turns(lab, everybody, some(lab.daemon), few(lab.daemon), some(floor), few(floor))
    ratio = some["server"]["cpu_us_per_event"] / few["server"]["cpu_us_per_event"]
    return {
        "events lost, told or not": Value(sum(found["deliveries"]["told_lost"] + found["deliveries"]["lost"] for found in (everybody, some)), at_most=0),
        "CPU per delivery to all, µs": Value(cpu(everybody)),
        "CPU per event to 1 %, beside 190 clients alone, µs": Ratio(
            some["server"]["cpu_us_per_event"], few["server"]["cpu_us_per_event"], at_most=1.2),
        "that ratio, beside the floor's": Ratio(ratio, floor_some["server"]["cpu_us_per_event"] / floor_few["server"]["cpu_us_per_event"], at_most=1.1),
    }


@scenario("G", "1000 clients with 1 to 500 distinct filters, 5000 events a second, each to two of them on average")
def g(lab):
    def run(filters, clients):
        def measure():
            with lab.daemon() as server:
                # Whatever the numbers: an event in clients / 2 / filters is wanted, by clients / filters each.
                found = lab.bench(
                    server, clients=clients, rate=5000, size=size(250), filter=f"component=c{{n%{filters}}}", event=f"component=c{{n%{clients // 2}}}")
            return found["server"]["cpu_us_per_event"]

        return measure

    numbers = (1, 10, 100, 500)
    *curve, many = in_turns(lab, *[run(filters, 1000) for filters in numbers], run(100, 5000))
    rows = {f"CPU per event, {filters} filters, µs": Value(value) for filters, value in zip(numbers, curve)}
    return {**rows, "CPU per event, 100 filters, 5000 clients beside 1000, µs": Ratio(many, curve[2], at_most=1.2)}


@scenario("H", "100 clients, 10 of which never read, 1 KB events at full speed", times=3)
def h(lab):
    def run(**options):
        def measure():
            with lab.daemon() as server:
                # A number of events, not a time: what history holds of them must be the same.
                return lab.bench(server, outstanding=64, size=size(1024), events=10_000 * lab.seconds, **options)

        return measure

    # Segments of history come and go by the megabyte: what one client adds shows with many only.
    slow, without, many = in_turns(lab, run(clients=100, slow=10), run(clients=90), run(clients=490, slow=400))
    grown = many["server"]["private_dirty_bytes_grown"] - without["server"]["private_dirty_bytes_grown"]
    return {
        "memory grown per slow client, with 400 of them, KB": Value(grown / 400 / 1024, at_most=64),
        "p99 of the others, beside none slow, ms": Ratio(slow["latency_ms"]["p99"], without["latency_ms"]["p99"], at_most=1.1),
        "events of the others lost, told or not": Value(slow["deliveries"]["told_lost"] + slow["deliveries"]["lost"], at_most=0),
    }


@scenario("I", "events in, 100 in one request: nobody subscribed, then 10")
def i(lab):
    def run(clients):
        def measure():
            with lab.daemon() as server:
                return lab.bench(server, clients=clients, batch=100, outstanding=2000, size=size(250))["published"]["per_second"]

        return measure

    nobody, ten = in_turns(lab, run(0), run(10))
    return {"events a second, nobody": Value(nobody, at_least=200_000), "events a second, 10 clients": Value(ten, at_least=200_000)}


class Rows(threading.Thread):
    """Writes 200 rows a second into a gateway's database, as the gateway does."""

    def __init__(self, gateway, provider, model):
        super().__init__(daemon=True)
        self.gateway, self.provider, self.model = gateway, provider, model
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.wait(0.05):
            self.gateway.insert([self.gateway.row(self.provider, self.model) for _ in range(10)])

    def stop(self):
        self.stopping.set()
        self.join()
        self.gateway.close()


def full_database(lab, count=1_000_000):
    """A database with so many rows of the last 24 hours; made once, copied for each use, its newest row some seconds old."""
    path = lab.directory / "full.db"
    if not path.exists():
        gateway = Gateway(path, journal="wal")
        provider = gateway.add_provider("provider")
        model = gateway.add_model(provider, "model")
        now = time.time_ns()
        step = 86_400_000_000_000 // count
        row = gateway.row(provider, model)
        names = ", ".join(row)

        def rows():
            for number in range(count, 0, -1):
                at = gateway_text(now - number * step)
                yield (*({**row, "id": f"row-{number}", "latency_ms": 100 + number % 3000, "timestamp": at, "created_at": at}).values(),)

        gateway.transaction(lambda: gateway.connection.executemany(f"INSERT INTO request_logs ({names}) VALUES ({', '.join('?' * len(row))})", rows()))
        gateway.close()
    copy = lab.directory / "used.db"
    for suffix in ("", "-wal", "-shm"):
        (lab.directory / f"used.db{suffix}").unlink(missing_ok=True)
    shutil.copy(path, copy)
    gateway = Gateway(copy, seed=time.time_ns(), journal="wal")
    ids = [gateway.execute(f"SELECT id FROM {table}").fetchone()[0] for table in ("providers", "models")]
    return Rows(gateway, *ids)


WINDOWS = ("1m", "5m", "1h", "24h")


@scenario("J", "statistics over 1,000,000 rows of 24 h, with 200 new ones a second")
def j(lab):
    results = {f"CPU per sample over {window}, reading new rows aside, ms": None for window in WINDOWS}
    writer = full_database(lab)
    writer.start()
    os.sched_setaffinity(writer.native_id, lab.generator_cores)
    settings = {"database": {"connection": f"{lab.directory}/used.db"}, "sources": {"stats": {"enabled": True}}}
    try:
        with lab.daemon(settings) as server:
            wait_for_window(lab, server)
            # Reading rows costs more or less as the gateway's log grows and is written back: each window lies between two runs without one.
            def base():
                return lab.bench(server, clients=1, publisher="none")["server"]["cpu_seconds"]

            # After a start reading costs more for a while; and no window is always the first.
            base()
            bases = [base()]
            for place in range(len(WINDOWS)):
                window = WINDOWS[(place + lab.round) % len(WINDOWS)]
                # One sample a second would be lost in what reading varies by: thirty intervals make four of them.
                clients = [WebSocket(server.port, f"/ws/stats?window={window}&interval={seconds}") for seconds in range(1, 31)]
                for client in clients:
                    client.receive()
                sampling = base()
                for client in clients:
                    client.sock.close()
                samples = lab.seconds * sum(1 / seconds for seconds in range(1, 31))
                bases.append(base())
                results[f"CPU per sample over {window}, reading new rows aside, ms"] = Value(
                    (sampling - sum(bases[-2:]) / 2) * 1000 / samples, at_most=1)
            results["CPU of reading 200 rows, and looking for them, ms a second"] = Value(sum(bases) * 1000 / len(bases) / lab.seconds)
    finally:
        writer.stop()
    return results


def wait_for_window(lab, server):
    """Until the rows of a whole day have been read."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        found = lab.bench(server, clients=1, publisher="none", channels="stats", filter="window=24h&interval=1", duration="2s")
        if found["deliveries"]["count"]:
            return
    raise Failure("the window of 24 h was not covered within 300 s")


@scenario("K", "TLS 1.3, as A and as C")
def k(lab):
    files = Certificates(lab.directory / "tls").make("server")

    def run(is_secure, **options):
        def measure():
            port = free_port()
            tls = {"server": {"tls": {"enabled": True, "port": port, **files}}}
            with lab.daemon(tls if is_secure else None) as server:
                url = f"https://127.0.0.1:{port}" if is_secure else server.url
                return lab.bench(server, url=url, clients=1000, size=size(250), **({"insecure": True} if is_secure else {}), **options)

        return measure

    secure, plain, fast = in_turns(lab, run(True, rate=100), run(False, rate=100), run(True, outstanding=64))
    return {
        "A: CPU per delivery, beside plain, µs": Ratio(cpu(secure), cpu(plain), at_most=1.6),
        "C: deliveries, millions a second": Value(fast["deliveries"]["per_second"] / 1e6, at_least=1),
        "C: CPU per delivery, µs": Value(cpu(fast)),
    }


@scenario("L", "100,000 deliveries a second to 100, 1000, 10,000 clients; with 1 and 2 shards")
def l(lab):
    def run(clients, shards=1):
        def measure():
            with lab.daemon({"server": {"shards": shards}}, cores=lab.two_cores if shards > 1 else None) as server:
                return cpu(lab.bench(server, clients=clients, rate=100_000 // clients, size=size(250)))

        return measure

    # Also what the kernel does costs more with more sockets: the floor shows how much.
    def floor(clients):
        def measure():
            with lab.floor("each") as server:
                return cpu(lab.bench(server, clients=clients, rate=100_000 // clients, size=size(250)))

        return measure

    hundred, thousand, ten_thousand, two, floor_hundred, floor_thousand, floor_ten_thousand = in_turns(
        lab, run(100), run(1000), run(10_000), run(1000, 2), floor(100), floor(1000), floor(10_000))
    return {
        "CPU per delivery, 1000 clients beside 100, µs": Ratio(thousand, hundred, at_most=1.2),
        "CPU per delivery, 10,000 clients beside 100, µs": Ratio(ten_thousand, hundred, at_most=1.2),
        "growth from 100 to 1000 clients, beside the floor's": Ratio(thousand / hundred, floor_thousand / floor_hundred, at_most=1.1),
        "growth from 100 to 10,000 clients, beside the floor's": Ratio(ten_thousand / hundred, floor_ten_thousand / floor_hundred, at_most=1.1),
        "CPU per delivery, 2 shards beside 1, µs": Ratio(two, thousand, at_most=1.2),
    }


@scenario("P", "MessagePack beside JSON, as A and as C", times=2)
def p(lab):
    def run(encoding, **options):
        return alone(lab, encoding=encoding, clients=1000, size=size(250), **options)

    packed, plain, fast, plain_fast = in_turns(
        lab, run("msgpack", rate=100), run("json", rate=100), run("msgpack", outstanding=64), run("json", outstanding=64))
    return {
        "bytes per delivery, headers aside": Ratio(each(packed, "payload_bytes"), each(plain, "payload_bytes"), at_most=1),
        "A: CPU per delivery, µs": Ratio(cpu(packed), cpu(plain), at_most=1.05),
        "A: CPU per event, µs": Ratio(packed["server"]["cpu_us_per_event"], plain["server"]["cpu_us_per_event"]),
        "C: deliveries, millions a second": Ratio(fast["deliveries"]["per_second"] / 1e6, plain_fast["deliveries"]["per_second"] / 1e6),
        "C: CPU per delivery, µs": Ratio(cpu(fast), cpu(plain_fast), at_most=1.2),
        "private memory per client, bytes": Ratio(memory(packed), memory(plain), at_most=1.1),
    }


@scenario("Q", "1000 clients with permessage-deflate beside plain, 750-byte events, as A and as C", times=2)
def q(lab):
    def run(**options):
        return alone(lab, clients=1000, size=size(750), **options)

    packed, plain, fast, plain_fast = in_turns(
        lab, run(compress=True, rate=100), run(rate=100), run(compress=True, outstanding=64), run(outstanding=64))
    return {
        "bytes per delivery on the wire": Ratio(each(packed, "wire_bytes"), each(plain, "wire_bytes"), at_most=1),
        "A: CPU per delivery, the compressions among it, µs": Ratio(cpu(packed), cpu(plain), at_most=1.1),
        "A: CPU per event, µs": Ratio(packed["server"]["cpu_us_per_event"], plain["server"]["cpu_us_per_event"]),
        "C: CPU per delivery, µs": Ratio(cpu(fast), cpu(plain_fast)),
        "private memory per client, bytes": Ratio(memory(packed), memory(plain), at_most=1.1),
    }
