"""Retention: how long traces are kept, and how what is older goes.

Whole days of the installation are dropped, a feature's shorter retention deletes rows in bounded batches. What is
held (traces/holds.py) is copied in the transaction that deletes or drops it, so it is never gone. Every step may be
killed and run again. Decision 031 says why it is so.
"""

import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Q

from audit.services import Actor, append
from features.models import Feature, new_id
from features.policy import PolicyDocument, active_policy
from features.policy.active import active_version
from traces.models import Hold, IngestReceipt, RetentionMark, RetentionRun
from traces.vault import forget_originals, tokens_in

log = logging.getLogger("clearance.retention")

PARTITIONS_AHEAD_DAYS: Final = 30
BATCH_ROWS: Final = 2000
PARENTS: Final = ("span", "log_event", "search_document")
_BATCH_TRACES = 500
# How long a drop waits for its table before it tries again, in milliseconds. Inserts wait behind it for as long; who
# holds the table is a transaction of settling or ingest, mostly under a second.
_WAITS_MS = (200, 400, 800, 1600, *[3000] * 8)
_PAUSE = 0.5
# A run that has said nothing for so long was killed: its account is closed by the next.
_SILENT = timedelta(minutes=10)
_RUNS_KEPT = timedelta(days=30)
_RELEASED_KEPT = timedelta(days=400)

TraceKey = tuple[bytes, UUID]


# --- how long ----------------------------------------------------------------------------------------------


def retention_days(policy: PolicyDocument | None) -> int:
    """As the policy says, and never longer than the installation keeps any."""
    longest: int = settings.RETENTION_DAYS
    return min(longest, policy.traces.retention_days) if policy else longest


def active_retention(feature_id: UUID) -> int:
    """How many days the feature's requests are kept now."""
    return retention_days(active_policy(feature_id))


def first_kept_day(days: int, today: date) -> date:
    """The first day (UTC) of which something is kept for `days` days; nothing that ingest takes is older.

    The installation's own retention goes by whole partitions and waits a day longer: for bodies in hand at
    midnight and clocks that differ, so that no day is dropped into which a body may still come.
    """
    whole = days >= settings.RETENTION_DAYS
    return today - timedelta(days=settings.RETENTION_DAYS + 1 if whole else days)


