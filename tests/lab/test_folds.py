"""Folds as prompts of one training: masks, one rate, the laws of resuming and of being trained together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from softprompt.core.errors import TrainingError
from softprompt.core.stats import wilson
from softprompt.data.dataset import Dataset
from softprompt.data.splits import folds
from softprompt.lab.comparison import Majority
from softprompt.lab.folds import contend_out_of_fold, judge_out_of_fold, lessons_of, out_of_fold
from softprompt.lab.lessons import Lesson
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import Tuning, tune
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.prediction import Ask, Prediction, Predictor
from tests.lab.lessons import At, Killed, every_bit, examples, lesson
from tests.lab.training.small import llama

SETTINGS = TrainingSettings(
    steps=4, batch_size=4, seeds=(0, 1), rates=(0.01, 0.05), probe_steps=2, evaluations=2, keep="last"
)
ROWS = Dataset(tuple(examples(9)), classes=("no", "yes"))
PARTS = folds(ROWS, k=3)


def lessons(seed: int = 0) -> list[Lesson]:
    return lessons_of(lesson(train=ROWS.rows, validation=()), PARTS, seed=seed)


def run(some: Sequence[Lesson], **rest: Any) -> Tuning:
    return tune(llama(), some, method=PlainSettings(), **{"settings": SETTINGS, **rest})


@pytest.fixture(scope="module")
def found() -> Tuning:
    return run(lessons())


def test_every_row_is_left_out_of_one_fold_and_judges_it() -> None:
    *parts, whole = lessons()
    for one, fold in zip(parts, PARTS, strict=True):
        assert [i for i, row in enumerate(one.train) if row is None] == list(fold.held_out)
        assert [i for i, row in enumerate(one.validation) if row is not None] == list(fold.held_out)
    assert list(whole.train) == list(ROWS.rows)
    assert set(whole.validation) == {None}


def test_one_fold_probes_for_all(found: Tuning) -> None:
    assert set(found.learnt[0].probe) == {0.01, 0.05}
    assert [one.probe for one in found.learnt[1:]] == [{}] * 3
    assert {one.rate for one in found.learnt} == {found.learnt[0].rate}
    assert [one.seeds for one in found.learnt] == [(0, 1)] * 3 + [(0,)]


def test_all_are_kept_at_their_last_step(found: Tuning) -> None:
    outcomes = [outcome for one in found.learnt for outcome in one.outcomes]
    assert {(outcome.stop, outcome.step) for outcome in outcomes} == {("finished", 4)}
    assert found.learnt[-1].outcomes[0].evaluations == ()


def test_law_6_a_fold_beside_others_is_the_fold_alone(found: Tuning) -> None:
    settings = SETTINGS.model_copy(update={"rate": found.learnt[0].rate})
    for n in range(3):
        fold, whole = run([lessons()[n], lessons()[-1]], settings=settings).learnt
        for one, own in ((fold, found.learnt[n]), (whole, found.learnt[-1])):
            for alone, together in zip(one.outcomes, own.outcomes, strict=True):
                for (_, a), (_, b) in zip(alone.tensors.tensors(), together.tensors.tensors(), strict=True):
                    assert float((a - b).abs().max() / b.abs().max().clamp(min=1)) < 1e-4


@pytest.mark.parametrize(("stage", "count"), [("probe", 2), ("train", 2), ("train", 5)])
def test_law_5_killed_and_resumed_is_uninterrupted(stage: str, count: int, found: Tuning, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"checkpoint_every": 1e-9})
    with pytest.raises(Killed):
        run(lessons(), settings=settings, folder=tmp_path, on_event=At(stage, count, Killed))
    resumed = run(lessons(), settings=settings, folder=tmp_path)
    whole = run(lessons(), settings=settings)
    # what was never judged has a score of nan, which equals nothing: compared as text
    assert repr(every_bit(resumed)) == repr(every_bit(whole))


def test_what_nothing_can_be_chosen_by_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"no row to judge by \[training\.no_rows\]"):
        run(lessons(), settings=SETTINGS.model_copy(update={"keep": "best"}))


def test_rows_are_answered_by_the_fold_that_has_not_seen_them(found: Tuning) -> None:
    builder = lessons()[0].builder
    asks = [[Ask(builder, outcome.tensors) for outcome in one.outcomes] for one in found.learnt[:-1]]
    both = out_of_fold(llama(), asks, PARTS, ROWS.rows)
    assert [len(said) for said in both] == [9, 9]
    for mine, fold in zip(asks, PARTS, strict=True):
        alone = Predictor(llama(), mine[1:]).predict([ROWS[i] for i in fold.held_out])
        for i, (answer,) in zip(fold.held_out, alone, strict=True):
            assert both[1][i].probabilities == pytest.approx(answer.probabilities, abs=1e-5)


def test_contenders_learn_without_the_rows_they_are_judged_on() -> None:
    task = lessons()[0].builder.task
    (line,) = contend_out_of_fold([Majority()], task, rows=ROWS, parts=PARTS)
    for fold in PARTS:
        counts = ROWS.select(fold.train).labels()
        for i in fold.held_out:
            assert line.evaluation.items[i].probability == pytest.approx(max(counts.values()) / len(fold.train))


def test_intervals_are_widened_for_the_rows_that_folds_share() -> None:
    task = lessons()[0].builder.task.model_copy(update={"metrics": ("accuracy",)})
    said = [Prediction(row.id, "yes", {"no": 0.2, "yes": 0.8}, 0.8) for row in ROWS]
    found = judge_out_of_fold(said, ROWS.rows, task, num_folds=5, name="x").headline
    plain = wilson(4, 9)
    assert found.estimate == plain.estimate
    assert (found.high - found.estimate) / (plain.high - plain.estimate) == pytest.approx((5 / 4) ** 0.5)
