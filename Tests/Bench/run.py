"""Measures the daemon beside the floor, in turns, and writes the results into docs/PERFORMANCE.md. `make bench`, or

    Tests/Bench/run.py [--only A,B] [--rounds 5] [--seconds 10] [--no-document]

Ratios count, not the numbers: each is of one round, in which both servers were measured one after the other."""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import ROOT, Failure, Lab
from scenarios import SCENARIOS, Ratio

DOCUMENT = ROOT / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- results: make bench -->", "<!-- end of results -->"


@dataclass
class Row:
    letter: str
    name: str
    ours: str
    floor: str
    ratio: str
    target: str
    verdict: str


def number(value):
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def spread(values):
    values = [value for value in values if value is not None]
    if not values:
        return "–"
    middle, low, high = statistics.median(values), min(values), max(values)
    return number(middle) if len(values) == 1 or low == high else f"{number(middle)} ({number(low)}–{number(high)})"


def judge(measures):
    """(target, verdict) of one measure over its rounds: the median counts."""
    first = measures[0]
    values = [measure.judged for measure in measures if measure.judged is not None]
    if first.at_most is None and first.at_least is None:
        return "", ""
    if not values:
        return "", "not measured"
    middle = statistics.median(values)
    sign, limit = ("≤", first.at_most) if first.at_most is not None else ("≥", first.at_least)
    kind = " ×" if isinstance(first, Ratio) else ""
    is_hit = middle <= limit if sign == "≤" else middle >= limit
    return f"{sign} {number(limit)}{kind}", "hit" if is_hit else "miss"


def rows_of(letter, rounds):
    rows = []
    for name in rounds[0]:
        measures = [found[name] for found in rounds if name in found]
        target, verdict = judge(measures)
        is_ratio = isinstance(measures[0], Ratio)
        rows.append(Row(letter, name, spread([m.ours for m in measures]), spread([m.floor for m in measures]) if is_ratio else "",
                        spread([m.judged for m in measures]) if is_ratio else "", target, verdict))
    return rows


def table(rows):
    lines = ["| | Measured | Daemon | Beside it | Ratio | Target | |", "|---|---|---|---|---|---|---|"]
    letter = None
    for row in rows:
        lines.append(f"| {row.letter if row.letter != letter else ''} | {row.name} | {row.ours} | {row.floor} | {row.ratio} | {row.target} | {row.verdict} |")
        letter = row.letter
    return "\n".join(lines)


def machine():
    names = {line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")}
    return f"{', '.join(sorted(names))}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}"


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def write_document(rows, options, document):
    """Puts new rows between the marks; those of scenarios that were not run stay."""
    text = document.read_text()
    head, rest = text.split(BEGIN)
    old, tail = rest.split(END)
    measured = {row.letter for row in rows}
    kept, letter = [], None
    for line in old.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 7 or cells[1] in ("Measured", "---"):
            continue
        letter = cells[0] or letter
        if letter not in measured:
            kept.append(Row(letter, *cells[1:]))
    rows = sorted(rows + kept, key=lambda row: row.letter)
    note = "" if not kept else f" Of this run: {', '.join(sorted(measured))}; the others are of one before."
    more = ", ".join(f"{letter} {options.rounds * one.times}" for letter, one in SCENARIOS.items() if one.times > 1)
    said = (f"{datetime.date.today()}, {machine()}, commit {commit()}; {options.rounds} rounds of {options.seconds} s ({more}): median (least–most)."
            f"{note}")
    document.write_text(f"{head}{BEGIN}\n{said}\n\n{table(rows)}\n{END}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="letters of scenarios, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="how long one run measures")
    parser.add_argument("--document", type=Path, help="where the table goes; default docs/PERFORMANCE.md")
    parser.add_argument("--no-document", action="store_true", help="print only")
    parser.add_argument("--binary", default=ROOT / ".build/release/goleapai-ws")
    parser.add_argument("--floor", default=ROOT / ".build/floor")
    options = parser.parse_args()
    wanted = [letter for letter in options.only.upper().split(",") if letter] or list(SCENARIOS)
    for letter in wanted:
        if letter not in SCENARIOS:
            parser.error(f"{letter} is no scenario; there are {', '.join(SCENARIOS)}")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"other work is done on this machine (load average {load:.1f}): do not trust what follows", file=sys.stderr)
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(directory, options.seconds, options.binary, options.floor)
        for letter in wanted:
            scenario = SCENARIOS[letter]
            print(f"{letter}: {scenario.title}", flush=True)
            rounds = []
            for lab.round in range(options.rounds * scenario.times):
                try:
                    rounds.append(scenario.measure(lab))
                except Failure as failure:
                    failures.append(letter)
                    print(f"    round {lab.round + 1} failed: {failure}", file=sys.stderr)
            if not rounds:
                rows.append(Row(letter, "failed", "", "", "", "", "miss"))
                continue
            for row in rows_of(letter, rounds):
                rows.append(row)
                beside = f"  beside it {row.floor}, ratio {row.ratio}" if row.floor else ""
                print(f"    {row.name}: {row.ours}{beside}  {row.target} {row.verdict}".rstrip(), flush=True)
    if not options.no_document:
        write_document(rows, options, options.document or DOCUMENT)
    missed = sum(row.verdict == "miss" for row in rows)
    print(f"{sum(row.verdict == 'hit' for row in rows)} hits, {missed} misses; {len(failures)} rounds failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
