"""Taint: text that first came from an untrusted source and turns up in the arguments of a later tool call.

Decision 030 is the definition. A tool's result and a retrieved document are untrusted; the system, the developer and
the user are trusted; the model is neither. A value of a call's arguments is tainted when it is distinctive and the
first text of the trace that holds it is untrusted. Compared are words, without case, white space and punctuation
between them. Work is linear in the text and bounded: what was not looked at is counted and said.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec

from traces.present.taint_values import Allowance, Candidate, Marks, candidates, flat, words_of
from traces.summarise.conversation import Turn
from traces.vocabulary import Json, Span

__all__ = ["Marks", "Place", "Sink", "Taint", "TaintedValue", "find_taint"]

# Limits of one page: characters read, look-ups made, words of arguments, places named for one value.
MOST_CHARACTERS: Final = 1_500_000
MOST_LOOKUPS: Final = 400_000
MOST_ARGUMENT_WORDS: Final = 25_000
MOST_PLACES: Final = 12
_MOST_TEXTS: Final = 200  # that are remembered to hold one value, the earliest

Origin = Literal["trusted", "untrusted", "model"]
_ORIGIN: Final[dict[str, Origin]] = {
    "system": "trusted",
    "developer": "trusted",
    "user": "trusted",
    "model": "model",
    "untrusted": "untrusted",
}
_SPEAKERS: Final = {"system": "the system prompt", "developer": "the developer", "user": "the user"}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A text of the trace: the turn of the conversation that it is, and what it is called."""

    turn: int
    span_id: str
    what: str  # "tool result", "document"
    name: str  # of the tool or the document; stored text


class TaintedValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a call's arguments that untrusted text said first (`sources`), or that a trusted text said before
    any untrusted one did (`said_first`: by whom; it is not tainted, only told).
    """

    path: str  # of the argument, as in `lines[0].sku`; stored text
    value: str  # as the argument has it; stored text
    sources: list[Place]
    more_sources: int
    said_first: str = ""
    said_later: str = ""  # the trusted text that repeats a tainted value before the call


class Sink(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call with values from untrusted text. `turn` is where the model asked for it, None: nothing shows."""

    span_id: str
    tool: str
    turn: int | None
    values: list[TaintedValue]


class Taint(msgspec.Struct, frozen=True, kw_only=True):
    """All taint of a trace. `unread` characters of text and `unread_words` of arguments were not looked at."""

    sinks: list[Sink]
    spared: dict[str, list[TaintedValue]]  # by span: what untrusted text holds but a trusted one said first
    marks_of_turn: dict[int, Marks]
    marks_of_span: dict[str, Marks]
    sources: dict[int, list[tuple[Sink, TaintedValue]]]  # by the turn that says it first or again
    unread: int
    unread_words: int

    def of_span(self, span_id: str) -> Sink | None:
        """The call that this span runs, when its arguments are tainted."""
        return next((sink for sink in self.sinks if sink.span_id == span_id), None)


class _Text(msgspec.Struct, frozen=True):
    turn: int  # -1: no turn of the conversation
    at: int
    origin: Origin
    speaker: str
    text: str
    place: Place | None


class _Call(msgspec.Struct, frozen=True):
    span_id: str
    tool: str
    turn: int | None
    at: int
    candidates: list[Candidate]


def find_taint(turns: Sequence[Turn], spans: Sequence[Span], uncounted: Collection[str] = ()) -> Taint:
    """The taint of a trace: `turns` is its conversation, `spans` all its spans, `uncounted` those (hex) that repeat
    another.
    """
    words = Allowance(MOST_ARGUMENT_WORDS)
    tools = [span for span in spans if span.kind == "tool" and span.span_id.hex() not in uncounted]
    calls = _calls(turns, tools, words)
    keys = {candidate.key for call in calls for candidate in call.candidates}
    if not keys:
        return Taint(
            sinks=[],
            spared={},
            marks_of_turn={},
            marks_of_span={},
            sources={},
            unread=0,
            unread_words=words.refused,
        )
    texts = list(_texts(turns, tools, spans))
    found, unread = _occurrences(texts, keys)
    return _judged(calls, texts, found, unread, words.refused)


# --- the calls -------------------------------------------------------------------------------------------


