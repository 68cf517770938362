"""One trace of 1,000 and of 5,000 spans: the page to its last byte, and its JSON."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import httpx

from bench.bodies import make_trace
from features.models import Feature, Person
from tests.support import Browser, Stack
from traces.ingest import ingest_traces
from traces.queries import find_trace

__all__ = ["report"]

_REPEATS = 7


def report(stack: Stack, feature: Feature, person: Person, key: str) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "## One trace",
        "",
        f"Milliseconds to the last byte over HTTP, median of {_REPEATS}.",
        "",
        "| spans | page | size | JSON of the API |",
        "| ---: | ---: | ---: | ---: |",
    ]
    browser = Browser(stack, person)
    for spans in (6, 1000, 5000):
        trace_id, body = make_trace(spans)
        ingest_traces(feature, body, "application/x-protobuf")
        while find_trace([feature], trace_id.hex()) is None:
            time.sleep(0.1)
        path = f"/features/{feature.slug}/traces/{trace_id.hex()}/"
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{stack.url}/api/v1/traces/{trace_id.hex()}"
        page, size = _timed(partial(browser.get, path))
        api, _ = _timed(partial(httpx.get, url, headers=headers, timeout=60))
        lines.append(f"| {spans:,} | {page:.0f} ms | {size / 1000:.0f} kB | {api:.0f} ms |")
    return "\n".join(lines)


def _timed(ask: Callable[[], httpx.Response]) -> tuple[float, int]:
    times, size = [], 0
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        answer = ask()
        times.append((time.perf_counter() - started) * 1000)
        size = len(answer.content)
        if answer.status_code != 200:
            raise RuntimeError(f"answered {answer.status_code}")
    return median(times[1:]), size
