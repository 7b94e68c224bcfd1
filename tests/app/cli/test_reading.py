"""How files are read, from the command line: what is found out is told, what cannot be is said with the flag."""

import io
import json
import sys
from pathlib import Path

import pytest

import softprompt as sp
from softprompt.core.errors import ConfigError

TEXTS = [f"{text} {n}" for n in range(10) for text in ("Schöne Grüße", "good; bad")]
LABELS = ["good", "bad"] * 10
COLUMN = "Customer message"


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    path = tmp_path / "nasty.csv"
    lines = [f"{COLUMN};meta.kind", *(f'"{text}";{label}' for text, label in zip(TEXTS, LABELS, strict=True))]
    path.write_bytes("\n".join(lines).encode("cp1252"))
    return path


def test_what_is_found_out_is_told_and_can_be_said(cli, nasty: Path) -> None:
    flags = ("--train", nasty, "--target", "meta.kind", "--text-column", COLUMN)
    found = cli("data", "check", *flags, "--json").json["files"]["train"]
    assert found["rows"] == len(TEXTS)
    assert [note.split()[0] for note in found["notes"]] == ["not", "cells"]
    said = cli("data", "check", *flags, "--read", "encoding=cp1252", "--read", "separator=;", "--json")
    assert said.json["files"]["train"]["notes"] == []
    page = cli("data", "page", *flags, "--json").json
    assert page["notes"][:2] == [f"train: {note}" for note in found["notes"]]


def test_columns_with_blanks_and_dots_in_a_template(cli, nasty: Path) -> None:
    done = cli(
        "data", "check", "--train", nasty, "--target", "meta.kind", "--template", "{Customer message}<soft 3>{answer}"
    )
    assert done.status == 0
    assert "fields Customer message" in done.out


@pytest.mark.parametrize(
    ("flag", "status", "words"),
    [
        ("encoding", 2, "--read 'encoding' is no setting"),
        ("encoding=utf-99", 2, "no encoding of text is called that"),
        ("encodng=utf-8", 2, "did you mean 'encoding'?"),
        ("encoding=utf-8", 3, "is not UTF-8"),
        ("format=jsonl", 3, "no valid JSON"),
        ("format=cvs", 2, "did you mean 'csv'?"),
    ],
)
def test_flags_that_do_not_fit(cli, nasty: Path, flag: str, status: int, words: str) -> None:
    done = cli("data", "check", "--train", nasty, "--target", "meta.kind", "--read", flag)
    assert done.status == status
    assert words in done.err


def test_predict_and_evaluate_read_the_same_files(cli, prompts: dict[str, Path], tmp_path: Path, nasty: Path) -> None:
    done = cli("predict", prompts["good"], "--input", nasty, "--text-column", COLUMN)
    assert len(done.lines) == len(TEXTS)
    assert "read as Windows-1252" in done.err
    wrong = cli("predict", prompts["good"], "--input", nasty, "--text-column", "Message", "--read", "separator=;")
    assert wrong.status == 3
    assert "column 'Message' for 'text' is not in the data" in wrong.err
    chats = tmp_path / "chats.json"
    rows = [{"instruction": text, "output": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    chats.write_text(json.dumps({"result": {"rows": rows}}))
    flags = ("--data", chats, "--text-column", "prompt", "--target", "answer", "--json")
    judged = cli("evaluate", prompts["good"], *flags)
    assert [item["reference"] for item in judged.json[0]["items"]] == LABELS
    assert "read as an Alpaca export" in judged.err


def test_a_table_from_standard_input(
    cli, prompts: dict[str, Path], nasty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(nasty.read_bytes())))
    done = cli("predict", prompts["good"], "-i", "-", "--read", "format=csv", "--text-column", COLUMN)
    assert len(done.lines) == len(TEXTS)


def test_the_same_from_python(prompts: dict[str, Path], nasty: Path) -> None:
    settings = {"encoding": "cp1252", "separator": ";"}
    answered = list(sp.predict(prompts["good"], nasty, columns={"text": COLUMN}, read=settings))
    assert len(answered) == len(TEXTS)
    with pytest.raises(ConfigError, match=r"did you mean 'encoding'\?"):
        sp.predict(prompts["good"], nasty, read={"encodng": "cp1252"})
