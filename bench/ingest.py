"""Spans a second, acknowledged and durable, over HTTP with redaction on, against the COPY ceiling of the same
run.

The ceiling is one process that decodes the same bodies and copies them into the same table with nothing else:
no normalising, no redaction, no deduplication, no dirty mark.
"""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from django.db import connection, transaction

from bench.bodies import SPANS_A_BODY, make_bodies
from features.models import Feature
from features.services import create_feature, create_key
from traces.decode import decode_traces
from traces.models import DirtyTrace
from traces.services import settle_dirty
from traces.store import SPAN_COLUMNS, day_of, time_of

_ROUNDS = 3
_BODIES = 40  # a round
_CONNECTIONS = 4
_PROTOBUF = "application/x-protobuf"
_TYPES = "bytea bytea uuid date timestamptz int8 text text text bool text int8 int8 text bytea text".split()


def report(url: str) -> str:
    """The figures as a table in Markdown."""
    feature = create_feature(slug="bench", task="Measure the ingest.")
    _, key = create_key(feature=feature, scopes=["ingest"])
    ceiling_of = create_feature(slug="bench-ceiling", task="Hold what the bare COPY wrote.")
    _over_http(url, key, make_bodies(8))  # warm
    _ceiling(ceiling_of.pk, make_bodies(2))
    ceilings, plain, personal = [], [], []
    size = 0.0
    # In turns, so that whatever else the machine does slows all of them.
    for n in range(_ROUNDS):
        bodies = make_bodies(_BODIES, seed=n)
        size = sum(map(len, bodies)) / (_BODIES * SPANS_A_BODY)
        ceilings.append(_ceiling(ceiling_of.pk, bodies))
        plain.append(_over_http(url, key, make_bodies(_BODIES, seed=100 + n)))
        personal.append(_over_http(url, key, make_bodies(_BODIES, seed=200 + n, personal=True)))
    on_disk = _bytes_on_disk()
    settle_rate = settled_rate(feature)
    ceiling = median(ceilings)

    def row(what: str, rate: float) -> str:
        return f"| {what} | {rate:,.0f} | {rate / ceiling:.0%} |"

    return "\n".join(
        [
            "## Ingest",
            "",
            f"{_ROUNDS} rounds of {_BODIES} bodies, {SPANS_A_BODY} spans a body, {size:.0f} bytes a span sent, "
            f"{on_disk:.0f} stored with their index, {_CONNECTIONS} connections; median of the rounds. The client and "
            "the worker, which settles meanwhile, share the machine's cores.",
            "",
            "| what | spans/s | of the ceiling |",
            "| --- | ---: | ---: |",
            row("COPY ceiling (decode and COPY, one process)", ceiling),
            row("acknowledged over HTTP, redaction on", median(plain)),
            row("the same, personal data in one span of six", median(personal)),
            row("settled anew, the worker and one more process", settle_rate),
        ]
    )


def _bytes_on_disk() -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid))::float8 / (SELECT count(*) FROM span) "
            "FROM pg_inherits WHERE inhparent = 'span'::regclass"
        )
        return float(cursor.fetchone()[0])


def _ceiling(feature_id: UUID, bodies: list[bytes]) -> float:
    encode = msgspec.json.Encoder().encode
    hashed = b"\0" * 16
    started = time.perf_counter()
    for body in bodies:
        decoded = decode_traces(body, _PROTOBUF, earliest=0, latest=2**63)
        rows = [
            (
                span.trace_id,
                span.span_id,
                feature_id,
                day_of(span.started_at),
                time_of(span.started_at),
                span.ended_at - span.started_at,
                "other",
                span.name,
                "ok",
                False,
                None,
                None,
                None,
                None,
                hashed,
                encode(span.attributes).decode(),
            )
            for span in decoded.items
        ]
        with (
            transaction.atomic(),
            connection.cursor() as cursor,
            cursor.copy(f"COPY span ({SPAN_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(_TYPES)
            for row in rows:
                copy.write_row(row)
    return len(bodies) * SPANS_A_BODY / (time.perf_counter() - started)


def _over_http(url: str, key: str, bodies: list[bytes]) -> float:
    address = urlsplit(url).netloc
    headers = {"Content-Type": _PROTOBUF, "Authorization": f"Bearer {key}"}

    def send(share: list[bytes]) -> None:
        link = http.client.HTTPConnection(address, timeout=60)
        for body in share:
            link.request("POST", "/v1/traces", body, headers)
            answer = link.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the server answered {answer.status}")
        link.close()

    shares = [bodies[n::_CONNECTIONS] for n in range(_CONNECTIONS)]
    started = time.perf_counter()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(send, shares))
    return len(bodies) * SPANS_A_BODY / (time.perf_counter() - started)


def settled_rate(feature: Feature) -> float:
    """How fast this process and the worker settle all traces of the feature anew."""
    _settle_all(feature)  # what was only just stored has no row yet
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(span_count) FROM trace WHERE feature_id = %s", [feature.pk])
        spans = int(cursor.fetchone()[0])
        cursor.execute(
            "INSERT INTO dirty_trace (trace_id, feature_id) SELECT trace_id, feature_id FROM trace "
            "WHERE feature_id = %s ON CONFLICT DO NOTHING",
            [feature.pk],
        )
    started = time.perf_counter()
    _settle_all(feature)
    return spans / (time.perf_counter() - started)


def _settle_all(feature: Feature) -> None:
    while settle_dirty():
        pass
    while DirtyTrace.objects.filter(feature_id=feature.pk).exists():  # what the worker has in hand
        time.sleep(0.01)
