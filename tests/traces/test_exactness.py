"""Any order, splitting and repetition of spans, log events and facts, with settles between, ends in identical rows,
documents and sums.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.models import Feature
from tests.traces.settled import (
    NS,
    document_rows,
    new_feature,
    new_span,
    new_trace_id,
    settle,
    store,
    trace_row,
)
from traces.feedback import Said, give_feedback
from traces.rollups import roll_up
from traces.vocabulary import Claims, Content, Document, LogEvent, Message, Part, Span, Usage

START = (int((datetime.now(UTC) - timedelta(hours=1)).timestamp()) // 3600) * 3600 * NS
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
Item = Span | LogEvent | Said


def says(role: Any, text: str) -> list[Message]:
    return [Message(role=role, parts=[Part(type="text", text=text)])]


def spans_of(trace_id: bytes, request_id: str, chance: random.Random) -> list[Span]:
    """A trace over some minutes, with a second body under some span IDs."""
    made = [
        new_span(
            trace_id,
            1,
            started_at=START + chance.randrange(200) * NS,
            claims=Claims(request_id=request_id, segments={"tier": "gold"}, variant="canary"),
        )
    ]
    for n in range(2, 3 + chance.randrange(5)):
        kind = chance.choice(["llm", "tool", "retriever", "other"])
        made.append(
            new_span(
                trace_id,
                n,
                kind=kind,
                started_at=START + chance.randrange(200) * NS,
                status=chance.choice(["ok", "ok", "error"]),
                status_message=chance.choice(["", "card declined", "timeout after 30 s"]),
                calls_model=kind == "llm",
                model_answered="gpt-4o" if kind == "llm" else None,
                usage=Usage(input=chance.randrange(2000), output=chance.randrange(100))
                if kind == "llm"
                else Usage(),
                tool_name=chance.choice(["refund", "lookup"]) if kind == "tool" else None,
                content=Content(
                    input=says("user", f"question {n}") if kind == "llm" else None,
                    output=says("assistant", f"answer {n}")
                    if kind == "llm" and chance.random() < 0.5
                    else None,
                    arguments={"order": n} if kind == "tool" else None,
                    documents=[Document(id=f"kb-{n}")] if kind == "retriever" else None,
                ),
            )
        )
    for span in chance.sample(made, k=chance.randrange(2)):
        made.append(msgspec.structs.replace(span, ended_at=span.ended_at + 5 * NS, status_message="done"))
    return made


def log_events_of(trace_id: bytes, chance: random.Random) -> list[LogEvent]:
    return [
        LogEvent(
            trace_id=trace_id,
            span_id=n.to_bytes(8, "big"),
            event_name="gen_ai.choice",
            observed_at=START + n * NS,
            content=Content(output=says("assistant", f"by log {n}")),
        )
        for n in range(2, 2 + chance.randrange(3))
    ]


def said_of(chance: random.Random) -> list[Said]:
    facts: list[tuple[str, Any]] = [
        ("outcome", "success"),
        ("outcome", "failed"),
        ("escalated", True),
        ("violation", {"rule": "tone"}),
        ("rating", 4),
        ("comment", "fine by me"),
    ]
    return [
        Said("desk", (fact,), WHEN + timedelta(minutes=chance.randrange(3)))
        for fact in chance.sample(facts, chance.randrange(5))
    ]


def arrive(
    feature: Feature, trace_id: bytes, request_id: str, items: list[Item], chance: random.Random
) -> None:
    """All items in some order, some of them again, split over bodies, with settles between."""
    again = items + [item for item in items if chance.random() < 0.4]
    chance.shuffle(again)
    while again:
        body = [again.pop() for _ in range(min(len(again), 1 + chance.randrange(4)))]
        stored = [item for item in body if not isinstance(item, Said)]
        if stored:
            store(feature, *stored)
        for item in body:
            if isinstance(item, Said):
                give_feedback(feature, chance.choice([trace_id.hex(), request_id]), item)
        if chance.random() < 0.3:
            settle(feature)
    settle(feature)


def sums(feature: Feature) -> list[Any]:
    while roll_up(at_once=True):
        pass
    found: list[Any] = []
    for table in ("rollup_minute", "rollup_hour"):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT to_jsonb(r) - 'feature_id' FROM {table} r WHERE feature_id = %s ORDER BY 1",
                [feature.pk],
            )
            found += [row for (row,) in cursor.fetchall()]
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_whatever_the_order_the_rows_the_documents_and_the_sums_are_the_same(seed: int) -> None:
    trace_id, request_id = new_trace_id(), f"request-{seed}"
    chance = random.Random(seed)
    items: list[Item] = [
        *spans_of(trace_id, request_id, chance),
        *log_events_of(trace_id, chance),
        *said_of(chance),
    ]
    ends = []
    for turn in range(2):
        feature = new_feature()
        arrive(feature, trace_id, request_id, items, random.Random(f"{seed} {turn}"))
        ends.append((trace_row(feature, trace_id), document_rows(feature, trace_id), sums(feature)))
    assert ends[0][0] == ends[1][0]
    assert ends[0][1] == ends[1][1]
    assert len(ends[0][1]) == 1
    assert ends[0][2] == ends[1][2]
    assert ends[0][2]
