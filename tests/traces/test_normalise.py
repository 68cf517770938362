"""Whatever dialect an emitter speaks, the same things come out; nothing foreign is lost, nothing crashes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.traces.test_summarise import FOREVER
from traces.decode import decode_traces
from traces.normalise import normalise_log, normalise_span
from traces.vocabulary import Message, RawLog, RawSpan, Span


def raw(
    name: str = "s", status: Any = "unset", events: Any = (), scope: str = "", **attributes: Any
) -> RawSpan:
    return RawSpan(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        parent_span_id=None,
        name=name,
        started_at=1,
        ended_at=2,
        status=status,
        status_message="",
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        events=list(events),
        links=[],
        scope=scope,
        scope_version="",
        resource={},
    )


def read(attributes: dict[str, Any], **more: Any) -> Span:
    return normalise_span(raw(**more, **attributes))


def shown(messages: list[Message] | None) -> list[tuple[str, list[Any]]]:
    return [
        (message.role, [part.text or part.result or part.tool_name for part in message.parts])
        for message in messages or []
    ]


CHAT = json.dumps(
    [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": '{"ok": true}'},
    ]
)
EXPECTED = [("system", ["be kind"]), ("user", ["hi"]), ("assistant", ["f"]), ("tool", [{"ok": True}])]

SAME_CONVERSATION: dict[str, Any] = {
    "chat messages": CHAT,
    "GenAI parts": json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "be kind"}]},
            {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": {}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": {"ok": True}}]},
        ]
    ),
    "LangChain's constructors": json.dumps(
        [
            [
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "SystemMessage"],
                    "kwargs": {"content": "be kind"},
                },
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "HumanMessage"],
                    "kwargs": {"content": "hi"},
                },
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "AIMessage"],
                    "kwargs": {"content": "", "tool_calls": [{"name": "f", "args": {}, "id": "c"}]},
                },
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "ToolMessage"],
                    "kwargs": {"content": '{"ok": true}', "tool_call_id": "c"},
                },
            ]
        ]
    ),
    "LangChain's dictionaries": json.dumps(
        {
            "messages": [
                {"type": "system", "content": "be kind"},
                {"type": "human", "data": {"content": "hi"}},
                {"type": "ai", "content": "", "tool_calls": [{"name": "f", "args": {}, "id": "c"}]},
                {"type": "tool", "content": '{"ok": true}', "tool_call_id": "c"},
            ]
        }
    ),
    "Anthropic's blocks": json.dumps(
        {
            "system": "be kind",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "c",
                            "content": [{"type": "text", "text": '{"ok": true}'}],
                        }
                    ],
                },
            ],
        }
    ),
    "Bedrock's blocks": json.dumps(
        [
            {"role": "system", "content": [{"text": "be kind"}]},
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": {"ok": True}}}]},
        ]
    ),
    "Google's parts": json.dumps(
        [
            {"role": "system", "parts": [{"text": "be kind"}]},
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"ok": True}}}]},
        ]
    ),
    "Vercel's parts": json.dumps(
        [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool-call", "toolCallId": "c", "toolName": "f", "input": {}}],
            },
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool-result",
                        "toolCallId": "c",
                        "toolName": "f",
                        "output": {"type": "json", "value": {"ok": True}},
                    }
                ],
            },
        ]
    ),
    "items of a response": json.dumps(
        [
            {"type": "message", "role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": '{"ok": true}'},
        ]
    ),
}


@pytest.mark.parametrize("shape", SAME_CONVERSATION)
def test_a_conversation_is_read_from_any_shape(shape: str) -> None:
    span = read({"gen_ai.operation.name": "chat", "gen_ai.input.messages": SAME_CONVERSATION[shape]})
    assert shown(span.content.input) == EXPECTED
    assert span.content.input is not None
    assert span.content.input[2].parts[0].arguments == {}


def flattened(prefix: str, messages: Any) -> dict[str, Any]:
    found = {}
    for n, (role, text) in enumerate(messages):
        found[f"{prefix}.{n}.message.role"] = role
        found[f"{prefix}.{n}.message.content"] = text
    return found


CALLS: dict[str, dict[str, Any]] = {
    "GenAI": {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "ho"}]}]
        ),
    },
    "GenAI, older names": {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 5,
        "gen_ai.usage.cache_read_input_tokens": 4,
        "gen_ai.prompt": json.dumps([{"role": "user", "content": "hi"}]),
        "gen_ai.completion": json.dumps([{"role": "assistant", "content": "ho"}]),
    },
    "numbered prompts": {
        "llm.request.type": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 5,
        "llm.usage.cache_read_input_tokens": 4,
        "llm.usage.total_tokens": 15,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hi",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "ho",
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"model": "m"}',
        "llm.model_name": "m-1",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "llm.token_count.prompt_details.cache_read": 4,
        **flattened("llm.input_messages", [("user", "hi")]),
        **flattened("llm.output_messages", [("assistant", "ho")]),
    },
    "OpenInference, raw values only": {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"model_name": "m"}',
        "llm.model_name": "m-1",
        "llm.token_count.prompt": 10.0,
        "llm.token_count.completion": "5",
        "llm.token_count.prompt_details.cache_read": 4,
        "input.value": json.dumps({"messages": [{"role": "user", "content": "hi"}]}),
        "output.value": json.dumps({"choices": [{"message": {"role": "assistant", "content": "ho"}}]}),
    },
    "Langfuse, cached apart": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "m-1",
        "langfuse.observation.model.parameters": '{"model": "m"}',
        "langfuse.observation.usage_details": json.dumps(
            {"input": 6, "input_cache_read": 4, "output": 3, "output_reasoning": 2, "total": 15}
        ),
        "langfuse.observation.input": json.dumps([{"role": "user", "content": "hi"}]),
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": "ho"}),
    },
    "Langfuse, cached included": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "m-1",
        "langfuse.observation.metadata.ls_model_name": '"m"',
        "langfuse.observation.usage_details": json.dumps(
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
        ),
        "langfuse.observation.input": json.dumps({"messages": [{"role": "user", "content": "hi"}]}),
        "langfuse.observation.output": '"ho"',
    },
    "the AI SDK": {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.id": "m",
        "ai.response.model": "m-1",
        "ai.usage.inputTokens": 10,
        "ai.usage.outputTokens": 5,
        "ai.usage.cachedInputTokens": 4,
        "ai.prompt.messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]),
        "ai.response.text": "ho",
    },
    "the AI SDK, older names": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "m",
        "ai.response.model": "m-1",
        "ai.usage.promptTokens": 10,
        "ai.usage.completionTokens": 5,
        "ai.usage.cachedInputTokens": 4,
        "ai.prompt.messages": json.dumps([{"role": "user", "content": "hi"}]),
        "ai.result.text": "ho",
    },
    "a whole request and response": {
        "gen_ai.system": "gcp.vertex.agent",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1",
        "gcp.vertex.agent.llm_request": json.dumps(
            {"model": "m", "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        ),
        "gcp.vertex.agent.llm_response": json.dumps(
            {
                "content": {"role": "model", "parts": [{"text": "ho"}]},
                "usage_metadata": {
                    "prompt_token_count": 10,
                    "candidates_token_count": 5,
                    "cached_content_token_count": 4,
                },
            }
        ),
    },
}


@pytest.mark.parametrize("dialect", CALLS)
def test_a_model_call_says_the_same_in_every_dialect(dialect: str) -> None:
    span = read(CALLS[dialect])
    assert (span.kind, span.calls_model, span.status) == ("llm", True, "ok")
    assert (span.model_asked, span.model_answered) == ("m", "m-1")
    assert (span.usage.input, span.usage.output, span.usage.cached_input) == (10, 5, 4)
    assert shown(span.content.input) == [("user", ["hi"])]
    assert [values[-1].strip('"') for _, values in shown(span.content.output)] == ["ho"]


TOOLS: dict[str, dict[str, Any]] = {
    "GenAI": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refund",
        "gen_ai.tool.call.arguments": '{"amount": 180}',
        "gen_ai.tool.call.result": '{"ok": true}',
    },
    "OpenInference": {
        "openinference.span.kind": "TOOL",
        "tool.name": "refund",
        "input.value": '{"amount": 180}',
        "output.value": json.dumps({"type": "tool", "data": {"content": '{"ok": true}'}}),
    },
    "OpenLLMetry": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "refund",
        "traceloop.entity.input": json.dumps({"inputs": {"amount": 180}, "tags": []}),
        "traceloop.entity.output": json.dumps(
            {"output": {"kwargs": {"content": '{"ok": true}', "type": "tool"}}}
        ),
    },
    "OpenLLMetry, decorated": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "refund",
        "traceloop.entity.input": json.dumps({"args": [], "kwargs": {"amount": 180}}),
        "traceloop.entity.output": '{"ok": true}',
    },
    "Langfuse": {
        "langfuse.observation.type": "tool",
        "langfuse.observation.input": '{"amount": 180}',
        "langfuse.observation.output": json.dumps(
            {"content": '{"ok": true}', "type": "tool", "name": "refund"}
        ),
    },
    "the AI SDK": {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.name": "refund",
        "ai.toolCall.args": '{"amount": 180}',
        "ai.toolCall.result": '{"ok": true}',
    },
    "older agents": {
        "gen_ai.tool.name": "refund",
        "tool_arguments": '{"amount": 180}',
        "tool_response": '{"ok": true}',
    },
}


@pytest.mark.parametrize("dialect", TOOLS)
def test_a_tool_run_says_the_same_in_every_dialect(dialect: str) -> None:
    span = read(TOOLS[dialect], name="refund")
    assert (span.kind, span.tool_name, span.calls_model) == ("tool", "refund", False)
    assert span.content.arguments == {"amount": 180}
    assert span.content.result == {"ok": True}


RETRIEVALS: dict[str, dict[str, Any]] = {
    "OpenInference": {
        "openinference.span.kind": "RETRIEVER",
        "retrieval.documents.0.document.id": "a",
        "retrieval.documents.0.document.content": "text",
        "retrieval.documents.1.document.metadata": '{"source": "b"}',
    },
    "Langfuse": {
        "langfuse.observation.type": "retriever",
        "langfuse.observation.output": json.dumps(
            [{"id": "a", "page_content": "text"}, {"page_content": "", "metadata": {"url": "b"}}]
        ),
    },
    "OpenLLMetry": {
        "traceloop.span.kind": "vector_db_retrieve",
        "traceloop.entity.output": json.dumps(
            {"documents": [{"id": "a", "content": "text"}, {"metadata": {"source": "b"}}]}
        ),
    },
    "GenAI": {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.documents": json.dumps([{"id": "a", "content": "text"}, {"id": "b"}]),
    },
}


@pytest.mark.parametrize("dialect", RETRIEVALS)
def test_a_retrieval_says_the_same_in_every_dialect(dialect: str) -> None:
    span = read(RETRIEVALS[dialect])
    assert span.kind == "retriever"
    assert [document.id for document in span.content.documents or []] == ["a", "b"]
    assert span.content.documents is not None
    assert span.content.documents[0].content == "text"


def test_a_vector_stores_events_are_documents() -> None:
    events = [
        {
            "name": "db.query.result",
            "time": 1,
            "attributes": {"db.query.result.id": name, "db.query.result.document": "t"},
        }
        for name in ("a", "b")
    ]
    span = read({"db.system": "chroma"}, events=events)
    assert span.kind == "retriever"
    assert [document.id for document in span.content.documents or []] == ["a", "b"]


def test_events_on_the_span_are_its_messages() -> None:
    events = [
        {"name": "gen_ai.user.message", "time": 1, "attributes": {"content": "hi"}},
        {"name": "gen_ai.choice", "time": 2, "attributes": {"message": '{"content": "ho"}', "index": 0}},
        {"name": "exception", "time": 3, "attributes": {"exception.message": "x"}},
    ]
    span = read({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, events=events)
    assert shown(span.content.input) == [("user", ["hi"])]
    assert shown(span.content.output) == [("assistant", ["ho"])]
    assert [event["name"] for event in span.events] == ["exception"]


@pytest.mark.parametrize("operation", ["ai.generateText", "ai.streamText", "ai.generateObject"])
def test_a_parent_that_sums_its_children_is_no_call(operation: str) -> None:
    attributes = {
        "ai.operationId": operation,
        "ai.usage.inputTokens": 900,
        "ai.response.text": "ho",
        "ai.prompt": '{"system": "be kind", "prompt": "hi"}',
    }
    span = read(attributes)
    assert (span.kind, span.calls_model, span.usage.input) == ("agent", False, None)
    assert (span.content.input_text, span.content.output_text) == ("hi", "ho")
    assert span.attributes["ai.usage.inputTokens"] == 900


def test_an_agents_sums_are_no_call() -> None:
    span = read(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.aggregated_usage.input_tokens": 824,
            "final_result": "ho",
        }
    )
    assert (span.kind, span.calls_model, span.usage.input, span.content.output_text) == (
        "agent",
        False,
        None,
        "ho",
    )


def test_a_span_marked_as_a_model_that_calls_nothing_is_no_call() -> None:
    prepared = {
        "openinference.span.kind": "LLM",
        "input.value": '{"messages": []}',
        "output.value": '{"tools": [], "messages": [{"role": "user", "content": "hi"}]}',
    }
    assert not read(prepared).calls_model
    assert read(prepared, status="error").calls_model


def test_chains_that_repeat_messages_are_no_calls() -> None:
    span = read({"openinference.span.kind": "CHAIN", **flattened("llm.input_messages", [("user", "hi")])})
    assert (span.kind, span.calls_model) == ("chain", False)


def test_an_error_may_stand_in_a_level() -> None:
    span = read(
        {
            "langfuse.observation.type": "tool",
            "langfuse.observation.level": "ERROR",
            "langfuse.observation.status_message": "no",
        }
    )
    assert (span.status, span.status_message) == ("error", "no")


def test_cached_tokens_that_are_counted_apart_are_added() -> None:
    span = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.cache_read.input_tokens": 128,
        }
    )
    assert (span.usage.input, span.usage.cached_input) == (140, 128)


def test_claims_are_read_from_any_span() -> None:
    span = read(
        {
            "clearance.request_id": "r",
            "clearance.variant": "canary",
            "clearance.segment.tier": "gold",
            "clearance.escalated": "true",
            "task.outcome": "success",
            "session.id": "s",
            "enduser.id": "u",
        }
    )
    assert (span.claims.request_id, span.claims.variant, span.claims.segments) == (
        "r",
        "canary",
        {"tier": "gold"},
    )
    assert (span.claims.escalated, span.claims.outcome, span.claims.session_id, span.claims.user_id) == (
        True,
        "success",
        "s",
        "u",
    )


def test_what_no_reader_claims_is_kept() -> None:
    span = read(
        {"openinference.span.kind": "LLM", "my.own": [1, {"a": "b"}], "llm.token_count.prompt": "many"}
    )
    assert span.attributes == {"my.own": [1, {"a": "b"}], "llm.token_count.prompt": "many"}


def test_a_vector_is_kept_as_its_length() -> None:
    span = read(
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "e",
            "embedding.embeddings.0.embedding.text": "hi",
            "embedding.embeddings.0.embedding.vector": [0.1] * 1536,
        }
    )
    assert (span.kind, span.calls_model, span.model_answered) == ("embedding", True, "e")
    assert len(json.dumps(span.attributes)) < 200
    assert "1536" in json.dumps(span.attributes)


def test_a_picture_is_kept_as_its_size_and_hash() -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 1000}}]
    span = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps([{"role": "user", "content": content}]),
        }
    )
    assert span.content.input is not None
    media = span.content.input[0].parts[0].media
    assert media is not None
    assert (media["mime_type"], media["bytes"]) == ("image/png", 3000)
    assert "QUJDQUJD" not in str(media)


# --- no input crashes --------------------------------------------------------------------------------------

NAMES = sorted(
    {name for group in (CALLS, TOOLS, RETRIEVALS) for attributes in group.values() for name in attributes}
)
VALUES = [
    value
    for group in (CALLS, TOOLS, RETRIEVALS)
    for attributes in group.values()
    for value in attributes.values()
]
anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(VALUES),
        st.sampled_from(
            ["\ud800", "\0", "{", "[[[[", '{"messages": 3}', '[{"role": 3}]', "[null]", '{"type": "tool"}']
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "parts",
                    "tool_calls",
                    "kwargs",
                    "id",
                    "data",
                    "message",
                    "function",
                    "text",
                    "documents",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)
names = (
    st.sampled_from(NAMES)
    | st.text(max_size=12)
    | st.sampled_from(["llm.input_messages.0", "gen_ai.prompt.x.y", "a..b", ".", "retrieval.documents."])
)


@given(st.dictionaries(names, anything, max_size=8), st.lists(anything, max_size=2))
def test_no_attributes_of_any_type_stop_normalising(attributes: dict[str, Any], bodies: list[Any]) -> None:
    events = [{"name": "gen_ai.choice", "time": 1, "attributes": {"message": body}} for body in bodies]
    span = normalise_span(
        RawSpan(
            trace_id=b"\x01" * 16,
            span_id=b"\x02" * 8,
            parent_span_id=None,
            name="s",
            started_at=1,
            ended_at=2,
            status="unset",
            status_message="",
            attributes=attributes,
            events=events,
            links=[],
            scope="",
            scope_version="",
            resource={},
        )
    )
    assert span.kind
    assert span.usage.input is None or span.usage.input >= 0


LOG_EVENTS = ["gen_ai.user.message", "gen_ai.choice", "gen_ai.client.inference.operation.details", "other"]


@given(st.sampled_from(LOG_EVENTS), anything, st.dictionaries(names, anything, max_size=3))
def test_no_body_of_any_type_stops_a_log_event(name: str, body: Any, attributes: dict[str, Any]) -> None:
    event = normalise_log(
        RawLog(
            trace_id=b"\x01" * 16,
            span_id=None,
            event_name=name,
            time=None,
            observed_at=1,
            body=body,
            attributes=attributes,
            scope="",
            resource={},
        )
    )
    assert event.event_name == name


def test_unknown_attributes_travel_whole_through_decoding() -> None:
    body = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "01" * 16,
                                "spanId": "02" * 8,
                                "startTimeUnixNano": "1",
                                "endTimeUnixNano": "2",
                                "attributes": [
                                    {
                                        "key": "mine",
                                        "value": {
                                            "kvlistValue": {
                                                "values": [{"key": "a", "value": {"intValue": "9"}}]
                                            }
                                        },
                                    }
                                ],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    decoded = decode_traces(json.dumps(body).encode(), "application/json", **FOREVER)
    assert normalise_span(decoded.items[0]).attributes == {"mine": {"a": 9}}


def test_a_library_nobody_knows_is_read_by_how_its_names_end() -> None:
    call = read(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps({"model": "m", "messages": json.loads(CHAT)}),
            "mlflow.spanOutputs": json.dumps(
                {"choices": [{"message": {"role": "assistant", "content": "yes"}}]}
            ),
            "mlflow.chat.tokenUsage": json.dumps({"input_tokens": 11, "output_tokens": 7}),
        }
    )
    assert (call.kind, call.calls_model, call.model_asked) == ("llm", True, "m")
    assert shown(call.content.input) == EXPECTED
    assert shown(call.content.output) == [("assistant", ["yes"])]
    assert (call.usage.input, call.usage.output) == (11, 7)
    assert call.attributes == {}

    tool = read(
        {"some.span.kind": "tool", "some.input": '{"order": 3}', "some.output": '{"ok": true}'}, name="look"
    )
    assert (tool.kind, tool.tool_name) == ("tool", "look")
    assert (tool.content.arguments, tool.content.result) == ({"order": 3}, {"ok": True})

    found = read(
        {"x.run_type": "retriever", "x.inputs": "where?", "x.outputs": '[{"id": "kb-1", "text": "here"}]'}
    )
    assert found.kind == "retriever"
    assert [document.id for document in found.content.documents or []] == ["kb-1"]
    assert found.content.input_text == "where?"


def test_what_a_call_was_asked_is_found_beside_the_conventions() -> None:
    call = read(
        {
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m-1",
            "request_data": json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
            "response_data": json.dumps(
                {"message": {"role": "assistant", "content": "yes"}, "usage": {"prompt_tokens": 2}}
            ),
        }
    )
    assert (call.kind, call.model_answered, call.usage.input) == ("llm", "m-1", 2)
    assert shown(call.content.input) == [("user", ["hi"])]
    assert shown(call.content.output) == [("assistant", ["yes"])]


def test_a_kind_of_the_transport_is_no_kind_of_ours() -> None:
    server = read({"span.kind": "server", "http.input": "x"})
    assert (server.kind, server.attributes) == ("other", {"span.kind": "server", "http.input": "x"})
