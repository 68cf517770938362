"""Draws formatted text: each element by a template of our own, all text escaped."""

from typing import Final

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from reviews.formatted import Element, Inside, Name
from traces.present.text import Piece
from traces.templatetags.trace_page import draw_piece

register = template.Library()

_ELEMENTS: Final[dict[Name, str]] = {
    "p": "<p>{}</p>",
    "ul": "<ul>{}</ul>",
    "ol": "<ol>{}</ol>",
    "li": "<li>{}</li>",
    "em": "<em>{}</em>",
    "strong": "<strong>{}</strong>",
    "s": "<s>{}</s>",
    "code": "<code>{}</code>",
    "pre": "<pre>{}</pre>",
    "blockquote": "<blockquote>{}</blockquote>",
    "table": '<div class="wide"><table>{}</table></div>',
    "thead": "<thead>{}</thead>",
    "tbody": "<tbody>{}</tbody>",
    "tr": "<tr>{}</tr>",
    "th": '<th scope="col">{}</th>',
    "td": "<td>{}</td>",
    "hr": "<hr>{}",
    "br": "<br>{}",
    "heading": '<p class="heading">{}</p>',
}


@register.simple_tag
def elements(inside: Inside) -> SafeString:
    """Stored text as its lists, tables and emphasis, isolated from what stands round it."""
    return format_html('<div class="formatted" dir="auto">{}</div>', _joined(inside))


def _joined(inside: Inside) -> SafeString:
    return format_html_join("", "{}", ((_drawn(one),) for one in inside))


def _drawn(one: Element | Piece) -> SafeString:
    if isinstance(one, Piece):
        return draw_piece(one)
    return format_html(_ELEMENTS[one.name], _joined(one.inside))
