"""What a journal entry is as an event, told independently of the daemon; and a client that collects such events."""

import json
import re
import threading
import time
from datetime import datetime, timezone

from support.daemon import PATIENCE
from support.specification import Specification
from support.ws import Closed, WebSocket

SPECIFICATION = Specification()
MEMBERS = ("level", "message", "component", "provider_id", "request_id")
COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
BY_PRIORITY = {0: "error", 1: "error", 2: "error", 3: "error", 4: "warn", 5: "info", 6: "info", 7: "debug"}


def text_of(message):
    """MESSAGE as bytes; journalctl writes text that is not clean as a list of numbers."""
    assert message is not None, "journalctl left out a MESSAGE"
    return bytes(message) if isinstance(message, list) else message.encode("utf-8", "surrogateescape")


def instant(microseconds):
    """As in events: UTC, milliseconds, cut."""
    microseconds = int(microseconds)
    whole = datetime.fromtimestamp(microseconds // 1_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{microseconds // 1000 % 1000:03}Z"


def is_object(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def lines_of(entries):
    """(bytes of the line, its first entry): pieces that journald cut at LineMax= are put together, stream by stream. Of a line
    that ends just where it is cut, the empty rest is no entry; that there is no more is seen by its being whole."""
    begun, lines = {}, []
    for entry in entries:
        stream = entry.get("_STREAM_ID")
        line = begun.pop(stream, None)
        if line is None:
            line = [b"", entry]
            lines.append(line)
        line[0] += text_of(entry["MESSAGE"])
        if entry.get("_LINE_BREAK") == "line-max" and not is_object(line[0]):
            begun[stream] = line
    return [tuple(line) for line in lines]


def first_of_equal(pairs):
    result = {}
    for key, value in pairs:
        result.setdefault(key, value)
    return result


def data_of(line, priority=6):
    """level, message, …, fields of a line."""
    text = line.decode("utf-8", "replace")
    try:
        whole = json.loads(text, object_pairs_hook=first_of_equal)
    except ValueError:
        whole = None
    if not isinstance(whole, dict):
        return {"level": BY_PRIORITY[priority], "message": COLOUR.sub("", text), "fields": {}}
    data = {name: whole.pop(name) for name in MEMBERS if name in whole}
    return {"level": "info", "message": "", **data, "fields": whole}


def expected(line, entry):
    """The whole data of the event."""
    return {**data_of(line, int(entry["PRIORITY"])), "timestamp": instant(entry["__REALTIME_TIMESTAMP"]),
            "unit": entry["_SYSTEMD_UNIT"], "source": "journal"}


def check_event(message, line, entry):
    """The event says of the line what it should, no more and no less."""
    assert message["type"] == "log", message
    SPECIFICATION.check("log", message)
    right, data = expected(line, entry), dict(message["data"])
    # Where the line has none of these, the event may say so or say nothing.
    for name in ("component", "provider_id", "request_id"):
        if name not in right and data.get(name, 0) in ("", None):
            del data[name]
    # A carriage return before the line feed is no part of what was said; either is right.
    for some in (right, data):
        some["message"] = some["message"].rstrip("\r")
    assert data == right, f"event: {data}\nright: {right}\nentry: {entry}"
    assert message["timestamp"] == right["timestamp"], message


class Follower(threading.Thread):
    """Collects what a client gets, with the instant of arrival. Ends with its connection."""

    def __init__(self, port, path="/ws/logs", client=None):
        super().__init__(daemon=True)
        self.client = client or WebSocket(port, path)
        self.messages = []
        self.arrivals = []
        self.ended = None
        self.changed = threading.Condition()
        self.start()

    def run(self):
        try:
            while True:
                message = self.client.receive(patience=600)
                now = time.monotonic_ns()
                with self.changed:
                    self.messages.append(message)
                    self.arrivals.append(now)
                    self.changed.notify_all()
        except (Closed, OSError, AssertionError) as error:
            with self.changed:
                self.ended = error
                self.changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # shutdown wakes the reader; a mere close would not.
        try:
            self.client.sock.shutdown(2)
        except OSError:
            pass
        self.join(10)
        self.client.sock.close()

    def wait(self, condition, what, patience=None):
        """The first message for which `condition` holds, present or to come. Patience begins anew with every message."""
        seen = 0
        patience = PATIENCE if patience is None else patience
        with self.changed:
            while True:
                for message in self.messages[seen:]:
                    if condition(message):
                        return message
                seen = len(self.messages)
                assert self.ended is None, f"the connection ended before {what}: {self.ended!r}"
                assert self.changed.wait_for(lambda: len(self.messages) > seen or self.ended is not None, patience), (
                    f"nothing more came, and no {what}; {len(self.messages)} messages, the last: {self.messages[-2:]}")

    def wait_text(self, text, patience=None):
        """Until a line with exactly this message has come."""
        return self.wait(lambda m: m["type"] == "log" and m["data"]["message"] == text, f"line {text!r}", patience)

    def logs(self):
        return [message for message in self.messages if message["type"] == "log"]

    def others(self):
        return [message for message in self.messages if message["type"] != "log"]


def numbers(messages, name):
    """The numbers of lines that `numbered` made."""
    return [message["data"]["fields"]["n"] for message in messages
            if message["type"] == "log" and message["data"]["message"] == name]


def numbered(name, number):
    return b'{"level":"info","n":%d,"time":1795400000,"message":"%s"}\n' % (number, name.encode())


def check_numbers(got, first, last):
    """All of first … last, once, in order."""
    right = list(range(first, last + 1))
    if got == right:
        return
    there = set(got)
    doubled = sorted(number for number in there if got.count(number) > 1)[:10] if len(got) != len(there) else []
    missing = [number for number in right if number not in there]
    foreign = sorted(there - set(right))
    raise AssertionError(f"{len(got)} lines for {first} … {last}: missing {len(missing)} {missing[:10]}, twice {doubled}, "
                         f"not asked for {len(foreign)} {foreign[:10]}, order {'right' if got == sorted(got) else 'wrong'}")
