"""Normalise: what an emitter sent, in whatever dialect, becomes the one vocabulary.

One small reader for each dialect. A reader is chosen by the attributes and the scope that a span carries,
never by a product's name; several may read one span, the most specific first, and a later one only fills what
is still open. What no reader claims stays in `attributes`. Nothing here raises on any input. No Django.
"""

from traces.dialects.log_events import normalise_log
from traces.dialects.spans import normalise_span

__all__ = ["normalise_log", "normalise_span"]
