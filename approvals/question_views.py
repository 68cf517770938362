"""Questions before a decision, and their answers: plain forms of a request's page."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from approvals.models import Question
from approvals.request_views import again, request_for
from approvals.services import answer_question, ask_question
from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.pages import page, person_of
from features.plain_form import plain_form


@page
@require_POST
@plain_form
def ask(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """A question on a request, before I decide."""
    person = person_of(request)
    asked = request_for(person, request_id)
    try:
        ask_question(asked.pk, request.POST.get("text", ""), person, session_mark(request))
    except ClearanceError as error:
        return again(request, request_id, error)
    messages.success(request, f"Asked. The time goes on: it expires at {asked.expires_at:%H:%M} UTC.")
    return _seen(request_id)


@page
@require_POST
@plain_form
def answer(request: HttpRequest, question_id: UUID) -> HttpResponse:
    """An answer to a question."""
    person = person_of(request)
    question = Question.objects.filter(pk=question_id).only("request_id").first()
    if question is None:
        raise Http404("No such question, or none that you may see.")
    request_for(person, question.request_id)
    try:
        answer_question(question_id, request.POST.get("text", ""), person, session_mark(request))
    except ClearanceError as error:
        return again(request, question.request_id, error)
    messages.success(request, "Answered: who asked is told.")
    return _seen(question.request_id)


def _seen(request_id: UUID) -> HttpResponse:
    response = redirect("approval", request_id=request_id)
    response.status_code = 303
    return response
