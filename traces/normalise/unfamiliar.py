"""What no other reader knows, by what its attributes' names end with: a kind, an input, an output, a model, counts.

Tracing libraries differ in the prefix (`mlflow.spanType`, `langsmith.span.kind`) and hardly in the last word. Read
only where nobody before knew what the span is, or what a call was asked.
"""

from traces.normalise.documents import read_documents
from traces.normalise.messages import gist, read_messages, result_of
from traces.normalise.reading import Reading
from traces.normalise.values import count_of, first, list_of, mapping_of, parsed, parsed_scalar, plain_text
from traces.vocabulary import Json, Kind, Message

_KIND_ENDS = ("span.kind", "span_kind", "spantype", "span_type", "span.type", "run_type", "observation_type")
_KINDS: dict[str, Kind] = {
    "llm": "llm",
    "chat_model": "llm",
    "chat": "llm",
    "generation": "llm",
    "completion": "llm",
    "model": "llm",
    "tool": "tool",
    "function": "tool",
    "retriever": "retriever",
    "retrieval": "retriever",
    "embedding": "embedding",
    "embeddings": "embedding",
    "agent": "agent",
    "workflow": "chain",
    "chain": "chain",
    "task": "chain",
    "parser": "chain",
    "reranker": "chain",
    "guardrail": "guardrail",
}
_ASKED_ENDS = ("inputs", "input", "input.value", "input_value", "request_data", "request.body")
_ANSWERED_ENDS = ("outputs", "output", "output.value", "output_value", "response_data", "response.body")
_MODEL_ENDS = (".model", "model_name", "modelname", "model_id")
_USAGE_ENDS = ("tokenusage", "token_usage", ".usage", "usage_metadata", "usage_details")


def applies(reading: Reading) -> bool:
    return _named(reading, _KIND_ENDS + _ASKED_ENDS) is not None


def read(reading: Reading) -> None:
    if reading.kind is None:
        name = _named(reading, _KIND_ENDS)
        said = plain_text(parsed_scalar(reading.left.get(name or "")))
        kind = _KINDS.get(said.lower()) if said else None
        if name is None or kind is None:  # OpenTelemetry's own kinds (client, server) are none of ours
            return
        reading.take(name)
        reading.fill_kind(kind)
    elif reading.kind != "llm" or reading.content.input:
        return
    asked, answered = _take(reading, _ASKED_ENDS), _take(reading, _ANSWERED_ENDS)
    match reading.kind:
        case "llm" | "embedding":
            _read_call(reading, parsed(asked), parsed(answered))
        case "tool":
            reading.fill(tool_name=reading.raw.name)
            reading.fill_tool(parsed(asked), result_of(answered))
        case "retriever":
            reading.fill_texts(gist(asked, asked=True), None)
            reading.fill_documents(read_documents(answered))
        case _:
            reading.fill_texts(gist(asked, asked=True), gist(answered, asked=False))


def _named(reading: Reading, ends: tuple[str, ...]) -> str | None:
    """The first attribute left whose name ends so."""
    return next((name for name in reading.left if name.lower().endswith(ends)), None)


def _take(reading: Reading, ends: tuple[str, ...]) -> Json:
    name = _named(reading, ends)
    return None if name is None else reading.take(name)


def _read_call(reading: Reading, asked: Json, answered: Json) -> None:
    request, response = mapping_of(asked), mapping_of(answered)
    name = _named(reading, _MODEL_ENDS)
    reading.fill(
        model_answered=plain_text(response.get("model")),
        model_asked=plain_text(request.get("model"))
        or plain_text(parsed_scalar(reading.left.get(name or ""))),
    )
    usage = mapping_of(_take(reading, _USAGE_ENDS)) or mapping_of(response.get("usage"))
    reading.fill_usage(
        input=_count(reading, usage, "input_tokens", "prompt_tokens"),
        output=_count(reading, usage, "output_tokens", "completion_tokens"),
    )
    reading.fill_input(read_messages(first(request, "messages", "input", "prompt", "contents") or asked))
    reading.fill_output(_answer(response, answered))


def _answer(response: dict[str, Json], answered: Json) -> list[Message] | None:
    """The answer: in a completion's choices, in a message of its own, or all there is."""
    choices = [mapping_of(choice).get("message") for choice in list_of(response.get("choices"))]
    said = [choice for choice in choices if choice] or first(
        response, "message", "messages", "content", "output", "text"
    )
    return read_messages(said or answered, "assistant")


def _count(reading: Reading, usage: dict[str, Json], *names: str) -> int | None:
    """A number of tokens: among the usage, else an attribute whose name ends so."""
    found = count_of(first(usage, *names))
    if found is None and (name := _named(reading, names)) is not None:
        found = reading.take_count(name)
    return found
