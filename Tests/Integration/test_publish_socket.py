"""The Unix socket for publishers: who may use it, what is served there, and what becomes of its file."""

import contextlib
import json
import os
import socket
import stat
import subprocess

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, merge, wait_until
from support.http import get, read_response, request
from support.manager import Managed, Manager
from support.ws import WebSocket

EVENT = json.dumps({"channel": "logs", "type": "log", "data": {"n": 1}})
ME = os.geteuid()


@pytest.fixture
def runtime(tmp_path):
    """A RuntimeDirectory that others may enter, as systemd makes it."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o755)
    for parent in [directory, *directory.parents]:
        if parent.owner() == directory.owner() and parent != parent.parent:
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
    return directory


@pytest.fixture
def publisher(start, runtime):
    daemon = start(environment={"RUNTIME_DIRECTORY": str(runtime)})
    daemon.path = str(runtime / "publish.sock")
    daemon.wait_for_log(f"publishers on this machine reach it at {daemon.path}")
    return daemon


def curl(path, *arguments, become=(), data=None):
    """curl, as another user where `become` says so: (status, body)."""
    command = [*become, "curl", "-sS", "--max-time", str(int(PATIENCE)), "--unix-socket", str(path), "-w", "\n%{http_code}", *arguments]
    if data is not None:
        command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=PATIENCE * 2)
    if done.returncode:
        return done.returncode, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def publish(path, data=EVENT, *arguments, **options):
    return curl(path, "http://localhost/admin/ws/broadcast", *arguments, data=data, **options)


def speak(path, text):
    """One request by hand over the Unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(text.replace("\n", "\r\n").encode())
        return read_response(sock, bytearray())


# What is served


def test_publishing(publisher):
    with WebSocket(publisher.port, "/ws/logs") as client:
        status, body = publish(publisher.path)
        assert status == 200 and json.loads(body)["success"], body
        event = client.receive()
        assert event["data"] == {"n": 1} and event["id"] == json.loads(body)["id"]


def test_a_batch_and_its_limits(binary, tmp_path, runtime):
    settings = {"broadcast": {"events_per_second": 10, "burst": 20, "max_event_bytes": 1024, "max_batch_bytes": 4096}}
    with Daemon(binary, tmp_path / "a", merge(QUIET, settings), environment={"RUNTIME_DIRECTORY": str(runtime)}) as daemon:
        path = runtime / "publish.sock"
        status, body = publish(path, json.dumps([json.loads(EVENT)] * 15))
        assert status == 200 and json.loads(body)["count"] == 15
        status, body = publish(path, "\n".join([EVENT] * 21), "-H", "Content-Type: application/x-ndjson")
        assert status == 413, body
        status, body = publish(path, json.dumps([json.loads(EVENT)] * 15))
        assert status == 429, body
        # Who comes the other way is somebody else, with a rate of their own.
        over_tcp = [request(daemon.port, "POST", "/admin/ws/broadcast", body=json.dumps([json.loads(EVENT)] * 15).encode()).status for _ in range(2)]
        assert over_tcp == [200, 429]
        status, body = publish(path, json.dumps({"channel": "logs", "type": "log", "data": "x" * 2000}))
        assert status == 413, body
        status, body = publish(path, " " * 5000)
        assert status == 413, body
        assert publish(path, "{")[0] == 400
        assert publish(path, json.dumps({"channel": "none", "type": "log", "data": {}}))[0] == 400


def test_other_addresses(publisher):
    for path in ("/health", "/ready", "/version"):
        status, body = curl(publisher.path, f"http://localhost{path}")
        assert status in (200, 503) and json.loads(body), (path, body)
    for path, wanted in (("/admin/ws/stats", 403), ("/admin/ws/clients", 403), ("/ws/all", 403), ("/nothing", 404), ("/", 403)):
        status, body = curl(publisher.path, f"http://localhost{path}")
        assert status == wanted and json.loads(body)["error"], (path, body)


def test_host_origin_and_proxies_do_not_matter(publisher):
    text = f"POST /admin/ws/broadcast HTTP/1.1\nHost: evil.example\nOrigin: https://evil.example\nVia: 1.1 x\nContent-Length: {len(EVENT)}\n\n{EVENT}"
    assert speak(publisher.path, text).status == 200
    answer = speak(publisher.path, "GET /health HTTP/1.0\n\n")
    assert answer.status == 200


