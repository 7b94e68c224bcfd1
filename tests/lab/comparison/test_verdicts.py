"""Verdicts: differences on the same rows, worked out by hand, and the sentences that say them."""

import json
from dataclasses import replace

import pytest

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.stats import mcnemar_exact
from softprompt.core.tasks import Task
from softprompt.lab.comparison import Comparison, Standing, compare
from softprompt.lab.evaluation import evaluate
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"], metrics=("accuracy", "macro_f1"))
ROWS = [Example({"text": str(n)}, target="yes" if n % 2 else "no", id=str(n)) for n in range(100)]


def standing(name, wrong, *, rows=ROWS, task=TASK):
    """A line that errs on the given rows."""
    other = {"no": "yes", "yes": "no"}
    answers = [other[row.target] if n in wrong else row.target for n, row in enumerate(rows)]
    said = [Prediction(row.id, text, None, 1.0) for row, text in zip(rows, answers, strict=True)]
    return Standing(evaluate(said, rows, task, name=name, seconds=0.5), 2.0, 10, 80, "a note")


OURS = standing("soft prompt", range(10))
LINES = [
    standing("majority", range(0, 100, 2)),
    OURS,
    standing("almost", range(2, 13)),
    standing("best", ()),
]


def test_differences_are_paired_on_the_same_rows():
    found = compare(LINES, reference="soft prompt")
    assert [one.second for one in found.differences] == ["majority", "almost", "best"]
    assert [one.interval.estimate for one in found.differences] == pytest.approx([0.4, 0.01, -0.1])
    assert [one.verdict for one in found.differences] == ["better", "cannot tell", "worse"]
    # majority: 45 even rows from 10 on are only its errors, 5 odd rows below 10 only ours
    assert [one.p_value for one in found.differences] == [
        mcnemar_exact(45, 5),
        mcnemar_exact(3, 2),
        mcnemar_exact(0, 10),
    ]
    # Holm: the smallest three times, the next twice, the largest once
    p = [one.p_value for one in found.differences]
    assert [one.p_adjusted for one in found.differences] == pytest.approx([3 * p[0], p[1], 2 * p[2]])


def test_shared_errors_make_a_small_difference_sure():
    # the same two scores, once with shared errors and once without: only pairing tells the first pair apart
    shared = compare([standing("a", range(30)), standing("b", range(40))], reference="a")
    apart = compare([standing("a", range(30)), standing("b", range(60, 100))], reference="a")
    assert (shared.differences[0].verdict, apart.differences[0].verdict) == ("better", "cannot tell")


def test_sentences_say_it_in_points():
    majority, almost, best = compare(LINES, reference="soft prompt").sentences
    assert majority.startswith("soft prompt is better than majority by 40 points [")
    assert majority.endswith("] of accuracy, 100 rows, p = 4.2e-09")
    assert almost.startswith("cannot tell soft prompt from almost: a difference of 1 points [-")
    assert best.startswith("soft prompt is worse than best by 10 points [")
    low, high = best[best.index("[") + 1 : best.index("]")].split(", ")
    assert 0 < float(low) < 10 < float(high)


def test_another_metric_is_tested_by_permutation():
    found = compare(LINES, reference="soft prompt", metric="macro_f1")
    assert found.metric == "macro_f1"
    assert 0 < found.differences[0].p_value < 1 / 10_001, "all swaps are counted where they are few"
    assert found.differences[1].verdict == "cannot tell"


def test_a_first_metric_that_needs_more_than_answers_gives_way():
    task = Task.classify(["no", "yes"], metrics=("log_loss", "accuracy"))
    lines = [with_probabilities(name, wrong, task) for name, wrong in (("a", 10), ("b", 30))]
    assert compare(lines, reference="a").metric == "accuracy"
    with pytest.raises(DataError, match="choose from accuracy"):
        compare(lines, reference="a", metric="log_loss")


def with_probabilities(name, wrong, task):
    said = []
    for n, row in enumerate(ROWS):
        p = 0.2 if n < wrong else 0.8
        named = {label: p if label == row.target else 1 - p for label in task.names}
        said.append(Prediction(row.id, max(named, key=named.get), named, max(named.values())))
    return Standing(evaluate(said, ROWS, task, name=name, seconds=0.5), 2.0, 10, 80)


def test_groups_are_compared_as_wholes():
    grouped = [replace(row, group=str(n // 20)) for n, row in enumerate(ROWS)]
    lines = [standing("a", range(30), rows=grouped), standing("b", range(50), rows=grouped)]
    assert compare([standing("a", range(30)), standing("b", range(50))], reference="a").differences[0].p_value < 0.001
    assert compare(lines, reference="a").differences[0].p_value > 0.1


def test_lower_is_better_where_the_metric_says_so(monkeypatch):
    from softprompt.core.metrics import Accuracy, scoring

    class Errors(Accuracy):
        name = "errors"
        higher_is_better = False

        def value(self, prediction, reference):
            return 1 - super().value(prediction, reference)

    monkeypatch.setitem(scoring.METRICS, "errors", lambda labels: Errors())
    found = compare(LINES, reference="soft prompt", metric="errors")
    assert [one.verdict for one in found.differences] == ["better", "cannot tell", "worse"]
    assert found.sentences[0].startswith("soft prompt is better than majority by 40 points [")
    assert found.sentences[2].startswith("soft prompt is worse than best by 10 points [")


def test_json_brings_the_table_back():
    found = compare(LINES, reference="soft prompt")
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_a_table_of_one_line_has_nothing_to_say():
    assert compare([OURS], reference="soft prompt").sentences == ()


def test_a_reference_that_is_no_line_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'soft prompt'"):
        compare(LINES, reference="soft promt")


@pytest.mark.parametrize("rows", [ROWS[:50], [replace(row, id=f"x{row.id}") for row in ROWS]])
def test_different_rows_are_not_compared(rows):
    with pytest.raises(DataError, match="judged on different rows"):
        compare([OURS, standing("other", (), rows=rows)], reference="soft prompt")
