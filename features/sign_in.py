"""Sign-in and sign-out of people with local accounts."""

import hashlib

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from audit.services import Actor, append
from features.acting import actor_of
from features.forms import LoginForm
from features.models import Person


def _safe_next(request: HttpRequest) -> str:
    """Where to go after: a path of this console, never another host."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else settings.LOGIN_REDIRECT_URL


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in with `login` and `password`; then on to `next` with a new session ID.

    An unknown login and a wrong password get the same answer after the same work.
    """
    following = _safe_next(request)
    if request.user.is_authenticated and request.method != "POST":
        return redirect(following)
    form = LoginForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["login"].strip().lower()
        # PostgreSQL takes no NUL; no login has one.
        person = None
        if "\x00" not in name:
            person = authenticate(request, username=name, password=form.cleaned_data["password"])
        if person is not None:
            _begin_session(request, person)
            return redirect(following)
        _note_failure(name)
        form.add_error(None, "This login and password do not belong together.")
    status = 400 if form.errors else 200
    return render(request, "accounts/login.html", {"form": form, "next": following}, status=status)


@transaction.atomic
def _begin_session(request: HttpRequest, person: AbstractBaseUser) -> None:
    """A new session for the person; no record, no session."""
    assert isinstance(person, Person)
    # Also for whoever signs in again: a session ID that was known before is worth nothing after.
    request.session.flush()
    login(request, person)
    request.session.save()
    append(actor_of(person, session_mark(request)), "sign_in.succeeded", subject=("person", str(person.pk)))


@transaction.atomic
def _note_failure(name: str) -> None:
    """Record a failed sign-in; the login that was typed is not kept: it may be a password in the
    wrong field.
    """
    known = Person.objects.filter(name=name).first() if "\x00" not in name else None
    append(
        Actor("system", "sign-in"),
        "sign_in.failed",
        subject=("person", str(known.pk)) if known else ("", ""),
        known=known is not None,
    )


def session_mark(request: HttpRequest) -> str:
    """What names a session in the record without opening it: the first 64 bits of its key's SHA-256."""
    return hashlib.sha256((request.session.session_key or "").encode()).hexdigest()[:16]


@never_cache
@require_POST
@transaction.atomic
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, here and for whoever else holds its cookie."""
    if isinstance(request.user, Person):
        who = actor_of(request.user, session_mark(request))
        logout(request)
        append(who, "sign_out.done", subject=("person", who.id))
    return redirect(settings.LOGOUT_REDIRECT_URL)
