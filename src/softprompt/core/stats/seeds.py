"""How sure a score is when both its training seeds and its test rows are a sample.

Scores of S seeds on n shared rows are a table with two random margins: y_sr = mean + seed_s + row_r + rest_sr. The mean
over all of it varies by

    V = var(seed) / S + var(row) / n + var(rest) / (S n)

whose parts come from the mean squares of the table, and an interval from Student's t with Satterthwaite's degrees of
freedom: two where three seeds differ much and never fewer, many where they do not. A bootstrap of three seeds never
draws one that was not trained, and where seeds differ much it holds the truth in some 70 % of the cases
(benchmarks/coverage.py).
For scores that are no mean, y_sr is the jackknife pseudo-value of row r for seed s.

Source: Searle, Casella, McCulloch, Variance Components (1992), 4.7 (the crossed table); Satterthwaite, Biometrics
Bulletin 2 (1946) 110-114; Rao, Wu, JASA 83 (1988) 231-241 (S - 1 draws); Efron, The Jackknife (1982), 2 and 3.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats

from softprompt.core.errors import DataError
from softprompt.core.stats.intervals import Interval, checked_level, reaching
from softprompt.core.stats.resampling import ROUNDING, Total, clustered

__all__ = ["Estimate", "difference_over_seeds", "mean_over_seeds", "seeds_then_items", "t_interval"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its variance, and how well the variance is known.

    Attributes:
        value: The score, or the difference.
        variance: Of it; inf where nothing can be said.
        df: Degrees of freedom of the variance.
        n: Rows (or groups) behind it.
        method: For reports.
        of_seeds: Share of the variance that the seeds make: more seeds lessen it, more rows do not.

    >>> print(Estimate(0.8, 0.0004, 4.0, 100, "t").interval(bounds=(0.0, 1.0)))
    0.800 [0.744, 0.856]
    """

    value: float
    variance: float
    df: float
    n: int
    method: str
    of_seeds: float = 0.0

    def interval(self, *, level: float = 0.95, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
        """The value -+ t sqrt(variance), within the bounds of the score.

        Where all rows and seeds agree there is no spread to see; then the interval reaches
        :func:`~softprompt.core.stats.unseen_share` of the way to finite bounds.
        """
        checked_level(level)
        if self.variance == 0 and all(map(math.isfinite, bounds)):
            return reaching(self.value, bounds, n=self.n, level=level, method=self.method)
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * math.sqrt(self.variance) if self.variance else 0.0
        low, high = max(bounds[0], self.value - half), min(bounds[1], self.value + half)
        return Interval(self.value, min(low, self.value), max(high, self.value), level, self.method)

    @property
    def p_value(self) -> float:
        """Two-sided, of a true value of 0; where all n rows say the same, that of the sign test, 2^(1 - n).

        >>> round(Estimate(0.05, 0.0004, 4.0, 100, "t").p_value, 3)
        0.067
        """
        if self.variance == 0:
            return 1.0 if self.value == 0 else min(1.0, 2.0 ** (1 - self.n))
        return float(2 * stats.t.sf(abs(self.value) / math.sqrt(self.variance), self.df))


def t_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Mean of a few numbers, one a seed or draw, by Student's t: mean -+ t_(S-1) s / sqrt(S).

    It counts what the numbers differ by and no more: scores of several seeds on the same test rows share those rows.
    One number says nothing about the spread.

    >>> print(t_interval([0.80, 0.83, 0.78]))
    0.803 [0.741, 0.866]
    """
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 1 or not len(y):
        raise DataError("data.nothing_to_score", f"a list of numbers is needed, got shape {list(y.shape)}")
    checked_level(level)
    if len(y) == 1:
        return Interval(float(y[0]), -math.inf, math.inf, level, "t")
    half = float(stats.t.ppf((1 + level) / 2, len(y) - 1) * y.std(ddof=1) / math.sqrt(len(y)))
    return Interval(float(y.mean()), float(y.mean()) - half, float(y.mean()) + half, level, "t")


def mean_over_seeds(items: ArrayLike, total: Total, *, groups: Sequence[Hashable] | None = None) -> Estimate:
    """Mean over seeds of ``total(sum of items)``, with the luck of seeds and of rows counted.

    With one seed only the rows' luck is known, and ``method`` says so.

    Args:
        items: Sufficient statistics by seed and row, [S, n, d].
        total: The score from their sum over rows, [d] -> float.
        groups: The cluster of each row, [n].

    Raises:
        DataError: ``data.nothing_to_score``, ``data.lengths_differ``.

    >>> rng = np.random.default_rng(0)
    >>> right = (rng.random((3, 200)) < 0.8).astype(float)
    >>> found = mean_over_seeds(np.stack([right, np.ones_like(right)], axis=-1), lambda sums: sums[0] / sums[1])
    >>> print(found.interval(bounds=(0.0, 1.0)), found.method)
    0.775 [0.667, 0.883] seeds-and-rows-t
    """
    table, scores = _pseudo(_cube(items), total, groups)
    return _estimate(float(scores.mean()), [table], table.mean(axis=0))


def difference_over_seeds(
    first: ArrayLike, second: ArrayLike, total: Total, *, groups: Sequence[Hashable] | None = None
) -> Estimate:
    """Mean score of the first over its seeds less that of the second over its own, on the same rows.

    Rows are paired, so what is hard for both cancels out; seeds are two independent samples, of any sizes.

    Args:
        first: Sufficient statistics by seed and row, [S, n, d].
        second: The same of the other, [R, n, d].
        total: The score from their sum over rows.
        groups: The cluster of each row, [n].

    Raises:
        DataError: ``data.nothing_to_score``; ``data.lengths_differ``: judged on different rows.

    >>> rng = np.random.default_rng(0)
    >>> hard = rng.random(300)
    >>> a, b = ((hard + 0.1 * rng.random((3, 300)) < p).astype(float) for p in (0.9, 0.7))
    >>> with_ones = lambda right: np.stack([right, np.ones_like(right)], axis=-1)
    >>> print(difference_over_seeds(with_ones(a), with_ones(b), lambda sums: sums[0] / sums[1]).interval())
    0.206 [0.163, 0.248]
    """
    one, two = _cube(first), _cube(second)
    if one.shape[1:] != two.shape[1:]:
        raise DataError(
            "data.lengths_differ",
            f"a paired comparison needs the same rows on both sides, got shapes {list(one.shape)}, {list(two.shape)}",
            cure="score both on the same rows, in the same order",
        )
    (a, a_scores), (b, b_scores) = _pseudo(one, total, groups), _pseudo(two, total, groups)
    return _estimate(float(a_scores.mean() - b_scores.mean()), [a, b], a.mean(axis=0) - b.mean(axis=0))


def seeds_then_items(
    items: ArrayLike,
    total: Total,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
    draws: int | None = None,
) -> Interval:
    """Percentile bootstrap of the mean over seeds: a resample draws seeds, then rows (the same for all seeds).

    For ten seeds and more, where no shape of the distribution shall be supposed; with fewer use
    :func:`mean_over_seeds`. Of S seeds S - 1 are drawn, because S draws understate the variance of their mean by
    (S - 1) / S.

    Args:
        items: Sufficient statistics by seed and row, [S, n, d].
        total: The score from their sum over rows.
        level: Of the interval.
        resamples: How many.
        seed: Of the resampling.
        groups: The cluster of each row, [n]; whole clusters are drawn.
        draws: Seeds a resample; None: S - 1.

    >>> right = np.random.default_rng(1).random((12, 200)) < 0.8
    >>> items = np.stack([right, np.ones_like(right)], axis=-1)
    >>> print(seeds_then_items(items, lambda sums: sums[0] / sums[1]))
    0.800 [0.772, 0.828]
    """
    checked_level(level)
    cube = _cube(items)
    num_seeds = len(cube)
    taken = max(1, num_seeds - 1) if draws is None else draws
    sums = np.stack([clustered(one, groups) for one in cube])  # [S, g, d]
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for i in range(resamples):
        rows = np.bincount(rng.integers(sums.shape[1], size=sums.shape[1]), minlength=sums.shape[1])
        chosen = np.bincount(rng.integers(num_seeds, size=taken), minlength=num_seeds)
        there = np.flatnonzero(chosen)
        scores = [total(rows @ sums[s]) for s in there]
        values[i] = np.average(scores, weights=chosen[there])
    estimate = float(np.mean([total(one.sum(axis=0)) for one in sums]))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), level, "bootstrap-seeds-then-rows")


def _estimate(value: float, tables: Sequence[np.ndarray], by_row: Float[np.ndarray, " n"]) -> Estimate:
    """Variance of a mean over seeds and rows (or of a difference of two): a part by each side's seeds, one by rows."""
    n = len(by_row)
    counted = any(len(table) > 1 for table in tables)
    method = "seeds-and-rows-t" if counted else "rows-t"
    if n < 2:
        return Estimate(value, math.inf, 1.0, n, method)
    from_rows = float(by_row.var(ddof=1)) / n
    parts, variance = [from_rows**2 / (n - 1)], from_rows
    for table in tables:
        s = len(table)
        if s < 2:
            continue
        of_seeds = n * float(table.mean(axis=1).var(ddof=1))
        rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        of_rest = float((rest**2).sum()) / ((s - 1) * (n - 1))
        variance += max(0.0, of_seeds - of_rest) / (s * n)
        parts += [(of_seeds / (s * n)) ** 2 / (s - 1), (of_rest / (s * n)) ** 2 / ((s - 1) * (n - 1))]
    if variance <= (ROUNDING * max(1.0, float(np.abs(by_row).max()))) ** 2:  # all agree, but for the last bits
        return Estimate(value, 0.0, float(n - 1), n, method)
    doubt, of_seeds = sum(parts), 1 - from_rows / variance
    # no part is known with fewer degrees; without this, what is taken off for the rest may leave less than one
    fewest = min([n, *(len(table) for table in tables if len(table) > 1)]) - 1.0
    df = max(variance**2 / doubt, fewest) if doubt else float(n - 1)
    return Estimate(value, variance, df, n, method, of_seeds)


def _pseudo(
    cube: Float[np.ndarray, "S n d"], total: Total, groups: Sequence[Hashable] | None
) -> tuple[Float[np.ndarray, "S g"], Float[np.ndarray, " S"]]:
    """Jackknife pseudo-values by seed and group, whose mean over groups is near the score; and the scores.

    A group that cannot be left out (the score would be nan) pulls nowhere: its pseudo-value is the score.
    """
    tables, scores = [], []
    for items in cube:
        sums = clustered(items, groups)
        whole, score = sums.sum(axis=0), float(total(sums.sum(axis=0)))
        found, place = np.unique(sums, axis=0, return_inverse=True)
        left = np.array([total(whole - one) for one in found]) if len(sums) > 1 else np.full(len(found), score)
        left = np.where(np.isfinite(left), left, score)
        tables.append((score + (len(sums) - 1) * (score - left))[place.reshape(-1)])
        scores.append(score)
    return np.array(tables), np.array(scores)


def _cube(items: ArrayLike) -> Float[np.ndarray, "S n d"]:
    cube = np.asarray(items, dtype=np.float64)
    if cube.ndim != 3 or not cube.shape[0] or not cube.shape[1]:
        message = f"statistics must be [seeds, rows, statistics] with at least one of each, got {list(cube.shape)}"
        raise DataError("data.nothing_to_score", message)
    return cube
