"""The weeks beside each other: each criterion's figure by week, and what would tell the newest from the month
before.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from features.models import Feature, Score
from reviews.models import Sample, SampleItem
from reviews.queries import rubric_of
from reviews.results import MONTH, cells_of
from reviews.rubric import Criterion
from reviews.statistics.estimates import Estimate, pool, weeks_needed
from traces.statistics import Rate

__all__ = ["MONTH", "Comparison", "Trend", "WeekFigure", "comparisons", "trends"]

# Weeks that are pooled into "the month before".
_MOST_KNOWN = 200
_known: dict[object, Estimate] = {}


class WeekFigure(msgspec.Struct, frozen=True):
    """A closed week's figure of a criterion, as it was written when the week closed."""

    week: str
    sample: UUID
    starts_at: datetime
    rubric: int
    share: Rate
    alpha: float | None
    double: int  # requests graded twice, on which alpha rests


class Trend(msgspec.Struct, frozen=True):
    """A criterion by week, the oldest first."""

    criterion: Criterion
    weeks: tuple[WeekFigure, ...]


class Comparison(msgspec.Struct, frozen=True):
    """The newest week's figure beside that of the weeks before it, pooled.

    `needed`: how many weeks like the newest would tell the two apart, four times of five; 1: it does by itself; None:
    no number would, for the figures are the same, or there is nothing to compare.
    """

    criterion: Criterion
    now: WeekFigure
    before: Estimate | None
    weeks: int

    @property
    def needed(self) -> int | None:
        if self.before is None or self.before.value is None:
            return None
        share = self.now.share
        newest = Estimate(
            share.rate, share.low, share.high, share.n, self.before.population, 0, None, 0.0, "", ""
        )
        there, back = weeks_needed(newest, self.before.value), weeks_needed(self.before, share.rate or 0.0)
        # Each of the two is an estimate: neither interval may hold the other's figure.
        return None if there is None or back is None else max(there, back)

    @property
    def then(self) -> Rate:
        """The month before, as a rate; its k is not told apart by week."""
        found = self.before
        if found is None or found.value is None:
            return Rate(None, 0, 0, None, None)
        return Rate(found.value, 0, found.n, found.low, found.high)


def trends(feature: Feature, samples: Sequence[Sample]) -> list[Trend]:
    """By criterion of the newest closed week's rubric, the closed ones of these weeks; their figures are those that
    were written at the close. One query.
    """
    weeks = {one.week: one for one in samples if one.week and one.closed_at}
    if not weeks:
        return []
    newest = max(weeks.values(), key=lambda one: one.starts_at)
    found: defaultdict[str, list[WeekFigure]] = defaultdict(list)
    for score in Score.objects.filter(feature=feature, week__in=weeks).order_by("week"):
        sample = weeks[score.week]
        found[score.criterion].append(
            WeekFigure(
                week=score.week,
                sample=sample.pk,
                starts_at=sample.starts_at,
                rubric=score.rubric,
                share=Rate(score.value, 0, score.n, score.low, score.high),
                alpha=score.alpha,
                double=score.alpha_n,
            )
        )
    asked = [one for one in rubric_of(newest.rubric).criteria if one.key in found]
    return [Trend(one, tuple(found[one.key])) for one in asked]


def comparisons(feature: Feature, samples: Sequence[Sample], found: Sequence[Trend]) -> list[Comparison]:
    """For each criterion, the newest week against the (up to) four closed weeks before it in which the same values
    passed. One query; none where the figures are known already.
    """
    closed = sorted((one for one in samples if one.week and one.closed_at), key=lambda one: one.starts_at)
    earlier = {trend.criterion.key: _before(closed, trend)[-MONTH:] for trend in found}
    asked = [(trend.criterion, tuple(one.pk for one in earlier[trend.criterion.key])) for trend in found]
    unknown = {pk for mark in asked if mark not in _known for pk in mark[1]}
    items = _items(unknown) if unknown else {}
    for mark in asked:
        if mark[1] and mark not in _known:
            pooled = _pooled(earlier[mark[0].key], items, mark[0])
            while len(_known) >= _MOST_KNOWN:
                _known.pop(next(iter(_known)), None)
            _known[mark] = pooled
    return [
        Comparison(trend.criterion, trend.weeks[-1], _known.get(mark), len(mark[1]))
        for trend, mark in zip(found, asked, strict=True)
    ]


def _before(closed: Sequence[Sample], trend: Trend) -> list[Sample]:
    newest = trend.weeks[-1].starts_at
    return [one for one in closed if one.starts_at < newest and _same(one, trend.criterion)]


def _same(sample: Sample, criterion: Criterion) -> bool:
    """Whether a sample asked the criterion on the same scale, with the same values passing; a changed wording is for
    people to judge, and the page marks where the rubric changed.
    """
    asked = rubric_of(sample.rubric).criterion(criterion.key)
    return asked is not None and (asked.passing, len(asked.values)) == (
        criterion.passing,
        len(criterion.values),
    )


def _items(samples: Collection[UUID]) -> dict[UUID, list[SampleItem]]:
    found: defaultdict[UUID, list[SampleItem]] = defaultdict(list)
    rows = SampleItem.objects.filter(sample__in=samples, final__isnull=False)
    for item in rows.only("sample_id", "stratum", "final"):
        found[item.sample_id].append(item)
    return found


def _pooled(samples: Sequence[Sample], items: dict[UUID, list[SampleItem]], criterion: Criterion) -> Estimate:
    return pool(
        [cells_of(one, items.get(one.pk, ()), criterion.key) for one in samples],
        seed=f"{samples[-1].seed} {criterion.key} before",
        passing=frozenset(number - 1 for number in criterion.passing),
    )
