"""What filters and statistics should say, worked out in the plainest way and apart from the daemon's code."""

import calendar
import re
import sqlite3

LEVELS = ["debug", "info", "warn", "error", "fatal", "panic"]


def passes(channel, event, filters):
    """Whether an event (channel, type, data) passes a client's filters on one channel. `filters`: parameter -> text."""
    event_channel, _, data = event
    if event_channel == "all":
        return True
    if event_channel != channel:
        return False
    if not isinstance(data, dict):
        data = {}
    if channel == "logs":
        if "level" in filters:
            wanted = filters["level"].split(",")
            level = data.get("level", "info")
            if len(wanted) == 1:
                if level not in LEVELS or LEVELS.index(level) < LEVELS.index(wanted[0]):
                    return False
            elif level not in wanted:
                return False
        for name in ("component", "provider_id"):
            if name in filters and data.get(name) not in filters[name].split(","):
                return False
        if "q" in filters and filters["q"].casefold() not in data.get("message", "").casefold():
            return False
        if "q" in filters and "message" not in data:
            return False
    elif channel == "requests":
        for name in ("provider_id", "model_id"):
            if name in filters and data.get(name) not in filters[name].split(","):
                return False
        if filters.get("only_errors") == "true" and data.get("success", True):
            return False
        if "min_latency_ms" in filters:
            if "latency_ms" not in data or data["latency_ms"] < int(filters["min_latency_ms"]):
                return False
    elif channel == "providers":
        if "provider_id" in filters and data.get("provider_id") not in filters["provider_id"].split(","):
            return False
    return True


# The gateway's instants: nanoseconds since 1970 as integers, so that nothing is rounded.

GATEWAY_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")


def nanoseconds(text):
    found = GATEWAY_INSTANT.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(found.group(n)) for n in range(1, 7))
    fraction = int((found.group(7) or "0").ljust(9, "0"))
    zone = found.group(8) or "Z"
    offset = 0
    if zone != "Z":
        offset = (int(zone[1:3]) * 60 + int(zone[4:6])) * 60 * (-1 if zone[0] == "-" else 1)
    return (calendar.timegm((year, month, day, hour, minute, second)) - offset) * 10**9 + fraction


def gateway_text(ns, offset_minutes=0):
    """An instant as the gateway writes it: end zeros of the fraction cut, always an offset."""
    import time as clock

    seconds, fraction = divmod(ns, 10**9)
    parts = clock.gmtime(seconds + offset_minutes * 60)
    text = f"{parts.tm_year:04}-{parts.tm_mon:02}-{parts.tm_mday:02} {parts.tm_hour:02}:{parts.tm_min:02}:{parts.tm_sec:02}"
    if fraction:
        text += "." + f"{fraction:09}".rstrip("0")
    sign = "-" if offset_minutes < 0 else "+"
    return f"{text}{sign}{abs(offset_minutes) // 60:02}:{abs(offset_minutes) % 60:02}"


WINDOWS = {"1m": 60, "5m": 300, "1h": 3600, "24h": 86400}


def nearest_rank(values, percent):
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def statistics(database, window, at_ns):
    """The `data` of a `stats_update` over `request_logs` as of an instant, by reading every row."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT provider_id, model_id, latency_ms, input_tokens, output_tokens, success, estimated_cost, timestamp"
            " FROM request_logs").fetchall()
        providers = connection.execute("SELECT id, name, status, health_score, last_health_check FROM providers").fetchall()
        models = {row[0]: row for row in connection.execute("SELECT id, name, provider_id FROM models")}
    finally:
        connection.close()
    since = at_ns - WINDOWS[window] * 10**9
    rows = [row for row in rows if nanoseconds(row[7]) >= since]

    def summary(some):
        count = len(some)
        good = sum(1 for row in some if row[5])
        return {
            "requests": count,
            "tokens": sum(row[3] + row[4] for row in some),
            "success_rate": good / count if count else 0,
            "avg_latency_ms": sum(row[2] for row in some) // count if count else 0,
            "error_count": count - good,
        }

    whole = summary(rows)
    by_provider = {}
    by_model = {}
    for row in rows:
        by_provider.setdefault(row[0], []).append(row)
        by_model.setdefault(row[1], []).append(row)
    provider_stats = []
    for identifier, name, status, score, checked in providers:
        if identifier in by_provider:
            checked_ns = nanoseconds(checked) if checked else None
            available = status == "active" and score > 0.5 and checked_ns is not None and at_ns - checked_ns < 600 * 10**9
            provider_stats.append({"provider_id": identifier, "provider_name": name, **summary(by_provider[identifier]),
                                   "available": available})
    provider_stats.sort(key=lambda row: (-row["requests"], row["provider_id"]))
    latencies = [row[2] for row in rows]
    return {
        "total_requests": whole["requests"],
        "total_tokens": whole["tokens"],
        "success_rate": whole["success_rate"],
        "avg_latency_ms": whole["avg_latency_ms"],
        "requests_per_min": whole["requests"] * 60 // WINDOWS[window],
        "provider_stats": provider_stats,
        "time_window": window,
        "error_count": whole["error_count"],
        "input_tokens": sum(row[3] for row in rows),
        "output_tokens": sum(row[4] for row in rows),
        "estimated_cost": sum(row[6] for row in rows),
        "percentiles": {p: nearest_rank(latencies, p) for p in (50, 95, 99)},
        "models": {i: summary(some) for i, some in by_model.items() if i in models},
        "model_names": {i: models[i][1] for i in by_model if i in models},
    }


def compare(got, expected):
    """Differences between a `stats_update`'s data and the reference, as sentences; empty when they agree."""
    wrong = []

    def same(name, a, b):
        if type(a) is bool or type(b) is bool:
            equal = a is b
        elif isinstance(a, (int, float)) and isinstance(b, (int, float)):
            equal = a == b
        else:
            equal = a == b
        if not equal:
            wrong.append(f"{name}: {a!r}, not {b!r}")

    for name in ("total_requests", "total_tokens", "success_rate", "avg_latency_ms", "requests_per_min", "time_window",
                 "error_count", "input_tokens", "output_tokens"):
        same(name, got.get(name), expected[name])
    if abs(got.get("estimated_cost", -1) - expected["estimated_cost"]) > 1e-9 * max(1, expected["estimated_cost"]):
        wrong.append(f"estimated_cost: {got.get('estimated_cost')}, not {expected['estimated_cost']}")
    for percent, value in expected["percentiles"].items():
        name = f"latency_p{percent}_ms"
        if abs(got.get(name, -1) - value) > 0.01 * value:
            wrong.append(f"{name}: {got.get(name)}, not within 1 % of {value}")
    same("providers", [row["provider_id"] for row in got["provider_stats"]],
         [row["provider_id"] for row in expected["provider_stats"]])
    for row, right in zip(got["provider_stats"], expected["provider_stats"]):
        for name, value in right.items():
            same(f"provider {right['provider_name']}: {name}", row.get(name), value)
    models = {row["model_id"]: row for row in got.get("model_stats", [])}
    same("models", sorted(models), sorted(expected["models"]))
    for identifier, right in expected["models"].items():
        for name, value in right.items():
            same(f"model {identifier}: {name}", models.get(identifier, {}).get(name), value)
        same(f"model {identifier}: name", models.get(identifier, {}).get("model_name"), expected["model_names"][identifier])
    return wrong
