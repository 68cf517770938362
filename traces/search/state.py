"""The state of a list of traces, read from and written to its URL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec
from django.http import QueryDict

from features.problems import BadField
from features.window import WITH_ALL, Window, parse_window
from traces.search.cursors import ORDERS, Order
from traces.search.searching import BadLine, read_line
from traces.search.tree import And, Match, Node, written

__all__ = ["COLUMNS", "Chip", "ListState", "line_of", "line_with", "old_parameters", "parse_list_state"]

# The columns of a list, as they stand in the URL and as the page names them; the request is always there.
COLUMNS: Final = {
    "when": "When",
    "outcome": "Outcome",
    "model": "Model",
    "tools": "Tools",
    "tokens": "Tokens",
    "cost": "Cost",
    "worked": "Worked",
    "complete": "Complete",
    "user": "User",
    "session": "Session",
    "version": "Version",
    "error": "Error",
}
DEFAULT_COLUMNS: Final = ("when", "outcome", "model", "tools", "tokens", "worked", "complete")
# What the URL said of filters before there was a line; links of old still open what they opened.
_OLD_TEXTS: Final = ("outcome", "status", "variant", "model", "tool", "user", "session", "missing")
_OLD_FLAGS: Final = ("violation", "tool_error", "incomplete")
_MAX_TEXT: Final = 300


class Chip(msgspec.Struct, frozen=True):
    """A term in force, and the query string without it."""

    words: str
    without: str
    line: str  # the line without it


class ListState(msgspec.Struct, frozen=True):
    """What a list shows, as it stands in the URL. `wrong`: the line cannot be read, so nothing is shown."""

    line: str
    node: Node | None
    wrong: BadLine | None
    window: Window
    order: Order
    columns: tuple[str, ...]
    cursor: str | None

    @property
    def start(self) -> datetime | None:
        """Where the window starts; None: all that is kept."""
        return None if self.window.name == "all" else self.window.start

    @property
    def end(self) -> datetime | None:
        """Where the window ends; None: all that is kept."""
        return None if self.window.name == "all" else self.window.end

    @property
    def query(self) -> dict[str, str]:
        """The parameters that reproduce the list, from its first page."""
        return {
            **({"q": self.line} if self.line else {}),
            **self.window.query,
            **({"order": self.order} if self.order != "newest" else {}),
            **({"columns": ",".join(self.columns)} if self.columns != DEFAULT_COLUMNS else {}),
        }

    def with_line(self, line: str) -> str:
        """The query string of the same list by another line."""
        kept = {name: value for name, value in self.query.items() if name != "q"}
        return "?" + urlencode({**({"q": line} if line else {}), **kept})

    @property
    def chips(self) -> list[Chip]:
        """The terms in force; the time window is not one of them."""
        nodes = terms_of(self.node)
        chips = []
        for at, node in enumerate(nodes):
            line = " ".join(written(one) for n, one in enumerate(nodes) if n != at)
            chips.append(Chip(written(node), self.with_line(line), line))
        return chips


def terms_of(node: Node | None) -> Sequence[Node]:
    """The terms that stand beside each other."""
    if node is None:
        return ()
    return node.nodes if isinstance(node, And) else (node,)


def line_with(line: str, node: Node) -> str:
    """The line with one more term."""
    return f"{line} {written(node)}".strip()


def parse_list_state(parameters: QueryDict, now: datetime) -> ListState:
    """The state that a URL asks for. Raises BadField, naming the parameter and what it takes; what is wrong in the
    line is part of the state.
    """
    line = (parameters.get("q") or "").strip()
    node, wrong = None, None
    try:
        node = read_line(line)
    except BadLine as error:
        wrong = error
    order = parameters.get("order") or "newest"
    if order not in ORDERS:
        known = ", ".join(ORDERS)
        raise BadField("order", f"The order is one of {known}, not '{order[:40]}'.")
    columns = (
        tuple(dict.fromkeys(",".join(parameters.getlist("columns")).split(",")))
        if parameters.get("columns")
        else ()
    )
    if unknown := [name for name in columns if name and name not in COLUMNS]:
        raise BadField("columns", f"columns knows {', '.join(COLUMNS)}; not '{unknown[0][:40]}'.")
    return ListState(
        line=line,
        node=node,
        wrong=wrong,
        window=parse_window(parameters, now, WITH_ALL),
        order=order,
        columns=tuple(name for name in COLUMNS if name in columns) or DEFAULT_COLUMNS,
        cursor=parameters.get("cursor") or None,
    )


def line_of(filters: Mapping[str, str]) -> str:
    """The line of filters by name: `outcome="failed"`, `violation="1"`, any key of the grammar. `q` stands first.
    Raises BadField for a value that cannot be.
    """
    terms = [filters["q"]] if filters.get("q") else []
    for name, value in filters.items():
        if name == "q" or not value:
            continue
        if name in _OLD_FLAGS:
            if value not in {"0", "1"}:
                raise BadField(name, f"'{name}' is 1 or left out, not '{value[:40]}'.")
            terms += [f"has:{name}"] if value == "1" else []
            continue
        if len(value) > _MAX_TEXT:
            raise BadField(name, f"'{name}' is longer than {_MAX_TEXT} characters; no trace has one so long.")
        term = written(Match(name, value))
        try:
            read_line(term)
        except BadLine as wrong:
            raise BadField(name, wrong.message) from None
        terms.append(term)
    return " ".join(terms)


def old_parameters(parameters: QueryDict) -> str | None:
    """The query string by a line of a URL that still filters by parameters; None: it does not. Raises BadField."""
    names = [name for name in (*_OLD_TEXTS, *_OLD_FLAGS) if name in parameters]
    if not names:
        return None
    old = {name: (parameters.get(name) or "").replace("\x00", "\ufffd").strip() for name in names}
    line = line_of({"q": parameters.get("q") or "", **old})
    kept = parameters.copy()
    for name in (*names, "q", "cursor"):
        kept.pop(name, None)
    if line:
        kept["q"] = line
    return kept.urlencode()
