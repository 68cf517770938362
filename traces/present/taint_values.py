"""Values by which texts are compared: runs of words that could hardly stand in two texts by chance (decision 030)."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from traces.vocabulary import Json

__all__ = ["Allowance", "Candidate", "Marks", "candidates", "flat", "words_of"]

_MOST_NODES: Final = 20_000  # of one JSON value
_SHINGLE: Final = 6  # words of a phrase inside a longer text
_LONGEST: Final = 12  # words of a value that is looked for as a whole
_LEAST: Final = 6  # characters of a distinctive value

# Scripts that write without spaces: each sign is a word by itself there, and weighs as much as three letters.
_SIGNS: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD: Final = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]+")
_SIGN: Final = re.compile(f"[{_SIGNS}]")
_CHUNK: Final = re.compile(r"\S+")
# Drawn as nothing: an attacker puts them inside a value so that it does not look the same.
_NOTHING: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_IDENTIFIER: Final = re.compile(r"[@:/\\._#]")
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")

# One plain word is a value only when it is none of those that every system uses for its states and choices.
_COMMON: Final = frozenset(
    """accepted accessories activated approved assigned automatic available business cancelled canceled category
    complete completed confirmed contact created critical customer default delivered delivery disabled document
    electronics email enabled escalated exchange expedited expired express failure finished high immediate important
    inactive information internal international invoice language message medium national normal notification order
    overnight partial payment pending personal possible premium previous priority processed processing product
    question received refunded rejected request required resolved response returned returns scheduled shipment
    shipped shipping standard successful successfully support technical unavailable undelivered unknown unresolved
    updated urgent warehouse wholesale""".split()
)


class Candidate(msgspec.Struct, frozen=True):
    """A value that is looked for. `path` names the argument, as in `lines[0].sku`; `key` is how it is compared."""

    path: str
    text: str  # the whole argument; the value stands in it from start to end
    start: int
    end: int
    key: str


class Marks:
    """Finds values in a displayed text: each is a run of words. Compare as `find_taint` does."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = frozenset(keys)
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for key in self._keys:
            words = key.split(" ")
            lengths[words[0]].add(len(words))
        self._lengths = {word: tuple(sorted(found)) for word, found in lengths.items()}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def ranges(self, text: str) -> list[tuple[int, int]]:
        """Where they stand, merged and in order."""
        if not self._keys:
            return []
        words = [(match.start(), match.end(), match[0].casefold()) for match in _WORD.finditer(text)]
        found: list[tuple[int, int]] = []
        for at, (start, _, word) in enumerate(words):
            for length in self._lengths.get(word, ()):
                run = words[at : at + length]
                if len(run) == length and " ".join(part[2] for part in run) in self._keys:
                    end = run[-1][1]
                    if found and start <= found[-1][1]:
                        found[-1] = (found[-1][0], max(found[-1][1], end))
                    else:
                        found.append((start, end))
        return found


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared: without case, punctuation and characters drawn as nothing."""
    text = text if text.isascii() else _NOTHING.sub("", text)
    return _WORD.findall(text.casefold())


class Allowance:
    """So much and no more; what is refused is counted."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.refused = 0

    def take(self, wanted: int) -> int:
        """Grants what is left."""
        granted = max(min(wanted, self.left), 0)
        self.left -= granted
        self.refused += wanted - granted
        return granted


def candidates(arguments: Json, allowance: Allowance) -> list[Candidate]:
    """The distinctive values of a call's arguments, as far as the allowance of words goes."""
    found: dict[tuple[str, str], Candidate] = {}
    for path, text in _leaves(arguments):
        words = [match.span() for match in _WORD.finditer(text)]
        words = words[: allowance.take(len(words))]
        folded = [text[start:end].casefold() for start, end in words]
        for first, last in _runs(text, words):
            start, end = words[first][0], words[last][1]
            key = " ".join(folded[first : last + 1])
            found.setdefault((path, key), Candidate(path, text, start, end, key))
    return list(found.values())


def _runs(text: str, words: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and last word of each distinctive value in an argument: all of it, the pieces between white space that
    look like names, numbers and addresses, and phrases of some words.
    """
    if not words:
        return
    starts = [start for start, _ in words]
    if len(words) <= _LONGEST and _is_value(text, words, whole=True):
        yield 0, len(words) - 1
    if len(words) == 1:
        return
    for chunk in _CHUNK.finditer(text):
        if chunk[0].isalpha():
            continue  # a plain word inside a longer text is no value
        first = bisect_right(starts, chunk.start() - 1)
        last = bisect_right(starts, chunk.end() - 1) - 1
        if first <= last < first + _LONGEST and _is_value(text, words[first : last + 1], whole=False):
            yield first, last
    least = _SHINGLE if _SIGN.search(text) else 4 * _SHINGLE
    for first in range(len(words) - _SHINGLE + 1):
        if words[first + _SHINGLE - 1][1] - words[first][0] >= least:
            yield first, first + _SHINGLE - 1


def _is_value(text: str, words: Sequence[tuple[int, int]], *, whole: bool) -> bool:
    """Whether a run of words could hardly stand in two texts by chance."""
    run = text[words[0][0] : words[-1][1]]
    parts = [text[start:end] for start, end in words]
    letters = sum(map(_weight, parts))
    if max(len(run), letters) < _LEAST or len(set("".join(parts))) < 2:
        return False
    if any(character.isdigit() for part in parts for character in part):
        return True
    if len(parts) == 1:
        return whole and letters >= 8 and run.casefold() not in _COMMON
    if _IDENTIFIER.search(run) and not run.replace("_", "").isalpha():
        return whole or len(run) >= 9
    return whole and letters >= 8 and not all(part.casefold() in _COMMON for part in parts)


def _weight(word: str) -> int:
    return 3 if _SIGN.match(word) else len(word)


def _leaves(value: Json) -> Iterator[tuple[str, str]]:
    """The strings and numbers of a JSON value with their paths, in order; bounded, without recursion."""
    waiting: list[tuple[str, Json]] = [("", value)]
    nodes = 0
    while waiting and nodes < _MOST_NODES:
        nodes += 1
        path, at = waiting.pop()
        if isinstance(at, str):
            yield path, at
        elif isinstance(at, dict):
            if len(path) < 400:
                inner = [(f"{path}.{name}" if path else str(name), one) for name, one in at.items()]
                waiting.extend(reversed(inner))
        elif isinstance(at, list):
            if len(path) < 400:
                waiting.extend(
                    (f"{path}[{index}]", at[index]) for index in range(min(len(at), _MOST_NODES))[::-1]
                )
        elif isinstance(at, int | float) and not isinstance(at, bool):
            yield path, str(at)


def flat(value: Json) -> str:
    """The strings and numbers of a value, and its keys where they are data; one a line."""
    if isinstance(value, str):
        return value
    said: list[str] = []
    waiting: list[Json] = [value]
    nodes = 0
    while waiting and nodes < _MOST_NODES:
        nodes += 1
        at = waiting.pop()
        if isinstance(at, str):
            said.append(at)
        elif isinstance(at, dict):
            said.extend(str(name) for name in at if not _FIELD_NAME.fullmatch(str(name)))
            waiting.extend(reversed(at.values()))
        elif isinstance(at, list):
            waiting.extend(reversed(at[:_MOST_NODES]))
        elif isinstance(at, int | float) and not isinstance(at, bool):
            said.append(str(at))
    return "\n".join(said)
