"""`goleapai-ws bench`: what it finds right in the daemon, and wrong in servers that are."""

import contextlib
import json
import os
import pty
import signal
import subprocess

import pytest
from support.daemon import PATIENCE, wait_until
from support.http import get, publish
from support.server import FanOut, text_frame
from support.tls import Certificates, free_port, settings


@pytest.fixture
def bench(binary, tmp_path):
    def run(*arguments, url=None, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GOLEAPAI_WS_")}
        words = [str(binary), "bench", *map(str, arguments), *(["--url", url] if url else [])]
        return subprocess.run(words, capture_output=True, text=True, timeout=2 * PATIENCE, env={**clean, **environment}, cwd=tmp_path)

    return run


@pytest.fixture
def measure(bench):
    """A short run that must be fine, as its JSON object."""
    def run(*arguments, url):
        done = bench("--json", *([] if "--idle" in arguments else ["--warmup", "0"]), *arguments, url=url)
        assert done.returncode == 0 and done.stderr == "", done
        return json.loads(done.stdout)

    return run


def url(daemon, scheme="http"):
    return f"{scheme}://127.0.0.1:{daemon.port}"


# The daemon


def test_every_event_reaches_every_client(measure, daemon):
    found = measure("--clients", 50, "--rate", 2000, "--events", 1000, url=url(daemon))
    assert found["ok"] and not found["interrupted"] and found["faults"] == []
    assert found["published"]["events"] == 1000 and found["deliveries"]["count"] == 50_000
    assert all(found["deliveries"][name] == 0 for name in ("lost", "repeated", "wrong", "told_lost", "gaps", "foreign"))
    latency = found["latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    assert found["server"]["pid"] == daemon.pid and found["server"]["cpu_seconds"] > 0 and found["server"]["cpu_us_per_delivery"] > 0
    # Nobody stays behind.
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] == 0, "its clients are gone")


def test_members_of_the_json_object(measure, daemon):
    """Names that scripts rely on, and nothing else."""
    found = measure("--clients", 4, "--slow", 1, "--events", 10, "--outstanding", 4, "--rate", 1000, url=url(daemon))
    assert {name: sorted(value) if isinstance(value, dict) else None for name, value in found.items()} == {
        **dict.fromkeys(("ok", "interrupted", "target", "encoding", "clients", "slow", "processes", "event_bytes", "batch", "channels", "rate", "outstanding",
                         "slow_disconnected", "faults")),
        "connect": ["per_second", "seconds", "server_cpu_us_per_client"],
        "published": ["answer_ms", "events", "per_second", "rate_held", "seconds"],
        "deliveries": ["count", "foreign", "gaps", "lost", "payload_bytes", "per_second", "repeated", "seconds", "told_lost", "wire_bytes", "wrong"],
        "latency_ms": ["max", "p50", "p99", "p99_9"],
        "server": ["cores", "cpu_seconds", "cpu_us_per_delivery", "cpu_us_per_event", "pid", "private_dirty_bytes_grown",
                   "private_dirty_bytes_per_client", "rss_bytes", "rss_bytes_per_client", "system_seconds", "user_seconds"],
        "generator": ["bottleneck", "cores", "cpu_us_per_delivery"],
    }
    assert (found["clients"], found["slow"], found["rate"], found["outstanding"], found["target"]) == (4, 1, 1000, 4, url(daemon))


def test_compressed(measure, bench, daemon, start):
    found = measure("--compress", "--clients", 30, "--rate", 500, "--events", 200, "--size", 1500, url=url(daemon))
    assert found["deliveries"]["count"] == 6000 and found["faults"] == []
    assert 0 < found["deliveries"]["wire_bytes"] < found["deliveries"]["payload_bytes"] / 2
    plain = measure("--clients", 30, "--rate", 500, "--events", 200, "--size", 1500, url=url(daemon))
    assert plain["deliveries"]["wire_bytes"] == plain["deliveries"]["payload_bytes"] + 4 * 6000
    assert "bytes each on the wire" in bench("--compress", "--events", 20, "--size", 1500, url=url(daemon)).stdout
    without = bench("--compress", "--clients", 1, "--events", 1, url=url(start({"compression": {"enabled": False}})))
    assert without.returncode == 1 and "does not compress" in without.stderr


def test_text_for_people(bench, daemon):
    done = bench("--clients", 3, "--events", 20, "--rate", 1000, "--warmup", "10ms", url=url(daemon))
    assert done.returncode == 0 and done.stderr == "", done
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "target", "connected", "published", "delivered", "latency", "server", "memory", "generator"]
    assert "60, " in done.stdout and "all in order" in done.stdout


