"""Who may decide is said twice: for one request by `may_vote`, for many by inbox.sql and others.sql. Over whatever
roles, proposers, votes and states there are, they say the same.
"""

import itertools
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Permission
from django.db import transaction

from approvals.models import ApprovalRequest, Decision, Vote
from approvals.queries import inbox, pending_ids
from approvals.services.voting import may_vote
from features.clock import clock
from features.models import Feature, FeatureRole, Gate, Person
from tests.approvals.support import make_agent, make_person, refund
from tests.support import Stack


class Case(msgspec.Struct, frozen=True):
    """One state of the world around a request and a person."""

    role: str  # that the person holds
    given: str  # when: before or after the request
    giver: str  # nobody, proposer or another
    proposer: bool
    editor: str  # nobody, me or another
    voted: str  # no, yes, before (an older revision) or taken back
    state: str  # pending, expired, stale or rejected
    needs: str  # the role that decides


_ALL: dict[str, list[Any]] = {
    "role": ["approver", "lead", "both", "viewer"],
    "given": ["before", "after"],
    "giver": ["nobody", "proposer", "another"],
    "proposer": [False, True],
    "editor": ["nobody", "me", "another"],
    "voted": ["no", "yes", "before", "taken back"],
    "state": ["pending", "pending", "expired", "stale", "rejected"],
    "needs": ["approver", "lead"],
}


def cases(count: int) -> Iterator[Case]:
    """Those that differ from "may decide" in one thing or two, and so many of the rest."""
    plain = Case("approver", "before", "nobody", False, "nobody", "no", "pending", "approver")
    names = list(_ALL)
    yield plain
    for changed in (1, 2):
        for chosen in itertools.combinations(names, changed):
            for values in itertools.product(*(_ALL[name] for name in chosen)):
                yield msgspec.structs.replace(plain, **dict(zip(chosen, values, strict=True)))
    chance = random.Random(8)
    for _ in range(count):
        yield Case(**{name: chance.choice(values) for name, values in _ALL.items()})


class World:
    """A request and a person, put into whatever state a case says."""

    def __init__(self, stack: Stack) -> None:
        agent = make_agent(stack)
        self.feature: Feature = agent.feature
        self.other, self.me = make_person(agent.slug), make_person(agent.slug)
        asked = agent.ask(refund("180.00")).json()
        self.request = ApprovalRequest.objects.get(pk=asked["request_id"])
        self.decision = Decision.objects.get(pk=asked["id"])
        self.permissions = {
            row.codename: row for row in Permission.objects.filter(codename__startswith="role_")
        }

    def become(self, case: Case) -> None:
        now = clock()
        created = now - timedelta(minutes=5)
        proposers = [self.other.pk] if case.giver == "proposer" else []
        ApprovalRequest.objects.filter(pk=self.request.pk).update(
            role=case.needs,
            proposers=[*proposers, *([self.me.pk] if case.proposer else [])],
            editor={"nobody": None, "me": self.me, "another": self.other}[case.editor],
            created_at=created,
            revision=2,
            expires_at=now + timedelta(minutes=-1 if case.state == "expired" else 30),
        )
        # Ends are ends: only what is made anew is pending again.
        self._state("rejected" if case.state == "rejected" else "pending")
        epoch = Gate.objects.get(feature=self.feature).epoch
        Decision.objects.filter(pk=self.decision.pk).update(
            epoch=epoch - 1 if case.state == "stale" else epoch
        )
        self._roles(case, created)
        self._votes(case)
        self.request.refresh_from_db()

    def _state(self, state: str) -> None:
        if self.request.state != "pending":
            self._anew()
        if state != "pending":
            ApprovalRequest.objects.filter(pk=self.request.pk).update(state=state)

    def _anew(self) -> None:
        fresh = ApprovalRequest.objects.get(pk=self.request.pk)
        decision = Decision.objects.get(pk=self.decision.pk)
        decision.pk, decision.idempotency_key = Decision().pk, f"again {clock()}"
        decision.save(force_insert=True)
        fresh.pk, fresh.decision, fresh.state = ApprovalRequest().pk, decision, "pending"
        fresh.save(force_insert=True)
        self.request, self.decision = fresh, decision

    def _roles(self, case: Case, created: Any) -> None:
        held = {"both": ["approver", "lead"]}.get(case.role, [case.role])
        moved = timedelta(minutes=1 if case.given == "after" else -1)
        giver = {"nobody": None, "proposer": self.other, "another": self.me}[case.giver]
        FeatureRole.objects.filter(user=self.me).delete()
        for role in held:
            FeatureRole.objects.create(
                user=self.me,
                content_object=self.feature,
                permission=self.permissions[f"role_{role}"],
                given_at=created + moved,
                given_by=giver,
            )

    def _votes(self, case: Case) -> None:
        Vote.objects.filter(person=self.me, taken_back_at=None).update(taken_back_at=clock())
        if case.voted == "no" or case.proposer or case.editor == "me":
            return
        vote = Vote.objects.create(
            request=self.request,
            revision=1 if case.voted == "before" else 2,
            person=self.me,
            vote="approve",
        )
        if case.voted == "taken back":
            Vote.objects.filter(pk=vote.pk).update(taken_back_at=clock())

    def may(self) -> bool:
        """By the rule for one request."""
        request = ApprovalRequest.objects.select_related("decision").get(pk=self.request.pk)
        voted = Vote.objects.filter(
            request=request, revision=request.revision, person=self.me, taken_back_at=None
        ).exists()
        return self.is_open(request) and not voted and not may_vote(request, self.me)

    def is_open(self, request: ApprovalRequest) -> bool:
        epoch = Gate.objects.get(feature=self.feature).epoch
        return request.state == "pending" and clock() < request.expires_at and request.decision.epoch == epoch


@pytest.fixture
def world(stack: Stack) -> Iterator[World]:
    """In a transaction that is undone: what is put into these states stands in no record, and nobody else sees it."""
    made = World(stack)
    with transaction.atomic():
        yield made
        transaction.set_rollback(True)


def test_the_inbox_and_the_vote_say_the_same_of_who_may_decide(world: World) -> None:
    said: dict[bool, int] = {True: 0, False: 0}
    for case in cases(150):
        world.become(case)
        request = ApprovalRequest.objects.select_related("decision").get(pk=world.request.pk)
        me: Person = Person.objects.get(pk=world.me.pk)
        may, is_open = world.may(), world.is_open(request)
        listed = request.pk in pending_ids(me, [world.feature], 100)
        others = request.pk in {one.request.pk for one in inbox(me, [world.feature]).others}
        assert listed == may, case
        assert others == (is_open and not may), case
        said[may] += 1
    assert min(said.values()) > 40