def kept_from(feature_id: UUID, now: datetime | None = None) -> datetime:
    """The time from which on a feature's figures and requests are whole; of what is older only held traces
    stay.
    """
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    day = first_kept_day(active_retention(feature_id), today)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def expired(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> set[TraceKey]:
    """Those of the traces that are settled, past retention and not held. Some of their spans may be gone: settled
    again they would come out wrong, so settle leaves them as they are until they go.
    """
    borders = {feature_id: kept_from(feature_id) for feature_id in {feature_id for _, feature_id in keys}}
    cursor.execute(
        "SELECT t.trace_id, t.feature_id FROM unnest(%s::bytea[], %s::uuid[], %s::timestamptz[]) k (t, f, b) "
        "JOIN trace t ON t.trace_id = k.t AND t.feature_id = k.f WHERE t.started_at < k.b AND NOT "
        + _HELD.format("t"),
        [[key[0] for key in keys], [key[1] for key in keys], [borders[key[1]] for key in keys]],
    )
    return {(bytes(trace_id), feature_id) for trace_id, feature_id in cursor.fetchall()}


# --- days to come ------------------------------------------------------------------------------------------


def ensure_partitions() -> int:
    """Make the day partitions of the whole accepted range and some days ahead; returns how many were made.

    Ingest itself runs no DDL: making a partition waits for every insert under way.
    """
    today = datetime.now(UTC).date()
    first = today - timedelta(days=settings.RETENTION_DAYS + 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ensure_partitions(%s, %s)", [first, today + timedelta(days=PARTITIONS_AHEAD_DAYS)]
        )
        return int(cursor.fetchone()[0])


def write_floor() -> None:
    """Write down how many days are kept at least, for the database to refuse dropping younger ones. Only the
    owner's role can: it runs with each migration, and so with each start of `make run`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO retention_floor (days) VALUES (%s) ON CONFLICT (one) DO UPDATE SET days = excluded.days",
            [settings.RETENTION_DAYS],
        )


def forget_old_receipts() -> int:
    """Delete ingest receipts older than a day; returns how many."""
    deleted, _ = IngestReceipt.objects.filter(at__lt=datetime.now(UTC) - timedelta(days=1)).delete()
    return deleted


# --- a run -------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What one run took away; `finished` is False when its time was up before all was done."""

    traces: int = 0
    spans: int = 0
    events: int = 0
    held: int = 0
    days: list[str] = field(default_factory=list)
    finished: bool = True


class _OutOfTime(Exception):
    """The run's time is up; what is left goes next time."""


class _Account:
    """What a run took away from the installation or one feature, kept with each batch in the batch's own
    transaction.
    """

    def __init__(self, feature: Feature | None, before: date, report: Report) -> None:
        self.id = new_id()
        self.feature = feature
        self.before = before
        self.report = report

    def add(self, cursor: CursorWrapper, *, days: Sequence[str] = (), **counts: int) -> None:
        names = list(counts)
        cursor.execute(
            f"INSERT INTO retention_run (id, feature_id, state, before, days, {', '.join(names)}) "
            f"VALUES (%s, %s, 'running', %s, %s, {', '.join(['%s'] * len(names))}) ON CONFLICT (id) DO UPDATE SET "
            "updated_at = clock_timestamp(), days = retention_run.days || excluded.days, "
            + ", ".join(f"{name} = retention_run.{name} + excluded.{name}" for name in names),
            [self.id, self.feature.pk if self.feature else None, self.before, list(days), *counts.values()],
        )
        self.report.days += days
        for name in ("traces", "spans", "events", "held"):
            setattr(self.report, name, getattr(self.report, name) + counts.get(name, 0))


def run_retention(now: datetime | None = None, *, seconds: float | None = None) -> Report:
    """Take away what is past retention: rows of each feature, then whole days. Recorded where anything went.

    Bounded batches, each its own transaction: killed at any moment, the next run goes on. After `seconds` it
    stops between two batches and says so (`finished`).
    """
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    until = None if seconds is None else time.monotonic() + seconds
    report = Report()
    _close_interrupted()
    try:
        for feature in Feature.objects.order_by("pk"):
            _forget_of(feature, today, report, until)
        _drop_days(today, report, until)
    except _OutOfTime:
        report.finished = False
    RetentionRun.objects.filter(started_at__lt=datetime.now(UTC) - _RUNS_KEPT).exclude(
        state="running"
    ).delete()
    return report


def _in_time(until: float | None) -> None:
    if until is not None and time.monotonic() > until:
        raise _OutOfTime


def _close_interrupted() -> None:
    silent = Q(state="running", updated_at__lt=datetime.now(UTC) - _SILENT)
    for pk in list(RetentionRun.objects.filter(silent).values_list("pk", flat=True)):
        with transaction.atomic():
            row = RetentionRun.objects.select_for_update(skip_locked=True).filter(silent, pk=pk).first()
            if row is not None:
                _close(row, "interrupted")


def _close(row: RetentionRun, state: str) -> None:
    """End a run's account and record it, in the caller's transaction."""
    row.state, row.updated_at = state, datetime.now(UTC)
    row.save(update_fields=["state", "updated_at"])
    went = (row.days, row.traces, row.spans, row.events, row.held, row.released, row.originals)
    if any(went):
        feature = str(row.feature_id or "")
        append(
            Actor("system", "retention"),
            "retention.run",
            feature=feature,
            subject=("feature", feature) if feature else ("", ""),
            before=row.before.isoformat(),
            traces=row.traces,
            spans=row.spans,
            events=row.events,
            held=row.held,
            released=row.released,
            originals=row.originals,
            days=row.days,
        )


def _finish(account: _Account, state: str) -> None:
    with transaction.atomic():
        row = RetentionRun.objects.select_for_update().filter(pk=account.id).first()
        if row is not None:
            _close(row, state)


# --- whole days of the installation ------------------------------------------------------------------------


def existing_days(cursor: CursorWrapper, parents: Iterable[str] = PARENTS) -> list[tuple[date, str]]:
    """(day, table) of the partitions that there are, oldest first."""
    cursor.execute(
        "SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace "
        "WHERE n.nspname = 'public' AND p.relkind = 'p' AND p.relname = ANY(%s)",
        [list(parents)],
    )
    found = []
    for parent, child in cursor.fetchall():
        if match := re.fullmatch(rf"{parent}_(\d{{4}})(\d\d)(\d\d)", child):
            found.append((date(*map(int, match.groups())), parent))
    return sorted(found)


def _dropped_before(cursor: CursorWrapper, today: date) -> date:
    """The first day that is kept: as we see it, and no later than the database lets go."""
    before = first_kept_day(settings.RETENTION_DAYS, today)
    cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - days - 1 FROM retention_floor")
    row = cursor.fetchone()
    return min(before, row[0]) if row else date.min


def _drop_days(today: date, report: Report, until: float | None) -> None:
    with connection.cursor() as cursor:
        before = _dropped_before(cursor, today)
        account = _Account(None, before, report)
        due = [(day, parent) for day, parent in existing_days(cursor) if day < before]
        account.add(cursor, bytes=0)
    state = "stopped"
    try:
        # What is found last goes first: no trace is found whose spans are gone.
        for day, parent in sorted(due, key=lambda one: (one[0], -PARENTS.index(one[1]))):
            _in_time(until)
            _drop(parent, day, account, until)
        state = "done"
    finally:
        _finish(account, state)


def _drop(parent: str, day: date, account: _Account, until: float | None) -> None:
    """Drop one partition, trying again while others use the table; inserts wait 3 s at most."""
    for wait in _WAITS_MS:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait}ms"])
                cursor.execute("SELECT * FROM drop_partition(%s, %s)", [parent, day])
                gone, freed, held = cursor.fetchone()
                if gone is not None:
                    rows = {"span": {"spans": gone}, "log_event": {"events": gone}}.get(parent, {})
                    kept = 0 if parent == "search_document" else held
                    account.add(cursor, days=[f"{parent} {day}"], bytes=freed, held=kept, **rows)
            return
        except OperationalError as error:
            # 55P03: the lock was not to be had in time; 40P01: a deadlock, undone.
            if getattr(error.__cause__, "sqlstate", "") not in {"55P03", "40P01"}:
                raise
            _in_time(until)
            time.sleep(_PAUSE)
    log.warning("%s of %s is in use all the time; it goes with the next run", parent, day)


