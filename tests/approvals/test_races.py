"""Races on the real database, each contestant on a connection of its own: of two that cannot both win, one does."""

# ruff: noqa: B023 - a race is over before its loop goes on

import threading
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from approvals.models import ApprovalRequest, BudgetUse, Decision, Execution, Grant, Vote
from approvals.proposal import Proposal
from approvals.services import Ask, decide, edit, execute, expire_due, kill, take_back, vote, withdraw
from approvals.services.ending import end_if_over
from approvals.services.executing import NotYet
from features.errors import ClearanceError
from features.models import ApiKey, Feature, Person
from tests.approvals.support import Agent, apply, make_agent, make_person
from tests.racing import Act, race, won
from tests.support import Stack, unique

ROUNDS = 8


class Scene:
    """A feature with a key and two approvers, spoken to through the services."""

    def __init__(self, stack: Stack, **changed: Any) -> None:
        self.agent: Agent = make_agent(stack, **changed)
        self.feature: Feature = self.agent.feature
        self.key = ApiKey.objects.select_related("feature").get(feature=self.feature)
        self.people: list[Person] = [make_person(self.agent.slug) for _ in range(3)]

    def ask(self, amount: str = "180.00", order: str | None = None, key: str | None = None) -> Decision:
        args = {"order_id": order or unique("order"), "amount": amount, "currency": "USD"}
        return decide(self.key, Ask(Proposal("refund", args), key or unique("call"), amount.encode()))

    def approved(self) -> Decision:
        """A decision whose grant is ready."""
        decision = self.ask()
        vote(decision.request.pk, "approve", 1, self.people[0])
        Grant.objects.filter(decision=decision).update(ready_at="2020-01-01T00:00:00Z")
        return decision

    def state(self, decision: Decision) -> str:
        return ApprovalRequest.objects.get(decision=decision).state


@pytest.fixture
def scene(stack: Stack) -> Scene:
    return Scene(stack)


def test_of_many_executes_of_one_grant_one_gets_it(scene: Scene) -> None:
    for _ in range(ROUNDS):
        decision = scene.ask("20.00")
        results = race(*[lambda: execute(scene.key, decision.pk)] * 8)
        assert len(won(results)) == 1
        assert {one.code for one in results if isinstance(one, ClearanceError)} == {"already_consumed"}
        assert Execution.objects.filter(decision=decision).count() == 1


def test_two_approvers_at_once_make_one_grant(scene: Scene) -> None:
    for _ in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        results = race(*(lambda who=who: vote(request, "approve", 1, who) for who in scene.people))
        assert len(won(results)) == 1
        assert Grant.objects.filter(decision=decision).count() == 1


def test_the_same_person_in_two_tabs_votes_once(stack: Stack) -> None:
    scene = Scene(stack, quorum=2)
    for _ in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        results = race(*[lambda: vote(request, "approve", 1, scene.people[0])] * 4)
        assert len(won(results)) == 1
        assert scene.state(decision) == "pending"


def test_a_quorum_is_reached_once(stack: Stack) -> None:
    scene = Scene(stack, quorum=2)
    for _ in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        results = race(*(lambda who=who: vote(request, "approve", 1, who) for who in scene.people))
        assert len(won(results)) == 2
        assert Grant.objects.filter(decision=decision).count() == 1


def test_approve_against_reject_has_one_winner(scene: Scene) -> None:
    for _ in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        first, second, _ = scene.people
        results = race(
            lambda: vote(request, "approve", 1, first), lambda: vote(request, "reject", 1, second, "no need")
        )
        assert len(won(results)) == 1
        grants = Grant.objects.filter(decision=decision).count()
        assert (scene.state(decision), grants) in (("approved", 1), ("rejected", 0))


def test_approve_against_withdraw_has_one_winner(scene: Scene) -> None:
    for _ in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        results = race(
            lambda: vote(request, "approve", 1, scene.people[0]), lambda: withdraw(scene.key, decision.pk)
        )
        assert len(won(results)) == 1
        grants = Grant.objects.filter(decision=decision).count()
        assert (scene.state(decision), grants) in (("approved", 1), ("withdrawn", 0))


