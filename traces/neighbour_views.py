"""A trace's neighbours in the words of its page, with the addresses of their lists."""

from collections.abc import Callable
from typing import Final

import msgspec

from features.models import Feature
from traces.filters import traces_url
from traces.models import Trace
from traces.neighbours import Neighbour, neighbours_of
from traces.present.text import Piece, line
from traces.present.words import counted

_WORDS: Final = {"session": "Same session", "user": "Same user", "error": "Same error"}


class NeighbourView(msgspec.Struct, frozen=True, kw_only=True):
    """What the trace shares with others; `url` lists them, empty where no list can."""

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
            url=_LISTS[found.kind](trace.feature, found.value),
            before=found.before,
            after=found.after,
        )
        for found in neighbours_of(trace)
    ]


_LISTS: Final[dict[str, Callable[[Feature, str], str]]] = {
    "session": lambda feature, value: traces_url(feature, {"window": "all"}, session=value),
    "user": lambda feature, value: traces_url(feature, {"window": "all"}, user=value),
    "error": lambda feature, value: "",
}
