"""Intervals and tests against scipy and statsmodels, their laws, and their coverage by simulation."""

import math
from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.stats import (
    Interval,
    bootstrap,
    clopper_pearson,
    clustered_less,
    holm,
    mcnemar_exact,
    mcnemar_midp,
    paired_bootstrap,
    paired_permutation,
    share_of,
    unseen_share,
    verdict,
    wilson,
)


def mean(sums):
    return sums[0] / sums[1]


def f1(sums):
    return 2 * sums[0] / max(1, 2 * sums[0] + sums[1])


def macro_f1(sums):
    """Of (tp by class, errors by class)."""
    right, wrong = sums.reshape(2, -1)
    there = right + wrong > 0
    return float((2 * right[there] / (2 * right + wrong)[there]).mean()) if there.any() else 0.0


def with_ones(values):
    return np.column_stack([values, np.ones(len(values))]).astype(float)


counts = st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@hypothesis.given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_proportion_intervals_equal_statsmodels(count, level):
    successes, n = count
    hypothesis.assume(n > 0)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "beta")):
        interval = ours(successes, n, level=level)
        low, high = proportion_confint(successes, n, alpha=1 - level, method=method)
        assert interval.low == pytest.approx(low, abs=1e-9)
        assert interval.high == pytest.approx(high, abs=1e-9)
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


@pytest.mark.parametrize("clustered", [True, False])
def test_groups_that_share_their_fate_differ_by_chance_as_often_as_is_said(clustered):
    rng = np.random.default_rng(1)
    runs, claimed = 400, 0
    for _ in range(runs):
        right = np.repeat(rng.random(60) < 0.7, 5)
        inside, groups = np.arange(300) < 125, np.repeat(np.arange(60), 5)
        claimed += clustered_less(right, inside, (groups if clustered else np.arange(300)).tolist()) < 0.05
    held = scipy.stats.binomtest(claimed, runs, 0.05, alternative="greater").pvalue > 0.01
    assert held == clustered, claimed / runs


def test_groups_of_one_item_are_a_t_test_and_few_groups_tell_nothing():
    rng = np.random.default_rng(2)
    values, inside = rng.normal(size=400) - 0.3 * (np.arange(400) < 200), np.arange(400) < 200
    welch = scipy.stats.ttest_ind(values[inside], values[~inside], equal_var=False, alternative="less").pvalue
    assert clustered_less(values, inside, range(400)) == pytest.approx(welch, rel=0.1)
    assert clustered_less(values, inside, [0] * 200 + list(range(1, 201))) == 1.0
    assert clustered_less([0] * 4 + [1] * 4, [True] * 4 + [False] * 4, [0, 0, 1, 1, 2, 2, 3, 3]) == pytest.approx(1 / 6)
    assert clustered_less([1] * 8, [True] * 4 + [False] * 4, [0, 0, 1, 1, 2, 2, 3, 3]) == 1.0


def test_no_items_tell_nothing():
    for interval in (wilson(0, 0), clopper_pearson(0, 0)):
        assert math.isnan(interval.estimate)
        assert (interval.low, interval.high) == (0, 1)
        assert str(interval) == "nan [0.000, 1.000]"
        assert interval == replace(interval, estimate=float("nan"))  # not so of itself from Python 3.13 on
        assert len({interval, replace(interval, estimate=float("nan"))}) == 1
        assert interval not in (replace(interval, estimate=0.5), replace(interval, high=0.5), None)
        assert interval.as_dict()["estimate"] is None


@pytest.mark.parametrize("n", [20, 50, 200])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.83])
def test_proportion_coverage_is_exact_sum(n, p):
    """Coverage of a proportion's interval needs no simulation: sum the binomial over what covers."""
    weights = scipy.stats.binom.pmf(np.arange(n + 1), n, p)
    covered = {
        method: sum(w for k, w in enumerate(weights) if (i := method(k, n)).low <= p <= i.high)
        for method in (wilson, clopper_pearson)
    }
    assert covered[clopper_pearson] >= 0.95
    assert 0.92 <= covered[wilson] <= 0.98
    assert covered[wilson] <= covered[clopper_pearson]


