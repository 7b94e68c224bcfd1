"""Delimited text (csv, tsv) to records, a row at a time, and which character separates its cells.

Quotes enclose cells as in RFC 4180; where a tab-separated file fits better without, they are plain characters. Cells
are texts as they stand: no number is read, so ``3,14`` stays ``3,14``.

Knows nothing of encodings or files.
"""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from softprompt.core.errors import DataError
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Entry, Record

__all__ = ["SEPARATORS", "Split", "fits_unquoted", "read_table", "sniff_separator"]

#: What a separator is called in settings -> the character.
SEPARATORS: dict[str, str] = {",": ",", ";": ";", "tab": "\t", "|": "|"}
SAMPLE_ROWS = 200

_HINT = re.compile(r'"?sep=(.)"?\r?\n?')


@dataclass(frozen=True, slots=True)
class Split:
    """A separator by its name in settings, the columns that it gives, and why it was taken where that needs saying."""

    separator: str
    columns: int
    said: str = ""


def sniff_separator(head: str, *, name: str) -> Split:
    r"""The separator under which the rows have as many cells as the header.

    Args:
        head: The beginning of the file, whole lines.
        name: For messages.

    Raises:
        DataError: ``data.unclear_separator``: two fit equally well.

    >>> sniff_separator("text;price\nA kettle;3,14\n", name="a.csv")
    Split(separator=';', columns=2, said="cells are separated by ';'")
    """
    if hint := _HINT.match(head):
        found = next((key for key, mark in SEPARATORS.items() if mark == hint[1]), None)
        if found:
            return Split(found, 0, f"cells are separated by {found!r}, as its first line says")
    tried = [(*_fit(head, mark), key) for key, mark in SEPARATORS.items()]
    fitting = sorted(((share, columns, key) for share, columns, key in tried if columns > 1), reverse=True)
    if not fitting:
        return Split(",", 1)
    share, columns, key = fitting[0]
    if len(fitting) > 1 and fitting[1][:2] == (share, columns):
        both = " and ".join(repr(other) for *fit, other in fitting if tuple(fit) == (share, columns))
        reason = f"{both} separate the cells equally well, into {columns} columns"
        cure = f"say which with --read separator={key!r}"
        raise DataError("data.unclear_separator", reason, cure=cure).at(name)
    others = ", ".join(f"{other!r} would give {n}" for same, n, other in fitting[1:] if same == share)
    said = f"cells are separated by {key!r}" + (f" ({columns} columns; {others})" if others else "")
    return Split(key, columns, said if key != "," or others else "")


def _fit(head: str, mark: str) -> tuple[float, int]:
    """Share of the first rows that have the header's number of cells, and that number."""
    lengths: list[int] = []
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=mark, strict=True)
    while len(lengths) <= SAMPLE_ROWS:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "end of data" in str(error):
                break  # the head ends inside a quote
            lengths.append(0)
            continue
        if any(cells):
            lengths.append(len(cells))
    if len(lengths) < 2:
        return (1.0, lengths[0]) if lengths else (0.0, 0)
    return sum(length == lengths[0] for length in lengths[1:]) / (len(lengths) - 1), lengths[0]


def fits_unquoted(lines: Iterable[str], again: Iterable[str], *, name: str, separator: str = "tab") -> bool:
    """Whether a file has fewer faulty rows when quotes are plain characters.

    Args:
        lines, again: The same file, twice.
        name: For messages.
        separator: Its name.
    """
    faults = _faults(lines, name, separator, quoted=True)
    return bool(faults) and _faults(again, name, separator, quoted=False) < faults


def _faults(lines: Iterable[str], name: str, separator: str, *, quoted: bool) -> float:
    try:
        rows = read_table(lines, name, separator=separator, quoted=quoted)
        return float(sum(isinstance(entry, BadRow) for entry in rows))
    except DataError:
        return float("inf")


def read_table(
    lines: Iterable[str], name: str, *, separator: str = ",", quoted: bool = True, header: bool = True
) -> Iterator[Entry]:
    r"""Rows under a header.

    Args:
        lines: With their line ends as they stand.
        name: For messages; the line is added.
        separator: A key of :data:`SEPARATORS`.
        quoted: Whether quotes enclose cells.
        header: Whether the first line names the columns; without it they are ``column_1``, ``column_2``, ...

    Raises:
        DataError: ``data.bad_header``; ``data.bad_csv`` for a quote that never closes.

    >>> [record.values for record in read_table(["a;b\n", '"x;\n', 'y";3,14\n'], "x", separator=";")]
    [{'a': 'x;\ny', 'b': '3,14'}]
    """
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    stream, skipped = _without_hint(iter(lines))
    reader = csv.reader(stream, delimiter=SEPARATORS[separator], quoting=quoting, strict=True)  # type: ignore[arg-type]
    columns: tuple[str, ...] = ()
    while True:
        source = f"{name}:{reader.line_num + 1 + skipped}"
        try:
            cells = _next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise DataError("data.bad_csv", "a quote that opens in this row never closes").at(source) from None
            yield BadRow(source, "data.bad_csv", f"the row is no valid CSV: {error}")
            continue
        if not any(cells):
            continue  # a blank line
        if not columns and header:
            columns = _header(cells, source)
            continue
        columns = columns or _header([""] * len(cells), source)
        if len(cells) != len(columns):
            reason = f"the row has {len(cells)} cells, the {'header' if header else 'first row'} {len(columns)}"
            yield BadRow(source, "data.ragged_row", reason, cells)
        else:
            yield Record(source, dict(zip(columns, cells, strict=True)))


def _next(reader: Iterator[list[str]]) -> list[str]:
    """The next row, however long; the limit is the process's, so it is put back before anybody else reads."""
    limit = csv.field_size_limit(sys.maxsize)  # 131,072 characters otherwise: less than one long document
    try:
        return next(reader)
    finally:
        csv.field_size_limit(limit)


def _without_hint(lines: Iterator[str]) -> tuple[Iterator[str], int]:
    """The lines without a first one that only names the separator (``sep=;``), and how many were taken away."""
    first = list(islice(lines, 1))
    if first and _HINT.fullmatch(first[0]):
        return lines, 1
    return _chained(first, lines), 0


def _chained(first: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from first
    yield from rest


def _header(cells: list[str], source: str) -> tuple[str, ...]:
    """Column names without blanks around them; a nameless one (an index column) is numbered."""
    columns = tuple(cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1))
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError("data.bad_header", f"two columns have the same name: {', '.join(twice)}", cure="rename one").at(
            source
        )
    return columns
