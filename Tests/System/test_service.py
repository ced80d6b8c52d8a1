"""The installed service under systemd: the watchdog, restarts, reload, drain, faults, and what the journal says of it all."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.installed import CONFIG, DROP_INS, ROOT, SHARE, UNIT, Installed, variant
from support.daemon import PATIENCE, wait_until, yaml_text
from support.gateway import now_ns, shifted_fixture

BENCH = Path(__file__).parent / "bench"
DATABASE = "/opt/goleapai/data/goleapai.db"


@pytest.fixture(scope="module")
def serving(package, tmp_path_factory):
    """A minimal machine with the package, for all tests of this file; the gateway's database is there."""
    machine = Installed(tmp_path_factory.mktemp("service"), package)
    try:
        machine.boot()
        shifted_fixture(machine.share / "gateway.db", now_ns())
        (machine.share / "gateway.db").chmod(0o644)
        machine.run("install", "-D", "-m", "644", f"{SHARE}/gateway.db", DATABASE)
        machine.install()
        yield machine
    finally:
        machine.down()


@pytest.fixture
def service(serving, request):
    """The service as it is shipped, freshly started; `configure` and `drop_in` change it for one test."""
    machine = serving
    machine.changed = False
    machine.mark = machine.cursor()
    yield machine
    if request.node.report_call.failed:
        print(machine.run("systemctl", "status", "--no-pager", "-l", UNIT, check=False))
        print(machine.log("--lines=60"))
    if machine.changed or not machine.is_active():
        machine.run("rm", "-rf", f"{DROP_INS}/test.conf")
        machine.write(CONFIG, (ROOT / "etc" / "goleapai-ws" / "config.yaml").read_text())
        machine.systemctl("daemon-reload")
        machine.systemctl("reset-failed", check=False)
        machine.systemctl("stop", "goleapai-ws.socket", UNIT, check=False)
        machine.systemctl("start", UNIT)


def configure(machine, settings, reload=False):
    machine.changed = True
    machine.write(CONFIG, yaml_text(settings) + "\n" if isinstance(settings, dict) else settings)
    if reload:
        machine.systemctl("reload", UNIT)


def drop_in(machine, text):
    machine.changed = True
    machine.write(f"{DROP_INS}/test.conf", text)
    machine.systemctl("daemon-reload")


def entries(machine, *matches, unit=UNIT):
    """What the unit, and systemd about it, has written to the journal since the test began."""
    machine.journalctl("--sync")
    found = map(json.loads, machine.journalctl("--output=json", "--all", f"--after-cursor={machine.mark}").splitlines())
    return [entry for entry in found if unit in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT"))
            and all(entry.get(name) == value for name, value in matches)]


def own(machine, *matches):
    """What the daemon itself has written."""
    return [entry for entry in entries(machine, *matches) if entry.get("_SYSTEMD_UNIT") == UNIT and entry.get("SYSLOG_IDENTIFIER") == "goleapai-ws"]


def wait_for_message(machine, pattern):
    compiled = re.compile(pattern)

    def look():
        return next((entry for entry in entries(machine) if compiled.search(str(entry.get("MESSAGE", "")))), None)

    return wait_until(look, lambda: f"a message like {pattern!r}:\n" + "\n".join(str(entry.get("MESSAGE")) for entry in entries(machine)[-40:]), interval=0.2)


def restarts(machine):
    return int(machine.show("NRestarts"))


def pid_outside(machine):
    """The daemon's process id as this machine counts."""
    inside = machine.show("MainPID")
    boot = subprocess.run([*machine.root, "cat", str(machine.state / "init.pid")], capture_output=True, text=True, check=True).stdout.split()[0]
    namespace = os.stat(f"/proc/{boot}/ns/pid").st_ino if os.geteuid() == 0 else None
    for path in Path("/proc").iterdir():
        try:
            status = (path / "status").read_text()
            if re.search(rf"^NSpid:\s.*\s{inside}$", status, re.M) and status.startswith("Name:\tgoleapai-ws\n") and (
                    namespace is None or os.stat(path / "ns" / "pid").st_ino == namespace):
                return int(path.name)
        except (OSError, ValueError):
            continue
    raise AssertionError(f"no process outside is {inside} inside")


