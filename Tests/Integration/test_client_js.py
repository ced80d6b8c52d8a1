"""client.js and what the page knows by themselves: their tests in node, with a clock, a client and a daemon that do what they are told; the table of close codes
against the documents."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

NODE = shutil.which("node")
CLIENT = ROOT / "Sources/Server/Dashboard/client.js"


def node(*arguments):
    assert NODE, "no node; .ci/packages test installs it"
    return subprocess.run([NODE, *arguments], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("file,least", [("client_js.mjs", 40), ("dashboard_js.mjs", 3)])
def test_in_node(file, least):
    done = node("--test", "--test-reporter=tap", str(ROOT / "Tests/Integration/support" / file))
    counted = dict(re.findall(r"^# (tests|pass|fail) (\d+)$", done.stdout, re.M))
    assert done.returncode == 0 and int(counted["pass"]) == int(counted["tests"]) >= least, done.stdout[-8000:] + done.stderr[-2000:]


VERDICTS = {
    "stop": ("stop", "stop, show it", "stop until the user acts"), "token": ("fetch a fresh token, then come back",), "now": ("come back at once, with jitter",),
    "drain": ("come back after the delay told in drain, else at random within 5 s; resume",), "backoff": ("back off",), "backoffDoubled": ("back off, doubled",),
}


def test_close_codes_are_those_of_the_documents():
    done = node("--input-type=module", "--eval", CLIENT.read_text() + "\nconsole.log(JSON.stringify(CLOSE_CODES));")
    table = {int(code): entry for code, entry in json.loads(done.stdout).items()}
    text = (ROOT / "docs/PROTOCOL.md").read_text()
    documented = {int(code): re.sub(r"[\[\]`]|\(#\w+\)", "", what).strip() for code, what in re.findall(r"^\| (\d{4}) \| [^|]+ \| ([^|]+) \|", text, re.M)}
    assert len(documented) > 10 and set(table) == set(documented)
    for code, what in documented.items():
        assert what in VERDICTS[table[code]["verdict"]], (code, what, table[code])
