"""Grades of an LLM judge, imported to be held against people's before they may count."""

from collections.abc import Sequence

import msgspec
from django.db import transaction

from audit.services import Actor, append
from features.errors import ClearanceError
from features.models import ApiKey
from features.problems import FieldError
from reviews.models import JudgeGrade, RubricVersion
from reviews.queries import rubric_of

MOST = 10_000


class Judged(msgspec.Struct, frozen=True):
    """One answer of a judge."""

    trace_id: str
    criterion: str
    number: int


@transaction.atomic
def import_grades(key: ApiKey, judge: str, number: int, grades: Sequence[Judged]) -> int:
    """Keep a judge's answers to a rubric of the key's feature; of the same question the newest answer holds. Returns
    how many were kept. All or nothing: raises ClearanceError (`judge`, `rubric`) and FieldError with each bad answer.
    """
    judge = judge.replace("\x00", "").strip()
    if not 1 <= len(judge) <= 100:
        raise ClearanceError("judge", "Name the judge and its version, in 100 characters.", field="judge")
    version = RubricVersion.objects.filter(feature=key.feature_id, number=number).first()
    if version is None:
        raise ClearanceError("rubric", f"There is no rubric {number} of this feature.", field="rubric")
    if not 1 <= len(grades) <= MOST:
        raise ClearanceError("grades", f"Send 1 to {MOST} grades at once.", field="grades")
    rubric = rubric_of(version)
    wrong: list[tuple[str, str]] = []
    rows: dict[tuple[str, str], JudgeGrade] = {}
    for place, one in enumerate(grades):
        criterion = rubric.criterion(one.criterion)
        if criterion is None:
            wrong.append((f"grades.{place}.criterion", "is not in the rubric"))
            continue
        if not 1 <= one.number <= len(criterion.values):
            wrong.append((f"grades.{place}.number", f"must be from 1 to {len(criterion.values)}"))
        trace_id = _trace(one.trace_id)
        if trace_id is None:
            wrong.append((f"grades.{place}.trace_id", "must be a trace ID of 32 hexadecimal digits"))
            continue
        rows[one.trace_id.lower(), one.criterion] = JudgeGrade(
            feature_id=key.feature_id,
            judge=judge,
            rubric=version,
            trace_id=trace_id,
            criterion=one.criterion,
            number=one.number,
            imported_by_key=key,
        )
    if wrong:
        raise FieldError(wrong[:100])
    JudgeGrade.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["feature", "judge", "rubric", "trace_id", "criterion"],
        update_fields=["number", "imported_at", "imported_by_key"],
        batch_size=1000,
    )
    append(
        Actor("key", str(key.pk)),
        "judge.imported",
        feature=str(key.feature_id),
        subject=("rubric", str(version.pk)),
        rubric=number,
        grades=len(rows),
    )
    return len(rows)


def _trace(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if len(text) == 32 and text.isalnum() else None
    except ValueError:
        return None
