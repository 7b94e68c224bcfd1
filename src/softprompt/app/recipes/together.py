"""Tune several tasks about the same texts in one run: one reading, one training, a saved prompt for each.

    runs/mail/config.yaml, log.jsonl, report.json     of the whole run
    runs/mail/topic/prompt, report.json, ...          of each task, as a run of its own leaves them

With a method that shares (multitask) the tasks learn from each other; with any other they only share the reading.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.early import require_fit
from softprompt.app.recipes.folder import RunFolder, environment
from softprompt.app.recipes.heard import Heard
from softprompt.app.recipes.plan import RunPlan, plan_of
from softprompt.app.recipes.prepare import Prepared
from softprompt.app.recipes.roads import judged_with_validation, lesson_of
from softprompt.app.recipes.several import aligned, prepare_several
from softprompt.app.recipes.tracked import result_of, start_of
from softprompt.app.recipes.tune import TuneReport, judge_trivial, keep
from softprompt.app.tracking import Session, open_trackers
from softprompt.app.watch import Watcher
from softprompt.core.cards import draw
from softprompt.lab.comparison import Standing
from softprompt.lab.lessons import Lesson
from softprompt.lab.multitask import require_teachable
from softprompt.lab.multitask import tune_together as train
from softprompt.lab.tuning import Learnt, Tuning
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt

__all__ = ["TogetherPlan", "TogetherReport", "plan_together", "tune_together"]


@dataclass(frozen=True)
class TogetherReport:
    """What a run of several tasks gave.

    Attributes:
        folder: Of the whole run.
        reports: By target, what a run of its own would give; its folder lies below.
        tuning: Of all tasks: rates, times.
        seconds: Of the whole run.
        notes: What a user should know of the whole run.
    """

    folder: Path
    reports: Mapping[str, TuneReport]
    tuning: Tuning
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and report.json."""
        return {
            "folder": str(self.folder),
            "targets": {target: report.to_dict() for target, report in self.reports.items()},
            "interrupted": self.tuning.interrupted,
            "seconds": {"total": self.seconds, **self.tuning.seconds},
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """The cards that a notebook shows."""
        return "".join(draw(report.card()) for report in self.reports.values())


def tune_together(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
    fresh: bool = False,
) -> TogetherReport:
    """Tune, judge and save a prompt for each of several tasks.

    Args:
        config: With ``task.targets``.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        fresh: Throw away what an unfinished run left in the folder.

    Raises:
        SoftpromptError: Whatever is wrong, with its code; a run that was cut short keeps its best prompts.
    """
    watcher = watcher or Watcher()
    begun = time.perf_counter()
    trackers = open_trackers(config.track)
    ready = prepare_several(config, watcher, sources=sources, backbone=backbone)
    saved = {target: require_fit(one) for target, one in ready.items()}  # before the folder is touched
    lessons = _lessons(config, ready, saved)
    with RunFolder(config.folder, config, fresh=fresh) as folder:
        for target, one in ready.items():
            for note in (*one.notes, *one.page.warnings):
                watcher.note(f"{target}: {note}")
        folder.write("environment.json", environment(_first(ready).backbone.spec))
        baselines = {target: judge_trivial(one, watcher) if config.baselines else () for target, one in ready.items()}
        heard = Heard(folder, watcher, Session({}, start_of(_first(ready)), watcher), name=config.name)
        found = _trained(config, _first(ready).backbone, lessons, heard, folder)
        watcher.stage("judge")
        reports = {}
        for learnt in found.learnt:
            one = ready[learnt.name]
            with Session(trackers, start_of(one), watcher) as session:
                reports[learnt.name] = _kept(one, learnt, found, baselines[learnt.name], saved[learnt.name], begun)
                session.end(result_of(reports[learnt.name].to_dict()))
        missing = [target for target in ready if target not in reports]
        notes = list(found.notes)
        notes += [f"cut short before there was a prompt for {', '.join(missing)}"] if missing else []
        report = TogetherReport(folder.path, reports, found, time.perf_counter() - begun, tuple(notes))
        folder.write("report.json", report.to_dict())
        if not found.interrupted:
            folder.complete()
        watcher.done()
        return report


def _first(ready: Mapping[str, Prepared]) -> Prepared:
    return next(iter(ready.values()))


def _trained(
    config: RunConfig, backbone: Backbone, lessons: Sequence[Lesson], heard: Heard, folder: RunFolder
) -> Tuning:
    """All tasks over one reading."""
    return train(
        backbone,
        lessons,
        method=config.method,
        settings=config.training,
        distil=config.distil,
        folder=folder.path,
        on_event=heard.event,
        on_read=heard.read,
    )


def _lessons(config: RunConfig, ready: Mapping[str, Prepared], saved: Mapping[str, Prompt | None]) -> list[Lesson]:
    """A lesson a task, their rows at the same places.

    Raises:
        ConfigError: ``config.invalid``: a task that cannot be taught, with ``distil``.
    """
    train_rows = aligned([one.weighted("train") for one in ready.values()])
    validation = aligned([one.splits["validation"].rows for one in ready.values()])
    lessons = [
        replace(lesson_of(one, saved[target], validation=()), name=target, train=rows, validation=held)
        for (target, one), rows, held in zip(ready.items(), train_rows, validation, strict=True)
    ]
    for lesson in lessons if config.distil is not None else ():
        require_teachable(lesson)
    return lessons


def _kept(
    ready: Prepared,
    learnt: Learnt,
    found: Tuning,
    baselines: tuple[Standing, ...],
    saved: Prompt | None,
    begun: float,
) -> TuneReport:
    """One task judged and saved, in its own folder below the run's."""
    finding = judged_with_validation(ready, replace(found, learnt=(learnt,), notes=()))
    with RunFolder(ready.config.folder, ready.config, fresh=True) as folder:
        folder.write("environment.json", environment(ready.backbone.spec))
        return keep(ready, finding, folder, baselines=baselines, saved=saved, begun=begun)


# ---------------------------------------------------------------- without doing it


@dataclass(frozen=True)
class TogetherPlan:
    """A forecast.

    Attributes:
        plans: By target, of a run of its own.
        shares: Whether the tasks share parameters, and so a probe of the rate.
        taught: Whether a prompt for each task is trained first.
    """

    plans: Mapping[str, RunPlan]
    shares: bool
    taught: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the first task's plan with the cost of all, and every task's rows."""
        plans, first = list(self.plans.values()), next(iter(self.plans.values()))
        probes = (1 if self.shares else len(plans)) + (len(plans) if self.taught else 0)
        times = {"read": 1, "probe": probes, "train": (2 if self.taught else 1) * len(plans)}
        return {
            **first.to_dict(),
            "prompts": {stage: count * times[stage] for stage, count in first.prompts.items()},
            "seconds": {stage: seconds * times[stage] for stage, seconds in first.seconds.items()},
            "disk_bytes": sum(plan.disk_bytes for plan in plans),
            "targets": {
                target: {"data": plan.page.to_dict(), "template": plan.template, "answers": plan.answers}
                for target, plan in self.plans.items()
            },
        }


def plan_together(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
) -> TogetherPlan:
    """Forecast a run of several tasks; reads the rows and the model, trains nothing and writes nothing.

    Raises:
        SoftpromptError: Whatever would stop the run before its first step.
    """
    watcher = watcher or Watcher()
    ready = prepare_several(config, watcher, sources=sources, backbone=backbone)
    _lessons(config, ready, dict.fromkeys(ready))
    watcher.done()
    plans = {target: plan_of(one) for target, one in ready.items()}
    return TogetherPlan(plans, shares=config.method.shares, taught=config.distil is not None)
