"""My notices: what happened that concerns me, and whether a mail about it went out."""

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from features.models import Delivery, Feature, Person
from features.outbox import Said, mails_of, mark_seen, notices_of, said, unseen
from features.pages import page, person_of


class Line(msgspec.Struct, frozen=True):
    """A notice as the page shows it."""

    delivery: Delivery
    said: Said
    mail: Delivery | None


@page
@require_http_methods(["GET", "HEAD", "POST"])
def notices(request: HttpRequest) -> HttpResponse:
    """The newest hundred; POST marks all as seen."""
    person = person_of(request)
    if request.method == "POST":
        mark_seen(person)
        return redirect("notices")
    found = notices_of(person)
    mails = mails_of(person, [one.notice_id for one in found])
    lines = [Line(one, said(one.notice), mails.get(one.notice_id)) for one in found]
    return render(request, "features/notices.html", {"lines": lines, "unseen": unseen(person)})


def count(person: Person, feature: Feature | None) -> str:
    """The figure beside the navigation's line."""
    number = unseen(person)
    return f"{number}!" if number else ""
