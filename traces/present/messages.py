"""Messages and their parts as a page shows them: who speaks, whether the text is trusted, what is folded."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from traces.present.signs import Signs, leaves_of
from traces.present.taint import Taint
from traces.present.taint_values import Marks
from traces.present.taint_view import Repeated, TaintedCall, TurnAddress, repeated_by, tainted_call
from traces.present.text import Budget, Piece, Shown, line, shown
from traces.present.values import call_text, text_of
from traces.present.words import counted, number, size
from traces.summarise.conversation import Trust, Turn
from traces.vocabulary import Document, Message, Part, Role, Span

TURNS: Final = 40  # at once
_MOST_PARTS: Final = 40  # of one message
_LEAD: Final = 1200  # characters of a part that stand open

_WHO: Final[dict[Trust, str]] = {
    "system": "System",
    "developer": "Developer",
    "user": "User",
    "model": "Model",
    "untrusted": "Untrusted text",
}
_TRUST_OF: Final[dict[Role, Trust]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "model",
    "tool": "untrusted",
}
_TRUST_NOTES: Final[dict[Trust, str]] = {
    "system": "trusted",
    "developer": "trusted",
    "untrusted": "untrusted",
}


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message. `mono`: a call, a result or other data, drawn as code; `label` says what it is."""

    text: Shown
    call: list[Piece] = []  # what a result answers, where nothing else says it
    label: str = ""
    mono: bool = False
    failed: bool = False


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """A retrieved document; `id` empty when the emitter showed none; `score` empty when it has none."""

    id: list[Piece]
    score: str
    text: Shown
    about: list[Piece]  # its metadata on one line
    span_id: str


class Bubble(msgspec.Struct, frozen=True, kw_only=True):
    """One message: `trust` picks its colour, `who` and `notes` say the same in words."""

    trust: Trust
    who: str
    name: list[Piece]  # of the tool or the model that answered
    notes: list[str]
    failed: bool
    signs_word: str  # how many stretches are marked as signs of injection; empty: none
    hides: bool  # some of its text is hidden or turns its direction
    parts: list[PartView]
    documents: list[DocumentView]
    span_id: str
    number: int = -1  # of the turn, in the conversation; -1: stands elsewhere
    calls: list[TaintedCall] = []  # which of its tool calls repeat untrusted text
    repeated: list[Repeated] = []  # which later calls repeat this text


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """The window of turns that starts at turn `first` (counted from 1); `earlier` and `later` are offsets."""

    bubbles: list[Bubble]
    total: int
    first: int
    last: int
    earlier: int | None
    later: int | None


def conversation_view(
    turns: Sequence[Turn],
    spans: Iterable[Span],
    budget: Budget,
    first: int = 0,
    taint: Taint | None = None,
    address: TurnAddress | None = None,
    signs: Signs | None = None,
) -> Conversation:
    """The turns from offset `first` as bubbles; the tool spans say which calls failed and what they were. `taint` is
    the trace's, `address` where another turn is found, `signs` marks what is a sign of injection.
    """
    calls = _calls(turns, spans)
    first = window_of(len(turns), first)
    window = turns[first : first + TURNS]
    bubbles = []
    for place, turn in enumerate(window, first):
        marks = taint.marks_of_turn.get(place) if taint else None
        bubble = msgspec.structs.replace(_turn(turn, calls, budget, marks, signs), number=place)
        if marks and taint and address:
            bubble = msgspec.structs.replace(
                bubble,
                calls=[tainted_call(sink, address) for sink in taint.sinks if sink.turn == place],
                repeated=repeated_by(taint, place),
            )
        bubbles.append(bubble)
    return Conversation(
        bubbles=bubbles,
        total=len(turns),
        first=first + 1 if window else 0,
        last=first + len(window),
        earlier=max(first - TURNS, 0) if first else None,
        later=first + TURNS if first + TURNS < len(turns) else None,
    )


