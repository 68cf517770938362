"""Keys and digests: the same for the same, another for anything else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance import NotCanonical, digest_of, key_of

words = st.text(min_size=1).filter(lambda text: text.encode(errors="ignore").decode() == text)
json_values: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda one: not 2**53 <= abs(one) < 1e21)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(words, words, words, words)
def test_two_calls_never_share_a_key(run: str, call: str, other_run: str, other_call: str) -> None:
    same = (run, call) == (other_run, other_call)
    assert (key_of(run, call) == key_of(other_run, other_call)) is same


@given(words, words)
def test_a_key_fits_into_a_header(run: str, call: str) -> None:
    key = key_of(run * 50, call)
    assert key.isascii()
    assert key.isprintable()
    assert len(key) <= 200


def test_a_key_needs_both_names() -> None:
    for run, call in (("", "c"), ("r", "")):
        with pytest.raises(ValueError, match="run"):
            key_of(run, call)


@given(st.dictionaries(words, json_values, max_size=5))
def test_a_digest_does_not_know_the_order_of_keys(args: dict[str, Any]) -> None:
    assert digest_of("refund", args) == digest_of("refund", dict(reversed(args.items())))


@given(st.dictionaries(words, json_values, max_size=5))
def test_the_server_computes_the_same_digest(args: dict[str, Any]) -> None:
    import hashlib

    import rfc8785

    from features.canonical import parse_canonical

    read = parse_canonical(rfc8785.dumps({"action": "refund", "args": args}))
    assert digest_of("refund", args) == "sha256:" + hashlib.sha256(rfc8785.dumps(read)).hexdigest()


@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 1e20, 2**53])
def test_a_number_that_reads_back_as_another_has_no_digest(number: float) -> None:
    with pytest.raises(NotCanonical):
        digest_of("refund", {"amount": number})


def test_a_digest_tells_texts_apart_that_look_the_same() -> None:
    composed, decomposed = "é", "e\u0301"
    assert digest_of("refund", {"a": composed}) != digest_of("refund", {"a": decomposed})
    assert digest_of("refund", {"a": 1}) == digest_of("refund", {"a": 1.0})
    assert digest_of("refund", {"a": 1}) != digest_of("refund", {"a": "1"})
    assert digest_of("refund", {}) != digest_of("refunds", {})
