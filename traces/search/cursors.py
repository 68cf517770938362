"""Keyset cursors: the place of a page's last row, so that the next page costs what the first did."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

from features.problems import BadField

__all__ = ["ORDERS", "Order", "Place", "read_cursor", "write_cursor"]

Order = Literal["newest", "slowest", "dearest"]
ORDERS: dict[Order, str] = {"newest": "newest first", "slowest": "slowest first", "dearest": "dearest first"}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list: what it is ordered by, and the trace ID where that is the same."""

    by: datetime | int | Decimal | None
    trace_id: bytes


def write_cursor(place: Place, order: Order) -> str:
    """The cursor of what follows a place."""
    by = place.by.astimezone(UTC).isoformat() if isinstance(place.by, datetime) else str(place.by)
    return base64.urlsafe_b64encode(f"{order}|{by}|{place.trace_id.hex()}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, order: Order) -> Place:
    """The place of a cursor. Raises BadField for one that this list did not give."""
    try:
        if len(cursor) > 300:
            raise ValueError
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        given, by, trace_id = text.split("|")
        last = bytes.fromhex(trace_id)
        if given != order or len(last) != 16:
            raise ValueError
        return Place(_by(by, order), last)
    except (ValueError, OverflowError, binascii.Error, InvalidOperation) as error:
        raise BadField("cursor", "This cursor is not one that this list gave; start without it.") from error


def _by(text: str, order: Order) -> datetime | int | Decimal:
    if order == "newest":
        at = datetime.fromisoformat(text)
        if at.tzinfo is None or not 1970 <= at.year <= 9000:
            raise ValueError
        return at
    if order == "slowest":
        number = int(text)
        if not 0 <= number < 2**63:
            raise ValueError
        return number
    amount = Decimal(text)
    if not amount.is_finite() or abs(amount) > 10**10:
        raise ValueError
    return amount
