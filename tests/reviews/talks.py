"""Requests with conversations to read: real spans of last week, settled."""

from typing import Any

from features.models import Feature
from reviews.weeks import bounds
from tests.reviews.support import Desk, last_week
from tests.traces.settled import new_span, new_trace_id, settle, store
from traces.vocabulary import Claims, Content, Document, Message, Part, Span

NS = 10**9
ASKED = "I was charged twice for my subscription, can you check?"
ANSWERED = "I see two charges. The second is being returned; you will have it within five days."
SYSTEM = "You are the billing agent of a shop that does not exist."
PAPER = "A charge that was made twice is returned within five days."


def said(role: str, text: str) -> Message:
    return Message(role=role, parts=[Part(type="text", text=text)])  # type: ignore[arg-type]


def talk_spans(
    at: int,
    asked: str = ASKED,
    answered: str = ANSWERED,
    history: list[Message] | None = None,
    session: str | None = None,
    paper: str = PAPER,
    model: str = "secret-model-9",
    variant: str = "canary",
) -> list[Span]:
    """One request: a root, a retrieval, a tool that is called and answers, and what the model said at last."""
    trace_id = new_trace_id()
    asks = Message(
        role="assistant",
        parts=[
            Part(type="tool_call", tool_call_id="t1", tool_name="list_charges", arguments={"order": "A-1"})
        ],
    )
    gets = Message(
        role="tool",
        parts=[Part(type="tool_result", tool_call_id="t1", tool_name="list_charges", result={"charges": 2})],
    )
    before = [said("system", SYSTEM), *(history or []), said("user", asked)]

    def span(n: int, **changed: Any) -> Span:
        return new_span(trace_id, n, started_at=at + n * NS, ended_at=at + n * NS + NS // 2, **changed)

    return [
        span(1, kind="agent", name="handle", claims=Claims(session_id=session, variant=variant)),
        span(2, kind="retriever", content=Content(documents=[Document(id="kb-7", content=paper)])),
        span(
            3,
            kind="llm",
            calls_model=True,
            model_answered=model,
            content=Content(input=before, output=[asks]),
        ),
        span(
            4,
            kind="tool",
            tool_name="list_charges",
            tool_call_id="t1",
            content=Content(arguments={"order": "A-1"}, result={"charges": 2}),
        ),
        span(
            5,
            kind="llm",
            calls_model=True,
            model_answered=model,
            content=Content(input=[*before, asks, gets], output=[said("assistant", answered)]),
        ),
    ]


def put_talks(feature: Feature, count: int, week: str = "", **said_in: Any) -> list[bytes]:
    """Store requests of the week and wait until they are settled, by whomever."""
    start, _ = bounds(week or last_week(), "UTC")
    first = int(start.timestamp()) * NS + 3600 * NS
    made = []
    for n in range(count):
        spans = talk_spans(first + n * 600 * NS, **said_in)
        store(feature, *spans)
        made.append(spans[0].trace_id)
    settle(feature)
    return made


def talking(count: int, **said_in: Any) -> Desk:
    """A feature whose requests of last week can be read."""
    desk = Desk(0)
    desk.traces += put_talks(desk.feature, count, **said_in)
    return desk