class Program:
    """A Python program of the tests that runs in the machine's network until it is told to end."""

    def __init__(self, machine, *arguments, inside=True):
        prefix = []
        if inside:
            pid = subprocess.run([*machine.root, "cat", str(machine.state / "init.pid")], capture_output=True, text=True, check=True).stdout.split()[0]
            prefix = ["nsenter", "--target", pid, "--net"]
        self.process = subprocess.Popen(
            [*machine.root, *prefix, sys.executable, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=ROOT / "Tests" / "Integration")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def line(self):
        line = self.process.stdout.readline()
        assert line, f"the program ended: {self.process.wait(5)}"
        return line.strip()

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def result(self):
        """Ends its input, and gives back its last line."""
        self.process.stdin.close()
        rest = self.process.stdout.read().splitlines()
        assert self.process.wait(PATIENCE) == 0
        return json.loads(rest[-1])


# What systemd shows

def test_status_line_stays_current(service):
    machine = service
    wait_until(lambda: "serving 0 clients" in machine.show("StatusText"), lambda: machine.show("StatusText"), interval=0.2)
    code = "from support.ws import WebSocket\nimport sys\nclients = [WebSocket(8080, '/ws/logs') for _ in range(7)]\nprint('there', flush=True)\nsys.stdin.read()"
    with Program(machine, "-c", code) as program:
        assert program.line() == "there"
        wait_until(lambda: "serving 7 clients, " in machine.show("StatusText"), lambda: machine.show("StatusText"), interval=0.2)
        assert "Status: \"serving 7 clients" in machine.run("systemctl", "status", "--no-pager", UNIT)
    wait_until(lambda: "serving 0 clients" in machine.show("StatusText"), lambda: machine.show("StatusText"), interval=0.2)
    machine.run("rm", DATABASE)
    try:
        wait_until(lambda: "failing (the database " in machine.show("StatusText"), lambda: machine.show("StatusText"), interval=0.2)
    finally:
        machine.run("install", "-D", "-m", "644", f"{SHARE}/gateway.db", DATABASE)
    wait_until(lambda: "failing" not in machine.show("StatusText"), lambda: machine.show("StatusText"), interval=0.2)


# The watchdog

PUBLISHER = """
import sys, threading, time
from support.http import publish
from support.ws import WebSocket
clients = [WebSocket(8080, '/ws/logs') for _ in range(8)]
def read(client):
    try:
        while True: client.receive(60)
    except Exception: pass
for client in clients: threading.Thread(target=read, args=(client,), daemon=True).start()
over = threading.Event()
def write():
    while not over.is_set():
        try: publish(8080, 'logs', 'log', {'message': 'busy'})
        except Exception: pass
        time.sleep(0.002)
threading.Thread(target=write, daemon=True).start()
print('there', flush=True)
sys.stdin.read()
"""


def test_a_shard_that_hangs_gets_the_service_restarted(service, fact):
    machine = service
    drop_in(machine, "[Service]\nWatchdogSec=3s\nRestartSec=100ms\nLimitCORE=0\n")
    machine.systemctl("restart", UNIT)
    before = restarts(machine)
    with Program(machine, "-c", PUBLISHER) as publisher:
        assert publisher.line() == "there"
        with Program(machine, BENCH / "hold.py", pid_outside(machine), inside=False) as holder:
            held = float(re.fullmatch(r"held \d+ at ([\d.]+)", holder.line()).group(1))
            timeout = wait_for_message(machine, r"Watchdog timeout \(limit 3s\)!")
            after = int(timeout["__MONOTONIC_TIMESTAMP"]) / 1e6 - held
            fact(f"a held shard: the watchdog's time-out of 3 s came after {after:.2f} s")
            wait_until(lambda: restarts(machine) == before + 1 and machine.is_active(), "the service is restarted", interval=0.1)
    # No later than its own time and a second; a machine that stands still may add to it.
    assert 1 < after < 3 + 1 + float(os.environ.get("NOISE", "1")), after
    assert machine.get("/health")
    assert any("no answer for 5 s" in str(entry.get("MESSAGE")) for entry in own(machine)) is False  # The watchdog was faster.


def test_a_disk_that_hangs_does_not(service):
    machine = service
    library = machine.share / "hang.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "Tests/Integration/support/hang.c", "-ldl"], check=True)
    library.chmod(0o755)
    flag = "/run/goleapai-ws/hang"
    drop_in(machine, f"[Service]\nWatchdogSec=2s\nEnvironment=LD_PRELOAD={SHARE}/hang.so HANG_WHILE={flag}\n")
    machine.systemctl("restart", UNIT)
    wait_until(lambda: machine.get("/ready")["ready"], "the database is read")
    before, pid = restarts(machine), machine.show("MainPID")
    machine.run("touch", flag)
    machine.run("touch", DATABASE)
    try:
        wait_until(lambda: machine.exists(f"{flag}.database") or machine.run("touch", DATABASE) is None, "a read hangs", interval=0.2)
        wait_for_message(machine, "a read of the database .* does not come back")
        began = time.monotonic()
        # Three times WatchdogSec= with nothing read, and everything else served.
        while time.monotonic() - began < 6:
            assert machine.get("/health") and machine.show("MainPID") == pid
            time.sleep(0.2)
        assert restarts(machine) == before
        assert "does not come back" in json.dumps(machine.get("/ready"))
    finally:
        machine.run("rm", "-f", flag, f"{flag}.database", f"{flag}.journal")
    wait_until(lambda: machine.get("/ready")["ready"], "the database is read again")
    assert machine.show("MainPID") == pid


# Restarts refuse nobody

def restart_under_load(machine, package, times=10):
    with Program(machine, BENCH / "loops.py", 8080, 200) as loops:
        assert loops.line() == "running"
        for _ in range(times):
            time.sleep(0.3)
            machine.systemctl("restart", UNIT)
        machine.install(variant(machine.package, machine.share, package))
        assert machine.is_active()
        time.sleep(0.5)
        return loops.result()


def check_nobody_was_refused(met):
    lost = {name: count for name, count in met.items() if name not in ("connected", "unavailable", "statuses")}
    assert lost == {}, met
    assert set(met["statuses"]) <= {"101", "503"} and met["connected"] > 1000, met


def test_nobody_is_refused_over_restarts_and_an_upgrade(service, fact):
    machine = service
    machine.changed = True
    # Each of the loops is a client that comes from the same address.
    met = restart_under_load(machine, "99.1")
    fact(f"descriptor store, ten restarts and an upgrade: {met}")
    check_nobody_was_refused(met)


def test_nobody_is_refused_with_socket_activation(service, fact):
    machine = service
    machine.changed = True
    machine.systemctl("stop", UNIT)
    machine.systemctl("start", "goleapai-ws.socket")
    machine.systemctl("start", UNIT)
    met = restart_under_load(machine, "99.2")
    fact(f"socket activation, ten restarts and an upgrade: {met}")
    check_nobody_was_refused(met)
    assert machine.is_active("goleapai-ws.socket")
    # The first connection starts it, too.
    machine.systemctl("stop", UNIT)
    assert machine.get("/health") and machine.is_active()
    assert not any("ListenStream" in str(entry["MESSAGE"]) for entry in own(machine))


def test_a_socket_unit_that_differs_is_told(service):
    machine = service
    configure(machine, {"server": {"port": 9000}})
    machine.systemctl("stop", UNIT)
    machine.systemctl("start", "goleapai-ws.socket")
    machine.systemctl("start", UNIT)
    assert machine.get("/health") and not machine.get("/health", port=9000)
    found = [entry["MESSAGE"] for entry in own(machine) if "9000" in entry["MESSAGE"] and "8080" in entry["MESSAGE"]]
    assert found, [entry["MESSAGE"] for entry in own(machine)]


# Reload

def test_reload_with_500_clients(service):
    machine = service
    configure(machine, {"websocket": {"max_clients": 500}}, reload=True)
    wait_for_message(machine, "was read again: websocket.max_clients: 1000 -> 500")
    code = (
        "import json, sys\n"
        "from support.ws import WebSocket, Refused\n"
        "from support.http import publish\n"
        "clients = [WebSocket(8080, '/ws/logs') for _ in range(500)]\n"
        "def more(count):\n"
        "    refused = 0\n"
        "    for _ in range(count):\n"
        "        try: clients.append(WebSocket(8080, '/ws/logs'))\n"
        "        except Refused as error: refused += error.response.status == 503\n"
        "    return refused\n"
        "print('refused', more(3), flush=True)\n"
        "sys.stdin.readline()\n"
        "print('refused', more(11), flush=True)\n"
        "publish(8080, 'logs', 'log', {'message': 'all are here'})\n"
        "print('got it', sum(client.receive()['data']['message'] == 'all are here' for client in clients), flush=True)\n")
    with Program(machine, "-c", code) as crowd:
        assert crowd.line() == "refused 3"
        pid = machine.show("MainPID")
        configure(machine, {"websocket": {"max_clients": 510}}, reload=True)
        wait_for_message(machine, "was read again: websocket.max_clients: 500 -> 510")
        assert machine.show("MainPID") == pid and machine.is_active()
        crowd.tell("go on")
        assert crowd.line() == "refused 1"
        assert crowd.line() == "got it 510"
    wait_until(lambda: machine.show("StatusText").startswith("serving "), lambda: machine.show("StatusText"), interval=0.2)


def test_a_broken_reload_changes_nothing(service):
    machine = service
    pid = machine.show("MainPID")
    configure(machine, "websocket:\n  max_clientz: 5\n", reload=True)
    entry = wait_for_message(machine, "config.yaml:2: websocket.max_clientz: unknown key; did you mean max_clients")
    assert entry["SETTING"] == "websocket.max_clientz" and entry["PRIORITY"] == "3"
    wait_for_message(machine, "nothing was changed")
    assert machine.show("MainPID") == pid and machine.is_active() and machine.get("/health")


# Drain

READ_ALL = """
import selectors, time
from support.ws import CLOSE, TEXT, encode, take_frame

def read_all(clients):
    '''What is left of each stream, all read at once: (texts, close code).'''
    selector = selectors.DefaultSelector()
    for client in clients:
        client.sock.setblocking(False)
        selector.register(client.sock, selectors.EVENT_READ, client)
    while selector.get_map():
        ready = selector.select(60)
        assert ready, "nothing came for a minute"
        for key, _ in ready:
            client = key.data
            try:
                data = client.sock.recv(262144)
            except ConnectionError:
                data = b""
            client.buffer.extend(data)
            # A close frame is the last one: it ends the buffer.
            if not data:
                selector.unregister(client.sock)
            elif len(client.buffer) > 3 and b"\\x88" in client.buffer[-127:] and b"\\x03\\xe9" in client.buffer[-127:]:
                client.sock.send(encode(CLOSE, b"\\x03\\xe9"))
    result = []
    for client in clients:
        texts, code, start = [], None, 0
        while frame := take_frame(client.buffer, start):
            opcode, _, _, payload, start = frame
            if opcode == TEXT: texts.append(bytes(payload))
            if opcode == CLOSE: code = int.from_bytes(payload[:2], "big")
        result.append((texts, code))
    return result
"""


def test_drain_of_1000_clients(service):
    machine = service
    machine.changed = True
    code = READ_ALL + (
        "import json, sys\n"
        "from support.ws import WebSocket\n"
        "from support.http import publish_many\n"
        "clients = [WebSocket(8080, '/ws/logs') for _ in range(1000)]\n"
        "publish_many(8080, [('logs', 'log', {'n': n, 'text': 'x' * 1000}) for n in range(400)])\n"
        "print('there', flush=True)\n"
        "sys.stdin.readline()\n"
        "received = read_all(clients)\n"
        "bad, delays = [], set()\n"
        "for messages, code in received:\n"
        "    messages = [json.loads(message) for message in messages]\n"
        "    drains = [m for m in messages if m['type'] == 'drain']\n"
        "    numbers = [m['data']['n'] for m in messages if m['type'] == 'log']\n"
        "    if code != 1001 or len(drains) != 1 or numbers != list(range(400)): bad.append((code, len(drains), len(numbers)))\n"
        "    delays.update(m['data']['reconnect_in_ms'] for m in drains)\n"
        "print(json.dumps({'bad': bad[:5], 'count': len(bad), 'delays': len(delays), 'latest': max(delays)}), flush=True)\n")
    with Program(machine, "-c", code) as crowd:
        assert crowd.line() == "there"
        machine.systemctl("stop", "--no-block", UNIT)
        crowd.tell("read")
        result = crowd.result()
    assert result["count"] == 0, result
    # Each has a delay of its own, within a window that fits the crowd.
    assert result["delays"] > 900 and 1000 <= result["latest"] <= 60_000, result
    wait_until(lambda: machine.show("ActiveState") == "inactive", lambda: machine.show("ActiveState"), interval=0.2)
    assert (machine.show("Result"), machine.show("ExecMainStatus")) == ("success", "0")


# The journal

def test_the_journal_knows_a_client_s_life(service):
    machine = service
    got = json.loads(machine.python(
        "import json\n"
        "from support.ws import WebSocket\n"
        "from support.http import request\n"
        "with WebSocket(8080, '/ws/logs') as client:\n"
        "    found = request(8080, 'GET', '/admin/ws/clients').json['clients']\n"
        "    client.send_close(1000)\n"
        "    client.receive_close()\n"
        "print(json.dumps(found))\n"))
    number = got[-1]["id"]
    pid = machine.show("MainPID")

    def life():
        lines = machine.journalctl("--unit", UNIT, f"CLIENT_ID={number}", f"_PID={pid}", "--output=json").splitlines()
        return [json.loads(line) for line in lines] if len(lines) == 2 else None

    came, went = wait_until(life, f"two entries of client {number}", interval=0.2)
    assert came["MESSAGE"].startswith(f"client {number} connected from 127.0.0.1:") and came["MESSAGE"].endswith("to /ws/logs")
    assert went["CLOSE_CODE"] == "1000" and "the client closed (1000)" in went["MESSAGE"]
    for entry in (came, went):
        assert entry["REMOTE_ADDR"] == "127.0.0.1" and entry["_TRANSPORT"] == "journal" and entry["PRIORITY"] == "6"
        assert came["CHANNEL"] == "logs"
        assert entry["CODE_FILE"].startswith("Fanout/") and int(entry["CODE_LINE"]) > 0
    assert came["MESSAGE_ID"] != went["MESSAGE_ID"]
    said = machine.journalctl("--unit", UNIT, f"CLIENT_ID={number}", f"_PID={pid}", "--catalog", "--no-pager")
    assert "A client has connected: " + number in said and "man:goleapai-ws(8)" in said, said


def test_every_message_id_is_in_the_catalog(service):
    machine = service
    known = machine.journalctl("--list-catalog")
    for identifier in re.findall(r"^-- ([0-9a-f]{32})$", (ROOT / "systemd" / "goleapai-ws.catalog").read_text(), re.M):
        assert re.search(rf"^{identifier} goleapai-ws: ", known, re.M), identifier
    assert "Unit" not in machine.run("sh", "-c", "journalctl --dump-catalog 2>&1 >/dev/null", check=False)


def test_nothing_but_entries_of_its_own(service):
    """No line of a library, no trace: what the daemon writes has a MESSAGE_ID or a level at least, by the native protocol."""
    machine = service
    machine.changed = True
    machine.systemctl("restart", UNIT)
    machine.python(
        "from support.ws import WebSocket\n"
        "for _ in range(20):\n"
        "    with WebSocket(8080, '/ws/all?since=1h') as client: client.receive()\n")
    machine.systemctl("restart", UNIT)
    found = [entry for entry in entries(machine) if entry.get("_SYSTEMD_UNIT") == UNIT]
    strangers = [entry["MESSAGE"] for entry in found if entry.get("_TRANSPORT") != "journal"]
    assert strangers == []


# Faults

def test_kill(service):
    machine = service
    machine.changed = True
    before = restarts(machine)
    machine.systemctl("kill", "--signal=KILL", UNIT)
    # Nobody is refused meanwhile: the listening socket outlives the process.
    assert machine.near("curl", "--silent", "--show-error", "--max-time", "20", "http://127.0.0.1:8080/health")
    assert restarts(machine) == before + 1
    wait_for_message(machine, "Main process exited, code=killed, status=9/KILL")


def test_out_of_descriptors(service):
    machine = service
    drop_in(machine, "[Service]\nLimitNOFILE=120\n")
    machine.systemctl("restart", UNIT)
    entry = wait_for_message(machine, "websocket.max_clients 1000 does not fit the limit of 120 open files; going on with 56")
    assert entry["PRIORITY"] == "4" and entry["MESSAGE_ID"]
    # Until the daemon has seen that they are gone, there is still no place.
    machine.python(
        "import socket, time\n"
        "from support.daemon import wait_until\n"
        "from support.http import get\n"
        "held = [socket.create_connection(('127.0.0.1', 8080)) for _ in range(300)]\n"
        "time.sleep(1)\n"
        "for one in held: one.close()\n"
        "wait_until(lambda: get(8080, '/health').status == 200, 'serving again')\n")
    wait_for_message(machine, "accepting connections again")
    said = [entry["MESSAGE"] for entry in own(machine) if "cannot accept" in entry["MESSAGE"]]
    assert 1 <= len(said) <= 5, said
    assert restarts(machine) == 0


def test_full_run(service):
    """No room under /run: the daemon serves, and says what it has to do without."""
    machine = service
    machine.changed = True
    machine.systemctl("stop", UNIT)
    machine.run("sh", "-c", "mount -t tmpfs -o size=64k,nr_inodes=3,mode=755 small /run/goleapai-ws 2>/dev/null || { mkdir -p /run/goleapai-ws; mount -t tmpfs -o size=64k,nr_inodes=3,mode=755 small /run/goleapai-ws; }")
    try:
        machine.run("sh", "-c", "touch /run/goleapai-ws/1 /run/goleapai-ws/2; dd if=/dev/zero of=/run/goleapai-ws/1 bs=1k 2>/dev/null; chown -R goleapai-ws:goleapai-ws /run/goleapai-ws; true")
        machine.systemctl("start", UNIT, check=False)
        assert machine.is_active(), machine.log("--lines=20")
        assert machine.get("/health")
        said = [entry["MESSAGE"] for entry in own(machine) if int(entry["PRIORITY"]) <= 4 and "publish.sock" in entry["MESSAGE"]]
        assert len(said) == 1 and "No space left on device" in said[0], said
    finally:
        machine.systemctl("stop", UNIT, check=False)
        machine.run("umount", "/run/goleapai-ws", check=False)


def test_a_journal_that_may_not_be_read(service):
    machine = service
    # The group is what gives the right.
    drop_in(machine, "[Service]\nSupplementaryGroups=\n")
    machine.systemctl("restart", UNIT)
    wait_until(lambda: any(source["name"] == "journal" and source["state"] == "failing" for source in machine.get("/ready")["sources"]),
               lambda: machine.get("/ready"))
    entry = wait_for_message(machine, "source journal: .*systemd-journal")
    assert entry["SOURCE"] == "journal" and entry["PRIORITY"] == "4"
    assert machine.is_active() and restarts(machine) == 0
    assert len([e for e in own(machine) if e.get("SOURCE") == "journal"]) == 1


def test_a_database_that_is_missing(service):
    machine = service
    machine.changed = True
    machine.run("rm", DATABASE)
    try:
        machine.systemctl("restart", UNIT)
        entry = wait_for_message(machine, "the database /opt/goleapai/data/goleapai.db does not exist")
        assert entry["PRIORITY"] == "4" and entry["MESSAGE_ID"]
        time.sleep(2)
        assert len([e for e in own(machine) if "does not exist" in e["MESSAGE"]]) == 1
        assert machine.is_active() and restarts(machine) == 0
        assert machine.get("/health")
    finally:
        machine.run("install", "-D", "-m", "644", f"{SHARE}/gateway.db", DATABASE)
    wait_for_message(machine, "working again")


def test_a_port_that_is_taken_is_tried_again_without_a_storm(service):
    machine = service
    machine.changed = True
    machine.systemctl("stop", UNIT)
    with Program(machine, "-c", "import socket, sys\nheld = socket.create_server(('127.0.0.1', 8080))\nprint('there', flush=True)\nsys.stdin.read()") as holder:
        assert holder.line() == "there"
        machine.systemctl("start", UNIT, check=False)
        time.sleep(8)
        said = [entry for entry in own(machine) if entry["PRIORITY"] == "3"]
        assert 1 <= len(said) <= 3 and all("cannot listen on 127.0.0.1:8080: Address already in use" in entry["MESSAGE"] for entry in said), said
        assert all(entry["MESSAGE_ID"] for entry in said)
        assert machine.show("ExecMainStatus") == "1"
    machine.wait_until_active()


def test_a_broken_configuration_is_not_tried_again(service):
    machine = service
    configure(machine, "server:\n  port: many\n  hots: [127.0.0.1]\n")
    machine.systemctl("restart", UNIT, check=False)
    assert (machine.show("ActiveState"), machine.show("ExecMainStatus"), machine.show("NRestarts")) == ("failed", "78", "0")
    said = own(machine, ("PRIORITY", "3"))
    assert ["/etc/goleapai-ws/config.yaml:2" in said[0]["MESSAGE"], "/etc/goleapai-ws/config.yaml:3" in said[1]["MESSAGE"], len(said)] == [True, True, 2], said
    assert said[0]["SETTING"] == "server.port" and said[0]["MESSAGE_ID"] == said[1]["MESSAGE_ID"]
