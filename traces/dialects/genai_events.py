"""The GenAI conventions' events, which carry the messages when the span does not: as log records or span
events.
"""

from traces.dialects.messages import read_message, read_messages, read_parts
from traces.dialects.values import list_of, mapping_of, parsed
from traces.vocabulary import Content, Json, Message, Role

_ROLES: dict[str, Role] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_DETAILS = "gen_ai.client.inference.operation.details"


def read_event(name: str, body: Json, attributes: dict[str, Json]) -> Content | None:
    """What an event says of its call; None where it is no event of the conventions, or says nothing of a
    message.
    """
    if role := _ROLES.get(name):
        message = _message(body, role)
        return Content(input=[message]) if message else None
    if name == "gen_ai.choice":
        holder = mapping_of(body)
        message = _message(parsed(holder.get("message", body)), "assistant")
        return Content(output=[message]) if message else None
    if name == _DETAILS:
        holder = {**mapping_of(body), **attributes}
        parts = read_parts(parsed(holder.get("gen_ai.system_instructions")))
        system = [Message(role="system", parts=parts)] if parts else []
        asked = [*system, *(read_messages(holder.get("gen_ai.input.messages")) or [])]
        answered = read_messages(holder.get("gen_ai.output.messages"), "assistant")
        definitions = list_of(holder.get("gen_ai.tool.definitions"))
        return Content(input=asked or None, output=answered, tool_definitions=definitions or None)
    if name in {"gen_ai.content.prompt", "gen_ai.content.completion"}:
        asks = name.endswith("prompt")
        holder = {**mapping_of(body), **attributes}
        messages = read_messages(
            holder.get("gen_ai.prompt" if asks else "gen_ai.completion"), "user" if asks else "assistant"
        )
        return None if not messages else Content(input=messages) if asks else Content(output=messages)
    return None


def _message(body: Json, role: Role) -> Message | None:
    if isinstance(body, dict):
        message = read_message({**body, "role": body.get("role") or role}, role)
    else:
        message = Message(role=role, parts=read_parts(body))
    return message if message.parts else None
