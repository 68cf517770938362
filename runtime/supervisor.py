"""A group of processes that lives and ends together.

One thread does everything: it starts the parts (the kernel ties a child's death signal to the thread that
started it), prints what they say, starts again what died, and ends them in the reverse of their order.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from types import FrameType

from runtime.console import Console, Lines
from runtime.errors import RuntimeFault
from runtime.part import Part, describe_exit, signal_group, spawn

__all__ = ["PartFailed", "Stopped", "Supervisor"]

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 4.0  # seconds before the next start, doubled after each death
_LOOK = 0.25  # seconds between looks at the children when nothing happens


class PartFailed(RuntimeFault):
    """A part cannot be kept alive, or a step failed."""


class Stopped(Exception):
    """A signal asked the group to end."""


@dataclass(eq=False)
class _Child:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    lines: Lines = field(default_factory=Lines)
    deaths: deque[float] = field(default_factory=deque)
    start_at: float | None = None


class Supervisor:
    """Starts parts and watches over them; `with Supervisor(console) as group:` ends them all on the way out.

    Inside the block SIGINT, SIGTERM and SIGHUP raise `Stopped` out of whichever method waits; a second one
    ends the parts with SIGKILL. A part that dies `deaths` times in `window` seconds raises `PartFailed`. Main
    thread only.
    """

    def __init__(self, console: Console, *, deaths: int = 5, window: float = 60.0) -> None:
        self._console = console
        self._most_deaths = deaths
        self._window = window
        self._children: list[_Child] = []
        self._asked: list[Signals] = []
        self._selector = selectors.DefaultSelector()

    # --- for the caller -----------------------------------------------------------------------------------

    def start(self, part: Part) -> None:
        """Start it and keep it alive from now on. Raises what its `before` raises."""
        child = _Child(part)
        self._children.append(child)
        self._spawn(child)

    def run(self, part: Part) -> int:
        """Run it to its end, once; returns its status, negative for a signal."""
        child = _Child(part)
        self._children.append(child)
        self._spawn(child)
        while not self._has_ended(child):
            self._raise_if_asked()
            self._pump(_LOOK)
            self._revive(besides=child)
        self._children.remove(child)
        return self._bury(child)

    def wait_until(self, holds: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
        """Watch until it holds, asking ten times a second. Raises `PartFailed` with `otherwise()` after so
        many seconds.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise PartFailed(otherwise())
            self._watch_once(0.1)

    def watch(self) -> None:
        """Watch until a signal (`Stopped`) or a part that cannot be kept alive (`PartFailed`)."""
        while True:
            self._watch_once(_LOOK)

    def stop(self) -> None:
        """End all parts, the last started first, each before the next one is told to."""
        self._asked.clear()
        for child in reversed(self._children):
            child.start_at = None
            self._end(child)
        self._children.clear()

    # --- signals ------------------------------------------------------------------------------------------

    def __enter__(self) -> Supervisor:
        self._signals = _listening(self._ask, (SIGINT, SIGTERM, SIGHUP))
        self._waking = self._signals.__enter__()
        self._selector.register(self._waking, selectors.EVENT_READ, None)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._selector.unregister(self._waking)
            self._signals.__exit__(None, None, None)
            self._selector.close()

    def _ask(self, number: Signals) -> None:
        self._asked.append(number)

    def _raise_if_asked(self) -> None:
        if self._asked:
            raise Stopped(self._asked[0].name)

    # --- children -----------------------------------------------------------------------------------------

    def _watch_once(self, seconds: float) -> None:
        self._raise_if_asked()
        self._pump(seconds)
        self._revive()

    def _spawn(self, child: _Child) -> None:
        child.start_at = None
        if child.part.before is not None:
            child.part.before()
        child.lines = Lines()
        child.process = process = spawn(child.part)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, child)

    def _revive(self, besides: _Child | None = None) -> None:
        """Find who died, and start whose wait is over."""
        for child in self._children:
            if child is besides:
                continue
            if child.process is not None and self._has_ended(child):
                self._note_death(child, self._bury(child))
            if child.start_at is not None and time.monotonic() >= child.start_at:
                self._spawn(child)

    def _note_death(self, child: _Child, status: int) -> None:
        now = time.monotonic()
        child.deaths.append(now)
        while child.deaths and child.deaths[0] < now - self._window:
            child.deaths.popleft()
        times = len(child.deaths)
        if times >= self._most_deaths:
            raise PartFailed(
                f"{child.part.name} {describe_exit(status)}, "
                f"the {times}th end in {self._window:.0f} s: "
                "giving up. Its last lines above say why."
            )
        wait = min(_FIRST_WAIT * 2.0 ** (times - 1), _LONGEST_WAIT)
        child.start_at = now + wait
        self._console.say(f"{child.part.name} {describe_exit(status)}; starting it again in {wait:.1f} s.")

    def _end(self, child: _Child) -> None:
        if child.process is None:
            return
        for number in (*child.part.stop_signals, SIGKILL):
            if not self._has_ended(child):
                signal_group(child.process, number)
            deadline = time.monotonic() + child.part.patience
            while not self._has_ended(child) and time.monotonic() < deadline:
                if self._asked and number != SIGKILL:  # asked a second time: no more patience
                    break
                self._pump(_LOOK)
            if self._has_ended(child):
                break
            if number != SIGKILL:
                self._console.say(f"{child.part.name} is still there after {number.name}.")
        self._bury(child)

    @staticmethod
    def _has_ended(child: _Child) -> bool:
        """Whether it ended, leaving it as a zombie: so its number, its group's too, stays its own until
        `_bury`.
        """
        process = child.process
        if process is None or process.returncode is not None:
            return True
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _bury(self, child: _Child) -> int:
        """Print its last words, end what it left in its group, and take its status."""
        process, child.process = child.process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError, PermissionError):
            signal_group(process, SIGKILL)
        status = process.wait()
        if process.stdout is not None and not process.stdout.closed:
            self._read(child, process)
            self._close(child, process)
        return status

    # --- output -------------------------------------------------------------------------------------------

    def _pump(self, seconds: float) -> None:
        """Print what is said within the time; a signal or a child's end cuts it short."""
        for key, _ in self._selector.select(seconds):
            child = key.data
            if child is None:
                with suppress(BlockingIOError):
                    while os.read(key.fd, 512):
                        pass
            elif child.process is not None and not self._read(child, child.process):
                self._close(child, child.process)

    def _read(self, child: _Child, process: subprocess.Popen[bytes]) -> bool:
        """Print what is there now, at most a mebibyte; false at the pipe's end."""
        assert process.stdout is not None
        for _ in range(16):
            try:
                piece = os.read(process.stdout.fileno(), 65536)
            except BlockingIOError:
                return True
            if not piece:
                return False
            self._print(child, child.lines.feed(piece))
        return True

    def _close(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._print(child, child.lines.end())
        self._selector.unregister(process.stdout)
        process.stdout.close()

    def _print(self, child: _Child, lines: Iterable[str]) -> None:
        for line in lines:
            self._console.line(child.part.name, line)


@contextmanager
def _listening(tell: Callable[[Signals], None], numbers: tuple[Signals, ...]) -> Iterator[int]:
    """Have signals told, and a descriptor that becomes readable when one comes, SIGCHLD included."""

    def handle(number: int, frame: FrameType | None) -> None:
        tell(Signals(number))

    def ignore(number: int, frame: FrameType | None) -> None:
        """Only wakes: a handler of Python's is needed for the descriptor to be written."""

    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
    before_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handle) for number in numbers}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, ignore)
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.close(reading)
        os.close(writing)


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    return reading, writing
