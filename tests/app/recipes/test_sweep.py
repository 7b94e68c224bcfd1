"""A sweep from rows to a confirmed winner: resumed, not looked at twice, and honest about what it looked at."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import optuna
import pytest

import softprompt as sp
from softprompt.app.config import RunConfig
from softprompt.app.recipes import candidates, searching
from softprompt.app.recipes.candidates import Candidates
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.sweep import SweepReport, sweep
from softprompt.core.errors import ConfigError, ExtraError, SoftpromptError
from softprompt.lab.sweep import study as studies
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.methods.base import MethodSettings

ROWS = [{"text": f"{word} {n}", "label": word} for n in range(10) for word in ("good", "bad")]
TEST = [{"text": f"{word} day {n}", "label": word} for n in range(4) for word in ("good", "bad")]

pytestmark = pytest.mark.usefixtures("few_resamples")


def swept(folder: Path, model: sp.Backbone, *, fresh: bool = False, test: bool = True, **changes: Any) -> SweepReport:
    settings = {"trials": 4, "together": 4, "confirm": 1, "space": {"length": [1, 3], "rate": [0.03, 0.3]}, **changes}
    data = {"train": "rows", "validation": "rows", **({"test": "rows"} if test else {})}
    config = {
        "name": "tone",
        "output": str(folder / "tone-sweep"),
        "data": data,
        "training": {"steps": 4, "batch_size": 4},
        "baselines": False,
        "sweep": settings,
    }
    sources = {"train": ROWS, "validation": ROWS[:8], **({"test": TEST} if test else {})}
    return sweep(RunConfig.parse(config), sources=sources, backbone=model, fresh=fresh)


def test_the_winner_is_confirmed_and_looks_at_the_test_rows_once(tmp_path: Path, model: sp.Backbone) -> None:
    report = swept(tmp_path, model)
    assert len(report.trials) == 4
    assert report.winner is not None
    assert report.winner.split == "test"
    assert report.winner.test_looks == 1
    config = report.winner.prompt.manifest.config
    assert config["training"]["rate"] == report.best.values["rate"]
    assert config["template"]["length"] == report.best.values["length"]
    assert config["training"]["seeds"] == [0]
    assert not report.notes

    again = swept(tmp_path, model)
    assert again.winner is None, "what is confirmed is not looked at again"
    assert again.confirmed == report.confirmed
    assert [one.to_dict() for one in again.trials] == [one.to_dict() for one in report.trials]
    looks = tmp_path / "tone-sweep-winner" / "test-looks.jsonl"
    assert len(looks.read_text("utf-8").splitlines()) == 1

    found = json.loads((tmp_path / "tone-sweep" / "sweep.json").read_text("utf-8"))
    assert found["best"]["number"] == report.best.number
    assert "<svg" in (tmp_path / "tone-sweep" / "sweep.svg").read_text("utf-8")


def test_a_second_process_waits_for_the_first_and_leaves_the_confirmation_to_it(
    tmp_path: Path, model: sp.Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = swept(tmp_path, model, confirm=0)
    assert first.best.score is not None
    better = first.best.score + 1
    path = str(tmp_path / "tone-sweep" / "study.db")
    digest = optuna.load_study(study_name="tone-sweep", storage=f"sqlite:///{path}").user_attrs["digest"]
    there = studies.Study(path, name="tone-sweep", space={"length": (1, 3), "rate": (0.03, 0.3)}, digest=digest)
    there.worker = f"{platform.node()}:{os.getppid()}:0"
    under_way = there.draw(wave=None, size=1)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        there.tell(under_way, "complete", score=better)

    monkeypatch.setattr(searching.time, "sleep", pause)
    second = swept(tmp_path, model, trials=5)
    assert len(pauses) == 1
    assert second.best.number == under_way.number
    assert second.confirmed is None
    assert "another process ended the last trial" in second.notes[0]
    assert not (tmp_path / "tone-sweep-winner").exists()


def test_more_trials_go_on_and_others_are_refused(tmp_path: Path, model: sp.Backbone) -> None:
    first = swept(tmp_path, model, confirm=0, test=False)
    more = swept(tmp_path, model, confirm=0, test=False, trials=6)
    assert [one.values for one in more.trials[:4]] == [one.values for one in first.trials]
    assert len(more.trials) == 6
    with pytest.raises(ConfigError) as caught:
        swept(tmp_path, model, confirm=0, test=False, seed=9)
    assert caught.value.code == "config.run_exists"
    assert len(swept(tmp_path, model, confirm=0, test=False, seed=9, fresh=True).trials) == 4


def test_folds_judge_few_rows_and_the_note_says_what_the_score_is(tmp_path: Path, model: sp.Backbone) -> None:
    config = {
        "name": "few",
        "output": str(tmp_path / "few"),
        "data": {"train": "rows", "folds": 2},
        "training": {"steps": 3, "batch_size": 4},
        "baselines": False,
        "sweep": {"trials": 2, "confirm": 1, "space": {"place": ["after", "before"]}},
    }
    report = sweep(RunConfig.parse(config), sources={"train": ROWS}, backbone=model)
    assert report.winner is not None
    assert report.winner.split == "out of fold"
    assert "flatters the winner" in report.notes[0]


@pytest.mark.parametrize(
    ("training", "rate"),
    [
        ({"effort": "thorough"}, 0.1),
        ({"effort": "quick"}, 0.1),
        ({"rates": [0.001, 0.01, 0.02]}, 0.01),
        ({"rate": 0.2}, 0.2),
    ],
    ids=["thorough", "quick", "own rates", "own rate"],
)
def test_without_a_rate_in_the_space_trials_train_at_the_usual_one(
    tmp_path: Path, model: sp.Backbone, training: dict[str, Any], rate: float
) -> None:
    config = RunConfig.parse(
        {"data": {"train": "given"}, "max_tokens": 64, "training": training, "sweep": {"space": {"length": [2, 4]}}}
    )
    ready = prepare(config, sources={"train": ROWS}, backbone=model)
    assert Candidates(ready, tmp_path)({"length": 2}).settings.rate == rate


def test_what_cannot_be_searched_is_said_before_anything_is_trained(
    tmp_path: Path, model: sp.Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="rows and models of this one are not theirs"):
        swept(tmp_path, model, jobs=2)
    with pytest.raises(ConfigError, match="unknown key"):
        swept(tmp_path, model, space={"training.rat": [1, 2]})
    monkeypatch.setattr(studies, "find_spec", lambda name: None)
    with pytest.raises(ExtraError, match=r"pip install 'softprompt\[sweep\]'"):
        swept(tmp_path, model)


def test_a_choice_that_can_never_be_ends_it_before_texts_are_read(
    tmp_path: Path, model: sp.Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "search", lambda *_, **__: pytest.fail("the search began"))
    for space, code, says in (
        ({"method": ["plain", "deeep"]}, "config.unknown_name", "sweep.space.method: deeep"),
        ({"rate": {"low": -1.0, "high": 1.0}}, "config.invalid", "sweep.space.rate: -1"),
        ({"method": ["plain", {"name": "deep", "layers": [99]}]}, "config.unknown_key", "sweep.space.method: deep"),
    ):
        with pytest.raises(SoftpromptError) as caught:
            swept(tmp_path, model, space=space)
        assert caught.value.code == code
        assert says in str(caught.value)


def test_a_choice_that_goes_with_one_other_is_tried(
    tmp_path: Path, model: sp.Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(*_: Any, method: MethodSettings, settings: TrainingSettings) -> None:
        if method.name == "residual" and not settings.noise:
            raise ConfigError("config.invalid", "residual wants noise")

    monkeypatch.setattr(candidates, "rehearse", picky)
    space = {"noise": [0.0, 0.1], "method": ["plain", "residual"]}
    report = swept(tmp_path, model, space=space, sampler="random", trials=8, together=8, confirm=0, halving=False)
    failed = [one for one in report.trials if one.state == "failed"]
    assert [one.error for one in failed] == ["residual wants noise [config.invalid]"] * len(failed)
    assert failed == [one for one in report.trials if one.values == {"noise": 0.0, "method": "residual"}] != []