# --- the rows of a feature ---------------------------------------------------------------------------------

_HELD = (
    "EXISTS (SELECT FROM hold h WHERE h.trace_id = {0}.trace_id AND h.feature_id = {0}.feature_id "
    "AND h.released_at IS NULL)"
)

# Traces that ended before the border, with what hangs on them. One that goes on past it keeps its summary until its
# last span is gone.
_FORGET_TRACES = f"""
WITH page AS MATERIALIZED (
    SELECT trace_id, feature_id, (started_at AT TIME ZONE 'UTC')::date AS day FROM trace t
    WHERE feature_id = %(feature)s AND started_at < %(before)s
    AND started_at + duration_ns / 1e9 * interval '1 second' < %(before)s AND NOT {_HELD.format("t")}
    ORDER BY started_at LIMIT %(limit)s
), documents AS (
    DELETE FROM search_document d USING page p
    WHERE d.trace_id = p.trace_id AND d.feature_id = p.feature_id AND d.day = p.day AND d.day < %(day)s
), facts AS (
    DELETE FROM fact f USING page p WHERE f.trace_id = p.trace_id AND f.feature_id = p.feature_id
), conflicts AS (
    DELETE FROM span_conflict c USING page p WHERE c.trace_id = p.trace_id AND c.feature_id = p.feature_id
), gone AS (
    DELETE FROM trace t USING page p WHERE t.trace_id = p.trace_id AND t.feature_id = p.feature_id RETURNING 1
)
SELECT count(*) FROM gone
"""