def draw_normal(rng, n):
    return with_ones(rng.normal(3, 1, n))


def draw_skewed(rng, n):
    return with_ones(rng.exponential(1, n))


def draw_f1(rng, n):
    truth = rng.random(n) < 0.4
    guess = np.where(rng.random(n) < 0.75, truth, ~truth)
    return np.column_stack([truth & guess, truth != guess]).astype(float)


@pytest.mark.parametrize("n", [20, 50, 200])
@pytest.mark.parametrize(
    ("draw", "total", "truth"), [(draw_normal, mean, 3), (draw_skewed, mean, 1), (draw_f1, f1, 0.6 / (0.6 + 0.25))]
)
def test_bootstrap_covers(draw, total, truth, n):
    rng = np.random.default_rng(n)
    intervals = [bootstrap(draw(rng, n), total, resamples=500, seed=i) for i in range(400)]
    covered = np.mean([i.low <= truth <= i.high for i in intervals])
    # the standard error of 400 is 0.011; without the spread to Student's t, 20 skewed items cover 0.90
    assert 0.92 <= covered <= 0.99


def test_clustered_bootstrap_covers_where_the_plain_one_does_not():
    rng = np.random.default_rng(0)
    plain, clustered = [], []
    groups = [group for group in range(30) for _ in range(5)]
    for seed in range(200):
        values = np.repeat(rng.normal(0, 1, 30), 5) + rng.normal(0, 0.3, 150)
        for found, given in ((plain, None), (clustered, groups)):
            interval = bootstrap(with_ones(values), mean, resamples=200, seed=seed, groups=given)
            found.append(interval.low <= 0 <= interval.high)
    assert np.mean(plain) < 0.75
    assert 0.91 <= np.mean(clustered) <= 0.99


def test_bootstrap_agrees_with_scipy_on_many_items():
    values = np.random.default_rng(3).exponential(1, 400)
    ours = bootstrap(with_ones(values), mean, resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours.estimate == pytest.approx(values.mean())
    # ours is wider by the spread to Student's t, 0.4 % at 400 items; the rest is Monte Carlo
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.high - ours.estimate > ours.estimate - ours.low


def test_few_items_get_the_width_of_student_t():
    values = scipy.stats.norm.ppf((np.arange(12) + 0.5) / 12)
    ours = bootstrap(with_ones(values), mean, resamples=20_000)
    low, high = scipy.stats.t.interval(0.95, 11, loc=0, scale=scipy.stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=0.03)


def test_an_extreme_level_of_extreme_skew_reaches_the_largest_resample():
    """Here the acceleration's denominator is negative: the upper quantile is 1."""
    interval = bootstrap([[0, 1]] * 5 + [[1, 1]], mean, level=0.9999, resamples=5000)
    assert interval.high >= 5 / 6


matrices = st.integers(2, 25).flatmap(
    lambda n: st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), min_size=n, max_size=n)
)


