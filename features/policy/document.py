"""The whole of a policy, field by field as in a clearance.toml, with its defaults and what each may be."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from features.models import ROLES
from features.policy.schemas import closed, fault_of_pattern
from features.policy.sentences import fault_of_sentence

Tier = Literal["suggest", "draft", "execute_with_approval", "execute_under_threshold"]
Effect = Literal["read", "reversible", "irreversible"]
Pii = Literal["drop", "tokenise", "keep"]
# The dashboard's metrics, on any of which a trigger may watch.
Metric = Literal[
    "task_success",
    "unknown_outcome",
    "policy_violation",
    "tool_failure",
    "escalation",
    "retry",
    "completeness",
    "over_context_budget",
    "latency_p50",
    "latency_p95",
    "tokens_per_success",
    "cost_per_success_usd",
]
# From the freest to the strictest is from the right to the left: an action may be stricter than its feature.
TIERS: tuple[Tier, ...] = ("suggest", "draft", "execute_with_approval", "execute_under_threshold")
# What redaction names by itself; a pattern of one's own has a name of its own.
BUILT_IN_KINDS = frozenset({"email", "phone", "card", "iban", "national_id", "ip", "secret"})
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_MONEY = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
_LONGEST = 366 * 86_400
MOST_ACTIONS = 7


def seconds(duration: str) -> int:
    """`30m` in seconds. ValueError for what is no duration of at most a year."""
    found = _DURATION.fullmatch(duration)
    length = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < length <= _LONGEST:
        raise ValueError("must be a duration such as 30s, 10m, 24h or 7d, of a year at most")
    return length


def _duration(text: str) -> str:
    seconds(text)
    return text


def _positive(text: str) -> str:
    if not _MONEY.fullmatch(text) or Decimal(text) <= 0:
        raise ValueError('must be a number above 0 in quotes, such as "500" or "49.99"')
    return text


def _sentence(text: str) -> str:
    if fault := fault_of_sentence(text):
        raise ValueError(fault)
    if len(text.split()) < 2:
        raise ValueError("must say the job in one sentence, such as: Resolve tier-1 billing tickets.")
    return text


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("must be a time zone such as UTC or Europe/Zurich")
    return name


def _role(name: str) -> str:
    if name.replace("-", "_") not in ROLES:
        raise ValueError(f"must be a role: {', '.join(ROLES)}")
    return name.replace("-", "_")


def _rule(text: str) -> str:
    if not text.strip():
        raise ValueError("must be an expression; leave it out for none")
    return text


Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$")]
Duration = Annotated[str, AfterValidator(_duration)]
Amount = Annotated[str, AfterValidator(_positive)]
Expression = Annotated[str, Field(max_length=2000), AfterValidator(_rule)]
Share = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """A table of the file: closed, its values of the type they are written in."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Job(Table):
    """Who it is and what it is for."""

    slug: Slug
    name: Annotated[str, Field(max_length=120)] = ""
    task: Annotated[str, Field(max_length=400), AfterValidator(_sentence)]
    tier: Tier = "suggest"
    disallowed: Annotated[tuple[Name, ...], Field(strict=False, max_length=100)] = ()
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    reason_for_more: Annotated[str, Field(max_length=400)] = ""


class Budget(Table):
    """How much of an action there may be in a time. `cost` left out: 1 each; `by` left out: the feature's."""

    cost: Expression | None = None
    limit: Amount
    per: Literal["hour", "day", "week"]
    by: Literal["subject", "feature"] = "feature"


class Example(Table):
    """Arguments, and what the policy must answer to them; asked whenever it is read."""

    args: dict[str, Any] = {}
    context: dict[str, Any] = {}
    expect: Literal["allow", "needs_approval", "deny"]


class Action(Table):
    """One thing the agent may do with a tool. Without `under` it always needs approval; without a schema it
    takes no arguments that the console would let through.
    """

    name: Name
    effect: Effect
    classes: Annotated[tuple[Name, ...], Field(strict=False, max_length=20)] = ()
    tier: Tier | None = None
    under: Expression | None = None
    subject: Expression | None = None
    once_per: Expression | None = None
    approvers: Annotated[str, AfterValidator(_role)] = "approver"
    quorum: Annotated[int, Field(ge=1, le=10)] = 1
    ttl: Duration = "30m"
    grant_ttl: Duration = "10m"
    deadline: Duration = "5m"
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    budget: Annotated[tuple[Budget, ...], Field(strict=False, max_length=10)] = ()
    example: Annotated[tuple[Example, ...], Field(strict=False, max_length=50)] = ()

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.schema_ is not None:
            object.__setattr__(self, "schema_", closed(self.schema_))
        return self


