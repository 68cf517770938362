"""LangGraph: a node for tools that asks before any of them runs, and waits for people as an interrupt.

    graph.add_node("tools", tool_node([refund, lookup_order]))

The node asks for every tool call of the last message. While one waits for a person the graph is interrupted with
`{"clearance": [...]}`; resume it with any value (`Command(resume=True)`), when told or by a clock. The value carries no
authority: the node runs from its start, asks with the same keys and gets the same decisions as they stand now.
Nothing runs before all calls of the message are decided; `fan_out` makes each call a task of its own instead.
A guarded tool must not interrupt by itself: its permission is used up when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolNode
from langgraph.types import Send, interrupt

from clearance.answers import Decision
from clearance.canonical import JsonObject, key_of
from clearance.client import AsyncClearance, Clearance
from clearance.errors import ClearanceError, MissingKey
from clearance.guard import do_async, do_sync, words_of

__all__ = ["fan_out", "tool_node"]

State = Mapping[str, Any]
Decided = list[tuple[ToolCall, Decision | ClearanceError]]


def tool_node(
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    client: Clearance | None = None,
    async_client: AsyncClearance | None = None,
    actions: Mapping[str, str] | None = None,
    messages_key: str = "messages",
) -> Runnable[Any, Any]:
    """A node like `ToolNode`, behind decisions. The run is the thread's ID: compile the graph with a checkpointer.

    `actions` names a tool's action where the two differ. Clients default to those of the environment, made when
    they are first needed. A refusal becomes the tool's message to the model, with status `error`.
    """
    node = _Node(tools, client, async_client, actions or {}, messages_key)
    return RunnableLambda(node.run, afunc=node.arun, name="guarded tools")


def fan_out(state: State, node: str = "tools", messages_key: str = "messages") -> list[Send] | str:
    """A conditional edge: each tool call as a task of its own, so that one that waits does not hold the others up."""
    messages: list[AnyMessage] = list(state[messages_key])
    last = messages[-1]
    if not isinstance(last, AIMessage) or not last.tool_calls:
        return "__end__"
    return [
        Send(node, {**state, messages_key: [*messages[:-1], _only(last, call)]}) for call in last.tool_calls
    ]


class _Node:
    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        client: Clearance | None,
        async_client: AsyncClearance | None,
        actions: Mapping[str, str],
        messages_key: str,
    ) -> None:
        # Errors must be seen here, to be reported as outcomes, before they become words for the model.
        self._tools = ToolNode(tools, handle_tool_errors=False, messages_key=messages_key)
        self._client = client
        self._async_client = async_client
        self._actions = actions
        self._messages_key = messages_key

    def run(self, state: State, config: RunnableConfig) -> Any:
        client = self._client = self._client or Clearance()
        decided: Decided = []
        for call, key in self._calls(state, config):
            try:
                decided.append((call, client.decide(*self._what(call), idempotency_key=key)))
            except ClearanceError as error:
                decided.append((call, error))
        while waiting := _waiting(decided):
            interrupt(_shown(waiting))
            decided = [(call, _looked(client, found)) for call, found in decided]
        results = [self._run_one(client, state, config, call, found) for call, found in decided]
        return self._merged(results)

    async def arun(self, state: State, config: RunnableConfig) -> Any:
        client = self._async_client = self._async_client or AsyncClearance()
        decided: Decided = []
        for call, key in self._calls(state, config):
            try:
                found = await client.decide(*self._what(call), idempotency_key=key)
                decided.append((call, found))
            except ClearanceError as error:
                decided.append((call, error))
        while waiting := _waiting(decided):
            interrupt(_shown(waiting))
            decided = [(call, await _looked_async(client, found)) for call, found in decided]
        results = [await self._arun_one(client, state, config, call, found) for call, found in decided]
        return self._merged(results)

    def _run_one(
        self,
        client: Clearance,
        state: State,
        config: RunnableConfig,
        call: ToolCall,
        found: Decision | ClearanceError,
    ) -> Any:
        def do(args: JsonObject) -> Any:
            return self._tools.invoke(self._input(state, call, args), config)

        try:
            if isinstance(found, ClearanceError):
                raise found
            return do_sync(client, client.execute(found), do)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is told to the model, as by ToolNode
            return _told(call, error)

    async def _arun_one(
        self,
        client: AsyncClearance,
        state: State,
        config: RunnableConfig,
        call: ToolCall,
        found: Decision | ClearanceError,
    ) -> Any:
        async def do(args: JsonObject) -> Any:
            return await self._tools.ainvoke(self._input(state, call, args), config)

        try:
            if isinstance(found, ClearanceError):
                raise found
            return await do_async(client, await client.execute(found), do)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is told to the model, as by ToolNode
            return _told(call, error)

    def _calls(self, state: State, config: RunnableConfig) -> list[tuple[ToolCall, str]]:
        """The tool calls with their idempotency keys."""
        last = state[self._messages_key][-1]
        if not isinstance(last, AIMessage):
            raise TypeError("the last message is not the model's")
        return [(call, _key(config, call)) for call in last.tool_calls]

    def _what(self, call: ToolCall) -> tuple[str, JsonObject]:
        return self._actions.get(call["name"], call["name"]), call["args"]

    def _input(self, state: State, call: ToolCall, args: JsonObject) -> dict[str, Any]:
        messages = list(state[self._messages_key])
        permitted = ToolCall(name=call["name"], args=args, id=call["id"], type="tool_call")
        return {**state, self._messages_key: [*messages[:-1], _only(messages[-1], permitted)]}

    def _merged(self, results: list[Any]) -> Any:
        """One update of the state; what a tool returned as a Command goes on as one."""
        messages: list[AnyMessage] = []
        commands = []
        for result in results:
            if isinstance(result, Mapping):
                messages += result[self._messages_key]
            elif isinstance(result, list):
                commands += result
            else:
                messages.append(result)
        update = {self._messages_key: messages}
        return [*commands, update] if commands else update


def _only(message: AIMessage, call: ToolCall) -> AIMessage:
    return AIMessage(content=message.content, id=message.id, tool_calls=[call])


def _key(config: RunnableConfig, call: ToolCall) -> str:
    thread = config.get("configurable", {}).get("thread_id")
    if not thread or not call["id"]:
        raise MissingKey(
            "a guarded tool needs the thread's ID: compile with a checkpointer, call with a thread_id"
        )
    return key_of(str(thread), call["id"])


def _waiting(decided: Decided) -> list[tuple[ToolCall, Decision]]:
    return [(call, found) for call, found in decided if isinstance(found, Decision) and found.pending]


def _shown(waiting: list[tuple[ToolCall, Decision]]) -> dict[str, list[dict[str, Any]]]:
    """What the interrupt says: enough to tell people and to know when to look again; no authority."""
    return {
        "clearance": [
            {
                "decision": found.id,
                "action": found.action,
                "tool_call": call["id"],
                "see": found.see,
                "expires_at": found.expires_at.isoformat() if found.expires_at else None,
            }
            for call, found in waiting
        ]
    }


def _looked(client: Clearance, found: Decision | ClearanceError) -> Decision | ClearanceError:
    if isinstance(found, ClearanceError) or not found.pending:
        return found
    try:
        return client.wait(found, 0)
    except ClearanceError as error:
        return error


async def _looked_async(
    client: AsyncClearance, found: Decision | ClearanceError
) -> Decision | ClearanceError:
    if isinstance(found, ClearanceError) or not found.pending:
        return found
    try:
        return await client.wait(found, 0)
    except ClearanceError as error:
        return error


def _told(call: ToolCall, error: Exception) -> ToolMessage:
    words = words_of(error) if isinstance(error, ClearanceError) else f"Error: {error!r}"
    return ToolMessage(content=words, name=call["name"], tool_call_id=call["id"], status="error")
