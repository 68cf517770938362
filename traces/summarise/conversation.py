"""The conversation as the models saw it, over the whole trace, each message once, with whom each part came
from.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from traces.summarise.calls import count_calls, count_tools, encoded
from traces.summarise.forest import Forest, in_order
from traces.vocabulary import Document, Message, Part, Span

Trust = Literal["system", "developer", "user", "model", "untrusted"]
_TRUST: dict[str, Trust] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "model",
    "tool": "untrusted",
}


class Turn(msgspec.Struct, kw_only=True):
    """One message or one retrieval. Tool results and retrieved documents are untrusted: whoever wrote them
    may have written instructions into them.
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "document"]
    trust: Trust
    parts: list[Part]
    documents: list[Document] = []
    span_id: str
    at: int  # nanoseconds since the epoch
    model: str | None = None


def conversation(spans: Sequence[Span]) -> list[Turn]:
    """The turns in time order. The history that is carried from call to call is not repeated; a tool's result
    stands where its message does, or where its span ended when no message shows it. Spans with their log
    events attached.
    """
    forest = Forest(in_order(spans))
    calls = [call.span for call in count_calls(forest)[0] if call.span.kind == "llm"]
    tools, _ = count_tools(forest)
    shown = _shown_results(calls)
    steps: list[tuple[int, int, Span]] = [(span.started_at, 2, span) for span in calls]
    steps += [
        (span.ended_at, 0, span)
        for span in forest.spans
        if span.kind == "retriever" and span.content.documents
    ]
    steps += [(span.ended_at, 1, span) for span in tools if not _is_shown(span, shown)]
    turns: list[Turn] = []
    seen: Counter[bytes] = Counter()
    for at, _, span in sorted(steps, key=lambda step: (step[0], step[1], step[2].span_id)):
        if span.kind == "llm":
            turns += _turns_of_call(span, seen)
        elif span.kind == "tool":
            turns.append(_tool_turn(span, at))
        else:
            turns.append(
                Turn(
                    role="document",
                    trust="untrusted",
                    parts=[],
                    documents=span.content.documents or [],
                    span_id=span.span_id.hex(),
                    at=at,
                )
            )
    return turns if calls else [*_asked_and_answered(forest), *turns]


def _turns_of_call(span: Span, seen: Counter[bytes]) -> Iterator[Turn]:
    here: Counter[bytes] = Counter()
    for message in span.content.input or ():
        key = _key(message)
        here[key] += 1
        if here[key] > seen[key]:
            seen[key] = here[key]
            yield _turn(message, span, span.started_at)
    for message in span.content.output or ():
        seen[_key(message)] += 1
        yield _turn(message, span, span.ended_at)


def _turn(message: Message, span: Span, at: int) -> Turn:
    untrusted = any(part.type == "tool_result" for part in message.parts)
    return Turn(
        role=message.role,
        trust="untrusted" if untrusted else _TRUST[message.role],
        parts=message.parts,
        span_id=span.span_id.hex(),
        at=at,
        model=span.model_answered or span.model_asked if message.role == "assistant" else None,
    )


def _key(message: Message) -> bytes:
    """What makes a message the same one when the next call repeats it: the IDs of its tool calls and results
    where it has them, else who says what.
    """
    ids = [part.tool_call_id for part in message.parts if part.type in {"tool_call", "tool_result"}]
    if ids and all(ids):
        return encoded([message.role, ids])
    return encoded(
        [
            message.role,
            [
                (
                    part.text.strip()
                    if part.text
                    else [part.tool_name, part.arguments, part.result, part.media]
                )
                for part in message.parts
                if part.type != "reasoning"
            ],
        ]
    )


def _shown_results(calls: Sequence[Span]) -> tuple[set[str], set[bytes]]:
    ids: set[str] = set()
    results: set[bytes] = set()
    for span in calls:
        for message in span.content.input or ():
            for part in message.parts:
                if part.type == "tool_result":
                    ids |= {part.tool_call_id} if part.tool_call_id else set()
                    results.add(encoded(part.result))
    return ids, results


def _is_shown(span: Span, shown: tuple[set[str], set[bytes]]) -> bool:
    ids, results = shown
    return span.tool_call_id in ids or (
        span.content.result is not None and encoded(span.content.result) in results
    )


def _tool_turn(span: Span, at: int) -> Turn:
    result = span.content.result if span.content.result is not None else span.status_message or None
    part = Part(
        type="tool_result",
        tool_call_id=span.tool_call_id,
        tool_name=span.tool_name,
        arguments=span.content.arguments,
        result=result,
    )
    return Turn(role="tool", trust="untrusted", parts=[part], span_id=span.span_id.hex(), at=at)


def _asked_and_answered(forest: Forest) -> Iterator[Turn]:
    """Without a model call that is shown: what the outermost span was asked and answered."""
    for span in sorted(forest.spans, key=lambda span: (forest.depth(span), span.started_at, span.span_id)):
        content = span.content
        if span.kind in {"agent", "chain", "other", "llm"} and (content.input_text or content.output_text):
            for role, trust, text, at in (
                ("user", "user", content.input_text, span.started_at),
                ("assistant", "model", content.output_text, span.ended_at),
            ):
                if text:
                    part = Part(type="text", text=text)
                    yield Turn(role=role, trust=trust, parts=[part], span_id=span.span_id.hex(), at=at)  # type: ignore[arg-type]
            return
