"""Fixtures of the tests with a booted systemd. Options, seeds and notes of figures are those of the integration tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).resolve().parents[1] / "Integration"
sys.path[:0] = [str(Path(__file__).parent), str(INTEGRATION)]

# The other conftest.py under a name of its own.
found = importlib.util.spec_from_file_location("integration_conftest", INTEGRATION / "conftest.py")
sys.modules[found.name] = importlib.util.module_from_spec(found)
found.loader.exec_module(sys.modules[found.name])
pytest_plugins = [found.name]

from bench.installed import Installed  # noqa: E402
from bench.machine import Machine  # noqa: E402


@pytest.fixture(scope="session")
def booted(binary, tmp_path_factory):
    """One machine for all tests of a run."""
    machine = Machine(tmp_path_factory.mktemp("machine"), binary)
    try:
        machine.boot()
        yield machine
    finally:
        machine.down()


@pytest.fixture(scope="session")
def package():
    """The Debian package."""
    found = sorted((INTEGRATION.parents[1] / "dist").glob("goleapai-ws_*.deb"))
    assert len(found) == 1, f"`make deb` builds the package; found are {found}"
    return found[0]


@pytest.fixture
def bare(package, tmp_path):
    """A minimal machine, booted, without the package; new for each test."""
    machine = Installed(tmp_path, package)
    try:
        machine.boot()
        yield machine
    finally:
        machine.down()


@pytest.fixture
def installed(bare):
    """A minimal machine with the package installed."""
    bare.said = bare.install()
    return bare


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, f"report_{report.when}", report)
    return report


@pytest.fixture
def machine(booted, request):
    """The machine, its daemon stopped at the end of the test. The daemon must not have ended on its own."""
    yield booted
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    state = booted.daemon_state()
    if failed or state["ActiveState"] == "failed":
        booted.report()
    booted.stop_daemon()
    after = booted.daemon_state()
    booted.systemctl("reset-failed", check=False)
    assert state["ActiveState"] != "failed", f"the daemon ended: {state}"
    assert after["Result"] == "success", f"the daemon did not stop well: {after}"
