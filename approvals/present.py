"""Proposed arguments as a person may decide on them: exactly what was sent, with everything marked that looks like
something else. Pure: stored text becomes pieces, never markup.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from traces.present.taint_values import Marks
from traces.present.text import Piece, code_point, line, marked, shown

__all__ = [
    "Argument",
    "Arguments",
    "arguments_view",
    "duration_words",
    "left_words",
    "money",
    "text_view",
    "title_of",
]

_LINES: Final = 5
_LEAD: Final = 400  # characters: about five lines of the page
_SPARE: Final = 60  # a fold that would hold less is none
_ROWS: Final = 40
_ROOM: Final = 10**9
_MOST_MARKS: Final = 400
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
# Letters of other alphabets that are drawn as Latin ones (Unicode TR 39, the common part of its table).
_TWINS: Final = frozenset("асеорхуіјѕһԁԛԝүвкмнтАВЕКМНОРСТХУІЈЅԌԚԜαοριυνκτγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
_OTHER_ALPHABETS: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET")
_WORD: Final = re.compile(r"\w+")


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One value: `lead` at once, `rest` folded with its size; `logical` is the text in the order it is stored, where
    it is drawn in both directions.
    """

    name: list[Piece]
    lead: list[Piece]
    rest: list[Piece]
    kind: str  # empty for text; else "number", "true or false", "nothing", "empty text", "empty list" ...
    size: int  # bytes of UTF-8
    rest_characters: int
    logical: str
    tainted: bool


class Arguments(msgspec.Struct, frozen=True):
    """All of them, the first rows at once; `folds` is how many parts are folded."""

    rows: list[Argument]
    more: list[Argument]
    folds: int


def arguments_view(args: dict[str, Any], marks: Marks | None = None) -> Arguments:
    """The table of canonical arguments, nested ones by their path as in `lines[0].sku`."""
    rows = [
        text_view(text, name, kind, marks)
        for name, text, kind in _flat(args, "")
        if name or text  # no arguments at all: an empty table
    ]
    first, more = (rows, []) if len(rows) <= _ROWS else (rows[:_ROWS], rows[_ROWS:])
    return Arguments(first, more, sum(bool(row.rest) for row in rows) + bool(more))


def text_view(text: str, name: str = "", kind: str = "", marks: Marks | None = None) -> Argument:
    """One text, folded past five lines."""
    lead = _lead(text)
    folds = len(text) > lead + _SPARE or lead < _LEAD
    # Marks are longer than what they mark: what needs no fold gets room for them.
    view = shown(text, lead=lead if folds else _ROOM)
    count = [0]
    head, rest = _apart(view.lead, text, count), _apart(view.rest, text, count)
    return Argument(
        name=line(name, 200) if name else [],
        lead=marked(head, marks),
        rest=marked(rest, marks),
        kind=kind,
        size=view.size,
        rest_characters=view.rest_characters,
        logical=text[:2000] if _is_mixed(text) else "",
        tainted=bool(marks and marks.ranges(text)),
    )


def _lead(text: str) -> int:
    at = -1
    for _ in range(_LINES):
        at = text.find("\n", at + 1)
        if at < 0:
            return _LEAD
    return min(at, _LEAD) if len(text) > at + 1 else _LEAD


