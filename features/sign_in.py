"""Sign-in and sign-out of people; allauth does the work, the page and its words are ours."""

import ipaddress
from datetime import UTC, datetime
from typing import Any

from allauth.account.forms import LoginForm
from allauth.account.views import LoginView
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from audit.services import Actor, append
from features.acting import actor_of
from features.identity.sessions import session_mark
from features.models import Person
from features.outbox import notify
from features.pages import page, person_of

_ENDED = {
    "idle": "You were signed out because nothing was done here for a while. What is saved is saved.",
    "expired": "You were signed out because the session reached its longest time.",
    "provider": "You were signed out because your organisation's sign-in no longer answers for you.",
}


class SignInForm(LoginForm):  # type: ignore[misc]
    """allauth's form in our words; the login is kept when the password is wrong, the password never."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        login, password = self.fields["login"], self.fields["password"]
        login.label, password.label = "Login", "Password"
        password.help_text = ""
        login.widget.attrs = {"autocomplete": "username", "autocapitalize": "none"}
        password.widget.attrs = {"autocomplete": "current-password"}


class SignIn(LoginView):  # type: ignore[misc]
    """Sign in with `login` and `password`, or a passkey; then on to `next` with a new session ID.

    An unknown login and a wrong password get the same answer after the same work; a locked login another, whether
    somebody has it or not.
    """

    form_class = SignInForm
    template_name = "accounts/login.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(self.get_success_url() or settings.LOGIN_REDIRECT_URL)
        answer: HttpResponse = super().get(request, *args, **kwargs)
        return answer

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if settings.OIDC and settings.OIDC["only"]:
            context = self.get_context_data(form=self.form_class(request=request))
            return render(request, self.template_name, context, status=403)
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        locked = any(error.code == "too_many_login_attempts" for error in form.non_field_errors().as_data())
        if locked:
            with transaction.atomic():
                known = Person.objects.filter(name=str(form.data.get("login", "")).strip().lower()).first()
                if known:
                    notify("sign_in.locked", [known], once=f"{known.pk} {datetime.now(UTC):%Y-%m-%dT%H}")
                append(Actor("system", "sign-in"), "sign_in.locked")
        answer: HttpResponse = self.render_to_response(self.get_context_data(form=form))
        answer.status_code = 429 if locked else 400
        if locked:
            answer.headers["Retry-After"] = str(settings.LOCK_OUT_SECONDS)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["ended"] = _ENDED.get(self.request.GET.get("ended", ""), "")
        context["provider"] = settings.OIDC
        context["passkeys"] = not _is_address(
            self.request.get_host().rpartition(":")[0] or self.request.get_host()
        )
        return context


def _is_address(host: str) -> bool:
    """Whether a host is an IP address: passkeys belong to names (Web Authentication, relying party identifier)."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@never_cache
@require_POST
@transaction.atomic
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, here and for whoever else holds its cookie."""
    if isinstance(request.user, Person):
        who = actor_of(request.user, session_mark(request))
        logout(request)
        append(who, "sign_out.done", subject=("person", who.id))
    else:
        logout(request)  # a sign-in that waits for its second factor
    return redirect(settings.LOGOUT_REDIRECT_URL)


@page
@transaction.atomic
def sessions(request: HttpRequest) -> HttpResponse:
    """Where I am signed in; POST ends all sessions but this one."""
    person = person_of(request)
    mine = UserSession.objects.purge_and_list(person)
    current = request.session.session_key
    if request.method == "POST":
        others = [one for one in mine if one.session_key != current]
        for one in others:
            one.end()
        append(
            actor_of(person, session_mark(request)),
            "sessions.ended",
            subject=("person", str(person.pk)),
            sessions=len(others),
        )
        return redirect("usersessions_list")
    mine.sort(key=lambda one: one.created_at, reverse=True)
    return render(request, "accounts/sessions.html", {"sessions": mine, "current": current})
