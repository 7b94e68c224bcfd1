"""Tune a prompt and judge it honestly: baselines first, then the prompt, then one look at the test rows."""

import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.early import require_fit
from softprompt.app.recipes.folder import RunFolder, environment
from softprompt.app.recipes.heard import Heard
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.roads import HELD_OUT, Finding, Hearing, judge_baselines, with_folds, with_validation
from softprompt.app.recipes.rows import read_rows
from softprompt.app.recipes.saved import make_prompt, scores_of
from softprompt.app.recipes.sealed import note_look, sealed_hash, warning
from softprompt.app.recipes.teaching import Taught, teach
from softprompt.app.recipes.tracked import result_of, start_of
from softprompt.app.tracking import Session, open_trackers
from softprompt.app.watch import Watcher
from softprompt.core.cards import Card, draw, page
from softprompt.core.cards.views import run_card
from softprompt.core.errors import ConfigError
from softprompt.core.frames import to_frame
from softprompt.core.records import Example
from softprompt.core.stats import Interval
from softprompt.core.tasks import Task
from softprompt.lab.comparison import Comparison, Contender, Majority, Standing, TfidfLogistic, ZeroShot, compare
from softprompt.lab.evaluation import Evaluation
from softprompt.lab.suspects import Suspect, suspects, table
from softprompt.lab.training.curves import curves
from softprompt.lab.tuning import Tuning
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described

if TYPE_CHECKING:
    import pandas

__all__ = ["TuneReport", "judge_trivial", "keep", "tune"]

#: Share of the rows from which suspect labels are the prompt's doubts rather than anybody's mistakes.
MANY_SUSPECTS = 0.2


