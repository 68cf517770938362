"""Pages and searches at growing sizes: the server's own time (`Server-Timing`) of what people open most, each asked
several times by a signed-in person over real HTTP.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.db import connection

from bench.data import ABSENT, COMMON, RARE, History, make_history
from features.models import Feature
from features.services import create_feature, create_person, give_role
from tests.support import Browser, Stack
from traces.rollups import roll_up

__all__ = ["Stage", "figures", "measure", "report"]

_REPEATS = 9
_DAYS = 14
_TIMING = re.compile(r"app;dur=([0-9.]+)")
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Stage:
    """One size: the milliseconds in the server of each page, by its name in words: (median, most)."""

    spans: int
    traces: int
    loaded_seconds: float
    rolled_up_seconds: float
    database_bytes: int
    times: dict[str, tuple[float, float]]


def sizes() -> list[int]:
    """The numbers of spans to measure at: 100,000 and 1,000,000; more with `N=10000000`."""
    most = int(os.environ.get("N", "1000000"))
    return [size for size in (100_000, 1_000_000) if size < most] + [most]


def measure(stack: Stack, owner_dsn: str, say: Say) -> list[Stage]:
    """Fill a feature for each size, one after the other in the same database, and ask its pages."""
    return [_stage(stack, owner_dsn, spans, say) for spans in sizes()]


def _stage(stack: Stack, owner_dsn: str, spans: int, say: Say) -> Stage:
    feature = create_feature(slug=f"bench-{spans}", task="Hold a history to be read.")
    person, _ = create_person(name=f"bench-{spans}")
    give_role(feature=feature, person=person, role="lead")
    started = time.monotonic()
    history = make_history(feature, spans, _DAYS, seed=spans, owner_dsn=owner_dsn, say=say)
    loaded = time.monotonic() - started
    started = time.monotonic()
    while roll_up(at_once=True):
        pass
    rolled_up = time.monotonic() - started
    browser = Browser(stack, person)
    times = {words: _asked(browser, path, query) for words, path, query in _pages(feature, history)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        size = int(cursor.fetchone()[0])
    say(f"measured at {spans:,} spans")
    return Stage(spans, history.traces, loaded, rolled_up, size, times)


def _pages(feature: Feature, history: History) -> list[tuple[str, str, dict[str, str]]]:
    traces = f"/features/{feature.slug}/traces/"
    searches = {
        "latest": "",
        "status:error": "status:error",
        "tool:refund": "tool:refund",
        "tool:refund status:error latency:>1s": "tool:refund status:error latency:>1s",
        "free text, no hit": ABSENT,
        "free text, 50 hits": RARE,
        "free text, 6 % hit": COMMON,
        "free text and tool": f"{COMMON} tool:refund",
    }
    return [
        ("dashboard, 7 days", f"/features/{feature.slug}/", {"window": "7d"}),
        ("dashboard, 14 days", f"/features/{feature.slug}/", {"window": "14d"}),
        ("board", "/", {}),
        *((f"search: {words}", traces, {"q": line, "window": "all"}) for words, line in searches.items()),
        ("request ID", traces, {"q": history.request_id}),
    ]


def _asked(browser: Browser, path: str, query: dict[str, str]) -> tuple[float, float]:
    """(median, most) of the server's milliseconds; the first time is left out: it fills caches."""
    times = []
    for n in range(_REPEATS + 1):
        answer = browser.get(path, query)
        if answer.status_code not in {200, 302}:
            raise RuntimeError(f"{path} {query} answered {answer.status_code}")
        found = _TIMING.search(answer.headers["Server-Timing"])
        assert found is not None
        if n:
            times.append(float(found[1]))
    return median(times), max(times)


def report(stages: list[Stage]) -> str:
    """The table in Markdown: a column for each size, and the ratio of the last to the first."""
    first, last = stages[0], stages[-1]
    head = " | ".join(f"{stage.spans:,} spans" for stage in stages)
    lines = [
        "## Pages and searches",
        "",
        f"Milliseconds in the server, median of {_REPEATS} (and the most), over {_DAYS} days of history.",
        "",
        f"| page | {head} | ratio |",
        f"| --- |{' ---: |' * (len(stages) + 1)}",
    ]
    for words, (base, _) in first.times.items():
        cells = " | ".join(f"{stage.times[words][0]:.0f} ({stage.times[words][1]:.0f})" for stage in stages)
        lines.append(f"| {words} | {cells} | {last.times[words][0] / max(base, 0.1):.2f} |")
    lines += ["", f"| store | {head} |", f"| --- |{' ---: |' * len(stages)}"]
    rows: list[tuple[str, Callable[[Stage], str]]] = [
        ("requests", lambda stage: f"{stage.traces:,}"),
        ("loaded in", lambda stage: f"{stage.loaded_seconds:,.0f} s"),
        ("rolled up in", lambda stage: f"{stage.rolled_up_seconds:,.1f} s"),
        ("database", lambda stage: f"{stage.database_bytes / 1e9:,.1f} GB"),
    ]
    for words, cell in rows:
        lines.append(f"| {words} | {' | '.join(cell(stage) for stage in stages)} |")
    return "\n".join(lines)


def figures(stages: list[Stage]) -> list[dict[str, Any]]:
    """The medians by size, a line for each page, for plotly."""
    x = [stage.spans for stage in stages]
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": x,
            "y": [stage.times[words][0] for stage in stages],
            "name": words,
        }
        for words in stages[0].times
    ]
    layout = {
        "title": {"text": "Server time of pages by size of the store"},
        "xaxis": {"type": "log", "title": {"text": "spans"}},
        "yaxis": {"title": {"text": "milliseconds"}, "rangemode": "tozero"},
    }
    return [{"data": lines, "layout": layout}]
