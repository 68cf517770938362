"""When a budget's hour, day and week begin: by the clock on the wall, also at midnight and when clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.services.budgets import begin_of

ZONES = ("UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
moments = st.datetimes(
    min_value=datetime(2010, 1, 1),
    max_value=datetime(2030, 12, 31),
    timezones=st.just(UTC),
)
LONGEST = {"hour": timedelta(hours=2), "day": timedelta(hours=26), "week": timedelta(hours=7 * 24 + 26)}


@given(at=moments, zone=st.sampled_from(ZONES), per=st.sampled_from(sorted(LONGEST)))
def test_a_period_holds_its_moment_and_begins_where_its_name_says(at: datetime, zone: str, per: str) -> None:
    begin = begin_of(per, at, zone)
    assert begin <= at < begin + LONGEST[per]
    local = begin.astimezone(ZoneInfo(zone))
    assert (local.second, local.microsecond) == (0, 0)
    if per == "week":
        assert begin.weekday() == 0
    if per != "hour":
        assert begin.date() <= at.astimezone(ZoneInfo(zone)).date()


@given(at=moments, zone=st.sampled_from(ZONES), per=st.sampled_from(sorted(LONGEST)))
def test_what_lies_in_one_period_has_one_beginning(at: datetime, zone: str, per: str) -> None:
    begin = begin_of(per, at, zone)
    assert begin_of(per, begin.astimezone(UTC), zone) == begin


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-03-28T22:59:59+00:00", "2026-03-27T23:00:00+00:00"),
        ("2026-03-28T23:00:00+00:00", "2026-03-28T23:00:00+00:00"),
        ("2026-03-29T21:59:59+00:00", "2026-03-28T23:00:00+00:00"),  # a day of 23 hours
        ("2026-03-29T22:00:00+00:00", "2026-03-29T22:00:00+00:00"),
        ("2026-10-25T22:59:59+00:00", "2026-10-24T22:00:00+00:00"),  # a day of 25 hours
        ("2026-10-25T23:00:00+00:00", "2026-10-25T23:00:00+00:00"),
    ],
)
def test_days_end_at_midnight_of_the_wall_when_clocks_change(at: str, day: str) -> None:
    assert begin_of("day", datetime.fromisoformat(at), "Europe/Zurich") == datetime.fromisoformat(day)


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    begins = [begin_of("hour", at, "Europe/Zurich") for at in (first, second)]
    assert begins[1] - begins[0] == timedelta(hours=1)
