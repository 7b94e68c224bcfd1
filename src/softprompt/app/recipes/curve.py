"""Measure how scores grow with labelled rows, for several contenders, and what more labels would bring.

RUN-curve/
  config.yaml     the settings
  curve.json      the curve (see lab/learning_curve/document.py)
  points/         one file a point, by what it depends on: a run that was stopped goes on, a new contender adds its own
  log.jsonl       one line a point
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.columns import Further, read_further
from softprompt.app.recipes.comparing import divided, template_of
from softprompt.app.recipes.dividing import Sources, load_task
from softprompt.app.recipes.folder import environment, settings_text
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.errors import ConfigError
from softprompt.core.files import write_whole
from softprompt.core.metrics import make_metric
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.entrants import nobody_fits
from softprompt.lab.comparison.settings import (
    ApiSettings,
    CompareSettings,
    EnsembleSettings,
    EntrantSettings,
    LoraSettings,
    PlainEntrantSettings,
    SoftSettings,
)
from softprompt.lab.comparison.stage import Stage
from softprompt.lab.learning_curve import CurveSettings, LearningCurve, Point, Rows, learning_curve
from softprompt.lab.learning_curve.entering import Entering
from softprompt.model.backbones.base import Backbone

__all__ = ["CURVE", "CurveReport", "curve", "pool_of", "stage_of"]

CURVE = "curve.json"

#: Metrics that no answer has.
_OF_TEXTS = ("perplexity",)


@dataclass(frozen=True)
class CurveReport:
    """What was measured.

    Attributes:
        folder: Of the curve.
        curve: The curve.
        fresh: Points that were measured now; the others were there.
        seconds: This took.
    """

    folder: Path
    curve: LearningCurve
    fresh: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        own = {"folder": str(self.folder), "fresh": self.fresh, "took_seconds": round(self.seconds, 3)}
        return {**own, **self.curve.to_dict()}


def curve(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    settings: CurveSettings | None = None,
    contenders: Sequence[str | Mapping[str, Any]] | None = None,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
) -> CurveReport:
    """Measure what is not measured yet, and fit.

    Args:
        config: The run: rows, task, model, training.
        watcher: Told what happens.
        settings: Sizes, draws, forecasts.
        contenders: Who takes part, as in ``compare``; None: those of ``compare.contenders``, else TF-IDF, embeddings,
            the run's soft prompt and LoRA.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.

    Raises:
        DataError: ``data.too_few_rows``; ``data.unknown_field``: a contender's template names what is no column; and
            whatever is wrong with the rows.
        ConfigError: ``config.unknown_name``, ``config.unsupported_method``: an ensemble, or an API at every point;
            ``config.invalid``: a metric that cannot judge this task.
        KeyboardInterrupt: Points that are complete are kept.
    """
    watcher, begun, folder = watcher or Watcher(), time.perf_counter(), config.beside("curve")
    settings = settings or CurveSettings()
    asked = _asked(config, contenders)
    rows = read_rows(config, sources)
    _require_metric(settings.metric, load_task(config, rows["train"]))
    run, further = divided(config, given="test" in rows, folder=folder), list[Further]()

    def seen(found: Mapping[str, Dataset]) -> None:
        further.append(read_further(run, rows, found["train"].fields(), asked))

    ready = prepare(run, watcher, sources=rows, backbone=backbone, on_read=seen)
    stage = replace(stage_of(ready), further=further[0].beside(ready.splits))
    entering = [Entering(one, stage, config.training.class_weights == "balanced") for one in asked]
    unfit = {one.name: why for one in entering if (why := one.unfit)}
    able = {one.name: one for one in entering if one.name not in unfit}
    if not able:
        raise nobody_fits(unfit)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "config.yaml", settings_text(config).encode())
    points, telling = _Points(folder), _Telling(folder, watcher)
    whole = replace(ready, splits={"train": pool_of(ready.splits), "test": ready.splits["test"]})
    splits = {name: one.splits for name, one in able.items()}
    found = learning_curve(
        able,
        ready.task,
        Rows(whole.splits["train"], whole.splits["test"]),
        settings=settings,
        own={name: Rows(pool_of(one), one["test"]) for name, one in splits.items() if one is not stage.splits},
        identities={name: one.identity for name, one in able.items()},
        kept=points,
        on_point=telling,
    )
    found = replace(
        found,
        name=config.name,
        left_out={**unfit, **found.left_out},
        notes=(*found.notes, *dict.fromkeys((*ready.notes, *whole.page.warnings))),
        environment=environment(ready.backbone.spec),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(folder / CURVE, text.encode("utf-8"))
    watcher.done()
    return CurveReport(folder, found, points.fresh, time.perf_counter() - begun)


def _asked(config: RunConfig, contenders: Sequence[str | Mapping[str, Any]] | None) -> tuple[EntrantSettings, ...]:
    """Who takes part."""
    given: tuple[EntrantSettings, ...] | None = config.compare.contenders
    if contenders:
        given = CompareSettings.parse({"contenders": list(contenders)}).contenders
        assert given is not None, "contenders were given"
        for one in given:
            if isinstance(one, (EnsembleSettings, ApiSettings)):
                message = f"{one.called} takes no part in a curve"
                cure = "an ensemble is of several seeds, an API would be paid at every point; name others"
                raise ConfigError("config.unsupported_method", message, cure=cure)
    if given is not None:
        return tuple(one for one in given if not isinstance(one, (EnsembleSettings, ApiSettings)))
    usual = (PlainEntrantSettings(kind="tfidf"), PlainEntrantSettings(kind="embeddings"), SoftSettings())
    return (*usual, *([LoraSettings()] if find_spec("peft") else []))


def _require_metric(name: str | None, task: Task) -> None:
    """Refuse a metric that cannot judge the answers, before the model is loaded.

    Raises:
        ConfigError: ``config.unknown_name``, ``config.invalid``.
    """
    if name is None:
        return
    make_metric(name, labels=task.names if task.fixed_candidates else ())
    if name in _OF_TEXTS:
        message = f"{name} judges how likely texts are, a curve judges answers"
        raise ConfigError("config.invalid", message, cure=f"name another metric: {', '.join(task.metrics)}")


def stage_of(ready: Prepared) -> Stage:
    """What all contenders share; rows and seeds are those of each subset."""
    config = ready.config
    return Stage(
        backbone=ready.backbone,
        builder=ready.builder,
        answers=ready.answers,
        splits=ready.splits,
        weighted=ready.weighted("train"),
        training=config.training,
        method=config.method,
        correction=ready.correction,
        start=config.start,
        budget=config.compare.budget,
        template_of=lambda settings: template_of(config, ready, settings),
    )


def pool_of(splits: Mapping[str, Dataset]) -> Dataset:
    """All labelled rows that do not judge."""
    train, validation = splits["train"], splits["validation"]
    return replace(train, rows=(*train.rows, *validation.rows))


class _Points:
    """Points as files, by their hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "points"
        self.fresh = 0

    def get(self, key: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = json.loads((self.folder / f"{key}.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):  # one that was cut off is measured again
            return None
        return found

    def put(self, key: str, point: Mapping[str, Any]) -> None:
        self.fresh += 1
        write_whole(self.folder / f"{key}.json", json.dumps(point, allow_nan=False).encode())


class _Telling:
    """Every point into the log and to whoever watches."""

    def __init__(self, folder: Path, watcher: Watcher) -> None:
        self.log, self.watcher, self.total = folder / "log.jsonl", watcher, 0

    def __call__(self, name: str, point: Point, done: int, total: int) -> None:
        if not self.total:
            self.total = total
            self.watcher.stage("learning curve", total=total, unit="points")
        self.watcher.advance(done)
        score = "no score" if point.score is None else f"{point.score:.3f}"
        line = {"time": round(time.time(), 3), "event": "point", "contender": name, "rows": point.rows}
        line |= {"draw": point.draw, "score": point.score, "why": point.why}
        with self.log.open("a", encoding="utf-8", newline="\n") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")
        if point.score is None:
            self.watcher.note(f"{name}, {point.rows} rows: {score}, {point.why}")
