"""Normalise a log record: the messages of a call, or a record that is kept as it came."""

from traces.dialects.genai_events import read_event
from traces.dialects.values import parsed
from traces.vocabulary import Content, LogEvent, RawLog

_READ = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
)


def normalise_log(raw: RawLog) -> LogEvent:
    """The log record in the vocabulary; never raises, whatever its body is."""
    content = read_event(raw.event_name, parsed(raw.body), raw.attributes)
    return LogEvent(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        event_name=raw.event_name,
        observed_at=raw.observed_at,
        content=content or Content(),
        body=raw.body if content is None else None,
        attributes={
            name: value for name, value in raw.attributes.items() if content is None or name not in _READ
        },
    )
