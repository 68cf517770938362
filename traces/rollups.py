"""Rollups: what the traces of a minute add up to, by variant and dimension, and minutes to hours to days.

A mark says that a step of time must be computed anew, and whoever changes what it is computed from leaves it in
the same transaction: settle marks the minute, the minute its hour, the hour its day. Marks are upserts that lock
(docs/decisions/025): a writer waits for the computation in hand and then leaves a new mark. So in every snapshot
a step is right, or it is marked, or something below it is; traces/metrics.py reads accordingly.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from traces.sums import COLUMNS, added_up, sums_of_traces

__all__ = ["mark_all", "mark_minutes", "minute_of", "roll_up"]

Step = tuple[UUID, datetime]


class _Level(NamedTuple):
    """A length of step. A mark waits for `patience` seconds, so that a step in which much happens is computed
    at most so often, and `share` is how many minutes' work one is.
    """

    step: str
    above: str | None
    patience: float
    share: int
    sums: str


_LEVELS: Final = {
    "minute": _Level("minute", "hour", 2, 1, sums_of_traces("ranges")),
    "hour": _Level("hour", "day", 60, 10, added_up("rollup_minute", "minute")),
    "day": _Level("day", None, 600, 40, added_up("rollup_hour", "hour")),
}


def minute_of(at: datetime) -> datetime:
    """The start of a time's minute, UTC."""
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def mark_minutes(cursor: CursorWrapper, starts: Iterable[Step]) -> None:
    """Mark the minutes of traces (feature, start) in the transaction that changes them: those of their old starts
    and of the new ones. In key order, so that no two writers wait for each other.
    """
    _mark(cursor, "minute", {(feature_id, minute_of(start)) for feature_id, start in starts})


def mark_all(feature_id: UUID | None = None) -> int:
    """Mark every minute that has traces or sums; returns how many. For a repair and after deleting traces."""
    only = "" if feature_id is None else "WHERE feature_id = %(feature)s"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO dirty_minute (feature_id, minute, since) SELECT *, clock_timestamp() FROM ("
            f"SELECT feature_id, date_trunc('minute', started_at, 'UTC') FROM trace {only} "
            f"UNION SELECT feature_id, minute FROM rollup_minute {only} ORDER BY 1, 2) AS m "
            "ON CONFLICT (feature_id, minute) DO UPDATE SET marked_at = clock_timestamp()",
            {"feature": feature_id},
        )
        return int(cursor.rowcount)


def roll_up(limit: int = 200, *, at_once: bool = False) -> int:
    """Compute up to `limit` marked minutes anew, then hours and days; returns how many steps. 0: nothing is due.

    Any number of workers at once: each takes marks that no other holds. One transaction a level holds the marks,
    the new sums and the marks above, so one that is killed leaves all as it was. Without `at_once` a mark waits
    (2 s, a minute, ten minutes), so that a busy step is not computed for every trace.
    """
    return sum(_compute(level, max(1, limit // level.share), at_once) for level in _LEVELS.values())


def _compute(level: _Level, limit: int, at_once: bool) -> int:
    step, columns = level.step, ", ".join(COLUMNS)
    with transaction.atomic(), connection.cursor() as cursor:
        # The lock first, the sums in a later statement: its snapshot holds all that was committed before.
        cursor.execute(
            f"SELECT feature_id, {step} FROM dirty_{step} "
            "WHERE since <= clock_timestamp() - make_interval(secs => %s) "
            "ORDER BY since LIMIT %s FOR UPDATE SKIP LOCKED",
            [0 if at_once else level.patience, limit],
        )
        taken: list[Step] = cursor.fetchall()
        if not taken:
            return 0
        _delete(cursor, f"rollup_{step}", step, taken)
        cursor.execute(
            f"INSERT INTO rollup_{step} (feature_id, {step}, {columns}) "
            f"WITH ranges AS MATERIALIZED (SELECT f AS feature_id, t AS at, t AS lo, t + interval '1 {step}' AS hi "
            f"FROM unnest(%s::uuid[], %s::timestamptz[]) AS k (f, t)), {level.sums} "
            f"SELECT feature_id, at, {columns} FROM summed",
            _columns(taken),
        )
        if level.above is not None:
            _mark(cursor, level.above, {(feature_id, _start(at, level.above)) for feature_id, at in taken})
        _delete(cursor, f"dirty_{step}", step, taken)
        return len(taken)


def _start(at: datetime, step: str) -> datetime:
    hour = at.astimezone(UTC).replace(minute=0)
    return hour.replace(hour=0) if step == "day" else hour


def _mark(cursor: CursorWrapper, step: str, steps: Iterable[Step]) -> None:
    cursor.execute(
        f"INSERT INTO dirty_{step} (feature_id, {step}, since) "
        "SELECT f, t, clock_timestamp() FROM unnest(%s::uuid[], %s::timestamptz[]) AS k (f, t) ORDER BY f, t "
        f"ON CONFLICT (feature_id, {step}) DO UPDATE SET marked_at = clock_timestamp()",
        _columns(steps),
    )


def _delete(cursor: CursorWrapper, table: str, step: str, steps: Iterable[Step]) -> None:
    cursor.execute(
        f"DELETE FROM {table} AS r USING unnest(%s::uuid[], %s::timestamptz[]) AS k (f, t) "
        f"WHERE r.feature_id = k.f AND r.{step} = k.t",
        _columns(steps),
    )


def _columns(steps: Iterable[Step]) -> tuple[list[UUID], list[datetime]]:
    listed = list(steps)
    return [feature_id for feature_id, _ in listed], [at for _, at in listed]
