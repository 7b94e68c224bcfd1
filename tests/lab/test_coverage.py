"""Thresholds: the guarantee holds in simulations in which a naive choice breaks it, and what is said is true."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.coverage import choose_threshold, cover, fewest_rows, outcomes
from softprompt.lab.evaluation import evaluate
from softprompt.model.prediction import Prediction

TARGET = 0.9

#: Probability of being right by confidence; "zigzag" breaks the assumption that surer answers are righter.
MODELS = {
    "calibrated": lambda p: p,
    "barely too bad": lambda p: np.full_like(p, TARGET - 0.001),
    "overconfident": lambda p: 0.5 + 0.42 * p,
    "zigzag": lambda p: np.where(p > 0.97, 0.8, np.where(p > 0.8, 0.93, 0.7)),
}


def drawn(rng, n):
    return 1 - 0.5 * rng.beta(0.6, 1.5, n)


def naive(sure, right):
    """The most lenient threshold at which the share right reaches the target: what one would write at first."""
    order = np.argsort(-sure)
    shares = np.cumsum(right[order]) / np.arange(1, len(sure) + 1)
    reached = np.flatnonzero(shares >= TARGET)
    return sure[order][reached[-1]] if len(reached) else None


@pytest.mark.parametrize("grouped", [True, False])
def test_of_groups_that_share_their_fate_the_promise_holds_when_groups_count(grouped):
    """Each customer's five messages are right or wrong together: 500 rows are 100 independent things, 89 % right."""
    rng = np.random.default_rng(3)
    runs, missed = 200, 0
    for _ in range(runs):
        right = np.repeat(rng.random(100) < 0.89, 5)
        groups = np.repeat(np.arange(100), 5).tolist() if grouped else None
        choice = choose_threshold(np.full(500, 0.9).tolist(), right.tolist(), precision=TARGET, groups=groups)
        missed += choice.threshold is not None
    allowed = stats.binomtest(missed, runs, 0.05, alternative="greater").pvalue > 0.01
    assert allowed == grouped, missed / runs


