"""Whether a text is one sentence."""

import re

# What ends in a full stop and ends no sentence.
_ABBREVIATIONS = frozenset(
    "e.g. i.e. etc. vs. cf. approx. no. nr. dr. mr. mrs. ms. st. inc. ltd. co. dept. est. incl. max. min.".split()
)
_END = re.compile(r"(\S*[.!?])[\"')\]]?\s+(?=\S)|[。！？](?=\S)")
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+")


def fault_of_sentence(text: str) -> str | None:
    """What is wrong with a task that must be one sentence; None: nothing."""
    if not text.strip():
        return "must say the job in one sentence"
    if text != text.strip() or any(ord(character) < 32 for character in text):
        return "must be one sentence on one line"
    for end in _END.finditer(text):
        word = (end[1] or "").lstrip("\"'([")
        if word.lower() not in _ABBREVIATIONS and not _INITIALS.fullmatch(word):
            return "must be one sentence: it goes on after the first"
    return None
