"""Summarise: what settle computes of one trace, always from all of its spans, log events and facts.

Pure, no Django. The result depends on the set of the inputs only: in whatever order they came, and however
often.
"""

from traces.summarise.calls import Call, count_calls, uncounted
from traces.summarise.conversation import Turn, conversation
from traces.summarise.joining import attach_events
from traces.summarise.rules import Rules
from traces.summarise.summary import summarise

__all__ = ["Call", "Rules", "Turn", "attach_events", "conversation", "count_calls", "summarise", "uncounted"]
