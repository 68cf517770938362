"""pydantic-ai: a guarded toolset waits in place, or ends the run with a deferred approval that carries no authority."""

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import FunctionToolset

from approvals.services.voting import edit
from clearance.pydantic_ai import GuardedToolset
from tests.clients.support import LARGE, SMALL, Side
from tests.support import run_alone


class Note(BaseModel):
    text: str


class Bench:
    def __init__(self, side: Side) -> None:
        self.side = side
        self.ran: list[str] = []
        self.told: list[str] = []

    def play(self, args: dict[str, Any], *, defer: bool = False, **more: Any) -> Any:
        """The run's result; `told` is what the model got back."""
        tools: FunctionToolset[None] = FunctionToolset()

        @tools.tool_plain
        async def refund(order_id: str, amount: str, currency: str) -> str:
            """Refund an order."""
            self.ran.append(amount)
            if order_id == "broken":
                raise RuntimeError("the gateway refused")
            return f"refunded {amount}"

        def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            returned = [
                part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)
            ]
            self.told = [str(part.content) for part in returned]
            if returned:
                return ModelResponse(parts=[TextPart("Done.")])
            return ModelResponse(parts=[ToolCallPart("refund", args, tool_call_id="call-1")])

        async def whole() -> Any:
            async with self.side.asynchronous() as client:
                agent = Agent(
                    FunctionModel(model),
                    toolsets=[GuardedToolset(tools, client=client, defer=defer)],
                    output_type=[str, DeferredToolRequests],
                )
                prompt = None if "message_history" in more else "Money back."
                return await agent.run(prompt, **more)

        return run_alone(whole())


def test_a_permitted_tool_runs(side: Side) -> None:
    bench = Bench(side)
    assert bench.play(SMALL).output == "Done."
    assert (bench.ran, bench.told) == (["12.00"], ["refunded 12.00"])
    assert side.executions() == ["refund succeeded"]


def test_a_person_is_waited_for_in_place(side: Side) -> None:
    bench = Bench(side)
    with side.meanwhile(side.vote):
        bench.play(LARGE)
    assert bench.told == ["refunded 180.00"]


def test_a_deferred_approval_goes_on_when_people_approved(side: Side) -> None:
    bench = Bench(side)
    first = bench.play(LARGE, defer=True)
    assert isinstance(first.output, DeferredToolRequests)
    assert first.output.metadata["call-1"]["decision"] == str(side.decisions()[0].pk)
    # "Approved" to the framework is no approval: it is asked again and still waits.
    go_on = {
        "defer": True,
        "message_history": first.all_messages(),
        "deferred_tool_results": DeferredToolResults(approvals={"call-1": True}),
    }
    assert isinstance(bench.play(LARGE, **go_on).output, DeferredToolRequests)
    assert bench.ran == []
    edit(side.request().pk, {**LARGE, "amount": "99.00"}, 1, side.approver)
    side.vote()
    assert bench.play(LARGE, **go_on).output == "Done."
    assert (bench.ran, bench.told) == (["99.00"], ["refunded 99.00"])
    assert len(side.decisions()) == 1


def test_a_rejection_is_told_and_nothing_runs(side: Side) -> None:
    bench = Bench(side)
    with side.meanwhile(lambda: side.vote("reject", "Ask for a photo first.")):
        bench.play(LARGE)
    assert "Ask for a photo first." in bench.told[0]
    assert bench.ran == []


def test_a_failure_is_reported_and_raised(side: Side) -> None:
    with pytest.raises(RuntimeError, match="gateway"):
        Bench(side).play({**SMALL, "order_id": "broken"})
    assert side.executions() == ["refund failed"]


def test_values_that_are_no_json_are_proposed_as_json(side: Side) -> None:
    tools: FunctionToolset[None] = FunctionToolset()
    got: list[Any] = []

    @tools.tool_plain
    async def lookup_order(note: Note) -> str:
        """Look an order up."""
        got.append(note)
        return "fine"

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if got:
            return ModelResponse(parts=[TextPart("Done.")])
        return ModelResponse(parts=[ToolCallPart("lookup_order", {"note": {"text": "hi"}}, tool_call_id="c")])

    async def whole() -> None:
        async with side.asynchronous() as client:
            await Agent(FunctionModel(model), toolsets=[GuardedToolset(tools, client=client)]).run("Hi")

    run_alone(whole())
    assert got == [Note(text="hi")]
