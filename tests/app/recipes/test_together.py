"""Several tasks in one run: from rows with several columns of answers to prompts that answer by themselves."""

import json
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.several import prepare_several
from softprompt.app.recipes.together import TogetherReport, plan_together, tune_together
from softprompt.app.recipes.tune import tune
from softprompt.app.watch import Point, Watcher
from softprompt.core.errors import ConfigError, DataError
from tests.app.recipes.test_run import QUICK

pytestmark = pytest.mark.usefixtures("few_resamples")

TARGETS = ["tone", "urgent"]
ONE = {**QUICK, "seeds": (0,), "steps": 3}
TEMPLATE = "{text}<soft 3> It was {answer}"


def rows(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Texts with two answers, of which every fifth lacks the second."""
    return [
        {
            "id": str(i),
            "text": f"{'good' if i % 2 else 'bad'} {'now' if i % 3 else 'later'} {i}",
            "tone": "yes" if i % 2 else "no",
            "urgent": None if i % 5 == 4 else "high" if i % 3 else "low",
        }
        for i in range(start, start + count)
    ]


def run(model: sp.Backbone, folder: Path, **changes: Any) -> TogetherReport:
    given = {"train": rows(30), "test": rows(10, start=100), "method": "multitask", "baselines": False, **changes}
    return sp.tune_together(TARGETS, model=model, output=folder, template=TEMPLATE, training=ONE, **given)


@pytest.fixture(scope="module")
def together(model: sp.Backbone, few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> TogetherReport:
    return run(model, tmp_path_factory.mktemp("together") / "run", baselines=True)


def numbers(report: TogetherReport) -> list[bytes]:
    return [tensor.numpy().tobytes() for one in report.reports.values() for _, tensor in one.prompt.tensors.tensors()]


def test_every_task_has_a_run_of_its_own(together: TogetherReport, model: sp.Backbone) -> None:
    assert list(together.reports) == TARGETS
    for target, labels in (("tone", {"yes", "no"}), ("urgent", {"high", "low"})):
        report = together.reports[target]
        assert report.folder == together.folder / target
        assert {"config.yaml", "report.json", "report.html", "curves.svg", "prompt"} <= {
            path.name for path in report.folder.iterdir()
        }
        said = next(sp.predict(report.folder / "prompt", ["good now 7"], model=model))
        assert next(iter(said.answers.values())).text in labels
        assert set(report.prompt.manifest.task["labels"]) == labels
        assert report.comparison is not None
        assert report.prompt.manifest.config["task"]["target"] == target
    kept = json.loads((together.folder / "report.json").read_text("utf-8"))
    assert list(kept["targets"]) == TARGETS
    assert not kept["interrupted"]


def test_prompts_of_one_run_answer_over_one_reading(together: TogetherReport, model: sp.Backbone) -> None:
    prompts = [report.folder / "prompt" for report in together.reports.values()]
    row = next(sp.predict(prompts, ["good now 7"], model=model))
    assert list(row.answers) == ["run-tone", "run-urgent"]
    alone = [next(iter(next(sp.predict(one, ["good now 7"], model=model)).answers.values())) for one in prompts]
    for said, own in zip(row.answers.values(), alone, strict=True):
        assert said.probabilities == pytest.approx(own.probabilities, abs=1e-5)


def test_tasks_of_a_run_share_what_the_method_shares(together: TogetherReport) -> None:
    first, second = (report.prompt.tensors.slots["soft"].embed for report in together.reports.values())
    assert first is not None
    assert second is not None
    assert not first.equal(second)
    bend = first / second - 1
    assert bend.abs().max() < 1, "from one shared prompt, a few steps away"


def test_no_text_teaches_one_task_and_judges_another(model: sp.Backbone) -> None:
    config = RunConfig.parse({"data": {"train": "rows"}, "task": {"targets": TARGETS}, "template": TEMPLATE})
    ready = prepare_several(config, sources={"train": rows(40)}, backbone=model)
    parts = {
        name: {row.source for one in ready.values() for row in one.splits[name]} for name in ("train", "validation")
    }
    assert not parts["train"] & parts["validation"]
    assert len(ready["tone"].splits["train"]) + len(ready["tone"].splits["validation"]) == 40
    assert len(ready["urgent"].splits["train"]) + len(ready["urgent"].splits["validation"]) == 32
    assert any("urgent: 8 rows" in note for note in ready["urgent"].notes)
    assert not any("have no answer" in note for note in ready["tone"].notes)


def test_columns_of_other_tasks_are_no_fields(model: sp.Backbone) -> None:
    given = [{key: value for key, value in row.items() if key != "text"} | {"body": row["text"]} for row in rows(30)]
    config = RunConfig.parse({"data": {"train": "rows"}, "task": {"targets": TARGETS}})
    for one in prepare_several(config, sources={"train": given}, backbone=model).values():
        assert one.template.fields == ("body",)


def test_tasks_may_differ_in_kind(model: sp.Backbone, tmp_path: Path) -> None:
    more = [{**row, "stars": i % 5 + 1} for i, row in enumerate(rows(30))]
    found = sp.tune_together(
        {"tone": {"labels": {"yes": "good", "no": "bad"}}, "stars": {"kind": "score"}},
        train=more,
        model=model,
        output=tmp_path / "run",
        template=TEMPLATE,
        training=ONE,
        baselines=False,
    )
    assert [report.prompt.manifest.task["kind"] for report in found.reports.values()] == ["classify", "score"]


def test_teachers_of_one_task_each_are_reached_and_leave_nothing(
    model: sp.Backbone, together: TogetherReport, tmp_path: Path
) -> None:
    found = run(model, tmp_path / "run", distil={"share": 0.9})
    assert numbers(found) != numbers(together)
    assert not (found.folder / "teachers").exists()
    stages = [json.loads(line).get("stage") for line in (found.folder / "log.jsonl").read_text("utf-8").splitlines()]
    assert list(dict.fromkeys(stages)) == ["teachers: train", "train"]


class Killed(BaseException):
    """The process is gone."""


class KillAt(Watcher):
    def __init__(self, stage: str) -> None:
        self.wanted = stage

    def point(self, point: Point) -> None:
        if point.stage == self.wanted and point.step == 2:
            raise Killed


@pytest.mark.parametrize("stage", ["teachers: train", "train"])
def test_a_killed_run_goes_on_to_the_same_prompts(stage: str, model: sp.Backbone, tmp_path: Path) -> None:
    training = {**ONE, "checkpoint_every": 1e-9}
    settings = {"name": "run", "template": TEMPLATE, "method": "multitask", "distil": {}, "training": training}
    settings |= {"task": {"targets": TARGETS}, "data": {"train": "rows"}, "baselines": False}
    config = RunConfig.parse({**settings, "output": tmp_path / "cut"})
    given = {"sources": {"train": rows(30)}, "backbone": model}
    with pytest.raises(Killed):
        tune_together(config, KillAt(stage), **given)
    whole = tune_together(RunConfig.parse({**settings, "output": tmp_path / "whole"}), **given)
    assert numbers(tune_together(config, **given)) == numbers(whole)


def test_a_forecast_counts_all_tasks(model: sp.Backbone) -> None:
    settings = {"template": TEMPLATE, "task": {"targets": TARGETS}, "data": {"train": "rows"}, "training": ONE}
    given = {"sources": {"train": rows(30)}, "backbone": model}
    apart, shared, taught = (
        plan_together(RunConfig.parse({**settings, "training": {"steps": 3, "seeds": (0,)}, **more}), **given).to_dict()
        for more in ({}, {"method": "multitask"}, {"method": "multitask", "distil": {}})
    )
    assert list(apart["targets"]) == TARGETS
    assert [one["prompts"]["train"] for one in (apart, shared, taught)] == [2, 2, 4]
    assert apart["prompts"]["probe"] == 2 * shared["prompts"]["probe"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {"targets": ["tone"]}}, "several columns are needed"),
        ({"task": {"targets": {"tone": {"labls": []}, "urgent": {}}}}, r"task\.targets\.tone.*did you mean 'labels'"),
        ({"data": {"train": "rows", "folds": 3}}, r"data\.folds: for one task a run"),
        ({"teacher": "embedded"}, "teacher: for one task a run"),
        ({"task": {}, "distil": {}}, r"distil .* needs task\.targets"),
        ({"task": {"targets": {"tone": {}, "chat": {"kind": "dialogue"}}}}, "a dialogue has one task"),
    ],
)
def test_what_several_tasks_cannot_be_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig.parse({"data": {"train": "rows"}, "task": {"targets": TARGETS}, **changes})


def test_a_column_that_is_not_there_is_said(model: sp.Backbone) -> None:
    config = RunConfig.parse({"data": {"train": "rows"}, "task": {"targets": ["tone", "urgnt"]}})
    with pytest.raises(DataError, match=r"column 'urgnt' of task\.targets.*did you mean 'urgent'"):
        prepare_several(config, sources={"train": rows(9)}, backbone=model)


def test_tasks_that_cannot_be_taught_are_refused_before_any_training(model: sp.Backbone, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="free: only tasks with one right answer"):
        sp.tune_together(
            {"tone": {}, "free": {"kind": "generate"}},
            train=[{**row, "free": "a word"} for row in rows(20)],
            model=model,
            output=tmp_path / "run",
            template=TEMPLATE,
            training=ONE,
            distil={},
        )
    assert not (tmp_path / "run").exists()


def test_what_takes_one_task_says_so(model: sp.Backbone) -> None:
    config = RunConfig.parse({"data": {"train": "rows"}, "task": {"targets": TARGETS}})
    with pytest.raises(ConfigError, match=r"several tasks \(tone, urgent\)"):
        prepare(config, sources={"train": rows(9)}, backbone=model)
    with pytest.raises(ConfigError, match=r"2 tasks are to be trained in one run.*tune_together"):
        tune(config, sources={"train": rows(9)}, backbone=model)