@dataclass(frozen=True)
class TuneReport:
    """What a run gave.

    Attributes:
        folder: The run folder.
        prompt: The saved prompt.
        finding: How it was trained and what it is worth.
        comparison: Beside the baselines; None without them.
        suspects: Training rows whose label is probably wrong; empty without folds.
        test_looks: How often these test rows have been scored, this time included; 0 without test rows.
        seconds: Of the whole run.
        notes: What a user should know.
    """

    folder: Path
    prompt: Prompt
    finding: Finding
    comparison: Comparison | None
    suspects: tuple[Suspect, ...]
    test_looks: int
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def tuning(self) -> Tuning:
        """Rates, curves, times."""
        return self.finding.tuning

    @property
    def split(self) -> str:
        """Which rows the scores are of: ``test``, else ``out of fold``, or ``validation``."""
        return self.finding.split

    @property
    def evaluation(self) -> Evaluation:
        """Of the saved prompt; out of fold it is the estimate by prompts like it."""
        return self.finding.evaluation

    @property
    def held_out(self) -> Evaluation | None:
        """Out-of-fold score of the cross-validation; None without folds."""
        return None if self.finding.crossed is None else self.finding.crossed.evaluations[0]

    @property
    def headline(self) -> Interval:
        """The score that decides, with its interval."""
        return self.evaluation.headline

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and report.json."""
        learnt, crossed = self.finding.learnt, self.finding.crossed
        return {
            "folder": str(self.folder),
            "prompt": str(self.folder / "prompt"),
            "fields": list(Described.from_dict(self.prompt.manifest.template).template.fields),
            "split": self.split,
            "evaluation": self.evaluation.to_dict(),
            "saved": self.finding.saved,
            "seeds": {
                str(seed): {name: interval.as_dict() for name, interval in one.metrics.items()}
                for seed, one in self.finding.seeds.items()
            },
            "chosen_seed": learnt.seeds[learnt.chosen],
            "rate": learnt.rate,
            "probe": {f"{rate:g}": value for rate, value in self.tuning.learnt[0].probe.items()},
            "validation": [None if math.isnan(one.value) else one.value for one in learnt.outcomes],
            "stopped": [outcome.stop for one in self.tuning.learnt for outcome in one.outcomes],
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
            "held_out": None if self.held_out is None else self.held_out.to_dict(),
            "folds": None if crossed is None else list(crossed.by_fold),
            "second": None if self.finding.second is None else self.finding.second.to_dict(),
            "suspects": [one.to_dict() for one in self.suspects],
            "test_looks": self.test_looks,
            "interrupted": self.tuning.interrupted,
            "seconds": {"total": self.seconds, **self.tuning.seconds},
            "notes": list(self.notes),
        }

    def to_frame(self) -> "pandas.DataFrame":
        """The comparison as a data frame: a line a contender, the prompt last; without baselines the prompt alone.

        Raises:
            ExtraError: ``extra.missing`` without pandas.
        """
        if self.comparison is None:
            return to_frame([{"name": "soft prompt", **_numbers(self.evaluation)}])
        return to_frame(
            [
                {
                    "name": one.name,
                    **_numbers(one.evaluation),
                    "fit_seconds": one.fit_seconds,
                    "predict_seconds": one.predict_seconds,
                    "num_bytes": one.num_bytes,
                }
                for one in self.comparison.standings
            ]
        )

    def card(self) -> Card:
        """What a notebook and report.html show."""
        return run_card(self.to_dict(), size_bytes=self.prompt.num_bytes, picture=self._curves())

    def _curves(self) -> str:
        return curves(self.finding.outcomes) if self.finding.outcomes else ""

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return draw(self.card())


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
    if config.task.targets is not None:
        message = f"{len(config.task.targets)} tasks are to be trained in one run, this trains one"
        raise ConfigError("config.invalid", message, cure="call sp.tune_together, or name one as task.target")
    watcher = watcher or Watcher()
    begun = time.perf_counter()
    trackers = open_trackers(config.track)

    if config.teacher is not None:
        sources = read_rows(config, sources)  # once, though they are looked at twice

    def fits() -> None:
        watcher.stage("see whether the model takes the method, before the teacher is asked")
        require_fit(prepare(config, sources=sources))
        gc.collect()  # there are never two models in memory

    def asked(task: Task, rows: Sequence[Example]) -> tuple[Taught, tuple[str, ...]]:
        return teach(config, task, rows, watcher, alone=backbone is None, first=fits)

    ready = prepare(config, watcher, sources=sources, backbone=backbone, teach=asked)
    saved = require_fit(ready)  # before the folder is touched
    with (
        RunFolder(config.folder, config, fresh=fresh) as folder,
        Session(trackers, start_of(ready), watcher) as session,
    ):
        report = _run(ready, saved, folder, Heard(folder, watcher, session, name=config.name), begun)
        session.end(result_of(report.to_dict()))
        watcher.done()
        return report


def _run(ready: Prepared, saved: Prompt | None, folder: RunFolder, heard: Heard, begun: float) -> TuneReport:
    """Baselines, training, judging, saving."""
    watcher = heard.watcher
    for note in (*ready.notes, *ready.page.warnings):
        watcher.note(note)
    folder.write("environment.json", environment(ready.backbone.spec))
    baselines = judge_trivial(ready, watcher) if ready.config.baselines else ()
    road = with_folds if ready.crossed else with_validation
    finding = road(ready, Hearing(folder.path, watcher, heard.event, heard.read), saved)
    return keep(ready, finding, folder, baselines=baselines, saved=saved, begun=begun)


def keep(
    ready: Prepared,
    finding: Finding,
    folder: RunFolder,
    *,
    baselines: Sequence[Standing],
    saved: Prompt | None,
    begun: float,
) -> TuneReport:
    """Write what a training found: prompt, report, curves, pages.

    Args:
        ready: The run.
        finding: What came of it.
        folder: Where it goes.
        baselines: What it stands beside.
        saved: The prompt that it continued.
        begun: By :func:`time.perf_counter`.
    """
    notes = [*ready.notes, *ready.page.warnings]
    notes += () if finding.second is None else finding.second.sentences
    if finding.split == "validation":
        notes.append("there is no test part: the scores are of the validation rows that also chose the prompt")
    learnt, looks = finding.learnt, 0
    if "test" in ready.splits and finding.split == "test":
        content = sealed_hash(ready.splits["test"], fields=ready.template.fields)
        looks = note_look(folder.path, content, by="tune")
        notes += [warning(looks)] if looks > 1 else []
    suspected = _suspected(ready, finding)
    if len(suspected) > MANY_SUSPECTS * (num_rows := len(ready.splits["train"])):
        notes.append(
            f"{len(suspected)} of {num_rows} labels are suspect: so many say more about the prompt than about them"
        )
    if finding.task.choices and not ready.task.choices:
        notes.append(f"{finding.task.choices}; chosen on rows that were not learnt from, kept in the prompt")
    prompt = make_prompt(
        ready.asking(finding.task),
        learnt.prompt,
        scores=scores_of(finding.evaluation, finding.split),
        facts={
            "seed": learnt.seeds[learnt.chosen],
            "rate": learnt.rate,
            "saved": finding.saved,
            **({} if finding.second is None else {"second_round": list(finding.second.sentences)}),
        },
        parents=() if saved is None else (saved.content_hash,),
    )
    prompt.save(folder.path / "prompt", overwrite=True)
    report = TuneReport(
        folder=folder.path,
        prompt=prompt,
        finding=finding,
        comparison=_compared(finding, baselines, prompt) if baselines and finding.split != HELD_OUT else None,
        suspects=suspected,
        test_looks=looks,
        seconds=time.perf_counter() - begun,
        notes=tuple(notes),
    )
    if finding.crossed is not None and ready.task.names and ready.task.one_right:
        folder.write_private("suspects.csv", table(suspected, fields=ready.template.fields))
    folder.write("curves.svg", curves(finding.outcomes))
    folder.write("report.json", report.to_dict())
    folder.write("report.html", page(report.card()))
    if not finding.tuning.interrupted:
        folder.complete()
    return report


def _suspected(ready: Prepared, finding: Finding) -> tuple[Suspect, ...]:
    """Training rows whose label is probably wrong, by out-of-fold probabilities."""
    labels = ready.task.names
    if finding.crossed is None or not labels or not ready.task.one_right:
        return ()
    said = [list((one.probabilities or {}).values()) for one in finding.crossed.said]
    return suspects(np.array(said), ready.splits["train"].rows, labels=labels)


def judge_trivial(ready: Prepared, watcher: Watcher, *, stage: str = "baselines") -> tuple[Standing, ...]:
    """What a prompt has to beat, before any training: the first scores stand within seconds."""
    watcher.stage(stage)
    contenders: list[Contender] = [Majority()]
    if find_spec("sklearn"):
        contenders.append(TfidfLogistic(fields=ready.template.fields, offsets=ready.correction))
    else:
        watcher.note("without scikit-learn there is no TF-IDF baseline; pip install 'softprompt[compare]'")
    if ready.task.candidates(ready.splits["train"][0]) is not None and "words" in ready.task.forms:
        contenders.append(ZeroShot(ready.backbone, ready.template))
    return judge_baselines(ready, contenders, watcher)


def _compared(finding: Finding, baselines: Sequence[Standing], prompt: Prompt) -> Comparison:
    """The prompt beside the baselines, with verdicts."""
    own = Standing(
        replace(finding.evaluation, name="soft prompt"),
        fit_seconds=sum(finding.tuning.seconds.values()),
        num_trained=prompt.tensors.num_parameters,
        num_bytes=prompt.num_bytes,
        note=f"rate {finding.learnt.rate:g}",
    )
    return compare([*baselines, own], reference="soft prompt")


def _numbers(evaluation: Evaluation) -> dict[str, float]:
    """Scores with their bounds, as columns."""
    return {
        name + end: value
        for name, found in {**evaluation.metrics, **evaluation.calibration}.items()
        for end, value in (("", found.estimate), (" low", found.low), (" high", found.high))
    }
