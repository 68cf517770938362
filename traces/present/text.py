"""Stored text as pieces that a page can show safely: plain text, characters that would hide, redaction
tokens.

Stored text is hostile. A right-to-left override can turn an amount round, a run of tag characters can carry
an instruction that only a model reads. So each character that draws nothing, or that changes how others are
drawn, becomes a piece of its own that names its code point (Unicode TR 36 and TR 9; the set is checked
against the Unicode database in the tests). Escaping stays the template's work: a piece is text, never markup.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from traces.present.signs import Passage, Signs
from traces.present.taint_values import Marks
from traces.redact.tokens import TOKEN_PATTERN, short

# Everything that is drawn as nothing or moves what stands beside it: C0 and C1 controls but tab and line
# feed, soft hyphen, joiners and fillers, bidirectional controls, line and paragraph separators, private use,
# non-characters, variation selectors, interlinear marks, music and shorthand controls, and the whole of plane
# 14 with its tags.
_HIDDEN_CLASS: Final = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U0001107f\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U0001fffe\U0001ffff\U000e0000-\U0010ffff"
)
# Tokens exactly as redact writes them: what redact escapes must not be drawn as a finding here. Every
# repetition in its pattern is bounded, so the search is linear.
_SPECIAL: Final = re.compile(rf"(?P<hidden>[{_HIDDEN_CLASS}]+)|(?P<token>{TOKEN_PATTERN.pattern})")
# Past this many marks in one text the rest is written into the text itself: nothing is hidden, and a megabyte
# of zero-width characters does not become a hundred thousand elements.
_MOST_MARKS: Final = 400
# A run of up to this many different characters is spelled out one by one.
_SPELLED_RUN: Final = 4

_NAMES: Final[dict[int, str]] = {
    0x00: "null",
    0x07: "bell",
    0x08: "backspace",
    0x0B: "vertical tab",
    0x0C: "form feed",
    0x0D: "carriage return",
    0x1B: "escape",
    0x7F: "delete",
    0x200B: "zero-width space",
    0x200C: "zero-width non-joiner",
    0x200D: "zero-width joiner",
    0x2060: "word joiner",
    0xFEFF: "zero-width no-break space",
}


class Piece(msgspec.Struct, frozen=True):
    """A stretch of text that is drawn in one way; `title` says more: a token in full, what a hidden run
    spells. A `mark` is a value that untrusted text said first. `sign`: it stands in a sign of injection.
    """

    kind: Literal["plain", "hidden", "token", "mark", "added", "removed"]
    text: str
    title: str = ""
    sign: Passage | None = None


class Shown(msgspec.Struct, frozen=True):
    """A text as it stands on a page: `lead` at once, `rest` folded, `left_out` characters only in the raw
    span.

    `size` is the stored text in bytes of UTF-8; `cut_from` its original size in bytes when ingest had to cut
    it.
    """

    lead: list[Piece]
    rest: list[Piece]
    size: int
    rest_characters: int = 0
    left_out: int = 0
    cut_from: int | None = None

    @property
    def signs(self) -> int:
        """How many stretches are marked as signs of injection."""
        return count_signs([*self.lead, *self.rest])


def count_signs(parts: Sequence[Piece]) -> int:
    """How many marked stretches the pieces hold; neighbours of one stretch count once."""
    return sum(
        1
        for before, piece in zip([None, *parts], parts, strict=False)
        if piece.sign is not None and (before is None or before.sign is not piece.sign)
    )


class Budget:
    """How many characters a page may still show in full; past it a text keeps its lead and says where the
    rest is.
    """

    def __init__(self, characters: int) -> None:
        self.left = characters

    def take(self, characters: int) -> int:
        """Grants at most what is left, and never less than nothing."""
        granted = max(0, min(characters, self.left))
        self.left -= granted
        return granted


def pieces(text: str) -> list[Piece]:
    """The text in pieces whose visible parts, in order, lose nothing that was stored. Linear in the text's
    length.
    """
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable() and "[" not in text:
        return [Piece("plain", text)] if text else []
    found: list[Piece] = []
    plain: list[str] = []
    at = 0
    marks = 0
    for match in _SPECIAL.finditer(text):
        start, end = match.span()
        hidden = match["hidden"] is not None
        if hidden and _belongs_to_emoji(text, start, end):
            continue
        plain.append(text[at:start])
        at = end
        marks += 1
        special = list(_hidden(match[0])) if hidden else [Piece("token", short(match[0]), match[0])]
        if marks > _MOST_MARKS:
            plain.extend(f"‹{piece.text}›" if piece.kind == "hidden" else piece.text for piece in special)
            continue
        _flush(plain, found)
        found.extend(special)
    plain.append(text[at:])
    _flush(plain, found)
    return found


def shown(
    text: str,
    *,
    lead: int = 1200,
    budget: Budget | None = None,
    cut_from: int | None = None,
    marks: Marks | None = None,
    signs: Signs | None = None,
    leaves: Sequence[str] | None = None,
) -> Shown:
    """The text with its first `lead` characters at once and the rest folded, as far as the page's budget
    goes; `marks` finds the values in it that are marked, `signs` the signs of injection in the `leaves` that it shows
    (in the text itself, where none are given).
    """
    text = text.replace("\r\n", "\n") if signs else text
    whole = with_signs(text, signs, [text] if leaves is None else leaves) if signs else pieces(text)
    first, rest = _split(whole, lead)
    rest_characters = sum(len(piece.text) for piece in rest)
    left_out = 0
    if budget is not None:
        budget.take(min(lead, len(text)))
        granted = budget.take(rest_characters)
        if granted < rest_characters:
            left_out = rest_characters
            if signs:
                signs.forget(piece.sign for piece in rest)
            rest, rest_characters = [], 0
    return Shown(
        lead=marked(first, marks),
        rest=marked(rest, marks),
        size=len(text.encode("utf-8", "surrogatepass")),
        rest_characters=rest_characters,
        left_out=left_out,
        cut_from=cut_from,
    )


def with_signs(text: str, signs: Signs, leaves: Sequence[str]) -> list[Piece]:
    """The text in pieces, those inside the signs of injection of its `leaves` marked."""
    found: list[Piece] = []
    at = 0
    for start, end, passage in signs.ranges(text, leaves):
        found += pieces(text[at:start])
        found += [msgspec.structs.replace(piece, sign=passage) for piece in pieces(text[start:end])]
        at = end
    return [*found, *pieces(text[at:])]


def marked(parts: list[Piece], marks: Marks | None) -> list[Piece]:
    """The pieces with the marked values in their plain text as pieces of their own."""
    if not marks:
        return parts
    found: list[Piece] = []
    for piece in parts:
        if piece.kind != "plain":
            known = piece.kind == "token" and marks.ranges(piece.title)
            found.append(msgspec.structs.replace(piece, kind="mark") if known else piece)
            continue
        at = 0
        for start, end in marks.ranges(piece.text):
            found += [Piece("plain", piece.text[at:start], sign=piece.sign)] if start > at else []
            found.append(Piece("mark", piece.text[start:end], sign=piece.sign))
            at = end
        found += [Piece("plain", piece.text[at:], sign=piece.sign)] if at < len(piece.text) else []
    return found


def line(text: str, limit: int = 160) -> list[Piece]:
    """The text's start on one line, with an ellipsis where it was longer; hidden characters and tokens are
    kept whole.
    """
    first, rest = _split(pieces(" ".join(text[: limit * 8].split(None))), limit)
    if rest or len(text) > limit * 8:
        first.append(Piece("plain", "…"))
    return first


def has_hidden(text: str) -> bool:
    """Whether some character of the text draws nothing or moves its neighbours."""
    return any(piece.kind == "hidden" for piece in pieces(text))


def code_point(character: str) -> str:
    """`U+202E right-to-left override`."""
    point = ord(character)
    return f"U+{point:04X} {_name(point, character)}"


def _name(point: int, character: str) -> str:
    if point in _NAMES:
        return _NAMES[point]
    if 0xE0020 <= point <= 0xE007E:
        return f"tag {chr(point - 0xE0000)}"
    name = unicodedata.name(character, "").lower()
    if name:
        return name
    match unicodedata.category(character):
        case "Cc":
            return "control character"
        case "Co":
            return "private use"
        case "Cs":
            return "surrogate"
        case _:
            return "not a character"


def _hidden(run: str) -> Iterator[Piece]:
    """One piece for each character of a short run; one piece for a long one, with what it spells in its
    title.
    """
    if len(run) <= _SPELLED_RUN:
        for character in run:
            yield Piece("hidden", code_point(character))
        return
    spelled = "".join(
        chr(ord(character) - 0xE0000) for character in run if 0xE0020 <= ord(character) <= 0xE007E
    )
    points = sorted(set(run))
    if len(points) == 1:
        yield Piece("hidden", f"{code_point(points[0])} x{len(run):,}")
        return
    names = ", ".join(code_point(character) for character in points[:6])
    more = f" and {len(points) - 6} more" if len(points) > 6 else ""
    if spelled:
        yield Piece(
            "hidden", f"{len(run):,} hidden characters that spell “{spelled[:400]}”", f"{names}{more}"
        )
    else:
        yield Piece("hidden", f"{len(run):,} hidden characters: {names}{more}")


def _belongs_to_emoji(text: str, start: int, end: int) -> bool:
    """A single emoji presentation selector, or a joiner between two pictures: ordinary writing, nothing is
    hidden.
    """
    if start == 0 or end - start > 2:
        return False
    before = text[start - 1]
    run = text[start:end]
    if run == "\ufe0f":
        return unicodedata.category(before) in {"So", "Sm", "Po", "Nd"}
    if run in {"\u200d", "\ufe0f\u200d"} and end < len(text):
        return unicodedata.category(before) in {"So", "Sk"} and unicodedata.category(text[end]) in {
            "So",
            "Sm",
        }
    return False


def _flush(plain: list[str], into: list[Piece]) -> None:
    joined = "".join(plain)
    plain.clear()
    if joined:
        into.append(Piece("plain", joined))


def _split(whole: list[Piece], characters: int) -> tuple[list[Piece], list[Piece]]:
    """Splits after about `characters`; only plain text is ever cut, at a space or line end where one
    is near.
    """
    used = 0
    for index, piece in enumerate(whole):
        if used + len(piece.text) <= characters:
            used += len(piece.text)
            continue
        if piece.kind != "plain":
            return whole[:index], whole[index:]
        at = characters - used
        near = max(piece.text.rfind("\n", 0, at), piece.text.rfind(" ", 0, at))
        if near > at - 80 and near > 0:
            at = near + 1
        head = [Piece("plain", piece.text[:at], sign=piece.sign)] if at else []
        return whole[:index] + head, [Piece("plain", piece.text[at:], sign=piece.sign), *whole[index + 1 :]]
    return list(whole), []
