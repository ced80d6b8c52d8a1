"""Fixtures of the integration tests: everything speaks to the built program through real sockets."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support.browser import Browser  # noqa: E402
from support.daemon import PATIENCE, QUIET, Daemon, merge  # noqa: E402
from support.programs import PROBE, Compiler, Probe  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--binary", default=os.environ.get("GOLEAPAI_WS_BINARY", str(ROOT / ".build/release/goleapai-ws")),
                     help="the program under test")
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")
    parser.addoption("--instrumented", action="store_true", help="the program is a sanitizer's build: leave out what is about the release")
    parser.addoption("--seed", type=int, default=None, help="replay a failed run with its seed")


def pytest_configure(config):
    seed = config.getoption("--seed")
    if hasattr(config, "workerinput"):
        seed = config.workerinput["seed"]
    config.seed = seed if seed is not None else random.SystemRandom().getrandbits(32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["seed"] = node.config.seed


def pytest_report_header(config):
    return f"program: {config.getoption('--binary')}; seed: {config.seed} (again with --seed {config.seed})"


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "fact" and report.when == "call":
                    terminalreporter.write_line(f"measured: {report.nodeid.rsplit('::', 1)[-1]}: {text}")
    if exitstatus:
        terminalreporter.write_line(f"replay with --seed {config.seed}")


def pytest_collection_modifyitems(config, items):
    # Tests of minutes are left out of the collection, not skipped: `make prove` runs them.
    out = {name for name, wanted in (("long", config.getoption("--long")), ("release", not config.getoption("--instrumented")))
           if not wanted}
    left_out = [item for item in items if out & set(item.keywords)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def binary(request):
    path = Path(request.config.getoption("--binary")).resolve()
    assert path.is_file(), f"{path} is not built; `make release` builds it"
    return path


@pytest.fixture
def rng(request):
    """Random numbers that depend on the run's seed and the test's name only."""
    return random.Random(f"{request.config.seed}/{request.node.nodeid}")


@pytest.fixture
def fact(request):
    """Notes a measured number for the end of the run. Numbers of time are told, never judged."""
    def note(text):
        request.node.user_properties.append(("fact", text))
    return note


@pytest.fixture
def run(binary, tmp_path):
    """Runs a command of the program, and waits for its end."""

    def call(*arguments, stdin="", **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GOLEAPAI_WS_")}
        return subprocess.run([str(binary), *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE,
                              env={**clean, **environment}, cwd=tmp_path)

    return call


@pytest.fixture
def start(binary, tmp_path):
    """Starts daemons with settings over the quiet ones, and stops all of them at the end."""
    running = []

    def run(settings=None, quiet=True, **options):
        daemon = Daemon(binary, tmp_path / f"daemon{len(running)}",
                        merge(QUIET, settings or {}) if quiet else settings, **options)
        running.append(daemon)
        return daemon.start()

    yield run
    for daemon in running:
        if daemon.process is not None:
            try:
                daemon.stop()
            finally:
                print(f"--- log of the daemon (pid {daemon.pid}) ---")
                print("\n".join(daemon.log()[-80:]))


@pytest.fixture(scope="module")
def daemon(binary, tmp_path_factory):
    """A quiet daemon shared by the tests of one file; they leave no client behind."""
    with Daemon(binary, tmp_path_factory.mktemp("daemon"), QUIET) as running:
        yield running


@pytest.fixture(scope="session")
def compile_program(binary, tmp_path_factory):
    """Programs in Swift that use the library; of a release build only."""
    return Compiler(ROOT, binary.parent, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def probe_program(compile_program):
    return compile_program("Probe", PROBE)


@pytest.fixture
def probe(probe_program):
    with Probe(probe_program) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One Chromium shared by the tests of one file; each tab has storage of its own."""
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()
