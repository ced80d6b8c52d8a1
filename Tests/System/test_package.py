"""The Debian package on a minimal machine: what an administrator does with it, and what is there afterwards."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench.installed import CONFIG, DROP_INS, ROOT, SHARE, UNIT, dependencies, field, variant
from support.daemon import PATIENCE, wait_until
from support.gateway import Gateway, now_ns, shifted_fixture
from support.tokens import ISSUER, sign

GROUP = f"{DROP_INS}/gateway-group.conf"
FIRST = re.compile(r"(?m)^goleapai-ws: .*$")
"""The one line that the package itself says."""


def put_database(machine, owner="root:root", mode="644", path="/opt/goleapai/data/goleapai.db"):
    """A gateway's database of today, where the configuration expects it."""
    shifted_fixture(machine.share / "gateway.db", now_ns())
    (machine.share / "gateway.db").chmod(0o644)
    machine.run("install", "-d", "-m", "755", str(Path(path).parent))
    machine.run("cp", f"{SHARE}/gateway.db", path)
    machine.run("chown", owner, path)
    machine.run("chmod", mode, path)


def works(machine, source):
    """Whether a source is read from."""
    answer = machine.get("/ready")
    return answer and any(found["name"] == source and found["state"] == "working" for found in answer["sources"])


# Installing

def test_install(bare):
    machine = bare
    put_database(machine)
    said = machine.install()
    lines = FIRST.findall(said)
    assert len(lines) == 1 and "http://localhost:8080" in lines[0] and CONFIG in lines[0], said
    assert machine.is_active() and machine.systemctl("is-enabled", UNIT).strip() == "enabled"
    assert machine.systemctl("is-enabled", "goleapai-ws.socket", check=False).strip() == "disabled"
    assert not machine.is_active("goleapai-ws.socket")
    assert "serving 0 clients" in machine.show("StatusText")
    assert machine.read(CONFIG) == (ROOT / "etc" / "goleapai-ws" / "config.yaml").read_text()
    assert machine.run("goleapai-ws", "version").startswith(f"goleapai-ws {field(machine.package, 'Version')} ")
    wait_until(lambda: works(machine, "stats"), lambda: f"the database is read: {machine.get('/ready')}")
    # The journal of a machine without a gateway has no line of it, and may be read all the same.
    wait_until(lambda: works(machine, "journal"), lambda: f"the journal is read: {machine.get('/ready')}")


def test_examples(installed):
    """The examples of the module's description, as they are typed, against the installed service."""
    machine = installed
    put_database(machine)
    wait_until(lambda: works(machine, "stats"), lambda: f"the database is read: {machine.get('/ready')}")
    line = machine.near(str(Path(sys.executable).parent / "websocat"), "--no-close", "--one-message", "ws://localhost:8080/ws/stats")
    assert json.loads(line)["data"]["total_requests"] > 0
    head = machine.near("curl", "-i", "-N", "-s", "--max-time", "1", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H",
                        "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: test", "http://localhost:8080/ws/logs", check=False)
    assert head.startswith("HTTP/1.1 101 ")
    got = json.loads(machine.python(
        "import json\n"
        "from support.ws import WebSocket\n"
        "from support.http import publish\n"
        "with WebSocket(8080, '/ws/logs') as client:\n"
        "    answer = publish(8080, 'logs', 'log', {'level': 'info', 'message': 'Test message'})\n"
        "    print(json.dumps([answer['id'], client.receive()]))\n"))
    assert got[1]["id"] == got[0] and got[1]["data"]["message"] == "Test message"
    # The command finds the daemon by the configuration.
    machine.run("goleapai-ws", "publish", "logs", "--type", "log", "--data", '{"level":"info","message":"hello"}')


