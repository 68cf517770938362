"""Signing in, staying in, proving it again: by real HTTP."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.sessions.models import Session

from audit.queries import records
from features.models import ApiKey, Feature, Person
from features.services import create_feature, create_person
from tests.support import Browser, Stack, unique

PASSWORD = "a long enough password"


class Visitor:
    """A browser without a screen that signs in as people do."""

    def __init__(self, stack: Stack) -> None:
        self.http = httpx.Client(base_url=stack.url, timeout=60)
        self.http.get("/accounts/login/")

    def post(self, path: str, *, follow: bool = False, **fields: str) -> httpx.Response:
        fields["csrfmiddlewaretoken"] = self.http.cookies["csrftoken"]
        return self.http.post(path, data=fields, follow_redirects=follow)

    def sign_in(self, login: str, password: str = PASSWORD) -> httpx.Response:
        return self.post("/accounts/login/", login=login, password=password)

    @property
    def session(self) -> Session:
        return Session.objects.get(pk=self.http.cookies["sessionid"])

    def age(self, **changed: Any) -> None:
        """Change what the session remembers, as time would."""
        from django.contrib.sessions.backends.db import SessionStore

        store = SessionStore(self.http.cookies["sessionid"])
        for name, value in changed.items():
            store[name] = value
        store.save()


@pytest.fixture
def person(stack: Stack) -> Person:
    feature = create_feature(slug=unique("agent"))
    made, _ = create_person(name=unique("lead"), password=PASSWORD, roles=[(feature.slug, "lead")])
    return made


def slug_of(person: Person) -> str:
    return Feature.objects.get(featurerole__user=person).slug


def actions_of(person: Person) -> list[str]:
    return [one["action"] for one in records() if one["subject"] == str(person.pk)]


def code_of(secret: str) -> str:
    """The code that an authenticator app shows now (RFC 6238, 30 s)."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def give_app(person: Person) -> str:
    """An authenticator app set up for the person; returns its secret."""
    secret: str = generate_totp_secret()
    TOTP.activate(person, secret)
    return secret


def test_five_wrong_passwords_lock_a_login_even_for_the_right_one(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    assert [visitor.sign_in(person.name, f"wrong {n}").status_code for n in range(5)] == [400] * 5
    locked = visitor.sign_in(person.name)
    assert locked.status_code == 429
    assert int(locked.headers["Retry-After"]) == 300
    assert "locked for a few minutes" in locked.text
    assert actions_of(person).count("sign_in.failed") == 5
    # Somebody else is not locked by it, and an unknown login is locked alike: nothing tells who has an account.
    nobody = unique("nobody")
    assert [visitor.sign_in(nobody).status_code for _ in range(6)] == [400] * 5 + [429]
    other, _ = create_person(name=unique("other"), password=PASSWORD)
    assert visitor.sign_in(other.name).status_code == 302


def test_guessing_in_parallel_gets_no_more_than_five_guesses(stack: Stack, person: Person) -> None:
    def guess(n: int) -> int:
        return Visitor(stack).sign_in(person.name, f"wrong {n}").status_code

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(guess, range(32)))
    assert set(answers) == {400, 429}
    assert answers.count(400) <= 5


def test_signing_in_as_somebody_else_leaves_nothing_of_the_one_before(stack: Stack, person: Person) -> None:
    other, _ = create_person(name=unique("other"), password=PASSWORD)
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    before = visitor.session
    assert visitor.sign_in(other.name).status_code == 302
    assert visitor.session.pk != before.pk
    assert not Session.objects.filter(pk=before.pk).exists()
    assert visitor.http.get(f"/features/{slug_of(person)}/").status_code == 404


def test_a_forged_an_unknown_and_a_malformed_session_are_nobody(stack: Stack) -> None:
    for forged in (b"x" * 32, b"0", b"../../etc", b"\xff\xfe", b"a" * 4000):
        answer = httpx.get(f"{stack.url}/", headers={b"Cookie": b"sessionid=" + forged})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/?next=/")


