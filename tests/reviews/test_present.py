"""What a reviewer reads: who said what, what is folded, and hostile text as elements of ours alone."""

import re

import pytest
from django.template import Context, Template
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.formatted import LONGEST, Element, Inside, formatted
from reviews.present import talk
from tests.reviews.talks import ANSWERED, ASKED, PAPER, SYSTEM, said, talk_spans
from traces.present.text import Piece

AT = 1_800_000_000 * 10**9


def text_of(inside: Inside) -> str:
    return "".join(text_of(one.inside) if isinstance(one, Element) else one.text for one in inside)


def html_of(text: str) -> str:
    return Template("{% load reviews %}{% elements inside %}").render(Context({"inside": formatted(text)}))


def lines_of(entries: object) -> list[str]:
    assert isinstance(entries, list)
    return [
        "".join(piece.text for line in entry.lines for piece in line.part.text.lead)
        if entry.bubble
        else f"({entry.words})"
        for entry in entries
    ]


def test_the_user_s_side_stands_open_and_the_rest_is_folded_where_it_happened() -> None:
    shown = talk(talk_spans(AT), [], markup=False)
    assert lines_of(shown.entries) == [ASKED, "(1 document, 1 tool call, 1 tool result)", ANSWERED]
    assert [entry.who for entry in shown.entries if entry.bubble] == ["User", "Agent"]
    (system,) = shown.system
    assert system.parts[0].text.lead[0].text == SYSTEM
    assert shown.documents[0].text.lead[0].text == PAPER
    assert shown.tools == 1


def test_what_the_request_carries_from_before_is_folded_above() -> None:
    history = [said("user", "Hello"), said("assistant", "Hello, how can I help?")]
    shown = talk(talk_spans(AT, history=history), [], markup=False)
    assert lines_of(shown.earlier) == ["Hello", "Hello, how can I help?"]
    assert "Hello" not in lines_of(shown.entries)


def test_without_history_the_session_s_earlier_requests_stand_above() -> None:
    before = talk_spans(AT - 10**12, asked="And my first question?", answered="It was answered.")
    shown = talk(talk_spans(AT), [before], markup=False)
    assert lines_of(shown.earlier) == ["And my first question?", "It was answered."]


def test_nothing_names_the_model_the_variant_or_a_span() -> None:
    shown = repr(talk(talk_spans(AT), [], markup=True).entries)
    assert "secret-model-9" not in shown
    assert "canary" not in shown


def test_lists_tables_and_emphasis_become_elements() -> None:
    html = html_of("# Two charges\n\n- **one**\n- *two*\n\n|day|sum|\n|-|-|\n|3|`180`|\n")
    for part in (
        '<p class="heading">Two charges</p>',
        "<li><p><strong>one</strong></p></li>",
        "<em>two</em>",
        '<th scope="col">day</th>',
        "<td><code>180</code></td>",
    ):
        assert part in html


@pytest.mark.parametrize(
    "hostile",
    [
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "[click](https://evil.example)",
        "![x](https://evil.example/p.png)",
        "<https://evil.example>",
        "[a]: https://evil.example\n\n[a]",
        "# <h1>Submit</h1>",
        "- <svg/onload=alert(1)>",
        "`<b>`",
        "&lt;script&gt; &#x202e;",
        "</div></section><form action=/kill>",
        '```"><img src=x>\ncode\n```',
    ],
)
def test_nothing_hostile_becomes_markup(hostile: str) -> None:
    html = html_of(hostile)
    tags = set(re.findall(r"</?([a-z0-9]+)", html))
    assert tags <= {"div", "p", "code", "pre", "ul", "li"}
    assert not re.search(r"<[^>]*(?:href|src|on[a-z]+|style)\s*=", html)


def test_what_hides_is_written_out_in_formatted_text_too() -> None:
    assert 'class="hidden-char"' in html_of("pay **\u202e05.1$** now\u200b")


def test_what_would_take_long_to_read_stays_raw() -> None:
    assert formatted("a" * (LONGEST + 1)) is None
    assert formatted("|" + "a|" * 200 + "\n|" + "-|" * 200 + "\n" + "|x\n" * 2000) is None


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab *_`#>|-\n[]()<&;~!\\1.\t")), max_size=200))
def test_any_text_is_read_and_no_letter_is_made_up(text: str) -> None:
    inside = formatted(text)
    assert inside is not None
    assert set(text_of(inside)) <= set(text) | {"\n", " "}
    assert all(isinstance(one, Element | Piece) for one in inside)
