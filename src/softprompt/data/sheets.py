"""Tables that are no text: Excel workbooks (openpyxl) and Parquet files (pyarrow), read a part at a time.

A workbook's formulas give the values that were last computed; nothing is executed. Dates stay dates.

Knows nothing of what the rows mean.
"""

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softprompt.core.errors import DataError, ExtraError, nearest
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Entry, Record

__all__ = ["choose_sheet", "read_parquet", "read_xlsx", "sheets"]

BATCH_ROWS = 1024


def _workbook(path: Path) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise ExtraError.needs("openpyxl", extra="data", purpose="reading xlsx") from None
    try:
        return openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, openpyxl.utils.exceptions.InvalidFileException, KeyError, ValueError, OSError) as error:
        cure = "save it once more as .xlsx, or as CSV"
        raise DataError("data.unreadable", f"the file is no Excel workbook: {error}", cure=cure).at(str(path)) from None


def sheets(path: Path) -> dict[str, int]:
    """The worksheets of a workbook, with the rows that each says it has.

    Raises:
        ExtraError: openpyxl is not installed.
        DataError: ``data.unreadable``.
    """
    book = _workbook(path)
    try:
        return {sheet.title: (sheet.max_row or 0) if _has_cells(sheet) else 0 for sheet in book.worksheets}
    finally:
        book.close()


def _has_cells(sheet: Any) -> bool:
    return any(any(cell is not None for cell in row) for row in sheet.iter_rows(max_row=50, values_only=True))


def choose_sheet(path: Path, wanted: str | int | None) -> tuple[str, str]:
    """The sheet to read, by name or number from 1, and why where that is worth saying.

    Raises:
        DataError: ``data.unknown_sheet``: there is none of that name, or several have cells and none was named.
    """
    found = sheets(path)
    names = list(found)
    if isinstance(wanted, int) or (isinstance(wanted, str) and wanted not in found and wanted.isdigit()):
        if 1 <= int(wanted) <= len(names):
            return names[int(wanted) - 1], ""
        raise DataError("data.unknown_sheet", f"there is no sheet {wanted}; known: {', '.join(names)}").at(str(path))
    if wanted is not None:
        if wanted not in found:
            reason = f"there is no sheet {wanted!r}; {nearest(wanted, names)}"
            raise DataError("data.unknown_sheet", reason).at(str(path))
        return wanted, ""
    filled = [name for name, rows in found.items() if rows]
    if len(filled) > 1:
        reason = f"{len(filled)} sheets have cells: {', '.join(filled)}"
        cure = f"say which with --read sheet={filled[0]!r}"
        raise DataError("data.unknown_sheet", reason, cure=cure).at(str(path))
    if not filled:
        raise DataError("data.empty_file", "no sheet has cells", cure="check the path").at(str(path))
    return filled[0], f"the sheet {filled[0]!r} is the only one with cells" if len(names) > 1 else ""


def read_xlsx(path: Path, *, sheet: str) -> Iterator[Entry]:
    """Rows of a sheet under its first row that has cells; blank rows are passed over.

    Raises:
        ExtraError: openpyxl is not installed.
        DataError: ``data.unreadable``, ``data.bad_header``.
    """
    book = _workbook(path)
    try:
        columns: tuple[str, ...] = ()
        for number, cells in enumerate(book[sheet].iter_rows(values_only=True), 1):
            source = f"{path}:{sheet}!{number}"
            if all(cell is None or cell == "" for cell in cells):
                continue
            if not columns:
                columns = _header(cells, source)
                continue
            over = [cell for cell in cells[len(columns) :] if cell is not None]
            if over:
                reason = f"the row has {len(columns) + len(over)} cells, the header {len(columns)}"
                yield BadRow(source, "data.ragged_row", reason, list(cells))
            else:
                padded = (*cells, *[None] * (len(columns) - len(cells)))
                yield Record(source, dict(zip(columns, padded, strict=False)))
    finally:
        book.close()


def _header(cells: tuple[Any, ...], source: str) -> tuple[str, ...]:
    while cells and cells[-1] is None:  # cells that were only ever coloured
        cells = cells[:-1]
    names = [str(cell).strip() if cell is not None else "" for cell in cells]
    columns = tuple(name or f"column_{number}" for number, name in enumerate(names, 1))
    if twice := sorted(name for name, count in Counter(columns).items() if count > 1):
        reason = f"two columns have the same name: {', '.join(twice)}"
        raise DataError("data.bad_header", reason, cure="rename one").at(source)
    return columns


def read_parquet(path: Path) -> Iterator[Entry]:
    """Rows of a Parquet file, a thousand at a time; lists and structs come as lists and dicts.

    Raises:
        ExtraError: pyarrow is not installed.
        DataError: ``data.unreadable``.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ExtraError.needs("pyarrow", extra="data", purpose="reading parquet") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(f"{path}:{number}", values)
    except (pyarrow.ArrowException, OSError) as error:
        reason = f"the file is no readable Parquet file: {str(error).splitlines()[0]}"
        raise DataError("data.unreadable", reason, cure="write it again, or export CSV").at(str(path)) from None
