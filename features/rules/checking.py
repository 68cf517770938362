"""Checking a rule before it is kept: it parses, names only what there is, compares what can be compared, ends in
true or false, and cannot take long.

The evaluator (a library in Rust) gives no tree and accepts `1 + "a" == 2`; so the tree is the one that another
library parses, and this module says what is wrong with it.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from features.rules.types import (
    ANY,
    BOOL,
    DECIMAL,
    DOUBLE,
    INT,
    NULL,
    STRING,
    Type,
    list_of,
)

__all__ = ["MOST_CHARACTERS", "RuleFault", "check_rule", "nesting_of"]

MOST_CHARACTERS = 2000
_MOST_BRACKETS = 24
_MOST_MACROS = 2  # one inside the other: each multiplies the time
_SIGNS = re.compile(r"[!\-](?:\s*[!\-]){4}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_MACROS = ("all", "exists", "exists_one", "filter", "map")
_TEXT_METHODS = ("contains", "startsWith", "endsWith", "matches")
_NUMBERS = (INT, DOUBLE)


class RuleFault(ValueError):
    """What is wrong with a rule, in words for its author."""


Scope = Mapping[str, Type]


def check_rule(text: str, known: Scope) -> None:
    """Raises RuleFault for a rule that must not be kept: over `known` (variables and their types) it does not parse,
    is not true or false, names what is not there, orders texts, mixes types, or nests too deep.
    """
    tree = _parsed(text)
    found = _Check().of(tree, known, 0)
    if found not in (BOOL, ANY):
        raise RuleFault(f"must be true or false, not {_words(found)}")


def nesting_of(text: str) -> int:
    """How deep the macros of a checked rule stand in each other."""
    return _depth(_parsed(text), 0)


def _depth(node: Any, depth: int) -> int:
    children = getattr(node, "children", None)
    if not children:
        return depth
    here = depth + (node.data == "member_dot_arg" and str(children[1]) in _MACROS)
    return max(_depth(child, here) for child in children)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    if len(text) > MOST_CHARACTERS:
        raise RuleFault(f"is over {MOST_CHARACTERS} characters")
    bare = _QUOTED.sub('""', text)
    depth = deepest = 0
    for mark in bare:
        depth += (mark in "([{") - (mark in ")]}")
        deepest = max(deepest, depth)
    if deepest > _MOST_BRACKETS or _SIGNS.search(bare):
        raise RuleFault("is nested too deep to be read")
    # Half a second to import: only where a rule is written down or made.
    from celpy import Environment
    from celpy.celparser import CELParseError

    try:
        return Environment().compile(text)
    except CELParseError as error:
        line, column = getattr(error, "line", None), getattr(error, "column", None)
        where = f" at line {line}, column {column}" if line and column else ""
        raise RuleFault(f"is no expression of CEL{where}") from error
    except RecursionError as error:
        raise RuleFault("is nested too deep to be read") from error


def _words(kind: Type) -> str:
    article = "an" if kind.name[0] in "aeio" else "a"
    return f"{article} {kind}"


class _Check:
    """One walk over a tree; each method returns the type of what it looked at."""

    def of(self, node: Any, scope: Scope, macros: int) -> Type:
        children = node.children
        name = str(node.data)
        if name == "expr" and len(children) == 3:
            self._want(children[0], scope, macros, BOOL, "what stands before ?")
            one, other = (self.of(child, scope, macros) for child in children[1:])
            return one if one == other else self._same(one, other, "the two answers of ? :")
        if name in ("conditionalor", "conditionaland") and len(children) == 2:
            for child in children:
                self._want(child, scope, macros, BOOL, "what && and || join")
            return BOOL
        if name == "relation" and len(children) == 2:
            return self._relation(children, scope, macros)
        if name in ("addition", "multiplication") and len(children) == 2:
            return self._sum(children, scope, macros)
        if name == "unary" and len(children) == 2:
            return self._unary(children, scope, macros)
        method = getattr(self, f"_at_{name}", None)
        if method is not None:
            found: Type = method(children, scope, macros)
            return found
        if len(children) == 1 and hasattr(children[0], "children"):
            return self.of(children[0], scope, macros)
        raise RuleFault("uses a part of CEL that rules do not take: objects and maps are not made here")

    def _want(self, node: Any, scope: Scope, macros: int, wanted: Type, what: str) -> None:
        found = self.of(node, scope, macros)
        if found not in (wanted, ANY):
            raise RuleFault(f"{what} must be {_words(wanted)}, not {_words(found)}")

    def _same(self, one: Type, other: Type, what: str) -> Type:
        if ANY in (one, other):
            return ANY
        if one == other or (one in _NUMBERS and other in _NUMBERS):
            return one
        raise RuleFault(f"{what} must be of one type: {_words(one)} is not {_words(other)}")

    def _relation(self, children: Any, scope: Scope, macros: int) -> Type:
        operator = str(children[0].data)
        left = self.of(children[0].children[0], scope, macros)
        right = self.of(children[1], scope, macros)
        if operator == "relation_in":
            if right.name not in ("list", "map", "any"):
                raise RuleFault(f"in looks into a list or a map, not into {_words(right)}")
            inside = right.of if right.name == "list" else STRING
            if inside is not None:
                self._same(left, inside, "what is looked for and what it is looked for in")
            return BOOL
        if operator in ("relation_eq", "relation_ne"):
            if NULL not in (left, right):
                self._same(left, right, "what is compared")
            return BOOL
        for side in (left, right):
            if side == STRING:
                raise RuleFault('texts have no order that is meant: "9" stands behind "10"; compare numbers')
            if side not in (*_NUMBERS, DECIMAL, ANY):
                raise RuleFault(f"{_words(side)} has no order")
        self._same(left, right, "what is compared")
        return BOOL

    def _sum(self, children: Any, scope: Scope, macros: int) -> Type:
        left = self.of(children[0].children[0], scope, macros)
        right = self.of(children[1], scope, macros)
        plus = str(children[0].data) == "addition_add"
        allowed = (INT, DOUBLE, ANY, STRING) if plus else (INT, DOUBLE, ANY)
        for side in (left, right):
            if side not in allowed:
                raise RuleFault(f"{_words(side)} cannot be calculated with here")
        if ANY not in (left, right) and left != right:
            raise RuleFault(
                f"{_words(left)} and {_words(right)} cannot be calculated with: write double(...)"
            )
        return left if left != ANY else right

    def _unary(self, children: Any, scope: Scope, macros: int) -> Type:
        found = self.of(children[1], scope, macros)
        if str(children[0].data) == "unary_not":
            if found not in (BOOL, ANY):
                raise RuleFault(f"! turns true and false round, not {_words(found)}")
        elif found not in (*_NUMBERS, ANY):
            raise RuleFault(f"- stands before a number, not before {_words(found)}")
        return found

    def _at_ident(self, children: Any, scope: Scope, macros: int) -> Type:
        name = str(children[0])
        if name not in scope:
            raise RuleFault(f"{name} is not known here; known: {', '.join(sorted(scope))}")
        return scope[name]

    def _at_literal(self, children: Any, scope: Scope, macros: int) -> Type:
        kinds = {
            "INT_LIT": INT,
            "FLOAT_LIT": DOUBLE,
            "STRING_LIT": STRING,
            "MLSTRING_LIT": STRING,
            "BOOL_LIT": BOOL,
            "NULL_LIT": NULL,
        }
        if (found := kinds.get(children[0].type)) is None:
            raise RuleFault(f"{str(children[0])[:40]} is a kind of value that rules do not take")
        return found

    def _at_list_lit(self, children: Any, scope: Scope, macros: int) -> Type:
        items = [self.of(item, scope, macros) for item in (children[0].children if children else ())]
        for item in items[1:]:
            self._same(items[0], item, "what stands in a list")
        return list_of(items[0] if items else ANY)

    def _at_member_dot(self, children: Any, scope: Scope, macros: int) -> Type:
        owner, name = self.of(children[0], scope, macros), str(children[1])
        if owner == ANY:
            return ANY
        if owner.name == "map" and owner.of is not None:
            return owner.of
        if owner.fields is None:
            raise RuleFault(f"{_words(owner)} has no field {name}")
        if name not in owner.fields:
            near = get_close_matches(name, owner.fields, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(owner.fields))}"
            raise RuleFault(f"there is no {name}; {hint}")
        return owner.fields[name]

    def _at_member_index(self, children: Any, scope: Scope, macros: int) -> Type:
        owner = self.of(children[0], scope, macros)
        if owner == ANY:
            return ANY
        if owner.name not in ("list", "map") or owner.of is None:
            raise RuleFault(f"{_words(owner)} is not looked into by [ ]")
        self._want(children[1], scope, macros, INT if owner.name == "list" else STRING, "what stands in [ ]")
        return owner.of

    def _at_ident_arg(self, children: Any, scope: Scope, macros: int) -> Type:
        name = str(children[0])
        given = list(children[1].children) if len(children) > 1 else []
        if len(given) != 1 or name not in ("size", "has", "string", "int", "double", "decimal"):
            raise RuleFault(
                f"{name}(...) is not known here; known: size, has, string, int, double, decimal, each of one value"
            )
        found = self.of(given[0], scope, macros)
        if name == "size":
            return self._size(found)
        if name == "has":
            return BOOL
        if name == "decimal":
            if found not in (STRING, ANY):
                raise RuleFault(f'decimal(...) takes a text such as "49.99", not {_words(found)}')
            return DECIMAL
        return {"string": STRING, "int": INT, "double": DOUBLE}[name]

    def _size(self, found: Type) -> Type:
        if found.name not in ("string", "list", "map", "any"):
            raise RuleFault(f"{_words(found)} has no size")
        return INT

    def _at_member_dot_arg(self, children: Any, scope: Scope, macros: int) -> Type:
        owner, name = self.of(children[0], scope, macros), str(children[1])
        given = list(children[2].children) if len(children) > 2 and children[2] is not None else []
        if name == "size" and not given:
            return self._size(owner)
        if name in _TEXT_METHODS and len(given) == 1:
            if owner not in (STRING, ANY):
                raise RuleFault(f"{name}(...) is asked of a text, not of {_words(owner)}")
            self._want(given[0], scope, macros, STRING, f"what {name} takes")
            return BOOL
        if name in _MACROS and len(given) == 2:
            return self._macro(owner, name, given, scope, macros)
        raise RuleFault(
            f".{name}(...) is not known here; known: {', '.join(('size', *_TEXT_METHODS, *_MACROS))}"
        )

    def _macro(self, owner: Type, name: str, given: list[Any], scope: Scope, macros: int) -> Type:
        if macros >= _MOST_MACROS:
            raise RuleFault(
                f"stands more than {_MOST_MACROS} deep in all, exists, filter and map: it could take long"
            )
        if owner.name not in ("list", "any"):
            raise RuleFault(f"{name} goes through a list, not through {_words(owner)}")
        inside = {**scope, _variable(given[0]): owner.of or ANY}
        found = self.of(given[1], inside, macros + 1)
        if name == "map":
            return list_of(found)
        if found not in (BOOL, ANY):
            raise RuleFault(f"what {name} asks must be true or false, not {_words(found)}")
        return owner if name == "filter" else BOOL

    def _at_member_object(self, children: Any, scope: Scope, macros: int) -> Type:
        raise RuleFault("objects are not made in rules")

    _at_map_lit = _at_dot_ident = _at_dot_ident_arg = _at_member_object


def _variable(node: Any) -> str:
    """The name that a macro gives to each item."""
    while hasattr(node, "children"):
        if len(node.children) != 1:
            raise RuleFault("what stands first in a macro is a name for the item")
        node = node.children[0]
    return str(node)
