"""Make a span fit to be stored: payloads become their size and hash, text is cleaned, redacted, and only then
cut.

Cutting comes last, so that no cut hides half an e-mail address. Limits are on parts (a message's text, a
document, a string in arguments), then on the whole span.

Most spans hold nothing of all that. So a span is encoded first and looked at as a whole; only where something
may have to be done it is gone through text by text. Pure, no Django.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import MutableMapping
from functools import lru_cache
from itertools import accumulate
from typing import Any

import msgspec

from traces.redact import Redactor
from traces.vocabulary import Claims, Content, Document, Json, LogEvent, Message, Part, Span

PART_BYTES = 64 * 1024
SPAN_BYTES = 4 * 1024 * 1024
_DEPTH = 64
_NODES = 50_000
_MEDIA_CHARACTERS = 1024
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n")
_MAX_INTEGER = 10**300
_LONG_RUN, _MEDIA_RUN, _LONG_NUMBER = b"x" * 300, b"x" * _MEDIA_CHARACTERS, b"9" * 300
# One letter for all of base64's, in JSON with a backslash before the ends of lines; one for all digits.
_RUNS = bytes(0x78 if chr(byte) in _BASE64 | {"\\"} else 0x20 for byte in range(256))
_AS_NINES = bytes(0x39 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_NAME_BYTES, _CLAIM_BYTES, _SEGMENT_NAME_BYTES, _EVENT_NAME_BYTES = 1024, 512, 128, 256
_ESCAPES = ((b"\\n", b"\n"), (b'\\"', b'"'), (b"\\t", b"\t"), (b"\\r", b"\r"))
Originals = MutableMapping[str, str] | None
_encode = msgspec.json.Encoder().encode
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKET = re.compile(rb"[^\[\]{}]+")
_BRACKETS = {**dict.fromkeys(b"{[", 1), **dict.fromkeys(b"}]", -1)}
_NO_CLAIMS = Claims()
_LONGEST_KEY = 64  # characters of a key that is remembered


def clean_text(text: str) -> str:
    """Text that PostgreSQL and UTF-8 take: NUL and lone surrogates are replaced by U+FFFD, visibly."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def cut_text(text: str, limit: int) -> tuple[str, int | None]:
    """(the text within `limit` bytes of UTF-8, its original size if it was cut); cut at a character's
    border.
    """
    if len(text) * 4 <= limit or len(encoded := text.encode()) <= limit:
        return text, None
    return encoded[:limit].decode(errors="ignore"), len(encoded)


def _media(text: str) -> dict[str, Json] | None:
    """What a base64 payload is: type, size and hash instead of itself. None: it is no such payload."""
    if len(text) < _MEDIA_CHARACTERS:
        return None
    mime, payload = "application/octet-stream", text
    if text.startswith("data:"):
        header, comma, payload = text[5:2000].partition(",")
        if not comma or not header.endswith(";base64"):
            return None
        mime, payload = header.removesuffix(";base64"), text[5 + len(header) + 1 :]
    # Long runs of one letter, hexadecimal and words without spaces are text as often: base64 mixes its
    # alphabet.
    if not _BASE64.issuperset(payload) or len(set(payload[:4096])) < 40:
        return None
    size = len(payload) * 3 // 4
    return {"mime_type": mime, "bytes": size, "sha256": hashlib.sha256(payload.encode()).hexdigest()}


@lru_cache(maxsize=8192)
def _is_harmless(key: str, redactor: Redactor) -> bool:
    """Whether a key is stored as it is. Keys are the same few thousand again and again."""
    return clean_text(key) == key and redactor.redact_text(key) == (key, {})