def tier_of(job: Job, action: Action) -> Tier:
    """The stricter of the feature's tier and the action's."""
    return min(action.tier or job.tier, job.tier, key=TIERS.index)


class Limits(Table):
    """What bounds a request; tokens of context, retries of a call, the time after a rejection."""

    context_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    quiet_period: Duration = "24h"


def _pattern(pattern: str) -> str:
    if fault := fault_of_pattern(pattern):
        raise ValueError(fault)
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_pattern)]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class Traces(Table):
    """How the feature's traces are kept and read."""

    pii: Pii = "drop"
    patterns: Annotated[dict[Kind, Pattern], Field(max_length=50)] = {}
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    success: Expression | None = None
    escalation_tools: Annotated[tuple[str, ...], Field(strict=False, max_length=50)] = ()


class Reviews(Table):
    """The weekly sample: how many requests, which share of them graded by two."""

    sample: Annotated[int, Field(ge=1, le=500)] = 40
    double_graded: Share = 0.2


class Trigger(Table):
    """A rule that rolls back by itself, holds a step, or only tells. One of the four bounds."""

    metric: Metric
    above: float | None = None
    below: float | None = None
    above_baseline: float | None = None
    below_baseline: float | None = None
    window: Duration = "10m"
    min_n: Annotated[int, Field(ge=1, le=10_000_000)] = 200
    then: Literal["roll_back", "hold", "tell"] = "tell"


CheckKind = Literal["pattern", "json_schema", "forbidden_text", "required_citation", "cel"]
# Which fields a kind of check needs, and which it may have.
_NEEDS: dict[str, str] = {
    "pattern": "pattern",
    "json_schema": "schema",
    "forbidden_text": "texts",
    "cel": "rule",
}
_MAY: dict[str, frozenset[str]] = {
    "pattern": frozenset({"pattern", "must_match", "on"}),
    "json_schema": frozenset({"schema"}),
    "forbidden_text": frozenset({"texts", "on"}),
    "required_citation": frozenset({"pattern"}),
    "cel": frozenset({"rule"}),
}


class Check(Table):
    """A deterministic check of every trace's output, or of all that its agent wrote; one that fails is a violation by
    its name.
    """

    name: Name
    kind: CheckKind
    on: Literal["output", "trace"] = "output"
    pattern: Pattern | None = None
    must_match: bool = True
    texts: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(strict=False, max_length=100)
    ] = ()
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    rule: Expression | None = None

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> Self:
        given = {field.removesuffix("_") for field in self.model_fields_set} - {"name", "kind"}
        defaults = {
            "on": "output",
            "must_match": True,
            "texts": (),
            "pattern": None,
            "schema_": None,
            "rule": None,
        }
        idle = {field.removesuffix("_") for field, value in defaults.items() if getattr(self, field) == value}
        needed = _NEEDS.get(self.kind)
        if needed is not None and (needed not in given or needed in idle):
            raise ValueError(f"a check of kind {self.kind} needs {needed}")
        # A version is kept with its defaults filled in, and read again.
        if wrong := sorted(given - _MAY[self.kind] - idle):
            raise ValueError(f"a check of kind {self.kind} has no {wrong[0]}")
        return self


class PolicyDocument(Table):
    """A policy as it is kept: every field, defaults filled in."""

    feature: Job
    action: Annotated[tuple[Action, ...], Field(strict=False, max_length=100)] = ()
    limits: Limits = Limits()
    traces: Traces = Traces()
    reviews: Reviews = Reviews()
    check: Annotated[tuple[Check, ...], Field(strict=False, max_length=50)] = ()
    trigger: Annotated[tuple[Trigger, ...], Field(strict=False, max_length=50)] = ()

    def kept(self) -> dict[str, Any]:
        """The document as JSON has it: what is stored, digested and compared."""
        kept = self.model_dump(mode="json", by_alias=True)
        for action in kept["action"]:
            # Policies of before there were examples are the same as those without any.
            if not action["example"]:
                del action["example"]
        return kept
