"""The summary depends on the set of what came, never on its order or repetition; no parents stop it."""

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.traces.test_summarise import NAMES, read_capture
from traces.summarise import attach_events, conversation, summarise
from traces.vocabulary import Claims, Content, Document, Fact, LogEvent, Message, Part, Span, Usage

ids = st.integers(1, 6).map(lambda n: n.to_bytes(8, "big"))
texts = st.sampled_from(["a", "b", "", "{}"])
json_values = st.one_of(st.none(), st.booleans(), st.integers(0, 3), texts, st.just({"x": [1]}))
parts = st.builds(
    Part,
    type=st.sampled_from(["text", "tool_call", "tool_result", "reasoning"]),
    text=st.none() | texts,
    tool_call_id=st.none() | texts,
    tool_name=st.none() | texts,
    arguments=json_values,
    result=json_values,
)
messages = st.none() | st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        parts=st.lists(parts, max_size=2),
    ),
    max_size=2,
)
contents = st.builds(
    Content,
    input=messages,
    output=messages,
    documents=st.none() | st.lists(st.builds(Document, id=st.none() | texts), max_size=2),
    arguments=json_values,
    result=json_values,
    input_text=st.none() | texts,
    output_text=st.none() | texts,
)
counts = st.none() | st.integers(0, 2)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    started = draw(st.integers(0, 20))
    return Span(
        trace_id=b"\x01" * 16,
        span_id=draw(ids),
        parent_span_id=draw(st.none() | ids),
        name="n",
        scope=draw(st.sampled_from(["a", "b", "c"])),
        kind=draw(st.sampled_from(["agent", "llm", "tool", "retriever", "embedding", "chain", "other"])),
        started_at=started,
        ended_at=started + draw(st.integers(0, 20)),
        status=draw(st.sampled_from(["ok", "error"])),
        status_message="",
        calls_model=draw(st.booleans()),
        model_answered=draw(st.none() | texts),
        usage=draw(st.builds(Usage, input=counts, output=counts)),
        tool_name=draw(st.none() | texts),
        tool_call_id=draw(st.none() | texts),
        claims=draw(st.builds(Claims, session_id=st.none() | texts, outcome=st.none() | texts)),
        content=draw(contents),
    )


events = st.builds(
    LogEvent,
    trace_id=st.just(b"\x01" * 16),
    span_id=st.none() | ids,
    event_name=st.sampled_from(["gen_ai.user.message", "gen_ai.client.inference.operation.details"]),
    observed_at=st.integers(0, 20),
    content=contents,
)
facts = st.builds(
    Fact,
    kind=st.sampled_from(["outcome", "violation", "escalated", "rating"]),
    source=texts,
    value=json_values | st.sampled_from(["success", "failed"]),
    created_at=st.integers(0, 5),
)


@given(
    st.lists(spans(), min_size=1, max_size=8),
    st.lists(events, max_size=4),
    st.lists(facts, max_size=3),
    st.randoms(),
)
def test_order_and_repetition_change_nothing(
    some_spans: list[Span], some_events: list[LogEvent], some_facts: list[Fact], chance: random.Random
) -> None:
    def shuffled(items: list[Any]) -> list[Any]:
        again = items + [item for item in items if chance.random() < 0.5]
        chance.shuffle(again)
        return again

    once = summarise(some_spans, some_events, some_facts)
    again = summarise(shuffled(some_spans), shuffled(some_events), shuffled(some_facts))
    assert msgspec.json.encode(once) == msgspec.json.encode(again)
    assert conversation(attach_events(some_spans, some_events)) == conversation(
        attach_events(shuffled(some_spans), shuffled(some_events))
    )


@given(st.lists(spans(), min_size=1, max_size=8))
def test_no_more_is_counted_than_there_is(some: list[Span]) -> None:
    found = summarise(some, [], [])
    known = {span.span_id for span in some}
    assert found.span_count == len(known)
    assert found.llm_calls + found.embeddings <= len({span.span_id for span in some if span.calls_model})
    assert len(found.tool_calls) <= len(known)
    assert found.llm_errors <= found.llm_calls
    for reason in found.uncounted.values():
        assert reason in {"sums its children", "calls no model"} or bytes.fromhex(reason) in known


def test_captures_that_came_shuffled_and_twice_say_the_same() -> None:
    for name in NAMES:
        some_spans, some_events, _ = read_capture(name)
        chance = random.Random(5)
        again = some_spans * 2
        chance.shuffle(again)
        assert summarise(again, some_events[::-1] * 2, []) == summarise(some_spans, some_events, [])
