"""The list of traces over HTTP: the line, IDs, personal data, what stands beside it, export, kept searches."""

import csv
import json
import os
import re
import threading
import time
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.models import Feature, Person
from features.services import create_person
from tests.conftest import make_client
from tests.support import Browser, Client, Stack, unique
from tests.traces.test_api import NS, send
from tests.traces.test_search import TRACES, words
from traces.search.keys import KEYS


class Scene:
    """A feature with traces, and people with and without a role on it."""

    def __init__(self, stack: Stack) -> None:
        self.client = make_client(stack)
        self.slug = self.client.slug
        send(
            self.client,
            *TRACES,
            {"name": "p", "user.id": "jane.roe@example.com", **words("mail from jane.roe@example.com")},
        )
        self.feature = Feature.objects.get(slug=self.slug)
        self.stack = stack
        self.lead, self.viewer, self.stranger = self.person("lead"), self.person("viewer"), self.person(None)
        self.path = f"/features/{self.slug}/traces/"

    def person(self, role: str | None) -> Browser:
        person: Person
        person, _ = create_person(name=unique("person"), roles=[(self.slug, role)] if role else [])
        return Browser(self.stack, person)


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Scene:
    return Scene(stack)


def shown(text: str) -> list[str]:
    """The names of the requests of a list."""
    return [name.strip() for name in re.findall(r'class="open"[^>]*><bdi>([^<]*)', text)]


def test_what_is_typed_is_posted_and_stands_in_the_address(scene: Scene) -> None:
    answer = scene.lead.post(scene.path, {"q": "tool:refund", "window": "24h"})
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer.headers["Location"]).query) == {"q": ["tool:refund"], "window": ["24h"]}
    assert shown(scene.lead.get(answer.headers["Location"]).text) == ["a"]


def test_the_wrong_word_is_underlined_and_mended_by_a_link(scene: Scene) -> None:
    answer = scene.lead.get(scene.path, {"q": "tool:refund outcome:faild"})
    assert answer.status_code == 400
    assert '<span class="word">faild</span>' in answer.text
    mend = re.search(r'<a class="button small" href="([^"]*)">Search for', answer.text)
    assert mend is not None
    assert shown(scene.lead.get(scene.path + unescape(mend[1])).text) == ["a"]


def test_an_id_opens_its_trace_from_everywhere(scene: Scene) -> None:
    trace = scene.client.get("/api/v1/traces", q="name:c").json()["results"][0]
    span_id = scene.client.trace(trace["trace_id"])["spans"][0]["span_id"]
    for typed in (trace["trace_id"], trace["trace_id"].upper(), "req-8f3c", span_id):
        for path in ("/traces/", scene.path):
            answer = scene.lead.post(path, {"q": typed})
            assert answer.status_code == 302
            assert trace["trace_id"] in answer.headers["Location"], typed
    assert scene.stranger.post("/traces/", {"q": "req-8f3c"}).headers["Location"] == "/traces/?q=req-8f3c"


def test_a_session_with_several_traces_opens_its_list(scene: Scene, client: Client) -> None:
    session = unique("session")
    send(client, {"name": "x", "session.id": session}, {"name": "y", "session.id": session})
    person, _ = create_person(name=unique("person"), roles=[(client.slug, "viewer")])
    answer = Browser(client.stack, person).post("/traces/", {"q": session}, follow=True)
    assert sorted(shown(answer.text)) == ["x", "y"]


def test_what_nobody_knows_is_told_from_what_was_refused(scene: Scene, client: Client) -> None:
    person, _ = create_person(name=unique("person"), roles=[(client.slug, "viewer")])
    browser = Browser(client.stack, person)
    unknown = browser.get("/traces/", {"q": os.urandom(16).hex()})
    assert unknown.status_code == 404
    assert "Unknown: it is neither stored nor being settled" in unknown.text
    assert client.post("/v1/traces", b"not protobuf at all").status_code == 400
    refused = browser.get("/traces/", {"q": os.urandom(16).hex()})
    assert "Bodies were refused in the last day" in refused.text


