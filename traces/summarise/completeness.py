"""The six fields that a request must show (clause 2.1 of the pack), each with the span that shows it or why
not.
"""

from collections.abc import Callable, Iterable, Sequence

from traces.normalise.values import plain_text
from traces.summarise.calls import Call
from traces.vocabulary import Completeness, Content, FieldEvidence, Message, Part, Span

_NO_CONTENT = "switch on the capture of message content in the agent's instrumentation"


def completeness_of(
    spans: Sequence[Span],
    calls: Sequence[Call],
    tools: Sequence[Span],
    loose: Sequence[Content],
    final_output: str | None,
    final_span: Span | None,
) -> Completeness:
    """`calls` are the counted calls, `tools` the counted tool spans; `loose` is what log events without a
    span say.
    """
    chats = [call.span for call in calls if call.span.kind == "llm"]
    return Completeness(
        prompt=_prompt(spans, chats, loose),
        system_prompt=_system_prompt(spans, chats, loose),
        retrieved_docs=_documents(spans),
        tool_calls=_tool_calls(chats, tools),
        model=_model(chats),
        final_output=_final_output(final_output, final_span),
    )


def _present(span: Span | None, content: Content | None = None) -> FieldEvidence:
    cut = content is not None and content.cut
    return FieldEvidence(
        state="present",
        span_id=span.span_id.hex() if span else None,
        why="shown, though cut for its size" if cut else None,
    )


def _missing(why: str, span: Span | None = None) -> FieldEvidence:
    return FieldEvidence(state="missing", span_id=span.span_id.hex() if span else None, why=why)


def _not_applicable(why: str) -> FieldEvidence:
    return FieldEvidence(state="not_applicable", why=why)


def _has_text(message: Message) -> bool:
    return any(part.text or part.media for part in message.parts)


def _showing(spans: Iterable[Span], wanted: Callable[[Message], bool]) -> Span | None:
    return next(
        (span for span in spans if any(wanted(message) for message in span.content.input or ())), None
    )


def _prompt(spans: Sequence[Span], chats: Sequence[Span], loose: Sequence[Content]) -> FieldEvidence:
    def asks(message: Message) -> bool:
        return message.role == "user" and _has_text(message)

    rest = [span for span in spans if span.kind != "embedding"]
    if shown := _showing(chats, asks) or _showing(rest, asks):
        return _present(shown, shown.content)
    texts = (span for span in rest if span.kind not in {"tool", "retriever"} and span.content.input_text)
    if shown := next(texts, None):
        return _present(shown, shown.content)
    if any(asks(message) for content in loose for message in content.input or ()):
        return _present(None)
    return _missing(
        f"no span or log event shows a user's message: {_NO_CONTENT}", chats[0] if chats else None
    )


def _system_prompt(spans: Sequence[Span], chats: Sequence[Span], loose: Sequence[Content]) -> FieldEvidence:
    def instructs(message: Message) -> bool:
        return message.role in {"system", "developer"} and _has_text(message)

    if shown := _showing(chats, instructs) or _showing(spans, instructs):
        return _present(shown, shown.content)
    if any(instructs(message) for content in loose for message in content.input or ()):
        return _present(None)
    if not chats:
        return _not_applicable("no model was called")
    why = (
        "the model calls show messages, but no system message among them"
        if any(span.content.input for span in chats)
        else f"no model call shows its messages: {_NO_CONTENT}"
    )
    return _missing(why, chats[0])


def _documents(spans: Sequence[Span]) -> FieldEvidence:
    shown: Span | None = None
    for span in spans:
        documents = span.content.documents
        if span.kind == "retriever" and documents is None:
            return _missing(f"the retrieval '{span.name}' shows no documents", span)
        for n, document in enumerate(documents or (), 1):
            if not document.id:
                why = f"document {n} of {len(documents or ())} from '{span.name}' shows no ID and no source"
                return _missing(why, span)
        shown = shown or (span if documents else None)
    return _present(shown, shown.content) if shown else _not_applicable("nothing was retrieved")


def _asked(chats: Sequence[Span]) -> list[tuple[Span, Part]]:
    return [
        (span, part)
        for span in chats
        for message in span.content.output or ()
        for part in message.parts
        if part.type == "tool_call"
    ]


def _finished_for_a_tool(span: Span) -> bool:
    reasons = span.attributes.get("gen_ai.response.finish_reasons", span.attributes.get("llm.finish_reason"))
    return any(
        "tool" in (plain_text(reason) or "")
        for reason in (reasons if isinstance(reasons, list) else [reasons])
    )


def _tool_calls(chats: Sequence[Span], tools: Sequence[Span]) -> FieldEvidence:
    """Each tool call that a model asked for must be visible with its arguments, as a span or in the
    messages.
    """
    asked = _asked(chats)
    shown = {span.tool_call_id for span in tools if span.content.arguments is not None and span.tool_call_id}
    named = [span.tool_name for span in tools if span.content.arguments is not None]
    for span, part in asked:
        if part.arguments is None and part.tool_call_id not in shown and part.tool_name not in named:
            return _missing(f"the call of '{part.tool_name or 'a tool'}' shows no arguments", span)
    for span in tools:
        asked_for = any(
            part.arguments is not None
            and (
                part.tool_call_id == span.tool_call_id
                if part.tool_call_id and span.tool_call_id
                else part.tool_name == span.tool_name
            )
            for _, part in asked
        )
        if span.content.arguments is None and not asked_for:
            return _missing(f"the run of '{span.tool_name}' shows no arguments", span)
    hidden = [span for span in chats if not span.content.output and _finished_for_a_tool(span)]
    if hidden and not named:
        return _missing(f"a model asked for a tool, but its call is not shown: {_NO_CONTENT}", hidden[0])
    if asked:
        return _present(asked[0][0], asked[0][0].content)
    return _present(tools[0], tools[0].content) if tools else _not_applicable("no tool call was asked for")


def _model(chats: Sequence[Span]) -> FieldEvidence:
    if not chats:
        return _not_applicable("no model was called")
    for span in chats:
        if not (span.model_answered or span.model_asked):
            return _missing(f"the call '{span.name}' names no model", span)
    return _present(chats[0])


def _final_output(text: str | None, span: Span | None) -> FieldEvidence:
    if text:
        return _present(span, span.content if span else None)
    return _missing(f"no span or log event shows what was answered: {_NO_CONTENT}")
