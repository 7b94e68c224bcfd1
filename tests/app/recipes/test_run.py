"""A whole run through the public calls: from rows to a saved, judged, usable prompt, and every way it can fail."""

import json
from pathlib import Path

import pytest

import softprompt as sp
from softprompt.app.recipes.tune import tune
from softprompt.core.errors import ConfigError, DataError, ModelError, PromptError, SoftpromptError, TemplateError
from softprompt.testing import tiny

QUICK = {"steps": 6, "rate": 0.1, "seeds": (0, 1), "evaluations": 2, "batch_size": 8}


def rows(number: int, *, start: int = 0) -> list[dict[str, str]]:
    """Texts whose label is plain to see, every text different."""
    return [
        {"id": str(i), "text": f"{'good' if i % 2 else 'bad'} {i}", "label": "yes" if i % 2 else "no"}
        for i in range(start, start + number)
    ]


@pytest.fixture(scope="module")
def report(model: sp.Backbone, tmp_path_factory: pytest.TempPathFactory) -> sp.TuneReport:
    folder = tmp_path_factory.mktemp("runs") / "run"
    task = sp.Task.classify(["no", "yes"])
    parts = {"train": rows(40), "validation": rows(10, start=200), "test": rows(20, start=100)}
    return sp.tune(task, **parts, model=model, output=folder, training=QUICK)


def test_run_folder_is_complete(report: sp.TuneReport) -> None:
    names = {path.name for path in report.folder.iterdir()}
    files = {
        "config.yaml",
        "environment.json",
        "log.jsonl",
        "curves.svg",
        "report.json",
        "report.html",
        "test-looks.jsonl",
    }
    assert names == {*files, "prompt"}
    kept = json.loads((report.folder / "report.json").read_text())
    assert kept["split"] == "test"
    assert len(kept["seeds"]) == 2
    events = [json.loads(line)["event"] for line in (report.folder / "log.jsonl").read_text().splitlines()]
    assert events.count("step") == QUICK["steps"]


def test_saved_scores_are_those_of_the_saved_prompt(report: sp.TuneReport, model: sp.Backbone) -> None:
    again = sp.evaluate(report.folder / "prompt", rows(20, start=100), model=model)[0]
    assert {name: i.estimate for name, i in again.metrics.items()} == {
        score.metric: score.value for score in sp.load(report.folder / "prompt").manifest.scores
    }


def test_chosen_seed_is_chosen_on_validation_rows(report: sp.TuneReport) -> None:
    learnt = report.tuning.learnt[0]
    best = max((outcome.value, -outcome.loss) for outcome in learnt.outcomes)
    assert (learnt.outcomes[learnt.chosen].value, -learnt.outcomes[learnt.chosen].loss) == best


def test_comparison_holds_baselines_and_verdicts(report: sp.TuneReport) -> None:
    assert report.comparison is not None
    names = [line.name for line in report.comparison.standings]
    assert names[0] == "majority"
    assert names[-1] == "soft prompt"
    assert len(report.comparison.sentences) == len(names) - 1


def test_two_prompts_over_one_reading_answer_as_alone(report: sp.TuneReport, model: sp.Backbone) -> None:
    texts = ["good 7", "bad 8", "neither <eos>"]
    path = report.folder / "prompt"
    both = list(sp.predict([path, path], texts, model=model))
    alone = list(sp.predict(path, texts, model=model))
    for pair, one in zip(both, alone, strict=True):
        (single,) = one.answers.values()
        for answer in pair.answers.values():
            assert answer.text == single.text
            assert answer.confidence == pytest.approx(single.confidence, abs=1e-5)


def test_predictions_stream(report: sp.TuneReport, model: sp.Backbone) -> None:
    def endless() -> object:
        i = 0
        while True:
            yield f"good {i}"
            i += 1

    stream = sp.predict(report.folder / "prompt", endless(), model=model)  # type: ignore[arg-type]
    assert [next(stream).id for _ in range(3)] == ["1", "2", "3"]


def test_min_confidence_abstains(report: sp.TuneReport, model: sp.Backbone) -> None:
    answered = next(sp.predict(report.folder / "prompt", ["good 1"], model=model, min_confidence=1.0))
    assert answered.to_dict()["answer"] is None


def test_generate_learns_and_writes(model: sp.Backbone, tmp_path: Path) -> None:
    task = sp.Task.generate(target="label", max_new_tokens=5)
    found = sp.tune(task, train=rows(20), model=model, output=tmp_path / "g", training=QUICK)
    answered = next(sp.predict(found.prompt, ["good 1"], model=model))
    assert set(found.evaluation.metrics) == {"rouge_l", "exact_match", "token_f1"}
    assert isinstance(next(iter(answered.answers.values())).text, str)


def test_choose_takes_candidates_from_the_row(model: sp.Backbone, tmp_path: Path) -> None:
    data = [{"text": f"q {i}", "a": f"x{i}", "b": f"y{i}", "right": i % 2} for i in range(24)]
    task = sp.Task.choose(["a", "b"], target="right")
    found = sp.tune(
        task, train=data, model=model, output=tmp_path / "c", training=QUICK, template="{text}<soft 4> {answer}"
    )
    assert found.evaluation.headline.estimate >= 0


