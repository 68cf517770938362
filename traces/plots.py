"""Figures of the overview as plotly's JSON: plain data, colours by token, so that the browser paints both
schemes. Every figure has the table of its numbers beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from features import numbers
from features.models import Feature
from traces.filters import traces_url
from traces.metrics import MetricGroup, SeriesPoint
from traces.statistics import Rate

Json = Mapping[str, object]

# plotly reads "%{...}" in a template; a name of ours never stands in one.
_FONT: Final = {"family": "ui-sans-serif, system-ui, sans-serif", "size": 11, "color": "token:ink2"}


class TableRow(msgspec.Struct, frozen=True):
    """A step of time in the table beside a plot: its start, where its requests are, the figures in words."""

    point: SeriesPoint
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


def _axis(**more: object) -> Json:
    return {
        "gridcolor": "token:line",
        "linecolor": "token:line",
        "zerolinecolor": "token:line",
        "fixedrange": True,
        "tickfont": _FONT,
        **more,
    }


def _layout(y: Json, legend: bool = False) -> Json:
    return {
        "margin": {"l": 46, "r": 12, "t": 44 if legend else 12, "b": 36},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": _FONT,
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": _FONT},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "token:panel",
            "bordercolor": "token:control",
            "font": {"color": "token:ink"},
        },
        "bargap": 0.15,
        "xaxis": _axis(type="date", showgrid=False),
        "yaxis": y,
    }


def _times(points: Sequence[SeriesPoint]) -> list[str]:
    # Without a zone plotly draws the clock as written: UTC, as the page says.
    return [point.start.strftime("%Y-%m-%dT%H:%M:%S") for point in points]


def _urls(feature: Feature, points: Sequence[SeriesPoint], **filters: str) -> list[str]:
    return [
        traces_url(
            feature, {"from": _iso(point), "to": point.end.isoformat().replace("+00:00", "Z")}, **filters
        )
        for point in points
    ]


def _iso(point: SeriesPoint) -> str:
    return point.start.isoformat().replace("+00:00", "Z")


def _line(name: str, x: list[str], y: Sequence[float | None], urls: list[str], **more: object) -> Json:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": x,
        "y": list(y),
        "customdata": urls,
        "connectgaps": False,
        "line": {"color": "token:accent", "width": 2},
        "marker": {"size": 6, "color": "token:accent"},
        **more,
    }


def _rate_words(rate: Rate) -> list[str]:
    if not rate.n:
        return ["not enough data", "", "0"]
    low, high = numbers.percent_bare(rate.low), numbers.percent_bare(rate.high)
    return [numbers.percent(rate.rate), f"{low} to {high}", numbers.count(rate.n)]


def volume_plot(feature: Feature, points: Sequence[SeriesPoint]) -> Plot:
    """Requests in each step; where the outcome is unknown they are drawn apart."""
    urls = _urls(feature, points)
    unknown = _urls(feature, points, outcome="unknown")
    x = _times(points)
    known = [point.group.unknown_outcome.n - point.group.unknown_outcome.k for point in points]
    bars: list[Json] = [
        {
            "type": "bar",
            "name": "outcome known",
            "x": x,
            "y": known,
            "customdata": urls,
            "marker": {"color": "token:accent"},
        },
        {
            "type": "bar",
            "name": "outcome unknown",
            "x": x,
            "y": [point.group.unknown_outcome.k for point in points],
            "customdata": unknown,
            "marker": {"color": "token:calm-bg", "line": {"color": "token:control", "width": 1}},
        },
    ]
    rows = [
        TableRow(
            point, url, [numbers.count(point.group.requests), numbers.count(point.group.unknown_outcome.k)]
        )
        for point, url in zip(points, urls, strict=True)
    ]
    layout = {**_layout(_axis(rangemode="tozero"), legend=True), "barmode": "stack"}
    return Plot(
        "volume",
        "Requests",
        "with the unknown outcomes apart",
        {"data": bars, "layout": layout},
        ["Requests", "Outcome unknown"],
        rows,
    )


def rate_plot(
    key: str,
    title: str,
    feature: Feature,
    points: Sequence[SeriesPoint],
    pick: Callable[[MetricGroup], Rate],
    of: str,
    **filters: str,
) -> Plot:
    """A rate in each step with its 95 % interval as bars; a step without data is a gap, not 0."""
    urls = _urls(feature, points, **filters)
    rates = [pick(point.group) for point in points]
    values = [None if rate.rate is None else rate.rate * 100 for rate in rates]
    above = [0.0 if rate.high is None else (rate.high - (rate.rate or 0)) * 100 for rate in rates]
    below = [0.0 if rate.low is None else ((rate.rate or 0) - rate.low) * 100 for rate in rates]
    figure = {
        "data": [
            _line(
                title,
                _times(points),
                values,
                urls,
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": above,
                    "arrayminus": below,
                    "color": "token:control",
                    "thickness": 1.2,
                    "width": 3,
                },
                text=[f"{rate.k} of {rate.n}" for rate in rates],
                hovertemplate="%{x|%-d %b %H:%M}<br>%{y:.1f} %, %{text}<extra></extra>",
            )
        ],
        "layout": _layout(_axis(ticksuffix=" %", range=_range(values, above))),
    }
    rows = [
        TableRow(point, url, _rate_words(rate)) for point, url, rate in zip(points, urls, rates, strict=True)
    ]
    return Plot(key, title, of, figure, [title, "95 % interval", "n"], rows)


def _range(values: Sequence[float | None], above: Sequence[float]) -> list[float]:
    """From 0 to what is reached, at least 5 %, never over 100: a small rate must stay readable."""
    top = max(
        (value + up for value, up in zip(values, above, strict=True) if value is not None), default=100.0
    )
    return [0, min(max(top * 1.08, 5.0), 104.0)]


def latency_plot(feature: Feature, points: Sequence[SeriesPoint]) -> Plot:
    """p50 and p95 of the time worked, in seconds; waiting for people is left out."""
    urls = _urls(feature, points, order="slowest")
    x = _times(points)
    quantiles = [point.group.latency_seconds for point in points]
    lines = [
        _line(
            name,
            x,
            values,
            urls,
            line={"color": colour, "width": 2, "dash": dash},
            marker={"size": 6, "color": colour, "symbol": symbol},
            hovertemplate="%{x|%-d %b %H:%M}<br>%{y:.2f} s<extra>" + name + "</extra>",
        )
        for name, values, colour, dash, symbol in (
            ("p95", [quantile.p95 for quantile in quantiles], "token:accent", "solid", "circle"),
            ("p50", [quantile.p50 for quantile in quantiles], "token:ink3", "dot", "diamond"),
        )
    ]
    rows = [
        TableRow(
            point,
            url,
            [numbers.seconds(q.p50) or "not enough data", numbers.seconds(q.p95), numbers.count(q.n)],
        )
        for point, url, q in zip(points, urls, quantiles, strict=True)
    ]
    layout = _layout(_axis(rangemode="tozero", ticksuffix=" s"), legend=True)
    return Plot(
        "latency",
        "Latency",
        "worked, without waiting for people",
        {"data": lines, "layout": layout},
        ["p50", "p95", "n"],
        rows,
    )


def tokens_plot(feature: Feature, points: Sequence[SeriesPoint]) -> Plot:
    """Tokens of all requests in each step for each that succeeded; a step without a success is a gap."""
    urls = _urls(feature, points)
    spent = [point.group.tokens_per_success for point in points]
    line = _line(
        "Tokens per successful task",
        _times(points),
        [one.value for one in spent],
        urls,
        text=[f"{one.n} successful" for one in spent],
        hovertemplate="%{x|%-d %b %H:%M}<br>%{y:,.0f} tokens, %{text}<extra></extra>",
    )
    rows = [
        TableRow(
            point,
            url,
            [
                "not enough data" if one.value is None else numbers.count(round(one.value)),
                numbers.count(one.n),
            ],
        )
        for point, url, one in zip(points, urls, spent, strict=True)
    ]
    return Plot(
        "tokens",
        "Tokens per successful task",
        "of all requests, in and out",
        {"data": [line], "layout": _layout(_axis(rangemode="tozero"))},
        ["Tokens", "Successful"],
        rows,
    )


def overview_plots(feature: Feature, points: Sequence[SeriesPoint]) -> list[Plot]:
    """The overview's figures, in their order."""
    return [
        rate_plot(
            "success",
            "Task success",
            feature,
            points,
            lambda group: group.task_success,
            "of requests with a known outcome",
        ),
        volume_plot(feature, points),
        rate_plot(
            "violations",
            "Policy violations",
            feature,
            points,
            lambda group: group.policy_violation,
            "of requests",
            violation="1",
        ),
        rate_plot(
            "tools",
            "Tool failures",
            feature,
            points,
            lambda group: group.tool_failure,
            "of tool calls",
            tool_error="1",
        ),
        latency_plot(feature, points),
        tokens_plot(feature, points),
    ]
