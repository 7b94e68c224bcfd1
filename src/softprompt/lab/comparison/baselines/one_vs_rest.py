"""A logistic regression a label, for texts with several labels: the strength of regularisation is chosen for all alike.

Each label is told from all rows without it. What the held-out rows got is kept, because thresholds are chosen on it.
Built on ``logistic``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from softprompt.lab.comparison.baselines.logistic import Matrix, Span, fit_weights
from softprompt.lab.comparison.scikit_learn import sklearn

__all__ = ["OneVsRest", "fit_one_vs_rest"]

_FOLDS = 3
_SMALLEST = 1e-15


@dataclass(frozen=True)
class OneVsRest:
    """Fitted classifiers: sigmoid(x @ weight.T + bias).

    Attributes:
        variant: Which of the given features they use.
        strength: C, the inverse of the regularisation.
        weight, bias: By label of the task.
        held_out: Probabilities of the rows where C was chosen, by classifiers that had not learnt them.
    """

    variant: str
    strength: float
    weight: Float[np.ndarray, "C d"]
    bias: Float[np.ndarray, " C"]
    held_out: Float[np.ndarray, "m C"]

    @property
    def num_trained(self) -> int:
        """Learnt weights and biases."""
        return int(self.weight.size + self.bias.size)

    def probabilities(self, features: Matrix) -> Float[np.ndarray, "n C"]:
        """Probability of every label."""
        return _sigmoid(np.asarray(features @ self.weight.T) + self.bias)


def fit_one_vs_rest(
    train: dict[str, Matrix],
    targets: Float[np.ndarray, "n C"],
    *,
    strengths: Sequence[float],
    validation: tuple[dict[str, Matrix], Float[np.ndarray, "m C"]] | None = None,
    seed: int = 0,
) -> OneVsRest:
    """Fit with the variant of the features and the strength that have the least log-loss on held-out rows.

    Args:
        train: Features of the training rows by variant, [n, d] each.
        targets: 1 for each label that a row has.
        strengths: Values of C to choose from.
        validation: Features by variant and targets; None: cross-validation in three parts of ``train``.
        seed: Of the parts.

    >>> x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 3), np.array([[0, 1], [0, 1], [0, 0], [1, 0]] * 3)
    >>> fitted = fit_one_vs_rest({"x": x}, y.astype(float), strengths=[0.01, 10.0])
    >>> (fitted.probabilities(x[:4]) > 0.5).astype(int).tolist()
    [[0, 1], [0, 1], [0, 0], [1, 0]]
    """
    best: tuple[float, str, float, Float[np.ndarray, "m C"]] | None = None
    spans = {variant: Span.of(features) for variant, features in train.items()}
    for variant, span in spans.items():
        for c in strengths:
            if validation is None:
                said, right = _crossed(span.rows, targets, c, seed=seed), targets
            else:
                said = _predicted(span.rows, targets, c, span.coordinates(validation[0][variant]))
                right = validation[1]
            loss = _log_loss(said, right)
            if best is None or loss < best[0]:
                best = loss, variant, c, said
    assert best is not None, "at least one variant and one strength"
    _, variant, strength, held_out = best
    weight, bias = _fit(spans[variant].rows, targets, strength)
    return OneVsRest(variant, strength, spans[variant].weights(weight), bias, held_out)


def _fit(
    features: Matrix, targets: Float[np.ndarray, "n C"], c: float
) -> tuple[Float[np.ndarray, "C d"], Float[np.ndarray, " C"]]:
    """Weights and biases; a label that all rows have, or none, keeps its share (plus a half) for every text."""
    weight, bias = np.zeros((targets.shape[1], features.shape[1])), np.zeros(targets.shape[1])
    for i, column in enumerate(targets.T):
        count = column.sum()
        if 0 < count < len(column):
            found, biases = fit_weights(features, column.astype(np.int64), c, num_labels=2)
            weight[i], bias[i] = found[1], biases[1]
        else:
            bias[i] = np.log((count + 0.5) / (len(column) - count + 0.5))
    return weight, bias


def _predicted(
    features: Matrix, targets: Float[np.ndarray, "n C"], c: float, others: Matrix
) -> Float[np.ndarray, "m C"]:
    weight, bias = _fit(features, targets, c)
    return _sigmoid(np.asarray(others @ weight.T) + bias)


def _crossed(features: Matrix, targets: Float[np.ndarray, "n C"], c: float, *, seed: int) -> Float[np.ndarray, "n C"]:
    """Probabilities by classifiers that have not learnt the row; shares where there is a single row."""
    if len(targets) < 2:
        return np.full(targets.shape, 0.5)
    selection = sklearn("model_selection", purpose="cross-validation")
    said = np.zeros(targets.shape)
    parts = selection.KFold(min(_FOLDS, len(targets)), shuffle=True, random_state=seed)
    for seen, unseen in parts.split(targets):
        said[unseen] = _predicted(features[seen], targets[seen], c, features[unseen])
    return said


def _log_loss(p: Float[np.ndarray, "n C"], right: Float[np.ndarray, "n C"]) -> float:
    own = np.where(right > 0.5, p, 1 - p)
    return -float(np.log(np.maximum(own, _SMALLEST)).mean())


def _sigmoid(scores: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "n C"]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores)))