def test_the_gateway_s_log(installed):
    """The daemon reads the journal as its unit lets it."""
    machine = installed
    machine.write("/etc/systemd/system/goleapai.service", "[Service]\nExecStart=/bin/sh -c 'while sleep 0.2; do echo a line of the gateway; done'\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "goleapai.service")
    got = json.loads(machine.python(
        "import json\n"
        "from support.ws import WebSocket\n"
        "with WebSocket(8080, '/ws/logs') as client: print(json.dumps(client.receive()))\n"))
    assert got["data"]["message"] == "a line of the gateway"


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_in_use(installed, journal):
    """Requests arrive while the gateway writes them, in both modes, by a daemon that can write nowhere."""
    machine = installed
    gateway = Gateway(machine.share / "gateway.db", journal=journal)
    provider = gateway.add_provider("p")
    model = gateway.add_model(provider, "m")
    machine.run("sed", "-i", f"s,^  #connection: .*$,  connection: {SHARE}/gateway.db,", CONFIG)
    machine.systemctl("restart", UNIT)
    wait_until(lambda: works(machine, "requests"), lambda: f"the database is read: {machine.get('/ready')}")
    row = gateway.row(provider, model)
    client = machine.start_python(
        "import json\n"
        "from support.ws import WebSocket\n"
        "with WebSocket(8080, '/ws/requests') as client:\n"
        "    print('connected', flush=True)\n"
        "    print(json.dumps(client.receive()), flush=True)\n")
    assert client.stdout.readline() == "connected\n"
    gateway.insert([row])
    assert json.loads(client.stdout.readline())["data"]["model_name"] == "m"
    assert client.wait(PATIENCE) == 0 and gateway.errors == []
    gateway.close()


def test_port_that_is_taken(bare):
    """The gateway's own default is 8080 too: the package installs, and says what to do."""
    machine = bare
    machine.write("/etc/systemd/system/taken.socket", "[Socket]\nListenStream=127.0.0.1:8080\nService=taken.service\n")
    machine.write("/etc/systemd/system/taken.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "taken.socket")
    said = machine.install()
    line, = FIRST.findall(said)
    assert "journalctl -u goleapai-ws" in line and "server.port" in line and CONFIG in line, said
    assert machine.run("dpkg-query", "-W", "-f", "${Status}", "goleapai-ws") == "install ok installed"
    assert "cannot listen on 127.0.0.1:8080: Address already in use" in machine.log()
    assert machine.show("ActiveState") == "activating" and machine.show("SubState") == "auto-restart"
    # It goes on trying, and the line's advice helps at once.
    machine.run("sed", "-i", "s/^  #port: 8080$/  port: 8090/", CONFIG)
    machine.systemctl("restart", UNIT)
    assert machine.is_active() and machine.get("/health", port=8090)


def test_wrong_configuration_is_not_tried_again(installed):
    machine = installed
    machine.run("sed", "-i", "s/^  #port: 8080$/  port: many/", CONFIG)
    machine.systemctl("restart", UNIT, check=False)
    assert machine.show("ActiveState") == "failed" and machine.show("ExecMainStatus") == "78" and machine.show("NRestarts") == "0"
    # Nor does it stand in the way of an upgrade.
    machine.install(variant(machine.package, machine.share, "99.0"))
    assert machine.show("ActiveState") == "failed"
    machine.run("sed", "-i", "s/^  port: many$/  #port: 8080/", CONFIG)
    machine.systemctl("restart", UNIT)
    assert machine.is_active()


def test_catalog(installed):
    """journalctl explains the entries, from the moment of installing on."""
    machine = installed
    assert " Subject: goleapai-ws is ready\n" in machine.journalctl("--catalog", "--unit", UNIT)
    listed = machine.journalctl("--list-catalog")
    assert listed.count("goleapai-ws: ") > 20
    machine.apt("purge", "goleapai-ws")
    assert "goleapai-ws" not in machine.journalctl("--list-catalog")


# Upgrading

def test_upgrade(installed):
    machine = installed
    machine.run("sed", "-i", "s/^  #max_clients: 1000$/  max_clients: 77/", CONFIG)
    edited, pid = machine.read(CONFIG), machine.show("MainPID")

    def changed_default(tree):
        path = Path(f"{tree}{CONFIG}")
        path.write_text(path.read_text() + "# of the new version\n")

    newer = variant(machine.package, machine.share, "99.0")
    said = machine.install(newer)
    assert not FIRST.findall(said), said
    assert machine.read(CONFIG) == edited
    assert machine.is_active() and machine.show("MainPID") != pid
    assert "at most 77 clients" in machine.log("_PID=" + machine.show("MainPID"))
    # The shipped file changes as well: the edited one stays, the other one is put beside it.
    machine.install(variant(machine.package, machine.share, "99.1", changed_default), "-o", "Dpkg::Options::=--force-confold")
    assert machine.read(CONFIG) == edited and machine.read(f"{CONFIG}.dpkg-dist").endswith("# of the new version\n")
    assert machine.is_active()
    assert machine.show("NRestarts") == "0"


def test_upgrade_of_an_untouched_configuration(installed):
    machine = installed

    def changed_default(tree):
        path = Path(f"{tree}{CONFIG}")
        path.write_text(path.read_text() + "# of the new version\n")

    machine.install(variant(machine.package, machine.share, "99.0", changed_default))
    assert machine.read(CONFIG).endswith("# of the new version\n")
    assert machine.is_active()


def test_upgrade_leaves_what_is_disabled(installed):
    machine = installed
    machine.systemctl("disable", "--now", UNIT)
    machine.install(variant(machine.package, machine.share, "99.0"))
    assert machine.systemctl("is-enabled", UNIT, check=False).strip() == "disabled" and not machine.is_active()
    # With the socket in its place the running service is the new version afterwards, and the socket was never closed.
    machine.systemctl("enable", "--now", "goleapai-ws.socket")
    assert machine.get("/health") and machine.is_active()
    pid, since = machine.show("MainPID"), machine.show("ActiveEnterTimestampMonotonic", "goleapai-ws.socket")
    machine.install(variant(machine.package, machine.share, "99.1"))
    assert machine.is_active() and machine.show("MainPID") != pid
    assert machine.show("ActiveEnterTimestampMonotonic", "goleapai-ws.socket") == since


def test_reinstall(installed):
    machine = installed
    machine.run("sed", "-i", "s/^  #max_clients: 1000$/  max_clients: 77/", CONFIG)
    edited, pid = machine.read(CONFIG), machine.show("MainPID")
    machine.apt("--reinstall", "install", f"{SHARE}/{machine.package.name}")
    assert machine.read(CONFIG) == edited and machine.is_active() and machine.show("MainPID") != pid


def test_reboot(installed):
    machine = installed
    machine.reboot()
    machine.wait_until_active()
    assert machine.get("/health")


# Removing

def test_remove_and_install_again(installed):
    machine = installed
    machine.run("sed", "-i", "s/^  #max_clients: 1000$/  max_clients: 77/", CONFIG)
    edited = machine.read(CONFIG)
    machine.apt("remove", "goleapai-ws")
    assert not machine.is_active() and machine.show("LoadState") == "not-found"
    assert not machine.exists("/usr/bin/goleapai-ws") and not machine.exists("/run/goleapai-ws") and not machine.exists(DROP_INS)
    assert machine.read(CONFIG) == edited and machine.get("/health") is None
    machine.install()
    assert machine.read(CONFIG) == edited and machine.is_active()


def test_remove_stops_the_socket(installed):
    machine = installed
    machine.systemctl("stop", UNIT)
    machine.systemctl("enable", "--now", "goleapai-ws.socket")
    machine.apt("remove", "goleapai-ws")
    assert not machine.is_active("goleapai-ws.socket") and not machine.is_active()
    assert machine.get("/health") is None


@pytest.mark.parametrize("at_once", [True, False])
def test_purge_leaves_nothing(bare, at_once):
    machine = bare
    machine.run("groupadd", "--system", "goleapai")
    files, accounts = machine.files(), machine.accounts()
    machine.install()
    machine.install(variant(machine.package, machine.share, "99.0"))
    # What an administrator leaves behind.
    machine.run("sed", "-i", "s/^  #max_clients: 1000$/  max_clients: 77/", CONFIG)
    machine.run("cp", CONFIG, f"{CONFIG}.dpkg-old")
    machine.write(f"{DROP_INS}/override.conf", "[Service]\nLogRateLimitBurst=1\n")
    machine.run("install", "-D", "-m", "600", "/dev/stdin", "/etc/credstore/goleapai-ws.auth.jwt_secret", text="secret\n")
    machine.systemctl("enable", "goleapai-ws.socket")
    assert machine.files() - files and machine.accounts() - accounts
    if not at_once:
        machine.apt("remove", "goleapai-ws")
        assert machine.exists(f"{DROP_INS}/override.conf") and not machine.exists(GROUP)
    said = machine.apt("purge", "goleapai-ws")
    left = machine.files() - files - {"/etc/credstore"}
    assert not left, f"{left}\n{said}"
    assert files <= machine.files()
    assert machine.accounts() == accounts
    assert "warning" not in said.lower(), said
    assert not machine.run("find", "/var/lib/systemd", "-name", "*goleapai*").strip(), "the state of deb-systemd-helper"
    assert not machine.exists("/run/goleapai-ws") and machine.show("LoadState") == "not-found"


# The gateway's group

GATEWAY = "[Service]\nExecStart=/bin/sleep infinity\n"


def test_the_gateway_s_group(bare):
    """A database that only the gateway's group may read is read, whatever the group is called."""
    machine = bare
    machine.run("groupadd", "--system", "llm")
    machine.run("useradd", "--system", "--gid", "llm", "--no-create-home", "gateway")
    machine.write("/etc/systemd/system/goleapai.service", f"{GATEWAY}User=gateway\n")
    machine.systemctl("daemon-reload")
    put_database(machine, owner="gateway:llm", mode="640")
    machine.install()
    assert "SupplementaryGroups=llm" in machine.read(GROUP).splitlines()
    assert set(machine.show("SupplementaryGroups").split()) == {"systemd-journal", "llm"}
    wait_until(lambda: works(machine, "requests"), lambda: f"the database is read: {machine.get('/ready')}")
    # An administrator's own drop-in stays; the group that is gone does not keep the daemon from starting.
    machine.write(f"{DROP_INS}/override.conf", "[Service]\nNice=1\n")
    machine.run("userdel", "gateway")
    machine.run("sh", "-c", "getent group llm >/dev/null && groupdel llm || true")
    machine.write("/etc/systemd/system/goleapai.service", GATEWAY)
    machine.run("dpkg-reconfigure", "goleapai-ws")
    assert not machine.exists(GROUP) and machine.exists(f"{DROP_INS}/override.conf")
    assert machine.is_active()


def test_which_group(bare):
    machine = bare
    machine.run("groupadd", "--system", "other")
    machine.install()
    assert not machine.exists(DROP_INS)
    machine.run("groupadd", "--system", "goleapai")
    for unit, group in (("", "goleapai"), (f"{GATEWAY}Group=other\n", "other"), (f"{GATEWAY}DynamicUser=yes\n", "goleapai"),
                        (f"{GATEWAY}User=root\nGroup=root\n", None), (f"{GATEWAY}User=nobody-at-all\n", "goleapai")):
        if unit:
            machine.write("/etc/systemd/system/goleapai.service", unit)
            machine.systemctl("daemon-reload")
        machine.run("dpkg-reconfigure", "goleapai-ws")
        assert machine.is_active()
        found = re.findall(r"(?m)^SupplementaryGroups=(.*)$", machine.read(GROUP) if machine.exists(GROUP) else "")
        assert found == ([group] if group else []), unit


# The unit

def test_the_unit_is_restricted(installed):
    machine = installed
    assert machine.run("systemd-analyze", "--man=no", "verify", UNIT, "goleapai-ws.socket").strip() == ""
    said = machine.run("systemd-analyze", "security", UNIT)
    score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said).group(1))
    assert score <= 1.2, said
    status = machine.read(f"/proc/{machine.show('MainPID')}/status")
    assert re.search(r"(?m)^CapEff:\t0+$", status) and re.search(r"(?m)^NoNewPrivs:\t1$", status) and re.search(r"(?m)^Seccomp:\t2$", status)
    # Enough for the dispatch library's own threads: as rlimit counts, 20 minus the nice value.
    assert machine.show("LimitNICE") == "24" and machine.show("LimitNOFILE") == "65536"
    pid = machine.show("MainPID")
    machine.systemctl("reload", UNIT)
    assert machine.is_active() and machine.show("MainPID") == pid