@hypothesis.given(matrices, st.randoms(use_true_random=False))
def test_bootstrap_ignores_order_and_holds_its_estimate(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    interval = bootstrap(items, mean, resamples=100)
    assert bootstrap(shuffled, mean, resamples=100) == interval
    assert interval.low <= interval.estimate <= interval.high
    assert bootstrap(items, mean, resamples=100, level=0.5).low >= interval.low


@hypothesis.given(matrices, st.integers(2, 4))
def test_copies_in_one_group_are_no_new_evidence(items, copies):
    alone = bootstrap(items, mean, resamples=100)
    repeated = bootstrap(items * copies, mean, resamples=100, groups=list(range(len(items))) * copies)
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


def test_few_and_many_distinct_items_are_drawn_alike():
    """The two ways of drawing counts: the same values, told apart by noise far below what matters."""
    values = np.random.default_rng(0).integers(0, 2, 200).astype(float)
    noise = np.random.default_rng(1).normal(0, 1e-9, 200)
    few, many = (bootstrap(with_ones(x), mean, resamples=20_000) for x in (values, values + noise))
    assert (few.low, few.high) == pytest.approx((many.low, many.high), abs=0.006)
    assert few.high - few.low > 0.12


def test_one_item_says_nothing_about_the_spread():
    interval = bootstrap([[1.0, 1.0]], mean)
    assert (interval.estimate, interval.low, interval.high) == (1, -math.inf, math.inf)
    assert interval.as_dict()["low"] is None
    assert bootstrap([[1.0, 1.0]], mean, bounds=(0.0, 1.0)).low == pytest.approx(clopper_pearson(1, 1).low)
    grouped = bootstrap([[1.0, 1.0], [0.0, 1.0]], mean, groups=["a", "a"])
    assert (grouped.estimate, grouped.low) == (0.5, -math.inf)


def test_equal_items_keep_an_honest_width():
    interval = bootstrap([[1.0, 1.0]] * 20, mean, bounds=(0.0, 1.0))
    assert interval.high == 1
    assert interval.low == pytest.approx(clopper_pearson(20, 20).low)
    assert bootstrap([[1.0, 1.0]] * 20, mean).low == 1, "without bounds there is nothing to reach for"
    same = [[0.0, 1.0]] * 5
    assert verdict(paired_bootstrap(same, same, mean, bounds=(0.0, 1.0))) == "cannot tell"


@hypothesis.given(st.integers(2, 60), st.integers(2, 5))
@hypothesis.settings(max_examples=25)
def test_right_answers_of_several_classes_are_as_sure_as_an_exact_share(n, num_classes):
    """Their statistics differ by class, so they are not equal items; yet no resample sees an error."""
    right = np.zeros((n, 2 * num_classes))
    right[np.arange(n), np.arange(n) % num_classes] = 1
    interval = bootstrap(right, macro_f1, resamples=50, bounds=(0.0, 1.0))
    assert (interval.estimate, interval.high) == (1, 1)
    assert interval.low == pytest.approx(clopper_pearson(n, n).low)
    alike = paired_bootstrap(right, right, macro_f1, resamples=50, bounds=(0.0, 1.0))
    assert (alike.low, alike.high) == pytest.approx((-unseen_share(n), unseen_share(n)))


def test_few_rows_of_a_good_system_are_covered_though_most_see_no_error():
    """Eight rows, each right in 9 of 10 cases: 43 % of the draws have no error, and a point would hold nothing."""
    rng, held = np.random.default_rng(0), 0
    for i in range(300):
        right, first = rng.random(8) < 0.9, np.arange(8) % 2 == 0
        table = np.column_stack([right & first, right & ~first, ~right, ~right]).astype(float)
        one = bootstrap(table, macro_f1, resamples=200, seed=i, bounds=(0.0, 1.0))
        held += one.low <= 0.9 <= one.high
    assert held / 300 >= 0.93


def test_groups_of_other_sizes_without_an_error_are_no_certainty():
    interval = bootstrap([[1.0, 1.0]] * 5, mean, groups=list("aabbb"), bounds=(0.0, 1.0))
    assert interval.low == pytest.approx(clopper_pearson(2, 2).low)


def test_a_bound_that_is_not_finite_is_not_reached_for():
    items = [[1.0, 0.5], [2.0, 1.0]] * 4
    assert bootstrap(items, mean, resamples=50, bounds=(0.0, math.inf)).high == 2


def test_undefined_resamples_are_left_out():
    def defined_with_a_first(sums):
        return sums[0] / sums[1] if sums[1] else math.nan

    items = [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    interval = bootstrap(items, defined_with_a_first, resamples=500)
    assert (interval.low, interval.high) == (0, 1)
    nowhere = bootstrap([[1.0, 0.0], [2.0, 0.0]], defined_with_a_first, resamples=50)
    assert (nowhere.low, nowhere.high) == (-math.inf, math.inf)


def test_seed_decides_the_resamples():
    items = with_ones(np.arange(30.0))
    assert bootstrap(items, mean, seed=1) == bootstrap(items, mean, seed=1)
    assert bootstrap(items, mean, seed=1) != bootstrap(items, mean, seed=2)


def test_pairing_removes_what_both_find_hard():
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 5, 60)
    a, b = with_ones(hard + 0.5 + rng.normal(0, 0.5, 60)), with_ones(hard)
    paired = paired_bootstrap(a, b, mean)
    assert verdict(paired) == "better"
    assert verdict(paired_bootstrap(b, a, mean)) == "worse"
    alone = bootstrap(a, mean)
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)
    assert paired_permutation(a, b, mean, resamples=2000) < 0.01


