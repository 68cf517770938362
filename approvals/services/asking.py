"""Questions before a decision. They inform people: no question prolongs a deadline, and no answer permits anything."""

import hashlib
import secrets
from uuid import UUID

from django.db import transaction

from approvals.models import ApprovalRequest, Question
from approvals.proposal import seal_words
from approvals.services.reading import facts_of
from approvals.services.voting import MayNot, may_vote, said_of
from approvals.telling import tell_of_answer, tell_of_question
from audit.services import append
from features.acting import actor_of
from features.errors import ClearanceError, ConflictError
from features.models import Person
from features.queries import roles_on

__all__ = ["LONGEST", "MOST", "answer_question", "ask_question", "may_know"]

LONGEST = 1000  # characters
MOST = 20  # questions of a request
_SHORTEST = 3


def may_know(request: ApprovalRequest, person: Person) -> bool:
    """Whether the person sees questions and answers, and may answer: who may decide, the leads, and who proposed it.
    Either may quote the arguments.
    """
    held = roles_on(person, request.feature)
    if {request.role, "lead"} & held:
        return True
    return bool(held) and str(person.pk) in {str(one) for one in request.proposers}


def _written(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\0", "\ufffd").strip()
    if len(text) < _SHORTEST:
        raise ClearanceError("text", "Write a few words.", field="text")
    if len(text) > LONGEST:
        raise ClearanceError("text", f"Write {LONGEST} characters at most.", field="text")
    return text


def _commitment(salt: bytes, text: str) -> str:
    return hashlib.sha256(salt + text.encode()).hexdigest()


def _waiting(request_id: UUID) -> ApprovalRequest:
    """The request, its row held. Raises ConflictError where there is nothing to ask any more."""
    list(ApprovalRequest.objects.select_for_update().filter(pk=request_id).values_list("pk"))
    request = ApprovalRequest.objects.select_related("decision", "feature").get(pk=request_id)
    facts = facts_of(request.feature_id, request.action)
    if request.state != "pending":
        raise ConflictError("decided", said_of(request))
    if facts.now >= request.expires_at or facts.epoch != request.decision.epoch:
        raise ConflictError("over", "It can be decided no more; there is nothing to ask.")
    return request


@transaction.atomic
def ask_question(request_id: UUID, text: str, by: Person, session: str = "") -> Question:
    """Ask, before deciding; everybody who may know is told that there is a question. Raises MayNot, ConflictError,
    ClearanceError (`text`).
    """
    text = _written(text)
    request = _waiting(request_id)
    if why_not := may_vote(request, by):
        raise MayNot("not_allowed", why_not)
    if Question.objects.filter(request=request).count() >= MOST:
        raise ConflictError("questions", f"A request has {MOST} questions at most.", "Decide, or talk.")
    salt = secrets.token_bytes(16)
    question = Question(request=request, revision=request.revision, person=by, salt=salt)
    question.sealed = seal_words(text, question.pk)
    question.save(force_insert=True)
    tell_of_question(request, question)
    append(
        actor_of(by, session),
        "question.asked",
        feature=str(request.feature_id),
        subject=("request", str(request.pk)),
        question=str(question.pk),
        revision=question.revision,
        text=_commitment(salt, text),
    )
    return question


@transaction.atomic
def answer_question(question_id: UUID, text: str, by: Person, session: str = "") -> Question:
    """Answer, once for each question; who asked is told. Raises MayNot, ConflictError (`answered`), ClearanceError."""
    text = _written(text)
    request = _waiting(Question.objects.values_list("request", flat=True).get(pk=question_id))
    if not may_know(request, by):
        raise MayNot("not_allowed", "Who may decide, leads and who proposed it answer.")
    question = Question.objects.select_related("person", "answered_by").get(pk=question_id)
    if question.answered_at is not None:
        raise ConflictError("answered", f"{question.answered_by} answered this already.")
    question.answered_by, question.answered_at = by, facts_of(request.feature_id, request.action).now
    question.answer_salt = secrets.token_bytes(16)
    question.answer_sealed = seal_words(text, question.pk)
    question.save(update_fields=["answered_by", "answered_at", "answer_salt", "answer_sealed"])
    tell_of_answer(request, question)
    append(
        actor_of(by, session),
        "question.answered",
        feature=str(request.feature_id),
        subject=("request", str(request.pk)),
        question=str(question.pk),
        text=_commitment(question.answer_salt, text),
    )
    return question
