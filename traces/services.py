"""All writes of traces but ingest's and retention's: settling (traces/settling/), facts (traces/feedback.py)."""

from traces.feedback import add_facts
from traces.settling import settle_dirty

__all__ = ["add_facts", "settle_dirty"]
