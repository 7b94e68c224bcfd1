"""What a table decides: every line beside the reference, over the same rows and over the seeds of both.

Better or worse is said only where two things agree: the interval of the difference leaves out 0, and the p-value stays
below 1 - level after Holm's correction for all lines of the table. Everything else is "cannot tell", with the rows that
would decide if the difference that was measured were the true one. Nothing is picked by its score.

Knows lines with evaluations; no models.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from softprompt.core.metrics import Metric, make_metric, significance
from softprompt.core.stats import (
    Interval,
    Verdict,
    difference_over_seeds,
    holm,
    mean_over_seeds,
    minimum_detectable_difference,
    paired_bootstrap,
    rows_for,
    rows_to_decide,
    verdict,
)
from softprompt.core.words import two_digits
from softprompt.lab.comparison.table import Against, Line, RunRecord
from softprompt.lab.evaluation import groups, require_same_rows

__all__ = ["FEWEST_ROWS", "decide", "metric_of", "score_of", "spread_of", "verdict_of"]

#: Rows below which no difference of two scores could be shown, whatever it is: six disagreements, all one way.
FEWEST_ROWS = 6

#: Share of repetitions in which a true difference has to show.
POWER = 0.8


def metric_of(line: Line) -> str:
    """The score that decides: the first that can be had again from the items."""
    evaluation = line.runs[0].evaluation
    return next(iter(evaluation.comparable or evaluation.metrics))


def score_of(runs: Sequence[RunRecord], metric: str) -> Interval:
    """The score of a contender, over its seeds and the rows."""
    if len(runs) == 1:
        return runs[0].evaluation.metrics[metric]
    maker = _maker(runs, metric)
    found = mean_over_seeds(_items(runs, metric), maker.total, groups=groups(runs[0].evaluation.items))
    return found.interval(bounds=maker.bounds)


def spread_of(runs: Sequence[RunRecord], metric: str) -> float | None:
    """Standard deviation of the score over the seeds; None with fewer than two."""
    values = [run.evaluation.metrics[metric].estimate for run in runs]
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def decide(lines: Sequence[Line], *, reference: str, metric: str, level: float = 0.95) -> tuple[Against, ...]:
    """Every other line with numbers beside the reference.

    Args:
        lines: Judged on the same rows.
        reference: Name of a line with numbers.
        metric: The score that decides.
        level: Of the intervals, and 1 - the share of false claims over the whole table.

    Raises:
        DataError: ``data.lengths_differ`` for lines that were judged on different rows.
    """
    first = next(line for line in lines if line.name == reference)
    others = [line for line in lines if line.runs and line.name != reference]
    found = [_difference(line.runs, first.runs, metric, level) for line in others]
    adjusted = holm([one.p for one in found]).tolist() if found else []
    return tuple(
        _against(line, first, metric, one, p_all, level, len(others))
        for line, one, p_all in zip(others, found, adjusted, strict=True)
    )


def verdict_of(reference: str, against: Sequence[Against]) -> str:
    """One sentence for the whole table.

    >>> verdict_of("soft prompt", [])
    'soft prompt stands alone: there is nothing to compare it with'
    """
    if not against:
        return f"{reference} stands alone: there is nothing to compare it with"
    by = {name: [one.name for one in against if one.verdict == name] for name in ("better", "worse", "cannot tell")}
    parts = []
    if by["better"]:
        parts.append(f"{_listed(by['better'])} {_is(by['better'])} better than {reference}")
    else:
        parts.append(f"nothing is shown to be better than {reference}")
    if by["worse"]:
        parts.append(f"{_listed(by['worse'])} {_is(by['worse'])} worse")
    if by["cannot tell"]:
        parts.append(f"{_listed(by['cannot tell'])} cannot be told from it on these rows")
    return "; ".join(parts)


class _Measured(NamedTuple):
    """A difference: its interval, the p-value and its test, and what share of the doubt is the seeds' alone."""

    interval: Interval
    p: float
    test: str
    of_seeds: float = 0.0


def _difference(runs: Sequence[RunRecord], reference: Sequence[RunRecord], metric: str, level: float) -> _Measured:
    one, two = runs[0].evaluation, reference[0].evaluation
    for run in runs:
        require_same_rows(run.evaluation, two)
    maker, clusters = _maker(runs, metric), groups(one.items)
    if len(runs) > 1 or len(reference) > 1:
        found = difference_over_seeds(_items(runs, metric), _items(reference, metric), maker.total, groups=clusters)
        width = maker.bounds[1] - maker.bounds[0]
        interval = found.interval(level=level, bounds=(-width, width))
        return _Measured(interval, found.p_value, "t over seeds and rows", found.of_seeds)
    a, b = one.statistics(metric), two.statistics(metric)
    interval = paired_bootstrap(a, b, maker.total, level=level, groups=clusters, bounds=maker.bounds)
    return _Measured(interval, *significance(maker, a, b, groups=clusters))


