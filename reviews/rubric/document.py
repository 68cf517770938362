"""A rubric as it is kept: criteria, each with a question and a scale whose every value has an anchor. No Django.

All ordered scales run from worst to best: a reviewer's fingers learn that a higher number is better, and one scale that
runs the other way turns their grades round without anybody's notice. So a rubric that mixes directions is refused.
"""

import re
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.errors import ClearanceError

Scale = Literal["pass_fail", "one_to_five", "choice"]
SCALES: dict[Scale, str] = {
    "pass_fail": "pass or fail",
    "one_to_five": "1 to 5",
    "choice": "a choice of named values",
}
_SIZES: dict[Scale, tuple[int, int]] = {"pass_fail": (2, 2), "one_to_five": (5, 5), "choice": (2, 9)}
# First words that say on which end of a scale a value stands; a text that begins with none of them says nothing.
_WORST = frozenset(
    "bad fail failed fails false incorrect never no none not poor terrible unacceptable unsupported useless wrong "
    "worst awful harmful misleading rude unhelpful".split()
)
_BEST = frozenset(
    "all always best complete completely correct done excellent fully good great helpful pass passed passes perfect "
    "right supported true yes warm flawless ideal".split()
)
_WORD = re.compile(r"[a-z]+")


def _said(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("must not be empty")
    if "\x00" in text:
        raise ValueError("must have no NUL character")
    return text


Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Short = Annotated[str, Field(max_length=80), AfterValidator(_said)]
Sentence = Annotated[str, Field(max_length=300), AfterValidator(_said)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Value(_Table):
    """One value of a scale: its name, and the anchor text that says when it is given."""

    label: Annotated[str, Field(max_length=40)] = ""
    anchor: Sentence


class Criterion(_Table):
    """One question. Its values are numbered from 1, the worst, in the order in which they stand.

    `passes_from` is the first number that counts as passing; left out: fail and pass, 4 of 5, the last of a choice.
    `ordered` is false only for a choice whose values are of kinds and not of degrees: it has no passing share.
    """

    key: Key
    name: Short
    question: Sentence
    scale: Scale
    values: Annotated[tuple[Value, ...], Field(strict=False, min_length=2, max_length=9)]
    ordered: bool = True
    required: bool = True
    passes_from: Annotated[int, Field(ge=1, le=9)] | None = None
    examples: Annotated[tuple[Sentence, ...], Field(strict=False, max_length=10)] = ()
    grounding: bool = False  # the documents stand open beside this question

    @model_validator(mode="after")
    def _scale_fits(self) -> Self:
        least, most = _SIZES[self.scale]
        if not least <= len(self.values) <= most:
            many = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"a scale of {SCALES[self.scale]} has {many} values, each with its anchor")
        if not self.ordered and self.scale != "choice":
            raise ValueError(f"a scale of {SCALES[self.scale]} is ordered")
        if self.passes_from is not None and not (self.ordered and self.passes_from <= len(self.values)):
            raise ValueError("passes_from must be the number of one of an ordered scale's values")
        if self.ordered and _direction(self.values) < 0:
            raise ValueError(
                "the values run from best to worst; every scale runs from worst (1) to best, so that a higher number "
                "is better in all of them"
            )
        return self

    @property
    def passing(self) -> frozenset[int]:
        """The numbers that count as passing; none where the values are kinds."""
        if not self.ordered:
            return frozenset()
        usual = {"pass_fail": 2, "one_to_five": 4, "choice": len(self.values)}[self.scale]
        return frozenset(range(self.passes_from or usual, len(self.values) + 1))

    @property
    def level(self) -> Literal["nominal", "ordinal"]:
        """The level of measurement, for agreement."""
        return "ordinal" if self.ordered else "nominal"

    def apart(self, one: int, other: int) -> bool:
        """Whether two grades are too far apart to stand beside each other: more than one step of a longer scale, on
        two sides of a short one."""
        if not self.ordered or len(self.values) == 2:
            return one != other
        return abs(one - other) > 1


class Rubric(_Table):
    """What a reviewer is asked, with the guideline that says how to answer."""

    guideline: Annotated[str, Field(max_length=8000)] = ""
    criteria: Annotated[tuple[Criterion, ...], Field(strict=False, min_length=1, max_length=12)]

    @model_validator(mode="after")
    def _keys_are_own(self) -> Self:
        keys = [one.key for one in self.criteria]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"two criteria are called {min(twice)}")
        if not any(one.required for one in self.criteria):
            raise ValueError("at least one criterion must be required")
        return self

    def criterion(self, key: str) -> Criterion | None:
        """The criterion of this key."""
        return next((one for one in self.criteria if one.key == key), None)

    def kept(self) -> dict[str, Any]:
        """The rubric as JSON has it: what is stored and digested."""
        return self.model_dump(mode="json")


class RubricFault(msgspec.Struct, frozen=True, order=True):
    """One thing to mend: where (`criteria.2.values.0.anchor`), and what."""

    path: str
    message: str


class UnreadableRubric(ClearanceError):
    """A rubric that is refused, with all that is wrong with it."""

    def __init__(self, faults: list[RubricFault]) -> None:
        self.faults = sorted(set(faults))
        first = self.faults[0]
        super().__init__("invalid_rubric", f"{first.path or 'The rubric'}: {first.message}")


def read_rubric(document: object) -> Rubric:
    """The rubric that a JSON document says. Raises UnreadableRubric with every fault."""
    try:
        return Rubric.model_validate(document)
    except ValidationError as error:
        raise UnreadableRubric(
            [
                RubricFault(
                    ".".join(str(step) for step in one["loc"]),
                    one["msg"].removeprefix("Value error, "),
                )
                for one in error.errors(include_url=False)
            ]
        ) from error


def _direction(values: tuple[Value, ...]) -> int:
    """1: the words of the ends say from worst to best; -1: the other way; 0: they do not say."""
    ends = [_end(values[0]), _end(values[-1])]
    return (ends[0] == "worst" or ends[1] == "best") - (ends[0] == "best" or ends[1] == "worst")


def _end(value: Value) -> str:
    for text in (value.label, value.anchor):
        if (found := _WORD.match(text.strip().lower())) is not None:
            if found[0] in _WORST:
                return "worst"
            if found[0] in _BEST:
                return "best"
    return ""
