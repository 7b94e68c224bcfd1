"""The small benchmarks of folds: the page of the ratio, and the simulation of out-of-fold intervals."""

from statistics import fmean

import numpy as np
import pytest

from benchmarks import folds, out_of_fold
from benchmarks.folds import Seconds


def test_page_shows_medians_and_their_ratios() -> None:
    found = {
        "separately": [Seconds({"read": 5.0, "probe": 10.0, "train": t, "all": 20.0 + t}, 9.0) for t in (40, 50, 90)],
        "in one pass": [Seconds({"read": 1.0, "probe": 2.0, "train": t, "all": 3.0 + t}, 3.0) for t in (10, 25, 30)],
    }
    lines = folds.page(found, load=0.5).splitlines()
    assert lines[2] == "| separately | 5.0 s | 10.0 s | 50.0 s | 70.0 s | 9.0 s |"
    assert lines[4] == "| ratio | 5.00 | 5.00 | 2.00 | 2.50 | 3.00 |"
    assert "Median of 3" in lines[-1]


@pytest.mark.parametrize("learner", out_of_fold.LEARNERS)
def test_widened_intervals_hold_the_truth_about_as_often_as_they_say(learner: str) -> None:
    draws = [out_of_fold.one_draw(out_of_fold.TASKS[0], out_of_fold.LEARNERS[learner], 50, seed) for seed in range(30)]
    accuracy = [one["accuracy"] for one in draws]
    held = [fmean(held[0] for held in pairs) for pairs in ([o.plain for o in accuracy], [o.wide for o in accuracy])]
    assert 0.8 <= held[0] <= held[1]
    assert held[1] >= 0.83  # 0.95 less three standard errors of 30 draws


def test_folds_of_the_simulation_are_stratified() -> None:
    labels = np.repeat([0, 1], [40, 10])
    place = out_of_fold.folds(labels, np.random.default_rng(0))
    assert [np.bincount(labels[place == fold]).tolist() for fold in range(5)] == [[8, 2]] * 5
