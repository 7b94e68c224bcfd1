"""The table of metrics by name, and a score with its interval.

Knows nothing of tasks, models or files: predictions and references come as plain values.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.metrics.answers import ExactMatch, RougeL, TokenF1
from softprompt.core.metrics.corpus import Bleu, ChrF
from softprompt.core.metrics.labels import Accuracy, MacroF1
from softprompt.core.metrics.numbers import Mae, Rmse, Spearman
from softprompt.core.metrics.objects import FieldF1, FieldPrecision, FieldRecall, WholeObject
from softprompt.core.metrics.probabilities import Brier, CalibrationError, LogLoss, Perplexity
from softprompt.core.metrics.protocol import Metric, Ranking
from softprompt.core.metrics.sets import HammingLoss, MicroF1, SubsetAccuracy
from softprompt.core.stats import Interval, bootstrap, mcnemar_exact, paired_bootstrap, paired_permutation, wilson

__all__ = ["METRICS", "Score", "compare", "items_of", "make_metric", "score", "significance"]

#: Name -> a maker of the metric from the task's labels (empty when it has none).
METRICS: dict[str, Callable[[Sequence[str]], Metric]] = {
    "accuracy": lambda labels: Accuracy(),
    "macro_f1": lambda labels: MacroF1(labels),
    "micro_f1": lambda labels: MicroF1(labels),
    "subset_accuracy": lambda labels: SubsetAccuracy(),
    "hamming_loss": lambda labels: HammingLoss(labels),
    "mae": lambda labels: Mae(labels),
    "rmse": lambda labels: Rmse(labels),
    "spearman": lambda labels: Spearman(labels),
    "exact_match": lambda labels: ExactMatch(),
    "token_f1": lambda labels: TokenF1(),
    "rouge_l": lambda labels: RougeL(),
    "bleu": lambda labels: Bleu(),
    "chrf": lambda labels: ChrF(),
    "field_f1": lambda labels: FieldF1(),
    "field_precision": lambda labels: FieldPrecision(),
    "field_recall": lambda labels: FieldRecall(),
    "whole_object": lambda labels: WholeObject(),
    "perplexity": lambda labels: Perplexity(),
    "log_loss": lambda labels: LogLoss(),
    "brier": lambda labels: Brier(),
    "ece": lambda labels: CalibrationError(),
}


def make_metric(name: str, *, labels: Sequence[str] = ()) -> Metric:
    """A metric by name; ``labels`` are the task's, for those that count by class.

    Raises:
        ConfigError: ``config.unknown_name``; ``config.invalid`` when labels are needed and missing.
        ExtraError: ``extra.missing`` when the metric needs a package that is not installed.

    >>> make_metric("macro_f1", labels=["no", "yes"]).name
    'macro_f1'
    """
    if name not in METRICS:
        raise ConfigError("config.unknown_name", f"there is no metric {name!r}; {nearest(name, METRICS)}")
    return METRICS[name](labels)


def items_of(metric: Metric, predictions: Sequence[Any], references: Sequence[Any]) -> Float[np.ndarray, "n d"]:
    """Sufficient statistics of the items, [n, d]; ``metric.total`` of their sum is the metric.

    >>> items_of(Accuracy(), ["yes", "no"], ["yes", "yes"]).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    mine = metric.among(predictions, references) if isinstance(metric, Ranking) else metric
    return np.stack([mine.item(p, r) for p, r in zip(predictions, references, strict=True)])


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A metric on a set of items.

    Attributes:
        metric: Its name.
        interval: The score and how sure it is.
        items: Sufficient statistics of each item, [n, d]: what paired comparisons need, and the per-item outcome in
            column 0 of metrics that are means.
        higher_is_better: As the metric's.

    >>> print(score(Accuracy(), ["yes", "no"] * 20, ["yes"] * 40))
    accuracy 0.500 [0.352, 0.648], n = 40
    """

    metric: str
    interval: Interval
    items: Float[np.ndarray, "n d"]
    higher_is_better: bool

    def __str__(self) -> str:
        return f"{self.metric} {self.interval}, n = {len(self.items)}"


def score(
    metric: Metric,
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Score:
    """Score predictions: Wilson's interval for a proportion, else (or when items come in groups) the bootstrap.

    Args:
        predictions: One an item; None is an abstention and counts as wrong.
        references: One an item, in the same order; lists of texts where several are right.
        groups: The cluster of each item, when items are not independent.

    Raises:
        DataError: ``data.lengths_differ``, ``data.nothing_to_score``, and what the metric's ``item`` raises.

    >>> found = score(TokenF1(), ["a red car", None, "two"], ["the car", "x", ["2", "two"]])
    >>> found.items[:, 0].round(2).tolist()
    [0.67, 0.0, 1.0]
    """
    if len(predictions) != len(references):
        raise DataError("data.lengths_differ", f"{len(predictions)} predictions for {len(references)} references")
    if not len(predictions):
        raise DataError("data.nothing_to_score", f"{metric.name} was asked of no items", cure="check the split's size")
    items = items_of(metric, predictions, references)
    if metric.proportion and groups is None:
        interval = wilson(int(items[:, 0].sum()), len(items), level=level)
    else:
        interval = bootstrap(items, metric.total, level=level, seed=seed, groups=groups, bounds=metric.bounds)
    return Score(metric.name, interval, items, metric.higher_is_better)


def compare(
    metric: Metric,
    first: Score,
    second: Score,
    *,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Interval of the difference first - second on the same items in the same order (paired bootstrap).

    Raises:
        DataError: ``data.lengths_differ`` when the items do not match.

    >>> right = ["yes"] * 40
    >>> first, second = score(Accuracy(), right, right), score(Accuracy(), ["yes", "no"] * 20, right)
    >>> print(compare(Accuracy(), first, second))
    0.500 [0.325, 0.672]
    """
    return paired_bootstrap(
        first.items, second.items, metric.total, level=level, seed=seed, groups=groups, bounds=metric.bounds
    )


def significance(
    metric: Metric,
    first: Float[np.ndarray, "n d"],
    second: Float[np.ndarray, "n d"],
    *,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> tuple[float, str]:
    """Two-sided p-value of no difference on the same items, and the test.

    Exact McNemar for shares of right answers of items that stand alone, a paired permutation otherwise.

    Args:
        metric: Of both.
        first: Sufficient statistics of the items, [n, d], as :func:`items_of` gives them.
        second: Likewise, in the same order.
        seed: Of the permutation.
        groups: By item, where some belong together.

    >>> truth = ["yes"] * 10
    >>> right, wrong = (items_of(Accuracy(), [word] * 10, truth) for word in ("yes", "no"))
    >>> significance(Accuracy(), right, wrong)
    (0.001953125, 'exact McNemar')
    """
    if metric.proportion and groups is None:
        won, lost = (int(side.sum()) for side in (first[:, 0] > second[:, 0], first[:, 0] < second[:, 0]))
        return mcnemar_exact(won, lost), "exact McNemar"
    return paired_permutation(first, second, metric.total, seed=seed, groups=groups), "paired permutation"
