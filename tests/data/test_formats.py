import contextlib
import csv
import gzip
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import DataError
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Entry, Record
from softprompt.data.formats import FORMATS, read

TEXT_FORMATS = [suffix for suffix in FORMATS if suffix not in {".xlsx", ".parquet"}]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)
ROWS = st.lists(st.fixed_dictionaries({"text": TEXT, "label": TEXT.filter(str.strip)}), min_size=1, max_size=6)


def values(entries: list[Record | BadRow]) -> list[Any]:
    assert all(isinstance(entry, Record) for entry in entries), entries
    return [dict(entry.values) for entry in entries if isinstance(entry, Record)]


def of_text(suffix: str) -> Any:
    """A reader of texts, by way of a file of that suffix; its places are called x."""

    def read_text(text: str) -> list[Entry]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(text.encode())
            found = read(path)
        return [replace(entry, source=entry.source.replace(str(path), "x")) for entry in found]

    return read_text


read_csv, read_tsv, read_json, read_jsonl = map(of_text, (".csv", ".tsv", ".json", ".jsonl"))


def write_table(rows: list[dict[str, str]], **dialect: Any) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["text", "label"], **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@given(ROWS, st.sampled_from(["\r\n", "\n"]))
def test_csv_round_trip(rows: list[dict[str, str]], ending: str) -> None:
    assert values(read_csv(write_table(rows, lineterminator=ending))) == rows
    assert values(read_csv(write_table(rows, delimiter=";", lineterminator=ending))) == rows
    assert values(read_tsv(write_table(rows, delimiter="\t", quoting=csv.QUOTE_ALL))) == rows


@given(ROWS)
def test_json_round_trips(rows: list[dict[str, str]]) -> None:
    for ascii_only in (True, False):
        lines = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
        assert values(read_jsonl(lines)) == rows
        for indent in (None, 2):
            assert values(read_json(json.dumps(rows, ensure_ascii=ascii_only, indent=indent))) == rows
            wrapped = {"version": "1", "note [": ["x"], "data": rows, "end": {}}
            assert values(read_json(json.dumps(wrapped, ensure_ascii=ascii_only, indent=indent))) == rows
    assert values(read_json(lines)) == rows  # JSON lines under the wrong suffix


@given(ROWS)
def test_json_list_knows_the_line_of_every_row(rows: list[dict[str, str]]) -> None:
    text = "[\n" + ",\n\n".join(json.dumps(row) for row in rows) + "\n]"
    assert [entry.source for entry in read_json(text)] == [f"x:{2 + 2 * i}" for i in range(len(rows))]


