"""How a file is written: format, encoding, separator, sheet, where its rows stand, and what shape of export they have.

:func:`sniff` finds out what nobody said, from the bytes, and keeps a sentence for each thing that is not the plain
case; what cannot be told apart is refused, with what was seen and the setting that settles it. Reading
(:mod:`softprompt.data.formats`) and ``softprompt init`` both ask here, so they never disagree.

Knows nothing of tasks, labels or templates.
"""

import codecs
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from softprompt.core.config import Settings
from softprompt.core.errors import DataError, nearest
from softprompt.data.content import Content
from softprompt.data.delimited import fits_unquoted, read_table, sniff_separator
from softprompt.data.encodings import find_encoding
from softprompt.data.entries import Entry, Record
from softprompt.data.jsonfiles import find_rows, is_json_lines, read_json, read_json_lines
from softprompt.data.shapes import SHAPES, choose
from softprompt.data.sheets import choose_sheet, read_parquet, read_xlsx

__all__ = ["FORMATS", "Dialect", "ReadSettings", "entries", "sniff", "sniff_content"]

#: Suffix -> format; text formats also with ``.gz``.
FORMATS: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".xlsx": "xlsx",
    ".parquet": "parquet",
}
HEAD_CHARS = 1 << 18
SAMPLE_ROWS = 100  #: that decide the shape of an export

_MAGIC = {b"PAR1": "parquet", b"PK\x03\x04": "xlsx"}
_NO_TABLE = {b"\xd0\xcf\x11\xe0": "an old Excel file (.xls)", b"%PDF": "a PDF file", b"\x89PNG": "a picture"}


