"""The majority baseline: always the most frequent answer of the training rows.

What a score is worth begins here: labels that are uneven make a high share of right answers cheap. Knows tasks and
rows; no text is read.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.contenders import Fitted, label_predictions
from softprompt.model.prediction import Prediction, candidate_names

__all__ = ["Majority"]


@dataclass(frozen=True)
class Majority:
    """Always the most frequent answer of the training rows, with their shares as probabilities.

    *choose*: the most frequent place among the candidates; *generate*: the most frequent reference; *multilabel*: the
    labels' shares, and the labels that are best given to every row; *score*: the median.

    >>> rows = Dataset(tuple(Example({"text": "hi"}, target=label) for label in ("no", "no", "yes")))
    >>> fitted = Majority().fit(rows, None, Task.classify(["yes", "no"]))
    >>> [(one.text, round(one.confidence, 2)) for one in fitted.predict(rows[:1])]
    [('no', 0.67)]
    """

    name: str = "majority"

    def supports(self, task: Task) -> bool:
        return True

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        answers = [task.answer(example) for example in train]
        counted = [answer for answer in answers if not isinstance(answer, tuple)]
        if counted:
            return _FittedMajority(task, Counter(counted))
        usual = task.usual(train.rows)
        return _FittedUsual(task.settled([usual] * len(train), train.rows), usual)


@dataclass(frozen=True)
class _FittedMajority:
    task: Task
    counts: Counter[int | str]
    num_trained: int = 0
    num_bytes: int = 0
    note: str = ""

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        return [self._one(example) for example in examples]

    def _one(self, example: Example) -> Prediction:
        names = candidate_names(self.task, example)
        if not names:
            text, count = self.counts.most_common(1)[0]
            return Prediction(example.id, str(text), None, count / self.counts.total())
        counts = np.array([self.counts[i] for i in range(len(names))], dtype=np.float64)
        p = (counts / counts.sum() if counts.sum() else np.full(len(names), 1 / len(names))).tolist()
        return Prediction(example.id, self.task.decode(p, example), dict(zip(names, p, strict=True)), max(p))


@dataclass(frozen=True)
class _FittedUsual:
    """The same probabilities for every row."""

    task: Task
    probabilities: tuple[float, ...]
    num_trained: int = 0
    num_bytes: int = 0

    @property
    def note(self) -> str:
        said = self.task.decode(self.probabilities, Example({}))
        return f"always {', '.join(said) if isinstance(said, tuple) else f'{said:g}'}"

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        return label_predictions(np.array([self.probabilities] * len(examples)), examples, self.task)
