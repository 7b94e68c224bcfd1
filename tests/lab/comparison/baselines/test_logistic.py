"""Logistic regression: the short way through the span of the rows equals the long one, and what is chosen on what."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from softprompt.core.errors import ExtraError
from softprompt.lab.comparison import scikit_learn
from softprompt.lab.comparison.baselines.logistic import fit_logistic


def problem(*, rows=40, columns=90, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.arange(rows) % labels
    centres = rng.normal(size=(labels, columns)) * 0.4
    return centres[targets] + rng.normal(size=(rows, columns)), targets


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("columns", [5, 90])
def test_the_classifier_is_that_of_scikit_learn(labels, form, columns):
    x, y = problem(labels=labels, columns=columns)
    other, _ = problem(labels=labels, columns=columns, seed=1)
    found = fit_logistic({"x": form(x)}, y, num_labels=labels, strengths=[0.1])
    right = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(x, y)
    assert found.probabilities(form(other)) == pytest.approx(right.predict_proba(other), abs=2e-3)
    assert found.num_trained == right.coef_.size + right.intercept_.size


def test_rows_that_repeat_have_a_smaller_span():
    x, y = problem()
    x[20:] = x[:20] * 2
    found = fit_logistic({"x": x}, y, num_labels=3, strengths=[0.1])
    right = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(x, y)
    assert found.probabilities(x) == pytest.approx(right.predict_proba(x), abs=2e-3)


def test_a_label_without_rows_gets_no_probability():
    x, y = problem(labels=2)
    found = fit_logistic({"x": x}, y * 2, num_labels=4, strengths=[1.0])
    p = found.probabilities(x)
    assert p[:, [1, 3]].max() == 0
    assert p.sum(axis=1) == pytest.approx(1)
    assert (p.argmax(axis=1) == y * 2).mean() > 0.9


def test_the_strength_is_chosen_on_validation_rows():
    x, y = problem(rows=60, columns=10)
    noise = np.random.default_rng(3).permutation(y)
    others, right = problem(rows=60, columns=10, seed=0)
    strengths = [1e-4, 1.0]
    assert fit_logistic({"x": x}, y, num_labels=3, strengths=strengths, validation=({"x": others}, right)).strength == 1
    unlearnable = fit_logistic({"x": x}, y, num_labels=3, strengths=strengths, validation=({"x": others}, noise))
    assert unlearnable.strength == 1e-4


def test_the_variant_is_chosen_inside_the_training_rows_where_there_are_no_others():
    x, y = problem(rows=60, columns=10)
    noise = np.random.default_rng(3).normal(size=x.shape)
    found = fit_logistic({"noise": noise, "x": x}, y, num_labels=3, strengths=[0.1, 1.0])
    assert found.variant == "x"
    assert found.log_loss < np.log(3)


def test_a_label_with_one_row_leaves_nothing_to_choose_on():
    x, y = problem(rows=10, labels=2)
    y[:] = 0
    y[3] = 1
    found = fit_logistic({"x": x}, y, num_labels=2, strengths=[0.1, 1.0, 10.0])
    assert (found.strength, np.isnan(found.log_loss)) == (1.0, True)


def test_without_scikit_learn_the_cure_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(scikit_learn.importlib, "import_module", absent)
    with pytest.raises(ExtraError, match=r"pip install 'softprompt\[compare\]'"):
        fit_logistic({"x": np.eye(4)}, np.array([0, 1, 0, 1]), num_labels=2, strengths=[1.0])
