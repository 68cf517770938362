"""Reading: one span while the dialects' readers go over it."""

from collections.abc import Iterable
from typing import get_args

from traces.normalise.values import count_of, parsed, plain_text
from traces.vocabulary import Claims, Content, Document, Json, Kind, Message, RawSpan, Usage

KINDS = frozenset(get_args(Kind))


class Reading:
    """What is known so far, and the attributes that nobody has claimed.

    `take*` claims an attribute; the `fill_*` methods set only what is still open, so that the first reader,
    which is the most specific one, wins.
    """

    def __init__(self, raw: RawSpan) -> None:
        self.raw = raw
        self.left = dict(raw.attributes)
        # All names that came, one a line: says at once that nothing begins with a prefix.
        self.names = "\n" + "\n".join(self.left)
        self.events = list(raw.events)
        self.kind: Kind | None = None
        self.calls_model: bool | None = None
        self.failed = raw.status == "error"
        self.status_message = raw.status_message
        self.model_asked: str | None = None
        self.model_answered: str | None = None
        self.provider: str | None = None
        self.response_id: str | None = None
        self.tool_name: str | None = None
        self.tool_call_id: str | None = None
        self.usage = Usage()
        self.claims = Claims()
        self.content = Content()

    # --- claiming ------------------------------------------------------------------------------------------

    def take(self, *names: str) -> Json:
        """The value of the first of these attributes that says something; all of them are claimed."""
        found: Json = None
        for name in names:
            value = self.left.pop(name, None)
            if found is None and value is not None and value != "":
                found = value
        return found

    def take_text(self, *names: str) -> str | None:
        """As `take`, a text or a number as text; what is neither stays unclaimed."""
        found: str | None = None
        left = self.left
        for name in names:
            if name in left and (text := plain_text(left[name])) is not None:
                del left[name]
                found = found or text
        return found

    def take_count(self, *names: str) -> int | None:
        """As `take`, a number of tokens; what is none stays unclaimed."""
        found: int | None = None
        left = self.left
        for name in names:
            if name in left and (count := count_of(left[name])) is not None:
                del left[name]
                found = count if found is None else found
        return found

    def take_under(self, prefix: str) -> dict[str, Json]:
        """All attributes whose names begin with the prefix, without it."""
        if f"\n{prefix}" not in self.names:
            return {}
        names = [name for name in self.left if name.startswith(prefix)]
        return {name[len(prefix) :]: self.left.pop(name) for name in names}

    def has_under(self, *prefixes: str) -> bool:
        """Whether an attribute is left whose name begins with one of the prefixes."""
        for prefix in prefixes:
            if f"\n{prefix}" in self.names:
                return any(name.startswith(prefixes) for name in self.left)
        return False

    def has_event(self, prefix: str) -> bool:
        """Whether an event of the span has a name that begins so."""
        return bool(self.events) and any(
            str(event.get("name", "")).startswith(prefix) for event in self.events
        )

    # --- filling -------------------------------------------------------------------------------------------

    def fill(self, **values: str | None) -> None:
        """Set fields of the span that are still open: model_asked, model_answered, provider,
        tool_name, ...
        """
        for name, value in values.items():
            if value and getattr(self, name) is None:
                setattr(self, name, value)

    def fill_kind(self, kind: Kind | None) -> None:
        if self.kind is None and kind is not None:
            self.kind = kind

    def fill_usage(self, **counts: int | None) -> None:
        usage = self.usage
        for name, count in counts.items():
            if count is not None and getattr(usage, name) is None:
                setattr(usage, name, count)

    def fill_claims(self, **claims: str | bool | None) -> None:
        for name, claim in claims.items():
            if claim is not None and getattr(self.claims, name) is None:
                setattr(self.claims, name, claim)

    def fill_input(self, messages: list[Message] | None) -> None:
        if messages and self.content.input is None:
            self.content.input = messages

    def fill_output(self, messages: list[Message] | None) -> None:
        if messages and self.content.output is None:
            self.content.output = messages

    def fill_texts(self, asked: str | None, answered: str | None) -> None:
        self.content.input_text = self.content.input_text or asked
        self.content.output_text = self.content.output_text or answered

    def fill_tool(self, arguments: Json, result: Json) -> None:
        if self.content.arguments is None:
            self.content.arguments = arguments
        if self.content.result is None:
            self.content.result = result

    def fill_documents(self, documents: list[Document] | None) -> None:
        if documents is not None and not self.content.documents:
            self.content.documents = documents

    def fill_definitions(self, definitions: Iterable[Json]) -> None:
        found = [parsed(definition) for definition in definitions if definition is not None]
        if found and self.content.tool_definitions is None:
            self.content.tool_definitions = found
