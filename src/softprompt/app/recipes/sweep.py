"""Search the settings of a run, then confirm the winner with fresh seeds, which look at the test rows once.

    runs/NAME-sweep/            study.db       the study (sweep.storage takes its place)
                                config.yaml    the resolved settings
                                sweep.json     trials, what decides, the winner
                                sweep.svg      the same as a picture
                                winner.yaml    settings for softprompt tune
    runs/NAME-sweep-winner/     the winner's own run, with the prompt

Knows runs and studies; how trials are drawn and trained stands in :mod:`softprompt.lab.sweep`.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import Prepared, Sources, prepare
from softprompt.app.recipes.runs import REPORT
from softprompt.app.recipes.tune import TuneReport
from softprompt.app.recipes.tune import tune as run
from softprompt.app.watch import Watcher
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import ConfigError
from softprompt.core.files import write_whole
from softprompt.lab.folds import lessons_of
from softprompt.lab.lessons import Lesson
from softprompt.lab.sweep.pictures import by_length, picture
from softprompt.lab.sweep.search import Candidate, Listening, search
from softprompt.lab.sweep.space import SweepSettings, default_space, key_of
from softprompt.lab.sweep.study import Study, Trial
from softprompt.lab.training.forecast import budget_for
from softprompt.model.backbones.base import Backbone
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder

__all__ = ["Searching", "SweepReport", "folder_of", "join", "sweep"]

STUDY, FOUND, PICTURE, WINNER = "study.db", "sweep.json", "sweep.svg", "winner.yaml"


@dataclass(frozen=True)
class SweepReport:
    """What a sweep found.

    Attributes:
        folder: Of the sweep.
        trials: By number.
        best: The winner among the trials.
        importance: How much each key decides the score, summing to 1; empty where too few trials tell.
        metric: What the score is.
        winner: The run that confirmed it; None where that was not asked for, or done by an earlier process.
        confirmed: What that run's report says.
        seconds: Of this process.
        notes: What a user should know.
    """

    folder: Path
    trials: tuple[Trial, ...]
    best: Trial
    importance: Mapping[str, float]
    metric: str
    winner: TuneReport | None
    confirmed: Mapping[str, Any] | None
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and sweep.json."""
        states = [one.state for one in self.trials]
        return {
            "folder": str(self.folder),
            "settings": str(self.folder / WINNER),
            "metric": self.metric,
            "count": {state: states.count(state) for state in sorted(set(states))},
            "best": self.best.to_dict(),
            "importance": dict(self.importance),
            "by_length": by_length(self.trials),
            "confirmed": None if self.confirmed is None else dict(self.confirmed),
            "trials": [one.to_dict() for one in self.trials],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


def sweep(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
    fresh: bool = False,
) -> SweepReport:
    """Search, and confirm what was found.

    A sweep that was killed goes on where it was; one that is finished goes on where ``trials`` has grown.

    Args:
        config: The run whose settings are searched; its ``sweep`` says how.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        fresh: Begin anew: the study in the folder, and the winner's run, are thrown away.

    Raises:
        ExtraError: ``extra.missing`` without optuna.
        SoftpromptError: Whatever is wrong, with its code.
    """
    watcher = watcher or Watcher()
    begun = time.perf_counter()
    settings = config.sweep or SweepSettings()
    if settings.jobs > 1 and (sources is not None or backbone is not None):
        message = "several processes read their own files and models; rows and models of this one are not theirs"
        raise ConfigError("config.invalid", message, cure="set sweep.jobs to 1, or name files and a model")
    folder = folder_of(config)
    ready = prepare(config, watcher, sources=sources, backbone=backbone)
    for note in ready.notes:
        watcher.note(note)
    if fresh:
        for name in (STUDY, FOUND):
            (folder / name).unlink(missing_ok=True)
    whole = config.model_dump(mode="json", exclude={"output", "track"})
    write_whole(folder / "config.yaml", yaml.safe_dump(whole, sort_keys=False, allow_unicode=True).encode())
    work = Searching(ready, folder, watcher, fresh=fresh)
    notes = work.search(adopt=True)
    trials = tuple(work.study.trials())
    done = [one for one in trials if one.state == "complete" and one.score is not None]
    if not done:
        _none_finished(trials)
    best = max(done, key=lambda one: (one.score or 0.0, -one.number))
    winner = work.config_of(best.values, confirm=True)
    write_whole(folder / WINNER, _settings_text(winner).encode())
    report, confirmed = _confirmed(winner, settings, ready, best, watcher, sources=sources, fresh=fresh)
    if confirmed is not None and confirmed["split"] != "test":
        notes.append(
            f"no test rows: the {len(trials)} trials were compared on the same rows that give this score, "
            "so it flatters the winner"
        )
    found = SweepReport(
        folder,
        trials,
        best,
        work.study.importance(),
        ready.task.metrics[0] if ready.task.metrics else "score",
        report,
        confirmed,
        time.perf_counter() - begun,
        tuple(notes),
    )
    write_whole(folder / FOUND, json.dumps(found.to_dict(), indent=2, ensure_ascii=False, default=str).encode())
    write_whole(folder / PICTURE, picture(trials, found.importance, score=found.metric).encode())
    watcher.done()
    return found


def join(folder: str | Path) -> None:
    """Work on the study of a sweep that another process began, by the settings in its folder.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    folder = Path(folder)
    config = RunConfig.parse({**read_yaml(folder / "config.yaml"), "output": str(folder)})
    Searching(prepare(config), folder, Watcher()).search(adopt=False)


def folder_of(config: RunConfig) -> Path:
    """Where a sweep writes: beside the runs of its settings."""
    return config.output or config.folder.with_name(f"{config.folder.name}-sweep")


class Searching:
    """One process at work on a sweep."""

    def __init__(self, ready: Prepared, folder: Path, watcher: Watcher, *, fresh: bool = False) -> None:
        self.ready, self.folder, self.watcher = ready, folder, watcher
        self.settings = ready.config.sweep or SweepSettings()
        written = ready.config.template.text is not None or ready.config.template.chat is not None
        space = default_space(labels=bool(ready.task.says))
        if self.settings.space is None and written:
            del space["length"]
        self.space = dict(self.settings.space or space)
        folder.mkdir(parents=True, exist_ok=True)
        storage = self.settings.storage or str(folder / STUDY)
        self.study = Study(
            storage,
            name=f"{folder.name} {self._digest()[:12]}" if self.settings.storage else folder.name,
            space=self.space,
            sampler=self.settings.sampler,
            seed=self.settings.seed,
            digest=self._digest(),
            fresh=fresh,
        )
        self._builder = lru_cache(maxsize=None)(self._build)

    def search(self, *, adopt: bool) -> list[str]:
        """Draw and train until the study has its trials; returns what to note."""
        total, budget = self.settings.trials, budget_for(self.ready.backbone, self.ready.config.training)
        others = [self._start(n) for n in range(1, self.settings.jobs)] if adopt else []
        try:
            with StateStore(self.ready.backbone, budget) as store:
                self.watcher.stage("search", total=total, unit="trials")
                search(
                    self.study,
                    self.candidate,
                    backbone=self.ready.backbone,
                    store=store,
                    settings=self.settings,
                    listening=Listening(ended=self._told),
                    adopt=adopt,
                )
            failed = [log for process, log in others if process.wait()]
        finally:
            for process, _ in others:
                if process.poll() is None:
                    process.terminate()
        return [f"a process of the sweep ended with an error, see {log}" for log in failed]

    def _told(self, trial: Trial) -> None:
        trials = self.study.trials()
        scores = [one.score for one in trials if one.state == "complete" and one.score is not None]
        done = sum(one.state != "running" for one in trials)
        self.watcher.advance(min(done, self.settings.trials), score=max(scores, default=None))

    def _start(self, number: int) -> tuple["subprocess.Popen[bytes]", Path]:
        """Another process on the same study, with a log of its own."""
        log = self.folder / f"worker-{number}.log"
        code = "import sys; from softprompt.app.recipes.sweep import join; join(sys.argv[1])"
        words = [sys.executable, "-c", code, str(self.folder)]
        with log.open("wb") as out:
            return subprocess.Popen(words, stdout=out, stderr=out, env=dict(os.environ)), log

    # --- from values to what is trained

    def config_of(self, values: Mapping[str, Any], *, confirm: bool = False) -> RunConfig:
        """The settings of a trial; or of the run that confirms it, with fresh seeds."""
        config, settings = self.ready.config, self.settings
        changes: dict[str, Any] = {key_of(name): value for name, value in values.items()}
        if confirm:
            folder = self.folder.with_name(f"{self.folder.name}-winner")
            changes |= {"name": f"{config.name}-winner", "output": str(folder), "sweep": None}
            changes |= {"training.seeds": list(range(max(1, settings.confirm)))}
        else:
            changes |= {"training.steps": settings.steps} if settings.steps else {}
            changes |= {"training.evaluations": settings.looks} if settings.looks else {}
        return config.with_(changes)

    def candidate(self, values: Mapping[str, Any]) -> Candidate:
        """What a trial trains.

        Raises:
            SoftpromptError: Values that do not go together.
        """
        ready, config = self.ready, self.config_of(values)
        resolved = config.training.resolved()
        rates = resolved.rates or (0.1,)
        rate = resolved.rate if resolved.rate is not None else rates[len(rates) // 2]
        trained = resolved.model_copy(update={"rate": rate, **({"keep": "last"} if ready.crossed else {})})
        lesson = Lesson(
            config.name,
            self._builder(json.dumps(config.template.model_dump(mode="json", exclude_unset=True), sort_keys=True)),
            ready.weighted("train"),
            () if ready.crossed else ready.splits["validation"].rows,
            start=config.start,
            offsets=ready.answers.offsets,
        )
        lessons: Sequence[Lesson] = lessons_of(lesson, ready.folds, seed=0)[:-1] if ready.crossed else [lesson]
        return Candidate(lessons, config.method, trained)

    def _build(self, described: str) -> RowBuilder:
        """Template and task of a trial; trials of one template share it."""
        ready, old = self.ready, self.ready.builder
        template = (
            type(ready.config.template)
            .parse(json.loads(described))
            .build(
                ready.config.task.kind,
                fields=ready.splits["train"].fields(),
                tokenizer=old.tokenizer,
                words=ready.task.words,
                model=ready.backbone.spec.kind,
            )
        )
        return RowBuilder(template, ready.task, old.tokenizer, max_tokens=old.max_tokens, answers=old.answers)

    def _digest(self) -> str:
        """Everything that a trial's score depends on."""
        ready = self.ready
        free = {"sweep", "output", "track", "name", "licence", "author", "notes", "baselines"}
        drawn = self.settings.model_dump(mode="json", include={"together", "sampler", "halving", "seed", "steps"})
        parts = [
            ready.config.model_dump(mode="json", exclude=free),
            drawn,
            {name: one if isinstance(one, tuple) else one.model_dump() for name, one in self.space.items()},
            ready.backbone.spec.fingerprint,
            {name: rows.hash for name, rows in ready.splits.items()},
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _confirmed(
    winner: RunConfig,
    settings: SweepSettings,
    ready: Prepared,
    best: Trial,
    watcher: Watcher,
    *,
    sources: Sources | None,
    fresh: bool,
) -> tuple[TuneReport | None, dict[str, Any] | None]:
    """The winner's own run; where that is finished already, what it said, so that no test row is seen twice."""
    if not settings.confirm:
        return None, None
    folder = winner.folder
    said = _report_of(folder)
    same = (folder / "config.yaml").exists() and _same(folder / "config.yaml", winner)
    if said is not None and same and not said["interrupted"] and not fresh:
        return None, _summary(said)
    watcher.stage(f"confirm trial {best.number}")
    report = run(winner, watcher, sources=sources, backbone=ready.backbone, fresh=fresh or not same)
    return report, _summary(report.to_dict())


def _report_of(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / REPORT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "evaluation" in found else None


def _same(path: Path, winner: RunConfig) -> bool:
    """Whether a run folder is of these settings."""
    return bool(read_yaml(path) == yaml.safe_load(_dumped(winner)))


def _dumped(config: RunConfig) -> str:
    return yaml.safe_dump(config.model_dump(mode="json", exclude={"output", "track"}), sort_keys=False)


def _settings_text(winner: RunConfig) -> str:
    """The winner's settings, as short as they can be."""
    data = winner.model_dump(mode="json", exclude_unset=True, exclude={"sweep"})
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's report stands in that of a sweep."""
    return {
        "folder": report["folder"],
        "prompt": report["prompt"],
        "split": report["split"],
        "metrics": report["evaluation"]["metrics"],
        "seeds": report["seeds"],
        "test_looks": report["test_looks"],
        "notes": report["notes"],
    }


def _none_finished(trials: Sequence[Trial]) -> None:
    """Refuse to name a winner.

    Raises:
        ConfigError: ``config.invalid``, with the first reason.
    """
    reason = next((one.error for one in trials if one.error), "none was judged")
    message = f"none of {len(trials)} trials came to an end: {reason}"
    raise ConfigError("config.invalid", message, cure="vary less under sweep.space, or give more trials")
