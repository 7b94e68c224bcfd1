"""Who goes on."""

import math

from hypothesis import given
from hypothesis import strategies as st

from softprompt.lab.sweep.halving import ETA, Rungs

SCORES = st.dictionaries(st.integers(0, 99).map(str), st.floats(0, 1), min_size=1, max_size=12)


@given(SCORES)
def test_the_best_always_goes_on_and_no_more_than_a_third_of_different_ones(scores: dict[str, float]) -> None:
    gone = Rungs(5).given_up(5, scores)
    kept = scores.keys() - set(gone)
    best = max(scores.values())
    assert {name for name, score in scores.items() if score == best} <= kept
    if len(set(scores.values())) == len(scores):
        assert len(kept) == math.ceil(len(scores) / ETA)
    assert all(scores[name] >= max((scores[other] for other in gone), default=0) for name in kept)


@given(SCORES, SCORES)
def test_earlier_trials_raise_the_bar(scores: dict[str, float], earlier: dict[str, float]) -> None:
    alone = Rungs(5).given_up(5, scores)
    above = Rungs(5, earlier=[[(5, 2.0)]] * 3 * len(scores)).given_up(5, scores)
    assert set(alone) <= set(above) == set(scores)
    below = Rungs(5, earlier=[[(5, -1.0 - score)] for score in earlier.values()]).given_up(5, scores)
    assert set(below) <= set(alone)


def test_no_number_never_goes_on_and_other_steps_end_nobody() -> None:
    assert Rungs(5).given_up(5, {"a": math.nan, "b": 0.1}) == ["a"]
    assert Rungs(5).given_up(10, {"a": math.nan, "b": 0.1}) == []
    assert Rungs(5).steps == (5, 15)
