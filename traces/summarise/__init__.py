"""Summarise: what settle computes of one trace, always from all of its spans, log events and facts.

Pure, no Django. The result depends on the set of the inputs only: in whatever order they came, and however
often.
"""

from traces.summarise.calls import Call, count_calls, uncounted
from traces.summarise.conversation import Turn, conversation
from traces.summarise.cost import Price, PriceList
from traces.summarise.document import SearchText, missing_fields, search_text
from traces.summarise.forest import in_order
from traces.summarise.joining import attach_events
from traces.summarise.outcome import facts_in_order
from traces.summarise.reading import Reading, read
from traces.summarise.rules import Judged, Rules, Seen
from traces.summarise.summary import claims_of, summarise, summary_of

__all__ = [
    "Call",
    "Judged",
    "Price",
    "PriceList",
    "Reading",
    "Rules",
    "SearchText",
    "Seen",
    "Turn",
    "attach_events",
    "claims_of",
    "conversation",
    "count_calls",
    "facts_in_order",
    "in_order",
    "missing_fields",
    "read",
    "search_text",
    "summarise",
    "summary_of",
    "uncounted",
]