def test_peers_do_not_show_among_the_clients(publisher):
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(publisher.path)
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096)
        with WebSocket(publisher.port, "/ws/all"):
            clients = get(publisher.port, "/admin/ws/clients").json
            assert len(clients["clients"]) == 1 and "127.0.0.1" in json.dumps(clients)
        wait_until(lambda: get(publisher.port, "/admin/ws/stats").json["total_clients"] == 0, "the client is gone, the publisher counts for none")


def test_many_connections_at_once(publisher):
    held = []
    for _ in range(100):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(PATIENCE)
        one.connect(publisher.path)
        held.append(one)
    for number, one in enumerate(held):
        one.sendall(f"POST /admin/ws/broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {len(EVENT)}\r\n\r\n{EVENT}".encode())
        assert one.recv(4096).startswith(b"HTTP/1.1 200 "), number
    for one in held:
        one.close()


# Who


def test_mode_and_group(publisher):
    status = os.stat(publisher.path)
    assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o660
    assert (status.st_uid, status.st_gid) == (ME, os.getegid())


def as_user(user, group, *supplementary):
    groups = ["--groups", ",".join(map(str, supplementary))] if supplementary else ["--clear-groups"]
    return ["setpriv", f"--reuid={user}", f"--regid={group}", *groups]


USERS = {
    "root": (as_user(0, 0), 200),
    "the daemon's own user": (as_user(4001, 4009), 200),
    "a member by its primary group": (as_user(4002, 4000), 200),
    "a member by a supplementary group": (as_user(4003, 4003, 7, 4000, 9), 200),
    "a member with many groups": (as_user(4003, 4003, *range(5000, 5100), 4000), 200),
    "a stranger": (as_user(4004, 4004, 4005), 403),
    "nobody": (as_user(65534, 65534), 403),
}


@pytest.fixture
def owned(binary, tmp_path, runtime):
    """A daemon of user 4001 with group 4000; root alone can arrange that, so elsewhere there is nothing to test."""
    os.chown(runtime, 4001, 4000)
    directory = tmp_path / "owned"
    daemon = Daemon(binary, directory, QUIET, environment={"RUNTIME_DIRECTORY": str(runtime)})
    for path in (tmp_path, directory):
        path.chmod(0o777)
    daemon.become = as_user(4001, 4000)
    with daemon.start():
        daemon.path = runtime / "publish.sock"
        daemon.wait_for_log("publishers on this machine")
        yield daemon


def cases():
    return list(USERS) if ME == 0 else []


@pytest.mark.parametrize("who", cases())
def test_who_may(owned, who):
    become, wanted = USERS[who]
    status, body = publish(owned.path, become=become)
    # The file's mode keeps strangers out already; curl ends with 7 then.
    assert status == (7 if wanted == 403 else 200), body
    os.chmod(owned.path, 0o666)
    for path in ("/admin/ws/broadcast", "/health", "/none"):
        status, body = curl(owned.path, f"http://localhost{path}", become=become, data=EVENT if "admin" in path else None)
        if wanted == 403:
            assert status == 403, (path, body)
            assert "this socket serves root, the daemon's own user and members of its group" in json.loads(body)["error"]
        else:
            assert status == {"/none": 404}.get(path, 200), (path, body)


# The file


def test_a_stale_file_is_replaced(start, runtime):
    path = runtime / "publish.sock"
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(path))
        former.listen()
    inode = path.stat().st_ino
    os.link(path, runtime / "keeps-the-inode-taken")
    start(environment={"RUNTIME_DIRECTORY": str(runtime)})
    assert publish(path)[0] == 200
    assert path.stat().st_ino != inode


def failing(binary, directory, environment, settings=None):
    daemon = Daemon(binary, directory, merge(QUIET, settings or {}), environment=environment)
    daemon.start(wait=False)
    assert daemon.wait_exit() == 1
    return daemon.log()[-1]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_living_socket_is_not_stolen(binary, tmp_path, runtime, kind):
    path = runtime / "publish.sock"
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind == socket.SOCK_STREAM:
            other.listen()
        said = failing(binary, tmp_path / "a", {"RUNTIME_DIRECTORY": str(runtime)})
        assert f"cannot listen on {path}: another process listens there" in said
        assert path.is_socket()


def test_something_else_is_not_removed(binary, tmp_path, runtime):
    path = runtime / "publish.sock"
    path.write_text("precious")
    said = failing(binary, tmp_path / "a", {"RUNTIME_DIRECTORY": str(runtime)})
    assert f"cannot listen on {path}: something else than a socket stands there; remove it or set broadcast.socket" in said
    assert path.read_text() == "precious"


