"""The timeline: the tree of spans as rows with bars. Equal siblings are folded; at most ROWS rows are sent at
once.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from traces.present.critical import critical_path
from traces.present.scale import Interval, Scale
from traces.present.text import Piece, line
from traces.present.tree import Node, Place, Tree, walk
from traces.present.words import KIND_LETTERS, KIND_WORDS, counted, duration
from traces.vocabulary import Kind, Span

ROWS: Final = 300  # at once
FOLD_OVER: Final = 20  # equal siblings
_DEEPEST_INDENT: Final = 12
_MOST_WAITS_DRAWN: Final = 20

_PLACE_WORDS: Final[dict[Place, str]] = {
    "root": "",
    "child": "",
    "parent_missing": "parent not received",
    "circle": "its parents form a circle",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline: a span, or several equal siblings folded (`folded` > 1; `span_id` is the
    first's).
    """

    span_id: str
    index: int  # as aria-rowindex counts: the heading is 1
    level: int  # 1 for a root, as aria-level counts
    indent: int
    name: list[Piece]
    kind: Kind
    letter: str
    kind_word: str
    x: str
    width: str
    waits: list[tuple[str, str]]
    starts: str  # after the trace's start
    duration: str
    error: list[Piece]  # empty: none
    is_error: bool
    waiting: bool  # the span itself is a wait for a person
    note: str  # why it stands here, or why it does not count
    again: bool  # a call seen twice or a sum of its children: drawn, not counted
    selected: bool
    critical: bool = False  # on the critical path
    found: bool = False  # what was looked for in the tree
    folded: int = 1
    fold_note: str = ""


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one window; `earlier` and `later` are the offsets of the windows beside it, None at the
    ends.
    """

    rows: list[Row]
    total_rows: int
    spans_word: str
    aria_rows: int
    took: str  # the whole trace
    first_row: int  # counted from 1
    last_row: int
    earlier: int | None
    later: int | None
    folded_word: str  # spans that stand inside folded rows; empty: none
    broken: bool
    kinds: list[tuple[str, str]]  # letter and word of the kinds that appear
    errors_word: str  # empty: none
    note: str
    critical_word: str  # empty: one span alone
    unfolded: bool
    find: "Find | None"


class Find(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked for in the tree, how many spans match, and which are before and after the chosen one."""

    text: str
    total: int
    at: int  # of the chosen span among the matches, from 1; 0: it is none of them
    previous: str | None
    next: str | None


class _Line(msgspec.Struct, frozen=True):
    """A row to be: the nodes that it stands for (several when folded) and its depth from 0."""

    nodes: list[Node]
    depth: int


def waiting_of(spans: Sequence[Span]) -> list[Interval]:
    """The intervals in which the agent says that it waited for a person."""
    return [
        (span.started_at, span.ended_at) for span in spans if span.attributes.get("clearance.waiting") is True
    ]


def label_of(span: Span) -> str:
    """What a span is called on the page: a tool by its own name, for many emitters call all of them alike."""
    return (span.tool_name if span.kind == "tool" else None) or span.name or "(no name)"


def error_of(span: Span) -> str:
    """The error of a span in words: its status message, else its exception's, else `error`; empty when it is
    ok.
    """
    if span.status != "error":
        return ""
    if span.status_message.strip():
        return span.status_message
    for event in span.events:
        attributes = event.get("attributes")
        if event.get("name") == "exception" and isinstance(attributes, dict):
            message = attributes.get("exception.message") or attributes.get("exception.type")
            if isinstance(message, str) and message.strip():
                return message
    return "error"


def find_spans(tree: Tree, text: str) -> list[str]:
    """IDs (hex) of the spans that a text is found in, in the order of the timeline: name, tool, model, error, the
    start of the ID. Case does not matter.
    """
    wanted = text.strip().casefold()
    if not wanted:
        return []
    found = []
    for node in tree.nodes:
        span = node.span
        span_id = span.span_id.hex()
        said = (
            span.name,
            span.tool_name,
            span.model_answered or span.model_asked,
            error_of(span),
            span.scope,
        )
        if span_id.startswith(wanted) or any(wanted in part.casefold() for part in said if part):
            found.append(span_id)
    return found


