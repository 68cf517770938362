"""What a feature's dashboard shows over a window: its figures and plots, variants side by side, models, tools, marks;
and the same numbers to take away.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from features.models import Feature
from features.problems import BadField
from features.window import Window
from traces.figures import Figure, Side, dollars, further, headline, visible
from traces.filters import traces_url
from traces.marks import Mark, marks_of
from traces.metrics import (
    STEPS,
    MetricGroup,
    Quantiles,
    Report,
    SeriesPoint,
    Share,
    Spent,
    Step,
    metric_report,
    metrics,
)
from traces.models import Trace
from traces.plots import MOST_VARIANTS, Plot, overview_plots
from traces.search.tree import Match, written
from traces.statistics import Rate, rate_of

__all__ = ["Dashboard", "begun", "dashboard", "default_step", "numbers_csv", "numbers_json", "read_step"]

_HOURLY_UP_TO: Final = timedelta(hours=49)
_BY_MINUTE_UP_TO: Final = timedelta(hours=2)
_MOST_STEPS: Final = 800
_WEEK: Final = timedelta(days=7)
_MOST_LINES: Final = 12
_FAILURES: Final = 8


class Compared(msgspec.Struct, frozen=True):
    """A measure of every variant, in the order of the columns."""

    label: str
    figures: list[Figure]


class Part(msgspec.Struct, frozen=True):
    """A model or a tool: how many requests it is part of, and how it does."""

    name: str
    url: str
    failures: str  # where its failed requests are
    group: MetricGroup
    share: Rate | None
    cost: str


class Failure(msgspec.Struct, frozen=True):
    """A request that failed."""

    trace_id: str
    request_id: str
    name: str
    started_at: datetime
    outcome_source: str
    models: list[str]
    tool_calls: int
    tool_errors: int
    worked_seconds: float


class Dashboard(msgspec.Struct, frozen=True):
    """Everything that the page shows."""

    total: MetricGroup
    figures: list[Figure]
    more: list[Figure]
    variants: list[str]
    undrawn: int
    comparison: list[Compared]
    models: list[Part]
    tools: list[Part]
    plots: list[Plot]
    lacking: list[str]  # plots without a single value
    marks: list[Mark]
    failures: list[Failure]
    failures_url: str
    no_outcome: bool
    no_price: bool


def default_step(window: Window) -> Step:
    """Minutes for two hours or less, hours for two days or less, else days."""
    length = min(window.end, datetime.now(UTC)) - window.start
    if length <= _BY_MINUTE_UP_TO:
        return "minute"
    return "hour" if length <= _HOURLY_UP_TO else "day"


def read_step(text: str, window: Window) -> Step:
    """The step that a URL asks for, empty: the default one. Raises BadField, also for more steps than can be drawn."""
    if text and text not in STEPS:
        raise BadField("step", f"The plots go by {', '.join(STEPS)}, not by '{text[:40]}'.")
    step = next((known for known in STEPS if known == text), default_step(window))
    steps = (min(window.end, datetime.now(UTC)) - window.start) / STEPS[step]
    if steps > _MOST_STEPS:
        raise BadField(
            "step",
            f"By {step} this window has {steps:,.0f} steps; at most {_MOST_STEPS} are drawn. Narrow it.",
        )
    return step


def begun(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    """A series without the steps that have not begun yet and are empty, as the last ones of a window up to now are."""
    now = datetime.now(UTC)
    last = max(
        (at for at, point in enumerate(points) if point.start <= now or point.group.requests), default=-1
    )
    return list(points[: last + 1])


def dashboard(feature: Feature, window: Window, step: Step) -> Dashboard:
    """The dashboard of a window, compared with the same window a week before."""
    report = metric_report(feature, window.start, window.end, step)
    ends = min(window.end, datetime.now(UTC))
    before = metrics(feature, window.start - _WEEK, max(ends, window.start) - _WEEK)[0]
    points = begun(report.points)
    drawn = {name: steps[: len(points)] for name, steps in report.variant_points.items()}
    marks = marks_of(feature, window.start, window.end)
    names = sorted(report.variants, key=lambda name: (name != "baseline", name))[:MOST_VARIANTS]
    total, query = report.total, window.query
    side = Side(feature, query, total, before, "week before")
    plots = overview_plots(feature, points, drawn, marks)
    return Dashboard(
        total=total,
        figures=headline(side),
        more=further(side),
        variants=[visible(name) for name in names] if len(names) > 1 else [],
        undrawn=len(report.variants) - len(names),
        comparison=_comparison(feature, query, [report.variants[name] for name in names]),
        models=_parts(feature, window, "model", report.models, total.requests),
        tools=_parts(feature, window, "tool", report.tools),
        plots=[plot for plot in plots if plot.drawn],
        lacking=[plot.title.lower() for plot in plots if not plot.drawn],
        marks=marks,
        failures=_failures(feature, window) if total.failed.k else [],
        failures_url=traces_url(feature, query, outcome="failed"),
        no_outcome=total.requests > 0 and total.task_success.n == 0,
        no_price=total.requests > 0 and total.cost_per_success_usd.unknown.k > 0,
    )


def _comparison(feature: Feature, query: Mapping[str, str], groups: Sequence[MetricGroup]) -> list[Compared]:
    """Each measure of all variants; the first is what the others are held against."""
    if len(groups) < 2:
        return []
    first = groups[0]
    since = visible(first.by["variant"])
    sides = [Side(feature, query, group, None if group is first else first, since) for group in groups]
    measures = zip(
        *(
            [
                msgspec.structs.replace(figure, of=visible(side.now.by["variant"]))
                for figure in [*headline(side), *further(side)]
            ]
            for side in sides
        ),
        strict=True,
    )
    return [
        Compared(figures[0].label, list(figures))
        for figures in measures
        if not all(figure.lacking for figure in figures)
    ]


def _parts(
    feature: Feature, window: Window, dimension: str, groups: Sequence[MetricGroup], of: int | None = None
) -> list[Part]:
    """The models or tools of the window, the most used first; `of`: all requests, for a share of them."""
    groups = sorted(groups, key=lambda group: (-group.requests, group.by[dimension]))
    return [
        Part(
            name=visible(group.by[dimension]),
            url=traces_url(feature, window.query, **{dimension: group.by[dimension]}),
            failures=traces_url(feature, window.query, q=written(Match("tool_error", group.by[dimension]))),
            group=group,
            share=None if of is None else rate_of(min(group.requests, of), of),
            cost=dollars(group.cost_usd),
        )
        for group in groups[:_MOST_LINES]
    ]


def _failures(feature: Feature, window: Window) -> list[Failure]:
    """The latest requests of the window that failed, by an index of their own."""
    failed = Trace.objects.filter(
        feature=feature, outcome="failed", started_at__gte=window.start, started_at__lt=window.end
    ).defer("summary")
    return [
        Failure(
            trace_id=bytes(trace.trace_id).hex(),
            request_id=visible(trace.request_id),
            name=visible(trace.name),
            started_at=trace.started_at,
            outcome_source=trace.outcome_source,
            models=[visible(name) for name in trace.models],
            tool_calls=trace.tool_calls,
            tool_errors=trace.tool_errors,
            worked_seconds=(trace.duration_ns - trace.waiting_ns) / 1e9,
        )
        for trace in failed.order_by("-started_at", "-trace_id")[:_FAILURES]
    ]


# --- to take away ----------------------------------------------------------------------------------------

_HEADINGS: Final = ("from", "to", "variant", "metric", "value", "k", "n", "low", "high")


def numbers_json(feature: Feature, window: Window, step: Step) -> dict[str, object]:
    """The dashboard's numbers as the metrics API has them: of the window, of its steps, of each variant."""
    report = metric_report(feature, window.start, window.end, step)
    return {
        "feature": feature.slug,
        "from": _time(window.start),
        "to": _time(window.end),
        "step": step,
        "total": report.total,
        "variants": list(report.variants.values()),
        "steps": [
            {"from": _time(point.start), "to": _time(point.end), **msgspec.to_builtins(point.group)}
            for point in begun(report.points)
        ],
    }


