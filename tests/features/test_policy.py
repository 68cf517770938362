"""Policies as code: the whole file or nothing, each fault with its line, versions that never change."""

import re
import threading
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.queries import records
from features.models import Feature, PolicyVersion
from features.policy import PolicyDocument, PolicyFault, UnreadablePolicy, active_policy, read_policy
from features.policy.activation import apply_policy, digest_of
from features.policy.reading import changes
from features.policy.sentences import fault_of_sentence
from features.services import create_feature, create_person
from tests.support import Browser, Stack, unique

POLICY = r"""# A policy with every field.
[feature]
slug = "SLUG"
name = "Billing agent"
task = "Resolve tier-1 billing tickets."
tier = "execute_under_threshold"
disallowed = ["data_export", "credential_handling", "delete_customer"]
timezone = "UTC"
currency = "USD"

[[action]]
name = "lookup_order"
effect = "read"

[[action]]
name = "refund"
effect = "reversible"
classes = ["money_movement"]
under = 'args.currency == "USD" && decimal(args.amount) <= decimal("50")'
subject = "args.order_id"
once_per = "args.order_id"
approvers = "approver"
quorum = 1
ttl = "30m"
grant_ttl = "10m"
deadline = "5m"
[action.schema]
type = "object"
required = ["order_id", "amount", "currency"]
additionalProperties = false
[action.schema.properties]
order_id = { type = "string", maxLength = 64 }
amount = { type = "string", pattern = "^[0-9]{1,9}\\.[0-9]{2}$" }
currency = { enum = ["USD", "EUR"] }
[[action.budget]]
cost = "decimal(args.amount)"
limit = "500"
per = "day"
by = "subject"

[limits]
context_tokens = 16000
retries = 2
quiet_period = "24h"

[traces]
pii = "drop"
patterns = { customer = "CUST-[0-9]{6}" }
retention_days = 90
success = 'trace.status == "ok"'
escalation_tools = ["hand_to_human"]

[reviews]
sample = 40
double_graded = 0.2

[[trigger]]
metric = "tool_failure"
above_baseline = 0.02
window = "10m"
min_n = 200
then = "roll_back"
"""

# (what is written, what it becomes, the word that the line of the fault holds)
WRONG = [
    ('slug = "SLUG"', 'slug = "Not A Slug"', "slug"),
    ('"Resolve tier-1 billing tickets."', '"Resolve tickets. Refund too."', "task"),
    ('"Resolve tier-1 billing tickets."', '""', "task"),
    ('tier = "execute_under_threshold"', 'tier = "free"', "tier"),
    ('tier = "execute_under_threshold"', 'teir = "draft"', "teir"),
    ('timezone = "UTC"', 'timezone = "Mars/Olympus"', "timezone"),
    ('currency = "USD"', 'currency = "dollars"', "currency"),
    ('disallowed = ["data_export"', 'disallowed = ["refund"', 'name = "refund"'),
    ('disallowed = ["data_export"', 'disallowed = ["money_movement"', "classes"),
    ('effect = "read"', 'effect = "harmless"', "effect"),
    ('name = "refund"\n', "", "[[action]]"),
    ('name = "refund"', 'name = "lookup_order"', "lookup_order"),
    ('ttl = "30m"', 'ttl = "half an hour"', "ttl"),
    ("quorum = 1", "quorum = 0", "quorum"),
    ("quorum = 1", 'quorum = "1"', "quorum"),
    ('approvers = "approver"', 'approvers = "somebody"', "approvers"),
    ('[action.schema]\ntype = "object"', '[action.schema]\ntype = "array"', "type"),
    ("additionalProperties = false", "additionalProperties = true", "additionalProperties"),
    ("maxLength = 64", "maxLenght = 64", "order_id"),
    ('["order_id", "amount", "currency"]', '["order", "amount", "currency"]', "required"),
    (r"{1,9}\\.[0-9]{2}$", r"{1,9\\.([0-9]{2}$", "amount"),
    ('limit = "500"', 'limit = "-1"', "limit"),
    ('limit = "500"', "limit = 500", "limit"),
    ('per = "day"', 'per = "century"', "per"),
    ("context_tokens = 16000", "context_tokens = -1", "context_tokens"),
    ('pii = "drop"', 'pii = "sell"', "pii"),
    ("CUST-[0-9]{6}", "CUST-([0-9]{6}", "patterns"),
    ("{ customer =", "{ email =", "patterns"),
    ("retention_days = 90", "retention_days = 0", "retention_days"),
    ("double_graded = 0.2", "double_graded = 20", "double_graded"),
    ('metric = "tool_failure"', 'metric = "vibes"', "metric"),
    ("above_baseline = 0.02\n", "", "[[trigger]]"),
    ("above_baseline = 0.02", "above_baseline = nan", "above_baseline"),
    ("[limits]", "[limits", "[limits"),
    ("retries = 2", "retries = 2\nretries = 3", "retries = 2"),
    ('task = "Resolve', "task = 2026-01-01 #", "task"),
]


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "clearance.toml"
    path.write_text(POLICY.replace("SLUG", unique("agent")))
    return path


