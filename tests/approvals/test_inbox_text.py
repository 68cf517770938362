"""Arguments as they are shown: nothing is lost, nothing hides, nothing is cut without a sign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.present import arguments_view, left_words, money, text_view, title_of


@pytest.mark.parametrize(
    ("millionths", "currency", "said"),
    [
        (180_000_000, "USD", "$180.00"),
        (1_234_567_500_000, "EUR", "€1,234,567.50"),
        (1, "USD", "$0.000001"),
        (12_500_000, "CHF", "CHF 12.50"),
        (3_000_000, "", "3"),
    ],
)
def test_money_is_exact(millionths: int, currency: str, said: str) -> None:
    assert money(millionths, currency) == said


@given(st.text(max_size=3000))
def test_what_is_stored_is_shown_whole(text: str) -> None:
    view = text_view(text)
    plain = "".join(piece.text for piece in [*view.lead, *view.rest] if piece.kind == "plain")
    left = iter(text.replace("\r\n", "\n"))
    assert all(one in left for one in plain if one not in "‹›"), "plain text is a part of it, in order"
    assert view.size == len(text.encode("utf-8", "surrogatepass"))


def test_long_text_folds_with_its_size_and_short_text_does_not() -> None:
    assert text_view("x" * 420).rest == []
    long = text_view("word " * 200)
    assert long.rest
    assert long.size == 1000
    lines = text_view("\n".join("abcdefgh"))
    assert "".join(piece.text for piece in lines.lead).count("\n") <= 5
    assert lines.rest


def test_marks_make_no_fold() -> None:
    assert text_view("rma-\u202e24-11\u202c").rest == []


@pytest.mark.parametrize(
    "text", ["\u0430ccount", "pa\u0443pal", "\u0441\u043e\u0440\u0435", "\uff11\uff12", "1\u0665", "a\u00a0b"]
)
def test_look_alikes_are_marked(text: str) -> None:
    assert any(piece.kind == "hidden" for piece in text_view(text).lead)


@pytest.mark.parametrize(
    "text", ["возврат денег", "Zürich, Größe 5", "naïve café", "注文番号", "Αθήνα και πίσω"]
)
def test_ordinary_writing_is_not(text: str) -> None:
    assert [piece.kind for piece in text_view(text).lead] == ["plain"]


def test_mixed_direction_has_its_logical_order() -> None:
    assert text_view("שלום 42 abc").logical == "שלום 42 abc"
    assert text_view("plain").logical == ""


def test_nested_arguments_stand_by_their_paths() -> None:
    view = arguments_view({"b": [{"c": None}, True], "a": 1.5, "d": {}, "e": ""})
    said = [
        ("".join(p.text for p in row.name), "".join(p.text for p in row.lead), row.kind) for row in view.rows
    ]
    assert said == [
        ("a", "1.5", "number"),
        ("b[0].c", "", "nothing (null)"),
        ("b[1]", "true", "true or false"),
        ("d", "", "an empty object"),
        ("e", "", "an empty text"),
    ]


def test_many_rows_fold() -> None:
    view = arguments_view({f"k{at:03}": "v" for at in range(60)})
    assert (len(view.rows), len(view.more), view.folds) == (40, 20, 1)


def test_words_of_the_head() -> None:
    assert title_of("issue_refund") == "Issue refund"
    assert [left_words(one) for one in (-1, 30, 1140, 10_000)] == [
        "no time left",
        "30 s left",
        "19 min left",
        "2 h left",
    ]