def test_a_group_counts_once_and_only_with_nothing_wrong():
    groups = [n // 2 for n in range(200)]
    choice = choose_threshold([0.9, 0.6] * 100, [True] * 199 + [False], precision=TARGET, groups=groups)
    assert (choice.rows, choice.answered, choice.right, choice.unit) == (100, 100, 99, "groups")
    assert 0 < choice.threshold <= 0.6
    found = cover(choice, [0.9, 0.6] * 100, [True] * 199 + [False], groups=groups)
    assert found.rows == found.answered == 200
    assert "of rows can be answered with nothing wrong in 90 % or more of the groups that get" in found.sentence
    other = cover(choice, [0.9] * 60 + [0.1] * 60, [False] * 2 + [True] * 118, same_rows=False, groups=groups[:120])
    assert (other.precision.estimate, other.precision.method) == (29 / 30, "clopper-pearson")
    assert other.coverage.method.endswith("-clustered")
    assert other.coverage.low < 0.42
    alone = choose_threshold([0.9] * 80, [True] * 80, precision=0.95, groups=groups[:80])
    assert "40 groups are too few, about 19 more like these would do" in alone.reason
    with pytest.raises(DataError, match="3 groups for 80 confidences"):
        choose_threshold([0.9] * 80, [True] * 80, precision=TARGET, groups=[1, 2, 3])


def test_groups_of_one_row_are_rows():
    rng = np.random.default_rng(5)
    sure = drawn(rng, 300).tolist()
    right = (rng.random(300) < np.array(sure)).tolist()
    rows = choose_threshold(sure, right, precision=0.8)
    assert choose_threshold(sure, right, precision=0.8, groups=range(300)) == replace(rows, grouped=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_chosen_threshold_misses_its_precision_in_at_most_one_of_twenty(name):
    rng = np.random.default_rng(7)
    truth = MODELS[name]
    confidences = np.sort(drawn(rng, 100_000))[::-1]
    precision = np.cumsum(truth(confidences)) / np.arange(1, len(confidences) + 1)
    runs, missed, missed_naively, found = 200, 0, 0, 0

    def misses(threshold):
        count = int((confidences >= threshold).sum())
        return bool(count and precision[count - 1] < TARGET)

    for _ in range(runs):
        sure = drawn(rng, 200)
        right = rng.random(200) < truth(sure)
        choice = choose_threshold(sure.tolist(), right.tolist(), precision=TARGET)
        found += choice.threshold is not None
        missed += choice.threshold is not None and misses(choice.threshold)
        simple = naive(sure, right)
        missed_naively += simple is not None and misses(simple)
    assert stats.binomtest(missed, runs, 0.05, alternative="greater").pvalue > 0.01, missed / runs
    assert missed_naively / runs > 0.2  # the test can fail
    if name == "calibrated":
        assert found / runs > 0.6


def test_the_band_of_the_covered_share_holds_for_a_threshold_that_was_chosen():
    rng = np.random.default_rng(3)
    held = []
    for _ in range(200):
        sure = drawn(rng, 150)
        choice = choose_threshold(sure.tolist(), (rng.random(150) < sure + 0.05).tolist(), precision=TARGET)
        if choice.threshold is None:
            continue
        found = cover(choice, sure.tolist(), [True] * 150).coverage
        held.append(found.low <= stats.beta.cdf(2 * (1 - choice.threshold), 0.6, 1.5) <= found.high)
    assert len(held) > 100
    assert np.mean(held) >= 0.95


ROWS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=120)


@given(ROWS, st.floats(0.3, 0.99))
def test_what_is_said_of_a_threshold_is_true(rows, target):
    sure, right = [p for p, _ in rows], [good for _, good in rows]
    choice = choose_threshold(sure, right, precision=target)
    if choice.threshold is None:
        assert choice.reason.startswith("no threshold is proved")
        assert cover(choice, sure, right).sentence == choice.reason
        return
    above = [good for p, good in rows if p >= choice.threshold]
    assert (choice.answered, choice.right) == (len(above), sum(above))
    assert stats.binom.cdf(len(above) - sum(above), len(above), 1 - target) <= 0.05 + 1e-12
    found = cover(choice, sure, right)
    assert found.precision.low == target <= found.precision.estimate
    assert found.coverage.low <= found.coverage.estimate == len(above) / len(rows) <= found.coverage.high


def test_rows_that_did_not_choose_give_exact_intervals():
    choice = choose_threshold([0.9] * 100, [True] * 100, precision=0.95)
    found = cover(choice, [0.95] * 30 + [0.2] * 20, [True] * 29 + [False] * 21, same_rows=False)
    assert (found.coverage.method, found.coverage.estimate, found.precision.estimate) == (
        "clopper-pearson",
        0.6,
        29 / 30,
    )
    assert "on these 50 rows, which did not choose it, 97 % [83 %, 100 %] of them are right" in found.sentence
    nobody = cover(choice, [0.1] * 5, [True] * 5, same_rows=False)
    assert math.isnan(nobody.precision.estimate)
    assert nobody.sentence.endswith("none of these 5 rows reaches it")


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ([True] * 10, "10 rows are too few, at least 59 must"),
        ([True] * 40, "40 rows are too few, about 19 more like these would do"),
        ([True] * 97 + [False] * 3, "100 rows are too few, about"),
        ([True] * 80 + [False] * 20, "the surest answers are right in 80 %, and more rows would not change that"),
    ],
)
def test_without_a_threshold_it_says_what_would_help(right, said):
    assert said in choose_threshold([0.8] * len(right), right, precision=0.95).reason


def test_as_many_rows_as_it_asks_for_would_do():
    right = [True] * 97 + [False] * 3
    needed = choose_threshold([0.8] * 100, right, precision=0.95).rows_needed
    wrong = round(0.03 * needed)
    more = [True] * (needed - wrong) + [False] * wrong
    assert choose_threshold([0.8] * needed, more, precision=0.95).threshold is not None


@given(st.integers(30, 150), st.integers(0, 99))
def test_what_it_asks_for_is_more_than_there_is(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sure = np.sqrt(rng.random(rows))
    choice = choose_threshold(sure.tolist(), (rng.random(rows) < sure).tolist(), precision=0.8)
    assert choice.rows_needed is None or choice.rows_needed > rows


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_fewest_rows_is_the_smallest_number(level):
    n = fewest_rows(0.95, level=level)
    assert 0.95**n <= 1 - level < 0.95 ** (n - 1)


def test_bad_questions_are_refused():
    with pytest.raises(ConfigError, match="precision must lie between 0 and 1"):
        choose_threshold([0.5], [True], precision=1.5)
    with pytest.raises(DataError, match=r"data\.lengths_differ"):
        choose_threshold([0.5], [], precision=0.5)
    written = evaluate(
        [Prediction("", "x", None, 0.5)], [Example({}, target="x")], Task.generate(metrics=("exact_match",))
    )
    with pytest.raises(DataError, match=r"data\.not_probabilities"):
        outcomes(written)
