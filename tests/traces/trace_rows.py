"""Trace rows as settle writes them, without their spans: for what only reads them."""

import json
import secrets
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction

from features.models import Feature
from traces.rollups import mark_minutes

DEFAULTS: dict[str, Any] = {
    "name": "resolve ticket",
    "variant": "baseline",
    "feature_version": None,
    "segments": {},
    "duration_ns": 10**9,
    "waiting_ns": 0,
    "status": "ok",
    "outcome": "success",
    "outcome_source": "reported",
    "llm_calls": 1,
    "llm_errors": 0,
    "embeddings": 0,
    "models": ["m-1"],
    "input_tokens": 100,
    "output_tokens": 10,
    "cached_input_tokens": 0,
    "tool_errors": 0,
    "retries": 0,
    "violations": 0,
    "missing": [],
    "span_count": 3,
    "cost_usd": None,
    "unknown_cost_calls": 0,
    "context_tokens": 100,
    "budgeted_calls": 0,
    "over_budget_calls": 0,
}


def trace_id() -> bytes:
    return secrets.token_bytes(16)


def complete(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what it does not say; `calls` are its tool calls as (name, status)."""
    calls = row.get("calls", [])
    return {
        **DEFAULTS,
        "trace_id": row.get("trace_id") or trace_id(),
        "tools": sorted({name for name, _ in calls}),
        "tool_calls": len(calls),
        "tool_errors": sum(status == "error" for _, status in calls),
        "redactions": {},
        "calls": calls,
        **row,
    }


def put(feature: Feature, *rows: dict[str, Any]) -> list[bytes]:
    """Write or rewrite traces and mark the minutes that they leave and come to, in one transaction."""
    written = [complete(row) for row in rows]
    with transaction.atomic(), connection.cursor() as cursor:
        keys = [row["trace_id"] for row in written]
        cursor.execute(
            "SELECT feature_id, started_at FROM trace WHERE feature_id = %s AND trace_id = ANY(%s)",
            [feature.pk, keys],
        )
        starts = [*cursor.fetchall(), *((feature.pk, row["started_at"]) for row in written)]
        for row in written:
            _upsert(cursor, feature, row)
        mark_minutes(cursor, starts)
    return keys


def _upsert(cursor: Any, feature: Feature, row: dict[str, Any]) -> None:
    columns = {name: value for name, value in row.items() if name not in {"calls", "redactions"}}
    columns["segments"] = json.dumps(row["segments"])
    columns["summary"] = json.dumps(
        {
            "tool_calls": [{"name": name, "status": status} for name, status in row["calls"]],
            "redactions": row["redactions"],
        }
    )
    columns["request_id"] = row["trace_id"].hex()
    columns["feature_id"] = feature.pk
    cursor.execute(
        f"INSERT INTO trace ({', '.join(columns)}, settled_at) VALUES ({', '.join(['%s'] * len(columns))}, now()) "
        "ON CONFLICT (trace_id, feature_id) DO UPDATE SET "
        + ", ".join(
            f"{name} = excluded.{name}" for name in columns if name not in {"trace_id", "feature_id"}
        ),
        list(columns.values()),
    )


def settle_rollups(features: Iterable[Feature]) -> None:
    """Compute what is marked until nothing of these features is, whoever else does."""
    from traces.rollups import roll_up

    wanted = [feature.pk for feature in features]
    while True:
        roll_up(at_once=True)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM (SELECT feature_id FROM dirty_minute UNION ALL SELECT feature_id FROM dirty_hour "
                "UNION ALL SELECT feature_id FROM dirty_day) AS d WHERE feature_id = ANY(%s)",
                [wanted],
            )
            if cursor.fetchone()[0] == 0:
                return
