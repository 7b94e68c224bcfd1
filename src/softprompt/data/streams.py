"""A file to unlabelled examples, one at a time: what is held is a row, however long the file is.

The file is read twice: first for its columns and for rows that cannot be read, so that a broken line is said before the
first answer and not after hours; then row by row. Only json documents and standard input are held as a whole, and the
ids of the rows that came (a few dozen bytes each), which keep ids unique.

Knows nothing of templates beyond the names of their fields.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Entry, Record
from softprompt.data.formats import Table, open_table
from softprompt.data.nested import paths_among, with_paths
from softprompt.data.reading import File
from softprompt.data.rows import Layout, to_example
from softprompt.data.sources import named_columns, summary, unfold, unique_id, without_html

__all__ = ["Stream", "open_stream"]


@dataclass(frozen=True)
class Stream:
    """Rows of a file that are read while they are asked for; can be gone through again.

    Attributes:
        table: The file.
        task: What is asked of the rows.
        layout: Which column plays which part.
        paths: Columns that are paths into others.
        notes: What was found out about the file.
        strip_html: Whether HTML in texts becomes plain text.
        skip: Told of every row that cannot be used, which is left out; None: such a row is an error.
    """

    table: Table
    task: Task
    layout: Layout
    paths: Collection[str]
    notes: tuple[str, ...]
    strip_html: bool
    skip: Callable[[BadRow], None] | None = None

    def __iter__(self) -> Iterator[Example]:
        """The examples in order.

        Raises:
            DataError: A row that cannot be used, when its turn comes.
        """
        seen: Counter[str] = Counter()
        for entry in self.table.rows():
            for part in unfold(entry, self.task, answers=False):
                record = with_paths(part, self.paths) if isinstance(part, Record) else part
                example = record if isinstance(record, BadRow) else to_example(record, self.task, self.layout)
                if isinstance(example, BadRow):
                    if self.skip is None:
                        raise example.error()
                    self.skip(example)
                    continue
                plain = without_html(example) if self.strip_html else example
                yield replace(plain, id=unique_id(plain, seen))


def open_stream(
    file: File,
    task: Task,
    *,
    columns: Mapping[str, str] | None = None,
    template_fields: Collection[str] | None = None,
    skip: Callable[[BadRow], None] | None = None,
) -> Stream:
    """Go through a file once, and lay out its rows for reading them one at a time, without answers.

    Args:
        file: The file and how it is read.
        task: Says where the candidates stand, if the rows have their own.
        columns: Template field -> column, where the names differ.
        template_fields: The fields to keep; default: every column that has no other part.
        skip: Told of every row that cannot be used, when its turn comes; None: such a row is an error.

    Raises:
        DataError: as :func:`softprompt.data.sources.load`.
        ExtraError: A format that needs an extra.
    """
    columns = columns or {}
    named = named_columns(task, columns=columns, template_fields=template_fields) - set(task.target_columns)
    table = open_table(Path(file.path), file.settings, named=named)
    known: dict[str, None] = {}
    bad: list[BadRow] = []
    total = Counter[str]()
    parts = (part for entry in table.rows() for part in unfold(entry, task, answers=False))
    paths, said = paths_among(named, _looked_at(parts, known, bad, total))
    if bad and (skip is None or not known):
        raise summary(bad, total["rows"], table.name)
    if not known:
        raise DataError("data.empty_file", "the file has no rows", cure="check the path").at(table.name)
    try:
        layout = Layout.plan(
            [*known, *sorted(paths)], task, columns=columns, roles={}, template_fields=template_fields, answers=False
        )
    except DataError as error:
        raise error.at(table.name) from None
    return Stream(table, task, layout, paths, (*table.notes(), *said), file.settings.strip_html, skip)


def _looked_at(
    entries: Iterable[Entry], known: dict[str, None], bad: list[BadRow], total: Counter[str]
) -> Iterator[Mapping[str, Any]]:
    """Values row by row, noting columns, bad rows and their number on the way."""
    for entry in entries:
        total["rows"] += 1
        if isinstance(entry, BadRow):
            bad.append(entry)
        else:
            known.update(dict.fromkeys(entry.values))
            yield entry.values
