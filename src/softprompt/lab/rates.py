"""Which learning rate the scores of a probe speak for.

A probe is short and few rows judge it, so its scores differ by chance. The usual rate is kept unless another is better
by more than the standard error of their difference: the one-standard-error rule (Breiman et al., Classification and
Regression Trees, 1984, section 3.4.3) with the usual rate in the place of the simplest tree.

Knows numbers; no prompts and no rows.
"""

import math
from collections.abc import Callable, Mapping, Sequence

__all__ = ["USUAL", "chosen_rate", "difference_error", "usual_rate"]

#: In units of the table's scale: what did best, or as well as the best, with every method and task measured so far.
USUAL = 0.1


def chosen_rate(tried: Mapping[float, tuple[float, float]], error: Callable[[float, float], float]) -> float:
    """The rate to train at.

    Args:
        tried: By rate, what ranks it, higher is better: its score, then what decides between equal scores.
        error: Standard error of the difference of two scores; 0 where it is not known: then the best rate is taken.

    >>> chosen_rate({0.03: (0.36, 0.0), 0.1: (0.35, 0.0), 0.3: (0.24, 0.0)}, lambda one, other: 0.09)
    0.1
    >>> chosen_rate({0.03: (0.20, 0.0), 0.1: (0.35, 0.0), 0.3: (0.52, 0.0)}, lambda one, other: 0.09)
    0.3
    """
    best = max(tried, key=lambda rate: tried[rate])
    if USUAL not in tried or best == USUAL:
        return best
    score, usual = tried[best][0], tried[USUAL][0]
    known = math.isfinite(score) and math.isfinite(usual)
    return USUAL if known and score - usual < error(score, usual) else best


def usual_rate(rates: Sequence[float]) -> float:
    """The rate to train at where nothing is probed: the usual one, or the middle of rates of one's own without it.

    >>> usual_rate((0.003, 0.01, 0.03, 0.1, 0.3)), usual_rate((0.001, 0.01, 0.02)), usual_rate(())
    (0.1, 0.01, 0.1)
    """
    return USUAL if USUAL in rates or not rates else rates[len(rates) // 2]


def difference_error(one: float, other: float, *, bounds: tuple[float, float], rows: int) -> float:
    """Standard error, at most, of the difference of two means of numbers within bounds over so many rows each.

    A number between a and b of mean m has a variance of (m - a)(b - m) at most (Bhatia and Davis 2000). Scores of the
    same rows differ by less.

    Returns:
        In units of the scores; 0 for scores without bounds.

    >>> round(difference_error(0.5, 0.5, bounds=(0.0, 1.0), rows=50), 3)
    0.1
    """
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0
    return math.sqrt(sum(max(0.0, (mean - low) * (high - mean)) for mean in (one, other)) / max(1, rows))
