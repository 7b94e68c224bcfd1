"""An estimate with its range, the intervals of a proportion, and the verdict in words.

Knows nothing of metrics or of how items are resampled.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from softprompt.core.errors import ConfigError, DataError

__all__ = [
    "Interval",
    "Verdict",
    "check_counts",
    "checked_level",
    "clopper_pearson",
    "normal_quantile",
    "reaching",
    "unseen_share",
    "verdict",
    "widened",
    "wilson",
]

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the range that is compatible with the data.

    Attributes:
        estimate: The score itself; nan when there is nothing to estimate from.
        low: Lower bound; -inf when one item says nothing about the spread.
        high: Upper bound.
        level: Share of such intervals that hold the true value, 0.95 for 95 %.
        method: How the bounds were found, e.g. ``wilson``.

    >>> print(wilson(45, 50))
    0.900 [0.786, 0.957]
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str

    def __eq__(self, other: object) -> bool:
        """The same numbers; that there is nothing to estimate from (nan) is the same everywhere, too."""
        if not isinstance(other, Interval):
            return NotImplemented
        mine, others = ((one.estimate, one.low, one.high, one.level) for one in (self, other))
        same = all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(mine, others, strict=True))
        return same and self.method == other.method

    def __hash__(self) -> int:
        return hash((self.low, self.high, self.level, self.method))

    def __str__(self) -> str:
        widest = max((abs(x) for x in (self.estimate, self.low, self.high) if math.isfinite(x)), default=0.0)
        digits = 3 if widest < 10 else 1
        return f"{self.estimate:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def as_dict(self) -> dict[str, float | str | None]:
        """The fields for a report; what is not finite becomes None, because JSON has no infinity.

        >>> wilson(0, 0).as_dict()
        {'estimate': None, 'low': 0.0, 'high': 1.0, 'level': 0.95, 'method': 'wilson'}
        """
        numbers = {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}
        return {
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "method": self.method,
        }


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion: keeps its level for small ``n`` and near 0 and 1.

    With z = Phi^-1((1 + level) / 2) and p = successes / n: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
    Source: Wilson, JASA 22 (1927) 209-212; Brown, Cai, DasGupta, Statistical Science 16 (2001) 101-133.
    ``n == 0`` gives nan within [0, 1].

    >>> print(wilson(0, 20))
    0.000 [0.000, 0.161]
    """
    check_counts(successes, n)
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, checked_level(level), "wilson")
    z = normal_quantile(level)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # the bounds are exactly 0 and 1 at the ends; rounding must not leave the estimate outside
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(p, low, high, level, "wilson")


def clopper_pearson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Exact (conservative) interval for a proportion: holds at least ``level`` for every true value.

    Bounds are the (1-level)/2 quantile of Beta(k, n-k+1) and the (1+level)/2 quantile of Beta(k+1, n-k).
    Source: Clopper, Pearson, Biometrika 26 (1934) 404-413.

    >>> print(clopper_pearson(0, 20))
    0.000 [0.000, 0.168]
    """
    check_counts(successes, n)
    tail = (1 - checked_level(level)) / 2
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, level, "clopper-pearson")
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(stats.beta.ppf(1 - tail, successes + 1, n - successes))
    return Interval(successes / n, low, high, level, "clopper-pearson")


def unseen_share(n: int, *, level: float = 0.95) -> float:
    """Largest share of items unlike the n that were seen, where these are all alike: 1 - ((1 - level) / 2)^(1 / n).

    It is where the exact interval of n right answers out of n ends, and about 3.7 / n at 95 %.
    Source: Clopper, Pearson, Biometrika 26 (1934) 404-413; Hanley, Lippman-Hand, JAMA 249 (1983) 1743-1745 (one-sided).

    >>> round(unseen_share(4), 3), round(unseen_share(200), 3)
    (0.602, 0.018)
    """
    return float(1 - ((1 - checked_level(level)) / 2) ** (1 / n))


def reaching(value: float, bounds: tuple[float, float], *, n: int, level: float, method: str) -> Interval:
    """The interval of a value in which no spread was seen: :func:`unseen_share` of the way to each bound.

    Items that were not seen may be as bad, or as good, as there is. For a share of right answers it is the exact
    interval; for a mean of numbers within the bounds it holds at least as often.

    >>> print(reaching(1.0, (0.0, 1.0), n=4, level=0.95, method="bootstrap-bca"))
    1.000 [0.398, 1.000]
    """
    share = unseen_share(n, level=level)
    low, high = (value + share * (bound - value) for bound in bounds)
    return Interval(value, low, high, level, f"{method}-all-equal")


def verdict(difference: Interval, *, higher_is_better: bool = True, margin: float = 0.0) -> Verdict:
    """What an interval of a difference (first minus second) lets one say about the first.

    ``margin`` is the smallest difference worth naming: the whole interval must lie beyond it.

    >>> verdict(Interval(0.02, -0.01, 0.05, 0.95, "bootstrap-bca"))
    'cannot tell'
    """
    low, high = (difference.low, difference.high) if higher_is_better else (-difference.high, -difference.low)
    if low > margin:
        return "better"
    return "worse" if high < -margin else "cannot tell"


def checked_level(level: float) -> float:
    """The level itself, if it is one (``config.invalid`` otherwise)."""
    if not 0 < level < 1:
        raise ConfigError("config.invalid", f"level must lie between 0 and 1, got {level}", cure="0.95 means 95 %")
    return level


def normal_quantile(level: float) -> float:
    """Half width of a two-sided normal interval in standard errors: 1.96 for 0.95."""
    return float(stats.norm.ppf((1 + checked_level(level)) / 2))


def check_counts(successes: int, n: int) -> None:
    """Refuse a count outside [0, n] (``data.invalid_statistic``)."""
    if not 0 <= successes <= n:
        raise DataError("data.invalid_statistic", f"a count must lie between 0 and its total, got {successes} of {n}")


def widened(interval: Interval, *, num_folds: int, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """The interval of a score whose items were answered in a cross-validation: its ends sqrt(k / (k - 1)) times as far.

    Folds share training rows, so what their models get wrong is not independent, and plain intervals hold the truth
    less often than they say (Bates, Hastie, Tibshirani, JASA 119 (2024), 1434-1445). This makes them as wide as those
    of the rows of k - 1 folds. The factor is a rule of thumb: benchmarks/out_of_fold.py measures what it reaches.

    >>> print(widened(wilson(45, 50), num_folds=5, bounds=(0.0, 1.0)))
    0.900 [0.773, 0.963]
    """
    factor = math.sqrt(num_folds / (num_folds - 1))
    low = max(bounds[0], interval.estimate - factor * (interval.estimate - interval.low))
    high = min(bounds[1], interval.estimate + factor * (interval.high - interval.estimate))
    return Interval(interval.estimate, low, high, interval.level, f"{interval.method}-folds")
