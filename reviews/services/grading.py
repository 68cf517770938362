"""Grading one request: the draft, the submit, the skip, and taking either back."""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from audit.services import append
from features.acting import actor_of
from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.models import Person
from reviews.models import Grade, Review, SampleItem
from reviews.queries import rubric_of
from reviews.rubric import Rubric
from reviews.services.calibrating import agreement_with, check_grades
from reviews.services.claiming import LEASE, counted, extend, has_place, may_grade, places
from traces.models import Participant

_SHORTEST_REASON = 3
_LONGEST_NOTE = 4000
_MOST_COMMENTS = 100
_LONGEST_COMMENT = 2000


class Draft(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reviewer has typed so far: numbers by criterion, a note, comments on passages."""

    grades: dict[str, int] = {}
    note: str = ""
    comments: list[dict[str, str]] = []  # {"quote", "text"}
    # Which answer of the server it was typed over, and when (milliseconds): a tab that never heard that its last save
    # arrived goes on over it.
    tab: str = ""
    turn: int = 0


class DraftChanged(ConflictError):
    """The draft was saved from elsewhere since; `revision` and `draft` are what is kept now."""

    def __init__(self, review: Review) -> None:
        super().__init__(
            "draft_changed",
            "You changed these grades in another tab after this one was opened.",
            "Reload to go on with those, or save this tab's over them.",
        )
        self.revision = review.revision
        self.draft = review.draft


def save_draft(review_id: UUID, draft: Draft, revision: int, by: Person) -> Review:
    """Keep what was typed; the lease runs anew. `revision` is that of the draft which it was typed over.

    Raises DraftChanged, ClearanceError (`grades` off the scale, `closed`, `submitted`), ConflictError
    (`lease_lost`); what was typed is kept with the last one too.
    """
    draft = _clean(draft)
    with transaction.atomic():
        review, item = _held(review_id, by)
        if review.revision != revision and not _goes_on(review.draft, draft):
            raise DraftChanged(review)
        check_grades(rubric_of(review.sample.rubric), draft.grades, complete=False)
        now = clock()
        held = item is None or has_place(review, item, now)
        review.draft = msgspec.to_builtins(draft)
        review.revision += 1
        Review.objects.filter(pk=review.pk).update(draft=review.draft, revision=review.revision)
        if held:
            extend(review, now)
    if not held:
        raise _lost()
    return review


def submit(review_id: UUID, draft: Draft, revision: int, by: Person, session: str = "") -> Review:
    """Give the grades. Raises as `save_draft`, and ClearanceError (`incomplete`) while a required criterion has no
    answer; what was typed is kept then too.
    """
    saved = save_draft(review_id, draft, revision, by)
    with transaction.atomic():
        review, item = _held(review_id, by)
        if review.revision != saved.revision:
            raise DraftChanged(review)
        rubric = rubric_of(review.sample.rubric)
        check_grades(rubric, draft.grades, complete=True)
        now = clock()
        if item is not None and not has_place(review, item, now):
            raise _lost()
        if item is not None and _had_a_part(review, item):
            raise ClearanceError(
                "participant", "You decided on this request meanwhile: somebody else grades it."
            )
        Grade.objects.filter(review=review).delete()
        Grade.objects.bulk_create(
            Grade(review=review, criterion=key, number=number) for key, number in draft.grades.items()
        )
        review.state, review.submitted_at = "submitted", now
        review.seconds = _seconds(review, now)
        if review.gold is not None:
            review.gold_agreement = agreement_with(review.gold, rubric, draft.grades)
        review.save(update_fields=["state", "submitted_at", "seconds", "gold_agreement"])
        if item is not None:
            settle_item(item, rubric, now)
        _record(review, "review.submitted", by, session)
    return review


def skip(review_id: UUID, reason: str, by: Person, session: str = "") -> Review:
    """Leave it to another reviewer. Raises ClearanceError (`reason`, `closed`, `submitted`)."""
    reason = " ".join(reason.replace("\x00", "").split())
    if len(reason) < _SHORTEST_REASON:
        raise ClearanceError("reason", "Say why you skip it.", "A few words do.", "reason")
    with transaction.atomic():
        review, _ = _held(review_id, by)
        review.state, review.skip_reason, review.submitted_at = "skipped", reason[:500], clock()
        review.save(update_fields=["state", "skip_reason", "submitted_at"])
        _record(review, "review.skipped", by, session)
    return review


def take_back(review_id: UUID, by: Person, session: str = "") -> Review:
    """Take a submit or a skip back: the grades are a draft again. Raises ConflictError (`taken`: somebody else has its
    place, `adjudicated`: a third has decided by it, `open`: there is nothing to take back), ClearanceError (`closed`).
    """
    with transaction.atomic():
        review, item = _locked(review_id, by)
        may_grade(review.sample, by)
        if review.state == "claimed":
            raise ConflictError("open", "It is not submitted; change it as it is.")
        now = clock()
        if item is not None:
            if review.part == "grade" and item.final_is == "adjudicated":
                raise ConflictError("adjudicated", "A third has decided between your grades and another's.")
            others = [one for one in counted(item, now) if one.pk != review.pk]
            if not review.shadow and len(others) >= places(item):
                raise ConflictError("taken", "Somebody else grades it now.")
        Grade.objects.filter(review=review).delete()
        review.state, review.submitted_at, review.skip_reason = "claimed", None, ""
        review.gold_agreement, review.lease_until = None, now + LEASE
        review.save(update_fields=["state", "submitted_at", "skip_reason", "gold_agreement", "lease_until"])
        if item is not None:
            settle_item(item, rubric_of(review.sample.rubric), now)
        _record(review, "review.taken_back", by, session)
    return review


def settle_item(item: SampleItem, rubric: Rubric, now: datetime) -> None:
    """Compute the item's final grades from what is submitted; its row is held.

    One grader: theirs. Two: what both say; where they differ by no more than may stand side by side, one of the two
    by lot (taking the better or the worse would bend the rate). Where they are too far apart a third decides.
    """
    rows = list(
        Review.objects.filter(item=item, shadow=False, state="submitted")
        .prefetch_related("grades")
        .order_by("submitted_at", "pk")
    )
    third = next((one for one in rows if one.part == "adjudication"), None)
    given = [one for one in rows if one.part == "grade"]
    final, final_is, apart = None, "", False
    if third is not None and len(given) >= 2:
        final, final_is, apart = _numbers(third), "adjudicated", True
    elif len(given) >= item.wanted:
        final, final_is, apart = _final(item, rubric, given)
    item.adjudicate, item.final, item.final_is = apart, final, final_is
    item.settled_at = now if final is not None else None
    item.save(update_fields=["adjudicate", "final", "final_is", "settled_at"])


def settle_at_close(item: SampleItem, now: datetime) -> None:
    """Compute the final grades of an item that lacks a second or a third grader when its sample closes; its row is
    held.

    What there is counts: a grade that waited for a second one, and one of two that waited for a third, by lot. To leave
    them out would bend the rate, for it is doubtful requests that people differ on.
    """
    given = Review.objects.filter(item=item, shadow=False, state="submitted", part="grade")
    numbers = [_numbers(one) for one in given.prefetch_related("grades").order_by("submitted_at", "pk")]
    if not numbers:
        return
    item.final_is = "single" if len(numbers) == 1 else "by_lot"
    item.final = numbers[0] if len(numbers) == 1 else _by_lot(item, *numbers[:2])
    item.settled_at = now
    item.save(update_fields=["final", "final_is", "settled_at"])


def _final(item: SampleItem, rubric: Rubric, given: list[Review]) -> tuple[dict[str, int] | None, str, bool]:
    """(the final grades, how they came about, whether a third has to decide)."""
    one = _numbers(given[0])
    if len(given) == 1:
        return one, "single", False
    other = _numbers(given[1])
    both = one.keys() & other.keys()
    if one == other:
        return one, "agreed", False
    for criterion in rubric.criteria:
        if criterion.key in both and criterion.apart(one[criterion.key], other[criterion.key]):
            return None, "", True
    return _by_lot(item, one, other), "by_lot", False


def _by_lot(item: SampleItem, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    lot = hashlib.sha256(f"{item.sample.seed} lot {bytes(item.trace_id).hex()}".encode()).digest()[0] & 1
    return {**one, **other} if lot else {**other, **one}


def _numbers(review: Review) -> dict[str, int]:
    return {grade.criterion: grade.number for grade in review.grades.all()}


def _held(review_id: UUID, by: Person) -> tuple[Review, SampleItem | None]:
    """The person's own review, open, with its rows held. Raises Review.DoesNotExist for somebody else's."""
    review, item = _locked(review_id, by)
    may_grade(review.sample, by)
    if review.state != "claimed":
        raise ConflictError(
            "submitted",
            f"You have {'submitted' if review.state == 'submitted' else 'skipped'} this already.",
            "Take it back to change it.",
        )
    return review, item


def _locked(review_id: UUID, by: Person) -> tuple[Review, SampleItem | None]:
    known = Review.objects.only("item_id").get(pk=review_id, reviewer=by)
    item = SampleItem.objects.select_for_update().get(pk=known.item_id) if known.item_id else None
    review = (
        Review.objects.select_for_update(of=("self",))
        .select_related("sample__feature", "sample__rubric", "gold")
        .get(pk=review_id, reviewer=by)
    )
    return review, item


def _clean(draft: Draft) -> Draft:
    """Without what JSON in the database has not. Raises ClearanceError for what is too long."""
    if len(draft.note) > _LONGEST_NOTE:
        raise ClearanceError("note", f"A note has at most {_LONGEST_NOTE} characters.", field="note")
    if len(draft.comments) > _MOST_COMMENTS:
        raise ClearanceError("comments", f"At most {_MOST_COMMENTS} comments.", field="comments")
    comments = [
        {name: _text(one.get(name, ""))[:_LONGEST_COMMENT] for name in ("quote", "text")}
        for one in draft.comments
    ]
    return Draft(
        draft.grades,
        _text(draft.note),
        [one for one in comments if one["quote"].strip() or one["text"].strip()],
        _text(draft.tab)[:40],
        draft.turn,
    )


def _goes_on(kept: dict[str, Any], draft: Draft) -> bool:
    """Whether what is kept came from the same tab, which did not hear of it, and is no newer."""
    return bool(draft.tab) and kept.get("tab") == draft.tab and kept.get("turn", 0) <= draft.turn


def _text(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _had_a_part(review: Review, item: SampleItem) -> bool:
    return Participant.objects.filter(
        feature=review.sample.feature_id, trace_id=item.trace_id, person=review.reviewer_id
    ).exists()


def _seconds(review: Review, now: datetime) -> float:
    """How long it took, a lease at most: who went to lunch was not grading."""
    return min((now - review.claimed_at).total_seconds(), LEASE.total_seconds())


def _lost() -> ConflictError:
    return ConflictError(
        "lease_lost",
        "Nothing was typed for a while, and somebody else grades this request now.",
        "What you typed is kept with it; go on with the next.",
    )


def _record(review: Review, action: str, by: Person, session: str) -> None:
    values: dict[str, Any] = {"part": review.part, "shadow": review.shadow}
    append(
        actor_of(by, session),
        action,
        feature=str(review.sample.feature_id),
        subject=("review", str(review.pk)),
        **values,
    )
