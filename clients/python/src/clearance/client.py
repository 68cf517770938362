"""The two clients: blocking and async, over the same flows."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx

from clearance import flows
from clearance.answers import Decision, Execution, Stopped
from clearance.errors import Unavailable
from clearance.flows import Flow, Outcome, Pause, Reply, Send
from clearance.telemetry import current_parent, name_execution

__all__ = ["AsyncClearance", "Clearance"]

T = TypeVar("T")
_AGENT = "clearance-client/0.1.0"


def _settings(url: str | None, key: str | None) -> tuple[str, dict[str, str]]:
    url = url or os.environ.get("CLEARANCE_URL")
    key = key or os.environ.get("CLEARANCE_KEY")
    if not url or urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("say where Clearance is: Clearance(url) or the variable CLEARANCE_URL")
    if not key:
        raise ValueError("say the feature's key: Clearance(key=...) or the variable CLEARANCE_KEY")
    return url.rstrip("/"), {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": _AGENT,
    }


def _decide(
    action: str,
    args: Mapping[str, Any],
    idempotency_key: str,
    trace_id: str | None,
    span_id: str | None,
    claim: str | None,
    context: Mapping[str, Any] | None,
    dry_run: bool,
) -> Flow[Decision]:
    return flows.decide(
        action,
        dict(args),
        idempotency_key=idempotency_key,
        trace_id=trace_id,
        span_id=span_id,
        parent=current_parent() if trace_id is None and span_id is None else None,
        claim=claim,
        context=None if context is None else dict(context),
        dry_run=dry_run,
    )


class Clearance:
    """One feature's right to ask, blocking. Threads may share it.

    `url` and `key` default to the variables CLEARANCE_URL and CLEARANCE_KEY; the key needs the scope `decide`.
    Every method raises a `ClearanceError` where it has no certain answer, and then nothing was permitted.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        base, headers = _settings(url, key)
        self._http = httpx.Client(base_url=base, headers=headers, transport=transport, follow_redirects=False)

    def decide(
        self,
        action: str,
        args: Mapping[str, Any],
        *,
        idempotency_key: str,
        trace_id: str | None = None,
        span_id: str | None = None,
        claim: str | None = None,
        context: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> Decision:
        """Ask whether `action` may run with `args`. A denial is an answer, not an error.

        `idempotency_key` must be the same when the same step is run again: `key_of(run, call)` makes one. Without
        `trace_id` the decision is linked to OpenTelemetry's current span. `claim` and `context` are the agent's own
        word and, like everything else in the body, must be the same when the step is run again.
        """
        return self._drive(_decide(action, args, idempotency_key, trace_id, span_id, claim, context, dry_run))

    def wait(self, decision: Decision, timeout: float | None = None) -> Decision:
        """The decision once people have decided, at most `timeout` seconds from now and never past its expiry.

        It returns the decision as it then stands, pending still when time is over. `timeout=0` looks once.
        """
        return self._drive(flows.wait(decision, timeout))

    def execute(self, decision: Decision) -> Execution:
        """Use the permission, once; run exactly the arguments that this returns.

        Raises Denied, Rejected, Expired, StillPending, Withdrawn, Revoked, AlreadyRun, Killed or Unavailable.
        """
        execution = self._drive(flows.execute(decision))
        name_execution(execution)
        return execution

    def report(self, execution: Execution, status: Outcome, result: object = None) -> None:
        """Say how the run ended: `unknown` where nobody can tell, such as a payment that timed out."""
        self._drive(flows.report(execution, status, result))

    def proposed(self, decision: Decision) -> Decision | None:
        """What a person proposed of this draft as their own request, to `wait` for and `execute`; None: nobody has."""
        return self._drive(flows.proposed(decision))

    def withdraw(self, decision: Decision) -> Decision:
        """Take a pending request back."""
        return self._drive(flows.withdraw(decision))

    def kill(self, feature: str, reason: str, *, action: str | None = None) -> Stopped:
        """Switch the feature's tools off, or one action of it. Only a person can switch them on again."""
        return self._drive(flows.kill(feature, reason, action))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, flow: Flow[T]) -> T:
        reply: Reply = None
        try:
            while True:
                step = flow.send(reply)
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    reply = None
                else:
                    reply = self._send(step)
        except StopIteration as end:
            found: T = end.value
            return found

    def _send(self, send: Send) -> Reply:
        try:
            return self._http.request(
                send.method, send.path, content=send.body, headers=dict(send.headers), timeout=send.timeout
            )
        except httpx.TransportError as error:
            return error
        except httpx.HTTPError as error:
            raise Unavailable(f"{send.method} {send.path}: {error}") from error


class AsyncClearance:
    """The same for asyncio and trio; see `Clearance` for what each method promises."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        base, headers = _settings(url, key)
        self._http = httpx.AsyncClient(
            base_url=base, headers=headers, transport=transport, follow_redirects=False
        )

    async def decide(
        self,
        action: str,
        args: Mapping[str, Any],
        *,
        idempotency_key: str,
        trace_id: str | None = None,
        span_id: str | None = None,
        claim: str | None = None,
        context: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> Decision:
        return await self._drive(
            _decide(action, args, idempotency_key, trace_id, span_id, claim, context, dry_run)
        )

    async def wait(self, decision: Decision, timeout: float | None = None) -> Decision:  # noqa: ASYNC109
        return await self._drive(flows.wait(decision, timeout))

    async def execute(self, decision: Decision) -> Execution:
        execution = await self._drive(flows.execute(decision))
        name_execution(execution)
        return execution

    async def report(self, execution: Execution, status: Outcome, result: object = None) -> None:
        await self._drive(flows.report(execution, status, result))

    async def proposed(self, decision: Decision) -> Decision | None:
        return await self._drive(flows.proposed(decision))

    async def withdraw(self, decision: Decision) -> Decision:
        return await self._drive(flows.withdraw(decision))

    async def kill(self, feature: str, reason: str, *, action: str | None = None) -> Stopped:
        return await self._drive(flows.kill(feature, reason, action))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def _drive(self, flow: Flow[T]) -> T:
        reply: Reply = None
        try:
            while True:
                step = flow.send(reply)
                if isinstance(step, Pause):
                    await anyio.sleep(step.seconds)
                    reply = None
                else:
                    reply = await self._send(step)
        except StopIteration as end:
            found: T = end.value
            return found

    async def _send(self, send: Send) -> Reply:
        try:
            return await self._http.request(
                send.method, send.path, content=send.body, headers=dict(send.headers), timeout=send.timeout
            )
        except httpx.TransportError as error:
            return error
        except httpx.HTTPError as error:
            raise Unavailable(f"{send.method} {send.path}: {error}") from error
