"""Forms that only a person's own press of a button sends: what htmx or a script sends is refused.

One escaping slip on a page with htmx (`<div hx-post=... hx-trigger=load>`) would otherwise be an approval, strict CSP
or not.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def is_plain(request: HttpRequest) -> bool:
    """Whether a request came from no script: browsers say how it came about, and pages cannot forge what they say."""
    return (
        "HX-Request" not in request.headers
        and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    )


def plain_form(view: View[P]) -> View[P]:
    """A view whose POST is a plain form; 403 for what a script sent."""

    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method == "POST" and not is_plain(request):
            raise PermissionDenied("This is sent by a plain form alone, not by a script.")
        return view(request, *args, **kwargs)

    return answer
