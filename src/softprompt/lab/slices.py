"""Where a prompt is weak: slices of the rows, cut against whole texts, the mistakes, and what is taken for what.

A slice is compared with all other rows, by whether the answers are right (Fisher's exact test, one-sided) or, for
written answers, by each row's score (Mann-Whitney). Many slices are looked at, so p-values are Holm's: that a slice is
called worse although it is not happens once in twenty evaluations, however many slices there are.

Rows of one group are not independent: where rows name groups, a slice is as large as the number of its groups, and the
difference is judged by a t-test that counts groups (:func:`softprompt.core.stats.clustered_less`).

Knows evaluations and the values that rows are sliced by; no models, no files. Rows, or groups, have to be independent.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.stats import Interval, clustered_less, holm
from softprompt.lab.evaluation import Evaluation, as_text, groups

__all__ = ["MIN_ROWS", "Confusion", "Mistake", "Slice", "Slices", "confusions", "cut_slices", "mistakes", "slice_rows"]

#: Slices with fewer rows are folded into one: an interval over them would say nothing.
MIN_ROWS = 20

#: A slice is called worse below this p-value, after Holm's correction.
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that have a value in common.

    Attributes:
        value: The value; of the rest how many values are folded into it.
        rows: How many.
        mean: Share right, or the mean score of written answers.
        rest: The same of all other rows; None where there are none.
        score: The metric on these rows.
        pvalue: That it is not worse than the other rows, after Holm's correction; None where it was not compared.
        folded: Values that stand here together because each has few rows; 0 for a slice of one value.
    """

    value: str
    rows: int
    mean: float
    rest: float | None
    score: Interval
    pvalue: float | None = None
    folded: int = 0

    @property
    def worse(self) -> bool:
        """Whether it is significantly worse than the other rows."""
        return self.pvalue is not None and self.pvalue < ALPHA


@dataclass(frozen=True)
class Slices:
    """The rows by one column.

    Attributes:
        column: Its name.
        metric: What ``score`` is.
        slices: Largest first, folded ones last.
        compared: Slices that share Holm's correction, of other columns too.
        written: Whether answers are written, so that ``mean`` is a mean score.
    """

    column: str
    metric: str
    slices: tuple[Slice, ...]
    compared: int
    written: bool = False

    @property
    def worst(self) -> Slice | None:
        """The slice that is worse than the rest, by the smallest p-value; None where none is plainly worse."""
        worse = [one for one in self.slices if one.worse]
        return min(worse, key=lambda one: (one.pvalue, one.mean), default=None)

    @property
    def sentence(self) -> str:
        """The worst slice in words, or that none is plainly worse."""
        if (one := self.worst) is None or one.rest is None:
            return f"{self.column}: no slice is significantly worse than the other rows"
        what = f"{self.metric} {one.mean:.2f}" if self.written else f"{100 * one.mean:.0f} % right"
        rest = f"{one.rest:.2f}" if self.written else f"{100 * one.rest:.0f} %"
        over = f", Holm over {self.compared} slices" if self.compared > 1 else ""
        found = f"{what} on {one.rows} rows, {rest} on the others"
        return f"{self.column} = {one.value}: {found} (p = {one.pvalue:.2g}{over})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        listed = [{**asdict(one), "score": one.score.as_dict(), "worse": one.worse} for one in self.slices]
        return {"column": self.column, "metric": self.metric, "slices": listed, "sentence": self.sentence}


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows of one label that were answered with another."""

    expected: str
    predicted: str
    count: int
    rows: int

    @property
    def sentence(self) -> str:
        """In words.

        >>> Confusion("billing", "returns", 12, 40).sentence
        '12 of 40 rows of billing were taken for returns'
        """
        return f"{self.count} of {self.rows} rows of {self.expected} were taken for {self.predicted}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row with a wrong or withheld answer.

    Attributes:
        source: Where it stands, as ``file:line``.
        id: Of the row.
        fields: Its texts.
        expected: What is right; several texts are joined by " | ".
        predicted: What was answered; None when withheld.
        probability: Of the likeliest answer; None for written answers.
        margin: By how much that is more probable than the right answer.
        cut: Tokens that did not fit.
    """

    source: str
    id: str
    fields: Mapping[str, str]
    expected: str
    predicted: str | None
    probability: float | None
    margin: float | None
    cut: int


def slice_rows(
    evaluation: Evaluation, columns: Mapping[str, Sequence[str]], *, min_rows: int = MIN_ROWS
) -> tuple[Slices, ...]:
    """The score by the values of each column.

    Args:
        evaluation: What was judged.
        columns: Values of the rows by column, in the order of the items; empty ones are a slice of their own.
        min_rows: Slices with fewer rows, or groups of rows, are folded into one, which is shown and not compared.

    Raises:
        DataError: ``data.lengths_differ``.

    >>> from softprompt.core.tasks import Task
    >>> from softprompt.lab.evaluation import evaluate
    >>> from softprompt.model.prediction import Prediction
    >>> rows = [Example({}, target="yes", id=str(n)) for n in range(80)]
    >>> said = ["no" if n < 20 else "yes" for n in range(80)]
    >>> found = evaluate([Prediction("", text, None, 1.0) for text in said], rows, Task.classify(["no", "yes"]))
    >>> (by_channel,) = slice_rows(found, {"channel": ["mail"] * 30 + ["chat"] * 50})
    >>> by_channel.sentence
    'channel = mail: 33 % right on 30 rows, 100 % on the others (p = 1.7e-11, Holm over 2 slices)'
    """
    for column, values in columns.items():
        if len(values) != len(evaluation.items):
            message = f"{len(values)} values of {column!r} for {len(evaluation.items)} rows"
            raise DataError("data.lengths_differ", message)
    metric = next(iter(evaluation.comparable), "accuracy")
    outcome, written = _outcomes(evaluation, metric)
    units = groups(evaluation.items)
    parts = {column: _grouped(values, min_rows, units) for column, values in columns.items()}
    pairs = [(c, k) for c, found in parts.items() for k, (_, _, folded) in enumerate(found) if not folded]
    pairs = [(c, k) for c, k in pairs if len(parts[c][k][1]) < len(outcome)]
    raw = [_pvalue(outcome, parts[c][k][1], units) for c, k in pairs]
    adjusted = dict(zip(pairs, holm(raw).tolist() if raw else [], strict=True))
    return tuple(
        Slices(
            column,
            metric,
            tuple(
                _slice(evaluation, metric, outcome, *part, adjusted.get((column, k))) for k, part in enumerate(found)
            ),
            len(pairs),
            written,
        )
        for column, found in parts.items()
    )


