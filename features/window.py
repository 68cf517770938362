"""The time window of a page: a part of its URL, as `?window=7d` or `?from=...&to=...`."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from django.http import QueryDict

from features.problems import BadField


class WindowChoice(msgspec.Struct, frozen=True):
    """One of the windows that a page offers; `length` is None for all that is kept."""

    name: str
    words: str
    length: timedelta | None


LENGTHS: Final = (
    WindowChoice("24h", "the last 24 hours", timedelta(hours=24)),
    WindowChoice("7d", "the last 7 days", timedelta(days=7)),
    WindowChoice("14d", "the last 14 days", timedelta(days=14)),
    WindowChoice("30d", "the last 30 days", timedelta(days=30)),
)
# Lists may also look at everything; rates over all time would mix what has nothing in common.
WITH_ALL: Final = (*LENGTHS, WindowChoice("all", "all that is kept", None))
DEFAULT: Final = "7d"
# Spans may be a day ahead of our clock; a window that ends "now" must not lose them.
_AHEAD = timedelta(days=1)


class Window(msgspec.Struct, frozen=True):
    """Traces that started in [start, end), both aware UTC; `name` is empty for times of one's own."""

    name: str
    words: str
    start: datetime
    end: datetime
    choices: tuple[WindowChoice, ...]

    @property
    def query(self) -> dict[str, str]:
        """The parameters that reproduce this window in a URL."""
        if self.name:
            return {"window": self.name}
        return {"from": _written(self.start), "to": _written(self.end)}


def parse_window(
    parameters: QueryDict, now: datetime, choices: tuple[WindowChoice, ...] = LENGTHS, default: str = DEFAULT
) -> Window:
    """The window that a URL asks for. Raises BadField, which names the parameter and says what it takes.

    `from` and `to` are RFC 3339 times or dates (UTC, midnight) and win over `window`; one of them alone is
    completed: `from` with now, `to` with the default length before it.
    """
    if parameters.get("from") or parameters.get("to"):
        end = _time(parameters, "to") or now + _AHEAD
        start = _time(parameters, "from") or end - timedelta(days=7)
        if end <= start:
            raise BadField("to", "The window ends before it starts: 'to' must be after 'from'.")
        words = f"{start:%-d %b %H:%M} to {end:%-d %b %H:%M} UTC"
        return Window("", words, start, end, choices)
    name = parameters.get("window") or default
    for choice in choices:
        if choice.name == name:
            start = datetime(1970, 1, 1, tzinfo=UTC) if choice.length is None else now - choice.length
            return Window(name, choice.words, start, now + _AHEAD, choices)
    known = ", ".join(choice.name for choice in choices)
    raise BadField("window", f"The time window '{name[:40]}' is not known. Known: {known}; or from= and to=.")


def _time(parameters: QueryDict, name: str) -> datetime | None:
    text = (parameters.get(name) or "").strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        # A time without a zone is UTC here: a page's own links always carry one.
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadField(name, f"'{text[:40]}' is not a time such as 2026-11-24T09:00:00Z.") from None
    if not 1970 <= at.year <= 9000:
        raise BadField(name, f"'{text[:40]}' is too far away.")
    return at


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
