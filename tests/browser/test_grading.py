"""Grading in a real browser: by the keyboard alone, through a server that is killed, in two tabs, on a phone."""

import os
import re
import signal
import threading
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from features.clock import clock
from features.models import Person
from reviews.models import Flag, Grade, Review, Sample
from reviews.services import add_gold, claim, close_sample, skip
from reviews.services.rubrics import ensure_rubric
from tests.browser.conftest import Visit, Visitor
from tests.browser.test_hostile_traces import csp_reports
from tests.reviews.support import GOOD, Desk, grade
from tests.reviews.talks import ANSWERED, ASKED, put_talks, talking
from tests.support import Stack

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
KEYS = [str(number) for number in GOOD.values()]


def reviewer(visit: Visit, desk: Desk, **context: Any) -> Visitor:
    """A reviewer at the queue."""
    rio = visit(desk.feature.slug, role="reviewer", **context)
    rio.sign_in()
    rio.go("/reviews/")
    return rio


def person_of(visitor: Visitor) -> Person:
    return Person.objects.get(name=visitor.login)


def in_hand(visitor: Visitor) -> Review:
    """The review whose page is open."""
    found = re.search(r"/reviews/items/([0-9a-f-]{36})/", visitor.page.url)
    assert found is not None, visitor.page.url
    return Review.objects.select_related("item", "sample").get(pk=found[1])


def begin(visitor: Visitor) -> Review:
    visitor.page.keyboard.press("n")
    visitor.page.wait_for_url("**/reviews/items/**")
    visitor.page.get_by_role("heading", level=1).wait_for()
    return in_hand(visitor)


def saved(page: Page) -> None:
    """Wait until the server has all that was typed."""
    until = time.monotonic() + 60
    while page.evaluate("localStorage[document.getElementById('grade').dataset.kept] !== undefined"):
        assert time.monotonic() < until, page.locator("#saved").inner_text()
        page.wait_for_timeout(50)
    expect(page.locator("#saved")).to_contain_text(re.compile(r"saved \d\d:\d\d:\d\d"))


def draft(review: Review) -> Any:
    return Review.objects.get(pk=review.pk).draft


def note(page: Page) -> Any:
    """The note's field, unfolded."""
    if not page.get_by_label("Note").is_visible():
        page.get_by_text("Note", exact=True).click()
    return page.get_by_label("Note")


def test_forty_requests_are_graded_with_the_keyboard_alone(stack: Stack, visit: Visit) -> None:
    desk = talking(40)
    sample = desk.draw()
    rio = reviewer(visit, desk)
    begin(rio)
    page, seen = rio.page, set()
    for n in range(40):
        review = in_hand(rio)
        seen.add(review.pk)
        expect(page.locator(".criterion.now legend")).to_contain_text("Task done")
        for key in KEYS:
            page.keyboard.press(key)
        if n % 10 == 3:  # changed one's mind: back and to another value
            page.keyboard.press("k")
            page.keyboard.press("5")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        page.get_by_role("heading", level=1).wait_for()
    assert len(seen) == 40
    page.wait_for_url("**/reviews/")
    expect(page.get_by_text("When it closes, you see where").first).to_be_visible()
    given = Review.objects.filter(sample=sample, state="submitted")
    assert given.count() == 40
    assert Grade.objects.filter(review__in=given, criterion="helpfulness", number=5).count() == 4
    assert Grade.objects.filter(review__in=given, criterion="task_done", number=3).count() == 40
    # The last one back, from the empty queue.
    with page.expect_navigation():
        page.keyboard.press("u")
    page.wait_for_url("**/reviews/items/**")
    assert in_hand(rio).state == "claimed"
    expect(page.get_by_role("radio", name=re.compile("^3 done"))).to_be_checked()


def test_what_is_typed_while_the_server_is_killed_is_all_there(stack: Stack, visit: Visit) -> None:
    desk = talking(3)
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    page.keyboard.press("2")
    text = " ".join(f"word{n} that must not get lost," for n in range(30))
    killed = []

    def kill() -> None:
        for _ in range(3):
            time.sleep(1.5)
            for number in stack.parts("uvicorn"):
                os.kill(number, signal.SIGKILL)
                killed.append(number)

    killer = threading.Thread(target=kill)
    field = note(page)
    killer.start()
    field.press_sequentially(text, delay=9, timeout=120_000)
    killer.join()
    assert killed
    stack.wait_ready()
    saved(page)
    assert draft(review)["note"] == text
    assert draft(review)["grades"] == {"task_done": 2}
    page.reload()
    assert note(page).input_value() == text
    expect(page.get_by_text("Changed in another tab")).to_have_count(0)
    rio.errors[:] = [one for one in rio.errors if not _of_the_road(one)]


