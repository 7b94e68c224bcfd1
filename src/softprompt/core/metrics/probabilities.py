"""Metrics of probabilities: log-loss, Brier score, calibration error; and perplexity of text.

A prediction is the probabilities of all answers, as a mapping by label or as a sequence that the reference indexes.
There is no abstaining here: score the probabilities that stood behind it. Knows nothing of how they were made.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from softprompt.core.errors import DataError
from softprompt.core.metrics.protocol import MeanMetric

__all__ = ["Brier", "CalibrationError", "LogLoss", "Perplexity", "Probabilities"]

Probabilities = Mapping[Any, float] | Sequence[float] | np.ndarray

_SMALLEST = float(np.finfo(np.float64).eps)  # scikit-learn's clip: one certain error must not make the mean infinite
_SUM_TOLERANCE = 1e-3  # sums of probabilities computed in half precision


class LogLoss(MeanMetric):
    """Mean of -ln p(reference), in nats; p is clipped below at 2.2e-16.

    Source: Good, J. R. Statist. Soc. B 14 (1952) 107-114.

    >>> round(LogLoss().value({"yes": 0.8, "no": 0.2}, "yes"), 4)
    0.2231
    """

    name = "log_loss"
    higher_is_better = False
    bounds = (0.0, -math.log(_SMALLEST))

    def value(self, prediction: Probabilities | None, reference: Any) -> float:
        p, right = _distribution(prediction, reference, self.name)
        return -math.log(max(float(p[right]), _SMALLEST))


class Brier(MeanMetric):
    """Mean over items of sum_k (p_k - [k is the reference])^2; 0 is perfect, 2 is certain and wrong.

    Source: Brier, Monthly Weather Review 78 (1950) 1-3 (for two classes this is twice the one-sided form).

    >>> round(Brier().value([0.8, 0.2], 0), 4)
    0.08
    """

    name = "brier"
    higher_is_better = False
    bounds = (0.0, 2.0)

    def value(self, prediction: Probabilities | None, reference: Any) -> float:
        p, right = _distribution(prediction, reference, self.name)
        return float(np.square(p).sum() - 2 * p[right] + 1)


class CalibrationError:
    """Expected calibration error: sum over bins m of |B_m|/n |accuracy(B_m) - confidence(B_m)|.

    Items are binned by the probability of the likeliest answer; bins have equal width and include their right end. An
    item is (1, right, confidence) in its bin, [3 M]: the same sums draw the reliability picture. Few items bias it
    upward, and its bootstrap with it: read it beside log-loss and Brier, and compare only on equal items.

    Source: Naeini et al., AAAI 2015, 2901-2907; Guo et al., ICML 2017, 1321-1330 (15 bins); Kumar et al., NeurIPS
    2019, 3792-3803 (the bias).

    >>> metric = CalibrationError()
    >>> round(metric.total(metric.item([0.9, 0.1], 0) + metric.item([0.9, 0.1], 1)), 4)
    0.4
    """

    name = "ece"
    higher_is_better = False
    proportion = False
    bounds = (0.0, 1.0)

    def __init__(self, *, num_bins: int = 15) -> None:
        self.num_bins = num_bins

    def item(self, prediction: Probabilities | None, reference: Any) -> Float[np.ndarray, "d"]:
        """(1, right, confidence) in the bin of the item, zero elsewhere."""
        p, right = _distribution(prediction, reference, self.name)
        top = int(p.argmax())
        place = min(max(math.ceil(p[top] * self.num_bins) - 1, 0), self.num_bins - 1)
        bins = np.zeros((self.num_bins, 3))
        bins[place] = 1.0, float(top == right), p[top]
        return bins.reshape(-1)

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Weighted mean gap between accuracy and confidence."""
        count, right, confidence = sums.reshape(self.num_bins, 3).T
        return float(np.abs(right - confidence).sum() / count.sum())


class Perplexity:
    """exp(sum of negative log-likelihoods / sum of tokens): the size of a fair choice at each token.

    A prediction is (sum over the tokens of -ln p, number of tokens); the reference is not looked at. Only comparable
    between models with the same tokens.

    >>> metric = Perplexity()
    >>> round(metric.total(metric.item((2.0, 4), None) + metric.item((6.0, 4), None)), 4)
    2.7183
    """

    name = "perplexity"
    higher_is_better = False
    proportion = False
    bounds = (1.0, math.inf)

    def item(self, prediction: tuple[float, int] | None, reference: Any) -> Float[np.ndarray, "d"]:
        """(negative log-likelihood, tokens)."""
        pair = np.array(prediction, dtype=np.float64)
        if pair.shape != (2,):
            raise DataError(
                "data.not_probabilities",
                f"perplexity needs (sum of -ln p, number of tokens) for each item, got {prediction!r}",
            )
        return pair

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Perplexity; inf beyond what a float holds, nan without a token."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.exp(sums[0] / sums[1]))


def _distribution(prediction: Any, reference: Any, metric: str) -> tuple[Float[np.ndarray, "C"], int]:
    """The probabilities as an array and the place of the reference in it."""
    if prediction is None or isinstance(prediction, str):
        raise DataError(
            "data.not_probabilities",
            f"{metric} needs the probabilities of all answers, got {prediction!r}",
            cure="score the probabilities behind the answer, abstentions too",
        )
    labels = list(prediction) if isinstance(prediction, Mapping) else range(len(prediction))
    p = np.asarray(list(prediction.values()) if isinstance(prediction, Mapping) else prediction, dtype=np.float64)
    if p.ndim != 1 or not np.isfinite(p).all() or p.min() < 0 or abs(p.sum() - 1) > _SUM_TOLERANCE:
        raise DataError(
            "data.not_probabilities", f"{metric} needs finite probabilities that sum to 1, got {prediction!r}"
        )
    if reference not in labels:
        raise DataError("data.unknown_label", f"reference {reference!r} has no probability; there are {list(labels)}")
    return p, labels.index(reference)
