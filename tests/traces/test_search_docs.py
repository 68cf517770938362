"""The grammar is documented key by key, and its examples can be read."""

import re

import pytest

from tests.support import ROOT
from traces.search.grammar import parse
from traces.search.keys import FAMILIES, KEYS, Key

DOCS = (ROOT / "docs/search.md").read_text()


def test_every_key_of_the_grammar_is_documented() -> None:
    named = set(re.findall(r"`([a-z_]+)(?:\.<[a-z]+>)?`", DOCS))
    assert {*KEYS, *(one.name for one in FAMILIES)} - named == set()
    for key in KEYS.values():
        assert set(key.choices) - named == {
            "prompt",
            "system_prompt",
            "retrieved_docs",
            "tool_calls",
            "final_output",
        } & set(key.choices)


@pytest.mark.parametrize("key", [*KEYS.values(), *FAMILIES], ids=lambda key: str(key.name))
def test_every_example_beside_the_line_can_be_read(key: Key) -> None:
    for example in key.example.split(", "):
        assert parse(example) is not None


def test_every_example_of_the_docs_can_be_read() -> None:
    found = re.findall(r"`([a-z_.]+:[^`]+)`", DOCS)
    assert len(found) > 20
    for example in found:
        assert parse(example) is not None, example
