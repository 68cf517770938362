"""What the pages of samples share."""

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from features.models import Feature
from reviews.models import Sample, SampleItem

register = template.Library()

_MINUS = "\u2212"


@register.simple_tag
def sample_name(sample: Sample) -> str:
    """A sample as people call it: its week, or its window."""
    return sample.week or f"{sample.starts_at:%-d %b %H:%M} to {sample.ends_at:%-d %b %H:%M}"


@register.simple_tag
def trace_address(feature: Feature, item: SampleItem) -> str:
    """Where the request of an item is."""
    return reverse("trace", args=[feature.slug, bytes(item.trace_id).hex()])


@register.simple_tag
def steps(value: float | None) -> str:
    """A difference with its sign: `+0.4`, `-0.2`."""
    if value is None:
        return ""
    text = f"{abs(value):.1f}"
    return text if text == "0.0" else f"{'+' if value > 0 else _MINUS}{text}"


@register.simple_tag
def share_bar(share: float, passes: bool) -> SafeString:
    """A bar of a share (0 to 1); shape only, the count stands beside it."""
    return format_html(
        '<svg class="share-bar{}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8"/></svg>',
        " passes" if passes else "",
        f"{share * 100:.1f}",
    )


@register.filter
def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()
