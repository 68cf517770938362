"""Every URL by every role: the table below is the whole of who may open what, and a URL that is not in it
fails.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver

from approvals.models import Decision
from approvals.proposal import Proposal
from approvals.services import Ask, decide, kill
from audit.services import Actor, append, make_checkpoint
from features.models import ROLES, Feature, Person
from features.services import create_feature, create_key, create_person
from reviews.models import Review, Sample
from reviews.services import claim, draw_window
from tests.approvals.support import apply
from tests.support import Browser, Stack, unique
from tests.traces.test_api import body
from traces.holds import hold_trace
from traces.ingest import ingest_traces
from traces.services import settle_dirty

OK, FOUND, SEE, FORBIDDEN, ABSENT = 200, 302, 303, 403, 404
TRACE = "ab" * 16
WHO = ("nobody", "stranger", "administrator", *ROLES)


def everybody(signed_in: int, nobody: int = FOUND) -> dict[str, int]:
    """The same for whoever is signed in; nobody is sent to sign in."""
    return {"nobody": nobody, **dict.fromkeys(WHO[1:], signed_in)}


def roles_only(answer: int = OK, lead: int | None = None) -> dict[str, int]:
    """For holders of a role; all others get the 404 of a feature that does not exist."""
    held = dict.fromkeys(ROLES, answer)
    if lead is not None:
        held["lead"] = lead
    return {"nobody": FOUND, "stranger": ABSENT, "administrator": ABSENT, **held}


ANYBODY = dict.fromkeys(WHO, OK)
BY_KEY = dict.fromkeys(WHO, 401)  # a session opens nothing here
# route -> method -> who -> status. POSTs carry nonsense: 400 for whoever may post there.
MATRIX: dict[str, dict[str, dict[str, int]]] = {
    "healthz": {"GET": ANYBODY},
    "readyz": {"GET": ANYBODY},
    "favicon.ico": {"GET": dict.fromkeys(WHO, FOUND)},
    "api/v1/schema/": {"GET": ANYBODY},
    "api/v1/traces": {"GET": BY_KEY},
    "api/v1/traces/<str:trace_id>": {"GET": BY_KEY},
    "api/v1/traces/<str:trace_id>/feedback": {"POST": BY_KEY},
    "api/v1/features/<slug:slug>/metrics": {"GET": BY_KEY},
    "api/v1/decisions": {"POST": BY_KEY},
    "api/v1/decisions/<uuid:decision_id>": {"GET": BY_KEY},
    "api/v1/decisions/<uuid:decision_id>/execute": {"POST": BY_KEY},
    "api/v1/decisions/<uuid:decision_id>/withdraw": {"POST": BY_KEY},
    "api/v1/executions/<uuid:execution_id>/outcome": {"POST": BY_KEY},
    "api/v1/features/<slug:slug>/kill": {"POST": BY_KEY},
    ".well-known/jwks.json": {"GET": ANYBODY},
    "approvals/": {"GET": everybody(OK)},
    "approvals/wait/": {"GET": everybody(OK)},
    "approvals/mine/": {"GET": everybody(OK)},
    "approvals/away/": {"GET": everybody(OK), "POST": everybody(400)},
    "approvals/away/end": {"POST": everybody(FOUND)},
    "features/<slug:slug>/approvals/insights/": {"GET": roles_only()},
    "features/<slug:slug>/approvals/insights.csv": {"GET": roles_only()},
    "features/<slug:slug>/approvals/": {"GET": roles_only()},
    "features/<slug:slug>/approvals/wait/": {"GET": roles_only()},
    "features/<slug:slug>/decisions/": {"GET": roles_only()},
    # An open page asks by itself: who is not signed in any more learns nothing, and is not sent anywhere.
    "stops/": {"GET": everybody(OK, nobody=204)},
    "features/<slug:slug>/stops/": {"GET": {**roles_only(), "nobody": 204}},
    "approvals/<uuid:request_id>/": {"GET": roles_only()},
    "approvals/<uuid:request_id>/wait/": {"GET": roles_only()},
    "approvals/<uuid:request_id>/take-back": {"POST": roles_only(409)},  # there is none of theirs
    "approvals/<uuid:request_id>/edit": {"POST": roles_only(400)},
    "approvals/<uuid:request_id>/hand-over": {"POST": roles_only(400)},
    "executions/<uuid:execution_id>/": {"GET": everybody(ABSENT)},  # there is none
    "executions/<uuid:execution_id>/settle": {"POST": everybody(ABSENT)},  # there is none
    "kill": {  # asked for below, where nothing else runs
        "GET": {**everybody(FORBIDDEN), "administrator": OK},
    },
    "restore": {"POST": {**everybody(FORBIDDEN), "administrator": ABSENT}},
    "approvals/<uuid:request_id>/vote": {"POST": roles_only(400)},
    "decisions/<uuid:decision_id>/": {"GET": roles_only()},
    "approvals/<uuid:request_id>/ask": {"POST": roles_only(400)},
    "approvals/questions/<uuid:question_id>/answer": {"POST": everybody(ABSENT)},  # there is none
    "approvals/reject": {"POST": everybody(400)},
    "approvals/drafts/": {"GET": everybody(OK)},
    "features/<slug:slug>/approvals/drafts/": {"GET": roles_only()},
    "decisions/<uuid:decision_id>/propose": {"POST": roles_only(409)},  # it is no draft
    "approvals/<uuid:request_id>/withdraw": {"POST": roles_only(409)},  # it is none of theirs
    # The tools of the scene are stopped: to stop them again is no error, to restore them wants a reason.
    "features/<slug:slug>/kill": {"POST": {**roles_only(FORBIDDEN), "lead": FOUND, "on_call": FOUND}},
    "features/<slug:slug>/restore": {"POST": {**roles_only(FORBIDDEN), "lead": 400, "on_call": 400}},
    "": {"GET": everybody(OK)},
    "audit/": {"GET": everybody(OK)},
    # The record is somebody else's: only administrators see all of the record.
    "audit/<int:number>/proof.json": {"GET": {**everybody(ABSENT), "administrator": OK}},
    "audit/export.csv": {"GET": everybody(OK)},
    "audit/export.jsonl": {"GET": everybody(OK)},
    "features/<slug:slug>/numbers.csv": {"GET": roles_only()},
    "features/<slug:slug>/numbers.json": {"GET": roles_only()},
    "notices/": {"GET": everybody(OK), "POST": everybody(FOUND)},
    "traces/": {"GET": everybody(OK), "POST": everybody(FOUND)},
    "traces/parts/": {"GET": everybody(OK)},
    "traces/suggestions/": {"GET": everybody(OK)},
    "traces/wait/": {"GET": everybody(OK)},
    "traces/export/": {"GET": everybody(OK)},
    "traces/export/file/": {"GET": everybody(OK)},
    "traces/export/progress/": {"GET": everybody(OK)},
    "searches/": {"GET": everybody(OK), "POST": everybody(400)},
    # Another's search is one that does not exist.
    "searches/<uuid:id>/": {"POST": everybody(ABSENT)},
    "prices/": {
        "GET": everybody(OK),
        "POST": {**everybody(FORBIDDEN), "administrator": 400},
    },
    "accounts/login/": {"GET": everybody(FOUND, nobody=OK)},
    "accounts/logout/": {"GET": dict.fromkeys(WHO, 405)},
    "accounts/inactive/": {"GET": ANYBODY},
    "accounts/reauthenticate/": {"GET": everybody(OK), "POST": everybody(OK)},
    "accounts/password/": {"GET": everybody(OK)},
    "accounts/sessions/": {"GET": everybody(OK)},
    "accounts/2fa/": {"GET": everybody(OK)},
    "accounts/2fa/authenticate/": {"GET": dict.fromkeys(WHO, FOUND)},  # only in the midst of a sign-in
    "accounts/2fa/reauthenticate/": {"GET": everybody(FOUND)},  # without a second factor: by password
    "accounts/2fa/app/": {"GET": everybody(FOUND)},  # asks for a fresh proof first
    "accounts/2fa/app/remove/": {"GET": everybody(ABSENT)},  # there is none
    "accounts/2fa/codes/": {"GET": everybody(ABSENT)},
    "accounts/2fa/codes/new/": {"GET": everybody(FOUND)},
    "accounts/2fa/codes/download/": {"GET": everybody(ABSENT)},
    "accounts/2fa/passkeys/": {"GET": everybody(OK)},
    "accounts/2fa/passkeys/add/": {"GET": everybody(FOUND)},
    "accounts/2fa/passkeys/login/": {"GET": everybody(FOUND)},
    "accounts/2fa/passkeys/reauthenticate/": {"GET": everybody(FOUND)},
    "accounts/2fa/passkeys/<int:pk>/remove/": {"GET": everybody(FOUND)},
    "accounts/2fa/passkeys/<int:pk>/edit/": {"GET": everybody(FOUND)},
    "accounts/links/": {"GET": everybody(OK)},
    "accounts/oidc/<str:provider_id>/login/": {"GET": dict.fromkeys(WHO, ABSENT)},  # none is set up
    "accounts/oidc/<str:provider_id>/callback/": {"GET": dict.fromkeys(WHO, ABSENT)},
    "csp-report/": {"POST": dict.fromkeys(WHO, 400)},
    "features/new/": {
        "GET": {**everybody(FORBIDDEN), "administrator": OK},
        "POST": {**everybody(FORBIDDEN), "administrator": 400},
    },
    "features/<slug:slug>/": {"GET": roles_only()},
    "features/<slug:slug>/traces/<str:id>/reveal/": {
        "GET": {**roles_only(FORBIDDEN, lead=OK), "on_call": OK},
        "POST": {**roles_only(FORBIDDEN, lead=400), "on_call": 400},
    },
    "features/<slug:slug>/settings/erase/": {
        "GET": roles_only(FORBIDDEN, lead=OK),
        "POST": roles_only(FORBIDDEN, lead=400),
    },
    "features/<slug:slug>/policy/": {"GET": roles_only()},
    "features/<slug:slug>/privilege/": {"GET": roles_only()},
    "features/<slug:slug>/policy/try/": {"GET": roles_only(), "POST": roles_only(400)},
    "features/<slug:slug>/policy/replay/": {"GET": roles_only(FORBIDDEN, lead=OK)},
    # There is no such version, and no such proposal.
    "features/<slug:slug>/policy/<int:number>/clearance.toml": {"GET": roles_only()},
    "features/<slug:slug>/policy/draft/": {"GET": roles_only(), "POST": roles_only(FORBIDDEN, lead=400)},
    "features/<slug:slug>/policy/draft/check/": {"POST": roles_only(FORBIDDEN, lead=OK)},
    "features/<slug:slug>/policy/proposals/<uuid:proposal>/": {
        "GET": roles_only(ABSENT),
        "POST": roles_only(FORBIDDEN, lead=ABSENT),
    },
    "features/<slug:slug>/people/": {"GET": roles_only(), "POST": roles_only(FORBIDDEN, lead=400)},
    "features/<slug:slug>/people/take/": {"POST": roles_only(FORBIDDEN, lead=FOUND)},
    "features/<slug:slug>/settings/": {"GET": roles_only()},
    "features/<slug:slug>/settings/keys/": {"POST": roles_only(FORBIDDEN, lead=400)},
    "features/<slug:slug>/settings/keys/<str:prefix>/rotate/": {"POST": roles_only(FORBIDDEN, lead=OK)},
    "features/<slug:slug>/settings/keys/<str:prefix>/revoke/": {
        "GET": roles_only(FORBIDDEN, lead=OK),
        "POST": roles_only(FORBIDDEN, lead=400),
    },
    "features/<slug:slug>/traces/": {"GET": roles_only(), "POST": roles_only(FOUND)},
    "features/<slug:slug>/list/parts/": {"GET": roles_only()},
    "features/<slug:slug>/list/suggestions/": {"GET": roles_only()},
    "features/<slug:slug>/list/wait/": {"GET": roles_only()},
    "features/<slug:slug>/export/": {"GET": roles_only()},
    "features/<slug:slug>/export/file/": {"GET": roles_only()},
    "features/<slug:slug>/traces/<str:id>/": {"GET": roles_only()},
    "features/<slug:slug>/traces/<str:id>/spans/<str:span_id>/": {"GET": roles_only()},
    "features/<slug:slug>/traces/<str:id>/spans/<str:span_id>/prompt/": {"GET": roles_only()},
    "storage/": {"GET": everybody(OK)},
    "features/<slug:slug>/storage/": {"GET": roles_only()},
    "features/<slug:slug>/traces/<str:id>/hold/": {
        "GET": roles_only(FORBIDDEN, lead=OK),
        "POST": roles_only(FORBIDDEN, lead=400),
    },
    "features/<slug:slug>/holds/<uuid:hold>/release/": {
        "GET": roles_only(FORBIDDEN, lead=OK),
        "POST": roles_only(FORBIDDEN, lead=400),
    },
    "reviews/": {"GET": everybody(OK)},
    "reviews/<uuid:sample_id>/next": {"POST": {**roles_only(FORBIDDEN, lead=SEE), "reviewer": SEE}},
    # The review in the scene is the reviewer's: to all others it is one that does not exist.
    "reviews/items/<uuid:review_id>/": {"GET": {**everybody(ABSENT), "reviewer": OK}},
    "reviews/items/<uuid:review_id>/draft": {"POST": {**everybody(ABSENT), "reviewer": 400}},
    "reviews/items/<uuid:review_id>/submit": {"POST": {**everybody(ABSENT), "reviewer": 400}},
    "reviews/items/<uuid:review_id>/skip": {"POST": {**everybody(ABSENT), "reviewer": 400}},
    "reviews/items/<uuid:review_id>/flag": {"POST": {**everybody(ABSENT), "reviewer": 400}},
    "reviews/items/<uuid:review_id>/take-back": {"POST": {**everybody(ABSENT), "reviewer": SEE}},
    "features/<slug:slug>/reviews/rubric/": {"GET": roles_only()},
    "features/<slug:slug>/reviews/rubric/draft/": {
        "GET": roles_only(FORBIDDEN, lead=OK),
        "POST": roles_only(FORBIDDEN, lead=400),
    },
    "features/<slug:slug>/reviews/rubric/check": {"POST": roles_only(FORBIDDEN, lead=OK)},
    # Whoever sees gold items knows the answers.
    "features/<slug:slug>/reviews/gold/": {
        "GET": roles_only(FORBIDDEN, lead=OK),
        "POST": roles_only(FORBIDDEN, lead=400),
    },
    "features/<slug:slug>/reviews/gold/<uuid:gold_id>/retire": {"POST": roles_only(FORBIDDEN, lead=ABSENT)},
    "features/<slug:slug>/reviews/judges/": {"GET": roles_only()},
    "api/v1/features/<slug:slug>/samples/<str:week>": {"GET": BY_KEY},
    "api/v1/features/<slug:slug>/judge-grades": {"POST": BY_KEY},
    "features/<slug:slug>/reviews/": {"GET": roles_only()},
    "features/<slug:slug>/reviews/draw": {"POST": roles_only(FORBIDDEN, lead=400)},
    "features/<slug:slug>/reviews/<uuid:sample_id>/": {"GET": roles_only()},
    "features/<slug:slug>/reviews/<uuid:sample_id>/close": {"POST": roles_only(FORBIDDEN, lead=400)},
    # The sample is open and nothing is graded: a lead who takes it away would grade no more blind.
    "features/<slug:slug>/reviews/<uuid:sample_id>/export.csv": {"GET": roles_only(FORBIDDEN, lead=409)},
    "features/<slug:slug>/reviews/<uuid:sample_id>/export.json": {"GET": roles_only(FORBIDDEN, lead=409)},
    "features/<slug:slug>/reviews/<uuid:sample_id>/differences/": {
        "GET": roles_only(),
        "POST": roles_only(400),
    },
    "features/<slug:slug>/start/": {"GET": roles_only(), "POST": roles_only(FORBIDDEN, lead=OK)},
    "features/<slug:slug>/start/wait/": {"GET": roles_only()},
}


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, before + str(pattern.pattern))
        else:
            yield before + str(pattern.pattern)


def test_every_url_stands_in_the_table(stack: Stack) -> None:
    known = set(routes(get_resolver().url_patterns))
    assert known - set(MATRIX) == set(), "say in the table who may open it"
    assert set(MATRIX) - known == set()


class Scene:
    """A feature with one trace and one key, and a browser for each kind of person."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        with transaction.atomic():
            self.others_record = append(Actor("system", "test"), "sign_out.done").number
        self.feature: Feature = create_feature(slug=unique("matrix"), task="One sentence.")
        key, _ = create_key(feature=self.feature, scopes=["read"])
        ingest_traces(self.feature, body({"trace_id": TRACE}), "application/json")
        while settle_dirty():
            pass
        self.prefix = key.prefix
        make_checkpoint()
        hold = hold_trace(
            feature=self.feature, trace_id=bytes.fromhex(TRACE), kind="legal", reason="a claim is open"
        )
        self.hold = str(hold.pk)
        self.decision = self._decision()
        kill(self.feature, reason="the scene")
        from traces.queries import find_trace

        found = find_trace([self.feature], TRACE)
        assert found is not None
        self.span = found.spans[0].span_id.hex()
        self.people: dict[str, Person] = {}
        self.browsers = {who: self._browser(who) for who in WHO}
        self.desk, self.review = self._review()

    def _decision(self) -> Decision:
        apply(self.feature.slug)
        key, _ = create_key(feature=self.feature, scopes=["decide"])
        args = {"order_id": "A-1", "amount": "180.00", "currency": "USD"}
        return decide(key, Ask(Proposal("refund", args), "matrix", b"matrix"))

    def _review(self) -> tuple[Sample, Review]:
        """A sample of the trace, and the reviewer's review under way."""
        now = datetime.now(UTC)
        sample = draw_window(self.feature, now - timedelta(days=3), now + timedelta(days=1)).sample
        review = claim(sample, self.people["reviewer"])
        assert review is not None
        return sample, review

    def _browser(self, who: str) -> Browser:
        if who == "nobody":
            return Browser(self.stack)
        roles = [(self.feature.slug, who)] if who in ROLES else []
        person: Person
        person, _ = create_person(
            name=unique(who.replace("_", "-")), roles=roles, administrator=who == "administrator"
        )
        self.people[who] = person
        return Browser(self.stack, person)

    def url(self, route: str) -> str:
        filled = (
            route.replace("reviews/<uuid:sample_id>/next", f"reviews/{self.desk.pk}/next")
            .replace("<uuid:review_id>", str(self.review.pk))
            .replace("policy/<int:number>", "policy/1")
            .replace("<slug:slug>", self.feature.slug)
            .replace("<str:trace_id>", TRACE)
            .replace("<str:id>", TRACE)
            .replace("<str:span_id>", self.span)
            .replace("<str:prefix>", self.prefix)
            .replace("<str:provider_id>", "sso")
            .replace("<uuid:id>", str(UUID(int=7)))
            .replace("<uuid:hold>", self.hold)
            .replace("<uuid:decision_id>", str(self.decision.pk))
            .replace("<uuid:request_id>", str(self.decision.request.pk))
            .replace("<uuid:execution_id>", str(UUID(int=7)))
            .replace("<uuid:sample_id>", str(self.desk.pk))
            .replace("<str:week>", "2026-W47")
            .replace("<uuid:gold_id>", str(UUID(int=7)))
            .replace("<uuid:question_id>", str(UUID(int=7)))
            .replace("<uuid:proposal>", str(UUID(int=7)))
            .replace("<int:pk>", "1")
            .replace("<int:number>", str(self.others_record))
        )
        # The waiting page answers at once when the browser has seen something else than there is.
        return f"/{filled}" + ("?seen=something-else" if filled.endswith("wait/") else "")


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Scene:
    return Scene(stack)


