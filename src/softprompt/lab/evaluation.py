"""What predictions are worth: scores with intervals, classes, calibration, and the outcome of every item.

An evaluation keeps its items, so that two of them can be compared on the same rows later, in another process, from
JSON.

Knows predictions and references; no models and no templates (see :mod:`softprompt.model.prediction`).
"""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float

from softprompt.core.cards import draw
from softprompt.core.cards.views import evaluation_card
from softprompt.core.cuts import Cuts, Fit
from softprompt.core.errors import DataError
from softprompt.core.frames import beside, to_frame
from softprompt.core.metrics import ClassScore, Metric, Score, items_of, make_metric, score
from softprompt.core.records import Example
from softprompt.core.stats import Interval, share_of
from softprompt.core.tasks import Task
from softprompt.model.prediction import Prediction, Predictor

if TYPE_CHECKING:
    import pandas

__all__ = ["CALIBRATION", "Evaluation", "Item", "as_text", "evaluate", "evaluate_asks"]

#: Metrics of probabilities that every evaluation with probabilities reports.
CALIBRATION = ("log_loss", "brier", "ece")

#: Metrics that need more than the answers, which are all that items keep.
_BEYOND_ANSWERS = ("perplexity", *CALIBRATION)

Answer = str | float | tuple[str, ...] | Mapping[str, Any]
Reference = Answer


@dataclass(frozen=True, slots=True)
class Item:
    """The outcome of one example.

    Attributes:
        id: Of the example.
        prediction: What was answered; None when withheld.
        reference: What is right; several texts where several are, all labels of a set, a number of a scale, an object.
        probability: Of the likeliest answer, also when it was withheld.
        correct: Whether the answer is right: equal labels, equal texts after normalisation, the same nearest anchor.
        group: Of the example; items of one group are not independent.
        reference_probability: Of the right answer; None where answers have no probabilities.
        cut: Tokens of the example that were not read.
        ends: Where these stood.
        windows: Readings whose scores were pooled.
    """

    id: str
    prediction: Answer | None
    reference: Reference
    probability: float | None
    correct: bool
    group: str | None = None
    reference_probability: float | None = None
    cut: int = 0
    ends: tuple[str, ...] = ()
    windows: int = 1


