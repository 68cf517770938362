"""What the page of a sample shows: its items as far as they may be seen, its figures, who did what."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from django.http import QueryDict

from features.models import Person
from reviews.models import Flag, Review, Sample, SampleItem
from reviews.queries import Share, progress, rubric_of
from reviews.results import CriterionResult, Results
from reviews.rubric import Criterion

__all__ = [
    "FLAG_WORDS",
    "HOW",
    "CriterionView",
    "Filter",
    "FinalGrade",
    "ItemLine",
    "Progress",
    "criterion_views",
    "final_grades",
    "flags_of",
    "item_lines",
    "progress_of",
    "read_filter",
    "skipped_by_all",
]

# How an item's final grades came about, in words; the last two have none.
HOW: Final = {
    "single": "one person",
    "agreed": "two agree",
    "by_lot": "two differed: by lot",
    "adjudicated": "a third decided",
    "waits": "waits for a third",
    "none": "not graded",
}
FLAG_WORDS: Final = {
    "violation": "violation",
    "pii": "personal data",
    "case": "eval case",
    "incident": "incident",
}
PASSING, FAILING = "passing", "failing"


class Filter(msgspec.Struct, frozen=True):
    """Which items the page shows; the address says it."""

    criterion: Criterion | None
    value: str  # a number, `passing`, `failing`, or empty: any
    stratum: str
    how: str

    @property
    def active(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.criterion or self.stratum or self.how)

    def holds(self, item: SampleItem) -> bool:
        """Whether the item is shown."""
        if self.stratum and item.stratum != self.stratum:
            return False
        if self.how and _how(item) != self.how:
            return False
        if self.criterion is None:
            return True
        number = (item.final or {}).get(self.criterion.key)
        if number is None:
            return False
        if self.value in (PASSING, FAILING):
            return (number in self.criterion.passing) == (self.value == PASSING)
        return not self.value or number == int(self.value)


def read_filter(sample: Sample, parameters: QueryDict) -> Filter:
    """What the address asks for; what the sample has not says nothing."""
    criterion = rubric_of(sample.rubric).criterion(parameters.get("criterion", ""))
    value = parameters.get("value", "")
    known = {PASSING, FAILING} if criterion and criterion.ordered else set()
    if criterion is not None:
        known |= {str(number) for number in range(1, len(criterion.values) + 1)}
    stratum, how = parameters.get("stratum", ""), parameters.get("how", "")
    return Filter(
        criterion=criterion,
        value=value if value in known else "",
        stratum=stratum if stratum in {one["key"] for one in sample.strata} else "",
        how=how if how in HOW else "",
    )


class FinalGrade(msgspec.Struct, frozen=True):
    """An item's final grade of a criterion; `number` is None where there is none."""

    name: str
    number: int | None
    label: str
    fails: bool


class ItemLine(msgspec.Struct, frozen=True):
    """A drawn request with how it got in and what was said of it."""

    item: SampleItem
    trace: str
    how: str
    grades: list[FinalGrade]
    graders: list[str]
    mine: UUID | None  # the viewer's own review of it


def item_lines(sample: Sample, chosen: Filter, viewer: Person, *, names: bool) -> list[ItemLine]:
    """The items that the filter lets through, in their order. `names`: say who graded each. Two queries."""
    items = [one for one in sample.items.order_by("place") if chosen.holds(one)]
    given: defaultdict[UUID, list[Review]] = defaultdict(list)
    rows = Review.objects.filter(sample=sample, item__isnull=False).exclude(state="claimed")
    for review in rows.select_related("reviewer").order_by("submitted_at", "pk"):
        assert review.item_id is not None
        given[review.item_id].append(review)
    criteria = rubric_of(sample.rubric).criteria
    return [_line(item, criteria, given[item.pk], viewer, names=names) for item in items]


def _line(
    item: SampleItem, criteria: Sequence[Criterion], reviews: list[Review], viewer: Person, *, names: bool
) -> ItemLine:
    submitted = [one for one in reviews if one.state == "submitted"]
    return ItemLine(
        item=item,
        trace=bytes(item.trace_id).hex(),
        how=HOW[_how(item)],
        grades=final_grades(item, criteria),
        graders=[
            f"{one.reviewer}{' (in shadow)' if one.shadow else ''}{' (third)' if one.part == 'adjudication' else ''}"
            for one in submitted
        ]
        if names
        else [],
        mine=next((one.pk for one in reviews if one.reviewer_id == viewer.pk), None),
    )


