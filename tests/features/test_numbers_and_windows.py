"""Numbers are written without lying, and a time window stands in the URL or is refused with a reason."""

from datetime import UTC, datetime, timedelta

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from features import numbers
from features.problems import BadField
from features.window import WITH_ALL, parse_window

NOW = datetime(2026, 11, 24, 9, 38, 12, tzinfo=UTC)


@given(st.floats(min_value=0, max_value=1))
def test_only_nothing_is_written_as_0_and_only_all_as_100(rate: float) -> None:
    text = numbers.percent_bare(rate)
    assert (text == "0") == (rate == 0)
    assert (text == "100") == (rate == 1)
    assert text not in {"0.0", "100.0"}


def test_durations_have_the_unit_that_people_use() -> None:
    written = [numbers.seconds(value) for value in (0.0004, 0.55, 1.92, 48.04, 179, 11_520)]
    assert [text.replace("\u202f", " ") for text in written] == [
        "0.4 ms",
        "550 ms",
        "1.92 s",
        "48.0 s",
        "2 min 59 s",
        "3 h 12 min",
    ]


def test_times_are_relative_until_the_day_says_more() -> None:
    ago = [
        timedelta(seconds=3),
        timedelta(minutes=3),
        timedelta(hours=20),
        timedelta(days=3),
        timedelta(days=40),
    ]
    assert [numbers.relative(NOW - one, NOW) for one in ago] == [
        "just now",
        "3 min ago",
        "20 h ago",
        "3 days ago",
        "15 Oct",
    ]


def test_a_window_reproduces_itself_from_its_query() -> None:
    for text in ("window=24h", "window=30d", "from=2026-11-01T00:00:00Z&to=2026-11-02T12:30:00Z"):
        window = parse_window(QueryDict(text), NOW)
        query = QueryDict(mutable=True)
        query.update(window.query)
        assert parse_window(query, NOW) == window


def test_a_window_ends_after_what_a_fast_clock_may_send() -> None:
    assert parse_window(QueryDict(""), NOW).end >= NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("window=banana", "window"),
        ("window=all", "window"),
        ("from=yesterday", "from"),
        ("from=2026-11-02&to=2026-11-01", "to"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("to=9999-12-31T23:59:59-23:59", "to"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_by_its_name(text: str, field: str) -> None:
    with pytest.raises(BadField) as refused:
        parse_window(QueryDict(text), NOW)
    assert refused.value.field == field


def test_lists_may_look_at_all_that_is_kept() -> None:
    assert parse_window(QueryDict("window=all"), NOW, WITH_ALL).name == "all"
