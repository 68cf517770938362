"""Load the demo into an installation: features, people, keys, history. Loading again changes nothing that is
there.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from demo import billing, policy, sales
from demo.grades import grade_weeks, open_week
from demo.history import bodies, moments
from features.models import Feature, Person
from features.policy import active_policy, read_policy
from features.policy.activation import apply_policy
from features.services import create_key, create_person, set_password
from runtime.state import write_atomically
from traces.ingest import ingest_traces
from traces.queries import first_trace_at
from traces.services import add_facts, settle_dirty

FEATURES = tuple(room.SLUG for room in (billing, sales, policy))
# (login, name that others see, role on all three features; None: administrator and lead)
PEOPLE = (
    ("lee", "Lee Lead", "lead"),
    ("ada", "Ada Approver", "approver"),
    # What one approver proposes of a draft, another decides.
    ("ben", "Ben Approver", "approver"),
    ("rio", "Rio Reviewer", "reviewer"),
    ("rae", "Rae Reviewer", "reviewer"),
    ("ron", "Ron Reviewer", "reviewer"),
    ("oda", "Oda On-call", "on_call"),
    ("vic", "Vic Viewer", "viewer"),
    ("ari", "Ari Administrator", None),
)
Say = Callable[[str], object]


def load(days: int, say: Say) -> None:
    """Make what is missing of the demo; `say` gets a line of progress now and then."""
    features = {slug: _feature(slug) for slug in FEATURES}
    _people(say)
    _keys(features)
    for slug, feature in features.items():
        if first_trace_at(feature) is None:
            _history(feature, slug, days, say)
    started = time.monotonic()
    settled = 0
    while done := settle_dirty(200):
        settled += done
    if settled:
        say(f"settled {settled} requests in {time.monotonic() - started:.1f} s")
    named = {
        person.name: person for person in Person.objects.filter(name__in=[login for login, *_ in PEOPLE])
    }
    reviewers = [named[login] for login, _, role in PEOPLE if role == "reviewer"]
    grade_weeks(features[billing.SLUG], reviewers, named["lee"], say)
    open_week(features[sales.SLUG])


def sign_ins() -> str:
    """The table of sign-ins as it was written when the people were made."""
    return _folder().joinpath("sign-ins.txt").read_text(encoding="utf-8")


def _folder() -> Path:
    return settings.STATE.folder("demo")


def _feature(slug: str) -> Feature:
    """The feature, made with its policy where it is not there; a policy that people changed since stays."""
    feature = Feature.objects.filter(slug=slug).first()
    if feature is None or active_policy(feature.pk) is None:
        text = (Path(__file__).parent / "policies" / f"{slug}.toml").read_text(encoding="utf-8")
        feature = apply_policy(read_policy(text).document, text).feature
    assert feature is not None
    return feature


def _people(say: Say) -> None:
    path = _folder() / "sign-ins.txt"
    if path.exists():
        return
    lines = [f"  {'role':15}{'login':8}password"]
    for login, display_name, role in PEOPLE:
        person = Person.objects.filter(name=login).first()
        if person is None:
            roles = [(slug, role or "lead") for slug in FEATURES]
            person, password = create_person(
                name=login, display_name=display_name, roles=roles, administrator=role is None
            )
        else:  # made before, but the list of sign-ins is gone: nobody knows the passwords any more
            password = set_password(person=person)
        lines.append(f"  {(role or 'administrator').replace('_', '-'):15}{login:8}{password}")
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    say(f"made {len(PEOPLE)} people")


def _keys(features: dict[str, Feature]) -> None:
    path = _folder() / "keys.json"
    if path.exists():
        return
    keys = {
        slug: create_key(
            feature=feature, scopes=["ingest", "read", "decide", "evaluate"], label="demo agent"
        )[1]
        for slug, feature in features.items()
    }
    write_atomically(path, json.dumps(keys, indent=2).encode())


def _history(feature: Feature, slug: str, days: int, say: Say) -> None:
    started = time.monotonic()
    wanted = moments(slug, days, datetime.now(UTC) - timedelta(minutes=2))
    spans = 0
    for body, plans in bodies(slug, wanted):
        spans += ingest_traces(feature, body, "application/x-protobuf").stored
        for trace_id, plan in plans:
            if plan.violation:
                add_facts(feature, trace_id, [("violation", "reviewer", {"rule": plan.violation})])
    took = time.monotonic() - started
    say(f"{slug}: {len(wanted)} requests, {spans} spans over {days} days in {took:.1f} s")
