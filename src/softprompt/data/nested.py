"""Values inside values: ``meta.subject`` reads the key ``subject`` of the object in the column ``meta``.

Columns may have dots in their own names. The column that stands there as it is written wins over a path, for all rows
alike, and where both exist that is said. Numbers step into lists: ``messages.0.content``.

Knows nothing of files or tasks.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from softprompt.data.entries import Record

__all__ = ["NOWHERE", "follow", "is_path", "paths_among", "with_paths"]

NOWHERE = object()  #: what a path leads to that leads nowhere; None is a value


def follow(values: Mapping[str, Any], path: str) -> Any:
    """The value at a path, :data:`NOWHERE` where there is none.

    >>> follow({"meta": {"subject": "Parcel", "to.name": "Ada"}}, "meta.to.name")
    'Ada'
    >>> follow({"turns": [{"text": "hi"}]}, "turns.0.text")
    'hi'
    """
    if path in values:
        return values[path]
    parts = path.split(".")
    for n in range(len(parts) - 1, 0, -1):
        key, rest = ".".join(parts[:n]), ".".join(parts[n:])
        if key in values:
            below = values[key]
            if isinstance(below, Sequence) and not isinstance(below, str):
                below = {str(number): value for number, value in enumerate(below)}
            if isinstance(below, Mapping) and (found := follow(below, rest)) is not NOWHERE:
                return found
    return NOWHERE


def is_path(values: Mapping[str, Any], column: str) -> bool:
    """Whether a name with dots leads into a value of this row, whatever columns it has.

    >>> is_path({"a.b": 1, "a": {"b": 2}}, "a.b"), is_path({"a.b": 1}, "a.b")
    (True, False)
    """
    return (
        "." in column and follow({key: value for key, value in values.items() if key != column}, column) is not NOWHERE
    )


def paths_among(asked: Collection[str], rows: Iterable[Mapping[str, Any]]) -> tuple[set[str], list[str]]:
    """Which of the asked names are paths, and a sentence for each that could be one but is a column.

    Args:
        asked: Names of columns.
        rows: All rows, once.

    >>> paths_among({"meta.subject", "a.b", "text"}, [{"meta": {"subject": "x"}, "a.b": 1, "a": {"b": 2}}])
    ({'meta.subject'}, ["the column 'a.b' is read as it stands; the path a → b leads somewhere too"])
    """
    dotted = sorted(name for name in asked if "." in name)
    literal: set[str] = set()
    leading: set[str] = set()
    for values in rows:
        literal.update(name for name in dotted if name in values)
        leading.update(name for name in dotted if name not in leading and is_path(values, name))
    both = [
        f"the column {name!r} is read as it stands; the path {name.replace('.', ' → ')} leads somewhere too"
        for name in dotted
        if name in literal & leading
    ]
    return leading - literal, both


def with_paths(record: Record, paths: Collection[str], *, hidden: Collection[str] = ()) -> Record:
    """The record with a column more for each path that leads somewhere in it.

    Args:
        record: As it was read.
        paths: Of all rows.
        hidden: Paths of the answer: the columns that they begin in are taken away, lest a text tell the answer.

    >>> with_paths(Record("", {"meta": {"subject": "x"}}), {"meta.subject"}).values["meta.subject"]
    'x'
    >>> with_paths(Record("", {"meta": {"label": "x"}}), {"meta.label"}, hidden=["meta.label"]).values
    {'meta.label': 'x'}
    """
    found = {path: value for path in paths if (value := follow(record.values, path)) is not NOWHERE}
    values = {**record.values, **found}
    for path in hidden:
        parts = path.split(".")
        for n in range(1, len(parts)):
            values.pop(".".join(parts[:n]), None)
    return Record(record.source, values)
