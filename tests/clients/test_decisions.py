"""The client and the product: what is permitted runs once, exactly, and nothing else does."""

import asyncio
import os
import signal

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from approvals.services import propose_draft
from approvals.services.voting import edit
from clearance import (
    AlreadyRun,
    Conflict,
    Denied,
    Edit,
    Killed,
    MemorySeen,
    NoAccess,
    ReceiptInvalid,
    ReceiptReplayed,
    Refused,
    Rejected,
    Revoked,
    StillPending,
    Withdrawn,
    digest_of,
    key_of,
    verify_receipt,
)
from tests.approvals.support import make_person
from tests.clients.support import LARGE, SMALL, Side
from tests.support import Stack, run_alone

KEY = key_of("ticket-1", "call-1")


def test_a_small_action_is_allowed_runs_once_and_is_reported(side: Side) -> None:
    decision = side.client.decide("refund", SMALL, idempotency_key=KEY)
    assert (decision.decision, decision.state, decision.digest) == (
        "allow",
        "ready",
        digest_of("refund", SMALL),
    )
    execution = side.client.execute(side.client.wait(decision))
    assert (execution.action, execution.args) == ("refund", SMALL)
    for _ in range(2):
        side.client.report(execution, "succeeded", {"refund": "R-1"})
    with pytest.raises(Conflict):
        side.client.report(execution, "failed")
    with pytest.raises(AlreadyRun):
        side.client.execute(decision)
    assert side.executions() == ["refund succeeded"]


def test_the_same_step_again_is_the_same_decision(side: Side) -> None:
    first = side.client.decide("refund", LARGE, idempotency_key=KEY)
    again = side.client.decide("refund", dict(reversed(LARGE.items())), idempotency_key=KEY)
    assert (first.id, first.pending) == (again.id, True)
    with pytest.raises(Conflict):
        side.client.decide("refund", {**LARGE, "amount": "181.00"}, idempotency_key=KEY)
    assert len(side.decisions()) == 1


def test_a_step_run_again_in_another_span_is_the_same_decision(side: Side) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    found = []
    for _ in range(2):
        with tracer.start_as_current_span("step") as span:
            found.append((side.client.decide("refund", SMALL, idempotency_key=KEY), span.get_span_context()))
    assert found[0][0].id == found[1][0].id
    kept = side.decisions()[0]
    assert bytes(kept.trace_id or b"").hex() == f"{found[0][1].trace_id:032x}"
    assert bytes(kept.span_id or b"").hex() == f"{found[0][1].span_id:016x}"


@pytest.mark.parametrize(
    "header",
    [
        "x",
        "00-1-2-01",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'z' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-01",
        "-" * 99,
    ],
)
def test_a_parent_that_is_none_links_to_nothing(side: Side, header: str) -> None:
    body = {"action": "refund", "args": SMALL}
    said = side.agent.send("/api/v1/decisions", body, **{"Idempotency-Key": KEY, "traceparent": header})
    assert said.status_code == 200
    assert (side.decisions()[0].trace_id, side.decisions()[0].span_id) == (None, None)


def test_the_current_span_is_named_by_its_execution(side: Side) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("execute_tool refund") as span:
        execution = side.client.execute(side.client.decide("refund", SMALL, idempotency_key=KEY))
        assert span.attributes["clearance.execution_id"] == execution.id  # type: ignore[attr-defined]
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_large_action_waits_for_a_person_and_runs_when_approved(side: Side) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY, claim="The lamp is broken.")
    assert decision.pending
    with pytest.raises(StillPending):
        side.client.execute(decision)
    with side.meanwhile(side.vote):
        decision = side.client.wait(decision)
    assert decision.state == "approved"
    assert side.client.execute(decision).args == LARGE


def test_a_rejection_carries_the_persons_words(side: Side) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY)
    with side.meanwhile(lambda: side.vote("reject", "Ask for a photo first.")):
        decision = side.client.wait(decision)
    with pytest.raises(Rejected) as raised:
        side.client.execute(decision)
    assert "Ask for a photo first." in raised.value.message
    assert raised.value.retry == "never"
    with pytest.raises(Denied) as denied:
        side.client.execute(side.client.decide("refund", LARGE, idempotency_key=key_of("ticket-1", "call-2")))
    assert denied.value.code == "recently_rejected"


def test_what_an_approver_edited_is_what_runs(side: Side) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY)
    smaller = {**LARGE, "amount": "120.00"}
    edit(side.request().pk, smaller, 1, side.approver)
    side.vote()
    decision = side.client.wait(decision)
    assert decision.edited == (Edit("amount", "180.00", "120.00"),)
    assert (decision.revision, decision.digest) == (2, digest_of("refund", smaller))
    assert side.client.execute(decision).args == smaller


def test_an_edit_after_the_last_look_is_not_run_unseen(side: Side) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY)
    edit(side.request().pk, {**LARGE, "amount": "120.00"}, 1, side.approver)
    looked = side.client.wait(decision, 0)
    assert looked.revision == 2
    side.vote()
    approved = side.client.wait(looked)
    assert side.client.execute(approved).args["amount"] == "120.00"


def test_what_was_decided_before_is_not_waited_for(side: Side) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY)
    side.vote()
    # Each is a poll of 55 s, were it not answered at once; the permission would expire meanwhile.
    for _ in range(12):
        approved = side.client.wait(decision)
        assert approved.state == "approved"
    assert side.client.execute(approved).args == LARGE


