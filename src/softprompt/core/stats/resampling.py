"""Bootstrap and permutation of statistics that are a function of the sum of per-item vectors.

Equal items are counted together, so a resample is one draw of counts and one matrix product. Knows nothing of metrics.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from softprompt.core.errors import DataError
from softprompt.core.stats.intervals import Interval, checked_level, normal_quantile, reaching, wilson

__all__ = ["ROUNDING", "Total", "bootstrap", "clustered", "paired_bootstrap", "paired_permutation", "share_of"]

#: A statistic as a function of the sum of sufficient statistics, [d] -> float.
Total = Callable[[np.ndarray], float]

_CHUNK = 1 << 22  # resampling counts held at a time (32 MB as int64)

#: By how much numbers that are the same, summed in another order, may differ.
ROUNDING = 1e-12


def bootstrap(
    items: ArrayLike,
    total: Total,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
    method: Literal["bca", "percentile"] = "bca",
) -> Interval:
    """Bootstrap interval of ``total(sum of items)``.

    Equal items are counted together and only the counts are drawn (multinomial): the same distribution as drawing items
    with replacement, whatever their order. Quantiles are spread to Student's t for small samples
    (z -> t sqrt(n/(n-1))) and, with ``bca``, corrected for bias and skewness. The interval always holds the estimate.
    Resamples where ``total`` is nan are left out.

    Args:
        items: Sufficient statistics, [n, d].
        total: The statistic as a function of their sum, [d] -> float.
        groups: The cluster of each item, [n]; whole clusters are drawn, because items of one cluster (paraphrases,
            one customer) are not independent.
        bounds: Smallest and largest possible value of the statistic. Where all resamples agree (every answer is right,
            whatever its class) the bootstrap sees no spread at all; then the share of unlike items may still be up to
            :func:`unseen_share`, and the interval reaches that share of the way to the bounds, to finite ones only
            unless all items are equal.
        method: ``percentile`` leaves out the correction for bias and skewness.

    Raises:
        DataError: no items, or groups of another length.

    Source: Efron, JASA 82 (1987) 171-185 (BCa); Hesterberg, The American Statistician 69 (2015) 371-386 (the spread);
    Davison, Hinkley, Bootstrap Methods and their Application (1997), 3.8 (clusters).

    >>> mean = lambda sums: sums[0] / sums[1]
    >>> print(bootstrap([[x, 1] for x in (3, 1, 4, 1, 5, 9, 2, 6)], mean))
    3.875 [2.000, 6.516]
    """
    checked_level(level)
    clusters = clustered(_matrix(items), groups)
    n = len(clusters)
    sums = clusters.sum(axis=0)
    estimate = float(total(sums))
    name = f"bootstrap-{method}" + ("" if groups is None else "-clustered")
    rows, counts = np.unique(clusters, axis=0, return_counts=True)
    if len(rows) == 1 and bounds is not None:
        return reaching(estimate, bounds, n=n, level=level, method=name)
    if n == 1:
        return Interval(estimate, -math.inf, math.inf, level, name)
    values = np.array([total(resampled) for resampled in _resampled_sums(rows, counts, resamples, seed)])
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(estimate, -math.inf, math.inf, level, name)
    if bounds is not None and all(map(math.isfinite, bounds)) and np.ptp(values) <= ROUNDING * max(1.0, abs(estimate)):
        return reaching(estimate, bounds, n=n, level=level, method=name)
    z = float(stats.t.ppf((1 + level) / 2, n - 1)) * math.sqrt(n / (n - 1))
    bias, skew = (0.0, 0.0) if method == "percentile" else _bias_and_skew(values, estimate, rows, counts, total)
    if abs(bias) > normal_quantile(level):
        # the estimate lies at the end of its own resamples (a calibration error of 0): BCa would shrink to a point
        bias, skew = 0.0, 0.0
    quantiles = [_bca_quantile(end, bias, skew) for end in (-z, z)]
    # "linear" interpolation between two infinite scores would be nan
    low, high = np.quantile(values, quantiles, method="linear" if np.isfinite(values).all() else "nearest")
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), level, name)


def share_of(right: Sequence[bool], *, groups: Sequence[Hashable] | None = None, level: float = 0.95) -> Interval:
    """Share of right answers: Wilson's interval, or the bootstrap over groups where rows of a group depend.

    Args:
        right: Whether each item is, [n].
        groups: The cluster of each item, [n].
        level: Of the interval.

    Raises:
        DataError: ``data.lengths_differ``.

    >>> right = [True] * 6 + [False] * 6
    >>> print(share_of(right), share_of(right, groups="aaaabbbbcccc"), sep="\\n")
    0.500 [0.254, 0.746]
    0.500 [0.000, 1.000]
    """
    if groups is None or len(set(groups)) == len(right) == len(groups):
        return wilson(sum(right), len(right), level=level)
    items = [[float(one), 1.0] for one in right]
    return bootstrap(items, lambda sums: sums[0] / sums[1], groups=groups, bounds=(0.0, 1.0), level=level)


def paired_bootstrap(
    a_items: ArrayLike,
    b_items: ArrayLike,
    total: Total,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Interval of the difference ``total(a) - total(b)`` of two systems on the same items.

    Items are drawn together for both, so what is hard for both cancels out. ``bounds`` are those of ``total``; the rest
    is as in :func:`bootstrap`. Source: Koehn, EMNLP 2004, 388-395; Efron, Tibshirani (1993), chapter 14.

    >>> a, b = [[1, 1]] * 30 + [[0, 1]] * 10, [[1, 1]] * 20 + [[0, 1]] * 20
    >>> print(paired_bootstrap(a, b, lambda sums: sums[0] / sums[1]))
    0.250 [0.125, 0.425]
    """
    a, b = _pair(a_items, b_items)
    width = a.shape[1]
    return bootstrap(
        np.hstack([a, b]),
        lambda sums: total(sums[:width]) - total(sums[width:]),
        level=level,
        resamples=resamples,
        seed=seed,
        groups=groups,
        bounds=None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0]),
    )


