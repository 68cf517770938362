"""Recognisers: one linear-time screen over the text (RE2), a closer look only at its hits.

Kinds: email, phone, card, iban, national_id, ip, secret, and each feature's own patterns by their names.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import phonenumbers
import re2
from stdnum import iban, luhn
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.us import ssn

from traces.redact.tokens import TOKEN_PATTERN


class BadPattern(ValueError):
    """A feature's own pattern that RE2 refuses."""


class Finding(NamedTuple):
    """A place in a text: [start, end) in characters, what it is, and the one spelling its token is
    made of.
    """

    start: int
    end: int
    kind: str
    canonical: str


def _email(text: str) -> str | None:
    return text.lower()


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _card(text: str) -> str | None:
    digits = _digits(text)
    # ISO/IEC 7812: 13 to 19 digits with a Luhn check digit; all zeros pass Luhn and are no card.
    if not 13 <= len(digits) <= 19 or digits[0] == "0" or len(set(digits)) == 1:
        return None
    return digits if luhn.is_valid(digits) else None


def _phone(text: str) -> str | None:
    try:
        # Without a country code only North American spelling with its separators is telling enough.
        number = phonenumbers.parse(text, None if text.startswith(("+", "00")) else "US")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _phone_00(text: str) -> str | None:
    return _phone("+" + text[2:])


def _iban(text: str) -> str | None:
    compact = "".join(text.split()).upper()
    # The spelled groups may run into the next word: take the longest valid prefix.
    for end in range(len(compact), 14, -1):
        if iban.is_valid(compact[:end]):
            return compact[:end]
    return None