def _of_the_road(said: str) -> bool:
    """What the browser and htmx note of requests that a dead server or a dead line did not answer."""
    return any(words in said for words in ("ERR_", "htmx:sendError", "htmx:afterRequest", "htmx:sendAbort"))


def test_without_a_line_it_stays_on_the_device_and_comes_back_with_the_page(
    stack: Stack, visit: Visit
) -> None:
    desk = talking(3)
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    page.route("**/draft", lambda route: route.abort())
    page.keyboard.press("1")
    note(page).fill("written in a tunnel")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.talk > .msg.model .stored'))")
    page.locator("h1").click()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.talk > .msg.model .stored'))")
    page.keyboard.press("c")
    page.keyboard.type("which two?")
    expect(page.get_by_text("Not saved yet.")).to_be_visible()
    assert rio.violations() == []
    assert draft(review) == {}
    # Submitting now would leave the page for an error; it is tried again instead.
    for key in KEYS[1:]:
        page.locator("h1").click()
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Not saved yet.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Not saved yet.")).to_be_visible()
    assert note(page).input_value() == "written in a tunnel"
    assert page.get_by_label("Comment on the passage").input_value() == "which two?"
    assert page.get_by_label("Passage", exact=True).input_value() == ANSWERED
    page.unroute("**/draft")
    saved(page)
    kept = draft(review)
    assert kept["note"] == "written in a tunnel"
    assert kept["comments"] == [{"quote": ANSWERED, "text": "which two?"}]
    assert kept["grades"]["task_done"] == 1
    rio.errors[:] = [one for one in rio.errors if not _of_the_road(one)]


def test_signed_out_in_the_midst_of_it_and_back_with_every_letter(stack: Stack, visit: Visit) -> None:
    desk = talking(3)
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    cookies = [one for one in page.context.cookies() if one["name"] != "sessionid"]
    page.context.clear_cookies()
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    note(page).fill("typed after the session ended")
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    assert page.get_by_label("Password").count() == 0
    assert note(page).input_value() == "typed after the session ended"
    page.get_by_role("link", name="Sign in and go on").click()
    page.get_by_label("Login").fill(rio.login)
    page.get_by_label("Password").fill("a long enough password")
    rio.submit()
    page.wait_for_url(f"**/reviews/items/{review.pk}/")
    assert note(page).input_value() == "typed after the session ended"
    saved(page)
    assert draft(review)["note"] == "typed after the session ended"


def test_of_two_tabs_the_later_is_told_and_chooses(stack: Stack, visit: Visit) -> None:
    desk = talking(3)
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    first = rio.page
    second = first.context.new_page()
    second.goto(first.url)
    first.keyboard.press("3")
    saved(first)
    note(second).fill("the other tab")
    expect(second.get_by_text("Changed in another tab.")).to_be_visible()
    assert "note" not in draft(review)
    second.get_by_role("button", name="Keep these").click()
    saved_note = second.get_by_label("Note")
    expect(saved_note).to_have_value("the other tab")
    assert draft(review)["note"] == "the other tab"
    assert draft(review).get("grades", {}) == {}
    # And the other way round: the first tab is behind now, and takes what is there.
    first.keyboard.press("1")
    expect(first.get_by_text("Changed in another tab.")).to_be_visible()
    first.get_by_role("link", name="Load those").click()
    expect(first.get_by_label("Note")).to_have_value("the other tab")
    assert first.locator(".scale input:checked").count() == 0
    assert draft(review).get("grades", {}) == {}


def test_a_lease_that_is_lost_while_typing_keeps_the_text_and_leads_on(stack: Stack, visit: Visit) -> None:
    desk = talking(12)
    sample = desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    note(page).fill("half a thought")
    saved(page)
    take(sample, review, desk.person(), desk.person())
    note(page).fill("half a thought and another half")
    expect(page.get_by_text("Somebody else grades this request now.")).to_be_visible()
    assert note(page).input_value() == "half a thought and another half"
    assert draft(review)["note"] == "half a thought and another half"
    assert rio.violations() == []
    with page.expect_navigation():
        page.get_by_role("button", name="Grade next").click()
    assert in_hand(rio).pk != review.pk


