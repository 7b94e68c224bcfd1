"""Sets of labels and numbers from rows to a saved prompt and its predictions, with folds and with validation rows."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.core.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("few_resamples")

SHORT = {"steps": 3, "rate": 0.1, "seeds": (0,), "evaluations": 1, "batch_size": 8}
WORDS = ("late", "bill", "angry")
TAGS = sp.Task.multilabel(WORDS, target="tags", separator=";")
STARS = sp.Task.score([1, 2, 3], target="stars")


def rows(count: int) -> list[dict[str, Any]]:
    """Texts that name their labels."""
    held = [[word for k, word in enumerate(WORDS) if i >> k & 1] for i in range(count)]
    return [
        {"text": f"{' '.join(names) or 'fine'} {i}", "tags": "; ".join(names), "stars": 1 + i % 3, "id": f"r{i}"}
        for i, names in enumerate(held)
    ]


@pytest.fixture(scope="module")
def tagged(model: sp.Backbone, few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> sp.TuneReport:
    folder = tmp_path_factory.mktemp("runs") / "tags"
    return sp.tune(TAGS, train=rows(40), model=model, output=folder, data={"folds": 2}, training=SHORT)


@pytest.fixture(scope="module")
def starred(model: sp.Backbone, few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> sp.TuneReport:
    folder = tmp_path_factory.mktemp("runs") / "stars"
    return sp.tune(STARS, train=rows(40), validation=rows(55)[40:], model=model, output=folder, training=SHORT)


def test_a_prompt_of_labels_keeps_its_thresholds(tagged: sp.TuneReport, model: sp.Backbone) -> None:
    assert tagged.split == "out of fold"
    assert list(tagged.evaluation.metrics) == ["macro_f1", "micro_f1", "subset_accuracy", "hamming_loss"]
    assert [one.label for one in tagged.evaluation.classes] == list(WORDS)
    assert tagged.evaluation.calibration == {}
    assert tagged.suspects == ()
    assert any("labels are given from these probabilities on" in note for note in tagged.notes)
    bars = sp.Prompt.load(tagged.folder / "prompt").manifest.task["thresholds"]
    assert isinstance(bars, list)
    assert len(bars) == 3
    (said,) = sp.predict(tagged.folder / "prompt", ["late bill 9"], model=model)
    found = next(iter(said.answers.values()))
    assert list(found.probabilities or ()) == list(WORDS)
    above = tuple(name for name, bar in zip(WORDS, bars, strict=True) if (found.probabilities or {})[name] >= bar)
    assert found.answer == above
    assert json.loads(json.dumps(said.to_dict()))["answer"] == list(above)


def test_baselines_answer_with_sets_too(tagged: sp.TuneReport) -> None:
    assert tagged.comparison is not None
    by_name = {one.name: one for one in tagged.comparison.standings}
    assert "zero-shot text prompt" in by_name
    assert "few-shot text prompt" not in by_name
    assert by_name["majority"].note.startswith("always ")
    # the texts name their labels, so words tell them
    assert by_name["TF-IDF + logistic regression"].evaluation.headline.estimate > 0.9


def test_labels_in_words_and_in_windows(model: sp.Backbone, tmp_path: Path) -> None:
    """Each label a yes and a no in words, over texts that are longer than a row; saved, and asked again."""
    long = [{**row, "text": " ".join([row["text"]] * 4)} for row in rows(30)]
    report = sp.tune(
        TAGS,
        train=long,
        validation=long[:12],
        model=model,
        output=tmp_path / "tags",
        training=SHORT,
        answers={"form": "words"},
        template={"text": "{text}<soft 2> It was {answer}", "keep": "windows", "windows": {"pool": "max"}},
        max_tokens=60,
        baselines=False,
    )
    assert report.evaluation.classes[0].label == "late"
    (said,) = sp.predict(tmp_path / "tags" / "prompt", [long[-1]["text"]], model=model)
    found = next(iter(said.answers.values()))
    assert found.windows > 1
    assert list(found.probabilities or ()) == list(WORDS)
    assert all(0 < p < 1 for p in (found.probabilities or {}).values())


def test_an_evaluation_of_sets_survives_json(tagged: sp.TuneReport) -> None:
    again = type(tagged.evaluation).from_dict(json.loads(json.dumps(tagged.evaluation.to_dict())))
    assert again.items == tagged.evaluation.items
    assert again.score("micro_f1").interval.estimate == tagged.evaluation.metrics["micro_f1"].estimate


def test_labels_are_found_in_the_rows_where_none_are_named(model: sp.Backbone, tmp_path: Path) -> None:
    with (tmp_path / "tags.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["text", "tags", "stars", "id"])
        table.writeheader()
        table.writerows(rows(24))
    from softprompt.app.recipes.prepare import prepare

    data = {"train": str(tmp_path / "tags.csv"), "columns": {"text": "text"}}
    config = {"data": data, "task": {"kind": "multilabel", "target": "tags", "separator": ";"}}
    ready = prepare(sp.RunConfig.parse(config), backbone=model)
    assert ready.task.names == tuple(sorted(WORDS))
    assert ready.answers.form == "vectors"
    assert not ready.answers.offsets
    config["task"] = {"kind": "score", "target": "stars"}
    assert prepare(sp.RunConfig.parse(config), backbone=model).task.names == ("1", "2", "3")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answers": {"form": "words", "normalise": "length"}}, "there is nothing to normalise"),
        ({"answers": {"prior": 1.0}}, "one of fixed labels a row"),
        ({"training": {**SHORT, "class_weights": "balanced"}}, "one of fixed labels a row"),
    ],
    ids=["lengths", "prior", "weights"],
)
def test_what_needs_one_right_answer_is_refused(changes: dict[str, Any], said: str, model: sp.Backbone) -> None:
    with pytest.raises(ConfigError, match=said):
        sp.tune(TAGS, train=rows(24), model=model, baselines=False, **{"training": SHORT, **changes})


def test_a_prompt_of_numbers_predicts_a_value_and_its_distribution(starred: sp.TuneReport, model: sp.Backbone) -> None:
    assert list(starred.evaluation.metrics) == ["mae", "rmse", "spearman"]
    assert [one.label for one in starred.evaluation.classes] == ["1", "2", "3"]
    assert starred.comparison is not None
    by_name = {one.name: one for one in starred.comparison.standings}
    assert by_name["majority"].note == "always 2"
    assert by_name["majority"].evaluation.metrics["spearman"].estimate == 0
    assert "zero-shot text prompt" in by_name
    (said,) = sp.predict(starred.folder / "prompt", ["fine"], model=model)
    found = next(iter(said.answers.values()))
    assert found.answer == pytest.approx(sum(float(name) * p for name, p in (found.probabilities or {}).items()))
    assert sum((found.probabilities or {}).values()) == pytest.approx(1)


def test_saved_prompts_are_judged_again(tagged: sp.TuneReport, starred: sp.TuneReport, model: sp.Backbone) -> None:
    (again,) = sp.evaluate(starred.folder / "prompt", rows(55)[40:], model=model)
    assert again.metrics["mae"].estimate == pytest.approx(starred.evaluation.metrics["mae"].estimate, abs=1e-6)
    (again,) = sp.evaluate(tagged.folder / "prompt", rows(40), model=model)
    assert 0 <= again.metrics["micro_f1"].estimate <= 1
    with pytest.raises(DataError, match="the scale reaches from 1 to 3"):
        sp.evaluate(starred.folder / "prompt", [{"text": "fine", "stars": 4}], model=model)


def test_sets_and_numbers_are_not_explained(tagged: sp.TuneReport, model: sp.Backbone) -> None:
    with pytest.raises(DataError, match="only single choices are explained"):
        list(sp.predict(tagged.folder / "prompt", ["late"], model=model, explain="auto"))
