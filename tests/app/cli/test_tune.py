"""``tune`` from flags and from a file, down to the prompt that answers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from softprompt.app.cli.face import Face
from softprompt.app.cli.tables import class_table, comparison_table, metric_table, plan_lines, run_table
from softprompt.app.cli.tune import render
from tests.app.cli.conftest import interruptible, write_rows

QUICK = ["--set", "training.steps=3", "--set", "training.rate=0.03", "--set", "training.evaluations=1"]
QUICK += ["--text-column", "text", "--template", "{text}<soft 2> It was {answer}"]

SETTINGS = """
name: tone
data: {train: rows.jsonl, test: test.jsonl}
template: "{text}<soft 2> It was {answer}"
training: {steps: 3, rate: 3e-2, seeds: [0, 1], evaluations: 1}
"""


@pytest.fixture
def settings(tmp_path: Path, rows: Path) -> Path:
    """A run with two seeds and baselines."""
    words = ("good", "bad")
    write_rows(
        tmp_path / "test.jsonl", [{"text": f"{words[n % 2]} news {n}", "label": words[n % 2]} for n in range(20)]
    )
    path = tmp_path / "run.yaml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


def test_from_rows_to_answers(cli, rows: Path) -> None:
    done = cli("tune", "--train", rows, "--seed", "0", "--set", "baselines=false", *QUICK, "--json")
    assert done.status == 0, done.err
    assert done.json["folder"] == "runs/rows"
    assert done.json["comparison"] is None
    assert done.json["evaluation"]["metrics"]["accuracy"]["low"] is not None
    (run,) = cli("runs", "--json").json
    assert run["state"] == "finished"
    assert cli("predict", "runs/rows", "--text", "good").lines[0]["answer"] in ("good", "bad")
    assert cli("show", "runs/rows").status == 0
    again = cli("tune", "--train", rows, "--seed", "0", "--set", "baselines=false", *QUICK)
    assert again.status == 2
    assert "[config.run_exists]" in again.err
    assert "--fresh" in again.err
    assert "keeps what is done" not in again.err


def test_report_for_people(cli, settings: Path) -> None:
    done = cli("tune", settings)
    assert done.status == 0, done.err
    for words in (
        "tone: macro_f1",
        "on 20 test rows",
        "majority",
        "TF-IDF",
        "zero-shot",
        "by class",
        "cross-validation: macro_f1",
        "by fold: macro_f1 from",
        "kept:  seed 0, trained on all 40 rows",
    ):
        assert words in done.out
    assert done.out.splitlines()[-1] == 'next:  softprompt predict runs/tone/prompt --text "..."'
    assert "[bug]" not in done.err


def test_run_that_diverges_is_an_error(cli, rows: Path) -> None:
    words = ["--seed", "0", "--set", "baselines=false", "--set", "training.steps=6", "--set", "training.clip=null"]
    done = cli("tune", "--train", rows, *QUICK[4:], *words, "--set", "training.rate=1e30")
    assert (done.status, done.out) == (7, "")
    assert done.err.splitlines()[-1].startswith(
        "error: rows, fold 1: no seed stayed finite at rate 1e+30 [training.diverged]"
    )


def test_report_says_what_was_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = {"name": "a", "metrics": {"accuracy": interval(0.5)}, "items": [{}] * 8, "classes": [], "lost": ""}
    report = {"evaluation": evaluation, "split": "test", "comparison": None, "seeds": {"0": {}}, "notes": ["look"]}
    report |= {"held_out": evaluation, "stopped": ["diverged", "time"], "interrupted": True, "prompt": "run/prompt"}
    suspect = {"id": "7", "source": "a:7", "given": "b", "suggested": "c", "p_given": 0.125, "p_suggested": 0.75}
    report |= {"folds": [0.25, 0.5], "suspects": [suspect] * 6, "folder": "run", "saved": "seed 0, of all rows"}
    with Face() as face:
        render(face.out, report | {"seconds": {"total": 75}}, size_bytes=25_600)
    out = capsys.readouterr().out
    assert "a: accuracy 0.500 [0.400, 0.600] on 8 test rows" in out
    assert "cross-validation: accuracy 0.500" in out
    assert "by fold: accuracy from 0.250 to 0.500" in out
    assert out.count("a:7   b       0.12   c        0.75") == 5
    assert "6 rows in all: run/suspects.csv" in out
    assert "kept:  seed 0, of all rows" in out
    assert "1 of 2 prompts came to numbers that are not finite" in out
    assert "cut short before the last step" in out
    assert "saved: run/prompt, 25.6 kB, after 1 min 15 s" in out


def test_dry_run_writes_nothing_and_says_time_memory_and_disk(cli, settings: Path, tmp_path: Path) -> None:
    done = cli("tune", settings, "--dry-run")
    assert done.status == 0
    lines = {line.split()[0] for line in done.out.splitlines() if line}
    assert {"rows", "template", "answers", "tokens", "train", "time", "memory", "disk"} <= lines
    assert "runs/tone" in done.out
    assert not (tmp_path / "runs").exists()
    document = cli("tune", settings, "--dry-run", "--json", "--effort", "thorough").json
    assert document["settings"]["training"]["effort"] == "thorough"
    assert document["seconds"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "config.usage"),
        (["no.yaml"], 2, "config.unreadable"),
        (["run.yaml", "--set", "training.stps=3"], 2, "config.unknown_key"),
        (["run.yaml", "--effort", "heroic"], 2, "config.invalid"),
        (["run.yaml", "--max-time", "soon"], 2, "config.usage"),
        (["run.yaml", "--task", "clasify"], 2, "config.invalid"),
        (["run.yaml", "--labels", "good"], 2, "config.invalid"),
        (["run.yaml", "--labels", "good,worse"], 3, "data.unknown_label"),
        (["run.yaml", "--train", "missing.csv"], 3, "data.missing_file"),
        (["run.yaml", "--target", "tone"], 3, "data.missing_column"),
        (["run.yaml", "--template", "{body} {answer}"], 3, "data.unknown_field"),
        (["run.yaml", "--template", "{text} {label}<soft 2> {answer}"], 3, "data.leaked_answer"),
        (["run.yaml", "--template", "{text}<soft 2>"], 4, "template.no_answer"),
        (["run.yaml", "--template", "{text}<soft 9000> {answer}"], 4, "template.too_long"),
        (["run.yaml", "--model", "./nowhere"], 5, "model.not_found"),
        (["run.yaml", "--device", "cuda:99"], 5, "model.no_device"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(cli, settings: Path, words, status: int, code: str) -> None:
    done = cli("tune", *words, "--dry-run")
    assert (done.status, done.out) == (status, ""), done.err
    assert f"[{code}]" in done.err


def test_error_as_json_names_the_file(cli, settings: Path) -> None:
    settings.write_text("data: {train: rows.jsonl}\ntraning: {steps: 1}\n", encoding="utf-8")
    done = cli("tune", settings, "--json")
    assert done.status == 2
    assert done.json["error"]["code"] == "config.unknown_key"
    assert done.json["error"]["where"] == [str(settings)]
    assert "did you mean 'training'" in done.json["error"]["message"]


@pytest.mark.posix
def test_ctrl_c_keeps_the_best_prompt(rows: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "from softprompt.app.cli import main; main()", "tune", "--train", str(rows), *QUICK]
    words += ["--set", "training.steps=100000", "--set", "training.evaluations=10000", "--set", "baselines=false"]
    words += ["--seed", "0", "--output", "run", "--json"]
    pipe = subprocess.PIPE
    with interruptible(words, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        log = tmp_path / "run" / "log.jsonl"
        while not (log.is_file() and '"evaluate"' in log.read_text()):
            assert process.poll() is None, process.stderr.read()
        os.kill(process.pid, signal.SIGINT)
        out, said = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["interrupted"] is True
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "stopped; the best prompt so far is kept in run/prompt"
    assert (tmp_path / "run" / "prompt" / "manifest.json").is_file()


# ---------------------------------------------------------------- tables


def interval(estimate: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}


def standing(name: str) -> dict[str, object]:
    evaluation = {"metrics": {"accuracy": interval(0.5)}}
    return {"name": name, "fit_seconds": 75, "predict_seconds": 0.2, "num_bytes": 25_600, "evaluation": evaluation}


def heads(table: Table) -> list[object]:
    return [column.header for column in table.columns]


def width_of(table: Table, width: int) -> int:
    console = Console(width=width, color_system=None)
    with console.capture() as caught:
        console.print(table)
    return max(len(line.rstrip()) for line in caught.get().splitlines())


@pytest.mark.parametrize("width", [60, 80, 160])
def test_tables_fit_the_window(width: int) -> None:
    names = ["TF-IDF + logistic regression", "soft prompt"]
    comparison = {"metric": "accuracy", "reference": names[1], "standings": list(map(standing, names))}
    run = {"folder": "runs/tickets-topic", "state": "unfinished", "score": interval(0.5), "metric": "accuracy"}
    run |= {"split": "test", "seconds": 7200, "changed": "2024-05-01T00:00:00+00:00"}
    nothing = {"estimate": None, "low": 0, "high": 1}
    one = {"label": "a", "n": 4, "recall": interval(0.5), "precision": nothing, "f1": 0}
    evaluations = [{"name": "a", "metrics": dict.fromkeys("abcdef", interval(0.5)), "calibration": {}}] * 2
    for table in (
        comparison_table(comparison, width=width),
        run_table([run], width=width),
        class_table([one], width=width),
        metric_table(evaluations, width=width),
    ):
        assert width_of(table, width) <= width
        assert width_of(table, 1000) <= width + 20, "folded to fit, instead of leaving something out"


def test_comparison_leaves_out_times_where_there_is_no_room() -> None:
    comparison = {"metric": "accuracy", "reference": "a", "standings": [standing("a")]}
    tables = {width: comparison_table(comparison, width=width) for width in (60, 80, 100)}
    assert {width: heads(table) for width, table in tables.items()} == {
        60: ["", "accuracy", "", "size"],
        80: ["", "accuracy", "", "learning", "size"],
        100: ["", "accuracy", "", "learning", "answering", "size"],
    }


def test_metrics_of_several_prompts_are_lines() -> None:
    one = {"name": "a", "metrics": {"accuracy": interval(0.5)}, "calibration": {"brier": interval(0.2)}}
    other = {"name": "b", "metrics": {"rouge_l": interval(0.3)}, "calibration": {}}
    assert [column.header for column in metric_table([one, other]).columns] == [
        "prompt",
        "accuracy",
        "brier",
        "rouge_l",
    ]
    assert metric_table([one]).row_count == 2


def test_plan_names_stages_that_happen() -> None:
    data = {"splits": {"train": {"rows": 240}}, "warnings": ["look out"]}
    plan = {
        "data": data,
        "template": "t",
        "answers": "words",
        "frozen_tokens": 0,
        "live_tokens": 0,
        "steps": {"probe": 0, "train": 1},
        "prompts": {"probe": 0, "train": 3},
        "seconds": {"read": 0.0, "train": 90.0},
        "state_bytes": 0,
        "available_bytes": 8e9,
        "disk_bytes": 1e6,
        "settings": {"output": None, "name": "a"},
    }
    lines = plan_lines(plan)
    assert "train      1 step, 3 prompts side by side" in lines
    assert not any(line.startswith("probe") for line in lines)
    assert "time       about 1 min 30 s (train 1 min 30 s)" in lines
    assert lines[-1] == "  look out"


def test_folds_are_a_flag(cli, rows: Path) -> None:
    done = cli("tune", "--train", rows, "--seed", "0", "--folds", "2", "--set", "baselines=false", *QUICK)
    assert done.status == 0, done.err
    assert "on 40 training rows, each unseen by its prompt (2 folds)" in done.out
    assert "cross-validation:" not in done.out
    bad = cli("tune", "--train", rows, "--folds", "1", "--dry-run")
    assert (bad.status, bad.out) == (2, "")
    assert "data.folds" in bad.err
    assert "[config.invalid]" in bad.err
    plan = cli("tune", "--train", rows, "--folds", "3", *QUICK, "--dry-run").out
    assert "train      3 steps, 4 prompts side by side" in plan


def test_looks_at_test_rows_are_counted(cli, settings: Path, tmp_path: Path) -> None:
    words = ["--set", "baselines=false", "--seed", "0", "--folds", "none"]
    assert cli("tune", settings, *words, "--json").json["test_looks"] == 1
    first = cli("evaluate", "runs/tone", "--data", "test.jsonl")
    assert "tone: test rows seen 2 times:" in " ".join(first.err.split())
    again = cli("tune", settings, *words, "--output", "runs/second")
    assert "test rows seen 3 times:" in " ".join(again.out.split())
    other = cli("evaluate", "runs/tone", "--data", "rows.jsonl")
    assert "test rows seen" not in other.err


def test_several_tasks_in_one_run(cli, tmp_path: Path) -> None:
    made = [
        {"text": f"{word} {n}", "tone": word, "odd": "yes" if n % 2 else "no"}
        for n in range(15)
        for word in ("good", "bad")
    ]
    given = ["tune", "--train", write_rows(tmp_path / "two.jsonl", made), "--targets", "tone,odd", *QUICK]
    given += ["--name", "both", "--method", "multitask", "--seed", "0", "--set", "baselines=false"]
    forecast = cli(*given, "--dry-run")
    assert forecast.status == 0, forecast.err
    assert "2 tasks together (they share parameters)" in forecast.out
    assert not Path("runs").exists()
    done = cli(*given, "--json")
    assert done.status == 0, done.err
    assert list(done.json["targets"]) == ["tone", "odd"]
    assert cli("predict", "runs/both/odd", "--text", "good 3").lines[0]["answer"] in ("yes", "no")
    (run,) = cli("runs", "--json").json
    assert (run["state"], run["score"]) == ("finished", None)
    assert len(cli("runs", "runs/both", "--json").json) == 2
    again = cli(*given)
    assert again.status == 2
    assert "[config.run_exists]" in again.err
    shown = cli(*given, "--fresh")
    assert "softprompt predict runs/both/tone/prompt runs/both/odd/prompt" in shown.out
    refused = cli("compare", "--train", tmp_path / "two.jsonl", "--set", "task.targets=[tone, odd]")
    assert refused.status == 2
    assert "name one: --target tone" in refused.err
