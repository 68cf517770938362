"""Tier draft: what an agent may only prepare is kept; it runs when a person makes it their own and another approves."""

import re
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import IntegrityError, connection, transaction

from approvals.models import ApprovalRequest, BudgetKept, Decision, Vote
from approvals.services import kill, propose_draft, vote
from features.errors import ClearanceError, ConflictError
from features.models import Notice, Person
from features.services import create_key
from tests.approvals.support import Agent, apply, cast, make_agent, make_person, refund
from tests.approvals.test_races import ROUNDS
from tests.racing import race, won
from tests.support import Browser, Client, Stack


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack, tier="draft")


def propose(stack: Stack, person: Person, draft: str, **fields: str) -> httpx.Response:
    form = {f"arg:{name}": value for name, value in fields.items()}
    return Browser(stack, person).post(f"/decisions/{draft}/propose", form)


def made_of(draft: str) -> Decision:
    return Decision.objects.select_related("request", "feature").get(draft=UUID(draft))


def last_record() -> tuple[str, str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT actor_kind, actor, payload FROM audit.record WHERE action = 'decision.made' "
            "ORDER BY number DESC LIMIT 1"
        )
        row: tuple[str, str, str] = cursor.fetchone()
    return row


def test_a_draft_becomes_a_persons_request_that_another_approves_and_the_agent_runs(
    stack: Stack, agent: Agent
) -> None:
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    draft = agent.ask(refund("20.00", order="A-7"), key="call-1").json()
    assert (draft["decision"], draft["state"], draft["request_id"]) == ("deny", "denied", None)
    assert (draft["proposed"], draft["draft"]) == (None, None)
    made = propose(stack, ada, draft["id"])
    assert made.status_code == 303
    request = made_of(draft["id"]).request
    assert made.headers["Location"] == f"/approvals/{request.pk}/"

    own = cast(stack, ada, str(request.pk))
    assert own.status_code == 403
    assert "You proposed this" in own.text
    # The agent's own decision stays what it was; it says where it goes on.
    again = agent.ask(refund("20.00", order="A-7"), key="call-1")
    assert (again.status_code, again.json()["state"]) == (403, "denied")
    said = again.json()["proposed"]
    assert said in again.json()["message"]
    waiting = agent.look(said)
    assert (waiting["decision"], waiting["state"], waiting["draft"]) == (
        "needs_approval",
        "pending",
        draft["id"],
    )
    assert [one["code"] for one in waiting["reasons"]] == ["draft"]
    assert waiting["digest"] == draft["digest"]
    assert agent.execute(said).json()["code"] == "not_approved"
    assert agent.execute(draft["id"]).json()["code"] == "not_approved"

    assert cast(stack, ben, str(request.pk)).status_code == 303
    started = agent.execute(said)
    assert started.json()["args"] == {"order_id": "A-7", "amount": "20.00", "currency": "USD"}
    assert agent.execute(said).json()["code"] == "already_consumed"
    assert agent.report(started.json()["execution"], "succeeded").status_code == 200
    page = Browser(stack, ada).get(f"/decisions/{draft['id']}/").text
    assert f"<bdi>{ada}</bdi> proposed it as their own request" in page
    assert "succeeded" in page
    told = Notice.objects.get(kind="approval.decided", facts__request=str(request.pk))
    assert str(ada.pk) in {str(one.person_id) for one in told.deliveries.all()}


def test_what_is_proposed_of_a_draft_never_runs_alone(stack: Stack, agent: Agent) -> None:
    """Also where the policy in force would let the agent do it."""
    ada = make_person(agent.slug)
    draft = agent.ask(refund("1.00")).json()["id"]
    apply(agent.slug, tier="execute_under_threshold")
    assert propose(stack, ada, draft).status_code == 303
    assert made_of(draft).answer == "needs_approval"
    assert agent.ask(refund("1.00")).json()["decision"] == "allow"


def test_what_is_changed_before_it_is_proposed_is_told(stack: Stack, agent: Agent) -> None:
    ada = make_person(agent.slug)
    draft = agent.ask(refund("180.00")).json()
    wrong = propose(stack, ada, draft["id"], amount="a lot")
    assert wrong.status_code == 400
    assert 'value="a lot"' in wrong.text
    assert not Decision.objects.filter(draft=draft["id"]).exists()
    assert propose(stack, ada, draft["id"], amount="90.00").status_code == 303
    made = agent.look(str(made_of(draft["id"]).pk))
    assert made["edited"] == [{"path": "amount", "from": "180.00", "to": "90.00"}]
    assert made["digest"] != draft["digest"]
    assert "$90.00" in Browser(stack, ada).get(f"/approvals/{made['request_id']}/").text


