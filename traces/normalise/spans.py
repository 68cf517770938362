"""Normalise a span: the dialects' readers in their order, then what holds whoever spoke."""

from functools import lru_cache
from typing import Protocol, cast

from traces.normalise import (
    claims,
    langfuse,
    openinference,
    openllmetry,
    otel_genai,
    pydantic_ai,
    unfamiliar,
    vercel_ai,
)
from traces.normalise.reading import Reading
from traces.normalise.values import mapping_of, plain_text, without_vectors
from traces.vocabulary import RawSpan, Span, Usage


class Reader(Protocol):
    """One dialect: whether a span carries it, and reading it."""

    @staticmethod
    def applies(reading: Reading) -> bool: ...

    @staticmethod
    def read(reading: Reading) -> None: ...


# The most specific first: a span may carry several, and each fills only what is still open.
READERS: tuple[tuple[str, Reader], ...] = tuple(
    (name, cast(Reader, module))
    for name, module in (
        ("claims", claims),
        ("vercel_ai", vercel_ai),
        ("langfuse", langfuse),
        ("openinference", openinference),
        ("openllmetry", openllmetry),
        ("pydantic_ai", pydantic_ai),
        ("otel_genai", otel_genai),
        ("unfamiliar", unfamiliar),
    )
)


def normalise_span(raw: RawSpan) -> Span:
    """The span in the vocabulary; never raises, whatever its attributes are."""
    reading = Reading(raw)
    dialects = []
    # A reader may be chosen by an event too, and then it is no longer a matter of the names alone.
    known = not raw.events and len(reading.names) <= _LONGEST_NAMES
    for name, reader in _candidates(reading.names) if known else READERS:
        if reader.applies(reading):
            before = len(reading.left)
            reader.read(reading)
            if name not in _QUIET or len(reading.left) < before:
                dialects.append(name)
    return _span(reading, dialects)


# Readers that are no dialect of a span unless they claimed something.
_QUIET = frozenset({"claims", "unfamiliar"})
_LONGEST_NAMES = 2000  # in characters: what is remembered is bounded


@lru_cache(maxsize=2048)
def _candidates(names: str) -> tuple[tuple[str, Reader], ...]:
    """The readers that may have to do with a span of these attributes and no events: an emitter's spans have the
    same few sets of names. Claiming attributes never makes a reader apply that did not.
    """
    probe = Reading(_NAMELESS)
    probe.names = names
    probe.left = dict.fromkeys(names.split("\n"))
    return tuple((name, reader) for name, reader in READERS if reader.applies(probe))


_NAMELESS = RawSpan(
    trace_id=bytes(16),
    span_id=bytes(8),
    parent_span_id=None,
    name="",
    started_at=0,
    ended_at=0,
    status="unset",
    status_message="",
    attributes={},
    events=[],
    links=[],
    scope="",
    scope_version="",
    resource={},
)


def _span(reading: Reading, dialects: list[str]) -> Span:
    raw = reading.raw
    kind = reading.kind or "other"
    return Span(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        parent_span_id=raw.parent_span_id,
        name=raw.name,
        scope=raw.scope,
        kind=kind,
        started_at=raw.started_at,
        ended_at=raw.ended_at,
        status="error" if reading.failed else "ok",
        status_message=_status_message(reading),
        calls_model=kind in {"llm", "embedding"}
        and reading.calls_model is not False
        and _says_something(reading),
        model_asked=reading.model_asked,
        model_answered=reading.model_answered,
        provider=reading.provider,
        response_id=reading.response_id,
        usage=_whole_usage(reading),
        tool_name=(reading.tool_name or raw.name) if kind == "tool" else None,
        tool_call_id=reading.tool_call_id,
        claims=reading.claims,
        content=reading.content,
        attributes={
            name: value if type(value) is str else without_vectors(value)
            for name, value in reading.left.items()
        },
        events=reading.events,
        links=raw.links,
        resource=raw.resource,
        dialects=dialects,
    )


def _says_something(reading: Reading) -> bool:
    """Whether a call shows: a model that answered, an output, tokens or an error. Frameworks mark methods as
    model calls that only prepare one.
    """
    usage = reading.usage
    return bool(
        reading.model_answered or reading.content.output or usage.input or usage.output or reading.failed
    )


def _whole_usage(reading: Reading) -> Usage:
    """The usage with the cached tokens in the input. More cached than input: the emitter counts them
    apart.
    """
    usage = reading.usage
    if usage.input is not None and usage.cached_input is not None and usage.cached_input > usage.input:
        usage.input += usage.cached_input
    return usage


def _status_message(reading: Reading) -> str:
    if reading.status_message or not reading.failed:
        return reading.status_message
    for event in reading.events:
        if event.get("name") == "exception":
            attributes = mapping_of(event.get("attributes"))
            return (
                plain_text(attributes.get("exception.message"))
                or plain_text(attributes.get("exception.type"))
                or ""
            )
    return plain_text(reading.left.get("error.type")) or ""