def test_replays_give_way(installed):
    """Threads of replays have nice 10, all others what they had, and those that take connections do not interrupt: the system calls for that are
    allowed."""
    machine = installed
    put_database(machine)
    wait_until(lambda: works(machine, "requests"), lambda: f"the database is read: {machine.get('/ready')}")
    machine.python("from support.ws import WebSocket\n"
                   "with WebSocket(8080, '/ws/requests?since=48h') as client: client.receive_until('caught_up')\n")
    pid = machine.show("MainPID")
    threads = [line.rsplit(" ", 2) for line in machine.run(
        "sh", "-c", f"for t in /proc/{pid}/task/*; do echo \"$(cat $t/comm) $(cut -d')' -f2 $t/stat | cut -d' ' -f18,40)\"; done").splitlines()]
    policies = {name: int(policy) for name, _, policy in threads}
    assert policies["acceptor-0"] == os.SCHED_BATCH and policies["sampler"] == os.SCHED_OTHER, threads
    assert {nice for name, nice, _ in threads if name == "replay"} == {"10"}, threads
    assert {nice for name, nice, _ in threads if name in ("goleapai-ws", "sampler", "acceptor-0", "journal")} == {"0"}, threads


def test_credential(installed):
    """The secret for tokens may be there or not."""
    machine = installed
    assert machine.run("ls", f"/run/credentials/{UNIT}").split() == []
    machine.run("install", "-D", "-m", "600", "/dev/stdin", "/etc/credstore/goleapai-ws.auth.jwt_secret", text="secret\n")
    machine.systemctl("restart", UNIT)
    assert machine.is_active() and machine.read(f"/run/credentials/{UNIT}/auth.jwt_secret") == "secret\n"
    machine.run("sed", "-i", "s/^  #mode: none$/  mode: gateway/", CONFIG)
    machine.systemctl("restart", UNIT)
    assert machine.is_active(), machine.log("--lines=20")
    user = "11111111-1111-4111-8111-111111111111"
    claims = {"user_id": user, "sub": user, "email": "x@example.test", "role": "user", "iss": ISSUER, "iat": 1767225600, "nbf": 1767225600,
              "exp": 4102444799}

    def answer(secret):
        return machine.near("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--request", "POST", "--header",
                            f"Authorization: Bearer {sign(claims, secret)}", "http://127.0.0.1:8080/ws/ticket")

    # Signed with it, the token is good, and the database is asked, which this machine has not. Else it is refused at once.
    assert (answer("secret"), answer("another")) == ("503", "401")


