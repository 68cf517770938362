"""Roles are given and taken by leads, undone with one press, recorded, and somebody always is lead."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from audit.queries import records
from features.errors import ConflictError
from features.models import ROLES, Feature, Person
from features.queries import features_for, holders, roles_on
from features.services import create_feature, create_person, give_role, take_role
from tests.support import Browser, Stack, unique


def person() -> Person:
    return create_person(name=unique("person"))[0]


@pytest.fixture
def led(stack: Stack) -> tuple[Person, Feature]:
    lead = person()
    return lead, create_feature(slug=unique("led"), task="One sentence.", by=lead)


def test_a_lead_gives_and_takes_a_role_and_undoes_it(stack: Stack, led: tuple[Person, Feature]) -> None:
    lead, feature = led
    other = person()
    browser = Browser(stack, lead)
    page = f"/features/{feature.slug}/people/"
    assert browser.post(page, {"login": other.name.upper(), "role": "reviewer"}).status_code == 302
    assert roles_on(other, feature) == {"reviewer"}
    text = browser.get(page).text
    assert other.name in text
    assert str(lead) in text
    taken = browser.post(f"{page}take/", {"login": other.name, "role": "reviewer"}, follow=True)
    assert roles_on(other, feature) == frozenset()
    assert feature not in features_for(other)
    assert "Undo" in taken.text
    browser.post(page, {"login": other.name, "role": "reviewer"})
    assert roles_on(other, feature) == {"reviewer"}
    found = [
        (one["action"], json.loads(one["payload"])["role"])
        for one in records()
        if one["subject"] == str(feature.pk) and str(other.pk) in one["payload"]
    ]
    assert found == [("role.given", "reviewer"), ("role.taken", "reviewer"), ("role.given", "reviewer")]


def test_every_role_can_be_chosen_and_the_chosen_one_is_kept(
    stack: Stack, led: tuple[Person, Feature]
) -> None:
    lead, feature = led
    browser = Browser(stack, lead)
    page = f"/features/{feature.slug}/people/"
    text = browser.get(page).text
    for role in ROLES:
        assert f'<option value="{role}"' in text
    wrong = browser.post(page, {"login": "nobody-here", "role": "on_call"}).text
    assert '<option value="on_call" selected>' in wrong


def test_what_was_typed_is_kept_when_it_is_wrong(stack: Stack, led: tuple[Person, Feature]) -> None:
    lead, feature = led
    browser = Browser(stack, lead)
    for login in ("nobody-here", "x\x00y"):
        page = browser.post(f"/features/{feature.slug}/people/", {"login": login, "role": "viewer"})
        assert page.status_code == 400
    assert (
        "nobody-here"
        in browser.post(f"/features/{feature.slug}/people/", {"login": "nobody-here", "role": "viewer"}).text
    )


def test_the_last_lead_stays(stack: Stack, led: tuple[Person, Feature]) -> None:
    lead, feature = led
    refused = Browser(stack, lead).post(
        f"/features/{feature.slug}/people/take/", {"login": lead.name, "role": "lead"}
    )
    assert refused.status_code == 409
    assert "only lead" in refused.text
    assert roles_on(lead, feature) == {"lead"}


def test_two_leads_who_take_each_others_role_at_once_leave_one(led: tuple[Person, Feature]) -> None:
    first, feature = led
    second = person()
    give_role(feature=feature, person=second, role="lead", by=first)

    def take(whom: Person) -> str:
        try:
            take_role(feature=feature, person=whom, role="lead")
        except ConflictError as error:
            return error.code
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take, (first, second))) == ["last_lead", "taken"]
    assert len(holders(feature)["lead"]) == 1
