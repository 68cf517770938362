"""What the lists of traces share: the figures of a row, and the choices of a filter."""

from collections.abc import Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from features import numbers
from traces.facets import FacetValue
from traces.present import words
from traces.queries import TraceRow

register = template.Library()

register.filter("outcome_source", words.outcome_source)


@register.filter
def worked(row: TraceRow) -> float:
    """Milliseconds from start to end without the time that it waited for a person."""
    return row.duration_ms - row.waiting_ms


@register.filter
def tokens(row: TraceRow) -> int:
    """Input and output tokens together."""
    return row.input_tokens + row.output_tokens


@register.simple_tag
def counted(values: Sequence[FacetValue], value: str) -> str:
    """How many traces of the window have this value, in brackets."""
    return next((f" ({numbers.count(one.count)})" for one in values if one.value == value), " (0)")


@register.simple_tag
def facet_select(name: str, values: Sequence[FacetValue], chosen: str | None) -> SafeString:
    """A choice among the values that the window's traces have; the chosen one stays."""
    known = [(one.value, f"{one.value} ({numbers.count(one.count)})") for one in values if one.value]
    if chosen and chosen not in {value for value, _ in known}:
        known.append((chosen, f"{chosen} (0)"))
    options = format_html_join(
        "",
        '<option value="{}"{}>{}</option>',
        ((value, SafeString(" selected") if value == chosen else "", text) for value, text in known),
    )
    return format_html(
        '<label>{}<select name="{}" id="f-{}"><option value="">any</option>{}</select></label>',
        name.capitalize(),
        name,
        name,
        options,
    )


@register.inclusion_tag("components/badge.html")
def violations(count: int) -> dict[str, str]:
    """How many rules were broken, as a status."""
    return {"tone": "bad", "word": words.counted(count, "violation"), "title": ""}


@register.simple_tag
def completeness(row: TraceRow) -> SafeString:
    """Fields of completeness that are not missing, as a figure and as dots; what is missing on hover."""
    missing = ", ".join(words.FIELD_WORDS.get(field, field) for field in row.missing)
    dots = format_html_join(
        "", '<i class="{}"></i>', (("",) if at < row.complete else ("no",) for at in range(row.of))
    )
    return format_html(
        '<span class="nowrap"{}>{} of {} <span class="dots" aria-hidden="true">{}</span></span>{}',
        format_html(' title="missing: {}"', missing) if missing else "",
        row.complete,
        row.of,
        dots,
        format_html('<small class="dim visually-hidden">missing: {}</small>', missing) if missing else "",
    )
