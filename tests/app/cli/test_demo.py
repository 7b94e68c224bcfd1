"""``demo`` on a few rows: what it prints, what it leaves, what it says as JSON, and how it talks."""

import json
from pathlib import Path

import pytest

from softprompt.app import demo as demonstration
from softprompt.app.cli.demo import converse, render_reply
from softprompt.app.cli.face import Face
from softprompt.app.demo.result import Reply
from softprompt.model.prediction import Prediction

PREDICTION = Prediction("1", "good", {"good": 0.9, "bad": 0.1}, 0.9)


def test_demo_of_own_rows(cli, rows: Path, tmp_path: Path) -> None:
    done = cli("demo", "--data", rows, "--target", "label", "--max-time", "2s", "--text", "good, good", "-o", "shown")
    assert done.status == 0, done.err
    for words in ("label: bad, good", "majority", "soft prompt after the text", "what the tables say", "one reading"):
        assert words in done.out
    assert '"good, good"' in done.out
    assert "softprompt predict shown/label" in done.out
    assert done.out.splitlines()[-1].startswith("page: shown/result.html, after ")
    assert json.loads((tmp_path / "shown" / "result.json").read_text())["questions"][0]["target"] == "label"
    assert cli("predict", "shown/label", "--text", "good").status == 0


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--data", "no.csv"], 3, "data.missing_file"),
        (["--data", "rows.jsonl", "--target", "tone"], 3, "data.missing_column"),
        (["--max-time", "soon"], 2, "config.usage"),
        (["--output", "rows.jsonl"], 2, "config.invalid"),
        (["--model", "./nowhere"], 5, "model.not_found"),
    ],
)
def test_demo_bad_input(cli, rows: Path, words, status: int, code: str) -> None:
    done = cli("demo", *words, "--json")
    assert done.status == status
    assert done.json["error"]["code"] == code


def test_demo_passes_what_it_is_told(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def stop(settings, watcher):
        told.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(demonstration, "run_demo", stop)
    words = ["--seed", "3", "--max-time", "2m", "--targets", "a", "--targets", "b", "--text-column", "body"]
    assert cli("demo", *words, "--model", "folder").status == 130
    (settings,) = told
    assert (settings.seed, settings.max_time, settings.targets, settings.text_column) == (3, 120.0, ("a", "b"), "body")
    assert settings.model.name == "folder"


def test_sentences_are_answered_until_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stand:
        @classmethod
        def load(cls, prompts):
            assert prompts == [Path("a")]
            return lambda text: Reply(text, {"tone": PREDICTION}, 12.0)

    said = iter(["so good", " "])
    monkeypatch.setattr(demonstration, "Answerer", Stand)
    with Face() as face:
        monkeypatch.setattr(face.out, "input", lambda prompt: next(said))
        converse(face, [Path("a")])
    out = capsys.readouterr().out
    assert '"so good"' in out
    assert "tone         good          90 %" in out
    assert "in 12 ms" in out


def test_reply_says_whether_it_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    with Face() as face:
        for expected in ("good", "bad"):
            render_reply(face.out, Reply("so", {"tone": PREDICTION}, 1.0, {"tone": expected}).to_dict())
    out = capsys.readouterr().out
    assert "(right)" in out
    assert "(it is bad)" in out
