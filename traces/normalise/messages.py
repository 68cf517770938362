"""Messages and their parts, whoever wrote them down: by shape, not by name.

Read are OpenAI's chat messages and response items, Anthropic's and Bedrock's content blocks, Google's parts,
the parts of OpenTelemetry's GenAI conventions, LangChain's serialised messages, and Vercel's. A shape that is
none of these is kept as a part of type "other", whole.
"""

import hashlib
from typing import get_args

from traces.normalise.values import first, list_of, mapping_of, parsed, plain_text, text_of
from traces.vocabulary import Json, Message, Part, Role

_ROLES: dict[str, Role] = {
    **{role: role for role in get_args(Role)},
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "agent": "assistant",
    "function": "tool",
    "tool_result": "tool",
    "systemmessage": "system",
    "humanmessage": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "toolmessage": "tool",
    "functionmessage": "tool",
    "chatmessage": "user",
}
_TEXT = {"text", "input_text", "output_text", "refusal", "summary_text", "markdown"}
_CALL = {"tool_call", "tool-call", "tool_use", "function_call", "function", "toolcall", "server_tool_use"}
_RESULT = {
    "tool_call_response",
    "tool-result",
    "tool-error",
    "tool_result",
    "function_call_output",
    "function_response",
    "tool_return",
    "tool-return",
}
_REASONING = {"reasoning", "thinking", "redacted_thinking", "redacted-reasoning"}
_MEDIA = {
    "image",
    "image_url",
    "input_image",
    "input_audio",
    "input_file",
    "audio",
    "video",
    "file",
    "document",
    "blob",
    "uri",
    "media",
    "image-url",
}
_LEVELS = 12


def role_of(value: Json, default: Role = "user") -> Role:
    """The role that a word stands for."""
    return _ROLES.get(value.lower(), default) if isinstance(value, str) else default


def read_messages(value: Json, default: Role = "user") -> list[Message] | None:
    """The messages in a value; a bare text is one message of the default role. None when there is none."""
    found = _messages(parsed(value), default, 0)
    return found or None


def _messages(value: Json, default: Role, level: int) -> list[Message]:
    if value is None or value == "" or level > _LEVELS:
        return []
    if isinstance(value, list):
        return [message for item in value for message in _messages(item, default, level + 1)]
    if not isinstance(value, dict):
        text = text_of(value)
        return [Message(role=default, parts=[Part(type="text", text=text)])] if text else []
    if isinstance(inner := value.get("messages"), list | str):
        system = value.get("system")
        return [
            *(_messages(parsed(system), "system", level + 1) if system else []),
            *_messages(parsed(inner), default, level + 1),
        ]
    message = _plain_message(value) or read_message(value, default)
    return [message] if message.parts else []


_SPEAKERS: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}


def _plain_message(value: dict[str, Json]) -> Message | None:
    """The commonest message, a role and text or parts of text, without looking for any other shape; None: look
    closer.
    """
    said_by = value.get("role")
    role = _SPEAKERS.get(said_by) if isinstance(said_by, str) else None
    if role is None or len(value) != (3 if "finish_reason" in value else 2):
        return None
    content = value.get("parts", value.get("content"))
    if isinstance(content, str):
        if not content or "[" in content[:40]:
            return None
        return Message(role=role, parts=[Part(type="text", text=content)])
    parts = _plain_parts(content) if isinstance(content, list) else None
    return Message(role=role, parts=parts) if parts else None


def _plain_parts(blocks: list[Json]) -> list[Part] | None:
    """Blocks that are all nothing but text; None: look closer."""
    parts: list[Part] = []
    for block in blocks:
        if not isinstance(block, dict) or len(block) != 2 or block.get("type") != "text":
            return None
        text = block.get("content", block.get("text"))
        if not isinstance(text, str) or not text:
            return None
        parts.append(Part(type="text", text=text))
    return parts


def read_message(value: dict[str, Json], default: Role = "user") -> Message:
    """One message object of any shape."""
    value, role = _unwrapped(value, default)
    parts: list[Part] = []
    if str(value.get("type")) in _RESULT | _CALL | _REASONING and "role" not in value:
        parts = read_parts(value)
        role = "tool" if parts and parts[0].type == "tool_result" else "assistant"
        return Message(role=role, parts=parts)
    content = first(value, "parts", "contents", "content")
    if role == "tool" and not _holds_results(parsed(content)):
        parts.append(
            Part(
                type="tool_result",
                tool_call_id=plain_text(first(value, "tool_call_id", "toolCallId", "id")),
                tool_name=plain_text(first(value, "name", "tool_name", "toolName")),
                result=result_of(content),
            )
        )
        return Message(role=role, parts=parts)
    if reasoning := plain_text(first(value, "reasoning_content", "reasoning")):
        parts.append(Part(type="reasoning", text=reasoning))
    parts += read_parts(content)
    if refusal := plain_text(value.get("refusal")):
        parts.append(Part(type="text", text=refusal))
    seen = {part.tool_call_id for part in parts if part.type == "tool_call" and part.tool_call_id}
    for call in _calls_of(value):
        part = _call(call)
        if part.tool_call_id is None or part.tool_call_id not in seen:
            parts.append(part)
    if role == "user" and parts and all(part.type == "tool_result" for part in parts):
        role = "tool"  # Anthropic's users bring the results
    return Message(role=role, parts=parts)


