"""A machine with nothing but systemd, apt and what the package asks for, and the package installed as an administrator does it.

Its network is its own: the daemon has port 8080. Clients run outside of its files, but inside of its network."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

from support.daemon import PATIENCE, wait_until

from .machine import SANDBOX, Machine, as_root

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = ROOT / "Tests" / "Integration"
UNIT = "goleapai-ws.service"
CONFIG = "/etc/goleapai-ws/config.yaml"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
SHARE = "/mnt"
"""Where the machine sees the folder of packages."""

# What changes with any package, or with any run.
FOREIGN = re.compile(
    r"/(proc|sys|run|dev|tmp|mnt)(/|$)|/var/(log|cache|tmp)(/|$)|/var/lib/(dpkg|apt)(/|$)|/var/lib/systemd/(random-seed|timesync|catalog/database)"
    r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.pwd\.lock$|/etc/ld\.so\.cache$")


def field(package, name):
    """A field of a package's control file."""
    return subprocess.run(["dpkg-deb", "--field", str(package), name], capture_output=True, text=True, check=True).stdout.strip()


def dependencies(package):
    """Names of the packages asked for; of alternatives the first."""
    return [re.split(r"[ (|]", part.strip())[0] for part in field(package, "Depends").split(",")]


def minimal_root(package):
    """The root as a tar file, made once."""
    wanted = dependencies(package)
    recipe = hashlib.sha256(" ".join(wanted).encode() + (SANDBOX / "mkroot.sh").read_bytes()).hexdigest()[:8]
    path = ROOT / ".build" / f"minimal-root-{recipe}.tar"
    if not path.exists():
        for old in path.parent.glob("minimal-root-*.tar"):
            old.unlink()
        done = subprocess.run([*as_root(), str(SANDBOX / "mkroot.sh"), str(path), *wanted], capture_output=True, text=True)
        assert done.returncode == 0, f"no minimal root:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return path


def variant(package, directory, version, change=None):
    """The package again, with another version; `change` may alter its unpacked files."""
    tree = Path(directory) / f"tree-{version}"
    path = Path(directory) / f"goleapai-ws_{version}.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    if change:
        change(tree)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(path)], check=True, capture_output=True)
    return path


class Installed(Machine):
    """One sandbox over the minimal root. `package` is put into the folder that it sees as /mnt."""

    def __init__(self, directory, package):
        self.state = Path(directory) / "state"
        self.share = Path(directory) / "share"
        self.share.mkdir(mode=0o755)
        self.package = Path(package)
        self.root = as_root()
        self.keeper = None
        self.pipes = {}

    def boot(self):
        self.keep()
        done = subprocess.run(
            [*self.root, str(SANDBOX / "boot.sh"), "--root", str(minimal_root(self.package)), "--state-dir", str(self.state),
             f"{self.share}:{SHARE}"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"the machine did not boot:\n{done.stdout}{done.stderr}"

    def reboot(self):
        before = self.run("cat", "/proc/sys/kernel/random/boot_id")
        self.run("systemctl", "reboot", check=False)
        state = wait_until(
            lambda: self.run("cat", "/proc/sys/kernel/random/boot_id", check=False) not in ("", before)
            and self.run("systemctl", "is-system-running", check=False, patience=5).strip() in ("running", "degraded"), "the machine is up again")
        assert state

    # The package

    def apt(self, *arguments):
        """apt-get as an administrator types it; gives back what was said."""
        return self.run("sh", "-c", 'exec apt-get -y -q --no-install-recommends "$@" 2>&1 </dev/null', "apt", *arguments, patience=120)

    def install(self, package=None, *options):
        package = Path(package or self.package)
        target = self.share / package.name
        if not target.exists():
            target.write_bytes(package.read_bytes())
            target.chmod(0o644)
        return self.apt(*options, "install", f"{SHARE}/{package.name}")

    def files(self):
        """Every path that is of the machine's own choice."""
        return {path for path in self.run("find", "/", "-xdev").splitlines() if not FOREIGN.match(path)}

    def accounts(self):
        return set(self.run("sh", "-c", "getent passwd; getent group; cat /etc/shadow /etc/gshadow").splitlines())

    def show(self, name, unit=UNIT):
        return self.systemctl("show", "--property", name, "--value", unit).strip()

    def is_active(self, unit=UNIT):
        return self.systemctl("is-active", unit, check=False).strip() == "active"

    def wait_until_active(self):
        wait_until(self.is_active, lambda: f"{UNIT} is active:\n{self.log()}", interval=0.2)

    def log(self, *arguments):
        return self.journalctl("--unit", UNIT, "--output=cat", *arguments, check=False)

    def exists(self, path):
        return self.run("sh", "-c", 'test -e "$1" || test -L "$1" && echo yes', "test", path, check=False).strip() == "yes"

    def read(self, path):
        return self.run("cat", path)

    # From outside, in the machine's network

    def entry(self):
        pid = subprocess.run([*self.root, "cat", str(self.state / "init.pid")], capture_output=True, text=True, check=True).stdout.split()[0]
        return [*self.root, "nsenter", "--target", pid, "--net"]

    def near(self, *command, check=True, **options):
        """Runs a command of this machine in the network of that one."""
        done = subprocess.run(
            [*self.entry(), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * PATIENCE, **options)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def get(self, path, port=8080):
        """What a GET of this path answers, as JSON; None where nobody answers."""
        text = self.near("curl", "--silent", "--max-time", "5", f"http://127.0.0.1:{port}{path}", check=False)
        return json.loads(text) if text else None

    def python(self, code):
        """Runs Python with the tests' own clients; gives back what it prints."""
        return self.near(sys.executable, "-c", code, cwd=CLIENTS)

    def start_python(self, code):
        """The same, with its output as it comes."""
        return subprocess.Popen([*self.entry(), sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=CLIENTS)
