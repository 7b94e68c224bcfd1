"""Several contenders learn from growing subsets of the same draws and are judged on the same rows.

A draw is an order of the training rows; its subsets are beginnings of that order, so a larger one holds the smaller.
Points are kept by the hash of everything that they depend on, so a run goes on where it stopped, and another contender
costs its own points only. Knows contenders by their protocol; no particular one, and no files.

Source: Perlich et al., JMLR 4 (2003) 211-255: curves cross, so one size decides nothing.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.core.errors import SoftpromptError
from softprompt.core.metrics import make_metric
from softprompt.core.stats import Interval
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.contenders import Contender
from softprompt.lab.evaluation import CALIBRATION, evaluate, interval_from
from softprompt.lab.learning_curve.document import SCHEMA, Curve, LearningCurve, Point
from softprompt.lab.learning_curve.forecasts import forecast
from softprompt.lab.learning_curve.subsets import nested, sizes

__all__ = ["CurveSettings", "Kept", "Rows", "learning_curve"]

#: What is wrong with the machine or the settings stops a run; what is wrong with a subset is a point without a score.
_FATAL = ("config.", "extra.", "model.", "resource.", "template.")


class CurveSettings(Settings):
    """How a curve is measured."""

    first: int = Field(16, ge=4, description="rows of the smallest subset; at least two a label")
    draws: int = Field(3, ge=1, le=50, description="orders of the rows; one has no intervals")
    more: int = Field(50, ge=1, description="further labels to look at")
    seed: int = Field(0, ge=0, description="of the draws")
    metric: str | None = Field(None, description="the score; None: the task's first")


class Kept(Protocol):
    """Where points are kept, by content."""

    def get(self, key: str) -> Mapping[str, Any] | None:
        """What was put there; None where nothing was."""
        ...

    def put(self, key: str, point: Mapping[str, Any]) -> None:
        """Keep a point."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a curve.

    Attributes:
        train: All that may be learnt from; what chooses variants is taken out of each subset by the contender.
        test: Only judged on.
    """

    train: Dataset
    test: Dataset


@dataclass(frozen=True, slots=True)
class _Place:
    """A subset: its rows, its draw, the seed of what learns from it, and the rows that judge it."""

    subset: Dataset
    draw: int
    seed: int
    test: Dataset


def learning_curve(
    contenders: Mapping[str, Contender],
    task: Task,
    rows: Rows,
    *,
    settings: CurveSettings | None = None,
    own: Mapping[str, Rows] | None = None,
    identities: Mapping[str, str] | None = None,
    kept: Kept | None = None,
    on_point: Callable[[str, Point, int, int], None] = lambda name, point, done, total: None,
) -> LearningCurve:
    """Measure.

    Args:
        contenders: By name.
        task: What is asked.
        rows: To learn from and to judge on.
        settings: Sizes, draws, forecasts.
        own: By name the same rows in the same order, for contenders that read more of them than the others do.
        identities: By name all that a contender's numbers depend on besides rows and seed; None: the names.
        kept: Where points are kept; equal points are not computed again.
        on_point: Told each point, how many are done and how many there are.

    Raises:
        DataError: ``data.too_few_rows``.
        SoftpromptError: What no subset could mend: a missing extra, a full disk.
    """
    settings = settings or CurveSettings()
    metric = make_metric(settings.metric or task.metrics[0], labels=task.names if task.fixed_candidates else ())
    first = max(settings.first, 2 * len(task.names)) if task.fixed_candidates else settings.first
    steps = sizes(len(rows.train), first=first)
    able = {name: one for name, one in contenders.items() if one.supports(task)}
    shared = _places(rows, steps, settings)
    places = {name: _places(own[name], steps, settings) if own and name in own else shared for name in able}
    total = len(able) * len(steps) * settings.draws
    found: dict[str, list[Point]] = {name: [] for name in able}
    of_test: dict[str, Interval] = {}
    for count in steps:  # all contenders of a size before the next, so that a run cut short says something of each
        for draw in range(settings.draws):
            for name, contender in able.items():
                place = places[name][count, draw]
                key = _key((identities or {}).get(name, name), task, place, metric.name)
                known = kept.get(key) if kept is not None else None
                if known is None:
                    known = _measured(contender, task, place, metric.name)
                    if kept is not None:
                        kept.put(key, known)
                point = Point(**{**known["point"], "draw": draw})
                found[name].append(point)
                if count == len(rows.train) and draw == 0 and known["interval"] is not None:
                    of_test[name] = interval_from(known["interval"])
                on_point(name, point, sum(map(len, found.values())), total)
    to = (len(rows.train) + min(settings.more, 3 * len(rows.train)), 2 * len(rows.train))
    curves = [Curve(name, tuple(points), of_test.get(name)) for name, points in found.items()]
    alone = ("one draw says nothing about the luck of the draw: no intervals",)
    return LearningCurve(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        num_rows=len(rows.train),
        num_test=len(rows.test),
        sizes=steps,
        draws=settings.draws,
        curves=tuple(forecast(curve, metric, to=to, seed=settings.seed) for curve in curves),
        left_out={name: "it cannot do this kind of task" for name in contenders if name not in able},
        notes=alone if settings.draws < 2 else (),
    )


def _places(rows: Rows, steps: Sequence[int], settings: CurveSettings) -> dict[tuple[int, int], _Place]:
    """Every subset, by its number of rows and its draw."""
    found: dict[tuple[int, int], _Place] = {}
    for draw in range(settings.draws):
        order, seed = nested(rows.train, draw=draw, seed=settings.seed), settings.seed + draw
        found |= {(count, draw): _Place(order[:count], draw, seed, rows.test) for count in steps}
    return found


def _measured(contender: Contender, task: Task, place: _Place, metric: str) -> dict[str, Any]:
    """Learn and judge; what cannot be learnt from these rows is a point without a score."""
    begun, count, test = time.perf_counter(), len(place.subset), place.test
    try:
        fitted = contender.fit(place.subset, None, task, seed=place.seed)
        seconds = time.perf_counter() - begun
        said = fitted.predict(test)
        if metric not in CALIBRATION:  # whose intervals would take longer than many a contender
            said = [replace(one, probabilities=None) for one in said]
        score = evaluate(said, test, task.model_copy(update={"metrics": (metric,)})).metrics[metric]
    except SoftpromptError as error:
        if error.code.startswith(_FATAL):
            raise
        point = Point(count, place.draw, None, time.perf_counter() - begun, str(error))
        return {"point": asdict(point), "interval": None}
    estimate = score.estimate if math.isfinite(score.estimate) else None
    return {"point": asdict(Point(count, place.draw, estimate, seconds)), "interval": score.as_dict()}


def _key(identity: str, task: Task, place: _Place, metric: str) -> str:
    """Hash of everything that a point depends on."""
    parts = [SCHEMA, identity, task.model_dump(mode="json"), place.subset.hash, place.test.hash, metric, place.seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
