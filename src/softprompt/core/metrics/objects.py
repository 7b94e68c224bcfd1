"""Metrics of extracted objects, field by field.

A field counts where it is filled: not null, and of an array each element by itself. What is counted is

    hits       filled alike on both sides (texts with their blanks collapsed)
    predicted  filled in the prediction
    filled     filled in the reference

so precision = hits / predicted, recall = hits / filled and F1 = 2 hits / (predicted + filled), over all fields of all
rows together (micro). A prediction that is no object (an abstention, a broken text) fills nothing.
"""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from softprompt.core.metrics.labels import ClassScore
from softprompt.core.metrics.protocol import MeanMetric
from softprompt.core.stats import Interval, share_of

__all__ = ["FieldF1", "FieldPrecision", "FieldRecall", "WholeObject", "field_report"]


class _FieldMetric:
    """A ratio of hits, predicted and filled fields; an item is these three."""

    higher_is_better = True
    proportion = False
    bounds = (0.0, 1.0)

    def item(self, prediction: Any, reference: Any) -> Float[np.ndarray, "d"]:
        """(hits, predicted, filled)."""
        told, right = _object(prediction), _object(reference)
        counts = [_counts(told.get(name), right.get(name)) for name in {**right, **told}]
        return np.asarray(np.array(counts, dtype=np.float64).reshape(-1, 3).sum(axis=0))


class FieldF1(_FieldMetric):
    """2 hits / (predicted + filled), over all fields; 1 where nothing is filled on either side.

    >>> metric = FieldF1()
    >>> metric.item({"who": "Ada", "n": 2, "tags": ["a", "b"]}, {"who": "Ada", "n": None, "tags": ["b", "c"]}).tolist()
    [2.0, 4.0, 3.0]
    >>> round(metric.total(np.array([2.0, 4.0, 3.0])), 3)
    0.571
    """

    name = "field_f1"

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """2 hits / (predicted + filled)."""
        return _ratio(2 * sums[0], sums[1] + sums[2])


class FieldPrecision(_FieldMetric):
    """Hits / predicted: how much of what was filled in is right; 1 where nothing was.

    >>> FieldPrecision().total(np.array([2.0, 4.0, 3.0]))
    0.5
    """

    name = "field_precision"

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Hits / predicted."""
        return _ratio(sums[0], sums[1])


class FieldRecall(_FieldMetric):
    """Hits / filled: how much of what there is was found; 1 where there is nothing.

    >>> FieldRecall().total(np.array([2.0, 4.0, 4.0]))
    0.5
    """

    name = "field_recall"

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """Hits / filled."""
        return _ratio(sums[0], sums[2])


class WholeObject(MeanMetric):
    """Share of objects of which every field is right.

    >>> WholeObject().value({"n": 1.0, "who": "Ada  L."}, {"n": 1, "who": "Ada L."}), WholeObject().value(None, {})
    (1.0, 0.0)
    """

    name = "whole_object"
    proportion = True

    def value(self, prediction: Any, reference: Any) -> float:
        if not isinstance(prediction, Mapping | str) or (isinstance(prediction, str) and not _object(prediction)):
            return 0.0
        told, right = _object(prediction), _object(reference)
        return float(all(_filled(told.get(name)) == _filled(right.get(name)) for name in {**right, **told}))


def field_report(
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    names: Sequence[str],
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> tuple[ClassScore, ...]:
    """Recall and precision of each field with the counts behind them, in the order of ``names``.

    Where items name groups, intervals count these.

    >>> (row,) = field_report([{"n": 1}, {"n": None}], [{"n": 1}, {"n": 2}], names=["n"])
    >>> print(row.of, row.label, row.n, row.recall, row.f1.__round__(3))
    field n 2 0.500 [0.095, 0.905] 0.667
    """
    pairs = [(_object(told), _object(right)) for told, right in zip(predictions, references, strict=True)]

    def share(hits: Sequence[int], of: Sequence[int]) -> Interval:
        right = [part < hit for hit, count in zip(hits, of, strict=True) for part in range(count)]
        again = None if groups is None else [one for one, count in zip(groups, of, strict=True) for _ in range(count)]
        return share_of(right, groups=again, level=level)

    rows = []
    for name in names:
        counts = [_counts(told.get(name), right.get(name)) for told, right in pairs]
        hits, predicted, filled = ([int(one[part]) for one in counts] for part in range(3))
        f1 = 2 * sum(hits) / max(1, sum(filled) + sum(predicted))
        recall, precision = share(hits, filled), share(hits, predicted)
        rows.append(ClassScore(name, sum(filled), sum(predicted), recall, precision, f1, of="field"))
    return tuple(rows)


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    return value if isinstance(value, Mapping) else {}


def _filled(value: Any) -> Counter[Any]:
    """What a field holds: nothing, one value, or the elements of an array."""
    parts = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return Counter(_kept(part) for part in parts)


def _kept(value: Any) -> Any:
    """A value as it is compared: texts with single blanks; true is not 1."""
    if isinstance(value, str):
        return "text", " ".join(value.split())
    return (type(value).__name__ if isinstance(value, bool) else "number", value)


def _counts(told: Any, right: Any) -> tuple[int, int, int]:
    """Hits, predicted and filled of one field."""
    mine, theirs = _filled(told), _filled(right)
    return sum((mine & theirs).values()), sum(mine.values()), sum(theirs.values())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 1.0
