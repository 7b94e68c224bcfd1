"""A file to its rows: sniffed, read, and its shape turned into plain fields.

Rows come one at a time where the format allows (csv, tsv, jsonl, xlsx, parquet; a json document is read whole). A row
that cannot be read (a ragged CSV row, a broken JSON line) comes as a :class:`BadRow` in its place, so that the caller
decides whether to stop; a fault after which nothing can be trusted (a binary file, a quote that never closes) is an
error.

Knows nothing of tasks, labels or templates.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from softprompt.core.errors import DataError
from softprompt.data.content import Content
from softprompt.data.dialect import FORMATS, Dialect, ReadSettings, entries, sniff_content
from softprompt.data.entries import Entry, Record
from softprompt.data.shapes import SHAPES, reshaped

__all__ = ["FORMATS", "Record", "Table", "open_table", "read"]


@dataclass(frozen=True)
class Table:
    """A file that was sniffed and can be read, again and again.

    Attributes:
        content: Its bytes.
        dialect: How it is written.
        left_out: Places of the rows that an export says to leave out, known after a reading.
    """

    content: Content
    dialect: Dialect
    left_out: list[str] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        """For messages."""
        return self.content.name

    def rows(self) -> Iterator[Entry]:
        """Every row in order, plain fields of an export instead of its own.

        Raises:
            DataError: ``data.unreadable``, ``data.bad_header``, ``data.bad_csv``, ``data.bad_json``.
        """
        found = entries(self.content, self.dialect)
        shape = SHAPES.get(self.dialect.shape)
        self.left_out.clear()
        return found if shape is None else reshaped(shape, found, left_out=self.left_out)

    def notes(self) -> tuple[str, ...]:
        """What was found out about the file, and, after a reading, what was left out."""
        count = len(self.left_out)
        one = count == 1
        ignored = f"{count} row{'' if one else 's'} of the export {'was' if one else 'were'} left out, as it says"
        return (*self.dialect.said, ignored) if count else self.dialect.said


def open_table(path: str | Path, settings: ReadSettings | None = None, *, named: Collection[str] = ()) -> Table:
    """Sniff a file, for reading it afterwards.

    Args:
        path: See :data:`FORMATS`, text formats also with ``.gz``; ``-``: standard input, read to its end.
        settings: What is known already.
        named: Columns that the run names: a recognised export that would lose one is read as it stands.

    Raises:
        DataError, ExtraError: as :func:`softprompt.data.dialect.sniff`.
    """
    content = Content.of(path)
    return Table(content, sniff_content(content, settings or ReadSettings(), named=named))


def read(path: str | Path, settings: ReadSettings | None = None) -> list[Entry]:
    """All rows of a file, in order.

    Raises:
        DataError, ExtraError: as :func:`open_table` and :meth:`Table.rows`; ``data.empty_file``.
    """
    table = open_table(path, settings)
    rows = list(table.rows())
    if not rows:
        raise DataError("data.empty_file", "the file has no rows", cure="check the path").at(table.name)
    return rows
