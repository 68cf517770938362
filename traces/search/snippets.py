"""The place in a trace's text where the searched words stand, in pieces with the hits marked. Pure, no Django.

Stored text is hostile: what comes out is pieces of text, each drawn by the page in its own way, never markup.
"""

import re
from collections.abc import Sequence
from typing import Final

from traces.present.text import Piece, pieces
from traces.search.tree import And, Node, Or, Substring, Text

__all__ = ["Snippet", "searched", "snippet"]

_BEFORE: Final = 60
_LENGTH: Final = 220
_WORD: Final = re.compile(r"[^\W_]+")

Snippet = list[tuple[bool, list[Piece]]]  # (whether it is a hit, how it is drawn)


def searched(node: Node | None) -> list[Text | Substring]:
    """The texts that a tree looks for; what it excludes is none of them."""
    if isinstance(node, Text | Substring):
        return [node]
    if isinstance(node, And | Or):
        return [text for inner in node.nodes for text in searched(inner)]
    return []


def pattern_of(texts: Sequence[Text | Substring]) -> re.Pattern[str] | None:
    """What matches a hit of any of the texts. Linear: words with at most 40 characters between them."""
    found = []
    for text in texts:
        if isinstance(text, Substring):
            found.append(re.escape(text.text))
            continue
        words = [re.escape(word) for word in _WORD.findall(text.text)]
        if words:
            tail = r"[^\W_]*" if text.prefix else r"(?![^\W_])"
            found.append(r"(?<![^\W_])" + r"[\W_]{1,40}".join(words) + tail)
    return re.compile("|".join(found), re.IGNORECASE) if found else None


def snippet(document: str, texts: Sequence[Text | Substring]) -> Snippet:
    """The text around the first hit; empty where none is seen."""
    pattern = pattern_of(texts)
    first = pattern.search(document) if pattern else None
    if pattern is None or first is None:
        return []
    start = max(first.start() - _BEFORE, 0)
    end = min(max(start + _LENGTH, first.end()), len(document), first.start() + 2 * _LENGTH)
    parts: Snippet = [(False, [Piece("plain", "… ")])] if start else []
    at = start
    for hit in pattern.finditer(document, start, end):
        if hit.end() > hit.start():
            parts += [(False, _drawn(document[at : hit.start()])), (True, _drawn(hit[0]))]
            at = hit.end()
    parts.append((False, _drawn(document[at:end])))
    if end < len(document):
        parts.append((False, [Piece("plain", " …")]))
    return [part for part in parts if part[1]]


def _drawn(text: str) -> list[Piece]:
    return pieces(re.sub(r"\s+", " ", text))
