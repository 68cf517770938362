"""The MCP proxy: any server's tools, each behind a decision; what the policy does not list does not run."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client

from tests.clients.support import LARGE, SMALL, Side
from tests.support import ROOT, run_alone

UPSTREAM = Path(__file__).with_name("mcp_upstream.py")
Call = tuple[str, dict[str, Any]]


class Bench:
    def __init__(self, side: Side, folder: Path) -> None:
        self.side = side
        self.notes = folder / "ran.txt"

    def ran(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def proxy(self, *options: str) -> StdioServerParameters:
        return StdioServerParameters(
            command=sys.executable,
            args=[
                "-m",
                "clearance.mcp_proxy",
                *options,
                "--",
                sys.executable,
                str(UPSTREAM),
                str(self.notes),
            ],
            env={
                "CLEARANCE_URL": self.side.stack.url,
                "CLEARANCE_KEY": self.side.key,
                "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
            },
        )

    def play(self, *calls: Call, options: tuple[str, ...] = (), meta: Any = None) -> list[tuple[bool, str]]:
        """[(whether it is an error, text)] of these calls through the proxy, by a client of the real SDK."""

        async def whole() -> list[tuple[bool, str]]:
            async with (
                stdio_client(self.proxy(*options)) as (read, write),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                tools = (await session.list_tools()).tools
                assert [tool.name for tool in tools] == ["refund", "lookup_order", "drop_tables"]
                assert tools[0].inputSchema["required"] == ["order_id", "amount", "currency"]
                found = []
                for name, args in calls:
                    result = await session.call_tool(name, args, meta=meta)
                    assert isinstance(result.content[0], types.TextContent)
                    found.append((result.isError, result.content[0].text))
                return found

        return run_alone(whole())


def test_reads_and_small_actions_pass_with_their_receipt(side: Side, tmp_path: Path) -> None:
    bench = Bench(side, tmp_path)
    told = bench.play(("lookup_order", {"order_id": "A-1"}), ("refund", SMALL), ("refund", SMALL))
    assert told == [(False, "delivered"), (False, "refunded 12.00"), (False, "refunded 12.00")]
    assert bench.ran()[0:2] == ["lookup A-1", "refund 12.00 receipt=2 key=False"]
    assert side.executions() == ["lookup_order succeeded", "refund succeeded", "refund succeeded"]


def test_a_tool_that_the_policy_does_not_list_is_denied(side: Side, tmp_path: Path) -> None:
    bench = Bench(side, tmp_path)
    (denied, words), (unknown, _) = bench.play(("drop_tables", {}), ("rm_rf", {"path": "/"}))
    assert denied
    assert unknown
    assert "not permitted" in words or "not allow" in words
    assert bench.ran() == []
    assert [one.answer for one in side.decisions()] == ["deny", "deny"]


def test_a_person_is_waited_for_and_may_reject(side: Side, tmp_path: Path) -> None:
    bench = Bench(side, tmp_path)
    with side.meanwhile(side.vote):
        assert bench.play(("refund", LARGE)) == [(False, "refunded 180.00")]
    with side.meanwhile(lambda: side.vote("reject", "Ask for a photo first.")):
        [(error, words)] = bench.play(("refund", {**LARGE, "order_id": "A-3"}))
    assert error
    assert "Ask for a photo first." in words
    assert len(bench.ran()) == 1


def test_nobody_deciding_in_time_is_an_error_and_the_request_is_taken_back(
    side: Side, tmp_path: Path
) -> None:
    bench = Bench(side, tmp_path)
    [(error, _)] = bench.play(("refund", LARGE), options=("--timeout", "1"))
    assert error
    assert bench.ran() == []
    assert side.client.withdraw(side.client.decide("refund", LARGE, idempotency_key="x")).state == "withdrawn"


def test_a_failing_tool_is_failed_and_a_dying_server_unknown(side: Side, tmp_path: Path) -> None:
    bench = Bench(side, tmp_path)
    told = bench.play(("refund", {**SMALL, "order_id": "broken"}), ("refund", {**SMALL, "order_id": "crash"}))
    assert [error for error, _ in told] == [True, True]
    assert side.executions() == ["refund failed", "refund unknown"]


def test_a_named_call_of_a_named_run_is_one_proposal_over_restarts(side: Side, tmp_path: Path) -> None:
    bench = Bench(side, tmp_path)
    meta = {"clearance/call_id": "call-1"}
    for n in range(2):
        [(error, _)] = bench.play(("refund", SMALL), options=("--run", "ticket-1"), meta=meta)
        assert error is (n == 1)
    assert len(side.decisions()) == 1
    assert len(bench.ran()) == 1


def test_a_call_that_its_client_cancels_is_withdrawn(side: Side, tmp_path: Path) -> None:
    bench = Bench(side, tmp_path)

    async def whole() -> str:
        async with stdio_client(bench.proxy()) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            calling = asyncio.create_task(session.call_tool("refund", LARGE))
            request = await asyncio.to_thread(side.request)
            cancelled = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=1))
            await session.send_notification(types.ClientNotification(cancelled))
            for _ in range(100):
                await asyncio.to_thread(request.refresh_from_db)
                if request.state != "pending":
                    break
                await asyncio.sleep(0.1)
            calling.cancel()
            return request.state

    assert run_alone(whole()) == "withdrawn"
    assert bench.ran() == []
