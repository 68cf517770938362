"""The supervisor: keeps the parts of one group running, prints what they say, and ends them all."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from signal import SIGKILL, Signals
from typing import TextIO

from runtime.errors import RuntimeFault
from runtime.part import Part, describe_exit, signal_group, spawn

__all__ = ["Interrupted", "Supervisor"]

_DEATHS = 5  # in _WINDOW seconds: then it is no accident
_WINDOW = 60.0
_LONGEST_LINE = 64 * 1024
_COLOURS = (36, 32, 33, 35, 34, 31)
# Children may repeat stored text in a log line: nothing in it may steer the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Interrupted(Exception):
    """A person or the system asked to end."""


class GroupFault(RuntimeFault):
    """A part does not stay up."""


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS))
    start_at: float = 0.0  # when it died: not before then
    rest: bytes = b""  # of a line that is not whole yet


class Supervisor:
    """Runs parts from the main thread: `start` them one by one, then `watch`; `stop` ends all, the last
    started first. SIGINT, SIGTERM and SIGHUP raise `Interrupted` out of whatever waits.
    """

    def __init__(self, names: Sequence[str], out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._width = max(map(len, names), default=0)
        self._colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(names)}
        self._parts: list[_Running] = []
        self._selector = selectors.DefaultSelector()
        self._asked: Signals | None = None

    def listen(self) -> None:
        """From now on the signals that ask for an end raise `Interrupted` where the supervisor waits."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: object) -> None:
        self._asked = Signals(number)

    # --- saying
    # ------------------------------------------------------------------------------------------------

    def say(self, name: str, text: str) -> None:
        """Print a line with the part's name before it."""
        prefix = f"{name:<{self._width}} |"
        if self._out.isatty():
            prefix = f"\x1b[{self._colours.get(name, 0)}m{prefix}\x1b[0m"
        with suppress(BrokenPipeError, ValueError):  # nobody reads any more: the group goes on
            print(prefix, _CONTROL.sub("\ufffd", text), file=self._out, flush=True)

    # --- starting and watching
    # ---------------------------------------------------------------------------------

    def start(self, part: Part) -> None:
        """Start a part; it is kept running from now on."""
        running = _Running(part)
        self._parts.append(running)
        self._spawn(running)

    def _spawn(self, running: _Running) -> None:
        if running.part.before is not None:
            running.part.before()
        process = spawn(running.part)
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, running)
        running.process = process

    def run(self, part: Part) -> None:
        """Run a program to its end. Raises `GroupFault` when it fails."""
        running = _Running(part)
        self._spawn(running)
        process = running.process
        assert process is not None
        try:
            self.wait_for(lambda: process.poll() is not None, None, f"{part.name} to end")
        except BaseException:
            self._end([running])
            raise
        self._drain(running)
        if process.returncode:
            raise GroupFault(f"{part.name} {describe_exit(process.returncode)}; what it said is above.")

    def wait_for(self, done: Callable[[], bool], seconds: float | None, what: str) -> None:
        """Look after the parts until `done`. Raises `GroupFault` after `seconds`, `Interrupted` when asked to
        end.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not done():
            if deadline is not None and time.monotonic() > deadline:
                raise GroupFault(f"Waited {seconds:.0f} s for {what}.")
            self._look(0.05)

    def watch(self) -> None:
        """Look after the parts for ever. Raises `Interrupted` or `GroupFault`."""
        while True:
            self._look(0.5)

    def _look(self, seconds: float) -> None:
        if self._asked is not None:
            raise Interrupted(self._asked.name)
        for key, _ in self._selector.select(seconds):
            self._read(key.data)
        for running in self._parts:
            self._tend(running)

    def _tend(self, running: _Running) -> None:
        """Note a death, and start again when its time has come."""
        now = time.monotonic()
        name = running.part.name
        if running.process is not None and running.process.poll() is not None:
            status = running.process.returncode
            self._drain(running)
            running.process = None
            running.deaths.append(now)
            if len(running.deaths) == _DEATHS and now - running.deaths[0] < _WINDOW:
                raise GroupFault(
                    f"{name} {describe_exit(status)}, the {_DEATHS}th time within {_WINDOW:.0f} s; giving up."
                )
            recent = sum(now - death < _WINDOW for death in running.deaths)
            running.start_at = now + (0.0 if recent == 1 else min(0.5 * 2 ** (recent - 2), 8.0))
            self.say(name, f"{describe_exit(status)}; starting again")
        if running.process is None and now >= running.start_at:
            self._spawn(running)

    def _read(self, running: _Running) -> bool:
        """Print what a part said; whether there may be more."""
        process = running.process
        if process is None or process.stdout is None:
            return False
        try:
            piece = process.stdout.read(65536)
        except (BlockingIOError, ValueError):
            return False
        if piece is None:
            return False
        *lines, running.rest = (running.rest + piece).split(b"\n")
        if len(running.rest) > _LONGEST_LINE or not piece:
            lines, running.rest = [*lines, running.rest], b""
        for line in lines:
            if text := line.decode(errors="replace").rstrip():
                self.say(running.part.name, text)
        return bool(piece)

    def _drain(self, running: _Running) -> None:
        while self._read(running):
            pass
        if running.process is not None and running.process.stdout is not None:
            self._selector.unregister(running.process.stdout)
            running.process.stdout.close()

    # --- ending
    # ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End all parts, the last started first, each with its signals and SIGKILL at last."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for running in reversed(self._parts):
            self._end([running])
        self._parts.clear()

    def _end(self, group: Sequence[_Running]) -> None:
        for running in group:
            process = running.process
            if process is None:
                continue
            for number in (*running.part.stop_signals, SIGKILL):
                signal_group(process, number)
                deadline = time.monotonic() + running.part.patience
                while process.poll() is None and time.monotonic() < deadline:
                    for key, _ in self._selector.select(0.05):
                        self._read(key.data)
                if process.poll() is not None:
                    break
            _end_session(process.pid)
            self._drain(running)
            running.process = None


def _end_session(leader: int) -> None:
    """What a part started in its session ends with it: a worker's pool outlives a worker that was killed."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, SIGKILL)
