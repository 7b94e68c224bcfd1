"""Scores to probabilities: by hand, and the laws that every correction keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.answers import LARGE_MODEL, AnswerSettings, answer_probabilities
from softprompt.core.errors import ConfigError
from softprompt.core.tasks import Task

SCORES = st.lists(st.floats(-500, 0), min_size=2, max_size=6)


@given(SCORES, st.floats(-100, 100))
def test_probabilities_sum_to_one_and_a_constant_changes_nothing(scores, shift):
    found = answer_probabilities(scores)
    assert found.sum() == pytest.approx(1)
    assert answer_probabilities([score + shift for score in scores]) == pytest.approx(found, abs=1e-9)


def test_calibration_follows_the_published_formula():
    # Zhao et al. 2021, by hand: p_cf is the mean of normalised content-free probabilities, q = p / p_cf renormalised
    p, one, two = np.array([0.6, 0.3, 0.1]), np.array([0.7, 0.2, 0.1]), np.array([0.5, 0.4, 0.1])
    q = p / ((one + two) / 2)
    # unnormalised scores, because a model's candidates are never all the answers there are
    found = answer_probabilities(np.log(p) - 3, content_free=[np.log(one) - 5, np.log(two) - 1])
    assert found == pytest.approx(q / q.sum())


@given(SCORES)
def test_an_input_without_content_is_calibrated_to_ignorance(scores):
    found = answer_probabilities(scores, content_free=[scores, scores])
    assert found == pytest.approx(np.full(len(scores), 1 / len(scores)))


def test_length_takes_the_mean_a_token():
    found = answer_probabilities([-4.0, -6.0], lengths=[2, 6])
    assert found == pytest.approx(np.exp([-2, -1]) / np.exp([-2, -1]).sum())


def test_length_holds_for_content_free_input_too():
    found = answer_probabilities([-4.0, -6.0], lengths=[2, 6], content_free=[[-2.0, -6.0]])
    raw = np.exp([-2, -1]) / np.exp([-1, -1])
    assert found == pytest.approx(raw / raw.sum())


@pytest.mark.parametrize(
    ("task", "parameters", "settings", "form"),
    [
        (Task.classify(["no", "yes"]), 10**7, {}, "vectors"),
        (Task.classify(["no", "yes"]), LARGE_MODEL, {}, "words"),
        (Task.classify([f"label {n}" for n in range(30)]), LARGE_MODEL, {}, "vectors"),
        (Task.classify(["no", "yes"]), 10**7, {"calibrate": "contextual"}, "words"),
        (Task.classify(["no", "yes"]), 10**7, {"form": "words"}, "words"),
        (Task.choose(), 10**7, {}, "words"),
        (Task.generate(), 10**7, {}, "words"),
    ],
)
def test_auto_is_decided_by_task_model_and_corrections(task, parameters, settings, form):
    assert AnswerSettings(**settings).resolved(task, num_parameters=parameters).form == form


@pytest.mark.parametrize("correction", [{"normalise": "length"}, {"calibrate": "contextual"}])
def test_label_vectors_take_no_correction(correction):
    with pytest.raises(ConfigError, match="label vectors learn their own bias"):
        AnswerSettings.parse({"form": "vectors", **correction})
