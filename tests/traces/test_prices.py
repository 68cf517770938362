"""Cost: exact, at the price of the day, unknown where nobody knows it, and settled anew when a price changes."""

import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ClearanceError
from features.models import Feature
from features.services import create_person
from tests.support import Browser, Stack, unique
from tests.traces.settled import found_by, new_feature, new_span, new_trace_id, settle, store, trace_row
from tests.traces.test_summarise import ROOT, UNDER, call, of
from traces.models import Price as PriceRow
from traces.models import PriceChange
from traces.prices import DEFAULTS, checked, current_prices, mark_priced, read_file, set_price
from traces.summarise import Price, PriceList, Rules
from traces.terms import term
from traces.vocabulary import Usage

DAY = date(1970, 1, 1)


def price(
    model: str, input: str = "2.5", output: str = "10", cached: str | None = None, day: date = DAY
) -> Price:
    return Price(
        model=model,
        valid_from=day,
        input=Decimal(input),
        cached_input=None if cached is None else Decimal(cached),
        output=Decimal(output),
    )


def rules(*prices: Price) -> Rules:
    return Rules(prices=PriceList(prices))


def test_cost_is_exact_and_cached_tokens_have_their_own_price() -> None:
    usage = Usage(input=1_000_001, output=3, cached_input=400_000, reasoning=2)
    found = of(ROOT, call(2, usage=usage, **UNDER), rules=rules(price("m-1", cached="1.25")))
    assert found.cost_usd == "2.0000325"
    assert of(ROOT, call(2, usage=usage, **UNDER), rules=rules(price("m-1"))).cost_usd == "2.5000325"


def test_an_unknown_model_or_count_is_an_unknown_cost_and_no_call_costs_nothing() -> None:
    unknown = of(ROOT, call(2, **UNDER), call(3, model_answered="m-2", **UNDER), rules=rules(price("m-1")))
    assert (unknown.cost_usd, unknown.unknown_cost_calls, unknown.unpriced_models) == (None, 1, ["m-2"])
    assert of(ROOT).cost_usd == "0"
    uncounted = of(ROOT, call(2, usage=Usage(), **UNDER), rules=rules(price("m-1")))
    assert (uncounted.cost_usd, uncounted.unknown_cost_calls) == (None, 1)
    failed = of(ROOT, call(2, usage=Usage(), status="error", **UNDER), rules=rules(price("m-1")))
    assert (failed.cost_usd, failed.unknown_cost_calls) == ("0", 0)


def test_an_embedding_costs_and_a_call_seen_twice_costs_once() -> None:
    some = rules(price("m-1", "1", "1"), price("e-1", "1", "0"))
    embedding = call(2, kind="embedding", model_answered="e-1", usage=Usage(input=1_000_000), **UNDER)
    assert of(ROOT, embedding, rules=some).cost_usd == "1"
    outer = call(2, ended_at=900, usage=Usage(input=1_000_000, output=0), **UNDER)
    inner = call(3, scope="b", parent_span_id=outer.span_id, usage=Usage(input=1_000_000, output=0))
    assert of(ROOT, outer, inner, rules=some).cost_usd == "1"


def test_the_longest_name_wins_and_the_price_of_the_day() -> None:
    found = PriceList(
        [
            price("gpt-4o*", "5"),
            price("gpt-4o*", "2.5", day=date(2024, 10, 2)),
            price("gpt-4o-mini*", "0.15"),
            price("gpt-4o-mini", "0.1"),
        ]
    )

    def input_of(model: str, day: date = date(2026, 1, 1)) -> Decimal:
        one = found.of(model, day)
        assert one is not None, model
        return one.input

    assert input_of("gpt-4o-2024-08-06") == Decimal("2.5")
    assert input_of("GPT-4o", date(2024, 10, 1)) == Decimal("5")
    assert input_of("openai/gpt-4o") == Decimal("2.5")
    assert input_of("gpt-4o-mini-2024") == Decimal("0.15")
    assert input_of("gpt-4o-mini") == Decimal("0.1")
    assert found.of("gpt-4", date(2026, 1, 1)) is None
    assert PriceList([price("m", day=date(2026, 1, 2))]).of("m", date(2026, 1, 1)) is None


amounts = st.decimals(0, 100, places=4)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), amounts, amounts, amounts)
def test_cost_has_no_rounding(
    tokens: int, cached: int, out: int, one: Decimal, two: Decimal, three: Decimal
) -> None:
    listed = Price(model="m-1", valid_from=DAY, input=one, cached_input=two, output=three)
    usage = Usage(input=tokens, output=out, cached_input=cached)
    found = of(ROOT, call(2, usage=usage, **UNDER), rules=rules(listed))
    cached = min(cached, tokens)
    assert found.cost_usd is not None
    assert Decimal(found.cost_usd) * 10**6 == (tokens - cached) * one + cached * two + out * three


