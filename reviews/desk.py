"""What the reviewer's pages read: how far one is, what can be undone, what a gold item showed, the draft of a form."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from django.http import Http404, QueryDict

from features.errors import ClearanceError
from features.models import Person
from features.problems import BadField
from features.queries import features_for
from reviews.models import Review, Sample
from reviews.queries import Waiting, rubric_of, waiting
from reviews.rubric import Criterion, Value
from reviews.services.calibrating import BAR, LOOKED_AT, Standing, standing_of
from reviews.services.grading import Draft

_STEP = 5  # of figures that must not tell which request was a gold item
_LONGEST_REVISION = 9


def about(left: int) -> str:
    """Roughly how many are left. Never exact: a figure that stays the same after a submit would say that this one was
    a gold item (docs/decisions/047).
    """
    if left <= 0:
        return ""
    return f"~{-(-left // _STEP) * _STEP}" if left > _STEP else f"<{_STEP + 1}"


def about_minutes(minutes: int | None) -> int | None:
    """Minutes in steps, for the same reason."""
    return None if minutes is None else max(_STEP, round(minutes / _STEP) * _STEP)


def words_of(sample: Sample) -> str:
    """`week 47`, or that somebody chose the window."""
    return f"week {int(sample.week[-2:])}" if sample.week else "a chosen window"


def own_review(person: Person, review_id: UUID) -> Review:
    """The person's own review, as long as they have a role on its feature. Raises Http404, for somebody else's too."""
    found = (
        Review.objects.filter(pk=review_id, reviewer=person, sample__feature__in=features_for(person))
        .select_related("sample__feature", "sample__rubric", "item", "gold__rubric", "reviewer")
        .first()
    )
    if found is None:
        raise Http404("No such review, or none of yours.")
    return found


class Progress(msgspec.Struct, frozen=True):
    """How far the person is in a sample: `mine` of `items`, and about how long the rest takes."""

    mine: int
    items: int
    minutes: int | None
    left: str


def progress_of(one: Waiting) -> Progress:
    """Gold items are among `mine`: what it shows never says which they were."""
    return Progress(one.mine, max(one.items, one.mine), about_minutes(one.minutes), about(one.left))


def progress_in(sample: Sample, person: Person) -> Progress | None:
    """The person's progress in one sample; None: it is closed."""
    found = next((one for one in waiting(person, [sample.feature]) if one.sample.pk == sample.pk), None)
    return progress_of(found) if found else None


def latest_of(person: Person, most: int, sample: Sample | None = None) -> list[Review]:
    """What the person submitted or skipped, the newest first."""
    rows = Review.objects.filter(reviewer=person, state__in=("submitted", "skipped"))
    if sample is not None:
        rows = rows.filter(sample=sample)
    return list(
        rows.select_related("sample__feature", "sample__rubric", "gold", "reviewer").order_by(
            "-submitted_at", "pk"
        )[:most]
    )


def revealed(review: Review) -> Standing | None:
    """The person's standing, when the review showed them to be below the bar: then they see the agreed grades."""
    if review.gold is None or review.gold_agreement is None or review.gold_agreement >= BAR:
        return None
    standing = standing_of(review.sample, review.reviewer)
    return standing if standing.agreement is not None and standing.agreement < BAR else None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion with what was answered; `agreed` is the gold item's."""

    criterion: Criterion
    number: int | None
    agreed: int | None = None

    @property
    def value(self) -> Value | None:
        """The value that was given."""
        return _value(self.criterion, self.number)

    @property
    def agreed_value(self) -> Value | None:
        """The value that was agreed on."""
        return _value(self.criterion, self.agreed)

    @property
    def apart(self) -> bool:
        """Whether another value was agreed on."""
        return self.agreed is not None and self.number != self.agreed


def _value(criterion: Criterion, number: int | None) -> Value | None:
    known = number is not None and 1 <= number <= len(criterion.values)
    return criterion.values[number - 1] if known and number is not None else None


def answers_of(review: Review, *, with_agreed: bool = False) -> list[Answer]:
    """What the person answered, criterion by criterion."""
    grades = review.draft.get("grades", {})
    agreed = review.gold.grades if with_agreed and review.gold else {}
    return [
        Answer(criterion=one, number=grades.get(one.key), agreed=agreed.get(one.key))
        for one in rubric_of(review.sample.rubric).criteria
    ]


class Choice(msgspec.Struct, frozen=True):
    """One value of a scale, as a radio button."""

    number: int
    value: Value
    chosen: bool


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion of the form; `now` has the focus first."""

    criterion: Criterion
    place: int
    choices: list[Choice]
    now: bool
    wrong: str


def asked_of(criteria: Sequence[Criterion], draft: Draft, error: ClearanceError | None = None) -> list[Asked]:
    """The form's criteria with what was typed; the first that waits for an answer is the one to go on with."""
    waits = next((one.key for one in criteria if one.key not in draft.grades), criteria[-1].key)
    return [
        Asked(
            criterion=one,
            place=place,
            choices=[
                Choice(number, value, draft.grades.get(one.key) == number)
                for number, value in enumerate(one.values, 1)
            ],
            now=one.key == waits,
            wrong=error.message if error and error.field == f"grade.{one.key}" else "",
        )
        for place, one in enumerate(criteria, 1)
    ]


def kept_draft(review: Review) -> Draft:
    """What the server has of it."""
    return msgspec.convert(review.draft, Draft)


def read_draft(form: QueryDict) -> tuple[Draft, int]:
    """What a form says: the draft, and the revision over which it was typed. Raises ClearanceError (BadField)."""
    grades = {}
    for name in form:
        if name.startswith("grade.") and (text := form.get(name, "")):
            grades[name.removeprefix("grade.")] = _number(text, name, 3)
    quotes, texts = form.getlist("quote"), form.getlist("comment")
    comments = [
        {"quote": quote, "text": text.replace("\r\n", "\n")}
        for quote, text in zip(quotes, texts, strict=False)
    ]
    turn = form.get("turn", "") or "0"
    draft = Draft(
        grades,
        form.get("note", "").replace("\r\n", "\n"),
        comments,
        form.get("tab", ""),
        _number(turn, "turn", 15),
    )
    return draft, _number(form.get("over") or form.get("revision", ""), "revision", _LONGEST_REVISION)


def _number(text: str, name: str, longest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= longest):
        raise BadField(name, f"{name[:60]} must be a number.")
    return int(text)


__all__ = [
    "LOOKED_AT",
    "Answer",
    "Asked",
    "Progress",
    "about",
    "about_minutes",
    "answers_of",
    "asked_of",
    "kept_draft",
    "latest_of",
    "own_review",
    "progress_in",
    "progress_of",
    "read_draft",
    "revealed",
    "words_of",
]
