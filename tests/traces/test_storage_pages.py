"""The pages of storage, and holds by a person's word."""

import re

import pytest

from features.models import Feature, Person
from features.numbers import size
from features.services import create_feature, create_person
from tests.support import Browser, Stack, unique
from tests.traces.test_retention import keep_days, send
from traces.holds import hold_trace
from traces.models import Hold
from traces.retention import run_retention

WHY = "a customer's claim is open"


@pytest.fixture
def feature() -> Feature:
    return create_feature(slug=unique("agent"))


def person(feature: Feature, role: str, *, administrator: bool = False) -> Person:
    roles = [(feature.slug, role)] if role else []
    return create_person(name=unique("person"), roles=roles, administrator=administrator)[0]


def test_a_features_people_see_what_is_kept_how_long_and_by_whose_word(
    stack: Stack, feature: Feature
) -> None:
    send(feature, 3, 3, 2)
    browser = Browser(stack, person(feature, "viewer"))
    path = f"/features/{feature.slug}/storage/"
    text = browser.get(path).text
    assert "90 days" in text
    assert "by the installation" in text
    keep_days(feature, 7)
    text = browser.get(path).text
    assert "7 days" in text
    assert "policy 1" in text
    counts = re.findall(r'data-name="Requests"><a href="([^"]+)">(\d+)</a>', text)
    assert [count for _, count in counts] == ["1", "2"]
    listed = browser.get(counts[1][0].replace("&amp;", "&"))
    assert "2 requests" in listed.text


def test_the_dashboard_says_where_figures_begin(stack: Stack, feature: Feature) -> None:
    send(feature, 3)
    browser = Browser(stack, person(feature, "viewer"))
    path = f"/features/{feature.slug}/?window=30d"
    assert "figures begin on" not in browser.get(path).text
    keep_days(feature, 7)
    assert "Requests are kept 7 days: figures begin on" in browser.get(path).text
    assert "figures begin on" not in browser.get(path.replace("30d", "24h")).text


def test_an_empty_feature_says_so(stack: Stack, feature: Feature) -> None:
    text = Browser(stack, person(feature, "viewer")).get(f"/features/{feature.slug}/storage/").text
    for words in ("nothing is stored", "Nothing is held", "No request yet", "Nothing has gone yet"):
        assert words in text


def test_sizes_of_the_installation_are_for_administrators(stack: Stack, feature: Feature) -> None:
    send(feature, 3)
    assert "Size of each day" not in Browser(stack, person(feature, "lead")).get("/storage/").text
    text = Browser(stack, person(feature, "", administrator=True)).get("/storage/").text
    assert "Size of each day" in text
    assert "Next drop" in text
    assert feature.name not in text


def test_a_lead_holds_a_trace_and_releases_it_with_reasons(stack: Stack, feature: Feature) -> None:
    (trace_id,) = send(feature, 3)
    lead = Browser(stack, person(feature, "lead"))
    trace = f"/features/{feature.slug}/traces/{trace_id.hex()}/"
    assert f'href="{trace}hold/"' in lead.get(trace).text
    assert lead.post(f"{trace}hold/", {"reason": "short"}).status_code == 400
    assert not Hold.objects.filter(feature=feature).exists()
    assert WHY.replace("'", "&#x27;") in lead.post(f"{trace}hold/", {"reason": WHY}, follow=True).text
    hold = Hold.objects.get(feature=feature)
    viewer = Browser(stack, person(feature, "viewer"))
    assert "Legal hold" in viewer.get(trace).text
    release = f"/features/{feature.slug}/holds/{hold.pk}/release/"
    assert release in lead.get(f"/features/{feature.slug}/storage/").text
    assert release not in viewer.get(f"/features/{feature.slug}/storage/").text
    wrong = lead.post(release, {"reason": "the claim is settled", "confirm": "00000000"})
    assert wrong.status_code == 400
    assert "the claim is settled" in wrong.text
    lead.post(release, {"reason": "the claim is settled", "confirm": trace_id.hex()[:8]})
    hold.refresh_from_db()
    assert hold.released_at is not None
    assert "It is released already" in lead.get(release).text


def test_releasing_asks_for_a_fresh_proof(stack: Stack, feature: Feature) -> None:
    hold = hold_trace(feature=feature, trace_id=b"\1" * 16, kind="legal", reason=WHY)
    stale = Browser(stack, person(feature, "lead"), fresh=False)
    path = f"/features/{feature.slug}/holds/{hold.pk}/release/"
    answer = stale.post(path, {"reason": "the claim is settled", "confirm": "01010101"})
    assert answer.status_code == 302
    assert "reauthenticate" in answer.headers["Location"]


def test_what_a_room_holds_no_person_releases(stack: Stack, feature: Feature) -> None:
    hold = hold_trace(
        feature=feature, trace_id=b"\2" * 16, kind="incident", reference="i-7", reason=WHY, room="rollouts"
    )
    lead = Browser(stack, person(feature, "lead"))
    assert lead.get(f"/features/{feature.slug}/holds/{hold.pk}/release/").status_code == 404
    assert "ends with its incident" in lead.get(f"/features/{feature.slug}/storage/").text


def test_a_trace_that_has_not_arrived_can_be_held_and_nonsense_cannot(stack: Stack, feature: Feature) -> None:
    lead = Browser(stack, person(feature, "lead"))
    path = f"/features/{feature.slug}/traces/{'0f' * 16}/hold/"
    assert "has not arrived" in lead.get(path).text
    assert lead.post(path, {"reason": WHY}).status_code == 302
    assert Hold.objects.filter(feature=feature, trace_id=b"\x0f" * 16).exists()
    assert lead.get(f"/features/{feature.slug}/traces/nonsense/hold/").status_code == 404


def test_a_held_trace_opens_as_before_when_its_day_is_gone(stack: Stack, feature: Feature) -> None:
    held, other = send(feature, 120, 120)
    hold_trace(feature=feature, trace_id=held, kind="legal", reason=WHY)
    viewer = Browser(stack, person(feature, "viewer"))
    path = f"/features/{feature.slug}/traces/{held.hex()}/"
    before = viewer.get(path).text
    run_retention()
    after = viewer.get(path).text
    bare = [
        re.sub(r"csrf[^>]*>|hx-headers=\'[^\']*\'|<time[^>]*>[^<]*", "", text) for text in (before, after)
    ]
    assert bare[0] == bare[1]
    assert viewer.get(f"/features/{feature.slug}/traces/{other.hex()}/").status_code == 404
    runs = viewer.get(f"/features/{feature.slug}/storage/").text
    assert 'data-name="Requests gone">1<' in runs


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1024, "1.0 KiB"), (10_240, "10 KiB"), (5 * 2**30, "5.0 GiB")],
)
def test_sizes_read_as_people_say_them(value: int | None, words: str) -> None:
    assert size(value).replace("\u202f", " ") == words
