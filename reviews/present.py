"""A request as its reviewer reads it: what the user said and saw, the rest folded where it happened. No Django.

Nothing here says which model answered, which span a text is of, or what came of the request: the reviewer is blind.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from reviews.formatted import Inside, formatted
from traces.present.messages import TURNS, Bubble, DocumentView, PartView, conversation_view
from traces.present.text import Budget, Shown
from traces.present.words import counted
from traces.summarise import conversation
from traces.summarise.conversation import Turn
from traces.vocabulary import Part, Span

__all__ = ["Entry", "Line", "Talk", "talk"]

# Characters of stored text that a page draws at most, and that it reads as markup.
_CHARACTERS: Final = 250_000
_FORMATTED: Final = 40_000
_MOST_TURNS: Final = 400
# What is no longer than this stands open in full: a reviewer reads all of an answer.
_OPEN: Final = 12_000

# system: instructions; earlier: said before this request; said: by user or agent; done: what happened in between.
Kind = Literal["system", "earlier", "said", "done"]
_SEEN: Final = frozenset({"text", "media", "other"})


class Line(msgspec.Struct, frozen=True):
    """A part of what was said; `inside` is the part as elements, None where it is shown raw."""

    part: PartView
    inside: Inside | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A message, or a fold: the bubbles of what happened between two messages, called `words`."""

    bubble: Bubble | None = None
    who: str = ""
    lines: list[Line] = []
    folded: list[Bubble] = []
    words: str = ""


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A request's conversation. `left_out`: so many turns more are too many for a page."""

    system: list[Bubble]
    earlier: list[Entry]
    entries: list[Entry]
    documents: list[DocumentView]
    tools: int
    left_out: int


def talk(spans: Sequence[Span], before: Sequence[Sequence[Span]], *, markup: bool) -> Talk:
    """The conversation of a request by its spans, and of the `before`, earlier requests of its session, the oldest
    first. `markup`: what was said as lists, tables and emphasis, as far as it is short enough.
    """
    turns = conversation(spans)
    kinds = _kinds(turns[:_MOST_TURNS])
    budget, left = Budget(_CHARACTERS), [_FORMATTED if markup else 0]
    split = list(_split(turns[:_MOST_TURNS], kinds))
    bubbles = _bubbles([turn for _, turn in split], spans, budget)
    shown = [(kind, turn, bubble) for (kind, turn), bubble in zip(split, bubbles, strict=True)]
    earlier = [one for one in shown if one[0] == "earlier"]
    past = [] if earlier else [one for old in before for one in _said_of(old, budget)]
    documents = [paper for kind, _, bubble in shown for paper in bubble.documents]
    return Talk(
        system=[bubble for kind, _, bubble in shown if kind == "system"],
        earlier=list(_entries(earlier or past, left)),
        entries=list(_entries([one for one in shown if one[0] in ("said", "done")], left)),
        documents=documents,
        tools=sum(part.type == "tool_call" for turn in turns for part in turn.parts)
        or sum(part.type == "tool_result" for turn in turns for part in turn.parts),
        left_out=max(len(turns) - _MOST_TURNS, 0),
    )


_Shown = tuple[Kind, Turn, Bubble]


def _kinds(turns: Sequence[Turn]) -> list[Kind]:
    """What each turn is to a reader. The first call carries the session's history: what stands before its last
    message of the user was said earlier. Of several answers in a row the last is what the user saw.
    """
    first = next((turn for turn in turns if turn.role == "user"), None)
    asked = [
        place
        for place, turn in enumerate(turns)
        if first is not None and _is_of_user(turn) and (turn.span_id, turn.at) == (first.span_id, first.at)
    ]
    history = asked[-1] if asked else 0
    kinds: list[Kind] = []
    for place, turn in enumerate(turns):
        if turn.role in ("system", "developer"):
            kinds.append("system")
        elif place < history and turn.role != "document":
            kinds.append("earlier")
        else:
            kinds.append("said" if turn.role in ("user", "assistant") else "done")
    answered = False  # whether a later answer stands before the next message of the user
    for place in range(len(turns) - 1, -1, -1):
        if _is_of_user(turns[place]):
            answered = False
        elif kinds[place] == "said" and turns[place].role == "assistant" and _says(turns[place]):
            kinds[place] = "done" if answered else "said"
            answered = True
    return kinds


