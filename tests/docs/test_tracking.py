"""The page on trackers: its command lines work and leave what they promise; its pipeline is valid and stops."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from tests.app.cli.conftest import cli, prompts, write_rows

__all__ = ["cli", "prompts"]  # fixtures

#: A tracker that is quick to open, and a run that is quick to train.
SHORT = "--set training.steps=2 --set training.rate=0.1 --set data.folds=none --set baselines=false --set max_tokens=32"


def lines_of(repository: Path) -> list[str]:
    page = (repository / "docs" / "tracking.md").read_text("utf-8")
    return re.findall(r"^\$ (softprompt .*)$", page, flags=re.MULTILINE)


def test_every_line_works(cli, repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for name in ("tickets", "new"):
        write_rows(tmp_path / f"{name}.jsonl")
    for line in lines_of(repository):
        line = line.replace(".csv", ".jsonl").replace("--track mlflow", "--track tensorboard")
        done = cli(*shlex.split(f"{line} {SHORT}" if " tune " in line else line)[1:])
        assert done.status == 0, (line, done.err)
        assert "told no more" not in done.err
    assert list((tmp_path / "runs" / "topic" / "tensorboard" / "train").glob("events.*"))
    assert list((tmp_path / "runs" / "evaluations").glob("*/tensorboard/events.*"))


def test_the_pipeline_is_yaml_and_its_command_is_ours(cli, prompts, repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    page = (repository / "docs" / "tracking.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    steps = yaml.safe_load(block)["jobs"]["judge"]["steps"]
    (line,) = [step["run"] for step in steps if "softprompt evaluate" in step.get("run", "")]
    shutil.copytree(prompts["good"], tmp_path / "prompts" / "topic")
    write_rows(tmp_path / "judged.jsonl")
    words = shlex.split(line.partition(" > ")[0].replace(".csv", ".jsonl").replace("mlflow", "tensorboard"))[1:]
    for limit, status in (("macro_f1=0", 0), ("macro_f1=1.0", 10)):
        assert cli(*[limit if word.startswith("macro_f1=") else word for word in words]).status == status


def test_a_missing_tracker_is_one_line_before_anything_is_read(cli, monkeypatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "softprompt.app.tracking.wandb", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = cli("tune", "--train", "nowhere.csv", "--track", "wandb")
    assert done.status == 9
    assert done.err.strip().endswith("pip install 'softprompt[track]'")
    assert len(done.err.strip().splitlines()) == 1
