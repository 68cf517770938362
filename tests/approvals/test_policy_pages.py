"""A policy tried before it is in force: one action at a time, by kept examples, and by what was decided."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from approvals.models import Decision
from approvals.replay import replay
from approvals.trying import try_action
from features.models import Feature, PolicyVersion
from features.policy import PolicyDocument, UnreadablePolicy, read_policy
from features.policy.activation import apply_policy
from features.policy.drafts import propose_draft, save_draft
from features.policy.words import words_of
from tests.approvals.support import Agent, make_agent, make_person, policy_text, refund
from tests.support import Browser, Stack

ARGS = {"order_id": "A-1", "amount": "20.00", "currency": "USD"}


def document(**changed: Any) -> PolicyDocument:
    return read_policy(policy_text("x", **changed)).document


# --- one action -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "answer", "code"),
    [
        (ARGS, "allow", "under_threshold"),
        ({**ARGS, "amount": "50.01"}, "needs_approval", "over_threshold"),
        ({**ARGS, "currency": "EUR"}, "needs_approval", "over_threshold"),
        ({**ARGS, "amount": "20"}, "deny", "schema"),
        ({**ARGS, "amount": "\u0665\u0660.00"}, "deny", "schema"),
        ({**ARGS, "amount": "50.00\n"}, "deny", "schema"),
        ({**ARGS, "note": "x"}, "deny", "schema"),
        ({**ARGS, "amount": "200000.00"}, "deny", "budget"),
    ],
)
def test_an_action_is_tried_as_it_would_be_judged(args: dict[str, Any], answer: str, code: str) -> None:
    tried = try_action(document(), "refund", args, {})
    assert (tried.answer, tried.reasons[0].code) == (answer, code)


def test_the_page_shows_the_rule_in_words_and_what_it_measured() -> None:
    tried = try_action(document(), "refund", ARGS, {})
    assert tried.words == "currency is USD and amount at most 50"
    assert [(one.path, one.value) for one in tried.measured] == [
        ("args.amount", '"20.00"'),
        ("args.currency", '"USD"'),
    ]


def test_what_an_agent_says_of_itself_makes_an_action_stricter_and_never_freer() -> None:
    text = policy_text("x").replace(
        "under = 'args.currency", "under = '!(has(context.doubt) && context.doubt) && args.currency"
    )
    policy = read_policy(text).document
    assert try_action(policy, "refund", ARGS, {}).answer == "allow"
    doubting = try_action(policy, "refund", ARGS, {"doubt": True})
    assert (doubting.answer, doubting.stricter) == ("needs_approval", True)
    freer = read_policy(
        policy_text("x").replace("under = 'args.currency", "under = 'has(context.sure) && args.currency")
    )
    assert try_action(freer.document, "refund", ARGS, {"sure": True}).answer == "needs_approval"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            'args.currency == "USD" && decimal(args.amount) <= decimal("50")',
            "currency is USD and amount at most 50",
        ),
        ('args.a == "x" || (args.b && args.c < 3)', "a is x or (b and c below 3)"),
        ("!(args.a && args.b)", "not (a and b)"),
        ("budget.left >= decimal(args.amount)", "what is left of the budget at least amount"),
        ("args.items.all(i, i < 3)", None),
        ("args.a ? args.b : args.c", None),
    ],
)
def test_a_rule_is_said_in_words_or_left_to_itself(rule: str, words: str | None) -> None:
    assert words_of(rule) == words


def test_the_form_asks_the_policy_in_force_and_the_draft(stack: Stack) -> None:
    agent = make_agent(stack)
    lead = make_person(agent.slug, "lead")
    save_draft(
        feature=agent.feature,
        text=policy_text(agent.slug).replace('decimal("50")', 'decimal("10")'),
        revision=0,
        by=lead,
    )
    browser, path = Browser(stack, lead), f"/features/{agent.slug}/policy/try/"
    assert "Ask, and see why" in browser.get(path).text
    page = browser.post(path, {"action": "refund", "args": json.dumps(ARGS)})
    assert page.status_code == 200
    found = re.findall(
        r"<h2>(Policy 1, in force|The draft)</h2><span class=\"pill \w+\">([\w ]+)<", page.text
    )
    assert found == [("Policy 1, in force", "allow"), ("The draft", "needs approval")]
    assert "[[action.example]]" in page.text
    assert Decision.objects.filter(feature=agent.feature).count() == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ('{"a": 1, "a": 2}', "stands twice"),
        ("{", "no JSON"),
        ("[1]", "must be an object"),
        ('{"a": 1e400}', "not exact"),
    ],
)
def test_arguments_that_no_agent_could_send_are_refused_in_the_form(
    stack: Stack, args: str, said: str
) -> None:
    agent = make_agent(stack)
    browser = Browser(stack, make_person(agent.slug, "viewer"))
    page = browser.post(f"/features/{agent.slug}/policy/try/", {"action": "refund", "args": args})
    assert page.status_code == 400
    assert said in page.text


def test_hostile_arguments_are_shown_as_text(stack: Stack) -> None:
    agent = make_agent(stack)
    browser = Browser(stack, make_person(agent.slug, "viewer"))
    args = {**ARGS, "order_id": "</code><script>alert(1)</script>"}
    page = browser.post(f"/features/{agent.slug}/policy/try/", {"action": "refund", "args": json.dumps(args)})
    assert "<script>alert" not in page.text


# --- kept examples ----------------------------------------------------------------------------------------

EXAMPLE = """
[[action.example]]
args = {{ order_id = "A-1", amount = "{amount}", currency = "USD" }}
expect = "{expect}"
"""


def with_example(amount: str, expect: str) -> str:
    before, _, after = policy_text("x").partition('[[action]]\nname = "close_account"')
    return (
        before + EXAMPLE.format(amount=amount, expect=expect) + '[[action]]\nname = "close_account"' + after
    )


def test_a_kept_example_is_asked_whenever_the_policy_is_read() -> None:
    assert read_policy(with_example("50.00", "allow")).document.action[1].example
    wrong = with_example("50.01", "allow")
    with pytest.raises(UnreadablePolicy) as refused:
        read_policy(wrong)
    (fault,) = refused.value.faults
    assert wrong.splitlines()[fault.line - 1] == 'expect = "allow"'
    assert "the policy answers needs_approval" in fault.message


def test_a_policy_without_examples_is_the_one_that_it_was_before_there_were_any(stack: Stack) -> None:
    agent = make_agent(stack)
    version = PolicyVersion.objects.get(feature=agent.feature)
    assert all("example" not in action for action in version.document["action"])
    text = policy_text(agent.slug)
    assert apply_policy(read_policy(text).document, text).number == 1


# --- replay -----------------------------------------------------------------------------------------------


def asked(agent: Agent, *amounts: str) -> None:
    for amount in amounts:
        assert agent.ask(refund(amount)).status_code in (200, 202, 403)


def judged_by(feature: Feature, policy: PolicyDocument) -> list[tuple[str, str, int]]:
    found = replay(feature, policy, datetime.now(UTC))
    return [(change.before, change.after, len(change.decisions)) for change in found.changes]


def test_the_last_decisions_are_judged_by_the_draft_and_told_in_numbers(stack: Stack) -> None:
    agent = make_agent(stack)
    asked(agent, "10.00", "20.00", "40.00", "60.00", "80.00", "5")
    lower = read_policy(policy_text(agent.slug).replace('decimal("50")', 'decimal("15")')).document
    assert judged_by(agent.feature, lower) == [("allow", "needs_approval", 2)]
    higher = read_policy(policy_text(agent.slug).replace('decimal("50")', 'decimal("70")')).document
    assert judged_by(agent.feature, higher) == [("needs_approval", "allow", 1)]
    found = replay(agent.feature, higher, datetime.now(UTC))
    assert (found.judged, found.same, found.few) == (6, 5, True)


def test_a_smaller_budget_is_counted_anew(stack: Stack) -> None:
    agent = make_agent(stack)
    asked(agent, "30.00", "30.00", "30.00")
    smaller = read_policy(policy_text(agent.slug, limit="70")).document
    assert judged_by(agent.feature, smaller) == [("allow", "deny", 1)]


def test_what_was_denied_for_the_moment_or_is_erased_is_not_judged(stack: Stack) -> None:
    agent = make_agent(stack, limit="30")
    asked(agent, "20.00", "20.00")
    Decision.objects.filter(feature=agent.feature, answer="allow").update(sealed=None)
    found = replay(agent.feature, document(), datetime.now(UTC))
    assert (found.judged, found.moment, found.erased) == (0, 1, 1)


def test_the_page_of_a_replay_opens_the_decisions_and_shows_no_arguments(stack: Stack) -> None:
    agent = make_agent(stack)
    lead, other = make_person(agent.slug, "lead"), make_person(agent.slug, "lead")
    browser, path = Browser(stack, other), f"/features/{agent.slug}/policy/replay/"
    assert "There is no draft" in browser.get(path).text
    answer = agent.ask(refund("60.00", order="order-secret"))
    text = policy_text(agent.slug).replace('decimal("50")', 'decimal("70")')
    draft = save_draft(feature=agent.feature, text=text, revision=0, by=lead)
    page = browser.get(path).text
    assert f"/decisions/{answer.json()['id']}/" in page
    assert "needed a person would have run alone" in " ".join(page.split())
    assert "There is little history" in page
    assert "order-secret" not in page
    proposal = propose_draft(feature=agent.feature, revision=draft.revision, by=lead)
    assert (
        f"?proposal={proposal.pk}"
        in browser.get(f"/features/{agent.slug}/policy/proposals/{proposal.pk}/").text
    )
    assert "by the proposed policy" in browser.get(path, {"proposal": str(proposal.pk)}).text
    assert browser.get(path, {"proposal": "x"}).status_code == 400