def paired_permutation(
    a_items: ArrayLike,
    b_items: ArrayLike,
    total: Total,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> float:
    """Two-sided p-value of ``total(a) == total(b)``: how often swapping a and b at random gives as large a difference.

    Where all swaps that differ are no more than ``resamples``, all are counted and p is exact, P(|d*| >= |d|); for a
    share of right answers that is McNemar's exact test. Else p = (1 + #{|d*| >= |d|}) / (1 + resamples) over swaps that
    are drawn. Whole groups are swapped together. A difference that is nan counts as large as any.

    Source: Noreen, Computer-Intensive Methods for Testing Hypotheses (1989); Phipson, Smyth, SAGMB 9 (2010) article 39
    (the two ones).

    >>> mean = lambda sums: sums[0] / sums[1]
    >>> paired_permutation([[1, 1]] * 6, [[0, 1]] * 6, mean), paired_permutation([[1, 1]], [[1, 1]], mean)
    (0.03125, 1.0)
    """
    a, b = _pair(a_items, b_items)
    a, b = clustered(a, groups), clustered(b, groups)
    both = a.sum(axis=0) + b.sum(axis=0)
    moves, counts = np.unique(b - a, axis=0, return_counts=True)
    differing = moves.any(axis=1)
    moves, counts = moves[differing], counts[differing]
    chances = None
    if math.prod(count + 1 for count in counts.tolist()) <= resamples:
        swapped, chances = _all_swaps(counts.tolist())
    else:
        swapped = np.random.default_rng(seed).binomial(counts, 0.5, size=(resamples, len(counts)))
    a_sums = a.sum(axis=0) + swapped @ moves
    observed = abs(total(a.sum(axis=0)) - total(b.sum(axis=0)))
    differences = np.abs([total(sums) - total(both - sums) for sums in a_sums])
    # the same split summed in another order may differ in the last bits and still counts as equal
    as_large = ~(differences < observed - ROUNDING * max(1.0, observed))
    drawn = float((1 + as_large.sum()) / (1 + resamples))
    return drawn if chances is None else math.fsum(chances[as_large])


def _all_swaps(counts: Sequence[int]) -> tuple[Int[np.ndarray, "w k"], Float[np.ndarray, "w"]]:
    """How many of each kind of item are swapped, in every way there is; and how likely each way is.

    >>> swapped, chances = _all_swaps([2])
    >>> swapped.tolist(), chances.tolist()
    ([[0], [1], [2]], [0.25, 0.5, 0.25])
    """
    ways = list(product(*(range(count + 1) for count in counts)))
    chances = [math.prod(map(math.comb, counts, way)) / 2 ** sum(counts) for way in ways]
    return np.array(ways, dtype=np.int64), np.array(chances)


def _matrix(items: ArrayLike) -> Float[np.ndarray, "n d"]:
    matrix = np.asarray(items, dtype=np.float64)
    if matrix.ndim != 2 or not len(matrix):
        raise DataError(
            "data.nothing_to_score",
            f"sufficient statistics must be [items, statistics] with at least one item, got shape {list(matrix.shape)}",
        )
    return matrix


def _pair(a_items: ArrayLike, b_items: ArrayLike) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]:
    a, b = _matrix(a_items), _matrix(b_items)
    if a.shape != b.shape:
        raise DataError(
            "data.lengths_differ",
            f"a paired comparison needs the same items on both sides, got shapes {list(a.shape)} and {list(b.shape)}",
            cure="score both on the same rows, in the same order",
        )
    return a, b


