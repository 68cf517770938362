"""The critical path: the spans that decided when the trace ended."""

from collections.abc import Sequence

from traces.present.tree import Node


def critical_path(roots: Sequence[Node]) -> set[int]:
    """The nodes (by identity) on the critical path.

    From the end of the root that ends last back to its start: of the children that ended by the moment looked at,
    the last to end is on the path, and the moment moves to its start; the same inside each child found. This is the
    definition of CRISP (Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures",
    USENIX ATC 2022, section 4). A child that outlives its parent is taken as ending with it; clocks that disagree
    can therefore not take the path out of the trace. Work is that of sorting each node's children once.
    """
    if not roots:
        return set()
    last = max(roots, key=lambda node: node.span.ended_at)
    found: set[int] = set()
    waiting: list[tuple[Node, int]] = [(last, last.span.ended_at)]
    while waiting:
        node, moment = waiting.pop()
        found.add(id(node))
        for child in sorted(node.children, key=lambda child: child.span.ended_at, reverse=True):
            ended = min(child.span.ended_at, node.span.ended_at)
            if ended <= moment and child.span.started_at <= moment:
                waiting.append((child, ended))
                moment = child.span.started_at
    return found
