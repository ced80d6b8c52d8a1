"""Where the daemon listens: what systemd keeps over a restart, socket units, ports that are taken, and running out of descriptors."""

import os
import resource
import socket
import threading
import time

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, merge, wait_until
from support.http import get, request
from support.manager import Managed, Manager
from support.ws import WebSocket


@pytest.fixture
def manager(tmp_path):
    playing = Manager(tmp_path)
    yield playing
    playing.close()


@pytest.fixture
def launch(binary, tmp_path, manager):
    """Starts daemons under the manager; each is stopped before the next one starts, unless a test does otherwise."""
    running = []

    def run(settings=None, wait=True, **options):
        daemon = Managed(manager, binary, tmp_path / f"life{len(running)}", merge(QUIET, settings or {}), **options)
        running.append(daemon)
        return daemon.start(wait)

    yield run
    for daemon in running:
        try:
            daemon.stop(expect_clean=not getattr(daemon, "ended", False))
        finally:
            print(f"--- log of pid {daemon.pid} ---", *daemon.log()[-40:], sep="\n")


def end(daemon):
    daemon.stop()
    daemon.ended = True


def free_port(address="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def listening(daemon):
    """The addresses in the log."""
    daemon.wait_for_log("serves at most")
    return [line.rsplit("http://", 1)[1] for line in daemon.log() if "listening on http://" in line]


BOTH = {"server": {"host": ["127.0.0.1", "::1"]}}


def test_bound_sockets_are_stored_and_served_again(launch, manager):
    first = launch(BOTH)
    names = [f"listen-127.0.0.1-{first.port}", f"listen-__1-{first.port}"]
    manager.wait_for_names(*names)
    inodes = manager.inodes()
    end(first)
    # Nobody is there, and nobody is refused.
    with socket.create_connection(("127.0.0.1", first.port), timeout=PATIENCE) as waiting:
        waiting.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        second = launch(BOTH)
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert second.port == first.port, "port 0 takes what is there"
    assert listening(second) == [f"127.0.0.1:{first.port}", f"[::1]:{first.port}"]
    assert request(second.port, "GET", "/health", address="::1").status == 200
    manager.wait_for_names(*names)
    assert manager.inodes() == inodes


def test_all_sockets_are_closed_on_exec_and_do_not_block(launch, manager):
    first = launch()
    end(first)
    for _, number in manager.store:
        os.set_blocking(number, True)
    second = launch()
    wait_until(lambda: len(manager.said("READY")) == 2, "the second life is ready")

    def sockets():
        """Descriptor of each socket: whether it is closed on exec and does not block."""
        found = {}
        for number in os.listdir(f"/proc/{second.pid}/fd"):
            try:
                if int(number) > 2 and os.readlink(f"/proc/{second.pid}/fd/{number}").startswith("socket:"):
                    with open(f"/proc/{second.pid}/fdinfo/{number}") as file:
                        flags = int(file.read().split("flags:")[1].split()[0], 8)
                    found[number] = bool(flags & os.O_CLOEXEC and flags & os.O_NONBLOCK)
            except FileNotFoundError:
                pass
        return found

    # The socket of a notification, which blocks, comes and goes.
    wait_until(lambda: all(sockets().values()), sockets)
    assert sockets()


def test_nobody_is_refused_while_it_restarts(launch, manager, fact):
    daemon = launch()
    port = daemon.port
    stop = threading.Event()
    failures = []
    counts = [0] * 8

    def knock(number):
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
                    counts[number] += 1
                    # One that was taken but not answered when the process ended may be cut; that is no refusal.
                    if number % 2:
                        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                        sock.recv(4096)
            except ConnectionRefusedError as error:
                failures.append(repr(error))
            except OSError:
                pass
            time.sleep(0.001)

    threads = [threading.Thread(target=knock, args=(number,), daemon=True) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    for _ in range(5):
        end(daemon)
        time.sleep(0.05)
        daemon = launch({"server": {"port": port}})
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    fact(f"{sum(counts)} connections over five restarts")
    assert not failures
    assert sum(counts) > 100


def test_a_killed_process_leaves_its_sockets(launch, manager):
    first = launch()
    manager.wait_for_names(f"listen-127.0.0.1-{first.port}")
    first.kill()
    first.wait_exit()
    first.ended = True
    second = launch()
    assert second.port == first.port
    with WebSocket(second.port, "/ws/all"):
        pass


def test_an_address_that_is_not_named_any_more_is_given_up(launch, manager):
    first = launch(BOTH)
    manager.wait_for_names(f"listen-127.0.0.1-{first.port}", f"listen-__1-{first.port}")
    end(first)
    port = free_port()
    second = launch({"server": {"port": port}})
    assert listening(second) == [f"127.0.0.1:{port}"]
    manager.wait_for_names(f"listen-127.0.0.1-{port}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first.port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", first.port))
    assert len([line for line in second.log() if "no longer listening on" in line]) == 2


def test_an_address_that_systemd_is_about_to_let_go_is_waited_for(launch, manager):
    # Bound without SO_REUSEADDR and not listening: cannot be served, and is in the way until its last holder has closed it.
    blocking = socket.socket()
    blocking.bind(("127.0.0.1", 0))
    port = blocking.getsockname()[1]
    manager.put("listen-old", blocking.fileno())
    blocking.close()
    manager.slowness = 0.3
    daemon = launch({"server": {"port": port}})
    manager.wait_for_names(f"listen-127.0.0.1-{port}")
    assert get(daemon.port, "/health").status == 200


def test_what_cannot_be_served_is_closed_and_named(launch, manager, tmp_path):
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", 0))
    near, far = socket.socketpair()
    connected = socket.create_connection(("127.0.0.1", manager.listen(("127.0.0.1", 0))))
    units, manager.units[:] = list(manager.units), []
    file = open(tmp_path / "file", "w")
    manager.put("listen-127.0.0.1-1", datagram.fileno())
    manager.put("pair", near.fileno())
    manager.put("connection", connected.fileno())
    manager.put("history", file.fileno())
    daemon = launch()
    warnings = [line for line in daemon.log() if "nothing that can be served" in line]
    assert len(warnings) == 4, daemon.log()
    for name, what in (("listen-127.0.0.1-1", "a UDP socket, on 127.0.0.1:"), ("pair", "a Unix socket that does not listen"),
                       ("connection", "a TCP socket that does not listen"), ("history", f"no socket: {tmp_path}/file")):
        assert any(f"'{name}'" in line and what in line for line in warnings), (name, warnings)
    manager.wait_for_names(f"listen-127.0.0.1-{daemon.port}")
    for one in (datagram, near, far, connected, file, units[0][1]):
        one.close()


def test_a_removed_name_does_not_take_its_namesake_along(launch, manager):
    first = launch()
    name = f"listen-127.0.0.1-{first.port}"
    manager.wait_for_names(name)
    end(first)
    pipe = os.pipe()
    manager.put(name, pipe[0])
    second = launch()
    assert second.port == first.port
    manager.wait_for_names(name)
    for number in pipe:
        os.close(number)


# Socket units


def test_a_socket_unit_that_agrees(launch, manager):
    port = manager.listen(("127.0.0.1", 0))
    daemon = launch({"server": {"port": port}})
    assert listening(daemon) == [f"127.0.0.1:{port}"]
    assert not [line for line in daemon.log() if " warn " in line]
    assert get(port, "/health").status == 200
    end(daemon)
    assert manager.names() == [], "systemd has them"
    assert manager.said("FDSTORE") == []


def test_a_socket_unit_counts_where_it_differs(launch, manager):
    port = manager.listen(("127.0.0.1", 0))
    manager.listen(("::1", port))
    other = free_port()
    daemon = launch({"server": {"port": other}})
    assert listening(daemon) == [f"127.0.0.1:{port}", f"[::1]:{port}"]
    warnings = [line for line in daemon.log() if " warn " in line]
    assert len(warnings) == 1, warnings
    for part in (f"127.0.0.1:{port}, [::1]:{port}", "ListenStream= of the socket unit (goleapai-ws.socket)", f"(127.0.0.1, port {other})"):
        assert part in warnings[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other))


