"""Looks at test rows: counted over runs that stand beside each other, by content, and never lost to a broken line."""

from pathlib import Path

import pytest

from softprompt.app.recipes.sealed import LOOKS, looks_at, note_look, sealed_hash, warning
from softprompt.core.records import Example

ROWS = [Example({"text": f"t {i}", "channel": "mail"}, "ab"[i % 2], id=str(i)) for i in range(4)]


def test_looks_add_up_over_runs_beside_each_other(tmp_path: Path) -> None:
    one, other, away = tmp_path / "runs/one", tmp_path / "runs/other", tmp_path / "elsewhere/one"
    for folder in (one, other, away):
        folder.mkdir(parents=True)
    assert [note_look(one, "x", by="tune"), note_look(other, "x", by="tune"), note_look(one, "y", by="tune")] == [
        1,
        2,
        1,
    ]
    assert note_look(away, "x", by="evaluate") == 1
    assert [(look["run"], look["by"]) for look in looks_at(one, "x")] == [("one", "tune"), ("other", "tune")]


def test_a_line_that_was_cut_off_is_no_look(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOOKS).write_text('{"time": 1, "rows": "x"}\n[1]\nnonsense\n{"rows": "x"}\n', encoding="utf-8")
    assert note_look(folder, "x", by="tune") == 2


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        (ROWS[::-1], True),
        ([Example({"text": row.fields["text"]}, row.target, id="other", weight=2.0) for row in ROWS], True),
        (ROWS[:3], False),
        ([Example(row.fields, "a") for row in ROWS], False),
        ([Example({"text": row.fields["text"] + "!"}, row.target) for row in ROWS], False),
    ],
)
def test_rows_are_known_by_what_the_template_reads_and_the_answers(rows: list[Example], same: bool) -> None:
    assert (sealed_hash(rows, fields=["text"]) == sealed_hash(ROWS, fields=["text"])) is same


def test_the_first_look_is_no_reason_to_warn() -> None:
    assert warning(0) == warning(1) == ""
    assert "seen 2 times" in warning(2)