def _calls(turns: Sequence[Turn], tools: Sequence[Span], allowance: Allowance) -> list[_Call]:
    """Each call once: as the span that ran it, with the turn that asked for it, else as that turn alone."""
    by_id: defaultdict[str, list[int]] = defaultdict(list)
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    asked: dict[tuple[int, str], tuple[str, Json]] = {}
    nameless: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for index, turn in enumerate(turns):
        for number, part in enumerate(turn.parts):
            if part.type == "tool_call":
                name = part.tool_call_id or f"#{number}"
                asked[index, name] = (part.tool_name or "", part.arguments)
                by_id[name].append(index)
                by_name[part.tool_name or ""].append(index)
                nameless[index, part.tool_name or ""].append(name)
    calls: list[_Call] = []
    for span in tools:
        at = _asking(turns, by_id.get(span.tool_call_id or "", []), span.started_at)
        if at is not None:
            asked.pop((at, span.tool_call_id or ""), None)
        else:
            # Without an ID of its own: the latest turn that asked for this tool, each request taken once.
            at = _asking(turns, by_name.get(span.tool_name or "", []), span.started_at)
            waiting = [] if at is None else nameless[at, span.tool_name or ""]
            if at is not None and waiting:
                asked.pop((at, waiting.pop(0)), None)
        arguments = span.content.arguments
        if arguments is not None:
            tool = span.tool_name or span.name
            calls.append(
                _Call(span.span_id.hex(), tool, at, span.started_at, candidates(arguments, allowance))
            )
    for (at, _), (tool, arguments) in asked.items():
        turn = turns[at]
        calls.append(_Call(turn.span_id, tool, at, turn.at, candidates(arguments, allowance)))
    return calls


def _asking(turns: Sequence[Turn], indexes: Sequence[int], at: int) -> int | None:
    """The latest of these turns that was said by then; the first one when clocks disagree."""
    said = [index for index in indexes[-64:] if turns[index].at <= at]
    return said[-1] if said else (indexes[0] if indexes else None)


# --- who said them ---------------------------------------------------------------------------------------


def _texts(turns: Sequence[Turn], tools: Sequence[Span], spans: Sequence[Span]) -> Iterator[_Text]:
    """Every text of the trace in the order in which it was said; what was asked of the agent and what its tools are
    declared to take come first, as trusted.
    """
    for text, speaker in _beforehand(spans):
        yield _Text(-1, 0, "trusted", speaker, text, None)
    names = {span.tool_call_id: span.tool_name for span in tools if span.tool_call_id}
    names |= {
        part.tool_call_id: part.tool_name
        for turn in turns
        for part in turn.parts
        if part.tool_call_id and part.tool_name
    }
    ended: defaultdict[str, list[int]] = defaultdict(list)
    for span in sorted(tools, key=lambda span: span.ended_at):
        if span.tool_call_id:
            ended[span.tool_call_id].append(span.ended_at)
    for index, turn in enumerate(turns):
        origin = _ORIGIN[turn.trust]
        for document in turn.documents:
            place = Place(
                turn=index, span_id=turn.span_id, what="document", name=document.id or "without an ID"
            )
            text = "\n".join([document.id or "", document.content or "", flat(document.metadata)])
            yield _Text(index, turn.at, "untrusted", "", text, place)
        for part in turn.parts:
            if part.type == "tool_result":
                known = ended.get(part.tool_call_id or "", [])
                before = bisect_right(known, turn.at)
                at = known[before - 1] if before else turn.at
                name = part.tool_name or names.get(part.tool_call_id or "") or ""
                place = Place(turn=index, span_id=turn.span_id, what="tool result", name=name)
                text = flat(part.result if part.result is not None else part.text)
                yield _Text(index, at, "untrusted", "", text, place)
            elif part.type == "tool_call":
                yield _Text(index, turn.at, "model", "", flat(part.arguments), None)
            elif part.text:
                speaker = _SPEAKERS.get(turn.trust, "")
                place = Place(turn=index, span_id=turn.span_id, what="untrusted text", name="")
                yield _Text(index, turn.at, origin, speaker, part.text, place)


def _beforehand(spans: Sequence[Span]) -> Iterator[tuple[str, str]]:
    ids = {span.span_id for span in spans}
    for span in spans:
        if (
            span.content.input_text
            and span.kind in {"agent", "chain", "other"}
            and span.parent_span_id not in ids
        ):
            yield span.content.input_text, "the user"
    seen: set[str] = set()
    for span in spans:
        for definition in span.content.tool_definitions or ():
            text = flat(definition)
            if text not in seen and len(seen) < 200:
                seen.add(text)
                yield text, "a tool's declaration"


def _occurrences(texts: Sequence[_Text], keys: set[str]) -> tuple[dict[str, list[int]], int]:
    """For each key the texts (by index) that hold it, in order; and how many characters were not looked at."""
    single = {key for key in keys if " " not in key}
    # Longer keys by their first two words: of ordinary text few pairs of words begin one.
    begins: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for key in keys - single:
        first, second, *rest = key.split(" ")
        begins[first, second].add(2 + len(rest))
    found: defaultdict[str, list[int]] = defaultdict(list)
    left, lookups, unread = MOST_CHARACTERS, MOST_LOOKUPS, 0
    for index, one in enumerate(texts):
        text = one.text[:left]
        left -= len(text)
        unread += len(one.text) - len(text)
        if not text or lookups <= 0:
            unread += len(text)
            continue
        words = words_of(text)
        here = single.intersection(words)
        if not begins.keys().isdisjoint(pairwise(words)):
            for at, pair in enumerate(pairwise(words)):
                if pair not in begins:
                    continue
                for length in begins[pair]:
                    lookups -= 1
                    key = " ".join(words[at : at + length])
                    if key in keys:
                        here.add(key)
                if lookups <= 0:
                    unread += len(text) * (len(words) - at) // len(words)
                    break
        for key in here:
            if len(found[key]) < _MOST_TEXTS:
                found[key].append(index)
    return found, unread


