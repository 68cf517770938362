"""OpenInference: `openinference.span.kind`, messages and documents flattened into numbered attributes."""

from traces.dialects.documents import make_document, read_documents
from traces.dialects.messages import gist, read_messages, result_of
from traces.dialects.reading import Reading
from traces.dialects.values import (
    first,
    list_of,
    mapping_of,
    parsed,
    plain_text,
    unflattened,
    without_vectors,
)
from traces.vocabulary import Document, Json, Kind, Message, Part

_KINDS: dict[str, Kind] = {
    "LLM": "llm",
    "TOOL": "tool",
    "RETRIEVER": "retriever",
    "EMBEDDING": "embedding",
    "AGENT": "agent",
    "CHAIN": "chain",
    "RERANKER": "chain",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "other",
    "PROMPT": "other",
    "UNKNOWN": "other",
}
_DOCUMENTS = "retrieval.documents."


def applies(reading: Reading) -> bool:
    return "openinference.span.kind" in reading.left


def read(reading: Reading) -> None:
    kind = plain_text(reading.take("openinference.span.kind")) or ""
    reading.fill_kind(_KINDS.get(kind.upper(), "other"))
    asked, answered = reading.take("input.value"), reading.take("output.value")
    reading.take("input.mime_type", "output.mime_type")
    match reading.kind:
        case "llm":
            _read_call(reading, asked, answered)
        case "embedding":
            _read_embedding(reading)
        case "tool":
            _read_tool(reading, asked, answered)
        case "retriever":
            _read_retriever(reading, asked, answered)
        case _:
            # Frameworks repeat the messages of the state on chains and agents: no call of a model.
            messages = read_messages(unflattened(reading.take_under("llm.input_messages.")))
            reading.calls_model = False
            reading.fill_input(messages)
            reading.fill_texts(gist(asked, asked=True), gist(answered, asked=False))


def _read_call(reading: Reading, asked: Json, answered: Json) -> None:
    parameters = mapping_of(reading.left.get("llm.invocation_parameters"))
    reading.fill(
        model_answered=reading.take_text("llm.model_name"),
        model_asked=reading.take_text("llm.request.model_name")
        or plain_text(first(parameters, "model", "model_name", "modelId", "model_id")),
        provider=reading.take_text("llm.provider", "llm.system"),
    )
    reading.fill_usage(
        input=reading.take_count("llm.token_count.prompt"),
        output=reading.take_count("llm.token_count.completion"),
        cached_input=reading.take_count("llm.token_count.prompt_details.cache_read"),
        reasoning=reading.take_count("llm.token_count.completion_details.reasoning"),
    )
    reading.fill_input(read_messages(unflattened(reading.take_under("llm.input_messages."))))
    reading.fill_output(read_messages(unflattened(reading.take_under("llm.output_messages.")), "assistant"))
    prompts = unflattened(reading.take_under("llm.prompts."))
    if isinstance(prompts, list):
        texts = [first(mapping_of(mapping_of(item).get("prompt")), "text") for item in prompts]
        reading.fill_input(read_messages([text for text in texts if text]))
    reading.fill_input(_asked(asked))
    reading.fill_output(_answered(answered))
    reading.fill_definitions(
        first(mapping_of(tool.get("tool")), "json_schema") if isinstance(tool, dict) else None
        for tool in list_of(unflattened(reading.take_under("llm.tools.")))
    )


def _asked(value: Json) -> list[Message] | None:
    inner = parsed(value)
    if isinstance(inner, dict):
        return read_messages(first(inner, "messages", "input", "prompt"))
    return read_messages(inner)


def _answered(value: Json) -> list[Message] | None:
    """The answer in a raw `output.value`: a completion's choices, or plain text. Any other object is no
    answer: a method that only prepares a call returns one too.
    """
    inner = parsed(value)
    if isinstance(inner, dict):
        choices = [mapping_of(choice).get("message") for choice in list_of(inner.get("choices"))]
        return read_messages([choice for choice in choices if choice], "assistant")
    return read_messages(inner, "assistant") if isinstance(inner, str) else None


def _read_embedding(reading: Reading) -> None:
    parameters = mapping_of(reading.left.get("embedding.invocation_parameters"))
    reading.fill(
        model_answered=reading.take_text("embedding.model_name"),
        model_asked=plain_text(first(parameters, "model", "model_name")),
        provider=reading.take_text("llm.provider", "llm.system"),
    )
    reading.fill_usage(input=reading.take_count("llm.token_count.prompt", "llm.token_count.total"))
    parts: list[Part] = []
    for item in list_of(unflattened(reading.take_under("embedding.embeddings."))):
        embedding = mapping_of(mapping_of(item).get("embedding"))
        text = plain_text(embedding.get("text"))
        vector = parsed(embedding.get("vector"))
        if text:
            parts.append(Part(type="text", text=text))
        if isinstance(vector, list):
            reading.left.setdefault("embedding.vectors", []).append({"numbers": len(vector)})
        elif vector is not None:
            reading.left.setdefault("embedding.vectors", []).append(without_vectors(vector))
    reading.fill_input([Message(role="user", parts=parts)] if parts else None)


def _read_tool(reading: Reading, asked: Json, answered: Json) -> None:
    reading.fill(
        tool_name=reading.take_text("tool.name", "tool_call.function.name") or reading.raw.name,
        tool_call_id=reading.take_text("tool_call.id", "tool.id"),
    )
    given = reading.take("tool_call.function.arguments")
    if asked is None and given is None:
        given = reading.take("tool.parameters")
    reading.fill_tool(parsed(asked if asked is not None else given), result_of(answered))


def _read_retriever(reading: Reading, asked: Json, answered: Json) -> None:
    found: list[Document] = []
    for item in list_of(unflattened(reading.take_under(_DOCUMENTS))):
        document = mapping_of(mapping_of(item).get("document"))
        found.append(
            make_document(
                document.get("id"), document.get("content"), document.get("metadata"), document.get("score")
            )
        )
    reading.fill_documents(found or read_documents(answered))
    reading.fill_texts(gist(asked, asked=True), None)
