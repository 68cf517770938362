"""What the record says is played again offline: every forbidden course of events is found, and named; what really
happened never is.
"""

import json
from typing import Any

import pytest

from approvals.models import Decision
from approvals.services.stopping import kill, restore
from approvals.services.voting import edit, take_back
from audit import verifier
from audit.queries import records
from tests.approvals.support import Agent, apply, cast, make_agent, make_person, refund
from tests.audit.test_verifier import KEY, chained
from tests.support import Stack

Json = dict[str, Any]
D, R, G, E, S = "decision", "request", "grant", "execution", "stop"


def said(
    action: str, subject: str, actor: str = "ada", at: int = 0, feature: str = "f", **payload: Any
) -> Json:
    kind = "key" if action in ("decision.made", "execution.started") else "person"
    return {
        "at": f"2026-11-24T09:{at // 60:02d}:{at % 60:02d}.000000Z" if at else "",
        "actor_kind": kind,
        "actor": actor,
        "session": "",
        "action": action,
        "feature": feature,
        "subject_type": "",
        "subject": subject,
        "payload": json.dumps(payload),
    }


def decided(answer: str = "needs_approval", d: str = D, epoch: int = 1, **more: Any) -> Json:
    request, grant = (R if answer == "needs_approval" else None), (G if answer == "allow" else None)
    payload = {"answer": answer, "epoch": epoch, "request": request, "grant": grant, "proposers": ["pia"]}
    return said("decision.made", d, **{**payload, **more})


def voted(
    actor: str = "ada", vote: str = "approve", state: str = "approved", grant: str | None = G, **more: Any
) -> Json:
    payload = {"vote": vote, "revision": 1, "state": state, "quorum": 1, "decision": D, "grant": grant}
    return said("vote.cast", R, actor, **{**payload, **more})


def ran(e: str = E, **more: Any) -> Json:
    return said("execution.started", e, **{"decision": D, "grant": G, "epoch": 1, "revision": 1, **more})


def drafted(d: str = "draft") -> Json:
    return decided("deny", d, codes=["draft"])


def proposed(draft: str = "draft", actor: str = "pia", **more: Any) -> Json:
    return {**decided(draft=draft, **more), "actor": actor, "actor_kind": "person"}


def taken_back(actor: str = "ada", grant: str | None = G) -> Json:
    return said("vote.taken_back", R, actor, revision=1, grant=grant)


def edited(actor: str = "ada", revision: int = 2, tighter: bool = False) -> Json:
    return said("request.edited", R, actor, revision=revision, tighter=tighter)


def stopped(scope: str = "feature", s: str = S, feature: str = "f", at: int = 0, off: int = 0) -> Json:
    since = f"2026-11-24T09:{off // 60:02d}:{off % 60:02d}+00:00"
    record = said("tools.stopped", s, at=at, feature=feature)
    return {**record, "payload": json.dumps({"scope": scope, "at": since, "in_flight": 0})}


def said_at(record: Json, at: int) -> Json:
    return {**record, "at": f"2026-11-24T09:{at // 60:02d}:{at % 60:02d}.000000Z"}


def check(log: list[Json]) -> verifier.Verdict:
    whole = [one if one["at"] else said_at(one, 0) for one in log]
    return verifier.verify(chained(whole), KEY.public_key())


FINE: list[list[Json]] = [
    [decided(), voted(), ran()],
    [decided("allow"), ran()],
    [decided("deny")],
    [decided(), voted("ada", quorum=2, state="pending", grant=None), voted("bob", quorum=2), ran()],
    [decided(), voted(), taken_back(), voted("ada", grant="g2"), ran(grant="g2")],
    [decided(), edited(), voted("bob", revision=2), ran(revision=2)],
    [decided(), edited(tighter=True), voted("ada", revision=2), ran(revision=2)],
    [decided(), voted(vote="reject", state="rejected", grant=None)],
    [decided("allow"), said("grant.ended", G, state="expired")],
    [decided("allow"), stopped(), said("grant.ended", G, state="revoked")],
    [stopped(), said("tools.restored", S, scope="feature"), decided("allow", epoch=3), ran(epoch=3)],
    [stopped(feature="other"), decided("allow"), ran()],
    [drafted(), proposed(), voted(), ran()],
    # Under way when the tools went off: handed out while the stop was drained.
    [said_at(decided("allow"), 60), said_at(ran(), 62), stopped(at=64, off=61)],
]

