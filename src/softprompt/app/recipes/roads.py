"""The two ways to train and judge: with validation rows or, where labelled rows are few, with folds of all of them.

With folds every training row is judged by a prompt that has not seen it, so no row is lost for choosing, and what is
saved learns from all of them. Both ways give the same kind of finding.

Knows prepared runs, lessons and evaluations; writes no files.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from softprompt.app.recipes.prepare import Prepared
from softprompt.app.recipes.second import FirstRound, Hearing, ensemble, second_round
from softprompt.app.watch import Watcher
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.tensors import PromptTensors
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import Contender, Standing, contend
from softprompt.lab.evaluation import Evaluation, evaluate, evaluate_asks
from softprompt.lab.folds import contend_out_of_fold, judge_out_of_fold, lessons_of, out_of_fold
from softprompt.lab.lessons import Lesson
from softprompt.lab.second import SecondRound
from softprompt.lab.settling import decided_apart, parts_of, settled
from softprompt.lab.training.outcome import Outcome
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import Learnt, Tuning
from softprompt.lab.tuning import tune as train
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.prompts.prompt import Prompt

__all__ = [
    "HELD_OUT",
    "OUT_OF_FOLD",
    "Crossed",
    "Finding",
    "Hearing",
    "judge_baselines",
    "judged_with_validation",
    "lesson_of",
    "with_folds",
    "with_validation",
]

#: What scores of training rows by prompts that have not seen them are called.
OUT_OF_FOLD = "out of fold"

#: And those of one fold, where a run was cut short before it had more.
HELD_OUT = "held out"


@dataclass(frozen=True)
class Crossed:
    """A cross-validation: every training row judged by a prompt that has not seen it.

    Attributes:
        evaluations: By seed.
        said: Predictions of the first seed.
        by_fold: Score of each fold's prompt on its own rows, first seed.
    """

    evaluations: tuple[Evaluation, ...]
    said: Sequence[Prediction]
    by_fold: tuple[float, ...]


@dataclass(frozen=True)
class Finding:
    """What a training gave, and what it is worth.

    Attributes:
        tuning: Rates, curves, times.
        learnt: Of the lesson that is saved.
        split: Which rows the evaluations are of: ``test``, ``validation`` or ``out of fold``.
        evaluation: Of what is saved, or its estimate.
        seeds: The same by seed.
        saved: What is saved, in words.
        task: What is asked, with what was chosen on rows that were not learnt from.
        outcomes: For the curves, by name.
        crossed: The cross-validation; None without folds.
        second: What came of a second round of training; None without one.
    """

    tuning: Tuning
    learnt: Learnt
    split: str
    evaluation: Evaluation
    seeds: dict[int, Evaluation]
    saved: str
    task: Task
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    crossed: Crossed | None = None
    second: SecondRound | None = None


def with_validation(ready: Prepared, hearing: Hearing, saved: Prompt | None) -> Finding:
    """Train the seeds, choose one on the validation rows, and judge all on the test rows (or, without, on those again).

    With folds asked for beside validation rows, a cross-validation at the rate that was found follows.
    """
    lesson = lesson_of(ready, saved, validation=ready.splits["validation"].rows)
    found = train(
        ready.backbone,
        [lesson],
        method=ready.config.method,
        settings=ready.config.training,
        folder=hearing.folder,
        on_event=hearing.event,
        on_read=hearing.read,
    )
    found, second = _again_with_validation(ready, hearing, lesson, found)
    hearing.watcher.stage("judge")
    finding = judged_with_validation(ready, found, second)
    if not ready.folds:
        return finding
    learnt = finding.learnt
    hearing.watcher.stage(f"cross-validate in {len(ready.folds)} folds")
    settings = ready.config.training.model_copy(update={"rate": learnt.rate, "seeds": (learnt.seeds[learnt.chosen],)})
    rows = ready.splits["validation"].rows
    parts = lessons_of(lesson, ready.folds, seed=learnt.seeds[learnt.chosen])[:-1]
    lessons = [replace(one, validation=rows, rate_from=None) for one in parts]
    crossed = train(ready.backbone, lessons, method=ready.config.method, settings=settings)
    return replace(finding, crossed=_out_of_fold(ready, crossed.learnt))


def judged_with_validation(ready: Prepared, found: Tuning, second: SecondRound | None = None) -> Finding:
    """What the first lesson of a training on validation rows is worth, on the test rows or, without, on those again."""
    learnt = found.learnt[0]
    split = "test" if "test" in ready.splits else "validation"
    judged = _settled_and_judged(ready, [outcome.tensors for outcome in learnt.outcomes], split)
    evaluations = [evaluation for evaluation, _ in judged]
    return Finding(
        found,
        learnt,
        split,
        evaluations[learnt.chosen],
        dict(zip(learnt.seeds, evaluations, strict=True)),
        f"{_kept(learnt.seeds, learnt.chosen)}; its own {split} score is the one above",
        judged[learnt.chosen][1],
        outcomes={f"seed {s}": o for s, o in zip(learnt.seeds, learnt.outcomes, strict=True)},
        second=second,
    )


def _kept(seeds: Sequence[int], chosen: int) -> str:
    """Which prompt was kept; the probe of the rate trains with a seed below 0, which nobody asked for.

    >>> _kept((0, 1, 2), 1), _kept((-1,), 0)
    ('seed 1, best of 3 on the validation rows', 'the best prompt of the rate probe')
    """
    if seeds[chosen] < 0:
        return "the best prompt of the rate probe"
    return f"seed {seeds[chosen]}" + (f", best of {len(seeds)} on the validation rows" if len(seeds) > 1 else "")


def with_folds(ready: Prepared, hearing: Hearing, saved: Prompt | None) -> Finding:
    """Train every fold and the prompt of all rows in one pass; the score is out of fold, or of the test rows."""
    # Folds show the spread that seeds are for; more seeds are a wish that costs a prompt a fold each.
    seeds = ready.config.training.seeds or (ready.config.training.resolved().seeds or (0,))[:1]
    whole = lesson_of(ready, saved, validation=())
    lessons = lessons_of(whole, ready.folds, seed=seeds[0])
    settings = ready.config.training.model_copy(update={"seeds": seeds, "keep": "last"})
    found = train(
        ready.backbone,
        lessons,
        method=ready.config.method,
        settings=settings,
        folder=hearing.folder,
        on_event=hearing.event,
        on_read=hearing.read,
    )
    hearing.watcher.stage("judge")
    learnt = found.learnt[-1]
    if len(found.learnt) < len(lessons):  # Ctrl-C in the probe: one fold is all that there is
        held = ready.splits["train"].select(ready.folds[0].held_out)
        ((evaluation, task),) = _judged_by_itself(ready, [learnt.prompt], held)
        words = f"the probe's best prompt, of {len(ready.folds[0].train)} rows: the run was cut short"
        return Finding(found, learnt, HELD_OUT, evaluation, {learnt.seeds[0]: evaluation}, words, task)
    crossed = _out_of_fold(ready, found.learnt[:-1])
    found, crossed, second = _again_with_folds(ready, hearing, lessons, found, crossed, settings)
    learnt = found.learnt[-1]
    task = settled(ready.task, crossed.said, ready.splits["train"])
    outcomes = {f"fold {n + 1}": one.outcomes[0] for n, one in enumerate(found.learnt[:-1])}
    rows = len(ready.splits["train"])
    saved_is = f"seed {seeds[0]}, trained on all {rows:,} rows at rate {learnt.rate:g}"
    if "test" in ready.splits:
        (own,) = _judge(ready.asking(task), [learnt.prompt], ready.splits["test"])
        words = f"{saved_is}; its own test score is the one above"
        return Finding(found, learnt, "test", own, {seeds[0]: own}, words, task, outcomes, crossed, second)
    words = f"{saved_is}; its score is estimated by that of {len(ready.folds)} prompts like it, "
    words += "each judged on rows that it has not seen"
    by_seed = dict(zip(seeds, crossed.evaluations, strict=True))
    return Finding(found, learnt, OUT_OF_FOLD, crossed.evaluations[0], by_seed, words, task, outcomes, crossed, second)


def _again_with_validation(
    ready: Prepared, hearing: Hearing, lesson: Lesson, found: Tuning
) -> tuple[Tuning, SecondRound | None]:
    """The better round on the validation rows, and what came of the second where one was asked for."""
    if not ready.second or found.interrupted:
        return found, None
    rows = ready.splits["validation"]

    def judge(tuning: Tuning) -> Evaluation:
        return _judge(ready, [tuning.learnt[0].prompt], rows)[0]

    seeds = [outcome.tensors for outcome in found.learnt[0].outcomes]
    proof = evaluate(ensemble(ready, seeds, rows), rows, ready.task)
    first = FirstRound(found, [lesson], seeds, [range(len(seeds))], proof, judge(found), "validation")
    settings = ready.config.training
    second, kept = second_round(ready, first, hearing, settings=settings, judge=judge)
    return kept, second


def _again_with_folds(
    ready: Prepared,
    hearing: Hearing,
    lessons: Sequence[Lesson],
    found: Tuning,
    crossed: Crossed,
    settings: TrainingSettings,
) -> tuple[Tuning, Crossed, SecondRound | None]:
    """The better round by out-of-fold answers, its cross-validation, and what came of the second."""
    if not ready.second or found.interrupted:
        return found, crossed, None
    prompts = [one.outcomes[0].tensors for one in found.learnt[:-1]]
    places, own = range(len(prompts)), crossed.evaluations[0]
    labellers = [*([n] for n in places), places]
    first = FirstRound(found, lessons, prompts, labellers, own, own, OUT_OF_FOLD, len(prompts))
    judged: list[Crossed] = []

    def judge(tuning: Tuning) -> Evaluation:
        judged.append(_out_of_fold(ready, tuning.learnt[:-1]))
        return judged[-1].evaluations[0]

    second, kept = second_round(ready, first, hearing, settings=settings, judge=judge)
    return kept, judged[-1] if second.kept else crossed, second


def judge_baselines(ready: Prepared, contenders: Sequence[Contender], watcher: Watcher) -> tuple[Standing, ...]:
    """The contenders on the rows that the prompt will be judged on."""

    def told(one: Standing) -> None:
        watcher.note(f"{one.name}: {one.evaluation.headline}")

    train_rows, test = ready.splits["train"], ready.splits.get("test")
    if ready.crossed and test is None:
        return contend_out_of_fold(contenders, ready.task, rows=train_rows, parts=ready.folds, on_standing=told)
    return contend(
        contenders,
        ready.task,
        train=train_rows,
        validation=ready.splits.get("validation") if test is not None else None,
        test=ready.splits["validation"] if test is None else test,
        on_standing=told,
    )


def lesson_of(ready: Prepared, saved: Prompt | None, *, validation: Sequence[Example]) -> Lesson:
    """What is to be learnt of a run's training rows."""
    return Lesson(
        ready.config.name,
        ready.builder,
        ready.weighted("train"),
        validation,
        start=ready.config.start,
        saved=None if saved is None else saved.tensors,
        offsets=ready.answers.offsets,
    )


