"""How each reviewer of a sample grades against the others, over enough weeks to say it."""

from collections import defaultdict
from uuid import UUID

import msgspec

from features.models import Person
from reviews.models import Grade, Sample
from reviews.queries import rubric_of
from reviews.rubric import Criterion
from reviews.statistics.agreement import Drift, drift

__all__ = ["OVER", "Drifts", "PersonDrift", "drifts_of"]

# One week has eight double grades or so: too few to say anything of one person.
OVER = 8


class PersonDrift(msgspec.Struct, frozen=True):
    """One person's drift, criterion by criterion, in steps of its scale."""

    person: Person
    by_criterion: tuple[tuple[Criterion, Drift], ...]

    @property
    def drifting(self) -> bool:
        """Whether one of them is more than chance."""
        return any(one.drifting for _, one in self.by_criterion)


class Drifts(msgspec.Struct, frozen=True):
    """The reviewers of a sample, over so many samples up to it."""

    samples: int
    people: tuple[PersonDrift, ...]


def drifts_of(sample: Sample) -> Drifts:
    """Each reviewer's grades against the mean of the others' of the same requests, over the last `OVER` samples of this
    rubric up to this one. Whoever graded in shadow is measured, and measures nobody. Two queries.
    """
    over = list(
        Sample.objects.filter(
            feature=sample.feature_id, rubric=sample.rubric_id, starts_at__lte=sample.starts_at
        )
        .order_by("-starts_at", "-drawn_at")
        .values_list("pk", flat=True)[:OVER]
    )
    rows = Grade.objects.filter(
        review__sample__in=over, review__state="submitted", review__item__wanted__gte=2
    ).select_related("review__reviewer")
    given: defaultdict[tuple[UUID | None, str], list[Grade]] = defaultdict(list)
    people: dict[UUID, Person] = {}
    for grade in rows:
        given[grade.review.item_id, grade.criterion].append(grade)
        if grade.review.sample_id == sample.pk:
            people[grade.review.reviewer_id] = grade.review.reviewer
    asked = [one for one in rubric_of(sample.rubric).criteria if one.ordered]
    found = [
        PersonDrift(person, tuple((one, _drift(person, one.key, given)) for one in asked))
        for person in people.values()
    ]
    return Drifts(len(over), tuple(sorted(found, key=lambda one: one.person.name)))


def _drift(person: Person, criterion: str, given: dict[tuple[UUID | None, str], list[Grade]]) -> Drift:
    mine, others = list[float](), list[float]()
    for (_, key), grades in given.items():
        if key != criterion:
            continue
        own = [one.number for one in grades if one.review.reviewer_id == person.pk]
        theirs = [
            one.number for one in grades if one.review.reviewer_id != person.pk and not one.review.shadow
        ]
        if own and theirs:
            mine.append(own[0])
            others.append(sum(theirs) / len(theirs))
    return drift(mine, others)
