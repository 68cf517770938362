"""Whatever is unexpected does not run: no answer, a strange one, or one about something else."""

import itertools
from typing import Any

import pytest

from clearance import (
    AlreadyRun,
    BadRequest,
    Clearance,
    ClearanceError,
    Conflict,
    Denied,
    Expired,
    Killed,
    NoAccess,
    NotCanonical,
    Rejected,
    Revoked,
    StillPending,
    Unavailable,
    Untrusted,
    guarded,
)
from tests.clients.hostile import ARGS, Asked, Say, decision, execution, hostile, problem, soon

KEY = "clr_test"
OTHER = {"order_id": "A-1", "amount": "12.01", "currency": "USD"}


def refund_runs(url: str) -> list[dict[str, Any]]:
    """What a guarded tool ran against this server. Raises what it raises."""
    ran: list[dict[str, Any]] = []
    client = Clearance(url, KEY)

    @guarded("refund", client=client, key=lambda args: "one", timeout=2)
    def refund(order_id: str, amount: str, currency: str) -> str:
        ran.append({"order_id": order_id, "amount": amount, "currency": currency})
        return "done"

    refused = None
    with client:
        try:
            refund(**ARGS)
        except ClearanceError as error:
            refused = error
    if refused is not None:
        assert ran == []
        assert refused.message
        raise refused
    return ran


def steps(decided: Say, executed: Say | None = None) -> Any:
    def answering(asked: Asked) -> Say:
        if asked.path.endswith("/execute"):
            assert executed is not None, "it must not ask to execute"
            return executed
        if asked.path.endswith("/outcome"):
            return Say(body={})
        if asked.path.endswith("/withdraw"):
            return Say(body=decision(decision="needs_approval", state="withdrawn"))
        return decided

    return answering


def test_a_right_answer_runs_and_is_reported() -> None:
    with hostile(steps(Say(body=decision()), Say(body=execution()))) as server:
        assert refund_runs(server.url) == [ARGS]
        assert server.paths("/outcome")[0].body == {"status": "succeeded", "result": "done"}
        assert server.paths("/execute")[0].body == {"digest": decision()["digest"]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>sign in</html>", 200),
        (b"", 200),
        (b"[]", 200),
        (b"null", 200),
        (b"\xff\xfe", 200),
        (b"[" * 100_000, 200),
        (b'{"decision":"allow","decision":"deny"}', 200),
        (decision(decision="maybe"), 200),
        (decision(state="granted"), 200),
        (decision(decision="deny"), 200),
        (decision(decision="deny", state="denied"), 200),
        (decision(decision="allow", state="approved"), 200),
        (decision(decision="needs_approval", state="ready"), 200),
        (decision(), 403),
        (decision(id=None), 200),
        (decision(id=7), 200),
        (decision(digest="sha256:" + "0" * 64), 200),
        (decision(digest=decision()["digest"].upper()), 200),
        (decision(digest=None), 200),
        (decision(revision=True), 200),
        (decision(revision=0), 200),
        (decision(reasons="none"), 200),
        (decision(retry="perhaps"), 200),
        (decision(expires_at="tomorrow"), 200),
        (decision(expires_at="2026-11-25T00:00:00"), 200),
        (decision(edited="amount"), 200),
        (decision(decision="needs_approval", state="pending", expires_at=None), 202),
        (decision(), 201),
        (b"", 302),
        (b"", 418),
    ],
)
def test_an_answer_of_another_shape_permits_nothing(body: Any, status: int) -> None:
    with hostile(steps(Say(status, body))) as server, pytest.raises(Untrusted):
        refund_runs(server.url)


@pytest.mark.parametrize(
    "changes",
    [
        {"args": OTHER},
        {"args": OTHER, "digest": "sha256:" + "0" * 64},
        {"args": {**ARGS, "note": "extra"}},
        {"args": [ARGS]},
        {"args": None},
        {"action": "delete_customer"},
        {"digest": "sha256:" + "0" * 64},
        {"execution": ""},
        {"execution": None},
        {"receipt": None},
        {"deadline": "soon"},
    ],
)
def test_an_execution_of_something_else_does_not_run(changes: dict[str, Any]) -> None:
    with (
        hostile(steps(Say(body=decision()), Say(body=execution(**changes)))) as server,
        pytest.raises(Untrusted),
    ):
        refund_runs(server.url)


