"""The closed vocabulary: each action with the closed schema of its payload.

Payloads hold our own IDs, states and numbers. No prompt, reason, user name or ID that an agent made up stands
in one: retention and erasure never touch the record, so nothing in it may need them.
"""

from typing import Any

import msgspec
import rfc8785


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an action says besides who, what and when."""


class Empty(Payload, frozen=True):
    """The action says it all."""


class FeatureCreated(Payload, frozen=True):
    slug: str


class PersonCreated(Payload, frozen=True):
    administrator: bool


class RoleChanged(Payload, frozen=True):
    role: str
    person: str  # the person's ID


class KeyMade(Payload, frozen=True):
    prefix: str
    scopes: list[str]
    expires: str | None = None


class KeyRevoked(Payload, frozen=True):
    prefix: str


class KeyRotated(Payload, frozen=True):
    prefix: str
    successor: str
    until: str


class AbsenceBegun(Payload, frozen=True):
    person: str  # the deputy's ID


class SignInFailed(Payload, frozen=True):
    known: (
        bool  # whether somebody has that login; the login itself may be a password typed in the wrong field
    )


class SecondFactor(Payload, frozen=True):
    kind: str  # totp, webauthn, recovery_codes


class IdentityLink(Payload, frozen=True):
    account: int  # our own ID of the link


class SessionsEnded(Payload, frozen=True):
    sessions: int


class PolicyActivated(Payload, frozen=True):
    number: int
    digest: str  # of the whole policy: anyone who holds its text can check it
    changes: int
    proposed_by: str | None = None  # a person's ID, where another accepted what they proposed
    alone: bool = False  # it widens, and there was no other lead to ask


class PolicyProposed(Payload, frozen=True):
    digest: str
    base: int  # the policy that was in force
    edited_by: str  # the ID of who wrote it last


class PolicyDeclined(Payload, frozen=True):
    digest: str


class PiiRevealed(Payload, frozen=True):
    reveal: str  # our own ID of the showing, where its reason is kept
    kinds: dict[str, int]
    reason: str  # a salted commitment to reason and tokens


class PiiErased(Payload, frozen=True):
    kinds: dict[str, int]
    erased: int


class VaultResealed(Payload, frozen=True):
    entries: int


class RetentionRun(Payload, frozen=True):
    before: str  # the first day that is kept
    traces: int
    spans: int
    events: int = 0
    held: int = 0  # spans and log events copied because they are held
    released: int = 0  # such copies that went because no hold is left
    originals: int = 0
    days: list[str] = []  # whole days dropped, with their tables


class HoldChanged(Payload, frozen=True):
    hold: str  # our own ID of the hold, where its reason is kept
    kind: str
    reason: str  # a salted commitment to the reason


class PriceSet(Payload, frozen=True):
    model: str  # as an administrator names it; no agent does
    valid_from: str
    input: str  # dollars per million tokens
    cached_input: str | None
    output: str


class DecisionMade(Payload, frozen=True):
    answer: str  # allow, needs_approval, deny
    codes: list[str]
    policy: str | None
    epoch: int
    proposal: str  # a salted commitment to the digest of action and arguments
    request: str | None
    grant: str | None
    proposers: list[str] = []  # people who must not vote on the request: their IDs
    draft: str | None = None  # the decision that was kept as a draft, where a person proposed it


class RequestEdited(Payload, frozen=True):
    revision: int
    tighter: bool
    proposal: str


class RequestEnded(Payload, frozen=True):
    state: str  # expired, withdrawn, superseded
    revision: int


class VoteCast(Payload, frozen=True):
    vote: str
    revision: int
    state: str  # of the request after it
    quorum: int
    decision: str
    grant: str | None


class VoteTakenBack(Payload, frozen=True):
    revision: int
    grant: str | None  # which it made worthless


class QuestionAsked(Payload, frozen=True):
    question: str  # our own ID of it, where it is kept
    revision: int
    text: str  # a salted commitment


class QuestionAnswered(Payload, frozen=True):
    question: str
    text: str  # a salted commitment


class StateReached(Payload, frozen=True):
    state: str


class ExecutionStarted(Payload, frozen=True):
    decision: str
    grant: str
    epoch: int
    revision: int


class ToolsStopped(Payload, frozen=True):
    scope: str  # everything, feature, action
    at: str  # when it was in force; the record follows
    in_flight: int


class RecordDoubted(Payload, frozen=True):
    why: str  # record_behind, record_differs, outside_unread
    record: int  # the newest record's number
    outside: int  # the largest checkpoint that is kept outside
    strays: int  # checkpoints there that are not of this record, and were not known


class ToolsRestored(Payload, frozen=True):
    scope: str


class DecisionsErased(Payload, frozen=True):
    before: str  # the first day that is kept
    decisions: int


class RubricPublished(Payload, frozen=True):
    number: int
    digest: str


class SampleDrawn(Payload, frozen=True):
    week: str | None  # None: a window that somebody chose
    starts: str
    ends: str
    seed: str
    rubric: int
    population: int
    drawn: int
    items: str  # SHA-256 of the trace IDs with their weights: what was drawn is not changed afterwards


class SampleClosed(Payload, frozen=True):
    graded: int
    drawn: int


class ReviewEnded(Payload, frozen=True):
    part: str  # grade, adjudication, gold
    shadow: bool = False


class ReviewFlagged(Payload, frozen=True):
    kind: str  # violation, pii, case, incident


class GoldChanged(Payload, frozen=True):
    trace: str
    rubric: int


class JudgeImported(Payload, frozen=True):
    rubric: int
    grades: int


class Exported(Payload, frozen=True):
    records: int


class TracesExported(Payload, frozen=True):
    format: str
    at_least: int  # rows that the search had when the export began


ACTIONS: dict[str, type[Payload]] = {
    "feature.created": FeatureCreated,
    "person.created": PersonCreated,
    "person.activated": Empty,
    "person.deactivated": Empty,
    "role.given": RoleChanged,
    "role.taken": RoleChanged,
    "key.made": KeyMade,
    "key.revoked": KeyRevoked,
    "key.rotated": KeyRotated,
    "sign_in.succeeded": Empty,
    "sign_in.failed": SignInFailed,
    "sign_out.done": Empty,
    "audit.exported": Exported,
    "sign_in.locked": Empty,
    "sessions.ended": SessionsEnded,
    "password.changed": Empty,
    "second_factor.added": SecondFactor,
    "second_factor.removed": SecondFactor,
    "identity.linked": IdentityLink,
    "identity.unlinked": IdentityLink,
    "policy.activated": PolicyActivated,
    "policy.proposed": PolicyProposed,
    "policy.declined": PolicyDeclined,
    "pii.revealed": PiiRevealed,
    "pii.erased": PiiErased,
    "vault.resealed": VaultResealed,
    "retention.run": RetentionRun,
    "traces.exported": TracesExported,
    "hold.placed": HoldChanged,
    "hold.released": HoldChanged,
    "price.set": PriceSet,
    "decision.made": DecisionMade,
    "request.edited": RequestEdited,
    "request.ended": RequestEnded,
    "question.asked": QuestionAsked,
    "question.answered": QuestionAnswered,
    "vote.cast": VoteCast,
    "vote.taken_back": VoteTakenBack,
    "grant.ended": StateReached,
    "execution.started": ExecutionStarted,
    "execution.ended": StateReached,
    "execution.overdue": Empty,
    "execution.settled": StateReached,
    "absence.begun": AbsenceBegun,
    "absence.ended": Empty,
    "tools.stopped": ToolsStopped,
    "tools.restored": ToolsRestored,
    "record.doubted": RecordDoubted,
    "decisions.erased": DecisionsErased,
    "rubric.published": RubricPublished,
    "sample.drawn": SampleDrawn,
    "sample.closed": SampleClosed,
    "review.submitted": ReviewEnded,
    "review.taken_back": ReviewEnded,
    "review.skipped": ReviewEnded,
    "review.flagged": ReviewFlagged,
    "gold.added": GoldChanged,
    "gold.retired": GoldChanged,
    "judge.imported": JudgeImported,
    "reviews.exported": Exported,
}


def canonical_payload(action: str, values: dict[str, Any]) -> str:
    """The payload's canonical JSON (RFC 8785). Raises KeyError for an unknown action and
    msgspec.ValidationError for a payload that is not of its schema.
    """
    payload = msgspec.convert(values, ACTIONS[action])
    return rfc8785.dumps(msgspec.to_builtins(payload)).decode()
