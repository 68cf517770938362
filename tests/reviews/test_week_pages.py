"""The pages of samples over HTTP: what each shows, to whom, and what it hides while somebody may still grade."""

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.queries import records
from features.clock import clock
from features.models import Person
from features.services import create_feature, create_person
from reviews.models import Reflection, Review, Sample
from reviews.services import claim, close_sample, flag, skip
from reviews.weeks import before, week_of
from tests.reviews.support import Desk, grade, grade_all
from tests.reviews.test_results import fresh, place_of
from tests.support import Browser, Stack, apart, unique


@pytest.fixture
def desk() -> Desk:
    return Desk(60)


def graded(desk: Desk, sample: Sample, **changed: int) -> tuple[Person, Person]:
    """Two people grade all that they are handed."""
    one, other = desk.person(), desk.person()
    grade_all(sample, one, **changed)
    grade_all(sample, other, **changed)
    return one, other


def address(desk: Desk, sample: Sample, rest: str = "") -> str:
    return f"/features/{desk.feature.slug}/reviews/{sample.pk}/{rest}"


def rows_of(text: str) -> int:
    """How many requests the page lists."""
    body = text.split('id="items"')[1].split("</section>")[0]
    return body.count('class="open mono"')


# The list of the weeks.


def test_without_traffic_the_page_says_how_to_begin(stack: Stack) -> None:
    feature = create_feature(slug=unique("agent"))
    lead, _ = create_person(name=unique("lead"), roles=[(feature.slug, "lead")])
    text = Browser(stack, lead).get(f"/features/{feature.slug}/reviews/").text
    assert "No sample yet" in text
    assert "Send the first trace" in text
    assert "No policy is in force" in text


def test_with_traffic_and_no_sample_it_says_how_one_is_drawn(stack: Stack, desk: Desk) -> None:
    viewer = Browser(stack, desk.person("viewer"))
    text = viewer.get(f"/features/{desk.feature.slug}/reviews/").text
    assert "with more of what is rare, is drawn" in text
    # A promise only where something keeps it.
    assert ("is drawn on <b>Monday" in text) == ("reviews-weekly" in settings.CELERY_BEAT_SCHEDULE)
    assert "Draw a sample" not in text


def test_closed_weeks_show_their_figures_and_open_ones_how_far_they_are(stack: Stack, desk: Desk) -> None:
    older = Desk(60, feature=desk.feature, week=before(desk.week))
    oldest = Desk(60, feature=desk.feature, week=before(older.week))
    for one, tone in ((older, 3), (oldest, 4)):
        sample = one.draw()
        graded(desk, sample, tone=tone)
        close_sample(fresh(sample))
    desk.draw()
    text = Browser(stack, desk.person("viewer")).get(f"/features/{desk.feature.slug}/reviews/").text
    assert text.index(desk.week) < text.index(older.week) < text.index(oldest.week)
    assert "when it closes" in text
    assert "0 of 40" in text
    assert f"{older.week} against the weeks before it" in text
    assert 'data-figure="tone-figure"' in text
    assert "8 by two" in text


def test_a_lead_draws_last_week_once_and_a_window_by_hand(stack: Stack, desk: Desk) -> None:
    lead = Browser(stack, desk.person("lead"))
    at = f"/features/{desk.feature.slug}/reviews/draw"
    drawn = lead.post(at, {"of": "week"})
    assert drawn.status_code == 302
    sample = Sample.objects.get(feature=desk.feature)
    assert (sample.week, sample.drawn_by is not None) == (desk.week, True)
    assert "drawn already" in lead.post(at, {"of": "week"}, follow=True).text
    start, end = sample.starts_at, sample.ends_at
    window = {"start": f"{start:%Y-%m-%dT%H:%M}", "end": f"{end:%Y-%m-%dT%H:%M}", "size": "25"}
    assert lead.post(at, window).status_code == 302
    by_hand = Sample.objects.get(feature=desk.feature, week=None)
    assert (by_hand.asked, by_hand.starts_at) == (25, start)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": "501"}, "500"),
        ({"size": "0"}, "1"),
        ({"start": "soon"}, "valid date"),
        ({"end": "2026-01-01T00:00"}, "ends before it begins"),
        ({"start": "2019-01-01T00:00", "end": "2019-01-02T00:00"}, "nothing to draw from"),
    ],
)
def test_a_window_that_cannot_be_drawn_is_refused_beside_its_field(
    stack: Stack, desk: Desk, changed: dict[str, str], said: str
) -> None:
    lead = Browser(stack, desk.person("lead"))
    window = {"start": "2026-02-01T00:00", "end": "2026-02-02T00:00", "size": "25", **changed}
    answer = lead.post(f"/features/{desk.feature.slug}/reviews/draw", window)
    assert answer.status_code == 400
    assert said in answer.text
    assert not Sample.objects.filter(feature=desk.feature).exists()