def take(sample: Sample, review: Review, *others: Person) -> None:
    """Let the lease run out and as many others as there are places claim the request."""
    assert review.item is not None
    for other in others[: review.item.wanted]:
        while True:
            # A save that was still on its way makes it run anew.
            Review.objects.filter(pk=review.pk).update(lease_until=clock())
            taken = claim(sample, other)
            assert taken is not None
            if taken.item_id == review.item_id:
                break
            grade(taken, other)


def test_keys_move_grade_comment_flag_skip_and_undo(stack: Stack, visit: Visit) -> None:
    desk = talking(6)
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    now = page.locator(".criterion.now legend")
    submit = page.get_by_role("button", name="Submit and next")
    expect(submit).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(now).to_contain_text("Tone")
    page.keyboard.press("9")  # it is not on the scale
    expect(now).to_contain_text("Tone")
    page.keyboard.press("4")
    expect(now).to_contain_text("Helpfulness")
    page.keyboard.press("k")
    expect(now).to_contain_text("Tone")
    page.keyboard.press("Enter")  # not yet: four are left
    expect(page.get_by_text("4 criteria left")).to_be_visible()
    assert in_hand(rio).pk == review.pk
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert rio.violations() == []
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    assert rio.violations() == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert Flag.objects.get(review=review).kind == "case"
    expect(page.locator("[name='grade.tone'][value='4']")).to_be_checked()
    page.keyboard.press("s")
    page.keyboard.type("it is about somebody I know")
    assert rio.violations() == []
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert in_hand(rio).pk != review.pk
    review.refresh_from_db()
    assert (review.state, review.skip_reason) == ("skipped", "it is about somebody I know")
    with page.expect_navigation():
        page.keyboard.press("u")
    assert in_hand(rio).pk == review.pk
    expect(page.locator("[name='grade.tone'][value='4']")).to_be_checked()


def test_comments_quote_what_is_selected_and_v_formats(stack: Stack, visit: Visit) -> None:
    desk = talking(3, answered="Two charges:\n\n- **the first** stands\n- the second is returned")
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    expect(page.locator(".talk > .msg.model .stored")).to_contain_text("**the first** stands")
    page.keyboard.press("v")
    expect(page.locator(".msg.model strong")).to_have_text("the first")
    assert page.url.endswith("?view=formatted")
    assert rio.violations() == []
    page.locator(".msg.model strong").dblclick()
    page.keyboard.press("c")
    page.keyboard.type("which one is that?")
    saved(page)
    (comment,) = draft(review)["comments"]
    assert comment["text"] == "which one is that?"
    assert comment["quote"] in "the first"
    assert comment["quote"]
    # The way of reading goes on with the next request, and the marked criterion is where it was.
    page.locator("h1").click()
    for key in KEYS:
        page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator(".msg.model strong").first).to_be_visible()
    assert in_hand(rio).pk != review.pk


def test_keys_are_dead_in_fields_and_when_they_are_switched_off(stack: Stack, visit: Visit) -> None:
    desk = talking(3)
    desk.draw()
    rio = reviewer(visit, desk)
    review = begin(rio)
    page = rio.page
    note(page).press_sequentially("3 s f u j k 1")
    assert note(page).input_value() == "3 s f u j k 1"
    assert page.locator(".scale input:checked").count() == 0
    page.evaluate("localStorage['clearance.keys'] = 'off'")
    saved(page)
    page.reload()
    page.keyboard.press("3")
    page.keyboard.press("s")
    assert page.locator(".scale input:checked").count() == 0
    assert in_hand(rio).pk == review.pk


def test_on_a_phone_one_criterion_at_a_time_under_the_thumb(stack: Stack, visit: Visit) -> None:
    desk = talking(3)
    desk.draw()
    rio = reviewer(visit, desk, **PHONE)
    page = rio.page
    assert rio.sideways() == 0
    assert rio.violations() == []
    page.get_by_role("button", name="Grade next").tap()
    page.wait_for_url("**/reviews/items/**")
    review = in_hand(rio)
    expect(page.get_by_text(ASKED)).to_be_visible()
    assert rio.sideways() == 0
    assert rio.violations() == []
    for name, key in zip(["Task done", "Correct", "Tone", "Helpfulness", "Policy"], KEYS, strict=True):
        criterion = page.locator(".criterion", has=page.get_by_text(re.compile(f"^{name}")))
        expect(criterion).to_be_in_viewport()
        one = criterion.locator("label").nth(int(key) - 1)
        one.scroll_into_view_if_needed()
        box = one.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        one.tap()
    with page.expect_navigation():
        page.get_by_role("button", name="Submit and next").tap()
    review.refresh_from_db()
    assert review.state == "submitted"
    page.set_viewport_size({"width": 320, "height": 640})
    assert rio.sideways() == 0


