"""From a contender's points to what more rows would bring, in numbers and in a sentence.

Knows curves and laws; no contenders and no rows.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from softprompt.core.metrics import Metric
from softprompt.core.stats import Interval
from softprompt.core.words import counted
from softprompt.lab.learning_curve.document import Curve, Forecast
from softprompt.lab.learning_curve.laws import extrapolate

__all__ = ["forecast"]


def forecast(curve: Curve, metric: Metric, *, to: Sequence[int], seed: int = 0) -> Curve:
    """The curve with the scores that its law says for other numbers of rows, or with a note why it says none.

    Args:
        curve: With its points.
        metric: Of their scores.
        to: Numbers of rows.
        seed: Of the resampling.
    """
    steps = list(curve.by_size)
    if len(steps) < 3:
        return replace(curve, note=f"too few points for a forecast ({counted(len(steps), 'size')})")
    best = metric.bounds[1] if metric.higher_is_better else metric.bounds[0]
    if not math.isfinite(best):
        return replace(curve, note=f"{metric.name} has no best value that a law could run to")
    sign = 1.0 if metric.higher_is_better else -1.0
    draws = sorted({point.draw for point in curve.points})
    losses = np.full((len(draws), len(steps)), np.nan)
    for point in curve.points:
        if point.score is not None and point.rows in steps:
            losses[draws.index(point.draw), steps.index(point.rows)] = sign * (best - point.score)
    seen = losses[~np.isnan(losses)]
    if (seen == seen[0]).all():
        return replace(curve, note="the same score after any number of labels: more of them move nothing")
    found = []
    for rows in to:
        loss, gain = extrapolate(np.array(steps, dtype=np.float64), losses, to=rows, seed=seed)
        score = _turned(loss, best, sign)
        found.append(Forecast(rows, score, gain, _sentence(curve.name, metric, rows - steps[-1], score, gain)))
    return replace(curve, forecasts=tuple(found))


def _turned(loss: Interval, best: float, sign: float) -> Interval:
    """The score of a loss."""
    ends = sorted((best - sign * loss.low, best - sign * loss.high))
    return Interval(best - sign * loss.estimate, ends[0], ends[1], loss.level, loss.method)


def _sentence(name: str, metric: Metric, more: int, score: Interval, gain: Interval) -> str:
    """What so many more labels would bring, in words.

    >>> from softprompt.core.metrics import make_metric
    >>> gain = Interval(0.021, 0.004, 0.038, 0.95, "power-laws")
    >>> _sentence("soft prompt", make_metric("accuracy"), 50, Interval(0.8, 0.78, 0.82, 0.95, "power-laws"), gain)
    'soft prompt: 50 more labels would bring about 2.1 points of accuracy [0.4, 3.8], to 0.800'
    """
    unit, factor = (" points", 100) if metric.bounds == (0.0, 1.0) else ("", 1)
    about = f"{counted(more, 'more label')} would bring about {factor * gain.estimate:.1f}{unit} of {metric.name}"
    if not math.isfinite(gain.high - gain.low):
        return f"{name}: {about}; how sure that is cannot be told from one draw"
    ends = f" [{factor * gain.low:.1f}, {factor * gain.high:.1f}]"
    unsure = "; whether they would bring anything cannot be told" if gain.low <= 0 else ""
    return f"{name}: {about}{ends}, to {score.estimate:.3f}{unsure}"
