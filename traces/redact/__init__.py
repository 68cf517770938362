"""Redact: personal data and secrets become typed tokens before anything is stored. Pure, no Django.

A token is stable inside a feature, so that on-call can follow one customer through requests; without the
feature's key it cannot be turned back or compared. Text that only looks like a token is escaped: input is
never trusted.
"""

from collections import Counter
from collections.abc import Collection, Mapping, MutableMapping

from traces.redact.recognisers import KINDS, BadPattern, Finding, Recognisers
from traces.redact.tokens import TOKEN_PATTERN, TokenMaker, is_token, short

__all__ = ["KINDS", "SECRET", "TOKEN_PATTERN", "BadPattern", "Redactor", "is_token", "short"]

# A key or a password is no personal data: nobody may want it kept, whatever a policy says of the rest.
SECRET = "secret"  # noqa: S105 - the name of a kind


class Redactor:
    """One feature's redaction. Build once and share: it keeps no state between calls.

    `secret` is the feature's HMAC key (32 bytes); `patterns` are its own named RE2 patterns. Raises
    BadPattern. `kinds` are those of the built-in recognisers that look.
    """

    def __init__(
        self, secret: bytes, patterns: Mapping[str, str] | None = None, kinds: Collection[str] = KINDS
    ) -> None:
        self._recognisers = Recognisers(patterns or {}, kinds)
        self._tokens = TokenMaker(secret)

    def redact_text(
        self, text: str, originals: MutableMapping[str, str] | None = None
    ) -> tuple[str, Counter[str]]:
        """The text with each finding replaced by its token, and how many of which kind were found.
        `originals` takes what each token stands for, secrets left out.
        """
        if "[" in text:
            text = self._tokens.escape_lookalikes(text)
        findings = self._recognisers.find(text)
        if not findings:
            return text, Counter()
        found: Counter[str] = Counter()
        pieces: list[str] = []
        at = 0
        for finding in findings:
            token = self._token(finding)
            pieces += (text[at : finding.start], token)
            if originals is not None and finding.kind != SECRET:
                originals.setdefault(token, text[finding.start : finding.end])
            at = finding.end
            found[finding.kind] += 1
        return "".join([*pieces, text[at:]]), found

    def leaves(self, quoted: bytes) -> bool:
        """Whether texts that stand in quotation marks in `quoted`, as in JSON but without its escapes, and the
        numbers between them would all be left as they are. False also when that is not sure.
        """
        return self._recognisers.nothing_in(quoted)

    def redact_number(self, number: int) -> str | None:
        """The token of a whole number that is a card number; None for any other."""
        text = str(number)
        findings = self._recognisers.find(text) if 13 <= len(text) <= 19 else []
        if len(findings) == 1 and findings[0].kind == "card":
            return self._token(findings[0])
        return None

    def _token(self, finding: Finding) -> str:
        return self._tokens.make(finding.kind, finding.canonical)
