"""The machine interface of samples and judges' grades (api.md 8)."""

import json
from typing import Any

import httpx
import pytest

from features.models import Feature
from features.policy import read_policy
from features.policy.activation import apply_policy
from features.services import create_key
from reviews.models import JudgeGrade
from reviews.services import close_sample
from tests.approvals.support import policy_text
from tests.reviews.support import Desk, grade
from tests.reviews.test_results import fresh, place_of
from tests.support import Stack


class Caller:
    """A key of a feature that asks over HTTP."""

    def __init__(self, stack: Stack, feature: Feature, *scopes: str) -> None:
        _, key = create_key(feature=feature, scopes=scopes)
        self.http = httpx.Client(
            base_url=f"{stack.url}/api/v1/features/{feature.slug}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )

    def sample(self, week: str) -> httpx.Response:
        return self.http.get(f"/samples/{week}")

    def judge(self, body: Any) -> httpx.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return self.http.post("/judge-grades", content=text, headers={"Content-Type": "application/json"})


@pytest.fixture
def desk() -> Desk:
    return Desk(40)


def judged(desk: Desk, **changed: Any) -> dict[str, Any]:
    one = {"trace_id": desk.traces[0].hex(), "criterion": "tone", "number": 4}
    return {"judge": "judge-1", "rubric": 1, "grades": [one], **changed}


def test_a_week_is_not_found_before_it_is_drawn(stack: Stack, desk: Desk) -> None:
    caller = Caller(stack, desk.feature, "read")
    for week in (desk.week, "2026-W60", "yesterday"):
        answer = caller.sample(week)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["Content-Type"] == "application/problem+json"
    desk.draw()
    assert caller.sample(desk.week).status_code == 200


def test_a_drawn_week_says_how_each_request_got_in(stack: Stack, desk: Desk) -> None:
    sample = desk.draw("7")
    found = Caller(stack, desk.feature, "read").sample(desk.week).json()
    assert {"week", "seed", "drawn_at", "population", "items", "progress", "criteria"} <= set(found)
    assert (found["week"], found["seed"], found["population"]) == (desk.week, "7", 40)
    assert found["drawn_at"].endswith("Z")
    items = {bytes(item.trace_id).hex(): item for item in sample.items.all()}
    assert {one["trace_id"] for one in found["items"]} == set(items)
    for one in found["items"]:
        item = items[one["trace_id"]]
        assert set(one) == {"trace_id", "stratum", "probability", "weight", "why"}
        assert (one["probability"], one["weight"]) == (item.chance, item.weight)
        assert 0 < one["probability"] <= 1
    assert found["progress"] == {"graded": 0, "assigned": 0, "total": 40}
    nothing = {"rate": None, "k": 0, "n": 0, "low": None, "high": None}
    assert [one["id"] for one in found["criteria"]] == [
        "task_done",
        "grounded",
        "tone",
        "helpfulness",
        "policy",
    ]
    for one in found["criteria"]:
        assert one == {"id": one["id"], "estimate": nothing, "unweighted": nothing, "alpha": None}


def test_figures_of_an_open_week_come_when_they_are_nobodys_own_grades(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    caller = Caller(stack, desk.feature, "read")
    items = list(sample.items.filter(wanted=1)[:5])
    for item in items[:4]:
        (review,) = place_of(sample, item, person)
        grade(review, person, tone=1)
    found = caller.sample(desk.week)
    assert found.json()["progress"] == {"graded": 4, "assigned": 4, "total": 40}
    assert found.json()["criteria"][2]["estimate"]["n"] == 0
    (review,) = place_of(sample, items[4], person)
    grade(review, person, tone=5)
    found = caller.sample(desk.week)
    estimate = found.json()["criteria"][2]["estimate"]
    assert (estimate["k"], estimate["n"]) == (1, 5)
    assert estimate["low"] <= estimate["rate"] <= estimate["high"]
    # Neither whose grades they are nor what anybody gave to one request.
    assert person.name not in found.text
    assert "final" not in found.text
    assert "grades" not in found.text


def test_a_graded_week_has_weighted_and_unweighted_rates_and_alpha(stack: Stack) -> None:
    desk = Desk(0)
    desk.fill(300, outcome="success")
    violating = set(desk.fill(6, outcome="success", violations=1))
    sample = desk.draw()
    for number, person in enumerate((desk.person(), desk.person())):
        for item in sample.items.filter(wanted__gte=number + 1):
            (review,) = place_of(sample, item, person)
            grade(review, person, tone=2 if bytes(item.trace_id) in violating else 4)
    close_sample(fresh(sample))
    found = Caller(stack, desk.feature, "read").sample(desk.week).json()
    tone = next(one for one in found["criteria"] if one["id"] == "tone")
    drawn = sample.items.filter(trace_id__in=violating).count()
    assert tone["estimate"]["rate"] == pytest.approx(300 / 306)
    assert (tone["estimate"]["k"], tone["estimate"]["n"]) == (40 - drawn, 40)
    assert tone["unweighted"]["rate"] == pytest.approx((40 - drawn) / 40)
    assert tone["alpha"] is None  # eight double grades are too few
    assert found["progress"] == {"graded": 40, "assigned": 40, "total": 40}


def test_alpha_stands_where_ten_were_graded_twice(stack: Stack) -> None:
    desk = Desk(40)
    text = policy_text(desk.feature.slug) + "\n[reviews]\nsample = 30\ndouble_graded = 0.4\n"
    apply_policy(read_policy(text).document, text)
    sample = desk.draw()
    twice = list(sample.items.filter(wanted=2))
    assert len(twice) == 12
    for shift, person in enumerate((desk.person(), desk.person())):
        for n, item in enumerate(twice):
            (review,) = place_of(sample, item, person)
            grade(review, person, tone=1 + (n + shift * (n == 0)) % 5)
    found = Caller(stack, desk.feature, "read").sample(desk.week).json()
    tone = next(one for one in found["criteria"] if one["id"] == "tone")
    assert tone["alpha"]["n"] == 12
    assert 0.9 < tone["alpha"]["value"] < 1
    assert tone["alpha"]["low"] <= tone["alpha"]["value"] <= tone["alpha"]["high"]
    # All the same value: nothing shows whether anybody would tell requests apart.
    assert next(one for one in found["criteria"] if one["id"] == "policy")["alpha"] is None


def test_a_key_needs_the_scope_and_sees_its_own_feature_alone(stack: Stack, desk: Desk) -> None:
    desk.draw()
    other = Desk(3)
    assert Caller(stack, desk.feature, "evaluate").sample(desk.week).json()["code"] == "insufficient_scope"
    assert Caller(stack, desk.feature, "read").judge(judged(desk)).status_code == 403
    stranger = Caller(stack, other.feature, "read", "evaluate")
    hidden = stranger.http.get(f"{stack.url}/api/v1/features/{desk.feature.slug}/samples/{desk.week}")
    absent = stranger.http.get(f"{stack.url}/api/v1/features/no-such/samples/{desk.week}")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json() == absent.json()
    sent = stranger.http.post(
        f"{stack.url}/api/v1/features/{desk.feature.slug}/judge-grades", json=judged(desk)
    )
    assert sent.status_code == 404
    assert (
        httpx.get(f"{stack.url}/api/v1/features/{desk.feature.slug}/samples/{desk.week}").status_code == 401
    )


def test_a_judges_grades_are_kept_and_the_newest_answer_holds(stack: Stack, desk: Desk) -> None:
    desk.draw()
    caller = Caller(stack, desk.feature, "evaluate")
    grades = [
        {"trace_id": trace.hex(), "criterion": key, "number": 2}
        for trace in desk.traces[:5]
        for key in ("tone", "policy")
    ]
    assert caller.judge(judged(desk, grades=grades)).json() == {"kept": 10}
    assert caller.judge(judged(desk)).json() == {"kept": 1}
    rows = JudgeGrade.objects.filter(feature=desk.feature, judge="judge-1")
    assert rows.count() == 10
    assert rows.get(trace_id=desk.traces[0], criterion="tone").number == 4


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"judge": ""}, "judge"),
        ({"judge": 3}, "judge"),
        ({"rubric": 9}, "rubric"),
        ({"rubric": "1"}, "rubric"),
        ({"rubric": True}, "rubric"),
        ({"grades": []}, "grades"),
        ({"grades": {}}, "grades"),
        ({"more": 1}, ""),
        ({"grades": [{"criterion": "tone", "number": 1}]}, "grades.0"),
        ({"grades": ["tone"]}, "grades.0"),
        ({"grades": [{"trace_id": "ab" * 16, "criterion": "tone", "number": 6}]}, "grades.0.number"),
        ({"grades": [{"trace_id": "ab" * 16, "criterion": "tone", "number": 1.5}]}, "grades.0.number"),
        ({"grades": [{"trace_id": "ab" * 16, "criterion": "humour", "number": 1}]}, "grades.0.criterion"),
        ({"grades": [{"trace_id": "abc", "criterion": "tone", "number": 1}]}, "grades.0.trace_id"),
        ({"grades": [{"trace_id": "ab" * 16, "criterion": "tone", "number": 1, "x": 1}]}, "grades.0"),
    ],
)
def test_bad_judges_grades_are_refused_with_what_to_mend(
    stack: Stack, desk: Desk, changed: dict[str, Any], field: str
) -> None:
    desk.draw()
    answer = Caller(stack, desk.feature, "evaluate").judge(judged(desk, **changed))
    assert answer.status_code == 400, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert all(one["detail"] for one in answer.json()["errors"])
    assert not JudgeGrade.objects.filter(feature=desk.feature).exists()


@pytest.mark.parametrize(
    ("body", "status"), [("{", 400), ("[]", 400), ('{"judge": "a", "judge": "b"}', 422), ("", 400)]
)
def test_what_is_no_such_body_is_refused(stack: Stack, desk: Desk, body: str, status: int) -> None:
    desk.draw()
    assert Caller(stack, desk.feature, "evaluate").judge(body).status_code == status


def test_the_openapi_document_describes_both(stack: Stack) -> None:
    document = httpx.get(f"{stack.url}/api/v1/schema/?format=json").json()
    sample = document["paths"]["/api/v1/features/{slug}/samples/{week}"]["get"]
    assert sample["operationId"] == "samples_read"
    schema = sample["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]["progress"]["properties"]) == {"graded", "assigned", "total"}
    sent = document["paths"]["/api/v1/features/{slug}/judge-grades"]["post"]
    assert sent["requestBody"]["content"]["application/json"]["schema"]["required"] == [
        "judge",
        "rubric",
        "grades",
    ]
