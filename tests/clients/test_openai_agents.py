"""OpenAI Agents SDK: a function tool runs as it was permitted; a refusal is the tool's output."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent, ModelResponse, RunConfig, Runner, RunResult, Usage
from agents.models.interface import Model
from agents.tool_context import ToolContext
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from clearance.openai_agents import guarded_tool
from tests.clients.support import LARGE, SMALL, Side
from tests.support import run_alone


class Scripted(Model):
    """A model that asks for one tool call and then says what it was told."""

    def __init__(self, tool: str, args: dict[str, Any]) -> None:
        self.tool, self.args = tool, args
        self.told: list[str] = []

    async def get_response(
        self, system_instructions: Any, input: Any, *args: Any, **more: Any
    ) -> ModelResponse:
        outputs = [
            one for one in input if isinstance(one, dict) and one.get("type") == "function_call_output"
        ]
        self.told = [str(one["output"]) for one in outputs]
        answer: Any
        if outputs:
            text = ResponseOutputText(text="Done.", type="output_text", annotations=[])
            answer = ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
        else:
            answer = ResponseFunctionToolCall(
                arguments=json.dumps(self.args), call_id="call-1", name=self.tool, type="function_call"
            )
        return ModelResponse(output=[answer], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **more: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


class Bench:
    def __init__(self, side: Side) -> None:
        self.side = side
        self.ran: list[str] = []

    def play(self, args: dict[str, Any], *, run: str = "ticket-1") -> str:
        """What the model was told of its call."""
        model = Scripted("refund", args)

        async def refund(context: ToolContext[Any], order_id: str, amount: str, currency: str) -> str:
            """Refund an order."""
            self.ran.append(f"{amount} for {context.tool_call_id}")
            if order_id == "broken":
                raise RuntimeError("the gateway refused")
            if order_id == "slow":
                raise TimeoutError
            return f"refunded {amount}"

        async def whole() -> RunResult:
            async with self.side.asynchronous() as client:
                tool = guarded_tool(refund, client=client, run=lambda context: run)
                agent = Agent(name="billing", tools=[tool], model=model)
                return await Runner.run(agent, "Money back.", run_config=RunConfig(tracing_disabled=True))

        assert run_alone(whole()).final_output == "Done."
        return model.told[0]


def test_a_permitted_tool_runs_once_for_one_call(side: Side) -> None:
    bench = Bench(side)
    assert bench.play(SMALL) == "refunded 12.00"
    # The same run and call again, as after a crash: it is the same decision, and that has run.
    assert "does not run again" in bench.play(SMALL) or "once" in bench.play(SMALL)
    assert bench.ran == ["12.00 for call-1"]
    assert side.executions() == ["refund succeeded"]


def test_a_person_is_waited_for(side: Side) -> None:
    bench = Bench(side)
    with side.meanwhile(side.vote):
        assert bench.play(LARGE) == "refunded 180.00"


def test_a_rejection_is_told_and_nothing_runs(side: Side) -> None:
    bench = Bench(side)
    with side.meanwhile(lambda: side.vote("reject", "Ask for a photo first.")):
        assert "Ask for a photo first." in bench.play(LARGE)
    assert bench.ran == []


@pytest.mark.parametrize(("order", "outcome"), [("broken", "failed"), ("slow", "unknown")])
def test_a_failure_is_reported_although_the_sdk_would_hide_it(side: Side, order: str, outcome: str) -> None:
    told = Bench(side).play({**SMALL, "order_id": order})
    assert "error" in told.lower()
    assert side.executions() == [f"refund {outcome}"]


def test_the_tool_shows_the_model_what_the_function_takes(side: Side) -> None:
    def refund(order_id: str, amount: str) -> str:
        """Refund an order."""
        return amount

    tool = guarded_tool(
        refund, client=side.asynchronous(), run=lambda context: "t", action="refund", name_override="pay_back"
    )
    assert (tool.name, tool.description) == ("pay_back", "Refund an order.")
    assert set(tool.params_json_schema["properties"]) == {"order_id", "amount"}