def cut_slices(evaluation: Evaluation) -> Slices | None:
    """Rows of which something did not fit, against whole ones; None where all are cut or none is."""
    cut = ["cut" if item.cut else "whole" for item in evaluation.items]
    if len(set(cut)) < 2:
        return None
    (found,) = slice_rows(evaluation, {"text": cut}, min_rows=1)
    return found


def confusions(evaluation: Evaluation, *, most: int = 5) -> tuple[Confusion, ...]:
    """The pairs of labels that are confused most often, at least twice each; empty without labels and for numbers."""
    if not evaluation.labels or any(isinstance(item.reference, float) for item in evaluation.items):
        return ()
    rows = Counter(as_text(item.reference) for item in evaluation.items)
    pairs = Counter(
        (as_text(item.reference), as_text(item.prediction))
        for item in evaluation.items
        if not item.correct and item.prediction is not None
    )
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Confusion(*pair, count, rows[pair[0]]) for pair, count in ranked[:most] if count > 1)


def mistakes(evaluation: Evaluation, dataset: Sequence[Example]) -> list[Mistake]:
    """Every row that was not answered rightly, the surest first: there labels are wrong most often.

    Args:
        evaluation: What was judged.
        dataset: Its rows, in the same order.

    Raises:
        DataError: ``data.lengths_differ``.
    """
    if len(dataset) != len(evaluation.items):
        raise DataError("data.lengths_differ", f"{len(evaluation.items)} items for {len(dataset)} examples")
    found = []
    for item, example in zip(evaluation.items, dataset, strict=True):
        if item.correct:
            continue
        expected, said = as_text(item.reference), None if item.prediction is None else as_text(item.prediction)
        margin = None
        if item.probability is not None and item.reference_probability is not None:
            margin = item.probability - item.reference_probability
        found.append(
            Mistake(example.source, item.id, example.fields, expected, said, item.probability, margin, item.cut)
        )
    return sorted(found, key=lambda one: -(one.probability or 0.0))


def _outcomes(evaluation: Evaluation, metric: str) -> tuple[Float[np.ndarray, " n"], bool]:
    """Right or not, by item; for written answers the score of each, where the metric is their mean."""
    right = np.array([item.correct for item in evaluation.items], dtype=np.float64)
    if evaluation.labels or any(item.probability is not None for item in evaluation.items):
        return right, False
    items = evaluation.statistics(metric)
    return (items[:, 0] / items[:, 1], True) if items.shape[1] == 2 and items[:, 1].all() else (right, False)


def _grouped(
    values: Sequence[str], min_rows: int, units: Sequence[Hashable] | None
) -> list[tuple[str, list[int], int]]:
    """Name, rows and number of folded values (0: it is one value) of each slice."""
    by_value: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        by_value.setdefault(value.strip() or "(empty)", []).append(row)
    large = {value: rows for value, rows in by_value.items() if _num_units(rows, units) >= min_rows}
    small = {value: rows for value, rows in by_value.items() if value not in large}
    found = [(value, rows, 0) for value, rows in sorted(large.items(), key=lambda pair: (-len(pair[1]), pair[0]))]
    if small:
        name = next(iter(small)) if len(small) == 1 else f"other ({len(small)} values)"
        found.append((name, sorted(row for rows in small.values() for row in rows), len(small)))
    return found


def _slice(
    evaluation: Evaluation,
    metric: str,
    outcome: Float[np.ndarray, " n"],
    value: str,
    rows: Sequence[int],
    folded: int,
    pvalue: float | None,
) -> Slice:
    part = replace(evaluation, items=tuple(evaluation.items[row] for row in rows))
    others = np.delete(outcome, list(rows))
    rest = float(others.mean()) if len(others) else None
    return Slice(value, len(rows), float(outcome[list(rows)].mean()), rest, part.score(metric).interval, pvalue, folded)


def _num_units(rows: Sequence[int], units: Sequence[Hashable] | None) -> int:
    return len(rows) if units is None else len({units[row] for row in rows})


def _pvalue(outcome: Float[np.ndarray, " n"], rows: Sequence[int], units: Sequence[Hashable] | None) -> float:
    """That the rows are not worse than the others."""
    if units is not None:
        return clustered_less(outcome, np.isin(np.arange(len(outcome)), list(rows)), units)
    inside = outcome[list(rows)]
    others = np.delete(outcome, list(rows))
    if set(np.unique(outcome)) <= {0.0, 1.0}:
        right, more = int(inside.sum()), int(others.sum())
        table = [[right, len(inside) - right], [more, len(others) - more]]
        return float(stats.fisher_exact(table, alternative="less").pvalue)
    return float(stats.mannwhitneyu(inside, others, alternative="less").pvalue)
