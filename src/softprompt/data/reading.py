"""Anything that has rows, opened: files, standard input, data sets of a hub, lists of dicts, data frames, examples.

A :class:`Reading` holds the rows as they come, before any task looks at them, and a sentence for everything that was
found out on the way. What is read once can be asked twice (for its labels, then for its rows).

Knows nothing of tasks or templates.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.data.dataset import BadRow, Dataset
from softprompt.data.dialect import ReadSettings
from softprompt.data.entries import Record
from softprompt.data.formats import open_table
from softprompt.data.hub import PREFIX, is_dataset, open_hub, records
from softprompt.data.shapes import choose, reshaped

__all__ = ["File", "Frame", "Reading", "Source", "columns_of", "read_source"]

SAMPLE_ROWS = 100  #: that decide the shape of rows that come from no file


@runtime_checkable
class Frame(Protocol):
    """What is used of a data frame (pandas and its likes)."""

    @property
    def columns(self) -> Any: ...
    def to_dict(self, orient: Any) -> Any: ...


@dataclass(frozen=True)
class Reading:
    """Rows that were read.

    Attributes:
        entries: In order; what could not be read stands in its place.
        name: For messages: the file, or what came.
        notes: What was found out, in sentences.
        strip_html: Whether HTML in texts becomes plain text.
    """

    entries: tuple[Record | BadRow | Example, ...]
    name: str
    notes: tuple[str, ...] = ()
    strip_html: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A file and how it is read, where a path alone would leave that to be found out.

    >>> File("tickets.csv", ReadSettings(encoding="cp1252")).settings.encoding
    'cp1252'
    """

    path: str | os.PathLike[str]
    settings: ReadSettings


Source = str | os.PathLike[str] | File | Frame | Iterable[Any] | Reading


def read_source(source: Source, settings: ReadSettings | None = None, *, named: Collection[str] = ()) -> Reading:
    """Read every row of a source; one that was read already comes back as it is.

    Args:
        source: A path (see :data:`softprompt.data.dialect.FORMATS`), ``-`` for standard input, the id of a
            data set (``hub:...``), dicts, a data frame, a loaded data set, or examples.
        settings: How files are read; a :class:`File` brings its own.
        named: Columns that the run names, see :func:`softprompt.data.dialect.sniff_content`.

    Raises:
        DataError: What :func:`softprompt.data.dialect.sniff` and reading raise; ``data.bad_source``,
            ``data.bad_header``, ``data.empty_file``.
        ExtraError: The source needs an extra.

    >>> read_source([{"text": "hi"}]).entries
    (Record(source='row 1', values={'text': 'hi'}),)
    """
    if isinstance(source, Reading):
        return source
    if isinstance(source, File):
        return read_source(source.path, source.settings, named=named)
    settings = settings or ReadSettings()
    if isinstance(source, str) and source.startswith(PREFIX):
        dataset, said = open_hub(source)
        found = read_source(dataset, settings, named=named)
        return replace(found, name=source, notes=(*said, *found.notes))
    if isinstance(source, (str, os.PathLike)):
        table = open_table(Path(source), settings, named=named)
        entries = tuple(table.rows())
        if not entries and not table.left_out:
            raise DataError("data.empty_file", "the file has no rows", cure="check the path").at(table.name)
        return Reading(entries, table.name, table.notes(), settings.strip_html)
    if isinstance(source, Frame):
        return _shaped(_frame_records(source), "data frame", settings, named)
    if is_dataset(source):
        rows_of, said = records(source)
        found = _shaped(list(rows_of), "data set", settings, named)
        return replace(found, notes=(*said, *found.notes))
    name = source.name if isinstance(source, Dataset) else "rows"
    rows = _listed(source, name)
    if rows and isinstance(rows[0], Example):
        return Reading(tuple(rows), name, strip_html=settings.strip_html)
    return _shaped([row for row in rows if isinstance(row, Record)], name, settings, named)


def _shaped(records: list[Record], name: str, settings: ReadSettings, named: Collection[str]) -> Reading:
    """Rows from memory; a list of conversations is one also when no file holds it."""
    sample = [record.values for record in records[:SAMPLE_ROWS]]
    shape, said = choose(sample, wanted=settings.shape, named=named)
    if shape is None:
        return Reading(tuple(records), name, said, settings.strip_html)
    return Reading(tuple(reshaped(shape, records)), name, said, settings.strip_html)


def _listed(source: Iterable[Any], name: str) -> list[Record | Example]:
    entries: list[Record | Example] = []
    for number, row in enumerate(source, 1):
        if isinstance(row, Example):
            entries.append(row if row.source else replace(row, source=f"row {number}"))
        elif isinstance(row, Mapping):
            entries.append(Record(f"row {number}", {str(column): value for column, value in row.items()}))
        else:
            reason = f"row {number} is a {type(row).__name__}, a dict or an example is needed"
            raise DataError("data.bad_source", reason, cure='give rows as {"text": ..., "label": ...}').at(name)
        if isinstance(row, Example) != isinstance(entries[0], Example):
            raise DataError("data.bad_source", f"row {number}: dicts and examples cannot be mixed").at(name)
    return entries


def _frame_records(frame: Frame) -> list[Record]:
    columns = [str(column) for column in frame.columns]
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    if twice:
        reason = f"two columns have the same name: {', '.join(twice)}"
        raise DataError("data.bad_header", reason, cure="rename one").at("data frame")
    rows = frame.to_dict("records")
    return [
        Record(f"row {number}", dict(zip(columns, row.values(), strict=True))) for number, row in enumerate(rows, 1)
    ]


def columns_of(rows: Iterable[Record | BadRow | Example]) -> list[str]:
    """Every column that occurs, in order of first appearance."""
    names: dict[str, None] = {}
    for row in rows:
        if not isinstance(row, BadRow):
            names.update(dict.fromkeys(row.fields if isinstance(row, Example) else row.values))
    return list(names)
