"""One protocol for everything that competes on a data set, and the run that judges it.

Knows no particular contender: what fits on training rows and predicts test rows can take part.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from jaxtyping import Float

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.evaluation import Evaluation, evaluate
from softprompt.model.prediction import Prediction, candidate_names

__all__ = ["Contender", "Fitted", "Standing", "contend", "judge", "label_predictions"]


class Fitted(Protocol):
    """Something that answers.

    It may tell more, where it knows what nobody else can measure: ``num_tokens(example)`` that a model reads for a
    request; or ``tokens`` (read and written for one request, the mean), ``latency_ms`` and ``usd`` of what was asked.
    """

    @property
    def num_trained(self) -> int:
        """Learnt numbers."""
        ...

    @property
    def num_bytes(self) -> int:
        """Bytes of what was learnt and has to be kept beside the model; 0 for a text prompt."""
        ...

    @property
    def note(self) -> str:
        """What was chosen on the way, for people."""
        ...

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction an example, in order; labels are not looked at."""
        ...


class Contender(Protocol):
    """Something that can be fitted: sees training and validation rows, never the test rows.

    Attributes:
        name: For people.
    """

    @property
    def name(self) -> str: ...

    def supports(self, task: Task) -> bool:
        """Whether it can do the task at all."""
        ...

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Learn from the training rows; the validation rows choose between variants.

        Args:
            train: Labelled rows.
            validation: Further labelled rows; None: variants are chosen inside ``train``.
            task: What is asked.
            seed: Of every random choice.
        """
        ...


@dataclass(frozen=True)
class Standing:
    """A line of the table.

    Attributes:
        evaluation: On the test rows; its name is the contender's.
        fit_seconds: Time to learn.
        num_trained: Learnt numbers.
        num_bytes: Bytes kept beside the model.
        note: What was chosen on the way.
    """

    evaluation: Evaluation
    fit_seconds: float
    num_trained: int
    num_bytes: int
    note: str = ""

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.evaluation.name

    @property
    def predict_seconds(self) -> float:
        """Time for all test rows."""
        return self.evaluation.seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "fit_seconds": self.fit_seconds,
            "predict_seconds": self.predict_seconds,
            "num_trained": self.num_trained,
            "num_bytes": self.num_bytes,
            "note": self.note,
            "evaluation": self.evaluation.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        own = {name: data[name] for name in ("fit_seconds", "num_trained", "num_bytes", "note")}
        return cls(Evaluation.from_dict(data["evaluation"]), **own)


def contend(
    contenders: Iterable[Contender],
    task: Task,
    *,
    train: Dataset,
    test: Dataset,
    validation: Dataset | None = None,
    seed: int = 0,
    on_standing: Callable[[Standing], None] = lambda standing: None,
) -> tuple[Standing, ...]:
    """Fit every contender that can do the task, and judge it on the test rows.

    Args:
        contenders: In the order of the table.
        task: What is asked.
        train: All that may be learnt from.
        test: Only judged on.
        validation: Chooses between variants; never the headline.
        seed: Of every random choice.
        on_standing: Told each line as soon as it stands.
    """
    standings = []
    for contender in contenders:
        if contender.supports(task):
            start = time.perf_counter()
            fitted = contender.fit(train, validation, task, seed=seed)
            standing = judge(contender.name, fitted, task, test=test, fit_seconds=time.perf_counter() - start)
            standings.append(standing)
            on_standing(standing)
    return tuple(standings)


def judge(name: str, fitted: Fitted, task: Task, *, test: Sequence[Example], fit_seconds: float) -> Standing:
    """The line of something that is fitted already, a tuned prompt for instance."""
    start = time.perf_counter()
    predictions = fitted.predict(test)
    seconds = time.perf_counter() - start
    evaluation = evaluate(predictions, test, task, name=name, seconds=seconds)
    return Standing(evaluation, fit_seconds, fitted.num_trained, fitted.num_bytes, fitted.note)


def label_predictions(
    probabilities: Float[np.ndarray, "n C"], examples: Sequence[Example], task: Task
) -> list[Prediction]:
    """Predictions of a task with fixed labels from their probabilities, columns in the task's order."""
    return [
        Prediction(
            example.id,
            task.decode(row, example),
            dict(zip(candidate_names(task, example), row, strict=True)),
            task.confidence(row),
        )
        for row, example in zip(probabilities.tolist(), examples, strict=True)
    ]
