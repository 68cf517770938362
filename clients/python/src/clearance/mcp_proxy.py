"""`python -m clearance.mcp_proxy -- COMMAND ...`: any MCP server's tools, behind decisions.

A stdio server that offers what the server COMMAND offers as tools. Each call is proposed as the action of the tool's
name: what the policy does not list is denied, what it calls a read passes, what needs people waits. The server behind
gets the arguments that were permitted, and the receipt in `_meta` for a gateway; it never sees CLEARANCE_KEY.
Resources and prompts are not passed on.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from clearance.canonical import JsonObject, key_of
from clearance.client import AsyncClearance
from clearance.errors import ClearanceError
from clearance.guard import current_execution, run_async, words_of

__all__ = ["main"]

_OURS = ("CLEARANCE_KEY",)
_ALIVE = 10.0  # seconds between two signs of life while people decide
_UNANSWERED = (types.CONNECTION_CLOSED, 408)  # the session ended, or the SDK's own time limit
CALL_ID = "clearance/call_id"
RECEIPT = "clearance/receipt"


class _ToolFailed(Exception):
    """The tool ran and says that it failed."""

    def __init__(self, result: types.CallToolResult) -> None:
        super().__init__("the tool reported an error")
        self.result = result


@dataclass(frozen=True)
class _Proxy:
    upstream: ClientSession
    client: AsyncClearance
    prefix: str
    timeout: float | None
    run: str
    session: str
    server: Server[Any, Any]

    async def list_tools(self, request: types.ListToolsRequest) -> types.ServerResult:
        return types.ServerResult(await self.upstream.list_tools(params=request.params))

    async def call_tool(self, request: types.CallToolRequest) -> types.ServerResult:
        name, args = request.params.name, request.params.arguments or {}
        async with self._signs_of_life(name):
            result = await self._guarded(name, args)
        return types.ServerResult(result)

    async def _guarded(self, name: str, args: JsonObject) -> types.CallToolResult:
        async def do(permitted: JsonObject) -> types.CallToolResult:
            return await self._behind(name, permitted)

        try:
            return await run_async(
                self.client,
                self.prefix + name,
                args,
                key=self._key(),
                do=do,
                timeout=self.timeout,
                withdraw_when_cancelled=not self.run,
            )
        except ClearanceError as error:
            return _error(words_of(error))
        except _ToolFailed as error:
            return error.result
        except (McpError, ConnectionError) as error:
            return _error(f"The tool could not be run: {error}")

    async def _behind(self, name: str, permitted: JsonObject) -> types.CallToolResult:
        """Run it. Raises _ToolFailed, McpError, and ConnectionError where nobody knows whether it ran."""
        execution = current_execution()
        meta = {RECEIPT: execution.receipt} if execution is not None else None
        try:
            result = await self.upstream.call_tool(name, permitted, meta=meta)
        except McpError as error:
            if error.error.code in _UNANSWERED:
                raise ConnectionError(error.error.message) from error
            raise
        if result.isError:
            raise _ToolFailed(result)
        return result

    def _key(self) -> str:
        """The client's own name of the tool call, where it says one in `_meta`; else this session's request.

        A session cannot be resumed, so its request IDs are as lasting as it is.
        """
        context = self.server.request_context
        extra: Mapping[str, Any] = (context.meta.model_extra or {}) if context.meta else {}
        named = extra.get(CALL_ID)
        if isinstance(named, str) and named:
            return key_of(self.run or self.session, named)
        return key_of(self.session, str(context.request_id))

    @asynccontextmanager
    async def _signs_of_life(self, name: str) -> AsyncIterator[None]:
        """Progress notifications, for clients that would give a silent call up."""
        context = self.server.request_context
        token = context.meta.progressToken if context.meta else None
        if token is None:
            yield
            return

        async def tell() -> None:
            told = 0
            while True:
                await anyio.sleep(_ALIVE)
                told += 1
                await context.session.send_progress_notification(
                    token, told, message=f"{name} waits for its decision or its result"
                )

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            yield
            group.cancel_scope.cancel()


def _error(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], isError=True)


async def _serve(command: Sequence[str], prefix: str, timeout: float | None, run: str) -> None:  # noqa: ASYNC109
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    behind = StdioServerParameters(command=command[0], args=list(command[1:]), env=inherited)
    async with (
        AsyncClearance() as client,
        stdio_client(behind) as (read, write),
        ClientSession(read, write) as upstream,
    ):
        said = await upstream.initialize()
        server: Server[Any, Any] = Server(
            f"clearance: {said.serverInfo.name}",
            version=said.serverInfo.version,
            instructions=said.instructions,
        )
        proxy = _Proxy(upstream, client, prefix, timeout, run, uuid.uuid4().hex, server)
        server.request_handlers[types.ListToolsRequest] = proxy.list_tools
        server.request_handlers[types.CallToolRequest] = proxy.call_tool
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the client closes stdin. CLEARANCE_URL and CLEARANCE_KEY say who is asked."""
    parser = argparse.ArgumentParser(
        prog="python -m clearance.mcp_proxy", description="Put an MCP server's tools behind Clearance."
    )
    parser.add_argument(
        "--prefix", default="", help="what stands before a tool's name in the policy's actions"
    )
    parser.add_argument(
        "--timeout", type=float, help="seconds to wait for people (default: until it expires)"
    )
    parser.add_argument(
        "--run",
        default=os.environ.get("CLEARANCE_RUN", ""),
        help=f"the run that the client would resume; with the tool call's ID in _meta {CALL_ID!r}",
    )
    parser.add_argument("command", nargs="+", help="the MCP server, after --")
    said = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    # What httpx would log of requests is nobody's business on the server's stderr.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    anyio.run(_serve, said.command, said.prefix, said.timeout, said.run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
