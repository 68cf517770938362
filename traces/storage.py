"""What is stored, how much of it, and when it goes: what the pages of storage show."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec
from django.conf import settings
from django.db import connection

from features.models import Feature
from features.policy.active import active_version
from traces.metrics import metrics_of
from traces.models import RetentionRun
from traces.retention import PARENTS, active_retention, first_kept_day

# What the other tables are called on the page, in its order; names of tables, or how they begin.
_GROUPS = (
    ("Summaries of requests", ("trace",)),
    ("Sums for the dashboard", ("rollup_",)),
    ("Held copies", ("held_", "search_document_held")),
    ("Originals of tokens", ("vault_entry",)),
    ("Facts and feedback", ("fact",)),
    ("Audit record", ("record", "head", "checkpoint", "archived")),
)


class DayLine(msgspec.Struct, frozen=True):
    """A day's requests and what they take. `percent` is of the largest day, for its bar."""

    day: date
    requests: int | None
    rows: int | None  # spans, as the planner knows them; None: not counted yet
    spans: int  # bytes, with indexes
    events: int
    documents: int
    percent: int = 0

    @property
    def bytes(self) -> int:
        """All of the day."""
        return self.spans + self.events + self.documents


class Kept(msgspec.Struct, frozen=True):
    """How long a feature's requests are kept, by whose word, and what goes next."""

    feature: Feature
    days: int
    policy: int | None  # the version that says so; None: the installation
    first_day: date  # the first that is kept
    next_at: datetime | None  # when `next_day` goes; None: nothing is stored
    next_day: date | None
    held: int  # traces


class Sizes(msgspec.Struct, frozen=True):
    """What the installation takes, in bytes: in all, by day, and what is not by day."""

    total: int
    days: list[DayLine]
    others: list[tuple[str, int]]


def day_lines(today: date, first: date) -> list[DayLine]:
    """What each day from `first` to today takes, the newest first; days of which nothing is there are left out."""
    sizes: dict[date, dict[str, int]] = {}
    rows: dict[date, int | None] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.relname, to_date(right(c.relname, 8), 'YYYYMMDD'), pg_total_relation_size(c.oid), c.reltuples "
            "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent "
            "WHERE p.oid = ANY(%s::regclass[]) AND c.relname ~ '_[0-9]{8}$'",
            [[f"public.{parent}" for parent in PARENTS]],
        )
        for parent, day, size, counted in cursor.fetchall():
            if first <= day <= today:
                sizes.setdefault(day, {})[parent] = size
                if parent == "span":
                    rows[day] = int(counted) if counted >= 0 else None
    lines = [
        DayLine(
            day=day,
            requests=None,
            rows=rows.get(day),
            spans=of.get("span", 0),
            events=of.get("log_event", 0),
            documents=of.get("search_document", 0),
        )
        for day, of in sorted(sizes.items(), reverse=True)
    ]
    return _scaled(lines)


def _scaled(lines: Sequence[DayLine]) -> list[DayLine]:
    most = max((line.bytes for line in lines), default=0) or 1
    return [msgspec.structs.replace(line, percent=round(100 * line.bytes / most)) for line in lines]


def installation_sizes(now: datetime) -> Sizes:
    """What all of it takes; of the tables of days those that are still there, also past their time."""
    today = now.astimezone(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        total = int(cursor.fetchone()[0])
        cursor.execute(
            "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = "
            "c.relnamespace WHERE n.nspname IN ('public', 'audit') AND c.relkind = 'r'"
        )
        tables = dict(cursor.fetchall())
    others = [
        (words, sum(size for name, size in tables.items() if any(_is_of(name, start) for start in starts)))
        for words, starts in _GROUPS
    ]
    return Sizes(total, day_lines(today, date.min), others)


def _is_of(name: str, start: str) -> bool:
    """A table by its name, by how it begins, or one of the parts that a number ends."""
    return (
        name == start
        or (start.endswith("_") and name.startswith(start))
        or (name.startswith(f"{start}_") and name.removeprefix(f"{start}_").isdigit())
    )


def feature_days(feature: Feature, now: datetime) -> list[DayLine]:
    """The feature's requests by day, the newest first, and the share of the day's bytes that falls to them by their
    number: an estimate. Empty days between are there, with 0.
    """
    today = now.astimezone(UTC).date()
    first = first_kept_day(active_retention(feature.pk), today)
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    _, points = metrics_of([feature], start, now, "day")[feature.pk]
    mine = {point.start.date(): point.group.requests for point in points}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (hour AT TIME ZONE 'UTC')::date, sum(requests) FROM rollup_hour "
            "WHERE dimension = '' AND hour >= %s GROUP BY 1",
            [start],
        )
        everybody = dict(cursor.fetchall())
    lines = []
    for line in day_lines(today, first):
        requests = mine.get(line.day, 0)
        share = requests / max(everybody.get(line.day, 0), requests, 1)
        lines.append(
            DayLine(
                day=line.day,
                requests=requests,
                rows=None,
                spans=round(line.spans * share),
                events=round(line.events * share),
                documents=round(line.documents * share),
            )
        )
    while lines and not lines[-1].requests:
        lines.pop()  # before its first request
    return _scaled(lines)


def kept_of(features: Sequence[Feature], now: datetime) -> list[Kept]:
    """How long each feature's requests are kept."""
    today = now.astimezone(UTC).date()
    found = []
    for feature in features:
        version = active_version(feature.pk)
        days = active_retention(feature.pk)
        first = first_kept_day(days, today)
        by_policy = version is not None and days < settings.RETENTION_DAYS
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT started_at FROM trace t WHERE feature_id = %(f)s AND NOT EXISTS (SELECT FROM hold h "
                "WHERE h.trace_id = t.trace_id AND h.feature_id = t.feature_id AND h.released_at IS NULL) "
                "ORDER BY started_at LIMIT 1), "
                "(SELECT count(DISTINCT trace_id) FROM hold WHERE feature_id = %(f)s AND released_at IS NULL)",
                {"f": feature.pk},
            )
            oldest, held = cursor.fetchone()
        oldest_day = oldest.astimezone(UTC).date() if oldest else None
        found.append(
            Kept(
                feature=feature,
                days=days,
                policy=version.number if by_policy and version is not None else None,
                first_day=first,
                next_day=oldest_day,
                next_at=_goes_at(oldest_day, today - first) if oldest_day else None,
                held=held,
            )
        )
    return found


def _goes_at(day: date, kept: timedelta) -> datetime:
    """When a day is past retention: the first midnight (UTC) at which it is before the first day that is kept."""
    after = day + kept + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=UTC)


def next_drop(lines: Sequence[DayLine]) -> tuple[date, datetime] | None:
    """(the oldest day that is there, when it is dropped)."""
    if not lines:
        return None
    oldest = lines[-1].day
    return oldest, _goes_at(oldest, timedelta(days=settings.RETENTION_DAYS + 1))


def latest_runs(feature: Feature | None, limit: int = 10) -> list[RetentionRun]:
    """The latest runs over a feature's rows, or over the installation's days (no feature)."""
    return list(RetentionRun.objects.filter(feature=feature).order_by("-started_at")[:limit])