def selected_by_default(tree: Tree) -> Span | None:
    """What to look at first: the deepest, then earliest span with an error; without errors the first root."""
    roots = tree.roots
    depth: dict[int, int] = {id(node): 0 for node in roots}
    failed: list[tuple[int, int, Span]] = []
    for node in tree.nodes:
        for child in node.children:
            depth[id(child)] = depth[id(node)] + 1
        if node.span.status == "error":
            failed.append((-depth[id(node)], node.span.started_at, node.span))
    if failed:
        return min(failed, key=lambda entry: entry[:2])[2]
    return roots[0].span if roots else None


def waterfall(
    tree: Tree,
    *,
    selected: str | None = None,
    unfold: Collection[str] = (),
    uncounted: Mapping[str, str] | None = None,
    first_row: int | None = None,
    find: str = "",
) -> Waterfall:
    """The window of rows that starts at row `first_row` (from 0), else the one that shows the selected span.

    `unfold` names spans (hex) whose group of equal siblings is shown one by one; `uncounted` is the
    summary's; `find` is looked for over the whole tree. Work is linear in the number of spans, but for sorting them.
    """
    uncounted = uncounted or {}
    spans, nodes = tree.spans, tree.nodes
    lines = _lines(tree.roots, _opened(tree, selected, unfold))
    critical = critical_path(tree.roots)
    matches = find_spans(tree, find)
    sought = frozenset(matches)
    at = next((index for index, entry in enumerate(lines) if _is(entry, selected)), 0) if selected else 0
    last_window = max(len(lines) - 1, 0) // ROWS * ROWS
    first = at // ROWS * ROWS if first_row is None else min(first_row, last_window)
    window = lines[first : first + ROWS]

    start = min((span.started_at for span in spans), default=0)
    end = max((span.ended_at for span in spans), default=0)
    scale = Scale(start, end, waiting_of(spans))
    names = {span.span_id.hex(): span.name for span in spans}
    rows = [
        _row(entry, first + index + 2, scale, start, selected, uncounted, names, critical, sought)
        for index, entry in enumerate(window)
    ]
    in_folds = len(nodes) - len(lines)
    errors = sum(1 for span in spans if span.status == "error")
    present = {span.kind for span in spans}
    again = sum(1 for reason in uncounted.values() if reason in names)
    return Waterfall(
        rows=rows,
        total_rows=len(lines),
        spans_word=counted(len(nodes), "span"),
        aria_rows=len(lines) + 1,
        took=duration(end - start),
        first_row=first + 1 if rows else 0,
        last_row=first + len(rows),
        earlier=max(first - ROWS, 0) if first else None,
        later=first + ROWS if first + ROWS < len(lines) else None,
        folded_word=f"{counted(in_folds, 'span')} folded" if in_folds else "",
        broken=scale.broken,
        kinds=[(letter, KIND_WORDS[kind]) for kind, letter in KIND_LETTERS.items() if kind in present],
        errors_word=counted(errors, "error") if errors else "",
        note=f"{counted(again, 'call')} seen twice and counted once" if again else "",
        critical_word=f"critical path: {counted(len(critical), 'span')}" if len(critical) > 1 else "",
        unfolded=any(name in tree.by_id for name in unfold),
        find=_find(tree, find, matches, selected),
    )


def _find(tree: Tree, text: str, matches: Sequence[str], selected: str | None) -> Find | None:
    if not text.strip():
        return None
    before, after = tree.beside(matches, selected)
    at = matches.index(selected) + 1 if selected in matches else 0
    return Find(text=text, total=len(matches), at=at, previous=before, next=after)


def _opened(tree: Tree, selected: str | None, unfold: Collection[str]) -> set[int]:
    """Nodes (by identity) that must have a row of their own or whose group is unfolded: the chosen and their
    parents.
    """
    by_id, parents = tree.by_id, tree.parents
    opened: set[int] = set()
    for name in {*unfold, selected}:
        node = by_id.get(name) if name else None
        while node is not None and id(node) not in opened:
            opened.add(id(node))
            node = parents.get(id(node))
        if name in unfold and name in by_id:
            parent = parents.get(id(by_id[name]))
            siblings = parent.children if parent else tree.roots
            opened.update(id(other) for other in siblings if _alike(other) == _alike(by_id[name]))
    return opened


