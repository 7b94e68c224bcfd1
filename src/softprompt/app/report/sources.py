"""What a run left behind, as lines with evaluations: a comparison, a tuning, a learning curve, an evaluation as JSON.

A folder may hold several of them. Reads JSON and YAML; loads no model.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.core.errors import DataError, SoftpromptError
from softprompt.lab.comparison import Standing
from softprompt.lab.comparison.table import ComparisonTable, Cost, Line, RunRecord
from softprompt.lab.evaluation import Evaluation
from softprompt.lab.learning_curve import LearningCurve

__all__ = ["Entry", "read_entry"]

TABLE, REPORT, CURVE, CONFIG, ENVIRONMENT = "table.json", "report.json", "curve.json", "config.yaml", "environment.json"

CURE = "name a folder that softprompt compare, tune or curve wrote, or the JSON of softprompt evaluate --json"

#: Where a run keeps what `softprompt curve` made for it.
CURVES = "curve"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run.

    Attributes:
        name: Of the run.
        path: Where it lies.
        kind: ``comparison``, ``run``, ``evaluation`` or ``curve``.
        lines: With numbers or with the reason why there are none.
        reference: Name of the line that it is about; empty where there is none.
        metric: The score that decides; empty without lines.
        split: Which rows judged.
        curve: Its learning curve.
        warnings: What must be read with the numbers.
        rows: Counts and hashes by split.
        environment: Versions, machine, model.
        config: The settings as text.
        prompt: The saved prompt.
    """

    name: str
    path: Path
    kind: str
    lines: tuple[Line, ...] = ()
    reference: str = ""
    metric: str = ""
    split: str = "test"
    curve: LearningCurve | None = None
    warnings: tuple[str, ...] = ()
    rows: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    prompt: Path | None = None


def read_entry(path: Path) -> Entry:
    """What stands at a path.

    Raises:
        DataError: ``data.no_report``: nothing that could be reported; ``data.unreadable``: a damaged file;
            ``data.unknown_schema``.
    """
    if not path.exists():
        raise _nothing(path, "there is nothing")
    if path.is_file():
        return _evaluations(path)
    curve = next((found for place in (path, path / CURVES) if (found := _curve(place / CURVE))), None)
    parts: dict[str, Any] = {
        "curve": curve,
        "environment": _json(path / ENVIRONMENT) if (path / ENVIRONMENT).is_file() else {},
        "config": _text(path / CONFIG) if (path / CONFIG).is_file() else "",
        "prompt": path / "prompt" if (path / "prompt").exists() else None,
    }
    if (path / TABLE).is_file():
        return _compared(path, parts)
    if (path / REPORT).is_file():
        return _tuned(path, parts)
    if curve is not None:
        return Entry(name=curve.name or path.name, path=path, kind="curve", metric=curve.metric, **parts)
    raise _nothing(path, "the folder holds no finished comparison, run or learning curve")


def _compared(path: Path, parts: Mapping[str, Any]) -> Entry:
    """From ``softprompt compare``."""
    with _told(path / TABLE):
        table = ComparisonTable.from_dict(_json(path / TABLE))
    return Entry(
        name=table.name or path.name,
        path=path,
        kind="comparison",
        lines=table.contenders,
        reference=table.reference,
        metric=table.metric,
        warnings=table.warnings,
        rows=table.rows,
        **{**parts, "environment": table.environment or parts["environment"]},
    )


def _tuned(path: Path, parts: Mapping[str, Any]) -> Entry:
    """From ``softprompt tune``: the prompt and its baselines, or the prompt alone."""
    with _told(path / REPORT):
        report = _json(path / REPORT)
        found = report["comparison"]
        if found is None:
            own = Standing(Evaluation.from_dict(report["evaluation"]), report["seconds"]["total"], 0, 0)
            standings, reference = [own], own.name
            metric = next(iter(own.evaluation.comparable or own.evaluation.metrics))
        else:
            standings = [Standing.from_dict(one) for one in found["standings"]]
            reference, metric = found["reference"], found["metric"]
        seed, notes = int(report["chosen_seed"]), tuple(report["notes"])
        split = str(report["split"])
    lines = tuple(_line(one, metric, seed=seed if one.name == reference else 0) for one in standings)
    if report.get("interrupted"):
        notes = (f"{path.name} was cut short: its numbers are those of the best so far", *notes)
    return Entry(
        name=path.name,
        path=path,
        kind="run",
        lines=lines,
        reference=reference,
        metric=metric,
        split=split,
        warnings=notes,
        **parts,
    )


def _evaluations(path: Path) -> Entry:
    """From ``softprompt evaluate --json``: one evaluation, or a list of them."""
    with _told(path):
        found = _json(path)
        documents = found if isinstance(found, list) else [found]
        if not documents or not all(isinstance(one, dict) and {"metrics", "items"} <= set(one) for one in documents):
            raise DataError("data.no_report", "the file holds no evaluation to report on", cure=CURE)
        evaluations = [Evaluation.from_dict(one) for one in documents]
        metric = next(iter(evaluations[0].comparable or evaluations[0].metrics))
    lines = tuple(_line(Standing(one, 0.0, 0, 0), metric, seed=0) for one in evaluations)
    return Entry(
        name=path.stem, path=path, kind="evaluation", lines=lines, reference=lines[0].name, metric=metric, split="given"
    )


def _line(standing: Standing, metric: str, *, seed: int) -> Line:
    """A line of a run's own table."""
    cost = Cost(
        fit_seconds=standing.fit_seconds,
        predict_seconds=standing.predict_seconds,
        num_trained=standing.num_trained,
        num_bytes=standing.num_bytes,
    )
    record = RunRecord(seed=seed, evaluation=standing.evaluation, cost=cost, note=standing.note)
    name = standing.name or "answers"
    return Line(
        name=name,
        kind=_kind(name),
        config={},
        key="",
        runs=(record,),
        score=standing.evaluation.metrics.get(metric),
    )


def _kind(name: str) -> str:
    """What a line of a run's table is, by the names that they have there."""
    kinds = {"majority": "majority", "TF-IDF": "tfidf", "zero-shot": "zero-shot", "linear": "embeddings"}
    return next((kind for begin, kind in kinds.items() if name.startswith(begin)), "soft")


def _curve(path: Path) -> LearningCurve | None:
    if not path.is_file():
        return None
    with _told(path):
        return LearningCurve.from_dict(_json(path))


def _json(path: Path) -> Any:
    return json.loads(_text(path))


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _nothing(path: Path, why: str) -> DataError:
    return DataError("data.no_report", f"{why} to report on", cure=CURE).at(str(path))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever a damaged document raises into one error that names the file."""
    try:
        yield
    except SoftpromptError as error:
        raise error.at(str(path)) from None
    except (ValueError, LookupError, TypeError, AttributeError, OSError, StopIteration) as error:
        message = f"this is not what a run leaves ({type(error).__name__}: {error})"
        raise DataError("data.unreadable", message, cure="run it again").at(str(path)) from error