class ReadSettings(Settings):
    """How files are read; what is left out is found out, and told.

    >>> settings = ReadSettings(format="jsonl,openai", separator="\\t")
    >>> settings.file_format, settings.shape, settings.separator
    ('jsonl', 'openai', 'tab')
    """

    format: str | None = Field(
        None,
        description=f"{', '.join(dict.fromkeys(FORMATS.values()))}; or what the rows are: plain, {', '.join(SHAPES)}; "
        "or both, with a comma between",
    )
    encoding: str | None = Field(None, description="utf-8, utf-16, cp1252, ... of text files")
    separator: Literal[",", ";", "tab", "|"] | None = Field(None, description="between the cells of csv")
    sheet: str | int | None = Field(None, description="of a workbook: its name, or its number from 1")
    header: bool = Field(True, description="csv, tsv: false: no line of names; columns are column_1, column_2, ...")
    rows: str | None = Field(None, description="path to the list of rows in a json document, e.g. data.items")
    strip_html: bool = Field(False, description="turn HTML in texts into plain text")

    @field_validator("format")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        parts = [part.strip() for part in value.split(",")] if value else []
        formats, shapes = set(FORMATS.values()), {"plain", *SHAPES}
        for part in parts:
            if part not in formats | shapes:
                raise ValueError(f"no format is called {part!r}; {nearest(part, formats | shapes)}")
        if len([part for part in parts if part in formats]) > 1 or len([part for part in parts if part in shapes]) > 1:
            raise ValueError("one format of the file and one kind of rows, e.g. jsonl,openai")
        return ",".join(parts) or None

    @field_validator("encoding")
    @classmethod
    def _codec(cls, value: str | None) -> str | None:
        try:
            text = value is None or codecs.lookup(value)._is_text_encoding
        except LookupError:
            text = False
        if not text:
            raise ValueError("no encoding of text is called that; for example utf-8, utf-16, cp1252, cp1251, gb18030")
        return value

    @field_validator("separator", mode="before")
    @classmethod
    def _tab(cls, value: Any) -> Any:
        return "tab" if value in ("\t", "\\t") else value

    @property
    def file_format(self) -> str | None:
        """The part of ``format`` that says how the file is written."""
        return next((part for part in (self.format or "").split(",") if part in FORMATS.values()), None)

    @property
    def shape(self) -> str | None:
        """The part of ``format`` that says what the rows are."""
        return next((part for part in (self.format or "").split(",") if part == "plain" or part in SHAPES), None)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written.

    Attributes:
        format: ``csv``, ``tsv``, ``jsonl``, ``json``, ``xlsx`` or ``parquet``.
        encoding: Of a text file, None for others.
        separator: Of csv and tsv: ``,`` ``;`` ``tab`` ``|``.
        quoted: Of csv and tsv: whether quotes enclose cells.
        header: Of csv and tsv: whether the first line names the columns.
        sheet: Of a workbook.
        rows: Of json: path to the list; ``""``: the document is the list.
        shape: What kind of export the rows are (:data:`softprompt.data.shapes.SHAPES`), or ``plain``.
        said: A sentence for everything that was found out and is not the plain case.
    """

    format: str
    encoding: str | None = None
    separator: str | None = None
    quoted: bool = True
    header: bool = True
    sheet: str | None = None
    rows: str | None = None
    shape: str = "plain"
    said: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """The keys of :class:`ReadSettings` that say what was found, where it is not the plain case.

        >>> Dialect("csv", "cp1252", ";").settings()
        {'encoding': 'cp1252', 'separator': ';'}
        """
        plain = self.encoding in {None, "utf-8", "utf-8-sig", "utf-16"}  # marks and UTF-8 are never in doubt
        found = {
            "format": None if self.shape == "plain" else self.shape,
            "encoding": None if plain else self.encoding,
            "separator": self.separator if self.format == "csv" and self.separator != "," else None,
            "header": None if self.header else False,
            "sheet": self.sheet,
            "rows": self.rows or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    def describe(self) -> str:
        """One line for people.

        >>> Dialect("csv", "utf-8-sig", ";").describe()
        "csv separated by ';', UTF-8 with byte order mark"
        """
        codec = {"utf-8-sig": "UTF-8 with byte order mark", "cp1252": "Windows-1252"}
        parts = [
            self.format + (f" separated by {self.separator!r}" if self.format == "csv" else ""),
            codec.get(self.encoding or "", (self.encoding or "").upper()),
            f"sheet {self.sheet!r}" if self.sheet else "",
            f"rows at {self.rows}" if self.rows else "",
            SHAPES[self.shape].title if self.shape in SHAPES else "",
        ]
        return ", ".join(part for part in parts if part)


def sniff(path: str | Path, settings: ReadSettings | None = None) -> Dialect:
    """How a file is written; every byte of a text file is checked, none is kept.

    Args:
        path: A file; ``-`` is standard input, which is read to its end.
        settings: What is known already.

    Raises:
        DataError: ``data.missing_file``, ``data.not_a_file``, ``data.unreadable``, ``data.empty_file``,
            ``data.unknown_format``, ``data.binary_file``, ``data.bad_encoding``, ``data.unclear_separator``,
            ``data.unknown_sheet``, ``data.no_rows_there``.
        ExtraError: xlsx and parquet need ``softprompt[data]``.
    """
    return sniff_content(Content.of(path), settings or ReadSettings())


def sniff_content(content: Content, settings: ReadSettings, *, named: Collection[str] = ()) -> Dialect:
    """As :func:`sniff`, of bytes that were opened already.

    Args:
        content: The bytes.
        settings: What is known already.
        named: Columns that the run names: a recognised export that would lose one is read as it stands.
    """
    dialect = _binary(content, settings) or _text(content, settings)
    sample = [entry for entry in islice(entries(content, dialect), SAMPLE_ROWS) if isinstance(entry, Record)]
    shape, said = choose([record.values for record in sample], wanted=settings.shape, named=named)
    return replace(dialect, shape=shape.name if shape else "plain", said=(*dialect.said, *said))


def entries(content: Content, dialect: Dialect) -> Iterator[Entry]:
    """The rows of a file as they stand in it, one at a time where the format allows; its shape is not applied.

    Raises:
        DataError: ``data.unreadable``, ``data.bad_header``, ``data.bad_csv``, ``data.bad_json``.
    """
    name, encoding = content.name, dialect.encoding or "utf-8"
    match dialect.format:
        case "xlsx":
            return read_xlsx(content.path, sheet=dialect.sheet or "")
        case "parquet":
            return read_parquet(content.path)
        case "csv" | "tsv":
            lines = content.lines(encoding, newline="")
            separator = dialect.separator or ","
            return read_table(lines, name, separator=separator, quoted=dialect.quoted, header=dialect.header)
        case "jsonl":
            return read_json_lines(content.lines(encoding), name)
        case _:
            return read_json(content.text(encoding), name, rows=dialect.rows or "")


def _binary(content: Content, settings: ReadSettings) -> Dialect | None:
    """Workbooks and Parquet files, by suffix or first bytes; None for a text."""
    start = next(content.blocks(), b"")
    wanted = settings.file_format or FORMATS.get(content.suffix)
    found = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    kind = wanted or found
    if what := next((what for magic, what in _NO_TABLE.items() if start.startswith(magic)), None):
        cure = "save the table as .xlsx or CSV"
        raise DataError("data.unknown_format", f"this is {what}, which is not read", cure=cure).at(content.name)
    if kind not in _MAGIC.values():
        if found and wanted:
            reason = f"this is no {wanted} file: it begins like one of {found}"
            cure = f"rename it, or say --read format={found}"
            raise DataError("data.binary_file", reason, cure=cure).at(content.name)
        return None
    if content.held is not None or content.zipped:
        reason = f"{kind} is read from a file that is not zipped, not from {content.name}"
        raise DataError("data.unknown_format", reason, cure="save it as a file").at(content.name)
    said = () if wanted else (f"read as {kind}, as its first bytes say",)
    if kind == "parquet":
        return Dialect(kind, said=said)
    sheet, why = choose_sheet(content.path, settings.sheet)
    return Dialect("xlsx", sheet=sheet, said=(*said, why) if why else said)


def _text(content: Content, settings: ReadSettings) -> Dialect:
    name = content.name
    known = settings.file_format or FORMATS.get(content.suffix)
    if known is None and content.held is None and content.suffix not in {"", ".gz", ".txt", ".dat"}:
        raise _unknown(content, f"cannot read {content.suffix}")
    encoding = find_encoding(content.blocks(), name=name, wanted=settings.encoding)
    head = content.head(encoding.name, num_chars=HEAD_CHARS)
    if not head.strip() and not content.text(encoding.name).strip():
        raise DataError("data.empty_file", "the file is empty", cure="check the path").at(name)
    kind, why = _kind(content, encoding.name, head, known, fixed=settings.file_format is not None)
    said = [text for text in (encoding.said, why) if text]
    if kind == "jsonl":
        return Dialect(kind, encoding.name, said=tuple(said))
    if kind == "json":
        rows = find_rows(content.text(encoding.name), name=name, rows=settings.rows)
        if rows and not settings.rows:
            said.append(f"the rows are the list at {rows!r}")
        return Dialect(kind, encoding.name, rows=rows, said=tuple(said))
    if kind == "tsv":
        both = content.lines(encoding.name, newline=""), content.lines(encoding.name, newline="")
        plain = fits_unquoted(*both, name=name)
        said += ["quotes are plain characters: fewer rows are faulty that way"] if plain else []
        separator = settings.separator or "tab"
        return Dialect(kind, encoding.name, separator, not plain, settings.header, said=tuple(said))
    if settings.separator:
        return Dialect(kind, encoding.name, settings.separator, header=settings.header, said=tuple(said))
    split = sniff_separator(head, name=name)
    if known is None and split.columns < 2:
        raise _unknown(content, "no suffix says what this is, and no separator divides its lines alike")
    said += [split.said] if split.said else []
    return Dialect(kind, encoding.name, split.separator, header=settings.header, said=tuple(said))


def _unknown(content: Content, reason: str) -> DataError:
    known = f"{', '.join(FORMATS)}, text formats also with .gz"
    cure = "say what it is with --read format=csv (or another), or save the table as CSV or JSON lines"
    return DataError("data.unknown_format", f"{reason}; known: {known}", cure=cure).at(content.name)


def _kind(content: Content, encoding: str, head: str, known: str | None, *, fixed: bool) -> tuple[str, str]:
    """The format of a text, and why where it is not the one of its suffix."""
    if fixed and known:
        return known, ""
    first = head.lstrip()[:1]
    if known in {"csv", "tsv"}:
        return known, ""
    if known == "json" and first == "{" and is_json_lines(content.text(encoding)):
        return "jsonl", "JSON lines, in spite of its suffix"
    if known == "jsonl" and (first == "[" or (first == "{" and not _is_object(head.lstrip().split("\n", 1)[0]))):
        whole = content.text(encoding)
        if first == "[" or not is_json_lines(whole):
            return "json", "one JSON document, in spite of its suffix"
    if known:
        return known, ""
    if first not in "{[":
        return "csv", "read as csv, as no suffix says what it is"
    kind = "json" if first == "[" or not is_json_lines(content.text(encoding)) else "jsonl"
    return kind, f"read as {kind}, as its first character says"


def _is_object(line: str) -> bool:
    return any(isinstance(entry, Record) for entry in read_json_lines([line], ""))
