"""The end of a sample: what is graded then is its figures, and stays so."""

from datetime import timedelta

from django.db import transaction

from audit.services import append
from features.acting import actor_of
from features.clock import clock
from features.models import Person, Score
from reviews.models import Sample
from reviews.results import results_of
from reviews.services.grading import settle_at_close
from reviews.telling import tell_of_closing, tell_of_open

_REMIND_BEFORE = timedelta(days=2)


def close_due() -> int:
    """Close what is over, and remind of what soon will be; returns how many were closed."""
    now = clock()
    closed = 0
    for pk in list(Sample.objects.filter(closed_at=None, closes_at__lte=now).values_list("pk", flat=True)):
        closed += close_sample(Sample.objects.get(pk=pk))
    soon = Sample.objects.filter(closed_at=None, reminded_at=None, closes_at__lte=now + _REMIND_BEFORE)
    for pk in list(soon.values_list("pk", flat=True)):
        _remind(Sample.objects.get(pk=pk))
    return closed


@transaction.atomic
def close_sample(sample: Sample, by: Person | None = None, session: str = "") -> bool:
    """Close a sample now: nobody grades it any more, its figures are written for other rooms, and each reviewer is
    shown where they differed. False: it was closed before.
    """
    # Without the key, which every claim refers to.
    held = Sample.objects.select_for_update(of=("self",), no_key=True)
    locked = held.select_related("feature", "rubric").get(pk=sample.pk)
    if locked.closed_at is not None:
        return False
    # Who is submitting just now comes first, or finds it closed.
    items = list(locked.items.select_for_update(of=("self",)).select_related("sample").order_by("pk"))
    now = clock()
    locked.closed_at, locked.closes_at = now, min(locked.closes_at, now)
    locked.save(update_fields=["closed_at", "closes_at"])
    for item in items:
        if item.settled_at is None:
            settle_at_close(item, now)
    found = results_of(locked)
    if locked.week is not None:
        for one in found.criteria:
            passing = one.passing
            if passing is None or passing.value is None or passing.low is None or passing.high is None:
                continue
            Score.objects.update_or_create(
                feature=locked.feature,
                week=locked.week,
                criterion=one.criterion.key,
                defaults={
                    "rubric": locked.rubric.number,
                    "value": passing.value,
                    "low": passing.low,
                    "high": passing.high,
                    "n": passing.n,
                    "population": locked.population,
                    "alpha": one.agreement.alpha,
                    "alpha_low": one.agreement.low,
                    "alpha_n": one.agreement.n,
                    "computed_at": now,
                },
            )
    append(
        actor_of(by, session),
        "sample.closed",
        feature=str(locked.feature_id),
        subject=("sample", str(locked.pk)),
        graded=found.graded,
        drawn=found.drawn,
    )
    tell_of_closing(locked)
    sample.closed_at = now
    return True


@transaction.atomic
def _remind(sample: Sample) -> None:
    if Sample.objects.filter(pk=sample.pk, reminded_at=None).update(reminded_at=clock()):
        left = sample.items.filter(settled_at=None).count()
        if left:
            tell_of_open(sample, left)
