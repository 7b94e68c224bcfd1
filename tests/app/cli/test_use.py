"""``evaluate`` and ``predict`` with saved prompts of the embedded model."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.app.cli.predict import read_lines
from softprompt.core.errors import DataError
from tests.app.cli.conftest import ROWS, interruptible, write_rows

SOFTPROMPT = [sys.executable, "-c", "from softprompt.app.cli import main; main()"]


# ---------------------------------------------------------------- evaluate


def test_evaluate_one_prompt(cli, prompts, rows: Path) -> None:
    done = cli("evaluate", prompts["good"], "--data", rows)
    assert done.status == 0
    assert f"good on {rows}: 40 rows" in done.out
    for words in ("accuracy", "macro_f1", "log_loss", "recall", "precision"):
        assert words in done.out


def test_evaluate_as_json_has_an_interval_for_every_metric_and_every_item(cli, prompts, rows: Path) -> None:
    done = cli("evaluate", prompts["good"], prompts["tone"], "--data", rows, "--json")
    assert done.status == 0
    assert [one["name"] for one in done.json] == ["good", "tone"]
    for one in done.json:
        assert len(one["items"]) == 40
        for score in (*one["metrics"].values(), *one["calibration"].values()):
            assert score["low"] <= score["estimate"] <= score["high"]


def test_evaluate_several_prompts_in_a_narrow_window(cli, prompts, rows: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = cli("evaluate", prompts["good"], prompts["tone"], "--data", "rows.jsonl")
    assert done.status == 0
    assert "2 prompts on rows.jsonl" in done.out
    assert max(map(len, done.out.splitlines())) <= 60
    again = cli("evaluate", prompts["good"], prompts["good"], "--data", "rows.jsonl")
    said = "".join(again.out.split())  # headings are folded, long paths too
    assert said.count(f"{prompts['good']}onrows.jsonl") == 2


def test_evaluate_with_other_columns_and_withheld_answers(cli, prompts, tmp_path: Path) -> None:
    write_rows(tmp_path / "other.jsonl", [{"body": row["text"], "tone": row["label"]} for row in ROWS])
    words = ["evaluate", prompts["good"], "--data", "other.jsonl", "--text-column", "body", "--target", "tone"]
    done = cli(*words, "--min-confidence", "1")
    assert done.status == 0
    assert "40 answers withheld" in done.out
    assert cli(*words, "--target", "tone").status == 2


def test_evaluate_takes_a_run_folder_for_its_prompt(cli, prompts, rows: Path, tmp_path: Path) -> None:
    shutil.copytree(prompts["good"], tmp_path / "runs" / "mine" / "prompt")
    done = cli("evaluate", "runs/mine", "--data", rows, "--json")
    assert done.json[0]["prompt"] == "runs/mine/prompt"


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--data", "no.csv"], 3, "data.missing_file"),
        (["--data", "unlabelled.jsonl"], 3, "data.missing_column"),
        (["--data", "strange.jsonl"], 3, "data.unknown_label"),
        (["--data", "rows.jsonl", "--text-column", "body"], 3, "data.missing_column"),
        (["--data", "rows.jsonl", "--column", "text"], 2, "config.usage"),
        (["--data", "rows.jsonl", "--model", "./nowhere"], 5, "model.not_found"),
        (["--data", "rows.jsonl", "--model", "empty"], 5, "model.unreadable"),
        (["--data", "rows.jsonl", "--model", "pickled"], 5, "model.no_safetensors"),
        (["--data", "rows.jsonl", "--dtype", "fp8"], 2, "config.invalid"),
        (["--data", "rows.jsonl", "--device", "cuda:99"], 5, "model.no_device"),
    ],
)
def test_evaluate_bad_input(cli, prompts, rows: Path, tmp_path: Path, words, status: int, code: str) -> None:
    write_rows(tmp_path / "unlabelled.jsonl", [{"text": "a"}])
    write_rows(tmp_path / "strange.jsonl", [{"text": "a", "label": "best"}])
    (tmp_path / "empty").mkdir()
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    done = cli("evaluate", prompts["good"], *words)
    assert (done.status, done.out) == (status, "")
    assert done.err.splitlines()[-1].startswith("error: ")
    assert f"[{code}]" in done.err


def test_prompt_for_another_model_is_refused_with_the_difference(cli, prompts, rows: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(prompts["good"], tmp_path / "other"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"]["fingerprint"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = cli("evaluate", folder, "--data", rows)
    assert done.status == 6
    assert "[prompt.other_model]" in done.err
    assert "000000000000… -> " in done.err
    both = cli("predict", prompts["good"], folder, "--text", "x")
    assert both.status == 6
    assert "one reading needs one model" in both.err


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "nowhere: there is no such file or folder [prompt.not_found]; check the path; softprompt runs"),
        ("rows.jsonl", "this is no saved prompt, which is a folder, or a zip file of it [prompt.bad_archive]"),
    ],
)
def test_where_nothing_was_answered_the_error_stands_alone(cli, rows: Path, path: str, said: str) -> None:
    done = cli("predict", path, "--text", "x")
    assert (done.status, done.out) == (6, "")
    assert len(done.err.splitlines()) == 1
    assert said in done.err


# ---------------------------------------------------------------- written answers


def test_flags_say_how_answers_are_written(cli, reply: Path, rows: Path) -> None:
    words = ["--text", "good 1", "--temperature", "0.9", "--top-k", "50"]
    first = cli("predict", reply, *words, "--seed", "3")
    assert first.lines == cli("predict", reply, *words, "--seed", "3").lines
    assert "reply: writes by draws (temperature 0.9, top_k 50, seed 3), 5 tokens at most" in first.err
    judged = cli("evaluate", reply, "--data", rows, "--beams", "2", "--max-new-tokens", "3", "--json")
    found = judged.json[0]["decoding"]
    assert (found["method"], found["num_beams"], found["max_new_tokens"]) == ("beam", 2, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--beams", "4", "--top-p", "0.5"], "beams do not draw: num_beams 4 beside top_p"),
        (["--temperature", "-1"], "temperature: has to be above 0 to draw"),
        (["--seed", "3"], "seed has no effect with method 'greedy', only with 'sample': give a temperature too"),
    ],
)
def test_ways_of_writing_that_cannot_be(cli, reply: Path, words: list[str], said: str) -> None:
    done = cli("predict", reply, "--text", "good 1", *words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert "model embedded" not in done.err  # said before it is loaded


def test_a_prompt_that_chooses_does_not_write(cli, prompts, rows: Path) -> None:
    for words in (["predict", prompts["good"], "--text", "x"], ["evaluate", prompts["good"], "--data", rows]):
        done = cli(*words, "--beams", "4")
        assert done.status == 2
        assert "num_beams: for answers that are written, and 'good' chooses its answers [config.invalid]" in done.err


# ---------------------------------------------------------------- predict


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_row_that_the_full_disk_did_not_take_is_not_counted(cli, prompts) -> None:
    done = cli("predict", prompts["good"], "--text", "x", "--text", "y", "--output", "/dev/full")
    assert done.status == 8
    assert "[resource.disk_full]" in done.err
    assert done.err.splitlines()[-1].startswith("0 rows answered")


def test_predict_texts_of_the_command_line(cli, prompts) -> None:
    done = cli("predict", prompts["good"], "--text", "good morning", "-t", "bad, bad")
    assert done.status == 0
    assert [row["id"] for row in done.lines] == ["1", "2"]
    for row in done.lines:
        assert row["answer"] in ("good", "bad")
        assert sum(row["probabilities"].values()) == pytest.approx(1)


def test_rows_without_text_are_answered_and_counted(cli, prompts, tmp_path: Path) -> None:
    write_rows(tmp_path / "gaps.jsonl", [{"text": "good"}, {"text": None}, {"body": "bad"}])
    done = cli("predict", prompts["good"], "--input", "gaps.jsonl")
    assert (done.status, len(done.lines)) == (0, 3)
    assert "2 of 3 rows had no text in text; the answers go by nothing" in done.err
    assert "no text" not in cli("predict", prompts["good"], "--text", "good").err


def test_predict_a_file_with_several_prompts_into_a_file(cli, prompts, rows: Path, tmp_path: Path) -> None:
    words = ["predict", prompts["good"], prompts["tone"], "--input", rows, "--output", "out.jsonl"]
    done = cli(*words, "--min-confidence", "1")
    assert (done.status, done.out) == (0, "")
    assert "40 rows answered in out.jsonl" in done.err
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(found) == 40
    assert found[0]["answers"]["good"]["answer"] is None
    assert found[0]["answers"]["tone"]["abstained"] is True


def test_predict_lines_from_stdin(cli, prompts, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "good"}\n\n{"text": "bad"}\n'))
    objects = cli("predict", prompts["good"], "--input", "-")
    assert len(objects.lines) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("good\nbad\n"))
    texts = cli("predict", prompts["good"], "--input", "-")
    assert [row["answer"] for row in texts.lines] == [row["answer"] for row in objects.lines]


def test_lines_from_stdin_are_utf8_whatever_the_console_speaks(cli, prompts, monkeypatch) -> None:
    def piped(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="cp1252"))

    piped('\ufeff{"text": "größer 返"}\r\n'.encode())
    (answered,) = cli("predict", prompts["good"], "--input", "-", "--explain", "--json").lines
    assert [word["word"] for word in answered["explanation"]["words"]] == ["größer", "返"]
    piped(b"good\ngr\xf6\xdfer\n")
    done = cli("predict", prompts["good"], "--input", "-")
    assert done.status == 3
    assert "error: stdin:2: the line is not UTF-8: byte 0xf6 at place 3 [data.bad_encoding]; pipe UTF-8" in done.err


NO_TEXT = '{"text": "\\ud800"}\n'


def test_predict_leaves_bad_rows_out_when_asked(cli, prompts, tmp_path: Path, monkeypatch) -> None:
    rows = '{"text": "good"}\n{"text": "bad"}\n'
    (tmp_path / "bad.jsonl").write_text(NO_TEXT + "{broken\n" + rows)
    stopped = cli("predict", prompts["good"], "--input", "bad.jsonl")
    assert stopped.status == 3
    assert "--on-bad-row skip" in stopped.err
    done = cli("predict", prompts["good"], "--input", "bad.jsonl", "--on-bad-row", "skip")
    assert (done.status, len(done.lines)) == (0, 2), done.err
    assert "left out: bad.jsonl:1: " in done.err
    assert "left out: bad.jsonl:2: " in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO(NO_TEXT + rows + NO_TEXT))
    piped = cli("predict", prompts["good"], "--input", "-", "--on-bad-row", "skip")
    assert [row["probabilities"] for row in piped.lines] == [row["probabilities"] for row in done.lines]
    assert piped.err.count("left out: ") == 2


def test_evaluate_leaves_bad_rows_out_when_asked(cli, prompts, tmp_path: Path) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in [*ROWS[:4], {"text": "x"}, {"text": "y", "label": "ugly"}])
    (tmp_path / "bad.jsonl").write_text(rows)
    assert "--on-bad-row skip" in cli("evaluate", prompts["good"], "--data", "bad.jsonl").err
    done = cli("evaluate", prompts["good"], "--data", "bad.jsonl", "--on-bad-row", "skip", "--json")
    assert len(done.json[0]["items"]) == 4
    assert "2 rows were left out: bad.jsonl:5: " in done.err
    refused = cli("evaluate", prompts["good"], "--data", "bad.jsonl", "--on-bad-row", "ignore")
    assert (refused.status, "neither error nor skip [config.usage]" in refused.err) == (2, True)


def test_lines_are_told_apart_by_the_first() -> None:
    assert list(read_lines(['{"a": 1}', ' {"a": 2} '])) == [{"a": 1}, {"a": 2}]
    assert list(read_lines(["[1, 2]", "{curly"])) == ["[1, 2]", "{curly"]
    with pytest.raises(DataError, match="stdin:2") as caught:
        list(read_lines(['{"a": 1}', "plain"]))
    assert caught.value.code == "data.bad_json"
    with pytest.raises(DataError, match="an object like the lines before"):
        list(read_lines(['{"a": 1}', "[1]"]))
    with pytest.raises(DataError, match="nothing came from stdin"):
        list(read_lines(["\n", " "]))


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "config.usage"),
        (["--text", "a", "--input", "rows.jsonl"], 2, "config.usage"),
        (["--input", "no.jsonl"], 3, "data.missing_file"),
        (["--input", "fields.jsonl"], 3, "data.unknown_field"),
        (["--text", "a", "--output", "no/such/folder.jsonl"], 8, "resource.write_failed"),
        (["--text", "a", "--json", "--model", "./nowhere"], 5, "model.not_found"),
    ],
)
def test_predict_bad_input(cli, prompts, rows: Path, tmp_path: Path, words, status: int, code: str) -> None:
    write_rows(tmp_path / "fields.jsonl", [{"body": "a"}])
    done = cli("predict", prompts["good"], *words)
    assert (done.status, done.out) == (status, "")
    assert f"[{code}]" in done.err


def test_predict_without_a_prompt(cli) -> None:
    done = cli("predict", "nowhere", "--text", "a")
    assert done.status == 6
    assert "[prompt.not_found]" in done.err


# ---------------------------------------------------------------- as a process


@pytest.mark.posix
def test_pipe_that_closes_early_is_quiet(prompts, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "many.jsonl", ROWS * 20)
    words = [*SOFTPROMPT, "predict", str(prompts["good"]), "--input", str(rows)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 141
    assert json.loads(first)["answer"] in ("good", "bad")
    assert "Traceback" not in said
    assert "rror" not in said


@pytest.mark.posix
def test_ctrl_c_keeps_what_is_answered(prompts, tmp_path: Path) -> None:
    words = [*SOFTPROMPT, "predict", str(prompts["good"]), "--input", "-"]
    pipe = subprocess.PIPE
    with interruptible(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for row in ROWS:
            process.stdin.write(json.dumps(row) + "\n")
        process.stdin.flush()
        while "parameters" not in (line := process.stderr.readline()):
            assert line, "the model was never loaded"
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("stopped")
    assert "Traceback" not in said
