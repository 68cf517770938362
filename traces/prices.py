"""Prices of models: reading price files, changing prices, and settling anew what a change touches."""

import re
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction

from audit.services import append
from features.acting import actor_of
from features.errors import ClearanceError
from features.models import Feature, Person
from traces import models
from traces.store import mark_dirty
from traces.summarise import Price, PriceList
from traces.wake import wake

__all__ = ["DEFAULTS", "NewPrice", "current_prices", "load_prices", "mark_priced", "read_file", "set_price"]

DEFAULTS = Path(__file__).resolve().parent / "prices.toml"
_NAME = re.compile(r"[a-z0-9][a-z0-9._:/@+-]{0,198}\*?")
_MOST_BYTES = 1024 * 1024
_MOST_PRICE = Decimal(1_000_000)
_BATCH = 2000


class NewPrice(msgspec.Struct, frozen=True, order=True):
    """A price to be set; US dollars per million tokens, at most four decimals."""

    model: str
    valid_from: date
    input: Decimal
    cached_input: Decimal | None
    output: Decimal
    source: str


def checked(
    *, model: str, valid_from: str, input: str, cached_input: str, output: str, source: str
) -> NewPrice:
    """A price as a person types it. Raises ClearanceError that names the field; cached '' is as input."""
    name = model.strip().lower()
    if not _NAME.fullmatch(name):
        raise ClearanceError(
            "invalid_price",
            "must be a model's name, or the start of names with * at its end.",
            field="model",
        )
    try:
        day = date.fromisoformat(valid_from.strip())
    except ValueError:
        raise ClearanceError(
            "invalid_price", "must be a day such as 2026-01-31.", field="valid_from"
        ) from None
    if not source.strip() or len(source) > 200:
        raise ClearanceError(
            "invalid_price", "must say in a line where the figure comes from.", field="source"
        )
    cached = _dollars("cached_input", cached_input) if cached_input.strip() else None
    return NewPrice(
        name,
        day,
        _dollars("input", input),
        cached,
        _dollars("output", output),
        source.strip().replace("\x00", ""),
    )


def _dollars(field: str, text: str) -> Decimal:
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent
    if (
        not amount.is_finite()
        or not 0 <= amount <= _MOST_PRICE
        or (isinstance(exponent, int) and exponent < -4)
    ):
        raise ClearanceError(
            "invalid_price", "must be dollars per million tokens with at most four decimals.", field=field
        )
    return amount