def _settled_and_judged(ready: Prepared, prompts: Sequence[PromptTensors], split: str) -> list[tuple[Evaluation, Task]]:
    """By prompt its score on a split, and the task with what was chosen for it on the validation rows."""
    if not ready.task.settles:
        return [(one, ready.task) for one in _judge(ready, prompts, ready.splits[split])]
    if split == "validation":
        return _judged_by_itself(ready, prompts, ready.splits[split])
    rows = ready.splits["validation"]
    tasks = [settled(ready.task, said, rows) for said in _said(ready, prompts, rows)]
    asks = [_ask(ready.asking(task), tensors) for task, tensors in zip(tasks, prompts, strict=True)]
    return list(zip(evaluate_asks(Predictor(ready.backbone, asks), ready.splits[split]), tasks, strict=True))


def _judged_by_itself(
    ready: Prepared, prompts: Sequence[PromptTensors], rows: Dataset
) -> list[tuple[Evaluation, Task]]:
    """The same where the rows that choose are the ones that judge: part by part."""
    begun = time.perf_counter()
    found, name = _said(ready, prompts, rows), ready.config.name
    seconds = time.perf_counter() - begun
    parts = parts_of(rows) if ready.task.settles else ()
    apart = [decided_apart(ready.task, said, rows, parts) for said in found]
    scores = [evaluate(said, rows, ready.task, name=name, seconds=seconds) for said in apart]
    return [(score, settled(ready.task, said, rows)) for score, said in zip(scores, found, strict=True)]


