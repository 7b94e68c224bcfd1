"""Laws found again, forecasts that hold what they say, and looks that are refused."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from softprompt.core.errors import DataError
from softprompt.lab.learning_curve.laws import Law, extrapolate, fit_law

SIZES = np.array([16.0, 32.0, 64.0, 128.0, 256.0])


@hypothesis.given(st.floats(0.0, 0.4), st.floats(0.3, 3.0), st.sampled_from([0.3, 0.5, 1.0]))
def test_a_law_without_noise_is_found_again(floor, scale, exponent):
    law = Law(floor, scale, exponent)
    losses = np.array([law.loss(n) for n in SIZES])
    found = fit_law(SIZES, losses, np.ones(5))
    assert found.loss(512) == pytest.approx(law.loss(512), abs=0.004)


@hypothesis.given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.booleans())
def test_more_rows_never_hurt_and_nothing_is_better_than_perfect(losses, floor):
    law = fit_law(SIZES, np.array(losses), np.ones(5), floor=floor)
    said = [law.loss(n) for n in (16, 64, 256, 1024)]
    assert said == sorted(said, reverse=True)
    assert min(said) >= 0


def test_a_fit_is_the_least_of_squares_over_its_neighbours():
    losses = np.array([0.6, 0.5, 0.45, 0.3, 0.31])
    law = fit_law(SIZES, losses, np.ones(5))

    def worth(one):
        return sum((one.loss(n) - y) ** 2 for n, y in zip(SIZES, losses, strict=True))

    others = [
        Law(max(0.0, law.floor + a), max(0.0, law.scale + b), law.exponent)
        for a, b in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.1), (0.0, -0.1))
    ]
    assert all(worth(law) <= worth(one) + 1e-12 for one in others)


@pytest.mark.parametrize("true", [Law(0.15, 1.5, 0.5), Law(0.0, 1.2, 0.35)])
def test_forecasts_hold_the_truth_about_as_often_as_they_say(true):
    rng = np.random.default_rng(0)
    losses = np.array([true.loss(n) for n in SIZES])
    held = np.zeros(2)
    for i in range(60):
        drawn = losses + 0.03 * np.sqrt(16 / SIZES) * rng.standard_normal((4, 5))
        loss, gain = extrapolate(SIZES, drawn, to=512, seed=i)
        truth = true.loss(512), true.loss(256) - true.loss(512)
        held += [one.low <= value <= one.high for one, value in zip((loss, gain), truth, strict=True)]
    assert (held / 60 >= 0.88).all(), held / 60


@hypothesis.given(
    losses=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    to=st.integers(256, 1024),
)
def test_a_forecast_goes_on_from_the_last_score_and_never_falls_below_it(losses, to):
    loss, gain = extrapolate(SIZES, np.array([losses]), to=to)
    assert loss.estimate + gain.estimate == pytest.approx(losses[-1], abs=1e-9)
    assert gain.estimate >= -1e-12
    assert loss.estimate >= 0


def test_without_a_score_at_the_end_it_goes_on_from_the_law():
    draws = np.full((2, 5), np.nan)
    draws[:, :4] = 0.1 + 2 / np.sqrt(SIZES[:4])
    loss, _ = extrapolate(SIZES, draws, to=300)
    assert loss.estimate == pytest.approx(0.1 + 2 / math.sqrt(300), abs=0.02)


def test_one_draw_says_nothing_of_the_spread():
    loss, gain = extrapolate(SIZES, (0.1 + 2 / SIZES)[None], to=300)
    assert math.isfinite(loss.estimate)
    assert (gain.low, gain.high) == (-math.inf, math.inf)


def test_a_score_that_is_missing_is_left_out():
    draws = 0.1 + 2 / np.sqrt(SIZES) + 0.01 * np.random.default_rng(1).standard_normal((3, 5))
    draws[1, 0] = np.nan
    loss, _ = extrapolate(SIZES, draws, to=300)
    assert loss.estimate == pytest.approx(0.1 + 2 / math.sqrt(300), abs=0.03)


@pytest.mark.parametrize(("sizes", "to", "told"), [(SIZES[:2], 40, "came 2"), (SIZES, 2000, "2,000 rows")])
def test_what_cannot_be_said_is_refused(sizes, to, told):
    with pytest.raises(DataError) as caught:
        extrapolate(sizes, np.ones((2, len(sizes))), to=to)
    assert caught.value.code == "data.invalid_statistic"
    assert told in str(caught.value)