def read_file(path: Path) -> list[NewPrice]:
    """The prices of a price file (traces/prices.toml shows the form). Raises ClearanceError that names the entry."""
    try:
        raw = path.read_bytes()
        if len(raw) > _MOST_BYTES:
            raise ClearanceError("invalid_prices", f"{path} is over {_MOST_BYTES} bytes.")
        values = tomllib.loads(raw.decode())
    except OSError as error:
        raise ClearanceError("invalid_prices", f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ClearanceError("invalid_prices", f"{path} is no TOML: {error}.") from error
    source, entries = values.get("source", ""), values.get("price", [])
    if not isinstance(source, str) or not isinstance(entries, list):
        raise ClearanceError("invalid_prices", f"{path} must have a source and [[price]] tables.")
    return [_entry(path, n, entry, source) for n, entry in enumerate(entries, 1)]


def _entry(path: Path, n: int, entry: Any, source: str) -> NewPrice:
    known = {"model", "from", "input", "cached", "output", "source"}
    if not isinstance(entry, dict) or not {"model", "from", "input", "output"} <= set(entry) <= known:
        raise ClearanceError("invalid_prices", f"{path}, price {n}: takes {', '.join(sorted(known))}.")
    try:
        return checked(
            model=str(entry["model"]),
            valid_from=str(entry["from"]),
            input=str(entry["input"]),
            cached_input=str(entry.get("cached", "")),
            output=str(entry["output"]),
            source=str(entry.get("source", source)),
        )
    except ClearanceError as error:
        raise ClearanceError("invalid_prices", f"{path}, price {n}: {error.field} {error.message}") from error


def current_prices() -> PriceList:
    """All prices, to look up by model and day."""
    rows = models.Price.objects.all().order_by("model", "valid_from")
    return PriceList(
        Price(
            model=row.model,
            valid_from=row.valid_from,
            input=row.input,
            cached_input=row.cached_input,
            output=row.output,
        )
        for row in rows
    )


@transaction.atomic
def set_price(price: NewPrice, by: Person | None = None) -> bool:
    """Set what a model costs from a day on; returns whether anything changed. The traces that it touches are settled
    anew.
    """
    row = (
        models.Price.objects.select_for_update()
        .filter(model=price.model, valid_from=price.valid_from)
        .first()
    )
    figures = (price.input, price.cached_input, price.output)
    if row is not None and (row.input, row.cached_input, row.output) == figures:
        return False
    row, _ = models.Price.objects.update_or_create(
        model=price.model,
        valid_from=price.valid_from,
        defaults={
            "input": price.input,
            "cached_input": price.cached_input,
            "output": price.output,
            "source": price.source,
            "changed_at": datetime.now(UTC),
            "changed_by": by,
        },
    )
    append(
        actor_of(by),
        "price.set",
        subject=("price", str(row.pk)),
        model=price.model,
        valid_from=price.valid_from.isoformat(),
        input=f"{price.input:f}",
        cached_input=None if price.cached_input is None else f"{price.cached_input:f}",
        output=f"{price.output:f}",
    )
    models.PriceChange.objects.create(model=price.model, valid_from=price.valid_from)
    transaction.on_commit(wake)
    return True


def load_prices(prices: Sequence[NewPrice], by: Person | None = None) -> int:
    """Set several prices; returns how many changed."""
    return sum(set_price(price, by) for price in sorted(prices))


def mark_priced(limit: int = _BATCH) -> int:
    """Look at a batch of the traces that a changed price may touch, and put those that it does on the work list;
    returns how many were looked at. 0: no change waits.

    A price touches the traces of models that its name matches, from its day to the day from which the next price of
    the same name is valid. Where it stopped is kept, so that each batch is one short transaction, whoever runs it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        change = models.PriceChange.objects.select_for_update(skip_locked=True).order_by("changed_at").first()
        if change is None:
            return 0
        feature_id = _feature_in_hand(change)
        if feature_id is None:
            change.delete()
            return 1
        start, end = _validity(change)
        like = _like(change.model)
        cursor.execute(
            "SELECT trace_id, started_at, EXISTS ("
            "  SELECT FROM jsonb_array_elements_text(coalesce(summary -> 'called_models', '[]')) AS called"
            "  WHERE lower(called) LIKE %s OR lower(called) LIKE %s) "
            "FROM trace WHERE feature_id = %s AND started_at >= %s AND started_at < %s "
            "AND (started_at, trace_id) > (%s, %s) ORDER BY started_at, trace_id LIMIT %s",
            [
                like,
                f"%/{like}",
                feature_id,
                start,
                end,
                change.reached or start,
                bytes(change.reached_trace or b""),
                limit,
            ],
        )
        rows = cursor.fetchall()
        mark_dirty(cursor, feature_id, [bytes(trace_id) for trace_id, _, touched in rows if touched])
        if len(rows) < limit:
            change.feature_done, change.reached, change.reached_trace = feature_id, None, None
        else:
            change.reached, change.reached_trace = rows[-1][1], bytes(rows[-1][0])
        change.save()
    return max(1, len(rows))


def _feature_in_hand(change: models.PriceChange) -> UUID | None:
    left = Feature.objects.order_by("pk")
    if change.feature_done is not None:
        left = left.filter(pk__gt=change.feature_done)
    return left.values_list("pk", flat=True).first()


def _validity(change: models.PriceChange) -> tuple[datetime, datetime]:
    later = models.Price.objects.filter(model=change.model, valid_from__gt=change.valid_from)
    following = later.order_by("valid_from").values_list("valid_from", flat=True).first()
    end = following or date.max - timedelta(days=1)
    return tuple(datetime.combine(day, datetime.min.time(), UTC) for day in (change.valid_from, end))  # type: ignore[return-value]


def _like(name: str) -> str:
    """A price's name as a pattern of LIKE."""
    stem = name.removesuffix("*")
    for special in "\\%_":
        stem = stem.replace(special, "\\" + special)
    return stem + ("%" if name.endswith("*") else "")
