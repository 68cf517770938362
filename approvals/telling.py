"""Whom the approvals' room tells what: kinds of notices, and who gets them. Arguments never stand in one."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from approvals.models import Absence, ApprovalRequest, Execution, Question, Vote
from features.models import Feature, FeatureRole, Person, ToolStop
from features.outbox import Kind, notify, register_kind

Facts = dict[str, Any]


def _at_request(feature: Feature | None, facts: Facts) -> str:
    return reverse("approval", args=[facts["request"]])


def _at_feature(feature: Feature | None, facts: Facts) -> str:
    return reverse("feature", args=[feature.slug]) if feature else reverse("features")


def register() -> None:
    """The kinds of notices; called once, when the application is ready."""
    kinds = {
        "approval.asked": Kind(
            lambda feature, facts: f"{facts['action']} of {feature} waits for you",
            lambda feature, facts: f"It expires at {facts['until']} UTC; an expiry is no approval.",
            _at_request,
        ),
        "approval.reminder": Kind(
            lambda feature, facts: f"{facts['action']} of {feature} still waits",
            lambda feature, facts: f"It expires at {facts['until']} UTC; an expiry is no approval.",
            _at_request,
        ),
        "approval.escalated": Kind(
            lambda feature, facts: f"Nobody decides on {facts['action']} of {feature}",
            lambda feature, facts: f"It expires at {facts['until']} UTC. Find somebody who may decide it.",
            _at_request,
        ),
        "approval.handed_over": Kind(
            lambda feature, facts: f"{facts['who']} asks you to decide on {facts['action']} of {feature}",
            lambda feature, facts: f"It expires at {facts['until']} UTC; an expiry is no approval.",
            _at_request,
        ),
        "approval.decided": Kind(
            lambda feature, facts: f"{facts['action']} of {feature}: {facts['state']} by {facts['who']}",
            lambda feature, facts: "There is nothing left to do.",
            _at_request,
        ),
        "approval.expired": Kind(
            lambda feature, facts: f"{facts['action']} of {feature} {facts['state']}",
            lambda feature, facts: (
                "It was taken back; nothing ran."
                if facts["state"] == "withdrawn"
                else "Nobody decided in time; nothing ran."
            ),
            _at_request,
        ),
        "approval.question": Kind(
            lambda feature, facts: f"{facts['who']} asks about {facts['action']} of {feature}",
            lambda feature, facts: f"The time goes on: it expires at {facts['until']} UTC.",
            _at_request,
        ),
        "approval.answer": Kind(
            lambda feature, facts: f"{facts['who']} answered about {facts['action']} of {feature}",
            lambda feature, facts: f"It still waits, until {facts['until']} UTC.",
            _at_request,
        ),
        "execution.bad": Kind(
            lambda feature, facts: f"{facts['action']} of {feature} ended as {facts['state']}",
            lambda feature, facts: (
                "Look whether it had its effect: an unknown outcome is settled by a person."
            ),
            lambda feature, facts: reverse("decision", args=[facts["decision"]]),
        ),
        "tools.stopped": Kind(
            lambda feature, facts: f"Tools of {feature or 'every feature'} are OFF: {facts['what']}",
            lambda feature, facts: (
                f"By {facts['who']}. {facts['out']} executions were out already. {facts['reason']}"
            ),
            _at_feature,
        ),
        "tools.restored": Kind(
            lambda feature, facts: f"Tools of {feature or 'every feature'} are on again: {facts['what']}",
            lambda feature, facts: f"By {facts['who']}.",
            _at_feature,
        ),
    }
    for key, kind in kinds.items():
        register_kind(key, kind)


def voters_of(request: ApprovalRequest) -> list[Person]:
    """Who may decide it, by their role now; proposers left out."""
    rows = FeatureRole.objects.filter(
        content_object=request.feature_id,
        user__is_active=True,
        permission__codename=f"role_{request.role}",
    ).exclude(user__in=[*request.proposers, *([request.editor_id] if request.editor_id else [])])
    return [row.user for row in rows.select_related("user")]


def _with_deputies(people: Iterable[Person], feature: Feature) -> list[Person]:
    """The people, and who stands in for those who are away, if they may know the feature at all."""
    told = list(people)
    away = Absence.objects.filter(
        person__in=told,
        until__gt=Now(),
        deputy__in=FeatureRole.objects.filter(content_object=feature).values("user"),
    )
    return [*told, *(one.deputy for one in away.select_related("deputy"))]


def _say(kind: str, request: ApprovalRequest, people: Iterable[Person], once: str = "", **facts: Any) -> None:
    notify(
        kind,
        _with_deputies(people, request.feature),
        once=once or f"{request.pk} {request.revision}",
        feature=request.feature,
        request=str(request.pk),
        action=request.action,
        until=f"{request.expires_at:%H:%M}",
        **facts,
    )


def tell_of_request(request: ApprovalRequest) -> None:
    """Somebody has to decide."""
    _say("approval.asked", request, voters_of(request))


def remind(request: ApprovalRequest) -> None:
    """Half of the time is over."""
    _say("approval.reminder", request, voters_of(request))


def hand_over(request: ApprovalRequest, to: Person, by: Person) -> None:
    """One of those who may decide asks another to."""
    notify(
        "approval.handed_over",
        [to],
        once=f"{request.pk} {request.revision} {to.pk}",
        feature=request.feature,
        request=str(request.pk),
        action=request.action,
        until=f"{request.expires_at:%H:%M}",
        who=str(by),
    )


def escalate(request: ApprovalRequest) -> None:
    """Most of the time is over: leads and on-call find somebody."""
    rows = FeatureRole.objects.filter(
        content_object=request.feature_id,
        user__is_active=True,
        permission__codename__in=["role_lead", "role_on_call"],
    ).select_related("user")
    _say("approval.escalated", request, [row.user for row in rows])


def tell_of_vote(request: ApprovalRequest, vote: Vote) -> None:
    """The others who were asked need not look any more; who proposed it hears."""
    if request.state != "pending":
        others = [person for person in voters_of(request) if person.pk != vote.person_id]
        told = [*others, *_proposer(request)]
        _say("approval.decided", request, told, state=request.state, who=str(vote.person))


def tell_of_end(request: ApprovalRequest) -> None:
    """Nobody decided in time, or it can be decided no more."""
    _say("approval.expired", request, [*voters_of(request), *_proposer(request)], state=request.state)


def _proposer(request: ApprovalRequest) -> list[Person]:
    by = request.decision.proposed_by
    return [by] if by is not None and by.is_active else []


def tell_of_question(request: ApprovalRequest, question: Question) -> None:
    """Whoever may know the answer: who may decide, the leads, and those who proposed it."""
    rows = FeatureRole.objects.filter(content_object=request.feature_id, user__is_active=True).filter(
        Q(permission__codename__in=[f"role_{request.role}", "role_lead"]) | Q(user__in=request.proposers)
    )
    told = {row.user.pk: row.user for row in rows.select_related("user") if row.user.pk != question.person_id}
    _say("approval.question", request, told.values(), once=str(question.pk), who=str(question.person))


def tell_of_answer(request: ApprovalRequest, question: Question) -> None:
    """Who asked."""
    if question.answered_by_id != question.person_id:
        _say(
            "approval.answer",
            request,
            [question.person],
            once=str(question.pk),
            who=str(question.answered_by),
        )


def tell_of_outcome(execution: Execution) -> None:
    """Who approved it hears that it failed, or that nobody knows."""
    votes = Vote.objects.filter(
        request__decision=execution.decision_id, vote="approve", taken_back_at=None
    ).select_related("person")
    notify(
        "execution.bad",
        [one.person for one in votes],
        once=f"{execution.pk} {execution.state}",
        feature=execution.feature,
        decision=str(execution.decision_id),
        action=execution.action,
        state=execution.state,
    )


def _everybody(stop: ToolStop) -> list[Person]:
    """Who has a role there; of a stop of everything, administrators too."""
    rows = FeatureRole.objects.filter(user__is_active=True).select_related("user")
    if stop.feature_id:
        rows = rows.filter(content_object=stop.feature_id)
    told = {row.user.pk: row.user for row in rows}
    if not stop.feature_id:  # they alone switch everything on again
        told |= {one.pk: one for one in Person.objects.filter(is_administrator=True, is_active=True)}
    return list(told.values())


def tell_of_stop(stop: ToolStop, out: int) -> None:
    """Everybody whom it concerns; of a new cause again. The worker is not woken: its broker may be what is broken, and
    its sweep delivers.
    """
    notify(
        "tools.stopped",
        _everybody(stop),
        once=" ".join([str(stop.pk), stop.cause, str(stop.cause_facts.get("outside", ""))]).strip(),
        wake=False,
        feature=stop.feature,
        what=stop.action or "all tools",
        who=str(stop.stopped_by or stop.stopped_by_key or ("the console" if stop.cause else "the operator")),
        out=out,
        reason=stop.doubt or stop.reason,
    )


def tell_of_restore(stop: ToolStop) -> None:
    """Everybody with a role."""
    notify(
        "tools.restored",
        _everybody(stop),
        once=str(stop.pk),
        feature=stop.feature,
        what=stop.action or "all tools",
        who=str(stop.restored_by),
    )
