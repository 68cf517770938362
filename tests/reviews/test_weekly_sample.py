"""The week's sample: drawn once, from a seed, explained, and never changed by what comes later."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, transaction

from audit.queries import records
from features.errors import ClearanceError, ConflictError
from features.models import Notice
from features.services import create_feature
from reviews.models import Sample, SampleItem
from reviews.services import draw_due, draw_week, draw_window
from reviews.weeks import bounds
from tests.racing import race
from tests.reviews.support import Desk
from tests.support import unique
from tests.traces.trace_rows import put
from traces.models import FactRow, Hold


def test_a_sample_is_as_large_as_the_policy_asks_and_says_how_each_request_got_in() -> None:
    desk = Desk(300)
    sample = desk.draw()
    items = list(sample.items.all())
    assert (len(items), sample.population, sample.asked) == (40, 300, 40)
    assert sorted(item.place for item in items) == list(range(40))
    assert all(item.why and 0 < item.chance <= 1 for item in items)
    assert sum(item.weight for item in items) == pytest.approx(300)
    assert {stratum["key"] for stratum in sample.strata} == {item.stratum for item in items}
    rare = [one for one in sample.strata if one["key"].startswith("rare")]
    assert len(rare) == 2
    assert all(one["drawn"] >= 3 for one in rare)


def test_a_week_with_fewer_requests_is_drawn_whole() -> None:
    sample = Desk(11).draw()
    assert sample.items.count() == sample.population == 11
    assert all(item.weight == 1 for item in sample.items.all())


def test_the_same_seed_draws_the_same_requests() -> None:
    desk = Desk(200)
    first = draw_window(desk.feature, *bounds(desk.week, "UTC"), seed="7").sample
    again = draw_window(desk.feature, *bounds(desk.week, "UTC"), seed="7").sample
    other = draw_window(desk.feature, *bounds(desk.week, "UTC"), seed="8").sample

    def drawn(sample: Sample) -> list[tuple[object, ...]]:
        rows = sample.items.order_by("place").values_list("trace_id", "place", "stratum", "wanted")
        return [(bytes(trace), *rest) for trace, *rest in rows]

    assert drawn(first) == drawn(again)
    assert drawn(first) != drawn(other)


def test_two_workers_that_draw_the_same_week_at_once_draw_one_week() -> None:
    for _ in range(4):
        desk = Desk(80)
        drawings = race(*[lambda desk=desk: draw_week(desk.feature, desk.week) for _ in range(4)])
        assert sorted(one.new for one in drawings) == [False, False, False, True]
        assert len({one.sample.pk for one in drawings}) == 1
        assert SampleItem.objects.filter(sample__feature=desk.feature).count() == 40


def test_a_late_trace_does_not_change_a_drawn_week() -> None:
    desk = Desk(50)
    sample = desk.draw()
    before = list(sample.items.order_by("place").values_list("trace_id", "weight"))
    desk.fill(30, violations=1)
    assert draw_week(desk.feature, desk.week) == type(draw_week(desk.feature, desk.week))(sample, False)
    again = Sample.objects.get(pk=sample.pk)
    assert list(again.items.order_by("place").values_list("trace_id", "weight")) == before
    assert again.population == 50


def test_a_drawn_week_is_not_drawn_from_another_seed() -> None:
    desk = Desk(50)
    desk.draw("1")
    assert not draw_week(desk.feature, desk.week, seed="1").new
    with pytest.raises(ConflictError, match="seed 1"):
        draw_week(desk.feature, desk.week, seed="2")


def test_the_database_refuses_to_change_what_was_drawn() -> None:
    item = Desk(20).draw().items.first()
    assert item is not None
    for change in ({"weight": 2.0}, {"stratum": "x"}, {"wanted": 3}):
        with pytest.raises(DatabaseError), transaction.atomic():
            SampleItem.objects.filter(pk=item.pk).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        Sample.objects.filter(pk=item.sample_id).update(seed="other")
    with pytest.raises(DatabaseError), transaction.atomic():
        item.delete()


def test_what_was_denied_is_a_stratum_with_a_floor() -> None:
    desk = Desk(0)
    plain = desk.fill(200, outcome="success")
    for trace_id in plain[:4]:
        FactRow.objects.create(
            feature=desk.feature, trace_id=trace_id, kind="decision", source="d", value={"answer": "deny"}
        )
    sample = desk.draw()
    denied = [item for item in sample.items.all() if bytes(item.trace_id) in plain[:4]]
    assert len(denied) >= 3
    assert {item.stratum for item in denied} == {"rare:denied"}


def test_what_is_drawn_is_held_and_recorded_and_told() -> None:
    desk = Desk(20)
    reviewer = desk.person()
    sample = desk.draw()
    held = Hold.objects.filter(
        feature=desk.feature, kind="review", reference=str(sample.pk), released_at=None
    )
    assert {bytes(hold.trace_id) for hold in held} == {bytes(item.trace_id) for item in sample.items.all()}
    mine = [one for one in records() if one["subject"] == str(sample.pk)]
    assert [one["action"] for one in mine] == ["sample.drawn"]
    assert Notice.objects.filter(
        kind="sample.drawn", feature=desk.feature, deliveries__person=reviewer
    ).exists()


def test_nothing_to_draw_from_a_bad_week_and_one_to_come_are_refused() -> None:
    empty = create_feature(slug=unique("agent"))
    with pytest.raises(ClearanceError, match="nothing to draw"):
        draw_week(empty, "2026-W01")
    assert not Sample.objects.filter(feature=empty).exists()
    for week in ("2026-W60", "yesterday", "2099-W01", "2026-w01"):
        with pytest.raises(ClearanceError):
            draw_week(empty, week)
    now = datetime.now(UTC)
    with pytest.raises(ClearanceError, match="ends before"):
        draw_window(empty, now, now - timedelta(days=1))


def test_on_monday_each_feature_gets_last_weeks_sample_once() -> None:
    desk = Desk(30)
    _, end = bounds(desk.week, "UTC")
    draw_due(end + timedelta(hours=1))
    assert not Sample.objects.filter(feature=desk.feature).exists()
    draw_due(end + timedelta(hours=3))
    draw_due(end + timedelta(hours=4))
    sample = Sample.objects.get(feature=desk.feature)
    assert (sample.week, sample.starts_at, sample.ends_at) == (desk.week, *bounds(desk.week, "UTC"))


def test_a_week_lasts_as_long_as_its_clock_says() -> None:
    spring = bounds("2026-W13", "Europe/Zurich")  # the clocks go forward on 29 March 2026
    autumn = bounds("2026-W43", "Europe/Zurich")
    assert [(end - start) / timedelta(hours=1) for start, end in (spring, autumn)] == [167, 169]


def test_requests_outside_of_the_week_are_not_drawn() -> None:
    desk = Desk(5)
    _, end = bounds(desk.week, "UTC")
    put(desk.feature, {"started_at": end}, {"started_at": end - timedelta(days=8)})
    assert {bytes(item.trace_id) for item in desk.draw().items.all()} == set(desk.traces)
