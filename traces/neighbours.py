"""The neighbours of a trace: the requests of the same session, the same user, with the same error."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from django.db import connection

from traces.models import Trace

__all__ = ["MOST_COUNTED", "Neighbour", "Neighbours", "neighbours_of"]

MOST_COUNTED: Final = 1000

# Each part reads one end of an index (feature, column, started_at), whatever the size of the table.
_SQL: Final = {
    column: f"""
    (SELECT 'before', trace_id, started_at, outcome FROM trace
     WHERE feature_id = %(feature)s AND {column} = %(value)s AND (started_at, trace_id) < (%(at)s, %(trace)s)
     ORDER BY started_at DESC, trace_id DESC LIMIT 1)
    UNION ALL
    (SELECT 'after', trace_id, started_at, outcome FROM trace
     WHERE feature_id = %(feature)s AND {column} = %(value)s AND (started_at, trace_id) > (%(at)s, %(trace)s)
     ORDER BY started_at, trace_id LIMIT 1)
    UNION ALL
    (SELECT count(*)::text, NULL, NULL, NULL FROM (SELECT FROM trace
     WHERE feature_id = %(feature)s AND {column} = %(value)s LIMIT {MOST_COUNTED + 1}) c)
    """
    for column in ("session_id", "user_id", "error_signature")
}


class Neighbour(msgspec.Struct, frozen=True):
    """The request just before or after, of the same kind."""

    trace_id: str
    started_at: datetime
    outcome: str


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace shares with others: `others` of them beside itself, at least so many when `more`."""

    kind: str  # session, user, error
    value: str
    others: int
    more: bool
    before: Neighbour | None
    after: Neighbour | None


def neighbours_of(trace: Trace) -> list[Neighbours]:
    """For each thing that the trace has of session, user and error: its neighbours in time. One query each."""
    known: Mapping[str, tuple[str, str | None]] = {
        "session_id": ("session", trace.session_id),
        "user_id": ("user", trace.user_id),
        "error_signature": ("error", trace.error_signature),
    }
    return [_neighbours(trace, column, kind, value) for column, (kind, value) in known.items() if value]


def _neighbours(trace: Trace, column: str, kind: str, value: str) -> Neighbours:
    beside: dict[str, Neighbour] = {}
    counted = 0
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL[column],
            {
                "feature": trace.feature_id,
                "value": value,
                "at": trace.started_at,
                "trace": bytes(trace.trace_id),
            },
        )
        for what, trace_id, started_at, outcome in cursor.fetchall():
            if trace_id is None:
                counted = int(what)
            else:
                beside[what] = Neighbour(bytes(trace_id).hex(), started_at, outcome)
    return Neighbours(
        kind=kind,
        value=value,
        others=max(min(counted, MOST_COUNTED) - 1, 0),
        more=counted > MOST_COUNTED,
        before=beside.get("before"),
        after=beside.get("after"),
    )
