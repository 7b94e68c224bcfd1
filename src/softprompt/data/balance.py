"""Weights that make labels count alike, whatever their number of rows.

Knows rows and labels; nothing of losses.
"""

from dataclasses import replace

from softprompt.core.errors import ConfigError
from softprompt.data.dataset import Dataset

__all__ = ["balanced", "imbalance"]


def balanced(dataset: Dataset) -> Dataset:
    """The same rows, their weights times n / (C n_c): n rows, C labels that occur, n_c rows of the row's own.

    All labels then weigh the same together, and the mean weight stays what it was.

    Raises:
        ConfigError: ``config.invalid`` where answers are no labels, or several a row.

    >>> from softprompt.core.records import Example
    >>> rows = Dataset(tuple(Example({"text": str(i)}, "no" if i else "yes") for i in range(4)), classes=("yes", "no"))
    >>> [round(row.weight, 3) for row in balanced(rows)]
    [2.0, 0.667, 0.667, 0.667]
    """
    held = [dataset.labels_of(row) for row in dataset]
    if any(len(labels) != 1 for labels in held):
        raise ConfigError(
            "config.invalid",
            "training.class_weights: balanced is for tasks with one of fixed labels a row",
            cure="leave training.class_weights out",
        )
    counts = {label: count for label, count in dataset.labels().items() if count}
    share = sum(counts.values()) / len(counts)
    rows = tuple(
        replace(row, weight=row.weight * share / counts[label]) for row, (label,) in zip(dataset, held, strict=True)
    )
    return replace(dataset, rows=rows)


def imbalance(dataset: Dataset) -> float:
    """Rows of the most frequent label for each of the rarest one that occurs; 1 without labels.

    >>> from softprompt.core.records import Example
    >>> imbalance(Dataset(tuple(Example({}, label) for label in "aaaab"), classes=("a", "b")))
    4.0
    """
    counts = [count for count in dataset.labels().values() if count]
    return max(counts) / min(counts) if counts else 1.0
