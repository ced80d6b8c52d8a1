"""A steady stream of events and those who listen to it: what goes on beside whatever a test does."""

import json
import threading
import time

from .crowd import Crowd
from .http import Connection


class Steady(threading.Thread):
    """Publishes numbered events at a steady rate until told to stop, and knows when each was sent."""

    def __init__(self, port, per_second, channel="logs", headers=(), source=None):
        super().__init__(daemon=True)
        self.port, self.per_second, self.channel, self.headers, self.source = port, per_second, channel, list(headers), source
        self.times = {}
        self.stopping = threading.Event()
        self.error = None

    def run(self):
        begun = time.monotonic()
        try:
            with Connection(self.port, source=self.source) as connection:
                while not self.stopping.wait(max(0, begun + len(self.times) / self.per_second - time.monotonic())):
                    number = len(self.times)
                    body = json.dumps({"channel": self.channel, "type": "note", "data": {"n": number}}).encode()
                    self.times[number] = time.monotonic()
                    answer = connection.request("POST", "/admin/ws/broadcast", [("Content-Type", "application/json"), *self.headers], body)
                    assert answer.status == 200, answer
        except BaseException as error:
            self.error = error
            raise

    def stop(self):
        self.stopping.set()
        self.join()
        assert self.error is None


class Listeners(Crowd):
    """A crowd that notes the delay of every single delivery."""

    def __init__(self, port, times, headers=(), source=None):
        super().__init__(port, headers=headers, source=source)
        self.times = times
        self.delays = []

    def take(self, member):
        before = len(member.numbers)
        super().take(member)
        now = time.monotonic()
        self.delays += [now - self.times[number] for number in member.numbers[before:]]

    def during(self, done, patience):
        """Reads until something is done; gives back the delays of meanwhile, in order of size."""
        self.delays = []
        self.read_until(done, "what is waited for", patience)
        return sorted(self.delays)


def describe(delays):
    return (f"{len(delays)} deliveries, median {delays[len(delays) // 2] * 1000:.2f} ms, p99 {delays[len(delays) * 99 // 100] * 1000:.2f} ms, "
            f"longest {delays[-1] * 1000:.1f} ms")
