"""The one vocabulary: typed values that travel receive -> decode -> normalise -> redact -> store -> settle.

No Django here, nor in decode, normalise, redact and summarise: each can be tested and profiled alone.
Times are integer nanoseconds since the Unix epoch, UTC, as OTLP has them.
"""

from typing import Any, Literal

import msgspec

Kind = Literal["agent", "llm", "tool", "retriever", "embedding", "guardrail", "chain", "other"]
Status = Literal["ok", "error"]
Role = Literal["system", "developer", "user", "assistant", "tool"]
PartType = Literal["text", "tool_call", "tool_result", "reasoning", "media", "other"]
FieldState = Literal["present", "missing", "not_applicable"]

# A JSON value; bounded in depth and size by decode.
Json = Any


class RawSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One OTLP span as decoded: plain Python values, no dialect read yet."""

    trace_id: bytes  # 16 bytes
    span_id: bytes  # 8 bytes
    parent_span_id: bytes | None
    name: str
    started_at: int
    ended_at: int
    status: Literal["unset", "ok", "error"]
    status_message: str
    attributes: dict[str, Json]
    events: list[dict[str, Json]]  # {"name": str, "time": int, "attributes": {...}}
    links: list[dict[str, Json]]  # {"trace_id": hex, "span_id": hex, "attributes": {...}}
    scope: str  # instrumentation scope's name, "" when it has none
    scope_version: str
    resource: dict[str, Json]


class RawLog(msgspec.Struct, frozen=True, kw_only=True):
    """One OTLP log record that belongs to a span, as decoded."""

    trace_id: bytes
    span_id: bytes | None
    event_name: str  # LogRecord.event_name, else the attribute event.name, else ""
    time: int | None
    observed_at: int  # observed time, else time, else when it was received
    body: Json
    attributes: dict[str, Json]
    scope: str
    resource: dict[str, Json]


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One part of a message. `text` for text and reasoning; the tool fields for calls and results."""

    type: PartType
    text: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    arguments: Json = None  # parsed JSON where it was JSON, else the text
    result: Json = None
    media: dict[str, Json] | None = None  # {"mime_type", "bytes", "sha256"}: base64 payloads are not kept
    cut_from: int | None = None  # original size in bytes of a part that was cut


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    role: Role
    parts: list[Part]


