"""From scores at some numbers of rows to what more rows would bring, with how unsure that is.

What is missing to a perfect score falls with the rows n along a power law, loss(n) = a + b n^-c: a is what no number of
rows removes. Two laws are fitted, with a floor and without one (a = 0), because few points cannot tell them apart. A
law says by which factor the loss falls from the most rows seen; the forecast goes on from what was measured there,
because no law meets the last point, and near it the point knows more (simulated, see docs/learning-curve.md). It is the
mean of both, and its interval holds both: draws of the rows are resampled, each resample is fitted by both laws, and
the spread of what all of them say is widened to Student's t for few draws.

Not counted: that the law itself may end (a model at its limit, rows of another kind). Forecasts beyond four times the
rows seen are refused. Knows numbers; no contenders and no rows.

Source: Cortes et al., NeurIPS 1993, 327-334; Hestness et al., arXiv:1712.00409; Viering, Loog, IEEE TPAMI 45 (2023)
7799-7819 (no law fits every curve; power laws most).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from softprompt.core.errors import DataError
from softprompt.core.stats import Interval

__all__ = ["FARTHEST", "Law", "extrapolate", "fit_law"]

#: Forecasts reach so many times the rows that were seen.
FARTHEST = 4.0

_EXPONENTS = np.linspace(0.05, 1.5, 59)
_RESAMPLES = 300


@dataclass(frozen=True, slots=True)
class Law:
    """loss(n) = floor + scale n^-exponent.

    >>> Law(0.1, 1.0, 0.5).loss(100.0)
    0.2
    """

    floor: float
    scale: float
    exponent: float

    def loss(self, rows: float | int) -> float:
        """What is missing to a perfect score with so many rows."""
        return float(self.floor + self.scale * float(rows) ** -self.exponent)


def fit_law(
    sizes: Float[np.ndarray, " m"],
    losses: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"],
    *,
    floor: bool = True,
) -> Law:
    """The law with the least weighted squares; neither floor nor scale is negative, so more rows never hurt.

    Args:
        sizes: Numbers of rows.
        losses: What is missing to a perfect score.
        weights: Of the points.
        floor: Whether there may be one.

    >>> sizes = np.array([16.0, 64.0, 256.0, 1024.0])
    >>> found = fit_law(sizes, 0.1 + 2 / np.sqrt(sizes), np.ones(4))
    >>> round(found.floor, 3), round(found.exponent, 2)
    (0.1, 0.5)
    """
    w = weights / weights.sum()
    x = sizes[None, :] ** -_EXPONENTS[:, None]  # [c, m]
    mean_x, mean_y = x @ w, float(losses @ w)
    centred = x - mean_x[:, None]
    slope = (centred * (losses - mean_y)) @ w / np.maximum((centred**2) @ w, 1e-300)
    through = (x * losses) @ w / ((x**2) @ w)
    start = np.maximum(mean_y - slope * mean_x, 0.0)
    inner: Bool[np.ndarray, " c"] = (slope >= 0) & (mean_y - slope * mean_x >= 0)
    a = np.where(inner, start, np.where(slope < 0, max(mean_y, 0.0), 0.0))
    b = np.where(inner, slope, np.where(slope < 0, 0.0, np.maximum(through, 0.0)))
    if not floor:
        a, b = np.zeros_like(a), np.maximum(through, 0.0)
    worst = ((a[:, None] + b[:, None] * x - losses) ** 2) @ w
    best = int(worst.argmin())
    return Law(float(a[best]), float(b[best]), float(_EXPONENTS[best]))


def extrapolate(
    sizes: Float[np.ndarray, " m"],
    losses: Float[np.ndarray, "D m"],
    *,
    to: int,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, Interval]:
    """The loss at ``to`` rows, and how much less it is than at the most rows seen.

    Args:
        sizes: Numbers of rows, rising; at least three, with more draws than one for a finite interval.
        losses: What is missing to a perfect score by draw and size; nan where a draw has no score.
        to: Rows to look at.
        level: Of the intervals.
        seed: Of the resampling.

    Raises:
        DataError: ``data.invalid_statistic``: fewer than three sizes, or a look too far.

    >>> sizes = np.array([16.0, 32.0, 64.0, 128.0])
    >>> draws = 0.1 + 2 / np.sqrt(sizes) + 0.01 * np.random.default_rng(0).standard_normal((4, 4))
    >>> loss, gain = extrapolate(sizes, draws, to=178)
    >>> bool(gain.low < 2 / np.sqrt(128) - 2 / np.sqrt(178) < gain.high)
    True
    """
    if len(sizes) < 3:
        message = f"a law needs scores at three numbers of rows at least, came {len(sizes)}"
        raise DataError("data.invalid_statistic", message, cure="start with fewer rows, or add labelled rows")
    most = float(sizes[-1])
    if not 0 < to <= FARTHEST * most:
        message = f"{to:,} rows are too far from the {most:,.0f} that were seen; at most {FARTHEST:g} times as many"
        raise DataError("data.invalid_statistic", message, cure="ask for fewer more rows")
    found = np.array(_both(sizes, losses, to))
    estimates = found.mean(axis=0)
    num_draws = len(losses)
    if num_draws < 2:
        return tuple(Interval(float(one), -math.inf, math.inf, level, "power-laws") for one in estimates)  # type: ignore[return-value]
    rng = np.random.default_rng(seed)
    said: list[tuple[float, float]] = []
    # few draws give few different resamples: each is fitted once and counted as often as it came
    drawn, times = np.unique(
        rng.multinomial(num_draws, [1 / num_draws] * num_draws, _RESAMPLES), axis=0, return_counts=True
    )
    for counts, often in zip(drawn, times.tolist(), strict=True):
        resample = np.repeat(losses, counts, axis=0)
        if (~np.isnan(resample)).any(axis=0).sum() >= 3:
            said += _both(sizes, resample, to) * often
    spread = np.sqrt(np.mean((np.array(said) - estimates) ** 2, axis=0))
    half = float(stats.t.ppf((1 + level) / 2, num_draws - 1)) * math.sqrt(num_draws / (num_draws - 1)) * spread
    loss, gain = (
        Interval(float(one), float(one - h), float(one + h), level, "power-laws")
        for one, h in zip(estimates, half, strict=True)
    )
    return loss, gain


def _both(sizes: Float[np.ndarray, " m"], losses: Float[np.ndarray, "D m"], to: int) -> list[tuple[float, float]]:
    """Loss and gain by both laws."""
    there = (~np.isnan(losses)).any(axis=0)
    counts = (~np.isnan(losses)).sum(axis=0)[there]
    mean = np.nanmean(losses[:, there], axis=0)
    # spread falls with the rows; its pooled part keeps a point with luckily equal draws from deciding alone
    spread = np.nanvar(losses[:, there], axis=0)
    weights = counts / (spread + spread.mean() + 1e-9)
    laws = [fit_law(sizes[there], mean, weights, floor=floor) for floor in (True, False)]
    now = [float(mean[-1]) if there[-1] else law.loss(float(sizes[-1])) for law in laws]
    shares = [law.loss(to) / last if (last := law.loss(float(sizes[-1]))) > 0 else 1.0 for law in laws]
    return [(share * loss, (1 - share) * loss) for share, loss in zip(shares, now, strict=True)]
