"""A second round of training: what it learns from beside the labelled answers, and whether it was worth it.

* **Pseudo-labels**: unlabelled rows get the answer of the first round's prompts where these are sure enough. How sure
  is proved, not guessed: the threshold is the one from which on answers to rows that were not learnt from reach a
  precision (:mod:`softprompt.lab.coverage`). Of each label no more rows are taken than its share of the labelled rows,
  the surest first, so that a label that is easily said does not take over.
* **A teacher**: another model's probabilities of the answers, softened by a temperature, are what the candidates ought
  to get; on labelled rows mixed with the right answer.

Sources: Lee, Pseudo-Label, ICML workshop 2013; Zou et al., ECCV 2018 (class-balanced self-training); Hinton, Vinyals,
Dean, arXiv:1503.02531 (distillation; targets at a temperature).

Knows predictions and evaluations; no models, no training and no files.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import Field

from softprompt.core.config import Settings
from softprompt.core.metrics import compare, make_metric
from softprompt.core.records import Example
from softprompt.core.stats import Interval, widened
from softprompt.core.tasks import Task
from softprompt.core.words import counted
from softprompt.lab.coverage import Choice, share
from softprompt.lab.evaluation import Evaluation, groups
from softprompt.model.prediction import Prediction

__all__ = ["SecondRound", "SecondSettings", "TeacherSettings", "averaged", "gain", "mixed", "softened", "surest"]


class SecondSettings(Settings):
    """The second round, with ``data.unlabelled`` or a teacher."""

    precision: float = Field(
        0.8, gt=0, lt=1, description="pseudo-labels are taken where they are proved to be right this often"
    )
    weight: float = Field(0.5, gt=0, le=1, description="of an unlabelled row in the loss; a labelled one weighs 1")
    most: float = Field(4.0, gt=0, description="unlabelled rows at most, for each labelled one")


class TeacherSettings(Settings):
    """Another model whose probabilities of the answers are learnt from."""

    name: str = Field(description="embedded, a folder, a hub id, or a saved prompt with its model")
    temperature: float = Field(2.0, gt=0, le=100, description="softens the probabilities: p^(1/T), normalised")
    share: float = Field(
        0.5, ge=0, le=1, description="of the teacher in what a labelled row asks; the rest is its answer"
    )


def averaged(row: Sequence[Prediction], example: Example, task: Task) -> Prediction:
    """One prediction from those of several prompts: their mean probabilities.

    >>> said = [Prediction("", "no", {"no": 0.6, "yes": 0.4}, 0.6), Prediction("", "yes", {"no": 0.1, "yes": 0.9}, 0.9)]
    >>> averaged(said, Example({}), Task.classify(["no", "yes"])).text
    'yes'
    """
    p = np.mean([list((one.probabilities or {}).values()) for one in row], axis=0).tolist()
    named = dict(zip(row[0].probabilities or {}, p, strict=True))
    return Prediction(row[0].id, task.decode(p, example), named, task.confidence(p))


def surest(
    said: Sequence[Prediction], *, threshold: float, most: int, shares: Mapping[str, float] | None = None
) -> list[int]:
    """Places of the predictions that are taken for right, in order.

    Args:
        said: Of unlabelled rows.
        threshold: Least confidence.
        most: Rows at most.
        shares: Of each label among the labelled rows; None: no label is held back.

    >>> said = [Prediction("", "a", None, p) for p in (0.9, 0.8, 0.95, 0.5)] + [Prediction("", "b", None, 0.85)]
    >>> surest(said, threshold=0.7, most=10), surest(said, threshold=0.7, most=10, shares={"a": 0.5, "b": 0.5})
    ([0, 1, 2, 4], [0, 2, 4])
    """
    sure = sorted((i for i, one in enumerate(said) if one.confidence >= threshold), key=lambda i: -said[i].confidence)
    if shares is None:
        return sorted(sure[:most])
    total, taken = min(len(sure), most), Counter[str]()
    found = []
    for i in sure:
        if taken[said[i].text] < math.ceil(shares.get(said[i].text, 0.0) * total):
            taken[said[i].text] += 1
            found.append(i)
    return sorted(found[:most])


def softened(probabilities: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Probabilities at a temperature: p^(1/T), normalised.

    >>> [round(p, 3) for p in softened([0.9, 0.1], 2.0)]
    [0.75, 0.25]
    """
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-12)) / temperature
    return tuple(np.exp(logs - np.logaddexp.reduce(logs)).tolist())


def mixed(right: int, taught: Sequence[float], share: float) -> tuple[float, ...]:
    """What each candidate of a labelled row ought to get: ``share`` of it from the teacher, the rest is the answer's.

    >>> mixed(0, [0.5, 0.5], 0.5)
    (0.75, 0.25)
    """
    return tuple(share * p + (1 - share) * (k == right) for k, p in enumerate(taught))


