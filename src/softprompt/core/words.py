"""Numbers as people read them: sizes, times, counts, intervals. Plain text, no colours."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["age", "amount", "counted", "duration", "fact", "interval", "percent", "size", "two_digits"]


def size(num_bytes: int | float) -> str:
    """Bytes in decimal units.

    >>> size(512), size(20_480), size(9.4e9)
    ('512 B', '20.5 kB', '9.4 GB')
    """
    value, unit = float(num_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: int | float) -> str:
    """A time span, two units at most.

    >>> duration(0.0123), duration(3.21), duration(75), duration(3 * 3600 + 125), duration(200_000)
    ('12 ms', '3.2 s', '1 min 15 s', '3 h 2 min', '2 d 7 h')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for name, unit, lower, part in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86400, "h", 3600)):
        if whole < {"min": 3600, "h": 86400}.get(name, float("inf")):
            rest = whole % unit // part
            return f"{whole // unit} {name}" + (f" {rest} {lower}" if rest else "")
    raise AssertionError("days have no end")


def age(moment: datetime, *, now: datetime | None = None) -> str:
    """How long ago.

    >>> age(datetime(2024, 5, 1, tzinfo=UTC), now=datetime(2024, 5, 3, 4, tzinfo=UTC))
    '2 d 4 h ago'
    """
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(1234, "row"), counted(0, "")
    ('1 row', '1,234 rows', '0')
    """
    plural = "" if count == 1 or not noun or noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural}".rstrip()


def amount(done: int, total: int | None, unit: str) -> str:
    """How much of how much.

    >>> amount(120, 400, "steps"), amount(7, None, "rows")
    ('120/400 steps', '7 rows')
    """
    return f"{done:,}{'' if total is None else f'/{total:,}'} {unit}".rstrip()


def percent(value: int | float, *, digits: int = 1) -> str:
    """A share.

    >>> percent(0.5234)
    '52.3 %'
    """
    return f"{100 * value:.{digits}f} %"


def fact(name: str, value: object) -> str:
    """One fact of a progress line; the end of the name says the unit.

    >>> fact("loss", 0.41239), fact("tokens_per_second", 12345.6), fact("memory_bytes", 2.1e9), fact("seconds_left", 75)
    ('loss 0.412', '12,346 tokens/s', 'memory 2.1 GB', '1 min 15 s left')
    >>> fact("loss", 1.9e31), fact("rate", 1e-5), fact("rows", 1200)
    ('loss 1.9e+31', 'rate 1.0e-05', 'rows 1,200')
    """
    words = name.removesuffix("_bytes").replace("_", " ")
    match value:
        case bool() | str():
            return f"{words} {value}"
        case int() | float() if name.endswith("_bytes"):
            return f"{words} {size(value)}"
        case int() | float() if name.endswith(("_per_second", "_per_s")):
            return f"{value:,.0f} {name.rsplit('_per_', 1)[0].replace('_', ' ')}/s"
        case int() | float() if name == "seconds_left":
            return f"{duration(value)} left"
        case int():
            return f"{words} {value:,}"
        case float():
            return f"{words} {value:.3f}" if 0.001 <= abs(value) < 10_000 or value == 0 else f"{words} {value:.1e}"
    return f"{words} {value}"


def interval(found: Mapping[str, Any] | Any, *, digits: int = 3) -> str:
    """A score with its interval, from an ``Interval`` or its dictionary.

    >>> interval({"estimate": 0.5234, "low": 0.41, "high": 0.6349})
    '0.523 [0.410, 0.635]'
    >>> interval({"estimate": 0.5234, "low": None, "high": None})
    '0.523'
    """
    data = found if isinstance(found, Mapping) else found.as_dict()
    value = data.get("estimate", data.get("value"))
    if value is None:
        return "-"
    low, high = data.get("low"), data.get("high")
    bounds = "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{bounds}"


def two_digits(number: int) -> int:
    """A forecast by its first two digits: more would pretend.

    >>> two_digits(1637), two_digits(98), two_digits(1_317_637)
    (1600, 98, 1300000)
    """
    step: int = 10 ** max(0, len(str(number)) - 2)
    return round(number / step) * step