def test_only_leads_draw_close_and_take_away(stack: Stack, desk: Desk) -> None:
    sample = desk.draw()
    for role in ("reviewer", "viewer", "approver", "on_call"):
        browser = Browser(stack, desk.person(role))
        posted = browser.post(f"/features/{desk.feature.slug}/reviews/draw", {"of": "week"})
        closed = browser.post(address(desk, sample, "close"), {"ungraded": "40"})
        taken = browser.get(address(desk, sample, "export.csv"))
        assert {posted.status_code, closed.status_code, taken.status_code} == {403}


# One sample.


def test_who_may_still_grade_sees_how_far_it_is_and_nothing_that_would_tell(stack: Stack, desk: Desk) -> None:
    sample = desk.draw()
    first = desk.person()
    review = claim(sample, first)
    assert review is not None
    grade(review, first, tone=1)
    item = sample.items.filter(stratum="rare:violation").first()
    assert item is not None
    for role in ("reviewer", "lead"):
        text = Browser(stack, desk.person(role)).get(address(desk, sample)).text
        assert "You may still grade here" in text
        assert "of 40" in text
        for hidden in ("rare:violation", bytes(item.trace_id).hex(), "Passes, weighted", "Weight"):
            assert hidden not in text
    text = Browser(stack, desk.person("viewer")).get(address(desk, sample)).text
    assert "rare:violation" in text
    assert bytes(item.trace_id).hex() in text


def test_who_has_nothing_left_sees_all_of_it(stack: Stack, desk: Desk) -> None:
    sample = desk.draw()
    one, _ = graded(desk, sample)
    for person in (one, desk.person(), desk.person("lead")):
        text = Browser(stack, person).get(address(desk, sample)).text
        assert "You may still grade here" not in text
        assert "rare:violation" in text
        assert "Passes, weighted" in text
        assert "not enough double grades" in text


def test_each_figure_opens_the_requests_behind_it(stack: Stack, desk: Desk) -> None:
    sample, person, other = desk.draw(), desk.person(), desk.person()
    rare = sample.items.filter(stratum="rare:violation").count()
    for each in (person, other):
        while (review := claim(sample, each)) is not None:
            assert review.item is not None
            grade(review, each, tone=2 if review.item.stratum == "rare:violation" else 5)
    browser = Browser(stack, desk.person("viewer"))

    def shown(query: str) -> int:
        return rows_of(browser.get(address(desk, sample) + query).text)

    assert shown("") == 40
    assert shown("?criterion=tone&value=2") == rare
    assert shown("?criterion=tone&value=passing") == 40 - rare
    assert shown("?criterion=tone&value=failing") == rare
    assert shown("?stratum=rare%3Aviolation") == rare
    assert shown("?how=agreed") == 8
    assert shown("?how=single") == 32
    # What the sample has not says nothing; it is no error and shows no half of a page.
    assert shown("?criterion=humour&value=9&stratum=x&how=y&page=99") == 40
    text = browser.get(address(desk, sample)).text
    for link in set(re.findall(r'href="(\?criterion=[^"#]+)#items"', text)):
        assert shown(link.replace("&amp;", "&")) > 0