@dataclass(frozen=True)
class Evaluation:
    """How well something answers.

    Attributes:
        name: Of what was evaluated.
        metrics: The task's metrics with intervals; the first decides.
        items: By example, in the order of the data.
        classes: Recall and precision by label, or by field of an object; empty where there is neither.
        calibration: Log-loss, Brier score and calibration error; empty without probabilities.
        answered: Share right among the items that were answered; None where all were withheld.
        abstained: Items without an answer; in ``metrics`` they count as wrong.
        cut: Rows of which something did not fit.
        seconds: For all predictions; prompts that were asked together share one reading, and its time.
        labels: Of the task, where they are fixed.

    >>> rows = [Example({"text": t}, target=label, id=t) for t, label in (("a", "yes"), ("b", "no"))]
    >>> said = [Prediction(id, "yes", {"no": 0.2, "yes": 0.8}, 0.8) for id in "ab"]
    >>> found = evaluate(said, rows, Task.classify(["no", "yes"]), name="demo")
    >>> print(found)
    demo: macro_f1 0.333 [0.000, 1.000], accuracy 0.500 [0.095, 0.905], n = 2
    >>> Evaluation.from_dict(found.to_dict()) == found
    True
    """

    name: str
    metrics: Mapping[str, Interval]
    items: tuple[Item, ...]
    classes: tuple[ClassScore, ...] = ()
    calibration: Mapping[str, Interval] = field(default_factory=dict)
    answered: Interval | None = None
    abstained: int = 0
    cut: int = 0
    seconds: float = 0.0
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        scores = ", ".join(f"{name} {interval}" for name, interval in self.metrics.items())
        return f"{self.name}: {scores}, n = {len(self.items)}"

    @property
    def comparable(self) -> tuple[str, ...]:
        """The metrics that can be had again from the items, for a paired comparison."""
        return tuple(name for name in self.metrics if name not in _BEYOND_ANSWERS)

    @property
    def headline(self) -> Interval:
        """The score that decides."""
        return next(iter(self.metrics.values()))

    @property
    def cuts(self) -> Cuts:
        """What of the texts was lost."""
        return Cuts.of(Fit(item.cut, item.ends, item.windows) for item in self.items)

    def score(self, metric: str) -> Score:
        """A metric of answers again from the items, with what a paired comparison needs.

        Raises:
            DataError: ``data.not_probabilities`` for a metric that needs more than answers.
        """
        return score(self._metric(metric), *self._answers, groups=groups(self.items))

    def statistics(self, metric: str) -> Float[np.ndarray, "n d"]:
        """The ``items`` of :meth:`score` without its interval, which costs thousands of resamples.

        Raises:
            DataError: As :meth:`score`.
        """
        return items_of(self._metric(metric), *self._answers)

    def _metric(self, name: str) -> Metric:
        if name in _BEYOND_ANSWERS:
            message = f"{name} needs more than answers, and an evaluation keeps its answers only"
            raise DataError("data.not_probabilities", message, cure=f"choose from {', '.join(self.comparable)}")
        return make_metric(name, labels=self.labels)

    @property
    def _answers(self) -> tuple[list[Any], list[Any]]:
        """What was answered, and what is right."""
        return [item.prediction for item in self.items], [item.reference for item in self.items]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not finite becomes None."""
        return {
            "name": self.name,
            "metrics": {name: interval.as_dict() for name, interval in self.metrics.items()},
            "calibration": {name: interval.as_dict() for name, interval in self.calibration.items()},
            "answered": None if self.answered is None else self.answered.as_dict(),
            "abstained": self.abstained,
            "cut": self.cut,
            "lost": self.cuts.sentence,
            "seconds": self.seconds,
            "labels": list(self.labels),
            "classes": [
                {**asdict(one), "recall": one.recall.as_dict(), "precision": one.precision.as_dict()}
                for one in self.classes
            ],
            "items": [asdict(item) for item in self.items],
        }

    def to_frame(self, rows: "pandas.DataFrame | None" = None, *, errors: bool = False) -> "pandas.DataFrame":
        """The outcome of every item as a data frame.

        Args:
            rows: The frame that was judged: its index and its columns stand beside the outcomes.
            errors: Only items that were not answered rightly, the surest first: there labels are wrong most often.

        Raises:
            ExtraError: ``extra.missing`` without pandas.
            DataError: ``data.lengths_differ`` for another frame.
        """
        found = [asdict(item) for item in self.items]
        frame = to_frame(found) if rows is None else beside(rows, found)
        if not errors:
            return frame
        wrong = [place for place, item in enumerate(self.items) if not item.correct]
        return frame.iloc[sorted(wrong, key=lambda place: -(self.items[place].probability or 0.0))]

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return draw(evaluation_card(self.to_dict()))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(
            name=data["name"],
            metrics={name: interval_from(found) for name, found in data["metrics"].items()},
            items=tuple(
                Item(
                    **{
                        **item,
                        "prediction": None if item["prediction"] is None else _frozen(item["prediction"]),
                        "reference": _frozen(item["reference"]),
                        "ends": tuple(item.get("ends", ())),
                    }
                )
                for item in data["items"]
            ),
            classes=tuple(
                ClassScore(
                    **{**one, "recall": interval_from(one["recall"]), "precision": interval_from(one["precision"])}
                )
                for one in data["classes"]
            ),
            calibration={name: interval_from(found) for name, found in data["calibration"].items()},
            answered=None if data["answered"] is None else interval_from(data["answered"]),
            abstained=data["abstained"],
            cut=data["cut"],
            seconds=data["seconds"],
            labels=tuple(data["labels"]),
        )


def evaluate(
    predictions: Iterable[Prediction],
    dataset: Sequence[Example],
    task: Task,
    *,
    name: str = "",
    seconds: float | None = None,
    losses: Sequence[tuple[float, int]] | None = None,
    level: float = 0.95,
) -> Evaluation:
    """Judge predictions against the answers of the data.

    Args:
        predictions: One an example, in the same order.
        dataset: Labelled examples; where they name groups, intervals are those of whole groups.
        task: Which metrics, and what is right.
        name: Of what is judged.
        seconds: Of the predictions; None measures how long they take to come.
        losses: Negative log-likelihood and tokens of the right answers; ``perplexity`` needs them.
        level: Of the intervals.

    Raises:
        DataError: ``data.lengths_differ``, ``data.nothing_to_score``, ``data.no_target``, ``data.unknown_label``;
            ``data.not_probabilities`` for a metric that needs what the predictions do not have.
        ConfigError: ``config.unknown_name`` for a metric.
    """
    start = time.perf_counter()
    found = list(predictions)
    seconds = time.perf_counter() - start if seconds is None else seconds
    if len(found) != len(dataset):
        raise DataError("data.lengths_differ", f"{len(found)} predictions for {len(dataset)} examples")
    labels = task.names if task.fixed_candidates else ()
    items = tuple(_item(one, example, task) for one, example in zip(found, dataset, strict=True))
    sources: dict[str, Sequence[Any]] = {"perplexity": losses or [None] * len(items)}
    sources |= {metric: [one.probabilities for one in found] for metric in CALIBRATION}
    answers = [item.prediction for item in items]
    references = [item.reference for item in items]

    def scored(metric: str) -> Interval:
        said = sources.get(metric, answers)
        return score(make_metric(metric, labels=labels), said, references, level=level, groups=groups(items)).interval

    given = [item for item in items if item.prediction is not None]
    probabilistic = bool(found) and all(one.probabilities is not None for one in found)
    return Evaluation(
        name=name,
        metrics={metric: scored(metric) for metric in getattr(task, "metrics", ())},
        items=items,
        classes=task.report(answers, references, level=level, groups=groups(items)),
        calibration={metric: scored(metric) for metric in CALIBRATION} if probabilistic and task.one_right else {},
        answered=share_of([item.correct for item in given], groups=groups(given), level=level) if given else None,
        abstained=len(items) - len(given),
        cut=sum(one.cut > 0 for one in found),
        seconds=seconds,
        labels=labels,
    )


def evaluate_asks(
    predictor: Predictor, dataset: Sequence[Example], *others: Sequence[Example], level: float = 0.95
) -> tuple[Evaluation, ...]:
    """Ask all prompts of a predictor about the data over one reading, and judge each.

    Args:
        predictor: Its asks give the tasks.
        dataset: Labelled examples: for all asks, or for the first of them.
        others: The same texts with the answers of the further asks, where the asks' answers stand in several columns.
        level: Of the intervals.

    Raises:
        DataError, ConfigError: as :func:`evaluate`; ``data.lengths_differ`` when the data sets are not one an ask, or
            not of the same texts.
    """
    asks = predictor.asks
    datasets = (dataset, *others) if others else (dataset,) * len(asks)
    texts = [[example.content for example in rows] for rows in (dataset, *others)]
    if len(datasets) != len(asks) or any(found != texts[0] for found in texts):
        sizes = ", ".join(str(len(rows)) for rows in datasets)
        message = f"{len(datasets)} data sets for {len(asks)} prompts, of {sizes} rows"
        cure = "give one set, or one a prompt with the same texts in order"
        raise DataError("data.lengths_differ", message, cure=cure)
    start = time.perf_counter()
    rows = list(predictor.predict(dataset))
    seconds = time.perf_counter() - start
    result = []
    for k, (ask, labelled) in enumerate(zip(asks, datasets, strict=True)):
        wanted = "perplexity" in getattr(ask.task, "metrics", ())
        losses = [row[0] for row in predictor.only(k).losses(labelled)] if wanted else None
        said = [row[k] for row in rows]
        result.append(evaluate(said, labelled, ask.task, name=ask.name, seconds=seconds, losses=losses, level=level))
    return tuple(result)


def groups(items: Sequence[Item]) -> list[tuple[str, str]] | None:
    """The cluster of each item; None where no item names one."""
    if all(item.group is None for item in items):
        return None
    return [("alone", str(i)) if item.group is None else ("group", item.group) for i, item in enumerate(items)]


def require_same_rows(one: Evaluation, other: Evaluation) -> None:
    """Refuse to compare what was judged on different rows: other ids, other right answers, or another order.

    Raises:
        DataError: ``data.lengths_differ``.
    """
    if [(item.id, item.reference) for item in one.items] != [(item.id, item.reference) for item in other.items]:
        names = f"{one.name!r} ({len(one.items)} rows) and {other.name!r} ({len(other.items)} rows)"
        message, cure = f"{names} were judged on different rows", "judge both on the same test rows"
        raise DataError("data.lengths_differ", message, cure=cure)


def interval_from(data: Mapping[str, Any]) -> Interval:
    """Inverse of :meth:`Interval.as_dict`.

    >>> interval_from(share_of([True, False]).as_dict()) == share_of([True, False])
    True
    """

    def number(key: str, otherwise: float) -> float:
        return otherwise if data[key] is None else data[key]

    low, high = number("low", -math.inf), number("high", math.inf)
    return Interval(number("estimate", math.nan), low, high, data["level"], data["method"])


def as_text(answer: Answer) -> str:
    """An answer or a reference in one line.

    >>> as_text("late"), as_text(("late", "angry")), as_text(()), as_text(3.25)
    ('late', 'late | angry', '(none)', '3.25')
    """
    if isinstance(answer, Mapping):
        return json.dumps(dict(answer), ensure_ascii=False)
    if isinstance(answer, tuple):
        return " | ".join(answer) or "(none)"
    return f"{answer:.3g}" if isinstance(answer, float) else str(answer)


def _item(prediction: Prediction, example: Example, task: Task) -> Item:
    reference = _frozen(task.reference(example))
    answer = prediction.answer
    correct = task.right(answer, reference)
    probabilities = prediction.probabilities
    probability = None if probabilities is None else prediction.confidence
    right = None if probabilities is None else probabilities.get(str(reference))
    lost = (prediction.cut, prediction.ends, prediction.windows)
    return Item(example.id, answer, reference, probability, correct, example.group, right, *lost)


def _frozen(reference: Any) -> Any:
    return tuple(reference) if isinstance(reference, (list, tuple)) else reference