def test_a_session_ends_when_idle_and_says_why_and_where_to_go_on(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    slug = slug_of(person)
    assert visitor.http.get(f"/features/{slug}/?window=24h").status_code == 200
    visitor.age(clearance_seen=int(time.time()) - 3601)
    ended = visitor.http.get(f"/features/{slug}/?window=24h")
    assert (
        ended.headers["Location"]
        == f"/accounts/login/?ended=idle&next=%2Ffeatures%2F{slug}%2F%3Fwindow%3D24h"
    )
    assert "signed out because nothing was done" in visitor.http.get(ended.headers["Location"]).text
    assert visitor.http.get("/").status_code == 302


def test_what_an_open_page_asks_by_itself_is_no_use_of_a_session(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    visitor.age(clearance_seen=int(time.time()) - 1800)
    assert visitor.http.get("/stops/").status_code == 200
    visitor.age(clearance_seen=int(time.time()) - 3601)
    assert visitor.http.get("/stops/").status_code == 204
    assert visitor.http.get("/").headers["Location"].startswith("/accounts/login/")


def test_a_session_ends_after_its_longest_time_though_it_is_used(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    visitor.age(clearance_began=int(time.time()) - 12 * 3600 - 1)
    assert "ended=expired" in visitor.http.get("/").headers["Location"]


def test_a_dangerous_act_asks_again_and_then_goes_on_by_itself(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    slug = slug_of(person)
    visitor.age(account_authentication_methods=[{"method": "password", "at": time.time() - 601}])
    asked = visitor.post(f"/features/{slug}/settings/keys/", scopes="ingest", label="mine")
    assert asked.status_code == 302
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    assert not ApiKey.objects.filter(feature__slug=slug).exists()
    following = re.sub(r".*next=", "", asked.headers["Location"])
    wrong = visitor.post(asked.headers["Location"], password="not it", next=httpx.URL(following).path)
    assert wrong.status_code == 200
    assert not ApiKey.objects.filter(feature__slug=slug).exists()
    done = visitor.post(asked.headers["Location"], password=PASSWORD, next=f"/features/{slug}/settings/keys/")
    assert done.status_code == 200
    assert "The new key" in done.text
    key = ApiKey.objects.get(feature__slug=slug)
    assert (key.label, key.scopes) == ("mine", ["ingest"])


def test_what_was_asked_for_once_is_done_once(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    slug = slug_of(person)
    visitor.age(account_authentication_methods=[])
    visitor.post(f"/features/{slug}/settings/keys/", scopes="ingest")
    for _ in range(2):
        visitor.post("/accounts/reauthenticate/", password=PASSWORD, next=f"/features/{slug}/settings/keys/")
    assert ApiKey.objects.filter(feature__slug=slug).count() == 1


def test_a_second_factor_is_asked_for_at_sign_in_and_a_password_alone_opens_nothing(
    stack: Stack, person: Person
) -> None:
    secret = give_app(person)
    visitor = Visitor(stack)
    first = visitor.sign_in(person.name)
    assert first.headers["Location"].startswith("/accounts/2fa/authenticate/")
    assert visitor.http.get("/").status_code == 302
    wrong = visitor.post("/accounts/2fa/authenticate/", code="000000")
    assert wrong.status_code == 200
    assert visitor.http.get("/").status_code == 302
    assert visitor.post("/accounts/2fa/authenticate/", code=code_of(secret)).status_code == 302
    assert visitor.http.get("/").status_code == 200
    assert actions_of(person)[-1] == "sign_in.succeeded"


def test_a_code_works_once(stack: Stack, person: Person) -> None:
    secret = give_app(person)
    code = code_of(secret)
    for expected in (200, 302):
        visitor = Visitor(stack)
        visitor.sign_in(person.name)
        visitor.post("/accounts/2fa/authenticate/", code=code)
        assert visitor.http.get("/").status_code == expected


def test_with_a_second_factor_a_fresh_password_is_not_enough(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    secret = give_app(person)
    slug = slug_of(person)
    asked = visitor.post(f"/features/{slug}/settings/keys/", scopes="ingest")
    assert asked.headers["Location"].startswith("/accounts/2fa/reauthenticate/")
    by_password = visitor.post(
        "/accounts/reauthenticate/", password=PASSWORD, next=f"/features/{slug}/settings/keys/"
    )
    assert by_password.headers["Location"].startswith("/accounts/2fa/reauthenticate/")
    assert not ApiKey.objects.filter(feature__slug=slug).exists()
    done = visitor.post(
        "/accounts/2fa/reauthenticate/", code=code_of(secret), next=f"/features/{slug}/settings/keys/"
    )
    assert "The new key" in done.text


def test_the_secrets_of_second_factors_are_sealed(person: Person) -> None:
    secret = give_app(person)
    assert secret not in str(Authenticator.objects.get(user=person).data)


def test_setting_up_an_app_is_recorded_and_needs_its_code(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    visitor.post("/accounts/reauthenticate/", password=PASSWORD, next="/accounts/2fa/app/")
    page = visitor.http.get("/accounts/2fa/app/")
    assert page.status_code == 200
    found = re.search(r'value="([A-Z2-7]{32})"', page.text)
    assert found
    assert visitor.post("/accounts/2fa/app/", code="123456").status_code == 200
    assert not Authenticator.objects.filter(user=person).exists()
    assert visitor.post("/accounts/2fa/app/", code=code_of(found[1])).status_code == 302
    assert "second_factor.added" in actions_of(person)


def test_signing_out_everywhere_else_ends_the_other_sessions_only(stack: Stack, person: Person) -> None:
    here, there = Visitor(stack), Visitor(stack)
    for visitor in (here, there):
        visitor.sign_in(person.name)
    assert "this one" in here.http.get("/accounts/sessions/").text
    here.post("/accounts/sessions/")
    assert here.http.get("/").status_code == 200
    assert there.http.get("/").status_code == 302
    assert actions_of(person)[-1] == "sessions.ended"


def test_a_changed_password_ends_the_sessions_that_the_old_one_began(stack: Stack, person: Person) -> None:
    here, there = Visitor(stack), Visitor(stack)
    for visitor in (here, there):
        visitor.sign_in(person.name)
    new = "another long password"
    changed = here.post("/accounts/password/", oldpassword=PASSWORD, password1=new, password2=new)
    assert changed.status_code == 302
    assert here.http.get("/").status_code == 200
    assert there.http.get("/").status_code == 302
    assert "password.changed" in actions_of(person)
    assert Visitor(stack).sign_in(person.name, new).status_code == 302


def test_an_inactive_person_has_no_session_and_gets_none(stack: Stack, person: Person) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    Person.objects.filter(pk=person.pk).update(is_active=False)
    assert visitor.http.get("/").status_code == 302
    assert Visitor(stack).sign_in(person.name).status_code in (302, 400)
    assert visitor.http.get("/").status_code == 302


def test_reports_of_the_browser_are_taken_short_and_without_query_strings(stack: Stack) -> None:
    report = {"document-uri": "http://h/p?secret=1", "violated-directive": "img-src", "blocked-uri": "x"}
    body = json.dumps({"csp-report": report})
    assert httpx.post(f"{stack.url}/csp-report/", content=body).status_code == 204
    for bad in ("", "[]", "{}", '{"csp-report": 1}', "\x00"):
        assert httpx.post(f"{stack.url}/csp-report/", content=bad).status_code == 400
    assert httpx.post(f"{stack.url}/csp-report/", content="x" * 20_000).status_code == 413
    log = stack.log.read_text()
    assert '"document-uri": "http://h/p"' in log
    assert "secret=1" not in log
    assert (
        "report-uri /csp-report/"
        in httpx.get(f"{stack.url}/accounts/login/").headers["Content-Security-Policy"]
    )


def test_a_person_without_a_fresh_proof_reads_but_changes_nothing(stack: Stack, person: Person) -> None:
    browser = Browser(stack, person, fresh=False)
    slug = slug_of(person)
    assert browser.get(f"/features/{slug}/people/").status_code == 200
    for path in ("people/", "people/take/", "settings/keys/", "start/"):
        asked = browser.post(f"/features/{slug}/{path}", {})
        assert asked.headers["Location"].startswith("/accounts/reauthenticate/"), path


def test_an_operator_helps_whoever_lost_a_password_or_a_device_and_keeps_out_who_left(
    stack: Stack, person: Person
) -> None:
    visitor = Visitor(stack)
    visitor.sign_in(person.name)
    give_app(person)
    password = stack.manage("person", "password", person.name).stdout.strip()
    assert visitor.http.get("/").status_code == 302
    assert stack.manage("person", "remove-second-factor", person.name).stdout == "1 removed\n"
    assert visitor.sign_in(person.name, password).headers["Location"] == "/"
    assert stack.manage("person", "deactivate", person.name).returncode == 0
    assert visitor.http.get("/").status_code == 302
    assert visitor.sign_in(person.name, password).status_code == 400
    assert stack.manage("person", "activate", person.name).returncode == 0
    assert visitor.sign_in(person.name, password).status_code == 302
    assert actions_of(person)[-5:] == [
        "sign_in.succeeded",
        "person.deactivated",
        "sign_in.failed",
        "person.activated",
        "sign_in.succeeded",
    ]
    assert stack.manage("person", "password", "nobody-here").returncode == 2
    weak = stack.manage("person", "password", person.name, "--password-stdin", given="short\n")
    assert (weak.returncode, "too short" in weak.stderr) == (2, True)