def _unwrapped(value: dict[str, Json], default: Role) -> tuple[dict[str, Json], Role]:
    """A message out of what its framework wrapped it in, and its role."""
    if isinstance(inner := value.get("message"), dict) and not value.get("role"):
        return _unwrapped(inner, role_of(value.get("role"), default))
    kwargs = value.get("kwargs")
    if (
        isinstance(kwargs, dict) and isinstance(names := value.get("id"), list) and names
    ):  # LangChain's constructor
        return kwargs, role_of(first(kwargs, "role", "type"), role_of(names[-1], default))
    data = value.get("data")
    if isinstance(data, dict) and isinstance(value.get("type"), str) and "content" in data:
        return data, role_of(value["type"], default)
    role = value.get("role")
    if role is None and str(value.get("type", "")).lower() in _ROLES and value.get("type") not in _CALL:
        role = value["type"]
    return value, role_of(role, default)


def _holds_results(content: Json) -> bool:
    return isinstance(content, list) and any(
        isinstance(item, dict)
        and (
            str(item.get("type")) in _RESULT
            or any(name in item for name in ("toolResult", "function_response", "functionResponse"))
        )
        for item in content
    )


def _calls_of(value: dict[str, Json]) -> list[dict[str, Json]]:
    extra = value.get("additional_kwargs")
    found = list_of(value.get("tool_calls")) or (
        list_of(extra.get("tool_calls")) if isinstance(extra, dict) else []
    )
    calls = [mapping_of(call) for call in found]
    if isinstance(old := value.get("function_call"), dict):
        calls.append(old)
    if name := plain_text(value.get("function_call_name")):
        calls.append({"name": name, "arguments": value.get("function_call_arguments_json")})
    return [call for call in calls if call]


def _call(call: dict[str, Json]) -> Part:
    if isinstance(inner := call.get("tool_call"), dict):
        call = inner
    function = call.get("function")
    named = function if isinstance(function, dict) else call
    return Part(
        type="tool_call",
        tool_call_id=plain_text(
            first(call, "id", "call_id", "tool_call_id", "toolCallId", "toolUseId", "tool_use_id")
        ),
        tool_name=plain_text(first(named, "name", "toolName", "tool_name")),
        arguments=parsed(first(named, "arguments", "args", "input", "parameters")),
    )


def read_parts(content: Json, level: int = 0) -> list[Part]:
    """The parts of a message's content: text, one block, or a list of blocks."""
    content = parsed(content) if isinstance(content, str) and _is_blocks(content) else content
    if content is None or content == "" or level > _LEVELS:
        return []
    if isinstance(content, list):
        if parts := _plain_parts(content):
            return parts
        return [part for item in content for part in read_parts(item, level + 1)]
    if not isinstance(content, dict):
        text = text_of(content)
        return [Part(type="text", text=text)] if text else []
    if isinstance(inner := content.get("message_content"), dict):  # OpenInference's flattened contents
        return read_parts(inner, level + 1)
    return _block(content, level)


def _is_blocks(text: str) -> bool:
    """Whether a text is a list of content blocks that was encoded once more, not an answer that is JSON."""
    head = text[:40].replace(" ", "")
    return head.startswith(('[{"type":', '[{"text":', "[{'type'"))


def _block(block: dict[str, Json], level: int) -> list[Part]:
    kind = str(block.get("type", "")).lower()
    if kind in _TEXT:
        text = text_of(first(block, "text", "content", "refusal"))
        return [Part(type="text", text=text)] if text else []
    if kind in _CALL:
        return [_call(block)]
    if kind in _RESULT:
        return [_result(block)]
    if kind in _REASONING:
        text = text_of(first(block, "text", "content", "thinking", "summary", "reasoning"))
        return [Part(type="reasoning", text=text)] if text else []
    if kind in _MEDIA:
        return [Part(type="media", media=_media(block))]
    for name in ("toolUse", "function_call", "functionCall"):  # Bedrock's and Google's parts have no type
        if isinstance(inner := block.get(name), dict):
            return [_call(inner)]
    for name in ("toolResult", "function_response", "functionResponse"):
        if isinstance(inner := block.get(name), dict):
            return [_result(inner)]
    for name in ("inline_data", "inlineData", "file_data", "fileData"):
        if isinstance(inner := block.get(name), dict):
            return [Part(type="media", media=_media(inner))]
    if isinstance(text := block.get("text"), str):
        return [Part(type="text", text=text)] if text else []
    if kind == "message" or "role" in block:
        return read_parts(block.get("content"), level + 1)
    return [Part(type="other", text=text_of(block))]


