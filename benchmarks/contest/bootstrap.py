"""Intervals that count both sources of luck: which seeds were trained and which rows were judged.

A resample draws seeds, then rows, each with replacement. Of S seeds only S - 1 are drawn: drawing S would understate
the variance of their mean by a factor (S - 1) / S, a fifth for five seeds (Rao & Wu, JASA 83 (1988) 231-241). Rows are
the same for all seeds and both contenders, so what is hard for everyone cancels out of a difference.

Which rows were learnt from is a third source that these intervals do not count: all contenders learn from one draw.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from softprompt.core.stats import Interval

__all__ = ["difference", "score"]

RESAMPLES = 4000


def score(right: Bool[np.ndarray, "S N"], *, level: float = 0.95, seed: int = 0) -> Interval:
    """Share of right answers, mean over seeds.

    Args:
        right: By seed and judged row.
        level: Of the interval.
        seed: Of the resampling.

    >>> print(score(np.array([[True, False] * 50, [True, True] * 50])))
    0.750 [0.420, 1.000]
    """
    rng = np.random.default_rng(seed)
    rows = _row_counts(rng, right.shape[1])
    found = _resampled(rng, right, rows)
    return _interval(float(right.mean()), found, level)


def difference(
    first: Bool[np.ndarray, "S N"], second: Bool[np.ndarray, "R N"], *, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean score of the first less that of the second on the same rows; seeds of the two are drawn apart.

    >>> better = difference(np.ones((5, 200), bool), np.tile(np.arange(200) % 4 > 0, (5, 1)))
    >>> print(better)
    0.250 [0.190, 0.315]
    """
    assert first.shape[1] == second.shape[1], "both were judged on the same rows"
    rng = np.random.default_rng(seed)
    rows = _row_counts(rng, first.shape[1])
    found = _resampled(rng, first, rows) - _resampled(rng, second, rows)
    return _interval(float(first.mean() - second.mean()), found, level)


def _row_counts(rng: np.random.Generator, num_rows: int) -> Int[np.ndarray, "R N"]:
    """How often each row is drawn."""
    return rng.multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=RESAMPLES)


def _resampled(
    rng: np.random.Generator, right: Bool[np.ndarray, "S N"], rows: Int[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    num_seeds = len(right)
    draws = max(1, num_seeds - 1)
    seeds = rng.multinomial(draws, np.full(num_seeds, 1 / num_seeds), size=len(rows))
    counts = np.asarray((seeds * (rows.astype(float) @ right.T.astype(float))).sum(axis=1))
    return counts / (draws * right.shape[1])


def _interval(estimate: float, found: Float[np.ndarray, " R"], level: float) -> Interval:
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    name = "bootstrap over seeds, then rows"
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), level, name)
