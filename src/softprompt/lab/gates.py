"""Limits that a prompt has to keep, for pipelines: ``macro_f1=0.80``.

By default the score itself counts; asked for the bound, the end of its interval on the wrong side does, so that a small
test set cannot pass by luck. Where lower is better (log_loss, brier, ece, perplexity) a score above the limit fails.

Knows evaluations; no exit status and no files.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.core.errors import ConfigError, nearest
from softprompt.core.metrics import METRICS, make_metric
from softprompt.core.stats import Interval
from softprompt.core.tasks import Task
from softprompt.lab.evaluation import CALIBRATION, Evaluation

__all__ = ["Gate", "Passage", "check_names", "parse_gate", "pass_gates"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A metric and the worst value that is allowed."""

    metric: str
    limit: float


@dataclass(frozen=True, slots=True)
class Passage:
    """Whether a score keeps a limit.

    Attributes:
        metric, limit: The gate.
        value: What counted: the score, or the bound of its interval; None where there is none.
        bound: Whether the bound counted.
        passed: Whether the limit is kept.
        higher_is_better: False for losses.
    """

    metric: str
    limit: float
    value: float | None
    bound: bool
    passed: bool
    higher_is_better: bool

    @property
    def sentence(self) -> str:
        """What is wrong, or that nothing is.

        >>> Passage("macro_f1", 0.8, 0.714, False, False, True).sentence
        'macro_f1 0.714 is under 0.8'
        """
        end = "lower" if self.higher_is_better else "upper"
        name = f"{end} bound of {self.metric}" if self.bound else self.metric
        if self.value is None:
            return f"{name} cannot be told"
        how = "keeps" if self.passed else ("is under" if self.higher_is_better else "is above")
        return f"{name} {self.value:.3g} {how} {self.limit:g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "metric": self.metric,
            "limit": self.limit,
            "value": self.value,
            "bound": self.bound,
            "passed": self.passed,
            "sentence": self.sentence,
        }


def parse_gate(text: str) -> Gate:
    """A gate from ``METRIC=LIMIT``.

    Raises:
        ConfigError: ``config.invalid``.

    >>> parse_gate("recall.billing=0.9")
    Gate(metric='recall.billing', limit=0.9)
    """
    metric, mark, limit = text.rpartition("=")
    try:
        value = float(limit)
    except ValueError:
        value = math.nan
    if not (mark and metric.strip() and math.isfinite(value)):
        message = f"{text!r} is no metric with a limit"
        raise ConfigError("config.invalid", message, cure="write macro_f1=0.80")
    return Gate(metric.strip(), value)


def check_names(gates: Iterable[Gate], task: Task, *, coverage: bool = False) -> None:
    """Refuse metrics that no evaluation of a task reports, before anything is computed.

    Args:
        gates: The limits.
        task: What is asked.
        coverage: Whether the share that can be answered at a precision is reported.

    Raises:
        ConfigError: ``config.unknown_name``, with the nearest.

    >>> check_names([Gate("macro_f2", 0.8)], Task.classify(["no", "yes"]))
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: there is no score 'macro_f2'; did you mean 'macro_f1'? known: ...
    """
    scores = [*getattr(task, "metrics", ()), *CALIBRATION, "answered", *(["coverage"] if coverage else [])]
    classes = [f"{part}.{name}" for part in ("recall", "precision", "f1") for name in getattr(task, "names", ())]
    for gate in gates:
        if gate.metric not in (*scores, *classes):
            known = classes if gate.metric.partition(".")[0] in ("recall", "precision", "f1") else scores
            _refuse(gate.metric, known or scores)


def pass_gates(
    gates: Sequence[Gate], evaluation: Evaluation, *, coverage: Interval | None = None, bound: bool = False
) -> tuple[Passage, ...]:
    """Whether an evaluation keeps the limits.

    Args:
        gates: The limits.
        evaluation: What was found.
        coverage: The share that can be answered at a precision, where it was asked for.
        bound: Whether the bound of the interval counts.

    Raises:
        ConfigError: ``config.unknown_name``.
    """
    found = _scores(evaluation, coverage)
    return tuple(_passage(gate, found, evaluation, bound=bound) for gate in gates)


def _passage(gate: Gate, found: dict[str, Interval], evaluation: Evaluation, *, bound: bool) -> Passage:
    if gate.metric not in found:
        _refuse(gate.metric, found)
    higher, interval = True, found[gate.metric]
    if gate.metric in METRICS:
        higher = make_metric(gate.metric, labels=evaluation.labels).higher_is_better
    value = interval.estimate if not bound else (interval.low if higher else interval.high)
    passed = value >= gate.limit if higher else value <= gate.limit  # nan passes nothing
    return Passage(gate.metric, gate.limit, value if math.isfinite(value) else None, bound, bool(passed), higher)


def _scores(evaluation: Evaluation, coverage: Interval | None) -> dict[str, Interval]:
    """Everything that is reported, by name; what has no interval has one without end."""
    found = {**evaluation.metrics, **evaluation.calibration}
    nothing = Interval(math.nan, -math.inf, math.inf, 0.95, "none")
    found["answered"] = evaluation.answered or nothing
    for one in evaluation.classes:
        found[f"recall.{one.label}"], found[f"precision.{one.label}"] = one.recall, one.precision
        found[f"f1.{one.label}"] = Interval(one.f1, -math.inf, math.inf, 0.95, "none")
    return found if coverage is None else {**found, "coverage": coverage}


def _refuse(metric: str, known: Iterable[str]) -> None:
    raise ConfigError(
        "config.unknown_name",
        f"there is no score {metric!r}; {nearest(metric, known)}",
        cure="name one that evaluate reports",
    )
