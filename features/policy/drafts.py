"""A feature's next policy while it is written: one draft that its leads share, and the way from there into force.

What only narrows is put in force by one lead. Whatever widens is proposed, frozen as it then is, and put in force by
another lead: neither who proposed it nor who wrote it last.
"""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from django.db import IntegrityError, transaction

from audit.services import append
from features.acting import actor_of
from features.errors import ClearanceError, ConflictError, NotFoundError
from features.models import Feature, Person, PolicyDraft, PolicyProposal, PolicyVersion
from features.outbox import notify
from features.policy.activation import Applied, apply_policy, digest_of, lock_policy
from features.policy.active import active_version
from features.policy.card import Card, card_of
from features.policy.document import PolicyDocument
from features.policy.narrowing import Effect, effects
from features.policy.reading import Change, PolicyFault, UnreadablePolicy, changes, read_policy
from features.queries import holders, roles_on

MOST_CHARACTERS = 256 * 1024
MOST_REASON = 500


class DraftMoved(ConflictError):
    """Somebody saved another revision since this one was opened."""

    def __init__(self, draft: PolicyDraft | None) -> None:
        self.draft = draft
        super().__init__(
            "draft_moved", "The draft was changed since you opened it.", "Look at the difference."
        )


class Look(msgspec.Struct, frozen=True):
    """What a text says as a feature's next policy; without a document it does not parse."""

    faults: list[PolicyFault]
    warnings: list[PolicyFault]
    lines: list[str]
    document: PolicyDocument | None
    card: Card | None
    changes: list[Change]
    effects: list[Effect]
    base: int  # the policy in force; 0: none

    @property
    def widenings(self) -> list[Effect]:
        """The changes that need a second person."""
        return [effect for effect in self.effects if effect.widens]


def look_at(feature: Feature, text: str) -> Look:
    """What a text says, against the policy in force; whatever is wrong with it is told, nothing raised."""
    version = active_version(feature.pk)
    base = version.number if version else 0
    lines = text.splitlines()
    try:
        reading = read_policy(text)
    except UnreadablePolicy as error:
        return Look(error.faults, [], lines, None, None, [], [], base)
    document = reading.document
    if document.feature.slug != feature.slug:
        fault = PolicyFault(
            _line_of_slug(lines), "feature.slug", f"must be {feature.slug}: this is the policy of {feature}"
        )
        return Look([fault], reading.warnings, lines, None, None, [], [], base)
    before = PolicyDocument.model_validate(version.document) if version else None
    found = effects(before, document)
    kept = document.kept()
    older = _older(feature, digest_of(kept), base)
    if found and older:
        found = [Effect("", True, f"it goes back to policy {older}"), *found]
    return Look(
        [],
        reading.warnings,
        lines,
        document,
        card_of(document),
        changes(version.document if version else None, kept),
        found,
        base,
    )


def _line_of_slug(lines: list[str]) -> int:
    return next((at for at, line in enumerate(lines, 1) if line.strip().startswith("slug")), 1)


def _older(feature: Feature, digest: bytes, base: int) -> int | None:
    """The older policy that says exactly this."""
    same = PolicyVersion.objects.filter(feature=feature, digest=digest, number__lt=base)
    return same.values_list("number", flat=True).first()


def draft_of(feature: Feature) -> PolicyDraft | None:
    """The draft that is being written."""
    return PolicyDraft.objects.select_related("edited_by").filter(feature=feature).first()


def pending_proposal(feature: Feature) -> PolicyProposal | None:
    """The proposal that waits for a lead."""
    found = PolicyProposal.objects.filter(feature=feature, state="pending")
    return found.select_related("proposed_by", "edited_by").first()


