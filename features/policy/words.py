"""A rule in words, for those who do not read CEL: `amount at most 50 and currency is USD`.

What has no plain words is left to the expression, which always stands beside them.
"""

from functools import lru_cache
from typing import Any

from features.rules import RuleFault
from features.rules.tree import bare, literal_of, path_of, tree_of

__all__ = ["words_of"]

_ORDER = {
    "relation_le": "at most",
    "relation_lt": "below",
    "relation_ge": "at least",
    "relation_gt": "above",
    "relation_eq": "is",
    "relation_ne": "is not",
    "relation_in": "is one of",
}
_BUDGET = {
    "budget.left": "what is left of the budget",
    "budget.spent": "what is spent of the budget",
    "budget.limit": "the budget",
}
_METHODS = {"contains": "contains", "startsWith": "starts with", "endsWith": "ends with"}


class _Unsaid(Exception):
    """There are no plain words for a part."""


@lru_cache(maxsize=512)
def words_of(text: str) -> str | None:
    """The rule in words; None where a part of it has none."""
    try:
        return _sentence(tree_of(text))
    except (_Unsaid, RuleFault):
        return None


def _sentence(node: Any, inside: str = "") -> str:
    """What is true or false; `inside`: the word that joins what is around it."""
    node = bare(node)
    kind = str(node.data)
    if kind in ("conditionaland", "conditionalor"):
        word = " and " if kind == "conditionaland" else " or "
        said = word.join(_sentence(child, word) for child in node.children)
        return f"({said})" if inside not in ("", word) else said
    if kind == "relation":
        operator = str(node.children[0].data)
        return f"{_thing(node.children[0].children[0])} {_ORDER[operator]} {_thing(node.children[1])}"
    if kind == "unary" and str(node.children[0].data) == "unary_not":
        return f"not {_sentence(node.children[1], ' not ')}"
    if kind == "ident_arg" and str(node.children[0]) == "has":
        path = path_of(node.children[1].children[0])
        if path is not None:
            return f"{_named(path)} is given"
    if kind == "member_dot_arg" and str(node.children[1]) in _METHODS:
        return f"{_thing(node.children[0])} {_METHODS[str(node.children[1])]} {_thing(node.children[2].children[0])}"
    if (literal := literal_of(node)) in ("true", "false"):
        return "always" if literal == "true" else "never"
    if (path := path_of(node)) is not None:
        return _named(path)
    raise _Unsaid


def _thing(node: Any) -> str:
    """What is compared."""
    node = bare(node)
    if (literal := literal_of(node)) is not None:
        return literal[1:-1] if literal[:1] in "\"'" and len(literal) > 2 else literal
    if (path := path_of(node)) is not None:
        return _named(path)
    if node.data == "ident_arg" and str(node.children[0]) in ("decimal", "size"):
        inner = _thing(node.children[1].children[0])
        return inner if str(node.children[0]) == "decimal" else f"the length of {inner}"
    if node.data == "list_lit" and node.children:
        return ", ".join(_thing(child) for child in node.children[0].children)
    sums = {"addition_add": "+", "addition_sub": "-", "multiplication_mul": "times"}
    if node.data in ("addition", "multiplication") and (sign := sums.get(str(node.children[0].data))):
        return f"{_thing(node.children[0].children[0])} {sign} {_thing(node.children[1])}"
    raise _Unsaid


def _named(path: str) -> str:
    """`args.order_id` is order id; what the agent says is the agent's."""
    if path in _BUDGET:
        return _BUDGET[path]
    first, _, rest = path.partition(".")
    if not rest or first not in ("args", "context"):
        raise _Unsaid
    name = rest.replace("_", " ").replace(".", "'s ")
    return name if first == "args" else f"the agent's {name}"
