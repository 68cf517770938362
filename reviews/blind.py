"""Who must not see what: as long as a person can still grade a request, nothing tells them what it is or what others
said of it.

What would tell: its stratum, weight and why it was drawn (all say what was found in it), its trace, other grades, and
the figures that grades add up to. It is hidden from whoever may still grade in an open sample, leads included, and
shown when nothing is left for them or when the sample is closed (decision 049).
"""

from features.clock import clock
from features.models import Person
from features.queries import roles_on
from reviews.models import Review, Sample, SampleItem
from reviews.queries import MAY_GRADE, left_for
from traces.models import Participant

__all__ = ["is_blind", "is_blind_to", "is_open"]


def is_open(sample: Sample) -> bool:
    """Whether it is still graded."""
    return sample.closed_at is None and sample.closes_at > clock()


def is_blind(person: Person, sample: Sample) -> bool:
    """Whether the person may still be handed a request of the sample."""
    if not is_open(sample) or not MAY_GRADE & roles_on(person, sample.feature):
        return False
    return left_for(person, sample) > 0


def is_blind_to(person: Person, item: SampleItem) -> bool:
    """Whether the person may still grade this request, or has it in hand: one that they skipped can be taken back."""
    sample = item.sample
    if not is_open(sample) or not MAY_GRADE & roles_on(person, sample.feature):
        return False
    mine = Review.objects.filter(item=item, reviewer=person).values_list("state", flat=True).first()
    if mine == "claimed":
        return True
    if mine == "submitted" or item.settled_at is not None:
        return False
    return not Participant.objects.filter(
        feature=sample.feature_id, trace_id=item.trace_id, person=person
    ).exists()