class _Work:
    """One span's passage: redaction findings and whether anything was cut are gathered on the way."""

    def __init__(self, redactor: Redactor, part_limit: int, originals: Originals = None) -> None:
        self.redactor = redactor
        self.originals = originals
        self.limit = part_limit
        self.found: Counter[str] = Counter()
        self.cut = False
        self.nodes = 0

    def text(self, text: str) -> str:
        """Clean and redact a short text that is never cut (a name, an ID)."""
        redacted, found = self.redactor.redact_text(clean_text(text), self.originals)
        if found:
            self.found += found
        return redacted

    def key(self, key: str) -> str:
        if len(key) <= _LONGEST_KEY and _is_harmless(key, self.redactor):
            return key
        return self.text(key)

    def maybe(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)

    def part(self, text: str) -> tuple[str, int | None]:
        """Clean, redact and cut a part; a payload becomes its description."""
        if media := _media(text):
            self.cut = True
            return f"[{media['mime_type']}, {media['bytes']} bytes, sha256 {media['sha256']}]", len(text)
        kept, original = cut_text(self.text(text), self.limit)
        self.cut |= original is not None
        return kept, original

    def json(self, value: Json, depth: int = 0) -> Json:
        """A JSON value made storable at every depth, keys too."""
        if isinstance(value, str):
            if media := _media(value):
                self.cut = True
                return media
            kept, original = self.part(value)
            return kept if original is None else f"{kept}\u2026 [cut from {original} bytes]"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            token = self.redactor.redact_number(value)
            if token is not None:
                self.found["card"] += 1
                if self.originals is not None:
                    self.originals.setdefault(token, str(value))
                return token
            return value if abs(value) < _MAX_INTEGER else f"a number of {value.bit_length()} bits"
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        self.nodes += 1
        if depth >= _DEPTH or self.nodes > _NODES:
            self.cut = True
            return "\u2026 [too deep or too many values]"
        if isinstance(value, dict):
            return {self.key(str(key)): self.json(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(inner, depth + 1) for inner in value]
        return self.text(str(value))

    def mapping(self, value: dict[str, Json]) -> dict[str, Json]:
        return {self.key(key): self.json(inner, 1) for key, inner in value.items()}

    def message(self, message: Message) -> None:
        for part in message.parts:
            self.message_part(part)

    def message_part(self, part: Part) -> None:
        if part.text is not None:
            if part.type == "text" and (media := _media(part.text)):
                part.type, part.media, part.text = "media", media, None
                self.cut = True
            else:
                part.text, original = self.part(part.text)
                part.cut_from = part.cut_from or original
        part.tool_call_id = self.maybe(part.tool_call_id)
        part.tool_name = self.maybe(part.tool_name)
        part.arguments = self.json(part.arguments)
        part.result = self.json(part.result)
        if part.media is not None:
            part.media = self.mapping(part.media)

    def document(self, document: Document) -> None:
        document.id = self.maybe(document.id)
        if document.content is not None:
            document.content, original = self.part(document.content)
            document.cut_from = document.cut_from or original
        if document.score is not None and not math.isfinite(document.score):
            document.score = None
        if document.metadata is not None:
            document.metadata = self.mapping(document.metadata)

    def content(self, content: Content) -> None:
        for message in [*(content.input or ()), *(content.output or ())]:
            self.message(message)
        for document in content.documents or ():
            self.document(document)
        content.arguments = self.json(content.arguments)
        content.result = self.json(content.result)
        for field in ("input_text", "output_text"):
            text = getattr(content, field)
            if text is not None:
                setattr(content, field, self.json(text))
        if content.tool_definitions is not None:
            content.tool_definitions = [self.json(definition) for definition in content.tool_definitions]


def storable_body(
    span: Span,
    redactor: Redactor,
    part_limit: int = PART_BYTES,
    span_limit: int = SPAN_BYTES,
    originals: Originals = None,
) -> bytes:
    """The span in JSON as `make_storable` leaves it; `span` is changed where something has to be.

    Decode has left no number that JSON does not have.
    """
    if _has_short_names(span):
        body = _untouched(span, redactor, min(part_limit, span_limit))
        if body is not None:
            return body
    return _encode(make_storable(span, redactor, part_limit, span_limit, originals))


def storable_event_body(
    event: LogEvent,
    redactor: Redactor,
    part_limit: int = PART_BYTES,
    event_limit: int = SPAN_BYTES,
    originals: Originals = None,
) -> bytes:
    """As storable_body, for a log event."""
    if len(event.event_name) * 4 <= _EVENT_NAME_BYTES:
        body = _untouched(event, redactor, min(part_limit, event_limit))
        if body is not None:
            return body
    return _encode(make_event_storable(event, redactor, part_limit, event_limit, originals))


def _has_short_names(span: Span) -> bool:
    """Whether none of what has a limit of its own can be over it: a character has at most four bytes."""
    longest = _NAME_BYTES // 4
    for value in (
        span.name,
        span.scope,
        span.model_asked,
        span.model_answered,
        span.provider,
        span.response_id,
        span.tool_name,
        span.tool_call_id,
    ):
        if value is not None and len(value) > longest:
            return False
    claims = span.claims
    if claims == _NO_CLAIMS:
        return True
    texts = [text for text in msgspec.structs.astuple(claims) if isinstance(text, str)]
    segments = claims.segments or {}
    return (
        all(len(text) * 4 <= _CLAIM_BYTES for text in texts)
        and all(len(text) * 4 <= _SEGMENT_NAME_BYTES for text in segments)
        and all(len(text) * 4 <= _CLAIM_BYTES for text in segments.values())
    )


def _untouched(item: Span | LogEvent, redactor: Redactor, limit: int) -> bytes | None:
    """The item in JSON, if nothing of it has to be cleaned, redacted, described or cut. None: something may
    have to be.
    """
    try:
        body = _encode(item)
    except (ValueError, OverflowError, RecursionError):  # a lone surrogate
        return None
    # So small, it cannot have too many values either.
    if len(body) > min(limit, 2 * _NODES) or _has_payload(body) or _is_deep(body):
        return None
    texts = body
    if b"\\" in texts:
        # Without JSON's escapes, the commonest of them; a backslash itself last, by way of a byte that JSON
        # has not.
        texts = texts.replace(b"\\\\", b"\0")
        for escape, meant in _ESCAPES:
            texts = texts.replace(escape, meant)
        if b"\\" in texts:
            return None  # another control character, NUL among them
        texts = texts.replace(b"\0", b"\\")
    return body if redactor.leaves(texts) else None


def _has_payload(body: bytes) -> bool:
    """Whether a text may be base64 (long, and nothing but its alphabet, or named as data) or a number be
    longer than is kept.
    """
    if len(body) < len(_LONG_NUMBER):
        return False
    if b'"data:' in body:
        return True
    runs = body.translate(_RUNS)
    return _LONG_RUN in runs and (_MEDIA_RUN in runs or _LONG_NUMBER in body.translate(_AS_NINES))


def _is_deep(body: bytes) -> bool:
    """Whether its values may be nested deeper than is kept."""
    if body.count(b"{") + body.count(b"[") < _DEPTH:
        return False
    steps = [_BRACKETS[byte] for byte in _NO_BRACKET.sub(b"", _QUOTED.sub(b"", body))]
    return max(accumulate(steps)) >= _DEPTH


def make_storable(
    span: Span,
    redactor: Redactor,
    part_limit: int = PART_BYTES,
    span_limit: int = SPAN_BYTES,
    originals: Originals = None,
) -> Span:
    """The span, changed in place: cleaned, redacted, bounded. `span.redactions` says how many of
    which kind; `originals` takes what each token stands for.
    """
    work = _Work(redactor, part_limit, originals)
    span.name = cut_text(work.text(span.name), _NAME_BYTES)[0]
    span.scope = cut_text(work.text(span.scope), _NAME_BYTES)[0]
    span.status_message = work.part(span.status_message)[0]
    for field in ("model_asked", "model_answered", "provider", "response_id", "tool_name", "tool_call_id"):
        value = getattr(span, field)
        if value is not None:
            setattr(span, field, cut_text(clean_text(value), _NAME_BYTES)[0])
    span.tool_name = work.maybe(span.tool_name)
    _claims(span, work)
    work.content(span.content)
    span.attributes = work.mapping(span.attributes)
    span.resource = work.mapping(span.resource)
    span.events = [work.json(event, 1) for event in span.events]
    span.links = [work.json(link, 1) for link in span.links]
    span.content.cut = span.content.cut or work.cut
    span.redactions = dict(sorted(work.found.items()))
    return _within(span, span_limit)


def _claims(span: Span, work: _Work) -> None:
    claims = span.claims
    for name in Claims.__struct_fields__:
        value: Any = getattr(claims, name)
        if isinstance(value, str):
            setattr(claims, name, cut_text(work.text(value), _CLAIM_BYTES)[0])
    if claims.segments is not None:
        claims.segments = {
            cut_text(work.text(name), _SEGMENT_NAME_BYTES)[0]: cut_text(work.text(value), _CLAIM_BYTES)[0]
            for name, value in claims.segments.items()
        }


def make_event_storable(
    event: LogEvent,
    redactor: Redactor,
    part_limit: int = PART_BYTES,
    event_limit: int = SPAN_BYTES,
    originals: Originals = None,
) -> LogEvent:
    """As make_storable, for a log event."""
    work = _Work(redactor, part_limit, originals)
    event.event_name = cut_text(work.text(event.event_name), _EVENT_NAME_BYTES)[0]
    work.content(event.content)
    event.body = work.json(event.body)
    event.attributes = work.mapping(event.attributes)
    event.content.cut = event.content.cut or work.cut
    event.redactions = dict(sorted(work.found.items()))
    if len(_encode(event)) > event_limit:
        event.body, event.attributes, event.content.cut = None, {}, True
        _shorten(event.content, event_limit)
    return event


def _within(span: Span, limit: int) -> Span:
    """The span within the limit: what is least missed goes first, and content.cut says that something
    went.
    """
    for drop in (_drop_attributes, _drop_definitions):
        if len(_encode(span)) <= limit:
            return span
        drop(span)
        span.content.cut = True
    if len(_encode(span)) > limit:
        _shorten(span.content, limit)
    return span


def _drop_attributes(span: Span) -> None:
    span.attributes = {"clearance.dropped": f"{len(span.attributes)} attributes, for the span's size"}
    span.events, span.links = span.events[-8:], []
    if len(_encode(span.events)) > PART_BYTES:
        span.events = []


def _drop_definitions(span: Span) -> None:
    span.content.tool_definitions = None


def _shorten(content: Content, limit: int) -> None:
    """Drop the oldest input after the first message, then documents' texts, then the rest, until it fits."""
    content.cut = True
    while content.input and len(content.input) > 2 and len(_encode(content)) > limit:
        content.input = [content.input[0], *content.input[len(content.input) // 2 :]]
    for document in content.documents or ():
        if len(_encode(content)) <= limit:
            return
        document.content, document.metadata = None, None
    for field in ("input", "result", "arguments", "output", "documents"):
        if len(_encode(content)) <= limit:
            return
        setattr(content, field, None)
