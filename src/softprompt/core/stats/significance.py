"""Tests of paired outcomes, several comparisons at once, and what a test set of a given size can show.

Knows nothing of metrics; for tests of any statistic by resampling see ``resampling``.
"""

import math
from collections.abc import Hashable, Sequence
from math import comb

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import optimize, stats

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.stats.intervals import check_counts, normal_quantile

__all__ = ["clustered_less", "holm", "mcnemar_exact", "minimum_detectable_difference"]


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value for paired right/wrong outcomes; ``b``: only the first was right, ``c``: only the second.

    Under equality b is Binomial(b + c, 1/2). Source: McNemar, Psychometrika 12 (1947) 153-157, with exact tails.

    >>> round(mcnemar_exact(10, 2), 4)
    0.0386
    """
    check_counts(b, b + c)
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


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


def minimum_detectable_difference(
    n: int, *, discordance: float = 0.2, power: float = 0.8, level: float = 0.95
) -> float:
    """Smallest true difference of two proportions on ``n`` shared items that a paired test finds with ``power``.

    Solves n = (z_a sqrt(psi) + z_b sqrt(psi - delta^2))^2 / delta^2 for delta, with psi the ``discordance`` (share of
    items where exactly one of the two is right). A difference cannot exceed the discordance: where the solution would,
    psi = delta is taken. ``inf`` when not even a difference of 1 would be found.

    Source: Connor, Biometrics 43 (1987) 207-211; Card et al., EMNLP 2020, 9263-9274 (why it matters).

    >>> round(minimum_detectable_difference(300), 3), round(minimum_detectable_difference(3000), 3)
    (0.072, 0.023)
    """
    if n < 1 or not 0 < discordance <= 1 or not 0.5 <= power < 1:
        raise ConfigError(
            "config.invalid",
            f"n must be >= 1, discordance in (0, 1], power in [0.5, 1); got {n}, {discordance}, {power}",
        )
    z_a, z_b = normal_quantile(level), float(stats.norm.ppf(power))
    root = n - z_a**2 + z_b**2
    if root >= 0:
        delta = math.sqrt(discordance) * (z_a * math.sqrt(n) + z_b * math.sqrt(root)) / (n + z_b**2)
        if delta <= discordance:
            return delta
    if n < z_a**2:
        return math.inf
    return float(optimize.brentq(lambda d: n * d - (z_a + z_b * math.sqrt(1 - d)) ** 2, 0.0, 1.0))
