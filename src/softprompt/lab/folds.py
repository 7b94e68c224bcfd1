"""A cross-validation as one training: a prompt a fold beside the prompt of all rows, over one reading of the texts.

A row is left out of a fold by a mask a prompt (None at its place), so all folds meet the same batches, and no text is
read twice. One fold probes the learning rate for all. No look stops or chooses anything (``keep: last``): the rows of a
fold judge its prompt once, after it is finished, and so the score of all rows together, each by a prompt that has not
seen it, is an honest one.

Knows lessons, predictions and contenders; no settings and no files.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from softprompt.core.metrics import make_metric
from softprompt.core.records import Example
from softprompt.core.stats import widened
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.splits import Fold
from softprompt.lab.comparison.contenders import Contender, Standing
from softprompt.lab.evaluation import Evaluation, evaluate
from softprompt.lab.lessons import Lesson
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Prediction, Predictor

__all__ = ["contend_out_of_fold", "judge_out_of_fold", "lessons_of", "out_of_fold"]


def lessons_of(whole: Lesson, parts: Sequence[Fold], *, seed: int) -> list[Lesson]:
    """A lesson a fold, then the one of all rows, for ``tune(..., settings=... keep="last")``.

    Args:
        whole: With all rows under ``train``; its own validation rows are not looked at.
        parts: Of the rows.
        seed: Of the prompt of all rows; the folds have the seeds of the settings.
    """
    rows = whole.train
    lessons = []
    for n, fold in enumerate(parts):
        held = set(fold.held_out)
        lessons.append(
            replace(
                whole,
                name=f"{whole.name}, fold {n + 1}",
                train=[None if i in held else row for i, row in enumerate(rows)],
                validation=[row if i in held else None for i, row in enumerate(rows)],
                rate_from=None if n == 0 else 0,
            )
        )
    return [*lessons, replace(whole, validation=[None] * len(rows), seeds=(seed,), rate_from=0)]


def out_of_fold(
    backbone: Backbone, asks: Sequence[Sequence[Ask]], parts: Sequence[Fold], rows: Sequence[Example]
) -> tuple[list[Prediction], ...]:
    """Every row answered by the prompts that have not seen it.

    Args:
        backbone: The frozen model.
        asks: By fold, the same number for each (its seeds).
        parts: Folds of ``rows``.
        rows: All of them.

    Returns:
        By seed, one prediction a row in their order.
    """
    said: list[dict[int, Prediction]] = [{} for _ in asks[0]]
    for fold, mine in zip(parts, asks, strict=True):
        answers = Predictor(backbone, mine).predict([rows[i] for i in fold.held_out])
        for i, answered in zip(fold.held_out, answers, strict=True):
            for found, answer in zip(said, answered, strict=True):
                found[i] = answer
    return tuple([found[i] for i in range(len(rows))] for found in said)


def judge_out_of_fold(
    predictions: Sequence[Prediction],
    rows: Sequence[Example],
    task: Task,
    *,
    num_folds: int,
    name: str,
    seconds: float | None = None,
) -> Evaluation:
    """Judge out-of-fold predictions: as others, with intervals as wide as the folds' common rows ask for.

    Args:
        predictions: One a row.
        rows: With their answers.
        task: What is asked.
        num_folds: Of the cross-validation.
        name: Of what is judged.
        seconds: Of the predictions.
    """
    found = evaluate(predictions, rows, task, name=name, seconds=seconds)
    bounds = {metric: make_metric(metric, labels=found.labels).bounds for metric in found.metrics}
    metrics = {
        metric: widened(interval, num_folds=num_folds, bounds=bounds[metric])
        for metric, interval in found.metrics.items()
    }
    return replace(found, metrics=metrics)


def contend_out_of_fold(
    contenders: Iterable[Contender],
    task: Task,
    *,
    rows: Dataset,
    parts: Sequence[Fold],
    seed: int = 0,
    on_standing: Callable[[Standing], None] = lambda standing: None,
) -> tuple[Standing, ...]:
    """Fit every contender that can do the task once a fold, and judge it on the rows that it has not seen.

    Args:
        contenders: In the order of the table.
        task: What is asked.
        rows: All rows.
        parts: Their folds.
        seed: Of every random choice.
        on_standing: Told each line as soon as it stands; times are sums over the folds, sizes those of the largest.
    """
    standings = []
    for contender in contenders:
        if not contender.supports(task):
            continue
        said: dict[int, Prediction] = {}
        learning, answering, fitted = 0.0, 0.0, []
        for fold in parts:
            start = time.perf_counter()
            fitted.append(contender.fit(rows.select(fold.train), None, task, seed=seed))
            middle = time.perf_counter()
            said |= zip(fold.held_out, fitted[-1].predict([rows[i] for i in fold.held_out]), strict=True)
            learning, answering = learning + middle - start, answering + time.perf_counter() - middle
        predictions = [said[i] for i in range(len(rows))]
        evaluation = judge_out_of_fold(
            predictions, rows, task, num_folds=len(parts), name=contender.name, seconds=answering
        )
        largest = max(fitted, key=lambda one: one.num_bytes)
        standings.append(Standing(evaluation, learning, largest.num_trained, largest.num_bytes, largest.note))
        on_standing(standings[-1])
    return tuple(standings)
