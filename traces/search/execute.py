"""Execute: a page of the traces that a compiled query finds, in few milliseconds whether many match or none.

Newest first it looks at the newest rows by the index of times; when that does not fill the page it asks the index of
lexemes, the newest days first, in batches that double. Every statement has a time limit that becomes a message.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from features.errors import ClearanceError
from traces.search.compiled import Compiled, Condition
from traces.search.cursors import Order, Place, read_cursor, write_cursor

__all__ = ["EXACT_UP_TO", "Found", "Hit", "Looked", "Scope", "TooBroad", "count", "find"]

EXACT_UP_TO: Final = 10_000
SUBSTRING_ROWS: Final = 20_000
_WALK: Final = 1_000
_STATEMENT_MS: Final = 5_000
# A search by characters reads documents for so long, so many at a time.
_READ_SECONDS: Final = 1.5
_STEP: Final = 500
_COUNT_MS: Final = 1_500


class TooBroad(ClearanceError):
    """The search would take too long; it was given up."""

    def __init__(self) -> None:
        super().__init__(
            "too_broad",
            "This search looks at too much to answer in time.",
            "Narrow the time window, or add a term that few requests have.",
            field="q",
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look: these features, traces that started in [start, end)."""

    features: tuple[UUID, ...]
    start: datetime
    end: datetime

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day, which choose the partitions."""
        last = self.end.astimezone(UTC) - timedelta(microseconds=1)
        return self.start.astimezone(UTC).date(), last.date()


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found, with what it is ordered by."""

    trace_id: bytes
    feature_id: UUID
    started_at: datetime
    worked_ns: int
    cost_usd: Decimal | None

    def place(self, order: Order) -> Place:
        """Where it stands in a list of this order."""
        if order == "newest":
            return Place(self.started_at, self.trace_id)
        return Place(self.worked_ns if order == "slowest" else self.cost_usd, self.trace_id)


