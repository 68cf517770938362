"""What tokens stand for: sealed, shown with a reason and recorded, erased for ever; and what else a policy says of
traces.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings

from audit.queries import records
from audit.services import Actor
from features.errors import ClearanceError
from features.models import Feature, Person
from features.policy import read_policy
from features.policy.activation import apply_policy
from features.services import create_feature, create_person
from tests.support import Browser, Stack, unique
from tests.traces.test_api import body
from traces.ingest import ingest_traces
from traces.models import Reveal, Trace, VaultEntry
from traces.queries import find_trace
from traces.retention import run_retention
from traces.services import settle_dirty
from traces.vault import commitment, erase, kept_tokens, reseal, reveal, tokens_in

ADDRESS = "someone.real@example.org"
KEY = "sk-abcdefghijklmnopqrstuvwx"


def policy(slug: str, traces: str, more: str = "") -> str:
    return (
        f'[feature]\nslug = "{slug}"\ntask = "Resolve billing tickets."\n{more}'
        f'[[action]]\nname = "lookup"\neffect = "read"\n[traces]\n{traces}\n'
    )


def feature_with(traces: str) -> Feature:
    feature = create_feature(slug=unique("agent"))
    text = policy(feature.slug, traces)
    apply_policy(read_policy(text).document, text)
    return feature


def send(feature: Feature, text: str, **fields: object) -> str:
    """One trace that says `text`; returns its ID."""
    trace_id = hashlib.sha256(f"{feature.pk}{text}{fields}".encode()).hexdigest()[:32]
    given = {"trace_id": trace_id} | ({"start": fields.pop("start")} if "start" in fields else {})
    sent = json.loads(body(given))
    span = sent["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["attributes"].append({"key": "note", "value": {"stringValue": text}})
    span.update(fields)
    ingest_traces(feature, json.dumps(sent).encode(), "application/json")
    while settle_dirty():
        pass
    return trace_id


def stored(feature: Feature, trace_id: str) -> str:
    found = find_trace([feature], trace_id)
    assert found is not None
    return "".join(msgspec.json.encode(span).decode() for span in found.spans)


def person(feature: Feature, role: str) -> Person:
    return create_person(name=unique(role.replace("_", "-")), roles=[(feature.slug, role)])[0]


def test_tokenise_seals_what_drop_throws_away_and_keep_leaves_in_the_clear() -> None:
    said = f"write to {ADDRESS}, key {KEY}"
    kept, dropped, clear = (feature_with(f'pii = "{how}"') for how in ("tokenise", "drop", "keep"))
    texts = {feature: stored(feature, send(feature, said)) for feature in (kept, dropped, clear)}
    assert ADDRESS not in texts[kept] + texts[dropped]
    assert ADDRESS in texts[clear]
    assert all(KEY not in text for text in texts.values())
    assert [one.kind for one in VaultEntry.objects.filter(feature=kept)] == ["email"]
    assert not VaultEntry.objects.filter(feature__in=[dropped, clear]).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed FROM vault_entry WHERE feature_id = %s", [kept.pk])
        assert all(ADDRESS.encode() not in bytes(row[0]) for row in cursor.fetchall())


def test_own_patterns_of_the_policy_in_force_are_replaced_from_the_next_body_on() -> None:
    feature = feature_with('patterns = { customer = "CUST-[0-9]{6}" }')
    assert "CUST-123456" not in stored(feature, send(feature, "about CUST-123456"))
    text = policy(feature.slug, 'pii = "drop"')
    apply_policy(read_policy(text).document, text)
    assert "CUST-654321" in stored(feature, send(feature, "about CUST-654321"))


def test_escalation_tools_of_the_policy_decide_the_outcome() -> None:
    feature = feature_with('escalation_tools = ["ask_a_person"]')
    tool = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}},
        {"key": "gen_ai.tool.name", "value": {"stringValue": "ask_a_person"}},
    ]
    trace_id = send(feature, "hand over", attributes=tool)
    found = find_trace([feature], trace_id)
    assert found is not None
    assert (found.settled.outcome, found.settled.outcome_source) == (
        "escalated",
        "escalation_tool:ask_a_person",
    )


def test_spans_older_than_the_policy_keeps_are_refused_and_later_deleted() -> None:
    feature = feature_with('pii = "tokenise"\nretention_days = 30')
    old = datetime.now(UTC) - timedelta(days=20)
    at = {"start": int(old.timestamp() * 10**9)}
    trace_id, young = send(feature, ADDRESS, **at), send(feature, "today")
    VaultEntry.objects.filter(feature=feature).update(seen_on=old.date())
    text = policy(feature.slug, 'pii = "tokenise"\nretention_days = 7')
    apply_policy(read_policy(text).document, text)
    late = ingest_traces(feature, body({"trace_id": "ee" * 16, **at}), "application/json")
    assert (late.stored, late.rejected) == (0, 2)
    run_retention()
    assert find_trace([feature], trace_id) is None
    assert find_trace([feature], young) is not None
    assert not Trace.objects.filter(feature=feature, trace_id=bytes.fromhex(trace_id)).exists()
    assert not VaultEntry.objects.filter(feature=feature).exists()
    run = next(
        one for one in records() if one["feature"] == str(feature.pk) and one["action"] == "retention.run"
    )
    assert json.loads(run["payload"])["spans"] == 2


def test_on_call_is_shown_an_original_with_a_reason_and_it_is_recorded_without_it(stack: Stack) -> None:
    feature = feature_with('pii = "tokenise"')
    trace_id = send(feature, f"write to {ADDRESS}")
    who = person(feature, "on_call")
    browser = Browser(stack, who)
    path = f"/features/{feature.slug}/traces/{trace_id}/reveal/"
    assert path in browser.get(f"/features/{feature.slug}/traces/{trace_id}/").text
    offered = browser.get(path)
    assert ADDRESS not in offered.text
    token = re.search(r"\[email:[0-9a-f]{20}\]", offered.text)
    assert token
    assert browser.post(path, {"tokens": token[0], "reason": "because"}).status_code == 400
    assert browser.post(path, {"reason": "customer called about a ticket"}).status_code == 400
    shown = browser.post(path, {"tokens": token[0], "reason": "customer called about a ticket"})
    assert ADDRESS in shown.text
    assert shown.headers["Refresh"] == f"60; url=/features/{feature.slug}/traces/{trace_id}/"
    assert "no-store" in shown.headers["Cache-Control"]
    record = next(
        one for one in records() if one["feature"] == str(feature.pk) and one["action"] == "pii.revealed"
    )
    row = Reveal.objects.get(feature=feature)
    payload = json.loads(record["payload"])
    assert (record["actor"], record["subject"]) == (str(who.pk), trace_id)
    assert payload["kinds"] == {"email": 1}
    assert payload["reveal"] == str(row.pk)
    assert payload["reason"] == commitment(bytes(row.salt), {"reason": row.reason, "tokens": row.tokens})
    assert "customer called" not in record["payload"]
    assert token[0] not in record["payload"]


@pytest.mark.parametrize("role", ["approver", "reviewer", "viewer"])
def test_other_roles_are_shown_nothing(stack: Stack, role: str) -> None:
    feature = feature_with('pii = "tokenise"')
    trace_id = send(feature, f"write to {ADDRESS}")
    browser = Browser(stack, person(feature, role))
    path = f"/features/{feature.slug}/traces/{trace_id}/reveal/"
    assert path not in browser.get(f"/features/{feature.slug}/traces/{trace_id}/").text
    answer = browser.post(
        path, {"tokens": "[email:" + "0" * 20 + "]", "reason": "customer called about a ticket"}
    )
    assert answer.status_code == 403
    assert not Reveal.objects.filter(feature=feature).exists()


def test_showing_asks_for_a_fresh_proof(stack: Stack) -> None:
    feature = feature_with('pii = "tokenise"')
    trace_id = send(feature, f"write to {ADDRESS}")
    browser = Browser(stack, person(feature, "lead"), fresh=False)
    asked = browser.post(f"/features/{feature.slug}/traces/{trace_id}/reveal/", {"reason": "x" * 20})
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/")


def test_a_token_of_another_trace_or_feature_is_not_shown(stack: Stack) -> None:
    feature, other = feature_with('pii = "tokenise"'), feature_with('pii = "tokenise"')
    here, there = send(feature, f"write to {ADDRESS}"), send(feature, "write to somebody.else@example.org")
    foreign = send(other, f"write to {ADDRESS}")
    browser = Browser(stack, person(feature, "lead"))
    elsewhere = [*tokens_in([stored(feature, there)]), *tokens_in([stored(other, foreign)])]
    assert len(elsewhere) == 2
    for token in elsewhere:
        answer = browser.post(
            f"/features/{feature.slug}/traces/{here}/reveal/",
            {"tokens": token, "reason": "customer called again"},
        )
        assert answer.status_code == 400
        assert "@example.org" not in answer.text


def test_what_was_erased_is_gone_and_is_not_kept_again(stack: Stack) -> None:
    feature = feature_with('pii = "tokenise"')
    trace_id = send(feature, f"write to {ADDRESS}")
    tokens = tokens_in([stored(feature, trace_id)])
    browser = Browser(stack, person(feature, "lead"))
    path = f"/features/{feature.slug}/settings/erase/"
    assert browser.post(path, {"tokens": tokens[0], "confirm": "wrong"}).status_code == 400
    assert browser.post(path, {"tokens": "no token", "confirm": feature.slug}).status_code == 400
    assert kept_tokens(feature, tokens) == tokens
    done = browser.post(path, {"tokens": "\r\n".join(tokens), "confirm": feature.slug}, follow=True)
    assert "1 erased" in done.text
    assert kept_tokens(feature, tokens) == []
    send(feature, f"again {ADDRESS}")
    assert kept_tokens(feature, tokens) == []
    record = next(
        one for one in records() if one["feature"] == str(feature.pk) and one["action"] == "pii.erased"
    )
    assert json.loads(record["payload"]) == {"erased": 1, "kinds": {"email": 1}}


@contextmanager
def holding_the_head() -> Iterator[None]:
    """The record cannot be appended to: another transaction holds its head, and ours does not wait for long."""
    holder = connections.create_connection("default")
    holder.set_autocommit(False)
    try:
        with holder.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM audit.append('system', 'test', '', 'sign_out.done', '', '', '', '{}')"
            )
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '200ms'")
            yield
    finally:
        holder.rollback()
        holder.close()


def test_nothing_is_shown_when_it_cannot_be_recorded() -> None:
    feature = feature_with('pii = "tokenise"')
    trace_id = send(feature, f"write to {ADDRESS}")
    who = person(feature, "lead")
    tokens = tokens_in([stored(feature, trace_id)])
    with pytest.raises(ClearanceError, match="Say why"):
        reveal(feature=feature, trace_id=bytes.fromhex(trace_id), tokens=tokens, reason=" a  ", by=who)
    with pytest.raises(OperationalError, match="timeout"), holding_the_head():
        reveal(
            feature=feature, trace_id=bytes.fromhex(trace_id), tokens=tokens, reason="a good reason", by=who
        )
    assert not Reveal.objects.filter(feature=feature).exists()


def test_keys_are_rotated_without_losing_an_original() -> None:
    feature = feature_with('pii = "tokenise"')
    trace_id = send(feature, f"write to {ADDRESS}")
    tokens = tokens_in([stored(feature, trace_id)])
    from django.conf import settings

    old, new = settings.VAULT_KEYS[0], "7" * 64
    VaultEntry.objects.exclude(feature=feature).delete()
    with override_settings(VAULT_KEYS=[new, old]):
        assert reseal(Actor("operator", "test")) == 1
    with override_settings(VAULT_KEYS=[new]):
        who = person(feature, "lead")
        found = reveal(
            feature=feature, trace_id=bytes.fromhex(trace_id), tokens=tokens, reason="a good reason", by=who
        )
        assert found == {tokens[0]: ADDRESS}
        VaultEntry.objects.filter(feature=feature).delete()


def test_a_row_passed_for_another_is_not_shown() -> None:
    feature = feature_with('pii = "tokenise"')
    mine = send(feature, f"write to {ADDRESS}")
    send(feature, "write to somebody.else@example.org")
    first, second = VaultEntry.objects.filter(feature=feature).order_by("pk")
    first.sealed, second.sealed = second.sealed, first.sealed
    VaultEntry.objects.bulk_update([first, second], ["sealed"])
    tokens = tokens_in([stored(feature, mine)])
    with pytest.raises(ClearanceError, match="None of these"):
        reveal(
            feature=feature,
            trace_id=bytes.fromhex(mine),
            tokens=tokens,
            reason="a good reason",
            by=person(feature, "lead"),
        )


def test_the_policys_kinds_are_those_of_the_recognisers() -> None:
    from features.policy.document import BUILT_IN_KINDS
    from traces.redact import KINDS

    assert BUILT_IN_KINDS == KINDS


def test_erasing_no_token_says_what_one_looks_like() -> None:
    feature = create_feature(slug=unique("agent"))
    with pytest.raises(ClearanceError, match="One looks like"):
        erase(feature=feature, tokens=["hello"], by=None)
