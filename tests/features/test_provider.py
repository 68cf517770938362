"""Signing in by the organisation's OpenID provider: a whole provider program, spoken to over HTTP."""

import html
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from allauth.socialaccount.models import SocialAccount
from canaille import create_app
from canaille.backends import Backend
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from environs import Env
from pytest_iam import Server

from audit.queries import records
from features.identity.configuration import oidc_from_environment
from features.models import Person, RoleDenial
from features.queries import roles_on
from features.services import create_feature, create_person, give_role, take_role
from tests.support import Stack, free_port, unique

PASSWORD = "a long enough password"
Claims = dict[str, Any]


class Provider:
    """The provider, its people and groups, and a hand in its answers for what a broken one would send."""

    def __init__(self, server: Server, key: Any) -> None:
        self.server = server
        self.key = key
        self.change: Callable[[str, Claims], Claims] | None = None
        server.httpd.set_app(self._application)

    def _application(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self.change is None or not environ["PATH_INFO"].endswith(("/token", "/userinfo")):
            return self.server.app(environ, start)
        answered: list[Any] = []
        begin: Any = lambda status, headers, info=None: answered.extend((status, headers))  # noqa: E731
        body = b"".join(self.server.app(environ, begin))
        changed = json.dumps(self.change(environ["PATH_INFO"], json.loads(body))).encode()
        headers = [pair for pair in answered[1] if pair[0].lower() != "content-length"]
        start(answered[0], [*headers, ("Content-Length", str(len(changed)))])
        return [changed]

    def signed(self, claims: Claims, key: Any = None, **header: str) -> str:
        """An ID token of the provider's own key, unless told otherwise."""
        private = jwt.PyJWK(self.key).key
        return jwt.encode(
            claims, key or private, algorithm="RS256", headers={"kid": self.key["kid"], **header}
        )

    def user(self, name: str, groups: Iterable[str] = ()) -> Any:
        """Somebody at the provider, signed in there."""
        found = self.server.random_user(
            user_name=name, formatted_name=name.title(), emails=[f"{name}@example.org"]
        )
        self.join(found, groups)
        self.server.consent(found)
        self.server.login(found)
        return found

    def join(self, user: Any, groups: Iterable[str]) -> None:
        """Make the user a member of exactly these groups."""
        with self.server.app.app_context():
            backend = self.server.backend
            for group in backend.query(self.server.models.Group):
                if user in group.members:
                    if len(group.members) == 1:
                        backend.delete(group)
                    else:
                        group.members = [one for one in group.members if one != user]
                        backend.save(group)
            for name in groups:
                group = backend.get(self.server.models.Group, display_name=name)
                group = group or self.server.models.Group(display_name=name, members=[])
                group.members = [*group.members, user]
                backend.save(group)
            backend.reload(user)


@pytest.fixture(scope="module")
def slug() -> str:
    return unique("agent")


@pytest.fixture(scope="module")
def console(stack: Stack, slug: str, iam_configuration: Claims) -> Iterator[tuple[Stack, Provider]]:
    """The product with a provider beside it, on the database of this test process."""
    create_feature(slug=slug)
    port, own = free_port(), free_port()
    app = create_app(config={**iam_configuration, "SERVER_NAME": f"localhost:{port}"})
    server = Server(app, port, Backend.instance)
    thread = threading.Thread(target=server.httpd.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{own}"
    with app.app_context():
        client = server.models.Client(
            client_id="console",
            client_secret="console-secret",
            client_name="Console",
            client_uri=url,
            redirect_uris=[f"{url}/accounts/oidc/sso/callback/"],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="client_secret_post",
            scope=["openid", "profile", "email", "groups"],
        )
        server.backend.save(client)
        client.audience = [client]
        server.backend.save(client)
    extra = {
        "CLEARANCE_OIDC_ISSUER": f"http://localhost:{port}",
        "CLEARANCE_OIDC_CLIENT_ID": "console",
        "CLEARANCE_OIDC_CLIENT_SECRET": "console-secret",
        "CLEARANCE_OIDC_NAME": "Northpole",
        "CLEARANCE_OIDC_SCOPES": "openid,profile,email,groups",
        "CLEARANCE_OIDC_GROUPS": json.dumps({"g-approve": [f"{slug}:approver"], "g-lead": [f"{slug}:lead"]}),
        "CLEARANCE_OIDC_RECHECK_SECONDS": "1",
        "CLEARANCE_STEP_UP_SECONDS": "3",
        "DATABASE_URL": stack_database(stack),
    }
    running = Stack(stack.var.parent / "var oidc", port=own, extra=extra).start()
    yield running, Provider(server, iam_configuration["CANAILLE_OIDC"]["ACTIVE_JWKS"][0])
    running.stop()
    server.httpd.shutdown()
    thread.join()


def stack_database(stack: Stack) -> str:
    from runtime.state import StateFolder

    return StateFolder(stack.var).database_urls().app


@pytest.fixture
def provider(console: tuple[Stack, Provider]) -> Iterator[Provider]:
    console[1].change = None
    yield console[1]
    console[1].change = None
    console[1].server.logout()


@pytest.fixture
def browser(console: tuple[Stack, Provider]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=console[0].url, timeout=60) as made:
        yield made


def come(browser: httpx.Client, following: str = "/") -> httpx.Response:
    """Sign in by the provider, all the way."""
    return browser.get("/accounts/oidc/sso/login/", params={"next": following}, follow_redirects=True)


def person_of(name: str) -> Person:
    return Person.objects.get(name=name)


def test_somebody_new_gets_an_account_and_the_roles_of_their_groups(
    provider: Provider, browser: httpx.Client, slug: str
) -> None:
    name = unique("ada")
    provider.user(name, ["g-approve", "g-unmapped"])
    assert "Sign in with Northpole" in browser.get("/accounts/login/").text
    landed = come(browser, f"/features/{slug}/")
    assert (landed.status_code, landed.url.path) == (200, f"/features/{slug}/")
    person = person_of(name)
    assert not person.has_usable_password()
    assert roles_on(person, feature_of(slug)) == {"approver"}
    actions = [
        (one["action"], one["actor"])
        for one in records()
        if str(person.pk) in (one["subject"], one["payload"])
    ]
    assert ("person.created", "sign-in") in actions
    assert ("sign_in.succeeded", str(person.pk)) in actions


def feature_of(slug: str) -> Any:
    from features.models import Feature

    return Feature.objects.get(slug=slug)


def test_the_same_subject_stays_one_person_whatever_they_are_called(
    provider: Provider, browser: httpx.Client
) -> None:
    name = unique("ada")
    user = provider.user(name)
    come(browser)
    account = SocialAccount.objects.get(user__name=name)
    assert account.uid.startswith(f"http://localhost:{provider.server.port}#")
    browser.cookies.clear()
    with provider.server.app.app_context():
        provider.server.backend.update(user, formatted_name="Renamed Entirely", emails=["new@example.org"])
        provider.server.backend.save(user)
    assert come(browser).status_code == 200
    assert SocialAccount.objects.filter(uid=account.uid).count() == 1
    assert Person.objects.filter(name__startswith=name).count() == 1


def test_leaving_a_group_takes_its_role_at_the_next_check(
    provider: Provider, browser: httpx.Client, slug: str
) -> None:
    name = unique("ada")
    user = provider.user(name, ["g-approve"])
    come(browser)
    assert browser.get(f"/features/{slug}/").status_code == 200
    provider.join(user, [])
    time.sleep(1.1)  # the check is due when the clock's second has passed
    assert browser.get(f"/features/{slug}/").status_code == 404
    assert browser.get("/").status_code == 200
    assert roles_on(person_of(name), feature_of(slug)) == frozenset()


def test_requests_at_once_ask_the_provider_once_and_all_go_on(
    provider: Provider, browser: httpx.Client
) -> None:
    provider.user(unique("ada"))
    come(browser)
    time.sleep(1.1)  # the check is due for each of them, with a refresh token that opens once
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: browser.get("/").status_code, range(6)))
    assert answers == [200] * 6


