"""Perform a plan with the real OpenTelemetry SDK, on the real clock or on one that runs through the past."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from demo.plan import Ask, Call, Plan, Retrieve, Step

if TYPE_CHECKING:  # history is made without a client
    from clearance import Execution
    from demo.gate import Gate

_NS = 10**9


class Clock(Protocol):
    """Nanoseconds since the epoch, and waiting."""

    def now(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...


class LiveClock:
    """The time it is; waiting takes as long as it says."""

    def now(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class PastClock:
    """A time that was; waiting takes no time."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += int(seconds * _NS)


class ModelError(Exception):
    """The model's provider refused."""


class FakeModel:
    """A model that says what the plan has it say, after about as long as a real one would take."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan = plan
        self.clock = clock
        self.named = 0

    def name_calls(self, step: Ask) -> list[tuple[str, Call]]:
        """The calls that a step asks for, each with an ID of its own."""
        self.named += len(step.calls)
        return [(f"call_{self.named - n}", call) for n, call in enumerate(step.calls)]

    def complete(self, step: Ask, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The assistant's message with its usage. Raises ModelError."""
        self.clock.sleep(step.seconds)
        if step.error:
            raise ModelError(step.error)
        calls = self.name_calls(step)
        parts: list[dict[str, Any]] = [{"type": "text", "content": step.text}] if step.text else []
        parts += [
            {"type": "tool_call", "id": identity, "name": call.tool, "arguments": call.arguments}
            for identity, call in calls
        ]
        read = 60 + (len(json.dumps(messages)) + len(self.plan.system or "")) // 4
        cached = len(self.plan.system or "") // 4 // 64 * 64
        return {
            "parts": parts,
            "input": read,
            "output": 8 + len(json.dumps(parts)) // 5,
            "cached": cached,
            "calls": calls,
        }


@contextmanager
def _span(
    tracer: Tracer, clock: Clock, name: str, kind: SpanKind, attributes: dict[str, Any]
) -> Iterator[Span]:
    span = tracer.start_span(name, kind=kind, attributes=attributes, start_time=clock.now())
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield span
    finally:
        span.end(clock.now())


def _fail(span: Span, error: Exception, clock: Clock) -> None:
    span.record_exception(error, timestamp=clock.now())
    span.set_status(Status(StatusCode.ERROR, str(error)))


def perform(plan: Plan, tracer: Tracer, clock: Clock, gate: Gate | None = None) -> bool:
    """Play the whole request; what the agent would do, with the GenAI conventions' spans. With a gate each tool that
    is no read runs only as Clearance permits it; a refusal ends the request as the plan says otherwise. Returns whether
    it went as planned.
    """
    model = FakeModel(plan, clock)
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": plan.agent,
        "session.id": plan.session,
        "clearance.request_id": plan.request_id,
        "clearance.variant": plan.variant,
        "clearance.feature_version": "14" if plan.variant == "canary" else "13",
        "input.value": plan.asked,
        **{f"clearance.segment.{name}": value for name, value in plan.segments.items()},
        **({"user.id": plan.user} if plan.user else {}),
        **({"task.outcome": plan.outcome} if plan.outcome else {}),
    }
    with _span(tracer, clock, plan.name, SpanKind.SERVER, attributes) as root:
        clock.sleep(0.02)
        messages = [{"role": "user", "parts": [{"type": "text", "content": plan.asked}]}]
        outcome = plan.outcome
        as_planned = _steps(plan.steps, plan, model, tracer, clock, messages, gate)
        if not as_planned:
            outcome = plan.otherwise_outcome
            _steps(plan.otherwise, plan, model, tracer, clock, messages, gate)
            if outcome:
                root.set_attribute("task.outcome", outcome)
        if outcome == "failed":
            root.set_status(Status(StatusCode.ERROR, "the task could not be finished"))
    return as_planned


def _steps(
    steps: tuple[Step, ...],
    plan: Plan,
    model: FakeModel,
    tracer: Tracer,
    clock: Clock,
    messages: list[dict[str, Any]],
    gate: Gate | None,
) -> bool:
    """Whether all of them could be taken; the first tool that is not permitted ends them."""
    pending: list[tuple[str, Call]] = []
    for step in steps:
        if isinstance(step, Retrieve):
            _retrieve(step, tracer, clock, messages)
        elif isinstance(step, Ask):
            pending = _ask(step, plan, model, tracer, clock, messages)
        elif gate is None or not gate.guards(step):
            _call(step, _identity(step, pending), tracer, clock, messages)
        elif not _guarded_call(step, _identity(step, pending), plan, tracer, clock, messages, gate):
            return False
        clock.sleep(0.015)
    return True


