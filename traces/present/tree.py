"""The spans of a trace as a forest in which every span stands exactly once, whatever their parents say.

Spans come from programs: a parent may be lost, name itself, or close a circle. Each such span becomes a root
that says why it stands there, so that no span is ever missing from the page.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec

from traces.vocabulary import Span

Place = Literal["root", "child", "parent_missing", "circle"]


class Node(msgspec.Struct):
    """A span and its children in the order of their start."""

    span: Span
    children: list["Node"]
    place: Place = "child"


class Tree:
    """The spans of a trace with all that the page asks of their order; each part is computed once."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.roots = forest(spans)
        self.nodes = walk(self.roots)

    @cached_property
    def by_id(self) -> dict[str, Node]:
        """By span ID in hex."""
        return {node.span.span_id.hex(): node for node in self.nodes}

    @cached_property
    def parents(self) -> dict[int, Node]:
        """The parent of each node that has one, by the child's identity."""
        return {id(child): node for node in self.nodes for child in node.children}

    @cached_property
    def errors(self) -> list[str]:
        """IDs of the spans that failed, in the order of the timeline."""
        return [node.span.span_id.hex() for node in self.nodes if node.span.status == "error"]

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each span stands in the order of the timeline."""
        return {node.span.span_id.hex(): index for index, node in enumerate(self.nodes)}

    def beside(self, found: Sequence[str], span_id: str | None) -> tuple[str | None, str | None]:
        """Of these spans in order, the one before and the one after this span, going round; None: no other."""
        others = [one for one in found if one != span_id]
        if not others:
            return None, None
        at = self.place.get(span_id or "", -1)
        before = [one for one in others if self.place[one] < at]
        after = [one for one in others if self.place[one] > at]
        return (before or others)[-1], (after or others)[0]


def root_is_missing(spans: Sequence[Span]) -> int:
    """How many spans name a parent that has not come, when no span says that it is the root; else 0."""
    if any(span.parent_span_id is None for span in spans):
        return 0
    known = {span.span_id for span in spans}
    return sum(1 for span in spans if span.parent_span_id not in known)


def forest(spans: Sequence[Span]) -> list[Node]:
    """Roots in the order of their start. Linear but for the sort; no recursion, so any depth is fine."""
    ordered = sorted(spans, key=lambda span: (span.started_at, -span.ended_at, span.span_id))
    nodes = [Node(span, []) for span in ordered]
    by_id: dict[bytes, Node] = {}
    for node in nodes:
        by_id.setdefault(node.span.span_id, node)
    roots: list[Node] = []
    for node in nodes:
        parent_id = node.span.parent_span_id
        parent = by_id.get(parent_id) if parent_id else None
        if not parent_id:
            node.place = "root"
            roots.append(node)
        elif parent is None:
            node.place = "parent_missing"
            roots.append(node)
        else:
            parent.children.append(node)
    reached = {id(node) for node in walk(roots)}
    for unreached in nodes:
        if id(unreached) in reached:
            continue
        # What is still unreached hangs below exactly one circle: open that one at its earliest span.
        node = _earliest_of_circle(unreached, by_id)
        parent = by_id[node.span.parent_span_id or b""]
        parent.children = [child for child in parent.children if child is not node]
        node.place = "circle"
        roots.append(node)
        reached.update(id(member) for member in walk([node]))
    roots.sort(key=lambda node: (node.span.started_at, -node.span.ended_at, node.span.span_id))
    return roots


def walk(roots: Sequence[Node]) -> list[Node]:
    """All nodes under the roots, parents before children, each once even where a circle is still closed."""
    found: list[Node] = []
    seen: set[int] = set()
    waiting = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        found.append(node)
        waiting.extend(reversed(node.children))
    return found


def _earliest_of_circle(node: Node, by_id: dict[bytes, Node]) -> Node:
    seen: set[int] = set()
    while id(node) not in seen:
        seen.add(id(node))
        node = by_id[node.span.parent_span_id or b""]
    circle = [node]
    while (node := by_id[node.span.parent_span_id or b""]) is not circle[0]:
        circle.append(node)
    return min(circle, key=lambda member: (member.span.started_at, member.span.span_id))
