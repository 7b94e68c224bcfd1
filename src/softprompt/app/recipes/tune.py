"""Tune a prompt and judge it honestly: baselines first, then the prompt, then one look at the test rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.folder import RunFolder, environment
from softprompt.app.recipes.prepare import Prepared, Sources, prepare
from softprompt.app.recipes.saved import identity, make_prompt, scores_of
from softprompt.app.watch import Watcher
from softprompt.core.records import Example
from softprompt.core.stats import Interval
from softprompt.core.tensors import PromptTensors
from softprompt.data.splits import folds
from softprompt.lab.comparison import (
    Comparison,
    Contender,
    Majority,
    Standing,
    TfidfLogistic,
    ZeroShot,
    compare,
    contend,
)
from softprompt.lab.evaluation import Evaluation, evaluate, evaluate_asks
from softprompt.lab.prediction import Ask, Prediction, Predictor
from softprompt.lab.training.curves import curves
from softprompt.lab.training.trainer import Event
from softprompt.lab.tuning import Learnt, Lesson, Tuning
from softprompt.lab.tuning import tune as train
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt

__all__ = ["TuneReport", "tune"]


@dataclass(frozen=True)
class TuneReport:
    """What a run gave.

    Attributes:
        folder: The run folder.
        prompt: The saved prompt: the seed with the best validation score, with its own test score.
        split: Which rows the scores below are of: ``test``, or ``validation`` where there is no test part.
        evaluation: Of the saved prompt.
        seeds: Score of every seed on the same rows.
        tuning: Rates, curves, times.
        comparison: Beside the baselines; None without them.
        held_out: Out-of-fold score of the cross-validation; None without folds.
        seconds: Of the whole run.
        notes: What a user should know.
    """

    folder: Path
    prompt: Prompt
    split: str
    evaluation: Evaluation
    seeds: tuple[Evaluation, ...]
    tuning: Tuning
    comparison: Comparison | None
    held_out: Evaluation | None
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def headline(self) -> Interval:
        """The score that decides, with its interval."""
        return self.evaluation.headline

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and report.json."""
        learnt = self.tuning.learnt[0]
        return {
            "folder": str(self.folder),
            "prompt": str(self.folder / "prompt"),
            "split": self.split,
            "evaluation": self.evaluation.to_dict(),
            "seeds": {
                str(seed): {name: interval.as_dict() for name, interval in one.metrics.items()}
                for seed, one in zip(learnt.seeds, self.seeds, strict=True)
            },
            "chosen_seed": learnt.seeds[learnt.chosen],
            "rate": learnt.rate,
            "probe": {f"{rate:g}": value for rate, value in learnt.probe.items()},
            "validation": [outcome.value for outcome in learnt.outcomes],
            "stopped": [outcome.stop for outcome in learnt.outcomes],
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
            "held_out": None if self.held_out is None else self.held_out.to_dict(),
            "interrupted": self.tuning.interrupted,
            "seconds": {"total": self.seconds, **self.tuning.seconds},
            "notes": list(self.notes),
        }


def tune(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
    fresh: bool = False,
) -> TuneReport:
    """Tune, judge and save a prompt.

    Args:
        config: The run.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        fresh: Throw away what an unfinished run left in the folder.

    Raises:
        SoftpromptError: Whatever is wrong, with its code; a run that was cut short keeps its best prompt.
    """
    watcher = watcher or Watcher()
    begun = time.perf_counter()
    ready = prepare(config, watcher, sources=sources, backbone=backbone)
    with RunFolder(config.folder, config, fresh=fresh) as folder:
        return _run(ready, folder, watcher, begun)


def _run(ready: Prepared, folder: RunFolder, watcher: Watcher, begun: float) -> TuneReport:
    """Baselines, training, judging, saving."""
    config = ready.config
    notes = [*ready.notes, *ready.page.warnings]
    for note in notes:
        watcher.note(note)
    folder.write("environment.json", environment(ready.backbone.spec))
    split = "test" if "test" in ready.splits else "validation"
    if split == "validation":
        notes.append("there is no test part: the scores are of the validation rows that also chose the prompt")
    baselines = _baselines(ready, split, watcher) if config.baselines else ()
    heard = _Heard(folder, watcher)
    saved = _continued(ready)
    found = train(
        ready.backbone,
        [_lesson(ready, ready.splits["train"].rows, saved=saved)],
        method=config.method,
        settings=config.training,
        folder=folder.path,
        on_event=heard.event,
        on_read=heard.read,
    )
    learnt = found.learnt[0]
    watcher.stage("judge")
    evaluations = _judge(ready, [outcome.tensors for outcome in learnt.outcomes], split)
    chosen = evaluations[learnt.chosen]
    held_out = _cross_validate(ready, learnt, watcher) if config.data.split.folds else None
    prompt = make_prompt(
        ready,
        learnt.prompt,
        scores=scores_of(chosen, split),
        facts={"seed": learnt.seeds[learnt.chosen], "rate": learnt.rate},
        parents=() if saved is None else (saved.content_hash,),
    )
    prompt.save(folder.path / "prompt", overwrite=True)
    report = TuneReport(
        folder=folder.path,
        prompt=prompt,
        split=split,
        evaluation=chosen,
        seeds=evaluations,
        tuning=found,
        comparison=_compared(chosen, baselines, prompt, found) if baselines else None,
        held_out=held_out,
        seconds=time.perf_counter() - begun,
        notes=tuple(notes),
    )
    folder.write("curves.svg", curves({f"seed {s}": o for s, o in zip(learnt.seeds, learnt.outcomes, strict=True)}))
    folder.write("report.json", report.to_dict())
    if not found.interrupted:
        folder.complete()
    watcher.done()
    return report


