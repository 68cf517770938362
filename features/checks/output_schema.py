"""JSON Schemas of outputs: valid, local, bounded, with patterns that end in time."""

from collections.abc import Iterator
from typing import Any, cast

import re2
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

Fault = tuple[tuple[str | int, ...], str]
_DEPTH = 32
_REFUSED = ("patternProperties", "$dynamicRef", "$recursiveRef", "uniqueItems")


def faults_of_output_schema(schema: dict[str, Any]) -> list[Fault]:
    """What is wrong with a schema of outputs, each with the path inside of it."""
    faults = list(_walk(schema, ()))
    if not faults:
        meta = cast(Validator, Draft202012Validator(Draft202012Validator.META_SCHEMA))
        faults = [(tuple(error.absolute_path), error.message[:200]) for error in meta.iter_errors(schema)]
    return faults


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    if len(path) > _DEPTH:
        yield path, f"is nested over {_DEPTH} deep"
    elif isinstance(value, dict):
        for key, inner in value.items():
            here = (*path, key)
            if key in _REFUSED and path[-1:] != ("properties",):
                yield here, "is not taken in checks: it can take long or looks elsewhere"
            elif key == "$ref" and not (isinstance(inner, str) and inner.startswith("#")):
                yield here, "must point into this schema: #/$defs/..."
            elif key == "pattern" and isinstance(inner, str) and path[-1:] != ("properties",):
                try:
                    compiled(inner)
                except re2.error:
                    yield here, "is no pattern of RE2"
            yield from _walk(inner, here)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _walk(inner, (*path, at))


def compiled(pattern: str) -> Any:
    """A pattern of RE2, which looks at each character once. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    return re2.compile(pattern, options)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and compiled(pattern).search(instance) is None:
        yield ValidationError(f"does not match {pattern[:60]}")


_Bounded: Any = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


def validator_of(schema: dict[str, Any]) -> Any:
    """A validator whose patterns are RE2's."""
    return _Bounded(schema)
