"""Intervals over seeds and rows: special cases with known answers, laws, and coverage by simulation."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats

from softprompt.core.errors import DataError
from softprompt.core.stats import (
    bootstrap,
    difference_over_seeds,
    mean_over_seeds,
    seeds_then_items,
    t_interval,
    verdict,
)


def mean(sums):
    return sums[0] / sums[1]


def f1(sums):
    return 2 * sums[0] / max(1, 2 * sums[0] + sums[1])


def with_ones(values):
    return np.stack([values, np.ones_like(values)], axis=-1).astype(float)


def crossed(rng, *, seeds, rows, between_seeds, between_rows, rest=0.5, truth=0.0):
    """Numbers by seed and row with known parts of variance."""
    return (
        truth
        + between_seeds * rng.standard_normal((seeds, 1))
        + between_rows * rng.standard_normal((1, rows))
        + rest * rng.standard_normal((seeds, rows))
    )


@hypothesis.given(st.lists(st.floats(-5, 5), min_size=2, max_size=9))
def test_t_interval_equals_scipy(values):
    hypothesis.assume(np.std(values) > 1e-6)
    ours = t_interval(values)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx((low, high))


def test_one_number_says_nothing_about_the_spread():
    assert t_interval([0.8]).low == -math.inf


@hypothesis.given(st.integers(2, 5), st.integers(3, 30), st.integers(0, 99))
def test_variance_is_that_of_the_two_way_table(seeds, rows, seed):
    """Against the mean squares of the crossed layout, computed another way: from sums over cells."""
    y = crossed(np.random.default_rng(seed), seeds=seeds, rows=rows, between_seeds=1, between_rows=1)
    grand, by_seed, by_row = y.mean(), y.mean(1), y.mean(0)
    of_seeds = rows * ((by_seed - grand) ** 2).sum() / (seeds - 1)
    of_rows = seeds * ((by_row - grand) ** 2).sum() / (rows - 1)
    total = ((y - grand) ** 2).sum() - of_seeds * (seeds - 1) - of_rows * (rows - 1)
    of_rest = total / ((seeds - 1) * (rows - 1))
    found = mean_over_seeds(with_ones(y), mean)
    assert found.value == pytest.approx(grand)
    assert found.variance == pytest.approx((max(of_seeds - of_rest, 0) + of_rows) / (seeds * rows))


def test_one_seed_is_a_t_interval_of_rows():
    values = np.random.default_rng(0).normal(3, 1, 40)
    found = mean_over_seeds(with_ones(values[None]), mean)
    low, high = scipy.stats.t.interval(0.95, 39, loc=values.mean(), scale=scipy.stats.sem(values))
    interval = found.interval()
    assert (interval.low, interval.high, interval.method) == (pytest.approx(low), pytest.approx(high), "rows-t")


def test_one_seed_each_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.3, 1, (2, 1, 50))
    found = difference_over_seeds(with_ones(a), with_ones(b), mean)
    assert found.p_value == pytest.approx(scipy.stats.ttest_rel(a[0], b[0]).pvalue)


def test_copies_of_rows_in_one_group_are_no_new_evidence():
    y = crossed(np.random.default_rng(2), seeds=3, rows=25, between_seeds=0.1, between_rows=1)
    alone = mean_over_seeds(with_ones(y), mean)
    copied = mean_over_seeds(with_ones(np.repeat(y, 4, axis=1)), mean, groups=np.repeat(np.arange(25), 4).tolist())
    assert copied.variance == pytest.approx(alone.variance)
    assert mean_over_seeds(with_ones(np.repeat(y, 4, axis=1)), mean).variance < 0.5 * alone.variance


def test_difference_is_the_opposite_seen_from_the_other_side():
    rng = np.random.default_rng(3)
    a, b = (with_ones(crossed(rng, seeds=s, rows=40, between_seeds=0.2, between_rows=1)) for s in (3, 5))
    one, two = difference_over_seeds(a, b, mean), difference_over_seeds(b, a, mean)
    assert (one.value, one.variance, one.df) == pytest.approx((-two.value, two.variance, two.df))
    same = difference_over_seeds(a, a, mean)
    assert same.value == 0
    assert same.p_value == 1


@pytest.mark.parametrize(("seeds", "between_seeds"), [(3, 0.0), (3, 0.3), (5, 0.3), (3, 1.0)])
def test_seed_intervals_cover_and_a_bootstrap_of_three_does_not(seeds, between_seeds):
    """Rows and rest make up a standard error of 0.1; seeds none of it, as much as that, or nearly all there is."""
    rng = np.random.default_rng(seeds)
    held, runs = 0, 600
    for _ in range(runs):
        y = crossed(rng, seeds=seeds, rows=60, between_seeds=between_seeds, between_rows=0.7)
        interval = mean_over_seeds(with_ones(y), mean).interval()
        held += interval.low <= 0 <= interval.high
    assert 0.915 <= held / runs <= 0.985
    if between_seeds == 1.0:
        plain = [
            seeds_then_items(
                with_ones(crossed(rng, seeds=3, rows=60, between_seeds=1.0, between_rows=0.7)),
                mean,
                resamples=200,
                seed=i,
                draws=3,
            )
            for i in range(80)
        ]
        assert np.mean([one.low <= 0 <= one.high for one in plain]) < 0.85


def test_differences_of_equals_are_significant_as_often_as_is_said():
    rng = np.random.default_rng(5)
    p = []
    for _ in range(600):
        hard = rng.standard_normal((1, 50))
        a, b = (hard + crossed(rng, seeds=3, rows=50, between_seeds=0.2, between_rows=0.3) for _ in range(2))
        p.append(difference_over_seeds(with_ones(a), with_ones(b), mean).p_value)
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.06)


def test_seeds_that_agree_by_luck_leave_no_endless_interval():
    """Rows that hardly differ, and seeds that differ as little: the parts of the variance nearly cancel out."""
    rng, held, widths = np.random.default_rng(8), [], []
    for _ in range(300):
        hard = rng.standard_normal((1, 50))
        a, b = (with_ones((0.9 + hard + 0.1 * rng.standard_normal((3, 50)) > 0).astype(float)) for _ in range(2))
        found = difference_over_seeds(a, b, mean)
        assert found.df >= 2
        interval = found.interval()
        held.append(interval.low <= 0 <= interval.high)
        widths.append(interval.high - interval.low)
    assert np.mean(held) >= 0.95
    assert max(widths) < 0.5


def test_scores_that_are_no_mean_get_the_width_of_the_bootstrap():
    rng = np.random.default_rng(6)
    truth = rng.random(400) < 0.4
    guess = np.where(rng.random(400) < 0.75, truth, ~truth)
    items = np.column_stack([truth & guess, truth != guess]).astype(float)
    ours = mean_over_seeds(items[None], f1).interval()
    theirs = bootstrap(items, f1, resamples=4000, method="percentile")
    assert ours.estimate == theirs.estimate
    assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.06)


def test_many_seeds_get_the_same_width_by_both_roads():
    rng = np.random.default_rng(7)
    items = with_ones(crossed(rng, seeds=15, rows=60, between_seeds=0.4, between_rows=0.7))
    ours, theirs = mean_over_seeds(items, mean).interval(), seeds_then_items(items, mean, resamples=3000)
    assert ours.estimate == pytest.approx(theirs.estimate)
    assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.12)


def test_perfect_answers_keep_an_honest_width():
    perfect = with_ones(np.ones((3, 20)))
    interval = mean_over_seeds(perfect, mean).interval(bounds=(0.0, 1.0))
    assert interval.high == 1
    assert interval.low == pytest.approx(0.8316, abs=1e-4)
    both = difference_over_seeds(perfect, perfect, mean).interval(bounds=(-1.0, 1.0))
    assert verdict(both) == "cannot tell"
    ahead = difference_over_seeds(perfect, 0.5 * perfect, lambda sums: sums[0] / 20)
    assert ahead.p_value == pytest.approx(scipy.stats.binomtest(20, 20).pvalue), "as sure as the sign test, no surer"
    assert mean_over_seeds(with_ones(np.ones((3, 1))), mean).interval().low == -math.inf


@pytest.mark.parametrize(
    ("call", "code", "told"),
    [
        (lambda: mean_over_seeds(np.zeros((3, 0, 2)), mean), "data.nothing_to_score", "[3, 0, 2]"),
        (lambda: mean_over_seeds(np.zeros((3, 2)), mean), "data.nothing_to_score", "[3, 2]"),
        (lambda: t_interval([]), "data.nothing_to_score", "[0]"),
        (
            lambda: difference_over_seeds(np.ones((3, 4, 2)), np.ones((3, 5, 2)), mean),
            "data.lengths_differ",
            "same rows",
        ),
        (lambda: mean_over_seeds(np.ones((3, 4, 2)), mean, groups=["a"]), "data.lengths_differ", "1 groups for 4"),
    ],
)
def test_errors_say_what_came(call, code, told):
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.code == code
    assert told in str(caught.value)
