"""Metrics of a number on a scale: mean absolute error, root mean square error, rank correlation.

A prediction and a reference are numbers or their texts. A withheld prediction (None) counts as the end of the scale
that lies farthest from the reference. Knows nothing of the probabilities behind a number.
"""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.metrics.protocol import MeanMetric

__all__ = ["Mae", "Rmse", "Spearman"]


class Mae(MeanMetric):
    """Mean of |prediction - reference|, in units of the scale.

    Args:
        labels: Numbers of the scale; the smallest and the largest count.

    >>> Mae(["1", "5"]).value(3.5, 5.0), Mae(["1", "5"]).value(None, 4.0)
    (1.5, 3.0)
    """

    name = "mae"
    higher_is_better = False

    def __init__(self, labels: Sequence[str]) -> None:
        self.ends = _ends(labels, self.name)
        self.bounds = (0.0, self.ends[1] - self.ends[0])

    def value(self, prediction: Any, reference: Any) -> float:
        return abs(_number(prediction, reference, self.ends) - float(reference))


class Rmse(Mae):
    """Square root of the mean of (prediction - reference)^2: large errors weigh more.

    >>> metric = Rmse(["1", "5"])
    >>> metric.total(metric.item(1.0, 1.0) + metric.item(3.0, 5.0))
    1.4142135623730951
    """

    name = "rmse"

    def value(self, prediction: Any, reference: Any) -> float:
        return super().value(prediction, reference) ** 2

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Root of the mean square."""
        return math.sqrt(super().total(sums))


class Spearman:
    """Correlation of the ranks of predictions and references; equal numbers share the mean of their ranks.

    Ranks are those among all items (:meth:`among`); then the correlation depends on the items through a sum of (1, x,
    y, x^2, y^2, x y), and can be resampled with the ranks as they are. 0 where one side is constant: nothing is
    ordered.

    Source: Spearman, Am. J. Psychology 15 (1904) 72-101.

    >>> said, right = [1.2, 2.0, 4.9], [1.0, 3.0, 5.0]
    >>> metric = Spearman(["1", "5"]).among(said, right)
    >>> round(metric.total(sum(metric.item(s, r) for s, r in zip(said, right))), 6)
    1.0
    """

    name = "spearman"
    higher_is_better = True
    proportion = False
    bounds = (-1.0, 1.0)

    def __init__(self, labels: Sequence[str]) -> None:
        self.ends = _ends(labels, self.name)
        self._ranks: tuple[dict[float, float], dict[float, float]] | None = None

    def among(self, predictions: Sequence[Any], references: Sequence[Any]) -> Self:
        """The metric with the ranks that numbers have among these items."""
        ranked = type(self)([f"{end!r}" for end in self.ends])
        said = [_number(p, r, self.ends) for p, r in zip(predictions, references, strict=True)]
        ranked._ranks = _ranks(said), _ranks([float(r) for r in references])
        return ranked

    def item(self, prediction: Any, reference: Any) -> Float[np.ndarray, "d"]:
        """(1, x, y, x^2, y^2, x y) of the ranks x and y."""
        assert self._ranks is not None, "ranks are those among all items: use the metric that among() gives"
        x = self._ranks[0][_number(prediction, reference, self.ends)]
        y = self._ranks[1][float(reference)]
        return np.array([1.0, x, y, x * x, y * y, x * y])

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """The correlation."""
        n, x, y, xx, yy, xy = sums.tolist()
        spread = (xx / n - (x / n) ** 2) * (yy / n - (y / n) ** 2)
        if spread <= 1e-18:
            return 0.0
        return float(np.clip((xy / n - x * y / n**2) / math.sqrt(spread), -1.0, 1.0))


def _ranks(values: Sequence[float]) -> dict[float, float]:
    """Rank by value, from -1/2 to 1/2."""
    ordered, counts = np.unique(np.array(values, dtype=np.float64), return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(values) - 0.5
    return dict(zip(ordered.tolist(), ranks.tolist(), strict=True))


def _ends(labels: Sequence[str], metric: str) -> tuple[float, float]:
    try:
        found = [float(label) for label in labels]
    except ValueError:
        found = []
    if len(found) < 2:
        message = f"{metric} is for numbers on a scale, the task has {', '.join(map(repr, labels)) or 'none'}"
        raise ConfigError("config.invalid", message, cure="use it with a score task")
    return min(found), max(found)


def _number(prediction: Any, reference: Any, ends: tuple[float, float]) -> float:
    if prediction is None:
        return max(ends, key=lambda end: abs(end - float(reference)))
    try:
        return float(prediction)
    except (TypeError, ValueError):
        raise DataError("data.bad_value", f"the prediction {prediction!r} is no number") from None
