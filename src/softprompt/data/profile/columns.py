"""One column at a time: what kind of values it holds, how many, how long, and whether they look personal.

    empty       no row has a value
    constant    one value in every row
    list        lists
    id          a value of its own for every row, and no sentence; also mail and web addresses
    date        dates or times
    number      numbers with fractions, or many different ones
    category    few different short values
    text        anything else

Kinds are decided by values alone; what a column is for, :mod:`softprompt.data.profile.parts` decides.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from softprompt.data.entries import Record
from softprompt.data.inference import MAX_LABELS
from softprompt.data.page import Lengths
from softprompt.data.profile.personal import personal_counts
from softprompt.data.reading import columns_of
from softprompt.data.values import Unreadable, plain, to_text

__all__ = ["Column", "Kind", "look_at_columns", "texts_of"]

Kind = Literal["empty", "constant", "list", "id", "date", "number", "category", "text"]

MOST = 0.95  #: share of the values that must be dates, numbers or lists to make the column one
FEW_NUMBERS = 20  #: different whole numbers up to which they may be labels
LABEL_WORDS = 6  #: median words up to which values may be labels

_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}([, ]+\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}:\d{2}(:\d{2})?"
)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?")
_FRACTION = re.compile(r"[.,]\d*[1-9]|[eE]-")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+|https?://\S+|www\.\S+")
_ID_NAME = re.compile(r"(^|[\W_])(id|uuid|guid|key|nr|no|number|nummer|index)$|[a-z]I[Dd]$|^(id|uuid)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds.

    Attributes:
        name: Of the column.
        kind: See above.
        num_filled: Rows with a value.
        num_distinct: Different values, blanks around them aside.
        words: Words a value.
        personal: Rows by the form of personal data in them.
    """

    name: str
    kind: Kind
    num_filled: int
    num_distinct: int
    words: Lengths
    personal: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def texts_of(rows: Sequence[Record], column: str) -> list[str]:
    """What the cells of a column say, blanks around it aside; ``""`` for a gap and for what has no text form.

    >>> texts_of([Record("", {"a": " x "}), Record("", {"a": None}), Record("", {})], "a")
    ['x', '', '']
    """
    found = []
    for row in rows:
        try:
            found.append(to_text(row.values.get(column)).strip())
        except Unreadable:
            found.append("")
    return found


def look_at_columns(rows: Sequence[Record]) -> tuple[Column, ...]:
    """Every column, in the order of the file.

    >>> rows = [Record("", {"nr": f"A{n}", "body": f"It broke on day {n}", "topic": "ab"[n % 2]}) for n in range(20)]
    >>> [(column.name, column.kind) for column in look_at_columns(rows)]
    [('nr', 'id'), ('body', 'text'), ('topic', 'category')]
    """
    return tuple(_look(name, rows) for name in columns_of(rows))


def _look(name: str, rows: Sequence[Record]) -> Column:
    texts = texts_of(rows, name)
    filled = [text for text in texts if text]
    counts = Counter(filled)
    lists = sum(_is_list(row.values.get(name)) for row in rows)
    return Column(
        name=name,
        kind=_kind(name, filled, counts, lists, len(rows)),
        num_filled=len(filled),
        num_distinct=len(counts),
        words=Lengths.of([len(text.split()) for text in filled] or [0]),
        personal=personal_counts(filled),
    )


def _is_list(value: Any) -> bool:
    value = plain(value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    return isinstance(value, (list, tuple))


def _kind(name: str, filled: Sequence[str], counts: Mapping[str, int], lists: int, num_rows: int) -> Kind:
    if not filled:
        return "empty"
    enough = MOST * len(filled)
    words = Lengths.of([len(text.split()) for text in filled])
    if lists >= enough:
        return "list"
    if len(counts) == 1 and num_rows > 1:
        return "constant"
    if sum(_DATE.fullmatch(text) is not None for text in filled) >= enough:
        return "date"
    if sum(_ADDRESS.fullmatch(text) is not None for text in filled) >= enough:
        return "id"
    numbers = sum(_NUMBER.fullmatch(text) is not None for text in filled) >= enough
    alone = len(counts) == len(filled)
    if alone and len(filled) > 2 and words.longest == 1 and (_ID_NAME.search(name) or _like_ids(filled)):
        return "id"
    if numbers:
        fractions = any(_FRACTION.search(text) for text in filled)
        return "number" if fractions or len(counts) > min(FEW_NUMBERS, max(2, len(filled) // 2)) else "category"
    repeated = len(counts) <= max(2, len(filled) // 2) and len(counts) <= MAX_LABELS
    return "category" if repeated and words.median <= LABEL_WORDS else "text"


def _like_ids(filled: Sequence[str]) -> bool:
    """Whole numbers, or single words with digits in them (``TCK-0041``, a hexadecimal hash)."""
    whole = all(text.isdigit() for text in filled) and len(filled) > FEW_NUMBERS
    return whole or all(any(mark.isdigit() for mark in text) and not _NUMBER.fullmatch(text) for text in filled)
