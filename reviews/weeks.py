"""Weeks as ISO 8601 names them, `2026-W47`, from Monday to Monday in a feature's time zone."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_WEEK = re.compile(r"(\d{4})-W(\d{2})")


def week_of(at: datetime, zone: str) -> str:
    """The week in which a time lies, where the feature lives."""
    year, number, _ = at.astimezone(ZoneInfo(zone)).isocalendar()
    return f"{year}-W{number:02}"


def bounds(week: str, zone: str) -> tuple[datetime, datetime]:
    """[start, end) of a week as aware UTC; 167 to 169 hours where the clocks change. ValueError for what is no week."""
    monday = _monday(week)
    ends = (monday, monday + timedelta(days=7))
    start, end = (datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) for day in ends)
    return start, end


def before(week: str) -> str:
    """The week before."""
    year, number, _ = (_monday(week) - timedelta(days=7)).isocalendar()
    return f"{year}-W{number:02}"


def _monday(week: str) -> date:
    found = _WEEK.fullmatch(week)
    if found is None:
        raise ValueError(f"{week[:40]!r} is no week: write it as 2026-W47")
    try:
        return date.fromisocalendar(int(found[1]), int(found[2]), 1)
    except ValueError as error:
        raise ValueError(f"{week} is no week: {found[1]} has none of this number") from error
