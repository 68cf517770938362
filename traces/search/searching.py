"""One search from its line to its rows: read, ask the database what its words mean, compile, execute."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from typing import Final
from uuid import UUID

from django.db import connection

from features.errors import ClearanceError
from features.models import Feature
from traces.models import Trace
from traces.search import execute
from traces.search.compiled import Compiled, Resolved, compile_query, leaves
from traces.search.cursors import Order
from traces.search.execute import EXACT_UP_TO, Looked, Scope
from traces.search.grammar import BadQuery, parse
from traces.search.known import known_values
from traces.search.tree import Match, Node, Text

__all__ = ["BadLine", "SearchPage", "Total", "prepare", "read_line", "scope_of", "search", "total"]

# Windows of "all that is kept" end here: no feature keeps traces for longer.
_LONGEST: Final = timedelta(days=4000)
_AHEAD: Final = timedelta(days=2)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class BadLine(ClearanceError):
    """A search line that cannot be read: which characters, and the line that may have been meant."""

    def __init__(self, wrong: BadQuery) -> None:
        super().__init__("invalid", wrong.message, field="q", position=wrong.position)
        self.length = wrong.length
        self.mend = wrong.mend


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are; `exact` False: at least so many."""

    n: int
    exact: bool

    @property
    def body(self) -> int | dict[str, int]:
        """As the API says it."""
        return self.n if self.exact else {"at_least": self.n}


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of traces, in order; `next` is the cursor of the page after it."""

    traces: list[Trace]
    next: str | None
    total: Total
    looked: Looked | None = None


def read_line(line: str) -> Node | None:
    """The tree of a line. Raises BadLine."""
    try:
        return parse(line)
    except BadQuery as wrong:
        raise BadLine(wrong) from None


def scope_of(features: Sequence[Feature], start: datetime | None, end: datetime | None) -> Scope:
    """The features and the time; None: all that is kept."""
    now = datetime.now(UTC)
    first, last = now - _LONGEST, now + _AHEAD
    return Scope(
        tuple(one.pk for one in features),
        max(start.astimezone(UTC), first) if start else first,
        min(end.astimezone(UTC), last) if end else last,
    )


def prepare(features: Sequence[Feature], node: Node | None) -> Compiled:
    """Ask what its words and wildcards mean, and compile. Raises BadLine for a text without a word."""
    terms = leaves(node)
    slugs = {one.slug.lower(): one.pk for one in features}
    globs = [term for term in terms if isinstance(term, Match) and term.pattern == "glob"]
    resolved = Resolved(
        texts=_phrases([term for term in terms if isinstance(term, Text)]),
        features=lambda match: _features(match, slugs),
        globs={match: _covered(match.value, known_values(features, match.key)) for match in globs},
    )
    return compile_query(node, resolved)


def search(
    features: Sequence[Feature],
    node: Node | None,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    order: Order = "newest",
    limit: int = 50,
    cursor: str | None = None,
    counted: bool = True,
    bodies: bool = True,
) -> SearchPage:
    """A page of the traces of these features that started in [start, end) and answer to the tree.

    `counted` False: the total is that of the page; `bodies` False: the rows come without their summaries. Raises
    BadLine, BadField for a cursor of another list, TooBroad when it takes too long.
    """
    scope = scope_of(features, start, end)
    query = prepare(features, node)
    found = execute.find(scope, query, order, limit, cursor)
    whole = not cursor and found.next is None
    if whole:
        n = Total(len(found.hits), exact=True)
    elif found.looked is not None or not counted:
        n = Total(len(found.hits), exact=False)
    else:
        n = total(scope, query)
        # Where counting took too long, what is seen is what is known.
        seen = len(found.hits) + (found.next is not None)
        n = n if n.exact else Total(max(n.n, seen), exact=False)
    return SearchPage(traces_of(found.hits, bodies=bodies), found.next, n, found.looked)


def total(scope: Scope, query: Compiled, up_to: int = EXACT_UP_TO) -> Total:
    """How many answer to a query without substrings: exact up to `up_to`."""
    n = execute.count(scope, query, up_to)
    if n is None:
        return Total(0, exact=False)
    return Total(min(n, up_to), exact=n <= up_to)


def traces_of(hits: Sequence[execute.Hit], *, bodies: bool) -> list[Trace]:
    """The trace rows of what was found, in its order; without `bodies`, without their summaries."""
    if not hits:
        return []
    keys = [(hit.trace_id, hit.feature_id) for hit in hits]
    # By the trace IDs alone, which is the key's first part; another feature's row under one is dropped below.
    rows = Trace.objects.filter(trace_id__in={trace_id for trace_id, _ in keys}).select_related("feature")
    rows = rows if bodies else rows.defer("summary")
    found = {(bytes(row.trace_id), row.feature_id): row for row in rows}
    return [found[key] for key in keys if key in found]


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text)


def _phrases(texts: Sequence[Text]) -> dict[Text, str]:
    """The tsquery of each text, as the database reads words."""
    if not texts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT search_phrase(said, prefix)::text FROM unnest(%s::text[], %s::boolean[]) "
            "WITH ORDINALITY t (said, prefix, n) ORDER BY n",
            [[_plain(text.text) for text in texts], [text.prefix for text in texts]],
        )
        found = [row[0] for row in cursor.fetchall()]
    for text, asked in zip(texts, found, strict=True):
        if not asked:
            message = 'There is no word to look for. As characters: ~"...".'
            raise BadLine(BadQuery(text.position, max(text.length, 1), message))
    return dict(zip(texts, found, strict=True))


def _features(match: Match, slugs: Mapping[str, UUID]) -> list[UUID]:
    """Those of my features that the value names; one that I may not see is one that does not exist."""
    if match.pattern == "any":
        return list(slugs.values())
    value = match.value.lower()
    if match.pattern == "exact":
        return [slugs[value]] if value in slugs else []
    wanted = f"{value}*" if match.pattern == "prefix" else value
    return [slugs[slug] for slug in _covered(wanted, list(slugs))]


def _covered(pattern: str, values: Sequence[str]) -> list[str]:
    """The values that a pattern covers: `*` stands for any characters, all else for itself."""
    literal = "*".join(re.sub(r"([\[?])", r"[\1]", part) for part in pattern.lower().split("*"))
    fits = re.compile(translate(literal))
    return [value for value in values if fits.match(value.lower())]