def window_of(turns: int, first: int) -> int:
    """The offset of the window that is shown when `first` is asked for."""
    return min(first, max(turns - 1, 0) // TURNS * TURNS)


def message_view(message: Message, budget: Budget, signs: Signs | None = None) -> Bubble:
    """A message of one model call, for the panel of its span."""
    untrusted = any(part.type == "tool_result" for part in message.parts)
    trust: Trust = "untrusted" if untrusted else _TRUST_OF[message.role]
    return _bubble(trust, message.parts, [], "", [], budget, signs=signs)


def document_view(
    document: Document,
    span_id: str,
    budget: Budget,
    marks: Marks | None = None,
    signs: Signs | None = None,
) -> DocumentView:
    """A document with its text's start; a missing ID stays empty and is said on the page."""
    metadata: Mapping[str, object] = document.metadata or {}
    about = ", ".join(f"{name}: {text_of(value)}" for name, value in metadata.items())
    return DocumentView(
        id=line(document.id, 200) if document.id else [],
        score="" if document.score is None else number(document.score),
        text=shown(
            document.content or "",
            lead=400,
            budget=budget,
            cut_from=document.cut_from,
            marks=marks,
            signs=signs,
        ),
        about=line(about, 200) if about else [],
        span_id=span_id,
    )


def part_view(part: Part, budget: Budget, marks: Marks | None = None, signs: Signs | None = None) -> PartView:
    """A part by its type; nothing of it is lost, what is long is folded. `signs` where it is untrusted."""
    match part.type:
        case "text":
            text = text_of(part.text or "")
            return PartView(
                text=shown(text, lead=_LEAD, budget=budget, cut_from=part.cut_from, marks=marks, signs=signs),
                mono=text != part.text,
            )
        case "reasoning":
            text = part.text or ""
            return PartView(
                text=shown(text, lead=400, budget=budget, cut_from=part.cut_from), label="reasoning"
            )
        case "tool_call":
            text = call_text(part.tool_name or "(no name)", part.arguments)
        case "tool_result":
            return _result(part, budget, marks, signs)
        case "media":
            return PartView(text=shown(_media(part), budget=budget), label="media, not kept")
        case "other":
            text = text_of(part.text if part.text is not None else part.result)
    return PartView(
        text=shown(text, lead=_LEAD, budget=budget, cut_from=part.cut_from, marks=marks), mono=True
    )


def _result(part: Part, budget: Budget, marks: Marks | None, signs: Signs | None) -> PartView:
    result = part.result if part.result is not None else part.text
    asked = part.arguments is not None
    return PartView(
        text=shown(
            text_of(result) if result is not None else "",
            lead=_LEAD,
            budget=budget,
            cut_from=part.cut_from,
            marks=marks,
            signs=signs,
            leaves=leaves_of(result) if signs else None,
        ),
        call=line(call_text(part.tool_name or "(no name)", part.arguments), 200) if asked else [],
        label="" if result is not None else "no result is visible",
        mono=True,
    )


def _media(part: Part) -> str:
    media = part.media or {}
    known = [str(media[name]) for name in ("mime_type",) if media.get(name)]
    count = media.get("bytes")
    if isinstance(count, int):
        known.append(size(count))
    if media.get("sha256"):
        known.append(f"SHA-256 {media['sha256']}")
    return ", ".join(known) or "of an unknown type"


class _Calls(msgspec.Struct, frozen=True):
    """What the trace knows of its tool calls, by call ID and by span ID (hex)."""

    names: dict[str, str]
    failed: set[str]
    failed_spans: set[str]


def _calls(turns: Sequence[Turn], spans: Iterable[Span]) -> _Calls:
    names = {
        part.tool_call_id: part.tool_name
        for turn in turns
        for part in turn.parts
        if part.tool_call_id and part.tool_name
    }
    tools = [span for span in spans if span.kind == "tool"]
    names |= {span.tool_call_id: span.tool_name for span in tools if span.tool_call_id and span.tool_name}
    wrong = [span for span in tools if span.status == "error"]
    # Some agents count their calls anew in each turn: an ID that also names a good run says nothing.
    well = {span.tool_call_id for span in tools if span.status == "ok"}
    return _Calls(
        names,
        {span.tool_call_id for span in wrong if span.tool_call_id and span.tool_call_id not in well},
        {span.span_id.hex() for span in wrong},
    )


def _turn(turn: Turn, calls: _Calls, budget: Budget, marks: Marks | None, signs: Signs | None) -> Bubble:
    results = [part for part in turn.parts if part.type == "tool_result"]
    called = [part.tool_name or calls.names.get(part.tool_call_id or "") for part in results]
    about = [name for name in called if name] or [turn.model or ""]
    bubble = _bubble(turn.trust, turn.parts, turn.documents, turn.span_id, about, budget, marks, signs)
    if len(results) == 1:
        wrong = results[0].tool_call_id in calls.failed or turn.span_id in calls.failed_spans
        return msgspec.structs.replace(bubble, failed=wrong)
    # Several results in one message: each says itself what it answers and whether that failed.
    views = [
        msgspec.structs.replace(
            view,
            call=view.call or line(calls.names.get(part.tool_call_id or "", ""), 80),
            failed=part.tool_call_id in calls.failed,
        )
        if part.type == "tool_result"
        else view
        for view, part in zip(bubble.parts, turn.parts, strict=False)
    ]
    return msgspec.structs.replace(bubble, parts=views)


def _bubble(
    trust: Trust,
    parts: Sequence[Part],
    documents: Sequence[Document],
    span_id: str,
    about: Sequence[str],
    budget: Budget,
    marks: Marks | None = None,
    signs: Signs | None = None,
) -> Bubble:
    signs = signs if trust == "untrusted" else None
    views = [part_view(part, budget, marks, signs) for part in parts[:_MOST_PARTS]]
    papers = [document_view(document, span_id, budget, marks, signs) for document in documents[:_MOST_PARTS]]
    results = sum(1 for part in parts if part.type == "tool_result")
    calls = sum(1 for part in parts if part.type == "tool_call")
    who, notes = _WHO[trust], [_TRUST_NOTES.get(trust, "")]
    if trust == "untrusted":
        who = "Retrieved documents" if documents else "Tool result" if results else who
    if calls:
        notes.append(f"asks for {counted(calls, 'tool')}")
    if len(parts) > _MOST_PARTS:
        notes.append(f"{counted(len(parts) - _MOST_PARTS, 'more part')} in the raw span")
    if len(documents) > _MOST_PARTS:
        notes.append(f"{counted(len(documents) - _MOST_PARTS, 'more document')} in the raw span")
    texts = [view.text for view in views] + [paper.text for paper in papers]
    signs_seen = sum(text.signs for text in texts)
    return Bubble(
        trust=trust,
        who=who,
        name=line(", ".join(dict.fromkeys(name for name in about if name)), 80),
        notes=[note for note in notes if note],
        failed=False,
        signs_word=counted(signs_seen, "sign of injection", "signs of injection") if signs_seen else "",
        hides=any(piece.kind == "hidden" for text in texts for piece in [*text.lead, *text.rest]),
        parts=views,
        documents=papers,
        span_id=span_id,
    )
