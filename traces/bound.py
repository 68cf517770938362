"""Make a span fit to be stored: payloads become their size and hash, text is cleaned, redacted, and only then
cut.

Cutting comes last, so that no cut hides half an e-mail address. Limits are on parts (a message's text, a
document, a string in arguments), then on the whole span. Pure, no Django.
"""

import hashlib
import math
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import msgspec

from traces.redact import Redactor
from traces.vocabulary import Content, Document, Json, LogEvent, Message, Part, Span

PART_BYTES = 64 * 1024
SPAN_BYTES = 4 * 1024 * 1024
_DEPTH = 64
_NODES = 50_000
_MEDIA_CHARACTERS = 1024
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n")
_MAX_INTEGER = 10**300
Originals = MutableMapping[str, str] | None


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
            return {self.text(str(key)): self.json(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(inner, depth + 1) for inner in value]
        return self.text(str(value))

    def mapping(self, value: dict[str, Json]) -> dict[str, Json]:
        return {self.text(key): self.json(inner, 1) for key, inner in value.items()}

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
    span.name = cut_text(work.text(span.name), 1024)[0]
    span.scope = cut_text(work.text(span.scope), 1024)[0]
    span.status_message = work.part(span.status_message)[0]
    for field in ("model_asked", "model_answered", "provider", "response_id", "tool_name", "tool_call_id"):
        value = getattr(span, field)
        if value is not None:
            setattr(span, field, cut_text(clean_text(value), 1024)[0])
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
    for field in msgspec.structs.fields(claims):
        value: Any = getattr(claims, field.name)
        if isinstance(value, str):
            setattr(claims, field.name, cut_text(work.text(value), 512)[0])
    if claims.segments is not None:
        claims.segments = {
            cut_text(work.text(name), 128)[0]: cut_text(work.text(value), 512)[0]
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
    event.event_name = cut_text(work.text(event.event_name), 256)[0]
    work.content(event.content)
    event.body = work.json(event.body)
    event.attributes = work.mapping(event.attributes)
    event.content.cut = event.content.cut or work.cut
    event.redactions = dict(sorted(work.found.items()))
    if len(msgspec.json.encode(event)) > event_limit:
        event.body, event.attributes, event.content.cut = None, {}, True
        _shorten(event.content, event_limit)
    return event


def _within(span: Span, limit: int) -> Span:
    """The span within the limit: what is least missed goes first, and content.cut says that something
    went.
    """
    for drop in (_drop_attributes, _drop_definitions):
        if len(msgspec.json.encode(span)) <= limit:
            return span
        drop(span)
        span.content.cut = True
    if len(msgspec.json.encode(span)) > limit:
        _shorten(span.content, limit)
    return span


def _drop_attributes(span: Span) -> None:
    span.attributes = {"clearance.dropped": f"{len(span.attributes)} attributes, for the span's size"}
    span.events, span.links = span.events[-8:], []
    if len(msgspec.json.encode(span.events)) > PART_BYTES:
        span.events = []


def _drop_definitions(span: Span) -> None:
    span.content.tool_definitions = None


def _shorten(content: Content, limit: int) -> None:
    """Drop the oldest input after the first message, then documents' texts, then the rest, until it fits."""
    content.cut = True
    while content.input and len(content.input) > 2 and len(msgspec.json.encode(content)) > limit:
        content.input = [content.input[0], *content.input[len(content.input) // 2 :]]
    for document in content.documents or ():
        if len(msgspec.json.encode(content)) <= limit:
            return
        document.content, document.metadata = None, None
    for field in ("input", "result", "arguments", "output", "documents"):
        if len(msgspec.json.encode(content)) <= limit:
            return
        setattr(content, field, None)
