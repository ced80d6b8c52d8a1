"""TLS: what is spoken and what is refused, certificates and their renewal, floods, and that everything else is as without it."""

import concurrent.futures
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, merge, wait_until
from support.http import Connection, NoResponse, get, publish, publish_many, request
from support.manager import Managed, Manager
from support.tls import Certificates, context, free_port, serial, settings
from support.ws import WebSocket

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.server = made.make("server")
    return made


@pytest.fixture(scope="module")
def daemon(binary, tmp_path_factory, certificates):
    """Plain and TLS port together."""
    with Daemon(binary, tmp_path_factory.mktemp("daemon"), merge(QUIET, merge(settings(certificates.server), {"log": {"level": "debug"}}))) as running:
        yield running


def stats(daemon, tls=None):
    return get(daemon.port, "/admin/ws/stats", tls=tls).json["tls"]


def failed(daemon, kind):
    return stats(daemon)["failed"][kind]


def test_both_ports_serve_the_same(daemon, certificates):
    trusting = context(ca=certificates.server["cert"])
    assert get(daemon.port, "/version").body == get(daemon.tls_port, "/version", tls=trusting).body
    with WebSocket(daemon.port, "/ws/logs") as plain, WebSocket(daemon.tls_port, "/ws/logs", tls=trusting) as secret:
        publish(daemon.port, "logs", "log", {"n": 1})
        first = plain.receive_text()
        assert secret.receive_text() == first
        # Publishing over TLS.
        answer = request(daemon.tls_port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/json")],
                         b'{"channel":"logs","type":"log","data":{"n":2}}', tls=trusting)
        assert answer.status == 200
        assert plain.receive_text() == secret.receive_text() != first
        secret.send_close()
        assert secret.receive_close()[1] == 1000
    daemon.wait_for_log(r"client \d+ connected from 127\.0\.0\.1:\d+ to /ws/logs over TLS 1\.3$")
    daemon.wait_for_log(r"client \d+ connected from 127\.0\.0\.1:\d+ to /ws/logs$")


def test_only_tls(start, certificates):
    running = start(settings(certificates.server, port=0))
    assert running.port == running.tls_port and "http://" not in "\n".join(running.log())
    assert get(running.port, "/health", tls=context()).status == 200


def test_a_request_without_tls_is_told(daemon):
    answer = get(daemon.tls_port, "/health")
    assert answer.status == 400 and answer.json == {"error": "this port speaks TLS; use https:// or wss://"}
    assert answer.header("Connection") == "close"


def test_tls_on_the_plain_port_is_refused(daemon):
    with pytest.raises(ssl.SSLError), Connection(daemon.port, tls=context()):
        pass
    assert get(daemon.port, "/health").status == 200


# What is spoken. As sslyze and testssl.sh ask: each old thing by itself.


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_versions(daemon, version):
    with Connection(daemon.tls_port, tls=context(lowest=version, highest=version)) as connection:
        assert connection.request("GET", "/health").status == 200
        name, _, bits = connection.sock.cipher()
        assert re.match(r"TLS_AES|TLS_CHACHA20|ECDHE-\w+-(AES\d+-GCM|CHACHA20)", name) and bits >= 128
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        assert connection.sock.compression() is None


