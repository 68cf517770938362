"""Sign-in and sign-out of people with local accounts."""

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from features.forms import LoginForm


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
            # Also for whoever signs in again: a session ID that was known before is worth nothing after.
            request.session.flush()
            login(request, person)
            return redirect(following)
        form.add_error(None, "This login and password do not belong together.")
    status = 400 if form.errors else 200
    return render(request, "accounts/login.html", {"form": form, "next": following}, status=status)


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, here and for whoever else holds its cookie."""
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)
