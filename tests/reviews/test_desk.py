"""The reviewer's pages over HTTP: whose they are, what they hide, and that nothing typed is lost."""

import re
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from features.clock import clock
from features.models import Person
from reviews.desk import about, about_minutes
from reviews.models import Flag, Review, Sample
from reviews.queries import count_left
from reviews.rubric import read_rubric
from reviews.services import add_gold, claim, close_sample, publish, submit
from reviews.services.calibrating import BAR
from reviews.services.grading import Draft
from reviews.services.rubrics import ensure_rubric
from tests.reviews.support import GOOD, Desk, grade
from tests.reviews.talks import ANSWERED, ASKED, PAPER, SYSTEM, put_talks, talking
from tests.support import Browser, Stack, apart

BECAUSE = "It never says when the money comes."


@pytest.fixture
def desk() -> Desk:
    return talking(12)


def claimed(sample: Sample, person: Person) -> Review:
    found = claim(sample, person)
    assert found is not None
    return found


def form(review: Review, **changed: Any) -> dict[str, str]:
    """The form of the page with all grades good, at the revision that is there."""
    review.refresh_from_db()
    grades = {f"grade.{key}": str(number) for key, number in GOOD.items()}
    return {**grades, "revision": str(review.revision), "note": "", **changed}


def item(review: Review, act: str = "") -> str:
    return f"/reviews/items/{review.pk}/{act}"


def next_of(answer: httpx.Response) -> Review:
    assert answer.status_code == 303, answer.text
    found = re.search(r"/reviews/items/([0-9a-f-]{36})/", answer.headers["Location"])
    assert found is not None, answer.headers["Location"]
    return Review.objects.get(pk=found[1])


def test_the_queue_leads_to_the_next_request_and_each_submit_to_the_one_after(
    stack: Stack, desk: Desk
) -> None:
    sample, person = desk.draw(), desk.person()
    browser = Browser(stack, person)
    text = browser.get("/reviews/").text
    assert "<b>0 of 12</b> settled" in text
    review = next_of(browser.post(f"/reviews/{sample.pk}/next", {}))
    page = browser.get(item(review)).text
    assert ASKED in page
    assert ANSWERED in page
    after = next_of(browser.post(item(review, "submit"), form(review)))
    assert after.pk != review.pk
    review.refresh_from_db()
    assert review.state == "submitted"
    # Pressed twice: on to the same next one.
    assert next_of(browser.post(item(review, "submit"), form(review))).pk == after.pk


def test_after_the_last_the_queue_says_what_happens_next(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    browser = Browser(stack, person)
    review: Review | None = claimed(sample, person)
    for _ in range(20):
        assert review is not None
        answer = browser.post(item(review, "submit"), form(review))
        if answer.headers["Location"] == "/reviews/":
            break
        review = next_of(answer)
    text = browser.get("/reviews/").text
    assert "When it closes, you see where" in text
    assert "Undo the last" in text
    assert count_left(person) == 0


def test_until_it_is_submitted_the_page_says_nothing_of_the_trace(stack: Stack) -> None:
    desk = talking(6)
    desk.feature.refresh_from_db()
    sample, person = desk.draw(), desk.person()
    browser = Browser(stack, person)
    review = claimed(sample, person)
    assert review.item is not None
    for address in (item(review), item(review) + "?view=formatted"):
        html = browser.get(address).text
        for hidden in (
            bytes(review.item.trace_id).hex(),
            str(review.item.pk),
            review.item.stratum,
            review.item.why,
            "secret-model-9",
            "canary",
            "/traces/" + bytes(review.item.trace_id).hex(),
            "adjudicat",
            "shadow",
            "gold",
            "violation</",
        ):
            assert hidden not in html, hidden
    browser.post(item(review, "submit"), form(review))
    assert f"/traces/{bytes(review.item.trace_id).hex()}/" in browser.get(item(review)).text


def test_a_gold_item_an_adjudication_and_a_shadow_look_like_any_other(stack: Stack) -> None:
    desk = talking(4)
    sample = desk.draw()
    version = ensure_rubric(desk.feature)
    for trace_id in put_talks(desk.feature, 3):
        add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, desk.person("lead"))
    person = desk.person()
    browser = Browser(stack, person)
    gold = claimed(sample, person)
    assert gold.part == "gold"
    ordinary = desk.person("lead")
    other = claimed(sample, ordinary)
    assert other.part == "grade"

    def shape(browser: Browser, review: Review) -> str:
        text = browser.get(item(review)).text
        text = text[text.index("<main") : text.index("</main>")]
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b|value=\"[A-Za-z0-9]{40,}\"", "#", text)
        return re.sub(r"\d\d:\d\d:\d\d", "#", text)

    assert shape(browser, gold) == shape(Browser(stack, ordinary), other)


