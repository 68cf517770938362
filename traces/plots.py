"""Figures of the overview as plotly's JSON: plain data, colours by token, so that the browser paints both
schemes. Baseline and canary share the axes of a figure, so its scale too. Beside every figure stands the table of its
numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final, cast
from urllib.parse import quote

import msgspec

from features import numbers
from features.models import Feature
from traces.figures import RATES, RateMeasure, dollars, visible
from traces.filters import traces_url
from traces.marks import Mark
from traces.metrics import MetricGroup, Quantiles, SeriesPoint, Share
from traces.statistics import Rate

__all__ = ["MOST_VARIANTS", "Plot", "TableRow", "overview_plots"]

Json = Mapping[str, object]
Number = float | None

# An agent's own names (variants) are escaped as a line's name, and never part of a template, which plotly reads.
_FONT: Final = {"family": "ui-sans-serif, system-ui, sans-serif", "size": 11, "color": "token:ink2"}
_LOOKS: Final = (
    ("token:ink3", "diamond"),
    ("token:accent", "circle"),
    ("token:warn", "square"),
    ("token:good", "x"),
)
MOST_VARIANTS: Final = len(_LOOKS)


class TableRow(msgspec.Struct, frozen=True):
    """A step of time in the table beside a plot: its start, where its requests are, the figures in words."""

    words: str
    url: str
    cells: list[str]


class Plot(msgspec.Struct, frozen=True):
    """A figure with the table that says the same."""

    key: str
    title: str
    note: str
    figure: Json
    columns: list[str]
    rows: list[TableRow]

    @property
    def drawn(self) -> bool:
        """Whether any step has a value."""
        lines = cast(list[dict[str, list[object]]], self.figure["data"])
        return any(value is not None for line in lines for value in line["y"])


class _Track(msgspec.Struct, frozen=True):
    """A line of every figure: all traces, or one variant's."""

    name: str  # empty: all traces
    points: Sequence[SeriesPoint]
    colour: str
    symbol: str

    @property
    def filters(self) -> dict[str, str]:
        return {"variant": self.name} if self.name else {}

    def called(self, what: str = "") -> str:
        """Its name with what a line or column of it shows."""
        return ", ".join(part for part in (what, visible(self.name)) if part)


class _Column(msgspec.Struct, frozen=True):
    """A column of a table, computed from a step's group."""

    title: str
    cell: Callable[[MetricGroup], str]


