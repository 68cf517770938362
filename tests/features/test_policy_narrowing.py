"""Which changes of a policy need a second person: all but those on the closed list of narrowings."""

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.policy import PolicyDocument, read_policy
from features.policy.narrowing import effects, widenings
from features.rules import compile_rule
from tests.features.test_policy import POLICY

TEXT = POLICY.replace("SLUG", "x")
NARROWER = (
    ('decimal("50")', 'decimal("49.99")', "threshold down"),
    ('<= decimal("50")', '<= decimal("0.5")', "threshold down"),
    (
        'under = \'args.currency == "USD" && decimal(args.amount) <= decimal("50")\'\n',
        "",
        "no longer runs alone",
    ),
    ('limit = "500"', 'limit = "499.5"', "budget down"),
    ("quorum = 1", "quorum = 2", "quorum up"),
    ('\nttl = "30m"', '\nttl = "29m"', "ttl down"),
    ('grant_ttl = "10m"', 'grant_ttl = "1m"', "grant_ttl down"),
    ('["data_export"', '["data_import", "data_export"', "data_import disallowed"),
    ('tier = "execute_under_threshold"', 'tier = "execute_with_approval"', "tier down"),
    ('effect = "read"', 'effect = "read"\ntier = "suggest"', "tier down"),
    ("retention_days = 90", "retention_days = 30", "retention down"),
    ('[[action]]\nname = "lookup_order"\neffect = "read"\n', "", "action removed"),
)
WIDER = (
    ('decimal("50")', 'decimal("50.01")', "threshold up"),
    ('args.currency == "USD" && ', "", "another rule"),
    ('args.currency == "USD" &&', 'args.currency == "USD" ||', "another rule"),
    ('args.currency == "USD" &&', 'args.currency == "EUR" &&', "another rule"),
    ('<= decimal("50")', '>= decimal("50")', "another rule"),
    ('<= decimal("50")', '>= decimal("40")', "another rule"),
    ('limit = "500"', 'limit = "501"', "budget up"),
    ('per = "day"', 'per = "hour"', "another budget"),
    ('cost = "decimal(args.amount)"\n', "", "another budget"),
    (
        '[[action.budget]]\ncost = "decimal(args.amount)"\nlimit = "500"\nper = "day"\nby = "subject"',
        "",
        "removed",
    ),
    ('\nttl = "30m"', '\nttl = "31m"', "ttl up"),
    ('deadline = "5m"', 'deadline = "4m"', "not on the list"),
    ('["data_export", ', "[", "no longer disallowed"),
    ('effect = "reversible"', 'effect = "irreversible"', "not on the list"),
    ('effect = "read"', 'effect = "reversible"', "not on the list"),
    ("maxLength = 64", "maxLength = 63", "not on the list"),
    ('once_per = "args.order_id"\n', "", "not on the list"),
    ('approvers = "approver"', 'approvers = "lead"', "not on the list"),
    ('pii = "drop"', 'pii = "tokenise"', "less strict"),
    ("retention_days = 90", "retention_days = 91", "retention up"),
    ('task = "Resolve', 'task = "Solve', "not on the list"),
    ("sample = 40", "sample = 41", "not on the list"),
    ("min_n = 200", "min_n = 100", "not on the list"),
    ("retries = 2", "retries = 1", "not on the list"),
    ('name = "lookup_order"', 'name = "look_up_order"', "another action"),
)
SAME = (
    ("# A policy with every field.", "# Another comment."),
    ('decimal("50")', 'decimal("50.00")'),
    ('args.currency == "USD" && ', '(args.currency=="USD")  && '),
    ('limit = "500"', 'limit = "500.00"'),
    ('\nttl = "30m"', '\nttl = "1800s"'),
    ('"data_export", "credential_handling"', '"credential_handling", "data_export"'),
)


@cache
def document(old: str = "", new: str = "") -> PolicyDocument:
    assert old in TEXT
    return read_policy(TEXT.replace(old, new, 1) if old else TEXT).document


