"""The weeks' figures as plotly's JSON, as `traces/plots.py` has it: plain data, colours by token. Beside every figure
stands the table of its numbers.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import msgspec
from django.urls import reverse

from features import numbers
from features.models import Feature
from reviews.trends import Trend, WeekFigure

__all__ = ["WeekPlot", "WeekRow", "week_plots"]

Json = Mapping[str, object]

_FONT: Final = {"family": "ui-sans-serif, system-ui, sans-serif", "size": 11, "color": "token:ink2"}
_MOST_TICKS: Final = 8
_TICKS: Final = [0, 25, 50, 75, 100]
_TICK_TEXT: Final = [f"{tick} %" for tick in _TICKS]


class WeekRow(msgspec.Struct, frozen=True):
    """A week in the table beside a plot."""

    figure: WeekFigure
    url: str


class WeekPlot(msgspec.Struct, frozen=True):
    """A criterion's figure by week, with the table that says the same."""

    key: str
    title: str
    figure: Json
    rows: tuple[WeekRow, ...]  # the newest first
    rubrics: tuple[str, ...]  # where another rubric began, in words


def week_plots(feature: Feature, found: Sequence[Trend]) -> list[WeekPlot]:
    """A plot for each criterion that has two weeks or more: one alone shows nothing that its figure does not."""
    return [_plot(feature, trend) for trend in found if len(trend.weeks) > 1]


def _plot(feature: Feature, trend: Trend) -> WeekPlot:
    urls = [_url(feature, one, trend.criterion.key) for one in trend.weeks]
    changes = [
        one for before, one in zip(trend.weeks, trend.weeks[1:], strict=False) if one.rubric != before.rubric
    ]
    return WeekPlot(
        key=trend.criterion.key,
        title=trend.criterion.name,
        figure={"data": [_line(trend, urls)], "layout": _layout(trend, changes)},
        rows=tuple(WeekRow(one, url) for one, url in reversed(list(zip(trend.weeks, urls, strict=True)))),
        rubrics=tuple(f"rubric {one.rubric} from {one.week}" for one in changes),
    )


def _url(feature: Feature, one: WeekFigure, criterion: str) -> str:
    return f"{reverse('sample', args=[feature.slug, one.sample])}?criterion={criterion}#items"


def _line(trend: Trend, urls: list[str]) -> Json:
    shares = [one.share for one in trend.weeks]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(trend.criterion.name, quote=False),
        "x": [one.week for one in trend.weeks],
        "y": [None if share.rate is None else share.rate * 100 for share in shares],
        "customdata": urls,
        "line": {"color": "token:accent", "width": 2},
        "marker": {"size": 7, "color": "token:accent", "symbol": "circle"},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [((share.high or 0) - (share.rate or 0)) * 100 for share in shares],
            "arrayminus": [((share.rate or 0) - (share.low or 0)) * 100 for share in shares],
            "color": "token:control",
            "thickness": 1.2,
            "width": 4,
        },
        "text": [
            f"{numbers.percent_bare(share.low)} to {numbers.percent_bare(share.high)}, n {share.n}"
            for share in shares
        ],
        "hovertemplate": "%{x}<br>%{y:.1f} % pass, %{text}<extra></extra>",
    }


def _layout(trend: Trend, changes: Sequence[WeekFigure]) -> Json:
    weeks = [one.week for one in trend.weeks]
    every = -(-len(weeks) // _MOST_TICKS)
    shown = weeks[::-1][::every][::-1]
    axis = {
        "gridcolor": "token:line",
        "linecolor": "token:line",
        "zerolinecolor": "token:line",
        "fixedrange": True,
        "tickfont": _FONT,
    }
    return {
        "margin": {"l": 48, "r": 12, "t": 14, "b": 30},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": _FONT,
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "token:panel",
            "bordercolor": "token:control",
            "font": {"color": "token:ink"},
        },
        "xaxis": {
            **axis,
            "type": "category",
            "showgrid": False,
            "tickvals": shown,
            "ticktext": [week[5:] for week in shown],
        },
        # A whole scale: 96 and 91 are near each other at this size, and must look it.
        "yaxis": {**axis, "range": [0, 104], "tickvals": _TICKS, "ticktext": _TICK_TEXT},
        "shapes": [
            {
                "type": "line",
                "xref": "x",
                # Halfway between the last week of the old rubric and the first of the new one.
                "x0": weeks.index(one.week) - 0.5,
                "x1": weeks.index(one.week) - 0.5,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": "token:control", "width": 1, "dash": "dot"},
            }
            for one in changes
        ],
    }