def _flat(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """(path, text, kind) of each leaf, in the order of the canonical form."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _flat(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for at, one in enumerate(value):
            yield from _flat(one, f"{path}[{at}]")
    elif isinstance(value, dict | list):
        yield path, "", ("an empty list" if isinstance(value, list) else "an empty object") if path else ""
    elif isinstance(value, bool):
        yield path, "true" if value else "false", "true or false"
    elif value is None:
        yield path, "", "nothing (null)"
    elif isinstance(value, str):
        yield path, value, "" if value else "an empty text"
    else:
        yield path, f"{value}", "number"


# --- what looks like something else ----------------------------------------------------------------------


def _apart(parts: list[Piece], whole: str, count: list[int]) -> list[Piece]:
    """Look-alikes of the plain parts as pieces of their own, with their code points."""
    if whole.isascii():
        return parts
    foreign = any(_alphabet(one) in _OTHER_ALPHABETS and one not in _TWINS for one in set(whole))
    found: list[Piece] = []
    for part in parts:
        if part.kind != "plain" or part.text.isascii():
            found.append(part)
            continue
        at = 0
        for place in sorted(_suspects(part.text, foreign)):
            count[0] += 1
            if count[0] > _MOST_MARKS:
                break
            found += [Piece("plain", part.text[at:place])] if place > at else []
            found.append(
                Piece("hidden", f"{part.text[place]} {code_point(part.text[place])}", "looks like another")
            )
            at = place + 1
        found += [Piece("plain", part.text[at:])] if at < len(part.text) else []
    return found


def _suspects(text: str, foreign: bool) -> set[int]:
    """Where a character stands that may be taken for an ASCII one. `foreign`: the text is written in an alphabet that
    has look-alikes, so that words of nothing else say nothing.
    """
    found = {at for at, one in enumerate(text) if not one.isascii() and _is_dressed(one)}
    for word in _WORD.finditer(text):
        if word[0].isascii():
            continue
        others = {at for at, one in enumerate(word[0], word.start()) if _alphabet(one) in _OTHER_ALPHABETS}
        letters = [one for one in word[0] if one.isalpha()]
        mixed = any(_alphabet(one) == "LATIN" for one in letters)
        twins = not foreign and all(one in _TWINS for one in letters)
        if others and (mixed or twins):
            found |= others
    return found


@lru_cache(maxsize=4096)
def _alphabet(character: str) -> str:
    return unicodedata.name(character, "").split(" ", 1)[0]


@lru_cache(maxsize=4096)
def _is_dressed(character: str) -> bool:
    """A digit of another script, or an ASCII character in another dress (Unicode NFKC): full width, bold, a space that
    does not break.
    """
    if unicodedata.category(character) == "Nd":
        return True
    plain = unicodedata.normalize("NFKC", character)
    return len(plain) == 1 and plain.isascii()


def _is_mixed(text: str) -> bool:
    """Whether it is drawn in both directions (Unicode TR 9)."""
    if text.isascii():
        return False
    classes = {unicodedata.bidirectional(one) for one in set(text)}
    turned = classes & {"R", "AL", "AN", "RLO", "RLE", "RLI"}
    return bool(turned and (classes & {"L", "EN", "AN"} or "RLO" in classes))


# --- the head --------------------------------------------------------------------------------------------


def money(millionths: int, currency: str) -> str:
    """`$180.00`, `CHF 12.50`; no currency: `180`. Exact to the millionth, never rounded."""
    whole, part = divmod(millionths, 10**6)
    digits = f"{part:06d}".rstrip("0")
    if currency:
        digits = digits.ljust(2, "0")
    number = f"{whole:,}" + (f".{digits}" if digits else "")
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{currency} {number}".strip()


def title_of(action: str) -> str:
    """`issue_refund` as a line begins: `Issue refund`. An agent may ask for whatever it names: what is hidden in a name
    is spelled.
    """
    shown_name = "".join(piece.text for piece in line(action, 80))
    words = re.sub(r"[_.:-]+", " ", shown_name).strip() or shown_name
    return words[:1].upper() + words[1:]


def duration_words(duration: str) -> str:
    """`10m` of a policy as `10 minutes`."""
    count, unit = duration[:-1], {"s": "second", "m": "minute", "h": "hour", "d": "day"}[duration[-1]]
    return f"{count} {unit}" + ("" if count == "1" else "s")


def left_words(seconds: float) -> str:
    """`19 min left`."""
    if seconds <= 0:
        return "no time left"
    if seconds < 60:
        return f"{seconds:.0f} s left"
    if seconds < 2 * 3600:
        return f"{seconds // 60:.0f} min left"
    return f"{seconds // 3600:.0f} h left" if seconds < 48 * 3600 else f"{seconds // 86400:.0f} days left"