def test_what_a_person_gave_stays_and_what_a_person_took_no_group_gives_back(
    provider: Provider, browser: httpx.Client, slug: str
) -> None:
    name = unique("ada")
    user = provider.user(name, ["g-approve"])
    come(browser)
    person, feature = person_of(name), feature_of(slug)
    take_role(feature=feature, person=person, role="approver")
    give_role(feature=feature, person=person, role="viewer")
    time.sleep(1.1)
    assert browser.get(f"/features/{slug}/").status_code == 200
    assert roles_on(person, feature) == {"viewer"}
    assert RoleDenial.objects.filter(person=person).count() == 1
    give_role(feature=feature, person=person, role="approver")
    provider.join(user, [])
    time.sleep(1.1)
    browser.get("/")
    assert roles_on(person, feature) == {"viewer", "approver"}


def test_who_signs_in_there_alone_proves_a_dangerous_act_there(
    provider: Provider, browser: httpx.Client, slug: str
) -> None:
    provider.user(unique("lee"), ["g-lead"])
    page = f"/features/{slug}/settings/"
    come(browser, page)

    def make_key() -> httpx.Response:
        fields = {"scopes": "ingest", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        return browser.post(f"{page}keys/", data=fields, headers={"Referer": f"{browser.base_url}{page[1:]}"})

    assert make_key().status_code == 200
    time.sleep(3.1)
    asked = make_key()
    assert asked.status_code == 403
    assert "sign in there again" in asked.text
    link = re.search(r'href="(/accounts/oidc/[^"]*)"', asked.text)
    assert link
    again = browser.get(html.unescape(link[1]), follow_redirects=True)
    # The provider asks for the password although its own session is there; after it, the form is taken.
    assert (again.url.port, again.url.path) == (provider.server.port, "/auth/password")
    assert come(browser, page).url.path == page
    assert "The new key" in make_key().text


def test_a_local_person_is_not_taken_over_and_can_link_by_themselves(
    provider: Provider, browser: httpx.Client
) -> None:
    name = unique("ada")
    local, _ = create_person(name=name, password=PASSWORD)
    provider.user(name)
    refused = come(browser)
    assert refused.status_code == 409
    assert "One person has one account" in refused.text
    assert browser.get("/").status_code == 302
    browser.get("/accounts/login/")
    token = browser.cookies["csrftoken"]
    browser.post("/accounts/login/", data={"login": name, "password": PASSWORD, "csrfmiddlewaretoken": token})
    asked = browser.get("/accounts/oidc/sso/login/", params={"process": "connect"}, follow_redirects=True)
    if "reauthenticate" in asked.url.path:
        browser.post(
            str(asked.url),
            data={"password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]},
            follow_redirects=True,
        )
    assert SocialAccount.objects.get(user=local)
    browser.cookies.clear()
    assert come(browser).status_code == 200
    assert Person.objects.filter(name__startswith=name).count() == 1
    assert "identity.linked" in [one["action"] for one in records() if one["subject"] == str(local.pk)]


WRONG: dict[str, Callable[[Provider, Claims], str | None]] = {
    "no token": lambda provider, claims: None,
    "no JWT": lambda provider, claims: "this is no token",
    "three empty parts": lambda provider, claims: "..",
    "unsigned": lambda provider, claims: jwt.encode(claims, "", algorithm="none"),
    "signed by somebody else": lambda provider, claims: provider.signed(
        claims, generate_private_key(65537, 2048)
    ),
    "by an unknown key": lambda provider, claims: provider.signed(claims, kid="another"),
    "by the client's secret": lambda provider, claims: jwt.encode(
        claims, "console-secret" * 3, algorithm="HS256", headers={"kid": provider.key["kid"]}
    ),
    "for another client": lambda provider, claims: provider.signed({**claims, "aud": "somebody-else"}),
    "of another issuer": lambda provider, claims: provider.signed({**claims, "iss": "https://evil.example"}),
    "without a subject": lambda provider, claims: provider.signed({**claims, "sub": None}),
    "ended two minutes ago": lambda provider, claims: provider.signed(
        {**claims, "exp": int(time.time()) - 120}
    ),
    "made in two minutes": lambda provider, claims: provider.signed(
        {**claims, "iat": int(time.time()) + 120}
    ),
    "of another request": lambda provider, claims: provider.signed({**claims, "nonce": "another"}),
    "about somebody else": lambda provider, claims: provider.signed({**claims, "sub": "somebody-else"}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_token_that_is_not_right_in_full_signs_nobody_in(
    provider: Provider, browser: httpx.Client, wrong: str
) -> None:
    name = unique("eve")
    provider.user(name)

    def change(path: str, answer: Claims) -> Claims:
        if "id_token" in answer:
            claims = jwt.decode(answer["id_token"], options={"verify_signature": False})
            answer["id_token"] = WRONG[wrong](provider, claims)
        return {key: value for key, value in answer.items() if value is not None}

    provider.change = change
    refused = come(browser)
    assert refused.status_code == 400, refused.text
    assert "cannot be used" in refused.text
    assert "Back to sign-in" in refused.text
    assert browser.get("/").status_code == 302
    assert not Person.objects.filter(name=name).exists()


def test_a_provider_whose_clock_is_half_a_minute_off_is_understood(
    provider: Provider, browser: httpx.Client
) -> None:
    name = unique("ada")
    provider.user(name)

    def change(path: str, answer: Claims) -> Claims:
        if "id_token" in answer:
            claims = jwt.decode(answer["id_token"], options={"verify_signature": False})
            now = int(time.time())
            answer["id_token"] = provider.signed({**claims, "iat": now + 30, "exp": now - 30})
        return answer

    provider.change = change
    assert come(browser).status_code == 200
    assert Person.objects.filter(name=name).exists()


def test_an_answer_that_nobody_asked_for_is_refused(provider: Provider, browser: httpx.Client) -> None:
    provider.user(unique("ada"))
    start = browser.get("/accounts/oidc/sso/login/")
    asked = parse_qs(urlsplit(start.headers["Location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    back = httpx.get(start.headers["Location"], follow_redirects=False)
    while "/accounts/oidc/" not in back.headers["Location"]:
        back = httpx.get(back.headers["Location"])
    path = re.sub(r"^http://[^/]+", "", back.headers["Location"])
    assert httpx.get(str(browser.base_url) + path).status_code == 400  # another browser's answer
    assert browser.get("/accounts/oidc/sso/callback/?code=x&state=forged").status_code == 400
    assert browser.get("/accounts/oidc/sso/callback/?error=access_denied").status_code == 400
    assert browser.get(path, follow_redirects=True).status_code == 200
    assert browser.get(path).status_code == 400  # opened twice
    assert browser.get("/accounts/oidc/other/login/").status_code == 404


def test_when_the_provider_stops_vouching_the_session_ends_and_says_so(
    provider: Provider, browser: httpx.Client
) -> None:
    provider.user(unique("ada"))
    assert come(browser).status_code == 200
    time.sleep(1.1)
    provider.change = lambda path, answer: {"error": "gone"}
    ended = browser.get("/")
    assert "ended=provider" in ended.headers["Location"]
    assert "no longer answers for you" in browser.get(ended.headers["Location"]).text
    provider.change = None
    assert browser.get("/").status_code == 302


def test_a_provider_that_is_away_is_said_so_and_passwords_can_be_off(tmp_path: Path) -> None:
    extra = {
        "CLEARANCE_OIDC_ISSUER": f"http://127.0.0.1:{free_port()}",
        "CLEARANCE_OIDC_CLIENT_ID": "console",
        "CLEARANCE_OIDC_ONLY": "true",
    }
    alone = Stack(tmp_path / "var", extra=extra).start()
    try:
        password = alone.manage("person", "create", "ada").stdout.strip()
        with httpx.Client(base_url=alone.url, timeout=60) as browser:
            page = browser.get("/accounts/login/")
            assert "Passwords are off here" in page.text
            assert 'name="password"' not in page.text
            browser.cookies.set("csrftoken", "c" * 32, domain="127.0.0.1")
            fields = {"login": "ada", "password": password, "csrfmiddlewaretoken": "c" * 32}
            refused = browser.post("/accounts/login/", data=fields)
            assert (refused.status_code, "Passwords are off here" in refused.text) == (403, True)
            assert browser.get("/").status_code == 302
            away = browser.get("/accounts/oidc/sso/login/")
            assert away.status_code == 503
            assert "does not answer" in away.text
    finally:
        alone.stop()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLEARANCE_OIDC_ISSUER", "http://login.example.org"),
        ("CLEARANCE_OIDC_CLIENT_ID", ""),
        ("CLEARANCE_OIDC_GROUPS", "not json"),
        ("CLEARANCE_OIDC_GROUPS", '{"g": "billing-agent:approver"}'),
        ("CLEARANCE_OIDC_GROUPS", '{"g": ["billing-agent"]}'),
        ("CLEARANCE_OIDC_GROUPS", '{"g": ["billing-agent:king"]}'),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    right = {"CLEARANCE_OIDC_ISSUER": "https://login.example.org", "CLEARANCE_OIDC_CLIENT_ID": "console"}
    for name, given in {**right, variable: value}.items():
        monkeypatch.setenv(name, given)
    with pytest.raises(ValueError, match=variable):
        oidc_from_environment(Env())
