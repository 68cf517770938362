"""What a sample says of its week, criterion by criterion: estimates from final grades, agreement from double ones."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from reviews.models import Review, Sample, SampleItem
from reviews.queries import rubric_of
from reviews.rubric import Criterion
from reviews.statistics.agreement import Agreement, agreement
from reviews.statistics.estimates import Cell, Estimate, mean, rate
from traces.statistics import Rate, rate_of

__all__ = [
    "MONTH",
    "CriterionResult",
    "Recent",
    "Results",
    "cells_of",
    "double_grades",
    "recent_agreement",
    "results_of",
]


class CriterionResult(msgspec.Struct, frozen=True):
    """One criterion's figures. `passing` and `mean` are None for values that are kinds and not degrees."""

    criterion: Criterion
    passing: Estimate | None
    unweighted: Rate | None
    mean: Estimate | None
    counts: tuple[int, ...]  # of final grades by number, unweighted, worst first
    agreement: Agreement

    @property
    def weighted(self) -> Rate:
        """The passing share as pages and the API write a rate: of `n` graded requests `k` pass, and `rate`, with its
        interval, is of the whole population; so it is k/n only where the weights are equal. n = 0: nothing to say.
        """
        if self.passing is None or self.unweighted is None or self.passing.value is None:
            return Rate(None, 0, 0, None, None)
        found = self.passing
        return Rate(found.value, self.unweighted.k, found.n, found.low, found.high)


class Results(msgspec.Struct, frozen=True):
    """A sample's figures. `ungraded` items were drawn and have no final grades (yet)."""

    drawn: int
    graded: int
    ungraded: int
    adjudicated: int
    criteria: tuple[CriterionResult, ...]


_known: dict[object, Results] = {}
_MOST_KNOWN = 200


def results_of(sample: Sample) -> Results:
    """The figures as they stand; computed anew when a grade was given or taken back since. Those of a closed sample are
    computed once in a process.
    """
    # With the time: a closing that was rolled back must leave nothing behind for the one that is not.
    mark: object = (sample.pk, sample.closed_at)
    if sample.closed_at is not None and (found := _known.get(mark)) is not None:
        return found
    items = list(sample.items.order_by("place"))
    grades = double_grades(sample)
    if sample.closed_at is None:
        mark = (
            sample.pk,
            tuple((item.settled_at, item.final_is) for item in items),
            tuple(sorted((str(key), tuple(sorted(pairs.items()))) for key, pairs in grades.items())),
        )
    found = _known.get(mark)
    if found is None:
        while len(_known) >= _MOST_KNOWN:
            _known.pop(next(iter(_known)), None)
        found = _known[mark] = _computed(sample, items, grades)
    return found


def _computed(
    sample: Sample, items: list[SampleItem], grades: dict[object, dict[str, tuple[int, ...]]]
) -> Results:
    graded = [item for item in items if item.final is not None]
    criteria = tuple(
        _criterion(sample, criterion, items, grades.values())
        for criterion in rubric_of(sample.rubric).criteria
    )
    return Results(
        drawn=len(items),
        graded=len(graded),
        ungraded=len(items) - len(graded),
        adjudicated=sum(item.final_is == "adjudicated" for item in graded),
        criteria=criteria,
    )


def _criterion(
    sample: Sample,
    criterion: Criterion,
    items: list[SampleItem],
    grades: Iterable[dict[str, tuple[int, ...]]],
) -> CriterionResult:
    cells = cells_of(sample, items, criterion.key)
    values = [value for cell in cells for value in cell.values]
    ungraded = len(items) - len(values)
    seed = f"{sample.seed} {criterion.key}"
    passing = unweighted = average = None
    if criterion.ordered:
        passes = frozenset(number - 1 for number in criterion.passing)
        passing = rate(cells, seed=seed, passing=passes, ungraded=ungraded)
        unweighted = rate_of(sum(value in passes for value in values), len(values))
        if len(criterion.values) > 2:
            scores = tuple(float(number) for number in range(1, len(criterion.values) + 1))
            average = mean(cells, seed=seed, scores=scores, ungraded=ungraded)
    counted = Counter(values)
    twice = [given[criterion.key] for given in grades if criterion.key in given]
    return CriterionResult(
        criterion=criterion,
        passing=passing,
        unweighted=unweighted,
        mean=average,
        counts=tuple(counted[index] for index in range(len(criterion.values))),
        agreement=agreement(twice, level=criterion.level, seed=seed),
    )


def cells_of(sample: Sample, items: Iterable[SampleItem], key: str) -> list[Cell]:
    """The strata with the final grades of a criterion, as indexes from worst (0)."""
    values: defaultdict[str, list[int]] = defaultdict(list)
    for item in items:
        if item.final is not None and key in item.final:
            values[item.stratum].append(item.final[key] - 1)
    return [Cell(one["key"], one["size"], tuple(values[one["key"]])) for one in sample.strata]


class Recent(msgspec.Struct, frozen=True):
    """Agreement over `weeks` closed weeks together: one week alone has rarely enough double grades to say anything."""

    agreement: Agreement
    weeks: int


MONTH = 4  # weeks
_recent: dict[object, dict[str, Recent]] = {}


def recent_agreement(sample: Sample) -> dict[str, Recent]:
    """By criterion: agreement over a closed sample and the closed weeks before it, a month in all, that asked by the
    same version of the rubric. Two queries.
    """
    samples = list(
        Sample.objects.filter(
            feature=sample.feature_id,
            rubric=sample.rubric_id,
            closed_at__isnull=False,
            week__isnull=False,
            starts_at__lte=sample.starts_at,
        ).order_by("-starts_at")[:MONTH]
    )
    mark = tuple(one.pk for one in samples)
    if mark not in _recent:
        while len(_recent) >= _MOST_KNOWN:
            _recent.pop(next(iter(_recent)), None)
        grades = double_grades(*samples).values()
        _recent[mark] = {
            one.key: Recent(
                agreement(
                    [given[one.key] for given in grades if one.key in given],
                    level=one.level,
                    seed=f"{sample.seed} {one.key} month",
                ),
                len(samples),
            )
            for one in rubric_of(sample.rubric).criteria
        }
    return _recent[mark]


def double_grades(*samples: Sample) -> dict[object, dict[str, tuple[int, ...]]]:
    """By item: the numbers that two gave independently of each other, by criterion. What a third decided is not among
    them: only where two differed was a third asked.
    """
    found: defaultdict[object, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    rows = (
        Review.objects.filter(
            sample__in=samples, part="grade", state="submitted", shadow=False, item__wanted__gte=2
        )
        .prefetch_related("grades")
        .order_by("submitted_at", "pk")
    )
    for review in rows:
        for grade in review.grades.all():
            found[review.item_id][grade.criterion].append(grade.number)
    return {
        item: {key: tuple(numbers) for key, numbers in by_key.items() if len(numbers) >= 2}
        for item, by_key in found.items()
    }