def test_other_arguments_with_their_own_right_digest_do_not_run() -> None:
    from clearance import digest_of

    wrong = execution(args=OTHER, digest=digest_of("refund", OTHER))
    with hostile(steps(Say(body=decision()), Say(body=wrong))) as server, pytest.raises(Untrusted):
        refund_runs(server.url)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_server_in_trouble_is_asked_again_and_then_nothing_runs(status: int) -> None:
    with hostile(steps(Say(status, b"oops", {"Retry-After": "0"}))) as server:
        with pytest.raises(Unavailable):
            refund_runs(server.url)
        assert len(server.asked) == 5
        assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 1
        assert len({str(asked.body) for asked in server.asked}) == 1


def test_a_long_retry_after_is_not_cut_short() -> None:
    with hostile(steps(Say(503, b"", {"Retry-After": "3600"}))) as server:
        with pytest.raises(Unavailable):
            refund_runs(server.url)
        assert len(server.asked) == 1


def test_nobody_listening_means_nothing_runs() -> None:
    with hostile(steps(Say())) as server:
        url = server.url
    with pytest.raises(Unavailable):
        refund_runs(url)


def test_a_lost_answer_of_execute_is_not_asked_for_again() -> None:
    with hostile(steps(Say(body=decision()), Say(drop=True))) as server:
        with pytest.raises(Unavailable, match="settle"):
            refund_runs(server.url)
        assert len(server.paths("/execute")) == 1


def test_a_broken_gateway_before_execute_is_not_asked_again() -> None:
    with hostile(steps(Say(body=decision()), Say(502, b"bad gateway"))) as server:
        with pytest.raises(Unavailable):
            refund_runs(server.url)
        assert len(server.paths("/execute")) == 1


def test_execute_is_asked_again_where_the_server_says_it_did_nothing() -> None:
    answers = iter([problem(503, "unavailable", **{"Retry-After": "0"}), Say(body=execution())])

    def answering(asked: Asked) -> Say:
        if asked.path.endswith("/execute"):
            return next(answers)
        return steps(Say(body=decision()))(asked)  # type: ignore[no-any-return]

    with hostile(answering) as server:
        assert refund_runs(server.url) == [ARGS]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "already_consumed", AlreadyRun),
        (409, "expired", Expired),
        (409, "revoked", Revoked),
        (409, "not_approved", StillPending),
        (409, "digest_mismatch", Untrusted),
        (409, "something_new", Conflict),
        (423, "killed", Killed),
        (404, "not_found", NoAccess),
        (401, "not_authenticated", NoAccess),
    ],
)
def test_each_refusal_of_execute_has_its_error(status: int, code: str, kind: type[ClearanceError]) -> None:
    with hostile(steps(Say(body=decision()), problem(status, code))) as server:
        with pytest.raises(kind) as raised:
            refund_runs(server.url)
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "not_authenticated", NoAccess),
        (403, "insufficient_scope", NoAccess),
        (409, "idempotency_conflict", Conflict),
        (400, "invalid", BadRequest),
        (413, "too_large", BadRequest),
        (422, "not_canonical", NotCanonical),
    ],
)
def test_each_refusal_of_decide_has_its_error(status: int, code: str, kind: type[ClearanceError]) -> None:
    with hostile(steps(problem(status, code))) as server, pytest.raises(kind):
        refund_runs(server.url)


@pytest.mark.parametrize(
    ("answer", "state", "kind"),
    [
        ("deny", "denied", Denied),
        ("needs_approval", "rejected", Rejected),
        ("needs_approval", "expired", Expired),
        ("needs_approval", "consumed", AlreadyRun),
        ("needs_approval", "revoked", Revoked),
    ],
)
def test_a_state_that_permits_nothing_is_not_executed(
    answer: str, state: str, kind: type[ClearanceError]
) -> None:
    status = 403 if answer == "deny" else 202
    body = decision(decision=answer, state=state, message="Ask Ada first.", retry="never")
    with hostile(steps(Say(status, body))) as server:
        with pytest.raises(kind) as raised:
            refund_runs(server.url)
        assert "Ask Ada first." in raised.value.message
        assert server.paths("/execute") == []