def test_a_directory_that_is_not_there(binary, tmp_path):
    said = failing(binary, tmp_path / "a", {}, {"broadcast": {"socket": str(tmp_path / "none" / "p.sock")}})
    assert "none/p.sock: No such file or directory (bind); set broadcast.socket" in said


def test_without_a_runtime_directory_there_is_none(start):
    daemon = start()
    daemon.wait_for_log("info no socket for publishers: there is no RuntimeDirectory; broadcast.socket can name a path")
    assert not [line for line in daemon.log() if " warn " in line]


def test_off(start, runtime):
    daemon = start({"broadcast": {"socket": "off"}}, environment={"RUNTIME_DIRECTORY": str(runtime)})
    assert list(runtime.iterdir()) == [] and "publish" not in "\n".join(daemon.log())


def test_a_path_of_the_configuration_is_removed_at_the_end(binary, tmp_path):
    path = tmp_path / "p.sock"
    with Daemon(binary, tmp_path / "a", merge(QUIET, {"broadcast": {"socket": str(path)}})):
        assert publish(path)[0] == 200
    assert not path.exists()


def test_what_has_taken_its_place_stays(binary, tmp_path):
    path = tmp_path / "p.sock"
    with Daemon(binary, tmp_path / "a", merge(QUIET, {"broadcast": {"socket": str(path)}})):
        os.rename(path, tmp_path / "aside")
        path.write_text("of somebody else")
    assert path.read_text() == "of somebody else"


# Over a restart


@pytest.fixture
def manager(tmp_path):
    playing = Manager(tmp_path)
    yield playing
    playing.close()


@pytest.fixture
def life(binary, tmp_path, manager, runtime):
    """One life of a managed daemon."""
    count = iter(range(100))

    def begin(settings=None):
        return Managed(manager, binary, tmp_path / f"life{next(count)}", merge(QUIET, settings or {}),
                       environment={"RUNTIME_DIRECTORY": str(runtime)})

    return begin


def names(daemon, *others):
    return [f"listen-127.0.0.1-{daemon.port}", *others]


def test_producers_wait_while_it_restarts(life, manager, runtime):
    path = runtime / "publish.sock"
    with life() as first:
        manager.wait_for_names(*names(first, "publish"))
        inode = path.stat().st_ino
    assert path.is_socket(), "systemd removes it, with the directory"
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.settimeout(PATIENCE)
        waiting.connect(str(path))
        waiting.sendall(f"POST /admin/ws/broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {len(EVENT)}\r\n\r\n{EVENT}".encode())
        with life() as second:
            assert waiting.recv(4096).startswith(b"HTTP/1.1 200 ")
            assert path.stat().st_ino == inode
            manager.wait_for_names(*names(second, "publish"))
            assert len(manager.said("FDSTORE")) == 2, "stored once each"


def test_a_socket_whose_file_is_gone_is_bound_anew(life, manager, runtime):
    path = runtime / "publish.sock"
    with life():
        pass
    before = manager.inodes()["publish"]
    path.unlink()
    with life() as second:
        assert publish(path)[0] == 200
        manager.wait_for_names(*names(second, "publish"))
        assert manager.inodes()["publish"] != before


def test_a_socket_whose_file_is_another_one_is_bound_anew(life, manager, runtime):
    path = runtime / "publish.sock"
    with life():
        pass
    before = manager.inodes()["publish"]
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
    with life():
        assert publish(path)[0] == 200
        assert manager.inodes()["publish"] != before


def test_a_socket_whose_path_belongs_to_another_process_now(life, binary, tmp_path, manager, runtime):
    path = runtime / "publish.sock"
    with life():
        pass
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        second = life().start(wait=False)
        assert second.wait_exit() == 1
        assert "another process listens there" in second.log()[-1]
        assert path.is_socket()


@pytest.mark.parametrize("setting", ["off", "moved"])
def test_a_socket_that_is_not_wanted_any_more_goes_with_its_file(life, manager, runtime, setting):
    path = runtime / "publish.sock"
    moved = runtime / "moved.sock"
    with life() as first:
        manager.wait_for_names(*names(first, "publish"))
    with life({"broadcast": {"socket": "off" if setting == "off" else str(moved)}}) as second:
        second.wait_for_log(f"no longer listening on {path}, which broadcast.socket does not name any more")
        assert not path.exists()
        manager.wait_for_names(*names(second, *([] if setting == "off" else ["publish"])))
        if setting == "moved":
            assert publish(moved)[0] == 200
