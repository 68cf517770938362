"""Signs of injection inside the text where they stand: which stretches of an untrusted text are marked, each with an
anchor that a link leads to.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from traces.summarise.conversation import Turn
from traces.summarise.injection import MOST_OF_A_TRACE, passage_key, signs_of, texts_of
from traces.vocabulary import Json

# Of one text; a text of nothing but signs is told by its first hundred.
_MOST_OF_A_TEXT: Final = 100


class Passage(msgspec.Struct, frozen=True):
    """A marked stretch: where a link finds it (empty: another one of the same words has the anchor) and what it
    does.
    """

    anchor: str
    what: str


class Signs:
    """Finds the signs in the untrusted texts of one part of a page, whose anchors begin with `place`. As much text is
    looked at as settle looks at of a trace.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._left = MOST_OF_A_TRACE
        self.given: set[str] = set()  # anchors that stand on the page

    def ranges(self, text: str, leaves: Iterable[str]) -> list[tuple[int, int, Passage]]:
        """(start, end, passage) in the text as it is shown, in order and apart; `leaves` are the stored texts that it
        shows, as they are or spelled as JSON.
        """
        found: list[tuple[int, int, Passage]] = []
        after: dict[str, int] = {}
        for leaf in leaves:
            if self._left <= 0 or len(found) >= _MOST_OF_A_TEXT:
                break
            self._left -= len(leaf)
            for sign in signs_of(leaf):
                passage = leaf[sign.start : sign.end]
                for spelled in (passage.replace("\r\n", "\n"), json.dumps(passage, ensure_ascii=False)[1:-1]):
                    start = text.find(spelled, after.get(spelled, 0))
                    if start >= 0:
                        after[spelled] = start + len(spelled)
                        anchor = self._anchor(passage_key(sign.what, passage))
                        found.append((start, start + len(spelled), Passage(anchor, sign.what)))
                        break
        return _apart(found)

    def forget(self, left_out: Iterable[Passage | None]) -> None:
        """These stretches are not drawn after all."""
        self.given -= {passage.anchor for passage in left_out if passage}

    def _anchor(self, key: str) -> str:
        anchor = f"{self._place}-{key}"
        if not self._place or anchor in self.given:
            return ""
        self.given.add(anchor)
        return anchor


def _apart(found: list[tuple[int, int, Passage]]) -> list[tuple[int, int, Passage]]:
    kept: list[tuple[int, int, Passage]] = []
    for one in sorted(found, key=lambda one: one[:2]):
        if not kept or one[0] >= kept[-1][1]:
            kept.append(one)
    return kept[:_MOST_OF_A_TEXT]


def leaves_of(value: Json) -> list[str]:
    """The texts in a JSON value."""
    return [text for _, text in texts_of(value)]


def turns_of_signs(turns: Sequence[Turn]) -> dict[str, int]:
    """The turn that first shows each sign, by the sign's key."""
    first: dict[str, int] = {}
    left = MOST_OF_A_TRACE
    for number, turn in enumerate(turns):
        if turn.trust != "untrusted":
            continue
        texts = [document.content for document in turn.documents if document.content]
        for part in turn.parts:
            texts += leaves_of(part.result if part.result is not None else part.text)
        for text in texts:
            if left <= 0:
                return first
            left -= len(text)
            for sign in signs_of(text):
                first.setdefault(passage_key(sign.what, text[sign.start : sign.end]), number)
    return first
