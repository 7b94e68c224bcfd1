"""Conversations loaded for a dialogue task: from memory, from files, as streams, and never on two sides of a split."""

import json
from pathlib import Path
from typing import Any

import pytest

from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.reading import File
from softprompt.data.sources import load
from softprompt.data.splits import split
from softprompt.data.streams import open_stream


def chat(number: int) -> dict[str, Any]:
    turns = ["user", "assistant"] * 3
    return {"messages": [{"role": role, "content": f"{role} {number} {n}"} for n, role in enumerate(turns)]}


def test_turns_of_one_conversation_stay_together() -> None:
    rows = load([chat(n) for n in range(12)], Task.dialogue(learn="every"))
    assert len(rows) == 36
    assert rows[1].fields["text"].endswith("User: user 0 2")
    assert rows[1].target == "assistant 0 3"
    parts = split(rows, validation=0.25, test=0.25)
    groups = [{row.group for row in part} for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 12


def test_a_file_is_read_the_same_at_once_and_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(chat(n)) + "\n" for n in range(3)), encoding="utf-8")
    file, task = File(path, ReadSettings()), Task.dialogue()
    whole = load(file, task, template_fields={"text"}, answers=False)
    streamed = list(open_stream(file, task, template_fields={"text"}))
    assert [row.fields for row in streamed] == [row.fields for row in whole]
    assert whole[0].fields["text"].endswith("User: user 0 4")


def test_a_bad_conversation_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    bad = {"messages": [{"role": "critic", "content": "no"}]}
    path.write_text("".join(json.dumps(row) + "\n" for row in (chat(0), bad)), encoding="utf-8")
    with pytest.raises(DataError, match="bad_export") as caught:
        load(path, Task.dialogue())
    assert "chats.jsonl:2" in str(caught.value)


def test_a_bad_object_is_named_by_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "answer": {"n": 1}}\n{"text": "b", "answer": {"n": "x"}}\n', encoding="utf-8")
    with pytest.raises(DataError, match="not_in_schema") as caught:
        load(path, Task.extract({"n": "integer"}))
    assert "rows.jsonl:2: the field 'n' is 'x', an integer is needed" in str(caught.value)
