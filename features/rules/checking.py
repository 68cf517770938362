"""Checking a rule before it is kept: it parses, names only what there is, compares what can be compared, ends in
true or false, and cannot take long.

The evaluator (a library in Rust) gives no tree and accepts `1 + "a" == 2`; so the tree is the one that another
library parses, and this module says what is wrong with it.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from features.rules.tree import MACROS, RuleFault, bare, literal_of, path_of, tree_of
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

__all__ = ["check_rule", "faults_of_rule", "is_decimal"]

_MOST_MACROS = 2  # one inside the other: each multiplies the time
_TEXT_METHODS = ("contains", "startsWith", "endsWith", "matches")
_NUMBERS = (INT, DOUBLE)


Scope = Mapping[str, Type]


def check_rule(text: str, known: Scope) -> None:
    """Raises RuleFault for a rule that must not be kept: over `known` (variables and their types) it does not parse,
    is not true or false, names what is not there, orders texts, mixes types, or nests too deep.
    """
    if faults := faults_of_rule(text, known):
        raise RuleFault(faults[0])


def faults_of_rule(text: str, known: Scope, wanted: tuple[Type, ...] = (BOOL, ANY)) -> list[str]:
    """All that is wrong with a rule that must come to one of the `wanted` types, in words for its author: one
    fault for each part that && and || join, none for a rule that may be kept.
    """
    check = _Check()
    try:
        found = check.of(tree_of(text), known, 0)
    except RuleFault as fault:
        return list(dict.fromkeys([*check.faults, str(fault)]))
    if not check.faults and found not in wanted:
        expected = "true or false" if BOOL in wanted else " or ".join(_words(one) for one in wanted)
        check.faults.append(f"must be {expected}, not {_words(found)}")
    return list(dict.fromkeys(check.faults))


@lru_cache(maxsize=256)
def is_decimal(text: str) -> bool:
    """Whether a checked expression over `args` comes to a decimal, which is computed in millionths."""
    return _Check().of(tree_of(text), {"args": ANY}, 0) == DECIMAL


def _words(kind: Type) -> str:
    if kind == STRING:
        return "a text"
    article = "an" if kind.name[0] in "aeio" else "a"
    return f"{article} {kind}"


_SIGN = {"relation_lt": " < ", "relation_le": " <= ", "relation_gt": " > ", "relation_ge": " >= "}


class _Side(NamedTuple):
    """One side of a comparison."""

    node: Any
    kind: Type

    def as_decimal(self) -> str:
        """How the side is written as a decimal."""
        literal = literal_of(self.node)
        if literal is not None:
            return f'decimal("{literal.strip(chr(34) + chr(39))}")'
        path = path_of(self.node) if self.kind not in _NUMBERS else None
        return f"decimal({path or '...'})"

    def how_to_be_decimal(self) -> str:
        """What to mend where the other side is a decimal."""
        path = path_of(self.node)
        if path and self.kind in _NUMBERS and literal_of(self.node) is None:
            return f'{path} must be a text in the schema, type = "string" with a pattern, to be exact'
        return f"write {self.as_decimal()}"


class _Check:
    """One walk over a tree; each method returns the type of what it looked at. `faults`: of parts that were passed
    over, so that the rest is looked at too.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []

    def of(self, node: Any, scope: Scope, macros: int) -> Type:
        found = self._of(node, scope, macros)
        if found.name == "unreadable":
            raise RuleFault(f"{path_of(node) or 'this'} {found.why}")
        return found

    def _of(self, node: Any, scope: Scope, macros: int) -> Type:
        children = node.children
        name = str(node.data)
        if name == "expr" and len(children) == 3:
            self._want(children[0], scope, macros, BOOL, "what stands before ?")
            one, other = (self.of(child, scope, macros) for child in children[1:])
            return one if one == other else self._same(one, other, "the two answers of ? :")
        if name in ("conditionalor", "conditionaland") and len(children) == 2:
            for child in children:
                try:
                    self._want(child, scope, macros, BOOL, "what && and || join")
                except RuleFault as fault:
                    self.faults.append(str(fault))
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
            if inside is not None and inside.name == "unreadable":
                raise RuleFault(f"what {path_of(children[1]) or 'the list'} holds {inside.why}")
            if inside is not None:
                self._same(left, inside, "what is looked for and what it is looked for in")
            return BOOL
        sides = (_Side(children[0].children[0], left), _Side(children[1], right))
        if operator in ("relation_eq", "relation_ne"):
            if NULL not in (left, right):
                self._compared(sides)
            return BOOL
        if STRING in (left, right) and DECIMAL not in (left, right):
            raise RuleFault(
                'texts have no order that is meant: "9" stands behind "10"; write '
                + _SIGN[operator].join(side.as_decimal() for side in sides)
            )
        for kind in (left, right):
            if kind not in (*_NUMBERS, DECIMAL, ANY, STRING):
                raise RuleFault(f"{_words(kind)} has no order")
        self._compared(sides)
        return BOOL

    def _compared(self, sides: "tuple[_Side, _Side]") -> None:
        try:
            self._same(sides[0].kind, sides[1].kind, "what is compared")
        except RuleFault as fault:
            other = next((side for side in sides if side.kind != DECIMAL), sides[0])
            if DECIMAL not in (sides[0].kind, sides[1].kind) or other.kind not in (STRING, *_NUMBERS):
                raise
            raise RuleFault(f"{fault}; {other.how_to_be_decimal()}") from fault

    def _sum(self, children: Any, scope: Scope, macros: int) -> Type:
        left = self.of(children[0].children[0], scope, macros)
        right = self.of(children[1], scope, macros)
        how = str(children[0].data)
        if DECIMAL in (left, right):
            return self._exact_sum(how, left, right)
        allowed = (INT, DOUBLE, ANY, STRING) if how == "addition_add" else (INT, DOUBLE, ANY)
        for side in (left, right):
            if side not in allowed:
                raise RuleFault(f"{_words(side)} cannot be calculated with here")
        if ANY not in (left, right) and left != right:
            raise RuleFault(
                f"{_words(left)} and {_words(right)} cannot be calculated with: write double(...)"
            )
        return left if left != ANY else right

    def _exact_sum(self, how: str, left: Type, right: Type) -> Type:
        """Decimals are whole numbers of millionths: two are added, one is multiplied by a whole number."""
        other = right if left == DECIMAL else left
        if how in ("addition_add", "addition_sub") and other in (DECIMAL, ANY):
            return DECIMAL
        if how == "multiplication_mul" and other in (INT, ANY):
            return DECIMAL
        raise RuleFault(
            "decimals are added to decimals, subtracted from them or multiplied by a whole number, nothing else"
        )

    def _unary(self, children: Any, scope: Scope, macros: int) -> Type:
        found = self.of(children[1], scope, macros)
        if str(children[0].data) == "unary_not":
            if found not in (BOOL, ANY):
                raise RuleFault(f"! turns true and false round, not {_words(found)}")
        elif found not in (*_NUMBERS, DECIMAL, ANY):
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
        return self._field(children, scope, macros)

    def _field(self, children: Any, scope: Scope, macros: int) -> Type:
        owner, name = self.of(children[0], scope, macros), str(children[1])
        if owner == ANY:
            return ANY
        if owner.name == "map" and owner.of is not None:
            return owner.of
        if owner.fields is None:
            raise RuleFault(f"{_words(owner)} has no field {name}")
        if name not in owner.fields:
            near = get_close_matches(name, owner.fields, 1)
            known = ", ".join(sorted(owner.fields)) or "none"
            hint = f"did you mean {near[0]}?" if near else f"known: {known}"
            raise RuleFault(f"there is no {name} in {path_of(children[0]) or 'this'}; {hint}")
        return owner.fields[name]

    def _at_member_index(self, children: Any, scope: Scope, macros: int) -> Type:
        owner = self.of(children[0], scope, macros)
        if owner == ANY:
            return ANY
        if owner.name not in ("list", "map") or owner.of is None:
            field = (literal_of(children[1]) or "...").strip("\"'")
            hint = f": write {path_of(children[0]) or '...'}.{field}" if owner.name == "object" else ""
            raise RuleFault(f"{_words(owner)} is not looked into by [ ]{hint}")
        self._want(children[1], scope, macros, INT if owner.name == "list" else STRING, "what stands in [ ]")
        if owner.least is not None:
            at = literal_of(children[1]) or ""
            if not at.isdigit() or int(at) >= owner.least:
                needed = f"minItems = {int(at) + 1} in the schema" if at.isdigit() else "a number"
                which = path_of(children[0]) or "the list"
                raise RuleFault(
                    f"{which} may be shorter than [{at or '...'}] asks for: give it {needed},"
                    " or go through it with all or exists"
                )
        return owner.of

    def _at_ident_arg(self, children: Any, scope: Scope, macros: int) -> Type:
        name = str(children[0])
        given = list(children[1].children) if len(children) > 1 else []
        if len(given) != 1 or name not in ("size", "has", "string", "int", "double", "decimal"):
            raise RuleFault(
                f"{name}(...) is not known here; known: size, has, string, int, double, decimal, each of one value"
            )
        if name == "has":
            return self._has(given[0], scope, macros)
        found = self.of(given[0], scope, macros)
        if name == "size":
            return self._size(found)
        if name == "decimal":
            if found not in (STRING, ANY):
                path = path_of(given[0])
                hint = f': {path} must be a text in the schema, type = "string"' if path else ""
                raise RuleFault(f'decimal(...) takes a text such as "49.99", not {_words(found)}{hint}')
            return DECIMAL
        if name in ("int", "double") and found == STRING:
            raise RuleFault(
                f"{name}(...) of a text is not exact: write decimal({path_of(given[0]) or '...'})"
            )
        return {"string": STRING, "int": INT, "double": DOUBLE}[name]

    def _has(self, node: Any, scope: Scope, macros: int) -> Type:
        """`has(x.y)`: x is looked at, y only asked for."""
        node = bare(node)
        if node.data != "member_dot":
            raise RuleFault("has(...) asks for a field, such as has(context.ticket)")
        self._field(node.children, scope, macros)
        return BOOL

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
        if name in MACROS and len(given) == 2:
            return self._macro(owner, name, given, scope, macros)
        raise RuleFault(
            f".{name}(...) is not known here; known: {', '.join(('size', *_TEXT_METHODS, *MACROS))}"
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
