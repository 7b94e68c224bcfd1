"""Trials in one pass are trials alone; a killed sweep comes to the same end; what is given up is freed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from softprompt.core.errors import ConfigError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.lessons import Lesson
from softprompt.lab.sweep.passes import Candidate, Passes
from softprompt.lab.sweep.search import search
from softprompt.lab.sweep.space import Range, SweepSettings
from softprompt.lab.sweep.study import Study, Trial
from softprompt.lab.training import trainer as training
from softprompt.lab.training.outcome import Event
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.table import parse_method
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder, Template
from softprompt.testing import tiny

ROWS = [Example({"text": f"{word} {n}"}, target=word, id=f"{word}{n}") for n in range(6) for word in ("good", "bad")]
TASK = Task.classify(["good", "bad"])
SPACE = {"length": Range(low=1, high=4), "rate": Range(low=0.01, high=1.0, log=True), "noise": (0.0, 0.1)}


@pytest.fixture(scope="module")
def model() -> Backbone:
    return tiny("llama")


class Made:
    """Candidates, and how often one was asked for."""

    def __init__(self, model: Backbone, *, looks: int = 9) -> None:
        self.model, self.looks, self.count = model, looks, 0

    def __call__(self, values: Mapping[str, Any]) -> Candidate:
        self.count += 1
        template = Template.preset("classify", place="after", fields=("text",), length=values["length"])
        builder = RowBuilder(template, TASK, self.model.tokenizer, max_tokens=64, answers="words")
        settings = TrainingSettings(
            steps=9, batch_size=4, rate=values["rate"], noise=values["noise"], evaluations=self.looks
        ).resolved()
        lesson = Lesson("trial", builder, ROWS, ROWS[:6], metric="accuracy")
        return Candidate([lesson], parse_method("plain"), settings)


def swept(path: Path, model: Backbone, *, event: Callable[[Event], None] = lambda event: None, **given: Any) -> Study:
    study = Study(str(path), name="s", space=SPACE, digest="d")
    settings = SweepSettings.parse({"trials": 6, "together": 3, **given})
    with StateStore(model) as store:
        passes = Passes(Made(model), backbone=model, store=store, halving=settings.halving, event=event)
        search(study, passes, settings=settings)
    return study


def told(study: Study) -> list[Any]:
    return [(one.values, one.state, one.score, one.looks) for one in study.trials()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Backbone) -> list[Any]:
    return told(swept(tmp_path_factory.mktemp("sweep") / "whole.db", model))


class Kill:
    """Ctrl-C at one of the steps of the sweep."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, event: Event) -> None:
        self.left -= event.kind == "step"
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("steps", [2, 22])
def test_a_killed_sweep_goes_on_to_the_same_end(steps: int, tmp_path: Path, model: Backbone, whole: list[Any]) -> None:
    path = tmp_path / "killed.db"
    with pytest.raises(KeyboardInterrupt):
        swept(path, model, event=Kill(steps))
    cut = Study(str(path), name="s", space=SPACE, digest="d").trials()
    assert any(one.state == "running" for one in cut)
    assert told(swept(path, model)) == whole


def test_trials_in_one_pass_score_as_trials_alone(tmp_path: Path, model: Backbone) -> None:
    together = swept(tmp_path / "a.db", model, sampler="random", halving=False)
    alone = swept(tmp_path / "b.db", model, sampler="random", halving=False, together=1)
    for one, other in zip(together.trials(), alone.trials(), strict=True):
        assert one.state == other.state == "complete"
        assert one.score == other.score
        assert [step for step, _ in one.looks] == [step for step, _ in other.looks]


def test_most_are_given_up_and_trials_are_as_many_as_asked(whole: list[Any]) -> None:
    states = [state for _, state, _, _ in whole]
    assert len(states) == 6
    assert set(states) == {"complete", "pruned"}
    assert all(looks[-1][0] < 9 for _, state, _, looks in whole if state == "pruned")


def test_what_is_given_up_frees_its_memory(tmp_path: Path, model: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[bool, int]] = []
    outcome = training.Trainer._outcome

    def watched(self: training.Trainer, k: int) -> Any:
        kept.append((self.progress[k].stop == "pruned", len(self.optimisers[k].tensors()) + len(self.best[k])))
        return outcome(self, k)

    monkeypatch.setattr(training.Trainer, "_outcome", watched)
    swept(tmp_path / "a.db", model)
    assert any(pruned for pruned, _ in kept)
    assert all(tensors == 0 if pruned else tensors > 0 for pruned, tensors in kept)


def test_no_wave_begins_that_would_end_too_late(tmp_path: Path, model: Backbone) -> None:
    study = Study(str(tmp_path / "a.db"), name="s", space=SPACE, digest="d")
    clock = iter(range(0, 10_000, 40))
    settings = SweepSettings.parse({"trials": 9, "together": 3, "minutes": 2})
    with StateStore(model) as store:
        passes = Passes(Made(model), backbone=model, store=store, halving=True)
        search(study, passes, settings=settings, clock=lambda: next(clock))
    assert 3 <= len(study.trials()) < 9


def test_values_that_do_not_go_together_fail_alone(tmp_path: Path, model: Backbone) -> None:
    made = Made(model)

    def picky(values: Mapping[str, Any]) -> Candidate:
        if values["noise"]:
            raise ConfigError("config.invalid", "no noise here")
        return made(values)

    study = Study(str(tmp_path / "a.db"), name="s", space=SPACE, digest="d", sampler="random")
    ended: list[Trial] = []
    with StateStore(model) as store:
        passes = Passes(picky, backbone=model, store=store, halving=True)
        search(study, passes, settings=SweepSettings(trials=6, together=6), ended=ended.append)
    failed = [one for one in study.trials() if one.values["noise"]]
    assert failed
    assert all(one.state == "failed" and "no noise here" in one.error for one in failed)
    assert any(one.state == "complete" for one in study.trials())
    assert len(ended) == 6
