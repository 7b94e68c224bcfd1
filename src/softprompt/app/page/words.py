"""Numbers as the page writes them."""

from collections.abc import Mapping
from typing import Any

from softprompt.core import words

__all__ = ["bounds", "capitalize_first", "duration", "milliseconds", "percent", "points", "size", "times"]

Number = float | int

#: Between a number and its unit: no line break, and narrower than a blank.
THIN = "\u202f"


def percent(value: Number, digits: int = 1) -> str:
    """A share.

    >>> percent(0.5), percent(0.515)
    ('50.0', '51.5')
    """
    return f"{100 * value:.{digits}f}"


def points(value: Number) -> str:
    """A share as a whole number of per cent.

    >>> points(0.515)
    '52'
    """
    return f"{100 * value:.0f}"


def bounds(interval: Mapping[str, Any]) -> str:
    """The range of an interval, in per cent.

    >>> bounds({"low": 0.446, "high": 0.583})
    '45–58'
    """
    if interval["low"] is None or interval["high"] is None:
        return ""
    return f"{points(interval['low'])}–{points(interval['high'])}"


def capitalize_first(text: str) -> str:
    """A text that begins a sentence.

    >>> capitalize_first("look into a prompt")
    'Look into a prompt'
    """
    return text[:1].upper() + text[1:]


def duration(seconds: Number) -> str:
    """A time span.

    >>> duration(0.004), duration(0.26), duration(18.2), duration(75), duration(3000)
    ('4\\u202fms', '0.3\\u202fs', '18\\u202fs', '75\\u202fs', '50\\u202fmin')
    """
    if seconds >= 120:
        return words.duration(seconds).replace(" ", THIN)
    if seconds < 0.1:
        return f"{1000 * seconds:.0f}{THIN}ms"
    return f"{seconds:.1f}{THIN}s" if seconds < 10 else f"{seconds:.0f}{THIN}s"


def milliseconds(value: Number) -> str:
    """A short time.

    >>> milliseconds(3.14), milliseconds(31.4), milliseconds(0.01)
    ('3.1\\u202fms', '31\\u202fms', '<\\u202f0.1\\u202fms')
    """
    if value < 0.05:
        return f"<{THIN}0.1{THIN}ms"
    return f"{value:.1f}{THIN}ms" if value < 10 else f"{value:.0f}{THIN}ms"


def size(num_bytes: Number) -> str:
    """Bytes in decimal units; nothing is a dash.

    >>> size(0), size(900), size(25_620), size(1_464_301)
    ('–', '900\\u202fB', '26\\u202fkB', '1.5\\u202fMB')
    """
    if not num_bytes:
        return "–"
    for limit, unit, digits in ((1e3, "B", 0), (1e6, "kB", 0), (1e9, "MB", 1)):
        if num_bytes < limit:
            return f"{num_bytes / (limit / 1e3):.{digits}f}{THIN}{unit}"
    return f"{num_bytes / 1e9:.1f}{THIN}GB"


def times(value: Number) -> str:
    """A ratio.

    >>> times(2.04), times(11.7)
    ('2.0', '12')
    """
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
