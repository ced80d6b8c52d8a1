"""Holds one shard's thread of a running daemon by ptrace, as a debugger would, until standard input ends or the process does.

    hold.py PID        prints "held THREAD at SECONDS" (CLOCK_MONOTONIC) when the thread stands still

A shard lingers for two milliseconds in epoll_wait after each round: that is how its thread is told from the others, and where it is
held. So the daemon must have something to do meanwhile."""

import ctypes
import os
import select
import sys
import time
from pathlib import Path

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
ALL_CHILDREN = 0x40000000  # __WALL
EPOLL_WAITS = {"x86_64": ("232", "281"), "aarch64": ("22",)}[os.uname().machine]
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of thread {thread}")


def lingers(task):
    """Whether the thread is in epoll_wait with a time-out of 2 ms, as shards are and nobody else."""
    try:
        words = (task / "syscall").read_text().split()
    except OSError:
        return False
    return len(words) > 4 and words[0] in EPOLL_WAITS and words[4] == "0x2"


def hold(pid):
    while True:
        for task in Path(f"/proc/{pid}/task").iterdir():
            if not lingers(task):
                continue
            thread = int(task.name)
            try:
                ptrace(SEIZE, thread)
            except OSError:
                continue  # It has just ended.
            ptrace(INTERRUPT, thread)
            os.waitpid(thread, ALL_CHILDREN)
            if lingers(task):
                return thread
            ptrace(DETACH, thread)


def main():
    pid = int(sys.argv[1])
    thread = hold(pid)
    print(f"held {thread} at {time.monotonic()}", flush=True)
    while True:
        # A thread that is killed while it is traced stays until its tracer has fetched it.
        try:
            ended, status = os.waitpid(thread, ALL_CHILDREN | os.WNOHANG)
        except ChildProcessError:
            return
        if ended and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
            return
        if select.select([sys.stdin], [], [], 0.05)[0]:
            return  # Ends the tracing as well: the thread goes on.


main()
