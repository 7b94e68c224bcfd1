"""What the benchmarks share: where rows come from, the line about the machine, and the page that is written."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.rig import machine, results
from benchmarks.rig.panels import Layout
from benchmarks.rig.rows import example_file, public_file, rows_in


def test_example_rows_are_those_of_the_package() -> None:
    assert {"text", "topic"} <= set(rows_in(example_file("test"))[0])


def test_public_rows_are_looked_for_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_SHARED", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"set SOFTPROMPT_SHARED to a folder with data/tasks/news"):
        public_file("news", "train")
    path = tmp_path / "data" / "tasks" / "news" / "train.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"text": "ü"}) + "\n", encoding="utf-8")
    assert rows_in(public_file("news", "train")) == [{"text": "ü"}]


def test_the_machine_is_told_with_how_busy_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {**machine.describe(), "cpu": "Fast", "threads": 2, "versions": {"torch": "9"}}
    monkeypatch.setattr(machine, "describe", lambda: about)
    assert machine.sentence(0.5) == "Fast, 2 threads, load average 0.5 (quiet), torch 9"
    assert "trust processor time" in machine.sentence(3.0)


def test_panels_stand_in_a_grid_and_shares_on_their_scale() -> None:
    layout = Layout(width=100, height=120, per_line=2, left=20, right=10, top=10, bottom=10, foot=30)
    sheet = layout.sheet(["<path/>"] * 3, title="a < b", style="", legend="<text/>")
    assert [tuple(map(int, one)) for one in re.findall(r"translate\((\d+) (\d+)\)", sheet)] == [
        (0, 0),
        (100, 0),
        (0, 120),
    ]
    assert 'viewBox="0 0 200 270"' in sheet
    assert "a &lt; b" in sheet
    panel = layout.panel([0.42, 0.71])
    assert (panel.low, panel.high) == (0.4, 0.8)
    assert (panel.up(0.4), panel.up(0.8)) == (110.0, 10.0)
    assert re.findall(r">(\d+%)<", panel.grid(every=2)) == ["40%", "60%", "80%"]
    assert panel.level(0.6, "dash") == '<path class="dash" d="M20 60.0H90"/>'
    assert 'width="70" height="100"' in panel.frame()


@pytest.mark.parametrize("only_print", [True, False])
def test_a_page_is_shown_and_written_unless_it_is_only_to_be_shown(
    only_print: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    options = results.parser_of("What.\n\nMore.").parse_args(["--print"] if only_print else [])
    results.publish("costs", "Costs", "| 1 |\n", only_print=options.print)
    assert "| 1 |" in capsys.readouterr().out
    pages = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert pages == ({} if only_print else {"costs.md": "# Costs\n\nMade by `benchmarks/costs.py`.\n\n| 1 |\n"})