def _against(
    line: Line, first: Line, metric: str, found: _Measured, adjusted: float, level: float, lines: int
) -> Against:
    interval, items = found.interval, line.runs[0].evaluation.items
    maker, n = _maker(line.runs, metric), len(items)
    says: Verdict = verdict(interval, higher_is_better=maker.higher_is_better)
    if adjusted > 1 - level:
        says = "cannot tell"
    units = len(set(groups(items) or range(n)))
    rows = None if says != "cannot tell" else _rows(found, n, units, lines)
    by_seeds = rows is None and _rows(found._replace(of_seeds=0.0), n, units, lines) is not None
    shown = _detectable(line.runs, first.runs, maker, interval, n)
    return Against(
        name=line.name,
        reference=first.name,
        verdict=says,
        difference=interval,
        p_value=found.p,
        p_adjusted=adjusted,
        test=found.test,
        detectable=shown,
        rows_to_decide=rows,
        sentence=_sentence(line.name, first.name, says, interval, maker, adjusted, n)
        + (_more(rows, by_seeds=by_seeds) if says == "cannot tell" and interval.estimate else ""),
    )


def _rows(found: _Measured, n: int, units: int, lines: int) -> int | None:
    """Rows that would decide, by the interval and by the p-value among so many lines: both have to.

    No fewer than those on which so many lines leave any p below 1 - level: 2^(1 - units) is the least there is.

    >>> half = Interval(0.05, 0.01, 0.09, 0.95, "any")
    >>> [_rows(_Measured(half, p, "any"), 200, 200, lines) for p, lines in ((0.14, 1), (0.14, 4), (1.0, 1))]
    [721, 1024, None]
    >>> _rows(_Measured(half, 0.14, "any", of_seeds=0.1), 200, 200, 1)
    1015
    >>> _rows(_Measured(Interval(0.7, 0.0, 1.0, 0.95, "any"), 1.0, "any"), 2, 2, 3)
    7
    """
    interval, alpha = found.interval, 1 - found.interval.level
    z, wanted = stats.norm.isf(found.p / 2), stats.norm.isf(alpha / (2 * lines)) + stats.norm.ppf(POWER)
    by_interval = rows_to_decide(interval, n, power=POWER, of_seeds=found.of_seeds)
    by_p = rows_for((wanted / z) ** 2, n, of_seeds=found.of_seeds) if z > 0 else n
    if by_interval is None or by_p is None or units < 2:
        return None
    rows = max(by_interval, by_p)
    return max(rows, math.ceil((1 + math.log2(lines / alpha)) * n / units)) if rows > n else None


def _detectable(
    runs: Sequence[RunRecord], reference: Sequence[RunRecord], maker: Metric, interval: Interval, n: int
) -> float | None:
    """The smallest true difference that so many rows would show."""
    if maker.proportion and groups(runs[0].evaluation.items) is None:
        a, b = (
            np.array([[item.correct for item in run.evaluation.items] for run in side]) for side in (runs, reference)
        )
        differ = float(np.mean([(one != two).mean() for one in a for two in b]))
        if differ > 0:
            found = minimum_detectable_difference(n, discordance=differ, power=POWER, level=interval.level)
            return found if math.isfinite(found) else None
    half = (interval.high - interval.low) / 2
    if not math.isfinite(half):
        return None
    z, power = stats.norm.ppf((1 + interval.level) / 2), stats.norm.ppf(POWER)
    return float(half * (z + power) / z)


def _sentence(
    name: str, reference: str, says: Verdict, interval: Interval, maker: Metric, adjusted: float, n: int
) -> str:
    points = maker.bounds == (0.0, 1.0)
    by = _amount(interval, points=points, magnitude=says != "cannot tell")
    measured = f"{by} of {maker.name} on {n:,} rows, p = {adjusted:.2g} after Holm"
    if says != "cannot tell":
        return f"{name} is {says} than {reference} by {measured}"
    return f"cannot tell {name} from {reference}: {measured}"


def _more(rows: int | None, *, by_seeds: bool) -> str:
    """What would decide.

    >>> _more(1015, by_seeds=False), _more(None, by_seeds=False)
    ('; if that were the true difference, about 1,000 rows would show it', '')
    """
    if rows is not None:
        return f"; if that were the true difference, about {two_digits(rows):,} rows would show it"
    return "; the seeds differ too much for more rows alone to show it: more seeds would" if by_seeds else ""


def _amount(interval: Interval, *, points: bool, magnitude: bool) -> str:
    """A difference with its interval: in points of a hundred, else with as many digits as its size asks for.

    >>> _amount(Interval(-0.0624, -0.1421, 0.017, 0.95, "any"), points=False, magnitude=False)
    '-0.062 [-0.142, +0.017]'
    """
    factor = 100 if points else 1
    values = [factor * one for one in (interval.estimate, interval.low, interval.high)]
    if magnitude and values[0] < 0:
        values = [-values[0], -values[2], -values[1]]
    sign = "" if magnitude else "+"
    if points:
        shown = [format(round(one, 1) + 0.0, f"{sign}.3g") for one in values]
    else:
        widest = max((abs(one) for one in values if math.isfinite(one)), default=0.0)
        digits = max(0, 2 - math.floor(math.log10(widest))) if widest else 0
        shown = [format(round(one, digits) + 0.0, f"{sign}.{digits}f") for one in values]
    return f"{shown[0]}{' points' if points else ''} [{shown[1]}, {shown[2]}]"


def _maker(runs: Sequence[RunRecord], metric: str) -> Metric:
    return make_metric(metric, labels=runs[0].evaluation.labels)


def _items(runs: Sequence[RunRecord], metric: str) -> Float[np.ndarray, "S n d"]:
    """Sufficient statistics by seed and row."""
    return np.stack([run.evaluation.statistics(metric) for run in runs])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
