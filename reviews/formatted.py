"""Stored text as the lists, tables and emphasis that it asks for: elements of a fixed few kinds, no link, no image.

The text is hostile. markdown-it-py reads CommonMark with HTML, links, images and entities switched off; what it finds
becomes `Element`s whose names are ours alone, and text in pieces as everywhere else (traces.present.text), so that
nothing in it hides. A heading is a strong line, never a heading of the page. No Django.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from traces.present.text import Piece, pieces

__all__ = ["LONGEST", "Element", "Inside", "formatted"]

# Longer texts stay raw, and so do tables of more cells: reading markup takes more than linear time at worst.
LONGEST: Final = 10_000
_MOST_CELLS: Final = 4000

Name = Literal[
    "p", "ul", "ol", "li", "em", "strong", "s", "code", "pre", "blockquote", "table", "thead", "tbody", "tr", "th",
    "td", "hr", "br", "heading",
]  # fmt: skip
_NAMES: Final[dict[str, Name]] = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "em": "em",
    "strong": "strong",
    "s": "s",
    "blockquote": "blockquote",
    "heading": "heading",
    "table": "table",
    "thead": "thead",
    "tbody": "tbody",
    "tr": "tr",
    "th": "th",
    "td": "td",
}
_READER: Final = (
    MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False})
    .enable(["table", "strikethrough"])
    .disable(["link", "image", "autolink", "entity", "html_inline", "html_block", "reference"])
)


class Element(msgspec.Struct, frozen=True):
    """An element and what stands in it, in order."""

    name: Name
    inside: "Inside"


Inside = list[Element | Piece]


def formatted(text: str) -> Inside | None:
    """The text as elements; None where it is too long or its tables are too large. What nests deeper than 20 levels is
    left out here: the raw text has all.
    """
    lines = text.split("\n")
    if len(text) > LONGEST or len(lines) * max(line.count("|") for line in lines) > _MOST_CELLS:
        return None
    return _built(_READER.parse(text))


def _built(tokens: Sequence[Token]) -> Inside:
    """The tree that opening and closing tokens describe; what is of no known kind gives its inside alone."""
    stack: list[tuple[Name | None, Inside]] = [(None, [])]
    for token in tokens:
        if token.nesting == 1:
            stack.append((_NAMES.get(token.type.removesuffix("_open")), []))
        elif token.nesting == -1 and len(stack) > 1:
            name, inside = stack.pop()
            stack[-1][1].extend([Element(name, inside)] if name else inside)
        else:
            stack[-1][1].extend(_leaf(token))
    return stack[0][1]


def _leaf(token: Token) -> Iterator[Element | Piece]:
    match token.type:
        case "inline":
            yield from _built(token.children or [])
        case "softbreak":
            yield Piece("plain", "\n")
        case "hardbreak":
            yield Element("br", [])
        case "hr":
            yield Element("hr", [])
        case "code_inline":
            yield Element("code", list(pieces(token.content)))
        case "code_block" | "fence":
            yield Element("pre", list(pieces(token.content)))
        case _:
            yield from pieces(token.content)
