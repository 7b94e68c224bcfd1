"""``softprompt report``: a real comparison, its page, and bad input in a line."""

from pathlib import Path

import pytest

from softprompt.app.recipes.report import report
from tests.app.cli.conftest import cli
from tests.app.cli.test_curve import arguments
from tests.app.report.runs import write_comparison, write_curve, write_run

__all__ = ["cli"]  # fixture


def test_a_real_comparison_becomes_a_page(cli, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    line = arguments(tmp_path, "-c", "majority", "-c", "tfidf")
    done = cli("compare", *line[1:])
    assert done.status == 0, done.err
    (folder,) = [path.parent for path in (tmp_path / "runs").glob("*/table.json")]
    told = cli("report", folder.relative_to(tmp_path), "--texts")
    assert told.status == 0, told.err
    assert f"wrote: {folder.relative_to(tmp_path) / 'report' / 'report.html'}" in told.out
    page = (folder / "report" / "report.html").read_text("utf-8")
    assert "sun 0 again" in page or "again" in page.split("Rows that flip")[1]
    first = cli("report", folder.relative_to(tmp_path), "--json").json
    assert first["verdict"]
    assert first["runs"][0]["rows"]["test"]["count"] == 30


def test_made_runs_are_reported_in_the_terminal(cli, tmp_path: Path) -> None:
    write_comparison(tmp_path / "tickets")
    write_run(tmp_path / "topic")
    done = cli("report", "tickets", "topic")
    assert done.status == 0, done.err
    assert "tickets: LoRA" in done.out
    assert (tmp_path / "report" / "report.md").is_file()


def test_what_a_curve_alone_says_is_said_once(cli, tmp_path: Path) -> None:
    verdict = report([write_curve(tmp_path / "weather")]).verdict
    done = cli("report", "weather")
    assert done.status == 0, done.err
    assert " ".join(done.out.split()).count(verdict) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere: there is nothing to report on [data.no_report]"),
        (["tickets", "--reference", "nobody"], "no line is called 'nobody'"),
        (["tickets", "--card"], "a model card is of one saved prompt, these runs have 0"),
        (["tickets", "--metric", "bleu"], "not every line has the score 'bleu'"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_a_line(cli, tmp_path: Path, words, told) -> None:
    write_comparison(tmp_path / "tickets")
    done = cli("report", *words)
    assert told.lower() in done.err.lower()
    assert done.status
    assert "Traceback" not in done.err
