"""nginx, Caddy and HAProxy of Debian, with the configurations of docs/PROXIES.md: only ports, files and time-outs are changed."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from .daemon import PATIENCE, die_with_parent, wait_until

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs/PROXIES.md"


def snippets(language):
    """The blocks of a language in the document, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.S | re.M)


def program(name):
    """One that `.ci/packages test` has unpacked, or that is installed."""
    for place in ("usr/sbin", "usr/bin"):
        found = ROOT / ".build/proxies" / place / name
        if found.exists():
            return str(found)
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{name} is not there; `make test-deps` fetches it"
    return found


def replaced(text, changes):
    """The text with each of these replaced. All of them must be there, so that a snippet cannot slip away from its test."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in\n{text}"
        text = text.replace(old, str(new))
    return text


class Proxy:
    """A running proxy. Use as a context manager."""

    def __init__(self, directory, snippet, port, certificate, patience):
        self.directory = Path(directory)
        self.directory.mkdir()
        self.port, self.certificate = port, certificate
        # Time-outs of minutes become so short that only pings keep a quiet connection.
        self.snippet = snippet.replace("5m", patience)
        self.output = open(self.directory / "output", "wb")

    def __enter__(self):
        self.configure()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, cwd=self.directory,
                                        env={**os.environ, "HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)}, preexec_fn=die_with_parent)
        wait_until(self.listens, lambda: f"it listens: {self.said()}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()
        print(f"--- {self.command[0]} ---\n{self.said()}")

    def said(self):
        return (self.directory / "output").read_text(errors="replace")[-3000:]

    def listens(self):
        assert self.process.poll() is None, self.said()
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
            return True
        except OSError:
            return False

    @property
    def children(self):
        return set(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())


class Nginx(Proxy):
    def configure(self):
        paths = "".join(f"{name}_temp_path {self.directory}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = replaced(self.snippet, {
            "listen 443": f"listen 127.0.0.1:{self.port}", "/etc/ssl/ws.example.crt": self.certificate["cert"], "/etc/ssl/ws.example.key": self.certificate["key"]})
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(
            f"{user}daemon off;\nworker_processes 1;\npid {self.directory}/pid;\nerror_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n")
        self.command = [program("nginx"), "-p", str(self.directory), "-c", "nginx.conf", "-e", "stderr"]

    def reload(self):
        before = self.children
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.children - before, "it has a new worker")
    keeps_connections = True


class Caddy(Proxy):
    def configure(self):
        text = replaced(self.snippet, {"ws.example {": f"https://ws.example:{self.port} {{\n\tbind 127.0.0.1\n\ttls {self.certificate['cert']} {self.certificate['key']}"})
        (self.directory / "Caddyfile").write_text(f"{{\n\tadmin unix//{self.directory}/admin\n\tauto_https disable_redirects\n}}\n{text}")
        self.command = [program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]

    def reload(self):
        # The same once more would change nothing.
        path = self.directory / "Caddyfile"
        path.write_text(path.read_text().replace("\tauto_https", "\tgrace_period 5s\n\tauto_https"))
        done = subprocess.run([self.command[0], "reload", "--config", "Caddyfile", "--adapter", "caddyfile", "--address", f"unix//{self.directory}/admin"],
                              cwd=self.directory, env={**os.environ, "HOME": str(self.directory)}, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
    keeps_connections = False


class HAProxy(Proxy):
    def configure(self):
        changes = {"bind :443": f"bind 127.0.0.1:{self.port}"}
        if "ssl crt" in self.snippet:
            bundle = self.directory / "bundle.pem"
            bundle.write_text(Path(self.certificate["cert"]).read_text() + Path(self.certificate["key"]).read_text())
            changes["/etc/haproxy/ws.example.pem"] = bundle
        (self.directory / "haproxy.cfg").write_text(replaced(self.snippet, changes))
        self.command = [program("haproxy"), "-W", "-f", "haproxy.cfg"]

    def reload(self):
        before = self.children
        self.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: self.children - before, "it has a new worker")
        wait_until(self.listens, "it listens")
    keeps_connections = True
