"""Files to records: CSV, TSV, JSON lines and JSON, gzipped or not, each record with its line.

Text is UTF-8, with or without a byte order mark (UTF-16 only with one). A row that cannot be read (a ragged CSV row, a
broken JSON line) comes as a :class:`BadRow` in its place, so that the caller decides whether to stop; a fault after
which nothing can be trusted (a binary file, a quote that never closes) is raised.

Knows nothing of tasks, labels or templates.
"""

import codecs
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.core.errors import DataError
from softprompt.data.dataset import BadRow

__all__ = ["FORMATS", "Record", "read"]


@dataclass(frozen=True, slots=True)
class Record:
    """One row as the file has it: cells by column, and ``file:line`` where it begins."""

    source: str
    values: Mapping[str, Any]


Entry = Record | BadRow
Reader = Callable[[str, str], list[Entry]]


def read(path: str | Path) -> list[Entry]:
    """All rows of a file, in order.

    Args:
        path: A file whose suffix stands in :data:`FORMATS`, or that suffix and ``.gz``.

    Raises:
        DataError: ``data.missing_file``, ``data.not_a_file``, ``data.unreadable``, ``data.unknown_format``,
            ``data.binary_file``, ``data.bad_encoding``, ``data.empty_file``, ``data.bad_header``, ``data.bad_csv``,
            ``data.bad_json``.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    suffix = "".join(suffixes[-2:-1] if zipped else suffixes[-1:])
    try:
        _check_file(path)
        if suffix not in FORMATS:
            raise DataError(
                "data.unknown_format",
                f"cannot read {suffix or 'a file without suffix'}; known: {', '.join(FORMATS)}, each also with .gz",
                cure="save the table as CSV or JSON lines",
            ).at(str(path))
        content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError("data.unreadable", f"the file cannot be read: {reason}").at(str(path)) from None
    entries = FORMATS[suffix](_decode(content, str(path)), str(path))
    if not entries:
        raise DataError("data.empty_file", "the file has no rows", cure="check the path").at(str(path))
    return entries


def _check_file(path: Path) -> None:
    if not path.exists():
        raise DataError("data.missing_file", "there is no such file", cure=_lookalikes(path)).at(str(path))
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise DataError("data.not_a_file", f"this is {what}, a file is needed", cure="name one file").at(str(path))


def _lookalikes(path: Path) -> str:
    folder = path.parent
    files = sorted(p.name for p in folder.iterdir() if p.is_file())[:8] if folder.is_dir() else []
    return f"{folder} holds {', '.join(files)}" if files else "check the path"


def _decode(content: bytes, name: str) -> str:
    """Bytes to text; refuses what is no text and says where."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in content:
        raise DataError(
            "data.binary_file",
            f"this is no text file (a zero byte at {content.index(0)})",
            cure="export the data as CSV or JSON lines",
        ).at(name)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            "data.bad_encoding",
            f"byte 0x{content[min(error.start, len(content) - 1)]:02x} is not {encoding.removesuffix('-sig').upper()}",
            cure="save the file as UTF-8, for example: iconv -f windows-1252 -t utf-8",
        ).at(f"{name}:{line}") from None
    if not text.strip():
        raise DataError("data.empty_file", "the file is empty", cure="check the path").at(name)
    return text


def read_csv(text: str, name: str) -> list[Entry]:
    """Comma separated, quotes as in RFC 4180; semicolons or tabs when the header has them and no comma."""
    header = text.lstrip().split("\n", 1)[0]
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    return _table(text, name, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL)


def read_tsv(text: str, name: str) -> list[Entry]:
    """Tab separated; quotes enclose cells or are plain text: both dialects occur, the one that fits better wins."""
    try:
        quoted = _table(text, name, delimiter="\t", quoting=csv.QUOTE_MINIMAL)
        if not _faults(quoted):
            return quoted
    except DataError:
        return _table(text, name, delimiter="\t", quoting=csv.QUOTE_NONE)
    plain = _table(text, name, delimiter="\t", quoting=csv.QUOTE_NONE)
    return plain if _faults(plain) < _faults(quoted) else quoted


def _faults(entries: list[Entry]) -> int:
    return sum(isinstance(entry, BadRow) for entry in entries)