def _ip(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified:
        return None
    # `a::b` and `std::d` are addresses by the letter, but code by every chance.
    if address.version == 6 and sum(1 for group in text.split(":") if group) < 3 and len(text) < 7:
        return None
    return str(address)


def _national(text: str) -> str | None:
    compact = text.replace("-", "").replace(" ", "").upper()
    checks = (dni.is_valid, nie.is_valid) if len(compact) == 9 and not compact.isdigit() else (ssn.is_valid,)
    if len(compact) in (13, 15):
        checks = (nir.is_valid,)
    given = text if checks == (ssn.is_valid,) else compact
    return compact if any(check(given) for check in checks) else None


def _itself(text: str) -> str | None:
    return text


def _nothing(text: str) -> str | None:
    return None


# (kind, pattern, closer look). One capturing group marks the part that is replaced where it is not the whole
# match. Order decides between findings that start at the same place and end at the same place.
_BUILT_IN: tuple[tuple[str, str, Callable[[str], str | None]], ...] = (
    (
        "secret",
        r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]*"
        r"(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?",
        _itself,
    ),
    ("secret", r"\bey[A-Za-z0-9_-]{10,}\.ey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}", _itself),
    (
        "secret",
        r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|(?:AKIA|ASIA)[A-Z0-9]{16}"
        r"|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}|glpat-[A-Za-z0-9_-]{20,}"
        r"|clr_[a-z0-9]{8}_[A-Za-z0-9_-]{30,}"
        r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
        _itself,
    ),
    ("secret", r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)", _itself),
    (
        "secret",
        r"(?i)\b(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?token|client[_-]?secret|auth[_-]?token)"
        r"\\?[\"']?\s{0,3}[:=]\s{0,3}\\?[\"']?([^\s\"'\\,;&{}\[\]]{6,256})",
        _itself,
    ),
    ("secret", r"\b[a-z][a-z0-9+.-]{1,15}://[^\s/@:]{0,128}:([^\s/@]{1,256})@", _itself),
    ("email", r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b", _email),
    ("iban", r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", _iban),
    ("card", r"\b[2-6](?:[ -]?[0-9]){12,18}\b", _card),
    ("national_id", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", _national),
    ("national_id", r"\b(?:[0-9]{8}-?[A-Z]|[XYZ]-?[0-9]{7}-?[A-Z])\b", _national),
    ("national_id", r"\b[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b", _national),
    ("phone", r"\+[1-9](?:[ ./()-]{0,2}[0-9]){6,14}\b", _phone),
    ("phone", r"\b00[1-9](?:[ ./()-]{0,2}[0-9]){8,14}\b", _phone_00),
    ("phone", r"(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[-.])[0-9]{3}[-. ][0-9]{4}\b", _phone),
    ("ip", r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b", _ip),
    ("ip", r"(?i)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}", _ip),
)

KINDS = frozenset(kind for kind, _, _ in _BUILT_IN)
# No match of these kinds holds a quotation mark: it never reaches from one quoted text into the next. (Nor does a
# phone number's; but the look at one takes long, it nearly always is one, and then it is looked at again.)
_UNQUOTED = KINDS - {"secret", "phone"}
# What tells where a text begins or ends, or may: a pattern with it cannot be looked for in several texts at once.
_ENDS = re.compile(r"\^|\$|\\[AzZB]")


class Recognisers:
    """The built-in recognisers, all or those of some kinds, and a feature's own patterns."""

    def __init__(self, patterns: Mapping[str, str], kinds: Collection[str] = KINDS) -> None:
        self._looks: list[tuple[str, object, Callable[[str], str | None]]] = []
        self._screen = re2.Set.SearchSet(_quiet())
        self._joinable = not any(_ENDS.search(pattern) for pattern in patterns.values())
        for name, pattern in patterns.items():
            self._add(name, pattern, _itself)
        own = len(self._looks)
        for kind, pattern, look in _BUILT_IN:
            if kind in kinds:
                self._add(kind, pattern, look)
        # Whose hit in quoted texts can be looked at where it stands.
        self._quotable = frozenset(
            index for index in range(own, len(self._looks)) if self._looks[index][0] in _UNQUOTED
        )
        self._add("", TOKEN_PATTERN.pattern, _nothing)
        self._screen.Compile()

    def _add(self, kind: str, pattern: str, look: Callable[[str], str | None]) -> None:
        try:
            compiled = re2.compile(pattern, _quiet())
            self._screen.Add(pattern)
        except re2.error as error:
            raise BadPattern(f"The pattern {kind} is not one of RE2: {error}") from error
        self._looks.append((kind, compiled, look))

    def nothing_in(self, quoted: bytes) -> bool:
        """Whether there is nothing to find, nor anything that looks like a token, in any of several texts that
        stand in quotation marks in `quoted` (UTF-8), as in JSON, with numbers between them. When in doubt:
        False.

        One pass for all of them. To a pattern a quotation mark is what the end of a text is (neither a letter
        nor a digit): it matches in the whole wherever it matches in one of the texts.
        """
        if not self._joinable:
            return False
        hits = self._screen.Match(quoted)
        if not hits:
            return True
        if not self._quotable.issuperset(hits):
            return False
        text = quoted.decode()
        for index in hits:
            kind, pattern, look = self._looks[index]
            for match in pattern.finditer(text):
                start, end = match.span()
                if look(text[start:end]) is not None and (kind != "ip" or _stands_alone(text, start, end)):
                    return False
        return True

    def find(self, text: str) -> list[Finding]:
        """The findings in the text in their order, none overlapping: the earliest, then the longest wins."""
        hits = self._screen.Match(text)
        if not hits:
            return []
        found: list[tuple[int, int, int, Finding]] = []
        for index in hits:
            kind, pattern, look = self._looks[index]
            for match in pattern.finditer(text):
                group = 1 if match.re.groups else 0
                start, end = match.span(group)
                canonical = look(text[start:end])
                if canonical is None or (kind == "ip" and not _stands_alone(text, start, end)):
                    continue
                if kind == "iban":
                    end = start + _spelled(text[start:end], len(canonical))
                found.append((start, -end, index, Finding(start, end, kind, canonical)))
        kept: list[Finding] = []
        for _, _, _, finding in sorted(found):
            if finding.end > finding.start and (not kept or finding.start >= kept[-1].end):
                kept.append(finding)
        return kept


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether an address is no piece of something longer: a version number, a qualified name."""
    before, after = text[start - 1 : start], text[end : end + 2]
    return not (
        before.isalnum()
        or before in {"_", ":", "."}
        or after[:1].isalnum()
        or after[:1] in {"_"}
        or (after[:1] == "." and after[1:].isdigit())
        or (after[:1] == ":" and after[1:] == ":")
    )


def _spelled(text: str, letters: int) -> int:
    """How many characters of the text hold that many letters and digits."""
    seen = 0
    for at, character in enumerate(text):
        seen += not character.isspace()
        if seen == letters:
            return at + 1
    return len(text)


def _quiet() -> object:
    options = re2.Options()
    options.log_errors = False
    return options
