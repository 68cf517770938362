"""What a reviewer raises while grading: each flag becomes a row that the room concerned reads."""

from uuid import UUID

from django.db import transaction

from audit.services import append
from features.acting import actor_of
from features.errors import ClearanceError, ConflictError
from features.models import CaseRequest, IncidentRequest, Person
from reviews.models import FLAGS, Flag, Review
from reviews.services.claiming import may_grade
from reviews.telling import tell_of_flag
from traces.feedback import Said, give_feedback

_LONGEST_NOTE = 1000
# What the two kinds that break a rule are called among a trace's violations.
RULES = {"violation": "flagged_in_review", "pii": "personal_data_in_review"}


@transaction.atomic
def flag(review_id: UUID, kind: str, note: str, by: Person, session: str = "") -> Flag:
    """Raise something about the request that the person reviews. `violation` and `pii` become violations of its trace,
    `case` asks for an eval case, `incident` for an incident.

    Raises ClearanceError (`kind`; `note`: all but `case` need a few words; `closed`), ConflictError (`flagged`).
    """
    if kind not in FLAGS:
        raise ClearanceError("kind", f"A flag is one of: {', '.join(FLAGS)}.", field="kind")
    note = " ".join(note.replace("\x00", "").split())[:_LONGEST_NOTE]
    if kind != "case" and len(note) < 3:
        raise ClearanceError(
            "note", "Say what you saw: who reads the flag did not.", "A few words do.", "note"
        )
    review = (
        Review.objects.select_for_update(of=("self",))
        .select_related("sample__feature", "item", "gold")
        .get(pk=review_id, reviewer=by)
    )
    may_grade(review.sample, by)
    if Flag.objects.filter(review=review, kind=kind).exists():
        raise ConflictError("flagged", "You have flagged this already.")
    made = Flag.objects.create(review=review, kind=kind, note=note)
    feature, trace_id = review.sample.feature, trace_of(review)
    if kind in RULES:
        said = Said("review", (("violation", {"rule": RULES[kind], "detail": note}),), None)
        give_feedback(feature, trace_id.hex(), said)
    elif kind == "case":
        CaseRequest.objects.get_or_create(
            once=f"review {feature.pk} {trace_id.hex()}",
            defaults={
                "feature": feature,
                "trace_id": trace_id,
                "source": "reviews",
                "facts": {"review": str(review.pk)},
                "asked_by": by,
            },
        )
    else:
        IncidentRequest.objects.get_or_create(
            once=f"review {feature.pk} {trace_id.hex()}",
            defaults={
                "feature": feature,
                "kind": "review",
                "facts": {"trace": trace_id.hex(), "flag": str(made.pk), "person": str(by.pk)},
            },
        )
    if kind != "case":
        tell_of_flag(made, feature, by)
    append(
        actor_of(by, session),
        "review.flagged",
        feature=str(feature.pk),
        subject=("review", str(review.pk)),
        kind=kind,
    )
    return made


def trace_of(review: Review) -> bytes:
    """The trace that a review is of."""
    about = review.item or review.gold
    assert about is not None  # the database says so
    return bytes(about.trace_id)