def _table(text: str, name: str, *, delimiter: str, quoting: Any) -> list[Entry]:
    """Rows of a delimited table with a header."""
    limit = csv.field_size_limit(sys.maxsize)  # 131,072 characters otherwise: less than one long document
    try:
        return list(_cells(text, name, delimiter=delimiter, quoting=quoting))
    finally:
        csv.field_size_limit(limit)


def _cells(text: str, name: str, *, delimiter: str, quoting: Any) -> Iterator[Entry]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    columns: tuple[str, ...] = ()
    while True:
        source = f"{name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise DataError("data.bad_csv", "a quote that opens in this row never closes").at(source) from None
            yield BadRow(source, "data.bad_csv", f"the row is no valid CSV: {error}")
            continue
        if not any(cells):
            continue  # a blank line
        if not columns:
            columns = _header(cells, source)
        elif len(cells) != len(columns):
            reason = f"the row has {len(cells)} cells, the header {len(columns)}"
            yield BadRow(source, "data.ragged_row", reason, cells)
        else:
            yield Record(source, dict(zip(columns, cells, strict=True)))


def _header(cells: list[str], source: str) -> tuple[str, ...]:
    """Column names without blanks around them; a nameless one (an index column) is numbered."""
    columns = tuple(cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1))
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError("data.bad_header", f"two columns have the same name: {', '.join(twice)}", cure="rename one").at(
            source
        )
    return columns


def read_jsonl(text: str, name: str) -> list[Entry]:
    """One JSON object a line; blank lines are passed over."""
    entries: list[Entry] = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: U+2028 may stand inside a JSON string
        if line.strip():
            entries.append(_json_line(line.strip(), f"{name}:{number}"))
    return entries


def _json_line(line: str, source: str) -> Entry:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(source, "data.bad_json", f"the line is no valid JSON: {_json_reason(error)}", line)
    return _object(values, source)


def _object(values: Any, source: str) -> Entry:
    if isinstance(values, dict):
        return Record(source, values)
    return BadRow(
        source, "data.bad_json", f'the row is a {type(values).__name__}, an object {{"text": ...}} is needed', values
    )


def _json_reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower() + error.msg[1:]} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def read_json(text: str, name: str) -> list[Entry]:
    """A list of objects, an object with one list of objects in it, or JSON lines under the wrong suffix."""
    start = _skip(text, 0)
    if text[start] == "{":
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            return read_jsonl(text, name)  # several objects, or a broken one: said line by line
        lists = [key for key, value in whole.items() if _is_table(value)]
        if len(lists) != 1:
            return [Record(f"{name}:1", whole)]
        start = _member(text, start, lists[0])
    elif text[start] != "[":
        raise DataError("data.bad_json", "the file is neither a JSON list of objects nor JSON lines").at(name)
    return list(_elements(text, start + 1, name))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _member(text: str, position: int, key: str) -> int:
    """Where the value of ``key`` begins in the valid JSON object that opens at ``position``."""
    decoder = json.JSONDecoder()
    while True:
        found, position = decoder.raw_decode(text, _skip(text, position + 1))  # behind "{" or ","
        position = _skip(text, _skip(text, position) + 1)  # behind ":"
        if found == key:
            return position
        position = _skip(text, decoder.raw_decode(text, position)[1])


def _elements(text: str, position: int, name: str) -> Iterator[Entry]:
    """Elements of the JSON list that opens just before ``position``, each with the line on which it begins."""
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    while True:
        position = _skip(text, position)
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            values, position = decoder.raw_decode(text, position)
            position = _skip(text, position)
            mark = text[position : position + 1]
            if mark not in {",", "]"}:
                raise json.JSONDecodeError("a comma or the end of the list is missing", text, position)
        except (ValueError, RecursionError) as error:
            number = error.lineno if isinstance(error, json.JSONDecodeError) else line
            reason = f"the file is no valid JSON: {_json_reason(error)}"
            raise DataError("data.bad_json", reason).at(f"{name}:{number}") from None
        yield _object(values, f"{name}:{line}")
        position += mark == ","


def _skip(text: str, position: int) -> int:
    """The next position that is no JSON white space."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


#: Suffix -> reader of (text, name for messages); every one also with ``.gz``.
FORMATS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
}