class _Desk:
    """What all figures of a page share: the feature, its tracks over the steps, the marks."""

    def __init__(
        self,
        feature: Feature,
        points: Sequence[SeriesPoint],
        variants: Mapping[str, Sequence[SeriesPoint]],
        marks: Sequence[Mark],
    ) -> None:
        self.feature, self.points, self.marks = feature, points, marks
        names = sorted(variants, key=lambda name: (name != "baseline", name))[:MOST_VARIANTS]
        self.tracks = (
            [_Track(name, variants[name], *look) for name, look in zip(names, _LOOKS, strict=False)]
            if len(names) > 1
            else [_Track("", points, "token:accent", "circle")]
        )
        # Without a zone plotly draws the clock as written: UTC, as the page says.
        self.times = [f"{point.start:%Y-%m-%dT%H:%M:%S}" for point in points]
        whole_days = all(point.end - point.start == timedelta(days=1) for point in points)
        self._starts = [
            f"{point.start:%-d %b}" if whole_days else f"{point.start:%-d %b %H:%M}" for point in points
        ]
        self._ends = [(_written(point.start), _written(point.end)) for point in points]

    def urls(self, **filters: str) -> list[str]:
        """The requests of each step: one address, with the times put in, because there are many of them."""
        pattern = traces_url(self.feature, {"from": "FROM0", "to": "TO0"}, **filters)
        return [pattern.replace("FROM0", start).replace("TO0", end) for start, end in self._ends]

    def rows(self, columns: Sequence[_Column], **filters: str) -> tuple[list[str], list[TableRow]]:
        """The table: its titles and a line for each step, of every track."""
        titles = [track.called(column.title) for track in self.tracks for column in columns]
        lines = zip(self._starts, self.urls(**filters), *(track.points for track in self.tracks), strict=True)
        return titles, [
            TableRow(start, url, [column.cell(one.group) for one in of_tracks for column in columns])
            for start, url, *of_tracks in lines
        ]

    def layout(self, y: Json, legend: bool = False) -> dict[str, object]:
        shown = legend or len(self.tracks) > 1
        marks = [f"{mark.at:%Y-%m-%dT%H:%M:%S}" for mark in self.marks]
        return {
            "margin": {"l": 52, "r": 12, "t": 44 if shown else 20, "b": 36},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": _FONT,
            "showlegend": shown,
            "legend": {"orientation": "h", "x": 0, "y": 1.06, "yanchor": "bottom", "font": _FONT},
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": "token:panel",
                "bordercolor": "token:control",
                "font": {"color": "token:ink"},
            },
            "bargap": 0.15,
            "xaxis": {**_axis(type="date", showgrid=False), "fixedrange": False},
            "yaxis": y,
            "shapes": [
                {
                    "type": "line",
                    "x0": at,
                    "x1": at,
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": "token:control", "width": 1, "dash": "dot"},
                }
                for at in marks
            ],
            "annotations": [
                {
                    "x": at,
                    "yref": "paper",
                    "y": 1,
                    "yanchor": "bottom",
                    "showarrow": False,
                    "text": str(index),
                    "font": _FONT,
                }
                for index, at in enumerate(marks, start=1)
            ],
        }


def _written(at: datetime) -> str:
    return quote(at.astimezone(UTC).isoformat().replace("+00:00", "Z"), safe="")


def _text(name: str) -> str:
    """A name for plotly, which takes some markup, links too, where it takes text."""
    return escape(name, quote=False)


def _axis(**more: object) -> Json:
    return {
        "gridcolor": "token:line",
        "linecolor": "token:line",
        "zerolinecolor": "token:line",
        "fixedrange": True,
        "tickfont": _FONT,
        **more,
    }


def _line(desk: _Desk, track: _Track, y: Sequence[Number], urls: list[str], **more: object) -> Json:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": _text(track.called()),
        "x": desk.times,
        "y": list(y),
        "customdata": urls,
        "connectgaps": False,
        "line": {"color": track.colour, "width": 2},
        "marker": {"size": 6, "color": track.colour, "symbol": track.symbol},
        **more,
    }


def _volume(desk: _Desk) -> Plot:
    """Requests in each step; where the outcome is unknown they are drawn apart."""
    groups = [point.group for point in desk.points]
    bars: list[Json] = [
        {
            "type": "bar",
            "name": "outcome known",
            "x": desk.times,
            "y": [group.unknown_outcome.n - group.unknown_outcome.k for group in groups],
            "customdata": desk.urls(),
            "marker": {"color": "token:accent"},
        },
        {
            "type": "bar",
            "name": "outcome unknown",
            "x": desk.times,
            "y": [group.unknown_outcome.k for group in groups],
            "customdata": desk.urls(outcome="unknown"),
            "marker": {"color": "token:calm-bg", "line": {"color": "token:control", "width": 1}},
        },
    ]
    columns, rows = desk.rows(
        [
            _Column("Requests", lambda group: numbers.count(group.requests)),
            _Column("Outcome unknown", lambda group: numbers.count(group.unknown_outcome.k)),
        ]
    )
    layout = {**desk.layout(_axis(rangemode="tozero"), legend=True), "barmode": "stack"}
    return Plot(
        "volume",
        "Requests",
        "with the unknown outcomes apart",
        {"data": bars, "layout": layout},
        columns,
        rows,
    )