def test_the_shipped_prices_are_there_and_price_what_the_demo_calls() -> None:
    shipped = read_file(DEFAULTS)
    assert PriceRow.objects.filter(model__in=[one.model for one in shipped]).count() >= len(shipped)
    found = current_prices()
    for model in ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5"):
        assert found.of(model, date(2026, 1, 1)) is not None


def new_price(model: str, **changed: str) -> Any:
    given = {"valid_from": "2020-01-01", "input": "1", "cached_input": "", "output": "2", "source": "a test"}
    return checked(model=model, **{**given, **changed})


def reprice(feature: Feature) -> None:
    """Mark all that changed prices touch, of this feature in batches of three; the product's worker may have a part of
    it in hand.
    """
    until = time.monotonic() + 60
    while (change := PriceChange.objects.order_by("changed_at").first()) is not None:
        assert time.monotonic() < until
        left = Feature.objects.order_by("pk")
        left = left.filter(pk__gt=change.feature_done) if change.feature_done else left
        if not mark_priced(3 if left.first() == feature else 1000):
            time.sleep(0.05)


def test_a_changed_price_settles_anew_what_it_touches_and_nothing_else() -> None:
    feature, model = new_feature(), unique("model")
    usage = Usage(input=1_000_000, output=0)
    mine = [new_trace_id() for _ in range(5)]
    other = new_trace_id()
    for trace_id in mine:
        called = new_span(trace_id, 2, kind="llm", calls_model=True, model_answered=f"{model}-1", usage=usage)
        store(feature, new_span(trace_id), called)
    store(
        feature,
        new_span(other),
        new_span(other, 2, kind="llm", calls_model=True, model_answered="x", usage=usage),
    )
    settle(feature)
    assert trace_row(feature, mine[0])["cost_usd"] is None
    assert found_by(feature, f"'{term('has', 'unknown_cost')}'") == 6
    assert set_price(new_price(f"{model}*", input="1.5"))
    assert not set_price(new_price(f"{model}*", input="1.50"))
    reprice(feature)
    settle(feature)
    costs = {Decimal(trace_row(feature, trace_id)["cost_usd"]) for trace_id in mine}
    assert costs == {Decimal("1.5")}
    assert found_by(feature, f"'{term('has', 'unknown_cost')}'") == 1
    set_price(new_price(f"{model}*", input="9", valid_from="2999-01-01"))
    reprice(feature)
    settle(feature)
    assert Decimal(trace_row(feature, mine[0])["cost_usd"]) == Decimal("1.5")
    assert not PriceChange.objects.exists()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"model": ""}, "model"),
        ({"model": "a*b"}, "model"),
        ({"model": "*"}, "model"),
        ({"valid_from": "soon"}, "valid_from"),
        ({"input": "-1"}, "input"),
        ({"input": "NaN"}, "input"),
        ({"output": "1.00001"}, "output"),
        ({"cached_input": "free"}, "cached_input"),
        ({"source": " "}, "source"),
    ],
)
def test_a_wrong_price_is_refused_by_its_field(changed: dict[str, str], field: str) -> None:
    given = {"model": "m", **changed}
    with pytest.raises(ClearanceError) as caught:
        new_price(given.pop("model"), **given)
    assert caught.value.field == field


def test_administrators_set_prices_on_the_page_and_the_record_keeps_it(stack: Stack) -> None:
    admin, _ = create_person(name=unique("admin"), administrator=True)
    viewer, _ = create_person(name=unique("viewer"))
    model = unique("priced")
    form = {
        "model": model,
        "valid_from": "2026-01-01",
        "input": "1.25",
        "cached_input": "",
        "output": "5",
        "source": "a contract",
    }
    assert Browser(stack, viewer).post("/prices/", form).status_code == 403
    wrong = Browser(stack, admin).post("/prices/", {**form, "input": "x"})
    assert wrong.status_code == 400
    assert "four decimals" in wrong.text
    assert Browser(stack, admin).post("/prices/", form).status_code == 302
    page = Browser(stack, viewer).get("/prices/").text
    assert model in page
    assert "a contract" in page
    assert "Set a price" not in page
    assert PriceRow.objects.get(model=model).changed_by == admin


def test_the_command_lists_sets_and_loads(stack: Stack, tmp_path: Path) -> None:
    model = unique("m")
    done = stack.manage("prices", "set", model, "--input", "1", "--output", "2", "--from", "2026-01-01")
    assert (done.returncode, done.stdout.strip()) == (0, "set")
    assert model in stack.manage("prices", "list").stdout
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('source = "x"\n[[price]]\nmodel = "a"\nfrom = 2026-01-01\ninput = "1"\noutput = "-1"\n')
    refused = stack.manage("prices", "load", str(wrong))
    assert refused.returncode == 2
    assert "price 1" in refused.stderr
    assert stack.manage("prices", "load").stdout.startswith("0 of")
