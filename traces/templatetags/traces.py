"""What the lists of traces share: the figures of a row, its text, and addresses."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from urllib.parse import urlencode

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from traces.present import words
from traces.present.text import Piece, line
from traces.queries import TraceRow
from traces.search.saved import address
from traces.search.state import ListState

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


@register.filter
def dollars(cost: Decimal | None) -> str:
    """An amount with the figures that count; what is unknown is not nothing."""
    if cost is None:
        return "unknown"
    return f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


@register.filter
def query(items: Iterable[tuple[str, str]]) -> str:
    """Parameters as a query string."""
    return urlencode(list(items))


@register.filter
def with_line(state: ListState, line: str) -> str:
    """The address of the same list by another line."""
    return state.with_line(line)


register.filter("saved_address", address)


@register.simple_tag
def pieces(said: Sequence[Piece]) -> SafeString:
    """Stored text as pieces: what would hide or turn round is named, tokens are short."""
    return format_html_join(
        "",
        "{}",
        (
            (
                one.text
                if one.kind == "plain"
                else format_html(
                    '<span class="{}" title="{}">{}</span>',
                    "redacted" if one.kind == "token" else "tag",
                    one.title,
                    one.text,
                ),
            )
            for one in said
        ),
    )


@register.filter
def said(text: str | None, absent: str = "") -> SafeString | str:
    """A stored name on one line, as `pieces` draws it; `absent` where there is none."""
    return pieces(line(text, 200)) if text else absent


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