@pytest.mark.parametrize(
    ("route", "method"), [(route, method) for route, methods in MATRIX.items() for method in methods]
)
def test_each_role_gets_what_the_table_says(scene: Scene, route: str, method: str) -> None:
    found = {}
    for who, browser in scene.browsers.items():
        answer = browser.send(method, scene.url(route), "nonsense=1" if method == "POST" else "")
        found[who] = answer.status_code
        if "HX-Redirect" in answer.headers:  # how htmx is sent to sign in
            assert answer.headers["HX-Redirect"].startswith("/accounts/login/")
            found[who] = FOUND
            continue
        if answer.status_code == FOUND and who == "nobody" and route != "favicon.ico":
            assert answer.headers["Location"].startswith("/accounts/login/")
    assert found == MATRIX[route][method], HTTPStatus(max(found.values())).phrase


@pytest.mark.parametrize(
    "route", [route for route in MATRIX if "<slug:slug>" in route and "api/" not in route]
)
def test_a_feature_that_one_may_not_know_answers_as_one_that_does_not_exist(scene: Scene, route: str) -> None:
    browser = scene.browsers["stranger"]
    for method in MATRIX[route]:
        hidden = browser.send(method, scene.url(route))
        absent = browser.send(method, scene.url(route).replace(scene.feature.slug, "no-such-feature"))
        assert hidden.status_code == absent.status_code == ABSENT
        texts = [answer.text for answer in (hidden, absent)]
        assert scene.feature.name not in texts[0]
        assert len(texts[0].replace(scene.feature.slug, "")) == len(texts[1].replace("no-such-feature", ""))


def test_no_list_or_count_tells_of_a_feature_without_a_role(scene: Scene) -> None:
    for who in ("stranger", "administrator"):
        for path in ("/", "/traces/", f"/traces/?q={TRACE}", "/traces/?model=m-1"):
            text = scene.browsers[who].get(path).text
            assert scene.feature.slug not in text
            assert scene.feature.name not in text