def final_grades(item: SampleItem, criteria: Sequence[Criterion]) -> list[FinalGrade]:
    """An item's final grades in the order of the rubric; a place for each criterion, graded or not."""
    return [_final(item, one) for one in criteria]


def _final(item: SampleItem, criterion: Criterion) -> FinalGrade:
    number = (item.final or {}).get(criterion.key)
    if number is None:
        return FinalGrade(criterion.name, None, "", fails=False)
    value = criterion.values[number - 1]
    fails = criterion.ordered and number not in criterion.passing
    return FinalGrade(criterion.name, number, value.label or value.anchor, fails)


def _how(item: SampleItem) -> str:
    if item.final_is:
        return item.final_is
    return "waits" if item.adjudicate else "none"


class ValueLine(msgspec.Struct, frozen=True):
    """How many items got a value; `query` shows them."""

    number: int
    label: str
    anchor: str
    count: int
    share: float
    passes: bool
    query: str


class CriterionView(msgspec.Struct, frozen=True):
    """A criterion's figures as the page draws them, best value first."""

    result: CriterionResult
    values: list[ValueLine]
    passing: str
    failing: str


def criterion_views(found: Results) -> list[CriterionView]:
    """The criteria in the order of the rubric."""
    return [_criterion(one) for one in found.criteria]


def _criterion(result: CriterionResult) -> CriterionView:
    criterion = result.criterion
    total = sum(result.counts)

    def query(value: str) -> str:
        return urlencode({"criterion": criterion.key, "value": value})

    lines = [
        ValueLine(
            number=number,
            label=value.label,
            anchor=value.anchor,
            count=count,
            share=count / total if total else 0.0,
            passes=number in criterion.passing,
            query=query(str(number)),
        )
        for number, (value, count) in enumerate(zip(criterion.values, result.counts, strict=True), start=1)
    ]
    return CriterionView(result, lines[::-1], query(PASSING), query(FAILING))


class Progress(msgspec.Struct, frozen=True):
    """Who did what of a sample: a lead sees each, others themselves and the rest together (decision 049)."""

    people: list[Share]
    others: int  # people who are not named
    others_submitted: int


def progress_of(sample: Sample, viewer: Person, *, names: bool) -> Progress:
    """What the viewer may see of it."""
    found = progress(sample)
    shown = found if names else [one for one in found if one.person.pk == viewer.pk]
    rest = [one for one in found if one not in shown]
    return Progress(shown, len(rest), sum(one.submitted for one in rest))


class Skipped(msgspec.Struct, frozen=True):
    """A request that everybody who had it skipped, with why."""

    place: int
    trace: str
    reasons: list[str]


def skipped_by_all(sample: Sample) -> list[Skipped]:
    """Requests without a grade that were skipped, and that nobody has in hand or has graded. One query."""
    by_item: dict[UUID, list[Review]] = {}
    rows = Review.objects.filter(sample=sample, item__isnull=False, item__settled_at=None)
    for review in rows.select_related("item").order_by("item__place", "submitted_at"):
        assert review.item_id is not None
        by_item.setdefault(review.item_id, []).append(review)
    found = []
    for reviews in by_item.values():
        item = reviews[0].item
        if item is not None and all(one.state == "skipped" for one in reviews):
            reasons = [one.skip_reason for one in reviews]
            found.append(Skipped(item.place, bytes(item.trace_id).hex(), reasons))
    return found


def flags_of(sample: Sample) -> Mapping[str, list[Flag]]:
    """What was raised about the sample's items, by kind; of gold items nothing, for nobody is to know them."""
    found: defaultdict[str, list[Flag]] = defaultdict(list)
    rows = Flag.objects.filter(review__sample=sample, review__item__isnull=False)
    for flag in rows.select_related("review__item", "review__reviewer").order_by("at"):
        found[flag.kind].append(flag)
    return dict(found)