@pytest.mark.parametrize("suffix", TEXT_FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_encoding_and_gzip(tmp_path: Path, suffix: str, encoding: str, zipped: bool) -> None:
    rows = [{"text": "Grüße, \u2028 你好", "label": "a"}]
    mark = "\t" if suffix == ".tsv" else ","
    as_lines, as_list = json.dumps(rows[0], ensure_ascii=False), json.dumps(rows)
    text = {".jsonl": as_lines, ".ndjson": as_lines, ".json": as_list}.get(suffix) or write_table(rows, delimiter=mark)
    path = tmp_path / f"rows{suffix.upper()}{'.gz' if zipped else ''}"
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert values(read(path)) == rows


def test_newlines_inside_quotes_count_as_lines() -> None:
    entries = read_csv('text,label\n"one\ntwo\n\nthree",a\n\nlast,b\n')
    assert [entry.source for entry in entries] == ["x:2", "x:7"]
    assert values(entries)[0]["text"] == "one\ntwo\n\nthree"


def test_rows_with_one_fault_come_in_their_place() -> None:
    entries = read_csv('a,b\n1,2\n1,2,3\n"x"y,2\n4,5\n')
    assert [(e.source, e.code if isinstance(e, BadRow) else "") for e in entries] == [
        ("x:2", ""),
        ("x:3", "data.ragged_row"),
        ("x:4", "data.bad_csv"),
        ("x:5", ""),
    ]
    assert isinstance(entries[1], BadRow)
    assert entries[1].reason == "the row has 3 cells, the header 2"


def test_a_long_document_is_one_cell_and_the_limit_is_put_back() -> None:
    before = csv.field_size_limit()
    long = "x" * 200_000
    assert values(read_csv(f"text,label\n{long},a\n"))[0]["text"] == long
    assert csv.field_size_limit() == before


def test_tsv_with_plain_quotes() -> None:
    entries = read_tsv('text\tlabel\n"Great\tgood\nso "so"\tbad\n5" disk\tbad\n')
    assert [row["text"] for row in values(entries)] == ['"Great', 'so "so"', '5" disk']


def test_one_ragged_row_does_not_turn_quoted_tsv_into_plain() -> None:
    entries = read_tsv('text\tlabel\n"a\nb"\tgood\nragged\n"c\td"\tbad\n')
    assert [isinstance(entry, BadRow) for entry in entries] == [False, True, False]


def test_json_lines_say_what_is_wrong_where() -> None:
    entries = read_jsonl('{"a": 1}\n\n{"a": }\n[1]\n' + "[" * 100_000 + '\n{"a": 1' + "0" * 5000 + "}")
    assert isinstance(entries[0], Record)
    reasons = [(entry.source, entry.reason) for entry in entries[1:] if isinstance(entry, BadRow)]
    assert reasons[0] == ("x:3", "the line is no valid JSON: expecting value at column 7")
    assert reasons[1] == ("x:4", 'the row is of type list, an object {"text": ...} is needed')
    assert [source for source, _ in reasons] == ["x:3", "x:4", "x:5", "x:6"]


def test_a_single_object_is_one_row_with_its_lists() -> None:
    row = {"text": "x", "candidates": ["a", "b"]}
    assert values(read_json(json.dumps(row, indent=2))) == [row]


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("a.csv", b"", "data.empty_file", "the file is empty"),
        ("a.csv", b"\xef\xbb\xbf \n\n", "data.empty_file", "the file is empty"),
        ("a.csv", b"text,label\n", "data.empty_file", "no rows"),
        ("a.json", b"[]", "data.empty_file", "no rows"),
        ("a.csv", b"\x89PNG\r\n\0\0", "data.unknown_format", "this is a picture"),
        ("a.csv", b"\x7fELF\1\1\0", "data.binary_file", "zero byte at 6"),
        ("a.xls", b"\xd0\xcf\x11\xe0", "data.unknown_format", "an old Excel file (.xls)"),
        ("a.csv", b"PK\x03\x04", "data.binary_file", "this is no csv file: it begins like one of xlsx"),
        ("a.csv", b"\xff\xfea\0b", "data.bad_encoding", "is not UTF-16"),
        ("a.csv", b'text,label\nx,a\n"open,b\nc,d\n', "data.bad_csv", "a.csv:3: a quote that opens in this row"),
        ("a.csv", b"text,text \nx,a\n", "data.bad_header", "same name: text"),
        ("a.json", b'[{"a": 1},\n{"a": 2}', "data.bad_json", "a.json:2"),
        ("a.json", b'[{"a": 1}\n{"a": 2}]', "data.bad_json", "comma or the end of the list"),
        ("a.json", b"[" * 100_000, "data.bad_json", "nested too deeply"),
        ("a.json", b"[,]", "data.bad_json", "expecting value"),
        ("a.json", b'"text"', "data.bad_json", "neither a JSON list"),
        ("a.xlsx", b"PK\x03\x04", "data.unreadable", "no Excel workbook: File is not a zip file"),
        ("a.pdf", b"text", "data.unknown_format", "cannot read .pdf; known: .csv, .tsv"),
        ("a", b"text", "data.unknown_format", "no suffix says what this is"),
        ("a.gz", b"text", "data.unknown_format", "--read format=csv"),
        ("a.csv.gz", b"\x1f\x8b no gzip", "data.unreadable", "Unknown compression method"),
        ("a.csv.gz", gzip.compress(b"text,label\n" * 99, mtime=0)[:-9], "data.unreadable", "ended before"),
    ],
)
def test_nasty_files(tmp_path: Path, name: str, content: bytes, code: str, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text\nx\n")
    with pytest.raises(DataError, match=r"no such file .*missing_file.* holds train.csv"):
        read(tmp_path / "trian.csv")
    with pytest.raises(DataError, match=r"a data set of the hub is written hub:owner/reviews"):
        read("owner/reviews")
    with pytest.raises(DataError, match=r"this is a folder, a file is needed .data.not_a_file"):
        read(tmp_path)


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nx\n")

    def refuse(self: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied \[data.unreadable"):
        read(path)


@given(st.binary(max_size=60), st.sampled_from(TEXT_FORMATS))
def test_any_bytes_are_rows_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(DataError):  # anything else fails the test
        assert read(path)


@given(st.text('[]{}",:1a \n\\', max_size=40), st.sampled_from(TEXT_FORMATS))
def test_any_broken_syntax_is_rows_or_an_error_of_ours(text: str, suffix: str) -> None:
    if text.strip():
        with contextlib.suppress(DataError):  # anything else fails the test
            assert all(isinstance(entry, (Record, BadRow)) for entry in of_text(suffix)(text))
