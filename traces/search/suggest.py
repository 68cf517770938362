"""What may come next in a search line: keys, then the values that a key has in the window."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from features.models import Feature
from traces.search.keys import FAMILIES, KEYS, key_named
from traces.search.known import known_values
from traces.search.tree import Match, written

__all__ = ["suggest"]

_MOST: Final = 12
_TAIL: Final = re.compile(
    r"(?:^|(?<=[\s(-]))(?:(?P<key>[A-Za-z][\w.-]*):(?P<value>\"?[^\s()\"]*)|(?P<start>[A-Za-z][\w.-]*)?)$"
)


def suggest(
    features: Sequence[Feature], line: str, start: datetime | None = None, end: datetime | None = None
) -> list[tuple[str, str]]:
    """Whole lines that go on from this one, each with what it says; only of features that one may see."""
    found = _TAIL.search(line)
    if found is None:
        return []
    if found["key"] is None:
        head = line[: found.start("start")] if found["start"] else line
        begun = (found["start"] or "").lower()
        offered = [(f"{key.name}:", key.words) for key in KEYS.values() if key.name.startswith(begun)]
        offered += [(f"{one.name}.", one.words) for one in FAMILIES if one.name.startswith(begun)]
        return [(head + text, words) for text, words in offered][: len(KEYS) if not begun else _MOST]
    key = key_named(found["key"])
    if key is None:
        return []
    head = line[: found.start("key")]
    begun = found["value"].lstrip('"').lower()
    if key.is_range:
        return [(f"{head}{one.strip()}", key.words) for one in key.example.split(",")] if not begun else []
    if key.name == "feature":
        values = [one.slug for one in features]
    else:
        values = list(key.choices) or known_values(features, key.name, start, end)
    fits = [value for value in values if value.lower().startswith(begun)]
    return [(head + written(Match(key.name, value)), "") for value in fits[:_MOST]]
