"""Metrics of sets of labels: micro-F1, subset accuracy, Hamming loss.

A prediction and a reference are tuples of labels, or one label. Macro-F1 and the report by label stand in ``labels``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from softprompt.core.metrics.labels import MacroF1, labels_in
from softprompt.core.metrics.protocol import MeanMetric

__all__ = ["HammingLoss", "MicroF1", "SubsetAccuracy"]


class MicroF1(MacroF1):
    """F1 = 2 tp / (2 tp + fp + fn) of all labels' decisions together: frequent labels count more.

    0 where no label is right or said anywhere, as in scikit-learn.

    >>> metric = MicroF1(["late", "billing"])
    >>> pairs = [(("late",), ("late", "billing")), ((), ("billing",)), (("late",), ())]
    >>> round(metric.total(sum(metric.item(p, r) for p, r in pairs)), 3)
    0.4
    """

    name = "micro_f1"

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """F1 of the sums over the labels."""
        tp, fp, fn = sums.reshape(3, -1).sum(axis=1)
        return float(2 * tp / (2 * tp + fp + fn)) if tp + fp + fn else 0.0


class SubsetAccuracy(MeanMetric):
    """Share of items with every label right and none too many; an abstention (None) is wrong.

    >>> SubsetAccuracy().value(("late",), ("late",)), SubsetAccuracy().value((), ("late",))
    (1.0, 0.0)
    """

    name = "subset_accuracy"
    proportion = True

    def value(self, prediction: Any, reference: Any) -> float:
        return float(prediction is not None and set(labels_in(prediction)) == set(labels_in(reference)))


class HammingLoss(MeanMetric):
    """Share of the decisions, one a label and item, that are wrong; of an abstention (None) all are.

    >>> HammingLoss(["late", "billing", "angry", "rude"]).value(("late",), ("billing",))
    0.5
    """

    name = "hamming_loss"
    higher_is_better = False

    def __init__(self, labels: Sequence[str]) -> None:
        self.num_labels = len(labels)

    def value(self, prediction: Any, reference: Any) -> float:
        if prediction is None:
            return 1.0
        return len(set(labels_in(prediction)) ^ set(labels_in(reference))) / self.num_labels
