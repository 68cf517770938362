"""How numbers and times are written on every page; pure functions, units in the names of the arguments."""

from datetime import UTC, datetime

# A narrow no-break space between a number and its unit, so that they never part at a line's end.
_THIN = "\u202f"


def count(value: float | None) -> str:
    """`4,102`; a fraction is rounded to the whole; None: an empty string."""
    return "" if value is None else f"{round(value):,}"


def percent(rate: float | None) -> str:
    """A rate of 0..1 with its sign: `91.8 %`. What is not 0 or 1 is never written as if it were."""
    return "" if rate is None else f"{percent_bare(rate)}{_THIN}%"


def percent_bare(rate: float | None) -> str:
    """A rate of 0..1 in percent without the sign, one decimal: `91.8`, `0`, `100`, `<0.1`, `>99.9`."""
    if rate is None:
        return ""
    if rate in (0, 1):
        return f"{rate * 100:.0f}"
    text = f"{rate * 100:.1f}"
    return {"0.0": "<0.1", "100.0": ">99.9"}.get(text, text)


def seconds(value: float | None) -> str:
    """A duration of `value` seconds with two or three figures: `0.4 ms`, `550 ms`, `1.92 s`, `2 min 59 s`."""
    if value is None:
        return ""
    milliseconds = value * 1000
    if milliseconds < 0.05:
        return f"0{_THIN}ms"
    if milliseconds < 9.95:
        return f"{milliseconds:.1f}{_THIN}ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}{_THIN}ms"
    if value < 9.995:
        return f"{value:.2f}{_THIN}s"
    if value < 59.95:
        return f"{value:.1f}{_THIN}s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}{_THIN}min {whole % 60}{_THIN}s"
    minutes = round(value / 60)
    return f"{minutes // 60}{_THIN}h {minutes % 60}{_THIN}min"


def milliseconds(value: float | None) -> str:
    """A duration of `value` milliseconds, as `seconds` writes it."""
    return "" if value is None else seconds(value / 1000)


def relative(at: datetime, now: datetime) -> str:
    """How long ago: `just now`, `3 min ago`, `5 h ago`, `2 days ago`, then the day; `in 3 min` when ahead."""
    distance = (now - at).total_seconds()
    ahead = distance < -5
    distance = abs(distance)
    if distance < 60:
        return f"in {distance:.0f} s" if ahead else ("just now" if distance < 10 else f"{distance:.0f} s ago")
    if distance < 3600:
        words = f"{distance // 60:.0f} min"
    elif distance < 48 * 3600:
        words = f"{distance // 3600:.0f} h"
    elif distance < 14 * 86_400:
        words = f"{distance // 86_400:.0f} days"
    else:
        return f"{at:%-d %b}" if at.year == now.year else f"{at:%-d %b %Y}"
    return f"in {words}" if ahead else f"{words} ago"


def exact(at: datetime) -> str:
    """To the second, in UTC: `2026-11-24 09:38:12 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(value: float | None) -> str:
    """A number of bytes with two or three figures, in powers of 1024: `0 B`, `812 KiB`, `1.9 GiB`; None: an empty
    string.
    """
    if value is None:
        return ""
    shown, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if shown < 999.5 or unit == "TiB":
            break
        shown /= 1024
    return f"{shown:.1f}{_THIN}{unit}" if unit != "B" and shown < 9.95 else f"{shown:,.0f}{_THIN}{unit}"
