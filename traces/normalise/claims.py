"""What an agent says about itself: `clearance.*`, `task.outcome`, and whose request it is."""

from traces.normalise.reading import Reading
from traces.normalise.values import plain_text, truth_of

_SEGMENT = "clearance.segment."
# A claim, and the attributes that make it, the first that says something first.
_TEXTS = {
    "request_id": ("clearance.request_id",),
    "variant": ("clearance.variant",),
    "feature_version": ("clearance.feature_version",),
    "retry_of": ("clearance.retry_of",),
    "execution_id": ("clearance.execution_id",),
    "outcome": ("task.outcome",),
    "session_id": (
        "session.id",
        "langfuse.session.id",
        "gen_ai.conversation.id",
        "traceloop.association.properties.session_id",
    ),
    "user_id": ("user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id"),
}
_NAMES = frozenset({name for names in _TEXTS.values() for name in names} | {"clearance.escalated"})


def applies(reading: Reading) -> bool:
    return not _NAMES.isdisjoint(reading.left) or reading.has_under(_SEGMENT)


def read(reading: Reading) -> None:
    reading.fill_claims(**{claim: reading.take_text(*names) for claim, names in _TEXTS.items()})
    if (escalated := truth_of(reading.left.get("clearance.escalated"))) is not None:
        reading.take("clearance.escalated")
        reading.fill_claims(escalated=escalated)
    if reading.has_under(_SEGMENT):
        segments = reading.take_under(_SEGMENT)
        reading.claims.segments = {
            name: plain_text(value) or str(value) for name, value in segments.items() if name
        }
