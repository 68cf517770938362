"""Gold items: how well a reviewer is set, by requests whose grades are agreed."""

import hashlib

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from audit.services import append
from features.acting import actor_of
from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.models import Feature, Person
from features.queries import roles_on
from reviews.models import GoldItem, Review, RubricVersion, Sample
from reviews.queries import rubric_of
from reviews.rubric import Criterion, Rubric
from traces.holds import hold_trace
from traces.models import Participant, Trace

# A newcomer grades so many gold items first, as far as there are any.
FIRST = 3
# The share of criteria graded as agreed, over the last LOOKED_AT gold items, that a person must reach.
BAR = 0.8
LOOKED_AT = 5
# Afterwards one of so many is gold; below the bar every second.
_ONE_IN, _ONE_IN_BELOW = 8, 2
_SHORTEST_REASON = 10


class Standing(msgspec.Struct, frozen=True):
    """How well a person is set on a feature's rubric: the mean of their last gold items; None: too few."""

    golds: int
    agreement: float | None
    shadow: bool  # below the bar, or not through the first ones yet: what they grade counts for nothing
    exempt: bool = False


def standing_of(sample: Sample, person: Person) -> Standing:
    """The person's standing on the rubric of a sample. Without any gold item everybody counts: nothing says
    otherwise. Leads see the agreed grades, so gold items say nothing of them, and they get none.
    """
    if "lead" in roles_on(person, sample.feature):
        return Standing(0, None, shadow=False, exempt=True)
    graded = list(
        Review.objects.filter(
            gold__feature=sample.feature_id,
            gold__rubric=sample.rubric_id,
            reviewer=person,
            state="submitted",
            gold_agreement__isnull=False,
        )
        .order_by("-submitted_at")
        .values_list("gold_agreement", flat=True)
    )
    there = _golds(sample, person).count()
    latest = [share for share in graded[:LOOKED_AT] if share is not None]
    agreement = sum(latest) / len(latest) if latest else None
    if len(graded) < min(FIRST, there):
        return Standing(len(graded), agreement, shadow=True)
    return Standing(len(graded), agreement, shadow=agreement is not None and agreement < BAR)


def gold_due(
    sample: Sample, person: Person, standing: Standing, *, now_or_later: bool = False
) -> GoldItem | None:
    """The gold item that the person gets next, if one is due: first to newcomers, then now and then, in an order of
    chance that nobody can tell from the rest.
    """
    if standing.exempt:
        return None
    unseen = _golds(sample, person).exclude(reviews__reviewer=person)
    done = Review.objects.filter(sample=sample, reviewer=person).exclude(state="claimed").count()
    if standing.golds >= FIRST and not now_or_later:
        every = _ONE_IN_BELOW if standing.shadow else _ONE_IN
        if _number(sample, person, done) % every:
            return None
    found = list(unseen.order_by("pk"))
    return min(found, key=lambda gold: _number(sample, person, gold.pk)) if found else None


def _golds(sample: Sample, person: Person) -> QuerySet[GoldItem]:
    """Gold items of the sample's rubric that are none of the person's own business."""
    drawn = sample.items.values("trace_id")
    theirs = Participant.objects.filter(feature=sample.feature_id, person=person).values("trace_id")
    return (
        GoldItem.objects.filter(feature=sample.feature_id, rubric=sample.rubric_id, retired_at=None)
        .exclude(trace_id__in=drawn)
        .exclude(trace_id__in=theirs)
        .exclude(added_by=person)
    )


def _number(sample: Sample, person: Person, what: object) -> int:
    return int.from_bytes(hashlib.sha256(f"{sample.seed} {person.pk} {what}".encode()).digest()[:8])


def agreement_with(gold: GoldItem, rubric: Rubric, grades: dict[str, int]) -> float:
    """The share of the gold item's criteria that were graded as agreed, one step off on a longer scale counting as
    agreed.
    """
    asked = [one for one in rubric.criteria if one.key in gold.grades]
    agreed = sum(_as_agreed(one, gold.grades[one.key], grades.get(one.key)) for one in asked)
    return agreed / len(asked) if asked else 1.0


def _as_agreed(criterion: Criterion, agreed: int, given: int | None) -> bool:
    if given is None:
        return False
    # On three values "a step off" would let nearly everything pass.
    return given == agreed if len(criterion.values) <= 3 else not criterion.apart(agreed, given)


@transaction.atomic
def add_gold(
    feature: Feature,
    trace_id: bytes,
    version: RubricVersion,
    grades: dict[str, int],
    because: str,
    by: Person,
    session: str = "",
) -> GoldItem:
    """Make a request a gold item, with the grades that were agreed. Raises ClearanceError (`trace`, `grades`,
    `because`) and ConflictError (`exists`).
    """
    because = " ".join(because.replace("\x00", "").split())
    if len(because) < _SHORTEST_REASON:
        raise ClearanceError(
            "because", "Say why these grades: who grades otherwise reads it.", field="because"
        )
    if not Trace.objects.filter(feature=feature, trace_id=trace_id).exists():
        raise ClearanceError("trace", "This feature has no settled request of this ID.", field="trace")
    rubric = rubric_of(version)
    check_grades(rubric, grades, complete=True)
    try:
        with transaction.atomic():
            gold = GoldItem.objects.create(
                feature=feature,
                trace_id=trace_id,
                rubric=version,
                grades=grades,
                because=because[:2000],
                added_by=by,
            )
    except IntegrityError as error:
        raise ConflictError("exists", "This request is a gold item of this rubric already.") from error
    hold_trace(
        feature=feature,
        trace_id=trace_id,
        kind="review",
        reference=str(gold.pk),
        reason="A gold item of the reviews",
        room="reviews",
    )
    _record(gold, "gold.added", by, session)
    return gold


@transaction.atomic
def retire_gold(gold: GoldItem, by: Person, session: str = "") -> None:
    """Hand the gold item out no more; again: nothing. What was graded on it stays."""
    if GoldItem.objects.filter(pk=gold.pk, retired_at=None).update(retired_at=clock()):
        _record(gold, "gold.retired", by, session)


def _record(gold: GoldItem, action: str, by: Person, session: str) -> None:
    append(
        actor_of(by, session),
        action,
        feature=str(gold.feature_id),
        subject=("gold", str(gold.pk)),
        trace=bytes(gold.trace_id).hex(),
        rubric=gold.rubric.number,
    )


def check_grades(rubric: Rubric, grades: dict[str, int], *, complete: bool) -> None:
    """Raises ClearanceError (`grades`) for what is no criterion or no value of its scale, and, where they must be
    `complete`, for a required criterion without an answer.
    """
    for key, number in grades.items():
        criterion = rubric.criterion(key)
        if criterion is None:
            raise ClearanceError(
                "grades", f"The rubric has no criterion {key[:40]}.", field=f"grade.{key[:40]}"
            )
        if not 1 <= number <= len(criterion.values):
            raise ClearanceError(
                "grades",
                f"{criterion.name}: {number} is not on the scale, which goes from 1 to {len(criterion.values)}.",
                field=f"grade.{key}",
            )
    missing = [one.name for one in rubric.criteria if one.required and one.key not in grades]
    if complete and missing:
        raise ClearanceError(
            "incomplete",
            f"Not answered yet: {', '.join(missing)}.",
            "Answer it, or skip with a reason.",
            "grades",
        )