def _alike(node: Node) -> tuple[str, Kind]:
    return label_of(node.span), node.span.kind


def _lines(roots: Sequence[Node], opened: set[int]) -> list[_Line]:
    """Depth first, without recursion. Folded siblings stand where the first of their run would."""
    lines: list[_Line] = []
    waiting = [_Line(group, 0) for group in reversed(_grouped(roots, opened))]
    while waiting:
        entry = waiting.pop()
        lines.append(entry)
        if len(entry.nodes) == 1:
            below = _grouped(entry.nodes[0].children, opened)
            waiting.extend(_Line(group, entry.depth + 1) for group in reversed(below))
    return lines


def _grouped(siblings: Sequence[Node], opened: set[int]) -> list[list[Node]]:
    """Siblings one by one, but those that are more than FOLD_OVER alike together, unless opened."""
    counts: dict[tuple[str, Kind], int] = {}
    for node in siblings:
        if id(node) not in opened:
            counts[_alike(node)] = counts.get(_alike(node), 0) + 1
    groups: list[list[Node]] = []
    folds: dict[tuple[str, Kind], list[Node]] = {}
    for node in siblings:
        alike = _alike(node)
        if id(node) in opened or counts[alike] <= FOLD_OVER:
            groups.append([node])
        elif alike in folds:
            folds[alike].append(node)
        else:
            folds[alike] = [node]
            groups.append(folds[alike])
    return groups


def _is(entry: _Line, span_id: str | None) -> bool:
    return len(entry.nodes) == 1 and entry.nodes[0].span.span_id.hex() == span_id


def _row(
    entry: _Line,
    index: int,
    scale: Scale,
    start: int,
    selected: str | None,
    uncounted: Mapping[str, str],
    names: dict[str, str],
    critical: Collection[int],
    sought: Collection[str],
) -> Row:
    node = entry.nodes[0]
    span = node.span
    span_id = span.span_id.hex()
    low = min(other.span.started_at for other in entry.nodes)
    high = max(other.span.ended_at for other in entry.nodes)
    x, width = scale.bar(low, high)
    folded = len(entry.nodes)
    notes = [_PLACE_WORDS[node.place]]
    error, errors = error_of(span), 0
    if folded > 1:
        errors = sum(1 for below in walk(entry.nodes) if below.span.status == "error")
        error = counted(errors, "error") if errors else ""
    elif span_id in uncounted:
        notes.append("counted once" if uncounted[span_id] in names else "not counted")
    worked = sum(other.span.ended_at - other.span.started_at for other in entry.nodes)
    return Row(
        span_id=span_id,
        index=index,
        level=entry.depth + 1,
        indent=min(entry.depth, _DEEPEST_INDENT),
        name=line(label_of(span), 120),
        kind=span.kind,
        letter=KIND_LETTERS[span.kind],
        kind_word=KIND_WORDS[span.kind],
        x=x,
        width=width,
        waits=_waits(scale, low, high),
        starts=duration(low - start),
        duration=duration(worked),
        error=line(error, 120) if error else [],
        is_error=bool(error),
        waiting=folded == 1 and span.attributes.get("clearance.waiting") is True,
        note="; ".join(note for note in notes if note),
        again=folded == 1 and span_id in uncounted,
        selected=folded == 1 and span_id == selected,
        critical=any(id(other) in critical for other in entry.nodes),
        found=any(other.span.span_id.hex() in sought for other in entry.nodes) if sought else False,
        folded=folded,
        fold_note=f"x{folded:,}" if folded > 1 else "",
    )


def _waits(scale: Scale, low: int, high: int) -> list[tuple[str, str]]:
    """The parts of a bar in which the agent waited, at most a few; drawn over the bar."""
    found: list[tuple[str, str]] = []
    for start, end in scale.waits:
        if start < high and end > low and len(found) < _MOST_WAITS_DRAWN:
            found.append(scale.bar(max(start, low), min(end, high), least=0.0))
    return found