# --- what it means ---------------------------------------------------------------------------------------


def _judged(
    calls: Sequence[_Call],
    texts: Sequence[_Text],
    found: Mapping[str, list[int]],
    unread: int,
    unread_words: int,
) -> Taint:
    sinks: list[Sink] = []
    spared: defaultdict[str, list[TaintedValue]] = defaultdict(list)
    of_turn: defaultdict[int, set[str]] = defaultdict(set)
    of_span: defaultdict[str, set[str]] = defaultdict(set)
    sources: defaultdict[int, list[tuple[Sink, TaintedValue]]] = defaultdict(list)
    for call in calls:
        values: list[tuple[Candidate, TaintedValue]] = []
        keys: list[str] = []
        for candidate in _maximal(call.candidates, found):
            value = _value(candidate, call, [texts[index] for index in found[candidate.key]])
            if value is None:
                continue
            if value.said_first:
                spared[call.span_id].append(value)
                continue
            values.append((candidate, value))
            keys.append(candidate.key)
            for place in value.sources:
                of_turn[place.turn].add(candidate.key)
        if not values:
            continue
        sink = Sink(span_id=call.span_id, tool=call.tool, turn=call.turn, values=_merged(values))
        sinks.append(sink)
        of_span[call.span_id].update(keys)
        if call.turn is not None:
            of_turn[call.turn].update(keys)
        for value in sink.values:
            for place in value.sources:
                sources[place.turn].append((sink, value))
    return Taint(
        sinks=sinks,
        spared=dict(spared),
        marks_of_turn={turn: Marks(keys) for turn, keys in of_turn.items()},
        marks_of_span={span_id: Marks(keys) for span_id, keys in of_span.items()},
        sources=dict(sources),
        unread=unread,
        unread_words=unread_words,
    )


def _maximal(candidates: Sequence[Candidate], found: Mapping[str, list[int]]) -> list[Candidate]:
    """The candidates that some text holds, without those inside a longer one of the same argument that the same
    texts hold.
    """
    held = sorted(
        (candidate for candidate in candidates if candidate.key in found),
        key=lambda candidate: -len(candidate.key),
    )
    kept: list[Candidate] = []
    by_path: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in held:
        inside = any(
            other.start <= candidate.start
            and candidate.end <= other.end
            and found[candidate.key] == found[other.key]
            for other in by_path[candidate.path][:32]
        )
        if not inside:
            by_path[candidate.path].append(candidate)
            kept.append(candidate)
    order = {id(candidate): index for index, candidate in enumerate(candidates)}
    return sorted(kept, key=lambda candidate: order[id(candidate)])


def _value(candidate: Candidate, call: _Call, holders: Sequence[_Text]) -> TaintedValue | None:
    """What the texts that hold a value before the call say of it; None: no untrusted one does, or the model said it
    before.
    """
    before = [
        text for text in holders if (text.turn < call.turn if call.turn is not None else text.at <= call.at)
    ]
    untrusted = [text.place for text in before if text.origin == "untrusted" and text.place]
    if not untrusted or before[0].origin == "model":
        return None
    places = list(dict.fromkeys(untrusted))
    trusted = next((text.speaker for text in before if text.origin == "trusted"), "")
    first = before[0].origin == "trusted"
    return TaintedValue(
        path=candidate.path,
        value=candidate.text[candidate.start : candidate.end],
        sources=places[:MOST_PLACES],
        more_sources=max(len(places) - MOST_PLACES, 0),
        said_first=trusted if first else "",
        said_later="" if first else trusted,
    )


def _merged(values: Sequence[tuple[Candidate, TaintedValue]]) -> list[TaintedValue]:
    """Overlapping phrases of one argument from the same places as one value."""
    found: list[tuple[Candidate, TaintedValue]] = []
    for candidate, value in sorted(values, key=lambda pair: (pair[0].path, pair[0].start)):
        if found:
            last, known = found[-1]
            if (
                last.path == candidate.path
                and candidate.start <= last.end
                and (known.sources, known.said_later) == (value.sources, value.said_later)
            ):
                whole = msgspec.structs.replace(last, end=max(last.end, candidate.end))
                found[-1] = (whole, known)
                continue
        found.append((candidate, value))
    return [
        msgspec.structs.replace(value, value=candidate.text[candidate.start : candidate.end])
        for candidate, value in found
    ]
