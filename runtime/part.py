"""One process of the group: how it is started and ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from runtime.processes import die_with_parent

__all__ = ["Account", "Part", "describe_exit", "spawn"]


@dataclass(frozen=True)
class Account:
    """The operating system's user and group that a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Part:
    """A program that runs as long as the group does.

    `stop_signals` are sent one after the other, `patience` seconds apart, before SIGKILL; the first is also
    what the kernel sends when the supervisor dies. `before` runs before each start, the first and every later
    one. `nice` is how much it steps back for the others when the processor is short (nice(2)).
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stop_signals: tuple[Signals, ...] = (SIGTERM,)
    patience: float = 10.0
    cwd: Path | None = None
    account: Account | None = None
    pass_fds: tuple[int, ...] = ()
    nice: int = 0
    before: Callable[[], None] | None = field(default=None, compare=False)


def spawn(part: Part) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, with one pipe for all it says. Call from the main thread
    (`die_with_parent`).
    """
    account = part.account
    die_with_us = die_with_parent(part.stop_signals[0])

    def arrange() -> None:
        die_with_us()
        if part.nice:
            os.nice(part.nice)

    return subprocess.Popen(
        part.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env=dict(part.env),
        cwd=part.cwd,
        pass_fds=part.pass_fds,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        umask=0o077,
        preexec_fn=arrange,
    )


def signal_group(process: subprocess.Popen[bytes], number: Signals) -> None:
    """Signal the process, or with SIGKILL all of its session's first group, while its number still is its
    own.
    """
    if process.returncode is None:
        (os.killpg if number == SIGKILL else os.kill)(process.pid, number)


def describe_exit(status: int) -> str:
    """What a return code of `subprocess` says, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
