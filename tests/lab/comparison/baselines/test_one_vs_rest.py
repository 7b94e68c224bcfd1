"""A classifier a label: scikit-learn's own, with a strength that was chosen on rows it had not learnt."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from softprompt.lab.comparison.baselines.one_vs_rest import fit_one_vs_rest


def made(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    y = (x[:, :3] + rng.normal(scale=0.5, size=(count, 3)) > [0.0, 0.5, 1.5]).astype(float)
    return x, y


def test_each_label_is_scikit_learns_classifier():
    x, y = made(80, 0)
    found = fit_one_vs_rest({"x": x}, y, strengths=[0.5])
    for i in range(3):
        theirs = LogisticRegression(C=0.5, max_iter=300).fit(x, y[:, i]).predict_proba(x)[:, 1]
        assert found.probabilities(x)[:, i] == pytest.approx(theirs, abs=1e-6)


def test_the_strength_is_the_best_on_validation_rows():
    (x, y), (others, right) = made(60, 1), made(60, 2)

    def loss(c: float) -> float:
        p = fit_one_vs_rest({"x": x}, y, strengths=[c]).probabilities(others)
        return -float(np.log(np.where(right > 0.5, p, 1 - p)).mean())

    strengths = [1e-3, 1.0, 1e3]
    found = fit_one_vs_rest({"x": x}, y, strengths=strengths, validation=({"x": others}, right))
    assert found.strength == min(strengths, key=loss)
    assert found.held_out.shape == right.shape


def test_a_label_without_rows_keeps_its_share():
    x, y = made(20, 3)
    y[:, 2] = 0
    found = fit_one_vs_rest({"x": x}, y, strengths=[1.0])
    assert found.probabilities(x)[:, 2] == pytest.approx(0.5 / 21)
    assert np.isfinite(found.held_out).all()
