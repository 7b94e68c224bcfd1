"""Metrics of chosen labels: accuracy, macro-F1, and recall and precision by class.

Where items may have several labels or none, predictions and references are tuples of them (see ``sets`` too).
Knows nothing of scores or probabilities behind the labels (see ``probabilities``).
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.metrics.protocol import MeanMetric
from softprompt.core.stats import Interval, share_of

__all__ = ["Accuracy", "ClassScore", "MacroF1", "class_report", "confusion", "labels_in"]


class Accuracy(MeanMetric):
    """Share of predictions equal to the reference; an abstention (None) is wrong.

    >>> Accuracy().item("spam", "spam").tolist(), Accuracy().item(None, "spam").tolist()
    ([1.0, 1.0], [0.0, 1.0])
    """

    name = "accuracy"
    proportion = True

    def value(self, prediction: Any, reference: Any) -> float:
        return float(prediction is not None and prediction == reference)


class MacroF1:
    """Mean over classes of F1 = 2 tp / (2 tp + fp + fn): small classes count as much as large ones.

    A class that is neither predicted nor right anywhere is left out of the mean, as scikit-learn does. A prediction
    outside ``labels`` (free text, an abstention) misses its reference's class and enters no other.

    An item may have several labels, or none: each class is then a decision of its own.

    The mean of the classes' F1, not the F1 of the mean precision and recall: Opitz, Burst, arXiv:1911.03347.

    Args:
        labels: All labels, C of them; an item is (tp, fp, fn) by class, [3 C].

    >>> metric = MacroF1(["no", "yes"])
    >>> pairs = [("yes", "yes"), ("no", "yes"), ("no", "no"), (None, "no")]
    >>> round(metric.total(sum(metric.item(p, r) for p, r in pairs)), 3)
    0.583
    """

    name = "macro_f1"
    higher_is_better = True
    proportion = False
    bounds = (0.0, 1.0)

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = _checked_labels(labels, "macro_f1")
        self._index = {label: i for i, label in enumerate(self.labels)}

    def item(self, prediction: Any, reference: Any) -> Float[np.ndarray, "d"]:
        """(tp, fp, fn) by class, flattened."""
        counts = np.zeros((3, len(self.labels)))
        right = {_place(label, self._index) for label in labels_in(reference)}
        said = {self._index[label] for label in labels_in(prediction) if label in self._index}
        for row, places in enumerate((right & said, said - right, right - said)):
            counts[row, list(places)] = 1
        return counts.reshape(-1)

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Mean F1 of the classes that occur; 0 where none does."""
        tp, fp, fn = sums.reshape(3, -1)
        occurrences = 2 * tp + fp + fn
        there = occurrences > 0
        if not there.any():
            return 0.0
        return float(np.mean(2 * tp[there] / occurrences[there]))


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class fares.

    Attributes:
        label: The class.
        n: Items whose reference it is.
        predicted: Items for which it was predicted.
        recall: Of its items, the share found (Wilson interval, n items).
        precision: Of its predictions, the share right (Wilson interval, ``predicted`` items).
        f1: 2 tp / (n + predicted); 0 when the class does not occur.
        of: What the label names: a class, or a field of an object.
    """

    label: str
    n: int
    predicted: int
    recall: Interval
    precision: Interval
    f1: float
    of: Literal["class", "field"] = "class"


def confusion(
    predictions: Sequence[Any], references: Sequence[str], *, labels: Sequence[str]
) -> Int[np.ndarray, "C K"]:
    """Counts by reference (row) and prediction (column), [C, C + 1]; the last column is abstentions and other answers.

    >>> confusion(["yes", None, "no"], ["yes", "yes", "no"], labels=["no", "yes"]).tolist()
    [[1, 0, 0], [0, 1, 1]]
    """
    index = {label: i for i, label in enumerate(_checked_labels(labels, "a confusion table"))}
    table = np.zeros((len(index), len(index) + 1), dtype=np.int64)
    for prediction, reference in zip(predictions, references, strict=True):
        table[_place(reference, index), index.get(prediction, len(index))] += 1
    return table


def class_report(
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    labels: Sequence[str],
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> tuple[ClassScore, ...]:
    """Recall and precision of each class with the counts behind them, in the order of ``labels``.

    Items may have several labels each, as tuples; where they name groups, intervals count these.

    >>> rows = class_report(["yes", "yes", "no", None], ["yes", "no", "no", "no"], labels=["no", "yes"])
    >>> print(rows[0].label, rows[0].n, rows[0].recall)
    no 3 0.333 [0.061, 0.792]
    """
    index = {label: i for i, label in enumerate(_checked_labels(labels, "a report by class"))}
    found, said, both = (defaultdict[str, list[int]](list) for _ in range(3))  # items, by label
    for n, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        wanted, given = set(labels_in(reference)), set(labels_in(prediction))
        for label in wanted:
            _place(label, index)
            found[label].append(n)
        for label in given:
            said[label].append(n)
        for label in wanted & given:
            both[label].append(n)

    def share(label: str, items: Sequence[int]) -> Interval:
        hits = set(both[label])
        right = [n in hits for n in items]
        return share_of(right, groups=None if groups is None else [groups[n] for n in items], level=level)

    rows = []
    for label in labels:
        n, predicted = len(found[label]), len(said[label])
        f1 = 2 * len(both[label]) / max(1, n + predicted)
        rows.append(ClassScore(label, n, predicted, share(label, found[label]), share(label, said[label]), f1))
    return tuple(rows)


def labels_in(answer: Any) -> tuple[Any, ...]:
    """The labels that an answer names: itself, or its parts; none for None.

    >>> labels_in("late"), labels_in(("late", "billing")), labels_in(None)
    (('late',), ('late', 'billing'), ())
    """
    if answer is None:
        return ()
    return tuple(answer) if isinstance(answer, (tuple, list, set, frozenset)) else (answer,)


def _checked_labels(labels: Sequence[str], what: str) -> tuple[str, ...]:
    if not labels or len(set(labels)) < len(labels):
        raise ConfigError(
            "config.invalid", f"{what} needs the task's labels, each once; got {list(labels)}", cure="pass labels=[...]"
        )
    return tuple(labels)


def _place(reference: Any, index: dict[str, int]) -> int:
    if reference not in index:
        raise DataError(
            "data.unknown_label", f"label {reference!r} is not in the task; {nearest(str(reference), index)}"
        )
    return index[reference]
