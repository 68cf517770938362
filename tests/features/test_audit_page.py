"""The page of the record shows a person what concerns their features and themselves, nothing of others."""

import pytest
from django.test import Client as Browser

from features.models import Person
from features.services import create_feature, create_person
from tests.support import Stack, unique


def signed_in(person: Person) -> Browser:
    browser = Browser(headers={"host": "127.0.0.1"})
    browser.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.fixture
def two_leads(stack: Stack) -> list[tuple[Person, str]]:
    leads = []
    for _ in range(2):
        person, _ = create_person(name=unique("lead"))
        slug = unique("audited")
        create_feature(slug=slug, task="One sentence.", by=person)
        leads.append((person, slug))
    return leads


def test_a_lead_sees_their_features_records_and_no_others(two_leads: list[tuple[Person, str]]) -> None:
    (first, mine), (_, other) = two_leads
    page = signed_in(first).get("/audit/")
    assert page.status_code == 200
    text = page.content.decode()
    assert mine in text
    assert other not in text
    refused = signed_in(first).get("/audit/", {"feature": other})
    absent = signed_in(first).get("/audit/", {"feature": "no-such-feature"})
    assert refused.status_code == absent.status_code == 400
    assert "There is no feature" in refused.content.decode()
    assert refused.content.decode().count(other) == absent.content.decode().count("no-such-feature")


def test_an_administrator_sees_everything_and_nobody_sees_nothing(
    two_leads: list[tuple[Person, str]],
) -> None:
    administrator, _ = create_person(name=unique("admin"), administrator=True)
    text = signed_in(administrator).get("/audit/").content.decode()
    for _, slug in two_leads:
        assert slug in text
    assert Browser(headers={"host": "127.0.0.1"}).get("/audit/").status_code == 302


def test_a_person_without_a_role_sees_only_what_is_about_them(two_leads: list[tuple[Person, str]]) -> None:
    nobody, _ = create_person(name=unique("nobody"))
    page = signed_in(nobody).get("/audit/")
    assert "1 record" in page.content.decode()
    assert "person.created" in page.content.decode()


def test_filters_narrow_and_a_bad_one_says_so(two_leads: list[tuple[Person, str]]) -> None:
    person, slug = two_leads[0]
    browser = signed_in(person)
    found = browser.get("/audit/", {"action": "feature.created", "feature": slug}).content.decode()
    assert "1 record" in found
    assert "<code>role.given</code>" not in found
    for bad in ({"action": "made.up"}, {"before": "soon"}, {"before": "-1"}):
        assert browser.get("/audit/", bad).status_code == 400
    assert browser.get("/audit/", {"before": "1"}).status_code == 200
    assert browser.get("/audit/", {"actor": "\x00", "subject": "x" * 500}).status_code == 200
