"""The AI SDK's telemetry: `ai.operationId` says what a span is.

`ai.generateText` and the like stand for a whole conversation of calls and sum their usage: an agent's span,
never a call. `.doGenerate`, `.doStream` and `.doEmbed` are the calls.
"""

from typing import get_args

from traces.dialects.messages import read_messages, result_of, said
from traces.dialects.reading import Reading
from traces.dialects.values import first, list_of, mapping_of, parsed, plain_text, text_of, without_vectors
from traces.vocabulary import Kind, Message, Part

_METADATA = "ai.telemetry.metadata."
_OUTER: dict[str, Kind] = {"embed": "chain", "embedMany": "chain", "rerank": "chain"}
assert set(_OUTER.values()) <= set(get_args(Kind))


def applies(reading: Reading) -> bool:
    return "ai.operationId" in reading.left


def read(reading: Reading) -> None:
    operation = plain_text(reading.take("ai.operationId")) or ""
    _read_metadata(reading)
    if operation == "ai.toolCall":
        _read_tool(reading)
    elif operation.endswith((".doGenerate", ".doStream")):
        reading.fill_kind("llm")
        _read_call(reading)
    elif operation.endswith(".doEmbed"):
        reading.fill_kind("embedding")
        _read_embedding(reading)
    elif operation.startswith("ai."):
        reading.fill_kind(_OUTER.get(operation.split(".")[1], "agent"))
        reading.calls_model = False
        _read_outer(reading)


def _read_metadata(reading: Reading) -> None:
    known = {
        name: reading.left.get(_METADATA + name)
        for name in ("sessionId", "session.id", "session_id", "userId", "user.id", "user_id", "requestId")
    }
    reading.fill_claims(
        session_id=plain_text(first(known, "sessionId", "session.id", "session_id")),
        user_id=plain_text(first(known, "userId", "user.id", "user_id")),
        request_id=plain_text(known["requestId"]),
    )
    for name, value in known.items():
        if value is not None:
            reading.take(_METADATA + name)


def _models(reading: Reading) -> None:
    reading.fill(
        model_asked=reading.take_text("ai.model.id"),
        model_answered=reading.take_text("ai.response.model"),
        provider=reading.take_text("ai.model.provider"),
        response_id=reading.take_text("ai.response.id"),
    )


def _read_call(reading: Reading) -> None:
    _models(reading)
    reading.fill_usage(
        input=reading.take_count("ai.usage.inputTokens", "ai.usage.promptTokens"),
        output=reading.take_count("ai.usage.outputTokens", "ai.usage.completionTokens"),
        cached_input=reading.take_count(
            "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"
        ),
        reasoning=reading.take_count(
            "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"
        ),
    )
    reading.fill_input(read_messages(reading.take("ai.prompt.messages", "ai.prompt")))
    parts: list[Part] = []
    if thought := text_of(reading.take("ai.response.reasoning")):
        parts.append(Part(type="reasoning", text=thought))
    if text := text_of(
        reading.take("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object")
    ):
        parts.append(Part(type="text", text=text))
    for item in list_of(reading.take("ai.response.toolCalls", "ai.result.toolCalls")):
        call = mapping_of(item)
        parts.append(
            Part(
                type="tool_call",
                tool_call_id=plain_text(call.get("toolCallId")),
                tool_name=plain_text(call.get("toolName")),
                arguments=parsed(first(call, "input", "args")),
            )
        )
    reading.fill_output([Message(role="assistant", parts=parts)] if parts else None)
    reading.fill_definitions(list_of(reading.take("ai.prompt.tools")))


def _read_embedding(reading: Reading) -> None:
    _models(reading)
    reading.fill_usage(input=reading.take_count("ai.usage.tokens", "ai.usage.inputTokens"))
    values = reading.take("ai.value", "ai.values")
    reading.fill_input(read_messages([parsed(item) for item in list_of(values)] or values))
    for name in ("ai.embedding", "ai.embeddings"):
        if name in reading.left:
            reading.left[name] = without_vectors([parsed(item) for item in list_of(reading.left[name])])


def _read_outer(reading: Reading) -> None:
    asked = reading.take("ai.prompt", "ai.prompt.messages", "ai.value")
    messages = read_messages(asked)
    inner = mapping_of(asked)
    reading.fill_texts(
        plain_text(inner.get("prompt")) or said(messages, "user") or text_of(asked),
        text_of(reading.take("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object")),
    )
    if system := plain_text(inner.get("system")):
        reading.fill_input(
            [
                Message(role="system", parts=[Part(type="text", text=system)]),
                *(read_messages(first(inner, "messages", "prompt")) or []),
            ]
        )


def _read_tool(reading: Reading) -> None:
    reading.fill_kind("tool")
    reading.fill(
        tool_name=reading.take_text("ai.toolCall.name"), tool_call_id=reading.take_text("ai.toolCall.id")
    )
    reading.fill_tool(
        parsed(reading.take("ai.toolCall.args", "ai.toolCall.input")),
        result_of(reading.take("ai.toolCall.result", "ai.toolCall.output")),
    )
