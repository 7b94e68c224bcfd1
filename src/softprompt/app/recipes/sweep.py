"""Search the settings of a run, then confirm the winner with fresh seeds, which look at the test rows once.

    runs/NAME-sweep/            study.db       the study (sweep.storage takes its place)
                                config.yaml    the resolved settings
                                sweep.json     trials, what decides, the winner
                                sweep.svg      the same as a picture
                                winner.yaml    settings for softprompt tune
    runs/NAME-sweep-winner/     the winner's own run, with the prompt

Knows runs and studies; how trials are drawn and trained stands in :mod:`softprompt.lab.sweep`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.folder import settings_text
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.runs import REPORT
from softprompt.app.recipes.searching import STUDY, Searching
from softprompt.app.recipes.tune import TuneReport
from softprompt.app.recipes.tune import tune as run
from softprompt.app.watch import Watcher
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import ConfigError
from softprompt.core.files import write_whole
from softprompt.lab.sweep.pictures import by_length, picture
from softprompt.lab.sweep.space import SweepSettings
from softprompt.lab.sweep.study import Trial
from softprompt.model.backbones.base import Backbone

__all__ = ["SweepReport", "sweep"]

FOUND, PICTURE, WINNER = "sweep.json", "sweep.svg", "winner.yaml"


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
    _require_shared(settings, rows=sources is not None, model=backbone is not None)
    folder = config.beside("sweep")
    ready = prepare(config, watcher, sources=sources, backbone=backbone)
    for note in ready.notes:
        watcher.note(note)
    if fresh:
        for name in (STUDY, FOUND):
            (folder / name).unlink(missing_ok=True)
    work = Searching(ready, folder, watcher, sources=sources, fresh=fresh)
    write_whole(folder / "config.yaml", settings_text(config).encode())
    notes = work.search(adopt=True)
    trials = tuple(work.study.trials())
    done = [one for one in trials if one.state == "complete" and one.score is not None]
    if not done:
        _none_finished(trials)
    best = max(done, key=lambda one: (one.score or 0.0, -one.number))
    winner = work.candidates.config_of(best.values, confirm=True)
    write_whole(folder / WINNER, _settings_text(winner).encode())
    confirmed = _confirmed_before(winner, settings, fresh=fresh)
    report = None
    if confirmed is None and settings.confirm and work.study.closed_elsewhere():
        notes.append("another process ended the last trial and confirms the winner; the same command again shows it")
    elif confirmed is None and settings.confirm:
        report = _confirm(winner, ready, best, watcher, sources=sources, fresh=fresh)
        confirmed = _summary(report.to_dict())
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


def _require_shared(settings: SweepSettings, *, rows: bool, model: bool) -> None:
    """Refuse several processes that would lack what only this one has: its model, and on this machine its rows.

    Raises:
        ConfigError: ``config.invalid``.
    """
    if settings.ray is not None and model:
        message = "a cluster loads its own models; one of this process is not theirs"
        raise ConfigError("config.invalid", message, cure="leave sweep.ray out, or name a model")
    if settings.ray is None and (settings.jobs or 1) > 1 and (rows or model):
        message = "several processes read their own files and models; rows and models of this one are not theirs"
        raise ConfigError("config.invalid", message, cure="set sweep.jobs to 1, or name files and a model")


def _confirmed_before(winner: RunConfig, settings: SweepSettings, *, fresh: bool) -> dict[str, Any] | None:
    """What the winner's own run said where it is finished already, so that no test row is seen twice."""
    said = _report_of(winner.folder)
    wanted = settings.confirm and not fresh and said is not None and not said["interrupted"]
    return _summary(said) if wanted and said is not None and _stands(winner) else None


def _confirm(
    winner: RunConfig,
    ready: Prepared,
    best: Trial,
    watcher: Watcher,
    *,
    sources: Sources | None,
    fresh: bool,
) -> TuneReport:
    """The winner's own run."""
    watcher.stage(f"confirm trial {best.number}")
    return run(winner, watcher, sources=sources, backbone=ready.backbone, fresh=fresh or not _stands(winner))


def _report_of(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / REPORT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "evaluation" in found else None


def _stands(winner: RunConfig) -> bool:
    """Whether the winner's folder is of these settings."""
    path = winner.folder / "config.yaml"
    return path.exists() and bool(read_yaml(path) == yaml.safe_load(settings_text(winner)))


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
