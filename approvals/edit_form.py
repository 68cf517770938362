"""Arguments as fields of a form: one for each, in the type that it has. Pure; what is typed is judged by the policy."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from features.canonical import NotCanonical, NotJson, parse_canonical
from features.errors import ClearanceError
from traces.present.text import has_hidden

_LINE = 80


class EditField(msgspec.Struct, frozen=True):
    """One argument: `kind` is line, text, choice or json."""

    name: str
    kind: str
    value: str
    choices: list[str]
    hidden: bool = False  # it holds characters that a field does not show


def edit_fields(
    args: dict[str, Any], schema: Mapping[str, Any] | None, typed: Mapping[str, str] | None = None
) -> list[EditField]:
    """The fields, with what was typed where something was."""
    return [_field(name, args[name], schema, typed or {}) for name in sorted(args)]


def _field(name: str, value: Any, schema: Mapping[str, Any] | None, typed: Mapping[str, str]) -> EditField:
    found = _bare_field(name, value, schema, typed)
    return msgspec.structs.replace(found, hidden=has_hidden(found.value))


def _bare_field(
    name: str, value: Any, schema: Mapping[str, Any] | None, typed: Mapping[str, str]
) -> EditField:
    known = (schema or {}).get("properties", {}).get(name, {})
    choices = known.get("enum") if isinstance(known, dict) else None
    text = typed.get(f"arg:{name}", value if isinstance(value, str) else _json(value))
    if isinstance(choices, list) and all(isinstance(one, str) for one in choices) and isinstance(value, str):
        return EditField(name, "choice", text, choices)
    if isinstance(value, bool):
        return EditField(name, "choice", text, ["true", "false"])
    if isinstance(value, str):
        several = len(value) > _LINE or "\n" in value or "\r" in value
        return EditField(name, "text" if several else "line", text, [])
    return EditField(name, "line" if isinstance(value, int | float) else "json", text, [])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read_edit(args: dict[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """The arguments with what was typed in place of what was there; a field that is missing is left. Raises
    ClearanceError (`args`).
    """
    return {name: _read(name, value, typed.get(f"arg:{name}")) for name, value in args.items()}


def _as_forms_send(text: str) -> str:
    """A form changes the ends of lines, and a page has no NUL (https://html.spec.whatwg.org); that alone is no edit."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _read(name: str, before: Any, text: str | None) -> Any:
    if text is None:
        return before
    text = text.replace("\r\n", "\n")
    if isinstance(before, str):
        return before if text == _as_forms_send(before) else text
    try:
        found: dict[str, Any] = parse_canonical(b'{"v":' + text.encode("utf-8", "surrogatepass") + b"}")
        if set(found) != {"v"}:
            raise NotJson("there is more than one value", 0)
        return found["v"]
    except (NotJson, NotCanonical) as error:
        raise ClearanceError(
            "args",
            f"{name} is no value of JSON: {str(error)[:200]}",
            "Numbers as 12.5, texts in quotes.",
            "args",
        ) from error
