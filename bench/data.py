"""A history of the size that is measured: some thousand traces through the real pipeline, multiplied in the database.

`python -m bench.data SLUG SPANS DAYS` fills the database of `CLEARANCE_VAR`.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS_A_TRACE: Final = 6
# Words that this share of the traces holds: nowhere, 50 of them whatever the size, and 100,000 of 1.67 million.
NOWHERE: Final = "plantednowhere"
FIFTY: Final = "plantedfifty"
COMMON: Final = "plantedcommon"
COMMON_SHARE: Final = 0.06
_SEEDS: Final = 3_000
_TRACES_A_BODY: Final = 100
_NS: Final = 10**9


def make_history(
    slug: str, spans: int, days: int, seed: int = 7, say: Callable[[str], object] = lambda _: None
) -> int:
    """Fill a feature (made where it is not there) with about `spans` spans in traces of six, spread evenly over the
    last `days` days; returns how many traces. Spans, traces, search documents and dirty minutes are written; `say`
    gets a line of progress now and then.
    """
    from django.db import connection, transaction

    from features.models import Feature
    from features.services import create_feature
    from traces.ingest import ingest_traces
    from traces.models import Trace
    from traces.services import settle_dirty

    feature = Feature.objects.filter(slug=slug).first() or create_feature(slug=slug, task="Hold a history.")
    wanted = max(spans // SPANS_A_TRACE, 1)
    seeds = min(_SEEDS, wanted)
    chance = random.Random(seed)
    for first in range(0, seeds, _TRACES_A_BODY):
        count = min(_TRACES_A_BODY, seeds - first)
        ingest_traces(feature, _body(chance, first, count), "application/x-protobuf")
    while settle_dirty(200) or Trace.objects.filter(feature=feature).count() < seeds:
        pass
    say(f"{seeds} traces through the pipeline")
    started = time.monotonic()
    copies = -(-(wanted - seeds) // seeds)
    with connection.cursor() as cursor:
        # The index of lexemes takes larger portions at once.
        cursor.execute("SET gin_pending_list_limit = '64MB'; SET work_mem = '128MB'")
        statements = _statements(cursor)
        cursor.execute("DROP TABLE IF EXISTS pg_temp.history_seed")
        cursor.execute(_SEED_ROWS, [feature.pk])
        for copy in range(copies):
            parameters: dict[str, Any] = {
                "feature": feature.pk,
                "copy": copy,
                "copies": max(copies, 1),
                "seeds": seeds,
                "days": days,
                "salt": seed,
                "fifty": 50 if copy == 0 else 0,
                "limit": min(seeds, wanted - seeds - copy * seeds),
            }
            with transaction.atomic():
                for statement in statements:
                    cursor.execute(statement, parameters)
            if copy % 10 == 9:
                done = seeds * (copy + 2)
                say(f"{done} traces, {seeds * (copy + 1) / (time.monotonic() - started):.0f} a second")
        cursor.execute("DROP TABLE history_seed; RESET gin_pending_list_limit; RESET work_mem")
        cursor.execute("ANALYZE trace; ANALYZE search_document; ANALYZE span")
    return Trace.objects.filter(feature=feature).count()


# The rows that are multiplied, with their places.
_SEED_ROWS: Final = """
    CREATE TEMP TABLE history_seed AS
    SELECT trace_id, feature_id, started_at, row_number() OVER (ORDER BY trace_id) - 1 AS n FROM trace
    WHERE feature_id = %s
"""
# For each seed its copy: a new ID, what is planted, and a new time, spread by a step that is prime to the places.
_MADE: Final = f"""
    CREATE TEMP TABLE history_made ON COMMIT DROP AS
    SELECT trace_id, feature_id, substr(sha256(convert_to(said, 'UTF8')), 1, 16) AS made_id,
           at, at - started_at AS shift, planted
    FROM (
        SELECT trace_id, feature_id, started_at,
               %(salt)s || '.' || %(copy)s || '.' || encode(trace_id, 'hex') AS said,
               date_trunc('milliseconds', now()) - interval '1 minute' - interval '1 day' * %(days)s
               * (((n * %(copies)s + %(copy)s) * 7919) %% (%(copies)s::bigint * %(seeds)s))
               / (%(copies)s::bigint * %(seeds)s) AS at,
               CASE WHEN n < %(fifty)s THEN ' {FIFTY}' ELSE '' END
               || CASE WHEN (n * 7919 + %(copy)s * 104729) %% 1000 < {int(COMMON_SHARE * 1000)}
                       THEN ' {COMMON}' ELSE '' END AS planted
        FROM history_seed WHERE n < %(limit)s
    ) s
"""
_MINUTES: Final = """
    INSERT INTO dirty_minute (feature_id, minute)
    SELECT DISTINCT feature_id, date_trunc('minute', at, 'UTC') FROM history_made ORDER BY 1, 2
    ON CONFLICT (feature_id, minute) DO UPDATE SET marked_at = clock_timestamp()