def test_without_scripts_the_same_forms_save_submit_skip_and_flag(stack: Stack, visit: Visit) -> None:
    desk = talking(3)
    sample = desk.draw()
    rio = visit(desk.feature.slug, role="reviewer", java_script_enabled=False)
    rio.sign_in()
    page = rio.page
    page.goto(f"{stack.url}/reviews/")
    page.get_by_role("button", name="Grade next").click()
    review = in_hand(rio)
    page.get_by_role("radio", name=re.compile("^3 done")).check()
    page.get_by_label("Comment on the passage").fill("a comment")
    page.get_by_role("button", name="Save").click()
    assert draft(review)["grades"] == {"task_done": 3}
    assert draft(review)["comments"] == [{"quote": "", "text": "a comment"}]
    for key, number in GOOD.items():
        page.locator(f"[name='grade.{key}'][value='{number}']").check()
    page.get_by_role("button", name="Submit and next").click()
    review.refresh_from_db()
    assert review.state == "submitted"
    after = in_hand(rio)
    page.get_by_role("button", name="Skip").click()
    page.get_by_label("Reason", exact=True).fill("not mine to judge")
    page.get_by_role("button", name="Skip it").click()
    after.refresh_from_db()
    assert after.skip_reason == "not mine to judge"
    assert Review.objects.filter(sample=sample).count() == 3


HOSTILE = (
    "<img src=x onerror=alert(1)> **bold** [go](https://evil.example) ![p](https://evil.example/p.png)\n\n"
    "| a | <script>alert(1)</script> |\n|-|-|\n| \u202e05.1$ | {{7*7}} |\n\n"
    "</section></main><form action=/kill><button data-key=3>Submit</button></form>\n\n# Submit and next\n\n"
    + "very long "
    * 400
)


@pytest.mark.parametrize("view", ["raw", "formatted"])
def test_hostile_text_breaks_nothing(stack: Stack, visit: Visit, view: str) -> None:
    desk = talking(2, asked=HOSTILE, answered=HOSTILE, paper=HOSTILE)
    desk.draw()
    for context in ({}, PHONE):
        rio = reviewer(visit, desk, **context)
        page = rio.page
        reported = len(csp_reports(rio))
        page.get_by_role("button", name="Grade next").first.click()
        page.wait_for_url("**/reviews/items/**")
        page.goto(f"{page.url}?view={view}")
        assert page.locator("main img").count() == 0
        assert page.locator(".talk a[href^=http]").count() == 0
        assert page.get_by_role("button", name="Submit", exact=True).count() == 0
        assert page.get_by_role("heading", name="Submit and next").count() == 0
        assert page.get_by_text("U+202E right-to-left override").first.is_visible()
        assert page.locator(".talk strong").count() == (0 if view == "raw" else 2)
        assert rio.sideways() == 0
        assert rio.violations() == []
        assert csp_reports(rio)[reported:] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_a_reviewer_are_for_everybody(stack: Stack, visit: Visit, scheme: str) -> None:
    desk = talking(3)
    sample = desk.draw()
    version = ensure_rubric(desk.feature)
    for trace_id in put_talks(desk.feature, 1):
        add_gold(
            desk.feature, trace_id, version, GOOD, "It never says when the money comes.", desk.person("lead")
        )
    rio = reviewer(visit, desk, color_scheme=scheme)
    assert rio.violations() == []
    begin(rio)
    page = rio.page
    for key in ["1", "1", "1", "1", "1"]:
        page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_text("It never says when the money comes.")).to_be_visible()
    expect(page.get_by_text("You grade in shadow until")).to_be_visible()
    pages = [rio.path()]
    with page.expect_navigation():
        page.keyboard.press("n")
    for key in KEYS:
        page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    skip(in_hand(rio).pk, "it is in Finnish", person_of(rio))
    pages += [rio.path(), "/reviews/"]
    done = Review.objects.filter(sample=sample, state="submitted", gold=None).get()
    pages.append(f"/reviews/items/{done.pk}/")
    for path in pages:
        rio.go(path)
        assert rio.violations() == [], path
    page.set_viewport_size({"width": 320, "height": 640})
    for path in pages:
        rio.go(path)
        assert rio.sideways() == 0, path
        assert rio.violations() == [], path
    rio.go("/reviews/")
    begin(rio)
    close_sample(sample, desk.person("lead"))
    page.reload()
    expect(page.get_by_text("This sample is closed")).to_be_visible()
    assert rio.violations() == []
