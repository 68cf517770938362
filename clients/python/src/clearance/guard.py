"""`@guarded("refund")`: the function runs only as it was permitted, with the arguments that were permitted."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar, cast

import anyio
import httpx

from clearance.answers import Decision, Execution
from clearance.canonical import JsonObject, canonical, key_of
from clearance.client import AsyncClearance, Clearance
from clearance.errors import ClearanceError, MissingKey, NotCanonical, Refused, StillPending
from clearance.flows import Outcome

__all__ = ["current_execution", "guarded", "run_async", "run_sync", "tool_call", "words_of"]

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger("clearance")

_key: ContextVar[str | None] = ContextVar("clearance_key", default=None)
_execution: ContextVar[Execution | None] = ContextVar("clearance_execution", default=None)
_LARGEST_RESULT = 32_000
_LONGEST_ERROR = 500
_LAST_WORD = 10.0  # seconds for a report while the caller is being cancelled
# The request may have had its effect although the caller got no answer.
_UNSURE = (
    TimeoutError,
    ConnectionError,
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
)
_SURE = (ConnectionRefusedError, httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@contextmanager
def tool_call(run: str, call: str) -> Iterator[None]:
    """Say whose guarded calls follow: the run that would be resumed (a thread, a ticket), and the tool call's ID.

    Both come from the framework and stay the same when the step is run again; never make them up at random.
    """
    token = _key.set(key_of(run, call))
    try:
        yield
    finally:
        _key.reset(token)


def current_execution() -> Execution | None:
    """Inside a guarded function: its execution, whose `receipt` the gateway wants to see."""
    return _execution.get()


def run_sync(
    client: Clearance,
    action: str,
    args: Mapping[str, Any],
    *,
    key: str,
    do: Callable[[JsonObject], R],
    timeout: float | None = None,
    claim: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> R:
    """Ask, wait, execute, do, report. Raises a ClearanceError before `do` is called, or what `do` raises."""
    decision = client.decide(action, args, idempotency_key=key, claim=claim, context=context)
    decision = client.wait(decision, timeout)
    if decision.pending:
        _give_up(client, decision)
    return do_sync(client, client.execute(decision), do)


def do_sync(client: Clearance, execution: Execution, do: Callable[[JsonObject], R]) -> R:
    """Run what is permitted and report its outcome."""
    token = _execution.set(execution)
    try:
        result = do(execution.args)
    except BaseException as error:
        _report(client, execution, outcome_of(error), _failure(error))
        raise
    finally:
        _execution.reset(token)
    _report(client, execution, "succeeded", _reportable(result))
    return result


async def run_async(
    client: AsyncClearance,
    action: str,
    args: Mapping[str, Any],
    *,
    key: str,
    do: Callable[[JsonObject], Awaitable[R]],
    timeout: float | None = None,  # noqa: ASYNC109
    claim: str | None = None,
    context: Mapping[str, Any] | None = None,
    withdraw_when_cancelled: bool = False,
) -> R:
    """`run_sync` for an event loop. Who is cancelled while people decide may come back and collect, and so leaves the
    request where it is, unless told to withdraw it.
    """
    decision = await client.decide(action, args, idempotency_key=key, claim=claim, context=context)
    try:
        decision = await client.wait(decision, timeout)
    except anyio.get_cancelled_exc_class():
        if withdraw_when_cancelled and decision.pending:
            with anyio.move_on_after(_LAST_WORD, shield=True):
                await _withdraw_async(client, decision)
        raise
    if decision.pending:
        await _give_up_async(client, decision)
    return await do_async(client, await client.execute(decision), do)


async def do_async(
    client: AsyncClearance, execution: Execution, do: Callable[[JsonObject], Awaitable[R]]
) -> R:
    """Run what is permitted and report its outcome, also while being cancelled."""
    token = _execution.set(execution)
    try:
        result = await do(execution.args)
    except BaseException as error:
        with anyio.move_on_after(_LAST_WORD, shield=True):
            await _report_async(client, execution, outcome_of(error), _failure(error))
        raise
    finally:
        _execution.reset(token)
    with anyio.CancelScope(shield=True):
        await _report_async(client, execution, "succeeded", _reportable(result))
    return result


def guarded(
    action: str,
    *,
    client: Clearance | AsyncClearance | None = None,
    key: Callable[[JsonObject], str] | None = None,
    leave_out: Collection[str] = (),
    timeout: float | None = None,
    claim: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function, async or not, run only as Clearance permits it, with the arguments that it permits.

    The parameters are the action's `args`, but for those named in `leave_out` (a connection, a context). The
    idempotency key is that of the surrounding `tool_call(run, call)`, or what `key(args)` makes of the arguments.
    A refusal raises a ClearanceError whose `message` is for the model. After `timeout` seconds without a decision the
    request is withdrawn and StillPending raised. The outcome is reported: `failed` when the function raises,
    `unknown` when it raises something like a timeout.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        for parameter in signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{function.__name__} takes *{parameter.name}: its arguments have no names")

        def bind(*args: P.args, **kwargs: P.kwargs) -> tuple[JsonObject, str, Callable[[JsonObject], R]]:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            proposed = {name: value for name, value in bound.arguments.items() if name not in leave_out}
            kept = {name: value for name, value in bound.arguments.items() if name in leave_out}

            def call(permitted: JsonObject) -> R:
                final = signature.bind_partial()
                if unknown := set(permitted) - set(proposed):
                    raise TypeError(f"{function.__name__} does not take {', '.join(sorted(unknown))}")
                final.arguments.update({**kept, **permitted})
                final.apply_defaults()
                return function(*final.args, **final.kwargs)

            return proposed, _key_for(action, proposed, key), call

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
                proposed, own, call = bind(*args, **kwargs)
                return await run_async(
                    _async_client(client),
                    action,
                    proposed,
                    key=own,
                    do=cast("Callable[[JsonObject], Awaitable[Any]]", call),
                    timeout=timeout,
                    claim=claim,
                )

            return cast("Callable[P, R]", asynchronous)

        @functools.wraps(function)
        def blocking(*args: P.args, **kwargs: P.kwargs) -> R:
            proposed, own, call = bind(*args, **kwargs)
            return run_sync(
                _sync_client(client), action, proposed, key=own, do=call, timeout=timeout, claim=claim
            )

        return blocking

    return decorate


def words_of(error: ClearanceError) -> str:
    """What the model is told. What is no refusal but a fault (a wrong key, no server) goes to the log, too."""
    if not isinstance(error, Refused):
        log.error("a tool call was not permitted: %s", error)
    return error.message


def _key_for(action: str, args: JsonObject, key: Callable[[JsonObject], str] | None) -> str:
    found = key(args) if key is not None else _key.get()
    if not found:
        raise MissingKey(
            f"{action}: nobody said which tool call this is; put it into `with tool_call(run, call):`, or give "
            "`guarded` a `key`"
        )
    return found if key is None else key_of(action, found)


@functools.cache
def _default() -> Clearance:
    return Clearance()


@functools.cache
def _default_async() -> AsyncClearance:
    return AsyncClearance()


def _sync_client(client: Clearance | AsyncClearance | None) -> Clearance:
    if client is None:
        return _default()
    if not isinstance(client, Clearance):
        raise TypeError("a blocking function needs a Clearance, not an AsyncClearance")
    return client


def _async_client(client: Clearance | AsyncClearance | None) -> AsyncClearance:
    if client is None:
        return _default_async()
    if not isinstance(client, AsyncClearance):
        raise TypeError("an async function needs an AsyncClearance, not a Clearance")
    return client


def outcome_of(error: BaseException) -> Outcome:
    """`failed` where it certainly did nothing more, `unknown` where it may have had its effect."""
    if isinstance(error, _SURE):
        return "failed"
    if isinstance(error, _UNSURE) or not isinstance(error, Exception):  # cancelled, interrupted
        return "unknown"
    return "unknown" if "timeout" in type(error).__name__.lower() else "failed"


def _failure(error: BaseException) -> JsonObject:
    return {"error": f"{type(error).__name__}: {error}"[:_LONGEST_ERROR].encode(errors="replace").decode()}


def _reportable(result: object) -> object:
    """The result where it is JSON of a bearable size; else nothing of it is reported."""
    try:
        return result if len(canonical(result)) <= _LARGEST_RESULT else None
    except NotCanonical:
        return None


def _report(client: Clearance, execution: Execution, outcome: Outcome, result: object) -> None:
    """An outcome that cannot be told becomes `unknown` at the deadline; the tool has run all the same."""
    try:
        client.report(execution, outcome, result)
    except ClearanceError:
        log.exception("the outcome of execution %s (%s) could not be reported", execution.id, outcome)


async def _report_async(
    client: AsyncClearance, execution: Execution, outcome: Outcome, result: object
) -> None:
    try:
        await client.report(execution, outcome, result)
    except ClearanceError:
        log.exception("the outcome of execution %s (%s) could not be reported", execution.id, outcome)


def _give_up(client: Clearance, decision: Decision) -> None:
    """Nobody will collect the permission any more: take the request back. Raises StillPending."""
    try:
        client.withdraw(decision)
    except ClearanceError as error:
        log.warning("%s could not be withdrawn: %s", decision.id, error)
    raise StillPending(f"{decision.action}: nobody decided in time", decision=decision)


async def _give_up_async(client: AsyncClearance, decision: Decision) -> None:
    await _withdraw_async(client, decision)
    raise StillPending(f"{decision.action}: nobody decided in time", decision=decision)


async def _withdraw_async(client: AsyncClearance, decision: Decision) -> None:
    try:
        await client.withdraw(decision)
    except ClearanceError as error:
        log.warning("%s could not be withdrawn: %s", decision.id, error)
