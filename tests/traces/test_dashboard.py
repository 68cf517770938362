"""The dashboard: every number with its n and its requests, nothing that reads as 0 when it is unknown, and the same
numbers to take away.
"""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from features.models import Feature, Person
from features.services import create_feature, create_person
from features.window import Window
from tests.support import Browser, Stack, unique
from tests.traces.trace_rows import put, settle_rollups
from traces.dashboard import dashboard, numbers_csv
from traces.marks import Mark, marks_of, register_marks
from traces.metrics import metrics_of


@pytest.fixture
def feature() -> Feature:
    return create_feature(slug=unique("board"), task="Resolve tier-1 billing tickets.")


@pytest.fixture
def browser(stack: Stack, feature: Feature) -> Browser:
    person, _ = create_person(name=unique("lee"), roles=[(feature.slug, "lead")])
    return Browser(stack, person)


def window(start: datetime, end: datetime) -> Window:
    return Window("", "a window", start, end, ())


def ago(**back: float) -> datetime:
    return datetime.now(UTC) - timedelta(**back)


def text_of(html: str) -> str:
    """The words of a page, without scripts and tags."""
    without = re.sub(r"<script.*?</script>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", without))).replace("\u202f", " ")


def overview(browser: Browser, feature: Feature, **params: str) -> str:
    answer = browser.get(f"/features/{feature.slug}/", params)
    assert answer.status_code == 200
    return answer.text


def test_a_figure_stands_with_n_interval_and_its_requests(browser: Browser, feature: Feature) -> None:
    put(feature, *({"started_at": ago(hours=1), "outcome": "success"} for _ in range(3)))
    put(feature, {"started_at": ago(hours=2), "outcome": "failed", "calls": [("refund", "error")]})
    html = overview(browser, feature)
    words = text_of(html)
    assert "75.0 %" in words
    assert "30.1 to 95.4, n 4 requests with a known outcome" in words
    assert re.search(rf'href="/features/{feature.slug}/traces/\?[^"]*outcome[=%]', html)
    assert "Recent failures" in words


def test_every_link_opens_a_list_that_can_be_read(browser: Browser, feature: Feature) -> None:
    evil = 'a "b" \\ (c) -d:e* \u00fc'
    put(
        feature,
        {"started_at": ago(hours=1), "variant": evil, "models": [evil], "calls": [(evil, "error")]},
        {"started_at": ago(hours=2), "cost_usd": "0.1", "budgeted_calls": 1, "waiting_ns": 10**9},
    )
    html = overview(browser, feature, window="24h")
    addresses = {
        unescape(found) for found in re.findall(rf'href="(/features/{feature.slug}/traces/\?[^"]*)"', html)
    }
    assert len(addresses) > 30
    for address in sorted(addresses, key=lambda one: ("from=" in one, one))[:45]:
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert 'id="line-wrong"' not in answer.text, address


def test_no_known_outcome_is_said_and_is_no_zero(browser: Browser, feature: Feature) -> None:
    put(feature, {"started_at": ago(hours=1), "outcome": "unknown"})
    words = text_of(overview(browser, feature))
    assert "No outcome is known, so there is no success rate" in words
    assert "Task success not enough data n 0" in words


def test_an_unknown_cost_is_said_with_its_share(browser: Browser, feature: Feature) -> None:
    put(
        feature,
        {"started_at": ago(hours=1), "cost_usd": "0.5"},
        {"started_at": ago(hours=1), "cost_usd": None},
    )
    words = text_of(overview(browser, feature))
    assert "The cost of 1 of 2 requests is unknown" in words
    assert "Cost per success unknown for 1 of 2 requests" in words


def test_baseline_and_canary_stand_side_by_side_on_one_scale(feature: Feature) -> None:
    put(feature, *({"started_at": ago(hours=1)} for _ in range(4)))
    put(feature, *({"started_at": ago(hours=1), "variant": "canary", "outcome": "failed"} for _ in range(2)))
    board = dashboard(feature, window(ago(days=1), ago(hours=0)), "hour")
    assert board.variants == ["baseline", "canary"]
    success = next(line for line in board.comparison if line.label == "Task success")
    assert [figure.value.replace("\u202f", " ") for figure in success.figures] == ["100 %", "0 %"]
    assert "variant" in success.figures[1].url
    assert "baseline 100" in success.figures[1].before
    (plot,) = [plot for plot in board.plots if plot.key == "task_success"]
    lines: Any = plot.figure["data"]
    assert [line["name"] for line in lines] == ["baseline", "canary"]
    assert all("yaxis" not in line for line in lines)


def test_the_week_before_is_told_from_chance(feature: Feature) -> None:
    put(feature, *({"started_at": ago(hours=1), "outcome": "failed"} for _ in range(40)))
    put(feature, *({"started_at": ago(days=7, hours=1)} for _ in range(40)))
    board = dashboard(feature, window(ago(days=1), ago(hours=0)), "hour")
    assert board.figures[0].before.endswith("n 40: lower now")
    assert board.figures[1].before.endswith("n 40: no clear change")


