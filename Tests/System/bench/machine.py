"""A booted systemd with a gateway's stand-in and the daemon as units. Its loopback is this machine's."""

import json
import os
import re
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from support.daemon import PATIENCE, merge, wait_until, yaml_text

HERE = Path(__file__).resolve().parent
SANDBOX = HERE.parent / "sandbox"
GATEWAY = "goleapai.service"
DAEMON = "goleapai-ws-test.service"
BENCH = "/srv/bench"
"""Where the machine sees the folder that it shares with the tests."""

SETTINGS = {
    "server": {"host": ["127.0.0.1"], "port": 0, "shards": 2},
    "database": {"connection": f"{BENCH}/none.db"},
    "history": {"max_events": 100000, "max_bytes": 268435456},
    "sources": {
        "stats": {"enabled": False},
        "requests": {"enabled": False},
        "providers": {"enabled": False},
        "journal": {"enabled": True, "units": [GATEWAY]},
    },
}


def as_root():
    """What to put before a command that needs root rights."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    raise AssertionError("booting a systemd of its own takes root rights: run `make test-system` as root, or let sudo work without a password")


class Machine:
    """One sandbox. It is taken down at the end of the tests, however they end."""

    def __init__(self, directory, binary):
        self.state = Path(directory) / "state"
        self.bench = Path(directory) / "bench"
        self.bench.mkdir(mode=0o755)
        self.binary = Path(binary).resolve()
        self.root = as_root()
        self.keeper = None
        self.pipes = {}

    def keep(self):
        """From here on the machine is taken down with the tests."""
        down = [*self.root, str(SANDBOX / "down.sh"), "--state-dir", str(self.state)]
        # Ends with its standard input, which is ours: also where the tests are killed.
        self.keeper = subprocess.Popen(["/bin/sh", "-c", 'read -r _; exec "$@"', "keeper", *down], stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, start_new_session=True)

    def boot(self):
        self.keep()
        done = subprocess.run(
            [*self.root, str(SANDBOX / "boot.sh"), "--net", "host", "--state-dir", str(self.state),
             f"{self.bench}:{BENCH}", f"{self.binary.parent}:/opt/goleapai-ws:ro"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"the machine did not boot:\n{done.stdout}{done.stderr}"
        for name in ("stdout", "stderr", "other"):
            path = self.bench / name
            os.mkfifo(path, 0o666)
            # Open for reading too: what nobody has fetched stays while the gateway restarts.
            self.pipes[name] = os.open(path, os.O_RDWR)
        self.run("systemd-sysusers", "-", text="u goleapai-ws-test - - - -\n")
        for unit in (GATEWAY, DAEMON):
            self.write(f"/run/systemd/system/{unit}", (HERE / "units" / unit).read_text())
        self.systemctl("daemon-reload")
        self.systemctl("start", GATEWAY)

    def down(self):
        for descriptor in self.pipes.values():
            os.close(descriptor)
        if self.keeper:
            self.keeper.stdin.close()
            self.keeper.wait(120)

    # Inside

    def run(self, *command, text=None, check=True, patience=None):
        """Runs a command inside as root; gives back what it said."""
        done = subprocess.run(
            [*self.root, str(SANDBOX / "in.sh"), "--state-dir", str(self.state), "--timeout", str(int(patience or 2 * PATIENCE)), *command],
            input=text, stdin=subprocess.DEVNULL if text is None else None, capture_output=True, text=True, errors="surrogateescape")
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def write(self, path, text):
        self.run("install", "-D", "-m", "644", "/dev/stdin", path, text=text)

    def systemctl(self, *arguments, check=True):
        return self.run("systemctl", *arguments, check=check)

    def drop_in(self, unit, text):
        """Changes a unit (None: back to what it was) and restarts it."""
        path = f"/run/systemd/system/{unit}.d"
        if text is None:
            self.run("rm", "-rf", path)
        else:
            self.write(f"{path}/test.conf", text)
        self.systemctl("daemon-reload")
        self.systemctl("restart", unit)

    # What the gateway prints

    def print(self, data, stream="stdout"):
        """The gateway's stand-in prints these bytes. Comes back when they are on their way."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.pipes[stream], view[:65536]):]

    # The journal

    def journalctl(self, *arguments, check=True):
        return self.run("journalctl", "--quiet", *arguments, check=check)

    def cursor(self):
        """The place of the newest entry."""
        return json.loads(self.journalctl("--lines=1", "--output=json"))["__CURSOR"]

    def entries(self, after, unit=GATEWAY):
        """Entries of the unit's own processes after a place, everything printed before now included. The choice is made here:
        journalctl with both a match and --after-cursor leaves out one entry too many."""
        self.journalctl("--sync")
        found = map(json.loads, self.journalctl("--output=json", "--all", f"--after-cursor={after}").splitlines())
        return [entry for entry in found if entry.get("_SYSTEMD_UNIT") == unit]

    # The daemon

    def start_daemon(self, settings=None):
        """Starts (or restarts) the daemon with these settings over the usual ones; gives back its port."""
        (self.bench / "config.yaml").write_text(yaml_text(merge(SETTINGS, settings or {})) + "\n")
        (self.bench / "config.yaml").chmod(0o644)
        self.systemctl("restart", DAEMON)
        self.port = int(self.wait_for_daemon_log(r"listening on http://127\.0\.0\.1:(\d+)").group(1))
        return self.port

    def restart_daemon(self):
        self.systemctl("restart", DAEMON)
        self.port = int(self.wait_for_daemon_log(r"listening on http://127\.0\.0\.1:(\d+)").group(1))
        return self.port

    def stop_daemon(self):
        self.systemctl("stop", DAEMON, check=False)

    def daemon_state(self):
        return dict(line.split("=", 1) for line in self.systemctl(
            "show", DAEMON, "--property=ActiveState,Result,MainPID,ExecMainStatus,InvocationID").splitlines())

    def daemon_log(self):
        """What the daemon has logged since its last start."""
        invocation = self.daemon_state()["InvocationID"]
        if not invocation:
            return self.journalctl("--output=cat", "--lines=80", f"_SYSTEMD_UNIT={DAEMON}")
        return self.journalctl("--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}", f"_SYSTEMD_UNIT={DAEMON}")

    def wait_for_daemon_log(self, pattern):
        compiled = re.compile(pattern)

        def look():
            ended = self.daemon_state()["ActiveState"] in ("failed", "inactive")
            log = self.daemon_log()
            found = compiled.search(log)
            assert found or not ended, f"the daemon ended, without a line like {pattern!r}: {self.daemon_state()}\n{log[-4000:]}"
            return found

        return wait_until(look, lambda: f"a line like {pattern!r} in the daemon's log:\n{self.daemon_log()[-4000:]}", interval=0.1)

    def report(self):
        """For a test that failed."""
        print(f"--- the daemon: {self.daemon_state()} ---\n{self.daemon_log()[-6000:]}")
        print(f"--- end of the journal ---\n{self.journalctl('--lines=25', '--output=short-precise', check=False)[-6000:]}")


def token():
    """A word that no other test has written."""
    return f"t{uuid.uuid4().hex[:12]}"


def pace(count, per_second):
    """Numbers from 0, each when its time has come."""
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        yield number