def test_skips_flags_and_the_hostile_text_in_them_are_shown_as_text(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    item = sample.items.filter(wanted=1).first()
    other = sample.items.filter(wanted=1).last()
    assert item is not None
    assert other is not None
    (review,) = place_of(sample, item, person)
    flag(review.pk, "violation", "<img src=x onerror=alert(1)>", person)
    skip(review.pk, "<b>no idea</b>", person)
    text = Browser(stack, desk.person("viewer")).get(address(desk, sample)).text
    assert "&lt;img src=x" in text
    assert "&lt;b&gt;no idea" in text
    assert "<img" not in text
    assert "Skipped by all who had it" in text


def test_a_lead_sees_who_did_what_and_others_only_themselves(stack: Stack, desk: Desk) -> None:
    sample = desk.draw()
    one, other = graded(desk, sample)
    seen_by_lead = Browser(stack, desk.person("lead")).get(address(desk, sample)).text
    assert one.name in seen_by_lead
    assert other.name in seen_by_lead
    seen_by_one = Browser(stack, one).get(address(desk, sample)).text
    assert one.name in seen_by_one
    assert other.name not in seen_by_one
    assert "1 other" in seen_by_one
    seen_by_viewer = Browser(stack, desk.person("viewer")).get(address(desk, sample)).text
    assert one.name not in seen_by_viewer


def test_a_lead_closes_it_and_is_told_when_more_was_graded_meanwhile(stack: Stack, desk: Desk) -> None:
    sample, lead = desk.draw(), Browser(stack, desk.person("lead"))
    assert 'name="ungraded" value="40"' in lead.get(address(desk, sample)).text
    person = desk.person()
    item = sample.items.filter(wanted=1).first()
    assert item is not None
    (review,) = place_of(sample, item, person)
    grade(review, person)
    stale = lead.post(address(desk, sample, "close"), {"ungraded": "40"}, follow=True)
    assert "Meanwhile 39 are not graded" in stale.text
    assert fresh(sample).closed_at is None
    done = lead.post(address(desk, sample, "close"), {"ungraded": "39"}, follow=True)
    assert "Its figures stand" in done.text
    assert fresh(sample).closed_at is not None
    assert "39 not graded" in done.text
    again = lead.post(address(desk, sample, "close"), {"ungraded": "39"}, follow=True)
    assert "closed already" in again.text


def test_the_pages_ask_as_often_for_many_as_for_few() -> None:
    desk = Desk(60)
    sample = desk.draw()
    graded(desk, sample)
    close_sample(fresh(sample))
    lead = desk.person("lead")

    def asked(path: str) -> int:
        return apart(lambda: counted(path))

    def counted(path: str) -> int:
        from django.test import Client

        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(lead, backend="django.contrib.auth.backends.ModelBackend")
        client.get(path)
        with CaptureQueriesContext(connection) as caught:
            assert client.get(path).status_code == 200
        return len(caught)

    few = asked(f"/features/{desk.feature.slug}/reviews/"), asked(address(desk, sample))
    week = desk.week
    for _ in range(3):
        week = before(week)
        more = Desk(60, feature=desk.feature, week=week)
        other = more.draw()
        graded(more, other)
        close_sample(fresh(other))
    many = asked(f"/features/{desk.feature.slug}/reviews/"), asked(address(desk, sample))
    assert many[0] <= few[0] + 1  # the month before is pooled once
    assert many[1] == few[1]
    assert many[1] < 40


# Differences.


def differing(desk: Desk) -> tuple[Sample, Person, Person]:
    """A closed sample in which two differ by a step on every request that both graded."""
    sample, one, other = desk.draw(), desk.person(), desk.person()
    for item in sample.items.filter(wanted=2):
        for person, tone in ((one, 4), (other, 5)):
            (review,) = place_of(sample, item, person)
            grade(review, person, tone=tone)
    close_sample(fresh(sample))
    return sample, one, other


def test_differences_are_shown_when_it_is_closed(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    grade_all(sample, person, tone=1)
    text = Browser(stack, person).get(address(desk, sample, "differences/")).text
    assert "The sample is open" in text
    assert 'value="wrong"' not in text


def test_each_difference_stands_beside_its_anchors_and_takes_one_key(stack: Stack, desk: Desk) -> None:
    sample, one, other = differing(desk)
    lost = {True: 0, False: 0}
    for person in (one, other):
        browser = Browser(stack, person)
        text = browser.get(address(desk, sample, "differences/")).text
        found = re.findall(
            r'name="review" value="([^"]+)"><input type="hidden" name="criterion" value="tone"', text
        )
        lost[person == one] = len(found)
        if not found:
            continue
        assert text.count('data-key="w"') == text.count('data-key="a"') == 1
        assert "Warm and clear, without filler" in text
        assert "So well put that it could be an example" in text
        for review, says in zip(found, ["unclear", *["wrong"] * len(found)], strict=False):
            said = browser.post(
                address(desk, sample, "differences/"), {"review": review, "criterion": "tone", "says": says}
            )
            assert said.status_code == 302
        text = browser.get(address(desk, sample, "differences/")).text
        assert "all answered" in text
        assert 'data-key="w"' not in text
    assert lost[True] + lost[False] == 8  # each of the eight was given to one of the two by lot
    told = Reflection.objects.filter(review__sample=sample)
    assert told.count() == 8
    lead = Browser(stack, desk.person("lead")).get(address(desk, sample, "differences/")).text
    assert "What reviewers say of the anchors" in lead
    assert (
        "What reviewers say of the anchors"
        not in Browser(stack, one).get(address(desk, sample, "differences/")).text
    )


def test_nobody_answers_for_another_or_without_a_word(stack: Stack, desk: Desk) -> None:
    sample, one, other = differing(desk)
    review = Review.objects.filter(sample=sample, reviewer=one).first()
    assert review is not None
    at, mine = address(desk, sample, "differences/"), {"review": str(review.pk), "criterion": "tone"}
    assert Browser(stack, other).post(at, {**mine, "says": "wrong"}).status_code == 404
    assert Browser(stack, one).post(at, {**mine, "says": "perhaps"}).status_code == 400
    assert Browser(stack, one).post(at, {**mine, "criterion": "x", "says": "wrong"}).status_code == 400
    assert Browser(stack, one).post(at, {"review": "x"}).status_code == 400
    assert not Reflection.objects.filter(review__sample=sample).exists()


# The file.


def test_a_lead_takes_a_sample_away_under_pseudonyms_and_it_is_recorded(stack: Stack) -> None:
    desk = Desk(0)
    desk.fill(60, segments={"plan": "=HYPERLINK(1)"})
    sample = desk.draw()
    one, other = graded(desk, sample, tone=2)
    close_sample(fresh(sample))
    lead = Browser(stack, desk.person("lead"))
    answer = lead.get(address(desk, sample, "export.csv"))
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    finals = [row for row in rows if row["grader"] == "final"]
    assert (len(finals), len(rows)) == (40, 40 + 48)
    assert {row["grade.tone"] for row in rows} == {"2"}
    assert sum(float(row["weight"]) for row in finals) == pytest.approx(60)
    assert {row["grader"] for row in rows} == {"final", "reviewer-1", "reviewer-2"}
    assert one.name not in answer.text
    assert other.name not in answer.text
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    found: dict[str, Any] = lead.get(address(desk, sample, "export.json")).json()
    assert [item["place"] for item in found["items"]] == list(range(1, 41))
    assert found["criteria"][2]["estimate"]["rate"] == 0.0
    assert len(found["items"][0]["reviews"]) in (1, 2)
    kept = [one["action"] for one in records() if one["subject"] == str(sample.pk)]
    assert kept.count("reviews.exported") == 2


def test_a_cell_that_would_be_a_formula_is_no_formula() -> None:
    from reviews.export import _cell

    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert _cell(text) == f"'{text}"
    assert (_cell(-1.5), _cell("plain")) == ("-1.5", "plain")


def test_a_lead_who_may_still_grade_takes_nothing_away(stack: Stack, desk: Desk) -> None:
    sample, lead = desk.draw(), Browser(stack, desk.person("lead"))
    answer = lead.get(address(desk, sample, "export.json"))
    assert answer.status_code == 409
    assert "may still grade" in answer.text
    assert "reviews.exported" not in [one["action"] for one in records() if one["subject"] == str(sample.pk)]


# On pages of others.


def test_the_trace_page_shows_grades_to_who_grades_them_no_more(stack: Stack, desk: Desk) -> None:
    from tests.traces.test_api import body
    from traces.ingest import ingest_traces
    from traces.services import settle_dirty

    feature = create_feature(slug=unique("agent"))
    trace = "cd" * 16
    ingest_traces(feature, body({"trace_id": trace}), "application/json")
    while settle_dirty():
        pass
    from reviews.services import draw_window

    now = clock()
    sample = draw_window(feature, now - timedelta(days=2), now + timedelta(days=2)).sample
    item = sample.items.get(trace_id=bytes.fromhex(trace))

    def person(role: str) -> Person:
        made, _ = create_person(name=unique(role), roles=[(feature.slug, role)])
        return made

    one, viewer, waiting = person("reviewer"), person("viewer"), person("lead")
    path = f"/features/{feature.slug}/traces/{trace}/"
    (review,) = place_of(sample, item, one)
    assert "You may still grade this request" in Browser(stack, one).get(path).text
    grade(review, one, tone=2)
    assert item.wanted == 2  # a sample of one is graded twice whole
    mine = Browser(stack, one).get(path).text
    assert ">you<" in mine.replace("<bdi>", ">").replace("</bdi>", "<").replace(">>", ">").replace("<<", "<")
    assert "You may still grade this request" in Browser(stack, waiting).get(path).text
    other = Browser(stack, viewer).get(path).text
    assert "No grades yet" in other  # one of the two has not graded
    second = person("reviewer")
    (review,) = place_of(sample, item, second)
    grade(review, second, tone=2)
    text = Browser(stack, waiting).get(path).text
    assert one.name in text
    assert "You may still grade" not in text
    text = Browser(stack, viewer).get(path).text
    assert "a reviewer" in text
    assert one.name not in text


def test_the_overview_has_the_last_closed_week(stack: Stack, desk: Desk) -> None:
    sample = desk.draw()
    graded(desk, sample)
    browser = Browser(stack, desk.person("viewer"))
    overview = f"/features/{desk.feature.slug}/"
    assert "no week is closed yet" in browser.get(overview).text
    close_sample(fresh(sample))
    text = browser.get(overview).text
    assert f"week {desk.week}, weighted share that passes" in text
    assert f"{address(desk, sample)}?criterion=policy#items" in text
    assert week_of(clock(), "UTC") != desk.week
