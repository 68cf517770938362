"""The API of samples and of judges' grades (api.md 8; keys only; a key sees its own feature)."""

from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from features.bodies import CanonicalParser
from features.errors import NotFoundError
from features.models import ApiKey
from features.problems import FieldError
from reviews.blind import is_open
from reviews.models import Review, Sample
from reviews.results import CriterionResult, results_of
from reviews.services import import_grades
from reviews.services.judging import MOST, Judged
from traces.api import own_feature
from traces.queries import rfc3339
from traces.statistics import Rate

# So many requests must be graded before figures of an open week leave: those of fewer are nearly one person's grades.
FEWEST_OPEN = 5

_RATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Of n graded requests k pass. In `estimate` the rate and its interval (95 %) are weighted, of the "
    "whole population, so that rate is k/n only where all weights are equal; in `unweighted` they are k/n Wilson's.",
    "properties": {
        "rate": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "k": {"type": "integer"},
        "n": {"type": "integer"},
        "low": {"type": ["number", "null"]},
        "high": {"type": ["number", "null"]},
    },
}
_SAMPLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "week": {"type": "string", "example": "2026-W47"},
        "seed": {"type": "string"},
        "drawn_at": {"type": "string", "format": "date-time"},
        "closed_at": {"type": ["string", "null"], "format": "date-time"},
        "population": {"type": "integer"},
        "rubric": {"type": "integer"},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                    "stratum": {"type": "string"},
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                    "weight": {"type": "number"},
                    "why": {"type": "string"},
                },
            },
        },
        "progress": {
            "type": "object",
            "properties": {name: {"type": "integer"} for name in ("graded", "assigned", "total")},
        },
        "criteria": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "estimate": _RATE_SCHEMA,
                    "unweighted": _RATE_SCHEMA,
                    "alpha": {
                        "type": ["object", "null"],
                        "description": "Krippendorff's; null: under ten were graded twice, or it is undefined.",
                        "properties": {
                            "value": {"type": "number"},
                            "low": {"type": ["number", "null"]},
                            "high": {"type": ["number", "null"]},
                            "n": {"type": "integer"},
                        },
                    },
                },
            },
        },
    },
}


class SampleOfWeek(APIView):
    """The sample of a week: how it was drawn, how far it is graded, and what it says."""

    scope = "read"

    @extend_schema(operation_id="samples_read", responses={(200, "application/json"): _SAMPLE_SCHEMA})
    def get(self, request: Request, slug: str, week: str) -> Response:
        feature = own_feature(request, slug)
        sample = (
            Sample.objects.select_related("feature", "rubric").filter(feature=feature, week=week[:20]).first()
        )
        if sample is None:
            raise NotFoundError(
                "not_found", "No sample of this week was drawn; a week is written as 2026-W47."
            )
        return Response(sample_body(sample))


def sample_body(sample: Sample) -> dict[str, Any]:
    """The body of a sample. It holds no grade of a single person, open or closed."""
    items = list(sample.items.order_by("place"))
    found = results_of(sample)
    withheld = is_open(sample) and found.graded < FEWEST_OPEN
    return {
        "week": sample.week,
        "seed": sample.seed,
        "drawn_at": rfc3339(sample.drawn_at),
        "closed_at": rfc3339(sample.closed_at) if sample.closed_at else None,
        "population": sample.population,
        "rubric": sample.rubric.number,
        "items": [
            {
                "trace_id": bytes(item.trace_id).hex(),
                "stratum": item.stratum,
                "probability": item.chance,
                "weight": item.weight,
                "why": item.why,
            }
            for item in items
        ],
        "progress": {"graded": found.graded, "assigned": _assigned(sample), "total": found.drawn},
        "criteria": [_criterion(one, withheld=withheld) for one in found.criteria],
    }


def _assigned(sample: Sample) -> int:
    """Items that somebody has in hand or has graded: those that are graded too, and those that wait for a second."""
    return (
        Review.objects.filter(sample=sample, item__isnull=False, state__in=("claimed", "submitted"))
        .values("item")
        .distinct()
        .count()
    )


def _criterion(one: CriterionResult, *, withheld: bool) -> dict[str, Any]:
    nothing = Rate(None, 0, 0, None, None)
    found = one.agreement
    told = found.enough and found.alpha is not None and not withheld
    return {
        "id": one.criterion.key,
        "estimate": msgspec.to_builtins(nothing if withheld else one.weighted),
        "unweighted": msgspec.to_builtins(nothing if withheld else one.unweighted or nothing),
        "alpha": {"value": found.alpha, "low": found.low, "high": found.high, "n": found.n} if told else None,
    }


class JudgeGradesParser(CanonicalParser):
    """Ten thousand grades at once."""

    most_bytes = 2 * 1024 * 1024


class JudgeGrades(APIView):
    """Grades of an LLM judge, to be held against people's. Of the same question the newest answer holds."""

    scope = "evaluate"
    parser_classes = (JudgeGradesParser,)

    @extend_schema(
        operation_id="judge_grades_create",
        request={
            "application/json": {
                "type": "object",
                "required": ["judge", "rubric", "grades"],
                "additionalProperties": False,
                "properties": {
                    "judge": {"type": "string", "minLength": 1, "maxLength": 100},
                    "rubric": {"type": "integer", "minimum": 1},
                    "grades": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST,
                        "items": {
                            "type": "object",
                            "required": ["trace_id", "criterion", "number"],
                            "additionalProperties": False,
                            "properties": {
                                "trace_id": {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"},
                                "criterion": {"type": "string"},
                                "number": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                },
            }
        },
        responses={
            (200, "application/json"): {"type": "object", "properties": {"kept": {"type": "integer"}}}
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        own_feature(request, slug)
        assert isinstance(request.auth, ApiKey)
        judge, rubric, grades = read_judged(request.data)
        return Response({"kept": import_grades(request.auth, judge, rubric, grades)})


class _Grade(Judged, frozen=True, forbid_unknown_fields=True):
    pass


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    judge: str
    rubric: int
    grades: list[Any]


def read_judged(body: object) -> tuple[str, int, list[Judged]]:
    """What a judge's owner sends. Raises FieldError with all that is wrong of its shape."""
    try:
        sent = msgspec.convert(body, _Sent)
    except msgspec.ValidationError as error:
        raise FieldError([_fault(error)]) from error
    wrong: list[tuple[str, str]] = []
    grades: list[Judged] = []
    for place, one in enumerate(sent.grades[: MOST + 1]):
        try:
            grades.append(msgspec.convert(one, _Grade))
        except msgspec.ValidationError as error:
            field, detail = _fault(error)
            wrong.append((f"grades.{place}.{field}".rstrip("."), detail))
    if wrong:
        raise FieldError(wrong[:100])
    return sent.judge, sent.rubric, grades


def _fault(error: msgspec.ValidationError) -> tuple[str, str]:
    """`Expected `int`, got `str` - at `$.rubric`` as a field and what to mend."""
    said, _, where = str(error).partition(" - at `$")
    return where.rstrip("`").lstrip("."), f"is not right: {said.replace('`', '')}."
