"""What an agent says about itself: `clearance.*`, `task.outcome`, and whose request it is."""

from traces.dialects.reading import Reading
from traces.dialects.values import plain_text, truth_of

_SEGMENT = "clearance.segment."


def applies(reading: Reading) -> bool:
    return True


def read(reading: Reading) -> None:
    reading.fill_claims(
        request_id=reading.take_text("clearance.request_id"),
        variant=reading.take_text("clearance.variant"),
        feature_version=reading.take_text("clearance.feature_version"),
        retry_of=reading.take_text("clearance.retry_of"),
        execution_id=reading.take_text("clearance.execution_id"),
        outcome=reading.take_text("task.outcome"),
        session_id=reading.take_text(
            "session.id",
            "langfuse.session.id",
            "gen_ai.conversation.id",
            "traceloop.association.properties.session_id",
        ),
        user_id=reading.take_text(
            "user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id"
        ),
    )
    if (escalated := truth_of(reading.left.get("clearance.escalated"))) is not None:
        reading.take("clearance.escalated")
        reading.fill_claims(escalated=escalated)
    if reading.has_under(_SEGMENT):
        segments = reading.take_under(_SEGMENT)
        reading.claims.segments = {
            name: plain_text(value) or str(value) for name, value in segments.items() if name
        }
