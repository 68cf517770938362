"""What failed, in words that are the same each time it fails: for grouping, never for showing alone."""

import re
from collections.abc import Sequence

from traces.summarise.forest import Forest
from traces.vocabulary import Span

_LONGEST = 160
_MOST_READ = 2000
# In this order: what redaction put in, then what is different each time. Linear patterns: text comes from outside.
_CHANGING = re.compile(
    r"(\[[a-z][a-z0-9_]{0,31}:)[0-9a-f.]+\]"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b(?:0x)?(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"
    r"|[0-9]+(?:[.,:][0-9]+)*"
)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def signature_of(forest: Forest) -> str | None:
    """`refund: card declined for order #`: the tool, model or name of the span that failed first, of those below
    which nothing failed, and its message without what changes. None: nothing failed.
    """
    failed = [span for span in forest.spans if span.status == "error"]
    if not failed:
        return None
    around = {ancestor.span_id for span in failed for ancestor in forest.ancestors(span)}
    first = next((span for span in failed if span.span_id not in around), failed[0])
    who = first.tool_name or first.model_answered or first.model_asked or first.name
    said = _words(_message(first))
    return (f"{_words(who)}: {said}" if said else _words(who))[:_LONGEST].strip() or "error"


def _message(span: Span) -> str:
    return span.status_message or _exception(span.events) or ""


def _exception(events: Sequence[dict[str, object]]) -> str:
    for event in events:
        attributes = event.get("attributes")
        if isinstance(attributes, dict):
            for key in ("exception.message", "exception.type"):
                if isinstance(found := attributes.get(key), str) and found:
                    return found
    return ""


def _words(text: str) -> str:
    plain = _CHANGING.sub(lambda found: f"{found[1][:-1]}]" if found[1] else "#", text[:_MOST_READ])
    return _SPACE.sub(" ", plain).strip()
