"""What every page of the console shares: sign-in, errors as a page that says what to mend."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from features.errors import ClearanceError
from features.models import Person

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def page(view: View[P]) -> View[P]:
    """A page for signed-in people: never cached, and a ClearanceError becomes a page with its status."""

    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except ClearanceError as error:
            context = {"error": error, "address": request.path}
            return render(request, "errors/problem.html", context, status=error.status)

    return never_cache(login_required(answer))


def person_of(request: HttpRequest) -> Person:
    """Who is signed in; for views behind `page`."""
    assert isinstance(request.user, Person)
    return request.user
