"""The questions that a reviewer answers, and the values that an answer may have."""

from reviews.rubric.default import DEFAULT
from reviews.rubric.document import (
    SCALES,
    Criterion,
    Rubric,
    RubricFault,
    UnreadableRubric,
    Value,
    read_rubric,
)

__all__ = [
    "DEFAULT",
    "SCALES",
    "Criterion",
    "Rubric",
    "RubricFault",
    "UnreadableRubric",
    "Value",
    "read_rubric",
]
