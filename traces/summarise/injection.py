"""Signs of injection in untrusted text: a tool's result or a retrieved document that speaks to the model.

Deterministic, and a sign only: what rewrites itself leaves none. Patterns need the model as the one who is spoken to or
its instructions as what is spoken of, for people write "please ignore the previous email" every day. They run in RE2:
linear, whatever the text. Decision 041 says what is looked for and what is not.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import re2

from traces.summarise.injection_patterns import NAMED, STRONG, WEAK
from traces.vocabulary import Json, Span, Violation

__all__ = ["Sign", "injection_signs", "keyed_signs", "passage_key", "signs_of", "texts_of", "untrusted_texts"]

RULE: Final = "injection_sign"
# What is looked at of one text, and of one trace, in characters; what is told of one trace.
MOST_OF_A_TEXT: Final = 100_000
MOST_OF_A_TRACE: Final = 500_000
MOST_SIGNS: Final = 20
_MOST_NODES: Final = 2000
_EXCERPT: Final = 160
# How far from a weak sign the model must be named.
_NEAR: Final = 200


class Sign(msgspec.Struct, frozen=True, order=True):
    """A stretch [start, end) of a text, in characters, and what it does."""

    start: int
    end: int
    what: str


_NAMED: Final = re2.compile(f"(?i){NAMED}")


def _compiled(patterns: Sequence[tuple[str, str]]) -> tuple[tuple[str, "re2._Regexp[str]"], ...]:
    return tuple((what, re2.compile(f"(?i){pattern}")) for what, pattern in patterns)


_STRONG_ONES, _WEAK_ONES = _compiled(STRONG), _compiled(WEAK)
# One pass says of nearly every text that there is nothing.
_SCREEN: Final = re2.compile("(?i)" + "|".join(pattern for _, pattern in (*STRONG, *WEAK)))

# Each alternative holds one run, so the search is linear. Tags after a black flag are a flag; a single joiner or
# variation selector is an emoji's; a mark at the start of a text is a byte order mark.
_TAGS: Final = re.compile("(\U0001f3f4?)([\U000e0020-\U000e007f]+)")
_OVERRIDE: Final = re.compile("[\u202d\u202e]+")
_ZERO_WIDTH: Final = "\u180e\u200b-\u200d\u2060-\u2064\ufeff"
_RUN: Final = re.compile(f"[{_ZERO_WIDTH}]{{4,}}|[\ufe00-\ufe0f]{{3,}}|[\U000e0100-\U000e01ef]{{3,}}")
_SPLIT: Final = re.compile(f"(?<=[A-Za-z])[{_ZERO_WIDTH}](?=[A-Za-z])")
_LONGEST_FLAG: Final = 7
_MOST_SPLITS, _SPLITS_WITHIN = 3, 64

_HIDES_TAGS: Final = "hides text in characters that draw nothing"
_TURNS: Final = "turns the direction of text by force"
_HIDES: Final = "hides characters of no width"


def signs_of(text: str) -> list[Sign]:
    """The signs in a text, in order, none inside another; at most `MOST_SIGNS`. Reads `MOST_OF_A_TEXT` characters."""
    text = text[:MOST_OF_A_TEXT]
    found = [] if text.isascii() else list(_hidden(text))
    with suppress(UnicodeError, re2.error):  # a lone surrogate; ingest leaves none
        found += _spoken(text)
    kept: list[Sign] = []
    for sign in sorted(found, key=lambda one: (one.start, -one.end, one.what)):
        if not kept or sign.start >= kept[-1].end:
            kept.append(sign)
    return kept[:MOST_SIGNS]


def _spoken(text: str) -> Iterator[Sign]:
    if _SCREEN.search(text) is None:
        return
    for what, pattern in _STRONG_ONES:
        for found in pattern.finditer(text):
            yield Sign(found.start(), found.end(), what)
    for what, pattern in _WEAK_ONES:
        for found in pattern.finditer(text):
            start, end = found.start(), found.end()
            if _NAMED.search(text[max(0, start - _NEAR) : end + _NEAR]):
                yield Sign(start, end, what)


def _hidden(text: str) -> Iterator[Sign]:
    for found in _TAGS.finditer(text):
        if not found[1] or len(found[2]) > _LONGEST_FLAG:
            yield Sign(found.start(2), found.end(2), _HIDES_TAGS)
    for pattern, what in ((_OVERRIDE, _TURNS), (_RUN, _HIDES)):
        for found in pattern.finditer(text):
            yield Sign(found.start(), found.end(), what)
    places = [found.start() for found in _SPLIT.finditer(text)]
    for first, last in zip(places, places[_MOST_SPLITS - 1 :], strict=False):
        if last - first <= _SPLITS_WITHIN:
            yield Sign(first, last + 1, _HIDES)


def injection_signs(spans: Sequence[Span]) -> list[Violation]:
    """The signs in the untrusted text of a trace, each once and where it is first shown, at most `MOST_SIGNS`. Its
    detail names the field and the characters. `spans` in their fixed order.
    """
    return [violation for violation, _ in keyed_signs(spans)]


def passage_key(what: str, passage: str) -> str:
    """What one sign is known by, wherever in a trace its words stand."""
    return hashlib.sha256(f"{what}\0{passage[:_EXCERPT]}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def keyed_signs(spans: Sequence[Span]) -> list[tuple[Violation, str]]:
    """The same with each sign's key."""
    found: list[tuple[Violation, str]] = []
    told: set[tuple[str, str]] = set()
    left = MOST_OF_A_TRACE
    for span, field, text in untrusted_texts(spans):
        if left <= 0 or len(found) >= MOST_SIGNS:
            break
        left -= len(text)
        for sign in signs_of(text):
            excerpt = text[sign.start : sign.end][:_EXCERPT]
            if (sign.what, excerpt) in told:
                continue
            told.add((sign.what, excerpt))
            detail = _detail(field, sign, excerpt)
            violation = Violation(rule=RULE, span_id=span.span_id.hex(), detail=detail)
            found.append((violation, passage_key(sign.what, excerpt)))
    return found[:MOST_SIGNS]


