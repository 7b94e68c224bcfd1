"""The page on answers people ask for: every command line in it works, and what it promises is there."""

import csv
import re
import shlex
import shutil
from pathlib import Path

from softprompt.lab.coverage import fewest_rows
from tests.app.cli.conftest import cli, prompts

__all__ = ["cli", "prompts"]  # fixtures

#: The page speaks of limits and labels that a prompt with random vectors does not keep or know.
INSTEAD = {
    "recall.billing": "recall.good",
    "--precision 0.95": "--precision 0.2",
    "--min-precision 0.95": "--min-precision 0.2",
    "macro_f1=0.80": "macro_f1=1.01",
}


def test_every_line_works(cli, prompts, repository: Path, tmp_path: Path) -> None:
    shutil.copytree(prompts["good"], tmp_path / "runs" / "topic" / "prompt")
    words = [(n, word) for n in range(20) for word in ("good", "bad")]
    rows = [(f"{word} {n}", word, "mail" if n % 3 else "chat", "en", f"c{n}") for n, word in words]
    for name in ("tickets.csv", "more.csv", "new.csv"):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label", "channel", "language", "customer"), *rows])
    page = (repository / "docs" / "answers.md").read_text("utf-8")
    lines = re.findall(r"^\$ (softprompt .*)$", page, flags=re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        for said, instead in INSTEAD.items():
            line = line.replace(said, instead)
        done = cli(*shlex.split(line)[1:])
        assert done.status == (10 if "--fail-under" in line else 0), (line, done.err)
        assert "Traceback" not in done.err
    assert (tmp_path / "wrong.csv").is_file()


def test_the_numbers_of_the_page_are_true(repository: Path) -> None:
    page = (repository / "docs" / "answers.md").read_text("utf-8")
    assert f"at least {fewest_rows(0.95)} answered rows, all of them right; 99 % takes {fewest_rows(0.99)}" in page
