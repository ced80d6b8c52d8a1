"""A real Chromium without a window, driven by the DevTools protocol."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

from .daemon import PATIENCE, die_with_parent, wait_until
from .ws import WebSocket

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
"""The first is the engine without a desktop's libraries (.ci/packages installs it)."""


class BrowserError(Exception):
    """The browser refused a command, or a script threw."""


class Browser:
    """One process with a profile of its own. `names` maps host names to addresses, for this browser only."""

    def __init__(self, directory, names=()):
        assert BROWSER, "no Chromium; .ci/packages test installs it"
        rules = ",".join([*(f"MAP {name} {address}" for name, address in dict(names).items()), "MAP *.example ~NOTFOUND"])
        profile = directory / "profile"
        self.process = subprocess.Popen(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             # What newer browsers do against pages that reach for the local network is not what is tried here: older ones have nothing of it.
             "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,LocalNetworkAccessForWorkers",
             "--disable-component-update", "--disable-default-apps", "--disable-sync", "--no-proxy-server", f"--host-resolver-rules={rules}",
             f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(directory / "browser.log", "wb"), start_new_session=True,
            preexec_fn=die_with_parent, env={**os.environ, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "XDG_CACHE_HOME": str(directory)})
        self.number = 0
        self.events = []    # what domains that were enabled have told
        try:
            port, path = wait_until(lambda: self._where(profile), lambda: (directory / "browser.log").read_text()[-2000:], patience=PATIENCE * 4)
            self.control = WebSocket(port, path)
        except BaseException:
            self.close()
            raise

    def _where(self, profile):
        assert self.process.poll() is None, "the browser has ended"
        try:
            found = re.fullmatch(r"(\d+)\n(/\S+)\n?", (profile / "DevToolsActivePort").read_text())
        except FileNotFoundError:
            return None
        return found and (int(found.group(1)), found.group(2))

    def command(self, method, session=None, **parameters):
        """One command of the protocol, and its answer. Events that come meanwhile are kept in `events`."""
        self.number += 1
        number = self.number
        self.control.send({"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})})
        end = time.monotonic() + PATIENCE * 4
        while True:
            message = self.control.receive(max(0.001, end - time.monotonic()))
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']}")
                return message["result"]
            if "method" in message:
                self.events.append(message)

    def open(self, address, beside=None, width=1440, height=900):
        """A tab that shows this page: with storage and workers of its own, or with those of the tab that it is `beside`."""
        return Tab(self, address, beside, width, height)

    def close(self):
        # It is a group of processes.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Tab:
    def __init__(self, browser, address, beside, width, height):
        self.browser = browser
        self.ends_context = beside is None
        self.is_measured = False
        self.context = browser.command("Target.createBrowserContext")["browserContextId"] if beside is None else beside.context
        self.target = browser.command("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.command("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser.command("Emulation.setDeviceMetricsOverride", self.session, width=width, height=height, deviceScaleFactor=1, mobile=False)
        for domain in ("Log", "Runtime"):
            browser.command(f"{domain}.enable", self.session)
        self.go(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.ends_context:
            self.browser.command("Target.disposeBrowserContext", browserContextId=self.context)
        else:
            self.browser.command("Target.closeTarget", targetId=self.target)

    def complaints(self):
        """What the browser had to complain about in this page: errors of scripts and of loading, what its policy forbids, warnings."""
        found = []
        for event in self.browser.events:
            parameters = event["params"]
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("warning", "error"):
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("warning", "error", "assert"):
                found.append(str(parameters["args"]))
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
        return found

    def press(self, key, **more):
        """A key of the keyboard, down and up."""
        text = key if len(key) == 1 else ""
        for kind in ("keyDown", "keyUp"):
            self.browser.command("Input.dispatchKeyEvent", self.session, type=kind, key=key, **({"text": text} if text and kind == "keyDown" else {}), **more)

    def go(self, address):
        answer = self.browser.command("Page.navigate", self.session, url=address)
        assert not answer.get("errorText"), f"{address}: {answer}"
        # The context of the page before may still answer.
        wait_until(lambda: self.run("document.readyState === 'complete' && (location.href !== 'about:blank' || undefined)"), f"{address} is loaded",
                   patience=PATIENCE * 4)

    def run(self, script):
        """The value of an expression; of a promise, what becomes of it."""
        answer = self.browser.command(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"].get("exception", {}).get("description") or answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def memory(self):
        """What is alive in the page after its garbage was collected: bytes of the heap, nodes, listeners; and seconds of CPU time so far."""
        if not self.is_measured:
            self.browser.command("Performance.enable", self.session, timeDomain="threadTicks")
            self.is_measured = True
        self._collect(self.session)
        found = {entry["name"]: entry["value"] for entry in self.browser.command("Performance.getMetrics", self.session)["metrics"]}
        return {"heap": int(found["JSHeapUsedSize"]), "nodes": int(found["Nodes"]), "listeners": int(found["JSEventListeners"]), "cpu": found["TaskDuration"]}

    def worker_heap(self):
        """Bytes that are alive in the heap of the shared worker of this tab; None where there is none."""
        for target in self.browser.command("Target.getTargets")["targetInfos"]:
            if target["type"] == "shared_worker" and target.get("browserContextId") == self.context:
                session = self.browser.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
                self._collect(session)
                used = self.browser.command("Runtime.getHeapUsage", session)["usedSize"]
                self.browser.command("Target.detachFromTarget", sessionId=session)
                return int(used)
        return None

    def _collect(self, session):
        # What was kept alive by nodes is garbage after the first time only.
        for _ in range(2):
            self.browser.command("HeapProfiler.collectGarbage", session)