# The files

def test_what_is_installed(installed):
    machine = installed
    files = set(machine.run("dpkg", "-L", "goleapai-ws").splitlines())
    pages = {f"/usr/share/man/man1/goleapai-ws-{name}.1.gz" for name in machine.run("goleapai-ws", "help", "--generate", "commands").split()}
    assert files >= pages | {
        "/usr/share/man/man1/goleapai-ws.1.gz", "/usr/share/man/man5/goleapai-ws.yaml.5.gz", "/usr/share/man/man8/goleapai-ws.8.gz",
        "/usr/share/bash-completion/completions/goleapai-ws", "/usr/share/zsh/vendor-completions/_goleapai-ws",
        "/usr/share/fish/vendor_completions.d/goleapai-ws.fish", "/usr/lib/systemd/catalog/goleapai-ws.catalog",
        "/usr/share/doc/goleapai-ws/copyright"}
    assert any(path.startswith("/usr/share/doc/goleapai-ws/README.md") for path in files)
    assert machine.run("sh", "-c", "dpkg --verify goleapai-ws") == ""
    assert machine.run("stat", "-c", "%U:%G %a", CONFIG, "/run/goleapai-ws").splitlines() == ["root:root 644", "goleapai-ws:goleapai-ws 755"]


def test_dependencies_are_complete_and_minimal(installed):
    """Each library comes with a package that is asked for by name; each one that is asked for has a library in use."""
    machine = installed
    binary = machine.share / "program"
    subprocess.run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/bin/goleapai-ws >"$2"', "sh", str(machine.package), str(binary)], check=True)
    needed = re.findall(r"NEEDED +(\S+)", subprocess.run(["objdump", "-p", str(binary)], capture_output=True, text=True, check=True).stdout)
    assert "not found" not in machine.run("ldd", "/usr/bin/goleapai-ws")
    packages = {machine.run("sh", "-c", f"dpkg -S '*/{name}' | head -1").split(":")[0] for name in needed}
    asked = set(dependencies(machine.package))
    assert packages <= asked, f"{packages - asked} is not asked for"
    # systemd: its units, and systemd-sysusers, which makes the user.
    assert asked - packages == {"systemd"}


