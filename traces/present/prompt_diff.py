"""What changed in a model call's prompt since the call before it: messages added, removed, changed, word by word."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal

import msgspec

from traces.present.messages import Bubble, message_view
from traces.present.text import Budget, Piece, line, pieces
from traces.present.values import call_text, text_of
from traces.present.waterfall import label_of
from traces.present.words import counted
from traces.vocabulary import Json, Message, Part, Role, Span

# difflib is quadratic at worst: longer sequences are compared in coarser parts, then taken as replaced.
_MOST_COMPARED: Final = 1500
_MOST_PAIRS: Final = 60_000  # of equal elements, which is what one pass of difflib looks at
_MOST_DRAWN: Final = 60  # messages that changed, were added or removed
_UNCHANGED_SHOWN: Final = 160  # characters of unchanged text beside a change

_WORD: Final = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_ROLES: Final[dict[Role, str]] = {
    "system": "System",
    "developer": "Developer",
    "user": "User",
    "assistant": "Model",
    "tool": "Tool result",
}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A message that stands in both prompts with another text: what went and what came."""

    role: Role
    who: str
    text: list[Piece]
    word: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of the comparison: `same` counts unchanged messages; the others have one message each."""

    kind: Literal["same", "added", "removed", "changed"]
    word: str = ""
    bubble: Bubble | None = None
    changed: Changed | None = None


class PromptDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt of a call against that of the call before it."""

    span_id: str
    name: list[Piece]
    before_id: str
    before_name: list[Piece]
    word: str
    system_changed: bool
    model: list[Piece]  # what changed of the model that was asked; empty: nothing
    tools_added: list[Piece]
    tools_removed: list[Piece]
    steps: list[Step]
    more: int  # further changes, only in the raw spans


def previous_call(spans: Sequence[Span], span: Span) -> Span | None:
    """The model call with a visible prompt that started last before this one, in the same trace; one under the same
    parent is preferred, for an agent's calls follow one another there. None: there is none, or this span shows no
    prompt.
    """
    if not span.content.input or span.kind != "llm":
        return None
    at = (span.started_at, span.span_id)
    before = [
        other
        for other in spans
        if other.kind == "llm"
        and other.content.input
        and (other.started_at, other.span_id) < at
        # A call seen twice stands inside its other half: comparing the two says nothing.
        and other.span_id != span.parent_span_id
    ]
    beside = [other for other in before if other.parent_span_id == span.parent_span_id]
    return max(beside or before, key=lambda other: (other.started_at, other.span_id), default=None)


def prompt_diff(spans: Sequence[Span], span: Span, budget: Budget) -> PromptDiff | None:
    """The comparison of this span's prompt with that of `previous_call`; None when there is nothing to compare."""
    before = previous_call(spans, span)
    if before is None:
        return None
    old, new = before.content.input or [], span.content.input or []
    steps = list(_steps(old, new, budget))
    drawn = [step for step in steps if step.kind != "same"]
    kept = steps if len(drawn) <= _MOST_DRAWN else steps[: steps.index(drawn[_MOST_DRAWN])]
    counts = {kind: sum(1 for step in drawn if step.kind == kind) for kind in ("added", "removed", "changed")}
    said = [f"{counted(count, 'message')} {kind}" for kind, count in counts.items() if count]
    was, now = _tools(before), _tools(span)
    asked = (before.model_asked or before.model_answered, span.model_asked or span.model_answered)
    return PromptDiff(
        span_id=span.span_id.hex(),
        name=line(label_of(span), 120),
        before_id=before.span_id.hex(),
        before_name=line(label_of(before), 120),
        word=", ".join(said) or "the same prompt",
        system_changed=_instructions(old) != _instructions(new),
        model=line(f"{asked[0] or 'none'} before, {asked[1] or 'none'} now", 200)
        if asked[0] != asked[1]
        else [],
        tools_added=line(", ".join(sorted(now - was)), 400) if now - was else [],
        tools_removed=line(", ".join(sorted(was - now)), 400) if was - now else [],
        steps=kept,
        more=max(len(drawn) - _MOST_DRAWN, 0),
    )


def words_diff(old: str, new: str) -> list[Piece]:
    """Two texts as one: what both have is plain, with long stretches left out; the rest is removed or added. Every
    word of a change is there. Work is bounded: what is too long to compare by words is compared by lines, and past
    that taken as replaced.
    """
    for unit in (_WORD, _LINE):
        before, after = unit.findall(old), unit.findall(new)
        start, end = _ends(before, after)
        one, other = before[start : len(before) - end], after[start : len(after) - end]
        if _comparable(one, other):
            break
    else:
        start, end = _ends(old, new)
        one, other = [old[start : len(old) - end]], [new[start : len(new) - end]]
        before = [old[:start], *one, old[len(old) - end :]] if end else [old[:start], *one]
        start, end = 1, 1 if end else 0
    found: list[Piece] = _unchanged("".join(before[:start]), first=True)
    for kind, low, high, from_, to in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            found += _unchanged("".join(one[low:high]))
            continue
        found += _as("removed", "".join(one[low:high])) + _as("added", "".join(other[from_:to]))
    return found + _unchanged("".join(before[len(before) - end :]) if end else "", last=True)


