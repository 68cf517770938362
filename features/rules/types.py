"""The types of values in a rule."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Type(msgspec.Struct, frozen=True):
    """`of`: what a list or a map holds. `fields`: of an object, all of them known."""

    name: str
    of: Type | None = None
    fields: Mapping[str, Type] | None = None

    def __str__(self) -> str:
        return f"{self.name} of {self.of}" if self.of else self.name


BOOL = Type("bool")
INT = Type("int")
DOUBLE = Type("double")
STRING = Type("string")
NULL = Type("null")
DECIMAL = Type("decimal")
ANY = Type("any")  # JSON of the agent's: its type is known only when it is there


def list_of(of: Type) -> Type:
    """A list."""
    return Type("list", of)


def map_of(of: Type) -> Type:
    """A map from strings, whose keys nobody knows before."""
    return Type("map", of)


def object_of(fields: Mapping[str, Type]) -> Type:
    """An object with these fields and no other."""
    return Type("object", None, fields)
