"""One run told to all three trackers, read back from their own stores."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes.tune import tune
from softprompt.app.tracking import TRACKERS, Numbers, Result, Start, open_trackers
from softprompt.core.errors import ConfigError, ExtraError
from softprompt.testing import tiny

pytest.importorskip("mlflow")
pytest.importorskip("tensorboard")
pytest.importorskip("wandb")

STEPS = 6
QUICK = {"steps": STEPS, "rate": 0.1, "seeds": [0, 1], "evaluations": 2, "batch_size": 8, "checkpoint_every": 1e-9}


class Killed(BaseException):
    """As a signal that nothing hears."""


class Killer(sp.Watcher):
    def advance(self, done: int, **facts: object) -> None:
        if done == 4:
            raise Killed


def rows(number: int, *, start: int = 0) -> list[dict[str, str]]:
    return [
        {"text": f"{'good' if i % 2 else 'bad'} {i}", "label": "yes" if i % 2 else "no"}
        for i in range(start, start + number)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, with stores of its own."""
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("WANDB_MODE", "offline")
        yield folder


@pytest.fixture(scope="module")
def report(place: Path) -> sp.TuneReport:
    """A run that was killed at its fourth step and gone on with, told to all."""
    settings = {"data": {"train": "rows"}, "training": QUICK, "track": list(TRACKERS), "output": place / "run"}
    sources = {"train": rows(40), "validation": rows(10, start=200), "test": rows(20, start=100)}
    model = tiny("llama")
    with pytest.raises(Killed):
        tune(sp.RunConfig.parse(settings), Killer(), sources=sources, backbone=model)
    return tune(sp.RunConfig.parse(settings), sources=sources, backbone=model)


@pytest.fixture(scope="module")
def kept(report: sp.TuneReport) -> dict[str, str]:
    """What the trackers call the run."""
    found = json.loads((report.folder / "tracking.json").read_text())
    assert set(found) == set(TRACKERS)
    return dict(found)


def test_mlflow_keeps_params_curves_scores_and_files(report: sp.TuneReport, kept: dict[str, str]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("softprompt").experiment_id])
    assert [run.info.run_id for run in runs] == [kept["mlflow"]], "killed and resumed is one run"
    run = runs[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["training.steps"] == str(STEPS)
    assert run.data.params["template.text"] == str(report.prompt.manifest.template["text"])
    assert run.data.tags["softprompt.fingerprint"] == report.prompt.manifest.model.fingerprint
    assert run.data.tags["softprompt.data_hash"] == report.prompt.manifest.data_hash
    assert run.data.tags["softprompt.state"] == "finished"
    assert run.data.metrics["test/macro_f1"] == pytest.approx(report.headline.estimate)
    assert run.data.metrics["test/macro_f1/low"] == pytest.approx(report.headline.low)
    history = client.get_metric_history(kept["mlflow"], "train/loss/seed-0")
    assert sorted(point.step for point in history) == list(range(1, STEPS + 1)), "each step once"
    assert client.get_metric_history(kept["mlflow"], "train/validation-score/seed-1")
    files = {item.path for item in client.list_artifacts(kept["mlflow"])}
    assert files == {"prompt", "report.html", "curves.svg", "config.yaml", "environment.json"}
    local = client.download_artifacts(kept["mlflow"], "prompt")
    assert sp.load(local).content_hash == report.prompt.content_hash


def test_tensorboard_draws_each_step_once(report: sp.TuneReport, kept: dict[str, str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(report.folder / kept["tensorboard"] / "train")).Reload()
    points = found.Scalars("loss/seed-0")
    assert [point.step for point in points] == list(range(1, STEPS + 1))
    logged = [json.loads(line) for line in (report.folder / "log.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["losses"]["0"] for line in logged if line["event"] == "step"}
    assert [point.value for point in points] == pytest.approx([losses[step] for step in range(1, STEPS + 1)])
    whole = EventAccumulator(str(report.folder / kept["tensorboard"])).Reload()
    assert whole.Scalars("test/macro_f1")[-1].value == pytest.approx(report.headline.estimate)
    (page,) = (whole.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in ("settings",))
    assert f"| training.steps | {STEPS} |" in page
    assert report.prompt.manifest.model.fingerprint in page
    assert str(report.folder / "prompt") in whole.Tensors("kept")[-1].tensor_proto.string_val[0].decode()


def test_wandb_keeps_one_run_offline(report: sp.TuneReport, kept: dict[str, str]) -> None:
    folders = sorted((report.folder / "wandb").glob(f"offline-run-*-{kept['wandb']}"))
    assert folders, "no offline run of the id that was kept"
    assert len(list((report.folder / "wandb").glob("offline-run-*"))) == len(folders), "runs of another id"
    stored = b"".join(path.read_bytes() for folder in folders for path in folder.glob("*.wandb"))
    for word in ("train/loss/seed-0", "train/step", "test/macro_f1", report.prompt.manifest.model.fingerprint):
        assert word.encode() in stored, word
    assert b"manifest.json" in stored


def test_an_evaluation_is_a_run_of_its_own(report: sp.TuneReport, place: Path) -> None:
    from mlflow import MlflowClient

    (found,) = sp.evaluate(report.prompt, rows(20, start=100), model=tiny("llama"), track="mlflow")
    client = MlflowClient()
    (run,) = client.search_runs(
        [client.get_experiment_by_name("softprompt").experiment_id], "tags.`softprompt.kind` = 'evaluate'"
    )
    assert run.data.metrics["evaluation/macro_f1"] == pytest.approx(found.headline.estimate)
    assert run.data.tags["softprompt.prompt_hash"] == report.prompt.content_hash


def test_nothing_of_softprompt_makes_mlflow_or_wandb_report_home(kept: dict[str, str]) -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"


def test_an_mlflow_server_that_is_gone_is_given_up_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "0" if "RETRIES" in name else "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = open_trackers(["mlflow"])["mlflow"]
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):  # whatever its client raises
        tracker.begin(Start("x", "tune", tmp_path, {}, {}), None)


def test_a_full_disk_is_heard_of_at_once(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    tracker: Any = open_trackers(["tensorboard"])["tensorboard"]
    tracker.begin(Start("x", "tune", tmp_path, {}, {}), None)
    tracker._writer("train").path = full
    with pytest.raises(OSError, match="No space"):
        tracker.numbers([Numbers("train", 1, {"loss/seed-0": 1.0}, 0.0)])


def test_an_unknown_tracker_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        open_trackers(["wandbb"])
    with pytest.raises(ConfigError) as caught:
        sp.RunConfig.parse({"data": {"train": "x"}, "track": "neptune"})
    assert caught.value.code == "config.invalid"


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "softprompt.app.tracking.wandb", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ExtraError) as caught:
        open_trackers(["wandb"])
    assert str(caught.value) == "track: wandb needs wandb [extra.missing]; pip install 'softprompt[track]'"


def test_one_name_is_a_list_of_one() -> None:
    assert sp.RunConfig.parse({"data": {"train": "x"}, "track": "mlflow"}).track == ("mlflow",)
    assert Result("failed").files == ()
