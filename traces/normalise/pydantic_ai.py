"""What an agent's run adds to the GenAI conventions: its result, all its messages, and sums that are
no call.
"""

from traces.normalise.messages import read_messages, said
from traces.normalise.reading import Reading
from traces.normalise.values import parsed, text_of

_MARKS = frozenset(
    {
        "final_result",
        "pydantic_ai.all_messages",
        "all_messages_events",
        "tool_arguments",
        "tool_response",
        "events",
    }
)


def applies(reading: Reading) -> bool:
    return not _MARKS.isdisjoint(reading.left) or reading.has_under("gen_ai.aggregated_usage.")


def read(reading: Reading) -> None:
    if reading.has_under("gen_ai.aggregated_usage."):
        reading.calls_model = False  # it sums its children; the sums stay readable among the attributes
    if "tool_arguments" in reading.left or "tool_response" in reading.left:
        reading.fill_kind("tool")
        reading.fill_tool(parsed(reading.take("tool_arguments")), parsed(reading.take("tool_response")))
        return
    if "pydantic_ai.all_messages" in reading.left or "all_messages_events" in reading.left:
        reading.fill_kind("agent")
        messages = read_messages(reading.take("pydantic_ai.all_messages", "all_messages_events"))
        reading.fill_input(messages)
        reading.fill_texts(said(messages, "user"), None)
    if "final_result" in reading.left:
        reading.fill_texts(None, text_of(reading.take("final_result")))
    events = parsed(reading.left.get("events"))
    if isinstance(events, list) and "gen_ai.request.model" in reading.left:
        reading.take("events")
        messages = read_messages(events) or []
        asked = [message for message in messages if message.role != "assistant"]
        reading.fill_input(messages[:-1] if messages and messages[-1].role == "assistant" else asked)
        if messages and messages[-1].role == "assistant":
            reading.fill_output(messages[-1:])
