"""Whether the first line of a table names its columns, or is a row already.

A name says what stands below it, so it does not stand below itself: a header whose cells occur again in their own
columns, or which holds numbers, dates or sentences, is a row.
"""

import re
from collections.abc import Sequence

from softprompt.data.entries import Record
from softprompt.data.profile.columns import texts_of

__all__ = ["header_is_row"]

_DATA = re.compile(r"[+-]?\d+([.,]\d+)?|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}.*|\S+@\S+\.\S+|.*[.!?]")
LONG = 8  #: words that no column is called by


def header_is_row(columns: Sequence[str], rows: Sequence[Record]) -> str:
    """Why the header looks like a row; ``""`` when it does not.

    >>> rows = [Record("", {"It broke again.": f"text {n}", "bad": "bad" if n % 2 else "good"}) for n in range(6)]
    >>> header_is_row(["It broke again.", "bad"], rows)
    "'bad' stands in the first line and 3 times below it"
    >>> header_is_row(["text", "label"], [Record("", {"text": "Label it", "label": "good"})])
    ''
    """
    for column in columns:
        below = sum(text == column for text in texts_of(rows, column))
        if below > 1 or (below and len(rows) < 20):
            return (
                f"{_short(column)!r} stands in the first line and {'once' if below == 1 else f'{below} times'} below it"
            )
    for column in columns:
        if len(column.split()) > LONG:
            return f"{_short(column)!r} is a sentence, not a name"
    like = [column for column in columns if _DATA.fullmatch(column)]
    return f"{_short(like[0])!r} is a value, not a name" if len(like) * 2 > len(columns) else ""


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