def _as(kind: Literal["removed", "added"], text: str) -> list[Piece]:
    return [
        Piece(kind if piece.kind == "plain" else piece.kind, piece.text, piece.title)
        for piece in pieces(text)
    ]


def _unchanged(text: str, *, first: bool = False, last: bool = False) -> list[Piece]:
    """Plain text, its middle (or its far end) left out and counted when it is long."""
    if len(text) <= 3 * _UNCHANGED_SHOWN:
        return pieces(text)
    head = "" if first else text[:_UNCHANGED_SHOWN]
    tail = "" if last else text[-_UNCHANGED_SHOWN:]
    left_out = len(text) - len(head) - len(tail)
    return [*pieces(head), Piece("plain", f" … {left_out:,} characters unchanged … "), *pieces(tail)]


def _ends(before: Sequence[object], after: Sequence[object]) -> tuple[int, int]:
    """How many elements both begin with, and how many of the rest both end with."""
    shorter = min(len(before), len(after))
    start = next((index for index in range(shorter) if before[index] != after[index]), shorter)
    rest = shorter - start
    end = next((index for index in range(rest) if before[-1 - index] != after[-1 - index]), rest)
    return start, end


def _comparable(before: Sequence[object], after: Sequence[object]) -> bool:
    if max(len(before), len(after)) > _MOST_COMPARED:
        return False
    one, other = Counter(before), Counter(after)
    return sum(count * other[element] for element, count in one.items()) <= _MOST_PAIRS


def _steps(old: Sequence[Message], new: Sequence[Message], budget: Budget) -> Iterator[Step]:
    before, after = [_said(message) for message in old], [_said(message) for message in new]
    start, end = _ends(before, after)
    if start:
        yield _same(start)
    one, other = before[start : len(before) - end], after[start : len(after) - end]
    if not _comparable(one, other):
        codes = [("replace", 0, len(one), 0, len(other))]
    else:
        codes = list(SequenceMatcher(None, one, other, autojunk=False).get_opcodes())
    for kind, low, high, from_, to in codes:
        if kind == "equal":
            yield _same(high - low)
            continue
        yield from _replaced(old[start + low : start + high], new[start + from_ : start + to], budget)
    if end:
        yield _same(end)


def _same(count: int) -> Step:
    return Step(kind="same", word=f"{counted(count, 'message')} unchanged")


def _replaced(old: Sequence[Message], new: Sequence[Message], budget: Budget) -> Iterator[Step]:
    """Messages of the same role, in order, are the same message with another text; the others went or came."""
    at = 0
    for message in old:
        match = next(
            (index for index in range(at, min(len(new), at + 50)) if new[index].role == message.role), None
        )
        if match is None:
            yield Step(kind="removed", bubble=message_view(message, budget))
            continue
        for added in new[at:match]:
            yield Step(kind="added", bubble=message_view(added, budget))
        yield Step(kind="changed", changed=_changed(message, new[match], budget))
        at = match + 1
    for added in new[at:]:
        yield Step(kind="added", bubble=message_view(added, budget))


def _changed(old: Message, new: Message, budget: Budget) -> Changed:
    before, after = _text(old), _text(new)
    granted = budget.take(len(before) + len(after))
    whole = granted == len(before) + len(after)
    return Changed(
        role=new.role,
        who=_ROLES[new.role],
        text=words_diff(before, after) if whole else [],
        word=f"{len(before):,} characters before, {len(after):,} now"
        + ("" if whole else "; too long to draw here"),
    )


def _said(message: Message) -> tuple[str, str]:
    return message.role, _text(message)


def _text(message: Message) -> str:
    return "\n".join(_part(part) for part in message.parts)


def _part(part: Part) -> str:
    if part.type == "tool_call":
        return call_text(part.tool_name or "(no name)", part.arguments)
    if part.type == "tool_result":
        return text_of(part.result if part.result is not None else part.text or "")
    return part.text if part.text is not None else text_of(part.media or "")


def _instructions(messages: Sequence[Message]) -> list[str]:
    return [_text(message) for message in messages if message.role in {"system", "developer"}]


def _tools(span: Span) -> set[str]:
    return {
        name for name in (_name(definition) for definition in span.content.tool_definitions or ()) if name
    }


def _name(definition: Json) -> str:
    inner = definition.get("function") if isinstance(definition, dict) else None
    held = inner if isinstance(inner, dict) else definition
    name = held.get("name") if isinstance(held, dict) else None
    return name if isinstance(name, str) else ""