def test_permutation_equals_all_sign_flips():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 5, 9).astype(float), rng.integers(0, 2, 9).astype(float)
    exact = scipy.stats.permutation_test(
        (a, b), lambda x, y: abs(x.mean() - y.mean()), permutation_type="samples", alternative="greater"
    ).pvalue
    drawn = paired_permutation(with_ones(a), with_ones(b), mean, resamples=30)
    assert paired_permutation(with_ones(a), with_ones(b), mean) == pytest.approx(exact, rel=1e-12)
    assert 0.01 < exact < 0.5
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=0.2)


@hypothesis.given(st.lists(st.booleans(), min_size=1, max_size=40))
@hypothesis.settings(max_examples=25)
def test_a_share_is_wilsons_and_that_of_its_groups(right):
    alone = share_of(right)
    assert alone == wilson(sum(right), len(right)) == share_of(right, groups=range(len(right)))
    copied = share_of([one for one in right for _ in range(3)], groups=[n for n in range(len(right)) for _ in range(3)])
    assert copied.estimate == pytest.approx(alone.estimate)
    thrice = share_of([one for one in right for _ in range(3)])
    assert copied.high - copied.low > 0.9 * (thrice.high - thrice.low), "three copies are no new evidence"


@hypothesis.given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 30))
@hypothesis.settings(max_examples=25)
def test_permutation_of_right_answers_is_exact_mcnemar(b, c, alike):
    hypothesis.assume(b + c + alike > 0)
    first = with_ones(np.repeat([1.0, 0.0, 1.0], [b, c, alike]))
    second = with_ones(np.repeat([0.0, 1.0, 1.0], [b, c, alike]))
    assert paired_permutation(first, second, mean) == pytest.approx(mcnemar_exact(b, c), rel=1e-9)


def test_a_difference_that_is_no_number_is_never_significant():
    nowhere = lambda sums: math.nan  # noqa: E731
    rng = np.random.default_rng(0)
    for n in (4, 40):
        a, b = rng.random((2, n, 2))
        assert paired_permutation(a, b, nowhere, resamples=200) == 1
    half = lambda sums: sums[0] / sums[1] if sums[0] > 1 else math.nan  # noqa: E731
    plain = paired_permutation(with_ones(np.ones(3)), with_ones(np.zeros(3)), mean)
    assert paired_permutation(with_ones(np.ones(3)), with_ones(np.zeros(3)), half) >= plain


def test_permutation_swaps_whole_groups():
    a, b = with_ones(np.ones(40)), with_ones(np.zeros(40))
    assert paired_permutation(a, b, mean, resamples=1000) < 0.01
    assert paired_permutation(a, b, mean, groups=["x"] * 20 + ["y"] * 20) == 0.5


@hypothesis.given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_statsmodels(b, c):
    hypothesis.assume(b + c > 0)
    assert mcnemar_exact(b, c) == pytest.approx(min(1, mcnemar([[0, b], [c, 0]], exact=True).pvalue))


def test_mcnemar_without_disagreement():
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_midp(0, 0) == 1


@hypothesis.given(st.integers(0, 60), st.integers(0, 60))
def test_midp_takes_half_of_what_was_seen(b, c):
    """Fagerland et al. write it as the exact p less the probability of the table; for b = c it is 1."""
    exact, seen = mcnemar_exact(b, c), scipy.stats.binom.pmf(b, b + c, 0.5)
    assert mcnemar_midp(b, c) == pytest.approx(1.0 if b == c else exact - seen)
    assert mcnemar_midp(b, c) == mcnemar_midp(c, b)


