"""What standings allow to say: paired differences on the same rows with interval and p-value, and a sentence for each.

Each standing is one fit, as a run lists them beside its prompt; where contenders have several seeds, ``deciding``
decides. Knows standings, not how they came about.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from softprompt.core.errors import ConfigError, nearest
from softprompt.core.metrics import Metric, make_metric, significance
from softprompt.core.metrics import compare as difference_of
from softprompt.core.stats import Interval, Verdict, holm, verdict
from softprompt.lab.comparison.contenders import Standing
from softprompt.lab.evaluation import Evaluation, groups, interval_from, require_same_rows

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True)
class Difference:
    """One contender against the reference.

    Attributes:
        first: The reference: what the comparison is about.
        second: What it is compared with.
        metric: By which score.
        interval: Score of the first minus score of the second, on the same rows.
        p_value: Of no difference: exact McNemar for a share of right answers, else a paired permutation test.
        p_adjusted: The same, adjusted for all comparisons of the table (Holm).
        verdict: Of the first, by the interval.
        sentence: The same in words.
    """

    first: str
    second: str
    metric: str
    interval: Interval
    p_value: float
    p_adjusted: float
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """The table, and what it shows of the reference.

    Attributes:
        standings: The lines.
        reference: Name of the line that the others are compared with.
        metric: The score that decides.
        differences: The reference against every other line.
    """

    standings: tuple[Standing, ...]
    reference: str
    metric: str
    differences: tuple[Difference, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The verdicts in words, also where the reference loses."""
        return tuple(one.sentence for one in self.differences)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "reference": self.reference,
            "metric": self.metric,
            "standings": [one.to_dict() for one in self.standings],
            "differences": [{**asdict(one), "interval": one.interval.as_dict()} for one in self.differences],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(
            tuple(Standing.from_dict(one) for one in data["standings"]),
            data["reference"],
            data["metric"],
            tuple(Difference(**{**one, "interval": interval_from(one["interval"])}) for one in data["differences"]),
        )


def compare(
    standings: Sequence[Standing], *, reference: str, metric: str | None = None, level: float = 0.95, seed: int = 0
) -> Comparison:
    """Compare one line of a table with all others, on the items that both answered.

    Args:
        standings: Judged on the same rows.
        reference: Name of the line that it is about.
        metric: A score of answers; None: the task's first such score.
        level: Of the intervals.
        seed: Of the resampling.

    Raises:
        ConfigError: ``config.unknown_name`` for a reference that is no line.
        DataError: ``data.lengths_differ`` when two lines were judged on different rows; ``data.not_probabilities`` for
            a metric that needs more than answers.
    """
    lines = {one.name: one for one in standings}
    if reference not in lines:
        raise ConfigError("config.unknown_name", f"no line is called {reference!r}; {nearest(reference, lines)}")
    first = lines[reference].evaluation
    metric = metric or next(iter(first.comparable or first.metrics))
    maker = make_metric(metric, labels=first.labels)
    others = [one.evaluation for one in standings if one.name != reference]
    intervals, p_values = [], []
    for second in others:
        require_same_rows(first, second)
        one, two = first.score(metric), second.score(metric)
        clusters = groups(first.items)
        intervals.append(difference_of(maker, one, two, level=level, seed=seed, groups=clusters))
        p_values.append(significance(maker, one.items, two.items, seed=seed, groups=clusters)[0])
    adjusted = holm(p_values).tolist() if p_values else []
    return Comparison(
        tuple(standings),
        reference,
        metric,
        tuple(
            _difference(first, second, maker, interval, p, p_all)
            for second, interval, p, p_all in zip(others, intervals, p_values, adjusted, strict=True)
        ),
    )


def _difference(
    first: Evaluation, second: Evaluation, metric: Metric, interval: Interval, p: float, adjusted: float
) -> Difference:
    found = verdict(interval, higher_is_better=metric.higher_is_better)
    measured = f"{_in_words(interval, metric)} of {metric.name}, {len(first.items)} rows, p = {p:.2g}"
    if found == "cannot tell":
        sentence = f"cannot tell {first.name} from {second.name}: a difference of {measured}"
    else:
        sentence = f"{first.name} is {found} than {second.name} by {measured}"
    return Difference(first.name, second.name, metric.name, interval, p, adjusted, found, sentence)


def _in_words(interval: Interval, metric: Metric) -> str:
    """``8 points [3, 13]`` for scores from 0 to 1, the bare numbers for others; better or worse carries the sign."""
    points = metric.bounds == (0.0, 1.0)
    estimate, low, high = (value * (100 if points else 1) for value in (interval.estimate, interval.low, interval.high))
    sign = 1 if metric.higher_is_better else -1
    if verdict(interval, higher_is_better=metric.higher_is_better) == "worse":
        sign = -sign
    ends = sorted((sign * low, sign * high))
    return f"{_short(sign * estimate)}{' points' if points else ''} [{_short(ends[0])}, {_short(ends[1])}]"


def _short(value: float) -> str:
    """One decimal, left out where it is 0.

    >>> _short(8.04), _short(-0.01), _short(2.55)
    ('8', '0', '2.5')
    """
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    return f"{round(value, 1) + 0.0:g}"
