"""``softprompt sweep`` and ``softprompt ensemble`` as people type them."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.cli.conftest import Done

Cli = Callable[..., Done]

SPACE = "sweep.space={length: [1, 2], rate: [0.05, 0.2]}"
FAST = "sweep.space={length: [1, 2], rate: [0.3, 1.0]}"


def test_two_processes_search_and_the_settings_found_are_a_run(cli: Cli, rows: Path) -> None:
    quick = ("--steps", "2", "--no-halving", "--confirm", "0", "--set", SPACE, "--set", "training.batch_size=4")
    quick += ("--set", "sweep.together=2", "--set", "data.split.validation=0.2", "--folds", "none")
    done = cli("sweep", "--train", rows, "--trials", "4", "--jobs", "2", *quick, "--json")
    assert done.status == 0, done.err
    found = done.json
    assert len(found["trials"]) >= 4
    assert found["count"].get("running") is None
    assert found["confirmed"] is None
    assert Path(found["settings"]).is_file()
    shown = cli("sweep", "--train", rows, "--trials", "4", *quick)
    assert "softprompt tune" in shown.out
    assert "best macro_f1 by length" in shown.out


def test_nothing_is_kept_of_a_sweep_that_did_not_begin(cli: Cli, rows: Path) -> None:
    words = ("sweep", "--train", rows, "--ray", "127.0.0.1:9", "--set", SPACE, "--folds", "none", "-o", "lost")
    done = cli(*words)
    assert done.status != 0
    assert "ray" in done.err
    assert "keeps" not in done.err  # there is a study, and no trial in it
    assert Path("lost/study.db").is_file()


KILLED = """
import os, signal, sys
from softprompt.app.cli import run
from softprompt.lab.training.trainer import Trainer

step, left = Trainer._step, [5]

def dying(self):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self)

Trainer._step = dying
run(sys.argv[1:])
"""


@pytest.mark.posix
def test_a_sweep_that_was_killed_goes_on_to_the_same_end(cli: Cli, rows: Path) -> None:
    words = ["sweep", "--train", str(rows), "--trials", "4", "--steps", "3", "--no-halving", "--confirm", "0", "--json"]
    words += ["--set", FAST, "--set", "training.batch_size=4", "--set", "sweep.together=2", "--folds", "none"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words, "-o", "killed"], capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not Path("killed/sweep.json").exists(), "half-way: two of four trials are over"
    whole, resumed = cli(*words, "-o", "whole").json, cli(*words, "-o", "killed").json
    for found in (whole, resumed):
        for one in found["trials"]:
            del one["worker"]
    assert resumed["trials"] == whole["trials"]
    assert resumed["best"]["number"] == whole["best"]["number"]
    assert resumed["by_length"] == whole["by_length"]


def test_mistakes_are_one_line(cli: Cli, rows: Path, prompts: dict[str, Path]) -> None:
    for words, says in (
        (("sweep", "--train", rows, "--set", "sweep.space={lenght: [1]}"), "did you mean 'length'"),
        (("sweep", "--train", rows, "--sampler", "gridd"), "sweep.sampler"),
        (("sweep",), "neither a settings file nor --train"),
        (("ensemble", prompts["good"], "--data", rows), "two prompts or more"),
        (("ensemble", prompts["good"], prompts["tone"], "--data", rows, "--by", "menn"), "did you mean 'mean'"),
    ):
        done = cli(*words)
        assert done.status == 2
        assert says in done.err
        assert len(done.err.strip().splitlines()) == 1


def test_an_ensemble_is_joined_shown_and_asked(cli: Cli, rows: Path, prompts: dict[str, Path]) -> None:
    done = cli("ensemble", prompts["good"], prompts["tone"], "--data", rows, "--by", "weights", "--out", "both.zip")
    assert done.status == 0, done.err
    assert "saved: both.zip" in done.out
    shown: Any = cli("show", "both.zip", "--json").json
    assert [one["name"] for one in shown["manifest"]["ensemble"]["members"]] == ["good", "tone"]
    assert "by weights: good" in cli("show", "both.zip").out
    (answer,) = cli("predict", "both.zip", "--text", "a fine day", "--json").lines
    assert set(answer["probabilities"]) == {"good", "bad"}
    again = cli("ensemble", prompts["good"], prompts["tone"], "--data", rows, "--out", "both.zip")
    assert again.status == 6
    assert "--overwrite" in again.err
