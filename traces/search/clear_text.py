"""Values in the clear typed into the search line: what is stored is their token, so the token is what is searched."""

from collections import defaultdict
from collections.abc import Sequence

from features.models import Feature
from traces.redact import TOKEN_PATTERN, Redactor
from traces.redaction_key import redactor_for
from traces.search.grammar import MAX_LENGTH
from traces.search.ids import looks_like_id

__all__ = ["personal_data", "with_tokens"]


def personal_data(features: Sequence[Feature], line: str) -> list[str]:
    """The kinds of personal data that a line holds in the clear, as these features' redaction finds them."""
    return sorted({kind for one in features for kind in _redacted(redactor_for(one.pk), line)[1]})


def with_tokens(features: Sequence[Feature], line: str) -> str | None:
    """The line with each finding as its token: where tokens differ between features, one alternative for each.
    None: too many alternatives for a line.
    """
    spelt: defaultdict[str, list[str]] = defaultdict(list)
    for one in features:
        spelt[_redacted(redactor_for(one.pk), line)[0]].append(one.slug)
    if len(spelt) == 1:
        return next(iter(spelt))
    alternatives = [
        f"(({said}) ({' OR '.join(f'feature:{slug}' for slug in slugs)}))" for said, slugs in spelt.items()
    ]
    joined = " OR ".join(alternatives)
    return joined if len(joined) <= MAX_LENGTH else None


def _redacted(redactor: Redactor, line: str) -> tuple[str, list[str]]:
    """The line, redacted but for the tokens that it holds already, and the kinds that were found."""
    if looks_like_id(line.strip()):
        return line, []
    pieces: list[str] = []
    kinds: list[str] = []
    at = 0
    for token in TOKEN_PATTERN.finditer(line):
        said, found = redactor.redact_text(line[at : token.start()])
        pieces += (said, token[0])
        kinds += found
        at = token.end()
    said, found = redactor.redact_text(line[at:])
    return "".join([*pieces, said]), kinds + list(found)
