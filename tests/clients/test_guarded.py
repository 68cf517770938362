"""`@guarded`: the function runs as it was permitted, or it raises with words for the model."""

import asyncio
from typing import Any

import httpx
import pytest

from approvals.services.voting import edit
from clearance import (
    AlreadyRun,
    Denied,
    MissingKey,
    Rejected,
    StillPending,
    current_execution,
    guarded,
    tool_call,
)
from tests.clients.support import LARGE, SMALL, Side
from tests.support import run_alone


class GatewayTimeout(Exception):
    """As payment libraries have them."""


def test_it_runs_with_what_was_permitted_and_reports_what_it_returned(side: Side) -> None:
    seen: list[Any] = []

    @guarded("refund", client=side.client, leave_out=("ledger",))
    def refund(order_id: str, amount: str, ledger: list[Any], currency: str = "USD") -> dict[str, str]:
        execution = current_execution()
        assert execution is not None
        seen.append((order_id, amount, currency, execution.receipt.count(".")))
        ledger.append(amount)
        return {"refund": "R-1"}

    ledger: list[Any] = []
    with tool_call("ticket-1", "call-1"):
        assert refund("A-1", amount="12.00", ledger=ledger) == {"refund": "R-1"}
        with pytest.raises(AlreadyRun):
            refund("A-1", "12.00", ledger)
    assert (seen, ledger) == ([("A-1", "12.00", "USD", 2)], ["12.00"])
    assert current_execution() is None
    assert side.executions() == ["refund succeeded"]


def test_an_edit_reaches_the_function(side: Side) -> None:
    ran: list[str] = []

    @guarded("refund", client=side.client)
    def refund(order_id: str, amount: str, currency: str) -> None:
        ran.append(amount)

    def decide() -> None:
        request = side.request()
        edit(request.pk, {**LARGE, "amount": "99.00"}, request.revision, side.approver)
        side.vote()

    with side.meanwhile(decide), tool_call("ticket-1", "call-1"):
        refund(**LARGE)
    assert ran == ["99.00"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("no such order"), "failed"),
        (httpx.ConnectError("refused"), "failed"),
        (TimeoutError(), "unknown"),
        (httpx.ReadTimeout("no answer"), "unknown"),
        (ConnectionResetError(), "unknown"),
        (GatewayTimeout("504"), "unknown"),
        (KeyboardInterrupt(), "unknown"),
    ],
)
def test_what_the_function_raises_is_its_outcome(side: Side, error: BaseException, outcome: str) -> None:
    @guarded("refund", client=side.client, key=lambda args: args["order_id"])
    def refund(order_id: str, amount: str, currency: str) -> None:
        raise error

    with pytest.raises(type(error)):
        refund(**SMALL)
    assert side.executions() == [f"refund {outcome}"]


def test_a_denial_a_rejection_and_silence_raise_and_nothing_runs(side: Side) -> None:
    ran: list[str] = []

    @guarded("fly", client=side.client)
    def fly() -> None:
        ran.append("fly")

    @guarded("refund", client=side.client, timeout=1)
    def refund(order_id: str, amount: str, currency: str) -> None:
        ran.append("refund")

    with tool_call("t", "1"), pytest.raises(Denied):
        fly()
    with tool_call("t", "2"), pytest.raises(StillPending):
        refund(**LARGE)
    assert side.client.decide("refund", LARGE, idempotency_key="t/2").state == "withdrawn"
    patient = guarded("refund", client=side.client)(refund.__wrapped__)  # type: ignore[attr-defined]
    with (
        side.meanwhile(lambda: side.vote("reject", "Not without a photo.")),
        tool_call("t", "3"),
        pytest.raises(Rejected, match="rejected"),
    ):
        patient(**LARGE)
    assert ran == []


def test_without_a_tool_call_nothing_is_asked(side: Side) -> None:
    @guarded("refund", client=side.client)
    def refund(order_id: str, amount: str, currency: str) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(MissingKey):
        refund(**SMALL)
    assert side.decisions() == []


def test_what_has_no_names_cannot_be_guarded() -> None:
    with pytest.raises(TypeError, match="args"):

        @guarded("refund")
        def refund(*args: str) -> None: ...

    with pytest.raises(TypeError, match="more"):

        @guarded("refund")
        def other(**more: str) -> None: ...


def test_an_async_function_waits_without_holding_the_loop(side: Side) -> None:
    ticks = 0

    async def whole() -> str:
        nonlocal ticks
        async with side.asynchronous() as client:

            @guarded("refund", client=client)
            async def refund(order_id: str, amount: str, currency: str) -> str:
                return amount

            async def ask() -> str:
                with tool_call("t", "1"):
                    return await refund(**LARGE)

            asking = asyncio.create_task(ask())
            voting = asyncio.create_task(asyncio.to_thread(vote))
            while not asking.done():
                ticks += 1
                await asyncio.sleep(0.05)
            await voting
            return await asking

    def vote() -> None:
        with side.meanwhile(side.vote):
            pass

    assert run_alone(whole()) == "180.00"
    assert ticks > 5
    assert side.executions() == ["refund succeeded"]


def test_a_cancelled_async_function_is_reported_as_unknown(side: Side) -> None:
    async def whole() -> None:
        async with side.asynchronous() as client:
            started = asyncio.Event()

            @guarded("refund", client=client, key=lambda args: args["order_id"])
            async def refund(order_id: str, amount: str, currency: str) -> None:
                started.set()
                await asyncio.sleep(60)

            running = asyncio.create_task(refund(**SMALL))
            await started.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    run_alone(whole())
    assert side.executions() == ["refund unknown"]
