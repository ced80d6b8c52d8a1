"""The page beside a gateway that is busy all the time: memory that does not grow, and a screen that does not stutter."""

import os
import statistics
import time

import pytest
from support.daemon import Daemon
from support.page import Shown, address

MINUTES = int(os.environ.get("PAGE_MINUTES", "8"))
"""How long it is looked at: 60 for the hour of the name."""
FILLING = 7
"""Minutes until everything that the page keeps is full: rows, 384 seconds of charts, five minutes of figures."""
REQUESTS = 100
"""A second; each is an event of `requests` and one of `logs`."""

COUNT_FRAMES = """(() => {
    const seen = self.seen = {frames: 0, late: 0, longest: 0, tasks: 0, busy: 0};
    let before = performance.now();
    const look = (now) => {
        seen.frames += 1;
        if (now - before > 50) seen.late += 1;
        seen.longest = Math.max(seen.longest, now - before);
        before = now;
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    new PerformanceObserver((list) => {
        for (const {duration} of list.getEntries()) {
            seen.tasks += 1;
            seen.busy += duration;
        }
    }).observe({type: 'longtask'});
})()"""
TAKE_FRAMES = "(() => { const taken = {...self.seen}; Object.assign(self.seen, {frames: 0, late: 0, longest: 0, tasks: 0, busy: 0}); return taken; })()"


def use(tab, page):
    """Some of what a user does, each of which makes and forgets things."""
    tab.run("document.querySelector('#logs .rows').scrollTop = 40000")
    tab.run("document.querySelector('#requests .rows').scrollTop = 40000")
    tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    for section in ("logs", "requests"):
        tab.run(f"document.querySelector('#{section} .new').click()")
    tab.press("o")
    tab.press("j")
    tab.press("Enter", text="\r")
    tab.run("document.querySelector('#detail').close()")
    tab.press("Escape", code="Escape", windowsVirtualKeyCode=27)
    for key in ("e", "l", "1", "c", "2", "p", "p"):
        tab.press(key)
        page.wait_state("Live$|Paused$")
    tab.run("document.activeElement.blur()")


@pytest.mark.long
@pytest.mark.timeout((MINUTES + FILLING) * 90 + 600)
def test_a_page_for_an_hour(browser, binary, tmp_path, fact):
    demo = Daemon(binary, tmp_path, with_config=False, environment={"GOLEAPAI_WS_SERVER_PORT": "0"},
                  arguments=["--demo", "--demo-rate", str(REQUESTS), "--demo-seed", "11"])
    with demo, browser.open(address(demo)) as tab:
        page = Shown(tab)
        page.wait_state("Live$")
        tab.run(COUNT_FRAMES)
        samples, newest, cpu, events = [], None, None, 0
        for minute in range(1, FILLING + MINUTES + 1):
            tab.run(TAKE_FRAMES)
            begun = time.monotonic()
            time.sleep(55)
            seen = tab.run(TAKE_FRAMES)
            seconds = time.monotonic() - begun
            found = {**tab.memory(), "worker": tab.worker_heap(), "events": page.sequence, **seen}
            facts, rows = page.text("#facts"), page.rows("requests")
            print(f"{time.strftime('%H:%M:%S')} minute {minute}: heap {found['heap'] / 1e6:.2f} MB, worker {found['worker'] / 1e6:.2f} MB, nodes {found['nodes']}, "
                  f"listeners {found['listeners']}; {found['events'] - events} events; {seen['frames'] / seconds:.1f} frames/s, over 50 ms {seen['late']} "
                  f"({100 * seen['late'] / max(1, seen['frames']):.2f} %), longest {seen['longest']:.0f} ms; long tasks {seen['tasks']}; "
                  f"CPU of the page {found['cpu'] - (cpu or 0):.1f} s; daemon {demo.rss / 1e6:.1f} MB", flush=True)
            assert "gaps 0" in facts and "reconnects 0" in facts and "doubles" not in facts, facts
            assert rows and rows != newest, "it has stood still"
            # The first minute's seconds are those since the tab was opened.
            found["spent"], cpu, newest, events = found["cpu"] - (cpu or 0), found["cpu"], rows, found["events"]
            if minute > FILLING:
                samples.append(found)
            use(tab, page)
            page.wait_state("Live$")
        assert page.complaints() == []

    quarter = max(1, MINUTES // 4)
    first, last = samples[:quarter], samples[-quarter:]

    def middle(name, part):
        return statistics.median(sample[name] for sample in part)

    frames, late = (sum(sample[name] for sample in samples) for name in ("frames", "late"))
    fact(f"{MINUTES} minutes: " + ", ".join(f"{name} {middle(name, first):.0f} → {middle(name, last):.0f}" for name in ("heap", "worker", "nodes", "listeners"))
         + f"; CPU {middle('spent', first):.1f} → {middle('spent', last):.1f} s a minute; {frames} frames, {late} over 50 ms ({100 * late / frames:.3f} %)")
    # The least of each quarter: what is drawn at the moment comes on top of it, and what leaks is in all. CPU time is told only: a busy machine has less of it.
    for name, most in (("heap", 1.1), ("worker", 1.1), ("nodes", 1.05), ("listeners", 1.0)):
        assert min(sample[name] for sample in last) <= most * min(sample[name] for sample in first), (name, [sample[name] for sample in samples])
