"""A feature with a week of requests and people who grade them, for the tests of reviews."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from features.models import Feature, Person
from features.services import create_feature, create_person
from reviews.models import Review, Sample
from reviews.queries import rubric_of
from reviews.services import claim, draw_week, submit
from reviews.services.grading import Draft
from reviews.weeks import before, bounds, week_of
from tests.support import unique
from tests.traces.trace_rows import put

# All pass: a number for each criterion of the default rubric.
GOOD = {"task_done": 3, "grounded": 3, "tone": 4, "helpfulness": 4, "policy": 2}


def last_week() -> str:
    return before(week_of(datetime.now(UTC), "UTC"))


@dataclass
class Desk:
    """A feature, its requests of last week, and its reviewers."""

    count: int = 60
    feature: Feature = field(default_factory=lambda: create_feature(slug=unique("agent")))
    week: str = field(default_factory=last_week)
    traces: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fill(self.count)

    def fill(self, count: int, **changed: Any) -> list[bytes]:
        """Settle more requests, spread over the week; a few of them of rare kinds unless told otherwise."""
        start, _ = bounds(self.week, "UTC")
        rows: list[dict[str, Any]] = []
        for n in range(count):
            row: dict[str, Any] = {"started_at": start + timedelta(minutes=7 * n + 1)}
            if not changed and n % 20 == 3:
                row |= {"violations": 1, "violated_rules": ["tone"]}
            elif not changed and n % 20 == 7:
                row |= {"outcome": "escalated"}
            rows.append({**row, **changed})
        made = put(self.feature, *rows)
        self.traces += made
        return made

    def person(self, role: str = "reviewer") -> Person:
        person, _ = create_person(name=unique(role), roles=[(self.feature.slug, role)])
        return person

    def draw(self, seed: str | None = "1") -> Sample:
        return draw_week(self.feature, self.week, seed=seed).sample


def grade(review: Review, person: Person, **changed: int) -> Review:
    """Submit good grades, but for what is changed."""
    known = {one.key for one in rubric_of(review.sample.rubric).criteria}
    grades = {key: number for key, number in {**GOOD, **changed}.items() if key in known}
    return submit(review.pk, Draft(grades), Review.objects.get(pk=review.pk).revision, person)


def grade_all(sample: Sample, person: Person, **changed: int) -> int:
    """Grade until nothing is left for the person; returns how many were graded."""
    done = 0
    while (review := claim(sample, person)) is not None:
        grade(review, person, **changed)
        done += 1
    return done
