"""A strict reader of the text format of Prometheus, version 0.0.4: what it does not know, it does not take."""

import math
import re

from .http import get

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
VALUE = re.compile(r"[+-]Inf|NaN|-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?")


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.help = name, kind, text
        self.samples = {}    # (name, ((label, value), …)) → number


def parse(text):
    """The families by name. Fails on whatever is not as the format has it."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    families, family, text_of_help = {}, None, None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, text_of_help = re.fullmatch(rf"# HELP ({NAME}) (.+)", line).groups()
            assert re.fullmatch(r"(?:[^\\]|\\\\|\\n)*", text_of_help), line
            family = None
        elif line.startswith("# TYPE "):
            typed, kind = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line).groups()
            assert text_of_help and typed == name and name not in families, line
            family = families[name] = Family(name, kind, text_of_help)
        else:
            assert family is not None and not line.startswith("#"), line
            match = SAMPLE.fullmatch(line)
            assert match, line
            sample, labels, value = match.groups()
            endings = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
            assert sample in {family.name + ending for ending in endings}, line
            found, at = [], 0
            while labels and at < len(labels):
                one = LABEL.match(labels, at)
                assert one, line
                found.append((one.group(1), one.group(2).replace(r"\"", '"').replace(r"\n", "\n").replace("\\\\", "\\")))
                at = one.end()
            assert labels is None or labels and not labels.endswith(","), line
            assert len({name for name, _ in found}) == len(found) and VALUE.fullmatch(value), line
            key = (sample, tuple(found))
            assert key not in family.samples, f"twice: {line}"
            family.samples[key] = float(value.replace("Inf", "inf"))
    for family in families.values():
        check(family)
    return families


def check(family):
    for (name, labels), value in family.samples.items():
        if family.kind == "counter":
            assert family.name.endswith("_total") and value >= 0 and math.isfinite(value), (name, labels, value)
    if family.kind != "histogram":
        return
    series = {}
    for (name, labels), value in family.samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        one = series.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            (bound,) = [value for name, value in labels if name == "le"]
            one["buckets"].append((float(bound.replace("Inf", "inf")), value))
        else:
            assert rest == labels
            one[name.rpartition("_")[2]] = value
    for one in series.values():
        bounds, counts = zip(*one["buckets"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, bounds
        assert list(counts) == sorted(counts), "buckets hold those before"
        assert one["count"] == counts[-1] and one["sum"] >= 0, one


def scrape(port, headers=(), tls=None):
    answer = get(port, "/metrics", headers, tls=tls)
    assert answer.status == 200, answer
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.body.decode())


class Scrape:
    def __init__(self, text):
        self.text = text
        self.families = parse(text)

    def __call__(self, name, /, **labels):
        """One figure, or the sum of those whose labels fit; names go without the prefix."""
        full = name if name.startswith("process_") else f"goleapai_ws_{name}"
        family = self.families.get(full) or self.families[re.sub(r"_(bucket|sum|count)$", "", full)]
        fitting = [value for (sample, found), value in family.samples.items() if sample == full and labels.items() <= dict(found).items()]
        assert fitting, (name, labels)
        return sum(fitting)
