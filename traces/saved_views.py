"""The page of kept searches: keep, rename, share, delete."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from features.errors import ClearanceError
from features.pages import page, person_of
from features.queries import feature_for
from traces.search.saved import (
    address,
    delete_search,
    my_search,
    rename_search,
    save_search,
    saved_searches,
    saved_searches_of,
    share_search,
)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def searches(request: HttpRequest) -> HttpResponse:
    """My searches, and those shared with me. POST keeps one and goes back to its list."""
    person = person_of(request)
    if request.method == "POST":
        slug = request.POST.get("feature", "")
        feature = feature_for(person, slug) if slug else None
        saved = save_search(
            person,
            feature,
            request.POST.get("name", ""),
            request.POST.get("line", "").strip(),
            request.POST.dict(),
            shared=request.POST.get("shared") == "1",
        )
        messages.success(request, f"Kept as {saved.name}.")
        return redirect(address(saved))
    mine = list(saved_searches_of(person).order_by("name"))
    others = [one for one in saved_searches(person, None) if one.owner_id != person.pk]
    return render(request, "traces/searches.html", {"mine": mine, "others": others})


@page
@require_POST
def change_search(request: HttpRequest, id: UUID) -> HttpResponse:
    """Rename, share, keep to oneself or delete one of my searches."""
    saved = my_search(person_of(request), id)
    asked = request.POST.get("do", "")
    if asked == "rename":
        rename_search(saved, request.POST.get("name", ""))
        messages.success(request, f"It is called {saved.name} now.")
    elif asked in {"share", "unshare"}:
        share_search(saved, shared=asked == "share")
        messages.success(request, "Shared." if asked == "share" else "Nobody else sees it now.")
    elif asked == "delete":
        delete_search(saved)
        messages.success(request, f"{saved.name} is deleted.")
    else:
        raise ClearanceError("invalid", "do is rename, share, unshare or delete.", field="do")
    return redirect("searches")
