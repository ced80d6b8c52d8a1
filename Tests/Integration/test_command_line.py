"""Commands, exit codes, and what is said when the configuration is wrong."""

import json
import os
import subprocess

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, merge, wait_until
from support.ws import WebSocket


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_version(run):
    done = run("version")
    assert done.returncode == 0 and done.stdout.startswith("goleapai-ws ") and done.stderr == ""


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["serve", "--help"], ["check-config", "--help"], ["publish", "--help"],
                                       ["version", "--help"], ["help", "serve"], ["help", "publish"]])
def test_help_is_on_standard_output(run, arguments):
    done = run(*arguments)
    assert done.returncode == 0 and "Usage:" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("arguments", [[], ["explode"], ["serve", "--nonsense"], ["serve", "extra"], ["serve", "--config"],
                                       ["check-config", "a", "b"], ["serve", "--demo-rate", "many", "--demo"], ["version", "x"],
                                       ["help", "explode"], ["serve", "--demo-rate", "5"], ["publish", "logs", "--type"],
                                       ["help", "--generate", "nonsense"], ["help", "--generate", "man", "explode"],
                                       ["help", "--generate", "complete-bash", "serve"]])
def test_wrong_usage_is_2(run, arguments):
    done = run(*arguments)
    assert done.returncode == 2, done
    assert done.stderr and done.stdout == ""


def test_check_config_of_a_good_file(run, config):
    done = run("check-config", "--config", config("server: {port: 9000}\nwebsocket:\n  heartbeat_interval: 10s\n"))
    assert done.returncode == 0, done


