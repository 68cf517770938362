"""OpenAI Agents SDK: a function tool that runs only as it was permitted.

refund = guarded_tool(refund_function, client=AsyncClearance(), run=lambda context: context.context.ticket)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agents import FunctionTool, function_tool
from agents.tool_context import ToolContext

from clearance.canonical import JsonObject, canonical, key_of
from clearance.client import AsyncClearance
from clearance.errors import ClearanceError
from clearance.guard import run_async, words_of

__all__ = ["guarded_tool"]


def guarded_tool(
    function: Callable[..., Any],
    *,
    client: AsyncClearance,
    run: Callable[[ToolContext[Any]], str],
    action: str | None = None,
    timeout: float | None = None,
    **options: Any,
) -> FunctionTool:
    """`function_tool(function, **options)` behind a decision.

    `run` says which run this is: the ID of what would be resumed (a session, a ticket), so that the same tool call
    of the same run is one proposal. `action` is the tool's name where it is not given. The tool call waits for people
    up to `timeout` seconds; a refusal is what the model gets as the tool's output.
    """
    # The tool's own errors come here as exceptions, to be reported as outcomes.
    inner = function_tool(function, failure_error_function=None, **options)

    async def invoke(context: ToolContext[Any], given: str) -> Any:
        async def do(args: JsonObject) -> Any:
            return await inner.on_invoke_tool(context, canonical(args).decode())

        key = key_of(run(context), context.tool_call_id)
        try:
            return await run_async(
                client,
                action or inner.name,
                _arguments(given),
                key=key,
                do=do,
                timeout=timeout,
            )
        except ClearanceError as error:
            return words_of(error)
        except Exception as error:  # noqa: BLE001 - told to the model, as the SDK does by default
            return f"An error occurred while running the tool. Error: {error}"

    return replace(inner, on_invoke_tool=invoke)


def _arguments(given: str) -> JsonObject:
    found = json.loads(given or "{}")
    if not isinstance(found, dict):
        raise ValueError("the arguments are no JSON object")
    return found