def _detail(field: str, sign: Sign, excerpt: str) -> str:
    said = "".join(_as_tagged(character) for character in excerpt)
    return f"{field} {sign.what}, characters {sign.start} to {sign.end}: \u201c{said}\u201d"


def _as_tagged(character: str) -> str:
    """A tag character as the letter that a model reads in it."""
    return chr(ord(character) - 0xE0000) if 0xE0020 <= ord(character) <= 0xE007E else character


def untrusted_texts(spans: Sequence[Span]) -> Iterator[tuple[Span, str, str]]:
    """(span, field, text): documents and results where they came from, then results that only a call's input shows."""
    for span in spans:
        for n, document in enumerate(span.content.documents or ()):
            if document.content:
                yield span, f"document {document.id or n + 1}", document.content
        if span.kind == "tool" and span.content.result is not None:
            for path, text in texts_of(span.content.result):
                yield span, f"result{path}", text
    for span in spans:
        for n, message in enumerate(span.content.input or ()):
            for part in message.parts:
                if part.type == "tool_result" and part.result is not None:
                    for path, text in texts_of(part.result):
                        yield span, f"input {n + 1}, result{path}", text
                elif message.role == "tool" and part.text:
                    yield span, f"input {n + 1}", part.text


def texts_of(value: Json) -> Iterator[tuple[str, str]]:
    """(path, text) of each text in a JSON value, at most so many values."""
    pending: list[tuple[str, Json]] = [("", value)]
    for _ in range(_MOST_NODES):
        if not pending:
            return
        path, one = pending.pop()
        if isinstance(one, str):
            yield path, one
        elif isinstance(one, dict):
            pending += reversed([(f"{path}.{str(key)[:40]}", inner) for key, inner in one.items()])
        elif isinstance(one, list):
            pending += reversed([(f"{path}[{n}]", inner) for n, inner in enumerate(one)])