def test_lintian(package):
    """No error, no warning; three hints that are as they are."""
    done = subprocess.run(["lintian", "--allow-root", "--pedantic", "--display-info", str(package)], capture_output=True, text=True)
    known = (
        "spelling-error-in-binary",  # Pieces of the Swift runtime's tables, which are no words.
        "hardening-no-fortify-functions",  # The C library's checked functions are for C; the Swift runtime calls the others.
        "package-supports-alternative-init-but-no-init.d-script",  # Of every package that has a unit and no script for SysV.
    )
    lines = [line for line in done.stdout.splitlines() if not any(f": {tag} " in f"{line} " for tag in known) or line[0] in "EW"]
    assert lines == [], done.stdout + done.stderr


def test_install_without_a_package(tmp_path):
    """`make install` puts the same files below another prefix, and the unit starts the program there."""
    subprocess.run(["make", "-C", str(ROOT), "--no-print-directory", "install", f"DESTDIR={tmp_path}", "prefix=/usr/local"],
                   check=True, capture_output=True)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files >= {"usr/local/bin/goleapai-ws", "etc/goleapai-ws/config.yaml", "usr/local/lib/systemd/system/goleapai-ws.socket",
                     "usr/local/lib/sysusers.d/goleapai-ws.conf", "usr/local/share/man/man8/goleapai-ws.8"}
    unit = (tmp_path / "usr/local/lib/systemd/system/goleapai-ws.service").read_text()
    assert "ExecStart=/usr/local/bin/goleapai-ws serve" in unit and shutil.which("systemctl")
