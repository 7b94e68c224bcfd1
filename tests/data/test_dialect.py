import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError, DataError, ExtraError
from softprompt.data.dialect import Dialect, ReadSettings, sniff
from softprompt.data.entries import Record
from softprompt.data.formats import open_table, read

ROWS = [{"text": "Schöne Grüße aus Köln", "label": "a"}, {"text": "Is it 3,14?", "label": "b"}]


def written(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def table(separator: str) -> str:
    return f"text{separator}label\n" + "".join(f'"{row["text"]}"{separator}{row["label"]}\n' for row in ROWS)


def values(path: Path, settings: ReadSettings | None = None) -> list[Any]:
    entries = read(path, settings)
    assert all(isinstance(entry, Record) for entry in entries), entries
    return [dict(entry.values) for entry in entries if isinstance(entry, Record)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_separators_and_encodings_are_found_and_told(tmp_path: Path, separator: str, encoding: str) -> None:
    path = written(tmp_path, "rows.csv", table(separator), encoding)
    dialect = sniff(path)
    assert dialect.separator == {"\t": "tab"}.get(separator, separator)
    assert values(path) == ROWS
    assert any("separated" in said for said in dialect.said) == (separator != ",")
    assert any("Windows-1252" in said or "UTF-16" in said for said in dialect.said) == (
        not encoding.startswith("utf-8")
    )
    again = ReadSettings.parse(dialect.settings())
    assert sniff(path, again).settings() == dialect.settings(), "what was found can be said"


@given(st.lists(st.text(st.characters(codec="cp1252", min_codepoint=32), max_size=12), min_size=1, max_size=5))
def test_what_is_said_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "said.jsonl"
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    path.write_bytes(lines.encode("cp1252"))
    assert [row["text"] for row in values(path, ReadSettings(encoding="cp1252"))] == texts


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\nПривет мир,a\n".encode("cp1251"), "beyond ASCII: no Western text"),
        ("text,label\nGrüße aus Köln,a\nschöne".encode() + b" Gr\xfc\xdfe,b\n", "though most of the file is"),
        (b"text,label\nstra\x81e,a\n", "Windows-1252 does not have"),
    ],
)
def test_no_code_page_is_guessed_where_it_would_be_wrong(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        sniff(written(tmp_path, "rows.csv", content))
    assert caught.value.code == "data.bad_encoding"
    assert "--read encoding=" in str(caught.value)


def test_an_encoding_that_is_said_must_fit(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "text,label\nПривет,a\n", "cp1251")
    assert values(path, ReadSettings(encoding="cp1251")) == [{"text": "Привет", "label": "a"}]
    with pytest.raises(DataError, match=r"rows.csv:2: byte 0xcf is not ASCII"):
        sniff(path, ReadSettings(encoding="ascii"))


def test_separators_that_fit_equally_well_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "a,b;c\nx,y;z\n")
    with pytest.raises(DataError, match=r"';' and ',' separate the cells equally well.*--read separator=';'") as caught:
        sniff(path)
    assert caught.value.code == "data.unclear_separator"
    assert values(path, ReadSettings(separator=";")) == [{"a,b": "x,y", "c": "z"}]


def test_more_columns_win_and_that_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "text;price,EUR;label\nkettle;3,14;x\npot;2,50;y\n")
    assert sniff(path).said == ("cells are separated by ';' (3 columns; ',' would give 2)",)
    assert values(path)[0] == {"text": "kettle", "price,EUR": "3,14", "label": "x"}


def test_the_hint_of_spreadsheets_is_no_header(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "sep=;\ntext;label\nx;a\n")
    assert values(path) == [{"text": "x", "label": "a"}]
    assert read(path)[0].source.endswith("rows.csv:3")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("rows.txt", "text;label\nx;a\n", "csv"),
        ("rows", '{"text": "x"}\n{"text": "y"}\n', "jsonl"),
        ("rows.dat", '[{"text": "x"}]', "json"),
        ("rows.jsonl", '{\n "data": [{"text": "x"}]\n}', "json"),
        ("rows.jsonl", '[{"text": "x"}]', "json"),
        ("rows.json", '{"text": "x"}\n{"text": "y"}\n', "jsonl"),
    ],
)
def test_a_format_that_its_suffix_does_not_say_is_told(tmp_path: Path, name: str, content: str, kind: str) -> None:
    path = written(tmp_path, name, content)
    dialect = sniff(path)
    assert dialect.format == kind
    assert dialect.said
    assert values(path)[0]["text"] == "x"


