"""Evaluations: metrics against numbers worked out by hand, abstaining, groups, and the way through JSON."""

import json
import math
from dataclasses import replace

import pytest

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.stats import wilson
from softprompt.core.tasks import Task
from softprompt.lab.evaluation import Evaluation, evaluate, evaluate_asks
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.templates import RowBuilder, Template
from softprompt.testing import tiny

TASK = Task.classify(["no", "yes"], metrics=("accuracy", "macro_f1"))
ROWS = [Example({"text": str(n)}, target=label, id=str(n)) for n, label in enumerate(["yes", "yes", "no", "no"])]


def said(text, probability=0.8, **settings):
    other = {"no": "yes", "yes": "no"}[text]
    named = dict(sorted({text: probability, other: 1 - probability}.items()))
    return Prediction("", text, named, probability, **settings)


def test_scores_are_those_of_the_formulas():
    found = evaluate([said("yes"), said("no"), said("no"), said("no")], ROWS, TASK, seconds=1.5)
    assert found.headline == wilson(3, 4)
    assert found.metrics["macro_f1"].estimate == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found.calibration["log_loss"].estimate == pytest.approx(-(3 * math.log(0.8) + math.log(0.2)) / 4)
    assert found.calibration["brier"].estimate == pytest.approx((3 * 0.08 + 1.28) / 4)
    assert found.calibration["ece"].estimate == pytest.approx(0.05)
    assert [(one.label, one.n, one.recall.estimate) for one in found.classes] == [("no", 2, 1.0), ("yes", 2, 0.5)]
    assert [item.correct for item in found.items] == [True, False, True, True]
    assert (found.seconds, found.abstained, found.cut) == (1.5, 0, 0)


def test_an_abstention_is_wrong_and_is_counted_apart():
    found = evaluate([said("yes"), said("yes", abstained=True), said("no"), said("yes")], ROWS, TASK)
    assert found.headline == wilson(2, 4)
    assert found.answered == wilson(2, 3)
    assert found.abstained == 1
    assert (found.items[1].prediction, found.items[1].probability, found.items[1].correct) == (None, 0.8, False)
    # what was withheld still has probabilities, and they count
    assert found.calibration["log_loss"].estimate == pytest.approx(-(3 * math.log(0.8) + math.log(0.2)) / 4)


def test_all_withheld_leaves_nothing_answered():
    found = evaluate([said("yes", abstained=True)] * 4, ROWS, TASK)
    assert (found.answered, found.headline.estimate) == (None, 0.0)


def test_rows_that_did_not_fit_are_counted():
    assert evaluate([said("no", cut=7), said("no"), said("no"), said("no", cut=1)], ROWS, TASK).cut == 2


def test_groups_widen_the_interval():
    answers = [said("yes"), said("yes"), said("yes"), said("yes")] * 10
    rows = [replace(row, id=str(n)) for n, row in enumerate(ROWS * 10)]
    alone = evaluate(answers, rows, TASK).headline
    grouped = [replace(row, group=f"customer {row.target} {n // 20}") for n, row in enumerate(rows)]
    together = evaluate(answers, grouped, TASK).headline
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert together.method.endswith("clustered")


def test_free_text_is_judged_by_its_references():
    rows = [Example({"text": "a"}, target=["red car", "car"], id="a"), Example({"text": "b"}, target="blue", id="b")]
    answers = [Prediction("a", "The car!", None, 0.5), Prediction("b", "green", None, 0.5)]
    found = evaluate(answers, rows, Task.generate(metrics=("exact_match", "token_f1")))
    assert [interval.estimate for interval in found.metrics.values()] == [0.5, 0.5]
    assert (found.calibration, found.classes, found.labels) == ({}, (), ())
    assert [(item.reference, item.correct) for item in found.items] == [(("red car", "car"), True), ("blue", False)]
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_perplexity_comes_from_the_losses():
    rows = [Example({"text": "a"}, target="x", id="a"), Example({"text": "b"}, target="y", id="b")]
    answers = [Prediction("", "x", None, 0.5)] * 2
    task = Task.generate(metrics=("perplexity",))
    found = evaluate(answers, rows, task, losses=[(2.0, 4), (6.0, 4)])
    assert found.headline.estimate == pytest.approx(math.e)
    with pytest.raises(DataError, match=r"data\.not_probabilities"):
        evaluate(answers, rows, task)


def test_json_brings_everything_back():
    found = evaluate([said("yes"), said("no", abstained=True), said("no"), said("no")], ROWS, TASK, name="ours")
    again = Evaluation.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again == found
    assert (again.score("macro_f1").items == found.score("macro_f1").items).all()


def test_scores_can_be_had_again_from_the_items():
    found = evaluate([said("yes"), said("no"), said("no"), said("no")], ROWS, TASK)
    assert found.score("accuracy").interval == found.headline
    with pytest.raises(DataError, match="choose from accuracy, macro_f1"):
        found.score("log_loss")


@pytest.mark.parametrize(
    ("answers", "rows", "code"),
    [
        ([said("yes")], ROWS, "data.lengths_differ"),
        ([], [], "data.nothing_to_score"),
        ([said("yes")], [Example({"text": "a"})], "data.no_target"),
        ([said("yes")], [Example({"text": "a"}, target="maybe")], "data.unknown_label"),
    ],
)
def test_what_cannot_be_judged_is_refused(answers, rows, code):
    with pytest.raises(DataError) as caught:
        evaluate(answers, rows, TASK)
    assert caught.value.code == code


def test_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        evaluate([said("yes")] * 4, ROWS, Task.classify(["no", "yes"], metrics=("acuracy",)))


def test_seconds_are_those_of_a_stream():
    def slow():
        yield from [said("yes")] * 4

    assert 0 < evaluate(slow(), ROWS, TASK).seconds < 5


# --- several prompts at once


def asks(backbone, *tasks):
    template = Template.parse("{text} It was {answer}")
    return [Ask(RowBuilder(template, task, backbone.tokenizer, max_tokens=64), name=task.target) for task in tasks]


def test_prompts_are_judged_on_their_own_answers_over_one_reading():
    backbone = tiny()
    tone = Task.classify(["good", "bad"], target="tone")
    other = [replace(row, target="good") for row in ROWS]
    predictor = Predictor(backbone, asks(backbone, TASK, tone))
    first, second = evaluate_asks(predictor, ROWS, other)
    predictions = list(predictor.predict(ROWS))
    assert replace(first, seconds=0.0) == evaluate(
        [row[0] for row in predictions], ROWS, TASK, name="label", seconds=0.0
    )
    assert replace(second, seconds=0.0) == evaluate(
        [row[1] for row in predictions], other, tone, name="tone", seconds=0.0
    )


def test_perplexity_is_worked_out_when_a_task_asks_for_it():
    backbone = tiny()
    task = Task.generate(metrics=("perplexity", "exact_match"), max_new_tokens=3)
    predictor = Predictor(backbone, asks(backbone, task))
    (found,) = evaluate_asks(predictor, ROWS)
    losses = [loss for (loss,) in predictor.losses(ROWS)]
    by_hand = math.exp(sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses))
    assert found.headline.estimate == pytest.approx(by_hand)


def test_data_sets_must_be_of_the_same_texts():
    backbone = tiny()
    predictor = Predictor(backbone, asks(backbone, TASK, TASK))
    for others in ([ROWS[::-1]], [ROWS[:2]], [ROWS, ROWS]):
        with pytest.raises(DataError, match="2 prompts"):
            evaluate_asks(predictor, ROWS, *others)
