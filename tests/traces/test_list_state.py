"""The state of a list stands in its URL: read exactly, written back, refused with the parameter's name."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from features.models import Feature
from features.problems import BadField
from traces.filters import traces_url
from traces.search.state import ListState, old_parameters, parse_list_state

NOW = datetime(2026, 11, 24, 9, 38, 12, tzinfo=UTC)


def state(text: str) -> ListState:
    return parse_list_state(QueryDict(text), NOW)


def test_a_list_is_reproduced_by_its_url() -> None:
    found = state("q=outcome:failed+tool:refund&window=24h&order=slowest&columns=when,user&cursor=abc")
    assert (found.line, found.order, found.columns) == (
        "outcome:failed tool:refund",
        "slowest",
        ("when", "user"),
    )
    again = state("&".join(f"{name}={value.replace(' ', '+')}" for name, value in found.query.items()))
    assert (again.node, again.order, again.columns, again.window.name) == (
        found.node,
        found.order,
        found.columns,
        "24h",
    )


def test_each_term_can_be_dropped_alone_and_all_else_stays() -> None:
    found = state("q=outcome:failed+tool:refund&window=24h&order=slowest")
    without = {chip.words: state(chip.without[1:]) for chip in found.chips}
    assert without["outcome:failed"].line == "tool:refund"
    assert without["tool:refund"].line == "outcome:failed"
    assert all(one.window.name == "24h" and one.order == "slowest" for one in without.values())


def test_a_line_that_cannot_be_read_is_part_of_the_state() -> None:
    found = state("q=outcome:sucess")
    assert found.node is None
    assert found.wrong is not None
    assert (found.wrong.position, found.wrong.length, found.wrong.mend) == (8, 6, "outcome:success")


def test_links_from_before_the_line_open_what_they_opened() -> None:
    text = "outcome=failed&model=gpt+4&tool_error=1&window=24h&order=slowest&cursor=x"
    query = QueryDict(old_parameters(QueryDict(text)) or "")
    assert query["q"] == 'outcome:failed model:"gpt 4" has:tool_error'
    assert (query["window"], query["order"]) == ("24h", "slowest")
    assert "cursor" not in query
    assert old_parameters(QueryDict("q=x&window=7d")) is None


def test_a_figure_links_to_the_line_of_its_requests() -> None:
    feature = Feature(id=uuid4(), slug="billing", name="Billing")
    url = traces_url(feature, {"window": "7d"}, outcome="failed", violation="1", order="slowest")
    assert url == "/features/billing/traces/?q=outcome%3Afailed+has%3Aviolation&window=7d&order=slowest"
    assert traces_url(feature, {"window": "7d"}) == "/features/billing/traces/?window=7d"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("outcome=won", "outcome"),
        ("status=fine", "status"),
        ("missing=everything", "missing"),
        ("violation=yes", "violation"),
        (f"user={'u' * 400}", "user"),
    ],
)
def test_a_filter_of_old_that_means_nothing_is_refused_by_its_name(text: str, field: str) -> None:
    with pytest.raises(BadField) as refused:
        old_parameters(QueryDict(text))
    assert refused.value.field == field


@pytest.mark.parametrize(("text", "field"), [("order=random", "order"), ("columns=when,all", "columns")])
def test_a_value_that_means_nothing_is_refused_by_its_name(text: str, field: str) -> None:
    with pytest.raises(BadField) as refused:
        state(text)
    assert refused.value.field == field


@given(
    st.dictionaries(
        st.sampled_from(["q", "outcome", "model", "from", "to", "window", "order", "user", "columns"]),
        st.text(),
    )
)
def test_whatever_stands_in_a_url_is_read_or_refused(parameters: dict[str, str]) -> None:
    query = QueryDict(mutable=True)
    query.update(parameters)
    refused = set()
    for read in (old_parameters, lambda given: parse_list_state(given, NOW)):
        try:
            read(query)
        except BadField as error:
            refused.add(error.field)
    assert refused <= set(parameters)