def test_it_is_recorded_as_the_persons_act_and_the_record_holds(stack: Stack, agent: Agent) -> None:
    import json

    ada = make_person(agent.slug)
    draft = agent.ask(refund("20.00")).json()["id"]
    propose(stack, ada, draft)
    kind, actor, payload = last_record()
    assert (kind, actor) == ("person", str(ada.pk))
    said = json.loads(payload)
    assert said["draft"] == draft
    assert str(ada.pk) in said["proposers"]


def test_only_who_may_decide_proposes(stack: Stack, agent: Agent) -> None:
    draft = agent.ask(refund("20.00", order="A-SECRET")).json()["id"]
    for role in ("viewer", "reviewer", "lead", "on_call"):
        person = make_person(agent.slug, role)
        page = Browser(stack, person).get(f"/decisions/{draft}/").text
        assert "Only a person with the role approver proposes this" in page
        assert "A-SECRET" not in page
        assert propose(stack, person, draft).status_code == 403
    assert propose(stack, make_person(make_agent(stack).slug), draft).status_code == 404
    assert not Decision.objects.filter(draft=draft).exists()


def test_what_is_no_draft_is_not_proposed(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    for body in (refund("180.00"), refund("20.00"), {"action": "delete_customer", "args": {}}):
        decision = agent.ask(body).json()["id"]
        assert propose(stack, ada, decision).status_code == 409


def test_the_policy_in_force_judges_anew(stack: Stack, agent: Agent) -> None:
    ada = make_person(agent.slug)
    big, small = (agent.ask(refund(amount)).json()["id"] for amount in ("180.00", "20.00"))
    apply(agent.slug, tier="draft", limit="50")
    refused = propose(stack, ada, big)
    assert (refused.status_code, "A budget of this action is used up" in refused.text) == (400, True)
    apply(agent.slug, tier="suggest")
    assert "only suggests" in propose(stack, ada, small).text
    apply(agent.slug, tier="draft")
    kill(agent.feature, reason="look first")
    assert "switched off" in propose(stack, ada, small).text
    assert not Decision.objects.filter(draft__in=[big, small]).exists()


def test_a_draft_is_proposed_once_by_racing_people(stack: Stack, agent: Agent) -> None:
    people = [make_person(agent.slug) for _ in range(3)]
    for _ in range(ROUNDS):
        draft = agent.ask(refund("20.00", order="A-1")).json()["id"]
        args = {"order_id": "A-1", "amount": "20.00", "currency": "USD"}
        results: list[Any] = race(*(partial(propose_draft, draft, args, who) for who in people))
        assert len(won(results)) == 1
        assert {one.code for one in results if isinstance(one, ClearanceError)} == {"proposed"}
        made = made_of(draft)
        assert BudgetKept.objects.filter(decision=made).count() == 1
        assert ApprovalRequest.objects.filter(decision=made).count() == 1


def test_the_database_keeps_a_draft_from_being_proposed_twice_or_to_run_alone(
    stack: Stack, agent: Agent
) -> None:
    ada = make_person(agent.slug)
    first, second = (agent.ask(refund("20.00")).json()["id"] for _ in range(2))
    propose(stack, ada, first)
    propose(stack, ada, second)
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.filter(draft=second).update(draft=first)
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.filter(draft=second).update(answer="allow")
    with pytest.raises(Exception, match="own proposal"), transaction.atomic():
        Vote.objects.create(request=made_of(first).request, revision=1, person=ada, vote="approve")


def test_a_rejected_proposal_says_so_on_the_draft_and_is_over(stack: Stack, agent: Agent) -> None:
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    draft = agent.ask(refund("20.00", order="A-3")).json()["id"]
    propose(stack, ada, draft)
    request = str(made_of(draft).request.pk)
    cast(stack, ben, request, "reject", reason="not this one")
    assert "rejected" in Browser(stack, ben).get(f"/decisions/{draft}/").text
    assert propose(stack, ada, draft).status_code == 409
    # The same from another draft waits for the end of the quiet period.
    other = agent.ask(refund("20.00", order="A-3")).json()["id"]
    assert "rejected this a short time ago" in propose(stack, ada, other).text


def test_who_proposed_it_takes_it_back_and_nobody_else(stack: Stack, agent: Agent) -> None:
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    draft = agent.ask(refund("20.00")).json()["id"]
    propose(stack, ada, draft)
    made = made_of(draft)
    path = f"/approvals/{made.request.pk}/withdraw"
    assert Browser(stack, ben).post(path, {}).status_code == 409
    by_agent = agent.send(f"/api/v1/decisions/{made.pk}/withdraw")
    assert (by_agent.status_code, by_agent.json()["code"]) == (409, "not_pending")
    assert "Take my request back" in Browser(stack, ada).get(f"/approvals/{made.request.pk}/").text
    assert Browser(stack, ada).post(path, {}).status_code == 303
    assert agent.look(str(made.pk))["state"] == "withdrawn"
    assert not BudgetKept.objects.filter(decision=made).exists()
    assert f"{ada} withdrew it" in Browser(stack, ben).get(f"/approvals/{made.request.pk}/").text
    with pytest.raises(ConflictError):
        vote(made.request.pk, "approve", 1, ben)


def test_who_holds_the_key_may_not_vote_on_it_either(stack: Stack, agent: Agent) -> None:
    maker, ada = make_person(agent.slug), make_person(agent.slug)
    _, key = create_key(feature=agent.feature, scopes=["decide"], by=maker)
    draft = Agent(Client(stack, agent.slug, key)).ask(refund("20.00")).json()["id"]
    propose(stack, ada, draft)
    request = made_of(draft).request
    assert {str(one) for one in request.proposers} == {str(maker.pk), str(ada.pk)}
    assert cast(stack, maker, str(request.pk)).status_code == 403
    # Another key of the feature neither sees nor runs it.
    assert agent.execute(str(made_of(draft).pk)).status_code == 404


def test_the_list_shows_drafts_and_what_became_of_them(stack: Stack, agent: Agent) -> None:
    ada, viewer = make_person(agent.slug), make_person(agent.slug, "viewer")
    browser, path = Browser(stack, ada), f"/features/{agent.slug}/approvals/drafts/"
    assert "No draft waits" in browser.get(path).text
    one = agent.ask(refund("20.00", order="A-1")).json()["id"]
    two = agent.ask(refund("30.00", order="A-2")).json()["id"]
    assert re.search(r"Drafts <b>2</b>", browser.get(f"/features/{agent.slug}/approvals/").text)
    assert re.search(r"Drafts <b>2</b>", browser.get("/approvals/").text)
    text = browser.get(path).text
    assert "$20.00" in text
    assert "A-2" in text
    assert 'data-name="Who may propose it">you<' in text
    hidden = Browser(stack, viewer).get("/approvals/drafts/").text
    assert one in hidden
    assert "A-1" not in hidden
    assert "$20.00" not in hidden
    propose(stack, ada, one)
    assert (one in browser.get(path).text, two in browser.get(path).text) == (False, True)
    assert f"proposed by <bdi>{ada}</bdi>" in browser.get(f"{path}?which=proposed").text
    assert one in browser.get(f"/features/{agent.slug}/decisions/?state=proposed").text
    assert two in browser.get(f"/features/{agent.slug}/decisions/?state=draft").text
    assert browser.get(f"{path}?which=nonsense").status_code == 400
    Decision.objects.filter(pk=two).update(sealed=None, salt=None)
    assert "No draft waits" in browser.get(path).text
    assert propose(stack, ada, two).status_code == 409


def test_what_a_form_cannot_carry_is_left_as_it_was(stack: Stack, agent: Agent) -> None:
    """A browser sends other ends of lines and no NUL: who only presses the button proposes what the agent drafted."""
    ada = make_person(agent.slug)
    order = "a\rb\r\nc\0d"
    draft = agent.ask(refund("20.00", order=order)).json()
    assert propose(stack, ada, draft["id"], order_id="a\r\nb\r\nc\ufffdd").status_code == 303
    made = agent.look(str(made_of(draft["id"]).pk))
    assert made["digest"] == draft["digest"]
    assert made["edited"] == []
