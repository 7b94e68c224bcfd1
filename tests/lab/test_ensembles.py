"""Weights of prompts that answer as one, and how different their mistakes are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from softprompt.core.errors import ConfigError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.splits import Fold
from softprompt.lab.ensembles import PRIOR, WAYS, Said, choose, diversity, fit_temperature, pooled, said_apart
from softprompt.model.ensemble import Pooling, tempered
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"])


def simulated(rows: int, skills: list[float], *, seed: int = 0) -> Said:
    """Two labels; prompt k is right with its skill, and says so with 0.8."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, rows)
    p = np.empty((len(skills), rows, 2))
    for k, skill in enumerate(skills):
        said = np.where(rng.random(rows) < skill, right, 1 - right)
        p[k] = np.where(np.arange(2)[None] == said[:, None], 0.8, 0.2)
    return Said(p, np.eye(2)[right])


def log_loss(said: Said, weights: object) -> float:
    q, facts = said.likelihoods
    return float(-(facts * np.log(np.asarray(weights) @ q)).sum())


def test_weights_find_the_better_prompt() -> None:
    said = simulated(600, [0.9, 0.6, 0.6])
    for by in ("weights", "greedy"):
        weights = choose(by, said).weights
        assert weights[0] == max(weights) > 0.5
        assert sum(weights) == pytest.approx(1)


def test_few_rows_leave_weights_nearly_equal() -> None:
    said = simulated(6, [1.0, 0.2])
    assert max(choose("weights", said).weights) < 0.65


def test_learnt_weights_are_the_best_of_a_grid() -> None:
    said = simulated(400, [0.85, 0.7])

    def loss(weights: tuple[float, ...]) -> float:
        return log_loss(said, weights) - PRIOR / 2 * float(np.log(weights).sum())

    assert loss(choose("weights", said).weights) <= min(loss((w, 1 - w)) for w in np.linspace(0.01, 0.99, 99)) + 1e-6


def test_greedy_does_no_worse_than_the_best_prompt_alone() -> None:
    said = simulated(300, [0.8, 0.75, 0.5, 0.5, 0.7], seed=3)
    alone = min(log_loss(said, np.eye(5)[k]) for k in range(5))
    assert log_loss(said, choose("greedy", said).weights) < alone


def test_the_same_draws_give_the_same_weights() -> None:
    said = simulated(100, [0.8, 0.7, 0.6])
    assert choose("greedy", said, seed=4) == choose("greedy", said, seed=4)


def test_a_majority_outvotes_one_that_is_sure() -> None:
    said = [np.array([0.51, 0.49]), np.array([0.51, 0.49]), np.array([0.0, 1.0])]
    assert Pooling(by="majority", weights=(1, 1, 1)).pool(said).argmax() == 0
    assert Pooling(by="mean", weights=(1, 1, 1)).pool(said).argmax() == 1


def test_equal_votes_are_settled_by_the_mean() -> None:
    said = [np.array([0.6, 0.4]), np.array([0.1, 0.9])]
    assert Pooling(by="majority", weights=(1, 1)).pool(said).argmax() == 1


@given(
    arrays(np.float64, (3, 4), elements=st.floats(0.01, 1)),
    st.sampled_from(WAYS),
    st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
    st.floats(0.2, 5),
)
def test_a_pool_of_probabilities_is_one(raw: np.ndarray, by: str, weights: list[float], temperature: float) -> None:
    p = list(raw / raw.sum(axis=1, keepdims=True))
    pooling = Pooling.parse({"by": by, "weights": weights, "temperature": temperature})
    found = pooling.pool(p)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    reordered = Pooling.parse({"by": by, "weights": weights[::-1], "temperature": temperature}).pool(p[::-1])
    assert reordered == pytest.approx(found)


@given(arrays(np.float64, (5, 3), elements=st.floats(0.01, 0.99)), st.floats(0.2, 5))
def test_a_temperature_keeps_the_order(raw: np.ndarray, temperature: float) -> None:
    p = raw / raw.sum(axis=1, keepdims=True)
    found, apart = tempered(p, temperature), tempered(raw, temperature, independent=True)
    assert found[range(5), p.argmax(axis=1)] == pytest.approx(found.max(axis=1))
    assert ((apart - 0.5) * (raw - 0.5) >= -1e-9).all()


def test_a_temperature_brings_confidence_to_what_is_right() -> None:
    said = simulated(2000, [0.95])
    temperature = fit_temperature(said.probabilities[0], said.targets)
    sure = tempered(said.probabilities[0], temperature).max(axis=1)
    assert temperature < 1
    assert sure.mean() == pytest.approx(0.95, abs=0.02)
    assert fit_temperature(np.full((0, 2), 0.5), np.zeros((0, 2))) == pytest.approx(1, abs=1e-3)


def test_candidates_that_stand_alone_have_weights_and_no_votes() -> None:
    good, bad = np.full((40, 2), 0.9), np.full((40, 2), 0.4)
    said = Said(np.stack([good, bad]), np.ones((40, 2)), independent=True)
    found = choose("weights", said)
    assert found.weights[0] > 0.6
    assert found.temperature == 1
    with pytest.raises(ConfigError, match="one right answer"):
        choose("majority", said)


def test_unknown_ways_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'greedy'"):
        choose("gredy", simulated(5, [0.5]))


def predictions(p: list[float]) -> list[Prediction]:
    return [Prediction("", "yes", {"no": 1 - x, "yes": x}, max(x, 1 - x)) for x in p]


def test_choices_are_judged_on_rows_that_they_were_not_made_on() -> None:
    rows = [Example({}, target="yes", id=str(i)) for i in range(4)]
    said = [predictions([0.9, 0.9, 0.1, 0.1]), predictions([0.1, 0.1, 0.9, 0.9])]
    parts = [Fold(train=(0, 1), held_out=(2, 3)), Fold(train=(2, 3), held_out=(0, 1))]
    found = said_apart("greedy", said, rows, TASK, parts, temper=False)
    assert [one.text for one in found] == ["no"] * 4  # each part trusts the prompt that fails on the other
    whole = choose("greedy", Said.of(said, rows, TASK), temper=False)
    assert pooled(whole, [said[0][0], said[1][0]], rows[0], TASK).probabilities == pytest.approx(
        {"no": 0.5, "yes": 0.5}, abs=0.1
    )


def test_diversity_agrees_with_a_count_by_hand() -> None:
    correct = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 0, 0, 0]], dtype=bool)
    found = diversity(correct)
    assert found.disagreement == pytest.approx((2 + 1 + 3) / 15)
    assert found.double_fault == pytest.approx((1 + 2 + 1) / 15)
    assert found.any_right == pytest.approx(0.8)
    assert found.q == pytest.approx(((2 - 1) / 3 + 1 + (1 - 2) / 3) / 3)
    assert found.pairs[0][2] == pytest.approx(0.2)


def test_equal_prompts_have_no_diversity() -> None:
    found = diversity(np.array([[True, False], [True, False]]))
    assert (found.disagreement, found.q) == (0.0, 1.0)
    assert diversity(np.array([[True, True]])).q is None
