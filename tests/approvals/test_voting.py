"""People decide: exactly that, once, and nobody on their own proposal."""

import time

import httpx
import pytest

from approvals.models import ApprovalRequest, Vote
from approvals.services import edit, take_back, vote
from features.errors import ClearanceError, ConflictError
from features.models import FeatureRole, Person
from features.services import create_key, give_role, take_role
from tests.approvals.support import Agent, apply, cast, make_agent, make_person, refund
from tests.support import Browser, Client, Stack

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack)


def test_an_approved_refund_runs_exactly_as_it_was_shown(stack: Stack, agent: Agent) -> None:
    person = make_person(agent.slug)
    asked = agent.ask(refund("180.00", "A-7")).json()
    answer = cast(stack, person, asked["request_id"])
    assert answer.status_code == 303, answer.text
    assert agent.look(asked["id"], wait=10)["state"] == "approved"
    run = agent.execute(asked["id"], digest=asked["digest"])
    assert run.status_code == 200, run.text
    assert run.json()["args"] == {"order_id": "A-7", "amount": "180.00", "currency": "USD"}
    late = cast(stack, make_person(agent.slug), asked["request_id"])
    assert late.status_code == 409
    assert f"Already approved by {person}" in late.text


def test_a_rejection_says_why_and_the_same_subject_is_denied_for_a_while(stack: Stack, agent: Agent) -> None:
    person = make_person(agent.slug)
    asked = agent.ask(refund("180.00", "A-7")).json()
    assert cast(stack, person, asked["request_id"], "reject").status_code == 400
    assert cast(stack, person, asked["request_id"], "reject", reason="Paid back already").status_code == 303
    seen = agent.look(asked["id"])
    assert seen["state"] == "rejected"
    assert "Paid back already" in seen["message"]
    again = agent.ask(refund("170.00", "A-7"))
    assert again.json()["reasons"][0]["code"] == "recently_rejected"
    assert agent.ask(refund("170.00", "A-8")).status_code == 202


def test_an_expiry_is_never_told_as_a_rejection(stack: Stack) -> None:
    agent = make_agent(stack, ttl="1s")
    asked = agent.ask(refund("180.00", "A-7")).json()
    seen = agent.look(asked["id"], wait=10)
    assert seen["state"] == "expired"
    assert "no rejection" in seen["message"]
    assert cast(stack, make_person(agent.slug), asked["request_id"]).status_code == 409
    assert agent.execute(asked["id"]).json()["code"] == "expired"
    assert agent.ask(refund("180.00", "A-7")).status_code == 202


def test_who_made_the_key_or_gave_the_role_or_came_later_does_not_decide(stack: Stack) -> None:
    agent = make_agent(stack)
    maker = make_person(agent.slug)
    give_role(feature=agent.feature, person=maker, role="lead")
    _, key = create_key(feature=agent.feature, scopes=["decide"], by=maker)
    given = make_person(agent.slug, "viewer")
    give_role(feature=agent.feature, person=given, role="approver", by=maker)
    theirs = Agent(Client(stack, agent.slug, key))
    request = theirs.ask(refund("180.00")).json()["request_id"]
    late = make_person(agent.slug)
    viewer = make_person(agent.slug, "lead")
    for person, why in (
        (maker, "made the key"),
        (given, "was given"),
        (late, "after this"),
        (viewer, "role"),
    ):
        answer = cast(stack, person, request)
        assert answer.status_code == 403, person
        assert why in answer.text
    assert not Vote.objects.filter(request=request).exists()


def test_superuser_flags_open_nothing(stack: Stack, agent: Agent) -> None:
    person = make_person(agent.slug, "viewer")
    person.is_superuser = True
    person.save()
    request = agent.ask(refund("180.00")).json()["request_id"]
    assert cast(stack, person, request).status_code == 403


