"""Whom the reviews' room tells what. No note and no grade stands in a notice."""

from typing import Any

from django.urls import reverse

from features.models import Feature, Person
from features.outbox import Kind, notify, register_kind
from features.queries import holders
from reviews.models import Flag, Review, Sample

Facts = dict[str, Any]


def _at_queue(feature: Feature | None, facts: Facts) -> str:
    return reverse("reviews")


def _at_trace(feature: Feature | None, facts: Facts) -> str:
    return reverse("trace", args=[feature.slug, facts["trace"]]) if feature else reverse("features")


def _at_sample(feature: Feature | None, facts: Facts) -> str:
    return reverse("sample", args=[feature.slug, facts["sample"]]) if feature else reverse("features")


def _at_rubric(feature: Feature | None, facts: Facts) -> str:
    return reverse("rubric", args=[feature.slug]) if feature else reverse("features")


def register() -> None:
    """The kinds of notices; called once, when the application is ready."""
    kinds = {
        "sample.drawn": Kind(
            lambda feature, facts: f"{facts['drawn']} requests of {feature} wait to be graded",
            lambda feature, facts: f"{facts['what']}; it closes on {facts['until']} UTC.",
            _at_queue,
        ),
        "sample.open": Kind(
            lambda feature, facts: f"{facts['left']} requests of {feature} are not graded yet",
            lambda feature, facts: f"{facts['what']} closes on {facts['until']} UTC.",
            _at_queue,
        ),
        "sample.closed": Kind(
            lambda feature, facts: f"{facts['what']} of {feature} is closed",
            lambda feature, facts: "See its figures, and where your grades and another's differ.",
            _at_sample,
        ),
        "review.flagged": Kind(
            lambda feature, facts: f"{facts['who']} flagged a request of {feature}: {facts['what']}",
            lambda feature, facts: "The trace shows what was seen.",
            _at_trace,
        ),
        "rubric.unclear": Kind(
            lambda feature, facts: f"{facts['who']} finds an anchor of {feature} unclear",
            lambda feature, facts: f"It is one of {facts['criterion']}; the page of the rubric counts them.",
            _at_rubric,
        ),
    }
    for key, kind in kinds.items():
        register_kind(key, kind)


def _words(sample: Sample) -> str:
    return f"Week {sample.week}" if sample.week else "A chosen window"


def _reviewers(feature: Feature) -> list[Person]:
    held = holders(feature)
    return held["reviewer"] or held["lead"]


def tell_of_sample(sample: Sample, drawn: int) -> None:
    """To who grades: there is something to grade."""
    notify(
        "sample.drawn",
        _reviewers(sample.feature),
        once=str(sample.pk),
        feature=sample.feature,
        drawn=drawn,
        what=_words(sample),
        until=f"{sample.closes_at:%d %b %H:%M}",
    )


def tell_of_open(sample: Sample, left: int) -> None:
    """To who grades and to the leads: it closes soon."""
    people = [*_reviewers(sample.feature), *holders(sample.feature)["lead"]]
    notify(
        "sample.open",
        people,
        once=str(sample.pk),
        feature=sample.feature,
        left=left,
        what=_words(sample),
        until=f"{sample.closes_at:%d %b %H:%M}",
    )


def tell_of_closing(sample: Sample) -> None:
    """To who graded and to the leads."""
    graded = Person.objects.filter(reviews__sample=sample, reviews__state="submitted").distinct()
    notify(
        "sample.closed",
        [*graded, *holders(sample.feature)["lead"]],
        once=str(sample.pk),
        feature=sample.feature,
        sample=str(sample.pk),
        what=_words(sample),
    )


def tell_of_flag(flag: Flag, feature: Feature, by: Person) -> None:
    """To the leads, and to on-call where an incident is asked for."""
    held = holders(feature)
    about = flag.review.item or flag.review.gold
    assert about is not None
    notify(
        "review.flagged",
        [*held["lead"], *(held["on_call"] if flag.kind == "incident" else [])],
        once=str(flag.pk),
        feature=feature,
        who=str(by),
        what={"pii": "personal data"}.get(flag.kind, flag.kind),
        trace=bytes(about.trace_id).hex(),
    )


def tell_of_anchor(review: Review, criterion: str, by: Person) -> None:
    """To the leads, who own the rubric."""
    feature = review.sample.feature
    notify(
        "rubric.unclear",
        holders(feature)["lead"],
        once=f"{review.pk} {criterion}",
        feature=feature,
        who=str(by),
        criterion=criterion,
    )