def test_a_saved_prompt_can_be_continued(report: sp.TuneReport, model: sp.Backbone, tmp_path: Path) -> None:
    still = {**QUICK, "steps": 1, "rate": 1e-9, "seeds": (0,)}  # too small to move: what comes out is what went in
    found = sp.tune(
        sp.Task.classify(["no", "yes"]),
        train=rows(40),
        model=model,
        output=tmp_path / "on",
        training=still,
        start={"kind": "prompt"},
        start_from=report.folder / "prompt",
    )
    assert found.prompt.manifest.parents == (report.prompt.content_hash,)
    for (name, before), (_, after) in zip(report.prompt.tensors.tensors(), found.prompt.tensors.tensors(), strict=True):
        assert after.allclose(before, atol=1e-4), name


def test_plan_writes_nothing(model: sp.Backbone, tmp_path: Path) -> None:
    found = sp.plan(sp.Task.classify(["no", "yes"]), train=rows(30), model=model, output=tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert found.cost.live_tokens > 0
    assert found.to_dict()["seconds"]["train"] > 0


def test_run_goes_on_after_a_kill(model: sp.Backbone, tmp_path: Path) -> None:
    """Killed in the middle and run again gives the prompt of an uninterrupted run, bit for bit."""

    class Killed(BaseException):
        pass

    class Killer(sp.Watcher):
        def advance(self, done: int, **facts: object) -> None:
            if done == 4:
                raise Killed

    settings = {**QUICK, "checkpoint_every": 1e-9}

    def run(name: str, watcher: sp.Watcher | None = None) -> sp.TuneReport:
        config = sp.RunConfig.parse({"data": {"train": "rows"}, "training": settings, "output": tmp_path / name})
        return tune(config, watcher, sources={"train": rows(40)}, backbone=model)

    whole = run("whole")
    with pytest.raises(Killed):
        run("killed", Killer())
    assert (tmp_path / "killed" / "train.checkpoint").exists()
    resumed = run("killed")
    assert resumed.prompt.content_hash != ""
    for (name, one), (_, other) in zip(whole.prompt.tensors.tensors(), resumed.prompt.tensors.tensors(), strict=True):
        assert one.equal(other), name


def test_finished_run_is_not_overwritten(report: sp.TuneReport, model: sp.Backbone) -> None:
    config = sp.RunConfig.parse({"data": {"train": "rows"}, "training": QUICK, "output": report.folder})
    with pytest.raises(ConfigError) as caught:
        tune(config, sources={"train": rows(20)}, backbone=model)
    assert caught.value.code == "config.run_exists"


def test_prompt_of_another_model_is_refused(report: sp.TuneReport) -> None:
    with pytest.raises(PromptError) as caught:
        list(sp.predict(report.folder / "prompt", ["x"], model=tiny("llama", seed=1)))
    assert caught.value.code == "prompt.other_model"
    assert "fingerprint" in str(caught.value)


BAD: list[tuple[str, dict[str, object], type[SoftpromptError], str]] = [
    ("start without a prompt", {"train": rows(20), "start": {"kind": "prompt"}}, ConfigError, "config.invalid"),
    ("missing file", {"train": "nowhere.csv"}, DataError, "data.missing_file"),
    ("one label", {"train": [{"text": f"t {i}", "label": "a"} for i in range(9)]}, DataError, "data.one_label"),
    ("no rows", {"train": []}, DataError, "data.no_rows"),
    ("unknown field", {"train": rows(20), "template": "{txt}<soft 3> {answer}"}, DataError, "data.unknown_field"),
    ("no answer", {"train": rows(20), "template": "{text}<soft 3>"}, TemplateError, "template.no_answer"),
    ("no model", {"train": rows(20), "model": "./nowhere"}, ModelError, "model.not_found"),
    ("unknown key", {"train": rows(20), "trainin": {}}, ConfigError, "config.unknown_key"),
    (
        "slots too long",
        {"train": rows(20), "template": "{text}<soft 900> {answer}"},
        TemplateError,
        "template.too_long",
    ),
]


@pytest.mark.parametrize(("name", "given", "kind", "code"), BAD, ids=[bad[0] for bad in BAD])
def test_bad_input_is_one_error_and_leaves_nothing(
    name: str, given: dict[str, object], kind: type[SoftpromptError], code: str, model: sp.Backbone, tmp_path: Path
) -> None:
    arguments = {"model": model, "output": tmp_path / "bad", "training": QUICK, **given}
    with pytest.raises(kind) as caught:
        sp.tune(**arguments)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert "\n" not in str(caught.value) or code.startswith("template")
    assert not (tmp_path / "bad" / "prompt").exists()


def test_unknown_label_of_the_test_rows_names_the_place(model: sp.Backbone, tmp_path: Path) -> None:
    wrong = [*rows(4), {"text": "x", "label": "maybe"}]
    with pytest.raises(DataError, match="maybe"):
        sp.tune(sp.Task.classify(["no", "yes"]), train=rows(20), test=wrong, model=model, output=tmp_path / "w")
