"""A second round as users ask for it: what it learns from, which round is saved, teachers, and what is refused."""

import gc
import json
import random
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes import prepare as preparing
from softprompt.app.recipes import second, teaching
from softprompt.app.recipes.tune import tune
from softprompt.app.watch import Point, Watcher
from softprompt.core.errors import ConfigError, DataError, ModelError
from softprompt.core.stats import Interval
from softprompt.lab.lessons import Lesson
from softprompt.testing import tiny
from tests.app.recipes.test_run import QUICK, rows

pytestmark = pytest.mark.usefixtures("few_resamples")

TASK = sp.Task.classify(["no", "yes"])
ONE = {**QUICK, "seeds": (0,)}
SECOND = {"precision": 0.02, "weight": 0.5}  # every answer is sure enough: what is tested is what becomes of them
MORE = [{"text": row["text"]} for row in rows(12, start=200)]
REPEATED = [{"text": "GOOD 1!"}, {"text": "bad 100"}]  # of the training rows, and of the test rows


def run(model: sp.Backbone | str, folder: Path, **changes: Any) -> sp.TuneReport:
    given = {"train": rows(20), "test": rows(10, start=100), "data": {"folds": 2}, "training": ONE, "second": SECOND}
    return sp.tune(TASK, model=model, output=folder, baselines=False, **{**given, **changes})