def test_waiting_ends_with_the_timeout(side: Side) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY)
    assert side.client.wait(decision, 1.2).pending
    withdrawn = side.client.withdraw(decision)
    assert side.client.withdraw(decision).state == "withdrawn"
    with pytest.raises(Withdrawn):
        side.client.execute(withdrawn)


def test_waiting_outlives_the_servers_restart(side: Side, stack: Stack) -> None:
    decision = side.client.decide("refund", LARGE, idempotency_key=KEY)

    def restart() -> None:
        for number in stack.parts("uvicorn"):
            os.kill(number, signal.SIGKILL)
        stack.wait_ready()
        side.vote()

    with side.meanwhile(restart):
        assert side.client.wait(decision).state == "approved"


def test_a_denial_says_codes_and_not_limits(side: Side) -> None:
    for action, args, code in (
        ("delete_customer", {"id": "1"}, "disallowed"),
        ("fly", {}, "not_allowed"),
        ("refund", {**SMALL, "amount": "12"}, "schema"),
        ("refund", {**SMALL, "note": "x"}, "schema"),
    ):
        decision = side.client.decide(action, args, idempotency_key=key_of(action, str(args)))
        assert decision.state == "denied"
        with pytest.raises(Denied) as raised:
            side.client.execute(decision)
        assert raised.value.code == code
        assert "50" not in raised.value.message
    assert side.executions() == []


def test_a_draft_runs_when_a_person_made_it_their_own_and_another_approved(stack: Stack) -> None:
    side = Side(stack, tier="draft")
    draft = side.client.decide("refund", SMALL, idempotency_key=KEY)
    assert (draft.state, sorted(draft.codes)) == ("denied", ["draft"])
    assert side.client.proposed(draft) is None
    changed = {**SMALL, "amount": "11.00"}
    propose_draft(side.decisions()[0].pk, changed, make_person(side.slug))
    found = side.client.proposed(draft)
    assert found is not None
    assert (found.pending, found.draft, found.edited) == (True, draft.id, (Edit("amount", "12.00", "11.00"),))
    with pytest.raises(Denied):
        side.client.execute(draft)
    with side.meanwhile(side.vote):
        found = side.client.wait(found)
    execution = side.client.execute(found)
    assert execution.args == changed
    side.client.report(execution, "succeeded")
    assert side.executions() == ["refund succeeded"]


def test_a_dry_run_permits_nothing(side: Side) -> None:
    decision = side.client.decide("refund", SMALL, idempotency_key=KEY, dry_run=True)
    assert decision.decision == "allow"
    with pytest.raises(Refused):
        side.client.execute(decision)
    assert side.decisions() == []


def test_the_kill_switch_stops_what_was_permitted(side: Side) -> None:
    ready = side.client.decide("refund", SMALL, idempotency_key=KEY)
    out = side.client.execute(side.client.decide("lookup_order", {}, idempotency_key=key_of("t", "read")))
    stopped = side.client.kill(side.slug, "It refunds everything.")
    assert out.id in str(stopped.in_flight)
    with pytest.raises((Killed, Revoked)):
        side.client.execute(ready)
    with pytest.raises(Killed) as raised:
        side.client.execute(side.client.decide("refund", LARGE, idempotency_key=key_of("t", "2")))
    assert raised.value.retry == "later"


def test_another_features_decision_does_not_exist(side: Side, stack: Stack) -> None:
    decision = side.client.decide("refund", SMALL, idempotency_key=KEY)
    other = Side(stack)
    with pytest.raises(NoAccess):
        other.client.execute(decision)
    with pytest.raises(NoAccess):
        other.client.kill(side.slug, "Not mine to stop.")


def test_the_receipt_opens_the_gateway_once_for_these_arguments(side: Side, stack: Stack) -> None:
    execution = side.client.execute(side.client.decide("refund", SMALL, idempotency_key=KEY))
    keys, seen = f"{stack.url}/.well-known/jwks.json", MemorySeen()
    more = {"feature": side.slug, "action": "refund", "seen": seen, "issuer": stack.url}
    with pytest.raises(ReceiptInvalid):
        verify_receipt(execution.receipt, keys, args=LARGE, **more)  # type: ignore[arg-type]
    receipt = verify_receipt(execution.receipt, keys, args=execution.args, **more)  # type: ignore[arg-type]
    assert receipt.execution == execution.id
    with pytest.raises(ReceiptReplayed):
        verify_receipt(execution.receipt, keys, args=execution.args, **more)  # type: ignore[arg-type]


def test_the_async_client_keeps_the_same_promises(side: Side) -> None:
    async def whole() -> str:
        async with side.asynchronous() as client:
            decision = await client.decide("refund", LARGE, idempotency_key=KEY)
            assert (await client.wait(decision, 0)).pending
            voting = asyncio.create_task(asyncio.to_thread(vote))
            decision = await client.wait(decision)
            await voting
            execution = await client.execute(decision)
            with pytest.raises(AlreadyRun):
                await client.execute(decision)
            await client.report(execution, "unknown")
            other = await client.decide("refund", {**LARGE, "order_id": "A-9"}, idempotency_key="other")
            assert (await client.withdraw(other)).state == "withdrawn"
            await client.kill(side.slug, "Enough for today.", action="refund")
            return execution.args["amount"]  # type: ignore[no-any-return]

    def vote() -> None:
        with side.meanwhile(side.vote):
            pass

    assert run_alone(whole()) == "180.00"
    assert side.executions() == ["refund unknown"]
