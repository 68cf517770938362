"""History for benchmarks: a few thousand seeded traces through the real pipeline, multiplied in SQL with fresh IDs
and times, so that every row is what ingest and settle write. Six spans a trace, about 1.3 kB a span.

Words with known frequencies are planted in the search documents: `ABSENT` in none, `RARE` in 50, `COMMON` in 6 %
(100,000 of the 1.67 million traces of ten million spans).
"""

import base64
import random
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from django.db import connection

from bench.templates import SPANS_A_TRACE, template_bodies
from features.models import Feature
from traces.ingest import ingest_traces
from traces.services import settle_dirty
from traces.terms import term

__all__ = ["ABSENT", "COMMON", "RARE", "SPANS_A_TRACE", "History", "make_history"]

ABSENT, RARE, COMMON = "xylograph", "quokkas", "zanzibar"
RARE_HITS = 50
COMMON_SHARE = 0.06
_BATCH = 20_000  # traces
_TEMPLATES = 1_000
_NS = 10**9
_REQUEST, _SESSION, _USER = "REQ-SENTINEL", "SES-SENTINEL", "USR-SENTINEL"

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class History:
    """What was made: the traces' window, their number, and one request ID among them."""

    start: datetime
    end: datetime
    traces: int
    request_id: str


def make_history(
    feature: Feature, spans: int, days: int, seed: int, owner_dsn: str, say: Say = print
) -> History:
    """Fill span, trace and search_document of `feature` with `spans` spans over the last `days` days, evenly, and
    mark every minute for its rollup. `owner_dsn` is clearance_owner's: the index of words is built once at the end.
    """
    chance = random.Random(seed)
    traces = spans // SPANS_A_TRACE
    end_ns = (time.time_ns() // (60 * _NS)) * 60 * _NS
    begin_ns = end_ns - days * 86_400 * _NS
    templates = Feature.objects.create(
        slug=f"{feature.slug}-templates", task="Hold the templates of a history."
    )
    for body in template_bodies(min(_TEMPLATES, traces), chance, end_ns, _REQUEST, _SESSION, _USER):
        ingest_traces(templates, body, "application/x-protobuf")
    while settle_dirty():
        pass
    _wait_settled(templates)
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        owner.execute("SET maintenance_work_mem = '1GB'")
        bulk = traces > 10_000
        index = _index_of_words(owner)
        if bulk:
            owner.execute("DROP INDEX search_document_terms")
        common: dict[str, object] = {
            "seed": f"{seed} {feature.slug} ",
            "begin": begin_ns,
            "step": days * 86_400 * _NS // traces,
            "feature": feature.pk,
            "slug": feature.slug,
            "rare_every": max(traces // RARE_HITS, 1),
            "rare": RARE,
            "common_below": int(COMMON_SHARE * 65_536),
            "common": COMMON,
        }
        started = time.monotonic()
        # Spans beside the rest: two connections for two cores.
        with ThreadPoolExecutor(2) as pool:
            for made in [
                pool.submit(_multiply, owner_dsn, templates, traces, common, spans_alone, say)
                for spans_alone in (True, False)
            ]:
                made.result()
        if bulk:
            owner.execute(index)
            say(f"the index of words is built after {time.monotonic() - started:,.0f} s")
        for table in ("span", "trace", "search_document"):
            owner.execute(f"ANALYZE {table}")
    request = f"req-{feature.slug}-{traces // 2}"
    at = datetime.fromtimestamp(begin_ns / _NS, UTC)
    return History(at, at + timedelta(days=days), traces, request)


def _multiply(
    owner_dsn: str,
    templates: Feature,
    traces: int,
    common: dict[str, object],
    spans_alone: bool,
    say: Say,
) -> None:
    started = time.monotonic()
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        owner.execute("SET synchronous_commit = off")
        owner.execute("SET work_mem = '128MB'")
        count = _take_templates(owner, templates)
        statements = [_SPANS] if spans_alone else _statements(owner)
        for first in range(0, traces, _BATCH):
            last = min(first + _BATCH, traces) - 1
            for statement in statements:
                owner.execute(statement, {**common, "count": count, "first": first, "last": last})
            if spans_alone and (first // _BATCH) % 10 == 9:
                done = (last + 1) * SPANS_A_TRACE
                say(f"{done:,} spans, {done / (time.monotonic() - started):,.0f}/s")


def _wait_settled(templates: Feature) -> None:
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT EXISTS (SELECT FROM dirty_trace WHERE feature_id = %s)", [templates.pk])
            if not cursor.fetchone()[0]:
                return
            time.sleep(0.05)


def _index_of_words(owner: psycopg.Connection) -> str:
    row = owner.execute("SELECT pg_get_indexdef('search_document_terms'::regclass)").fetchone()
    assert row is not None
    return str(row[0]).replace(" ON ONLY ", " ON ")


def _pattern(text: str, *replaced: str) -> str:
    """A text as a pattern for format(): the nth of `replaced` becomes its nth argument."""
    text = text.replace("%", "%%")
    for n, old in enumerate(replaced, 1):
        if old:
            text = text.replace(old, f"%{n}$s")
    return text


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _take_templates(owner: psycopg.Connection, templates: Feature) -> int:
    """Temporary tables of the template traces and spans, with what differs from copy to copy as arguments of
    format(); returns how many. A copy's span IDs are seven bytes of its hash and the span's number.
    """
    traces = owner.execute(
        "SELECT trace_id, summary::text FROM trace WHERE feature_id = %s ORDER BY trace_id", [templates.pk]
    ).fetchall()
    spans: defaultdict[bytes, list[tuple[bytes, bytes | None, int, int, str]]] = defaultdict(list)
    for trace_id, *rest in owner.execute(
        "SELECT trace_id, span_id, decode(body ->> 'parent_span_id', 'base64'), (body ->> 'started_at')::bigint, "
        "(body ->> 'ended_at')::bigint, body::text FROM span WHERE feature_id = %s ORDER BY started_at, span_id",
        [templates.pk],
    ):
        spans[trace_id].append(tuple(rest))
    span_rows: list[tuple[object, ...]] = []
    trace_rows: list[tuple[object, ...]] = []
    for idx, (trace_id, summary) in enumerate(traces):
        rows = spans[trace_id]
        start = min(begun for _, _, begun, _, _ in rows)
        names = [span_id for span_id, *_ in rows]
        for n, (span_id, parent, begun, ended, body) in enumerate(rows):
            pattern = _pattern(
                body,
                *(_base64(raw) if raw else "" for raw in (trace_id, span_id, parent)),
                *(str(begun), str(ended), _REQUEST, _SESSION, _USER),
            )
            above = names.index(parent) if parent else None
            span_rows.append((trace_id, span_id, idx, n, above, begun - start, ended - begun, pattern))
        hexes = [name.hex() for name in names]
        pattern = _pattern(summary, _base64(trace_id), str(start), _REQUEST, _SESSION, _USER, *hexes)
        unique = [term("span", name) for name in hexes]
        unique += [term("request", _REQUEST), term("session", _SESSION), term("user", _USER)]
        trace_rows.append((trace_id, idx, pattern, unique))
    owner.execute("DROP TABLE IF EXISTS t_trace, t_span, t_spans, t_traces")
    owner.execute(
        "CREATE TEMP TABLE t_spans (trace_id bytea, span_id bytea, idx int, n int, parent int, shift bigint, "
        "lasts bigint, pattern text)"
    )
    owner.execute("CREATE TEMP TABLE t_traces (trace_id bytea, idx int, pattern text, own text[])")
    with owner.cursor() as cursor:
        for table, filled in (("t_spans", span_rows), ("t_traces", trace_rows)):
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in filled:
                    copy.write_row(row)
    owner.execute(
        "CREATE TEMP TABLE t_span AS SELECT t.idx, t.n, t.parent, t.shift, t.lasts, t.pattern, s.* "
        "FROM span s JOIN t_spans t USING (trace_id, span_id) WHERE s.feature_id = %s",
        [templates.pk],
    )
    owner.execute(
        "CREATE TEMP TABLE t_trace AS SELECT f.idx, f.pattern, ts_delete(d.terms, f.own) AS terms, d.document, t.* "
        "FROM trace t JOIN search_document d USING (trace_id, feature_id) JOIN t_traces f USING (trace_id) "
        "WHERE t.feature_id = %s",
        [templates.pk],
    )
    owner.execute("CREATE INDEX ON t_span (idx)")
    owner.execute("CREATE INDEX ON t_trace (idx)")
    owner.execute("ANALYZE t_span")
    owner.execute("ANALYZE t_trace")
    if not trace_rows:
        raise RuntimeError("the templates have no traces")
    return len(trace_rows)


# A copy: its number, its hash, its template (drawn by the hash, so that neighbours differ) and its start.
_COPIES = """
    WITH numbered AS (
        SELECT i, sha256(convert_to(%(seed)s || i, 'UTF8')) AS h
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) i
    ), copy AS MATERIALIZED (
        SELECT i, substring(h FROM 1 FOR 16) AS trace_id, substring(h FROM 17 FOR 7) AS stem,
               ((get_byte(h, 24) << 16) + (get_byte(h, 25) << 8) + get_byte(h, 26)) %% %(count)s AS idx,
               (get_byte(h, 27) << 8) + get_byte(h, 28) AS die,
               %(begin)s::bigint + i * %(step)s::bigint AS start,
               'req-' || %(slug)s || '-' || i AS request, 's-' || i / 4 AS session, 'cust-' || i %% 50000 AS person
        FROM numbered
    )
"""
_AT = "'epoch'::timestamptz + make_interval(secs => floor(({}) / 1000.0) / 1e6)"
_DAY = f"(({_AT}) AT TIME ZONE 'UTC')::date"


def _span_id(number: str) -> str:
    return f"c.stem || set_byte('\\x00'::bytea, 0, {number})"


_SPANS = f"""
    {_COPIES}
    INSERT INTO span (trace_id, span_id, feature_id, day, started_at, duration_ns, kind, name, status, calls_model,
                      model, input_tokens, output_tokens, tool_name, body_hash, body)
    SELECT c.trace_id, {_span_id("t.n")}, %(feature)s, {_DAY.format("c.start + t.shift")},
           {_AT.format("c.start + t.shift")}, t.lasts, t.kind, t.name, t.status, t.calls_model,
           t.model, t.input_tokens, t.output_tokens, t.tool_name, c.trace_id,
           format(t.pattern, encode(c.trace_id, 'base64'), encode({_span_id("t.n")}, 'base64'),
                  encode({_span_id("t.parent")}, 'base64'), c.start + t.shift, c.start + t.shift + t.lasts,
                  c.request, c.session, c.person)::json
    FROM copy c JOIN t_span t USING (idx) ORDER BY c.i, t.n
"""
# What a copy has of its own; all else is the template's.
_OWN = {
    "trace_id": "c.trace_id",
    "feature_id": "%(feature)s",
    "request_id": "c.request",
    "session_id": "c.session",
    "user_id": "c.person",
    "started_at": _AT.format("c.start"),
    "summary": "format(t.pattern, encode(c.trace_id, 'base64'), c.start, c.request, c.session, c.person, "
    + ", ".join(f"encode({_span_id(str(n))}, 'hex')" for n in range(SPANS_A_TRACE))
    + ")::jsonb",
    "settled_at": "clock_timestamp()",
}
_WORD = """CASE WHEN c.i %% %(rare_every)s = 7 THEN ' ' || %(rare)s ELSE '' END
    || CASE WHEN c.die < %(common_below)s THEN ' ' || %(common)s ELSE '' END"""
_DOCUMENTS = f"""
    {_COPIES}
    INSERT INTO search_document (trace_id, feature_id, day, started_at, worked_ns, tokens, cost_usd, terms, document)
    SELECT c.trace_id, %(feature)s, {_DAY.format("c.start")}, {_AT.format("c.start")},
           t.duration_ns - t.waiting_ns, t.input_tokens + t.output_tokens, t.cost_usd,
           t.terms || to_tsvector('simple', {_WORD})
               || array_to_tsvector(ARRAY['=request:' || c.request, '=session:' || c.session, '=user:' || c.person,
                  {", ".join(f"'=span:' || encode({_span_id(str(n))}, 'hex')" for n in range(SPANS_A_TRACE))}]),
           t.document || {_WORD}
    FROM copy c JOIN t_trace t USING (idx) ORDER BY c.i
"""
_MINUTES = f"""
    {_COPIES}
    INSERT INTO dirty_minute (feature_id, minute)
    SELECT DISTINCT %(feature)s::uuid, date_trunc('minute', {_AT.format("c.start")}, 'UTC') FROM copy c
    ON CONFLICT DO NOTHING
"""


def _statements(owner: psycopg.Connection) -> list[str]:
    columns = [column.name for column in owner.execute("SELECT * FROM trace LIMIT 0").description or ()]
    values = ", ".join(_OWN.get(name, f"t.{name}") for name in columns)
    traces = (
        f"{_COPIES} INSERT INTO trace ({', '.join(columns)}) SELECT {values} "
        "FROM copy c JOIN t_trace t USING (idx) ORDER BY c.i"
    )
    return [traces, _DOCUMENTS, _MINUTES]