_KEYS: Final = {
    "span": "trace_id, span_id",
    "log_event": "trace_id, span_id, event_name, observed_ns, body_hash",
}


def _forget_page(table: str, first: bool) -> str:
    """The statement that deletes the next rows of a feature's day in key order, copying those that are held."""
    key = _KEYS[table]
    after = "" if first else f"AND ({key}) > ({', '.join(['%s'] * (key.count(',') + 1))})"
    matches = " AND ".join(f"s.{name} = p.{name}" for name in key.split(", "))
    return f"""
    WITH page AS MATERIALIZED (
        SELECT {key} FROM {table} WHERE feature_id = %s AND day = %s {after} ORDER BY {key} LIMIT {BATCH_ROWS}
    ), gone AS (
        DELETE FROM {table} s USING page p WHERE s.feature_id = %s AND s.day = %s AND {matches} RETURNING s.*
    ), kept AS (
        INSERT INTO held_{table} SELECT g.* FROM gone g WHERE {_HELD.format("g")}
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM kept), {key} FROM page
    ORDER BY {", ".join(f"{name} DESC" for name in key.split(", "))} LIMIT 1
    """


def _forget_of(feature: Feature, today: date, report: Report, until: float | None) -> None:
    """Delete a feature's rows of before its first kept day: traces first, so that none is found whose spans are
    gone; spans and log events only where the installation keeps longer, else their days are dropped whole.
    """
    version = active_version(feature.pk)
    kept_days = active_retention(feature.pk)
    before = first_kept_day(kept_days, today)
    account = _Account(feature, before, report)
    state = "stopped"
    try:
        _forget_traces(account, until)
        mark = RetentionMark.objects.filter(feature=feature).first()
        now = RetentionMark(
            feature=feature, policy=version.number if version else 0, kept_days=kept_days, before=before
        )
        same = mark is not None and (mark.policy, mark.kept_days) == (now.policy, now.kept_days)
        if not (same and mark is not None and mark.before >= before):
            # Two days again: a body in hand at midnight may have come after the last sweep.
            first = mark.before - timedelta(days=2) if same and mark is not None else date.min
            if kept_days < settings.RETENTION_DAYS:
                _forget_rows(account, first, until)
            _forget_rest(account)
            now.save()
        _forget_released(account)
        state = "done"
    finally:
        _finish(account, state)