def _said(ready: Prepared, prompts: Sequence[PromptTensors], rows: Sequence[Example]) -> list[list[Prediction]]:
    """By prompt what it says to each row."""
    asks = [_ask(ready, tensors) for tensors in prompts]
    return [list(column) for column in zip(*Predictor(ready.backbone, asks).predict(rows), strict=True)]


def _judge(ready: Prepared, prompts: Sequence[PromptTensors], rows: Sequence[Example]) -> tuple[Evaluation, ...]:
    """Several prompts of one run over one reading of the rows."""
    return evaluate_asks(Predictor(ready.backbone, [_ask(ready, tensors) for tensors in prompts]), rows)


def _ask(ready: Prepared, tensors: PromptTensors) -> Ask:
    return Ask(ready.builder, tensors, ready.answers, name=ready.config.name)


def _out_of_fold(ready: Prepared, learnt: Sequence[Learnt]) -> Crossed:
    rows = ready.splits["train"]
    asks = [[_ask(ready, outcome.tensors) for outcome in one.outcomes] for one in learnt]
    begun = time.perf_counter()
    said = out_of_fold(ready.backbone, asks, ready.folds, rows)
    seconds = (time.perf_counter() - begun) / len(said)
    apart = [decided_apart(ready.task, found, rows, ready.folds) for found in said]
    k, name = len(ready.folds), ready.config.name
    evaluations = tuple(
        judge_out_of_fold(found, rows, ready.task, num_folds=k, name=name, seconds=seconds) for found in apart
    )
    by_fold = []
    for fold in ready.folds:
        part = rows.select(fold.held_out)
        by_fold.append(evaluate([apart[0][i] for i in fold.held_out], part, ready.task).headline.estimate)
    return Crossed(evaluations, apart[0], tuple(by_fold))
