"""The second round of a run: rows without answers, or a teacher, and the choice between the two rounds.

No row judges what learnt from it, not even by way of a pseudo-label: in a cross-validation the rows that a fold's
prompt learns from besides are answered by that fold's own first prompt, which has not seen the fold's rows; only the
prompt of all rows learns from the mean of all folds. The rows that choose between the rounds are held-out rows of the
training side; test rows are looked at afterwards, once, for what is saved.

Killed inside the second round, a run goes on there: it has checkpoints of its own, and the first round ends from its
last one with the same bits, so that the same rows are taken.

Knows prepared runs, lessons and evaluations; writes no files but checkpoints.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from softprompt.app.recipes.dividing import drawn
from softprompt.app.recipes.folder import SECOND
from softprompt.app.recipes.prepare import Prepared
from softprompt.app.watch import Watcher
from softprompt.core.errors import TrainingError
from softprompt.core.records import Example
from softprompt.core.tensors import PromptTensors
from softprompt.lab.coverage import choose_threshold, outcomes
from softprompt.lab.evaluation import Evaluation
from softprompt.lab.lessons import Lesson
from softprompt.lab.second import SecondRound, averaged, gain, mixed, softened, surest
from softprompt.lab.training.outcome import Event
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import Tuning
from softprompt.lab.tuning import tune as train
from softprompt.model.prediction import Ask, Prediction, Predictor

__all__ = ["FirstRound", "Hearing", "ensemble", "second_round"]

Shares = tuple[float, ...] | None


@dataclass(frozen=True)
class Hearing:
    """Who is told of a training.

    Attributes:
        folder: Of the run, for checkpoints.
        watcher: Of the stages.
        event: Told the stage and what happened.
        read: Told tokens read and tokens in all.
    """

    folder: Path
    watcher: Watcher
    event: Callable[[str, Event], None]
    read: Callable[[int, int], None]


@dataclass(frozen=True)
class FirstRound:
    """What the second round goes on from.

    Attributes:
        tuning: Of the first.
        lessons: As they were learnt; the last is the one that is saved.
        prompts: That answer unlabelled rows.
        labellers: By lesson, the places of the prompts whose mean labels its rows.
        proof: Answers to held-out rows by prompts like these: what confidences are worth.
        score: On the held-out rows, of what would be saved.
        split: What the held-out rows are called.
        num_folds: Of a cross-validation, 0 without.
    """

    tuning: Tuning
    lessons: Sequence[Lesson]
    prompts: Sequence[PromptTensors]
    labellers: Sequence[Sequence[int]]
    proof: Evaluation
    score: Evaluation
    split: str
    num_folds: int = 0


@dataclass(frozen=True)
class _Extra:
    """What one lesson learns from besides: rows at the places of the unlabelled ones, and shares of their answers."""

    rows: Sequence[Example | None]
    shares: Sequence[Shares]


def second_round(
    ready: Prepared,
    first: FirstRound,
    hearing: Hearing,
    *,
    settings: TrainingSettings,
    judge: Callable[[Tuning], Evaluation],
) -> tuple[SecondRound, Tuning]:
    """Train again with more to learn from, and say which of the two rounds is better.

    The second round learns at the rate of the first, from its own fresh starts.

    Args:
        ready: The run.
        first: The round before.
        hearing: Who is told of the training.
        settings: Of the training.
        judge: The held-out score of a round.

    Returns:
        What was done, and the tuning of the round that is kept; interrupted where Ctrl-C ended the second, so that
        the same run goes on there.
    """
    watcher = hearing.watcher
    found, extras = _taught(ready, first) if ready.taught else _pseudo_labelled(ready, first, watcher)
    left = _time_left(settings, first.tuning)
    if not extras:
        return found, first.tuning
    if left is not None and left <= 0:
        return replace(found, stopped="no time is left for it (training.max_time)"), first.tuning
    labelled = _labelled_shares(ready)
    lessons = [
        replace(lesson, train=[*lesson.train, *extra.rows], shares=[*labelled, *extra.shares])
        for lesson, extra in zip(first.lessons, extras, strict=True)
    ]
    changes = {"rate": first.tuning.learnt[-1].rate, "max_time": left}
    watcher.stage("second round")
    try:
        again = train(
            ready.backbone,
            lessons,
            method=ready.config.method,
            settings=settings.model_copy(update=changes),
            folder=hearing.folder / SECOND,
            on_event=hearing.event,
            on_read=hearing.read,
        )
    except TrainingError as error:
        if error.code != "training.diverged":
            raise
        return replace(found, stopped=error.message), first.tuning
    if again.interrupted:
        by_hand = any(outcome.stop == "interrupted" for one in again.learnt for outcome in one.outcomes)
        return replace(found, stopped="it was cut short"), replace(first.tuning, interrupted=by_hand)
    watcher.stage("judge the second round")
    score = judge(again)
    metric, difference, better = gain(first.score, score, num_folds=first.num_folds)
    found = replace(
        found,
        split=first.split,
        metric=metric,
        difference=difference,
        better=better,
        first=first.score.metrics[metric],
        second=score.metrics[metric],
    )
    return found, again if found.kept else first.tuning


def ensemble(ready: Prepared, prompts: Sequence[PromptTensors], rows: Sequence[Example]) -> list[Prediction]:
    """What several prompts say in the mean, over one reading of the rows."""
    said = _said(ready, prompts, rows)
    return [averaged(row, example, ready.task) for row, example in zip(said, rows, strict=True)]


def _said(ready: Prepared, prompts: Sequence[PromptTensors], rows: Sequence[Example]) -> list[tuple[Prediction, ...]]:
    asks = [Ask(ready.builder, tensors, ready.answers) for tensors in prompts]
    return list(Predictor(ready.backbone, asks).predict(rows))


def _time_left(settings: TrainingSettings, first: Tuning) -> float | None:
    return None if settings.max_time is None else settings.max_time - first.earlier - sum(first.seconds.values())


def _most(ready: Prepared) -> int:
    return round(ready.config.second.most * len(ready.splits["train"]))


def _pseudo_labelled(ready: Prepared, first: FirstRound, watcher: Watcher) -> tuple[SecondRound, list[_Extra]]:
    """The unlabelled rows that the first round is sure of; no extras where none can be had."""
    rows, second = ready.unlabelled, ready.config.second
    assert rows is not None
    choice = choose_threshold(*outcomes(first.proof), precision=second.precision)
    found = SecondRound("pseudo-labels", len(rows), ready.num_repeated, weight=second.weight, choice=choice)
    if choice.threshold is None:
        return found, []
    watcher.stage("answer the unlabelled rows")
    counts = ready.splits["train"].labels()
    shares = {name: count / sum(counts.values()) for name, count in counts.items()} or None
    said = _said(ready, first.prompts, rows)
    extras = []
    for places in first.labellers:
        mine = [averaged([row[k] for k in places], one, ready.task) for row, one in zip(said, rows, strict=True)]
        taken = set(surest(mine, threshold=choice.threshold, most=_most(ready), shares=shares))
        labelled = [
            replace(one, target=answer.text, weight=second.weight) if i in taken else None
            for i, (one, answer) in enumerate(zip(rows, mine, strict=True))
        ]
        extras.append(_Extra(labelled, [None] * len(rows)))
    last = [one for one in extras[-1].rows if one is not None]
    by_label = Counter(str(one.target) for one in last)
    named = {name: by_label[name] for name in counts} if counts else dict(by_label.most_common(5))
    return replace(found, taken=len(last), labels=named), extras if last else []


def _taught(ready: Prepared, first: FirstRound) -> tuple[SecondRound, list[_Extra]]:
    """The unlabelled rows with what the teacher says to them, for all lessons the same."""
    rows: Sequence[Example] = ready.unlabelled or ()
    teacher, second = ready.config.teacher, ready.config.second
    assert teacher is not None
    asked = {one.id for one in drawn(ready.config, ready.splits["train"], ready.unlabelled)}
    taken = {i for i, one in enumerate(rows) if one.id in asked}
    extra = _Extra(
        [replace(one, weight=second.weight) if i in taken else None for i, one in enumerate(rows)],
        [
            softened(ready.taught[one.question], teacher.temperature) if i in taken else None
            for i, one in enumerate(rows)
        ],
    )
    found = SecondRound(
        "teacher", len(rows), ready.num_repeated, len(taken), weight=second.weight, teacher=teacher.name
    )
    return found, [extra] * len(first.lessons)


def _labelled_shares(ready: Prepared) -> list[Shares]:
    """What the candidates of the labelled rows ought to get: a part of it is the teacher's, where there is one."""
    rows, teacher = ready.splits["train"], ready.config.teacher
    if teacher is None or not ready.taught:
        return [None] * len(rows)
    shares: list[Shares] = []
    for one in rows:
        right = ready.task.answer(one)
        assert isinstance(right, int), "a choice has one right candidate"
        shares.append(mixed(right, softened(ready.taught[one.question], teacher.temperature), teacher.share))
    return shares
