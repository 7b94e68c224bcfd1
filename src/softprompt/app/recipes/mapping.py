"""Which columns the fields of saved prompts are read from: as they learnt where these are there, else by their names.

A prompt that learnt ``text`` from the column ``body`` reads another file of that kind in the same way, and rows that
are called as its template calls them, too. What a caller says wins over both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.model.prediction import Ask

__all__ = ["columns_of", "fitting", "said_of_columns", "ways_to_read"]

T = TypeVar("T")

Columns = Mapping[str, str] | None

#: What a reading fails with where a column is not there.
_NOT_THERE = frozenset({"data.unknown_field", "data.missing_column"})


def columns_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Field -> column of a run's settings, as far as they are plain.

    >>> columns_of({"data": {"columns": {"text": "body"}}}), columns_of({})
    ({'text': 'body'}, {})
    """
    data = config.get("data")
    found = data.get("columns") if isinstance(data, Mapping) else None
    return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, Mapping) else {}


def ways_to_read(asks: Sequence[Ask], tasks: Sequence[Task], columns: Columns) -> list[dict[str, str]]:
    """Mappings to try one after the other: what the prompts learnt with, then without that.

    Args:
        asks: Prompts over the same rows; where two learnt a field from different columns, its own name stands.
        tasks: What each is asked.
        columns: What the caller says; it is part of every mapping.
    """
    said = dict(columns or {})
    names = {name for ask in asks for name in ask.builder.template.fields}
    names |= {name for task in tasks for name in task.target_columns}
    learnt: dict[str, set[str]] = {}
    for ask in asks:
        for name, column in ask.columns.items():
            if name in names and name not in said:
                learnt.setdefault(name, set()).add(column)
    sure = {name: min(found) for name, found in learnt.items() if len(found) == 1 and found != {name}}
    return [{**sure, **said}, said] if sure else [said]


def fitting(ways: Sequence[dict[str, str]], read: Callable[[dict[str, str]], T]) -> tuple[T, dict[str, str]]:
    """What the first mapping reads whose columns are there, and that mapping.

    Raises:
        DataError: Of the last mapping; whatever else is wrong with the rows.
    """
    *others, last = ways
    for way in others:
        try:
            return read(way), way
        except DataError as error:
            if error.code not in _NOT_THERE:
                raise
    return read(last), last


def said_of_columns(way: Mapping[str, str], columns: Columns) -> str:
    """What to note of a mapping; empty where the caller said all of it.

    >>> said_of_columns({"text": "body", "kind": "k"}, {"kind": "k"}), said_of_columns({}, None)
    ("text is read from the column 'body', as it learnt", '')
    """
    own = {name: column for name, column in way.items() if name not in (columns or {})}
    named = ", ".join(f"{name} is read from the column {column!r}" for name, column in own.items())
    return f"{named}, as it learnt" if own else ""
