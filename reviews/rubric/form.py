"""A rubric as a form of fields, one set for each criterion, and back. No Django: fields are a mapping of texts.

A scale's values are written one on a line, the worst first, as `label: anchor`; a line that begins with a colon, or has
none, is an anchor without a label. So a scale is read, moved and pasted as a text.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from reviews.rubric.document import SCALES, RubricFault

MOST = 12
_FIELD = re.compile(r"criteria\.(\d{1,2})\.")
_NOT_KEY = re.compile(r"[^a-z0-9]+")


class Row(msgspec.Struct, frozen=True):
    """A criterion as its fields show it, with what is wrong with each."""

    place: int
    key: str
    name: str
    question: str
    scale: str
    values: str
    examples: str
    passes_from: str
    required: bool
    grounding: bool
    ordered: bool
    faults: dict[str, list[str]]

    @property
    def number(self) -> int:
        """The place as people count."""
        return self.place + 1


def document_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """The document that a posted form says, right or not."""
    places = sorted({int(found[1]) for name in fields if (found := _FIELD.match(name))})
    return {
        "guideline": _text(fields.get("guideline", "")).strip(),
        "criteria": [_criterion(fields, f"criteria.{place}.") for place in places[:MOST]],
    }


def _criterion(fields: Mapping[str, str], prefix: str) -> dict[str, Any]:
    given = {
        name: _text(fields.get(prefix + name, "")).strip()
        for name in ("key", "name", "question", "scale", "values", "examples", "passes_from")
    }
    found: dict[str, Any] = {
        "key": given["key"] or key_of(given["name"]),
        "name": given["name"],
        "question": given["question"],
        "scale": given["scale"],
        "values": [_value(line) for line in given["values"].splitlines() if line.strip()],
        "examples": [line.strip() for line in given["examples"].splitlines() if line.strip()],
        "required": prefix + "required" in fields,
        "grounding": prefix + "grounding" in fields,
        "ordered": prefix + "kinds" not in fields,
    }
    if given["passes_from"]:
        text = given["passes_from"]
        found["passes_from"] = int(text) if text.isascii() and text.isdigit() else text
    return found


def key_of(name: str) -> str:
    """A key for a new criterion of this name; once given it stays, whatever the criterion is called later."""
    key = _NOT_KEY.sub("_", name.lower()).strip("_")[:40]
    return key if key[:1].isalpha() else f"c_{key}"[:40].rstrip("_")


def _value(line: str) -> dict[str, str]:
    label, colon, anchor = line.strip().partition(":")
    if not colon:
        return {"label": "", "anchor": label.strip()}
    return {"label": label.strip(), "anchor": anchor.strip()}


def _text(text: str) -> str:
    return text.replace("\x00", "").replace("\r\n", "\n")


def rows_of(document: Mapping[str, Any], faults: list[RubricFault]) -> list[Row]:
    """The fields of a document, whatever it holds, with each fault at its criterion."""
    rows = []
    for place, one in enumerate(document.get("criteria", ())):
        wrong: dict[str, list[str]] = {}
        prefix = f"criteria.{place}"
        for fault in faults:
            if fault.path == prefix or fault.path.startswith(f"{prefix}."):
                rest = fault.path.removeprefix(prefix).lstrip(".")
                field = rest.partition(".")[0]
                wrong.setdefault(field, []).append(_said(rest, fault.message))
        rows.append(
            Row(
                place=place,
                key=str(one.get("key", "")),
                name=str(one.get("name", "")),
                question=str(one.get("question", "")),
                scale=str(one.get("scale", "")) if one.get("scale") in SCALES else "choice",
                values="\n".join(_line(value) for value in one.get("values", ())),
                examples="\n".join(str(example) for example in one.get("examples", ())),
                passes_from=str(one.get("passes_from") or ""),
                required=bool(one.get("required", True)),
                grounding=bool(one.get("grounding", False)),
                ordered=bool(one.get("ordered", True)),
                faults=wrong,
            )
        )
    return rows


def _line(value: Mapping[str, str]) -> str:
    label, anchor = value.get("label", ""), value.get("anchor", "")
    if label:
        return f"{label}: {anchor}"
    return f": {anchor}" if ":" in anchor else anchor


def _said(rest: str, message: str) -> str:
    """`Value 2: must not be empty`, so that the line can be found."""
    steps = rest.split(".")
    if steps[0] == "values" and len(steps) > 1:
        return f"Value {int(steps[1]) + 1}: {message}"
    return message[:1].upper() + message[1:]


def general(faults: list[RubricFault]) -> list[str]:
    """What is wrong with no criterion in particular."""
    return [
        fault.message[:1].upper() + fault.message[1:]
        for fault in faults
        if not _FIELD.match(f"{fault.path}.")
    ]


def changed(document: dict[str, Any], act: str) -> dict[str, Any]:
    """The document with a criterion more (`add`), without one (`remove.2`), or with one moved up (`up.2`)."""
    criteria = list(document["criteria"])
    name, _, number = act.partition(".")
    place = int(number) if number.isascii() and number.isdigit() else -1
    if name == "add" and len(criteria) < MOST:
        criteria.append({"key": "", "name": "", "question": "", "scale": "pass_fail", "values": []})
    elif name == "remove" and 0 <= place < len(criteria):
        del criteria[place]
    elif name == "up" and 0 < place < len(criteria):
        criteria[place - 1 : place + 1] = [criteria[place], criteria[place - 1]]
    return {**document, "criteria": criteria}
