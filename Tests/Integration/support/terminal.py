"""A program in a terminal of its own: a pseudo-terminal, and a screen that understands what programs write to it, strictly."""

import codecs
import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import termios
import threading
import unicodedata

from .daemon import PATIENCE, die_with_parent, wait_until

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """The sequences of ECMA-48 and xterm that a full-screen program needs; others are kept in `faults`."""

    def __init__(self, columns, rows):
        self.modes = {"1049": False, "25": True, "7": True, "2026": False}
        self.faults = []
        self.main = ""
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.column = self.row = 0

    def feed(self, text):
        """Gives back what is not whole yet."""
        while text:
            if text[0] == "\x18":
                text = text[1:]
            elif text[0] != "\x1b":
                self.show(text[0])
                text = text[1:]
            elif match := SEQUENCE.match(text):
                self.obey(*match.groups())
                text = text[match.end():]
            elif len(text) < 24:
                return text
            else:
                self.faults.append(text[:24])
                text = text[1:]
        return ""

    def obey(self, parameters, final):
        if final in "hl" and parameters[1:] in self.modes:
            self.modes[parameters[1:]] = final == "h"
        elif final == "J" and parameters == "2":
            self.resize(self.columns, self.rows)
        elif final == "H":
            row, column = map(int, parameters.split(";"))
            if not (1 <= row <= self.rows and 1 <= column <= self.columns):
                # A program may draw once more for the size of before.
                row, column = min(row, self.rows), min(column, self.columns)
            self.row, self.column = row - 1, column - 1
        elif final != "m" or not re.fullmatch(r"[0-9;]*", parameters):
            self.faults.append(f"{parameters}{final}")

    def show(self, character):
        if not self.modes["1049"]:
            self.main += character
        elif unicodedata.combining(character):
            pass
        elif not character.isprintable():
            self.faults.append(character)
        else:
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            for place in range(width):
                if self.column + place < self.columns:
                    self.cells[self.row][self.column + place] = "" if place else character
            self.column = min(self.column + width, self.columns - 1)

    @property
    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]


class Terminal:
    """One run of a program. A context manager; the program is ended by its process id and nothing else."""

    def __init__(self, command, columns=80, rows=24, environment=None):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(columns, rows)
        self.size(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.bytes = 0
        self._lock = threading.Lock()
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith(("GOLEAPAI_WS_", "LC_")) and key not in ("COLORTERM", "NO_COLOR")}
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE,
            env={**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC", **(environment or {})}, preexec_fn=self._become_child)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @staticmethod
    def _become_child():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        die_with_parent()

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        rest = ""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self._lock:
                self.bytes += len(data)
                rest = self.screen.feed(rest + decoder.decode(data))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            print("--- screen ---\n" + "\n".join(self.lines))
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.slave)
        # It sees that there is no slave any more. Before that the number of the master must not be another terminal's.
        self._reader.join()
        os.close(self.master)

    @property
    def lines(self):
        with self._lock:
            return self.screen.lines

    @property
    def faults(self):
        with self._lock:
            return list(self.screen.faults)

    def size(self, columns, rows):
        """Also tells the program, as terminals do."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        with self._lock:
            self.screen.resize(columns, rows)
        self.size(columns, rows)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def shows(self, text):
        return any(text in line for line in self.lines)

    def wait_for(self, text):
        wait_until(lambda: self.shows(text), lambda: f"{text!r} on the screen:\n" + "\n".join(self.lines))

    def wait_until_gone(self, text):
        wait_until(lambda: not self.shows(text), lambda: f"{text!r} still on the screen:\n" + "\n".join(self.lines))

    @property
    def is_taken(self):
        return termios.tcgetattr(self.slave) != self.before and self.screen.modes["1049"]

    @property
    def is_restored(self):
        """The terminal as it was: its settings, the screen, the cursor, wrapping."""
        return termios.tcgetattr(self.slave) == self.before and self.screen.modes == {"1049": False, "25": True, "7": True, "2026": False}

    @property
    def state(self):
        """The process's state as proc(5) has it: `S`, `T`, …"""
        with open(f"/proc/{self.process.pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0]

    def wait_exit(self):
        """The exit code, or the negative number of the signal; the terminal must be as it was."""
        code = self.process.wait(PATIENCE)
        wait_until(lambda: self.is_restored, "the terminal is as it was")
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def stop_and_continue(self):
        """As a shell does it for Ctrl-Z and `fg`."""
        self.press("\x1a")
        wait_until(lambda: self.state == "T", "the program is stopped")
        wait_until(lambda: self.is_restored, "the stopped program has given the terminal back")
        self.signal(signal.SIGCONT)
        wait_until(lambda: self.is_taken, "the program has the terminal again")
