"""What rows can show: against simulation, and the two directions of one equation against each other."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats

from softprompt.core.errors import ConfigError
from softprompt.core.stats import Interval, minimum_detectable_difference, rows_needed, rows_to_decide


@pytest.mark.parametrize(("n", "discordance"), [(200, 0.3), (400, 0.2), (2000, 0.1)])
def test_detectable_difference_is_found_four_times_in_five(n, discordance):
    delta = minimum_detectable_difference(n, discordance=discordance)
    rng = np.random.default_rng(n)
    first, second, _ = rng.multinomial(
        n, [(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance], size=4000
    ).T
    found = (first - second) / np.sqrt(first + second) > scipy.stats.norm.ppf(0.975)
    assert found.mean() == pytest.approx(0.8, abs=0.025)


def test_detectable_difference_shrinks_with_items_and_never_exceeds_what_is_possible():
    sizes = [2, 4, 10, 30, 100, 1000, 10**6]
    found = [minimum_detectable_difference(n, discordance=0.05) for n in sizes]
    assert found == sorted(found, reverse=True)
    assert found[0] == math.inf
    assert all(delta <= 1 for delta in found[1:])


@hypothesis.given(st.floats(0.01, 0.2), st.floats(0.2, 1.0), st.sampled_from([0.6, 0.8, 0.95]))
def test_rows_needed_are_the_rows_that_detect(difference, discordance, power):
    n = rows_needed(difference, discordance=discordance, power=power)
    assert minimum_detectable_difference(n, discordance=discordance, power=power) <= difference + 1e-9
    assert minimum_detectable_difference(n - 1, discordance=discordance, power=power) >= difference - 1e-9
    assert rows_needed(-difference, discordance=discordance, power=power) == n


def test_rows_to_decide_find_a_true_difference_as_often_as_is_said():
    """A mean of 0.1 with deviation 1 on 50 rows: as many rows as named find it four times in five."""
    half = 1.96 / math.sqrt(50)
    n = rows_to_decide(Interval(0.1, 0.1 - half, 0.1 + half, 0.95, "any"), 50)
    means = np.random.default_rng(0).normal(0.1, 1 / math.sqrt(n), 20_000)
    assert np.mean(means - 1.96 / math.sqrt(n) > 0) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "rows"),
    [(0.02, 0.2, 80), (-0.3, -0.1, 80), (-0.1, 0.1, None), (-math.inf, math.inf, None), (-0.001, 0.5, 165)],
)
def test_rows_to_decide_of_special_cases(low, high, rows):
    estimate = 0.0 if math.isinf(low) else (low + high) / 2
    assert rows_to_decide(Interval(estimate, low, high, 0.95, "any"), 80) == rows


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: minimum_detectable_difference(0), "got 0"),
        (lambda: rows_needed(0.0), "got 0.0"),
        (lambda: rows_needed(1.5), "got 1.5"),
        (lambda: rows_to_decide(Interval(0.1, -0.1, 0.3, 0.95, "any"), 9, power=0.2), "got 0.2"),
    ],
)
def test_errors_say_what_came(call, told):
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.code == "config.invalid"
    assert told in str(caught.value)