class Document(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A retrieved document. `id` falls back to its metadata's source or url; None: the emitter showed
    none.
    """

    id: str | None = None
    content: str | None = None
    score: float | None = None
    metadata: dict[str, Json] | None = None
    cut_from: int | None = None


class Claims(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an agent says about itself (api.md 3), on any span; the root's win when a trace is settled."""

    request_id: str | None = None
    variant: str | None = None
    segments: dict[str, str] | None = None
    feature_version: str | None = None
    escalated: bool | None = None
    outcome: str | None = None
    retry_of: str | None = None  # span ID, hex
    execution_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None


class Usage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens of this one model call. `input` includes cached ones, `output` includes reasoning. None: not
    said.
    """

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    reasoning: int | None = None


class Content(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a span, or the log events of a span, say was said and done. Redacted before it is stored."""

    input: list[Message] | None = None
    output: list[Message] | None = None
    documents: list[Document] | None = None  # None: no retrieval read; []: a retrieval that found nothing
    arguments: Json = None  # of a tool span; parsed JSON where it was JSON
    result: Json = None
    # Of a tool span's arguments as they came, before redaction and cutting: features.marks. None: they have none.
    args_mark: str | None = None
    input_text: str | None = None  # a chain's, agent's or root's input where it is no message list
    output_text: str | None = None
    tool_definitions: list[Json] | None = None
    cut: bool = False  # some part was cut or dropped for size


class Span(msgspec.Struct, kw_only=True):
    """One span in the product's vocabulary."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    name: str
    scope: str
    kind: Kind
    started_at: int
    ended_at: int
    status: Status
    status_message: str
    # True for a span of kind llm or embedding that stands for one real call of a model.
    # False: a parent that sums its children, or a span marked LLM that calls nothing.
    calls_model: bool = False
    model_asked: str | None = None
    model_answered: str | None = None
    provider: str | None = None
    response_id: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    tool_name: str | None = None
    tool_call_id: str | None = None
    claims: Claims = msgspec.field(default_factory=Claims)
    content: Content = msgspec.field(default_factory=Content)
    attributes: dict[str, Json] = msgspec.field(default_factory=dict)  # what no reader claimed
    events: list[dict[str, Json]] = msgspec.field(default_factory=list)
    links: list[dict[str, Json]] = msgspec.field(default_factory=list)
    resource: dict[str, Json] = msgspec.field(default_factory=dict)
    dialects: list[str] = msgspec.field(
        default_factory=list
    )  # the readers that claimed something, for the raw view
    redactions: dict[str, int] = msgspec.field(default_factory=dict)  # kind -> findings, filled by redact


class LogEvent(msgspec.Struct, kw_only=True):
    """One log record in the product's vocabulary; joins its span by trace and span ID when the trace is
    settled.
    """

    trace_id: bytes
    span_id: bytes | None
    event_name: str
    observed_at: int
    content: Content = msgspec.field(default_factory=Content)
    body: Json = None  # kept only where no reader claimed it
    attributes: dict[str, Json] = msgspec.field(default_factory=dict)
    redactions: dict[str, int] = msgspec.field(default_factory=dict)


# Facts of this trace's decisions, and of executions that its spans name and another trace's decision permitted.
EXECUTIONS = ("execution", "named_execution")
# What the console knows by itself; the others are what somebody said of the trace.
OWN_FACTS = (*EXECUTIONS, "decision")


class Fact(msgspec.Struct, kw_only=True):
    """Something about a trace that is not a span: feedback, decisions, executions, what its reviewers found."""

    kind: str  # outcome | escalated | violation | rating | comment, or one of OWN_FACTS
    source: str
    value: Json
    created_at: int  # when its sender says it was said, else when it came; the newest wins


class ToolCall(msgspec.Struct, kw_only=True):
    """An executed tool call, shown by its span."""

    name: str
    status: Status
    arguments: Json
    result: Json
    span_id: str
    decision: str | None = None  # that permitted it
    execution: str | None = None  # which it is a run of
    # Its arguments beside those that were permitted; None: it belongs to no execution.
    arguments_are: Literal["the same", "different", "unmatched"] | None = None


class Violation(msgspec.Struct, kw_only=True):
    rule: str
    span_id: str | None = None
    detail: str | None = None


class FieldEvidence(msgspec.Struct, kw_only=True):
    """One of the six completeness fields: its state, the span that shows it, and why it is missing."""

    state: FieldState
    span_id: str | None = None
    why: str | None = None


class Completeness(msgspec.Struct, kw_only=True):
    """Clause 2.1 of the pack."""

    prompt: FieldEvidence
    system_prompt: FieldEvidence
    retrieved_docs: FieldEvidence
    tool_calls: FieldEvidence
    model: FieldEvidence
    final_output: FieldEvidence


class Summary(msgspec.Struct, kw_only=True):
    """What settle computes of one trace, always from all of its spans, log events and facts."""

    trace_id: bytes
    request_id: str  # the agent's own, else the trace ID in hex
    root_span_id: str | None
    name: str
    session_id: str | None
    user_id: str | None
    variant: str  # "baseline" when nobody says
    feature_version: str | None
    segments: dict[str, str]
    started_at: int
    duration_ns: int
    waiting_ns: int
    status: Status
    outcome: Literal["success", "escalated", "failed", "abandoned", "unknown"]
    outcome_source: str
    llm_calls: int
    llm_errors: int
    embeddings: int
    models: list[str]
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    tool_calls: list[ToolCall]
    tool_errors: int
    retries: int
    retrieved_ids: list[str]
    final_output: str | None
    violations: list[Violation]
    completeness: Completeness
    redactions: dict[str, int]
    span_count: int
    # span ID -> the span ID that it repeats, or why it does not count ("sums its children", ...)
    uncounted: dict[str, str]
    cost_usd: str | None = None  # a decimal; None: unknown
    unknown_cost_calls: int = 0
    unpriced_models: list[str] = []  # of those calls
    called_models: list[
        str
    ] = []  # of all calls, failed ones and embeddings among them: what prices may touch
    context_tokens: int | None = None  # of the model call with the largest input
    budgeted_calls: int = 0  # model calls with known input, where the policy names a context budget
    over_budget_calls: int = 0
    error_signature: str | None = None  # None: nothing failed
    policy: int | None = None  # the policy version that judged it
    rule_faults: list[str] = []  # rules of the policy that could not be judged on this trace, and why
