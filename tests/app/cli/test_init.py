"""``softprompt init``: what it prints, writes, asks and refuses."""

import io
import sys
from pathlib import Path

import pytest

from softprompt.app.cli.face import Screen
from softprompt.app.yaml import read_yaml
from tests.app.cli.conftest import write_rows

TWO = [{"text": f"The {word} broke on day {n}", "topic": word, "tone": "ab"[n % 2]} for n in range(9) for word in "xy"]


def test_a_file_becomes_settings(cli, rows: Path) -> None:
    done = cli("init", "rows.jsonl")
    assert (done.status, done.err) == (0, "")
    assert "label" in done.out
    assert "wrote rows.yaml" in done.out
    assert "softprompt tune rows.yaml" in done.out
    assert read_yaml("rows.yaml")["task"] == {"kind": "classify", "target": "label", "labels": ["good", "bad"]}


def test_flags_decide(cli, tmp_path: Path) -> None:
    write_rows(tmp_path / "two.jsonl", TWO)
    done = cli("init", "two.jsonl")
    assert done.status == 3
    assert "topic and tone are equally likely" in done.err
    assert "--target 'topic'" in done.err
    assert not (tmp_path / "two.yaml").exists()
    assert cli("init", "two.jsonl", "--target", "tone", "--labels", "a=bad,b=good", "-o", "tone.yaml").status == 0
    assert read_yaml("tone.yaml")["task"]["labels"] == {"a": "bad", "b": "good"}


def test_separator_and_encoding(cli, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"text|label\n" + "Ärger im Büro|a\nSchöne Grüße|b\n".encode("cp850") * 4)
    done = cli("init", "rows.csv", "--separator", "|", "--encoding", "cp850")
    assert done.status == 0, done.err
    assert read_yaml("rows.yaml")["data"]["read"] == {"encoding": "cp850", "separator": "|"}


def test_as_json(cli, rows: Path) -> None:
    done = cli("init", "rows.jsonl", "--json")
    assert done.json["written"] == "rows.yaml"
    assert done.json["yaml"] == Path("rows.yaml").read_text(encoding="utf-8")
    assert {"about", "chosen", "why", "flag"} == set(done.json["decisions"][0])


def test_nothing_is_overwritten_without_force(cli, rows: Path) -> None:
    Path("rows.yaml").write_text("mine")
    done = cli("init", "rows.jsonl")
    assert (done.status, Path("rows.yaml").read_text()) == (2, "mine")
    assert "[config.file_exists]" in done.err
    assert cli("init", "rows.jsonl", "--force").status == 0


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Somebody who answers nonsense first and then the second option."""
    typed = io.StringIO("7\nwhat\n2\n")
    monkeypatch.setattr(typed, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(Screen, "is_terminal", property(lambda self: self.stderr))
    return typed


def test_questions_are_asked_in_a_terminal(cli, tmp_path: Path, terminal: io.StringIO) -> None:
    write_rows(tmp_path / "two.jsonl", TWO)
    done = cli("init", "two.jsonl")
    assert done.status == 0, done.err
    assert "Which column is the answer?" in done.err
    assert "--target answers it, too" in done.err
    assert read_yaml("two.yaml")["task"]["target"] == "tone"


@pytest.mark.parametrize("flag", ["--no-input", "--json"])
def test_nobody_is_asked_on_request(cli, tmp_path: Path, terminal: io.StringIO, flag: str) -> None:
    write_rows(tmp_path / "two.jsonl", TWO)
    assert cli("init", "two.jsonl", flag).status == 3
    assert terminal.tell() == 0


def test_a_closed_terminal_ends_it(cli, tmp_path: Path, terminal: io.StringIO) -> None:
    write_rows(tmp_path / "two.jsonl", TWO)
    terminal.seek(0, io.SEEK_END)
    done = cli("init", "two.jsonl")
    assert done.status == 2
    assert "no answer came" in done.err