WRONG: list[tuple[list[Json], int, str]] = [
    ([ran()], 1, "no decision and no quorum"),
    ([decided("allow"), ran(), ran("e2")], 3, "used already"),
    ([decided(), voted(), ran(), ran("e2")], 4, "used already"),
    ([decided("allow", grant=None), ran()], 2, "no decision and no quorum"),
    ([decided("deny", grant=G), ran()], 1, "deny gives a grant"),
    ([decided(grant=G), ran()], 1, "needs_approval gives a grant"),
    ([decided(), voted(quorum=2), ran()], 2, "1 of 2 approvals"),
    ([decided(), voted(quorum=2, state="pending", grant=None), voted(quorum=2)], 3, "voted on this revision"),
    ([decided(), voted(quorum=2, state="pending", grant=None), voted("bob", quorum=1)], 3, "quorum changed"),
    ([decided(), voted(quorum=2, state="pending", grant=None), taken_back(grant=None), voted("bob", quorum=2)], 4,
     "1 of 2"),
    ([decided(), voted(vote="reject", state="approved"), ran()], 2, "a rejection left it approved"),
    ([decided(), voted(vote="reject", state="rejected", grant=None), voted("bob")], 3, "rejected already"),
    ([decided(), voted("pia")], 2, "one of its proposers"),
    ([drafted(), proposed(), voted("pia")], 3, "one of its proposers"),
    ([drafted(), proposed(actor="ada")], 2, "not among its proposers"),
    ([drafted(), proposed(answer="allow", request=None, grant=G)], 2, "another's approval"),
    ([proposed()], 1, "of no draft"),
    ([decided("deny", "draft", codes=["budget"]), proposed()], 2, "of no draft"),
    ([drafted(), proposed(), proposed(d="d2", request="r2")], 3, "proposed already"),
    ([drafted(), decided(draft="draft")], 2, "proposes a draft and nothing else"),
    ([{**decided(), "actor_kind": "person"}], 1, "proposes a draft and nothing else"),
    ([decided(), edited(), voted("ada", revision=2)], 3, "wrote this revision"),
    ([decided(), edited(), voted("bob", revision=1)], 3, "revision 1"),
    ([decided(), voted(quorum=2, state="pending", grant=None), edited("eva"), voted("bob", quorum=2, revision=2)],
     4, "1 of 2"),
    ([decided(), {**voted(), "actor_kind": "key"}], 2, "no person cast"),
    ([voted()], 1, "no decision made its request"),
    ([decided(), voted(), taken_back(), ran()], 4, "was revoked"),
    ([decided("allow"), said("grant.ended", G, state="expired"), ran()], 3, "was expired"),
    ([decided("allow"), ran(epoch=2)], 2, "another epoch"),
    ([decided("allow"), ran(revision=2)], 2, "another revision"),
    ([decided("allow"), ran(decision="other")], 2, "another decision"),
    ([decided("allow"), {**ran(), "feature": "g"}], 2, "another feature"),
    ([decided("allow"), stopped(), ran()], 3, "while the tools were off"),
    ([decided("allow"), stopped("everything", feature=""), ran()], 3, "while the tools were off"),
    ([decided("allow"), stopped(), said("tools.restored", S, scope="feature"), ran()], 4, "before a stop"),
    ([decided("allow"), said("policy.activated", "p"), ran()], 3, "before a stop, a restore or another policy"),
    ([stopped(), {**said("tools.restored", S, scope="feature"), "actor_kind": "key"}], 2, "no person switched"),
    # Its record came late, but the tools were off long before.
    ([said_at(decided("allow"), 60), said_at(ran(), 90), stopped(at=95, off=61)], 2, "record 3 says"),
]  # fmt: skip


@pytest.mark.parametrize("log", FINE)
def test_what_may_happen_is_never_blamed(log: list[Json]) -> None:
    assert check(log).unknown == 0


@pytest.mark.parametrize(("log", "number", "why"), WRONG, ids=[why for _, _, why in WRONG])
def test_what_must_never_happen_is_found_and_named(log: list[Json], number: int, why: str) -> None:
    with pytest.raises(verifier.Broken) as found:
        check(log)
    assert found.value.number == number
    assert why in found.value.why


