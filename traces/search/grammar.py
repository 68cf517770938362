"""The grammar of the search line: a line of text becomes a tree, or a BadQuery that points at the word.

Terms stand beside each other and all hold; `OR` joins the two terms beside it (it binds closer than standing
beside each other); `-` turns a term or a group round; parentheses group. Pure, no Django.
"""

import difflib
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from traces.search.keys import ALIASES, FAMILIES, KEYS, Key, key_named
from traces.search.numbers import half_a_digit, read_number, with_unit
from traces.search.tree import (
    BARE,
    COMPARED,
    KEY,
    And,
    Match,
    Node,
    Not,
    Or,
    Pattern,
    Range,
    Substring,
    Text,
    quoted,
    written,
)

__all__ = ["And", "BadQuery", "Match", "Node", "Not", "Or", "Range", "Substring", "Text", "parse", "written"]

MAX_LENGTH: Final = 2000
MAX_TERMS: Final = 60
MAX_DEPTH: Final = 12
_MAX_VALUE: Final = 300


class BadQuery(Exception):
    """A line that cannot be read: which characters, why, and the line that may have been meant."""

    def __init__(self, position: int, length: int, message: str, mend: str | None = None) -> None:
        super().__init__(message)
        self.position = position
        self.length = length
        self.message = message
        self.mend = mend


def parse(line: str) -> Node | None:
    """The tree of a line; None for one that asks for nothing. Raises BadQuery."""
    if len(line) > MAX_LENGTH:
        raise BadQuery(
            MAX_LENGTH,
            len(line) - MAX_LENGTH,
            f"A search may have {MAX_LENGTH} characters, this has {len(line)}.",
        )
    # What no text of ours can hold stands for itself as a replacement, in its place.
    reader = _Reader("".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in line))
    tree = reader.all_of(0)
    if reader.peek() == ")":
        raise reader.bad(reader.at, 1, "This parenthesis closes none that is open.", "")
    return tree


_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_JOINER = re.compile(r"(OR|AND)(?=[\s\x00-\x1f\x7f-\x9f()]|$)")