def _rate_plot(desk: _Desk, measure: RateMeasure) -> Plot:
    """A rate in each step with its 95 % interval as bars; a step without data is a gap, not 0."""
    lines, tops = [], []
    for track in desk.tracks:
        rates = [measure.pick(point.group) for point in track.points]
        lines.append(
            _line(
                desk,
                track,
                [None if rate.rate is None else rate.rate * 100 for rate in rates],
                desk.urls(**track.filters, **measure.filters),
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [((rate.high or 0) - (rate.rate or 0)) * 100 for rate in rates],
                    "arrayminus": [((rate.rate or 0) - (rate.low or 0)) * 100 for rate in rates],
                    "color": track.colour if track.name else "token:control",
                    "thickness": 1.2,
                    "width": 3,
                },
                text=[f"{rate.k} of {rate.n}" for rate in rates],
                hovertemplate="%{x|%-d %b %H:%M}<br>%{y:.1f} %, %{text}<extra></extra>",
            )
        )
        tops += [rate.high * 100 for rate in rates if rate.high is not None]
    columns, rows = desk.rows(
        [
            _Column(measure.label, lambda group: _bare(measure.pick(group))),
            _Column("95 % interval", lambda group: _interval(measure.pick(group))),
            _Column("n", lambda group: numbers.count(measure.pick(group).n)),
        ],
        **measure.filters,
    )
    # From 0 to what is reached, at least 5 %, never over 100: a small rate must stay readable.
    reach = [0, min(max(max(tops, default=100.0) * 1.08, 5.0), 104.0)]
    figure = {"data": lines, "layout": desk.layout(_axis(ticksuffix=" %", range=reach))}
    return Plot(measure.key, measure.label, f"of {measure.of}", figure, columns, rows)


def _bare(rate: Rate) -> str:
    return numbers.percent(rate.rate) if rate.n else "not enough data"


def _interval(rate: Rate) -> str:
    return f"{numbers.percent_bare(rate.low)} to {numbers.percent_bare(rate.high)}" if rate.n else ""


def _quantile_plot(
    desk: _Desk,
    key: str,
    title: str,
    note: str,
    pick: Callable[[MetricGroup], Quantiles],
    written: Callable[[Number], str],
    unit: str,
    order: str = "",
) -> Plot:
    """p50 (dotted) and p95 of each step."""
    filters = {"order": order} if order else {}
    shape = ":.2f" if unit else ":,.0f"
    lines = []
    for track in desk.tracks:
        urls = desk.urls(**track.filters, **filters)
        values = [pick(point.group) for point in track.points]
        p50, p95 = [value.p50 for value in values], [value.p95 for value in values]
        for name, y, dash in (("p95", p95, "solid"), ("p50", p50, "dot")):
            lines.append(
                _line(
                    desk,
                    track,
                    y,
                    urls,
                    name=_text(track.called(name)),
                    line={"color": track.colour, "width": 2 if name == "p95" else 1.4, "dash": dash},
                    marker={"size": 6 if name == "p95" else 4, "color": track.colour, "symbol": track.symbol},
                    text=[f"n {value.n:,}" for value in values],
                    hovertemplate=f"%{{x|%-d %b %H:%M}}<br>{name} %{{y{shape}}}{unit}, %{{text}}<extra></extra>",
                )
            )
    columns, rows = desk.rows(
        [
            _Column("p50", lambda group: written(pick(group).p50) or "not enough data"),
            _Column("p95", lambda group: written(pick(group).p95)),
            _Column("n", lambda group: numbers.count(pick(group).n)),
        ],
        **filters,
    )
    layout = desk.layout(_axis(rangemode="tozero", ticksuffix=unit), legend=True)
    return Plot(key, title, note, {"data": lines, "layout": layout}, columns, rows)


