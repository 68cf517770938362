"""Acts that must be a person's own: plain forms, each with its token, never by a script of the page.

One slip of escaping on a page with htmx (`<div hx-post=... hx-trigger=load>`) would otherwise be an approval, strict
Content-Security-Policy or not. Browsers say how a request came about (https://www.w3.org/TR/fetch-metadata/).
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponseBase

from features.errors import ClearanceError

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


class NotByScript(ClearanceError):
    """It came from a script."""

    status = 403


def plain_form(view: View[P]) -> View[P]:
    """A view whose acts are refused when htmx or any other script sent them; reading it is free."""

    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        mode = request.headers.get("Sec-Fetch-Mode", "navigate")
        by_script = "HX-Request" in request.headers or mode != "navigate"
        if by_script and request.method not in ("GET", "HEAD"):
            raise NotByScript(
                "not_by_script",
                "This is done by the form on its page alone.",
                "Open the page and press its button.",
            )
        return view(request, *args, **kwargs)

    return answer