def clustered(items: Float[np.ndarray, "n d"], groups: Sequence[Hashable] | None) -> Float[np.ndarray, "g d"]:
    """Sums of sufficient statistics by group, [number of groups, d]; the items themselves without groups.

    >>> clustered(np.array([[1.0], [2.0], [4.0]]), ["a", "b", "a"]).tolist()
    [[5.0], [2.0]]
    """
    if groups is None:
        return items
    if len(groups) != len(items):
        raise DataError("data.lengths_differ", f"{len(groups)} groups for {len(items)} items")
    number: dict[Hashable, int] = {}
    index = [number.setdefault(group, len(number)) for group in groups]
    sums = np.zeros((len(number), items.shape[1]))
    np.add.at(sums, index, items)
    return sums


def _resampled_sums(
    rows: Float[np.ndarray, "k d"], counts: Int[np.ndarray, "k"], resamples: int, seed: int
) -> Float[np.ndarray, "r d"]:
    """Sums of bootstrap samples, in chunks of bounded memory."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // int(counts.sum()))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([_draw(rng, counts, size) @ rows for size in sizes])


def _draw(rng: np.random.Generator, counts: Int[np.ndarray, "k"], size: int) -> Int[np.ndarray, "r k"]:
    """How often each distinct row is drawn, multinomial."""
    n, k = int(counts.sum()), len(counts)
    if k < n / 10:
        return rng.multinomial(n, counts / n, size=size)
    # numpy draws k binomials in turn; with many distinct rows, indices are 2 to 10 times faster
    drawn = np.repeat(np.arange(k), counts)[rng.integers(n, size=(size, n))]
    return np.bincount((drawn + k * np.arange(size)[:, None]).ravel(), minlength=size * k).reshape(size, k)


def _bias_and_skew(
    values: Float[np.ndarray, "r"],
    estimate: float,
    rows: Float[np.ndarray, "k d"],
    counts: Int[np.ndarray, "k"],
    total: Total,
) -> tuple[float, float]:
    """z0 and a of the BCa interval; ties count half, a comes from the jackknife."""
    below = ((values < estimate).mean() + (values <= estimate).mean()) / 2
    bias = float(stats.norm.ppf(np.clip(below, 1 / (len(values) + 1), len(values) / (len(values) + 1))))
    sums = counts @ rows
    left_out = np.array([total(sums - row) for row in rows])
    if not np.isfinite(left_out).all():
        return bias, 0.0
    deviation = np.average(left_out, weights=counts) - left_out
    spread = float(counts @ deviation**2)
    return bias, float(counts @ deviation**3) / (6 * spread**1.5) if spread > 0 else 0.0


def _bca_quantile(z: float, bias: float, skew: float) -> float:
    shifted = bias + z
    scale = 1 - skew * shifted
    return float(stats.norm.cdf(bias + shifted / scale)) if scale > 0 else float(z > 0)
