"""A span is made fit to store: bounded part by part, redacted before it is cut, and it says what was cut."""

import base64
import copy
import json
import os

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from traces.bound import (
    clean_text,
    cut_text,
    make_event_storable,
    make_storable,
    storable_body,
    storable_event_body,
)
from traces.redact import TOKEN_PATTERN, Redactor
from traces.vocabulary import Claims, Content, Document, Json, LogEvent, Message, Part, Span

REDACTOR = Redactor(b"k" * 32)


def span(**changed: Json) -> Span:
    return Span(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        parent_span_id=None,
        name="chat",
        scope="s",
        kind="llm",
        started_at=1,
        ended_at=2,
        status="ok",
        status_message="",
        **changed,
    )


def message(text: str) -> Message:
    return Message(role="user", parts=[Part(type="text", text=text)])


def text_of(kept: Span, at: int = 0) -> Part:
    assert kept.content.input is not None
    return kept.content.input[at].parts[0]


def test_a_long_part_is_cut_at_a_character_and_says_its_original_size() -> None:
    kept = make_storable(
        span(content=Content(input=[message("\u20ac" * 30_000), message("short")])), REDACTOR
    )
    part = text_of(kept)
    assert part.text == "\u20ac" * (64 * 1024 // 3)
    assert part.cut_from == 90_000
    assert text_of(kept, 1).text == "short"
    assert text_of(kept, 1).cut_from is None
    assert kept.content.cut


def test_no_cut_leaves_half_an_address() -> None:
    padding = "x" * (64 * 1024 - 8)
    kept = make_storable(span(content=Content(input=[message(f"{padding} someone@mail.example")])), REDACTOR)
    text = text_of(kept).text
    assert text is not None
    assert "someone" not in text
    assert kept.redactions == {"email": 1}


def test_a_base64_payload_becomes_its_type_size_and_hash() -> None:
    payload = base64.b64encode(os.urandom(9000)).decode()
    kept = make_storable(
        span(
            content=Content(input=[message(f"data:image/png;base64,{payload}")], arguments={"file": payload})
        ),
        REDACTOR,
    )
    part = text_of(kept)
    assert part.type == "media"
    assert part.text is None
    assert part.media is not None
    assert part.media["mime_type"] == "image/png"
    assert part.media["bytes"] == 9000
    assert kept.content.arguments["file"]["bytes"] == 9000
    assert payload[:100] not in msgspec.json.encode(kept).decode()


def test_personal_data_is_found_wherever_it_stands() -> None:
    address = "someone@mail.example"
    kept = make_storable(
        span(
            content=Content(
                input=[message(address)],
                documents=[Document(id=address, content=address, metadata={address: [address]})],
                arguments={"to": [{"deep": address}]},
                result=address,
                output_text=address,
            ),
            attributes={"custom": {"nested": address}},
            resource={"host": address},
            events=[{"name": "exception", "attributes": {"exception.message": address}}],
        ),
        REDACTOR,
    )
    stored = msgspec.json.encode(kept).decode()
    assert address not in stored
    assert kept.redactions["email"] == len(TOKEN_PATTERN.findall(stored)) == 11


def test_a_span_keeps_at_most_its_limit_and_its_newest_messages() -> None:
    messages = [message(f"{n} " + "word " * 200) for n in range(200)]
    kept = make_storable(span(content=Content(input=messages)), REDACTOR, span_limit=40_000)
    assert len(msgspec.json.encode(kept)) <= 40_000
    assert kept.content.cut
    assert str(text_of(kept).text).startswith("0 ")
    assert str(text_of(kept, -1).text).startswith("199 ")


def test_an_event_keeps_at_most_its_limit() -> None:
    event = LogEvent(
        trace_id=b"\x01" * 16, span_id=None, event_name="e", observed_at=1, body={"a": ["word " * 1000] * 50}
    )
    kept = make_event_storable(event, REDACTOR, event_limit=20_000)
    assert len(msgspec.json.encode(kept)) <= 20_000
    assert kept.content.cut


@given(st.text(max_size=200), st.integers(0, 100))
def test_a_cut_text_is_a_beginning_that_fits(text: str, limit: int) -> None:
    text = clean_text(text)
    kept, original = cut_text(text, limit)
    assert text.startswith(kept)
    assert len(kept.encode()) <= limit
    assert (original is None) == (kept == text)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.just("\ud800"),
        st.just("a\0b"),
        st.just(10**400),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4), values)
