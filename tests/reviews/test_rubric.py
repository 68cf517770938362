"""Rubrics: what is refused, the form and back, versions and drafts."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.queries import records
from features.errors import ConflictError
from features.services import create_feature, create_person
from reviews.models import RubricDraft, RubricVersion
from reviews.rubric import DEFAULT, Rubric, UnreadableRubric, read_rubric
from reviews.rubric.form import changed, document_of, key_of, rows_of
from reviews.services import publish, save_rubric_draft
from tests.reviews.support import Desk
from tests.support import Browser, Stack, unique


def criterion(**changes: Any) -> dict[str, Any]:
    return {
        "key": "tone",
        "name": "Tone",
        "question": "Does it speak well?",
        "scale": "choice",
        "values": [{"label": "bad", "anchor": "It is rude"}, {"label": "good", "anchor": "It is kind"}],
        **changes,
    }


def faults(document: dict[str, Any]) -> str:
    with pytest.raises(UnreadableRubric) as refused:
        read_rubric(document)
    return "; ".join(f"{fault.path}: {fault.message}" for fault in refused.value.faults)


def test_the_default_runs_from_worst_to_best_and_has_an_anchor_for_each_value() -> None:
    assert read_rubric(DEFAULT.kept()) == DEFAULT
    assert [sorted(one.passing) for one in DEFAULT.criteria] == [[3], [3], [4, 5], [4, 5], [2]]
    assert all(value.anchor for one in DEFAULT.criteria for value in one.values)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"values": [{"label": "good", "anchor": "a"}, {"label": "bad", "anchor": "b"}]},
            "from best to worst",
        ),
        ({"values": [{"anchor": "Done in full"}, {"anchor": "Not done"}]}, "from best to worst"),
        (
            {"values": [{"label": "bad", "anchor": " "}, {"label": "good", "anchor": "b"}]},
            "must not be empty",
        ),
        ({"values": [{"label": "bad", "anchor": "one value"}]}, "at least 2"),
        ({"scale": "one_to_five"}, "has 5 values"),
        ({"scale": "stars"}, "scale"),
        ({"passes_from": 3}, "passes_from"),
        ({"ordered": False, "passes_from": 2}, "passes_from"),
        ({"scale": "pass_fail", "ordered": False}, "is ordered"),
        ({"question": ""}, "must not be empty"),
        ({"weight": 2}, "weight"),
        ({"key": "No key"}, "key"),
    ],
)
def test_a_rubric_that_would_mislead_is_refused_at_its_place(change: dict[str, Any], says: str) -> None:
    said = faults({"criteria": [criterion(), criterion(**{"key": "other", **change})]})
    assert says in said
    assert "criteria.1" in said


def test_two_criteria_of_one_key_none_required_and_none_at_all_are_refused() -> None:
    assert "two criteria are called tone" in faults({"criteria": [criterion(), criterion()]})
    assert "must be required" in faults({"criteria": [criterion(required=False)]})
    assert "criteria" in faults({"criteria": []})


def test_what_two_graders_may_differ_by_depends_on_the_scale() -> None:
    task, _, tone, _, policy = DEFAULT.criteria
    assert [tone.apart(4, other) for other in (1, 2, 3, 4, 5)] == [True, True, False, False, False]
    assert policy.apart(1, 2)
    assert not task.apart(1, 2)
    kinds = read_rubric({"criteria": [criterion(ordered=False), criterion(key="b")]}).criteria[0]
    assert (kinds.apart(1, 2), kinds.passing, kinds.level) == (True, frozenset(), "nominal")


_WORDS = (
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")), min_size=1, max_size=30
    )
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)


@given(
    st.lists(
        st.tuples(_WORDS.filter(lambda text: ":" not in text) | st.just(""), _WORDS), min_size=2, max_size=9
    ),
    _WORDS,
    st.booleans(),
    st.booleans(),
)
def test_a_rubric_survives_its_form(
    values: list[tuple[str, str]], name: str, required: bool, ordered: bool
) -> None:
    document = {
        "guideline": name,
        "criteria": [
            criterion(
                name=name,
                required=required,
                ordered=ordered,
                grounding=not required,
                values=[{"label": label, "anchor": anchor} for label, anchor in values],
                examples=[name],
            )
        ],
    }
    (row,) = rows_of(document, [])
    prefix = "criteria.0."
    fields = {
        "guideline": name,
        **{
            prefix + field: getattr(row, field)
            for field in ("key", "name", "question", "scale", "values", "examples")
        },
        **({prefix + "required": "on"} if row.required else {}),
        **({prefix + "grounding": "on"} if row.grounding else {}),
        **({} if row.ordered else {prefix + "kinds": "on"}),
    }
    assert document_of(fields) == document


@given(
    st.dictionaries(
        st.text(max_size=30) | st.from_regex(r"criteria\.[0-9]{1,2}\.\w{1,10}", fullmatch=True), st.text()
    )
)
def test_no_form_breaks_the_editor(fields: dict[str, str]) -> None:
    document = document_of(fields)
    try:
        assert isinstance(read_rubric(document), Rubric)
    except UnreadableRubric as error:
        rows_of(document, error.faults)


@given(st.text(max_size=80))
def test_every_name_has_a_key(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,39}", key_of(name))


def test_a_question_is_added_moved_and_removed() -> None:
    document = {"guideline": "", "criteria": [{"key": "a"}, {"key": "b"}]}

    def keys(act: str) -> list[str]:
        return [one["key"] for one in changed(document, act)["criteria"]]

    assert keys("add") == ["a", "b", ""]
    assert keys("up.1") == ["b", "a"]
    assert keys("remove.0") == ["b"]
    assert keys("up.0") == keys("remove.9") == keys("nonsense") == ["a", "b"]


def test_a_version_is_published_once_and_samples_keep_theirs() -> None:
    desk = Desk(12)
    sample = desk.draw()
    assert sample.rubric.number == 1
    assert publish(desk.feature, DEFAULT).number == 1
    other = read_rubric({"guideline": "", "criteria": [criterion()]})
    assert publish(desk.feature, other).number == 2
    sample.refresh_from_db()
    assert sample.rubric.number == 1
    published = [one for one in records() if one["action"] == "rubric.published"]
    assert {one["subject"] for one in published} >= {str(sample.rubric_id)}


def test_two_leads_never_overwrite_a_draft_silently() -> None:
    feature = create_feature(slug=unique("agent"))
    person, _ = create_person(name=unique("lee"), roles=[(feature.slug, "lead")])
    first = save_rubric_draft(feature, DEFAULT.kept(), 0, person)
    with pytest.raises(ConflictError, match="changed the draft"):
        save_rubric_draft(feature, {}, 0, person)
    assert save_rubric_draft(feature, DEFAULT.kept(), first.revision, person).revision == 2


@pytest.fixture
def editor(stack: Stack) -> tuple[str, Browser, Any]:
    feature = create_feature(slug=unique("agent"))
    person, _ = create_person(name=unique("lee"), roles=[(feature.slug, "lead")])
    return f"/features/{feature.slug}/reviews/rubric/", Browser(stack, person), feature


def form_of(document: dict[str, Any], **more: str) -> dict[str, str]:
    fields = {"guideline": document["guideline"], "revision": "0", **more}
    for row in rows_of(document, []):
        for field in ("key", "name", "question", "scale", "values", "examples", "passes_from"):
            fields[f"criteria.{row.place}.{field}"] = getattr(row, field)
        if row.required:
            fields[f"criteria.{row.place}.required"] = "on"
    return fields


def test_a_lead_writes_and_publishes_a_rubric(editor: tuple[str, Browser, Any]) -> None:
    page, browser, feature = editor
    assert "comes with the console" in browser.get(page).text
    document = DEFAULT.kept()
    document["criteria"][2]["name"] = "Voice & <i>tone</i>"
    saved = browser.post(f"{page}draft/", form_of(document, act="add"))
    assert saved.status_code == 302
    shown = browser.get(f"{page}draft/").text
    assert "Voice &amp; &lt;i&gt;tone&lt;/i&gt;" in shown
    assert "Question 6" in shown
    assert "to mend" in shown
    done = browser.post(f"{page}draft/", form_of(document, act="publish", revision="1"))
    assert done.status_code == 302
    assert RubricVersion.objects.get(feature=feature).document["criteria"][2]["name"] == "Voice & <i>tone</i>"
    assert not RubricDraft.objects.filter(feature=feature).exists()
    assert "Rubric 1" in browser.get(page).text
    assert browser.get(f"{page}?version=7").status_code == 404


def test_what_cannot_be_published_stays_in_the_form_with_what_to_mend(
    editor: tuple[str, Browser, Any],
) -> None:
    page, browser, feature = editor
    document = DEFAULT.kept()
    document["criteria"][0]["values"].reverse()
    refused = browser.post(f"{page}draft/", form_of(document, act="publish"))
    assert refused.status_code == 400
    assert "from best to worst" in refused.text
    assert "Nothing that was asked for is left" in refused.text
    assert not RubricVersion.objects.filter(feature=feature).exists()
    late = browser.post(f"{page}draft/", form_of(document, act="save", revision="0"))
    assert late.status_code == 409
    assert "Nothing that was asked for is left" in late.text
