"""The engine: a declared check becomes a function from what was said and done to what is wrong with it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from features.checks.output_schema import compiled, validator_of
from features.rules import compile_rule

__all__ = ["Checker", "Declared", "Failure", "Subject", "Text", "checker_of"]

_MOST_CHARACTERS = 256 * 1024  # of one text that is looked at
_MOST_FAILURES = 20  # of one check: one says as much as a thousand


class Text(msgspec.Struct, frozen=True):
    """A text of the agent's and the span that shows it."""

    text: str
    span_id: str | None = None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is checked: the final output (None: not shown), every text that the agent wrote (answers, arguments of
    tools), the IDs of what was retrieved, and `trace` as rules see it.
    """

    output: Text | None
    texts: Sequence[Text] = ()
    retrieved_ids: Sequence[str] = ()
    trace: Mapping[str, Any] = {}


class Failure(msgspec.Struct, frozen=True):
    """A check that failed: its name, where, and what is wrong."""

    check: str
    span_id: str | None
    detail: str


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A check as a policy declares it; which fields it has depends on its kind."""

    name: str
    kind: str
    on: str = "output"
    pattern: str | None = None
    must_match: bool = True
    texts: Sequence[str] = ()
    schema: dict[str, Any] | None = None
    rule: str | None = None


class Result(msgspec.Struct, frozen=True):
    """What checks found, and which of them could not be run, and why."""

    failures: list[Failure]
    faults: list[str]


_Run = Callable[[Subject], Iterable[tuple[str | None, str]]]


class _NotRun(Exception):
    """The check could not be run on this subject."""


class Checker:
    """All checks of a policy, made once. Threads may share it."""

    def __init__(self, declared: Sequence[Declared]) -> None:
        self._runs = [(one.name, _KINDS[one.kind](one)) for one in declared]

    def __len__(self) -> int:
        return len(self._runs)

    def run(self, subject: Subject) -> Result:
        """Run each check. One that cannot be run is a fault: neither passed nor failed."""
        failures: list[Failure] = []
        faults: list[str] = []
        for name, run in self._runs:
            try:
                found = list(run(subject))
            except _NotRun as error:
                faults.append(f"{name}: {error}")
                continue
            failures += [Failure(name, span_id, detail) for span_id, detail in found[:_MOST_FAILURES]]
        return Result(failures, faults)


def checker_of(declared: Iterable[Declared]) -> Checker:
    """The checks of a policy, ready to run."""
    return Checker(list(declared))


def _looked_at(declared: Declared, subject: Subject) -> list[Text]:
    if declared.on == "trace":
        return list(subject.texts)
    return [subject.output] if subject.output is not None else []


def _pattern(declared: Declared) -> _Run:
    pattern = compiled(declared.pattern or "")

    def run(subject: Subject) -> Iterable[tuple[str | None, str]]:
        texts = _looked_at(declared, subject)
        found = [(text, pattern.search(text.text[:_MOST_CHARACTERS])) for text in texts]
        if not declared.must_match:
            return [
                (text.span_id, f"holds what it must not: {_quoted(hit[0])}") for text, hit in found if hit
            ]
        # Of several texts one is enough.
        if texts and not any(hit for _, hit in found):
            return [(texts[-1].span_id, "does not hold what it must")]
        return []

    return run


def _forbidden_text(declared: Declared) -> _Run:
    forbidden = [(text, text.casefold()) for text in declared.texts]

    def run(subject: Subject) -> Iterable[tuple[str | None, str]]:
        for text in _looked_at(declared, subject):
            folded = text.text[:_MOST_CHARACTERS].casefold()
            for written, wanted in forbidden:
                if wanted in folded:
                    yield text.span_id, f"holds {_quoted(written)}"

    return run


def _json_schema(declared: Declared) -> _Run:
    validator = validator_of(declared.schema or {})

    def run(subject: Subject) -> Iterable[tuple[str | None, str]]:
        if subject.output is None:
            return []
        if len(subject.output.text) > _MOST_CHARACTERS:
            return [(subject.output.span_id, f"is over {_MOST_CHARACTERS} characters")]
        try:
            value = json.loads(subject.output.text)
            error = next(iter(validator.iter_errors(value)), None)
        except ValueError:
            return [(subject.output.span_id, "is no JSON")]
        except RecursionError:
            return [(subject.output.span_id, "is nested too deep")]
        if error is None:
            return []
        where = ".".join(map(str, error.absolute_path)) or "the output"
        return [(subject.output.span_id, f"{where[:100]}: {error.message[:200]}")]

    return run


def _required_citation(declared: Declared) -> _Run:
    pattern = compiled(declared.pattern) if declared.pattern else None

    def run(subject: Subject) -> Iterable[tuple[str | None, str]]:
        if subject.output is None or not subject.retrieved_ids:
            return []
        text = subject.output.text[:_MOST_CHARACTERS]
        if pattern is not None:
            cited = pattern.search(text) is not None
        else:
            cited = any(identity in text for identity in subject.retrieved_ids)
        return (
            [] if cited else [(subject.output.span_id, "documents were retrieved, and it cites none of them")]
        )

    return run


def _cel(declared: Declared) -> _Run:
    rule = compile_rule(declared.rule or "")

    def run(subject: Subject) -> Iterable[tuple[str | None, str]]:
        answer = rule.ask({"trace": subject.trace})
        if answer.fault is not None:
            raise _NotRun(answer.fault)
        return [] if answer.holds else [(None, f"does not hold: {declared.rule}"[:300])]

    return run


def _quoted(text: str) -> str:
    return f'"{text[:60]}"'


_KINDS: dict[str, Callable[[Declared], _Run]] = {
    "pattern": _pattern,
    "forbidden_text": _forbidden_text,
    "json_schema": _json_schema,
    "required_citation": _required_citation,
    "cel": _cel,
}
