"""Kept trials as plain data: scores with intervals, paired differences to plain vectors, and what everything costs.

Intervals count two kinds of luck, of seeds and of judged rows (:mod:`softprompt.core.stats.seeds`); differences are
paired by row. Which 240 rows were learnt from is the same for all ways, and counted nowhere.

Knows outcomes; trains nothing and writes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.contest.outcomes import Outcome
from softprompt.core.stats import Interval, difference_over_seeds, mean_over_seeds, verdict

from .ways import BASE, WAYS

__all__ = ["Finding", "compared", "difference", "findings", "paired", "points", "replaces", "score", "settled"]

#: What is told of one way on one problem.
Finding = dict[str, Any]

#: Data sets on which a way has to be better than the default before it takes its place.
NEEDED = 2


def score(right: Bool[np.ndarray, "S N"]) -> Interval:
    """Share of right answers, mean over seeds.

    >>> print(score(np.array([[True, False] * 50, [True, True] * 50])).estimate)
    0.75
    """
    return mean_over_seeds(_items(right), _share).interval(bounds=(0.0, 1.0))


def difference(first: Bool[np.ndarray, "S N"], second: Bool[np.ndarray, "R N"]) -> Interval:
    """Mean score of the first less that of the second on the same rows.

    >>> always, mostly = np.ones((3, 200), bool), np.tile(np.arange(200) % 4 > 0, (3, 1))
    >>> print(difference(always, mostly))
    0.250 [0.189, 0.311]
    """
    return difference_over_seeds(_items(first), _items(second), _share).interval(bounds=(-1.0, 1.0))


def paired(first: Bool[np.ndarray, "S N"], second: Bool[np.ndarray, "S N"]) -> Interval:
    """Mean score of the first less that of the second, where both had the same seeds, or draws, in the same order.

    >>> always, mostly = np.ones((3, 200), bool), np.tile(np.arange(200) % 4 > 0, (3, 1))
    >>> print(paired(always, mostly))
    0.250 [0.189, 0.311]
    """
    less = first.astype(float) - second.astype(float)
    items = np.stack([less, np.ones_like(less)], axis=-1)
    return mean_over_seeds(items, _share).interval(bounds=(-1.0, 1.0))


def points(interval: Interval, *, sign: str = "") -> str:
    """In points of a hundred; ``sign="+"`` marks a difference.

    >>> points(Interval(0.5, 0.42, 0.584)), points(Interval(0.05, -0.02, 0.12), sign="+")
    ('50.0 [42.0, 58.4]', '+5.0 [-2.0, +12.0]')
    """
    estimate, low, high = (format(100 * one, f"{sign}.1f") for one in (interval.estimate, interval.low, interval.high))
    return f"{estimate} [{low}, {high}]"


def compared(first: Bool[np.ndarray, "S N"], second: Bool[np.ndarray, "R N"]) -> str:
    """A cell of a table: :func:`difference` in points, and whether that is better or worse.

    >>> always, mostly = np.ones((3, 200), bool), np.tile(np.arange(200) % 4 > 0, (3, 1))
    >>> compared(always, mostly)
    '+25.0 [+18.9, +31.1] **better**'
    """
    found = difference(first, second)
    word = verdict(found)
    return f"{points(found, sign='+')}{'' if word == 'cannot tell' else f' **{word}**'}"


def findings(outcomes: Mapping[str, Outcome], *, base: str = BASE) -> dict[str, Finding]:
    """By way, in the order of the ways: everything that the page and the picture say.

    Args:
        outcomes: Of one problem, by way.
        base: The way that the others are compared with.
    """
    names = [*(name for name in WAYS if name in outcomes), *(name for name in outcomes if name not in WAYS)]
    return {name: _finding(outcomes[name], None if name == base else outcomes.get(base)) for name in names}


def _finding(outcome: Outcome, base: Outcome | None) -> Finding:
    seeds, details = len(outcome.seeds), outcome.details
    return {
        "score": score(outcome.table).as_dict(),
        "by_seed": [round(float(one.mean()), 4) for one in outcome.table],
        "difference": None if base is None else difference(outcome.table, base.table).as_dict(),
        "rate": details["rate"],
        "num_trained": outcome.num_trained,
        "bytes": details.get("bytes"),
        "probe_seconds": outcome.search.cpu_seconds,
        "train_seconds": outcome.train.cpu_seconds / seeds,
        "request_ms": details.get("request_ms"),
        "live_tokens": details.get("live_tokens"),
        "right": list(outcome.right),
    }


def settled(found: Mapping[str, Mapping[str, Finding]]) -> dict[str, dict[str, list[str]]]:
    """By way: the problems on which it is better than plain, worse, or cannot be told from it.

    Args:
        found: Findings by problem and way.
    """
    sides: dict[str, dict[str, list[str]]] = {}
    for problem, by_way in found.items():
        for name, one in by_way.items():
            if one["difference"] is not None:
                word = verdict(Interval(**one["difference"]))
                sides.setdefault(name, {"better": [], "worse": [], "cannot tell": []})[word].append(problem)
    return sides


def replaces(sides: Mapping[str, Sequence[str]]) -> bool:
    """Whether a way is clearly better than the default often enough, and nowhere clearly worse.

    >>> replaces({"better": ["a", "b"], "worse": []}), replaces({"better": ["a", "b"], "worse": ["c"]})
    (True, False)
    """
    return len(sides["better"]) >= NEEDED and not sides["worse"]


def _items(right: Bool[np.ndarray, "S N"]) -> Float[np.ndarray, "S N 2"]:
    return np.stack([right, np.ones_like(right)], axis=-1).astype(float)


def _share(sums: Float[np.ndarray, " 2"]) -> float:
    return float(sums[0] / sums[1])
