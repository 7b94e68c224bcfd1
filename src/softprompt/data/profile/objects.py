"""Columns of JSON objects: whether a column holds them, and the schema that all of them satisfy.

Types are those that came; texts of few different values in many rows become an enum. Tags of words (BIO) are told, too,
because they are no answers about a text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from softprompt.core.schema import MAX_ITEMS, MAX_LENGTH, MOST_ITEMS, MOST_LENGTH
from softprompt.data.entries import Record
from softprompt.data.values import is_missing, plain

__all__ = ["holds_tags", "objects_in", "schema_of"]

FEW_VALUES, ROWS_A_VALUE = 5, 8  #: different texts of an enum at most, and rows for each at least: names are no enum
ENOUGH = 0.9  #: share of the filled cells that are objects

_TAG = re.compile(r"O|[BIESLU]-\S+")


def objects_in(rows: Sequence[Record], column: str) -> list[Mapping[str, Any]]:
    """The objects of a column; empty where most cells hold something else.

    >>> objects_in([Record("", {"a": '{"n": 1}'}), Record("", {"a": {"n": 2}})], "a")
    [{'n': 1}, {'n': 2}]
    """
    found, filled = [], 0
    for row in rows:
        value = plain(row.values.get(column))
        if is_missing(value) or value == "":
            continue
        filled += 1
        if isinstance(value, str) and value.lstrip().startswith("{"):
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if isinstance(value, Mapping) and value:
            found.append(value)
    return found if found and len(found) >= ENOUGH * filled else []


def holds_tags(rows: Sequence[Record], column: str) -> bool:
    """Whether a column holds tags of words, as lists or as words of a text.

    >>> holds_tags([Record("", {"tags": ["O", "B-PER"]}), Record("", {"tags": "O O B-LOC"})], "tags")
    True
    """
    cells = [plain(row.values.get(column)) for row in rows]
    lists = [cell.split() if isinstance(cell, str) else cell for cell in cells if isinstance(cell, str | list | tuple)]
    tags = [part for cell in lists for part in cell]
    whole = bool(tags) and all(isinstance(part, str) and _TAG.fullmatch(part) for part in tags)
    return whole and any(part != "O" for part in tags) and max(map(len, lists)) > 1


def schema_of(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Fields of a schema (short form) that all objects satisfy; a field that holds something else is left out.

    >>> schema_of([{"who": "Ada", "n": 1, "tags": ["a"]}, {"who": "Ben", "n": None, "tags": []}])
    {'who': 'string', 'n': 'integer or null', 'tags': 'array'}
    """
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in objects for name in one):
        values = [one.get(name) for one in objects]
        filled = [value for value in values if value is not None]
        if (found := _field(filled)) is not None:
            fields[str(name)] = _nullable(found) if len(filled) < len(values) else found
    return fields


def _nullable(found: Any) -> Any:
    if isinstance(found, str):
        return f"{found} or null"
    return [*found, None] if isinstance(found, list) else {**found, "nullable": True}


def _field(values: Sequence[Any]) -> Any:
    if not values:
        return None
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds <= {int, float} and kinds:
        return "integer" if kinds == {int} else "number"
    if kinds == {str}:
        different = list(dict.fromkeys(values))
        if 1 < len(different) <= min(FEW_VALUES, len(values) // ROWS_A_VALUE):
            return sorted(different)
        return _string(max(map(len, values)))
    if kinds == {list} and all(isinstance(part, str) for value in values for part in value):
        longest = max((len(part) for value in values for part in value), default=0)
        most = max(map(len, values))
        if longest > MAX_LENGTH or most > MAX_ITEMS:
            items = {"type": "string", "maxLength": min(MOST_LENGTH, max(longest, MAX_LENGTH))}
            return {"type": "array", "items": items, "maxItems": min(MOST_ITEMS, max(most, MAX_ITEMS))}
        return "array"
    return None


def _string(longest: int) -> Any:
    return "string" if longest <= MAX_LENGTH else {"type": "string", "maxLength": min(MOST_LENGTH, 2 * longest)}
