"""The rate that a probe speaks for: the usual one, unless the scores say more than chance does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.lab.rates import USUAL, chosen_rate, difference_error

SCORES = st.floats(0, 1)


@given(usual=SCORES, others=st.lists(SCORES, min_size=1, max_size=4), error=st.floats(0, 0.5))
def test_another_rate_is_taken_only_if_it_is_best_by_an_error(usual, others, error):
    tried = {USUAL: (usual, 0.0), **{USUAL * (n + 2): (score, 0.0) for n, score in enumerate(others)}}
    chosen = chosen_rate(tried, lambda one, other: error)
    best = max(score for score, _ in tried.values())
    if chosen == USUAL:
        assert usual == best or best - usual < error
    else:
        assert tried[chosen][0] == best
        assert best - usual >= error


def test_without_a_known_error_the_best_is_taken_and_equal_scores_are_parted_by_the_loss():
    assert chosen_rate({0.03: (0.50, -1.0), 0.1: (0.50, -1.1)}, lambda one, other: 0.0) == 0.03


def test_rates_of_ones_own_without_the_usual_one_are_taken_by_their_scores():
    assert chosen_rate({0.001: (0.4, 0.0), 0.01: (0.41, 0.0)}, lambda one, other: 0.2) == 0.01


def test_a_usual_rate_that_was_never_judged_is_not_kept():
    assert chosen_rate({0.1: (-math.inf, -math.inf), 0.03: (0.2, 0.0)}, lambda one, other: 0.2) == 0.03


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_error_is_that_of_shares_of_independent_rows(share):
    drawn = np.random.default_rng(0).binomial(60, share, size=(2, 20_000)) / 60
    found = float((drawn[0] - drawn[1]).std())
    assert difference_error(share, share, bounds=(0.0, 1.0), rows=60) == pytest.approx(found, rel=0.03)


def test_the_error_of_numbers_within_bounds_is_never_below_the_truth():
    rng = np.random.default_rng(1)
    drawn = rng.beta(2, 3, size=(20_000, 2, 25)).mean(axis=2)
    assert difference_error(0.4, 0.4, bounds=(0.0, 1.0), rows=25) >= (drawn[:, 0] - drawn[:, 1]).std()


def test_scores_without_bounds_have_no_known_error():
    assert difference_error(3.0, 4.0, bounds=(1.0, math.inf), rows=10) == 0.0
