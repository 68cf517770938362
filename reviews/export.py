"""A sample as a file: its items with their weights and final grades, and each person's grades under a pseudonym.

Text that people typed (notes, comments, reasons) stays in the house: it may name customers.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

import msgspec

from features.models import Person
from reviews.models import Review, Sample
from reviews.queries import rubric_of
from reviews.results import results_of
from traces.queries import rfc3339

__all__ = ["FORMATS", "Format", "pseudonyms", "sample_csv", "sample_json"]

Format = Literal["csv", "json"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def pseudonyms(sample: Sample, people: set[Person]) -> dict[Person, str]:
    """`reviewer-1`, `reviewer-2`: the same for the same people of a sample, and in no order that tells who they are."""
    order = sorted(people, key=lambda one: hashlib.sha256(f"{sample.pk} {one.pk}".encode()).digest())
    return {person: f"reviewer-{n}" for n, person in enumerate(order, start=1)}


def sample_csv(sample: Sample) -> str:
    """A line for each item with its final grades (`grader` is `final`), followed by one for each person's grades of it.
    A cell that would be a formula gets an apostrophe.
    """
    keys = [one.key for one in rubric_of(sample.rubric).criteria]
    out = io.StringIO()
    writer = csv.writer(out)
    fixed = ["place", "trace_id", "stratum", "chance", "weight", "why", "grader", "part"]
    writer.writerow([*fixed, *(f"grade.{key}" for key in keys)])
    for item in _items(sample):
        start = [item[name] for name in fixed[:6]]
        lines = [("final", item["final_is"] or "not_graded", item["final"] or {})]
        lines += [(one["reviewer"], _part(one), one["grades"]) for one in item["reviews"]]
        for grader, part, grades in lines:
            cells = [*start, grader, part, *(grades.get(key, "") for key in keys)]
            writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def sample_json(sample: Sample) -> bytes:
    """The same, with how the sample was drawn, its rubric and its figures."""
    found = results_of(sample)
    return msgspec.json.encode(
        {
            "feature": sample.feature.slug,
            "week": sample.week,
            "from": rfc3339(sample.starts_at),
            "to": rfc3339(sample.ends_at),
            "seed": sample.seed,
            "drawn_at": rfc3339(sample.drawn_at),
            "closed_at": rfc3339(sample.closed_at) if sample.closed_at else None,
            "population": sample.population,
            "strata": sample.strata,
            "rubric": {"number": sample.rubric.number, **sample.rubric.document},
            "criteria": [
                {
                    "id": one.criterion.key,
                    "estimate": one.weighted,
                    "unweighted": one.unweighted,
                    "mean": one.mean,
                    "counts": one.counts,
                    "agreement": one.agreement,
                }
                for one in found.criteria
            ],
            "items": list(_items(sample)),
        }
    )


def _items(sample: Sample) -> Iterator[dict[str, Any]]:
    """The items in their order. Gold items are none of a sample's."""
    given: dict[Any, list[Review]] = {}
    rows = Review.objects.filter(sample=sample, item__isnull=False, state="submitted")
    for review in rows.select_related("reviewer").prefetch_related("grades").order_by("submitted_at", "pk"):
        given.setdefault(review.item_id, []).append(review)
    names = pseudonyms(sample, {one.reviewer for reviews in given.values() for one in reviews})
    for item in sample.items.order_by("place"):
        yield {
            "place": item.place + 1,
            "trace_id": bytes(item.trace_id).hex(),
            "stratum": item.stratum,
            "chance": item.chance,
            "weight": item.weight,
            "why": item.why,
            "wanted": item.wanted,
            "final": item.final,
            "final_is": item.final_is or None,
            "reviews": [
                {
                    "reviewer": names[review.reviewer],
                    "part": review.part,
                    "shadow": review.shadow,
                    "grades": {grade.criterion: grade.number for grade in review.grades.all()},
                }
                for review in given.get(item.pk, [])
            ],
        }


def _part(review: dict[str, Any]) -> str:
    return "shadow" if review["shadow"] else str(review["part"])


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
