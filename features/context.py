"""What the frame around every page needs; asked for lazily, so that a fragment pays for nothing."""

from functools import cached_property

import msgspec
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from features.gate import stops_of
from features.models import Feature, FeatureRole, Person, ToolStop
from features.queries import features_for, roles_on
from features.registry import NavItem, Scope, nav_items

# Whoever carries the pager or answers for the feature switches its tools off and on.
MAY_STOP = frozenset({"lead", "on_call"})


class NavEntry(msgspec.Struct, frozen=True):
    """A line of the navigation as it is drawn."""

    label: str
    url: str
    current: str  # the value of aria-current: "page", "true" for a page below it, or empty
    count: str
    hot: bool


class Stopped(msgspec.Struct, frozen=True):
    """Tools that are off, and whether this person may switch them on again."""

    stop: ToolStop
    may_restore: bool


class Frame:
    """The signed-in person, their features, the open feature and the navigation."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def person(self) -> Person | None:
        """Who is signed in; None on pages for anybody, such as an error before sign-in."""
        user = getattr(self._request, "user", None)
        return user if isinstance(user, Person) else None

    @cached_property
    def features(self) -> list[Feature]:
        """The features on which the person holds a role."""
        return list(features_for(self.person)) if self.person else []

    @cached_property
    def feature(self) -> Feature | None:
        """The feature whose page this is, if the person may know it."""
        match = self._request.resolver_match
        slug = match.kwargs.get("slug") if match else None
        return next((feature for feature in self.features if feature.slug == slug), None)

    @cached_property
    def stops(self) -> list[Stopped]:
        """What is off now of the person's features, and of all; the latest first."""
        if self.person is None:
            return []
        return [Stopped(stop, self._may_restore(stop)) for stop in stops_of(self.features)]

    @property
    def stops_mark(self) -> str:
        """What tells one state of the stops from another."""
        stops = [one.stop for one in self.stops]
        return "".join(f"{one.pk.hex[-8:]}{len(one.in_flight)}{one.cause}" for one in stops) or "none"

    def _may_restore(self, stop: ToolStop) -> bool:
        assert self.person is not None
        if stop.feature is None:
            return self.person.is_administrator
        return bool(roles_on(self.person, stop.feature) & MAY_STOP)

    @property
    def off(self) -> list[Stopped]:
        """What is off of the open feature."""
        feature = self.feature
        return [one for one in self.stops if feature and one.stop.feature_id in (None, feature.pk)]

    @cached_property
    def may_stop(self) -> bool:
        """Whether the person may switch off the tools of the open feature."""
        return bool(
            self.person
            and self.feature
            and FeatureRole.objects.filter(
                user=self.person,
                content_object=self.feature,
                permission__codename__in=[f"role_{role}" for role in MAY_STOP],
            ).exists()
        )

    @cached_property
    def house(self) -> list[NavEntry]:
        """The navigation over all features."""
        return self._entries("house", None)

    @cached_property
    def rooms(self) -> list[NavEntry]:
        """The navigation inside the open feature."""
        return self._entries("feature", self.feature) if self.feature else []

    @property
    def provider(self) -> bool:
        """Whether people may sign in by the organisation's provider."""
        return bool(settings.OIDC)

    @property
    def environment(self) -> str:
        """The installation's name, so that nobody takes staging for production."""
        return str(settings.CLEARANCE_ENVIRONMENT)

    def _entries(self, scope: Scope, feature: Feature | None) -> list[NavEntry]:
        """The longest address that the page's path starts with is the current one."""
        path = self._request.path
        items = [
            (item, reverse(item.url_name, args=[feature.slug] if feature else []))
            for item in nav_items(scope)
        ]
        above = max((url for _, url in items if path.startswith(url)), key=len, default="")
        # In a feature the house has no current line: the feature's own navigation has it.
        if scope == "house" and (self.feature or above != path):
            above = ""
        return [
            self._entry(item, feature, url, "" if url != above else "page" if path == url else "true")
            for item, url in items
        ]

    def _entry(self, item: NavItem, feature: Feature | None, url: str, current: str) -> NavEntry:
        count = item.count(self.person, feature) if item.count and self.person else ""
        return NavEntry(item.label, url, current, count.rstrip("!"), count.endswith("!"))


def frame(request: HttpRequest) -> dict[str, Frame]:
    """The context processor: `frame` in every template."""
    return {"frame": Frame(request)}