def test_personal_data_never_stands_in_an_address(scene: Scene) -> None:
    for path in ("/traces/", scene.path):
        answer = scene.lead.post(path, {"q": "jane.roe@example.com"})
        assert answer.status_code == 302
        assert "jane" not in answer.headers["Location"]
        assert "email" in answer.headers["Location"]
        assert shown(scene.lead.get(answer.headers["Location"]).text) == ["p"]
        moved = scene.lead.get(path, {"q": "user:jane.roe@example.com"})
        assert moved.status_code == 302
        assert "jane" not in moved.headers["Location"]
        refused = scene.viewer.post(path, {"q": "jane.roe@example.com"})
        assert refused.status_code == 403
        assert "looks like personal data: email" in refused.text
        assert "jane" not in refused.text


def test_suggestions_are_keys_then_values_of_features_that_one_sees(scene: Scene) -> None:
    def offered(browser: Browser, line: str, path: str = "/traces/suggestions/") -> list[str]:
        return [
            unescape(one)
            for one in re.findall(r'<option value="([^"]*)"', browser.get(path, {"q": line}).text)
        ]

    assert "status:error out" not in offered(scene.lead, "status:error out")
    assert offered(scene.lead, "status:error out") == ["status:error outcome:"]
    assert offered(scene.lead, "outcome:s") == ["outcome:success"]
    assert 'tool:"lookup order"' in offered(scene.lead, "tool:l")
    assert offered(scene.lead, "feature:") == [f"feature:{scene.slug}"]
    assert offered(scene.stranger, "tool:") == []
    assert offered(scene.stranger, "feature:") == []
    assert {f"{key}:" for key in KEYS} <= set(offered(scene.lead, ""))


def test_values_beside_the_list_count_narrow_and_exclude(scene: Scene) -> None:
    text = scene.lead.get(f"/features/{scene.slug}/list/parts/").text
    found = re.search(
        r'<a href="([^"]*)" data-without="([^"]*)"[^>]*><span class="value"><bdi>refund</bdi>', text
    )
    assert found is not None
    assert shown(scene.lead.get(scene.path + unescape(found[1])).text) == ["a"]
    assert sorted(shown(scene.lead.get(scene.path + unescape(found[2])).text)) == ["b", "c", "p"]
    bars = [unescape(url) for url in re.findall(r'<th scope="row"><a href="([^"]*)"', text)]
    assert sum(len(shown(scene.lead.get(scene.path + url).text)) for url in bars) == 4


def test_the_page_works_without_scripts(scene: Scene) -> None:
    text = scene.lead.get(scene.path, {"parts": "1", "columns": "when,user"}).text
    assert "Over time" in text
    assert ">User</th>" in text
    assert ">Model</th>" not in text


def test_found_text_is_shown_with_the_hit_marked_and_never_as_markup(client: Client) -> None:
    hostile = "<img src=x onerror=alert(1)> needle \u202egnp.exe"
    send(client, {"name": "h", **words(hostile)})
    person, _ = create_person(name=unique("person"), roles=[(client.slug, "viewer")])
    text = Browser(client.stack, person).get("/traces/", {"q": "needle"}).text
    assert '<mark class="hit">needle</mark>' in text
    assert "<img" not in text
    assert "U+202E" in text


def test_a_live_list_answers_when_something_has_come(scene: Scene, client: Client) -> None:
    send(client, {"name": "before"})
    person, _ = create_person(name=unique("person"), roles=[(client.slug, "viewer")])
    browser = Browser(client.stack, person)
    text = browser.get(f"/features/{client.slug}/traces/", {"live": "1"}).text
    address = re.search(r'hx-get="([^"]*list/wait/[^"]*)"', text)
    assert address is not None
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(browser.get(unescape(address[1])).text))
    waiting.start()
    time.sleep(1.5)
    assert answers == []
    send(client, {"name": "after"})
    waiting.join(30)
    assert shown(answers[0]) == ["after", "before"]
    assert "data-say" in answers[0]