def test_approve_against_expiry_never_grants_what_has_expired(scene: Scene) -> None:
    for n in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE approvals_approvalrequest SET expires_at = clock_timestamp() + "
                "%s * interval '1 ms' WHERE id = %s",
                [15 + n, request],
            )
        race(
            lambda: soon(partial(vote, request, "approve", 1, scene.people[0])),
            lambda: soon(partial(end_if_over_alone, decision)),
        )
        asked = ApprovalRequest.objects.get(pk=request)
        if asked.state == "approved":
            assert asked.decided_at is not None
            assert asked.decided_at < asked.expires_at
        else:
            assert not Grant.objects.filter(decision=decision).exists()


def soon(act: Act) -> Any:
    """About when the request expires."""
    time.sleep(0.015)
    return act()


def end_if_over_alone(decision: Decision) -> bool:
    with transaction.atomic():
        return end_if_over(decision.pk)


def test_an_expired_grant_that_was_waited_for_is_refused(scene: Scene) -> None:
    """The lock is held until after the expiry: the time that counts is that after the wait."""
    decision = scene.ask("20.00")
    grant = Grant.objects.get(decision=decision)
    begun = threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM approvals_grant WHERE id = %s FOR UPDATE", [grant.pk])
            cursor.execute(
                "UPDATE approvals_grant SET expires_at = clock_timestamp() + interval '0.3 s' WHERE id = %s",
                [grant.pk],
            )
            begun.set()
            time.sleep(0.6)

    def late() -> Any:
        begun.wait(5)
        return execute(scene.key, decision.pk)

    results = race(hold, late)
    assert getattr(results[1], "code", "") == "expired"
    assert not Execution.objects.filter(decision=decision).exists()


def test_edit_against_approve_never_grants_what_was_not_looked_at(scene: Scene) -> None:
    for _ in range(ROUNDS):
        decision = scene.ask("180.00", "A-1")
        request = decision.request.pk
        args = {"order_id": "A-1", "amount": "150.00", "currency": "USD"}
        first, second, _ = scene.people
        results = race(lambda: edit(request, args, 1, first), lambda: vote(request, "approve", 1, second))
        assert len(won(results)) == 1
        grant = Grant.objects.filter(decision=decision).first()
        assert grant is None or (grant.revision == 1 and bytes(grant.digest) == bytes(decision.digest))
        if grant is not None:
            take_back(request, second)
            withdraw(scene.key, decision.pk)


def test_take_back_against_execute_has_one_winner(scene: Scene) -> None:
    for n in range(ROUNDS):
        decision = scene.ask()
        request = decision.request.pk
        vote(request, "approve", 1, scene.people[0])
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE approvals_grant SET ready_at = clock_timestamp() + "
                "%s * interval '1 ms' WHERE decision_id = %s",
                [10 + n, decision.pk],
            )

        def run(decision: Decision = decision) -> Any:
            for _ in range(200):
                try:
                    return execute(scene.key, decision.pk)
                except NotYet as error:
                    time.sleep(max(error.wait, 0))
            return None

        results = race(run, partial(take_back, request, scene.people[0]))
        assert len(won(results)) == 1
        assert Execution.objects.filter(decision=decision).count() == (
            0 if scene.state(decision) == "pending" else 1
        )


def test_execute_against_kill_hands_out_nothing_after_kill_returned(stack: Stack) -> None:
    for _ in range(6):
        scene = Scene(stack)
        ready = [scene.ask("1.00") for _ in range(20)]
        ended: list[Any] = []

        def stop(scene: Scene = scene, ended: list[Any] = ended) -> None:
            time.sleep(0.01)
            killed = kill(scene.feature, reason="race")
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                ended.append((cursor.fetchone()[0], {str(one.pk) for one in killed.in_flight}))

        def run(part: int, scene: Scene = scene, ready: list[Decision] = ready) -> None:
            for decision in ready[part::4]:
                with suppress(ClearanceError):
                    execute(scene.key, decision.pk)

        race(stop, *(lambda part=part: run(part) for part in range(4)))
        at, in_flight = ended[0]
        started = Execution.objects.filter(feature=scene.feature)
        assert {str(one.pk) for one in started} == in_flight
        assert all(one.started_at < at for one in started)


