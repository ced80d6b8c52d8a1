"""client.js and what the page knows by themselves: their tests in node, with a clock, a client and a daemon that do what they are told; the table of close codes
against the documents."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import ROOT
from support.close_codes import DOCUMENTED, STOP, TOKEN

NODE = shutil.which("node")
TYPESCRIPT = shutil.which("tsc")
CLIENT = ROOT / "Sources/Server/Dashboard/client.js"


def node(*arguments):
    assert NODE, "no node; .ci/packages test installs it"
    return subprocess.run([NODE, *arguments], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("file,least", [("client_js.mjs", 40), ("dashboard_js.mjs", 3)])
def test_in_node(file, least):
    done = node("--test", "--test-reporter=tap", str(ROOT / "Tests/Integration/support" / file))
    counted = dict(re.findall(r"^# (tests|pass|fail) (\d+)$", done.stdout, re.M))
    assert done.returncode == 0 and int(counted["pass"]) == int(counted["tests"]) >= least, done.stdout[-8000:] + done.stderr[-2000:]


def test_types():
    """The comments of all scripts declare types: they agree with the code, and with how pages use client.js."""
    assert TYPESCRIPT, "no TypeScript; .ci/packages test installs it"
    done = subprocess.run(
        [TYPESCRIPT, "--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--module", "es2022", "--moduleResolution", "node",
         "--lib", "es2022,dom,dom.iterable", *map(str, sorted(CLIENT.parent.glob("*.js"))), str(ROOT / "Tests/Integration/support/client_use.js")],
        capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert done.returncode == 0, done.stdout


VERDICTS = {
    "stop": STOP, "token": TOKEN, "now": ("come back at once, with jitter",),
    "drain": ("come back after the delay told in drain, else at random within 5 s; resume",), "backoff": ("back off",), "backoffDoubled": ("back off, doubled",),
}


def test_close_codes_are_those_of_the_documents():
    done = node("--input-type=module", "--eval", CLIENT.read_text() + "\nconsole.log(JSON.stringify(CLOSE_CODES));")
    table = {int(code): entry for code, entry in json.loads(done.stdout).items()}
    assert len(DOCUMENTED) > 10 and set(table) == set(DOCUMENTED)
    for code, (_, what) in DOCUMENTED.items():
        assert what in VERDICTS[table[code]["verdict"]], (code, what, table[code])
