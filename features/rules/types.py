"""The types of values in a rule."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Type(msgspec.Struct, frozen=True):
    """`of`: what a list or a map holds. `fields`: of an object, all of them known. `least`: how many a list holds at
    least, where an index must stand within it. `why`: of what no rule may read, the reason.
    """

    name: str
    of: Type | None = None
    fields: Mapping[str, Type] | None = None
    least: int | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name} of {self.of}" if self.of else self.name


BOOL = Type("bool")
INT = Type("int")
DOUBLE = Type("double")
STRING = Type("string")
NULL = Type("null")
DECIMAL = Type("decimal")
ANY = Type("any")  # JSON of the agent's: its type is known only when it is there


def list_of(of: Type, least: int | None = None) -> Type:
    """A list; with `least`, only an index below it may be read."""
    return Type("list", of, None, least)


def map_of(of: Type) -> Type:
    """A map from strings, whose keys nobody knows before."""
    return Type("map", of)


def object_of(fields: Mapping[str, Type]) -> Type:
    """An object with these fields and no other."""
    return Type("object", None, fields)


def unreadable(why: str) -> Type:
    """What is there or may be there and must not be read by a rule; `has()` may ask for it."""
    return Type("unreadable", why=why)