def test_a_gold_item_graded_below_the_bar_shows_the_agreed_grades_and_why(stack: Stack) -> None:
    desk = talking(4)
    sample = desk.draw()
    version = ensure_rubric(desk.feature)
    for trace_id in put_talks(desk.feature, 3):
        add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, desk.person("lead"))
    person = desk.person()
    browser = Browser(stack, person)
    review = claimed(sample, person)
    wrong = {"grade.task_done": "1", "grade.grounded": "1", "grade.policy": "1"}
    answer = browser.post(item(review, "submit"), form(review, **wrong))
    assert answer.headers["Location"] == item(review)
    page = browser.get(item(review)).text
    assert BECAUSE in page
    assert "You grade in shadow until" in page
    assert "the bar is 80" in page.replace("\u202f", " ")
    assert BAR == 0.8
    # What was seen is not graded again.
    browser.post(item(review, "take-back"), {})
    review.refresh_from_db()
    assert review.state == "submitted"


def test_a_gold_item_graded_well_is_never_told(stack: Stack) -> None:
    desk = talking(4)
    sample = desk.draw()
    version = ensure_rubric(desk.feature)
    for trace_id in put_talks(desk.feature, 1):
        add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, desk.person("lead"))
    person = desk.person()
    browser = Browser(stack, person)
    review = claimed(sample, person)
    assert review.part == "gold"
    next_of(browser.post(item(review, "submit"), form(review)))
    page = browser.get(item(review)).text
    assert "gold" not in page
    assert BECAUSE not in page