def test_a_format_that_is_said_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.export", "text\nx, y\n")
    with pytest.raises(DataError, match=r"cannot read .export"):
        sniff(path)
    assert values(path, ReadSettings(format="csv", separator=";")) == [{"text": "x, y"}]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"format": "cvs"}, "no format is called 'cvs'; did you mean 'csv'?"),
        ({"format": "csv,jsonl"}, "one format of the file and one kind of rows"),
        ({"format": "openai,alpaca"}, "one format of the file and one kind of rows"),
        ({"encoding": "utf-99"}, "no encoding of text is called that"),
        ({"encoding": "base64"}, "no encoding of text is called that"),
        ({"separator": ":"}, "separator"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ReadSettings.parse(settings)
    assert words in str(caught.value)


class TestNestedJson:
    DEEP = json.dumps({"meta": {"n": 1}, "result": {"page.items": [{"text": "x", "tags": [{"t": 1}]}]}}, indent=1)

    def test_the_only_list_is_found_and_told(self, tmp_path: Path) -> None:
        path = written(tmp_path, "deep.json", self.DEEP)
        assert sniff(path).said == ("the rows are the list at 'result.page.items'",)
        assert read(path)[0].source.endswith(":7")
        assert values(path)[0]["text"] == "x"

    def test_of_several_lists_one_must_be_said(self, tmp_path: Path) -> None:
        path = written(tmp_path, "deep.json", '{"data": {"items": [{"a": 1}], "users": [{"b": 2}]}}')
        with pytest.raises(DataError, match=r"could be the rows: data.items, data.users.*--read rows=data.items"):
            sniff(path)
        assert values(path, ReadSettings(rows="data.users")) == [{"b": 2}]
        with pytest.raises(DataError, match=r"no list of objects stands at 'data.item'; did you mean 'data.items'\?"):
            sniff(path, ReadSettings(rows="data.item"))

    @given(
        st.recursive(st.just([{"x": 1}]), lambda below: st.dictionaries(st.text("ab", min_size=1, max_size=2), below))
    )
    def test_any_nesting_is_rows_or_a_question(self, tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
        path = tmp_path_factory.getbasetemp() / "nested.json"
        path.write_text(json.dumps(document))
        num_lists = json.dumps(document).count("[")
        if num_lists > 1 and sum(isinstance(value, list) for value in document.values()) != 1:
            with pytest.raises(DataError) as caught:
                sniff(path)
            assert caught.value.code == "data.no_rows_there"
        else:
            assert values(path) == ([{"x": 1}] if num_lists else [document])


class TestSheets:
    @pytest.fixture
    def book(self, tmp_path: Path) -> Path:
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        first = book.active
        first.title = "Tickets"
        first.append([None, None, None])
        first.append(["Text ", None, "Preis", None])
        first.append(["Grüße", "", 3.5, None])
        first.append(["zwei", None, 4])
        first.append(["drei", 1, 2, 3, "über"])
        book.create_sheet("Leer")
        path = tmp_path / "rows.xlsx"
        book.save(path)
        return path

    def test_rows_of_the_only_sheet_with_cells(self, book: Path) -> None:
        assert sniff(book).said == ("the sheet 'Tickets' is the only one with cells",)
        first, second, third = read(book)
        assert isinstance(first, Record)
        assert isinstance(second, Record)
        assert dict(first.values) == {"Text": "Grüße", "column_2": None, "Preis": 3.5}
        assert dict(second.values) == {"Text": "zwei", "column_2": None, "Preis": 4}
        assert first.source == f"{book}:Tickets!3"
        assert third.code == "data.ragged_row"  # type: ignore[union-attr]

    def test_of_several_sheets_one_must_be_said(self, book: Path) -> None:
        openpyxl = pytest.importorskip("openpyxl")
        loaded = openpyxl.load_workbook(book)
        loaded["Leer"].append(["a"])
        loaded["Leer"].append(["b"])
        loaded.save(book)
        with pytest.raises(DataError, match=r"2 sheets have cells: Tickets, Leer.*--read sheet='Tickets'"):
            sniff(book)
        assert values(book, ReadSettings(sheet="Leer")) == values(book, ReadSettings(sheet=2)) == [{"a": "b"}]
        for wrong in ("Ticket", 3):
            with pytest.raises(DataError) as caught:
                sniff(book, ReadSettings(sheet=wrong))
            assert caught.value.code == "data.unknown_sheet"

    def test_parquet(self, tmp_path: Path) -> None:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "rows.parquet"
        rows = [{"text": "x", "meta": {"a": [1]}}, {"text": None, "meta": None}]
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        assert values(path) == rows
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(DataError, match="no readable Parquet file"):
            read(path)

    def test_a_missing_extra_is_one_sentence(self, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        with pytest.raises(ExtraError, match=r"reading xlsx needs openpyxl .*pip install 'softprompt\[data\]'"):
            sniff(book)


class TestStdin:
    def pipe(self, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    @pytest.mark.parametrize("zipped", [False, True])
    def test_what_comes_is_sniffed(self, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
        content = table(";").encode("cp1252")
        self.pipe(monkeypatch, gzip.compress(content, mtime=0) if zipped else content)
        found = open_table("-")
        assert found.name == "stdin"
        assert found.dialect.separator == ";"
        assert len(list(found.rows())) == len(list(found.rows())) == 2

    def test_nothing_and_workbooks_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pipe(monkeypatch, b"")
        with pytest.raises(DataError, match="stdin: nothing came"):
            sniff("-")
        self.pipe(monkeypatch, b"PAR1")
        with pytest.raises(DataError, match="parquet is read from a file"):
            sniff("-")


def test_a_dialect_says_only_what_is_in_doubt() -> None:
    assert Dialect("csv", "utf-8-sig", ",").settings() == {}
    found = Dialect("json", "cp1252", rows="data.items", shape="alpaca")
    assert found.settings() == {"format": "alpaca", "encoding": "cp1252", "rows": "data.items"}
    assert found.describe() == "json, Windows-1252, rows at data.items, an Alpaca export"