def test_a_key_and_a_script_do_not_vote(stack: Stack, agent: Agent) -> None:
    person = make_person(agent.slug)
    request = agent.ask(refund("180.00")).json()["request_id"]
    by_key = agent.client.post(f"/approvals/{request}/vote", b"vote=approve&revision=1", FORM)
    assert by_key.status_code in (302, 403)
    browser = Browser(stack, person)
    for headers in ({"HX-Request": "true"}, {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Mode": "same-origin"}):
        form = {"vote": "approve", "revision": "1"}
        answer = browser._http.post(f"/approvals/{request}/vote", data=form, headers=headers)
        assert answer.status_code == 403
    no_token = httpx.post(
        f"{stack.url}/approvals/{request}/vote",
        data={"vote": "approve", "revision": "1"},
        cookies={"sessionid": Browser._session(person, True)},
    )
    assert no_token.status_code == 403
    assert ApprovalRequest.objects.get(pk=request).state == "pending"


def test_a_quorum_counts_only_who_holds_the_role_at_the_last_vote(stack: Stack) -> None:
    agent = make_agent(stack, quorum=2)
    first, second, third = (make_person(agent.slug) for _ in range(3))
    asked = agent.ask(refund("180.00")).json()
    assert cast(stack, first, asked["request_id"]).status_code == 303
    assert cast(stack, first, asked["request_id"]).status_code == 409
    take_role(feature=agent.feature, person=first, role="approver")
    assert cast(stack, second, asked["request_id"]).status_code == 303
    assert agent.look(asked["id"])["state"] == "pending"
    assert cast(stack, third, asked["request_id"]).status_code == 303
    assert agent.look(asked["id"])["state"] == "approved"


def test_an_approval_can_be_taken_back_for_five_seconds_and_nothing_ran_meanwhile(
    stack: Stack, agent: Agent
) -> None:
    person = make_person(agent.slug)
    asked = agent.ask(refund("180.00")).json()
    vote(asked["request_id"], "approve", 1, person)
    take_back(asked["request_id"], person)
    assert agent.look(asked["id"])["state"] == "pending"
    refused = agent.execute(asked["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not_approved")
    vote(asked["request_id"], "approve", 1, person)
    time.sleep(5.1)
    with pytest.raises(ConflictError, match="Five seconds"):
        take_back(asked["request_id"], person)
    assert agent.execute(asked["id"]).status_code == 200


def test_an_edit_is_a_new_revision_that_the_editor_may_approve_only_if_it_is_tighter(
    stack: Stack, agent: Agent
) -> None:
    person, other = make_person(agent.slug), make_person(agent.slug)
    asked = agent.ask(refund("180.00", "A-7")).json()
    args = {"order_id": "A-7", "amount": "150.00", "currency": "USD"}
    edit(asked["request_id"], args, 1, person)
    seen = agent.look(asked["id"])
    assert (seen["id"], seen["revision"]) == (asked["id"], 2)
    assert seen["digest"] != asked["digest"]
    assert seen["edited"] == [{"path": "amount", "from": "180.00", "to": "150.00"}]
    assert cast(stack, person, asked["request_id"], revision=1).status_code == 409
    edit(asked["request_id"], {**args, "amount": "200.00"}, 2, person)
    assert cast(stack, person, asked["request_id"], revision=3).status_code == 403
    assert cast(stack, other, asked["request_id"], revision=3).status_code == 303
    stale = agent.execute(asked["id"], digest=asked["digest"])
    assert (stale.status_code, stale.json()["code"]) == (409, "digest_mismatch")
    assert agent.execute(asked["id"]).json()["args"]["amount"] == "200.00"


def test_an_edit_stays_within_the_schema(stack: Stack, agent: Agent) -> None:
    asked = agent.ask(refund("180.00", "A-7")).json()
    for args in ({"order_id": "A-7", "amount": "1", "currency": "USD"}, {"amount": "1.00"}):
        with pytest.raises(ClearanceError, match=r"args"):
            edit(asked["request_id"], args, 1, make_person_before(agent, asked))
    assert agent.look(asked["id"])["revision"] == 1


def make_person_before(agent: Agent, asked: dict[str, str]) -> Person:
    """Somebody who held the role when it was asked."""
    person = make_person(agent.slug)

    created = ApprovalRequest.objects.get(pk=asked["request_id"]).created_at
    FeatureRole.objects.filter(user=person).update(given_at=created)
    return person


def test_a_new_policy_supersedes_what_waits(stack: Stack, agent: Agent) -> None:
    person = make_person(agent.slug)
    asked = agent.ask(refund("180.00")).json()
    apply(agent.slug, quorum=2)
    answer = cast(stack, person, asked["request_id"])
    assert answer.status_code == 409
    assert "changed since" in answer.text
    assert agent.look(asked["id"])["state"] == "revoked"


def test_who_has_no_role_finds_no_request(stack: Stack, agent: Agent) -> None:
    other = make_agent(stack)
    request = agent.ask(refund("180.00")).json()["request_id"]
    assert cast(stack, make_person(other.slug), request).status_code == 404


def test_json_is_answered_to_who_asks_for_it(stack: Stack, agent: Agent) -> None:
    person = make_person(agent.slug)
    request = agent.ask(refund("180.00")).json()["request_id"]
    browser = Browser(stack, person)
    browser._http.headers["Accept"] = "application/json"
    done = browser.post(f"/approvals/{request}/vote", {"vote": "approve", "revision": "1"})
    assert done.json()["state"] == "approved"
    assert done.json()["record"]["number"] > 0
    again = browser.post(f"/approvals/{request}/vote", {"vote": "approve", "revision": "1"})
    assert (again.status_code, again.json()["code"]) == (409, "decided")