def test_any_value_becomes_json_that_the_database_takes(attributes: dict[str, Json], arguments: Json) -> None:
    stored = msgspec.json.encode(
        make_storable(span(attributes=attributes, content=Content(arguments=arguments)), REDACTOR)
    )
    assert "\\u0000" not in stored.decode()
    json.loads(stored)
    msgspec.json.decode(stored, type=Span)


# What tells the quick way from the long one: ends of texts, escapes, quotes, what only looks like a finding.
PIECES = (
    "a@b.example",
    "4111 1111 1111 1111",
    "4111111111111111",
    "+49 30 901820",
    "10:30:00",
    "2026-01-01T10:30:00Z",
    "2001:db8::7",
    "203.0.113.7",
    "1.2.3.4.5",
    "DE89 3704 0044 0532 0130 00",
    "078-05-1120",
    "12345678Z",
    "[email:0123456789abcdef0123]",
    "[email:0123]",
    "password: hunter22",
    "secret",
    "sk-abcdefghijklmnopqrstuv",
    "Bearer abcdefghijklmnopqrst",
    "CUST-123456",
    "data:text/plain;base64,",
    "data:",
    base64.b64encode(bytes(range(256)) * 4).decode(),
    "word " * 300,
    "x" * 1100,
    "9" * 310,
    "\u20ac",
    "\n",
    "\\",
    "\\n",
    '"',
    "\t",
    "\r",
    "\b",
    "\0",
    "\x1f",
    "\ud800",
    "\u2028",
    " ",
    "x",
    ":",
    "{[",
)
tricky = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([4111111111111111, -4111111111111111, 10**299, 10**300, 10**310, 17, 2**64]),
        st.floats(allow_nan=False, allow_infinity=False),
        tricky,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(tricky, inner, max_size=3)),
    max_leaves=8,
)
REDACTORS = (
    REDACTOR,
    Redactor(b"k" * 32, {"customer": "CUST-[0-9]{6}"}),
    Redactor(b"k" * 32, {"whole": "^x$"}),
    Redactor(b"k" * 32, {"quoted": '"[a-z]+"'}, frozenset({"secret"})),
)


def nested(levels: int) -> Json:
    return [nested(levels - 1)] if levels else "{]"


@settings(deadline=None)
@given(
    st.dictionaries(tricky, plain, max_size=3),
    plain,
    tricky,
    st.sampled_from(REDACTORS),
    st.sampled_from([64 * 1024, 900]),
    st.sampled_from([0, 0, 0, 58, 62, 70]),
)
def test_the_quick_way_and_the_long_one_end_in_the_same_body(
    attributes: dict[str, Json], arguments: Json, text: str, redactor: Redactor, limit: int, levels: int
) -> None:
    given_span = span(
        attributes={**attributes, "deep": nested(levels)},
        content=Content(arguments=arguments, input=[message(text)], input_text=text),
        claims=Claims(session_id=text, segments={text: text}),
        tool_call_id=text,
    )
    long_way: dict[str, str] = {}
    quick_way: dict[str, str] = {}
    kept = make_storable(copy.deepcopy(given_span), redactor, limit, 4 * limit, long_way)
    assert storable_body(given_span, redactor, limit, 4 * limit, quick_way) == msgspec.json.encode(kept)
    assert quick_way == long_way
    event = LogEvent(
        trace_id=b"\x01" * 16,
        span_id=None,
        event_name=text,
        observed_at=1,
        body=arguments,
        attributes=attributes,
    )
    kept_event = make_event_storable(copy.deepcopy(event), redactor, limit, 4 * limit)
    assert storable_event_body(event, redactor, limit, 4 * limit) == msgspec.json.encode(kept_event)
