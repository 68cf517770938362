"""What a rule sees of a trace, as `trace`: these fields, always there, with these types.

traces/summarise/rules.py fills them; a test holds the two together.
"""

from features.rules.types import ANY, BOOL, DOUBLE, INT, STRING, Type, list_of, map_of, object_of

__all__ = ["TRACE"]

_CALL = object_of({"name": STRING, "status": STRING, "arguments": ANY, "result": ANY})

TRACE: Type = object_of(
    {
        "status": STRING,
        "outcome": STRING,
        "escalated": BOOL,
        "name": STRING,
        "variant": STRING,
        "version": STRING,
        "segments": map_of(STRING),
        "duration_ms": DOUBLE,
        "waiting_ms": DOUBLE,
        "llm_calls": INT,
        "llm_errors": INT,
        "models": list_of(STRING),
        "input_tokens": INT,
        "output_tokens": INT,
        "context_tokens": INT,
        "tool_errors": INT,
        "retries": INT,
        "tools": list_of(STRING),
        "tool_calls": list_of(_CALL),
        "retrieved_ids": list_of(STRING),
        "final_output": STRING,
        "missing": list_of(STRING),
        "violations": list_of(STRING),
        "span_count": INT,
    }
)
