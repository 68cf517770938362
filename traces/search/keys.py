"""What a search line can ask: one table for the parser, the help beside the line and docs/search.md."""

from typing import Final, Literal

import msgspec

from traces.terms import FLAGS

__all__ = ["ALIASES", "FAMILIES", "KEYS", "Key", "key_named"]

Kind = Literal["choice", "text", "duration", "count", "money"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of the grammar. `choices`: the values that can be; `globs`: a feature's values are known, so that a
    `*` may stand in the middle.
    """

    name: str
    kind: Kind
    words: str
    example: str
    choices: tuple[str, ...] = ()
    globs: bool = False

    @property
    def is_range(self) -> bool:
        """Whether it takes numbers: `>`, `>=`, `<`, `<=`, `=` and `a..b`."""
        return self.kind in {"duration", "count", "money"}


OUTCOMES: Final = ("success", "escalated", "failed", "abandoned", "unknown")
STATUSES: Final = ("ok", "error")
FIELDS: Final = ("prompt", "system_prompt", "retrieved_docs", "tool_calls", "model", "final_output")

_TABLE: Final = (
    Key(
        name="status",
        kind="choice",
        words="how the request ended technically",
        example="status:error",
        choices=STATUSES,
    ),
    Key(
        name="outcome",
        kind="choice",
        words="how the task ended",
        example="outcome:escalated",
        choices=OUTCOMES,
    ),
    Key(
        name="tool", kind="text", words="a tool that ran", example='tool:refund, tool:"send mail"', globs=True
    ),
    Key(
        name="tool_error", kind="text", words="a tool that failed", example="tool_error:refund, tool_error:*"
    ),
    Key(name="model", kind="text", words="a model that answered", example="model:gpt-4*", globs=True),
    Key(
        name="latency",
        kind="duration",
        words="time worked, without waiting for people (ms, s, m, h)",
        example="latency:>5s, latency:5s..10s",
    ),
    Key(name="tokens", kind="count", words="tokens in and out (k, M)", example="tokens:>10k"),
    Key(name="cost", kind="money", words="dollars, where known", example="cost:>0.05"),
    Key(
        name="error",
        kind="text",
        words="what failed first, as the trace page names it",
        example='error:"refund: time"*',
    ),
    Key(name="violation", kind="text", words="a rule that was broken", example="violation:*"),
    Key(
        name="missing",
        kind="choice",
        words="a field of completeness that is missing",
        example="missing:system_prompt",
        choices=FIELDS,
    ),
    Key(
        name="has",
        kind="choice",
        words="something that is there or happened",
        example="has:feedback",
        choices=FLAGS,
    ),
    Key(name="doc", kind="text", words="the ID of a retrieved document", example="doc:kb-12"),
    Key(name="user", kind="text", words="the user that the agent named", example="user:cust-55"),
    Key(name="session", kind="text", words="the session", example="session:s-17"),
    Key(name="request", kind="text", words="the request ID", example="request:8f3c*"),
    Key(name="span", kind="text", words="a span ID", example="span:00f067aa0ba902b7"),
    Key(name="variant", kind="text", words="baseline or canary", example="variant:canary", globs=True),
    Key(name="version", kind="text", words="the feature's version", example="version:2026-11", globs=True),
    Key(name="name", kind="text", words="the name of the root span", example='name:"invoke_agent billing"'),
    Key(name="policy", kind="text", words="the number of the policy that judged it", example="policy:3"),
    Key(
        name="decision",
        kind="text",
        words="what was decided about one of its actions: allowed, asked or denied",
        example="decision:denied",
    ),
    Key(
        name="redaction",
        kind="text",
        words="a kind of personal data that was found",
        example="redaction:email",
    ),
    Key(name="feature", kind="text", words="one of my features, by its slug", example="-feature:search"),
)
# `segment.tier:gold`: the rest of the key is whatever the agent named it.
FAMILIES: Final = (
    Key(name="segment", kind="text", words="a segment that the agent named", example="segment.tier:gold"),
    Key(name="attr", kind="text", words="any other attribute of a span", example="attr.http.method:GET"),
)
KEYS: Final[dict[str, Key]] = {key.name: key for key in _TABLE}
# Spellings of the first version of the API, which stay valid.
ALIASES: Final = {"tool-error": "tool_error"}


def key_named(name: str) -> Key | None:
    """The key of this name, in whatever case; for a family with its rest. None: there is none."""
    name = name.lower()
    if found := KEYS.get(ALIASES.get(name, name)):
        return found
    family, dot, rest = name.partition(".")
    if dot and rest:
        for one in FAMILIES:
            if one.name == family:
                return msgspec.structs.replace(one, name=name)
    return None