@pytest.mark.parametrize(("old", "new", "why"), NARROWER)
def test_what_takes_something_from_the_agent_needs_one_person(old: str, new: str, why: str) -> None:
    found = effects(document(), document(old, new))
    assert [effect.widens for effect in found] == [False]
    assert why in found[0].why


@pytest.mark.parametrize(("old", "new", "why"), WIDER)
def test_everything_else_needs_a_second_person(old: str, new: str, why: str) -> None:
    found = widenings(document(), document(old, new))
    assert found
    assert why in found[0].why


@pytest.mark.parametrize(("old", "new"), SAME)
def test_the_same_said_otherwise_is_no_change(old: str, new: str) -> None:
    assert effects(document(), document(old, new)) == []


def test_one_widening_among_narrowings_needs_a_second_person() -> None:
    text = TEXT.replace('limit = "500"', 'limit = "100"').replace("quorum = 1", "quorum = 2")
    assert widenings(document(), read_policy(text).document) == []
    wider = read_policy(text.replace("retention_days = 90", "retention_days = 365")).document
    assert [effect.path for effect in widenings(document(), wider)] == ["traces.retention_days"]


def test_the_first_policy_widens() -> None:
    assert widenings(None, document())


def test_less_of_a_budget_that_a_rule_reads_is_not_provably_narrower() -> None:
    reads = TEXT.replace('decimal("50")\'', 'decimal("50") && budget.limit <= decimal("400")\'')
    lower = reads.replace('limit = "500"', 'limit = "300"')
    assert widenings(read_policy(reads).document, read_policy(lower).document)


def test_a_tier_that_falls_for_the_feature_and_rises_for_an_action_is_judged_by_what_holds() -> None:
    strict = TEXT.replace('effect = "reversible"', 'effect = "reversible"\ntier = "draft"')
    loose = TEXT.replace('effect = "reversible"', 'effect = "reversible"\ntier = "execute_with_approval"')
    found = widenings(read_policy(strict).document, read_policy(loose).document)
    assert [effect.path for effect in found] == ["action[refund].tier"]
    lowered = loose.replace('tier = "execute_under_threshold"', 'tier = "execute_with_approval"')
    assert widenings(read_policy(TEXT).document, read_policy(lowered).document) == []


FIGURES = st.integers(0, 8)
ATOMS = st.one_of(
    st.builds(
        'decimal(args.amount) {} decimal("{}")'.format, st.sampled_from(["<", "<=", ">", ">=", "=="]), FIGURES
    ),
    st.builds("args.count {} {}".format, st.sampled_from(["<", "<=", ">", ">=", "!="]), FIGURES),
    st.builds("args.count + {} <= {}".format, FIGURES, FIGURES),
    st.sampled_from(["args.flag", "!args.flag", "true"]),
)
RULES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("{} && {}".format, inner, ATOMS),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=4,
)


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, str]:
    """Two rules: any two, or the same with other figures."""
    old = draw(RULES)
    if draw(st.integers(0, 4)) == 0:
        return old, draw(RULES)
    return old, re.sub(r"[0-9]+", lambda _: str(draw(FIGURES)), old)


ARGUMENTS = [
    {"amount": str(amount), "count": count, "flag": flag}
    for amount in range(10)
    for count in range(10)
    for flag in (True, False)
]


@settings(deadline=None, max_examples=300)
@given(steps())
def test_a_rule_that_narrows_allows_nothing_that_the_one_before_did_not(rules: tuple[str, str]) -> None:
    def with_rule(rule: str) -> PolicyDocument:
        base = document()
        refund = base.action[1].model_copy(update={"under": rule})
        return base.model_copy(update={"action": (base.action[0], refund)})

    old, new = rules
    if widenings(with_rule(old), with_rule(new)):
        return
    for args in ARGUMENTS:
        if compile_rule(new).ask({"args": args}).holds:
            assert compile_rule(old).ask({"args": args}).holds, (old, new, args)
