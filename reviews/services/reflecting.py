"""What a reviewer says, once the week is closed, of a grade that differs from the final one."""

from uuid import UUID

from django.db import transaction

from features.errors import ClearanceError
from features.models import Person
from reviews.models import Reflection, Review
from reviews.queries import rubric_of
from reviews.telling import tell_of_anchor

SAYS = ("wrong", "unclear")


@transaction.atomic
def reflect(review_id: UUID, criterion: str, says: str, by: Person) -> Reflection:
    """`wrong`: I was; `unclear`: the anchor is, which the leads hear of. The later answer holds. Raises ClearanceError
    (`says`, `criterion`, `open`), Review.DoesNotExist for somebody else's.
    """
    review = Review.objects.select_related("sample__feature", "sample__rubric", "item").get(
        pk=review_id, reviewer=by, state="submitted"
    )
    if says not in SAYS:
        raise ClearanceError("says", f"Say one of: {', '.join(SAYS)}.", field="says")
    if review.sample.closed_at is None:
        raise ClearanceError("open", "The sample is open: grades are compared when it is closed.")
    asked = rubric_of(review.sample.rubric).criterion(criterion)
    if asked is None:
        raise ClearanceError("criterion", "The rubric has no such criterion.", field="criterion")
    said, _ = Reflection.objects.update_or_create(review=review, criterion=criterion, defaults={"says": says})
    if says == "unclear":
        tell_of_anchor(review, asked.name, by)
    return said
