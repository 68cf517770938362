"""OpenTelemetry's GenAI conventions: `gen_ai.*` on spans, messages as attributes or as the span's events."""

from traces.normalise.documents import read_documents
from traces.normalise.genai_events import read_event
from traces.normalise.messages import gist, read_messages, read_parts, result_of
from traces.normalise.reading import Reading
from traces.normalise.values import list_of, mapping_of, parsed, plain_text
from traces.vocabulary import Json, Kind, Message

_OPERATIONS: dict[str, Kind] = {
    "chat": "llm",
    "text_completion": "llm",
    "completion": "llm",
    "generate_content": "llm",
    "messages": "llm",
    "responses": "llm",
    "embeddings": "embedding",
    "embedding": "embedding",
    "execute_tool": "tool",
    "tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "agent",
    "handoff": "agent",
    "retrieval": "retriever",
    "vector_db_retrieve": "retriever",
    "guardrail": "guardrail",
}


def applies(reading: Reading) -> bool:
    return reading.has_under("gen_ai.", "gcp.vertex.agent.") or reading.has_event("gen_ai.")


def read(reading: Reading) -> None:
    operation = plain_text(reading.take("gen_ai.operation.name"))
    reading.fill_kind(_OPERATIONS.get(operation.lower(), "other") if operation else _guess(reading))
    reading.fill(
        model_asked=reading.take_text("gen_ai.request.model"),
        model_answered=reading.take_text("gen_ai.response.model"),
        provider=reading.take_text("gen_ai.provider.name", "gen_ai.system"),
        response_id=reading.take_text("gen_ai.response.id"),
    )
    if reading.kind in {"llm", "embedding"}:
        _read_usage(reading)
    _read_content(reading)
    if reading.kind == "tool" or "gen_ai.tool.name" in reading.left:
        _read_tool(reading)
    if reading.kind == "retriever":
        reading.fill_documents(
            read_documents(reading.take("gen_ai.retrieval.documents", "gen_ai.response.documents"))
        )
        reading.fill_texts(gist(reading.take("gen_ai.retrieval.query.text"), asked=True), None)
    if reading.kind == "agent":
        reading.fill_texts(
            gist(reading.left.get("gen_ai.prompt"), asked=True),
            gist(reading.left.get("gen_ai.completion"), asked=False),
        )


def _guess(reading: Reading) -> Kind | None:
    """What a span without an operation's name is, by what it carries."""
    if "gen_ai.tool.name" in reading.left:
        return "tool"
    if "gen_ai.response.model" in reading.left or reading.has_under("gen_ai.usage.", "gcp.vertex.agent.llm_"):
        return "llm"
    if "gen_ai.agent.name" in reading.left and "gen_ai.request.model" not in reading.left:
        return "agent"
    return "llm" if "gen_ai.request.model" in reading.left else None


def _read_usage(reading: Reading) -> None:
    reading.fill_usage(
        input=reading.take_count("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        output=reading.take_count("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        cached_input=reading.take_count(
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cached_tokens",
        ),
        reasoning=reading.take_count(
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
        ),
    )


def read_instructions(value: Json) -> list[Message]:
    """The system's message out of `gen_ai.system_instructions`: parts, or text."""
    parts = read_parts(parsed(value))
    return [Message(role="system", parts=parts)] if parts else []


def _read_content(reading: Reading) -> None:
    system = read_instructions(reading.take("gen_ai.system_instructions"))
    asked = read_messages(reading.take("gen_ai.input.messages"))
    if asked or system:
        reading.fill_input([*system, *(asked or [])])
    reading.fill_output(read_messages(reading.take("gen_ai.output.messages"), "assistant"))
    reading.fill_definitions(list_of(reading.take("gen_ai.tool.definitions")))
    if reading.has_under("gcp.vertex.agent.llm_"):
        _read_request_and_response(reading)
    if reading.has_event("gen_ai."):
        _read_span_events(reading)
    if reading.kind == "llm":
        reading.fill_input(read_messages(reading.take("gen_ai.prompt")))
        reading.fill_output(read_messages(reading.take("gen_ai.completion"), "assistant"))


def _read_request_and_response(reading: Reading) -> None:
    """A model call told as its whole request and response, in Google's shape."""
    request = mapping_of(reading.take("gcp.vertex.agent.llm_request"))
    response = mapping_of(reading.take("gcp.vertex.agent.llm_response"))
    config = mapping_of(request.get("config"))
    asked = [
        *read_instructions(config.get("system_instruction")),
        *(read_messages(request.get("contents")) or []),
    ]
    reading.fill(model_asked=plain_text(request.get("model")))
    reading.fill_input(asked)
    reading.fill_output(read_messages(response.get("content"), "assistant"))
    usage = mapping_of(response.get("usage_metadata"))
    reading.fill_usage(
        **{
            name: int(value)
            for name, key in (
                ("input", "prompt_token_count"),
                ("output", "candidates_token_count"),
                ("cached_input", "cached_content_token_count"),
                ("reasoning", "thoughts_token_count"),
            )
            if isinstance(value := usage.get(key), int) and value >= 0
        }
    )


def _read_span_events(reading: Reading) -> None:
    asked: list[Message] = []
    answered: list[Message] = []
    rest = []
    for event in reading.events:
        attributes = mapping_of(event.get("attributes"))
        body = attributes.get("gen_ai.event.content", attributes)
        found = read_event(str(event.get("name", "")), parsed(body), attributes)
        if found is None:
            rest.append(event)
        else:
            asked += found.input or []
            answered += found.output or []
    reading.events = rest
    reading.fill_input(asked)
    reading.fill_output(answered)


def _read_tool(reading: Reading) -> None:
    if reading.kind != "tool":
        return
    reading.fill(
        tool_name=reading.take_text("gen_ai.tool.name"), tool_call_id=reading.take_text("gen_ai.tool.call.id")
    )
    reading.fill_tool(
        parsed(
            reading.take(
                "gen_ai.tool.call.arguments", "gen_ai.tool.arguments", "gcp.vertex.agent.tool_call_args"
            )
        ),
        result_of(
            reading.take("gen_ai.tool.call.result", "gen_ai.tool.result", "gcp.vertex.agent.tool_response")
        ),
    )
