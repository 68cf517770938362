"""The lists of traces: the search line, its rows, what stands around them, what comes while one looks."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRedirect

from features.errors import ClearanceError
from features.models import Feature, Person
from features.pages import page, person_of
from features.queries import feature_for, features_for
from features.window import parse_window
from traces.models import Trace
from traces.present.text import Piece, line
from traces.queries import TraceRow, last_trace_at, row_of
from traces.reveal_views import may_reveal
from traces.search.clear_text import personal_data, with_tokens
from traces.search.cursors import ORDERS
from traces.search.execute import EXACT_UP_TO, TooBroad
from traces.search.figures import facets, histogram
from traces.search.ids import MAX_ID, Absence, Named, absence, looks_like_id, named
from traces.search.keys import FAMILIES, KEYS
from traces.search.saved import saved_searches
from traces.search.searching import BadLine, SearchPage, Total, search
from traces.search.snippets import Snippet, searched, snippet
from traces.search.state import COLUMNS, ListState, line_with, old_parameters, parse_list_state, terms_of
from traces.search.suggest import suggest
from traces.search.texts import documents_of
from traces.search.tree import Match, Not, Substring, Text, written

PAGE_SIZE = 50
_WAIT_SECONDS = 25.0
_LOOK_EVERY_SECONDS = 1.0
_HELP = (*KEYS.values(), *FAMILIES)


class Row(msgspec.Struct, frozen=True):
    """A line of the list with the place in its text that was found."""

    trace: TraceRow
    name: list[Piece]
    found: Snippet


class Drop(msgspec.Struct, frozen=True):
    """A term that hides everything, the address without it, and how many there would be."""

    words: str
    url: str
    total: Total | None


@page
@require_http_methods(["GET", "HEAD", "POST"])
def all_traces(request: HttpRequest) -> HttpResponse:
    """The traces of all my features. POST takes what was typed and sends on to the address of its list."""
    return _answer(request, list(features_for(person_of(request))), None)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def feature_traces(request: HttpRequest, slug: str) -> HttpResponse:
    """The traces of one feature; an ID opens what it names, of whichever feature of mine."""
    feature = feature_for(request.user, slug)
    return _answer(request, [feature], feature)


def _answer(request: HttpRequest, features: Sequence[Feature], feature: Feature | None) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    if request.method != "POST" and (translated := old_parameters(request.GET)) is not None:
        return HttpResponseRedirect(f"{request.path}?{translated}")
    typed = (given.get("q") or "").strip()
    mine = list(features_for(person_of(request)))
    if typed and len(typed) <= MAX_ID and (found := named(mine, typed)):
        return HttpResponseRedirect(_address_of(found))
    if typed and (kinds := personal_data(features, typed)):
        return _in_the_clear(request, features, feature, typed, kinds)
    if request.method == "POST":
        kept = {
            name: value
            for name, value in given.items()
            if name not in {"csrfmiddlewaretoken", "cursor"} and value
        }
        return HttpResponseRedirect(f"{request.path}?{urlencode(kept)}" if kept else request.path)
    return _list(request, features, feature, mine)


def _address_of(found: Named) -> str:
    """Where an ID leads: to its trace, or to the list of a session that has several."""
    newest = found.traces[0]
    if found.kind == "session" and len(found.traces) > 1:
        line = written(Match("session", newest.session_id or ""))
        return f"{reverse('feature_traces', args=[newest.feature.slug])}?{urlencode({'q': line, 'window': 'all'})}"
    span = f"?span={found.span}" if found.span else ""
    return reverse("trace", args=[newest.feature.slug, bytes(newest.trace_id).hex()]) + span


def _in_the_clear(
    request: HttpRequest, features: Sequence[Feature], feature: Feature | None, typed: str, kinds: list[str]
) -> HttpResponse:
    """A value in the clear becomes its token in the address, for who may reveal; it is never written into one."""
    allowed = [one for one in features if may_reveal(request, one)]
    line = with_tokens(allowed, typed) if allowed else None
    if line is not None:
        given = request.POST if request.method == "POST" else request.GET
        kept = {name: given[name] for name in ("window", "from", "to", "order", "columns") if given.get(name)}
        return HttpResponseRedirect(f"{request.path}?{urlencode({'q': line, **kept})}")
    context = {"feature": feature, "kinds": kinds, "too_many": bool(allowed)}
    return render(request, "traces/list_in_the_clear.html", context, status=403)


def _list(
    request: HttpRequest, features: Sequence[Feature], feature: Feature | None, mine: Sequence[Feature]
) -> HttpResponse:
    now = datetime.now(UTC)
    state = parse_list_state(request.GET, now)
    context, status = _context(request, state, features, feature), 200
    if state.wrong is not None:
        status = 400
    elif not context["rows"] and not state.cursor:
        status = _explain(context, state, features, mine)
    fragment = "#list" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, f"traces/list.html{fragment}", context, status=status)


def _context(
    request: HttpRequest, state: ListState, features: Sequence[Feature], feature: Feature | None
) -> dict[str, object]:
    """What the page and its rows need."""
    found, failed = _search(state, features)
    live = request.GET.get("live") == "1" and state.order == "newest" and not state.cursor
    return {
        "feature": feature,
        "state": state,
        "window": state.window,
        "failed": failed,
        "found": found,
        "rows": _rows(state, found.traces),
        "exact_up_to": EXACT_UP_TO,
        "wrong": _under_the_word(state.line, state.wrong) if state.wrong else None,
        "orders": ORDERS,
        "columns": [(name, words, name in state.columns) for name, words in COLUMNS.items()],
        "shown": [(name, COLUMNS[name]) for name in state.columns],
        "feature_column": 1 if feature else 2,
        "help": _HELP,
        "live": live,
        "mark": _mark(found.traces),
        "query": urlencode(state.query),
        "saved": saved_searches(person_of(request), feature),
        "parts": request.GET.get("parts") == "1",
        **(_figures(state, features) if request.GET.get("parts") == "1" and not failed else {}),
    }


def _search(
    state: ListState, features: Sequence[Feature], *, counted: bool = True
) -> tuple[SearchPage, ClearanceError | None]:
    nothing = SearchPage([], None, Total(0, exact=True))
    if state.wrong is not None:
        return nothing, None
    try:
        found = search(
            features,
            state.node,
            state.start,
            state.end,
            order=state.order,
            limit=PAGE_SIZE,
            counted=counted,
            bodies=False,
            cursor=state.cursor,
        )
    except TooBroad as error:
        return nothing, error
    return found, None


def _rows(state: ListState, traces: Sequence[Trace]) -> list[Row]:
    texts = searched(state.node)
    documents = documents_of(traces) if texts else {}
    return [
        Row(
            row_of(trace),
            line(trace.name or "unnamed", 120),
            snippet(documents.get((bytes(trace.trace_id), trace.feature_id), ""), texts),
        )
        for trace in traces
    ]


def _under_the_word(line: str, wrong: BadLine) -> dict[str, object]:
    """The line in three parts, the wrong one in the middle, why, and the line that may have been meant."""
    start = min(wrong.position or 0, len(line))
    end = start + wrong.length
    return {
        "before": line[:start],
        "word": line[start:end],
        "after": line[end:],
        "message": wrong.message,
        "mend": wrong.mend,
    }


def _mark(traces: Sequence[Trace]) -> str:
    """Changes when the first page would show something else."""
    said = "".join(f"{bytes(one.trace_id).hex()}{one.settled_at.isoformat()}" for one in traces)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _explain(
    context: dict[str, object], state: ListState, features: Sequence[Feature], mine: Sequence[Feature]
) -> int:
    """Why there is nothing: an ID that nobody knows, nothing yet, or terms that nothing answers to."""
    context["retention_days"] = settings.RETENTION_DAYS
    latest = [at for one in features if (at := last_trace_at(one))]
    context["latest"] = max(latest, default=None)
    term = state.node
    # A word without a digit is hardly an ID that somebody holds in hand.
    if isinstance(term, Text) and not term.prefix and re.search(r"\d", term.text):
        missing: Absence = absence(mine, term.text)
        context["sought"], context["absence"] = term.text, missing
        if looks_like_id(term.text) or missing.why == "settling":
            return 404
    context["drops"] = _drops(state, features)
    return 200


def _drops(state: ListState, features: Sequence[Feature]) -> list[Drop]:
    """What could be dropped when nothing matches, each with what it would show."""
    nodes = terms_of(state.node)
    found = []
    for at, chip in enumerate(state.chips[:5] if len(nodes) > 1 or state.window.name != "all" else []):
        rest = [node for n, node in enumerate(nodes) if n != at]
        if any(isinstance(node, Substring) for node in rest):
            continue
        found.append(Drop(chip.words, chip.without, _total(chip.line, state, features)))
    if state.window.name != "all":
        everything = msgspec.structs.replace(state, window=msgspec.structs.replace(state.window, name="all"))
        query = urlencode({**state.query, "window": "all"} | {"from": "", "to": ""})
        total = _total(state.line, everything, features)
        found.append(Drop(f"only {state.window.words}", f"?{query}", total))
    return found


def _total(line: str, state: ListState, features: Sequence[Feature]) -> Total | None:
    from traces.search.searching import read_line

    try:
        return search(features, read_line(line), state.start, state.end, limit=1).total
    except ClearanceError:
        return None


# --- around the list -------------------------------------------------------------------------------------


class FacetValue(msgspec.Struct, frozen=True):
    """A value of a facet: its count, the address of the list with it, and of the list without it."""

    value: str
    count: int
    url: str
    without: str
    on: bool


def _figures(state: ListState, features: Sequence[Feature]) -> dict[str, object]:
    """Facets and histogram; what takes too long is left out and said."""
    chosen = {written(node): node for node in terms_of(state.node)}
    try:
        counted = facets(features, state.node, state.start, state.end)
        bars = histogram(features, state.node, state.start, state.end)
    except ClearanceError as error:
        return {"figures_failed": error}
    groups = []
    for key, values in counted.values.items():
        entries = []
        for value, n in values:
            term = Match(key, value)
            on = written(term) in chosen
            rest = " ".join(words for words in chosen if words != written(term))
            url = state.with_line(rest if on else line_with(state.line, term))
            entries.append(FacetValue(value, n, url, state.with_line(line_with(state.line, Not(term))), on))
        groups.append((key, entries))
    top = max((bar.total for bar in bars), default=1) or 1
    return {
        "facets": groups,
        "facets_of": counted,
        "bars": [
            _bar(state, bar.start, bar.end, bar.total, bar.errors, top, n, len(bars))
            for n, bar in enumerate(bars)
        ],
        "bars_total": sum(bar.total for bar in bars),
    }


def _bar(
    state: ListState, start: datetime, end: datetime, total: int, errors: int, top: int, n: int, of: int
) -> dict[str, object]:
    """A bar as the page draws it, in a picture of 1000 by 100."""
    width = 1000 / of
    height, failed = 96 * total / top, 96 * errors / top
    kept = {name: value for name, value in state.query.items() if name not in {"window", "from", "to"}}
    times = {"from": _written(start), "to": _written(end)}
    return {
        "x": f"{n * width:.2f}",
        "width": f"{max(width - min(width * 0.15, 2), 0.5):.2f}",
        "y": f"{100 - height:.2f}",
        "height": f"{max(height, 1.5 if total else 0):.2f}",
        "error_y": f"{100 - failed:.2f}",
        "error_height": f"{failed:.2f}",
        "total": total,
        "errors": errors,
        "start": start,
        "from": times["from"],
        "to": times["to"],
        "url": "?" + urlencode({**kept, **times}),
    }


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@page
@require_safe
def list_parts(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """Facets and histogram of a list, which come after it."""
    features, feature = _features(request, slug)
    state = parse_list_state(request.GET, datetime.now(UTC))
    context: dict[str, object] = {"feature": feature, "state": state, "window": state.window, "parts": True}
    if state.wrong is None:
        context |= _figures(state, features)
    return render(request, "traces/list_parts.html", context)


@page
@require_safe
def suggestions(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """What may come next in the line, as the options of its list."""
    features, _ = _features(request, slug)
    window = parse_window(request.GET, datetime.now(UTC))
    offered = suggest(features, (request.GET.get("q") or "")[:2000], window.start, window.end)
    return render(request, "traces/list_suggestions.html", {"offered": offered})


def _features(request: HttpRequest, slug: str | None) -> tuple[list[Feature], Feature | None]:
    if slug is None:
        return list(features_for(person_of(request))), None
    feature = feature_for(request.user, slug)
    return [feature], feature


# --- live ------------------------------------------------------------------------------------------------


@never_cache
@require_GET
async def list_wait(request: HttpRequest, slug: str | None = None) -> HttpResponseBase:
    """The rows of a live list, answered when they are others than those marked `seen`, or after 25 s. Nothing is
    held between looks: no connection, no thread.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _WAIT_SECONDS
    while True:
        response = await sync_to_async(_look)(request, slug, loop.time() >= until)
        if response is not None:
            return response
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _look(request: HttpRequest, slug: str | None, late: bool) -> HttpResponse | None:
    """The rows if there is news or it is late, else None; access is asked for anew each time."""
    try:
        if not isinstance(request.user, Person):
            back = reverse("feature_traces", args=[slug]) if slug else reverse("traces")
            return HttpResponseClientRedirect(f"{settings.LOGIN_URL}?next={back}")
        try:
            features, feature = _features(request, slug)
            state = parse_list_state(request.GET, datetime.now(UTC))
            found, _ = _search(state, features, counted=False)
            mark = _mark(found.traces)
            if mark == request.GET.get("seen", "") and not late:
                return None
            context = {**_context(request, state, features, feature), "live": True}
        except ClearanceError as error:
            return HttpResponse(str(error), status=error.status, content_type="text/plain; charset=utf-8")
        context["news"] = mark != request.GET.get("seen", "")
        return render(request, "traces/list.html#rows", context)
    finally:
        connection.close()