def cleaned(text: str) -> str:
    """A typed text as it is kept. Raises ClearanceError for what no text column holds, or too much."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x00" in text:
        raise ClearanceError("invalid", "A policy holds no NUL character.", field="text")
    if len(text) > MOST_CHARACTERS:
        raise ClearanceError("invalid", f"A policy has at most {MOST_CHARACTERS:,} characters.", field="text")
    return text


@transaction.atomic
def save_draft(*, feature: Feature, text: str, revision: int, by: Person) -> PolicyDraft:
    """Keep the text as the draft, whether it parses or not. `revision` is that of the draft that the editor saw, 0 for
    none; raises DraftMoved where the draft is another by now.
    """
    lock_policy(feature)
    draft = draft_of(feature)
    if revision != (draft.revision if draft else 0):
        raise DraftMoved(draft)
    text = cleaned(text)
    if draft is None:
        try:
            return PolicyDraft.objects.create(feature=feature, text=text, edited_by=by)
        except IntegrityError as error:  # pragma: no cover - the feature's row is locked
            raise DraftMoved(None) from error
    if draft.text != text:
        draft.text, draft.revision = text, draft.revision + 1
        draft.edited_by, draft.edited_at = by, datetime.now(UTC)
        draft.save()
    return draft


@transaction.atomic
def discard_draft(*, feature: Feature, revision: int) -> None:
    """Throw the draft away; raises DraftMoved where it is another than was seen."""
    lock_policy(feature)
    draft = draft_of(feature)
    if draft is None or draft.revision != revision:
        raise DraftMoved(draft)
    draft.delete()


def _ready(feature: Feature, revision: int) -> tuple[PolicyDraft, Look, PolicyDocument]:
    draft = draft_of(feature)
    if draft is None or draft.revision != revision:
        raise DraftMoved(draft)
    look = look_at(feature, draft.text)
    if look.document is None:
        raise ClearanceError(
            "invalid_policy", f"line {look.faults[0].line}: {look.faults[0]}", "Mend it first."
        )
    if not look.changes:
        raise ConflictError("no_change", f"The draft says the same as policy {look.base}.")
    return draft, look, look.document


def may_be_alone(feature: Feature, look: Look) -> bool:
    """Whether one person is enough although it widens: for the first policy of a feature with one lead."""
    return look.base == 0 and len(holders(feature)["lead"]) == 1


@transaction.atomic
def activate_draft(*, feature: Feature, revision: int, by: Person) -> Applied:
    """Put the draft in force, where one lead may: every change narrows, or it is the first policy and there is no other
    lead. Raises ConflictError (`second_person`) where another must agree.
    """
    lock_policy(feature, to_activate=True)
    draft, look, document = _ready(feature, revision)
    _lead(by, feature)
    alone = may_be_alone(feature, look)
    if look.widenings and not alone:
        raise ConflictError("second_person", "A change widens: another lead must agree.", "Propose it.")
    applied = apply_policy(document, draft.text, by=by, alone=bool(look.widenings))
    draft.delete()
    return applied


@transaction.atomic
def propose_draft(*, feature: Feature, revision: int, by: Person) -> PolicyProposal:
    """Freeze the draft as it is for another lead to answer, and tell the leads. Raises ConflictError (`pending`) while
    another proposal waits.
    """
    lock_policy(feature)
    draft, look, document = _ready(feature, revision)
    _lead(by, feature)
    if pending_proposal(feature) is not None:
        raise ConflictError("pending", "Another proposal waits for an answer.", "It must be answered first.")
    digest = digest_of(document.kept())
    proposal = PolicyProposal.objects.create(
        feature=feature,
        source=draft.text,
        digest=digest,
        base=look.base,
        edited_by=draft.edited_by,
        proposed_by=by,
    )
    told = [lead for lead in holders(feature)["lead"] if lead.pk != by.pk]
    once, widens = str(proposal.pk), len(look.widenings)
    notify("policy.proposed", told, once=once, feature=feature, proposal=once, who=str(by), widens=widens)
    append(
        actor_of(by),
        "policy.proposed",
        feature=str(feature.pk),
        subject=("proposal", str(proposal.pk)),
        digest=digest.hex(),
        base=look.base,
        edited_by=str(draft.edited_by_id),
    )
    return proposal


def why_not_accept(proposal: PolicyProposal, person: Person) -> str:
    """Why this person may not accept the proposal; empty: they may, as far as their part in it goes."""
    if person.pk == proposal.proposed_by_id:
        return "You proposed it: another lead accepts it."
    if person.pk == proposal.edited_by_id:
        return "You wrote it last: another lead accepts it."
    return ""


@transaction.atomic
def accept_proposal(*, feature: Feature, proposal: UUID, by: Person) -> PolicyProposal:
    """Put a proposal in force. Raises ConflictError where it was answered, where another policy came into force since
    it was proposed, or where the person has a part in it.
    """
    lock_policy(feature, to_activate=True)
    found = _pending(feature, proposal)
    _lead(by, feature)
    if why := why_not_accept(found, by):
        raise ConflictError("second_person", why)
    version = active_version(feature.pk)
    if (version.number if version else 0) != found.base:
        raise ConflictError(
            "outdated",
            f"It was proposed against policy {found.base}, which is no longer in force.",
            "Decline it; the draft can be proposed again.",
        )
    document = read_policy(found.source).document
    if digest_of(document.kept()) != bytes(found.digest):
        raise ConflictError(
            "outdated",
            "This release reads the text otherwise than when it was proposed.",
            "Propose it again.",
        )
    applied = apply_policy(document, found.source, by=by, proposed_by=found.proposed_by)
    found.number = applied.number
    _answer(found, "accepted", by, "")
    PolicyDraft.objects.filter(feature=feature, text=found.source).delete()
    return found


@transaction.atomic
def decline_proposal(*, feature: Feature, proposal: UUID, by: Person, reason: str) -> PolicyProposal:
    """Answer no, with a reason that the leads read; who proposed it takes it back so."""
    lock_policy(feature)
    found = _pending(feature, proposal)
    _lead(by, feature)
    reason = reason.replace("\x00", "").strip()[:MOST_REASON]
    if not reason:
        raise ClearanceError("invalid", "Say why, so that it can be mended.", field="reason")
    _answer(found, "declined", by, reason)
    told = [one for one in (found.proposed_by, found.edited_by) if one.pk != by.pk]
    once = str(found.pk)
    notify("policy.declined", told, once=once, feature=feature, proposal=once, who=str(by))
    append(
        actor_of(by),
        "policy.declined",
        feature=str(feature.pk),
        subject=("proposal", once),
        digest=bytes(found.digest).hex(),
    )
    return found


def _pending(feature: Feature, proposal: UUID) -> PolicyProposal:
    rows = PolicyProposal.objects.filter(feature=feature, pk=proposal)
    found = rows.select_related("proposed_by", "edited_by", "decided_by").first()
    if found is None:
        raise NotFoundError("no_proposal", "This feature has no such proposal.")
    if found.state != "pending":
        raise ConflictError("answered", f"It was {found.state} by {found.decided_by} already.")
    return found


def _answer(proposal: PolicyProposal, state: str, by: Person, reason: str) -> None:
    proposal.state, proposal.decided_by, proposal.reason = state, by, reason
    proposal.decided_at = datetime.now(UTC)
    proposal.save()


def _lead(person: Person, feature: Feature) -> None:
    """Whoever lost the role a moment ago changes nothing any more: taking it waits for the same lock."""
    if "lead" not in roles_on(person, feature):
        raise ConflictError("not_lead", "Only a lead of the feature does this.")