@dataclass(frozen=True, slots=True)
class Looked:
    """How far a search for characters got: so many documents, down to `back_to`; `more`: there are older ones."""

    documents: int
    back_to: datetime | None
    more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A page: its rows, the cursor of what follows, and for a search by characters how far it looked."""

    hits: list[Hit]
    next: str | None
    looked: Looked | None = None


_COLUMNS = "d.trace_id, d.feature_id, d.started_at, d.worked_ns, d.cost_usd"
_BY: Final[dict[Order, str]] = {"newest": "started_at", "slowest": "worked_ns", "dearest": "cost_usd"}


def find(scope: Scope, query: Compiled, order: Order, limit: int, cursor: str | None) -> Found:
    """A page of at most `limit`. Raises BadField for a cursor of another list, TooBroad when it takes too long."""
    after = read_cursor(cursor, order) if cursor else None
    if not scope.features or scope.start >= scope.end:
        return Found([], None)
    with bounded(_STATEMENT_MS) as database:
        if query.heavy:
            return _by_characters(database, scope, query, order, limit, after)
        hits = _hits(database, scope, query, order, limit + 1, after)
    following = write_cursor(hits[limit - 1].place(order), order) if len(hits) > limit else None
    return Found(hits[:limit], following)


def count(scope: Scope, query: Compiled, up_to: int = EXACT_UP_TO) -> int | None:
    """How many there are; `up_to` + 1 for more. None: it took too long to say."""
    if not scope.features or scope.start >= scope.end:
        return 0
    where = where_of(scope, query)
    sql = f"SELECT count(*) FROM (SELECT FROM search_document d WHERE {where.sql} LIMIT %s) c"
    try:
        with bounded(_COUNT_MS) as database:
            if query.selective:
                # With a LIMIT the planner walks an index of times in hope of many hits; here they are counted.
                database.execute("SET LOCAL enable_indexscan = off")
            database.execute(sql, [*where.parameters, up_to + 1])
            return int(database.fetchone()[0])
    except TooBroad:
        return None


@contextmanager
def bounded(milliseconds: int) -> Iterator[CursorWrapper]:
    """A cursor whose statements end after so long, by TooBroad. Small tables may not be read from end to end: what
    is fast in a young partition is not in a full one.
    """
    try:
        with transaction.atomic(), connection.cursor() as database:
            database.execute(
                f"SET LOCAL statement_timeout = {int(milliseconds)}; SET LOCAL enable_seqscan = off"
            )
            yield database
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise TooBroad from None
        raise


# --- the statements ------------------------------------------------------------------------------------------


def where_of(
    scope: Scope, query: Compiled, after: Place | None = None, order: Order = "newest", *, feature: str = ""
) -> Condition:
    """All that is asked of a row without its document. `feature`: the SQL of one feature, else all of the scope."""
    first, last = scope.days
    parts = ["d.day >= %s", "d.day <= %s", "d.started_at >= %s", "d.started_at < %s"]
    values: list[Any] = [first, last, scope.start, scope.end]
    if feature:
        parts.insert(0, f"d.feature_id = {feature}")
    else:
        parts.insert(0, "d.feature_id = ANY(%s::uuid[])")
        values.insert(0, list(scope.features))
    if query.tsquery is not None:
        parts.append("d.terms @@ %s::tsquery")
        values.append(query.tsquery)
    for one in query.light:
        parts.append(one.sql)
        values.extend(one.parameters)
    if order == "dearest":
        parts.append("d.cost_usd IS NOT NULL")
    if after is not None:
        parts.append(f"(d.{_BY[order]}, d.trace_id) < (%s, %s)")
        values.extend([after.by, after.trace_id])
    return Condition(" AND ".join(parts), tuple(values))


def _hits(
    database: CursorWrapper, scope: Scope, query: Compiled, order: Order, limit: int, after: Place | None
) -> list[Hit]:
    """The first `limit` after a place, all that is asked but documents."""
    if not query.selective:
        return _in_order(database, scope, query, order, limit, after)
    if order != "newest":
        return _by_lexemes(database, scope, query, order, limit, after)
    found = _newest(database, scope, query, limit, after)
    return found if found is not None else _day_by_day(database, scope, query, limit, after)


def _in_order(
    database: CursorWrapper, scope: Scope, query: Compiled, order: Order, limit: int, after: Place | None
) -> list[Hit]:
    """By the index of the order, a feature at a time, which keeps it in order."""
    where = where_of(scope, query, after, order, feature="f.id")
    by = _BY[order]
    sql = (
        f"SELECT {_COLUMNS} FROM unnest(%s::uuid[]) f (id) CROSS JOIN LATERAL "
        f"(SELECT * FROM search_document d WHERE {where.sql} ORDER BY d.{by} DESC, d.trace_id DESC LIMIT %s) d "
        f"ORDER BY d.{by} DESC, d.trace_id DESC LIMIT %s"
    )
    return _rows(database, sql, [list(scope.features), *where.parameters, limit, limit])


def _newest(
    database: CursorWrapper, scope: Scope, query: Compiled, limit: int, after: Place | None
) -> list[Hit] | None:
    """The page, if the newest rows fill it; None: they do not. Each feature gives its share of rows; what is older
    than the oldest row of a feature that has more is not compared, so not told.
    """
    everything = where_of(scope, Compiled(), after, feature="f.id")
    asked = where_of(scope, query)
    share = max(limit, _WALK // len(scope.features))
    sql = (
        "WITH seen AS MATERIALIZED ("
        "SELECT d.trace_id, d.feature_id, d.day, d.started_at, d.worked_ns, d.tokens, d.cost_usd, d.terms "
        "FROM unnest(%s::uuid[]) f (id) CROSS JOIN LATERAL "
        f"(SELECT * FROM search_document d WHERE {everything.sql} "
        "ORDER BY d.started_at DESC, d.trace_id DESC LIMIT %s) d"
        "), horizon AS (SELECT max(oldest) AS at FROM (SELECT min(started_at) AS oldest FROM seen "
        "GROUP BY feature_id HAVING count(*) >= %s) o) "
        f"SELECT {_COLUMNS} FROM seen d WHERE {asked.sql} "
        "AND d.started_at > coalesce((SELECT at FROM horizon), '-infinity') "
        "ORDER BY d.started_at DESC, d.trace_id DESC LIMIT %s"
    )
    values = [list(scope.features), *everything.parameters, share, share, *asked.parameters, limit]
    found = _rows(database, sql, values)
    return found if len(found) == limit else None


def _day_by_day(
    database: CursorWrapper, scope: Scope, query: Compiled, limit: int, after: Place | None
) -> list[Hit]:
    """By the index of lexemes, from the newest day back in batches of 1, 2, 4, ... days, until the page is full."""
    first, last = scope.days
    if after is not None and isinstance(after.by, datetime):
        last = min(last, after.by.astimezone(UTC).date())
    found: list[Hit] = []
    batch = 1
    while last >= first and len(found) < limit:
        start = max(first, last - timedelta(days=batch - 1))
        part = Scope(
            scope.features,
            max(scope.start, datetime(start.year, start.month, start.day, tzinfo=UTC)),
            min(scope.end, datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)),
        )
        found += _by_lexemes(database, part, query, "newest", limit - len(found), after)
        last = start - timedelta(days=1)
        batch *= 2
    return found


def _by_lexemes(
    database: CursorWrapper, scope: Scope, query: Compiled, order: Order, limit: int, after: Place | None
) -> list[Hit]:
    """All that match, sorted: materialised first, or the planner walks an index of times in hope of a hit."""
    where = where_of(scope, query, after, order)
    by = _BY[order]
    sql = (
        f"WITH hits AS MATERIALIZED (SELECT {_COLUMNS} FROM search_document d WHERE {where.sql}) "
        f"SELECT * FROM hits ORDER BY {by} DESC, trace_id DESC LIMIT %s"
    )
    return _rows(database, sql, [*where.parameters, limit])


def _by_characters(
    database: CursorWrapper, scope: Scope, query: Compiled, order: Order, limit: int, after: Place | None
) -> Found:
    """What the other terms leave, read document by document, in steps: a page that fills at once reads little, and
    one that does not ends in time.
    """
    until = time.monotonic() + _READ_SECONDS
    kept: list[Hit] = []
    read, more, place = 0, True, after
    last: Hit | None = None
    while more and len(kept) <= limit and read < SUBSTRING_ROWS and time.monotonic() < until:
        size = min(_STEP, SUBSTRING_ROWS - read)
        step = _hits(database, scope, query, order, size, place)
        kept += _holding(database, query, step)
        read, more = read + len(step), len(step) == size
        last = step[-1] if step else last
        place = last.place(order) if last else place
    if len(kept) > limit:
        end = kept[limit - 1]
        return Found(kept[:limit], write_cursor(end.place(order), order), Looked(read, end.started_at, True))
    looked = Looked(read, last.started_at if last else None, more)
    return Found(kept, write_cursor(last.place(order), order) if more and last else None, looked)


def _holding(database: CursorWrapper, query: Compiled, rows: Sequence[Hit]) -> list[Hit]:
    """Those whose documents answer."""
    asked = " AND ".join(one.sql for one in query.heavy)
    database.execute(
        "SELECT d.trace_id, d.feature_id FROM unnest(%s::bytea[], %s::uuid[], %s::date[]) k (t, f, y) "
        "JOIN search_document d ON d.trace_id = k.t AND d.feature_id = k.f AND d.day = k.y "
        f"WHERE {asked}",
        [
            [hit.trace_id for hit in rows],
            [hit.feature_id for hit in rows],
            [hit.started_at.astimezone(UTC).date() for hit in rows],
            *(value for one in query.heavy for value in one.parameters),
        ],
    )
    here = {(bytes(trace_id), feature_id) for trace_id, feature_id in database.fetchall()}
    return [hit for hit in rows if (hit.trace_id, hit.feature_id) in here]


def _rows(database: CursorWrapper, sql: str, values: Sequence[Any]) -> list[Hit]:
    database.execute(sql, values)
    return [Hit(bytes(row[0]), *row[1:]) for row in database.fetchall()]