def test_full_speed_batches_processes_and_filters(measure, start):
    daemon = start({"broadcast": {"events_per_second": 10_000_000, "burst": 10_000_000}})
    found = measure("--clients", 20, "--outstanding", 64, "--events", 5000, "--batch", 10, "--processes", 3, "--size", 400, url=url(daemon))
    assert found["deliveries"]["count"] == 100_000 and len(found["generator"]["cores"]) == 3
    # The daemon's envelope is a few bytes more or less than what was published.
    assert 380 < found["deliveries"]["payload_bytes"] / 100_000 < 460
    # The last request is shorter than a batch.
    found = measure("--clients", 2, "--outstanding", 64, "--events", 1003, "--batch", 10, url=url(daemon))
    assert found["published"]["events"] == 1003 and found["deliveries"]["count"] == 2006
    # 40 clients, 8 filters: each event reaches 5 of them.
    found = measure("--clients", 40, "--filter", "component=c{n%8}", "--rate", 20_000, "--events", 800, url=url(daemon))
    assert found["deliveries"]["count"] == 800 * 5
    # Of 100 clients one has this filter.
    found = measure("--clients", 100, "--filter", "component=c{n%100}", "--event", "component=c7", "--events", 50, "--rate", 5000, url=url(daemon))
    assert found["deliveries"]["count"] == 50
    found = measure("--clients", 3, "--channels", "requests,logs", "--filter", "only_errors=true&min_latency_ms=5", "--events", 5,
                    url=url(daemon))
    assert found["deliveries"]["count"] == 15


def test_messagepack(measure, bench, start):
    """Checked event for event, as JSON is; and the bytes of both beside each other."""
    daemon = start({"broadcast": {"events_per_second": 10_000_000, "burst": 10_000_000}})
    bytes_of = {}
    for encoding in ("json", "msgpack"):
        found = measure("--encoding", encoding, "--clients", 30, "--filter", "component=c{n%3}", "--events", 900, "--outstanding", 64, "--batch", 9, url=url(daemon))
        assert found["encoding"] == encoding and found["ok"] and found["deliveries"]["count"] == 900 * 10
        assert all(found["deliveries"][name] == 0 for name in ("lost", "repeated", "wrong", "told_lost", "gaps", "foreign"))
        bytes_of[encoding] = found["deliveries"]["payload_bytes"]
    assert bytes_of["msgpack"] < bytes_of["json"]
    # What a server has to speak that was asked for it.
    with FanOut() as server:
        done = bench("--encoding", "msgpack", "--clients", 2, "--events", 1, url=server.url)
        assert done.returncode == 1 and "the server does not speak msgpack" in done.stderr, done


def test_nobody_to_deliver_to(measure, daemon):
    found = measure("--clients", 0, "--outstanding", 100, "--batch", 100, "--events", 2000, url=url(daemon))
    assert found["published"]["events"] == 2000 and found["deliveries"]["count"] == 0 and "latency_ms" not in found


def test_idle_clients(measure, start):
    daemon = start({"websocket": {"heartbeat_interval": "1s"}})
    found = measure("--clients", 300, "--idle", "--duration", "2500ms", url=url(daemon))
    assert found["deliveries"]["count"] == 0 and "published" not in found
    assert "private_dirty_bytes_per_client" in found["server"] and found["connect"]["per_second"] > 0
    # They answered pings, and said goodbye.
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] == 0, "they are gone")


