"""Draws what agents and people wrote, on one line, with everything invisible in it marked."""

from django import template
from django.utils.safestring import SafeString

from traces.present.text import pieces as pieces_of
from traces.templatetags.trace_page import pieces

register = template.Library()


@register.simple_tag
def words(text: str) -> SafeString:
    """The text isolated from what stands round it, its hidden characters as code points."""
    return pieces(pieces_of(text))
