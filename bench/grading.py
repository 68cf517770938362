"""From "submit" to the next request ready to be graded, with a large store: the server's own time (`Server-Timing`) of
the submit and of the page that it leads to, beside that of a page with next to nothing on it.
"""

import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from statistics import median, quantiles

import msgspec

from bench.data import SPANS_A_TRACE, make_history
from features.models import Person
from features.services import create_feature, create_person, give_role
from reviews.models import Sample
from reviews.queries import rubric_of
from reviews.services import draw_window
from tests.support import Browser, Stack

__all__ = ["report"]

_DAYS = 14
_ITEMS = 60
_EMPTY = "/notices/"
_TIMING = re.compile(r"app;dur=([0-9.]+)")
Say = Callable[[str], object]


class Stage(msgspec.Struct, frozen=True):
    """Milliseconds in the server at one size of the store."""

    traces: int
    submits: list[float]
    pages: list[float]
    empty: list[float]


def report(stack: Stack, owner_dsn: str, say: Say) -> str:
    """The table in Markdown; `TRACES=1000000` is the larger store."""
    stages = [
        _stage(stack, owner_dsn, traces, say) for traces in (1_000, int(os.environ.get("TRACES", "100000")))
    ]
    lines = [
        "## Grading",
        "",
        f"Milliseconds in the server of {_ITEMS} requests one after the other; ready is both together.",
        "",
        "| requests in the store | submit | next page | ready: median | p95 | an empty page | ready / empty |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for stage in stages:
        ready = [submit + page for submit, page in zip(stage.submits, stage.pages, strict=True)]
        empty = median(stage.empty)
        lines.append(
            f"| {stage.traces:,} | {median(stage.submits):.0f} | {median(stage.pages):.0f} | {median(ready):.0f} "
            f"| {quantiles(ready, n=20)[-1]:.0f} | {empty:.0f} | {median(ready) / empty:.1f} |"
        )
    return "\n".join(lines)


def _stage(stack: Stack, owner_dsn: str, traces: int, say: Say) -> Stage:
    feature = create_feature(slug=f"bench-grading-{traces}", task="Hold requests to be graded.")
    person, _ = create_person(name=f"bench-grading-{traces}")
    give_role(feature=feature, person=person, role="reviewer")
    history = make_history(feature, traces * SPANS_A_TRACE, _DAYS, seed=traces, owner_dsn=owner_dsn, say=say)
    week = history.end - timedelta(days=7)
    sample = draw_window(feature, week, history.end, size=_ITEMS, seed="bench").sample
    say(f"drew {_ITEMS} of {sample.population:,} requests")
    browser = Browser(stack, person)
    submits, pages = _graded(browser, sample, person)
    empty = [_took(browser.get(_EMPTY).headers) for _ in range(20)]
    return Stage(history.traces, submits, pages, empty)


def _graded(browser: Browser, sample: Sample, person: Person) -> tuple[list[float], list[float]]:
    """The times of each submit and of the page after it; the first page is opened before."""
    grades = {f"grade.{one.key}": str(len(one.values)) for one in rubric_of(sample.rubric).criteria}
    answer = browser.post(f"/reviews/{sample.pk}/next", {})
    submits, pages = [], []
    place = answer.headers["Location"]
    browser.get(place)
    for _ in range(_ITEMS - 1):
        answer = browser.post(f"{place}submit", {**grades, "revision": "0"})
        if answer.status_code != 303:
            raise RuntimeError(f"a submit of {person.name} answered {answer.status_code}")
        place = answer.headers["Location"]
        page = browser.get(place)
        submits.append(_took(answer.headers))
        pages.append(_took(page.headers))
    return submits, pages


def _took(headers: Mapping[str, str]) -> float:
    found = _TIMING.search(headers["Server-Timing"])
    assert found is not None
    return float(found[1])
