"""What a person or a service would not want kept is not kept, and what only looks like it stays."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.redact import TOKEN_PATTERN, BadPattern, Redactor, is_token, short

REDACTOR = Redactor(b"k" * 32, {"customer": "CUST-[0-9]{6}"})

FOUND = {
    "Write to Jo.Doe+x@mail.example.org please": "email",
    "call +44 20 7946 0958 today": "phone",
    "call 0044 20 7946 0958 today": "phone",
    "or (212) 555-2368.": "phone",
    "card 4111 1111 1111 1111 exp 12/29": "card",
    "card 5500-0055-5555-5559": "card",
    "to DE89 3704 0044 0532 0130 00, thanks": "iban",
    "to GB29NWBK60161331926819.": "iban",
    "from 203.0.113.7 at night": "ip",
    "from 2001:db8::8a2e:370:7334 at night": "ip",
    "my SSN is 536-90-4399": "national_id",
    "key sk-abcdEFGH1234abcdEFGH1234 leaked": "secret",
    "Authorization: Bearer abcdefghijklmnop1234": "secret",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345": "secret",
    "AKIAIOSFODNN7EXAMPLE": "secret",
    '{"password": "hunter2hunter"}': "secret",
    "postgresql://app:s3cr3t@db/x": "secret",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4": "secret",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----": "secret",
    "for CUST-123456 now": "customer",
}


@pytest.mark.parametrize("text", FOUND)
def test_a_finding_becomes_one_token_of_its_kind(text: str) -> None:
    redacted, found = REDACTOR.redact_text(text)
    assert found == {FOUND[text]: 1}
    assert [token[1] for token in TOKEN_PATTERN.finditer(redacted)] == [FOUND[text]]


@pytest.mark.parametrize(
    "text",
    [
        "order A-1042, $180.00, 2026-11-24T03:12:09.123Z",
        "started 1764000000000000000 ended 1764000000123456789",
        "4111 1111 1111 1112 fails its check digit",
        "0000 0000 0000 0000",
        "version 1.2.3.4.5 of 999.1.1.1",
        "127.0.0.1:8000",
        "a @ b, user@localhost",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "at 12:30:45 or 03:12",
        "see ISO 20022 and RFC 9457",
        "std::vector and a::b",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert REDACTOR.redact_text(text) == (text, {})


def test_a_token_is_stable_in_a_feature_whatever_the_spelling_and_different_in_another() -> None:
    spelled = [
        REDACTOR.redact_text(text)[0]
        for text in ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111")
    ]
    assert len(set(spelled)) == 1
    assert is_token(spelled[0])
    assert REDACTOR.redact_text("A@B.example")[0] == REDACTOR.redact_text("a@b.example")[0]
    assert Redactor(b"x" * 32).redact_text("4111111111111111")[0] != spelled[0]
    assert len(short(spelled[0])) == len("[card:7f3a]")


def test_a_card_written_as_a_number_is_found() -> None:
    token = REDACTOR.redact_number(4111111111111111)
    assert token is not None
    assert is_token(token)
    assert REDACTOR.redact_number(1764000000000000000) is None
    assert REDACTOR.redact_number(180) is None


def test_text_that_poses_as_a_token_is_escaped_visibly() -> None:
    posing = "[email:0123456789abcdef0123]"
    redacted, found = REDACTOR.redact_text(posing)
    assert redacted != posing
    assert not TOKEN_PATTERN.search(redacted)
    assert not found


@given(st.text(max_size=300))
def test_any_text_is_redacted_once_and_then_stays(text: str) -> None:
    once, found = REDACTOR.redact_text(text)
    assert len(TOKEN_PATTERN.findall(once)) == sum(found.values())


@given(
    st.text(max_size=40),
    st.emails(domains=st.sampled_from(["mail.example", "a-b.example.org"])),
    st.text(max_size=40),
)
def test_no_ordinary_address_survives_between_other_text(before: str, address: str, after: str) -> None:
    local = address.partition("@")[0]
    if not local.isalnum() or len(local) < 4:
        address = "someone@mail.example"
    redacted, _ = REDACTOR.redact_text(f"{before} {address} {after}")
    assert address not in redacted


def test_a_pattern_that_re2_cannot_match_in_linear_time_is_refused() -> None:
    with pytest.raises(BadPattern, match="customer"):
        Redactor(b"k" * 32, {"customer": r"(a)\1"})


def test_findings_are_plain_counts() -> None:
    _, found = REDACTOR.redact_text("a@b.example and c@d.example from 203.0.113.7")
    assert msgspec.json.decode(msgspec.json.encode(dict(found))) == {"email": 2, "ip": 1}
