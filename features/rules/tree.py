"""The tree of an expression: parsed once, within bounds, and the two questions that are asked of a part of it."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

__all__ = [
    "MACROS",
    "MOST_CHARACTERS",
    "RuleFault",
    "bare",
    "literal_of",
    "nesting_of",
    "path_of",
    "paths_of",
    "tree_of",
]

MOST_CHARACTERS = 2000
_MOST_BRACKETS = 24
_SIGNS = re.compile(r"[!\-](?:\s*[!\-]){4}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_WRAPPERS = frozenset(
    "expr conditionalor conditionaland relation addition multiplication unary member primary paren_expr".split()
)
MACROS = ("all", "exists", "exists_one", "filter", "map")


class RuleFault(ValueError):
    """What is wrong with a rule, in words for its author."""


@lru_cache(maxsize=256)
def tree_of(text: str) -> Any:
    """The tree of a rule. Raises RuleFault for what is too long or deep to be read, or is no expression."""
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


def bare(node: Any) -> Any:
    """The node that says something: the grammar wraps each in ten that do not, and brackets are none of them."""
    while node.data in _WRAPPERS and len(node.children) == 1:
        node = node.children[0]
    return node


def path_of(node: Any) -> str | None:
    """`args.customer.id`, where a node is such a path; None for anything else."""
    if not hasattr(node, "children"):
        return None
    node = bare(node)
    if node.data == "ident":
        return str(node.children[0])
    if node.data == "member_dot":
        owner = path_of(node.children[0])
        return f"{owner}.{node.children[1]}" if owner else None
    if node.data == "member_index":
        owner, at = path_of(node.children[0]), literal_of(node.children[1])
        return f"{owner}[{at}]" if owner and at else None
    return None


@lru_cache(maxsize=256)
def paths_of(text: str) -> frozenset[str]:
    """The paths that an expression reads, such as `args.amount`."""
    return frozenset(_paths(tree_of(text)))


def _paths(node: Any) -> Iterator[str]:
    if not hasattr(node, "children"):
        return
    if path := path_of(node):
        yield path
        return
    for child in node.children:
        yield from _paths(child)


def literal_of(node: Any) -> str | None:
    """A literal as it is written; None for anything else."""
    if not hasattr(node, "children"):
        return None
    node = bare(node)
    return str(node.children[0]) if node.data == "literal" else None


def nesting_of(text: str) -> int:
    """How deep the macros of a checked rule stand in each other."""
    return _depth(tree_of(text), 0)


def _depth(node: Any, depth: int) -> int:
    children = getattr(node, "children", None)
    if not children:
        return depth
    here = depth + (node.data == "member_dot_arg" and str(children[1]) in MACROS)
    return max(_depth(child, here) for child in children)