def test_events_from_elsewhere(binary, daemon, tmp_path):
    """Published all the while, so that when the measuring begins and ends does not matter."""
    process = subprocess.Popen([str(binary), "bench", "--json", "--publisher", "none", "--clients", "5", "--duration", "2s", "--url", url(daemon)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    number = 0
    while process.poll() is None:
        publish(daemon.port, "logs", "log", {"number": number})
        number += 1
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and err == "", (out, err)
    found = json.loads(out)
    assert found["ok"] and 0 < found["deliveries"]["count"] <= 5 * number and "latency_ms" not in found and "published" not in found


def test_slow_clients(measure, start):
    daemon = start({"history": {"max_events": 100_000, "max_bytes": 256 * 1024 * 1024}, "broadcast": {"events_per_second": 10_000_000, "burst": 10_000_000}})
    found = measure("--clients", 6, "--slow", 3, "--events", 3000, "--outstanding", 50, "--size", 4000, url=url(daemon))
    assert found["deliveries"]["count"] == 9000 and found["slow"] == 3 and found["slow_disconnected"] == 0


def test_losses_that_are_told(bench, start):
    """A history of nothing, and a client that cannot keep up: the gaps account for every event, and that is fine."""
    daemon = start({"history": {"max_events": 100, "max_bytes": 65_536}, "websocket": {"buffer_size": 16},
                    "broadcast": {"events_per_second": 10_000_000, "burst": 10_000_000, "max_event_bytes": 16_384}})
    events = 2000
    done = bench("--json", "--warmup", "0", "--clients", 3, "--batch", 100, "--outstanding", 200, "--size", 8000, "--events", events, url=url(daemon))
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["ok"], done
    assert found["deliveries"]["count"] + found["deliveries"]["told_lost"] == 3 * events and found["deliveries"]["told_lost"] > 0


def test_tls(measure, bench, start, tmp_path):
    files = Certificates(tmp_path).make("server")
    daemon = start({"server": settings(files, port=free_port())["server"]})
    address = f"wss://127.0.0.1:{daemon.tls_port}"
    for trust in (["--insecure"], ["--ca", files["cert"]]):
        found = measure("--clients", 20, "--events", 500, "--rate", 5000, *trust, url=address)
        assert found["deliveries"]["count"] == 10_000 and found["target"] == address.replace("wss", "https")
    done = bench("--clients", 1, url=address)
    assert done.returncode == 1 and "certificate" in done.stderr and done.stdout == "", done
    done = bench("--clients", 1, "--ca", "/dev/null", url=address)
    assert done.returncode == 1 and "/dev/null" in done.stderr, done
    nameless = Certificates(tmp_path / "nameless").make("nameless", signs=True)
    other_daemon = start({"server": settings(nameless, port=free_port())["server"]})
    done = bench("--clients", 1, "--ca", nameless["cert"], url=f"wss://127.0.0.1:{other_daemon.tls_port}")
    assert done.returncode == 1 and "mismatch" in done.stderr, done
    other = Certificates(tmp_path / "other").make("other")
    done = bench("--clients", 1, "--ca", other["cert"], url=address)
    assert done.returncode == 1 and "certificate" in done.stderr, done


def test_progress_on_a_terminal(binary, daemon, tmp_path):
    """One line on standard error, written over and over, and gone at the end; standard output stays as it is."""
    primary, secondary = pty.openpty()
    said = b""
    try:
        done = subprocess.run([str(binary), "bench", "--json", "--clients", "3", "--rate", "100", "--duration", "1s", "--url", url(daemon)], cwd=tmp_path,
                              stdout=subprocess.PIPE, stderr=secondary, timeout=PATIENCE)
        os.close(secondary)
        # Linux says EIO behind the last byte of a terminal whose other side is closed.
        with contextlib.suppress(OSError):
            while part := os.read(primary, 65_536):
                said += part
    finally:
        os.close(primary)
    said = said.decode()
    assert done.returncode == 0 and json.loads(done.stdout)["deliveries"]["count"] == 300
    assert "3 of 3 clients connected" in said and "delivered" in said and "\n" not in said and said.endswith("\r\x1b[K")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(binary, daemon, tmp_path, number):
    process = subprocess.Popen([str(binary), "bench", "--json", "--clients", "20", "--rate", "500", "--duration", "1h", "--processes", "2", "--url", url(daemon)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True)
    before = get(daemon.port, "/admin/ws/stats").json["events_published"]
    # Behind the warm-up, which has 500.
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["events_published"] > before + 600, "it measures")
    # As the terminal does it: to all of them.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and err == "", (out, err)
    found = json.loads(out)
    assert found["ok"] and found["interrupted"] and found["deliveries"]["count"] == 20 * found["published"]["events"]


def test_workers_end_with_the_coordinator(binary, daemon, tmp_path):
    process = subprocess.Popen([str(binary), "bench", "--clients", "20", "--duration", "1h", "--url", url(daemon)], cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] == 20, "they are connected")
    process.kill()
    process.wait()
    wait_until(lambda: get(daemon.port, "/admin/ws/stats").json["total_clients"] == 0, "they are gone")


# Servers that are wrong


def test_a_server_that_is_right(measure):
    """The floor: what a run against the servers below finds is theirs, not the bench's."""
    with FanOut() as server:
        found = measure("--clients", 5, "--events", 100, "--rate", 2000, url=server.url)
        assert found["deliveries"]["count"] == 500 and found["server"]["pid"] == os.getpid()
        found = measure("--clients", 5, "--events", 100, "--batch", 10, "--outstanding", 20, url=server.url)
        assert found["deliveries"]["count"] == 500


def held_back():
    """Sends event 7 behind event 8."""
    kept = {}

    def change(frames, number):
        if number == 7:
            kept["frames"] = frames
            return []
        return frames + kept["frames"] if number == 8 else frames

    return change


def corrupted(frames, number):
    return [frame.replace(b"cba", b"cbd") if number == 7 else frame for frame in frames]


WRONG = {
    "drops": (lambda frames, number: [] if number == 7 else frames, "lost", "event 8 came where 7 was next: 1 lost in silence"),
    "drops the last one": (lambda frames, number: [] if number == 29 else frames, "lost", "1 events from 29 on did not come"),
    "reorders": (held_back(), "repeated", "event 7 came twice or out of order: 9 was next"),
    "doubles": (lambda frames, number: frames * 2 if number == 7 else frames, "repeated", "event 7 came twice or out of order: 8 was next"),
    "changes": (corrupted, "wrong", "changed on its way"),
    "tells of too many": (lambda frames, number: [text_frame(b'{"type":"gap","data":{"dropped":3}}')] + frames if number == 7 else frames, "wrong", "3 lost events more"),
    "masks": (lambda frames, number: [b"\x81\x81\0\0\0\0x"] if number == 7 else frames, "wrong", "masked"),
    "says an error": (lambda frames, number: [*frames, text_frame(b'{"type":"error","data":{"code":"forbidden"}}')] if number == 7 else frames, "wrong", "forbidden"),
    "closes": (lambda frames, number: [b"\x88\x06\x0f\xa8slow"] if number == 7 else frames, "wrong", "closed the connection with 4008 slow"),
    "ends": (lambda frames, number: [None] if number == 7 else frames, "wrong", "the server has closed the connection"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_servers_are_found(bench, name):
    change, count, sentence = WRONG[name]
    with FanOut(change) as server:
        done = bench("--json", "--warmup", "0", "--clients", 1, "--events", 30, "--rate", 2000, url=server.url)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and not found["ok"], done
    assert found["deliveries"][count] >= 1 and sentence in done.stderr and "client 0: " in done.stderr, done


def test_dead_and_refusing_servers(bench):
    done = bench("--clients", 1, url=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and done.stdout == "" and "refused" in done.stderr and "is the daemon running" in done.stderr, done
    done = bench("--clients", 1, url="http://nobody.invalid:1")
    assert done.returncode == 1 and "nobody.invalid" in done.stderr, done
    with FanOut(refuse_upgrade=b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\n\r\nfull") as server:
        done = bench("--clients", 1, url=server.url)
        assert done.returncode == 1 and "client 0 was refused: 503 full" in done.stderr, done
    with FanOut(refuse_upgrade=b"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: nonsense\r\n\r\n") as server:
        done = bench("--clients", 1, url=server.url)
        assert done.returncode == 1 and "Sec-WebSocket-Accept" in done.stderr, done
    with FanOut(refuse_upgrade=b"SSH-2.0-OpenSSH\r\n\r\n") as server:
        done = bench("--clients", 1, url=server.url)
        assert done.returncode == 1 and "no answer: SSH-2.0" in done.stderr, done
    with FanOut(refuse_event=b"HTTP/1.1 429 Slow\r\nContent-Length: 4\r\n\r\nslow") as server:
        done = bench("--clients", 1, url=server.url)
        assert done.returncode == 1 and "429 slow" in done.stderr and "broadcast" in done.stderr, done


def test_a_server_that_does_not_answer(bench):
    with FanOut(refuse_event=b"HTTP/1.1 200 OK\r\n") as server:
        done = bench("--clients", 1, "--warmup", "0", "--events", 3, "--rate", 1000, url=server.url)
    assert done.returncode == 1 and "has not answered" in done.stderr, done


def test_full_speed_towards_clients_that_are_gone(bench):
    """All of them are disconnected, so that nothing comes any more; the run ends all the same."""
    with FanOut(lambda frames, number: [None]) as server:
        done = bench("--json", "--warmup", "0", "--clients", 2, "--outstanding", 4, "--events", 100_000, url=server.url)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["deliveries"]["lost"] > 0 and found["published"]["events"] < 100_000, done


def test_the_daemons_own_refusals(bench, start, tmp_path):
    daemon = start({"websocket": {"max_clients": 3}})
    done = bench("--clients", 5, url=url(daemon))
    assert done.returncode == 1 and "503" in done.stderr and "max_clients" in done.stderr, done
    token = tmp_path / "token"
    token.write_text("gla_0123456789\n")
    with FanOut() as server:
        assert bench("--clients", 1, "--events", 1, "--token-file", token, url=server.url).returncode == 0
        assert {head.split(b"Authorization: ")[1].split(b"\r\n")[0] for head in server.requests} == {b"ApiKey gla_0123456789"}
        token.write_text("ey.J.x")
        server.requests.clear()
        assert bench("--clients", 1, "--events", 1, url=server.url, GOLEAPAI_WS_TOKEN_FILE=str(token)).returncode == 0
        assert all(b"Authorization: Bearer ey.J.x\r\n" in head + b"\r\n" for head in server.requests) and server.requests


@pytest.mark.parametrize("arguments", [["--clients", "many"], ["--rate", "0"], ["--filter", "x"], ["--duration", "5"], ["--nonsense"], ["extra"],
                                       ["--idle", "--rate", "5"], ["--url", "nonsense"], ["--pid"], ["--token-file", "/nonexistent"]])
def test_wrong_usage_is_2(bench, arguments):
    done = bench(*arguments)
    assert done.returncode == 2 and done.stdout == "" and "bench" in done.stderr, done
