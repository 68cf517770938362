"""pydantic-ai: a toolset behind decisions; a wait for people is a deferred approval, if you want.

agent = Agent(model, toolsets=[GuardedToolset(tools, client=AsyncClearance())])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.tools import AgentDepsT
from pydantic_ai.toolsets import ToolsetTool, WrapperToolset
from pydantic_core import to_jsonable_python

from clearance.canonical import JsonObject, canonical, key_of
from clearance.client import AsyncClearance
from clearance.errors import ClearanceError, MissingKey
from clearance.guard import do_async, run_async, words_of

__all__ = ["GuardedToolset"]


def _conversation(context: RunContext[Any]) -> str:
    return context.conversation_id or context.run_id or ""


@dataclass
class GuardedToolset(WrapperToolset[AgentDepsT]):
    """Every tool call of the wrapped toolset is asked for first and runs with the arguments that were permitted.

    With `defer` a call that waits for people ends the run with `DeferredToolRequests` (give the agent that output
    type); its metadata names the decision. Go on with `DeferredToolResults(approvals={tool call ID: True})` and the
    same message history: `True` carries no authority, the decision is asked for again and must have been approved.
    Without it the tool call waits, up to `timeout` seconds. `run` names the run and defaults to the conversation's
    ID. A refusal is what the model gets as the tool's result.
    """

    client: AsyncClearance = field(kw_only=True)
    actions: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    run: Callable[[RunContext[Any]], str] = field(default=_conversation, kw_only=True)
    defer: bool = field(default=False, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[AgentDepsT],
        tool: ToolsetTool[AgentDepsT],
    ) -> Any:
        proposed: JsonObject = to_jsonable_python(tool_args)

        async def do(args: JsonObject) -> Any:
            # Only what a person edited is read anew; else the values are those the framework made already.
            same = canonical(args) == canonical(proposed)
            final = tool_args if same else tool.args_validator.validate_json(canonical(args))
            return await self.wrapped.call_tool(name, final, ctx, tool)

        action = self.actions.get(name, name)
        key = self._key(ctx)
        try:
            if not self.defer:
                return await run_async(self.client, action, proposed, key=key, do=do, timeout=self.timeout)
            decision = await self.client.decide(action, proposed, idempotency_key=key)
            if decision.pending:
                raise ApprovalRequired(
                    metadata={"decision": decision.id, "see": decision.see, "state": decision.state}
                )
            return await do_async(self.client, await self.client.execute(decision), do)
        except ClearanceError as error:
            return words_of(error)

    def _key(self, ctx: RunContext[AgentDepsT]) -> str:
        run = self.run(ctx)
        if not run or not ctx.tool_call_id:
            raise MissingKey("a guarded tool call needs the conversation's and its own ID")
        return key_of(run, ctx.tool_call_id)
