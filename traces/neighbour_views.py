"""A trace's neighbours in the words of its page, with the addresses of their lists."""

from typing import Final

import msgspec

from traces.filters import traces_url
from traces.models import Trace
from traces.neighbours import Neighbour, neighbours_of
from traces.present.text import Piece, line
from traces.present.words import counted

_WORDS: Final = {"session": "Same session", "user": "Same user", "error": "Same error"}


class NeighbourView(msgspec.Struct, frozen=True, kw_only=True):
    """What the trace shares with others; `url` lists them."""

    words: str
    value: list[Piece]
    count: str  # empty: there is no other
    url: str
    before: Neighbour | None
    after: Neighbour | None


def neighbour_views(trace: Trace) -> list[NeighbourView]:
    """Session, user and error of the trace, those that it has, each with the requests before and after it."""
    return [
        NeighbourView(
            words=_WORDS[found.kind],
            value=line(found.value, 120),
            count=f"{'over ' if found.more else ''}{counted(found.others, 'other request')}"
            if found.others
            else "",
            url=traces_url(trace.feature, {"window": "all"}, **{found.kind: found.value}),
            before=found.before,
            after=found.after,
        )
        for found in neighbours_of(trace)
    ]
