"""Seeded traces of an agent as an SDK exports them: six spans (agent, model, retriever, tool, tool, model), about
1.3 kB a span, with outcomes, errors, segments, variants and a vocabulary whose words are as unequal as a language's.
"""

import json
import random
from collections.abc import Iterator, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench.bodies import set_attributes

SPANS_A_TRACE = 6
_TRACES_A_BODY = 80
_MS = 10**6
_MODELS = (("gpt-4o-2024-08-06", 60), ("gpt-4o-mini-2024-07-18", 30), ("claude-sonnet-4-5", 10))
_TOOLS = (("lookup_order", 70), ("lookup_customer", 20), ("refund", 8), ("hand_to_human", 2))
_OUTCOMES = (("success", 78), ("escalated", 7), ("failed", 5), ("", 10))
_VARIANTS = (("baseline", 95), ("canary", 5))
_TIERS = (("free", 60), ("pro", 30), ("enterprise", 10))
_REGIONS = (("eu", 50), ("us", 40), ("apac", 10))
_SYLLABLES = (
    "ba be bi bo da de di do ka ke ki ko la le li lo ma me mi mo na ne ni no ra re ri ro sa se si so".split()
)


def _one(chance: random.Random, weighted: Sequence[tuple[str, int]]) -> str:
    return chance.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]


class _Language:
    """8,000 words, the nth as frequent as 1/n (Zipf)."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        words = {"".join(chance.choices(_SYLLABLES, k=chance.randrange(1, 5))) for _ in range(12_000)}
        self._words = sorted(words)[:8_000]
        chance.shuffle(self._words)
        total = 0.0
        self._cumulative = [total := total + 1 / (n + 1) for n in range(len(self._words))]

    def text(self, words: int) -> str:
        """So many words."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._cumulative, k=words))


def template_bodies(
    traces: int, chance: random.Random, before_ns: int, request: str, session: str, user: str
) -> Iterator[bytes]:
    """ExportTraceServiceRequests in protobuf with so many traces in all, all within the hour before `before_ns`."""
    language = _Language(chance)
    for first in range(0, traces, _TRACES_A_BODY):
        body = ExportTraceServiceRequest()
        scoped = body.resource_spans.add().scope_spans.add()
        scoped.scope.name = "bench"
        for _ in range(first, min(first + _TRACES_A_BODY, traces)):
            _trace(scoped.spans, chance, language, before_ns, (request, session, user))
        yield body.SerializeToString()


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _trace(
    spans: "Sequence[Span]",
    chance: random.Random,
    language: _Language,
    before_ns: int,
    names: tuple[str, str, str],
) -> None:
    trace_id = chance.randbytes(16)
    took = max(int(chance.lognormvariate(7.2, 0.7)), 60) * _MS
    start = before_ns - 3600 * 10**9 + chance.randrange(1000 * 10**9)
    fails = chance.random() < 0.03
    outcome = _one(chance, _OUTCOMES)
    model = _one(chance, _MODELS)
    system, question = language.text(40), language.text(60)
    root_id = chance.randbytes(8)

    def add(name: str, begin: float, end: float, parent: bytes | None = root_id) -> Span:
        span: Span = spans.add(  # type: ignore[attr-defined]
            trace_id=trace_id,
            span_id=root_id if parent is None else chance.randbytes(8),
            name=name,
            start_time_unix_nano=start + int(took * begin),
            end_time_unix_nano=start + int(took * end),
        )
        if parent is not None:
            span.parent_span_id = parent
        return span

    root = add("invoke_agent billing", 0, 1, None)
    request, session, user = names
    set_attributes(
        root,
        gen_ai__operation__name="invoke_agent",
        clearance__request_id=request,
        clearance__variant=_one(chance, _VARIANTS),
        clearance__segment__tier=_one(chance, _TIERS),
        clearance__segment__region=_one(chance, _REGIONS),
        clearance__feature_version="2026-11",
        session__id=session,
        user__id=user,
        **({"task__outcome": outcome} if outcome else {}),
    )
    for begin, end, history in ((0.02, 0.4, 0), (0.7, 0.98, 1)):
        call = add(f"chat {model}", begin, end)
        messages = json.loads(_message("user", question))
        if history:
            messages += json.loads(_message("assistant", language.text(25)))
        set_attributes(
            call,
            gen_ai__operation__name="chat",
            gen_ai__request__model=model.rpartition("-20")[0] or model,
            gen_ai__response__model=model,
            gen_ai__usage__input_tokens=chance.randrange(200, 4000),
            gen_ai__usage__output_tokens=chance.randrange(20, 400),
            gen_ai__system_instructions=json.dumps([{"type": "text", "content": system}]),
            gen_ai__input__messages=json.dumps(messages),
            gen_ai__output__messages=_message("assistant", language.text(40)),
        )
    found = add("retrieve help", 0.4, 0.45)
    set_attributes(found, openinference__span__kind="RETRIEVER", input__value=question)
    for n in range(2):
        set_attributes(
            found,
            **{
                f"retrieval__documents__{n}__document__id": f"kb-{chance.randrange(400)}",
                f"retrieval__documents__{n}__document__content": language.text(50),
            },
        )
    for n in range(2):
        tool = _one(chance, _TOOLS)
        used = add(f"execute_tool {tool}", 0.45 + n * 0.1, 0.55 + n * 0.1)
        set_attributes(
            used,
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name=tool,
            gen_ai__tool__call__arguments=json.dumps({"order_id": f"A-{chance.randrange(99999)}"}),
            gen_ai__tool__call__result=json.dumps({"note": language.text(80)}),
        )
        if fails and n:
            used.status.code = Status.STATUS_CODE_ERROR
            used.status.message = f"{tool} timed out after {chance.randrange(1, 30)} s"
            root.status.code = Status.STATUS_CODE_ERROR
