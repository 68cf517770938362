"""The table beside a plot. Written here and not in a template: a page has a dozen, with thirty lines each."""

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from traces.plots import Plot

register = template.Library()


@register.simple_tag
def plot_rows(plot: Plot) -> SafeString:
    """A line for each step, the newest first; its time opens its requests."""
    return format_html_join(
        "\n",
        '<tr><td class="nowrap"><a href="{}">{}</a></td>{}</tr>',
        (
            (
                row.url,
                row.words,
                format_html_join("", '<td class="num">{}</td>', ((cell,) for cell in row.cells)),
            )
            for row in reversed(plot.rows)
        ),
    )