def test_a_request_that_nobody_decides_is_withdrawn() -> None:
    body = decision(decision="needs_approval", state="pending")

    def answering(asked: Asked) -> Say:
        status = 200 if asked.method == "GET" else 202
        return steps(Say(status, body))(asked)  # type: ignore[no-any-return]

    with hostile(answering) as server:
        with pytest.raises(StillPending):
            refund_runs(server.url)
        assert len(server.paths("/withdraw")) == 1


def test_waiting_ends_when_the_request_expires_whatever_the_clocks_say() -> None:
    # The server's clock is an hour behind; by it the request has one second left.
    past = decision(decision="needs_approval", state="pending", expires_at=soon(-3600 + 1))

    def answering(asked: Asked) -> Say:
        return Say(202 if asked.method == "POST" else 200, past)

    with hostile(answering, behind=3600) as server, Clearance(server.url, KEY) as client:
        found = client.decide("refund", ARGS, idempotency_key="one")
        assert client.wait(found).pending
        with pytest.raises(StillPending):
            client.execute(found)


def test_waiting_goes_on_over_a_restart() -> None:
    body = decision(decision="needs_approval", state="pending")
    approved = decision(decision="needs_approval", state="approved")
    answers = itertools.chain(
        [Say(drop=True), Say(502, b""), problem(503, "starting", **{"Retry-After": "0"}), Say(200, body)],
        itertools.repeat(Say(200, approved)),
    )

    def answering(asked: Asked) -> Say:
        return next(answers) if asked.method == "GET" else Say(202, body)

    with hostile(answering) as server, Clearance(server.url, KEY) as client:
        assert client.wait(client.decide("refund", ARGS, idempotency_key="one")).state == "approved"


@pytest.mark.parametrize("changes", [{"draft": None}, {"draft": "d-9"}, {"id": "d-9", "draft": "d-1"}])
def test_a_proposal_that_does_not_name_its_draft_is_no_answer(changes: dict[str, Any]) -> None:
    draft = decision(decision="deny", state="denied", proposed="d-2")
    made = decision(decision="needs_approval", state="approved", **{"id": "d-2", **changes})

    def answering(asked: Asked) -> Say:
        if asked.method == "POST":
            return Say(403, draft)
        return Say(200, draft if asked.path.endswith("/d-1") else made)

    with hostile(answering) as server, Clearance(server.url, KEY) as client:
        found = client.decide("refund", ARGS, idempotency_key="one")
        with pytest.raises(Untrusted):
            client.proposed(found)


def test_an_answer_about_another_decision_or_an_older_revision_is_no_answer() -> None:
    first = decision(decision="needs_approval", state="pending", revision=2)
    for changes in ({"id": "d-2", "revision": 2}, {"revision": 1}):
        later = decision(decision="needs_approval", state="approved", **changes)

        def answering(asked: Asked, later: dict[str, Any] = later) -> Say:
            return Say(200, later) if asked.method == "GET" else Say(202, first)

        with hostile(answering) as server, Clearance(server.url, KEY) as client:
            found = client.decide("refund", ARGS, idempotency_key="one")
            with pytest.raises(Untrusted):
                client.wait(found)


@pytest.mark.parametrize(
    "args", [{"amount": float("nan")}, {"amount": 2**60}, {"amount": {1, 2}}, {"amount": "\ud800"}, {1: 2}]
)
def test_what_has_no_one_spelling_is_not_even_asked(args: dict[Any, Any]) -> None:
    with hostile(steps(Say(body=decision()))) as server, Clearance(server.url, KEY) as client:
        with pytest.raises(NotCanonical):
            client.decide("refund", args, idempotency_key="one")
        assert server.asked == []


def test_without_settings_there_is_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLEARANCE_URL", "CLEARANCE_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="CLEARANCE_URL"):
        Clearance()
    monkeypatch.setenv("CLEARANCE_URL", "http://127.0.0.1:1")
    with pytest.raises(ValueError, match="CLEARANCE_KEY"):
        Clearance()
