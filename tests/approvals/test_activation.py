"""A policy comes into force while agents ask and run: what was permitted under the one before opens nothing."""

import threading

from django.db import connection

from features.models import Gate
from features.policy import read_policy
from features.policy.activation import apply_policy
from features.policy.drafts import activate_draft, save_draft
from tests.approvals.support import make_agent, make_person, policy_text, refund
from tests.support import Stack


def test_a_permission_of_the_policy_before_opens_nothing(stack: Stack) -> None:
    agent = make_agent(stack)
    decision = agent.ask(refund("20.00")).json()
    lead = make_person(agent.slug, "lead")
    text = policy_text(agent.slug, limit="50")
    draft = save_draft(feature=agent.feature, text=text, revision=0, by=lead)
    activate_draft(feature=agent.feature, revision=draft.revision, by=lead)
    answer = agent.execute(decision["id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "revoked")


def test_the_same_policy_again_revokes_nothing(stack: Stack) -> None:
    agent = make_agent(stack)
    decision = agent.ask(refund("20.00")).json()
    before = Gate.objects.get(feature=agent.feature).epoch
    text = "# the same\n" + policy_text(agent.slug)
    apply_policy(read_policy(text).document, text)
    assert Gate.objects.get(feature=agent.feature).epoch == before
    assert agent.execute(decision["id"]).status_code == 200


def test_policies_come_into_force_while_agents_ask_and_nobody_waits_for_ever(stack: Stack) -> None:
    agent = make_agent(stack)
    codes: list[int] = []
    broken: list[BaseException] = []

    def ask() -> None:
        for _ in range(12):
            asked = agent.ask(refund("1.00"))
            codes.append(asked.status_code)
            if asked.status_code == 200:
                codes.append(agent.execute(asked.json()["id"]).status_code)

    def activate(at: int) -> None:
        try:
            for step in range(6):
                text = policy_text(agent.slug, limit=str(10_000 + at * 100 + step))
                apply_policy(read_policy(text).document, text)
        except BaseException as error:
            broken.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads += [threading.Thread(target=activate, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert set(codes) <= {200, 409}, codes
    assert 200 in codes
