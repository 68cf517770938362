"""What a trace can be found by: the text of its search document and the exact lexemes beside it.

Pure, no Django. Both depend on the set of the inputs only: spans and facts come in their fixed order.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from traces.summarise.reading import Reading
from traces.terms import term
from traces.vocabulary import OWN_FACTS, Completeness, Content, Fact, Json, Message, Span, Summary

__all__ = ["SearchText", "search_text", "spoken"]

MOST_BYTES = 256 * 1024  # of a document, in UTF-8
_MOST_OF_A_PIECE = 64 * 1024  # characters: no one text takes the whole document
_MOST_ATTRIBUTES = 200
_LONGEST_ATTRIBUTE = 200  # characters; longer values are texts, not marks
_MOST_LEXEMES = 12_000
_MOST_DEPTH = 12
_SCALARS = (str, int, float, bool)


class SearchText(msgspec.Struct, frozen=True):
    """`document`: the words, each repeated text once, at most 256 KiB. `lexemes`: `=key:value`, sorted, each
    once.
    """

    document: str
    lexemes: list[str]


def search_text(reading: Reading, facts: Sequence[Fact], summary: Summary) -> SearchText:
    """What a settled trace can be found by."""
    return SearchText(_document(reading, facts, summary), _lexemes(reading, facts, summary))


def _document(reading: Reading, facts: Sequence[Fact], summary: Summary) -> str:
    pieces: dict[str, None] = {}
    left = MOST_BYTES
    for text in _texts(reading, facts, summary):
        piece = text[:_MOST_OF_A_PIECE].replace("\x00", "").strip()
        if not piece or piece in pieces:
            continue
        size = len(piece) + 1 if piece.isascii() else len(piece.encode("utf-8", "replace")) + 1
        if size > left:
            piece = piece.encode("utf-8", "replace")[: max(0, left - 1)].decode("utf-8", "ignore")
            pieces.setdefault(piece)
            break
        pieces[piece] = None
        left -= size
    return "\n".join(pieces)


def _texts(reading: Reading, facts: Sequence[Fact], summary: Summary) -> Iterator[str]:
    """Every text of the trace, what says most in the fewest words first."""
    for span in reading.spans:
        yield span.name
        if span.tool_name:
            yield span.tool_name
        yield span.status_message
    for fact in facts:
        if fact.kind in OWN_FACTS:
            continue
        if isinstance(fact.value, str):
            yield fact.value
        elif isinstance(fact.value, dict):
            yield from (value for value in fact.value.values() if isinstance(value, str))
    yield from (violation.detail or "" for violation in summary.violations)
    for span in reading.spans:
        yield from _of_content(span.content)
        for event in span.events:
            yield spoken(event.get("attributes"))
    for content in reading.loose:
        yield from _of_content(content)


def _of_content(content: Content) -> Iterator[str]:
    yield from _of_messages(content.input)
    yield from _of_text(content.input_text)
    if content.arguments is not None:
        yield spoken(content.arguments)
    if content.result is not None:
        yield spoken(content.result)
    for document in content.documents or ():
        yield document.content or ""
        yield document.id or ""
    yield from _of_messages(content.output)
    yield from _of_text(content.output_text)


def _of_messages(messages: Iterable[Message] | None) -> Iterator[str]:
    for message in messages or ():
        for part in message.parts:
            if part.text:
                yield part.text
            if part.tool_name:
                yield part.tool_name
            if part.arguments is not None:
                yield spoken(part.arguments)
            if part.result is not None:
                yield spoken(part.result)


def _of_text(text: str | None) -> Iterator[str]:
    """A text; where it is JSON, its values one by one, so that what the messages say already stands once."""
    if not text:
        return
    if text[0] in "{[":
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            yield text
            return
        yield from _leaves(value, 0)
    else:
        yield text


def _leaves(value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and depth < _MOST_DEPTH:
        for inner in value.values():
            yield from _leaves(inner, depth + 1)
    elif isinstance(value, list) and depth < _MOST_DEPTH:
        for inner in value:
            yield from _leaves(inner, depth + 1)
    elif isinstance(value, str):
        yield value
    elif value is not None:
        yield spoken(value)


def spoken(value: Json, depth: int = 0) -> str:
    """A JSON value as words: `order_id: A-1, amount: 50`, without the escapes that would glue words together."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict) and depth < _MOST_DEPTH:
        return ", ".join(f"{key}: {spoken(inner, depth + 1)}" for key, inner in value.items())
    if isinstance(value, list) and depth < _MOST_DEPTH:
        return ", ".join(spoken(inner, depth + 1) for inner in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def _lexemes(reading: Reading, facts: Sequence[Fact], summary: Summary) -> list[str]:
    found = {term(key, value) for key, value in _exact(reading, summary) if value}
    found.update(term("has", flag) for flag, holds in _flags(reading, facts, summary) if holds)
    found.update(term("decision", answer) for answer in _decided(facts))
    found.update(_attributes(reading.spans))
    for span in reading.spans:
        if len(found) >= _MOST_LEXEMES:
            break
        found.add(term("span", span.span_id.hex()))
    return sorted(found)


def _exact(reading: Reading, summary: Summary) -> Iterator[tuple[str, str | None]]:
    yield "status", summary.status
    yield "outcome", summary.outcome
    yield "variant", summary.variant
    yield "version", summary.feature_version
    yield "name", summary.name
    yield "user", summary.user_id
    yield "session", summary.session_id
    yield "request", summary.request_id
    yield "error", summary.error_signature
    yield "policy", str(summary.policy) if summary.policy is not None else None
    for name, value in summary.segments.items():
        yield f"segment.{name}", value
    for model in summary.models:
        yield "model", model
    for call in summary.tool_calls[:_MOST_LEXEMES]:
        yield "tool", call.name
        if call.status == "error":
            yield "tool_error", call.name
    for violation in summary.violations:
        yield "violation", violation.rule
    for document in summary.retrieved_ids[:1000]:
        yield "doc", document
    for kind in summary.redactions:
        yield "redaction", kind
    for field in missing_fields(summary):
        yield "missing", field


# As a search spells what was decided about an action.
_ANSWERS = {"allow": "allowed", "needs_approval": "asked", "deny": "denied"}


def _decided(facts: Sequence[Fact]) -> Iterator[str]:
    for fact in facts:
        if fact.kind == "decision" and isinstance(fact.value, dict):
            yield _ANSWERS.get(str(fact.value.get("answer")), "unknown")


def missing_fields(summary: Summary) -> list[str]:
    """The completeness fields that are missing."""
    found = summary.completeness
    return [name for name in Completeness.__struct_fields__ if getattr(found, name).state == "missing"]


def _flags(reading: Reading, facts: Sequence[Fact], summary: Summary) -> Iterator[tuple[str, bool]]:
    yield "violation", bool(summary.violations)
    yield "tool_error", summary.tool_errors > 0
    yield "llm_error", summary.llm_errors > 0
    yield "incomplete", bool(missing_fields(summary))
    yield "retry", summary.retries > 0
    yield "redaction", bool(summary.redactions)
    yield "unknown_cost", summary.unknown_cost_calls > 0
    yield "over_budget", summary.over_budget_calls > 0
    yield "conflict", reading.conflicting
    yield "feedback", any(fact.kind not in OWN_FACTS for fact in facts)
    yield "rating", any(fact.kind == "rating" for fact in facts)


def _attributes(spans: Sequence[Span]) -> set[str]:
    """The scalar attributes that no reader claimed, as `attr.<key>`: at most 200, the first in order."""
    found: set[str] = set()
    for span in spans:
        for key in sorted(span.attributes):
            value: Any = span.attributes[key]
            if isinstance(value, _SCALARS) and (text := spoken(value)) and len(text) <= _LONGEST_ATTRIBUTE:
                found.add(term(f"attr.{key}", text))
                if len(found) >= _MOST_ATTRIBUTES:
                    return found
    return found
