"""An approver asks before deciding: people answer, everybody who may know sees it, and the time goes on."""

import json
from functools import partial

import pytest
from django.db import connection

from approvals.models import ApprovalRequest, Decision, Question
from approvals.services import answer_question, ask_question
from approvals.services.erasing import erase_old
from features.errors import ClearanceError
from features.models import Notice, Person
from tests.approvals.support import Agent, cast, make_agent, make_person, refund
from tests.approvals.test_races import ROUNDS
from tests.racing import race, won
from tests.support import Browser, Stack


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack)


def ask(stack: Stack, person: Person, request: str, text: str) -> int:
    return Browser(stack, person).post(f"/approvals/{request}/ask", {"text": text}).status_code


def told(kind: str, request: str) -> set[str]:
    found = Notice.objects.filter(kind=kind, facts__request=request)
    return {str(one.person_id) for notice in found for one in notice.deliveries.all()}


def test_a_question_and_its_answer_stand_on_the_request_for_who_may_know(stack: Stack, agent: Agent) -> None:
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    lead, viewer = make_person(agent.slug, "lead"), make_person(agent.slug, "viewer")
    asked = agent.ask(refund("180.00")).json()
    request, path = asked["request_id"], f"/approvals/{asked['request_id']}/"
    before = ApprovalRequest.objects.get(pk=request).expires_at
    assert ask(stack, ada, request, "Was order <b>A-1</b>\u202e paid twice?") == 303
    assert told("approval.question", request) == {str(ben.pk), str(lead.pk)}
    for person in (ada, ben, lead):
        text = Browser(stack, person).get(path).text
        assert "Was order &lt;b&gt;A-1&lt;/b&gt;" in text
        assert "U+202E right-to-left override" in text
    assert "paid twice" not in Browser(stack, viewer).get(path).text

    question = Question.objects.get(request=request)
    reply = f"/approvals/questions/{question.pk}/answer"
    assert Browser(stack, viewer).post(reply, {"text": "yes it was"}).status_code == 403
    assert Browser(stack, lead).post(reply, {"text": "no, once only"}).status_code == 303
    assert told("approval.answer", request) == {str(ada.pk)}
    assert "no, once only" in Browser(stack, ben).get(path).text
    late = Browser(stack, ben).post(reply, {"text": "twice, I think"})
    assert (late.status_code, f"{lead} answered this already" in late.text) == (409, True)
    now = ApprovalRequest.objects.get(pk=request)
    assert (now.expires_at, now.state) == (before, "pending")
    # The agent's view is what api.md says, and no more.
    assert "paid twice" not in json.dumps(agent.look(asked["id"]))


def test_only_who_may_decide_asks_and_only_while_it_waits(stack: Stack, agent: Agent) -> None:
    ada, lead = make_person(agent.slug), make_person(agent.slug, "lead")
    request = agent.ask(refund("180.00")).json()["request_id"]
    assert ask(stack, lead, request, "what is this?") == 403
    assert ask(stack, make_person(make_agent(stack).slug), request, "what is this?") == 404
    assert ask(stack, ada, request, " ") == 400
    assert ask(stack, ada, request, "x" * 1001) == 400
    cast(stack, ada, request)
    assert ask(stack, ada, request, "too late?") == 409
    assert not Question.objects.filter(request=request).exists()


def test_what_was_typed_is_kept(stack: Stack, agent: Agent) -> None:
    ada = make_person(agent.slug)
    other = agent.ask(refund("180.00")).json()["request_id"]
    wrong = Browser(stack, ada).post(f"/approvals/{other}/ask", {"text": "y" * 1001, "asking": "1"})
    assert wrong.status_code == 400
    assert "y" * 1001 in wrong.text


def test_the_record_holds_commitments_and_erasing_leaves_nothing_to_read(stack: Stack, agent: Agent) -> None:
    ada = make_person(agent.slug)
    asked = agent.ask(refund("180.00")).json()
    question = ask_question(asked["request_id"], "Is this Jane Roe's order?", ada)
    answer_question(question.pk, "Yes, Jane Roe's.", ada)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT payload FROM audit.record WHERE subject = %s AND action LIKE 'question.%%' ORDER BY number",
            [asked["request_id"]],
        )
        payloads = [row[0] for row in cursor.fetchall()]
    assert len(payloads) == 2
    assert "Jane" not in "".join(payloads)
    assert all(len(json.loads(one)["text"]) == 64 for one in payloads)
    cast(stack, ada, asked["request_id"], "reject", reason="not now")
    Decision.objects.filter(pk=asked["id"]).update(created_at="2020-01-01T00:00:00Z")
    erase_old()
    left = Question.objects.get(pk=question.pk)
    assert (left.sealed, left.salt, left.answer_sealed, left.answer_salt) == (None,) * 4
    assert "Erased after its retention" in Browser(stack, ada).get(f"/approvals/{asked['request_id']}/").text


def test_of_racing_answers_the_first_stands(agent: Agent) -> None:
    people = [make_person(agent.slug) for _ in range(3)]
    for _ in range(ROUNDS):
        request = agent.ask(refund("180.00")).json()["request_id"]
        question = ask_question(request, "which one is it?", people[0])
        results = race(*(partial(answer_question, question.pk, f"by {who}", who) for who in people))
        assert len(won(results)) == 1
        assert {one.code for one in results if isinstance(one, ClearanceError)} == {"answered"}