def _retrieve(step: Retrieve, tracer: Tracer, clock: Clock, messages: list[dict[str, Any]]) -> None:
    attributes: dict[str, Any] = {"openinference.span.kind": "RETRIEVER", "input.value": step.query}
    for n, document in enumerate(step.documents):
        place = f"retrieval.documents.{n}.document."
        if document.id:
            attributes[place + "id"] = document.id
        attributes[place + "content"] = document.text
        attributes[place + "score"] = document.score
        attributes[place + "metadata"] = json.dumps({"title": document.title})
    with _span(tracer, clock, "search handbook", SpanKind.CLIENT, attributes):
        clock.sleep(step.seconds)
    found = "\n\n".join(f"[{document.title}]\n{document.text}" for document in step.documents)
    messages.append({"role": "tool", "parts": [_response("search", "search_handbook", found)]})


def _response(identity: str, name: str, response: Any) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": identity, "name": name, "response": response}


def _ask(
    step: Ask, plan: Plan, model: FakeModel, tracer: Tracer, clock: Clock, messages: list[dict[str, Any]]
) -> list[tuple[str, Call]]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": plan.provider,
        "gen_ai.request.model": plan.model,
        "gen_ai.input.messages": json.dumps(messages),
    }
    if plan.system:
        attributes["gen_ai.system_instructions"] = json.dumps([{"type": "text", "content": plan.system}])
    with _span(tracer, clock, f"chat {plan.model}", SpanKind.CLIENT, attributes) as span:
        try:
            answer = model.complete(step, messages)
        except ModelError as error:
            _fail(span, error, clock)
            span.set_attribute("error.type", "rate_limit_exceeded")
            return []
        message = {"role": "assistant", "parts": answer["parts"]}
        span.set_attributes(
            {
                "gen_ai.response.model": plan.answers_as,
                "gen_ai.usage.input_tokens": answer["input"],
                "gen_ai.usage.output_tokens": answer["output"],
                "gen_ai.usage.cache_read.input_tokens": answer["cached"],
                "gen_ai.output.messages": json.dumps([message]),
                "gen_ai.response.finish_reasons": ["tool_calls" if step.calls else "stop"],
            }
        )
    messages.append(message)
    calls: list[tuple[str, Call]] = answer["calls"]
    return calls


def _identity(step: Call, pending: list[tuple[str, Call]]) -> str:
    return next((identity for identity, call in pending if call.tool == step.tool), "call_0")


def _guarded_call(
    step: Call,
    identity: str,
    plan: Plan,
    tracer: Tracer,
    clock: Clock,
    messages: list[dict[str, Any]],
    gate: Gate,
) -> bool:
    """Whether it was permitted; a refusal is what the model is told."""
    waits = {"clearance.waiting": True}
    waiting = partial(_span, tracer, clock, f"wait for approval of {step.tool}", SpanKind.INTERNAL, waits)
    claim = f"The customer asks: {plan.asked}"
    permitted = gate.permit(step, run=plan.request_id, call=identity, claim=claim, waiting=waiting)
    if isinstance(permitted, str):
        messages.append({"role": "tool", "parts": [_response(identity, step.tool, {"refused": permitted})]})
        return False
    _call(step, identity, tracer, clock, messages, permitted)
    gate.report(permitted, step)
    return True


def perform_draft(execution: Execution, tracer: Tracer, clock: Clock) -> None:
    """Run what a person made of a draft, as a trace of its own: the request that drafted it is over."""
    step = Call(execution.action, execution.args, {"done": True})
    with _span(tracer, clock, f"execute {execution.action}", SpanKind.INTERNAL, {}):
        _call(step, f"draft-{execution.id}", tracer, clock, [], execution)


def _call(
    step: Call,
    identity: str,
    tracer: Tracer,
    clock: Clock,
    messages: list[dict[str, Any]],
    execution: Execution | None = None,
) -> None:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": step.tool,
        "gen_ai.tool.call.id": identity,
        # What was permitted runs, which an approver may have changed.
        "gen_ai.tool.call.arguments": json.dumps(execution.args if execution else step.arguments),
        **({"clearance.execution_id": execution.id} if execution else {}),
    }
    with _span(tracer, clock, f"execute_tool {step.tool}", SpanKind.INTERNAL, attributes) as span:
        clock.sleep(step.seconds)
        if step.error:
            _fail(span, RuntimeError(step.error), clock)
            response: Any = {"error": step.error}
        else:
            response = step.result
            span.set_attribute("gen_ai.tool.call.result", json.dumps(step.result))
    messages.append({"role": "tool", "parts": [_response(identity, step.tool, response)]})
