"""OpenLLMetry: `traceloop.*`, `llm.*` and the older numbered `gen_ai.prompt.N.*`; beside them it speaks
GenAI.
"""

from traces.normalise.documents import make_document, read_documents
from traces.normalise.messages import gist, read_messages, result_of
from traces.normalise.reading import Reading
from traces.normalise.values import first, list_of, mapping_of, parsed, plain_text, unflattened
from traces.vocabulary import Document, Json, Kind

_KINDS: dict[str, Kind] = {
    "workflow": "chain",
    "task": "chain",
    "agent": "agent",
    "tool": "tool",
    "vector_db_retrieve": "retriever",
    "retriever": "retriever",
}
_REQUESTS: dict[str, Kind] = {
    "chat": "llm",
    "completion": "llm",
    "messages": "llm",
    "embedding": "embedding",
    "rerank": "chain",
}
_PREFIXES = ("traceloop.", "llm.request.", "llm.usage.", "gen_ai.prompt.", "gen_ai.completion.", "db.vector.")
_RESULT_EVENT = "query.result"


def applies(reading: Reading) -> bool:
    return reading.has_under(*_PREFIXES) or (
        bool(reading.events)
        and any(str(event.get("name", "")).endswith(_RESULT_EVENT) for event in reading.events)
    )


def read(reading: Reading) -> None:
    kind = plain_text(reading.left.get("traceloop.span.kind"))
    request = plain_text(reading.left.get("llm.request.type"))
    if kind:
        reading.take("traceloop.span.kind")
        reading.fill_kind(_KINDS.get(kind.lower()))
    if request:
        reading.take("llm.request.type")
        reading.fill_kind(_REQUESTS.get(request.lower()))
    _read_messages(reading)
    _read_usage(reading)
    asked, answered = reading.take("traceloop.entity.input"), reading.take("traceloop.entity.output")
    if reading.kind == "tool":
        reading.fill(tool_name=reading.take_text("traceloop.entity.name") or reading.raw.name)
        reading.fill_tool(_arguments(asked), _result(answered))
    elif reading.kind == "retriever":
        reading.fill_texts(gist(asked, asked=True), None)
        reading.fill_documents(read_documents(answered))
    elif asked is not None or answered is not None:
        reading.fill_texts(gist(_inner(asked), asked=True), gist(_inner(answered), asked=False))
    _read_query_results(reading)


def _read_messages(reading: Reading) -> None:
    if reading.has_under("gen_ai.prompt."):
        reading.fill_input(read_messages(unflattened(reading.take_under("gen_ai.prompt."))))
    if reading.has_under("gen_ai.completion."):
        reading.fill_output(read_messages(unflattened(reading.take_under("gen_ai.completion.")), "assistant"))
    if reading.has_under("llm.request.functions."):
        reading.fill_definitions(list_of(unflattened(reading.take_under("llm.request.functions."))))


def _read_usage(reading: Reading) -> None:
    reading.take("llm.usage.total_tokens", "gen_ai.usage.total_tokens")
    reading.fill_usage(
        input=reading.take_count("llm.usage.prompt_tokens"),
        output=reading.take_count("llm.usage.completion_tokens"),
        cached_input=reading.take_count("llm.usage.cache_read_input_tokens"),
        reasoning=reading.take_count("llm.usage.reasoning_tokens"),
    )


def _inner(value: Json) -> Json:
    """What a decorated function was called with or gave back, out of the wrapper."""
    holder = parsed(value)
    if isinstance(holder, dict):
        found = first(holder, "inputs", "outputs", "input_str", "output")
        if found is not None:
            return found
        if set(holder) == {"args", "kwargs"}:
            arguments = list_of(holder["args"])
            return first({"": holder["kwargs"] or None}, "") or (
                arguments[0] if len(arguments) == 1 else arguments
            )
    return value


def _arguments(value: Json) -> Json:
    return parsed(_inner(value))


def _result(value: Json) -> Json:
    return result_of(_inner(value))


def _read_query_results(reading: Reading) -> None:
    """A vector store's answer comes as one event a document."""
    found: list[Document] = []
    rest = []
    for event in reading.events:
        attributes = mapping_of(event.get("attributes"))
        name = str(event.get("name", ""))
        if name.endswith(_RESULT_EVENT):
            known = {key.rpartition(".")[2]: value for key, value in attributes.items()}
            found.append(
                make_document(
                    known.get("id"),
                    first(known, "document", "content", "text"),
                    known.get("metadata"),
                    known.get("score"),
                )
            )
        else:
            rest.append(event)
    if found:
        reading.fill_kind("retriever")
        reading.fill_documents(found)
        reading.events = rest
