"""``softprompt advise``: from settings or rows to a way, its reasons and a command that runs."""

import shlex
from pathlib import Path

import pytest

from tests.app.cli.conftest import cli, write_rows
from tests.app.cli.test_curve import ROWS

__all__ = ["cli"]  # fixture


def test_rows_alone_give_a_way_reasons_and_commands_that_are_ours(cli, tmp_path: Path) -> None:
    write_rows(tmp_path / "weather report.2024.jsonl", [{**row, "topic": row["label"]} for row in ROWS])
    done = cli("advise", "weather report.2024.jsonl", "--no-measure", "--target", "label", "--json")
    assert done.status == 0, done.err
    found = done.json
    assert found["facts"]["rows"] + found["facts"]["test_rows"] == 64
    assert found["facts"]["zero_shot"] is None
    assert {one["rule"] for one in found["cautions"]} == {"few test rows", "a model for trying"}
    first, *_, last = found["commands"]
    assert last.startswith("softprompt compare 'weather report.yaml' -c ")
    assert cli(*shlex.split(first)[1:]).status == 0, "it runs as it stands, also where two columns could be the answer"
    assert "target: label" in (tmp_path / "weather report.yaml").read_text("utf-8")


def test_what_takes_seconds_is_measured_and_told(cli, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    write_rows(tmp_path / "weather.jsonl", ROWS)
    (tmp_path / "run.yaml").write_text("data: {train: weather.jsonl}\nmax_tokens: 32\n", encoding="utf-8")
    done = cli("advise", "run.yaml")
    assert done.status == 0, done.err
    assert "zero-shot: 0." in done.err
    assert "tfidf: " in done.err
    assert "embeddings: " in done.err
    assert "softprompt compare run.yaml -c " in done.out
    assert "the comparison on your rows decides" in done.out


@pytest.mark.parametrize(
    ("source", "told"), [("nothing.yaml", "config.unreadable"), ("nothing.csv", "data.missing_file")]
)
def test_what_is_not_there_is_said_in_a_line(cli, source, told) -> None:
    done = cli("advise", source)
    assert told in done.err
    assert done.status
    assert "Traceback" not in done.err
