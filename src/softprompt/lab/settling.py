"""What a task leaves to be chosen on rows that were not learnt from, thresholds for instance, chosen without flattery.

What is kept is chosen on all of these rows. A score on the same rows would be too good, so where no others are left the
rows are divided: for those of each part it is chosen on the other parts.

Knows predictions with probabilities; nothing of how they were made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.splits import Fold, folds, num_units
from softprompt.model.prediction import Prediction

__all__ = ["decided", "decided_apart", "parts_of", "settled"]

#: Parts that rows are divided into where they are judged themselves.
NUM_PARTS = 5


def settled(task: Task, said: Sequence[Prediction], rows: Sequence[Example]) -> Task:
    """The task with what is best on these rows; itself where nothing is left to be chosen.

    >>> task = Task.multilabel(["late", "angry"])
    >>> rows = [Example({}, target=held) for held in [("late",), ("late", "angry"), ()]]
    >>> said = [Prediction("", (), {"late": p, "angry": q}, 0.5) for p, q in [(0.4, 0.1), (0.3, 0.2), (0.1, 0.0)]]
    >>> [round(bar, 2) for bar in settled(task, said, rows).thresholds]
    [0.15, 0.15]
    """
    if not task.settles:
        return task
    return task.settled([list((one.probabilities or {}).values()) for one in said], rows)


def decided(said: Iterable[Prediction], rows: Iterable[Example], task: Task) -> list[Prediction]:
    """The predictions that a task makes of the same probabilities."""
    return [_decided(one, row, task) for one, row in zip(said, rows, strict=True)]


def decided_apart(task: Task, said: Sequence[Prediction], rows: Dataset, parts: Sequence[Fold]) -> list[Prediction]:
    """The predictions with what is left to be chosen for each part chosen on the others.

    Args:
        task: What is asked.
        said: One prediction a row, by prompts that have not learnt it.
        rows: With their answers.
        parts: Of the rows.
    """
    if not task.settles:
        return list(said)
    found = list(said)
    for part in parts:
        mine = settled(task, [said[i] for i in part.train], [rows[i] for i in part.train])
        for i in part.held_out:
            found[i] = _decided(said[i], rows[i], mine)
    return found


def parts_of(rows: Dataset) -> tuple[Fold, ...]:
    """Parts of rows that are judged by what is chosen on them; one alone is judged by itself."""
    number = min(NUM_PARTS, num_units(rows))
    everything = tuple(range(len(rows)))
    return folds(rows, k=number) if number > 1 else (Fold(everything, everything),)


def _decided(one: Prediction, row: Example, task: Task) -> Prediction:
    p = list((one.probabilities or {}).values())
    return replace(one, text=task.decode(p, row), confidence=task.confidence(p))
