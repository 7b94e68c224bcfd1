"""A classifier of a task's candidates from features of its rows: of all labels, or one a label where several are right.

Knows features, tasks and rows; not where the features come from.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.baselines.logistic import Logistic, Matrix, fit_logistic
from softprompt.lab.comparison.baselines.one_vs_rest import OneVsRest, fit_one_vs_rest
from softprompt.model.prediction import candidate_names

__all__ = ["describe", "fit_classifier"]


def fit_classifier(
    features: dict[str, Matrix],
    train: Dataset,
    validation: tuple[dict[str, Matrix], Dataset] | None,
    task: Task,
    *,
    strengths: Sequence[float],
    offsets: Sequence[float],
    seed: int,
) -> tuple[Logistic | OneVsRest, Task]:
    """A classifier of the task's candidates, and the task with what is chosen on rows that were not learnt from.

    Args:
        features: Of the training rows, by variant.
        train: The training rows.
        validation: Features and rows that choose; None: cross-validation inside ``train``.
        task: What is asked.
        strengths: Values of C to choose from.
        offsets: Added to the logarithms of the labels' probabilities; labels that are told apart one by one have
            nothing to correct.
        seed: Of the folds.
    """
    if task.independent:
        wanted = None if validation is None else (validation[0], _shares(validation[1], task))
        found = fit_one_vs_rest(features, _shares(train, task), strengths=strengths, validation=wanted, seed=seed)
        judged = train if validation is None else validation[1]
        return found, task.settled(found.held_out.tolist(), judged.rows)
    right = None if validation is None else (validation[0], _targets(validation[1], task))
    classifier = fit_logistic(
        features,
        _targets(train, task),
        num_labels=len(candidate_names(task, train[0])),
        strengths=strengths,
        validation=right,
        seed=seed,
    )
    return classifier.corrected(offsets), task


def describe(classifier: Logistic | OneVsRest, offsets: Sequence[float]) -> str:
    """What was chosen, in words.

    >>> describe(Logistic("x", 0.1, 0.5, np.zeros((2, 1)), np.zeros(2)), [0.0, 0.7])
    "C = 0.1, corrected for the labels' shares as the prompt is"
    """
    corrected = ", corrected for the labels' shares as the prompt is" if len(offsets) else ""
    return f"C = {classifier.strength:g}{corrected if isinstance(classifier, Logistic) else ''}"


def _shares(dataset: Sequence[Example], task: Task) -> Float[np.ndarray, "n C"]:
    """What each candidate ought to get, by row."""
    return np.array([task.answer(example) for example in dataset], dtype=np.float64)


def _targets(dataset: Sequence[Example], task: Task) -> Int[np.ndarray, " n"]:
    """Index of the right candidate, of the one that ought to get most, by row."""
    answers = [task.answer(example) for example in dataset]
    return np.array([np.argmax(one) if isinstance(one, tuple) else one for one in answers], dtype=np.int64)
