"""Sign-in: who may come in does, where they wanted to go; who may not learns nothing."""

import json

from audit.queries import records
from features.models import Person
from tests.browser.conftest import Visit
from tests.support import Client


def test_a_person_signs_in_and_lands_where_they_wanted_to_go(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.go(f"/features/{client.slug}/traces/?window=24h")
    assert visitor.path().startswith("/accounts/login/?next=")
    visitor.page.get_by_label("Login").fill(visitor.login)
    visitor.page.get_by_label("Password").fill("a long enough password")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/traces/?window=24h")


def test_a_wrong_password_says_what_to_do_and_keeps_the_login(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in("wrong")
    assert visitor.path().startswith("/accounts/login/")
    assert visitor.page.get_by_label("Login").input_value() == visitor.login
    assert visitor.page.get_by_label("Password").input_value() == ""
    assert visitor.page.get_by_role("alert").inner_text()


def test_no_next_page_of_another_host_is_followed(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.go("/accounts/login/?next=https://evil.example/")
    visitor.page.get_by_label("Login").fill(visitor.login)
    visitor.page.get_by_label("Password").fill("a long enough password")
    visitor.submit()
    assert visitor.path() == "/"


def test_signing_out_ends_the_session_and_back_shows_nothing(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/")
    visitor.page.locator("details[data-drop] summary").last.click()
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url("**/accounts/login/**")
    visitor.go(f"/features/{client.slug}/")
    assert visitor.path().startswith("/accounts/login/")


def test_a_feature_without_a_role_is_the_same_404_as_none(visit: Visit, client: Client) -> None:
    visitor = visit()
    visitor.sign_in()
    seen = []
    for slug in (client.slug, "no-such-feature"):
        for path in ("", "traces/", "settings/", "start/", f"traces/{'ab' * 16}/"):
            assert visitor.go(f"/features/{slug}/{path}") == 404
            seen.append(visitor.page.locator("main").inner_text())
    assert seen[:5] == seen[5:]
    visitor.go("/")
    assert client.slug not in visitor.page.content()


def test_sign_in_failure_and_sign_out_are_recorded_without_what_was_typed(
    visit: Visit, client: Client
) -> None:
    visitor = visit(client.slug)
    visitor.sign_in("a wrong password")
    visitor.sign_in()
    visitor.page.locator("details[data-drop] summary").last.click()
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url("**/accounts/login/**")
    person = str(Person.objects.get(name=visitor.login).pk)
    actions = [one["action"] for one in records() if one["subject"] == person]
    assert actions == ["person.created", "sign_in.failed", "sign_in.succeeded", "sign_out.done"]
    everything = json.dumps(list(records()))
    assert "a wrong password" not in everything
    assert visitor.login not in everything
