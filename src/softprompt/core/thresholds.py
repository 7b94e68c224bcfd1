"""From which probability on a label is given: thresholds chosen on rows that were not learnt from.

A probability of one half is the right bar for accuracy, not for F1: a label that one row in twenty has rarely reaches
it. Choosing a bar a label is the cure, but on few rows the choice follows chance; so a label with few rows takes the
bar that is best for all labels together.

Source: Yang, A study of thresholding strategies for text categorization, SIGIR 2001 (SCut, and its fall-back for rare
labels); Lipton, Elkan and Naryanaswamy, ECML PKDD 2014 (why the bar for F1 lies below one half).
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

__all__ = ["FEWEST", "choose_thresholds"]

#: Rows that have a label, and rows that do not, from which on it gets a threshold of its own.
FEWEST = 10


def choose_thresholds(
    probabilities: Float[np.ndarray, "n C"], right: Bool[np.ndarray, "n C"], *, fewest: int = FEWEST
) -> tuple[float, ...]:
    """The probability from which on each label is given.

    For a label with enough rows the one with the best F1 on these rows; for the others the one with the best micro-F1
    of all labels together.

    Args:
        probabilities: Of each label by row, from a model that has not learnt the row.
        right: Which labels each row has.
        fewest: Rows with and without a label that its own threshold needs.

    >>> p = np.array([[0.9, 0.2], [0.8, 0.3], [0.4, 0.1], [0.1, 0.0]])
    >>> right = np.array([[1, 1], [1, 1], [0, 0], [0, 0]], dtype=bool)
    >>> [round(bar, 2) for bar in choose_thresholds(p, right, fewest=2)]
    [0.6, 0.15]
    >>> [round(bar, 2) for bar in choose_thresholds(p, right)]
    [0.15, 0.15]
    """
    shared = _best(probabilities.reshape(-1), right.reshape(-1))
    rows = right.sum(axis=0)
    enough = (rows >= fewest) & (len(right) - rows >= fewest)
    return tuple(_best(probabilities[:, i], right[:, i]) if enough[i] else shared for i in range(right.shape[1]))


def _best(probabilities: ArrayLike, right: ArrayLike) -> float:
    """The threshold with the best F1: midway between two neighbours; of equals the highest; a half where none is right.

    With the k likeliest given, F1 = 2 hits / (k + rows that are right).
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if not y.sum():
        return 0.5
    order = np.argsort(-p, kind="stable")
    p, hits = p[order], np.cumsum(y[order])
    below = np.append(p[1:], -1.0)
    f1 = np.where(p > below, 2 * hits / (np.arange(1, len(p) + 1) + y.sum()), -1.0)
    k = int(f1.argmax())
    return float((p[k] + max(below[k], 0.0)) / 2)
