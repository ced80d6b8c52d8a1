"""What a client does after each close code of the daemon; PROTOCOL.md has it in words."""

import re
from pathlib import Path

STOPS = [1000, 1002, 1003, 1007, 1009, 4001, 4500, 4503, 4505]
"""4001: without a way to get a fresh token."""
RETURNS = [1001, 1011, 4000, 4008, 4013]
UNKNOWN = [1012, 4999]
"""Of somebody in between, or of a later version: as a passing fault."""

SOURCE = Path(__file__).resolve().parents[3] / "Sources/Protocol/WebSocket/CloseCode.swift"
CODES = sorted(int(code) for code in re.findall(r"= CloseCode\(rawValue: (\d+)\)", SOURCE.read_text()))
"""All that the daemon knows."""