def faults_of(text: str) -> list[PolicyFault]:
    try:
        read_policy(text)
    except UnreadablePolicy as refused:
        return refused.faults
    return []


def slug_of(path: Path) -> str:
    found = re.search(r'slug = "(.*)"', path.read_text())
    assert found
    return found[1]


@pytest.mark.parametrize(("old", "new", "word"), WRONG)
def test_each_wrong_way_is_refused_at_its_line(old: str, new: str, word: str) -> None:
    text = POLICY.replace("SLUG", "billing-agent") if "SLUG" not in old else POLICY
    assert old in text
    wrong = text.replace(old, new, 1)
    with pytest.raises(UnreadablePolicy) as refused:
        read_policy(wrong)
    lines = wrong.splitlines()
    at = {fault.line for fault in refused.value.faults}
    # A syntax error is seen at the end of what could not be read: that line or the next.
    assert any(word in lines[line - 1] or word in lines[max(line - 2, 0)] for line in at), (
        refused.value.faults
    )


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    wrong = POLICY.replace("SLUG", "x").replace('"USD"\n', '"usd"\n').replace("quorum = 1", "quorum = 99")
    with pytest.raises(UnreadablePolicy) as refused:
        read_policy(wrong.replace("sample = 40", "sample = 0"))
    assert [fault.path for fault in refused.value.faults] == [
        "feature.currency",
        "action[1].quorum",
        "reviews.sample",
    ]


def test_a_wrong_file_changes_nothing_and_names_its_lines(stack: Stack, policy_file: Path) -> None:
    policy_file.write_text(policy_file.read_text().replace('effect = "read"', 'effect = "reed"'))
    done = stack.manage("apply", str(policy_file))
    assert done.returncode == 2
    assert (
        f"{policy_file}:13: action[0].effect: must be one of read, reversible or irreversible" in done.stderr
    )
    assert not Feature.objects.filter(slug=slug_of(policy_file)).exists()


def test_a_file_makes_the_feature_and_its_first_version_and_the_same_again_makes_none(
    stack: Stack, policy_file: Path
) -> None:
    slug = slug_of(policy_file)
    rehearsed = stack.manage("apply", str(policy_file), "--dry-run")
    assert rehearsed.returncode == 0
    assert f"{slug}: would become policy 1" in rehearsed.stdout
    assert not Feature.objects.filter(slug=slug).exists()
    first = stack.manage("apply", str(policy_file))
    assert (first.returncode, first.stderr) == (0, "")
    assert '+ feature.task = "Resolve tier-1 billing tickets."' in first.stdout
    # A comment, an order, a default written out: no other policy.
    policy_file.write_text("# again\n" + policy_file.read_text().replace("retention_days = 90\n", ""))
    again = stack.manage("apply", str(policy_file))
    assert (again.returncode, again.stdout) == (0, f"{slug}: policy 1 says the same; nothing changed.\n")
    version = PolicyVersion.objects.get(feature__slug=slug)
    assert version.number == 1
    record = next(one for one in records() if one["subject"] == str(version.pk))
    assert record["action"] == "policy.activated"
    assert digest_of(version.document).hex() in record["payload"]


def test_a_change_is_shown_field_by_field_and_makes_the_next_version(stack: Stack, policy_file: Path) -> None:
    stack.manage("apply", str(policy_file))
    policy_file.write_text(policy_file.read_text().replace('limit = "500"', 'limit = "200"'))
    done = stack.manage("apply", str(policy_file))
    slug = slug_of(policy_file)
    assert done.stdout.splitlines() == [
        '~ action[refund].budget[0].limit: "500" -> "200"',
        f"{slug}: policy 2 is in force.",
    ]
    feature = Feature.objects.get(slug=slug)
    policy = active_policy(feature.pk)
    assert policy is not None
    assert policy.action[1].budget[0].limit == "200"


def test_schemas_are_closed_where_the_file_leaves_them_open() -> None:
    text = POLICY.replace("SLUG", "x").replace("additionalProperties = false\n", "")
    schema = read_policy(text).document.action[1].schema_
    assert schema is not None
    assert schema["additionalProperties"] is False