def _value_plot(
    desk: _Desk,
    key: str,
    title: str,
    note: str,
    pick: Callable[[MetricGroup], tuple[Number, str]],
    cells: Sequence[_Column],
    hover: str,
    **y: object,
) -> Plot:
    """A number in each step with a word on what it is of; a step without one is a gap."""
    lines = []
    for track in desk.tracks:
        values = [pick(point.group) for point in track.points]
        lines.append(
            _line(
                desk,
                track,
                [value for value, _ in values],
                desk.urls(**track.filters),
                text=[words for _, words in values],
                hovertemplate=f"%{{x|%-d %b %H:%M}}<br>{hover}, %{{text}}<extra></extra>",
            )
        )
    columns, rows = desk.rows(cells)
    figure = {"data": lines, "layout": desk.layout(_axis(rangemode="tozero", **y))}
    return Plot(key, title, note, figure, columns, rows)


def _tokens(desk: _Desk) -> Plot:
    return _value_plot(
        desk,
        "tokens",
        "Tokens per success",
        "of all requests, in and out",
        lambda group: (group.tokens_per_success.value, f"{group.tokens_per_success.n} successful"),
        [
            _Column(
                "Tokens", lambda group: numbers.count(group.tokens_per_success.value) or "not enough data"
            ),
            _Column("Successful", lambda group: numbers.count(group.tokens_per_success.n)),
        ],
        "%{y:,.0f} tokens",
    )


def _cost(desk: _Desk) -> Plot:
    def value(group: MetricGroup) -> tuple[Number, str]:
        spent = group.cost_per_success_usd
        return None if spent.value is None else float(spent.value), f"{spent.n} successful"

    def cell(group: MetricGroup) -> str:
        spent = group.cost_per_success_usd
        if spent.unknown.k:
            return f"unknown for {numbers.count(spent.unknown.k)}"
        return dollars(spent.value) or "not enough data"

    return _value_plot(
        desk,
        "cost",
        "Cost per success",
        "of all requests; a gap where a price is not known",
        value,
        [
            _Column("Cost", cell),
            _Column("Successful", lambda group: numbers.count(group.cost_per_success_usd.n)),
        ],
        "$%{y:.4f}",
        tickprefix="$",
    )


def _cache(desk: _Desk) -> Plot:
    def share(group: MetricGroup) -> Share:
        return group.cache_hit

    return _value_plot(
        desk,
        "cache_hit",
        "Cache hits",
        "of input tokens",
        lambda group: (
            None if share(group).rate is None else (share(group).rate or 0) * 100,
            f"{share(group).k:,} of {share(group).n:,} tokens",
        ),
        [
            _Column("Cached", lambda group: numbers.percent(share(group).rate) or "not enough data"),
            _Column("Input tokens", lambda group: numbers.count(share(group).n)),
        ],
        "%{y:.1f} %",
        ticksuffix=" %",
    )


def overview_plots(
    feature: Feature,
    points: Sequence[SeriesPoint],
    variants: Mapping[str, Sequence[SeriesPoint]],
    marks: Sequence[Mark],
) -> list[Plot]:
    """The overview's figures, in their order. `variants` have the same steps as `points`; two or more are drawn
    apart, baseline first.
    """
    desk = _Desk(feature, points, variants, marks)
    return [
        _rate_plot(desk, RATES["task_success"]),
        _volume(desk),
        _rate_plot(desk, RATES["policy_violation"]),
        _rate_plot(desk, RATES["tool_failure"]),
        _quantile_plot(
            desk,
            "latency",
            "Latency",
            "worked, without waiting for people",
            lambda group: group.latency_seconds,
            numbers.seconds,
            " s",
            "slowest",
        ),
        _cost(desk),
        _tokens(desk),
        _rate_plot(desk, RATES["escalation"]),
        _rate_plot(desk, RATES["retry"]),
        _quantile_plot(
            desk,
            "context",
            "Context size",
            "tokens of a request's largest call",
            lambda group: group.context_tokens,
            numbers.count,
            "",
        ),
        _cache(desk),
        _quantile_plot(
            desk,
            "waiting",
            "Waiting for a person",
            "of the requests that waited",
            lambda group: group.waiting_seconds,
            numbers.seconds,
            " s",
        ),
    ]
