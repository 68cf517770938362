"""What changed between two prompts: nothing is lost, the instructions are told loudly, and the work stays bounded."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.traces.test_present import span, text_of
from traces.present.prompt_diff import PromptDiff, previous_call, prompt_diff, words_diff
from traces.present.text import Budget
from traces.vocabulary import Content, Message, Part, Span


def says(role: Any, text: str) -> Message:
    return Message(role=role, parts=[Part(type="text", text=text)])


def call(number: int, messages: list[Message], at: float = 0, parent: int = 1, **fields: Any) -> Span:
    return span(number, parent, at, at + 1, kind="llm", content=Content(input=messages, **fields))


def compared(old: list[Message], new: list[Message], **fields: Any) -> PromptDiff:
    spans = [call(2, old), call(3, new, 2, **fields)]
    found = prompt_diff(spans, spans[1], Budget(100_000))
    assert found is not None
    return found


def kinds(found: PromptDiff) -> list[str]:
    return [step.kind for step in found.steps]


SYSTEM, ASK = says("system", "Be kind."), says("user", "Where is it?")


def test_history_that_only_grew_shows_what_was_added() -> None:
    found = compared([SYSTEM, ASK], [SYSTEM, ASK, says("assistant", "I look."), says("tool", "lost")])
    assert kinds(found) == ["same", "added", "added"]
    assert found.steps[0].word == "2 messages unchanged"
    assert found.word == "2 messages added"
    assert not found.system_changed


def test_changed_instructions_are_told_loudly_and_word_by_word() -> None:
    found = compared([SYSTEM, ASK], [says("system", "Be very kind."), ASK])
    assert found.system_changed
    changed = found.steps[0].changed
    assert changed is not None
    assert [(piece.kind, piece.text) for piece in changed.text] == [
        ("plain", "Be "),
        ("added", "very "),
        ("plain", "kind."),
    ]


def test_a_removed_message_is_shown_with_its_text() -> None:
    found = compared([SYSTEM, ASK, says("tool", "long")], [SYSTEM, ASK])
    assert kinds(found) == ["same", "removed"]


def test_tools_and_model_that_changed_are_named() -> None:
    new = call(3, [ASK], 2, tool_definitions=[{"name": "refund"}, {"function": {"name": "lookup"}}])
    new.model_asked = "m-2"
    old = call(2, [ASK], tool_definitions=[{"name": "lookup"}, {"name": "mail"}])
    found = prompt_diff([old, new], new, Budget(1000))
    assert found is not None
    assert (text_of(found.tools_added), text_of(found.tools_removed)) == ("refund", "mail")
    assert text_of(found.model) == "none before, m-2 now"


def test_the_call_before_is_the_one_of_the_same_agent() -> None:
    spans = [call(2, [ASK], 0), call(3, [ASK], 1, parent=9), call(4, [ASK], 2)]
    found = previous_call(spans, spans[2])
    assert found is not None
    assert found.span_id == spans[0].span_id
    assert previous_call(spans, spans[0]) is None


@given(st.text("ab \n.", max_size=60), st.text("ab \n.", max_size=60))
def test_a_diff_holds_both_texts(old: str, new: str) -> None:
    found = words_diff(old, new)
    assert text_of(piece for piece in found if piece.kind != "added") == old
    assert text_of(piece for piece in found if piece.kind != "removed") == new


def test_long_unchanged_text_is_left_out_and_counted() -> None:
    text = "word " * 2000
    found = text_of(words_diff(f"{text}old {text}", f"{text}new {text}"))
    assert "characters unchanged" in found
    assert len(found) < 1000


def test_texts_too_long_to_compare_by_words_are_compared_by_lines_then_taken_as_replaced() -> None:
    lines = [f"line {n} of many words\n" for n in range(1000)]
    by_line = words_diff("".join(lines), "".join(["first\n", *lines[1:-1], "last\n"]))
    assert sum(len(piece.text) for piece in by_line if piece.kind == "removed") < 60
    one, other = "a b " * 40_000, "b a " * 40_000
    replaced = words_diff(f"x{one}y", f"z{other}y")
    assert [piece.kind for piece in replaced][:2] == ["removed", "added"]


def test_a_prompt_of_ten_megabytes_is_not_drawn() -> None:
    found = compared([says("user", "x " * 5_000_000)], [says("user", "y " * 5_000_000)])
    changed = found.steps[0].changed
    assert changed is not None
    assert changed.text == []
    assert "too long" in changed.word