def test_marks_tell_a_new_version_a_policy_and_what_other_rooms_add(feature: Feature) -> None:
    put(feature, {"started_at": ago(days=3), "feature_version": "1.0"})
    put(feature, {"started_at": ago(hours=5), "feature_version": "2.0"})
    settle_rollups([feature])
    at = ago(hours=4)

    def source(of: Feature, start: datetime, end: datetime) -> list[Mark]:
        return (
            [Mark(at, "incident", "incident 7", "/here/")]
            if of.pk == feature.pk and start <= at < end
            else []
        )

    register_marks("test", source)
    marks = marks_of(feature, ago(days=1), ago(hours=0))
    assert [mark.words for mark in marks] == ["version 2.0 first seen", "incident 7"]


def test_a_hostile_name_is_no_markup_and_no_formula(browser: Browser, feature: Feature) -> None:
    evil = '=cmd|<img src=x onerror=alert(1)><a href="https://evil.example">\u202etxt'
    put(
        feature, {"started_at": ago(hours=1)}, {"started_at": ago(hours=1), "variant": evil, "models": [evil]}
    )
    html = overview(browser, feature)
    assert "<img" not in html
    assert "\u202e" not in text_of(html)
    rows = list(csv.reader(io.StringIO(numbers_csv(feature, window(ago(days=1), ago(hours=0)), "hour"))))
    assert {row[2] for row in rows[1:]} == {"", "baseline", f"'{evil}"}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_numbers_to_take_away_are_those_of_the_page(
    browser: Browser, feature: Feature, form: str
) -> None:
    put(
        feature,
        *({"started_at": ago(hours=1)} for _ in range(3)),
        {"started_at": ago(hours=1), "outcome": "failed"},
    )
    answer = browser.get(f"/features/{feature.slug}/numbers.{form}", {"window": "24h"})
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    if form == "json":
        body = answer.json()
        assert (body["total"]["task_success"]["k"], body["total"]["task_success"]["n"]) == (3, 4)
        assert sum(step["requests"] for step in body["steps"]) == 4
    else:
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        total = next(row for row in rows if row["metric"] == "task_success" and not row["variant"])
        assert (total["value"], total["k"], total["n"]) == ("0.75", "3", "4")


@pytest.mark.parametrize(
    ("params", "said"),
    [({"step": "year"}, "minute, hour, day"), ({"step": "minute", "window": "30d"}, "at most 800")],
)
def test_what_cannot_be_drawn_is_refused_with_what_can(
    browser: Browser, feature: Feature, params: dict[str, str], said: str
) -> None:
    put(feature, {"started_at": ago(hours=1)})
    for path in ("", "numbers.csv"):
        answer = browser.get(f"/features/{feature.slug}/{path}", params)
        assert answer.status_code == 400
        assert said in unescape(answer.text)


def plans(captured: CaptureQueriesContext) -> str:
    found = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            if query["sql"].lstrip().startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN {query['sql']}")
                found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def many(feature: Feature) -> None:
    """Enough rows that a scan of everything would be a choice of the planner."""
    with connection.cursor() as cursor:
        put(feature, {"started_at": ago(days=20), "trace_id": b"\x00" * 16})
        columns = (
            "name, variant, feature_version, segments, duration_ns, waiting_ns, status, outcome, outcome_source, "
            "llm_calls, llm_errors, embeddings, models, input_tokens, output_tokens, cached_input_tokens, tools, "
            "tool_calls, tool_errors, retries, violations, missing, span_count, summary"
        )
        cursor.execute(
            f"INSERT INTO trace (trace_id, feature_id, request_id, started_at, {columns}) "
            f"SELECT decode(md5(i::text || %s), 'hex'), feature_id, 'r' || i, "
            f"started_at + i * interval '1 minute', {columns} "
            "FROM trace, generate_series(1, 20000) AS i WHERE feature_id = %s AND trace_id = %s",
            [feature.slug, feature.pk, b"\x00" * 16],
        )
        cursor.execute(
            "INSERT INTO dirty_minute (feature_id, minute) "
            "SELECT DISTINCT feature_id, date_trunc('minute', started_at, 'UTC') "
            "FROM trace WHERE feature_id = %s ON CONFLICT DO NOTHING",
            [feature.pk],
        )
    settle_rollups([feature])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE trace, rollup_minute, rollup_hour, rollup_day")


def test_no_dashboard_and_no_board_scans_all_traces(feature: Feature) -> None:
    many(feature)
    put(feature, {"started_at": ago(days=1)})
    reads: list[Callable[[], object]] = [
        lambda: dashboard(feature, window(ago(days=14), ago(hours=0)), "day"),
        lambda: metrics_of([feature], ago(days=14), ago(hours=0), "day"),
    ]
    for read in reads:
        with CaptureQueriesContext(connection) as captured:
            read()
        plan = plans(captured)
        assert "rollup_day" in plan
        assert not re.search(r"Seq Scan on (trace|span|rollup_minute|rollup_hour)\b", plan), plan


def test_the_board_asks_once_for_all_features(feature: Feature) -> None:
    others = [create_feature(slug=unique("board"), task="Resolve tier-1 billing tickets.") for _ in range(3)]
    with CaptureQueriesContext(connection) as captured:
        found = metrics_of([feature, *others], ago(days=7), ago(hours=0), "day")
    assert sum("rollup_day" in query["sql"] for query in captured.captured_queries) == 1
    assert len(found) == 4


def test_a_stranger_takes_no_numbers_away(stack: Stack, feature: Feature) -> None:
    person: Person = create_person(name=unique("stranger"))[0]
    answer = Browser(stack, person).get(f"/features/{feature.slug}/numbers.csv")
    assert answer.status_code == 404