def _batch(cursor: CursorWrapper) -> None:
    """Hold off new holds until the batch is committed: one that is placed now finds its rows, or waits."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('retention'))")


def _forget_traces(account: _Account, until: float | None) -> None:
    assert account.feature is not None
    before = datetime(account.before.year, account.before.month, account.before.day, tzinfo=UTC)
    given: dict[str, UUID | datetime | date | int] = {
        "feature": account.feature.pk,
        "before": before,
        "day": account.before,
        "limit": _BATCH_TRACES,
    }
    while True:
        _in_time(until)
        with transaction.atomic(), connection.cursor() as cursor:
            _batch(cursor)
            cursor.execute(_FORGET_TRACES, given)
            gone = int(cursor.fetchone()[0])
            if gone:
                account.add(cursor, traces=gone)
        if gone < _BATCH_TRACES:
            return


def _forget_rows(account: _Account, first: date, until: float | None) -> None:
    assert account.feature is not None
    with connection.cursor() as cursor:
        days = existing_days(cursor, _KEYS)
    for day, table in days:
        if not first <= day < account.before:
            continue
        scope: list[UUID | date] = [account.feature.pk, day]
        after: Sequence[Any] = ()
        while True:
            _in_time(until)
            with transaction.atomic(), connection.cursor() as cursor:
                _batch(cursor)
                cursor.execute(_forget_page(table, not after), [*scope, *after, *scope])
                row = cursor.fetchone()
                if row is None:
                    break
                counted = {"spans" if table == "span" else "events": row[0] - row[1], "held": row[1]}
                account.add(cursor, **counted)
            after = row[2:]


# Sums of steps of time and their marks: (table, column). The border is a day's, so none lies across it.
_STEPS: Final = (
    *(("dirty_minute", "minute"), ("dirty_hour", "hour"), ("dirty_day", "day")),
    *(("rollup_minute", "minute"), ("rollup_hour", "hour"), ("rollup_day", "day")),
)


def _forget_rest(account: _Account) -> None:
    """Delete what hangs on no trace: sums of the days that are gone, facts of traces that never came, conflicts,
    originals of tokens that no held span has.
    """
    feature, before = account.feature, account.before
    assert feature is not None
    with transaction.atomic(), connection.cursor() as cursor:
        _batch(cursor)
        for table, step in _STEPS:
            cursor.execute(f"DELETE FROM {table} WHERE feature_id = %s AND {step} < %s", [feature.pk, before])
        for table, at in (("fact", "created_at"), ("span_conflict", "received_at")):
            cursor.execute(
                f"DELETE FROM {table} o WHERE feature_id = %s AND {at} < %s AND NOT {_HELD.format('o')} AND NOT "
                "EXISTS (SELECT FROM trace t WHERE t.trace_id = o.trace_id AND t.feature_id = o.feature_id)",
                [feature.pk, before],
            )
        originals = forget_originals(feature.pk, before, _held_tokens(cursor, feature))
        if originals:
            account.add(cursor, originals=originals)
    Hold.objects.filter(feature=feature, released_at__lt=datetime.now(UTC) - _RELEASED_KEPT).delete()


def _held_tokens(cursor: CursorWrapper, feature: Feature) -> list[str]:
    """The tokens that stand in held traces: what they stand for is kept with them."""
    tokens: set[str] = set()
    for table in ("all_span", "all_log_event", "span_conflict"):
        cursor.execute(
            f"SELECT body::text FROM {table} WHERE feature_id = %s AND trace_id = ANY(ARRAY("
            "SELECT trace_id FROM hold WHERE feature_id = %s AND released_at IS NULL))",
            [feature.pk, feature.pk],
        )
        while bodies := cursor.fetchmany(500):
            tokens.update(tokens_in([body for (body,) in bodies]))
    return sorted(tokens)


def _forget_released(account: _Account) -> None:
    """Delete the copies of what nothing holds any more."""
    assert account.feature is not None
    for table in _KEYS:
        with transaction.atomic(), connection.cursor() as cursor:
            _batch(cursor)
            cursor.execute(
                f"DELETE FROM held_{table} s WHERE feature_id = %s AND day < %s AND NOT {_HELD.format('s')}",
                [account.feature.pk, account.before],
            )
            if cursor.rowcount:
                account.add(cursor, released=cursor.rowcount)


# --- what a run would take -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """What the next run would take away from a feature (None: whole days of the installation)."""

    feature: Feature | None
    before: date
    traces: int
    held: int
    days: Mapping[str, int]  # "span 2026-08-25" -> bytes


def due(now: datetime | None = None) -> list[Due]:
    """What a run would take away now, without taking it; held traces counted apart."""
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    found = []
    with connection.cursor() as cursor:
        for feature in Feature.objects.order_by("slug"):
            before = first_kept_day(active_retention(feature.pk), today)
            cursor.execute(
                f"SELECT count(*) FILTER (WHERE NOT {_HELD.format('t')}), "
                f"count(*) FILTER (WHERE {_HELD.format('t')}) FROM trace t "
                "WHERE feature_id = %s AND started_at < %s "
                "AND started_at + duration_ns / 1e9 * interval '1 second' < %s",
                [feature.pk, before, before],
            )
            traces, held = cursor.fetchone()
            found.append(Due(feature, before, traces, held, {}))
        before = _dropped_before(cursor, today)
        days = {}
        for day, parent in existing_days(cursor):
            if day < before:
                cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [f"{parent}_{day:%Y%m%d}"])
                days[f"{parent} {day}"] = int(cursor.fetchone()[0])
        found.append(Due(None, before, 0, 0, days))
    return found
