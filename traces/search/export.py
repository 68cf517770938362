"""Export: all rows of a search as CSV or JSON lines, in batches by keyset, so that memory stays the same for millions.

Each batch is a search of its own: no cursor is held open, no connection between batches, and who loses the right to
see a feature while it runs gets no further batch.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from django.core.cache import cache

from features.models import Feature
from traces.models import Trace
from traces.search import execute
from traces.search.compiled import Compiled
from traces.search.cursors import Order
from traces.search.execute import Scope
from traces.search.searching import traces_of

__all__ = ["FORMATS", "Format", "Progress", "batches", "note_progress", "progress_of", "text_of"]

Format = Literal["csv", "json"]
FORMATS: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/x-ndjson; charset=utf-8",
}
BATCH: Final = 2_000
_KEPT_SECONDS: Final = 3600
_FIELDS: Final = (
    "trace_id request_id feature name started_at duration_ms waiting_ms status outcome outcome_source variant version "
    "user_id session_id models tools tool_calls tool_errors llm_calls llm_errors input_tokens output_tokens "
    "cached_input_tokens cost_usd retries violated_rules missing error"
).split()
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Progress(msgspec.Struct):
    """How far an export is: rows sent, whether it ended, and what stopped it."""

    rows: int
    done: bool = False
    failed: str = ""


def batches(
    scope: Scope, query: Compiled, order: Order, still: Callable[[], Sequence[UUID]]
) -> Iterator[list[Trace]]:
    """The rows in order, batch by batch; `still` says which features may be seen now."""
    cursor: str | None = None
    while True:
        allowed = set(still())
        seen = Scope(tuple(one for one in scope.features if one in allowed), scope.start, scope.end)
        found = execute.find(seen, query, order, BATCH, cursor)
        yield traces_of(found.hits, bodies=False)
        cursor = found.next
        if cursor is None:
            return


def text_of(traces: Sequence[Trace], form: Format, *, first: bool) -> str:
    """A batch as the lines of the file; the first of a CSV begins with the names of the columns."""
    if form == "json":
        encode = msgspec.json.Encoder().encode
        return "".join(encode(_fields(trace)).decode() + "\n" for trace in traces)
    out = io.StringIO()
    writer = csv.writer(out)
    if first:
        writer.writerow(_FIELDS)
    writer.writerows([[_cell(value) for value in _fields(trace).values()] for trace in traces])
    return out.getvalue()


def _fields(trace: Trace) -> dict[str, Any]:
    values = (
        bytes(trace.trace_id).hex(),
        trace.request_id,
        trace.feature.slug,
        trace.name,
        trace.started_at.isoformat().replace("+00:00", "Z"),
        trace.duration_ns / 1e6,
        trace.waiting_ns / 1e6,
        trace.status,
        trace.outcome,
        trace.outcome_source,
        trace.variant,
        trace.feature_version,
        trace.user_id,
        trace.session_id,
        trace.models,
        trace.tools,
        trace.tool_calls,
        trace.tool_errors,
        trace.llm_calls,
        trace.llm_errors,
        trace.input_tokens,
        trace.output_tokens,
        trace.cached_input_tokens,
        None if trace.cost_usd is None else format(trace.cost_usd.normalize(), "f"),
        trace.retries,
        trace.violated_rules,
        trace.missing,
        trace.error_signature,
    )
    return dict(zip(_FIELDS, values, strict=True))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float | Decimal):
        return str(value)
    text = "; ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def features_of(features: Sequence[Feature]) -> tuple[UUID, ...]:
    """The IDs of features."""
    return tuple(one.pk for one in features)


def note_progress(person: UUID | int, export: str, progress: Progress) -> None:
    """Keep how far an export is, for the page that shows it."""
    cache.set(_key(person, export), msgspec.json.encode(progress).decode(), _KEPT_SECONDS)


def progress_of(person: UUID | int, export: str) -> Progress | None:
    """How far an export of this person is; None: it has not begun, or long ago."""
    found = cache.get(_key(person, export))
    return msgspec.json.decode(found, type=Progress) if found else None


def _key(person: UUID | int, export: str) -> str:
    return f"export:{person}:{export}"
