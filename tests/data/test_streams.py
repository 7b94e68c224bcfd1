import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.formats import Table
from softprompt.data.reading import File
from softprompt.data.sources import load
from softprompt.data.streams import Stream, open_stream

TASK = Task.classify(["a", "b"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


def stream(path: Path, *, settings: ReadSettings | None = None, **more: Any) -> Stream:
    return open_stream(File(path, settings or ReadSettings()), TASK, **more)


@given(st.lists(st.fixed_dictionaries({"text": TEXT}, optional={"id": TEXT, "more": TEXT}), min_size=1, max_size=8))
def test_a_stream_is_what_loading_gives(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "stream.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert tuple(stream(path)) == load(path, TASK, answers=False).rows


def test_rows_are_read_while_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "x\n" * 10_000)
    opened = stream(path)
    came = 0
    rows = Table.rows

    def counted(self: Table) -> Any:
        nonlocal came
        for entry in rows(self):
            came += 1
            yield entry

    monkeypatch.setattr(Table, "rows", counted)
    iterator = iter(opened)
    first, second = next(iterator), next(iterator)
    assert second.id == f"{first.id}#2"
    assert came == 2


def test_broken_rows_are_said_before_the_first_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x"}\n' * 500 + "{broken\n")
    with pytest.raises(DataError, match=r"rows.jsonl:501: the line is no valid JSON"):
        stream(path)


def test_a_value_without_a_text_is_said_in_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x"}\n{"text": "\\ud800"}\n')
    iterator = iter(stream(path))
    assert next(iterator).fields == {"text": "x"}
    with pytest.raises(DataError, match=r"rows.jsonl:2: the column 'text' holds half a surrogate pair"):
        next(iterator)


def test_columns_paths_html_and_notes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps({"mail": {"body": "<p>Grüße</p>"}}, ensure_ascii=False).encode("cp1252"))
    found = stream(
        path, settings=ReadSettings(strip_html=True), columns={"text": "mail.body"}, template_fields=["text"]
    )
    assert [row.fields for row in found] == [{"text": "Grüße"}]
    assert "Windows-1252" in found.notes[0]
    with pytest.raises(DataError, match=r"column 'mail.bdy' for 'text' is not in the data"):
        stream(path, columns={"text": "mail.bdy"})


def test_a_file_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\n")
    with pytest.raises(DataError, match="the file has no rows"):
        stream(path)