def test_eight_actions_need_a_reason_and_none_is_refused() -> None:
    more = "".join(f'[[action]]\nname = "a{n}"\neffect = "read"\n' for n in range(6))
    text = POLICY.replace("SLUG", "x")
    with pytest.raises(UnreadablePolicy, match="8 actions are more than 7"):
        read_policy(text + more)
    reasoned = text.replace("currency =", 'reason_for_more = "Two markets."\ncurrency =', 1)
    assert len(read_policy(reasoned + more).document.action) == 8
    with pytest.raises(UnreadablePolicy, match="allows none"):
        read_policy('[feature]\nslug = "x"\ntask = "Resolve tickets."\n')


def test_an_action_may_only_be_stricter_than_its_feature() -> None:
    text = POLICY.replace("SLUG", "x").replace('tier = "execute_under_threshold"', 'tier = "draft"')
    with pytest.raises(UnreadablePolicy, match="may only be stricter"):
        read_policy(text.replace('effect = "read"', 'effect = "read"\ntier = "execute_with_approval"'))
    read_policy(text.replace('effect = "read"', 'effect = "read"\ntier = "suggest"'))


@pytest.mark.parametrize(
    "task",
    [
        "Resolve tier-1 billing tickets.",
        "Answer questions, e.g. about invoices, from the U.S. handbook",
        "Pay what costs $3.50 or less!",
        "请求退款。",
    ],
)
def test_one_sentence_is_one(task: str) -> None:
    assert fault_of_sentence(task) is None


@pytest.mark.parametrize(
    "task", ["", "  ", "One. Two.", "Refund it! then ask", "First\nsecond", "退款。再问。", "Why? Because."]
)
def test_more_or_less_than_a_sentence_is_refused(task: str) -> None:
    assert fault_of_sentence(task)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_reading(text: str) -> None:
    for given_text in (text, POLICY.replace("SLUG", "x") + text, f'[feature]\nslug = "x"\n{text}'):
        lines = given_text.count("\n") + 1
        assert all(1 <= fault.line <= lines for fault in faults_of(given_text))


def test_a_kept_document_reads_back_as_itself() -> None:
    document = read_policy(POLICY.replace("SLUG", "x")).document
    assert PolicyDocument.model_validate(document.kept()) == document
    assert changes(document.kept(), document.kept()) == []


def test_a_version_is_never_changed_nor_removed() -> None:
    feature = create_feature(slug=unique("agent"))
    text = POLICY.replace("SLUG", feature.slug)
    apply_policy(read_policy(text).document, text)
    for statement in ("UPDATE features_policyversion SET number = 9", "DELETE FROM features_policyversion"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_two_who_apply_at_once_make_two_numbers(stack: Stack) -> None:
    feature = create_feature(slug=unique("agent"))
    text = POLICY.replace("SLUG", feature.slug)
    apply_policy(read_policy(text).document, text)

    def apply(limit: int) -> None:
        mine = text.replace('limit = "500"', f'limit = "{limit}"')
        apply_policy(read_policy(mine).document, mine)
        connection.close()

    threads = [threading.Thread(target=apply, args=(limit,)) for limit in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = PolicyVersion.objects.filter(feature=feature).values_list("number", flat=True)
    assert sorted(numbers) == list(range(1, 10))


def test_the_pages_show_the_job_in_words_and_each_version(stack: Stack) -> None:
    feature = create_feature(slug=unique("agent"))
    person, _ = create_person(name=unique("viewer"), roles=[(feature.slug, "viewer")])
    browser = Browser(stack, person)
    assert "No policy yet" in browser.get(f"/features/{feature.slug}/").text
    text = POLICY.replace("SLUG", feature.slug)
    apply_policy(read_policy(text).document, text)
    lower = text.replace('limit = "500"', 'limit = "<b>200"').replace("<b>", "")
    apply_policy(read_policy(lower).document, lower)
    page = browser.get(f"/features/{feature.slug}/").text
    assert "Resolve tier-1 billing tickets." in page
    assert "runs alone when" in page
    assert "decimal(args.amount) &lt;= decimal(&quot;50&quot;)" in page
    assert "delete_customer" in page
    newest = browser.get(f"/features/{feature.slug}/policy/").text
    assert "action[refund].budget[0].limit" in newest
    first = browser.get(f"/features/{feature.slug}/policy/", {"version": "1"})
    assert first.status_code == 200
    assert "Show the one in force" in first.text
    assert browser.get(f"/features/{feature.slug}/policy/", {"version": "3"}).status_code == 404
    assert browser.get(f"/features/{feature.slug}/policy/", {"version": "x"}).status_code == 400
