"""What this room adds to pages of others: the queue with its count in the navigation."""

from features.models import Feature, Person
from features.registry import NavItem, register_nav
from reviews.desk import about
from reviews.queries import count_left


def register() -> None:
    """Called once, when the application is ready."""
    register_nav(NavItem("house", "My reviews", "reviews", 60, _count))


def _count(person: Person, feature: Feature | None) -> str:
    return about(count_left(person))