def _is_of_user(turn: Turn) -> bool:
    return turn.role == "user" and _says(turn)


def _says(turn: Turn) -> bool:
    return any(
        (part.type in _SEEN and (part.text or "").strip()) or part.type == "media" for part in turn.parts
    )


def _split(turns: Sequence[Turn], kinds: Sequence[Kind]) -> Iterator[tuple[Kind, Turn]]:
    """A message that says something and also asks for tools, or brings their results, is two."""
    for turn, kind in zip(turns, kinds, strict=True):
        seen = [part for part in turn.parts if part.type in _SEEN]
        unseen = [part for part in turn.parts if part.type not in _SEEN]
        anonymous = msgspec.structs.replace(turn, model=None)
        if kind not in ("said", "earlier") or not unseen:
            yield kind, anonymous
            continue
        after = [(kind, _only(anonymous, seen))] if seen else []
        inner: tuple[Kind, Turn] = ("done" if kind == "said" else kind, _only(anonymous, unseen))
        # Results come before what is said of them, calls after it.
        yield from [inner, *after] if turn.role == "user" else [*after, inner]


def _only(turn: Turn, parts: list[Part]) -> Turn:
    trust = {"user": "user", "assistant": "model"}.get(turn.role, turn.trust)
    if any(part.type == "tool_result" for part in parts):
        trust = "untrusted"
    return msgspec.structs.replace(turn, parts=parts, trust=trust)


def _bubbles(turns: Sequence[Turn], spans: Iterable[Span], budget: Budget) -> list[Bubble]:
    found: list[Bubble] = []
    for first in range(0, len(turns), TURNS):
        found += conversation_view(turns, spans, budget, first).bubbles
    # Without its number a bubble has no anchor: two conversations stand on the page.
    return [msgspec.structs.replace(bubble, number=-1) for bubble in found]


def _said_of(spans: Sequence[Span], budget: Budget) -> list[_Shown]:
    """What was said in an earlier request of the session, without what happened in between."""
    turns = conversation(spans)[:_MOST_TURNS]
    split = [one for one in _split(turns, _kinds(turns)) if one[0] == "said"]
    bubbles = _bubbles([turn for _, turn in split], spans, budget)
    return [(kind, turn, bubble) for (kind, turn), bubble in zip(split, bubbles, strict=True)]


def _entries(shown: Sequence[_Shown], left: list[int]) -> Iterator[Entry]:
    folded: list[Bubble] = []
    begun = False
    for kind, turn, bubble in shown:
        if kind == "done" or not _says(turn) or bubble.trust not in ("user", "model"):
            folded.append(bubble)
            continue
        # What was looked up before the first call shows the question was looked up for it: it stands below.
        if folded and (begun or bubble.trust != "user"):
            yield Entry(folded=folded, words=_words(folded))
            folded = []
        begun = True
        yield Entry(
            bubble=bubble,
            who="User" if bubble.trust == "user" else "Agent",
            lines=[
                Line(_opened(view), _inside(part, view, left))
                for part, view in zip(turn.parts, bubble.parts, strict=False)
            ],
        )
    if folded:
        yield Entry(folded=folded, words=_words(folded))


def _words(folded: Sequence[Bubble]) -> str:
    documents = sum(len(bubble.documents) for bubble in folded)
    results = sum(bubble.who == "Tool result" for bubble in folded)
    calls = sum(any(note.startswith("asks for") for note in bubble.notes) for bubble in folded)
    drafts = len(folded) - results - calls - sum(bool(bubble.documents) for bubble in folded)
    counts = (("document", documents), ("tool call", calls), ("tool result", results), ("step", drafts))
    return ", ".join(counted(count, word) for word, count in counts if count > 0) or "a step"


def _opened(view: PartView) -> PartView:
    text = view.text
    if not text.rest or sum(len(piece.text) for piece in text.lead) + text.rest_characters > _OPEN:
        return view
    whole = Shown([*text.lead, *text.rest], [], text.size, left_out=text.left_out, cut_from=text.cut_from)
    return msgspec.structs.replace(view, text=whole)


def _inside(part: Part, view: PartView, left: list[int]) -> Inside | None:
    """The part as elements, as long as the page has time for it."""
    if part.type != "text" or view.mono or not part.text or len(part.text) > left[0]:
        return None
    left[0] -= len(part.text)
    return formatted(part.text)