def test_a_changed_record_is_named_before_what_it_would_mean() -> None:
    log = chained([said_at(one, 0) for one in [ran(), decided("allow")]])
    log[1]["actor"] = "mallory"
    with pytest.raises(verifier.Tampered) as found:
        verifier.verify(log, KEY.public_key())
    assert not isinstance(found.value, verifier.Broken)
    assert found.value.number == 2


def test_what_was_decided_in_an_archive_is_unknown_and_not_wrong() -> None:
    meaning = verifier.Meaning(whole=False)
    log = [
        voted("bob"),
        ran(),
        said("grant.ended", "g9", state="expired"),
        decided("allow", "d2", grant="g2"),
    ]
    log += [ran("e2", grant="g2", decision="d2"), said("tools.restored", S, scope="feature")]
    for number, one in enumerate(log, 101):
        meaning.read({**one, "number": number, "at": "2026-11-24T09:00:00.000000Z"})
    assert (meaning.broken, meaning.unknown) == (None, 3)
    meaning.read({**ran("e3"), "number": 107, "at": "2026-11-24T09:00:00.000000Z"})
    assert meaning.broken is not None
    assert meaning.broken.number == 107


def of_feature(agent: Agent) -> list[Json]:
    mine = (str(agent.feature.pk), "")
    return [one for one in records() if one["feature"] in mine]


def replayed(agent: Agent) -> tuple[verifier.Meaning, list[Json]]:
    meaning, log = verifier.Meaning(), of_feature(agent)
    for one in log:
        meaning.read(one)
    return meaning, log


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack, quorum=2)


def test_what_really_happens_is_never_blamed(agent: Agent, stack: Stack) -> None:
    """Allowed, approved by two, taken back, edited, rejected, withdrawn, superseded by a policy, killed, restored."""
    ada, bob, eve = (make_person(agent.slug) for _ in range(3))
    small = agent.ask(refund("20.00")).json()["id"]
    assert agent.execute(small).status_code == 200

    large = agent.ask(refund("80.00")).json()
    for person in (ada, bob):
        assert cast(stack, person, large["request_id"]).status_code in (200, 302, 303)
    take_back(large["request_id"], bob)
    assert cast(stack, eve, large["request_id"]).status_code in (200, 302, 303)

    asked = agent.ask(refund("90.00")).json()
    args = {**Decision.objects.get(pk=asked["id"]).__dict__, **refund("85.00")["args"]}
    args = {name: args[name] for name in ("order_id", "amount", "currency")}
    cast(stack, ada, asked["request_id"])
    edit(asked["request_id"], args, 1, eve)
    for person in (ada, bob):
        cast(stack, person, asked["request_id"], revision=2)

    refused = agent.ask(refund("91.00")).json()
    cast(stack, ada, refused["request_id"], "reject", reason="not this one")
    gone = agent.ask(refund("92.00")).json()
    assert agent.send(f"/api/v1/decisions/{gone['id']}/withdraw").status_code == 200
    agent.ask(refund("93.00"))
    apply(agent.slug, quorum=1)
    stop = kill(agent.feature, reason="something is wrong", by=ada).stop
    assert agent.execute(agent.ask(refund("21.00")).json()["id"]).status_code in (409, 423)
    restore(stop, "all is well again", eve)
    assert agent.execute(agent.ask(refund("22.00")).json()["id"]).status_code == 200

    meaning, log = replayed(agent)
    assert meaning.broken is None, meaning.broken
    actions = {one["action"] for one in log}
    assert {"vote.cast", "vote.taken_back", "request.edited", "request.ended", "tools.restored"} <= actions
    assert sum(one["action"] == "execution.started" for one in log) == 2


def test_each_execution_of_a_real_record_is_missed_without_its_grant(agent: Agent) -> None:
    decision = agent.ask(refund("20.00")).json()["id"]
    assert agent.execute(decision).status_code == 200
    meaning, log = replayed(agent)
    assert meaning.broken is None
    anew = verifier.Meaning()
    for one in log:
        if one["subject"] != decision:
            anew.read(one)
    assert anew.broken is not None
    assert "no decision and no quorum" in anew.broken.why