def test_another_s_review_does_not_exist_and_a_wrong_role_is_refused(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    for other in (desk.person(), desk.person("lead")):
        browser = Browser(stack, other)
        assert browser.get(item(review)).status_code == 404
        for act in ("draft", "submit", "skip", "flag", "take-back"):
            assert browser.post(item(review, act), form(review)).status_code == 404, act
    viewer = Browser(stack, desk.person("viewer"))
    assert viewer.post(f"/reviews/{sample.pk}/next", {}).status_code == 403
    assert "You review no feature yet" in viewer.get("/reviews/").text
    stranger = Browser(stack, Desk(0).person())
    assert stranger.post(f"/reviews/{sample.pk}/next", {}).status_code == 404
    review.refresh_from_db()
    assert (review.state, review.draft) == ("claimed", {})


def test_every_act_needs_the_form_s_token_and_only_the_draft_may_come_from_a_script(
    stack: Stack, desk: Desk
) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    acts = [item(review, act) for act in ("submit", "skip", "flag", "take-back")]
    acts.append(f"/reviews/{sample.pk}/next")
    for path in acts:
        browser._http.headers["HX-Request"] = "true"
        assert browser.post(path, form(review)).status_code == 403, path
        del browser._http.headers["HX-Request"]
    browser._http.headers["X-CSRFToken"] = "x" * 32
    for path in [*acts, item(review, "draft")]:
        assert browser.post(path, form(review)).status_code == 403, path
    review.refresh_from_db()
    assert review.state == "claimed"
    assert not Flag.objects.filter(review=review).exists()


@pytest.mark.parametrize(
    ("changed", "says", "status"),
    [
        ({"grade.tone": "6"}, "6 is not on the scale", 400),
        ({"grade.tone": ""}, "Not answered yet: Tone", 400),
        ({"grade.humour": "1"}, "The rubric has no criterion humour", 400),
        ({"note": "n" * 4001}, "A note has at most 4000", 400),
    ],
)
def test_what_was_typed_comes_back_with_every_refusal(
    stack: Stack, desk: Desk, changed: dict[str, str], says: str, status: int
) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    typed = form(review, note="a careful note", quote="two charges", comment="it says one")
    answer = Browser(stack, person).post(item(review, "submit"), {**typed, **changed})
    assert answer.status_code == status
    assert says in answer.text
    assert changed.get("note", "a careful note") in answer.text
    assert "it says one" in answer.text
    assert re.search(r'name="grade.task_done" value="3"[^>]* checked', answer.text)


def test_what_no_form_of_ours_sends_is_refused(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    for wrong in ({"revision": "x"}, {"revision": ""}, {"grade.tone": "five"}, {"turn": "-1"}):
        for act in ("submit", "draft", "skip", "flag"):
            assert browser.post(item(review, act), form(review, **wrong)).status_code == 400, (wrong, act)


def autosave(browser: Browser, review: Review, data: dict[str, str]) -> httpx.Response:
    browser._http.headers["HX-Request"] = "true"
    answer = browser.post(item(review, "draft"), data)
    del browser._http.headers["HX-Request"]
    return answer


def hidden(answer: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found is not None, answer.text
    return found[1]


def test_a_draft_is_kept_with_its_time_and_the_revision_for_the_next(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    answer = autosave(browser, review, {"grade.tone": "4", "note": "ok", "revision": "0"})
    assert answer.status_code == 200
    assert re.search(r"saved <time>\d\d:\d\d:\d\d</time>", answer.text)
    assert hidden(answer, "revision") == "1"
    review.refresh_from_db()
    assert review.draft["grades"] == {"tone": 4}
    assert review.draft["note"] == "ok"
    page = browser.get(item(review)).text
    assert re.search(r'name="grade.tone" value="4"[^>]* checked', page)


def test_of_two_tabs_the_later_is_told_and_chooses(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    one, other = browser.get(item(review)), browser.get(item(review))
    first = {"grade.tone": "5", "revision": "0", "tab": hidden(one, "tab"), "turn": "1"}
    second = {"grade.tone": "1", "revision": "0", "tab": hidden(other, "tab"), "turn": "2"}
    assert autosave(browser, review, first).status_code == 200
    refused = autosave(browser, review, second)
    assert refused.status_code == 409
    assert "Changed in another tab" in refused.text
    assert hidden(refused, "revision") == "0"
    # Nothing is saved by itself until the person has chosen.
    assert autosave(browser, review, {**second, "turn": "3"}).status_code == 409
    over = re.search(r'name="over" value="(\d+)"', refused.text)
    assert over is not None
    assert browser.post(item(review, "draft"), {**second, "over": over[1]}).status_code == 303
    review.refresh_from_db()
    assert review.draft["grades"] == {"tone": 1}


def test_a_tab_that_never_heard_that_it_was_saved_goes_on(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    tab = hidden(browser.get(item(review)), "tab")
    lost = {"grade.tone": "5", "note": "a", "revision": "0", "tab": tab, "turn": "1"}
    assert autosave(browser, review, lost).status_code == 200  # and its answer never arrived
    assert autosave(browser, review, {**lost, "note": "ab", "turn": "2"}).status_code == 200
    # What comes late does not bring an older text back.
    assert autosave(browser, review, lost).status_code == 409
    review.refresh_from_db()
    assert review.draft["note"] == "ab"


def test_who_is_signed_out_is_told_and_no_sign_in_page_is_swapped_in(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    answer = autosave(Browser(stack), review, form(review))
    assert answer.status_code == 401
    assert "You are signed out." in answer.text
    assert f"/accounts/login/?next={item(review)}" in answer.text
    assert "Password" not in answer.text


def test_a_lost_lease_keeps_the_text_and_leads_on(stack: Stack, desk: Desk) -> None:
    sample, person, other = desk.draw(), desk.person(), desk.person()
    review = claimed(sample, person)
    Review.objects.filter(pk=review.pk).update(lease_until=clock())
    while (taken := claimed(sample, other)).item_id != review.item_id:
        grade(taken, other)
    if review.item is not None and review.item.wanted == 2:
        pytest.fail("the first item is for one")
    browser = Browser(stack, person)
    data = {"note": "half a thought", "revision": "0"}
    answer = autosave(browser, review, data)
    assert answer.status_code == 409
    assert "Somebody else grades this request now" in answer.text
    assert f"/reviews/{sample.pk}/next" in answer.text
    review.refresh_from_db()
    assert review.draft["note"] == "half a thought"
    whole = browser.post(item(review, "submit"), form(review, note="half a thought, and more"))
    assert whole.status_code == 409
    assert "half a thought, and more" in whole.text


def test_a_closed_sample_says_so_and_takes_nothing(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    close_sample(sample, desk.person("lead"))
    browser = Browser(stack, person)
    assert "This sample is closed" in browser.get(item(review)).text
    answer = browser.post(item(review, "submit"), form(review, note="too late"))
    assert (answer.status_code, "too late" in answer.text) == (400, True)
    assert browser.post(f"/reviews/{sample.pk}/next", {}).headers["Location"] == "/reviews/"


def test_a_skip_needs_a_reason_keeps_the_grades_and_is_taken_back(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    refused = browser.post(item(review, "skip"), form(review, note="kept"))
    assert refused.status_code == 400
    assert "Say why you skip it." in refused.text
    assert "kept" in refused.text
    after = next_of(browser.post(item(review, "skip"), form(review, reason="it is in Finnish")))
    assert f'action="{item(review, "take-back")}"' in browser.get(item(after)).text
    assert "it is in Finnish" in browser.get(item(review)).text
    assert next_of(browser.post(item(review, "take-back"), {})).pk == review.pk
    page = browser.get(item(review)).text
    assert re.search(r'name="grade.tone" value="4"[^>]* checked', page)


def test_a_flag_is_raised_and_grading_goes_on_with_what_was_typed(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    assert browser.post(item(review, "flag"), form(review, kind="violation")).status_code == 400
    assert browser.post(item(review, "flag"), form(review, kind="nonsense")).status_code == 400
    done = browser.post(item(review, "flag"), form(review, kind="violation", flag_note="it promises money"))
    assert done.status_code == 303
    assert Flag.objects.get(review=review).note == "it promises money"
    page = browser.get(item(review)).text
    assert "flagged already" in page
    assert re.search(r'name="grade.tone" value="4"[^>]* checked', page)


def test_the_last_submit_is_undone_from_the_next_page_and_from_the_queue(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    after = next_of(browser.post(item(review, "submit"), form(review)))
    for page in (item(after), "/reviews/"):
        assert f'action="{item(review, "take-back")}"' in browser.get(page).text
    assert next_of(browser.post(item(review, "take-back"), {})).pk == review.pk
    # Afterwards the one that was in hand comes next.
    assert next_of(browser.post(item(review, "submit"), form(review, note="again"))).pk == after.pk


def test_documents_stand_beside_the_question_of_grounding(stack: Stack, desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    page = Browser(stack, person).get(item(review)).text
    grounded = page[page.index('id="c-grounded"') : page.index('id="c-tone"')]
    assert PAPER in grounded
    assert page.index("System prompt") < page.index(SYSTEM)


def test_hostile_text_is_never_markup_raw_or_formatted(stack: Stack) -> None:
    hostile = "<img src=x onerror=alert(1)> [go](https://evil.example) **bold** </main><form action=/kill>"
    desk = talking(2, asked=hostile, answered=hostile, paper=hostile)
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    browser = Browser(stack, person)
    for view in ("raw", "formatted"):
        html = browser.get(f"{item(review)}?view={view}").text
        assert "<img src=x" not in html
        assert 'href="https://evil' not in html
        assert 'action="/kill"' not in html
        assert "<form action=/kill" not in html
        assert html.count("</main>") == 1
        assert ("<strong>bold</strong>" in html) == (view == "formatted")


def test_content_that_is_gone_is_said_and_can_be_skipped(stack: Stack) -> None:
    desk = talking(3)
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    assert review.item is not None
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM span WHERE trace_id = %s", [bytes(review.item.trace_id)])
    browser = Browser(stack, person)
    assert "Nothing of it is there any more" in browser.get(item(review)).text
    next_of(browser.post(item(review, "skip"), form(review, reason="its content is gone")))


def test_a_progress_figure_never_says_which_request_was_a_gold_item() -> None:
    assert [about(left) for left in (0, 1, 5, 6, 28, 30)] == ["", "<6", "<6", "~10", "~30", "~30"]
    assert [about_minutes(minutes) for minutes in (None, 1, 12, 34)] == [None, 5, 10, 35]


def queries_of(sample: Sample, person: Person) -> list[int]:
    """How many queries the way from a submit to the next page takes, request by request."""
    from django.test import Client

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(person)
    review = claimed(sample, person)
    found = []
    for _ in range(3):
        with CaptureQueriesContext(
            connection,
        ) as caught:
            answer = client.post(item(review, "submit"), form(review))
        submitted = len(caught)
        review = Review.objects.get(pk=answer["Location"].split("/")[3])
        with CaptureQueriesContext(connection) as caught:
            assert client.get(item(review)).status_code == 200
        found.append(submitted + len(caught))
    return found


def test_the_way_to_the_next_request_takes_as_many_queries_in_a_larger_sample() -> None:
    small, large = talking(6), talking(30)
    for desk in (small, large):
        desk.draw()
    few = apart(lambda: queries_of(small.draw(), small.person()))
    many = apart(lambda: queries_of(large.draw(), large.person()))
    assert max(many) <= max(few)
    assert max(many) < 110


def test_a_lead_s_own_rubric_is_what_the_page_asks(stack: Stack) -> None:
    desk = talking(3)
    document = {
        "guideline": "Read it twice.",
        "criteria": [
            {
                "key": "clear",
                "name": "Clear",
                "question": "Would the user understand it?",
                "scale": "pass_fail",
                "values": [
                    {"label": "no", "anchor": "They would ask again"},
                    {"label": "yes", "anchor": "At once"},
                ],
                "required": False,
            },
            {
                "key": "kind",
                "name": "Kind",
                "question": "Is it kind?",
                "scale": "pass_fail",
                "values": [{"label": "no", "anchor": "It is not"}, {"label": "yes", "anchor": "It is"}],
            },
        ],
    }
    publish(desk.feature, read_rubric(document), desk.person("lead"))
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    page = Browser(stack, person).get(item(review)).text
    for words in (
        "Read it twice.",
        "Would the user understand it?",
        "They would ask again",
        "may be left out",
    ):
        assert words in page
    done = submit(review.pk, Draft({"kind": 2}), 0, person)
    assert done.state == "submitted"
