"""Processes as the kernel knows them: dying with one's parent, and finding what an earlier start left behind.

What needs Linux's /proc or prctl is empty or does nothing elsewhere; there the lock files alone must do.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["die_with_parent", "end_all", "processes_in", "processes_marked"]

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send this signal when the parent ends, however it ends (prctl(2)).

    The kernel means the parent's thread: start children from the main thread. It forgets the wish at a change
    of user, so it is made after `subprocess` has changed it.
    """
    parent = os.getpid()

    def arrange() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it ended before we could ask
                os.kill(os.getpid(), signal.SIGKILL)

    return arrange


def processes_marked(entry: str) -> list[int]:
    """Processes, other than this one, that were started with this `NAME=value` in their environment."""
    needle = os.fsencode(entry)
    return [pid for pid in _running() if needle in _read(pid, "environ").split(b"\0")]


def processes_in(folder: Path, name: str) -> list[int]:
    """Processes of this name (the kernel's, 15 letters) whose working directory is the folder."""
    found = []
    for pid in _running():
        with suppress(OSError):
            if (
                os.readlink(_PROC / str(pid) / "cwd") == str(folder)
                and _read(pid, "comm").strip() == name.encode()
            ):
                found.append(pid)
    return found


def end_all(find: Callable[[], list[int]], signals: tuple[signal.Signals, ...], seconds: float) -> bool:
    """Send each signal in turn, SIGKILL last, to what `find` finds, waiting up to `seconds` after each; true
    when none is left.

    `find` is asked again before every signal, so that a process number that was given to somebody else is not
    hit.
    """
    for number in (*signals, signal.SIGKILL):
        for pid in find():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while find():
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return True
    return False


def _running() -> Iterator[int]:
    if sys.platform != "linux":
        return
    for entry in os.listdir(_PROC):
        if entry.isdigit() and int(entry) != os.getpid() and b") Z " not in _read(int(entry), "stat"):
            yield int(entry)


def _read(pid: int, name: str) -> bytes:
    """A file of /proc, empty when the process ended or is not ours to look at."""
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