"""


def _statements(cursor: Any) -> list[str]:
    """The statements of one copy. All columns are copied but those that tell one trace from another."""
    return [
        _MADE,
        _copied(
            cursor,
            "trace",
            {
                "trace_id": "h.made_id",
                "request_id": "encode(h.made_id, 'hex')",
                "started_at": "h.at",
                "session_id": "t.session_id || '-' || %(copy)s",
                "settled_at": "clock_timestamp()",
            },
        ),
        _copied(
            cursor,
            "search_document",
            {
                "trace_id": "h.made_id",
                "started_at": "h.at",
                "day": "(h.at AT TIME ZONE 'UTC')::date",
                "document": "t.document || h.planted",
                "terms": "t.terms || to_tsvector('simple', h.planted) "
                "|| array_to_tsvector(ARRAY['=request:' || encode(h.made_id, 'hex')])",
            },
        ),
        _copied(
            cursor,
            "span",
            {
                "trace_id": "h.made_id",
                "started_at": "t.started_at + h.shift",
                "day": "((t.started_at + h.shift) AT TIME ZONE 'UTC')::date",
            },
        ),
        _MINUTES,
        "DROP TABLE history_made",
    ]


def _copied(cursor: Any, table: str, changed: dict[str, str]) -> str:

    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public' "
        "AND is_generated = 'NEVER' ORDER BY ordinal_position",
        [table],
    )
    columns = [row[0] for row in cursor.fetchall()]
    values = ", ".join(changed.get(column, f't."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM history_made h "
        f"JOIN {table} t ON t.trace_id = h.trace_id AND t.feature_id = h.feature_id ON CONFLICT DO NOTHING"
    )


# --- the seeds -----------------------------------------------------------------------------------------------

_WORDS: Final = (
    "order refund customer invoice shipped delayed charged twice please check the status of my last payment "
    "policy approval amount dollars carrier address received damaged replacement account plan cancel renew"
).split()
_MODELS: Final = ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "claude-sonnet-4-5")


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def _set(span: Span, values: dict[str, str | int | bool]) -> None:
    for name, value in values.items():
        pair = span.attributes.add(key=name)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _body(chance: random.Random, first: int, count: int) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    now = time.time_ns() - 3600 * _NS
    for n in range(first, first + count):
        _trace(spans, chance, n, now + n * _NS // 10)
    return request.SerializeToString()


def _trace(spans: Any, chance: random.Random, n: int, start: int) -> None:
    """A request of six spans: an agent, three model calls, two tools. Some fail, some are told how they ended."""
    add = spans.add
    trace_id, root_id = os.urandom(16), os.urandom(8)
    length = int(_NS * chance.lognormvariate(1.2, 0.6))
    failing, model = n % 20 == 0, _MODELS[n % 7 % 3]
    root = add(trace_id=trace_id, span_id=root_id, name="invoke_agent billing")
    root.start_time_unix_nano, root.end_time_unix_nano = start, start + length
    _set(
        root,
        {
            "gen_ai.operation.name": "invoke_agent",
            "session.id": f"s-{n // 4}",
            "user.id": f"cust-{chance.randrange(900)}",
            "clearance.variant": "canary" if n % 10 == 3 else "baseline",
            "clearance.feature_version": f"2026-{9 + n % 3}",
            "clearance.segment.tier": chance.choice(("gold", "silver", "bronze")),
            **({"task.outcome": "success"} if n % 3 else {}),
        },
    )
    for step in range(5):
        span = add(trace_id=trace_id, span_id=os.urandom(8), parent_span_id=root_id)
        span.start_time_unix_nano = start + step * length // 5
        span.end_time_unix_nano = start + (step + 1) * length // 5
        if step % 2:
            tool = "refund" if step == 3 and n % 5 == 0 else "lookup_order"
            span.name = f"execute_tool {tool}"
            if failing and step == 3:
                span.status.code, span.status.message = 2, "payment gateway timeout"
            _set(
                span,
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": tool,
                    "gen_ai.tool.call.arguments": json.dumps({"order_id": f"A-{chance.randrange(99999)}"}),
                    "gen_ai.tool.call.result": json.dumps({"note": _text(chance, 100)}),
                },
            )
        else:
            span.name = "chat"
            _set(
                span,
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": model,
                    "gen_ai.response.model": model,
                    "gen_ai.usage.input_tokens": 400 + chance.randrange(2000),
                    "gen_ai.usage.output_tokens": 10 + chance.randrange(200),
                    "gen_ai.system_instructions": json.dumps(
                        [{"type": "text", "content": _text(chance, 40)}]
                    ),
                    "gen_ai.input.messages": _message("user", _text(chance, 90)),
                    "gen_ai.output.messages": _message("assistant", _text(chance, 40)),
                },
            )
    if failing:
        root.status.code, root.status.message = 2, "the refund failed"


def main() -> None:
    """Fill the running product's database."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    slug, spans, days = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(f"{make_history(slug, spans, days, say=lambda line: print(line, flush=True)):,} traces")


if __name__ == "__main__":
    main()
