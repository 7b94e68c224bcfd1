"""Runs with few labels: folds instead of validation rows, what is judged, what is saved, and when it is refused."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes.dividing import MANY_ROWS
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.tune import tune
from softprompt.core.errors import ConfigError, DataError
from tests.app.recipes.test_run import QUICK, rows
from tests.modes import for_owner_alone

TASK = sp.Task.classify(["no", "yes"])
SEEDS = {**QUICK, "seeds": (3, 4)}


@pytest.fixture(scope="module")
def report(model: sp.Backbone, tmp_path_factory: pytest.TempPathFactory) -> sp.TuneReport:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return sp.tune(TASK, train=rows(30), model=model, output=folder, training=SEEDS)


def ready(model: sp.Backbone, train: list[dict[str, str]], **changes: Any) -> Any:
    data = {"train": "rows", **changes.pop("data", {})}
    sources = {"train": train, **changes.pop("sources", {})}
    return prepare(sp.RunConfig.parse({"data": data, **changes}), sources=sources, backbone=model)


def test_what_corrects_the_prompt_corrects_the_baseline(model: sp.Backbone) -> None:
    uneven = [row for n, row in enumerate(rows(60)) if row["label"] == "no" or n % 8 == 1]
    metrics = {"metrics": ["macro_f1"]}
    by_prior = ready(model, uneven, task=metrics)
    assert by_prior.correction == by_prior.answers.offsets != ()
    weighted = ready(model, uneven, task=metrics, training={"class_weights": "balanced"})
    assert weighted.answers.offsets == ()
    assert [2 * one for one in by_prior.correction] == pytest.approx(list(weighted.correction))
    assert ready(model, rows(60)).correction == ()


# --- the way with folds


def test_every_row_is_judged_once_and_the_prompt_learns_from_all(report: sp.TuneReport) -> None:
    assert report.split == "out of fold"
    assert sorted(item.id for item in report.evaluation.items) == sorted(row["id"] for row in rows(30))
    assert report.held_out == report.evaluation
    *folds, whole = report.tuning.learnt
    assert [one.name for one in folds] == [f"run, fold {n}" for n in range(1, 6)]
    assert [len(one.outcomes) for one in (*folds, whole)] == [2] * 5 + [1]
    assert whole.prompt is report.finding.learnt.prompt
    assert len(report.prompt.manifest.config["data"]) > 0


def test_report_names_what_is_saved_and_whose_score_it_is(report: sp.TuneReport) -> None:
    kept = json.loads((report.folder / "report.json").read_text())
    assert kept["saved"].startswith("seed 3, trained on all 30 rows at rate 0.1; its score is estimated by that of 5")
    assert report.prompt.manifest.config["saved"] == kept["saved"]
    assert {score.split for score in report.prompt.manifest.scores} == {"out of fold"}
    assert list(kept["seeds"]) == ["3", "4"]
    assert len(kept["folds"]) == 5
    assert kept["test_looks"] == 0
    assert not (report.folder / "test-looks.jsonl").exists()


def test_baselines_are_judged_out_of_fold_too(report: sp.TuneReport) -> None:
    assert report.comparison is not None
    assert [len(line.evaluation.items) for line in report.comparison.standings] == [30] * len(
        report.comparison.standings
    )
    (majority,) = [line for line in report.comparison.standings if line.name == "majority"]
    assert majority.evaluation.metrics["accuracy"].estimate <= 0.5  # a fold's majority is the other label's minority


def test_suspects_are_listed_for_their_owner(report: sp.TuneReport) -> None:
    path = report.folder / "suspects.csv"
    assert for_owner_alone(path)
    with path.open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [line["id"] for line in listed] == [one.row.id for one in report.suspects]
    assert list(csv.DictReader([path.read_text().splitlines()[0]]).fieldnames or ())[-1] == "text"


def test_test_rows_are_the_headline_where_there_are_some(model: sp.Backbone, tmp_path: Path) -> None:
    parts = {"train": rows(20), "test": rows(10, start=100)}
    found = sp.tune(TASK, **parts, model=model, output=tmp_path / "t", training=QUICK, data={"folds": 2})
    assert (found.split, len(found.evaluation.items)) == ("test", 10)
    assert found.held_out is not None
    assert len(found.held_out.items) == 20
    assert "its own test score" in found.finding.saved
    again = sp.evaluate(found.folder / "prompt", rows(10, start=100), model=model)[0]
    assert again.metrics["accuracy"] == found.evaluation.metrics["accuracy"]


def test_folds_beside_validation_rows_keep_the_choice_to_these(model: sp.Backbone, tmp_path: Path) -> None:
    parts = {"train": rows(20), "validation": rows(10, start=100)}
    found = sp.tune(
        TASK, **parts, model=model, output=tmp_path / "v", training=QUICK, data={"folds": 3}, baselines=False
    )
    assert found.split == "validation"
    assert found.held_out is not None
    assert len(found.held_out.items) == 20
    assert len(found.tuning.learnt[0].outcomes) == 2


def test_ctrl_c_in_the_probe_leaves_one_fold(model: sp.Backbone, tmp_path: Path) -> None:
    class Impatient(sp.Watcher):
        def advance(self, done: int, **facts: object) -> None:
            if facts.get("loss") is not None and done == 2:
                raise KeyboardInterrupt

    settings = {"steps": 6, "rates": (0.01, 0.1), "probe_steps": 4, "batch_size": 8, "evaluations": 2}
    config = {"data": {"train": "rows"}, "training": settings, "output": tmp_path / "c", "baselines": True}
    found = tune(sp.RunConfig.parse(config), Impatient(), sources={"train": rows(30)}, backbone=model)
    assert found.tuning.interrupted
    assert (found.split, len(found.evaluation.items), found.comparison) == ("held out", 6, None)
    assert "cut short" in found.finding.saved
    assert (found.folder / "prompt" / "manifest.json").is_file()


def test_more_time_is_not_needed_than_allowed(model: sp.Backbone, tmp_path: Path) -> None:
    settings = {"effort": "quick", "max_time": 2.0, "steps": 100000}
    config = {"data": {"train": "rows"}, "training": settings, "output": tmp_path / "m", "baselines": False}
    found = tune(sp.RunConfig.parse(config), sources={"train": rows(30)}, backbone=model)
    assert found.tuning.seconds["train"] < 10
    assert len(found.evaluation.items) == 30


# --- when there are folds


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 5),
        ({"data": {"folds": "none"}}, 0),
        ({"data": {"folds": "3"}}, 3),
        ({"data": {"split": {"validation": 0.2}}}, 0),
        ({"sources": {"validation": rows(10, start=100)}}, 0),
        ({"data": {"folds": 2}, "sources": {"validation": rows(10, start=100)}}, 2),
        ({"task": {"kind": "generate", "target": "label"}}, 0),
    ],
)
def test_when_rows_are_folded(model: sp.Backbone, changes: dict[str, Any], count: int) -> None:
    found = ready(model, rows(30), **changes)
    assert len(found.folds) == count
    assert found.crossed == (count > 0 and "validation" not in changes.get("sources", {}))
    assert ("validation" in found.splits) != found.crossed


def test_many_rows_are_split(model: sp.Backbone) -> None:
    assert not ready(model, rows(MANY_ROWS)).folds
    assert ready(model, rows(MANY_ROWS - 1)).folds


def test_few_texts_get_fewer_folds_and_copies_stay_together(model: sp.Backbone) -> None:
    three = [{"text": f"{'good' if i % 3 else 'bad'} {i % 3}", "label": "yes" if i % 3 else "no"} for i in range(12)]
    four = [*three, {"text": "bad 7", "label": "no"}]
    found = ready(model, four)
    assert len(found.folds) == 4
    for fold in found.folds:
        train, held = ({found.splits["train"][i].fields["text"] for i in part} for part in (fold.train, fold.held_out))
        assert not train & held


def test_groups_stay_together(model: sp.Backbone) -> None:
    grouped = [{**row, "customer": str(i // 4)} for i, row in enumerate(rows(40))]
    found = ready(model, grouped, data={"roles": {"group": "customer"}, "columns": {"text": "text"}})
    for fold in found.folds:
        train, held = ({found.splits["train"][i].group for i in part} for part in (fold.train, fold.held_out))
        assert not train & held


def test_a_label_of_one_row_is_not_left_out(model: sp.Backbone) -> None:
    lone = [*rows(20)[::2], {"text": "good 1", "label": "yes"}]
    assert not ready(model, lone).folds
    with pytest.raises(DataError, match=r"2 folds leave one of them with the label 'no' alone"):
        ready(model, lone, data={"folds": 2})


def test_bad_numbers_of_folds_are_refused(model: sp.Backbone) -> None:
    for folds in (1, 0, "five"):
        with pytest.raises(ConfigError, match="folds"):
            ready(model, rows(20), data={"folds": folds})
    with pytest.raises(DataError, match="21 folds need 21"):
        ready(model, rows(20), data={"folds": 21})


# --- labels that are not equally frequent


def test_class_weights_make_labels_weigh_alike(model: sp.Backbone) -> None:
    uneven = [row for i, row in enumerate(rows(40)) if i % 2 or i % 8 == 0]
    weighted = ready(model, uneven, training={"class_weights": "balanced"}).weighted("train")
    totals = {label: sum(row.weight for row in weighted if row.target == label) for label in ("no", "yes")}
    assert totals["no"] == pytest.approx(totals["yes"])
    assert {row.weight for row in ready(model, uneven).weighted("train")} == {1.0}


def test_a_balanced_prior_is_saved_and_used(model: sp.Backbone, tmp_path: Path) -> None:
    uneven = [row for i, row in enumerate(rows(40)) if i % 2 or i % 8 == 0]
    still = {**QUICK, "steps": 1, "rate": 1e-9, "seeds": (0,)}
    answers = {name: {"answers": {"prior": prior}} for name, prior in (("keep", 0.0), ("balanced", 1.0))}
    p = {}
    for name, settings in answers.items():
        found = sp.tune(
            TASK, train=uneven, model=model, output=tmp_path / name, training=still, baselines=False, **settings
        )
        (answer,) = next(sp.predict(found.folder / "prompt", ["good 1"], model=model)).answers.values()
        p[name] = answer.probabilities
    odds = {name: found["no"] / found["yes"] for name, found in p.items()}
    assert odds["balanced"] / odds["keep"] == pytest.approx(4, rel=0.02)  # 20 rows of yes, 5 of no


@pytest.mark.parametrize(
    ("changes", "corrected"),
    [
        ({}, True),
        ({"answers": {"prior": 0}}, False),
        ({"training": {"class_weights": "balanced"}}, False),
        ({"task": {"metrics": ["accuracy"]}}, False),
        ({"answers": {"offsets": [0.0, 0.0]}}, False),
    ],
)
def test_uneven_labels_are_corrected_by_half(model: sp.Backbone, changes: dict[str, Any], corrected: bool) -> None:
    uneven = [row for i, row in enumerate(rows(40)) if i % 2 or i % 8 == 0]
    found = ready(model, uneven, **changes)
    assert any("uneven labels" in note for note in found.notes) is corrected
    assert not ready(model, rows(40), **changes).answers.offsets or "answers" in changes
    if corrected:
        assert found.answers.offsets == pytest.approx((math.log(4) / 4, -math.log(4) / 4))


@pytest.mark.parametrize("settings", [{"training": {"class_weights": "balanced"}}, {"answers": {"prior": 1.0}}])
def test_balancing_needs_labels(model: sp.Backbone, settings: dict[str, Any], tmp_path: Path) -> None:
    task = sp.Task.generate(target="label")
    with pytest.raises(ConfigError, match="fixed labels"):
        sp.tune(task, train=rows(20), model=model, output=tmp_path / "b", **settings)
