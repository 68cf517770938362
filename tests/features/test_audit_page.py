"""The page of the record shows a person what concerns their features and themselves, nothing of others."""

import pytest

from features.models import Person
from features.services import create_feature, create_person
from tests.support import Browser, Stack, unique


@pytest.fixture
def two_leads(stack: Stack) -> list[tuple[Person, str]]:
    leads = []
    for _ in range(2):
        person, _ = create_person(name=unique("lead"))
        slug = unique("audited")
        create_feature(slug=slug, task="One sentence.", by=person)
        leads.append((person, slug))
    return leads


def test_a_lead_sees_their_features_records_and_no_others(
    stack: Stack, two_leads: list[tuple[Person, str]]
) -> None:
    (first, mine), (_, other) = two_leads
    page = Browser(stack, first).get("/audit/")
    assert page.status_code == 200
    text = page.text
    assert mine in text
    assert other not in text
    refused = Browser(stack, first).get("/audit/", {"feature": other})
    absent = Browser(stack, first).get("/audit/", {"feature": "no-such-feature"})
    assert refused.status_code == absent.status_code == 400
    assert "There is no feature" in refused.text
    assert refused.text.count(other) == absent.text.count("no-such-feature")


def test_an_administrator_sees_everything_and_nobody_sees_nothing(
    stack: Stack,
    two_leads: list[tuple[Person, str]],
) -> None:
    administrator, _ = create_person(name=unique("admin"), administrator=True)
    text = Browser(stack, administrator).get("/audit/").text
    for _, slug in two_leads:
        assert slug in text
    assert Browser(stack).get("/audit/").status_code == 302


def test_a_person_without_a_role_sees_only_what_is_about_them(
    stack: Stack, two_leads: list[tuple[Person, str]]
) -> None:
    nobody, _ = create_person(name=unique("nobody"))
    page = Browser(stack, nobody).get("/audit/")
    assert "1 record" in page.text
    assert "person.created" in page.text


def test_filters_narrow_and_a_bad_one_says_so(stack: Stack, two_leads: list[tuple[Person, str]]) -> None:
    person, slug = two_leads[0]
    browser = Browser(stack, person)
    found = browser.get("/audit/", {"action": "feature.created", "feature": slug}).text
    assert "1 record" in found
    assert "<code>role.given</code>" not in found
    for bad in ({"action": "made.up"}, {"before": "soon"}, {"before": "-1"}):
        assert browser.get("/audit/", bad).status_code == 400
    assert browser.get("/audit/", {"before": "1"}).status_code == 200
    assert browser.get("/audit/", {"actor": "\x00", "subject": "x" * 500}).status_code == 200
