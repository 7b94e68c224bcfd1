"""What a metric is: a vector for each item, and a number from the sum of the vectors.

Because the number depends on the items through a sum only, any metric can be resampled, added up over devices and
compared on shared items (``core.stats``). Knows no concrete metric.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from softprompt.core.errors import DataError

__all__ = ["MeanMetric", "Metric", "Ranking", "reference_texts"]


@runtime_checkable
class Metric(Protocol):
    """A score of predictions against references.

    A prediction of None is an abstention. It counts as wrong: leaving hard items out must not raise a score.

    Attributes:
        name: As in the table of metrics, e.g. ``macro_f1``.
        higher_is_better: False for losses.
        proportion: True when an item is (1 or 0, 1) and the total their ratio, so that exact intervals hold.
        bounds: Smallest and largest possible value.
    """

    name: str
    higher_is_better: bool
    proportion: bool
    bounds: tuple[float, float]

    def item(self, prediction: Any, reference: Any) -> Float[np.ndarray, "d"]:
        """Sufficient statistics of one item, [d]; d is fixed for a metric."""

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """The metric from the sum of the items' statistics."""


@runtime_checkable
class Ranking(Protocol):
    """A metric whose items say something only among all others, by their ranks."""

    def among(self, predictions: Sequence[Any], references: Sequence[Any]) -> Metric:
        """The metric for these items."""
        ...


class MeanMetric(ABC):
    """A metric that is the mean of a number for each item."""

    name: str
    higher_is_better: bool = True
    proportion: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)

    @abstractmethod
    def value(self, prediction: Any, reference: Any) -> float:
        """The number for one item."""

    def item(self, prediction: Any, reference: Any) -> Float[np.ndarray, "d"]:
        """(value, 1)."""
        return np.array([self.value(prediction, reference), 1.0])

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Sum of values / number of items."""
        return float(sums[0] / sums[1])


def reference_texts(references: str | Sequence[str]) -> tuple[str, ...]:
    """The references of one item as a tuple; one text or several.

    Raises:
        DataError: ``data.no_target`` when there is none.

    >>> reference_texts("a b"), reference_texts(["a", "b"])
    (('a b',), ('a', 'b'))
    """
    found = (references,) if isinstance(references, str) else tuple(references)
    if not found:
        raise DataError("data.no_target", "an item has an empty list of references", cure="leave the row out")
    return found
