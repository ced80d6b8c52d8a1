"""Ways by which somebody wanted to get in, or to stay, and got further than they should."""

import re
import socket
import subprocess

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, merge, wait_until
from support.http import NoResponse, get, publish, read_response, request
from support.manager import Managed, Manager
from support.tokens import Accounts, token
from support.ws import Refused, WebSocket
from test_auth import bearer, settings, status
from test_reload import reload


@pytest.fixture
def accounts(tmp_path):
    return Accounts(tmp_path / "gateway.db")


def ask(address, port, path="/ws/logs"):
    """What a stranger's handshake at some address of this machine is answered."""
    try:
        with WebSocket(port, path, address=address) as client:
            return client.response.status
    except Refused as refused:
        return refused.response.status


# A reload that opens more than was meant

OUTSIDE = "0.0.0.0"


def test_a_reload_does_not_open_an_address_that_is_listened_on_until_a_restart(binary, tmp_path, accounts):
    """The file is fine for the next start, when only loopback is listened on; today everybody would be let in."""
    with Daemon(binary, tmp_path / "daemon", merge(QUIET, merge(settings(accounts.path), {"server": {"host": [OUTSIDE]}}))).start(wait=False) as daemon:
        daemon.wait_for_log("serves at most")
        port = int(re.search(rf"listening on http://{OUTSIDE}:(\d+)", "\n".join(daemon.log())).group(1))
        assert ask("127.0.0.1", port) == 401
        lines = reload(daemon, {"server": {"host": ["127.0.0.1"]}, "auth": {"mode": "none"}})
        assert any("auth.mode: gateway -> none: takes effect when the daemon is restarted" in line for line in lines), lines
        assert any(f"still listens on {OUTSIDE}:{port}" in line for line in lines), lines
        assert ask("127.0.0.1", port) == 401
        # Other settings are in force; what was held stays held.
        lines = reload(daemon, {"limits": {"messages_per_second": 77}})
        assert any("messages_per_second: 100000 -> 77" in line for line in lines), lines
        assert ask("127.0.0.1", port) == 401
        # A file that is just being written may be empty: its defaults are mode none, on loopback.
        reload(daemon, "")
        assert ask("127.0.0.1", port) == 401
        # Who says so gets it.
        reload(daemon, {"auth": {"allow_anonymous": True}})
        assert ask("127.0.0.1", port) == 101


def test_a_reload_does_not_open_the_address_of_a_socket_unit(binary, tmp_path, accounts):
    manager = Manager(tmp_path)
    try:
        port = manager.listen((OUTSIDE, 0))
        with Managed(manager, binary, tmp_path / "daemon", merge(QUIET, settings(accounts.path))).start(wait=False) as daemon:
            daemon.wait_for_log("serves at most")
            assert ask("127.0.0.1", port) == 401
            reload(daemon, {"auth": {"mode": "none"}})
            assert ask("127.0.0.1", port) == 401
    finally:
        manager.close()
