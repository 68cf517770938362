"""The state of a list of traces, read from and written to its URL."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec
from django.http import QueryDict
from django.urls import reverse

from features.models import Feature
from features.problems import BadField
from features.window import WITH_ALL, Window, parse_window
from traces.present.words import FIELD_WORDS
from traces.queries import TraceFilter

OUTCOMES: Final = ("success", "escalated", "failed", "abandoned", "unknown")
STATUSES: Final = ("ok", "error")
ORDERS: Final = {"newest": "newest first", "slowest": "slowest first"}
TEXTS: Final = ("variant", "model", "tool", "user", "session")
FLAGS: Final = {
    "violation": "with a violation",
    "tool_error": "with a tool error",
    "incomplete": "incomplete",
}
_MAX_TEXT = 300


class Term(msgspec.Struct, frozen=True):
    """A filter in force, as the page names it, and the query string without it."""

    name: str
    words: str
    without: str


class ListState(msgspec.Struct, frozen=True):
    """What a list shows: a filter, its window and its page, as they stand in the URL."""

    filter: TraceFilter
    window: Window
    cursor: str | None
    order: Literal["newest", "slowest"]
    given: dict[str, str]  # the filters of the URL that are in force, as they are written there

    @property
    def terms(self) -> list[Term]:
        """The filters in force; the time window is not one of them."""
        kept = {
            **self.window.query,
            **self.given,
            **({"order": self.order} if self.order != "newest" else {}),
        }
        return [
            Term(name, _words(name, value), "?" + urlencode({k: v for k, v in kept.items() if k != name}))
            for name, value in self.given.items()
        ]


def _words(name: str, value: str) -> str:
    if name in FLAGS:
        return FLAGS[name]
    return f"missing: {FIELD_WORDS[value]}" if name == "missing" else f"{name}: {value}"


def parse_list_state(parameters: QueryDict, now: datetime) -> ListState:
    """The state that a URL asks for. Raises BadField, naming the parameter and what it takes."""
    window = parse_window(parameters, now, WITH_ALL)
    given: dict[str, str] = {}
    _pick(given, parameters, "outcome", OUTCOMES)
    _pick(given, parameters, "status", STATUSES)
    _pick(given, parameters, "missing", tuple(FIELD_WORDS))
    for name in TEXTS:
        # What the database cannot hold, no trace has: a NUL finds nothing instead of failing.
        text = (parameters.get(name) or "").replace("\x00", "\ufffd").strip()
        if len(text) > _MAX_TEXT:
            raise BadField(name, f"'{name}' is longer than {_MAX_TEXT} characters; no trace has one so long.")
        if text:
            given[name] = text
    for name in FLAGS:
        value = parameters.get(name) or ""
        if value not in {"", "0", "1"}:
            raise BadField(name, f"'{name}' is 1 or left out, not '{value[:40]}'.")
        if value == "1":
            given[name] = "1"
    order = parameters.get("order") or "newest"
    if order not in ORDERS:
        raise BadField("order", f"The order is newest or slowest, not '{order[:40]}'.")
    texts: dict[str, str] = {name: value for name, value in given.items() if name not in FLAGS}
    wanted = TraceFilter(
        outcome=texts.get("outcome"),
        status=texts.get("status"),
        variant=texts.get("variant"),
        model=texts.get("model"),
        tool=texts.get("tool"),
        user=texts.get("user"),
        session=texts.get("session"),
        missing=texts.get("missing"),
        violation="violation" in given,
        tool_error="tool_error" in given,
        incomplete="incomplete" in given,
        start=None if window.name == "all" else window.start,
        end=None if window.name == "all" else window.end,
        order="slowest" if order == "slowest" else "newest",
    )
    return ListState(wanted, window, parameters.get("cursor") or None, wanted.order, given)


def _pick(given: dict[str, str], parameters: QueryDict, name: str, known: tuple[str, ...]) -> None:
    value = parameters.get(name) or ""
    if value and value not in known:
        raise BadField(name, f"'{name}' knows {', '.join(known)}; not '{value[:40]}'.")
    if value:
        given[name] = value


def traces_url(feature: Feature, window: Mapping[str, str], **filters: str) -> str:
    """The address of the requests behind a figure: the feature's list over a window (`Window.query`)."""
    return f"{reverse('feature_traces', args=[feature.slug])}?{urlencode({**window, **filters})}"