def test_execute_against_activation_runs_only_under_the_policy_that_permitted(scene: Scene) -> None:
    for n in range(6):
        decision = scene.ask("20.00")
        quorum = 2 + n % 2
        results = race(
            partial(execute, scene.key, decision.pk),
            partial(apply, scene.agent.slug, quorum=quorum),
        )
        if isinstance(results[0], ClearanceError):
            assert results[0].code == "revoked"
        else:
            scene.feature.refresh_from_db()
            newest = scene.feature.policies.first()
            assert newest is not None
            assert results[0].execution.started_at < newest.activated_at + timedelta(seconds=5)
        assert Execution.objects.filter(decision=decision).count() == (
            0 if isinstance(results[0], ClearanceError) else 1
        )


def test_the_last_of_a_budget_is_taken_once(stack: Stack) -> None:
    for _ in range(4):
        scene = Scene(stack, limit="50")
        results = race(*[lambda scene=scene: scene.ask("20.00")] * 8)
        answers = [one.answer for one in results]
        assert answers.count("allow") == 2
        assert answers.count("deny") == 6
        assert BudgetUse.objects.get(feature=scene.feature).used == 40 * 10**6


def test_a_raced_idempotency_key_is_one_decision(scene: Scene) -> None:
    for _ in range(ROUNDS):
        key, order = unique("call"), unique("order")
        results = race(*[lambda key=key, order=order: scene.ask("20.00", order, key)] * 6)
        assert len({one.pk for one in results}) == 1
        assert Grant.objects.filter(decision=results[0]).count() == 1


def test_a_value_of_once_per_is_permitted_once_at_a_time(stack: Stack) -> None:
    scene = Scene(stack, once='once_per = "args.order_id"')
    for _ in range(ROUNDS):
        order = unique("order")
        results = race(*[lambda order=order: scene.ask("20.00", order)] * 6)
        assert [one.answer for one in results].count("allow") == 1


def test_the_sweep_beside_votes_and_executes_gives_back_exactly_what_did_not_run(stack: Stack) -> None:
    scene = Scene(stack, ttl="1s", grant_ttl="1s")
    decisions = [scene.ask(amount) for amount in ["20.00", "90.00"] * 10]
    ready = [one for one in decisions if one.answer == "allow"]
    waiting = [one for one in decisions if one.answer == "needs_approval"]
    person = scene.people[0]
    race(
        partial(_each, [partial(execute, scene.key, one.pk) for one in ready[:6]]),
        partial(_each, [partial(vote, one.request.pk, "reject", 1, person, "no") for one in waiting[:4]]),
        expire_due,
    )
    time.sleep(1.2)
    race(*[expire_due] * 4)
    while expire_due():
        pass
    ran = Execution.objects.filter(feature=scene.feature).count()
    assert BudgetUse.objects.get(feature=scene.feature).used == ran * 20 * 10**6
    assert not Grant.objects.filter(decision__feature=scene.feature, state="ready").exists()
    assert not ApprovalRequest.objects.filter(feature=scene.feature, state="pending").exists()


def _each(acts: list[Act]) -> None:
    for act in acts:
        with suppress(ClearanceError):
            act()


def test_the_database_itself_refuses_a_vote_on_ones_own_proposal(scene: Scene) -> None:
    from django.db import InternalError, ProgrammingError
    from django.db.utils import DatabaseError

    decision = scene.ask()
    ApprovalRequest.objects.filter(decision=decision).update(proposers=[scene.people[0].pk])
    with (
        pytest.raises((InternalError, ProgrammingError, DatabaseError), match="own proposal"),
        transaction.atomic(),
    ):
        Vote.objects.create(request=decision.request, revision=1, person=scene.people[0], vote="approve")
    grant = Grant.objects.get(decision=scene.approved())
    execute(scene.key, grant.decision_id)
    with pytest.raises(DatabaseError, match="does not go"), transaction.atomic():
        Grant.objects.filter(pk=grant.pk).update(state="ready")
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        Execution.objects.filter(decision=grant.decision_id).delete()
