"""Tests of paired outcomes, and several comparisons at once.

Knows nothing of metrics; for tests of any statistic by resampling see ``resampling``, for what a number of rows can
show ``power``.
"""

import math
from collections.abc import Hashable, Sequence
from math import comb

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats

from softprompt.core.errors import DataError
from softprompt.core.stats.intervals import check_counts

__all__ = ["clustered_less", "holm", "mcnemar_exact", "mcnemar_midp"]


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value for paired right/wrong outcomes; ``b``: only the first was right, ``c``: only the second.

    Under equality b is Binomial(b + c, 1/2). Source: McNemar, Psychometrika 12 (1947) 153-157, with exact tails.

    >>> round(mcnemar_exact(10, 2), 4)
    0.0386
    """
    check_counts(b, b + c)
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


def mcnemar_midp(b: int, c: int) -> float:
    """The same with half of the probability of what was seen: p = 2 P(X <= min(b, c)) - P(X = min(b, c)).

    The exact test is timid, because counts are few: its p is below 0.05 far less often than in 5 % of the cases where
    both are equally good. The mid-p is near 5 %, and may be a little above: offered, never what decides a verdict.

    Source: Lancaster, JASA 56 (1961) 223-234; Fagerland, Lydersen, Laake, BMC Med. Res. Methodol. 13 (2013) 91.

    >>> round(mcnemar_midp(10, 2), 4)
    0.0225
    """
    check_counts(b, b + c)
    fewer, n = min(b, c), b + c
    return float(min(1.0, 2 * stats.binom.cdf(fewer, n, 0.5) - stats.binom.pmf(fewer, n, 0.5)))


def clustered_less(values: ArrayLike, inside: ArrayLike, groups: Sequence[Hashable]) -> float:
    """One-sided p-value that the mean of the items inside is not less than that of the others, where groups depend.

    Every item pulls the difference of the means by (value - mean of its side) / size of its side; pulls add up within a
    group, u_g, and the variance of the difference is G/(G-1) sum u_g^2. The ratio stands against Student's t with as
    many degrees of freedom as the side with fewer groups has, less one: with one group nothing can be told.

    Args:
        values: Outcome of each item, [n].
        inside: Whether it belongs to the first side, [n].
        groups: Its group, [n].

    Source: Liang, Zeger, Biometrika 73 (1986) 13-22; few groups: Bell, McCaffrey, Survey Methodology 28 (2002) 169-181.

    >>> right, inside = [0, 1, 0, 0, 1, 1, 1, 0], [True] * 4 + [False] * 4
    >>> alone, pairs = range(8), [0, 0, 1, 1, 2, 2, 3, 3]
    >>> round(clustered_less(right, inside, alone), 3), round(clustered_less(right, inside, pairs), 3)
    (0.112, 0.167)
    """
    y, first = np.asarray(values, dtype=np.float64), np.asarray(inside, dtype=bool)
    number: dict[Hashable, int] = {}
    index = np.array([number.setdefault(group, len(number)) for group in groups])
    fewest = min(len(np.unique(index[first])), len(np.unique(index[~first])))
    if fewest < 2:
        return 1.0
    low, high = y[first].mean(), y[~first].mean()
    pulls = np.where(first, (y - low) / first.sum(), (high - y) / (~first).sum())
    spread = math.sqrt(len(number) / (len(number) - 1) * float((np.bincount(index, pulls) ** 2).sum()))
    if spread == 0:  # all inside are alike, and so are all others: as likely as that the groups fall so by chance
        return 1.0 if low >= high else float(1 / comb(len(number), fewest))
    return float(stats.t.cdf((low - high) / spread, fewest - 1))


def holm(pvalues: ArrayLike) -> Float[np.ndarray, "m"]:
    """Holm's adjusted p-values, in the order given: control of any false claim among several comparisons.

    Sorted ascending, p'_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.

    >>> holm([0.04, 0.01, 0.03]).round(3).tolist()
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("data.invalid_statistic", f"p-values must lie in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    adjusted = np.empty_like(p)
    adjusted[order] = stepped
    return adjusted