class _Reader:
    """Reads a line from left to right; `at` is the next character."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0
        self.terms = 0
        self.skip()

    def skip(self) -> None:
        found = _BLANK.match(self.line, self.at)
        self.at = found.end() if found else self.at

    def peek(self) -> str:
        return self.line[self.at : self.at + 1]

    def bad(self, position: int, length: int, message: str, instead: str | None = None) -> BadQuery:
        """The error, and the line with `instead` in the place of the wrong characters."""
        mend = None
        if instead is not None:
            mend = f"{self.line[:position]}{instead}{self.line[position + length :]}".strip()
        position = min(position, max(len(self.line) - 1, 0))
        return BadQuery(position, max(1, min(length, len(self.line) - position)), message, mend)

    def joiner(self) -> str:
        found = _JOINER.match(self.line, self.at)
        return found[1] if found else ""

    def all_of(self, depth: int) -> Node | None:
        """Terms beside each other, up to the end of the line or of the group."""
        start = self.at
        nodes: list[Node] = []
        while self.at < len(self.line) and self.peek() != ")":
            if joiner := self.joiner():
                if joiner == "OR" or not nodes:
                    raise self.bad(self.at, len(joiner), f"{joiner} stands between two terms.", "")
                self.at += len(joiner)
                self.skip()
                if self.at >= len(self.line) or self.peek() == ")" or self.joiner():
                    raise self.bad(self.at - 1, 1, "AND stands between two terms.")
                continue
            found = self.one_of(depth)
            nodes.extend(found.nodes if isinstance(found, And) else [found])
        if len(nodes) < 2:
            return nodes[0] if nodes else None
        return And(tuple(nodes), position=start, length=self.at - start)

    def one_of(self, depth: int) -> Node:
        """A term, or terms joined by OR."""
        start = self.at
        nodes = [self.signed(depth)]
        while self.joiner() == "OR":
            before = self.at
            self.at += 2
            self.skip()
            if self.at >= len(self.line) or self.peek() == ")" or self.joiner():
                raise self.bad(before, 2, "OR needs a term on each side.", "")
            nodes.append(self.signed(depth))
        if len(nodes) == 1:
            return nodes[0]
        flat = [inner for node in nodes for inner in (node.nodes if isinstance(node, Or) else (node,))]
        return Or(tuple(flat), position=start, length=self.at - start)

    def signed(self, depth: int) -> Node:
        """A term or a group, perhaps turned round by a minus."""
        start = self.at
        if depth > MAX_DEPTH:
            raise self.bad(start, 1, f"Groups may stand {MAX_DEPTH} deep in each other, no deeper.")
        if self.peek() == "-":
            self.at += 1
            if self.at >= len(self.line) or self.line[self.at].isspace() or self.peek() == ")":
                raise self.bad(start, 1, "A minus stands right before what it excludes.", "")
            node = self.signed(depth + 1)
            return Not(node, position=start, length=node.position + node.length - start)
        if self.peek() == "(":
            return self.group(depth)
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise self.bad(start, len(self.line) - start, f"A search may have {MAX_TERMS} terms.")
        node = self.term()
        self.skip()
        return node

    def group(self, depth: int) -> Node:
        start = self.at
        self.at += 1
        self.skip()
        inner = self.all_of(depth + 1)
        if self.peek() != ")":
            raise self.bad(start, 1, "This parenthesis is never closed.", None) from None
        self.at += 1
        end = self.at
        self.skip()
        if inner is None:
            raise self.bad(start, end - start, "There is nothing between these parentheses.", "")
        return inner

    def quoted(self) -> str:
        """The text between quotes; a backslash keeps a quote or a backslash in it."""
        found = _QUOTED.match(self.line, self.at)
        if found is None:
            rest = self.line[self.at :]
            raise self.bad(self.at, len(rest), "This quote is never closed.", f'{rest.rstrip(chr(92))}"')
        self.at = found.end()
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)

    def bare(self) -> str:
        found = BARE.match(self.line, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def star(self) -> bool:
        """Whether a star follows right after the quotes."""
        if self.peek() == "*":
            self.at += 1
            return True
        return False

    def term(self) -> Node:
        start = self.at
        if self.peek() == "~":
            self.at += 1
            text = self.quoted() if self.peek() == '"' else self.bare()
            length = self.at - start
            if len(text.strip()) < 2:
                raise self.bad(start, length, 'After ~ stand two characters or more, such as ~"4711-A".')
            self._bounded(text, start, length)
            return Substring(text, position=start, length=length)
        if self.peek() == '"':
            text, prefix = self.quoted(), self.star()
            return self._text(text, prefix, start)
        if found := KEY.match(self.line, self.at):
            self.at = found.end()
            return self.keyed(found[1], start)
        return self.word(start)

    def word(self, start: int) -> Node:
        text = self.bare()
        length = self.at - start
        if (compared := COMPARED.fullmatch(text)) and (key := key_named(compared[1])):
            sign = "" if compared[2] == "=" and not key.is_range else compared[2]
            raise self.bad(
                start, length, f"A colon stands after {key.name}.", f"{key.name}:{sign}{compared[3]}"
            )
        if text.strip("*") == "":
            raise self.bad(start, length, "A * alone finds everything; leave it out.", "")
        return self._text(text.removesuffix("*"), text.endswith("*"), start)

    def _text(self, text: str, prefix: bool, start: int) -> Text:
        length = self.at - start
        if not any(character.isalnum() for character in text):
            raise self.bad(
                start,
                length,
                'There is no letter or digit to look for. As characters: ~"...".',
                f"~{quoted(text)}" if len(text.strip()) > 1 else None,
            )
        if "*" in text and self.line[start] != '"':
            raise self.bad(
                start, length, "In a text a * stands at the end of a word only.", f"{text.partition('*')[0]}*"
            )
        self._bounded(text, start, length)
        return Text(text, prefix, position=start, length=length)

    def _bounded(self, text: str, start: int, length: int) -> None:
        if len(text) > _MAX_VALUE:
            raise self.bad(start, length, f"A term may have {_MAX_VALUE} characters, this has {len(text)}.")

    def keyed(self, name: str, start: int) -> Node:
        """The term `name:value`; `at` is on the value."""
        at_value = self.at
        is_quoted = self.peek() == '"'
        value = self.quoted() if is_quoted else self.bare()
        star = is_quoted and self.star()
        length = self.at - start
        if name.lower() == "incomplete" and value == "*" and not is_quoted:
            return Match("has", "incomplete", position=start, length=length)
        key = key_named(name)
        if key is None:
            raise self._unknown(name, start, length)
        if not value.strip():
            example = key.example.partition(",")[0]
            raise self.bad(start, length, f"After {key.name}: stands a value, such as {example}.")
        if key.is_range:
            return self.range(key, value, is_quoted or star, start, at_value)
        self._bounded(value, start, length)
        pattern, value = _pattern(value, is_quoted, star)
        if key.choices and pattern != "any":
            value = self._choice(key, value, pattern, at_value)
        if pattern == "glob" and not key.globs:
            raise self.bad(
                start,
                length,
                f"In {key.name}: a * stands at the end only.",
                f"{key.name}:{value.partition('*')[0]}*",
            )
        return Match(key.name, value, pattern, position=start, length=length)

    def _choice(self, key: Key, value: str, pattern: Pattern, at_value: int) -> str:
        given = value.lower()
        if pattern == "exact" and given.replace("-", "_") in key.choices:
            return given.replace("-", "_")
        if pattern == "prefix" and any(choice.startswith(given) for choice in key.choices):
            return given
        near = _nearest(given, key.choices)
        known = ", ".join(key.choices)
        offered = f" Did you mean {near}?" if near else ""
        raise self.bad(
            at_value, self.at - at_value, f"{key.name} is one of {known}.{offered}", near or key.choices[0]
        )

    def _unknown(self, name: str, start: int, length: int) -> BadQuery:
        rest = self.line[start + len(name) : start + length]
        families = [f"{one.name}." for one in FAMILIES]
        near = _nearest(name.lower(), [*KEYS, *ALIASES, *families])
        said = f"There is no key {name[:60]}."
        if near is None:
            as_text = quoted(self.line[start : start + length])
            return self.bad(start, length, f"{said} To look for it as text, put it in quotes.", as_text)
        return (
            self.bad(start, len(name), f"{said} Did you mean {near}?", near)
            if rest
            else self.bad(start, length, said, near)
        )

    def range(self, key: Key, value: str, is_quoted: bool, start: int, at_value: int) -> Range:
        length = self.at - start
        said = value.strip()
        example = key.example.partition(",")[0]

        def number(text: str) -> Decimal:
            try:
                return read_number(key, text)
            except ValueError as error:
                raise self.bad(
                    at_value, self.at - at_value, f"{error} Such as {example}.", with_unit(key, said)
                ) from None

        if is_quoted or len(said) > 60:
            raise self.bad(at_value, self.at - at_value, f"{key.name} takes a number. Such as {example}.")
        if said == "*":
            return Range(key.name, said, None, None, position=start, length=length)
        if ".." in said:
            low_text, _, high_text = said.partition("..")
            low = number(low_text) if low_text else None
            high = number(high_text) if high_text else None
            if low is None and high is None:
                raise self.bad(at_value, self.at - at_value, f"The range has no end. Such as {example}.")
            if low is not None and high is not None and low > high:
                raise self.bad(
                    at_value,
                    self.at - at_value,
                    "The range ends before it starts.",
                    f"{high_text}..{low_text}",
                )
            return Range(key.name, said, low, high, position=start, length=length)
        sign = next((one for one in (">=", "<=", ">", "<", "=") if said.startswith(one)), "")
        text = said[len(sign) :]
        at = number(text)
        if sign in {">", ">="}:
            return Range(key.name, said, at, None, open_low=sign == ">", position=start, length=length)
        if sign in {"<", "<="}:
            return Range(key.name, said, None, at, open_high=sign == "<", position=start, length=length)
        half = half_a_digit(key, text)
        return Range(key.name, said, at - half, at + half, open_high=True, position=start, length=length)


def _pattern(value: str, is_quoted: bool, star: bool) -> tuple[Pattern, str]:
    """How a value is to be compared; stars between quotes are stars."""
    if is_quoted:
        return ("prefix" if star else "exact"), value
    if value.strip("*") == "":
        return "any", "*"
    if value.endswith("*") and "*" not in value.rstrip("*"):
        return "prefix", value.rstrip("*")
    return ("glob" if "*" in value else "exact"), value


def _nearest(word: str, known: Sequence[str]) -> str | None:
    found = difflib.get_close_matches(word[:60], known, n=1, cutoff=0.6)
    return found[0] if found else None
