"""What templates share: one place for each of statuses, times, numbers, icons and form controls."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django import template
from django.forms import BoundField, Select
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from features import numbers

register = template.Library()

register.filter("count", numbers.count)
register.filter("percent", numbers.percent)
register.filter("percent_bare", numbers.percent_bare)
register.filter("seconds", numbers.seconds)
register.filter("milliseconds", numbers.milliseconds)
register.filter("size", numbers.size)

# The tone of every status word; a word that is not here is drawn calm. Colours mean: good is proven or done,
# warn needs a look, bad is broken, unknown is not said.
TONES: Final = {
    "success": "good",
    "allow": "good",
    "approve": "good",
    "approved": "good",
    "succeeded": "good",
    "ready": "good",
    "needs approval": "warn",
    "pending": "warn",
    "never collected": "warn",
    "taint": "taint",
    "warn": "warn",
    "deny": "bad",
    "denied": "bad",
    "reject": "bad",
    "rejected": "bad",
    "ok": "good",
    "present": "good",
    "in use": "good",
    "stored": "good",
    "escalated": "",
    "abandoned": "warn",
    "missing": "warn",
    "incomplete": "warn",
    "partly stored": "warn",
    "failed": "bad",
    "error": "bad",
    "refused": "bad",
    "violation": "bad",
    "unknown": "unknown",
    "not applicable": "unknown",
    "never used": "unknown",
    "revoked": "unknown",
    "expired": "unknown",
}
WORDS: Final = {
    "not_applicable": "not applicable",
    "unknown": "unknown",
    "needs_approval": "needs approval",
}

_ICONS: Final = {
    "brand": '<path d="M12.6 4.6a5.6 5.6 0 1 0 .9 4.2"/><path d="m5.4 7.8 2.2 2.2 5.6-6"/>',
    "menu": '<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>',
    "close": '<path d="m4 4 8 8M12 4l-8 8"/>',
    "search": '<circle cx="7" cy="7" r="4.2"/><path d="m10.2 10.2 3.3 3.3"/>',
    "person": '<circle cx="8" cy="5.4" r="2.6"/><path d="M2.8 13.6c.7-2.6 2.7-4 5.2-4s4.5 1.4 5.2 4"/>',
    "copy": '<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/>'
    '<path d="M10.5 2.5H4A1.5 1.5 0 0 0 2.5 4v6.5"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawn sign beside a word or inside a labelled button; nothing for those who listen."""
    return format_html(
        '<svg class="icon" width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" '
        'stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{}</svg>',
        mark_safe(_ICONS[name]),  # noqa: S308 - our own constants
    )


@register.inclusion_tag("components/badge.html")
def badge(status: str, word: str = "", title: str = "") -> dict[str, str]:
    """A status as pill: `status` chooses the tone, `word` is shown in its place when given."""
    return {
        "tone": TONES.get(WORDS.get(status, status), ""),
        "word": word or WORDS.get(status, status),
        "title": title,
    }


@register.simple_tag
def when(at: datetime | None, never: str = "never") -> SafeString | str:
    """A time as people read it, with the exact one on hover and for the browser to put into their zone."""
    if at is None:
        return never
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        numbers.exact(at),
        numbers.relative(at, datetime.now(UTC)),
    )


@register.inclusion_tag("components/rate.html")
def rate(value: object, link: str = "", short: bool = False) -> dict[str, object]:
    """A rate with its interval and n, or "not enough data" when n is 0; `short` stacks it for a table."""
    return {"rate": value, "link": link, "short": short}


@register.simple_tag
def spark(values: Sequence[float | None], bad: bool = False) -> SafeString | str:
    """A small line of a series; gaps where a value is None. Shape only: the figures stand beside it.

    Scaled from 0 to the greatest value, so that a flat line at the bottom means zero.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    top = max(known) or 1.0
    step = 96 / max(len(values) - 1, 1)
    points = [
        None if value is None else (index * step, 22 - 20 * value / top) for index, value in enumerate(values)
    ]
    parts: list[str] = []
    pen_down = False
    for point in points:
        if point is None:
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{point[0]:.1f} {point[1]:.1f}")
        pen_down = True
    return format_html(
        '<svg class="spark{}" viewBox="-1 0 98 24" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="{}"/></svg>',
        " bad" if bad else "",
        " ".join(parts),
    )


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """The input of a form's field, tied to its help and errors; by hand, because the markup is ours."""
    described = [f"{field.id_for_label}_help"] if field.help_text else []
    described += [f"{field.id_for_label}_wrong"] if field.errors else []
    attributes: dict[str, Any] = {
        "id": field.id_for_label,
        "name": field.html_name,
        **field.field.widget.attrs,
        **({"required": True} if field.field.required else {}),
        **({"aria-describedby": " ".join(described)} if described else {}),
        **({"aria-invalid": "true"} if field.errors else {}),
    }
    if limit := getattr(field.field, "max_length", None):
        attributes["maxlength"] = limit
    value = field.value() or ""
    if isinstance(field.field.widget, Select):
        choices = [
            (key, mark_safe(" selected") if str(key) == str(value) else "", words)
            for key, words in field.field.widget.choices
        ]
        options = format_html_join("", '<option value="{}"{}>{}</option>', choices)
        return format_html("<select{}>{}</select>", _written(attributes), options)
    if getattr(field.field.widget, "input_type", None) is None:
        return format_html("<textarea{}>{}</textarea>", _written(attributes), value)
    kind = field.field.widget.input_type
    shown = {} if kind == "password" else {"value": value}
    return format_html("<input{}>", _written({"type": kind, **attributes, **shown}))


def _written(attributes: dict[str, Any]) -> SafeString:
    return format_html_join(
        "",
        "{}",
        (
            (format_html(" {}", name) if value is True else format_html(' {}="{}"', name, value),)
            for name, value in attributes.items()
        ),
    )


@register.filter
def get(mapping: Mapping[str, object] | None, key: str) -> object:
    """What a mapping holds under a key that is known only while drawing; nothing for none."""
    return (mapping or {}).get(key, "")
