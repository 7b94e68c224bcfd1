"""Logistic regression whose strength of regularisation is chosen, not guessed.

Chosen by log-loss, which is steadier than accuracy on a few hundred rows, on the validation rows or by cross-validation
inside the training rows; learnt from the training rows alone, as a soft prompt is.

The best weights lie in the span of the training rows (the representer theorem: Schölkopf, Herbrich & Smola 2001,
https://doi.org/10.1007/3-540-44581-1_27). So where there are more features than rows, everything is computed in the
coordinates of that span, which keep all inner products: the same classifier, from n numbers a row instead of d.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from softprompt.lab.comparison.scikit_learn import sklearn

__all__ = ["NUMBER_BYTES", "Logistic", "Matrix", "Span", "fit_logistic", "fit_weights"]

#: Features by row: a dense array or scipy's sparse array.
Matrix = Any

#: Bytes of a stored weight.
NUMBER_BYTES = 8

_SMALLEST = 1e-15
_MOST_ROWS = 3000  # above, the eigenvectors of a rows x rows matrix take longer than fitting on the features themselves


@dataclass(frozen=True)
class Logistic:
    """A fitted classifier: softmax(x @ weight.T + bias).

    Attributes:
        variant: Which of the given features it uses.
        strength: C, the inverse of the regularisation.
        log_loss: On the rows where it was chosen, in nats; nan where there was nothing to choose on.
        weight: By label of the task; with two labels the first one's are 0.
        bias: -inf for a label without a training row.
    """

    variant: str
    strength: float
    log_loss: float
    weight: Float[np.ndarray, "C d"]
    bias: Float[np.ndarray, " C"]

    @property
    def num_trained(self) -> int:
        """Learnt weights and biases."""
        learnt = np.isfinite(self.bias) & self.weight.any(axis=1)
        return int(learnt.sum()) * (int(self.weight.shape[1]) + 1)

    def corrected(self, offsets: Sequence[float]) -> "Logistic":
        """The same with something added to the logarithm of each label's probability, e.g. for uneven shares.

        >>> one = Logistic("x", 1.0, 0.5, np.zeros((2, 1)), np.log([0.8, 0.2]))
        >>> one.corrected([-np.log(0.8), -np.log(0.2)]).probabilities(np.zeros((1, 1))).round(3).tolist()
        [[0.5, 0.5]]
        """
        return replace(self, bias=self.bias + np.asarray(offsets, dtype=np.float64)) if len(offsets) else self

    def probabilities(self, features: Matrix) -> Float[np.ndarray, "n C"]:
        """Probability of every label; 0 for one without a training row."""
        return _softmax(np.asarray(features @ self.weight.T) + self.bias)


def fit_logistic(
    train: Mapping[str, Matrix],
    targets: Int[np.ndarray, " n"],
    *,
    num_labels: int,
    strengths: Sequence[float],
    validation: tuple[Mapping[str, Matrix], Int[np.ndarray, " m"]] | None = None,
    seed: int = 0,
) -> Logistic:
    """Fit with the variant of the features and the strength that do best on rows that were not learnt from.

    Args:
        train: Features of the training rows by variant, [n, d] each.
        targets: Index of the right label.
        num_labels: Of the task.
        strengths: Values of C to choose from.
        validation: Features by variant and targets; None: stratified cross-validation with up to 5 folds inside
            ``train``. Where some label has a single training row there is nothing to choose on, and the middle
            strength of the first variant is taken.
        seed: Of the folds.

    >>> x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> fitted = fit_logistic({"x": x}, y, num_labels=2, strengths=[0.01, 1.0])
    >>> fitted.strength, fitted.probabilities(x).argmax(1).tolist()
    (1.0, [0, 0, 1, 1])
    """
    best, chosen, strength = np.inf, next(iter(train)), strengths[len(strengths) // 2]
    spans = {variant: Span.of(features) for variant, features in train.items()}
    for variant, span in spans.items():
        held_out = None if validation is None else (span.coordinates(validation[0][variant]), validation[1])
        for c in strengths:
            found = _held_out(span.rows, targets, c, num_labels=num_labels, validation=held_out, seed=seed)
            if found < best:  # never where there was nothing to choose on
                best, chosen, strength = found, variant, c
    weight, bias = fit_weights(spans[chosen].rows, targets, strength, num_labels=num_labels)
    return Logistic(chosen, strength, best if np.isfinite(best) else np.nan, spans[chosen].weights(weight), bias)


@dataclass(frozen=True)
class Span:
    """Training rows in orthonormal coordinates of their span; the rows themselves where that is no gain.

    Attributes:
        features: The training rows X, [n, d].
        basis: U / sqrt(lambda) of X X^T = U lambda U^T, [n, r]; X^T @ basis are the r directions.
        rows: Coordinates of the training rows, [n, r].
    """

    features: Matrix
    basis: Float[np.ndarray, "n r"] | None
    rows: Matrix

    @classmethod
    def of(cls, features: Matrix) -> "Span":
        rows, columns = features.shape
        if columns <= rows or rows > _MOST_ROWS:
            return cls(features, None, features)
        values, vectors = np.linalg.eigh(_dense(features @ features.T))
        kept = values > values[-1] * 1e-12
        if not kept.any():  # every feature of every row is 0
            return cls(features, None, features)
        values, vectors = values[kept], vectors[:, kept]
        return cls(features, vectors / np.sqrt(values), vectors * np.sqrt(values))

    def coordinates(self, features: Matrix) -> Matrix:
        """Other rows in the same coordinates; what lies outside the span meets no weight."""
        return features if self.basis is None else _dense(features @ self.features.T) @ self.basis

    def weights(self, weight: Float[np.ndarray, "C r"]) -> Float[np.ndarray, "C d"]:
        """Weights of coordinates as weights of features."""
        return weight if self.basis is None else np.asarray((weight @ self.basis.T) @ self.features)


def _held_out(
    features: Matrix,
    targets: Int[np.ndarray, " n"],
    c: float,
    *,
    num_labels: int,
    validation: tuple[Matrix, Int[np.ndarray, " m"]] | None,
    seed: int,
) -> float:
    """Log-loss on rows that were not learnt from; nan where none can be left out."""

    def predicted(rows: Matrix, right: Int[np.ndarray, " k"], others: Matrix) -> Float[np.ndarray, "j C"]:
        weight, bias = fit_weights(rows, right, c, num_labels=num_labels)
        return _softmax(np.asarray(others @ weight.T) + bias)

    if validation is not None:
        return _log_loss(predicted(features, targets, validation[0]), validation[1])
    folds = min(5, int(np.bincount(targets)[np.unique(targets)].min()))
    if folds < 2:
        return np.nan
    selection = sklearn("model_selection", purpose="cross-validation")
    p = np.zeros((len(targets), num_labels))
    for seen, unseen in selection.StratifiedKFold(folds, shuffle=True, random_state=seed).split(targets, targets):
        p[unseen] = predicted(features[seen], targets[seen], features[unseen])
    return _log_loss(p, targets)


def _log_loss(p: Float[np.ndarray, "n C"], targets: Int[np.ndarray, " n"]) -> float:
    return -float(np.log(np.maximum(p[np.arange(len(targets)), targets], _SMALLEST)).mean())


def fit_weights(
    features: Matrix, targets: Int[np.ndarray, " n"], c: float, *, num_labels: int
) -> tuple[Float[np.ndarray, "C d"], Float[np.ndarray, " C"]]:
    """Weights and biases by label of the task."""
    linear = sklearn("linear_model", purpose="logistic regression")
    with warnings.catch_warnings():
        # weak regularisation on separable rows has its optimum far out: the direction is right long before that
        warnings.simplefilter("ignore", sklearn("exceptions", purpose="logistic regression").ConvergenceWarning)
        model = linear.LogisticRegression(C=c, max_iter=300).fit(features, targets)
    weight = np.zeros((num_labels, features.shape[1]))
    bias = np.full(num_labels, -np.inf)
    if len(model.classes_) == 2:  # one row of numbers: those of the second label against the first
        bias[model.classes_[0]] = 0
        weight[model.classes_[1]], bias[model.classes_[1]] = model.coef_[0], model.intercept_[0]
    else:
        weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weight, bias


def _softmax(scores: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "n C"]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _dense(matrix: Matrix) -> Float[np.ndarray, "n m"]:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
