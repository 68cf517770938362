"""Settling under a steady load: spans sent at a fixed rate over HTTP, and how long the oldest mark has waited."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from bench.bodies import SPANS_A_BODY, make_bodies

__all__ = ["Lag", "figure", "measure", "report"]

_SECONDS = 20
_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Lag:
    """What was offered, and the seconds that the oldest unsettled trace had waited, sampled four times a second."""

    offered: float
    sent: float
    seconds: list[float]
    drained_seconds: float


def measure(url: str, key: str, spans_a_second: float) -> Lag:
    """Send at this rate for 20 s and watch; then wait until all is settled."""
    every = SPANS_A_BODY / spans_a_second
    bodies = make_bodies(max(int(_SECONDS / every), 1), seed=41)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        sending = pool.submit(_send, url, key, bodies, every)
        seconds = []
        while not sending.done():
            seconds.append(_oldest())
            time.sleep(_LOOK_SECONDS)
        took = time.monotonic() - started
        sending.result()
    ended = time.monotonic()
    while _oldest():
        time.sleep(0.05)
    return Lag(spans_a_second, len(bodies) * SPANS_A_BODY / took, seconds, time.monotonic() - ended)


def _send(url: str, key: str, bodies: list[bytes], every: float) -> None:
    link = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
    due = time.monotonic()
    for body in bodies:
        time.sleep(max(due - time.monotonic(), 0))
        due += every
        link.request("POST", "/v1/traces", body, headers)
        answer = link.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}")
    link.close()


def _oldest() -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 FROM dirty_trace"
        )
        return float(cursor.fetchone()[0])


def report(lag: Lag) -> str:
    """The figures as a table in Markdown."""
    ranked = sorted(lag.seconds)
    return "\n".join(
        [
            "## Lag of settling",
            "",
            f"{_SECONDS} s at {lag.offered:,.0f} spans/s offered, {lag.sent:,.0f} taken; the age of the oldest mark.",
            "",
            "| median | 95th percentile | most | all settled after the last body |",
            "| ---: | ---: | ---: | ---: |",
            f"| {median(ranked):.2f} s | {ranked[int(len(ranked) * 0.95)]:.2f} s | {ranked[-1]:.2f} s "
            f"| {lag.drained_seconds:.2f} s |",
        ]
    )


def figure(lag: Lag) -> dict[str, Any]:
    """The lag over time, for plotly."""
    x = [n * _LOOK_SECONDS for n in range(len(lag.seconds))]
    return {
        "data": [{"type": "scatter", "mode": "lines", "x": x, "y": lag.seconds, "name": "lag"}],
        "layout": {
            "title": {"text": f"Lag at {lag.offered:,.0f} spans/s"},
            "xaxis": {"title": {"text": "seconds"}},
            "yaxis": {"title": {"text": "age of the oldest mark, seconds"}, "rangemode": "tozero"},
        },
    }
