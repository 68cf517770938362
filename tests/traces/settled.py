"""What the tests of settling share: traces stored without the wire, and what settle wrote of them."""

import os
import time
from typing import Any

import msgspec
from django.db import connection, transaction

from features.models import Feature
from features.services import create_feature
from tests.support import unique
from traces.models import DirtyTrace
from traces.services import settle_dirty
from traces.store import AlreadyKnown, store_events, store_spans
from traces.vocabulary import LogEvent, Span

NS = 10**9
_encode = msgspec.json.Encoder().encode


def new_feature() -> Feature:
    return create_feature(slug=unique("agent"), task="Resolve tier-1 billing tickets.")


def new_span(trace_id: bytes, n: int = 1, **changed: Any) -> Span:
    started = changed.pop("started_at", (time.time_ns() // NS - 60) * NS + n * 1_000_000)
    defaults: dict[str, Any] = {
        "trace_id": trace_id,
        "span_id": n.to_bytes(8, "big"),
        "parent_span_id": None if n == 1 else (1).to_bytes(8, "big"),
        "name": f"span {n}",
        "scope": "a",
        "kind": "other",
        "started_at": started,
        "ended_at": started + 1_000_000,
        "status": "ok",
        "status_message": "",
    }
    return Span(**{**defaults, **changed})


def new_trace_id() -> bytes:
    return os.urandom(16)


def store(feature: Feature, *items: Span | LogEvent) -> None:
    """As one body."""
    spans = [(item, _encode(item)) for item in items if isinstance(item, Span)]
    events = [(item, _encode(item)) for item in items if isinstance(item, LogEvent)]
    for anew in (True, False):
        try:
            with transaction.atomic():
                store_spans(feature.pk, spans, anew=anew)
                store_events(feature.pk, events, anew=anew)
            return
        except AlreadyKnown:
            continue


def settle(feature: Feature) -> None:
    """Settle until nothing of the feature is left; what the worker has in hand is waited for."""
    while DirtyTrace.objects.filter(feature=feature, attempts=0).exists():
        if not settle_dirty():
            time.sleep(0.01)


def _rows(statement: str, *given: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(given))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def trace_row(feature: Feature, trace_id: bytes) -> dict[str, Any]:
    """The row of `trace`, less when it was settled."""
    (row,) = _rows("SELECT * FROM trace WHERE feature_id = %s AND trace_id = %s", feature.pk, trace_id)
    row.pop("settled_at")
    # Django reads jsonb as text by hand-written statements.
    row["summary"], row["segments"] = (
        msgspec.json.decode(row["summary"]),
        msgspec.json.decode(row["segments"]),
    )
    return _comparable(row)


def document_rows(feature: Feature, trace_id: bytes) -> list[dict[str, Any]]:
    rows = _rows(
        "SELECT * FROM search_document WHERE feature_id = %s AND trace_id = %s", feature.pk, trace_id
    )
    return [_comparable(row) for row in rows]


def found_by(feature: Feature, query: str) -> int:
    """How many traces of the feature a tsquery finds."""
    (row,) = _rows(
        "SELECT count(*) AS n FROM search_document WHERE feature_id = %s AND terms @@ %s::tsquery",
        feature.pk,
        query,
    )
    return int(row["n"])


def dirty_minutes(feature: Feature) -> list[Any]:
    return [
        row["minute"]
        for row in _rows("SELECT minute FROM dirty_minute WHERE feature_id = %s ORDER BY minute", feature.pk)
    ]


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: bytes(value) if isinstance(value, memoryview) else msgspec.to_builtins(value)
        for name, value in row.items()
        if name not in ("trace_id", "feature_id")
    }
