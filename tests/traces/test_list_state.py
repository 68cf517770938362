"""The state of a list stands in its URL: read exactly, written back, refused with the parameter's name."""

from datetime import UTC, datetime

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from features.problems import BadField
from traces.filters import parse_list_state

NOW = datetime(2026, 11, 24, 9, 38, 12, tzinfo=UTC)


def test_every_filter_of_the_url_is_in_force() -> None:
    text = "outcome=failed&status=error&variant=canary&model=m&tool=t&user=u&session=s&missing=prompt"
    wanted = parse_list_state(
        QueryDict(f"{text}&violation=1&tool_error=1&incomplete=1&order=slowest"), NOW
    ).filter
    assert (wanted.outcome, wanted.status, wanted.variant, wanted.model) == ("failed", "error", "canary", "m")
    assert (wanted.tool, wanted.user, wanted.session, wanted.missing) == ("t", "u", "s", "prompt")
    assert (wanted.violation, wanted.tool_error, wanted.incomplete) == (True, True, True)
    assert wanted.order == "slowest"


def test_an_empty_filter_narrows_nothing() -> None:
    state = parse_list_state(QueryDict("outcome=&model=&violation=&user=%20"), NOW)
    assert state.given == {}
    assert state.terms == []


def test_each_term_can_be_dropped_alone_and_all_else_stays() -> None:
    state = parse_list_state(QueryDict("outcome=failed&tool=refund&window=24h&order=slowest"), NOW)
    without = {term.name: parse_list_state(QueryDict(term.without[1:]), NOW) for term in state.terms}
    assert without["outcome"].given == {"tool": "refund"}
    assert without["tool"].given == {"outcome": "failed"}
    for other in without.values():
        assert (other.window.name, other.order) == ("24h", "slowest")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("outcome=won", "outcome"),
        ("status=fine", "status"),
        ("missing=everything", "missing"),
        ("violation=yes", "violation"),
        ("order=random", "order"),
        (f"user={'u' * 400}", "user"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_its_name(text: str, field: str) -> None:
    with pytest.raises(BadField) as refused:
        parse_list_state(QueryDict(text), NOW)
    assert refused.value.field == field


@given(
    st.dictionaries(st.sampled_from(["outcome", "model", "from", "to", "window", "order", "user"]), st.text())
)
def test_whatever_stands_in_a_url_is_read_or_refused(parameters: dict[str, str]) -> None:
    query = QueryDict(mutable=True)
    query.update(parameters)
    try:
        state = parse_list_state(query, NOW)
    except BadField:
        return
    assert all("\x00" not in value for value in state.given.values())
