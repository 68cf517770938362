"""What the terminal shows: each line with the name of the part that said it, aligned, in colour if it can."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["Console", "Lines"]

OWN_NAME = "clearance"
_COLOURS = ("36", "32", "33", "35", "34", "96", "92", "93", "95", "94")
_LONGEST_LINE = 16_384
# Everything below the space but the tab, DEL, and C1: what could steer the terminal from within a log line.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class Console:
    """Prints to one stream. When nobody reads it any more it goes quiet; the group runs on."""

    def __init__(self, out: TextIO | None = None, width: int = len(OWN_NAME)) -> None:
        self._out = out or sys.stdout
        self._width = width
        self._coloured = self._out.isatty() and "NO_COLOR" not in os.environ
        self._colour_of: dict[str, str] = {}
        self._gone = False

    def say(self, text: str) -> None:
        """The supervisor's own words, one line each."""
        for line in text.splitlines():
            self.line(OWN_NAME, line)

    def line(self, name: str, text: str) -> None:
        """One line of a part; control characters are made visible."""
        visible = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text.rstrip("\r\n"))
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            colour = self._colour_of.setdefault(name, _COLOURS[len(self._colour_of) % len(_COLOURS)])
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {visible}" if visible else prefix)

    def plain(self, text: str) -> None:
        """A line as it is."""
        if self._gone:
            return
        try:
            print(text, file=self._out, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), file=self._out, flush=True)
        except OSError:  # a closed pipe, a terminal that went away
            self._gone = True
            with suppress(OSError, ValueError):  # or the interpreter would fail at its end, flushing it again
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())


class Lines:
    """Whole lines out of pieces of bytes; one that does not end is cut, so that memory stays bounded."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """The lines that are complete now."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        while len(self._rest) > _LONGEST_LINE:
            whole.append(self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]
        return [line.decode("utf-8", "replace") for line in whole]

    def end(self) -> list[str]:
        """What stood after the last line's end."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []
