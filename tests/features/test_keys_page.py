"""Keys on the settings page: made by leads, shown once, revoked by name."""

from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.support import Client, unique

PASSWORD = "a long enough password"


def signed_in(client: Client, role: str) -> httpx.Client:
    """A browser without a screen: a person of this role, signed in."""
    from features.services import create_person

    login = unique("person")
    create_person(name=login, password=PASSWORD, roles=[(client.slug, role)])
    browser = httpx.Client(base_url=client.stack.url, follow_redirects=True, timeout=30)
    browser.get("/accounts/login/")
    before = browser.cookies.get("csrftoken")
    answer = browser.post(
        "/accounts/login/", data={"login": login, "password": PASSWORD, "csrfmiddlewaretoken": before or ""}
    )
    assert answer.status_code == 200
    return browser


def post(browser: httpx.Client, path: str, **fields: str | list[str]) -> httpx.Response:
    token = browser.cookies.get("csrftoken") or ""
    return browser.post(path, data={**fields, "csrfmiddlewaretoken": token})


@pytest.fixture
def lead(client: Client) -> Iterator[httpx.Client]:
    with closing(signed_in(client, "lead")) as browser:
        yield browser


def test_a_key_is_shown_once_and_works(client: Client, lead: httpx.Client) -> None:
    answer = post(lead, f"/features/{client.slug}/settings/keys/", scopes=["read"], label="a <b>label</b>")
    key = answer.text.partition('id="new-key">')[2].partition("<")[0]
    assert key.startswith("clr_")
    assert "no-store" in answer.headers["cache-control"]
    assert "<b>label</b>" not in answer.text
    assert Client(client.stack, client.slug, key).get("/api/v1/traces").status_code == 200
    again = lead.get(f"/features/{client.slug}/settings/")
    assert key not in again.text
    assert key[:12] in again.text


def test_a_key_without_a_scope_is_not_made(client: Client, lead: httpx.Client) -> None:
    for scopes in ([], ["rule the world"]):
        answer = post(lead, f"/features/{client.slug}/settings/keys/", scopes=scopes, label="kept text")
        assert answer.status_code == 400
        assert 'id="new-key"' not in answer.text
        assert "kept text" in answer.text


def test_revoking_asks_for_the_name_and_shuts_the_door_at_once(client: Client, lead: httpx.Client) -> None:
    prefix = client.key[:12]
    path = f"/features/{client.slug}/settings/keys/{prefix}/revoke/"
    assert post(lead, path, confirm="something else").status_code == 400
    assert client.get("/api/v1/traces").status_code == 200
    assert post(lead, path, confirm=prefix).status_code == 200
    assert client.get("/api/v1/traces").status_code == 401


@pytest.mark.parametrize("role", ["viewer", "reviewer", "approver", "on_call"])
def test_only_leads_make_and_revoke_keys(client: Client, role: str) -> None:
    with closing(signed_in(client, role)) as browser:
        assert browser.get(f"/features/{client.slug}/settings/").status_code == 200
        revoke = f"/features/{client.slug}/settings/keys/{client.key[:12]}/revoke/"
        for path in (f"/features/{client.slug}/settings/keys/", f"/features/{client.slug}/start/", revoke):
            answer = post(browser, path, scopes=["read"], confirm=client.key[:12])
            assert answer.status_code == 403
            assert "clr_" not in answer.text
    assert client.get("/api/v1/traces").status_code == 200


def test_a_form_without_a_token_changes_nothing_and_says_why(client: Client, lead: httpx.Client) -> None:
    answer = lead.post(f"/features/{client.slug}/settings/keys/", data={"scopes": ["read"]})
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text


def test_only_administrators_register_features(client: Client, lead: httpx.Client) -> None:
    assert lead.get("/features/new/").status_code == 403
    fields = {"name": "Mine", "slug": unique("mine"), "task": "Do it."}
    assert post(lead, "/features/new/", **fields).status_code == 403


def test_signing_in_changes_the_session(client: Client) -> None:
    from features.services import create_person

    login = unique("person")
    create_person(name=login, password=PASSWORD, roles=[(client.slug, "viewer")])
    with httpx.Client(base_url=client.stack.url, timeout=30) as browser:
        seen = []
        for _ in range(2):
            browser.get("/accounts/login/")
            post(browser, "/accounts/login/", login=login.upper(), password=PASSWORD)
            seen.append(browser.cookies["sessionid"])
    assert seen[0] != seen[1]
