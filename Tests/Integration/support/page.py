"""The web dashboard in a tab of a browser, as a user sees it."""

import json
import re

from .daemon import wait_until


def address(daemon, view=""):
    return f"http://127.0.0.1:{daemon.port}/{view}"


class Shown:
    """The page in a tab, as a user sees it."""

    def __init__(self, tab):
        self.tab = tab

    def text(self, selector):
        return self.tab.run(f"document.querySelector({json.dumps(selector)})?.textContent")

    def rows(self, section):
        """Texts of the rows in sight, the newest first."""
        return self.tab.run(
            f"[...document.querySelectorAll('#{section} .row:not([hidden])')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)"
            ".map((row) => [...row.children].map((cell) => cell.textContent).slice(row.children.length > 1 ? 1 : 0).join('|'))")

    def all_rows(self, section):
        """Texts of the last cells of all rows, the newest first; it scrolls to see them."""
        count = self.tab.run(f"Number(document.querySelector('#{section} .rows').ariaRowCount)")
        found, top = {}, 0
        while len(found) < count and top < (count + 20) * 24:
            self.tab.run(f"document.querySelector('#{section} .rows').scrollTop = {top}")
            self.tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            found |= dict(self.tab.run(
                f"[...document.querySelectorAll('#{section} .row:not([hidden])')].map((row) => [row.ariaRowIndex, row.lastElementChild.textContent])"))
            top += 120
        return [found.get(str(index + 1)) for index in range(count)]

    @property
    def sequence(self):
        """Events of the daemon up to the place where the page is, as its last line tells."""
        found = re.search(r"position \w+-(\d+)", self.text("#facts"))
        return int(found[1]) if found else 0

    def misses(self):
        """Whether both charts mark a time of which requests are missing, and say what the mark means."""
        return self.tab.run("[...document.querySelectorAll('.plot .lost')].every((path) => path.getAttribute('d')) && !document.querySelector('.key.missed').hidden")

    def complaints(self):
        """The daemon here has no sources, so that /ready is a 503, which the browser notes."""
        return [what for what in self.tab.complaints() if not re.search(r"status of 503 .*/ready$", what)]

    def wait_state(self, pattern):
        wait_until(lambda: re.match(pattern, self.text("#state") or ""), lambda: (pattern, self.text("#state"), self.tab.complaints()), interval=0.1)

    def wait_rows(self, section, expected):
        wait_until(lambda: self.rows(section) == expected, lambda: (expected, self.rows(section), self.text("#state")), interval=0.1)

    def fill(self, name, value):
        self.tab.run(f"""(() => {{
            const input = document.querySelector('[name="{name}"]');
            input.value = {json.dumps(value)};
            input.dispatchEvent(new Event(input.tagName === 'SELECT' ? 'change' : 'input', {{bubbles: true}}));
        }})()""")