def gain(first: Evaluation, second: Evaluation, *, num_folds: int = 0) -> tuple[str, Interval, bool]:
    """The metric that decides, what the second round adds to it on the same rows, and whether it is better.

    Args:
        first: Of the first round.
        second: Of the second, on the same rows.
        num_folds: Of a cross-validation, whose prompts share rows: the interval is wider then.

    Raises:
        DataError: ``data.lengths_differ``.
    """
    name = first.comparable[0]
    metric = make_metric(name, labels=first.labels)
    found = compare(metric, second.score(name), first.score(name), groups=groups(first.items))
    if num_folds:
        low, high = metric.bounds
        found = widened(found, num_folds=num_folds, bounds=(low - high, high - low))
    return name, found, found.estimate > 0 if metric.higher_is_better else found.estimate < 0


@dataclass(frozen=True)
class SecondRound:
    """What a second round was made of, and what came of it.

    Attributes:
        source: Who answered the rows beside the labelled ones.
        unlabelled: Rows that came without an answer.
        repeated: More of them that repeat a labelled text, which were dropped.
        taken: How many were learnt from, by the prompt of all rows.
        labels: The same by label.
        weight: Of each.
        choice: The threshold of pseudo-labels; None for a teacher.
        teacher: Its name.
        split: Rows that judged: ``out of fold`` or ``validation``.
        metric: Of the difference.
        difference: Second less first round, on the same rows; None where there was no second round.
        better: Whether the difference is one for the better.
        first: Score of the first round.
        second: Score of the second.
        stopped: Why a second round that was begun gave nothing to judge.
    """

    source: Literal["pseudo-labels", "teacher"]
    unlabelled: int
    repeated: int
    taken: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    weight: float = 1.0
    choice: Choice | None = None
    teacher: str = ""
    split: str = ""
    metric: str = ""
    difference: Interval | None = None
    better: bool = False
    first: Interval | None = None
    second: Interval | None = None
    stopped: str = ""

    @property
    def kept(self) -> bool:
        """Whether the second round is what is saved: where its score is better; the first otherwise."""
        return self.difference is not None and self.better

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was done and what came of it, in words."""
        verbs = "repeats a labelled text and was" if self.repeated == 1 else "repeat a labelled text and were"
        said = [f"{counted(self.repeated, 'unlabelled row')} {verbs} left out"] if self.repeated else []
        said += [self._made_of]
        if self.stopped:
            said.append(f"second round: {self.stopped}; the first is saved")
        if self.difference is not None:
            judged = f"second round: {self.metric} {_signed(self.difference)} against the first, {self.split}"
            shown = self.difference.low > 0 or self.difference.high < 0
            if self.better:
                said.append(f"{judged}: the second is saved" + ("" if shown else ", though 0 lies in the interval"))
            else:
                said.append(f"{judged}: {'it hurt' if shown else 'it is no better'}, the first is saved")
        return tuple(said)

    @property
    def _made_of(self) -> str:
        rows = f"{self.taken:,} of {self.unlabelled:,} unlabelled rows"
        if self.source == "teacher":
            more = f" and of {rows}, of weight {self.weight:g}" if self.unlabelled else ""
            return f"learnt from the probabilities of {self.teacher} for the labelled rows{more}"
        assert self.choice is not None
        if self.choice.threshold is None:
            return f"no second round: {self.choice.reason}"
        sure = (
            f"confidence {self.choice.threshold:.3g} and more, right in {share(self.choice.precision)} or more by"
            f" {self.choice.rows:,} rows that were not learnt from"
        )
        if not self.taken:
            return f"no second round: none of {self.unlabelled:,} unlabelled rows is sure enough ({sure})"
        named = ", ".join(f"{name} {count:,}" for name, count in self.labels.items())
        return f"{rows} taken at the first round's word ({sure}): {named}; each weighs {self.weight:g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        choice = self.choice
        return {
            "source": self.source,
            "teacher": self.teacher,
            "unlabelled": self.unlabelled,
            "repeated": self.repeated,
            "taken": self.taken,
            "labels": dict(self.labels),
            "weight": self.weight,
            "threshold": None if choice is None else choice.threshold,
            "precision": None if choice is None else choice.precision,
            "split": self.split,
            "metric": self.metric,
            "first": None if self.first is None else self.first.as_dict(),
            "second": None if self.second is None else self.second.as_dict(),
            "difference": None if self.difference is None else self.difference.as_dict(),
            "stopped": self.stopped,
            "kept": self.kept,
            "sentences": list(self.sentences),
        }


def _signed(found: Interval) -> str:
    return f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
