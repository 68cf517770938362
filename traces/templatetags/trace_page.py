"""Draws stored text: the one place where pieces become HTML, each escaped, with white space exactly as
stored.
"""

from collections.abc import Sequence
from itertools import groupby

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from traces.present.signs import Passage
from traces.present.text import Piece, Shown, count_signs
from traces.present.words import counted, number, size

register = template.Library()

_TEMPLATES = {
    "plain": "{0}",
    "hidden": '<span class="hidden-char"{1}>{0}</span>',
    "token": '<span class="redacted"{1}>{0}</span>',
    "mark": "<mark{1}>{0}</mark>",
    "added": "<ins{1}>{0}</ins>",
    "removed": "<del{1}>{0}</del>",
}


def draw_piece(piece: Piece) -> SafeString:
    """One piece, escaped, in the element of its kind."""
    title = format_html(' title="{}"', piece.title) if piece.title else ""
    return format_html(_TEMPLATES[piece.kind], piece.text, title)


@register.simple_tag
def pieces(parts: Sequence[Piece]) -> SafeString:
    """Stored text inside a line, isolated so that its direction turns nothing round it."""
    return format_html("<bdi>{}</bdi>", _joined(parts))


@register.simple_tag
def stored(text: Shown, raw: str = "", mono: bool = False) -> SafeString:
    """Stored text as a block: its start, the rest folded with its size; `raw` is the raw span's address."""
    anchors: set[str] = set()
    said = [_block(text.lead, mono, anchors)] if text.lead or not text.left_out else []
    if text.rest:
        said.append(
            format_html(
                '<details class="rest"><summary>{} more characters, {} in all{}</summary>{}</details>',
                number(text.rest_characters),
                size(text.size),
                _folded_signs(count_signs(text.rest)),
                _block(text.rest, mono, anchors, folded=True),
            )
        )
    if text.left_out:
        where = format_html('the <a href="{}">raw span</a>', raw) if raw else "the raw span"
        said.append(
            format_html('<p class="aside">{} more characters stand in {}.</p>', number(text.left_out), where)
        )
    if text.cut_from is not None:
        said.append(
            format_html('<p class="aside">Cut when it was received: it had {}.</p>', size(text.cut_from))
        )
    return format_html_join("", "{}", ((part,) for part in said))


def _folded_signs(count: int) -> SafeString | str:
    if not count:
        return ""
    return format_html(
        ' <span class="pill bad">{}</span>', counted(count, "sign of injection", "signs of injection")
    )


def _block(parts: Sequence[Piece], mono: bool, anchors: set[str], *, folded: bool = False) -> SafeString:
    if not parts:
        return format_html('<div class="stored aside">(empty)</div>')
    # An opened fold scrolls: by keyboard too.
    focusable = ' tabindex="0"' if folded else ""
    return format_html(
        f'<div class="stored{{}}"{focusable}><bdi>{{}}</bdi></div>',
        " code" if mono else "",
        _joined(parts, anchors),
    )


def _joined(parts: Sequence[Piece], anchors: set[str] | None = None) -> SafeString:
    """The pieces in their order, those of one sign of injection in one mark that says so."""
    stretches = [(sign, list(inner)) for sign, inner in groupby(parts, key=lambda piece: piece.sign)]
    return format_html_join("", "{}", ((_stretch(sign, inner, anchors),) for sign, inner in stretches))


def _stretch(sign: Passage | None, parts: Sequence[Piece], anchors: set[str] | None) -> SafeString:
    drawn = format_html_join("", "{}", ((draw_piece(piece),) for piece in parts))
    if sign is None:
        return drawn
    anchor = ""
    if sign.anchor and anchors is not None and sign.anchor not in anchors:
        anchors.add(sign.anchor)
        anchor = format_html(' id="{}" tabindex="-1"', sign.anchor)
    return format_html(
        '<mark class="sign"{} title="{}"><span class="sign-word">sign of injection</span>{}</mark>',
        anchor,
        sign.what,
        drawn,
    )
