"""Where a reviewer's grades differ from the final ones, once a sample is closed, and what they say of it."""

from collections import Counter
from uuid import UUID

import msgspec

from features.models import Person
from reviews.models import Reflection, Review, Sample, SampleItem
from reviews.queries import rubric_of
from reviews.rubric import Criterion, Value
from reviews.sample_page import HOW

__all__ = ["AnchorCount", "Difference", "anchor_counts", "differences_of"]


class Difference(msgspec.Struct, frozen=True):
    """One grade that is not the final one, beside it."""

    review: Review
    item: SampleItem
    trace: str
    criterion: Criterion
    mine: int
    final: int
    my_value: Value
    final_value: Value
    how: str
    says: str  # `wrong`, `unclear`, or empty: nothing yet

    @property
    def anchor(self) -> str:
        """The place on the page where it stands."""
        return f"d-{self.review.pk.hex}-{self.criterion.key}"


def differences_of(sample: Sample, person: Person) -> list[Difference]:
    """The person's differences, those without an answer first, else in the order of the items. Three queries.

    What they graded in shadow is among them: it counts for nothing, and is what they can learn from.
    """
    said = {
        (one.review_id, one.criterion): one.says
        for one in Reflection.objects.filter(review__sample=sample, review__reviewer=person)
    }
    rows = (
        Review.objects.filter(sample=sample, reviewer=person, state="submitted", item__final__isnull=False)
        .select_related("item")
        .prefetch_related("grades")
        .order_by("item__place")
    )
    rubric = rubric_of(sample.rubric)
    found = [
        one
        for review in rows
        for criterion in rubric.criteria
        if (one := _difference(review, criterion, said))
    ]
    return sorted(found, key=lambda one: bool(one.says))


def _difference(review: Review, criterion: Criterion, said: dict[tuple[UUID, str], str]) -> Difference | None:
    item = review.item
    if item is None or item.final is None:
        return None
    mine = next((one.number for one in review.grades.all() if one.criterion == criterion.key), None)
    final = item.final.get(criterion.key)
    if mine is None or final is None or mine == final:
        return None
    return Difference(
        review=review,
        item=item,
        trace=bytes(item.trace_id).hex(),
        criterion=criterion,
        mine=mine,
        final=final,
        my_value=criterion.values[mine - 1],
        final_value=criterion.values[final - 1],
        how=HOW.get(item.final_is, ""),
        says=said.get((review.pk, criterion.key), ""),
    )


class AnchorCount(msgspec.Struct, frozen=True):
    """How often reviewers say of a criterion's value, given in place of another, that it was their mistake or that its
    anchor is unclear."""

    criterion: Criterion
    number: int
    value: Value
    wrong: int
    unclear: int


def anchor_counts(sample: Sample) -> list[AnchorCount]:
    """By criterion and the value that was given, those most often unclear first. Two queries."""
    counted: Counter[tuple[str, int, str]] = Counter()
    rows = Reflection.objects.filter(review__sample=sample).select_related("review")
    for one in rows.prefetch_related("review__grades"):
        number = next((g.number for g in one.review.grades.all() if g.criterion == one.criterion), None)
        if number is not None:
            counted[one.criterion, number, one.says] += 1
    rubric = rubric_of(sample.rubric)
    found = []
    for key, number in sorted({(key, number) for key, number, _ in counted}):
        criterion = rubric.criterion(key)
        if criterion is not None:
            found.append(
                AnchorCount(
                    criterion,
                    number,
                    criterion.values[number - 1],
                    counted[key, number, "wrong"],
                    counted[key, number, "unclear"],
                )
            )
    return sorted(found, key=lambda one: -one.unclear)
