"""How an LLM judge's imported grades agree with people's, criterion by criterion, before they may count."""

import msgspec

from features.models import Feature
from reviews.models import JudgeGrade, RubricVersion, SampleItem
from reviews.queries import rubric_of
from reviews.rubric import Criterion
from reviews.statistics.judges import Calibration, calibrate


class Judged(msgspec.Struct, frozen=True):
    """One criterion of one judge, held against people's final grades of the same requests."""

    criterion: Criterion
    calibration: Calibration
    imported: int


class Judge(msgspec.Struct, frozen=True):
    """A judge on one version of the rubric."""

    name: str
    rubric: int
    criteria: tuple[Judged, ...]


def judges_of(feature: Feature) -> list[Judge]:
    """Every judge of the feature, by name and rubric, the newest rubric first. Final grades of people count as soon as
    they are final: a judge never sees them.
    """
    found = []
    pairs = JudgeGrade.objects.filter(feature=feature).values_list("judge", "rubric").distinct()
    versions = {one.pk: one for one in RubricVersion.objects.filter(feature=feature)}
    for name, rubric_id in sorted(pairs, key=lambda pair: (pair[0], -versions[pair[1]].number)):
        version = versions[rubric_id]
        people = _final_of_people(version)
        given = _given(feature, name, version)
        criteria = tuple(
            _judged(criterion, given.get(criterion.key, {}), people, f"{feature.pk} {name}")
            for criterion in rubric_of(version).criteria
        )
        found.append(Judge(name, version.number, criteria))
    return found


def _judged(
    criterion: Criterion, given: dict[bytes, int], people: dict[bytes, dict[str, int]], seed: str
) -> Judged:
    pairs = [
        (people[trace][criterion.key], number)
        for trace, number in sorted(given.items())
        if criterion.key in people.get(trace, {})
    ]
    values = tuple(float(number) for number in range(1, len(criterion.values) + 1))
    return Judged(criterion, calibrate(pairs, values, criterion.level, f"{seed} {criterion.key}"), len(given))


def _given(feature: Feature, name: str, version: RubricVersion) -> dict[str, dict[bytes, int]]:
    found: dict[str, dict[bytes, int]] = {}
    rows = JudgeGrade.objects.filter(feature=feature, judge=name, rubric=version)
    for trace_id, criterion, number in rows.values_list("trace_id", "criterion", "number"):
        found.setdefault(criterion, {})[bytes(trace_id)] = number
    return found


def _final_of_people(version: RubricVersion) -> dict[bytes, dict[str, int]]:
    rows = SampleItem.objects.filter(sample__rubric=version, final__isnull=False).order_by("settled_at")
    return {bytes(item.trace_id): item.final or {} for item in rows.only("trace_id", "final")}
