"""What `make bench` is made of: the floor program, and the script that writes the table."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import PATIENCE, die_with_parent, wait_until
from support.tls import free_port

BENCH = Path(__file__).resolve().parents[1] / "Bench"
DOCUMENT = BENCH.parents[1] / "docs/PERFORMANCE.md"


@pytest.fixture(scope="module")
def floor_binary(tmp_path_factory):
    path = tmp_path_factory.mktemp("floor") / "floor"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path, BENCH / "floor.c", "-lcrypto"], check=True)
    return path


@pytest.fixture(params=["each", "log"])
def floor(request, floor_binary):
    port = free_port()
    process = subprocess.Popen([floor_binary, request.param, str(port), "45"], preexec_fn=die_with_parent)

    def serves():
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except ConnectionRefusedError:
            return False

    wait_until(serves, "the floor serves")
    yield f"http://127.0.0.1:{port}"
    assert process.poll() is None
    process.terminate()
    process.wait(PATIENCE)


def bench(binary, url, *arguments):
    done = subprocess.run([binary, "bench", "--json", "--warmup", "0", "--url", url, *arguments], capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0 and done.stderr == "", done
    return json.loads(done.stdout)


def test_the_floor_delivers_everything(binary, floor):
    found = bench(binary, floor, "--clients", "50", "--rate", "2000", "--events", "1000")
    assert found["deliveries"]["count"] == 50_000 and found["deliveries"]["payload_bytes"] == 50_000 * 295
    # At full speed, with requests in pieces, beside clients that never read and are not waited for.
    found = bench(binary, floor, "--clients", "25", "--slow", "5", "--outstanding", "300", "--batch", "7", "--events", "20000", "--size", "1000")
    assert found["deliveries"]["count"] == 20 * 20_000
    assert bench(binary, floor, "--clients", "0", "--outstanding", "5000", "--events", "100000")["published"]["events"] == 100_000


@pytest.mark.release
def test_the_table(binary, floor_binary, tmp_path):
    """Rows of scenarios that are measured are replaced, the others stay."""
    document = tmp_path / "PERFORMANCE.md"
    document.write_text(DOCUMENT.read_text())

    def run(only):
        done = subprocess.run(
            [sys.executable, BENCH / "run.py", "--only", only, "--rounds", "2", "--seconds", "1", "--document", document, "--binary", binary,
             "--floor", floor_binary], capture_output=True, text=True)
        assert done.returncode == 0, done
        text = document.read_text()
        table = text.split("<!-- results: make bench -->")[1].split("<!-- end of results -->")[0]
        return re.findall(r"^\| ([A-Z]) \|", table, re.M), table, text

    letters, _, _ = run("I")
    assert "I" in letters
    with_d, table, text = run("D")
    assert with_d == sorted({*letters, "D"}) and "2 rounds of 1 s" in table
    assert re.search(r"^\|  \| CPU per delivery, µs \| [\d.,]+ \([\d.,]+–[\d.,]+\) \| [^|]+ \| [^|]+ \| ≤ 1.05 × \| (hit|miss) \|$", table, re.M), table
    assert text.split("<!-- results")[0] == DOCUMENT.read_text().split("<!-- results")[0]
