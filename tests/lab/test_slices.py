"""Slices: numbers by hand, folding, a correction for many of them, mistakes in order."""

import numpy as np
import pytest
from scipy import stats

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.stats import holm
from softprompt.core.tasks import Task
from softprompt.lab.evaluation import evaluate
from softprompt.lab.slices import confusions, cut_slices, mistakes, slice_rows
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"], metrics=("accuracy",))


def judged(right, *, cut=(), target="yes", groups=None):
    rows = [
        Example({"text": f"t{n}"}, target=target, id=str(n), source=f"a.csv:{n + 2}", group=groups and groups[n])
        for n in range(len(right))
    ]
    other = {"no": "yes", "yes": "no"}[target]
    said = []
    for n, good in enumerate(right):
        text, p = (target, 0.9) if good else (other, 0.6 + 0.3 * n / len(right))
        probabilities = {"no": p if text == "no" else 1 - p, "yes": p if text == "yes" else 1 - p}
        said.append(Prediction(str(n), text, probabilities, p, cut=7 if n in cut else 0))
    return evaluate(said, rows, TASK), rows


def test_a_slice_is_compared_with_all_other_rows():
    found, _ = judged([False] * 20 + [True] * 10 + [True] * 45 + [False] * 5)
    columns = {"channel": ["mail"] * 30 + ["chat"] * 50, "language": ["de", "en"] * 40}
    channel, language = slice_rows(found, columns)
    mail = next(one for one in channel.slices if one.value == "mail")
    assert (mail.rows, mail.mean, mail.rest) == (30, pytest.approx(1 / 3), 0.9)
    raw = [
        stats.fisher_exact([[45, 5], [10, 20]], alternative="less").pvalue,
        stats.fisher_exact([[10, 20], [45, 5]], alternative="less").pvalue,
        *(stats.fisher_exact([[a, 40 - a], [55 - a, a - 15]], alternative="less").pvalue for a in _halves(found)),
    ]
    told = [one.pvalue for by in (channel, language) for one in by.slices]
    assert told == pytest.approx(holm(raw).tolist())
    assert channel.worst is mail
    assert "channel = mail: 33 % right on 30 rows, 90 % on the others" in channel.sentence
    assert language.sentence == "language: no slice is significantly worse than the other rows"


def test_groups_count_once_in_a_slice():
    right, values = [False] * 20 + [True] * 80, ["mail"] * 40 + ["chat"] * 60
    alone, _ = judged(right)
    (by_rows,) = slice_rows(alone, {"channel": values})
    (by_groups,) = slice_rows(judged(right, groups=[f"g{n}" for n in range(100)])[0], {"channel": values})
    assert by_rows.worst.value == by_groups.worst.value == "mail"
    loud, _ = judged(right, groups=[f"g{n // 20}" for n in range(100)])
    (found,) = slice_rows(loud, {"channel": values}, min_rows=2)
    assert found.worst is None, "one customer of two wrote every message that went wrong"
    (folded,) = slice_rows(loud, {"channel": values})
    assert [one.folded for one in folded.slices] == [2]


def _halves(found):
    return [sum(item.correct for item in found.items[start::2]) for start in (0, 1)]


def test_small_slices_are_folded_shown_and_not_compared():
    found, _ = judged([True] * 30 + [False] * 6)
    (by,) = slice_rows(found, {"c": ["a"] * 30 + ["b", "b", "", " ", "d", "d"]})
    assert [(one.value, one.rows, one.folded) for one in by.slices] == [("a", 30, 0), ("other (3 values)", 6, 3)]
    assert by.slices[1].pvalue is None
    assert by.compared == 1
    (by,) = slice_rows(found, {"c": ["a"] * 30 + ["b"] * 6})
    assert [(one.value, one.pvalue) for one in by.slices] == [("a", pytest.approx(1.0)), ("b", None)]
    (alone,) = slice_rows(found, {"c": ["x"] * 36})
    assert (alone.slices[0].rest, alone.worst) == (None, None)


def test_without_a_difference_hardly_any_slice_is_called_worse():
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(20):
        found, _ = judged((rng.random(120) < 0.7).tolist())
        columns = {str(k): rng.choice(list("abc"), 120).tolist() for k in range(3)}
        called += any(by.worst for by in slice_rows(found, columns))
    assert called <= 4  # 5 % of 20, three standard deviations


def test_cut_rows_stand_against_whole_ones():
    found, _ = judged([False] * 12 + [True] * 30, cut=range(12))
    by = cut_slices(found)
    assert by.worst.value == "cut"
    assert {one.value: one.rows for one in by.slices} == {"cut": 12, "whole": 30}
    assert cut_slices(judged([True] * 5)[0]) is None
    assert cut_slices(judged([True] * 5, cut=range(5))[0]) is None


def test_written_answers_are_compared_by_their_scores():
    rows = [Example({}, target="a b c d", id=str(n)) for n in range(60)]
    said = [Prediction("", "a" if n < 20 else "a b c", None, 0.5) for n in range(60)]
    found = evaluate(said, rows, Task.generate(metrics=("rouge_l",)))
    (by,) = slice_rows(found, {"c": ["x"] * 20 + ["y"] * 40})
    assert by.sentence.startswith("c = x: rouge_l 0.40 on 20 rows, 0.86 on the others")


def test_mistakes_come_surest_first_and_say_how_far_the_right_answer_was():
    found, rows = judged([True, False, True, False])
    wrong = mistakes(found, rows)
    assert [(one.source, one.predicted, one.expected) for one in wrong] == [
        ("a.csv:5", "no", "yes"),
        ("a.csv:3", "no", "yes"),
    ]
    assert wrong[0].probability == pytest.approx(0.825)
    assert wrong[0].margin == pytest.approx(0.825 - 0.175)


def test_confusions_are_told_from_two_on():
    found, _ = judged([True, False, False, True])
    assert [one.sentence for one in confusions(found)] == ["2 of 4 rows of yes were taken for no"]
    assert confusions(judged([True, False])[0]) == ()


def test_lists_must_run_in_parallel():
    found, rows = judged([True] * 3)
    with pytest.raises(DataError, match="2 values of 'c' for 3 rows"):
        slice_rows(found, {"c": ["x", "y"]})
    with pytest.raises(DataError, match=r"data\.lengths_differ"):
        mistakes(found, rows[:2])
