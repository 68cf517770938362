"""Deterministic checks: each kind fails where it should, says where, and cannot be made to take long."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.checks import Subject, Text, checker_of, faults_of_output_schema
from features.checks.engine import Declared
from features.policy import UnreadablePolicy, read_policy

POLICY = """
[feature]
slug = "checked"
task = "Resolve billing tickets."

[[action]]
name = "lookup"
effect = "read"

"""


def details(kind: str, output: str | None = None, **given: Any) -> list[tuple[str | None, str]]:
    texts, ids, trace = given.pop("written", []), given.pop("ids", []), given.pop("trace", {})
    declared = Declared(name="one", kind=kind, **given)
    subject = Subject(
        output=None if output is None else Text(output, "aa"),
        texts=[Text(text, f"{n}") for n, text in enumerate(texts)],
        retrieved_ids=ids,
        trace=trace,
    )
    result = checker_of([declared]).run(subject)
    assert all(failure.check == "one" for failure in result.failures)
    return [(failure.span_id, failure.detail) for failure in result.failures] + [
        (None, f) for f in result.faults
    ]


def test_a_pattern_must_or_must_not_match() -> None:
    assert details("pattern", "Ticket T-12 is closed.", pattern="T-[0-9]+") == []
    assert details("pattern", "Closed.", pattern="T-[0-9]+")[0][0] == "aa"
    assert details("pattern", "pay 12 EUR", pattern="[0-9]+ EUR", must_match=False)[0][1].endswith('"12 EUR"')
    assert details("pattern", None, pattern="x") == []
    found = details(
        "pattern", "fine", pattern="secret", must_match=False, on="trace", written=["a", "secret"]
    )
    assert found[0][0] == "1"


def test_forbidden_text_is_found_in_any_case_and_at_its_span() -> None:
    assert details("forbidden_text", "We GUARANTEE it", texts=["guarantee"])[0] == ("aa", 'holds "guarantee"')
    assert details("forbidden_text", "STRASSE", texts=["straße"]) != []
    assert details("forbidden_text", "fine", texts=["guarantee"]) == []
    assert details("forbidden_text", "x", texts=["no"], on="trace", written=["yes", "no"])[0][0] == "1"


def test_an_output_must_be_json_of_its_schema() -> None:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "pattern": "^A-"}},
    }
    assert details("json_schema", '{"id": "A-1"}', schema=schema) == []
    assert "no JSON" in details("json_schema", "A-1", schema=schema)[0][1]
    assert details("json_schema", '{"id": "B-1"}', schema=schema)[0][1].startswith("id:")
    assert details("json_schema", "[" * 100_000, schema=schema) != []
    assert details("json_schema", "x" * 300_000, schema=schema) != []


def test_a_citation_is_required_only_where_something_was_retrieved() -> None:
    assert details("required_citation", "See kb-12.", ids=["kb-12", "kb-13"]) == []
    assert details("required_citation", "I think so.", ids=["kb-12"])[0][0] == "aa"
    assert details("required_citation", "I think so.") == []
    assert details("required_citation", "As [1] says", ids=["x"], pattern=r"\\[[0-9]+\\]") != []
    assert details("required_citation", "As [1] says", ids=["x"], pattern=r"\[[0-9]+\]") == []


def test_a_rule_that_cannot_be_asked_is_neither_passed_nor_failed() -> None:
    assert details("cel", rule="trace.retries < 2", trace={"retries": 1}) == []
    assert "does not hold" in details("cel", rule="trace.retries < 2", trace={"retries": 2})[0][1]
    result = checker_of([Declared(name="one", kind="cel", rule="trace.x < 2")]).run(Subject(output=None))
    assert (result.failures, len(result.faults)) == ([], 1)


def test_no_pattern_can_take_long() -> None:
    started = time.monotonic()
    schema = {"type": "string", "pattern": "^(a+)+$"}
    assert details("json_schema", '"' + "a" * 50_000 + '!"', schema=schema) != []
    assert details("pattern", "a" * 200_000 + "!", pattern="^(a+)+$") != []
    assert time.monotonic() - started < 60  # with backtracking: not in this life


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3))
def test_checks_never_raise(text: str, forbidden: list[str]) -> None:
    details("forbidden_text", text, texts=forbidden)
    details("json_schema", text, schema={"type": "object"})
    details("required_citation", text, ids=forbidden)


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        ('[[check]]\nname = "a"\nkind = "pattern"', 10, "needs pattern"),
        ('[[check]]\nname = "a"\nkind = "pattern"\npattern = "("', 13, "RE2"),
        ('[[check]]\nname = "a"\nkind = "cel"\nrule = "trace.stauts == 1"', 13, "did you mean status"),
        ('[[check]]\nname = "a"\nkind = "cel"\nrule = "true"\ntexts = ["x"]', 10, "has no texts"),
        ('[[check]]\nname = "a"\nkind = "forbidden_text"\ntexts = []', 10, "needs texts"),
        (
            '[[check]]\nname = "a"\nkind = "cel"\nrule = "true"\n[[check]]\nname = "a"\nkind = "required_citation"',
            15,
            "twice",
        ),
        ('[[check]]\nname = "disallowed_tool"\nkind = "required_citation"', 11, "is called"),
        (
            '[[check]]\nname = "a"\nkind = "json_schema"\n[check.schema]\n"$ref" = "http://x"',
            14,
            "point into",
        ),
        ('[[check]]\nname = "a"\nkind = "json_schema"\n[check.schema]\npattern = "("', 14, "RE2"),
        ('[[check]]\nname = "a"\nkind = "json_schema"\n[check.schema]\ntype = "nonsense"', 14, "valid"),
        ('[traces]\nsuccess = "trace.outcome"', 11, "true or false"),
        ("[traces]\nsuccess = 'trace.name < \"b\"'", 11, "no order"),
    ],
)
def test_a_wrong_check_is_refused_with_its_line(lines: str, line: int, why: str) -> None:
    with pytest.raises(UnreadablePolicy) as caught:
        read_policy(POLICY + lines)
    found = [(fault.line, str(fault)) for fault in caught.value.faults]
    assert any(at == line and why in said for at, said in found), found


def test_checks_come_back_as_they_were_kept() -> None:
    text = POLICY + (
        '[[check]]\nname = "no-cards"\nkind = "pattern"\non = "trace"\npattern = "[0-9]{16}"\nmust_match = false\n'
        '[[check]]\nname = "cites"\nkind = "required_citation"\n'
        '[[check]]\nname = "json"\nkind = "json_schema"\n[check.schema]\ntype = "array"\n'
    )
    document = read_policy(text).document
    assert type(document).model_validate(document.kept()) == document
    assert [one.name for one in document.check] == ["no-cards", "cites", "json"]


def test_a_schema_of_outputs_may_be_open_and_of_any_type() -> None:
    assert faults_of_output_schema({"type": "array", "items": {"type": "object"}}) == []
    assert faults_of_output_schema({"properties": {"pattern": {"type": "string"}}}) == []