def _lesson(
    ready: Prepared, train_rows: Sequence[Example | None], *, name: str = "", saved: Prompt | None = None
) -> Lesson:
    return Lesson(
        name or ready.config.name,
        ready.builder,
        train_rows,
        ready.splits["validation"].rows,
        start=ready.config.start,
        saved=None if saved is None else saved.tensors,
    )


def _continued(ready: Prepared) -> Prompt | None:
    """The saved prompt that the run goes on from; it must belong to the same model."""
    if ready.config.start_from is None:
        return None
    saved = Prompt.load(ready.config.start_from)
    saved.check(identity(ready.backbone.spec))
    return saved


def _judge(ready: Prepared, prompts: Sequence[PromptTensors], split: str) -> tuple[Evaluation, ...]:
    """Several prompts of one run over one reading of the rows."""
    asks = [Ask(ready.builder, tensors, ready.answers, name=ready.config.name) for tensors in prompts]
    return evaluate_asks(Predictor(ready.backbone, asks), ready.splits[split])


def _cross_validate(ready: Prepared, learnt: Learnt, watcher: Watcher) -> Evaluation:
    """All folds as prompts in one pass, at the rate that the run chose; every training row is judged by a prompt that
    has not seen it."""
    rows = ready.splits["train"].rows
    parts = folds(ready.splits["train"], k=ready.config.data.split.folds or 2, seed=ready.config.data.split.seed)
    lessons = []
    for n, fold in enumerate(parts):
        seen = set(fold.train)
        lessons.append(
            _lesson(
                ready,
                [row if i in seen else None for i, row in enumerate(rows)],
                name=f"fold {n}",
                saved=_continued(ready),
            )
        )
    watcher.stage(f"cross-validate in {len(parts)} folds")
    settings = ready.config.training.model_copy(update={"rate": learnt.rate, "seeds": (0,)})
    found = train(ready.backbone, lessons, method=ready.config.method, settings=settings)
    said: dict[int, Prediction] = {}
    for fold, one in zip(parts, found.learnt, strict=True):
        ask = Ask(ready.builder, one.prompt, ready.answers)
        held = [rows[i] for i in fold.held_out]
        answers = Predictor(ready.backbone, [ask]).predict(held)
        said |= {i: answer for i, (answer,) in zip(fold.held_out, answers, strict=True)}
    return evaluate([said[i] for i in range(len(rows))], rows, ready.task, name="out of fold")


def _baselines(ready: Prepared, split: str, watcher: Watcher) -> tuple[Standing, ...]:
    """What a prompt has to beat, before any training: the first scores stand within seconds."""
    watcher.stage("baselines")
    contenders: list[Contender] = [Majority()]
    if find_spec("sklearn"):
        contenders.append(TfidfLogistic(fields=ready.template.fields))
    else:
        watcher.note("without scikit-learn there is no TF-IDF baseline; pip install 'softprompt[compare]'")
    if ready.task.candidates(ready.splits["train"][0]) is not None:
        contenders.append(ZeroShot(ready.backbone, ready.template))
    return contend(
        contenders,
        ready.task,
        train=ready.splits["train"],
        validation=ready.splits["validation"] if split == "test" else None,
        test=ready.splits[split],
        on_standing=lambda one: watcher.note(f"{one.name}: {one.evaluation.headline}"),
    )


def _compared(evaluation: Evaluation, baselines: Sequence[Standing], prompt: Prompt, found: Tuning) -> Comparison:
    """The prompt beside the baselines, with verdicts."""
    own = Standing(
        replace(evaluation, name="soft prompt"),
        fit_seconds=sum(found.seconds.values()),
        num_trained=prompt.tensors.num_parameters,
        num_bytes=prompt.num_bytes,
        note=f"rate {found.learnt[0].rate:g}",
    )
    return compare([*baselines, own], reference="soft prompt")


class _Heard:
    """Events of a training, for the log and the watcher."""

    def __init__(self, folder: RunFolder, watcher: Watcher) -> None:
        self.folder, self.watcher = folder, watcher
        self.stage = ""
        self.begun = time.perf_counter()
        self.tokens = 0
        self.score: float | None = None

    def read(self, done: int, total: int) -> None:
        if self.stage != "read":
            self._next("read the texts once", "read", total, "tokens")
        self.watcher.advance(done)

    def event(self, stage: str, event: Event) -> None:
        if self.stage != stage:
            self._next({"probe": "probe the learning rate", "train": "train"}[stage], stage, event.steps, "steps")
        if event.kind == "evaluate":
            self.score = max(event.values.values(), default=None)
            self.folder.log("evaluate", stage=stage, step=event.step, values=event.values)
        elif event.kind == "step":
            self.tokens += event.live_tokens
            elapsed = time.perf_counter() - self.begun
            mean = sum(event.losses.values()) / max(1, len(event.losses))
            self.watcher.advance(event.step, loss=mean, score=self.score, tokens_per_s=self.tokens / max(elapsed, 1e-9))
            self.folder.log("step", stage=stage, step=event.step, losses=event.losses, seconds=round(event.seconds, 4))
        else:
            self.folder.log(event.kind, stage=stage, step=event.step)

    def _next(self, name: str, stage: str, total: int, unit: str) -> None:
        self.stage, self.begun, self.tokens = stage, time.perf_counter(), 0
        self.watcher.stage(name, total=total, unit=unit)