@pytest.fixture(scope="module")
def alone(model: sp.Backbone, few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> sp.TuneReport:
    return run(model, tmp_path_factory.mktemp("runs") / "alone")


def same_numbers(one: sp.TuneReport, other: sp.TuneReport) -> bool:
    pairs = zip(one.prompt.tensors.tensors(), other.prompt.tensors.tensors(), strict=True)
    return all(a.equal(b) for (_, a), (_, b) in pairs)


def decide(monkeypatch: pytest.MonkeyPatch, *, better: bool) -> None:
    sign = 1 if better else -1
    found = Interval(0.1 * sign, min(0.05 * sign, 0.15 * sign), max(0.05 * sign, 0.15 * sign), 0.95, "said")
    monkeypatch.setattr(second, "gain", lambda *_, **__: ("accuracy", found, better))


@pytest.mark.parametrize("better", [False, True])
def test_the_round_that_held_out_rows_prefer_is_saved(
    better: bool, model: sp.Backbone, alone: sp.TuneReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(monkeypatch, better=better)
    learnt: list[Sequence[Lesson]] = []
    again = second.train
    monkeypatch.setattr(second, "train", lambda *given, **more: (learnt.append(given[1]), again(*given, **more))[1])
    found = run(model, tmp_path / "r", unlabelled=MORE + REPEATED + MORE[:1])
    said = found.finding.second
    assert said is not None
    assert (said.unlabelled, said.repeated, said.kept) == (12, 2, better)
    assert same_numbers(found, alone) is not better
    kept = json.loads((found.folder / "report.json").read_text("utf-8"))
    assert kept["second"]["kept"] is better
    assert kept["second"]["sentences"] == list(said.sentences) == found.prompt.manifest.config["second_round"]
    assert set(said.sentences) <= set(found.notes)
    assert len((found.folder / "test-looks.jsonl").read_text("utf-8").splitlines()) == 1, "test rows are looked at once"
    (lessons,) = learnt
    for lesson in lessons:
        own, more = lesson.train[:20], [one for one in lesson.train[20:] if one is not None]
        assert {one.weight for one in more} == {0.5}
        assert {one.fields["text"] for one in more} <= {row["text"] for row in MORE}
        assert all(one is None or one.target in TASK.names for one in own)


def test_a_folds_rows_are_answered_by_the_folds_own_prompt(
    model: sp.Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firsts: list[second.FirstRound] = []
    pseudo = second._pseudo_labelled
    monkeypatch.setattr(
        second,
        "_pseudo_labelled",
        lambda ready, first, watcher: (firsts.append(first), pseudo(ready, first, watcher))[1],
    )
    run(model, tmp_path / "r", unlabelled=MORE)
    (first,) = firsts
    assert [list(places) for places in first.labellers] == [[0], [1], [0, 1]]
    for lesson, prompt, tuned in zip(first.lessons, first.prompts, first.tuning.learnt, strict=False):
        assert tuned.name == lesson.name
        assert tuned.outcomes[0].tensors is prompt


def test_validation_rows_choose_where_there_are_no_folds(model: sp.Backbone, tmp_path: Path) -> None:
    parts = {"validation": rows(10, start=50), "data": {}}
    found = run(model, tmp_path / "r", unlabelled=MORE, **parts, training=QUICK)
    assert found.finding.second is not None
    assert found.finding.second.split == "validation"
    assert found.finding.second.taken > 0


def test_no_threshold_no_second_round(model: sp.Backbone, alone: sp.TuneReport, tmp_path: Path) -> None:
    found = run(model, tmp_path / "r", unlabelled=MORE, second={"precision": 0.99})
    assert same_numbers(found, alone)
    assert any(note.startswith("no second round: no threshold is proved") for note in found.notes)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


class At(Watcher):
    """Raises at a step of the second round."""

    def __init__(self, step: int, raised: type[BaseException]) -> None:
        self.wanted, self.raised, self.second = step, raised, False

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self.second |= name == "second round"

    def point(self, point: Point) -> None:
        if self.second and point.losses and point.step == self.wanted:
            raise self.raised


def steps_of(folder: Path) -> list[int]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line["step"] for line in lines if line["event"] == "step"]


@pytest.mark.parametrize(("folds", "seed"), [(2, 1), ("none", 5)])
def test_law_5_a_run_that_is_killed_in_its_second_round_goes_on_there(
    folds: Any, seed: int, model: sp.Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(monkeypatch, better=True)
    training = {**ONE, "checkpoint_every": 1e-9}
    steps = training["steps"]

    def go(name: str, watcher: Watcher | None = None, *, fresh: bool = False) -> sp.TuneReport:
        settings = {
            "data": {"train": "rows", "unlabelled": "rows", "folds": folds},
            "training": training,
            "second": SECOND,
            "baselines": False,
            "output": tmp_path / name,
        }
        sources = {"train": rows(20), "unlabelled": MORE}
        return tune(sp.RunConfig.parse(settings), watcher, sources=sources, backbone=model, fresh=fresh)

    whole = go("whole")
    assert not (whole.folder / "second").exists(), "a whole run needs no checkpoints"
    with pytest.raises(Killed):
        go("torn", At(random.Random(seed).randint(1, steps), Killed))
    assert (tmp_path / "torn" / "second" / "train.checkpoint").exists()
    resumed = go("torn")
    assert steps_of(resumed.folder) == [*range(1, steps + 1)] * 2, "no step is taken twice"
    assert same_numbers(whole, resumed)
    assert resumed.finding.second == whole.finding.second
    assert not (resumed.folder / "second").exists()


def test_a_second_round_ended_by_ctrl_c_keeps_the_first_and_can_go_on(
    model: sp.Backbone, alone: sp.TuneReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(monkeypatch, better=True)
    cut = run(model, tmp_path / "r", unlabelled=MORE, watcher=At(4, KeyboardInterrupt))
    assert same_numbers(cut, alone)
    assert cut.tuning.interrupted
    assert "second round: it was cut short; the first is saved" in cut.notes
    again = run(model, tmp_path / "r", unlabelled=MORE, fresh=False)
    assert not again.tuning.interrupted
    assert again.finding.second is not None
    assert again.finding.second.kept
    assert steps_of(again.folder) == [*range(1, 7), 1, 2, 3, 5, 6], "the step at which it was ended is taken, not told"


def test_a_fresh_run_forgets_the_second_round_of_the_one_before(
    model: sp.Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(monkeypatch, better=True)
    run(model, tmp_path / "r", unlabelled=MORE, watcher=At(4, KeyboardInterrupt))
    found = run(model, tmp_path / "r", unlabelled=MORE[:8])
    assert found.finding.second is not None
    assert found.finding.second.unlabelled == 8
    assert steps_of(found.folder) == [*range(1, 7), *range(1, 7)]


@pytest.mark.parametrize(
    ("unlabelled", "code"),
    [
        ([{"txet": "a"}, {"txet": "b"}], "data.unknown_field"),
        ([{"text": row["text"]} for row in rows(20)], "data.nothing_unlabelled"),
        ([], "data.no_rows"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(
    unlabelled: Any, code: str, model: sp.Backbone, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        run(model, tmp_path / "r", unlabelled=unlabelled)
    assert caught.value.code == code


def test_an_empty_file_is_refused(model: sp.Backbone, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("")
    with pytest.raises(DataError) as caught:
        run(model, tmp_path / "r", unlabelled=tmp_path / "more.csv")
    assert caught.value.code == "data.empty_file"


def test_written_answers_have_no_second_round(model: sp.Backbone, tmp_path: Path) -> None:
    task = sp.Task.generate(target="label", max_new_tokens=4)
    with pytest.raises(ConfigError, match="for classify and choose, this task is generate"):
        sp.tune(task, train=rows(20), unlabelled=MORE, model=model, output=tmp_path / "r")


# --- teachers


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models come by name; each time one is loaded, none of those before may still be there."""
    names: list[str] = []
    alive: list[weakref.ref[Any]] = []

    def load(name: str, **_: Any) -> sp.Backbone:
        gc.collect()
        assert all(one() is None for one in alive), f"{names} still in memory while {name} is loaded"
        found = tiny("gpt2" if name == "teacher" else "llama")
        names.append(name)
        alive.append(weakref.ref(found))
        return found

    monkeypatch.setattr(teaching.loading, "load", load)
    monkeypatch.setattr(preparing.loading, "load", load)
    return names


def test_the_teacher_is_asked_before_the_model_is_loaded_and_only_once(
    loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(monkeypatch, better=True)
    learnt: list[Sequence[Lesson]] = []
    again = second.train
    monkeypatch.setattr(second, "train", lambda *given, **more: (learnt.append(given[1]), again(*given, **more))[1])
    settings = {"teacher": {"name": "teacher", "share": 0.5}, "unlabelled": MORE, "second": {"most": 0.5}}
    found = run("student", tmp_path / "r", **settings)
    assert loaded == ["student", "teacher", "student"], "first a look whether the model takes the method"
    assert found.finding.second is not None
    assert (found.finding.second.source, found.finding.second.taken) == ("teacher", 10)
    (lessons,) = learnt
    for example, shares in zip(lessons[-1].train, lessons[-1].shares, strict=True):
        if example is None:
            assert shares is None
            continue
        assert shares is not None
        assert sum(shares) == pytest.approx(1)
        if example.target is not None:
            assert shares[TASK.names.index(str(example.target))] >= 0.5
    del found, lessons
    learnt.clear()
    run("student", tmp_path / "r", **settings)
    assert loaded == ["student", "teacher", "student", "student"], "what the teacher said is kept"
    (kept,) = (tmp_path / "r" / "teacher").glob("*.json")
    assert "good" not in kept.read_text("utf-8"), "no text is kept"


def test_a_method_that_the_model_cannot_take_is_refused_before_the_teacher_is_asked(
    loaded: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"directly behind slot 'soft'.*put a word between"):
        run("student", tmp_path / "r", teacher="teacher", method="deep", template="{text}<soft 2>{answer}")
    assert loaded == ["student"]
    assert not (tmp_path / "r").exists()


def test_a_model_in_hand_leaves_no_room_for_a_teacher(model: sp.Backbone, loaded: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the model by its name"):
        run(model, tmp_path / "r", teacher="teacher")
    assert loaded == []


@pytest.mark.parametrize(
    ("task", "came"),
    [
        (sp.Task.classify(["no", "maybe"]), "does not know 'yes'; it knows 'no', 'maybe'"),
        (sp.Task.generate(target="label", max_new_tokens=4), "is for generate, this task is classify"),
    ],
)
def test_a_teacher_without_the_labels_is_refused(
    task: sp.Task, came: str, model: sp.Backbone, loaded: list[str], tmp_path: Path
) -> None:
    known = [{**row, "label": row["label"].replace("yes", "maybe")} for row in rows(20)]
    sp.tune(
        task, train=known, model=model, output=tmp_path / "t", training=ONE, baselines=False, data={"folds": "none"}
    )
    with pytest.raises(ConfigError, match=came) as caught:
        run("student", tmp_path / "r", teacher=str(tmp_path / "t"))
    assert caught.value.code == "config.teacher_labels"
    assert loaded == []