@pytest.mark.parametrize(("n", "discordance"), [(20, 0.4), (50, 0.4), (200, 0.1)])
def test_mcnemar_claims_no_more_often_than_it_says(n, discordance):
    """P(p <= a) <= a when both are equally good, summed over all tables: exact always, mid-p nearly."""
    k = np.arange(n + 1)
    of_disagreements = scipy.stats.binom.pmf(k, n, discordance)
    for a in (0.01, 0.05, 0.2):
        claimed = dict.fromkeys((mcnemar_exact, mcnemar_midp), 0.0)
        for m, weight in zip(k.tolist(), of_disagreements, strict=True):
            if weight > 1e-6:
                split = scipy.stats.binom.pmf(np.arange(m + 1), m, 0.5)
                for test in claimed:
                    told = [test(b, m - b) <= a for b in range(m // 2 + 1)]
                    told += told[: m - m // 2][::-1] if m % 2 else told[:-1][::-1]
                    claimed[test] += weight * split[told].sum()
        assert claimed[mcnemar_exact] <= a
        assert claimed[mcnemar_exact] <= claimed[mcnemar_midp] <= a + 0.006


def test_permutation_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(4)
    p = []
    for seed in range(400):
        a, b = rng.exponential(1, (2, 30))
        p.append(paired_permutation(with_ones(a), with_ones(b), mean, resamples=199, seed=seed))
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) <= 0.08


@hypothesis.settings(max_examples=15)  # statsmodels takes 50 ms a call
@hypothesis.given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(pvalues):
    assert holm(pvalues) == pytest.approx(multipletests(pvalues, method="holm")[1])


@pytest.mark.parametrize(
    ("low", "high", "margin", "said"),
    [
        (0.01, 0.2, 0, "better"),
        (-0.2, -0.01, 0, "worse"),
        (-0.1, 0.1, 0, "cannot tell"),
        (0, 0, 0, "cannot tell"),
        (0.01, 0.2, 0.02, "cannot tell"),
        (-math.inf, math.inf, 0, "cannot tell"),
        (math.nan, math.nan, 0, "cannot tell"),
    ],
)
def test_verdict(low, high, margin, said):
    difference = Interval((low + high) / 2, float(low), float(high), 0.95, "any")
    opposite = {"better": "worse", "worse": "better"}.get(said, said)
    assert verdict(difference, margin=float(margin)) == said
    assert verdict(difference, margin=float(margin), higher_is_better=False) == opposite


def test_bounds_of_percent_are_shown_with_one_digit():
    assert str(Interval(31.24, 28.01, 34.5, 0.95, "any")) == "31.2 [28.0, 34.5]"


@pytest.mark.parametrize(
    ("call", "error", "code", "told"),
    [
        (lambda: wilson(5, 3), DataError, "data.invalid_statistic", "5 of 3"),
        (lambda: wilson(-1, 3), DataError, "data.invalid_statistic", "-1 of 3"),
        (lambda: mcnemar_exact(3, -1), DataError, "data.invalid_statistic", "3 of 2"),
        (lambda: wilson(1, 3, level=95.0), ConfigError, "config.invalid", "0.95 means 95 %"),
        (lambda: bootstrap(np.zeros((0, 2)), mean), DataError, "data.nothing_to_score", "[0, 2]"),
        (lambda: bootstrap([1.0, 2.0], mean), DataError, "data.nothing_to_score", "[2]"),
        (lambda: bootstrap([[1, 1]], mean, groups=["a", "b"]), DataError, "data.lengths_differ", "2 groups for 1"),
        (lambda: paired_bootstrap([[1, 1]], [[1, 1]] * 2, mean), DataError, "data.lengths_differ", "same rows"),
        (lambda: holm([0.5, 1.5]), DataError, "data.invalid_statistic", "1.5"),
    ],
)
def test_errors_say_what_came(call, error, code, told):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.code == code
    assert told in str(caught.value)
