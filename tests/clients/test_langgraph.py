"""LangGraph: approvals are interrupts; a graph that is resumed asks nobody twice and runs nothing twice."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from approvals.services.voting import edit
from clearance import MissingKey
from clearance.langgraph import fan_out, tool_node
from tests.clients.support import LARGE, SMALL, Side
from tests.support import run_alone

Calls = Sequence[tuple[str, dict[str, Any]]]


class Bench:
    """A graph with a model that asks for these calls once, and the tools' own list of what ran."""

    def __init__(self, side: Side, calls: Calls, *, fanned: bool = False, asynchronous: bool = False) -> None:
        self.side = side
        self.calls = calls
        self.ran: list[str] = []
        self.saver = InMemorySaver()
        self.fanned = fanned
        self.config: Any = {"configurable": {"thread_id": "ticket-1"}}
        self.clients: dict[str, Any] = (
            {"async_client": side.asynchronous()} if asynchronous else {"client": side.client}
        )

    def graph(self) -> Any:
        """The graph, compiled anew as a new process would: only the checkpoints are the same."""

        @tool
        def refund(order_id: str, amount: str, currency: str) -> str:
            """Refund an order."""
            self.ran.append(f"refund {amount}")
            if order_id == "broken":
                raise RuntimeError("the gateway refused")
            return f"refunded {amount}"

        @tool
        def lookup_order(order_id: str) -> str:
            """Look an order up."""
            self.ran.append(f"lookup {order_id}")
            return "delivered"

        def model(state: MessagesState) -> dict[str, Any]:
            if isinstance(state["messages"][-1], ToolMessage):
                return {"messages": [AIMessage("Done.")]}
            asked = [
                {"name": name, "args": args, "id": f"call-{n}", "type": "tool_call"}
                for n, (name, args) in enumerate(self.calls)
            ]
            return {"messages": [AIMessage("", tool_calls=asked)]}

        built = StateGraph(MessagesState)
        built.add_node("model", model)
        built.add_node("tools", tool_node([refund, lookup_order], **self.clients))
        built.add_edge(START, "model")
        built.add_edge("tools", "model")
        if self.fanned:
            built.add_conditional_edges("model", fan_out, ["tools", END])
        else:
            built.add_conditional_edges(
                "model", lambda state: "tools" if state["messages"][-1].tool_calls else END, ["tools", END]
            )
        return built.compile(checkpointer=self.saver)

    def start(self) -> dict[str, Any]:
        found: dict[str, Any] = self.graph().invoke({"messages": [HumanMessage("Money back.")]}, self.config)
        return found

    def resume(self) -> dict[str, Any]:
        found: dict[str, Any] = self.graph().invoke(Command(resume=True), self.config)
        return found

    def told(self, state: dict[str, Any]) -> list[tuple[str, str]]:
        return [
            (message.status, str(message.content))
            for message in state["messages"]
            if isinstance(message, ToolMessage)
        ]


def waits(state: dict[str, Any]) -> bool:
    return bool(state.get("__interrupt__"))


def test_what_is_allowed_runs_without_an_interrupt(side: Side) -> None:
    bench = Bench(side, [("lookup_order", {"order_id": "A-1"}), ("refund", SMALL)])
    state = bench.start()
    assert not waits(state)
    assert bench.told(state) == [("success", "delivered"), ("success", "refunded 12.00")]
    assert side.executions() == ["lookup_order succeeded", "refund succeeded"]


def test_an_approval_is_an_interrupt_and_a_resume_asks_nobody_twice(side: Side) -> None:
    bench = Bench(side, [("lookup_order", {"order_id": "A-2"}), ("refund", LARGE)])
    state = bench.start()
    assert waits(state)
    said = state["__interrupt__"][0].value["clearance"][0]
    assert (said["action"], said["decision"]) == ("refund", str(side.decisions()[1].pk))
    # Resumed before anybody decided, it waits again; the value it is resumed with permits nothing.
    for _ in range(2):
        assert waits(bench.resume())
    assert bench.ran == []
    side.vote()
    state = bench.resume()
    assert not waits(state)
    assert bench.told(state) == [("success", "delivered"), ("success", "refunded 180.00")]
    assert bench.ran == ["lookup A-2", "refund 180.00"]
    assert len(side.decisions()) == 2


def test_a_rejection_and_a_denial_are_told_to_the_model(side: Side) -> None:
    bench = Bench(side, [("refund", LARGE), ("refund", {**SMALL, "amount": "12"})])
    assert waits(bench.start())
    side.vote("reject", "Ask for a photo first.")
    rejected, denied = bench.told(bench.resume())
    assert rejected[0] == denied[0] == "error"
    assert "Ask for a photo first." in rejected[1]
    assert "args.amount" in denied[1]
    assert bench.ran == []


def test_an_edit_is_what_the_tool_gets(side: Side) -> None:
    bench = Bench(side, [("refund", LARGE)])
    assert waits(bench.start())
    edit(side.request().pk, {**LARGE, "amount": "99.00"}, 1, side.approver)
    side.vote()
    bench.resume()
    assert bench.ran == ["refund 99.00"]


def test_a_tool_that_fails_is_reported_and_told(side: Side) -> None:
    bench = Bench(side, [("refund", {**SMALL, "order_id": "broken"})])
    status, words = bench.told(bench.start())[0]
    assert status == "error"
    assert "the gateway refused" in words
    assert side.executions() == ["refund failed"]


def test_fanned_out_calls_do_not_hold_each_other_up(side: Side) -> None:
    bench = Bench(side, [("refund", LARGE), ("lookup_order", {"order_id": "A-2"})], fanned=True)
    assert waits(bench.start())
    assert bench.ran == ["lookup A-2"]
    side.vote()
    state = bench.resume()
    assert not waits(state)
    assert sorted(bench.ran) == ["lookup A-2", "refund 180.00"]
    assert len(bench.told(state)) == 2


def test_the_async_node_keeps_the_same_promises(side: Side) -> None:
    bench = Bench(side, [("refund", LARGE)], asynchronous=True)

    async def start() -> dict[str, Any]:
        found: dict[str, Any] = await bench.graph().ainvoke({"messages": [HumanMessage("Hi")]}, bench.config)
        return found

    async def resume() -> dict[str, Any]:
        bench.clients = {"async_client": side.asynchronous()}
        found: dict[str, Any] = await bench.graph().ainvoke(Command(resume=True), bench.config)
        return found

    assert waits(run_alone(start()))
    side.vote()
    assert bench.told(run_alone(resume())) == [("success", "refunded 180.00")]
    assert bench.ran == ["refund 180.00"]


def test_without_a_thread_nothing_is_asked(side: Side) -> None:
    bench = Bench(side, [("refund", SMALL)])
    graph = bench.graph()
    graph.checkpointer = None
    with pytest.raises(MissingKey, match="thread"):
        graph.invoke({"messages": [HumanMessage("Money back.")]})
    assert side.decisions() == []