WRONG = {
    "unknown section": ("sever:\n  port: 1\n", 1, "sever"),
    "unknown key": ("server:\n  prot: 1\n", 2, "server.prot"),
    "wrong type": ("\nserver:\n  port: many\n", 3, "server.port"),
    "out of range": ("server:\n  port: 70000\n", 2, "server.port"),
    "negative": ("websocket:\n  max_clients: -1\n", 2, "websocket.max_clients"),
    "bad duration": ("websocket:\n  enabled: true\n  heartbeat_interval: soon\n", 3, "websocket.heartbeat_interval"),
    "bad choice": ("websocket:\n  slow_consumer: wait\n", 2, "websocket.slow_consumer"),
    "bad boolean": ("websocket:\n  enabled: perhaps\n", 2, "websocket.enabled"),
    "scalar for a mapping": ("server: 8080\n", 1, "server"),
    "mapping for a scalar": ("server:\n  port:\n    tls: 1\n", 2, "server.port"),
    "key twice": ("server:\n  port: 1\n  port: 2\n", 3, "server.port"),
    "no YAML": ("server: [\n", None, ""),
    "tab": ("server:\n\tport: 1\n", 2, ""),
    "not loopback": ("server:\n  host: [0.0.0.0]\n", 2, "server.host"),
    "other database": ("database:\n  type: postgres\n", 2, "database.type"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_wrong_configuration_is_78(run, config, name, command):
    text, line, key = WRONG[name]
    path = config(text)
    done = run(command, "--config", path)
    assert done.returncode == 78, done
    said = done.stderr + done.stdout
    assert f"{path}:{line}:" in said if line else path in said
    assert key in said


def test_all_errors_at_once(run, config):
    done = run("check-config", "--config", config("server:\n  port: many\nwebsocket:\n  bufer_size: 1\nhistory:\n  max_age: -1s\n"))
    said = done.stderr + done.stdout
    assert done.returncode == 78
    assert all(key in said for key in ("server.port", "websocket.bufer_size", "history.max_age"))


def test_missing_file(run):
    done = run("check-config", "--config", "/nonexistent/config.yaml")
    assert done.returncode == 78 and "/nonexistent/config.yaml" in done.stderr + done.stdout


@pytest.mark.parametrize("name,value", [("GOLEAPAI_WS_SERVER_PORT", "many"), ("GOLEAPAI_WS_WEBSOCKET_MAX_CLIENTS", "0x10"),
                                        ("GOLEAPAI_WS_WEBSOCKET_HEARTBEAT_INTERVAL", "soon"), ("GOLEAPAI_WS_SERVER_HOST", "0.0.0.0")])
def test_wrong_environment_is_78(run, name, value):
    done = run("check-config", **{name: value})
    assert done.returncode == 78, done
    assert name in done.stderr + done.stdout


def test_environment_wins_over_the_file(binary, tmp_path):
    settings = merge(QUIET, {"websocket": {"max_clients": 100}})
    with Daemon(binary, tmp_path, settings, environment={"GOLEAPAI_WS_WEBSOCKET_MAX_CLIENTS": "1"}) as running:
        from support.ws import Refused

        with WebSocket(running.port):
            with pytest.raises(Refused):
                WebSocket(running.port)


def test_no_configuration_at_all(binary, tmp_path):
    """Defaults serve on loopback; a database that is not there is no reason to end."""
    with Daemon(binary, tmp_path, with_config=False, environment={"GOLEAPAI_WS_SERVER_PORT": "0"}) as running:
        from support.http import get

        assert get(running.port, "/health").status == 200


def test_publish_command(run, daemon):
    url = ["--url", f"http://127.0.0.1:{daemon.port}"]
    with WebSocket(daemon.port, "/ws/all") as client:
        done = run("publish", "logs", "--type", "note", "--data", '{"n":1}', *url)
        assert done.returncode == 0, done
        assert client.receive()["data"] == {"n": 1}
        lines = "".join(json.dumps({"channel": "logs", "type": "note", "data": {"n": n}}) + "\n" for n in range(3000))
        done = run("publish", *url, stdin=lines)
        assert done.returncode == 0, done
        assert [client.receive()["data"]["n"] for _ in range(3000)] == list(range(3000))
        done = run("publish", "logs", "--type", "note", *url, stdin='{"n":1}\n\n{"n":2}')
        assert done.returncode == 0, done
        assert [client.receive()["data"]["n"] for _ in range(2)] == [1, 2]
        assert client.settle() == []


def test_publish_command_that_fails(run, daemon):
    url = ["--url", f"http://127.0.0.1:{daemon.port}"]
    for arguments, stdin in ((["secrets", "--type", "note", "--data", "{}"], ""), (["logs", "--type", "ping", "--data", "{}"], ""),
                             (["logs", "--type", "note", "--data", "{"], ""), ([], "nonsense\n")):
        done = run("publish", *arguments, *url, stdin=stdin)
        assert done.returncode in (1, 2) and done.stderr, done
    done = run("publish", "logs", "--type", "note", "--data", "{}", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1 and "127.0.0.1:1" in done.stderr, done


@pytest.mark.release
def test_what_the_program_is_linked_with(binary):
    """The Swift runtime is inside; only the C libraries of Debian are asked for."""
    done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True)
    names = {line.split()[0].rsplit("/", 1)[-1] for line in done.stdout.splitlines() if line.strip()}
    allowed = ("linux-vdso.so", "libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "libsqlite3.so", "libyaml-0.so", "libz.so", "ld-linux",
               "libpthread.so", "libdl.so", "librt.so", "libutil.so", "libsystemd.so", "libcrypt.so", "libcrypto.so", "libssl.so",
               # What Debian's libsystemd asks for itself.
               "libcap.so", "libgcrypt.so", "libgpg-error.so", "liblz4.so", "liblzma.so", "libzstd.so")
    foreign = {name for name in names if not name.startswith(allowed)}
    assert not any("swift" in name.lower() or "Foundation" in name for name in foreign) and not foreign, foreign


@pytest.mark.parametrize("closed", [[2], [1, 2], [0, 1, 2]])
def test_closed_standard_descriptors_are_given_to_nobody(binary, tmp_path, closed):
    """Else what is written to standard error would go into a socket or a file that has got its number."""
    daemon = Daemon(binary, tmp_path, merge(QUIET, {"broadcast": {"socket": str(tmp_path / "there")}}))
    process = subprocess.Popen([*daemon.command()], preexec_fn=lambda: [os.close(number) for number in closed], cwd=tmp_path)
    try:
        wait_until(lambda: (tmp_path / "there").exists(), "it serves")
        assert [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in closed] == ["/dev/null"] * len(closed)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
