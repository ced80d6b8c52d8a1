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

STOPS = [code for code, (_, what) in DOCUMENTED.items() if what in STOP + TOKEN]
"""Also where a client has no way to get a fresh token."""
RETURNS = [code for code in DOCUMENTED if code not in STOPS]
UNKNOWN = [1012, 4999]
"""Of somebody in between, or of a later version: as a passing fault."""

SOURCE = Path(__file__).resolve().parents[3] / "Sources/Protocol/WebSocket/CloseCode.swift"
CODES = sorted(int(code) for code in re.findall(r"= CloseCode\(rawValue: (\d+)\)", SOURCE.read_text()))
"""All that the daemon knows."""