def test_an_export_holds_every_row_once_and_is_recorded(scene: Scene, client: Client) -> None:
    from audit.queries import records

    now = time.time_ns()
    send(client, *({"name": f"=n{n}", "start": now - (60 + n) * NS} for n in range(30)))
    person, _ = create_person(name=unique("person"), roles=[(client.slug, "viewer")])
    browser = Browser(client.stack, person)
    answer = browser.get(
        f"/features/{client.slug}/export/file/", {"format": "csv", "q": "status:ok", "id": "ab" * 8}
    )
    assert answer.headers["X-Total"] == "30"
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert sorted(row["name"] for row in rows) == sorted(f"'=n{n}" for n in range(30))
    assert "30 rows" in browser.get("/traces/export/progress/", {"id": "ab" * 8}).text
    lines = browser.get("/traces/export/file/", {"format": "json"}).text.splitlines()
    assert {json.loads(line)["trace_id"] for line in lines} == {row["trace_id"] for row in rows}
    acts = [one for one in records() if one["action"] == "traces.exported" and one["actor"] == str(person.pk)]
    assert len(acts) == 2
    other, _ = create_person(name=unique("person"))
    stranger = Browser(client.stack, other)
    assert "30 rows" not in stranger.get("/traces/export/progress/", {"id": "ab" * 8}).text


def test_a_kept_search_is_ones_own_until_it_is_shared(scene: Scene) -> None:
    name = unique("failures")
    kept = scene.lead.post(
        "/searches/", {"name": name, "feature": scene.slug, "line": "outcome:failed", "window": "30d"}
    )
    assert kept.headers["Location"] == f"{scene.path}?q=outcome%3Afailed&window=30d"
    assert name in scene.lead.get(scene.path).text
    assert name not in scene.viewer.get(scene.path).text
    change = re.search(r'action="(/searches/[0-9a-f-]+/)"', scene.lead.get("/searches/").text)
    assert change is not None
    assert scene.viewer.post(change[1], {"do": "delete"}).status_code == 404
    assert scene.lead.post(change[1], {"do": "share"}).status_code == 302
    assert name in scene.viewer.get(scene.path).text
    assert name in scene.viewer.get("/traces/").text
    assert name not in scene.stranger.get("/traces/").text
    assert scene.lead.post(change[1], {"do": "rename", "name": ""}).status_code == 400
    assert scene.lead.post(change[1], {"do": "rename", "name": f"{name}-2"}).status_code == 302
    assert f"{name}-2" in scene.viewer.get(scene.path).text
    again = scene.lead.post("/searches/", {"name": f"{name}-2", "feature": scene.slug, "line": ""})
    assert again.status_code == 409
    assert (
        scene.lead.post("/searches/", {"name": "x", "feature": scene.slug, "line": "a ("}).status_code == 400
    )
    hidden = scene.stranger.post("/searches/", {"name": "x", "feature": scene.slug, "line": ""})
    assert hidden.status_code == 404
    assert scene.lead.post(change[1], {"do": "delete"}).status_code == 302
    assert name not in scene.viewer.get(scene.path).text


_SIGNS = (
    '"',
    "(",
    ")",
    "-",
    "~",
    "*",
    " ",
    "OR",
    "\\",
    ">",
    "..",
    "5s",
    "10k",
    "'",
    "&",
    "|",
    "!",
    ":*",
    "%s",
    "{",
    "\x00",
    "a",
)
_lines = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from([*(f"{key}:" for key in KEYS), "attr.x:", "segment.y:", *_SIGNS]), max_size=9
    ).map("".join),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_lines)
def test_any_line_gives_a_list_or_an_error_that_points_into_it(scene: Scene, line: str) -> None:
    answer = scene.client.get("/api/v1/traces", q=line)
    assert answer.status_code in {200, 400}, (line, answer.text)
    if answer.status_code == 400:
        (error,) = answer.json()["errors"]
        assert error["detail"]
        assert 0 <= error.get("position", 0) <= len(line)
    page = scene.lead.get(scene.path, {"q": line})
    assert page.status_code in {200, 302, 400, 404}, (line, page.status_code)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_lines)
def test_any_line_leaves_what_stands_around_the_list_whole(scene: Scene, line: str) -> None:
    for path in ("list/parts/", "list/suggestions/", "export/"):
        answer = scene.viewer.get(f"/features/{scene.slug}/{path}", {"q": line})
        assert answer.status_code in {200, 400}, (path, line, answer.status_code)
    assert scene.viewer.post(scene.path, {"q": line}).status_code in {302, 403}
