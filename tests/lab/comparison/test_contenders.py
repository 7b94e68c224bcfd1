"""The run that judges contenders: who is fitted, and what stands in a line."""

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import LinearProbe, Majority, TfidfLogistic, contend
from softprompt.model.templates import Template
from softprompt.testing import tiny
from tests.lab.comparison.baselines.reviews import TASK, reviews


def test_only_contenders_that_can_do_the_task_are_fitted_and_every_line_is_told():
    told = []
    rows = Dataset(tuple(Example({"text": "x"}, target="yes", id=str(n)) for n in range(4)))
    backbone = tiny()
    contenders = [Majority(), TfidfLogistic(), LinearProbe(backbone, Template.preset("generate"))]
    task = Task.generate()
    standings = contend(contenders, task, train=rows, test=rows, on_standing=told.append)
    assert [one.name for one in standings] == ["majority"]
    assert told == list(standings)
    assert standings[0].evaluation.metrics["exact_match"].estimate == 1.0
    assert (standings[0].num_trained, standings[0].num_bytes) == (0, 0)


def test_lines_carry_the_test_scores_times_and_sizes():
    train, test = reviews(40), reviews(20, seed=2)
    majority, words = contend([Majority(), TfidfLogistic()], TASK, train=train, test=test)
    assert majority.evaluation.metrics["accuracy"].estimate == 0.5
    assert words.evaluation.metrics["accuracy"].estimate == 1.0
    assert words.fit_seconds > 0 < words.predict_seconds
    assert words.num_bytes > 8 * words.num_trained > 0
    assert [item.id for item in words.evaluation.items] == [row.id for row in test]