def test_a_socket_unit_takes_over_from_the_store(launch, manager):
    first = launch()
    manager.wait_for_names(f"listen-127.0.0.1-{first.port}")
    end(first)
    port = manager.listen(("127.0.0.1", 0))
    second = launch({"server": {"port": port}})
    assert listening(second) == [f"127.0.0.1:{port}"]
    manager.wait_for_names()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first.port))


def test_a_socket_unit_must_not_open_what_the_configuration_would_not(launch, manager):
    port = manager.listen(("0.0.0.0", 0))
    daemon = launch({"server": {"port": port}}, wait=False)
    daemon.ended = True
    assert daemon.wait_exit() == 78
    assert f"the socket unit (goleapai-ws.socket) listens on 0.0.0.0:{port}, which is no loopback address" in daemon.log()[-1]
    assert len(daemon.log()) == 1


def test_an_environment_that_contradicts_itself_ends_the_start(launch, manager):
    manager.listen(("127.0.0.1", 0))
    daemon = launch(wait=False, environment={"LISTEN_FDNAMES": "a:b:c"})
    daemon.ended = True
    assert daemon.wait_exit() == 1
    assert len(daemon.log()) == 1 and "LISTEN_FDS" in daemon.log()[0]


# Without systemd


def test_without_a_manager_nothing_is_kept(binary, tmp_path):
    with Daemon(binary, tmp_path / "a", QUIET) as daemon:
        port = daemon.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_taken_port_is_an_error_that_names_its_holder(binary, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        daemon = Daemon(binary, tmp_path / "a", merge(QUIET, {"server": {"port": port}}))
        daemon.start(wait=False)
        assert daemon.wait_exit() == 1
        said = daemon.log()[-1]
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said
        assert f"(pid {os.getpid()}) holds it; stop it or set server.port" in said


def test_out_of_descriptors(binary, tmp_path):
    daemon = Daemon(binary, tmp_path / "a", QUIET)
    daemon.limits = {resource.RLIMIT_NOFILE: (100, 100)}
    with daemon.start():
        held = [socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) for _ in range(120)]
        daemon.wait_for_log("cannot accept connections")
        # Who finds no place is told so, and need not wait.
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as late:
            assert late.recv(4096).startswith(b"HTTP/1.1 503 ")
        before = daemon.cpu_seconds
        time.sleep(1)
        assert daemon.cpu_seconds - before < 0.3, "it spins"
        for one in held:
            one.close()
        wait_until(lambda: get(daemon.port, "/health").status == 200, "serving again")
        found = daemon.wait_for_log(r"accepting connections again; (\d+) were turned away")
        assert int(found.group(1)) >= 20
        lines = [line for line in daemon.log() if "accept" in line]
        assert len(lines) == 2, lines


def test_who_waited_for_a_descriptor_is_served_when_there_are_some_again(binary, tmp_path):
    """Not one is left, not even for the answer that there is none."""
    with Daemon(binary, tmp_path / "a", QUIET) as daemon:
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (4, before[1]))
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as waiting:
            waiting.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            daemon.wait_for_log("cannot accept connections")
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
            assert waiting.recv(4096).startswith(b"HTTP/1.1 200 ")
