"""Observations: `langfuse.observation.*`, each value JSON in a text."""

from traces.normalise.documents import read_documents
from traces.normalise.messages import gist, read_messages, result_of
from traces.normalise.reading import KINDS, Reading
from traces.normalise.values import count_of, first, mapping_of, parsed, parsed_scalar, plain_text
from traces.vocabulary import Json, Kind

_PREFIX = "langfuse.observation."
_TYPES: dict[str, Kind] = {"generation": "llm", "span": "chain", "event": "other", "evaluator": "other"}


def applies(reading: Reading) -> bool:
    return reading.has_under(_PREFIX)


def read(reading: Reading) -> None:
    # What a span without a type is, a more general reader may know better.
    if kind := plain_text(reading.take(_PREFIX + "type")):
        reading.fill_kind(_TYPES.get(kind, kind if kind in KINDS else "other"))  # type: ignore[arg-type]
    level = plain_text(reading.take(_PREFIX + "level"))
    if level is not None and level.upper() == "ERROR":
        reading.failed = True
    reading.status_message = (
        reading.status_message or plain_text(reading.take(_PREFIX + "status_message")) or ""
    )
    asked, answered = reading.take(_PREFIX + "input"), reading.take(_PREFIX + "output")
    if reading.kind in {"llm", "embedding"}:
        _read_call(reading, asked, answered)
    elif reading.kind == "tool":
        reading.fill(
            tool_name=reading.raw.name,
            tool_call_id=plain_text(parsed_scalar(reading.take(_PREFIX + "metadata.tool_call_id"))),
        )
        reading.fill_tool(parsed(asked), result_of(answered))
    elif reading.kind == "retriever":
        reading.fill_texts(gist(asked, asked=True), None)
        reading.fill_documents(read_documents(answered))
    else:
        reading.fill_texts(gist(asked, asked=True), gist(answered, asked=False))


def _read_call(reading: Reading, asked: Json, answered: Json) -> None:
    parameters = mapping_of(reading.left.get(_PREFIX + "model.parameters"))
    reading.fill(
        model_answered=plain_text(reading.take(_PREFIX + "model.name", _PREFIX + "model")),
        model_asked=plain_text(parsed_scalar(reading.take(_PREFIX + "metadata.ls_model_name")))
        or plain_text(first(parameters, "model", "model_name")),
        provider=plain_text(parsed_scalar(reading.take(_PREFIX + "metadata.ls_provider"))),
    )
    reading.fill_usage(**_usage(mapping_of(reading.take(_PREFIX + "usage_details", _PREFIX + "usage"))))
    inner = parsed(asked)
    if isinstance(inner, dict) and isinstance(tools := inner.get("tools"), list):
        reading.fill_definitions(tools)
    if isinstance(inner, list):
        # Definitions may stand among the messages, as contents of the role "tool".
        definitions = [item["content"] for item in inner if _is_definition(item)]
        reading.fill_definitions(definitions)
        inner = [item for item in inner if not _is_definition(item)] if definitions else inner
    reading.fill_input(read_messages(inner))
    reading.fill_output(read_messages(parsed(answered), "assistant"))


def _is_definition(item: Json) -> bool:
    content = item.get("content") if isinstance(item, dict) and item.get("role") == "tool" else None
    return isinstance(content, dict) and content.get("type") == "function" and "function" in content


def _usage(details: dict[str, Json]) -> dict[str, int | None]:
    """Counts in two conventions: OpenAI's names, where the cached are included, or `input` and `output` with
    what is cached or reasoned **apart** (`input_cache_read`, `output_reasoning`), which is summed here.
    """
    counts = {name: count for name, value in details.items() if (count := count_of(value)) is not None}
    inputs = mapping_of(first(details, "prompt_tokens_details", "input_tokens_details"))
    outputs = mapping_of(first(details, "completion_tokens_details", "output_tokens_details"))
    cached = first(
        counts, "input_cache_read", "input_cached_tokens", "cache_read_input_tokens", "prompt_cached_tokens"
    )
    reasoning = first(counts, "output_reasoning", "output_reasoning_tokens", "completion_reasoning_tokens")
    if "input" in counts or "output" in counts:
        return {
            "input": _sum(counts, "input"),
            "output": _sum(counts, "output"),
            "cached_input": cached,
            "reasoning": reasoning,
        }
    return {
        "input": first(counts, "prompt_tokens", "input_tokens", "promptTokens"),
        "output": first(counts, "completion_tokens", "output_tokens", "completionTokens"),
        "cached_input": first({"": count_of(inputs.get("cached_tokens"))}, "") if inputs else cached,
        "reasoning": first({"": count_of(outputs.get("reasoning_tokens"))}, "") if outputs else reasoning,
    }


def _sum(counts: dict[str, int], side: str) -> int | None:
    found = [count for name, count in counts.items() if name == side or name.startswith(f"{side}_")]
    return sum(found) if found else None
