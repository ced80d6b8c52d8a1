"""The table of close codes as docs/PROTOCOL.md has it."""

import re
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[3] / "docs/PROTOCOL.md").read_text()

DOCUMENTED = {
    int(code): (reason, re.sub(r"[\[\]`]|\(#\w+\)", "", what).strip())
    for code, reason, what in re.findall(r"^\| (\d{4}) \| ([^|]+) \| ([^|]+) \|", TEXT, re.M)}
"""The reason, and what a client should do."""

STOP = ("stop", "stop, show it", "stop until the user acts")
TOKEN = ("fetch a fresh token, then come back",)
