"""A learning curve as plain data: what reports and pictures read.

    LearningCurve        one run: sizes, draws, notes
      .curves: Curve     one contender: its points, and what more rows would bring
        .points: Point   one training on one subset
        .forecasts       at some more rows, in words too

The interval at a size is Student's t over the draws: it counts which rows were drawn and how the training fell out,
which is what a curve is about. The test rows are shared by all points, so their luck moves the whole curve rather than
its shape; it stands in ``of_test``. Knows numbers; no contenders and no files.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from softprompt.core.errors import DataError
from softprompt.core.stats import Interval, t_interval
from softprompt.lab.evaluation import interval_from

__all__ = ["SCHEMA", "Curve", "Forecast", "LearningCurve", "Point"]

SCHEMA, KIND = 1, "learning curve"


@dataclass(frozen=True, slots=True)
class Point:
    """One contender, learnt from one subset.

    Attributes:
        rows: In the subset.
        draw: Which order of the rows.
        score: On the test rows; None where it could not learn.
        seconds: To learn.
        why: Why it could not; else empty.
    """

    rows: int
    draw: int
    score: float | None
    seconds: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What more rows would bring.

    Attributes:
        rows: In all.
        score: Then.
        gain: Over the most rows there are, in the direction that is better.
        sentence: In words.
    """

    rows: int
    score: Interval
    gain: Interval
    sentence: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One contender.

    Attributes:
        name: Of the contender.
        points: By size, then draw.
        of_test: Of the first draw of all rows, the luck of the test rows alone.
        forecasts: What more rows would bring; none with fewer than three sizes.
        note: Why there is no forecast; else empty.
    """

    name: str
    points: tuple[Point, ...]
    of_test: Interval | None = None
    forecasts: tuple[Forecast, ...] = ()
    note: str = ""

    @property
    def by_size(self) -> dict[int, Interval]:
        """Mean over the draws, by number of rows; sizes at which nothing was learnt are left out.

        Draws that agree to the last bit show no spread, and no certainty either: the same rows were learnt from in
        another order, or nothing was learnt. Their interval has no ends.

        >>> Curve("x", (Point(16, 0, 0.4, 1.0), Point(16, 1, 0.6, 1.0))).by_size[16].estimate
        0.5
        >>> Curve("x", (Point(16, 0, 0.4, 1.0), Point(16, 1, 0.4, 1.0))).by_size[16].high
        inf
        """
        found: dict[int, list[float]] = {}
        for point in self.points:
            if point.score is not None and math.isfinite(point.score):
                found.setdefault(point.rows, []).append(point.score)
        return {
            rows: t_interval(scores[:1] if len(set(scores)) == 1 else scores) for rows, scores in sorted(found.items())
        }


def _apart(one: Interval, other: Interval) -> bool:
    return one.low > other.high or one.high < other.low


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """All of it.

    Attributes:
        name: Of the run.
        metric: The score.
        higher_is_better: As the metric's.
        num_rows: Labelled rows to learn from.
        num_test: Rows that judge.
        sizes: Of the subsets.
        draws: Orders of the rows.
        curves: By contender.
        left_out: Contender -> why it takes no part.
        notes: What must be read with it.
        environment: Versions, machine, model.
        created: When, ISO 8601, UTC.
    """

    metric: str
    higher_is_better: bool
    num_rows: int
    num_test: int
    sizes: tuple[int, ...]
    draws: int
    curves: tuple[Curve, ...]
    name: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""

    @property
    def leading(self) -> str:
        """Who is ahead with all rows, in words; empty where fewer than two have a score there.

        >>> two = (Curve("a", (Point(32, 0, 0.7, 1.0),)), Curve("b", (Point(32, 0, 0.6, 1.0),)))
        >>> found = LearningCurve(
        ...     metric="accuracy", higher_is_better=True, num_rows=32, num_test=9, sizes=(16, 32), draws=1, curves=two
        ... )
        >>> found.leading
        'with all 32 labels a is ahead, 0.700 against 0.600 of b; how sure that is cannot be told from one draw'
        """
        last = self.sizes[-1] if self.sizes else 0
        there = [(curve, curve.by_size[last]) for curve in self.curves if last in curve.by_size]
        if len(there) < 2:
            return ""
        there.sort(key=lambda one: one[1].estimate, reverse=self.higher_is_better)
        (first, best), (second, next_) = there[:2]
        said = (
            f"with all {last:,} labels {first.name} is ahead, {best.estimate:.3f} against {next_.estimate:.3f} of "
            f"{second.name}"
        )
        if self.draws < 2:
            return f"{said}; how sure that is cannot be told from one draw"
        known = [one for one in (best, next_) if math.isfinite(one.high - one.low)]
        if len(known) == 2 and not _apart(best, next_):
            return f"{said}; their intervals over the draws overlap"
        if first.of_test is not None and second.of_test is not None and not _apart(first.of_test, second.of_test):
            return f"{said}; their intervals over the {self.num_test:,} test rows overlap, compare tells them by pairs"
        return said if known else f"{said}; all draws learn from the same rows there"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Who is ahead, and what more rows would bring, by contender."""
        return (*filter(None, [self.leading]), *self._forecasts)

    @property
    def _forecasts(self) -> tuple[str, ...]:
        return tuple(one.sentence for curve in self.curves for one in curve.forecasts[:1]) + tuple(
            f"{curve.name}: {curve.note}" for curve in self.curves if curve.note
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = ("name", "metric", "higher_is_better", "num_rows", "num_test", "draws", "environment", "created")
        return {
            "schema": SCHEMA,
            "kind": KIND,
            **{name: getattr(self, name) for name in plain},
            "sizes": list(self.sizes),
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "sentences": list(self.sentences),
            "curves": [
                {
                    "name": curve.name,
                    "note": curve.note,
                    "of_test": None if curve.of_test is None else curve.of_test.as_dict(),
                    "by_size": {str(rows): one.as_dict() for rows, one in curve.by_size.items()},
                    "points": [asdict(point) for point in curve.points],
                    "forecasts": [
                        {**asdict(one), "score": one.score.as_dict(), "gain": one.gain.as_dict()}
                        for one in curve.forecasts
                    ],
                }
                for curve in self.curves
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`.

        Raises:
            DataError: ``data.unknown_schema``.
        """
        if data.get("schema") != SCHEMA or data.get("kind") != KIND:
            message = f"a learning curve of schema {SCHEMA} is needed, came {data.get('schema')!r}"
            raise DataError("data.unknown_schema", message, cure="run softprompt curve again")
        plain = ("name", "metric", "higher_is_better", "num_rows", "num_test", "draws", "environment", "created")
        return cls(
            **{name: data[name] for name in plain},
            sizes=tuple(data["sizes"]),
            left_out=dict(data["left_out"]),
            notes=tuple(data["notes"]),
            curves=tuple(
                Curve(
                    one["name"],
                    tuple(Point(**point) for point in one["points"]),
                    None if one["of_test"] is None else interval_from(one["of_test"]),
                    tuple(
                        Forecast(
                            found["rows"],
                            interval_from(found["score"]),
                            interval_from(found["gain"]),
                            found["sentence"],
                        )
                        for found in one["forecasts"]
                    ),
                    one["note"],
                )
                for one in data["curves"]
            ),
        )