def s_client(port, *arguments):
    """OpenSSL's own client, with everything old allowed."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments], input="", capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout + done.stderr


OLD = [("-tls1",), ("-tls1_1",)] + [("-tls1_2", "-cipher", f"{name}:@SECLEVEL=0") for name in (
    "NULL", "aNULL", "RSA", "kDHE", "SHA1", "AES128-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE+CAMELLIA", "PSK", "CBC")
] + [("-tls1_2", "-sigalgs", "ECDSA+SHA1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_3", "-groups", "P-521"), ("-alpn", "h2")]


@pytest.mark.parametrize("arguments", OLD, ids=[" ".join(a) for a in OLD])
def test_old_things_are_refused(daemon, arguments):
    said = s_client(daemon.tls_port, *arguments)
    assert "Cipher is (NONE)" in said or "Error with command" in said or "no cipher match" in said, said
    assert get(daemon.tls_port, "/health", tls=context()).status == 200


def test_no_renegotiation_no_compression_secure_renegotiation_announced(daemon):
    said = s_client(daemon.tls_port, "-tls1_2")
    assert "Secure Renegotiation IS supported" in said and "Compression: NONE" in said
    assert "Extended master secret: yes" in said
    # The client prefers AES 256, the server its own order.
    assert re.search(r"Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", s_client(daemon.tls_port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"))
    # No early data.
    assert "Early data was not sent" in s_client(daemon.tls_port, "-tls1_3")


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_sessions_are_resumed(daemon, version):
    speaking = context(lowest=version, highest=version)
    before = stats(daemon)["resumed"]
    session, reused = None, []
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", daemon.tls_port), PATIENCE) as raw:
            with speaking.wrap_socket(raw, session=session) as sock:
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                reused.append(sock.session_reused)
                session = sock.session
    assert reused == [False, True, True, True]
    assert stats(daemon)["resumed"] == before + 3


def test_client_certificates(start, certificates):
    authority = certificates.make("authority", common_name="authority", signs=True)
    right, wrong = certificates.make("right", common_name="dashboard", signed_by="authority"), certificates.make("wrong")
    running = start(settings(certificates.server, client_ca=authority["cert"]))
    with WebSocket(running.tls_port, "/ws/logs", tls=context(right)):
        running.wait_for_log(r"to /ws/logs over TLS 1\.3, certificate dashboard$")
    for files in (None, wrong):
        for version in (TLS12, TLS13):
            # Under TLS 1.3 the client hears of it when it reads.
            with pytest.raises((ssl.SSLError, NoResponse)):
                get(running.tls_port, "/health", tls=context(files, lowest=version, highest=version))
    wait_until(lambda: failed(running, "client_certificate") == 4, lambda: f"counted: {stats(running)}")


# Certificates


def test_what_is_wrong_with_the_files(binary, tmp_path, certificates):
    other = certificates.make("another")
    for number, (files, text) in enumerate([
        ({"cert": "", "key": ""}, r"server\.tls\.cert: is empty"),
        ({**certificates.server, "key": "/nowhere/key.pem"}, r'server\.tls\.key: "/nowhere/key\.pem" cannot be read: No such file'),
        ({**certificates.server, "key": other["key"]}, r"server\.tls\.key: .* does not fit the certificate"),
        ({**certificates.server, "client_ca": other["key"]}, r"server\.tls\.client_ca: .* holds no certificate"),
    ]):
        daemon = Daemon(binary, tmp_path / str(number), merge(QUIET, settings(files)))
        daemon.start(wait=False)
        assert daemon.wait_exit() == 78
        assert re.search(r"config\.yaml:\d+: " + text, "\n".join(daemon.log())), daemon.log()


def days_left(running):
    return stats(running)["certificate_days_left"]


def test_expiry_is_told(start, certificates):
    for days, level, text in ((25, None, None), (20, "warn", "19 days left"), (6, "warn", "5 days left"), (1, "warn", "less than a day left"), (-1, "error", "expired")):
        running = start(settings(certificates.make(f"days{days}", days=days)))
        if text:
            running.wait_for_log(rf"{level} the certificate of 'test', valid until \S+ \({text}\).*: .*renew it")
        else:
            assert not [line for line in running.log() if "renew it" in line]
        assert days_left(running) == days - 1 if days > 0 else days_left(running) < 0


def test_renewal_under_open_connections(start, certificates, tmp_path):
    place = tmp_path / "live"
    place.mkdir()
    files = certificates.make("live", into=place)
    old = certificates.serial
    running = start(merge(settings(files), {"websocket": {"max_clients": 1000}}))
    speaking = context()
    clients = [WebSocket(running.tls_port, "/ws/logs", tls=speaking) for _ in range(500)]
    assert serial(clients[0].sock) == old
    # Half of the pair: nothing changes, and it is said once, however often it is tried.
    renewed = certificates.make("live", into=tmp_path)
    new = certificates.serial
    shutil.move(renewed["cert"], files["cert"])
    running.wait_for_log(r"error server\.tls\.key: .* does not fit the certificate .*; going on with the certificate that is in force")
    with WebSocket(running.tls_port, "/ws", tls=speaking) as one:
        assert serial(one.sock) == old
    shutil.move(renewed["key"], files["key"])
    running.wait_for_log(r"new connections get another certificate|certificate and key were read again")
    assert len([line for line in running.log() if "does not fit" in line]) == 1
    with WebSocket(running.tls_port, "/ws/logs", tls=speaking) as one:
        assert serial(one.sock) == new
        publish(running.port, "logs", "log", {"n": 1})
        for client in [*clients, one]:
            assert client.receive()["data"] == {"n": 1}
    # And at once by a signal, here back to what was before.
    backup = certificates.make("live", into=place)
    running.kill(signal.SIGHUP)
    wait_until(lambda: len([line for line in running.log() if re.search("get another certificate|were read again: of", line)]) >= 2, "the second renewal")
    with WebSocket(running.tls_port, "/ws/logs", tls=speaking) as one:
        assert serial(one.sock) == certificates.serial and backup
    assert get(running.port, "/admin/ws/stats").json["total_clients"] >= 500
    for client in clients:
        client.sock.close()


def test_a_reload_with_wrong_files_changes_nothing(start, certificates, tmp_path):
    place = tmp_path / "live"
    place.mkdir()
    files = certificates.make("live", into=place)
    running = start(settings(files))
    os.unlink(files["key"])
    running.kill(signal.SIGHUP)
    running.wait_for_log(r"server\.tls\.key: .* cannot be read: No such file or directory")
    running.wait_for_log("nothing was changed")
    assert get(running.tls_port, "/health", tls=context()).status == 200


# Floods and half-open peers


def hello():
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        end.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("kind", ["silent", "part of a hello", "hello without an end"])
def test_thousand_half_open_handshakes(start, certificates, kind, fact):
    running = start(merge(settings(certificates.server), {"websocket": {"max_clients": 2000}}))
    with WebSocket(running.tls_port, "/ws/logs", tls=context()) as client:
        publish(running.port, "logs", "log", {"n": 0})
        assert client.receive()["data"] == {"n": 0}
        memory, descriptors = running.rss, running.descriptors
        said = {"silent": b"", "part of a hello": hello()[:-1], "hello without an end": hello()}[kind]
        half = []
        for _ in range(1000):
            sock = socket.create_connection(("127.0.0.1", running.tls_port), PATIENCE)
            sock.sendall(said)
            half.append(sock)
        for number in range(1, 101):
            publish(running.port, "logs", "log", {"n": number})
            assert client.receive()["data"] == {"n": number}
        # And others still come in.
        with WebSocket(running.tls_port, "/ws/logs", tls=context()) as late:
            publish(running.port, "logs", "log", {"n": "late"})
            assert late.receive()["data"] == client.receive()["data"] == {"n": "late"}
        fact(f"{kind}: {(running.rss - memory) >> 10} KiB more for 1000; {stats(running)}")
        assert stats(running)["underway"] <= 256
        # All of them are ended by the daemon, each for its reason.
        for sock in half:
            sock.settimeout(PATIENCE)
            while True:
                try:
                    if not sock.recv(65536):
                        break
                except ConnectionError:
                    break
            sock.close()
        counts = stats(running)["failed"]
        assert counts["timeout"] + counts["crowded"] == 1000, counts
        wait_until(lambda: running.descriptors <= descriptors, lambda: f"{running.descriptors} descriptors, before {descriptors}")


def test_flood_of_handshakes(start, certificates, fact):
    """Complete handshakes as fast as eight threads can ask for them: whoever is connected gets every event."""
    running = start(merge(settings(certificates.server), {"websocket": {"max_clients": 2000}}))
    stop = threading.Event()
    done = [0] * 8

    def flood(number):
        speaking = context()
        while not stop.is_set():
            with socket.create_connection(("127.0.0.1", running.tls_port), PATIENCE) as raw:
                try:
                    with speaking.wrap_socket(raw):
                        done[number] += 1
                except OSError:
                    pass

    with WebSocket(running.tls_port, "/ws/logs", tls=context()) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        floods = [pool.submit(flood, number) for number in range(8)]
        delays = []
        for number in range(300):
            begun = time.monotonic()
            publish(running.port, "logs", "log", {"n": number})
            assert client.receive()["data"] == {"n": number}
            delays.append(time.monotonic() - begun)
        stop.set()
        for one in floods:
            one.result()
    delays.sort()
    fact(f"{sum(done)} handshakes in {sum(delays):.1f} s beside it; publishing to receiving: median {delays[150] * 1000:.1f} ms, p99 {delays[297] * 1000:.1f} ms")
    assert stats(running)["handshakes"] >= sum(done)


@pytest.mark.release
def test_memory_of_an_idle_client(start, certificates, fact):
    running = start(merge(settings(certificates.server), {"websocket": {"max_clients": 2000}}))
    speaking = context()

    def join(count):
        return [WebSocket(running.tls_port, "/ws/logs", tls=speaking) for _ in range(count)]

    first = join(100)
    before = running.rss
    more = join(400)
    each = (running.rss - before) / 400
    fact(f"{each / 1024:.1f} KiB of memory for an idle client over TLS")
    assert each < 32 * 1024
    for client in first + more:
        client.sock.close()


# As without TLS


def test_large_in_both_directions(daemon):
    text = "x" * 250_000
    with WebSocket(daemon.tls_port, "/ws/logs", tls=context()) as client:
        body = b"".join(b'{"channel":"logs","type":"log","data":{"n":%d,"t":"%s"}}\n' % (n, text.encode()) for n in range(20))
        answer = request(daemon.tls_port, "POST", "/admin/ws/broadcast", [("Content-Type", "application/x-ndjson")], body, tls=context())
        assert answer.status == 200, answer
        for number in range(20):
            assert client.receive()["data"] == {"n": number, "t": text}


def test_drain(start, certificates):
    running = start(settings(certificates.server))
    clients = [WebSocket(running.tls_port, "/ws/logs", tls=context()) for _ in range(20)]
    events = [("logs", "log", {"n": number, "pad": "x" * 5000}) for number in range(400)]
    publish_many(running.port, events)
    silent = socket.create_connection(("127.0.0.1", running.tls_port), PATIENCE)
    running.kill(signal.SIGTERM)
    for client in clients:
        messages = client.receive_until("drain")
        assert [message["data"]["n"] for message in messages[:-1]] == list(range(400))
        _, code, _ = client.receive_close()
        assert code == 1001
        client.send_close(1001)
        # TLS's own goodbye comes behind it: the end is no truncation (which would be an SSLEOFError).
        assert client.sock.recv(1) == b""
        client.sock.close()
    assert running.wait_exit() == 0
    silent.close()
    running.process.returncode = 0
    running._stopped = True


def test_stored_sockets_over_a_restart(binary, tmp_path, certificates):
    manager = Manager(tmp_path)
    try:
        wanted = merge(QUIET, settings(certificates.server))
        port = wanted["server"]["tls"]["port"]
        first = Managed(manager, binary, tmp_path / "first", wanted).start()
        assert first.tls_port == port
        names = [f"listen-127.0.0.1-{first.port}", f"listen-127.0.0.1-{port}"]
        manager.wait_for_names(*names)
        first.stop()
        # Nobody is there; who connects now waits.
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
            second = Managed(manager, binary, tmp_path / "second", wanted).start()
            with context().wrap_socket(raw) as sock:
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert (second.port, second.tls_port) == (first.port, port)
        second.stop()
    finally:
        manager.close()


@pytest.mark.parametrize("name,by_port", [("https", False), ("goleapai-ws-tls.socket", True)])
def test_socket_units(binary, tmp_path, certificates, name, by_port):
    manager = Manager(tmp_path)
    try:
        plain = manager.listen(("127.0.0.1", 0))
        port = manager.listen(("127.0.0.1", 0), name)
        running = Managed(manager, binary, tmp_path / "life", merge(QUIET, settings(certificates.server, port=port if by_port else free_port()))).start()
        assert (running.port, running.tls_port) == (plain, port)
        assert get(plain, "/health").status == get(port, "/health", tls=context()).status == 200
        assert any("do not count beside it" in line for line in running.log()) != by_port
        running.stop()
    finally:
        manager.close()


def test_the_same_port_for_both_is_an_error(binary, tmp_path, certificates):
    port = free_port()
    daemon = Daemon(binary, tmp_path / "daemon", merge(merge(QUIET, settings(certificates.server, port=port)), {"server": {"port": port}}))
    daemon.start(wait=False)
    assert daemon.wait_exit() == 78
    assert "is server.port as well" in "\n".join(daemon.log())


@pytest.mark.parametrize("rsa", [None, 2048])
def test_sslyze_finds_nothing(start, certificates, rsa):
    """Everything that sslyze scans for, against Mozilla's intermediate profile; that nobody vouches for a test's certificate aside."""
    running = start(settings(certificates.make(f"scanned{rsa}", rsa=rsa)))
    done = subprocess.run(
        [sys.executable, "-m", "sslyze", "--mozilla_config", "intermediate", f"127.0.0.1:{running.tls_port}"], capture_output=True, text=True,
        timeout=PATIENCE * 4)
    findings = re.findall(r"^ +\* (\w+): ", done.stdout.split("COMPLIANCE AGAINST")[1], re.M)
    assert findings == ["certificate_path_validation"], done.stdout
    assert not re.search(r"VULNERABLE|NOT SECURE", done.stdout.replace("Not vulnerable", "")), done.stdout
