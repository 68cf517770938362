"""The query line of the list call: `key:value` terms, all ANDed. A term it does not know is an error at its
place.
"""

from datetime import datetime

from features.errors import ClearanceError
from traces.queries import TraceFilter

TERMS = ("outcome", "status", "variant", "model", "tool", "user", "session", "missing")
FLAGS = {"violation": "violation", "tool-error": "tool_error", "incomplete": "incomplete"}


class BadQuery(ClearanceError):
    """A query line that cannot be read; says at which character."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__("invalid", message, field="q", position=position)


def parse_query(text: str, start: datetime, end: datetime) -> TraceFilter:
    """The filter that a query line asks for. Raises BadQuery with the position of the word it does
    not know.
    """
    terms: dict[str, str] = {}
    flags: dict[str, bool] = {}
    position = 0
    for word in text.split():
        position = text.index(word, position)
        name, separator, value = word.partition(":")
        if separator and name in TERMS and value:
            terms[name] = value
        elif word in {f"{flag}:*" for flag in FLAGS}:
            flags[FLAGS[name]] = True
        else:
            known = ", ".join([*(f"{term}:" for term in TERMS), *(f"{flag}:*" for flag in FLAGS)])
            raise BadQuery(position, f"'{word}' at character {position + 1} is not known. Known: {known}.")
        position += len(word)
    return TraceFilter(**terms, **flags, start=start, end=end)  # type: ignore[arg-type]
