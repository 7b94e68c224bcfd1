"""What a cell says as text: one stated rule for numbers, dates, lists and gaps, whatever format they came from.

text        as it stands
True        "true" (a label may also be written "True")
7, 7.0      "7": a column of whole numbers with gaps arrives as floats and must not change its labels
0.5         "0.5"
date, time  ISO 8601
list, dict  JSON
gap         None, NaN, NaT, NA: "" in a text field, a missing answer in the target column
"""

import datetime
import decimal
import json
import math
from typing import Any

__all__ = ["Unreadable", "is_missing", "plain", "to_text"]


class Unreadable(ValueError):
    """A value without a text form; caught where the row is known."""


def is_missing(value: object) -> bool:
    """Whether a cell is a gap.

    >>> is_missing(None), is_missing(float("nan")), is_missing(""), is_missing(0)
    (True, True, False, False)
    """
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in {"NAType", "NaTType"}
    )


def plain(value: Any) -> Any:
    """Numpy scalars and arrays as Python's own numbers and lists; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def to_text(value: Any) -> str:
    """The text of a cell.

    Raises:
        Unreadable: bytes, half a surrogate pair, or an object with no text form.

    >>> to_text(3.0), to_text(True), to_text(["a", 1]), to_text(None)
    ('3', 'true', '["a", 1]', '')
    """
    value = plain(value)
    if is_missing(value):
        return ""
    match value:
        case str():
            return _whole(value)
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case int() | float() | decimal.Decimal():
            return str(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case list() | tuple() | dict():
            return _whole(_json(value))
        case _:
            raise Unreadable(f"a value of type {type(value).__name__} has no text form: {str(value)[:40]!r}")


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=to_text)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"a {type(value).__name__} that JSON cannot write: {error}") from None


def _whole(text: str) -> str:
    """The text itself, if every character of it can be encoded: tokenizers refuse half a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unreadable(
            f"half a surrogate pair (\\u{ord(text[error.start]):04x}) at character {error.start + 1}"
        ) from None
    return text