def numbers_csv(feature: Feature, window: Window, step: Step) -> str:
    """The same, a line for each number: when, of which variant (empty: all), its interval where it is an estimate."""
    report = metric_report(feature, window.start, window.end, step)
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(_HEADINGS)
    for start, end, variant, group in _groups(report, window):
        for name, cells in _lines(group):
            write([_time(start), _time(end), _harmless(variant), name, *cells])
    return out.getvalue()


def _groups(report: Report, window: Window) -> Iterator[tuple[datetime, datetime, str, MetricGroup]]:
    yield window.start, window.end, "", report.total
    for name, group in report.variants.items():
        yield window.start, window.end, name, group
    for point in begun(report.points):
        yield point.start, point.end, "", point.group


def _lines(group: MetricGroup) -> Iterator[tuple[str, list[object]]]:
    """Every metric of a group as (name, value, k, n, low, high)."""
    for name in group.__struct_fields__:
        value = getattr(group, name)
        if isinstance(value, Rate):
            yield name, [value.rate, value.k, value.n, value.low, value.high]
        elif isinstance(value, Share):
            yield name, [value.rate, value.k, value.n, None, None]
        elif isinstance(value, Quantiles):
            yield f"{name}.p50", [value.p50, None, value.n, None, None]
            yield f"{name}.p95", [value.p95, None, value.n, None, None]
        elif isinstance(value, Spent):
            yield name, [value.value, None, value.n, None, None]
            unknown = value.unknown
            yield f"{name}.unknown", [unknown.rate, unknown.k, unknown.n, unknown.low, unknown.high]
        elif name == "tokens_per_success":
            yield name, [value.value, None, value.n, None, None]
        elif name != "by":
            yield name, [value, None, None, None, None]


def _harmless(text: str) -> str:
    """A name of an agent's that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
