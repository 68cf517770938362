"""Durations, sizes and kinds in the words that the trace page uses; units are in the names of the
arguments.
"""

from typing import Final

from traces.vocabulary import Kind

# One letter a kind, so that a row of the waterfall can be told apart without its colour.
KIND_LETTERS: Final[dict[Kind, str]] = {
    "agent": "A",
    "llm": "M",
    "tool": "T",
    "retriever": "R",
    "embedding": "E",
    "guardrail": "G",
    "chain": "C",
    "other": "S",
}
KIND_WORDS: Final[dict[Kind, str]] = {
    "agent": "agent",
    "llm": "model",
    "tool": "tool",
    "retriever": "retrieval",
    "embedding": "embedding",
    "guardrail": "guardrail",
    "chain": "chain",
    "other": "step",
}
FIELD_WORDS: Final[dict[str, str]] = {
    "prompt": "prompt",
    "system_prompt": "system prompt",
    "retrieved_docs": "retrieved documents",
    "tool_calls": "tool calls",
    "model": "model",
    "final_output": "final output",
}


def duration(nanoseconds: int) -> str:
    """A duration with two or three figures that count: `0.4 ms`, `550 ms`, `1.92 s`, `2 min 59 s`, `3 h 12
    min`.
    """
    milliseconds = nanoseconds / 1e6
    if milliseconds < 0.05:
        return "0 ms"
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = nanoseconds / 1e9
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def size(count: int) -> str:
    """Bytes in decimal units: `812 B`, `12.3 kB`, `4.2 MB`."""
    if count < 1000:
        return f"{count} B"
    if count < 999_950:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1e6:.1f} MB"


def number(value: float) -> str:
    """A count with thousands apart; a fraction with at most four decimals."""
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:,.4f}".rstrip("0")


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 error`, `3 errors`, `1,200 spans`; `plural` where it is not the noun with an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"


def outcome_source(source: str) -> str:
    """Who says how the task ended, as a clause; an unknown source is shown as it is stored."""
    head, _, rest = source.partition(":")
    if head == "feedback":
        return f"reported by {rest}" if rest else "reported as feedback"
    if source == "attribute:escalated":
        return "the agent says that it escalated"
    if head == "attribute":
        return "the agent says so"
    if head == "escalation_tool":
        return f"it called {rest}"
    return {
        "root_error": "its root span ended in an error",
        "success_rule": "by the policy's success rule",
        "escalated": "reported as escalated",
        "none": "nobody has said how it ended",
    }.get(source, source)


def uncounted_reason(reason: str, names: dict[str, str]) -> str:
    """Why a call does not count, from what settle stored: the ID of the span that it repeats, or a reason in
    words.
    """
    if reason in names:
        return f"the same call as {names[reason]}, counted once"
    return f"not counted: {reason}"