def _result(block: dict[str, Json]) -> Part:
    return Part(
        type="tool_result",
        tool_call_id=plain_text(
            first(block, "id", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "call_id")
        ),
        tool_name=plain_text(first(block, "name", "toolName", "tool_name")),
        result=result_of(first(block, "response", "result", "output", "content", "error")),
    )


def result_of(value: Json, level: int = 0) -> Json:
    """A tool's result out of the wrappers that frameworks put round it, parsed where it was JSON."""
    value = parsed(value)
    if level > _LEVELS:
        return value
    if isinstance(value, dict):
        if isinstance(kwargs := value.get("kwargs"), dict) and "content" in kwargs:
            return result_of(kwargs["content"], level + 1)
        if isinstance(data := value.get("data"), dict) and value.get("type") == "tool" and "content" in data:
            return result_of(data["content"], level + 1)
        if "content" in value and str(value.get("type")).lower() in {"tool", "toolmessage"}:
            return result_of(value["content"], level + 1)
        if set(value) <= {"type", "value"} and "value" in value:  # Vercel's {"type": "json", "value": ...}
            return result_of(value["value"], level + 1)
        if set(value) == {"output"}:
            return result_of(value["output"], level + 1)
        if set(value) <= {"type", "text"} and isinstance(value.get("text"), str):
            return parsed(value["text"])
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        only = value[0]
        if str(only.get("type")) in _TEXT and isinstance(only.get("text"), str):
            return parsed(only["text"])
    return value


def _media(block: dict[str, Json]) -> dict[str, Json]:
    """What is kept of an image, a sound or a file: type, size and hash, or where it lies; never the
    payload.
    """
    kind = str(block.get("type", "file"))
    found: dict[str, Json] = {"type": kind}
    source = block.get("source")
    holder = {**block, **source} if isinstance(source, dict) else dict(block)
    for name in ("image_url", "input_audio", "file", "image"):
        if isinstance(inner := holder.get(name), dict):
            holder |= inner
    if mime := plain_text(first(holder, "mime_type", "media_type", "mimeType", "mediaType", "format")):
        found["mime_type"] = mime
    reference = first(holder, "url", "uri", "file_uri", "fileUri", "file_id", "image_url", "image")
    payload = first(holder, "data", "bytes", "content", "file_data")
    if isinstance(reference, str) and not reference.startswith("data:"):
        found["uri"] = reference[:2000]
    elif text := plain_text(reference if isinstance(reference, str) else payload):
        header, comma, encoded = text.partition(",") if text.startswith("data:") else ("", "", text)
        if comma and "mime_type" not in found:
            found["mime_type"] = header[5:].partition(";")[0]
        found |= {
            "bytes": len(encoded) * 3 // 4,
            "sha256": hashlib.sha256(encoded.encode("utf-8", "replace")).hexdigest(),
        }
    return found


def said(messages: list[Message] | None, *roles: Role) -> str | None:
    """The text of the last message of these roles that has text."""
    for message in reversed(messages or []):
        if message.role in roles:
            text = "".join(part.text or "" for part in message.parts if part.type == "text")
            if text.strip():
                return text
    return None


_SAYS = ("output", "answer", "response", "result", "final_output", "final_answer", "text", "content", "value")
_ASKS = ("input", "question", "query", "prompt", "user_input", "message", "text", "content", "value")


def gist(value: Json, *, asked: bool) -> str | None:
    """The text that a person would read of a chain's or an agent's input (`asked`) or output.

    The last message where it holds messages, the one telling field of an object, else the whole of it.
    """
    inner = parsed(value)
    roles: tuple[Role, ...] = ("user",) if asked else ("assistant",)
    for _ in range(4):
        if isinstance(inner, list) and inner and all(isinstance(item, dict | list) for item in inner):
            text = said(read_messages(inner), *roles)
            return text or text_of(value)
        if not isinstance(inner, dict):
            break
        if isinstance(inner.get("messages"), list):
            text = said(read_messages(inner["messages"]), *roles)
            return text or text_of(value)
        if "role" in inner or "kwargs" in inner:
            text = said(read_messages(inner), *roles)
            return text or text_of(value)
        found = first(inner, *(_ASKS if asked else _SAYS))
        if found is None or (len(inner) > 3 and not isinstance(found, str)):
            return text_of(value)
        value, inner = found, parsed(found)
    return text_of(value)
